//! TCP segments (RFC 9293 §3.1): header and options in, header and options out.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use bitflags::bitflags;

use crate::checksum::{self, Sum};
use crate::{Error, SeqNumber};

/// Length of a header without options, bytes.
pub const HEADER_LEN: usize = 20;
/// Length of the longest header: 60 bytes, 40 of them options.
pub const MAX_HEADER_LEN: usize = 60;
/// Room for options, bytes.
pub const MAX_OPTIONS_LEN: usize = MAX_HEADER_LEN - HEADER_LEN;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: usize = 16;
/// Largest window scale shift that may be used (RFC 7323 §2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

bitflags! {
    /// The control bits of a segment (RFC 9293 §3.1, RFC 3168 §6.1, RFC 9768 §2.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u16 {
        /// No more data from the sender.
        const FIN = 0x001;
        /// Synchronise sequence numbers.
        const SYN = 0x002;
        /// Reset the connection.
        const RST = 0x004;
        /// Push.
        const PSH = 0x008;
        /// The acknowledgement field is significant.
        const ACK = 0x010;
        /// The urgent pointer is significant.
        const URG = 0x020;
        /// ECN echo.
        const ECE = 0x040;
        /// Congestion window reduced.
        const CWR = 0x080;
        /// Accurate ECN (formerly the nonce sum).
        const AE = 0x100;
    }
}

/// One SACK block: `[left, right)` (RFC 2018 §3).
pub type SackBlock = (SeqNumber, SeqNumber);

/// A timestamps option (RFC 7323 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub val: u32,
    /// TSecr: the newest TSval the sender saw from us.
    pub ecr: u32,
}

/// An AccECN option (kinds 172 and 174; RFC 9768 §3.2.3): up to three 24-bit counters of bytes that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct AccEcn {
    /// Kind 174: ECT(1) stands first and ECT(0) last; 172 has them the other way round. CE is in the middle.
    pub order1: bool,
    /// The counters that it has, from the first.
    pub fields: ArrayVec<u32, 3>,
}

impl AccEcn {
    /// Bytes that arrived marked as ECT(0), if it tells (EE0B).
    pub fn e0b(&self) -> Option<u32> {
        self.fields.get(if self.order1 { 2 } else { 0 }).copied()
    }

    /// Bytes that arrived marked as CE, if it tells (ECEB).
    pub fn ceb(&self) -> Option<u32> {
        self.fields.get(1).copied()
    }

    /// Bytes that arrived marked as ECT(1), if it tells (EE1B).
    pub fn e1b(&self) -> Option<u32> {
        self.fields.get(if self.order1 { 0 } else { 2 }).copied()
    }

    fn padded_len(&self) -> usize {
        (2 + 3 * self.fields.len()).next_multiple_of(4)
    }
}

/// The options of a segment that this stack knows; unknown ones are skipped on input (RFC 9293 §3.1 MUST-6).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Maximum segment size, bytes (kind 2; SYN only).
    pub mss: Option<u16>,
    /// Window scale shift (kind 3; SYN only). As received: it may exceed 14 and then counts as 14.
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4; SYN only).
    pub sack_permitted: bool,
    /// Timestamps (kind 8).
    pub timestamps: Option<Timestamps>,
    /// SACK blocks (kind 5), in the order they stand in the segment.
    pub sack: ArrayVec<SackBlock, 4>,
    /// User timeout (kind 28; RFC 5482 §3), as it stands on the wire: see [`user_timeout_seconds`].
    pub user_timeout: Option<u16>,
    /// Accurate ECN's counters of bytes (kinds 172 and 174).
    pub acc_ecn: Option<AccEcn>,
    /// TCP Fast Open cookie (kind 34, or the experimental 254/0xF989): an empty one asks for a cookie (RFC 7413 §4.1).
    pub fast_open: Option<ArrayVec<u8, 16>>,
    /// Whether [`fast_open`](Self::fast_open) has the experimental kind, which old clients use (RFC 7413 §2.1, RFC 6994).
    pub fast_open_experimental: bool,
}

