//! Cookies of TCP Fast Open (RFC 7413 §4.1): those we make as a server, and those that servers gave us.

use std::collections::BTreeMap;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher24;

use crate::config::FastOpenKeys;
use crate::time::{Duration, Instant};

/// A cookie as it stands in the option: 4 to 16 bytes, or none in a request.
pub(crate) type Cookie = ArrayVec<u8, 16>;

/// Losses in a row of SYNs with data after which a server is not tried for a while: the first may be mere chance.
const TOLERATED_LOSSES: u8 = 1;

/// How long that while is; doubled with every further loss (RFC 7413 §4.1.3.1, §7.1: middleboxes that drop such SYNs).
const FIRST_BAN: Duration = Duration::from_secs(60);

/// Most doublings of it: about 17 hours.
const MAX_DOUBLINGS: u8 = 10;

/// What a client's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Made with the key now in force.
    Valid,
    /// Made with the key before: it counts, and the client gets a new one (RFC 7413 §4.1.2).
    Old,
    /// Nothing.
    Invalid,
}

/// Makes and checks the cookies that we hand out.
#[derive(Debug)]
pub(crate) struct CookieKeys {
    keys: FastOpenKeys,
    secret: [u8; 16],
}

impl CookieKeys {
    pub(crate) fn new(keys: FastOpenKeys, secret: [u8; 16]) -> Self {
        Self { keys, secret }
    }

    pub(crate) fn set(&mut self, keys: FastOpenKeys) {
        self.keys = keys;
    }

    /// The key in force and the one before.
    fn in_force(&self, now: Instant) -> ([u8; 16], Option<[u8; 16]>) {
        match &self.keys {
            FastOpenKeys::Fixed { primary, backup } => (*primary, *backup),
            FastOpenKeys::Rotating { every } => {
                let age = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
                let epoch = now.as_nanos() / age;
                let derived = |epoch: u64| {
                    let half = |part: u64| {
                        let mut input = [0; 16];
                        input[..8].copy_from_slice(&epoch.to_le_bytes());
                        input[8..].copy_from_slice(&part.to_le_bytes());
                        SipHasher24::new_with_key(&self.secret).hash(&input).to_le_bytes()
                    };
                    let mut key = [0; 16];
                    key[..8].copy_from_slice(&half(0));
                    key[8..].copy_from_slice(&half(1));
                    key
                };
                (derived(epoch), epoch.checked_sub(1).map(derived))
            }
        }
    }

    /// The cookie that `client` gets from `server` now: 8 bytes, SipHash-2-4 over both addresses as Linux makes it, so
    /// that servers with the same key behind one address take each other's (RFC 7413 §4.1.2, §6.3.4).
    pub(crate) fn cookie(&self, now: Instant, client: IpAddr, server: IpAddr) -> Cookie {
        make(&self.in_force(now).0, client, server)
    }

    /// What a cookie that `client` shows is worth.
    pub(crate) fn check(
        &self,
        now: Instant,
        client: IpAddr,
        server: IpAddr,
        shown: &[u8],
    ) -> Worth {
        let (key, before) = self.in_force(now);
        if same(&make(&key, client, server), shown) {
            Worth::Valid
        } else if before.is_some_and(|key| same(&make(&key, client, server), shown)) {
            Worth::Old
        } else {
            Worth::Invalid
        }
    }
}

fn make(key: &[u8; 16], client: IpAddr, server: IpAddr) -> Cookie {
    let mut input = ArrayVec::<u8, 32>::new();
    for addr in [client, server] {
        match addr {
            IpAddr::V4(a) => input.extend(a.octets()),
            IpAddr::V6(a) => input.extend(a.octets()),
        }
    }
    SipHasher24::new_with_key(key).hash(&input).to_le_bytes().into_iter().collect()
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

/// What we know of a server.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// Empty while it gave none.
    cookie: Cookie,
    /// The MSS it announced (RFC 7413 §4.1.3): what fits on a SYN is known before its SYN-ACK.
    mss: u16,
    /// SYNs with data in a row that were not answered, and when the last was given up.
    losses: u8,
    lost_at: Instant,
    /// When it was used last, in the cache's count of uses.
    used: u64,
}

