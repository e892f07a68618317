//! Which of several stacks on one address a packet is for: each owns a share of the TCP connections.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::quoted::Quoted;

/// Bytes of an ICMP header, of either version.
const ICMP_HEADER_LEN: usize = 8;

/// Shares TCP connections out between stacks that have the same addresses: by a keyed hash of the peer's address and both
/// ports, so that peers cannot choose whose they are. What is not TCP is the first one's, fragments too; errors about a
/// connection are its owner's.
#[derive(Clone)]
pub struct Steering {
    stacks: usize,
    key: [u8; 16],
}

impl Steering {
    /// Between so many stacks, at least one.
    pub fn new(stacks: usize, key: [u8; 16]) -> Self {
        Self { stacks: stacks.max(1), key }
    }

    /// The stack, from 0, that an IP packet that came in is for.
    pub fn owner(&self, packet: &[u8]) -> usize {
        self.owner_within(packet, |_| true)
    }

    /// As [`owner`](Self::owner), of connections of those local addresses that are `shared` out; the others' are the first
    /// one's.
    pub fn owner_within(&self, packet: &[u8], shared: impl FnOnce(IpAddr) -> bool) -> usize {
        match self.flow(packet) {
            Some((local, remote, port)) if shared(local) => self.owner_of(remote, port),
            _ => 0,
        }
    }

    /// The stack that has the connection with `remote` from the local port.
    pub fn owner_of(&self, remote: SocketAddr, local_port: u16) -> usize {
        let mut hash = SipHasher13::new_with_key(&self.key);
        match remote.ip() {
            IpAddr::V4(ip) => hash.write(&ip.octets()),
            IpAddr::V6(ip) => hash.write(&ip.octets()),
        }
        hash.write_u32(u32::from(remote.port()) << 16 | u32::from(local_port));
        // Of the many bits of a hash the remainder is even enough.
        (hash.finish() % self.stacks as u64) as usize
    }

    /// The connection that a packet is of: our address, the other end, and our port.
    fn flow(&self, bytes: &[u8]) -> Option<(IpAddr, SocketAddr, u16)> {
        let packet = Packet::parse(bytes).ok()?;
        if self.stacks == 1 || packet.fragment.is_some() {
            return None;
        }
        let body = bytes.get(packet.payload_offset..)?;
        let ports = |body: &[u8]| {
            let [a, b, c, d] = *body.first_chunk()?;
            Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
        };
        let is_error = match packet.protocol {
            Protocol::TCP => {
                let (remote, local) = ports(body)?;
                return Some((packet.dst, SocketAddr::new(packet.src, remote), local));
            }
            // RFC 792: destination unreachable, source quench, time exceeded, parameter problem.
            Protocol::ICMP => matches!(body.first(), Some(3 | 4 | 11 | 12)),
            // RFC 4443 §2.1: those below 128.
            Protocol::ICMPV6 => matches!(body.first(), Some(0..128)),
            _ => false,
        };
        if !is_error {
            return None;
        }
        let quoted = Quoted::parse(body.get(ICMP_HEADER_LEN..)?).ok()?;
        let (local, remote) = ports(quoted.payload).filter(|_| quoted.protocol == Protocol::TCP)?;
        Some((quoted.src, SocketAddr::new(quoted.dst, remote), local))
    }
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering").field("stacks", &self.stacks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(ports: [u16; 2]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([198, 18, 0, 1, 198, 18, 0, 2]);
        packet.extend(ports.map(u16::to_be_bytes).concat());
        packet.resize(40, 0);
        sum(packet)
    }

    fn sum(mut packet: Vec<u8>) -> Vec<u8> {
        packet[10..12].fill(0);
        let sum = usernet_wire::checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    #[test]
    fn connections_and_errors_about_them_have_one_owner() {
        let steering = Steering::new(4, [3; 16]);
        let mut owned = [0; 4];
        for port in 1000..2000 {
            let owner = steering.owner(&tcp([port, 80]));
            owned[owner] += 1;
            assert_eq!(owner, steering.owner_of(SocketAddr::from(([198, 18, 0, 1], port)), 80));
            // What we sent is quoted by a router in between.
            let mut ours = tcp([80, port]);
            ours[12..20].copy_from_slice(&[198, 18, 0, 2, 198, 18, 0, 1]);
            let mut error = vec![0x45, 0, 0, 68, 0, 0, 0, 0, 64, 1, 0, 0];
            error.extend([192, 0, 2, 1, 198, 18, 0, 2, 3, 4, 0, 0, 0, 0, 5, 0]);
            error.extend(sum(ours));
            assert_eq!(steering.owner(&sum(error)), owner);
        }
        assert!(owned.iter().all(|n| *n > 150), "{owned:?}");
    }

    #[test]
    fn the_rest_is_the_first_ones() {
        let steering = Steering::new(64, [3; 16]);
        for port in 1000..1100 {
            let mut fragment = tcp([port, 80]);
            fragment[6] = 0x20;
            let mut udp = tcp([port, 80]);
            udp[9] = 17;
            let short = tcp([port, 80])[..22].to_vec();
            for packet in [sum(fragment), sum(udp), short, Vec::new()] {
                assert_eq!(steering.owner(&packet), 0);
            }
        }
    }
}