impl Options {
    /// Parses the bytes between the fixed header and the data.
    ///
    /// RFC 9293 §3.1: end of list and no-operation (MUST-4), others by their length (MUST-68), at any offset (§3.2 MUST-64). An
    /// option whose length is wrong ends the list (§3.1 MUST-7), as in Linux: what came before it counts, the segment lives.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let [kind, rest @ ..] = bytes {
            match kind {
                0 => break,
                1 => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some(&len) = rest.first() else { break };
            let len = usize::from(len);
            if len < 2 || len > bytes.len() {
                break;
            }
            let body = &bytes[2..len];
            match (*kind, body) {
                // RFC 9293 §3.7.1: an MSS of zero cannot be honoured; it is as if the option were absent.
                (2, &[a, b]) => options.mss = Some(u16::from_be_bytes([a, b])).filter(|m| *m != 0),
                (3, &[shift]) => options.window_scale = Some(shift),
                (4, []) => options.sack_permitted = true,
                (5, blocks) if !blocks.is_empty() && blocks.len() % 8 == 0 => {
                    // Several such options: what there is room for in a header counts.
                    let room = options.sack.remaining_capacity();
                    options.sack.extend(
                        blocks
                            .chunks_exact(8)
                            .take(room)
                            .map(|b| (SeqNumber(be32(b)), SeqNumber(be32(&b[4..])))),
                    );
                }
                (8, stamps) if stamps.len() == 8 => {
                    options.timestamps =
                        Some(Timestamps { val: be32(stamps), ecr: be32(&stamps[4..]) });
                }
                // RFC 5482 §3: zero is reserved and ignored.
                (28, &[a, b]) => {
                    options.user_timeout =
                        Some(u16::from_be_bytes([a, b])).filter(|raw| raw & 0x7fff != 0);
                }
                (172 | 174, counters) if counters.len() <= 9 && counters.len() % 3 == 0 => {
                    let fields = counters.chunks_exact(3);
                    options.acc_ecn = Some(AccEcn {
                        order1: *kind == 174,
                        fields: fields.map(|b| u32::from_be_bytes([0, b[0], b[1], b[2]])).collect(),
                    });
                }
                // RFC 7413 §4.1.1: a cookie is 4 to 16 bytes and even; an empty one is a request.
                (34, cookie) => {
                    if let Some(cookie) = cookie_from(cookie) {
                        options.fast_open = Some(cookie);
                        options.fast_open_experimental = false;
                    }
                }
                (254, &[0xf9, 0x89, ref cookie @ ..]) if options.fast_open.is_none() => {
                    options.fast_open = cookie_from(cookie);
                    options.fast_open_experimental = options.fast_open.is_some();
                }
                _ => {}
            }
            bytes = &bytes[len..];
        }
        options
    }

    /// Length of the options as [`emit`](Self::emit) writes them, bytes; a multiple of 4, at most 40.
    pub fn len(&self) -> usize {
        let mut n = 0;
        if self.mss.is_some() {
            n += 4;
        }
        // The timestamps take 12 bytes: SACK-permitted stands in the place of their padding.
        if self.timestamps.is_some() {
            n += 12;
        } else if self.sack_permitted {
            n += 4;
        }
        if self.window_scale.is_some() {
            n += 4;
        }
        if let Some(cookie) = &self.fast_open {
            n += (self.fast_open_overhead() + cookie.len()).next_multiple_of(4);
        }
        if self.user_timeout_fits(n) {
            n += 4;
        }
        n += self.acc_ecn_that_fits(n).map_or(0, AccEcn::padded_len);
        match self.sack_that_fits(n) {
            [] => n,
            blocks => n + 4 + 8 * blocks.len(),
        }
    }

    /// Kind, length and, where the kind is shared, the experiment's identifier.
    fn fast_open_overhead(&self) -> usize {
        if self.fast_open_experimental { 4 } else { 2 }
    }

    /// Whether there is a user timeout, and room for it after `taken` bytes of other options.
    fn user_timeout_fits(&self, taken: usize) -> bool {
        self.user_timeout.is_some() && taken + 4 <= MAX_OPTIONS_LEN
    }

    /// The counters of Accurate ECN, if there is room for them after `taken` bytes of other options.
    fn acc_ecn_that_fits(&self, taken: usize) -> Option<&AccEcn> {
        self.acc_ecn.as_ref().filter(|option| taken + option.padded_len() <= MAX_OPTIONS_LEN)
    }

    /// The SACK blocks that still fit after `taken` bytes of other options (RFC 2018 §3).
    fn sack_that_fits(&self, taken: usize) -> &[SackBlock] {
        let room = (MAX_OPTIONS_LEN - 4).saturating_sub(taken) / 8;
        &self.sack[..self.sack.len().min(room)]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the options in Linux's layout: MSS; SACK-permitted before timestamps (filling their padding), or NOPs;
    /// window scale after a NOP; Fast Open; user timeout and AccECN, if there is room; SACK blocks after two NOPs, the first ones when
    /// not all fit. `buf` must have [`len`](Self::len) bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            put(&[2, 4, a, b]);
        }
        match (&self.timestamps, self.sack_permitted) {
            (Some(stamps), sack) => {
                put(if sack { &[4, 2, 8, 10] } else { &[1, 1, 8, 10] });
                put(&stamps.val.to_be_bytes());
                put(&stamps.ecr.to_be_bytes());
            }
            (None, true) => put(&[1, 1, 4, 2]),
            (None, false) => {}
        }
        if let Some(shift) = self.window_scale {
            put(&[1, 3, 3, shift]);
        }
        if let Some(cookie) = &self.fast_open {
            let len = self.fast_open_overhead() + cookie.len();
            if self.fast_open_experimental {
                put(&[254, len as u8, 0xf9, 0x89]);
            } else {
                put(&[34, len as u8]);
            }
            put(cookie);
            put(&[1; 3][..len.next_multiple_of(4) - len]);
        }
        let user_timeout = self.user_timeout.filter(|_| self.user_timeout_fits(at));
        let mut put = |bytes: &[u8]| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(raw) = user_timeout {
            let [a, b] = raw.to_be_bytes();
            put(&[28, 4, a, b]);
        }
        let acc_ecn = self.acc_ecn_that_fits(at);
        let mut put = |bytes: &[u8]| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(option) = acc_ecn {
            let len = 2 + 3 * option.fields.len();
            put(&[if option.order1 { 174 } else { 172 }, len as u8]);
            for field in &option.fields {
                put(&field.to_be_bytes()[1..]);
            }
            put(&[1; 3][..option.padded_len() - len]);
        }
        let sack = self.sack_that_fits(at);
        let mut put = |bytes: &[u8]| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if !sack.is_empty() {
            put(&[1, 1, 5, 2 + 8 * sack.len() as u8]);
            for (left, right) in sack {
                put(&left.0.to_be_bytes());
                put(&right.0.to_be_bytes());
            }
        }
    }
}