/// What the next SYN to a server may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Ask for a cookie.
    Request,
    /// Show this cookie; data goes along.
    Use(Cookie),
    /// Do without Fast Open: SYNs with data did not arrive there.
    Refrain,
}

/// The cookies that servers gave us, and which servers are out of reach for Fast Open (RFC 7413 §4.1.3). Bounded: beyond
/// the most entries the one that was used longest ago makes way.
#[derive(Debug)]
pub(crate) struct CookieCache {
    entries: BTreeMap<(IpAddr, IpAddr), Entry>,
    uses: u64,
    max: usize,
}

impl CookieCache {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: BTreeMap::new(), uses: 0, max }
    }

    /// What to do on the next SYN from `local` to `remote`, and the MSS that the server announced last.
    pub(crate) fn advice(
        &mut self,
        now: Instant,
        local: IpAddr,
        remote: IpAddr,
    ) -> (Option<u16>, Advice) {
        let Some(entry) = self.entries.get_mut(&(local, remote)) else {
            return (None, Advice::Request);
        };
        let mss = Some(entry.mss).filter(|mss| *mss > 0);
        self.uses += 1;
        entry.used = self.uses;
        if entry.losses > TOLERATED_LOSSES {
            let doublings = (entry.losses - TOLERATED_LOSSES - 1).min(MAX_DOUBLINGS);
            if now < entry.lost_at + FIRST_BAN * (1 << doublings) {
                return (mss, Advice::Refrain);
            }
        }
        let advice = if entry.cookie.is_empty() {
            Advice::Request
        } else {
            Advice::Use(entry.cookie.clone())
        };
        (mss, advice)
    }

    fn entry(&mut self, local: IpAddr, remote: IpAddr) -> Option<&mut Entry> {
        if self.max == 0 {
            return None;
        }
        let key = (local, remote);
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.used).map(|(key, _)| *key);
            self.entries.remove(&oldest?);
        }
        self.uses += 1;
        let entry = self.entries.entry(key).or_default();
        entry.used = self.uses;
        Some(entry)
    }

    /// A server's SYN-ACK came: `cookie` if it gave one, `mss` if it announced one. `data_acked` says that data on our SYN
    /// arrived: the path lets Fast Open through. A server that gave no cookie is remembered only if `keep` says so.
    pub(crate) fn learn(
        &mut self,
        local: IpAddr,
        remote: IpAddr,
        cookie: Option<Cookie>,
        mss: u16,
        data_acked: bool,
        keep: bool,
    ) {
        if !keep && !self.entries.contains_key(&(local, remote)) {
            return;
        }
        let Some(entry) = self.entry(local, remote) else { return };
        entry.mss = mss;
        if let Some(cookie) = cookie {
            entry.cookie = cookie;
        }
        if data_acked {
            entry.losses = 0;
        }
    }

    /// A SYN with data was not answered in time.
    pub(crate) fn lost(&mut self, now: Instant, local: IpAddr, remote: IpAddr) {
        let Some(entry) = self.entry(local, remote) else { return };
        entry.losses = entry.losses.saturating_add(1);
        entry.lost_at = now;
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(words: [u32; 4]) -> [u8; 16] {
        let mut key = [0; 16];
        for (bytes, word) in key.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        key
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn cookie(text: &str) -> Cookie {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    /// Keys, addresses and cookies as Google's packetdrill scripts have them.
    #[test]
    fn cookies_are_linuxs() {
        let first = key([0xa1a1_a1a1, 0xb2b2_b2b2, 0xc3c3_c3c3, 0xd4d4_d4d4]);
        let second = key([0xa0bf_63f7, 0xed80_3d81, 0xcd64_1d30, 0xcebc_4a90]);
        for (key, client, server, text) in [
            (first, "192.0.2.1", "192.168.0.1", "3021b9d889017eeb"),
            (second, "10.248.0.2", "192.168.0.2", "00abaaabe8e954c2"),
            (second, "10.248.0.3", "192.168.0.2", "1313a2da994a0951"),
            (second, "10.248.0.3", "192.168.0.3", "76d2c1c530f51f79"),
        ] {
            let keys = CookieKeys::new(
                FastOpenKeys::Fixed { primary: key, backup: None },
                Default::default(),
            );
            let made = keys.cookie(Instant::ZERO, addr(client), addr(server));
            assert_eq!(made, cookie(text), "{client} {server}");
        }
    }

    #[test]
    fn keys_rotate_and_the_one_before_still_counts() {
        let day = Duration::from_secs(86_400);
        let keys = CookieKeys::new(FastOpenKeys::Rotating { every: day }, [9; 16]);
        let (client, server) = (addr("2001:db8::1"), addr("2001:db8::2"));
        let shown = keys.cookie(Instant::ZERO + day, client, server);
        let at = |days: u32| keys.check(Instant::ZERO + day * days, client, server, &shown);
        assert_eq!((at(1), at(2), at(3)), (Worth::Valid, Worth::Old, Worth::Invalid));
        let other = addr("2001:db8::3");
        assert_eq!(keys.check(Instant::ZERO + day, other, server, &shown), Worth::Invalid);
        assert_eq!(keys.check(Instant::ZERO + day, client, server, &shown[..4]), Worth::Invalid);
    }

    #[test]
    fn cache_is_bounded_and_forgets_what_was_used_longest_ago() {
        let mut cache = CookieCache::new(2);
        let us = addr("192.0.2.1");
        let them: Vec<IpAddr> = (1..4).map(|n| IpAddr::from([198, 18, 0, n])).collect();
        for to in &them[..2] {
            cache.learn(us, *to, Some(cookie("01020304")), 1400, false, true);
        }
        assert_ne!(cache.advice(Instant::ZERO, us, them[0]).1, Advice::Request);
        cache.learn(us, them[2], Some(cookie("05060708")), 1400, false, true);
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.advice(Instant::ZERO, us, them[1]).1, Advice::Request);
        assert_eq!(
            cache.advice(Instant::ZERO, us, them[2]),
            (Some(1400), Advice::Use(cookie("05060708")))
        );
    }

    #[test]
    fn losses_in_a_row_make_a_growing_pause() {
        let mut cache = CookieCache::new(8);
        let (us, them) = (addr("192.0.2.1"), addr("198.18.0.1"));
        let after = |secs: u64| Instant::ZERO + Duration::from_secs(secs);
        cache.learn(us, them, Some(cookie("01020304")), 1400, false, true);
        cache.lost(after(0), us, them);
        assert_ne!(cache.advice(after(0), us, them).1, Advice::Refrain, "one may be chance");
        cache.lost(after(0), us, them);
        assert_eq!(cache.advice(after(59), us, them).1, Advice::Refrain);
        assert_ne!(cache.advice(after(60), us, them).1, Advice::Refrain);
        cache.lost(after(60), us, them);
        assert_eq!(cache.advice(after(179), us, them).1, Advice::Refrain);
        assert_ne!(cache.advice(after(180), us, them).1, Advice::Refrain);
        cache.learn(us, them, None, 1400, true, true);
        cache.lost(after(180), us, them);
        assert_ne!(cache.advice(after(180), us, them).1, Advice::Refrain);
        for _ in 0..300 {
            cache.lost(after(180), us, them);
        }
        assert_eq!(cache.advice(after(180 + 60 * 1023), us, them).1, Advice::Refrain);
        assert_ne!(cache.advice(after(180 + 60 * 1024), us, them).1, Advice::Refrain);
    }
}
