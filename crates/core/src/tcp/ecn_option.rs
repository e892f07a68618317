//! AccECN's option (RFC 9768 §3.2.3): how many bytes arrived with which mark. The counter of packets in the header goes round
//! after eight; the bytes say whether it did.
//!
//! It goes with acknowledgements when a counter changed (§3.2.3.3), with data where a segment has room, three times a round
//! trip also where it has none, and only to a peer that was seen to send one: what strips it on the way, or a peer that does
//! not have it, gets none (§3.2.3.2). Nothing depends on it.

use arrayvec::ArrayVec;
use usernet_wire::tcp::{AccEcn, MAX_OPTIONS_LEN, Options};

use super::connection::Connection;
use super::ecn::{CE, ECT_0, ECT_1, EcnMode};
use crate::time::Instant;

/// All three counters in the option, with its padding, bytes.
const FULL_LEN: u32 = 12;

/// Parts of a round trip after which it goes in full again: three times a round trip is asked for (§3.2.3.3), whenever
/// segments happen to go.
const BEACONS: u32 = 4;

/// Counters are of 24 bits.
const MASK: u32 = 0xff_ffff;

/// What both sides' counters of ECT bytes begin with (§3.2.1): a zero is none that was sent.
const FIRST: u32 = 1;

/// The counters of one direction, bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    e0b: u32,
    ceb: u32,
    e1b: u32,
}

impl Default for Counters {
    fn default() -> Self {
        Self { e0b: FIRST, ceb: 0, e1b: FIRST }
    }
}

/// Whether the peer's option gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Peer {
    /// Nothing is known before the handshake is over.
    #[default]
    Unknown,
    /// It does, so ours is taken to.
    Sends,
    /// It does not, or is mangled: neither side's is used.
    Silent,
}

/// Both directions' counters.
#[derive(Debug, Default)]
pub(super) struct ByteCounters {
    /// What came (`r.e0b` and its kin), and what the peer was told of it last.
    came: Counters,
    told: Option<Counters>,
    /// Data came since, whatever its mark.
    news: bool,
    /// When all three went last.
    full_at: Option<Instant>,
    /// The peer's counter of our CE bytes (`s.ceb`).
    peer_ceb: u32,
    peer: Peer,
}

impl ByteCounters {
    /// Data came with this mark on its packet.
    pub(super) fn came(&mut self, mark: u8, len: u32) {
        self.news |= len > 0;
        let counter = match mark {
            ECT_0 => &mut self.came.e0b,
            ECT_1 => &mut self.came.e1b,
            CE => &mut self.came.ceb,
            _ => return,
        };
        *counter = counter.wrapping_add(len) & MASK;
    }

    /// The segment of the handshake that would be the first with the peer's option (§3.2.3.2.1, §3.2.3.2.2).
    pub(super) fn first_of_peer(&mut self, option: Option<&AccEcn>) {
        self.peer = match option {
            // §3.2.3.2.4: counters that are zero at the start were cleared on the way.
            Some(option) if option.e0b() != Some(0) && option.e1b() != Some(0) => Peer::Sends,
            _ => Peer::Silent,
        };
        if self.peer == Peer::Sends {
            self.peer_ceb = option.and_then(AccEcn::ceb).unwrap_or(0);
        }
    }

    /// What the peer tells: bytes of ours that arrived marked as CE since it told last, if it does.
    pub(super) fn told(&mut self, option: Option<&AccEcn>) -> Option<u32> {
        let ceb = option.filter(|_| self.peer == Peer::Sends)?.ceb()?;
        let bytes = ceb.wrapping_sub(self.peer_ceb) & MASK;
        if bytes > MASK / 2 {
            // An older acknowledgement.
            return None;
        }
        self.peer_ceb = ceb;
        Some(bytes)
    }

    /// The first `n` counters as they are (§3.2.3.3: it is cut at its tail alone).
    fn option(&self, n: usize) -> AccEcn {
        let Counters { e0b, ceb, e1b } = self.came;
        AccEcn { order1: false, fields: [e0b, ceb, e1b].into_iter().take(n).collect() }
    }

    /// The first counters, of a SYN-ACK: in full where there is `room` (§3.2.3.3).
    pub(super) fn first(&mut self, room: bool) -> AccEcn {
        self.told = Some(self.came);
        self.option(if room { 3 } else { 2 })
    }