/// A validated TCP header.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Repr {
    /// Source port, never 0 after [`parse`](Self::parse).
    pub src_port: u16,
    /// Destination port, never 0 after [`parse`](Self::parse).
    pub dst_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: SeqNumber,
    /// Acknowledgement number; meaningful with [`Flags::ACK`].
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: Flags,
    /// The window field as it stands in the header, unscaled.
    pub window: u16,
    /// Urgent pointer; meaningful with [`Flags::URG`].
    pub urgent: u16,
    /// Options.
    pub options: Options,
}

impl Repr {
    /// Validates a segment between two addresses. Returns the header and its length: the data is `bytes[len..]`.
    ///
    /// The checksum is verified (RFC 9293 §3.1 MUST-3) unless `checksum_ok` says that the device already did, or that none
    /// was computed because the segment never left this machine.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadLength`] (data offset below 5 or past the end), [`Error::BadChecksum`],
    /// [`Error::BadField`] (a port of 0).
    pub fn parse(
        bytes: &[u8],
        src: IpAddr,
        dst: IpAddr,
        checksum_ok: bool,
    ) -> Result<(Self, usize), Error> {
        let Some(fixed) = bytes.first_chunk::<HEADER_LEN>() else { return Err(Error::Truncated) };
        let header_len = usize::from(fixed[12] >> 4) * 4;
        if header_len < HEADER_LEN || header_len > bytes.len() {
            return Err(Error::BadLength);
        }
        if !checksum_ok && !checksum::verify_transport(src, dst, crate::ip::Protocol::TCP, bytes) {
            return Err(Error::BadChecksum);
        }
        let src_port = u16::from_be_bytes([fixed[0], fixed[1]]);
        let dst_port = u16::from_be_bytes([fixed[2], fixed[3]]);
        if src_port == 0 || dst_port == 0 {
            return Err(Error::BadField);
        }
        let repr = Self {
            src_port,
            dst_port,
            seq: SeqNumber(be32(&fixed[4..])),
            ack: SeqNumber(be32(&fixed[8..])),
            flags: Flags::from_bits_truncate(u16::from_be_bytes([fixed[12] & 0x01, fixed[13]])),
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            urgent: u16::from_be_bytes([fixed[18], fixed[19]]),
            options: if header_len == HEADER_LEN {
                Options::default()
            } else {
                Options::parse(&bytes[HEADER_LEN..header_len])
            },
        };
        Ok((repr, header_len))
    }

