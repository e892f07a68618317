//! What is known of the paths to destinations: their MTU, as ICMP told it (RFC 1191, RFC 8201). Bounded, and forgotten
//! after a while so that a path that became wider is found out.

use std::collections::HashMap;
use std::net::IpAddr;

use super::KeyedHash;
use crate::time::{Duration, Instant};

/// Destinations remembered; beyond it the one that expires first is forgotten.
const MAX: usize = 1024;

/// How long a path's MTU is believed (RFC 1191 §6.3, RFC 8201 §4: 10 minutes).
const LIFETIME: Duration = Duration::from_secs(600);

/// Path MTUs by destination.
#[derive(Debug)]
pub(super) struct PathMtus(HashMap<IpAddr, (u16, Instant), KeyedHash>);

impl PathMtus {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self(HashMap::with_hasher(hash))
    }

    /// The path's MTU, bytes, when it is known.
    pub(super) fn get(&self, now: Instant, dst: IpAddr) -> Option<u16> {
        self.0.get(&dst).filter(|(_, until)| *until > now).map(|(mtu, _)| *mtu)
    }

    /// Takes what a router reported about a packet of `len` bytes of ours, which had been validated; the path's MTU now.
    pub(super) fn report(&mut self, now: Instant, dst: IpAddr, mtu: u32, current: u16) -> u16 {
        // RFC 8201 §4: never below 1,280. No IPv4 path of today has less than 552 (Linux `min_pmtu`), which is also what
        // is assumed of routers older than RFC 1191 that do not say.
        let least = if dst.is_ipv6() { 1280 } else { 552 };
        let mtu = mtu.clamp(least, u32::from(u16::MAX)) as u16;
        // RFC 8201 §4: a report never makes the path wider.
        if mtu >= current {
            return current;
        }
        if self.0.len() >= MAX && !self.0.contains_key(&dst) {
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(dst, _)| *dst);
            first.map(|dst| self.0.remove(&dst));
        }
        self.0.insert(dst, (mtu, now + LIFETIME));
        mtu
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn is_bounded_and_forgets() {
        let mut mtus = PathMtus::new(KeyedHash([1; 16]));
        let dst = |i: u32| IpAddr::V4(Ipv4Addr::from(0xc612_0000 + i));
        for i in 0..5000 {
            assert_eq!(mtus.report(Instant::from_millis(i.into()), dst(i), 1400, 1500), 1400);
        }
        assert_eq!(mtus.len(), MAX);
        let now = Instant::from_millis(5000);
        assert_eq!(mtus.get(now, dst(4999)), Some(1400));
        assert_eq!(mtus.get(now, dst(0)), None);
        assert_eq!(mtus.get(now + LIFETIME, dst(4999)), None);
    }

    #[test]
    fn does_not_believe_what_cannot_be() {
        let mut mtus = PathMtus::new(KeyedHash([1; 16]));
        let now = Instant::from_millis(1);
        let v4 = "192.0.2.1".parse().unwrap();
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(mtus.report(now, v4, 0, 1500), 552);
        assert_eq!(mtus.report(now, v6, 68, 1500), 1280);
        assert_eq!(mtus.report(now, v4, 9000, 1500), 1500, "it never becomes wider");
        assert_eq!(mtus.get(now, v4), Some(552));
    }
}
