//! AccECN's option (RFC 9768 §3.2.3): how many bytes arrived with which mark. The counter of packets in the header goes round
//! after eight; the bytes say whether it did.
//!
//! It goes with acknowledgements when a counter changed (§3.2.3.3), with data where a segment has room, and only to a peer that was seen to
//! send one: what strips it on the way, or a peer that does not have it, gets none (§3.2.3.2). Nothing depends on it.

use arrayvec::ArrayVec;
use usernet_wire::tcp::{AccEcn, MAX_OPTIONS_LEN, Options};

use super::connection::Connection;
use super::ecn::{CE, ECT_0, ECT_1, EcnMode};

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
    /// The peer's counter of our CE bytes (`s.ceb`).
    peer_ceb: u32,
    peer: Peer,
}

impl ByteCounters {
    /// Data came with this mark on its packet.
    pub(super) fn came(&mut self, mark: u8, len: u32) {
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

    /// The counters as they are: two of them while nothing came with ECT(1).
    pub(super) fn option(&mut self) -> AccEcn {
        let Counters { e0b, ceb, e1b } = self.came;
        self.told = Some(self.came);
        let mut option = AccEcn::default();
        option.fields.extend([e0b, ceb]);
        if e1b != FIRST {
            option.fields.push(e1b);
        }
        option
    }
}

/// How many packets were marked, where the counter of packets says `delta` or, had it gone round, up to `most`, and `bytes`
/// of theirs (RFC 9768 appendix A.2.2): had it, they would be smaller than half a segment each, which nobody believes.
pub(super) fn plausible(delta: u32, most: u32, bytes: u32, mss: u32) -> u32 {
    if bytes < most.saturating_mul(mss / 2) { delta } else { most }
}

impl Connection {
    /// Puts the option to a segment, if the peer is to hear of a change and the option takes no more than `room` bytes.
    pub(super) fn add_acc_ecn(&mut self, options: &mut Options, room: usize) {
        let Some(ecn) = self.ecn.live() else { return };
        let bytes = &mut ecn.bytes;
        let changed = Some(bytes.came) != bytes.told;
        if ecn.mode != EcnMode::Accurate || bytes.peer != Peer::Sends || !changed {
            return;
        }
        let told = bytes.told;
        let marked = bytes.came.ceb != told.map_or(0, |told| told.ceb);
        let with = Options { acc_ecn: Some(bytes.option()), ..options.clone() };
        // SACK blocks come first, unless there is congestion to tell of (§3.2.3.3: it may be left out for want of room).
        let bare = Options { sack: ArrayVec::new(), ..with.clone() };
        let keeps_blocks = bare.len() + 4 + 8 * options.sack.len() <= MAX_OPTIONS_LEN;
        let fits = with.len() <= options.len() + room;
        if fits && (options.sack.is_empty() || marked || keeps_blocks) {
            *options = with;
        } else {
            self.ecn.bytes.told = told;
        }
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
        assert_eq!(bytes.option().ceb(), Some((20_000 * 1460) & MASK));
    }
}