    /// Length of the header with its options, bytes.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header, checksum field zero. `buf` must have [`header_len`](Self::header_len) bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let header_len = self.header_len();
        buf[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        buf[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        buf[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        buf[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        let [high, low] = self.flags.bits().to_be_bytes();
        buf[12] = ((header_len / 4) as u8) << 4 | (high & 0x01);
        buf[13] = low;
        buf[14..16].copy_from_slice(&self.window.to_be_bytes());
        buf[16..18].fill(0);
        buf[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        self.options.emit(&mut buf[HEADER_LEN..header_len]);
    }

    /// Fills the checksum of an emitted header over it and its data, in any number of pieces (RFC 9293 §3.1 MUST-2).
    pub fn fill_checksum(header: &mut [u8], payload: &[&[u8]], src: IpAddr, dst: IpAddr) {
        let len = header.len() + payload.iter().map(|p| p.len()).sum::<usize>();
        let mut sum = Sum::pseudo_header(src, dst, crate::ip::Protocol::TCP, len as u32);
        sum.add(header);
        for piece in payload {
            sum.add(piece);
        }
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.finish().to_be_bytes());
    }

    /// Fills the checksum field with the folded, uncomplemented sum of the pseudo-header: what a device that completes
    /// checksums expects to find there. `len` is header and data, bytes.
    pub fn fill_partial_checksum(header: &mut [u8], len: usize, src: IpAddr, dst: IpAddr) {
        let sum = Sum::pseudo_header(src, dst, crate::ip::Protocol::TCP, len as u32);
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2]
            .copy_from_slice(&(!sum.finish()).to_be_bytes());
    }
}

/// The seconds that a user timeout option stands for: its highest bit says that the rest counts minutes (RFC 5482 §3).
pub fn user_timeout_seconds(raw: u16) -> u32 {
    u32::from(raw & 0x7fff) * if raw & 0x8000 == 0 { 1 } else { 60 }
}

/// The user timeout option for so many seconds: in minutes, rounded up, where seconds do not fit; `None` for zero, and what
/// fits when there are more than 32,767 minutes.
pub fn user_timeout_option(seconds: u64) -> Option<u16> {
    match seconds {
        0 => None,
        1..=0x7fff => Some(seconds as u16),
        _ => Some(0x8000 | seconds.div_ceil(60).min(0x7fff) as u16),
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn cookie_from(bytes: &[u8]) -> Option<ArrayVec<u8, 16>> {
    if !bytes.is_empty() && (bytes.len() < 4 || !bytes.len().is_multiple_of(2)) {
        return None;
    }
    ArrayVec::try_from(bytes).ok()
}

#[cfg(test)]
mod tests;
