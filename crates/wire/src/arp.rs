//! ARP for IPv4 over Ethernet (RFC 826), with the probes and announcements of RFC 5227.

use core::net::Ipv4Addr;

use crate::Error;
use crate::ethernet::MacAddr;

/// Length of a packet, bytes; what a frame carries past it is padding.
pub const LEN: usize = 28;

/// What a packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Who has the target's address?
    Request,
    /// The sender has the sender's address.
    Reply,
}

/// A validated packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Request or reply.
    pub operation: Operation,
    /// The sender's hardware address: always one station.
    pub sender_mac: MacAddr,
    /// The sender's address; unspecified in a probe.
    pub sender_ip: Ipv4Addr,
    /// The target's hardware address; meaningless in a request.
    pub target_mac: MacAddr,
    /// The target's address.
    pub target_ip: Ipv4Addr,
}

impl Repr {
    /// A question for the hardware address of `target_ip`.
    pub fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        let operation = Operation::Request;
        Self { operation, sender_mac, sender_ip, target_mac: MacAddr::ZERO, target_ip }
    }

    /// A question whether somebody uses `addr` already, which tells nobody that we would (RFC 5227 §2.1.1).
    pub fn probe(sender_mac: MacAddr, addr: Ipv4Addr) -> Self {
        Self::request(sender_mac, Ipv4Addr::UNSPECIFIED, addr)
    }

    /// The news that we use `addr` (RFC 5227 §2.3).
    pub fn announcement(sender_mac: MacAddr, addr: Ipv4Addr) -> Self {
        Self::request(sender_mac, addr, addr)
    }

    /// The answer of a station at `mac` to this request.
    #[must_use]
    pub fn reply(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Whether this is a probe: its sender has no address yet, and none is to be learnt from it.
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender_ip.is_unspecified()
    }

    /// Whether this announces the sender's own address.
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip && !self.sender_ip.is_unspecified()
    }

    /// Validates a packet.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadField`] (not IPv4 over Ethernet, another operation, a sender that is no single
    /// station or has a multicast or broadcast address).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let Some(p) = bytes.first_chunk::<LEN>() else { return Err(Error::Truncated) };
        if p[..6] != [0, 1, 8, 0, 6, 4] {
            return Err(Error::BadField);
        }
        let operation = match [p[6], p[7]] {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return Err(Error::BadField),
        };
        let sender_mac = MacAddr([p[8], p[9], p[10], p[11], p[12], p[13]]);
        let sender_ip = Ipv4Addr::new(p[14], p[15], p[16], p[17]);
        // RFC 1812 §3.3.2: no belief in an answer that gives a group as a hardware address.
        if !sender_mac.is_unicast() || sender_ip.is_multicast() || sender_ip.is_broadcast() {
            return Err(Error::BadField);
        }
        Ok(Self {
            operation,
            sender_mac,
            sender_ip,
            target_mac: MacAddr([p[18], p[19], p[20], p[21], p[22], p[23]]),
            target_ip: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }

    /// Writes the packet. `buf` must have [`LEN`] bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        buf[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        buf[6..8].copy_from_slice(&operation.to_be_bytes());
        buf[8..14].copy_from_slice(&self.sender_mac.0);
        buf[14..18].copy_from_slice(&self.sender_ip.octets());
        buf[18..24].copy_from_slice(&self.target_mac.0);
        buf[24..28].copy_from_slice(&self.target_ip.octets());
    }
}

#[cfg(test)]
mod tests;
