//! UDP datagrams (RFC 768; over IPv6, RFC 8200 §8.1).

use core::net::IpAddr;

use crate::Error;
use crate::checksum::{self, Sum};
use crate::ip::Protocol;

/// Length of the header, bytes.
pub const HEADER_LEN: usize = 8;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: usize = 6;
/// Longest data one datagram can carry by its own length field, bytes. Over IPv4 the packet's limit is lower still.
pub const MAX_PAYLOAD_LEN: usize = 65_535 - HEADER_LEN;

/// A validated UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Source port; 0 says that no answer is wanted (RFC 768).
    pub src_port: u16,
    /// Destination port, never 0 after [`parse`](Self::parse).
    pub dst_port: u16,
    /// Length of the data, bytes, at most [`MAX_PAYLOAD_LEN`]. It lies right after the header; what the packet carries
    /// past it is not part of the datagram.
    pub payload_len: usize,
}

impl Repr {
    /// Validates a datagram between two addresses: its data is `bytes[HEADER_LEN..][..payload_len]`.
    ///
    /// The checksum is verified unless `checksum_ok` says that the device already did. The sender of IPv4 may leave it
    /// out by a field of 0; of IPv6 it may not.
    ///
    /// # Errors
    /// [`Error::Truncated`] (header, or fewer bytes than the length field promises), [`Error::BadLength`] (length field
    /// below 8), [`Error::BadChecksum`] (also: 0 over IPv6), [`Error::BadField`] (destination port of 0).
    pub fn parse(bytes: &[u8], src: IpAddr, dst: IpAddr, checksum_ok: bool) -> Result<Self, Error> {
        let Some(&[s0, s1, d0, d1, l0, l1, c0, c1]) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Error::Truncated);
        };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if len < HEADER_LEN {
            return Err(Error::BadLength);
        }
        let Some(datagram) = bytes.get(..len) else { return Err(Error::Truncated) };
        if !checksum_ok {
            match (u16::from_be_bytes([c0, c1]), dst) {
                // RFC 768: an all-zero checksum means that the sender computed none.
                (0, IpAddr::V4(_)) => {}
                // RFC 8200 §8.1: over IPv6 such datagrams must be discarded. (RFC 6936's tunnels are not spoken here.)
                (0, IpAddr::V6(_)) => return Err(Error::BadChecksum),
                _ if checksum::verify_transport(src, dst, Protocol::UDP, datagram) => {}
                _ => return Err(Error::BadChecksum),
            }
        }
        let dst_port = u16::from_be_bytes([d0, d1]);
        if dst_port == 0 {
            return Err(Error::BadField);
        }
        Ok(Self { src_port: u16::from_be_bytes([s0, s1]), dst_port, payload_len: len - HEADER_LEN })
    }

    /// Writes the header, checksum field zero. `buf` must have [`HEADER_LEN`] bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        debug_assert!(self.payload_len <= MAX_PAYLOAD_LEN);
        buf[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        buf[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        buf[4..6].copy_from_slice(&((HEADER_LEN + self.payload_len) as u16).to_be_bytes());
        buf[6..8].fill(0);
    }

    /// Fills the checksum of an emitted header over it and its data (in up to any number of pieces). A sum of 0 is sent
    /// as 0xffff (RFC 768).
    pub fn fill_checksum(header: &mut [u8], payload: &[&[u8]], src: IpAddr, dst: IpAddr) {
        let len = header.len() + payload.iter().map(|p| p.len()).sum::<usize>();
        let mut sum = Sum::pseudo_header(src, dst, Protocol::UDP, len as u32);
        sum.add(header);
        for piece in payload {
            sum.add(piece);
        }
        let sum = match sum.finish() {
            0 => 0xffff,
            sum => sum,
        };
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Fills the checksum field with the folded, uncomplemented sum of the pseudo-header, as
    /// [`tcp::Repr::fill_partial_checksum`](crate::tcp::Repr::fill_partial_checksum) does. `len` is header and data,
    /// bytes.
    pub fn fill_partial_checksum(header: &mut [u8], len: usize, src: IpAddr, dst: IpAddr) {
        let sum = Sum::pseudo_header(src, dst, Protocol::UDP, len as u32);
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2]
            .copy_from_slice(&(!sum.finish()).to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