    /// The least counters that tell all that changed; `None` when nothing did.
    fn least(&self) -> Option<usize> {
        let told = self.told.unwrap_or_default();
        if self.came.e1b != told.e1b {
            return Some(3);
        }
        if self.came.ceb != told.ceb {
            return Some(2);
        }
        (self.came.e0b != told.e0b || self.told.is_none()).then_some(1)
    }
}

/// How many packets were marked, where the counter of packets says `delta` or, had it gone round, up to `most`, and `bytes`
/// of theirs (RFC 9768 appendix A.2.2): had it, they would be smaller than half a segment each, which nobody believes.
pub(super) fn plausible(delta: u32, most: u32, bytes: u32, mss: u32) -> u32 {
    if bytes < most.saturating_mul(mss / 2) { delta } else { most }
}

impl Connection {
    /// Whether the option is due in full, for all that came: a part of a round trip has passed since it went (§3.2.3.3).
    fn is_beacon_due(&mut self, now: Instant) -> bool {
        let srtt = self.state.sender().map(|snd| snd.rtt.srtt());
        let Some(ecn) = self.ecn.live() else { return false };
        let ByteCounters { news, full_at, peer, .. } = ecn.bytes;
        let passed = |at| srtt.is_none_or(|srtt| now.since(at) * BEACONS >= srtt);
        ecn.mode == EcnMode::Accurate && peer == Peer::Sends && news && full_at.is_none_or(passed)
    }

    /// Bytes that new data leaves to the option, in a segment that would otherwise be full: none but for its beacon, since
    /// the header has a counter too.
    pub(super) fn acc_ecn_reserve(&mut self, now: Instant) -> u32 {
        if self.ecn.live().is_some() && self.is_beacon_due(now) { FULL_LEN } else { 0 }
    }

    /// Puts the option to a segment, if the peer is to hear of a change or it is time, and it takes no more than `room`
    /// bytes.
    pub(super) fn add_acc_ecn(&mut self, now: Instant, options: &mut Options, room: usize) {
        if !self.ecn.is_live() {
            return;
        }
        let beacon = self.is_beacon_due(now);
        let Some(ecn) = self.ecn.live() else { return };
        let bytes = &mut ecn.bytes;
        if ecn.mode != EcnMode::Accurate || bytes.peer != Peer::Sends {
            return;
        }
        let Some(least) = bytes.least().or(beacon.then_some(3)) else { return };
        let marked = bytes.came.ceb != bytes.told.unwrap_or_default().ceb;
        let with = |n| Options { acc_ecn: Some(bytes.option(n)), ..options.clone() };
        let fits = |with: &Options| with.len() <= options.len() + room;
        // SACK blocks come first (§3.2.3.3), and all counters before some.
        let keeps_blocks = |with: &Options| {
            let bare = Options { sack: ArrayVec::new(), ..with.clone() };
            options.sack.is_empty() || bare.len() + 4 + 8 * options.sack.len() <= MAX_OPTIONS_LEN
        };
        let fitting = (least..=3).rev().map(with).find(|with| fits(with) && keeps_blocks(with));
        // But one block less is shown where there is congestion to tell of.
        let Some(chosen) = fitting.or_else(|| marked.then(|| with(least)).filter(fits)) else {
            return;
        };
        if chosen.acc_ecn.as_ref().is_some_and(|option| option.fields.len() == 3) {
            bytes.full_at = Some(now);
            bytes.news = false;
        }
        bytes.told = Some(bytes.came);
        *options = chosen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_whether_the_counter_of_packets_went_round() {
        // Ten packets were acknowledged, the counter moved on by two: two or ten of them were marked.
        assert_eq!(plausible(2, 10, 2 * 1460, 1460), 2);
        assert_eq!(plausible(2, 10, 10 * 1460, 1460), 10);
        assert_eq!(plausible(0, 8, 0, 1460), 0);
    }

    #[test]
    fn counters_wrap_and_old_ones_are_ignored() {
        let option = |ceb: u32| {
            let mut option = AccEcn::default();
            option.fields.extend([FIRST, ceb & MASK]);
            option
        };
        let mut bytes = ByteCounters::default();
        bytes.first_of_peer(Some(&option(0)));
        assert_eq!(bytes.told(Some(&option(MASK - 10))), None, "as if it had gone back");
        bytes.peer_ceb = MASK - 10;
        assert_eq!(bytes.told(Some(&option(90))), Some(101));
        assert_eq!(bytes.told(Some(&option(80))), None);
        assert_eq!(bytes.told(None), None);
        for _ in 0..20_000 {
            bytes.came(CE, 1460);
        }
        assert_eq!(bytes.option(2).ceb(), Some((20_000 * 1460) & MASK));
    }
}
