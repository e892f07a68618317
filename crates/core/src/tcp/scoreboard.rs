//! What was sent and not acknowledged: one entry per segment as it was handed to the device, in sequence order, with what
//! is known of its fate (RFC 6675 §3: the scoreboard).

use std::collections::VecDeque;

use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use crate::time::{Duration, Instant};

/// Duplicate acknowledgements, or segments SACKed above, that make a segment lost (RFC 5681 §3.2, RFC 6675 §2).
pub(crate) const DUP_THRESH: u32 = 3;

/// A sent segment.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Its first sequence number.
    pub(crate) seq: SeqNumber,
    /// Sequence space it takes: payload bytes, and one for a FIN.
    pub(crate) len: u32,
    /// Whether it carries the FIN.
    pub(crate) fin: bool,
    /// When it was sent last.
    sent_at: Instant,
    /// The peer has it.
    sacked: bool,
    /// It is deemed lost (since it was sent first).
    lost: bool,
    /// Lost, and sent again since.
    retransmitted: bool,
    /// Was ever sent again: Karn's rule forbids to time it.
    ever_retransmitted: bool,
}

impl Sent {
    /// Where it ends.
    pub(crate) fn end(&self) -> SeqNumber {
        self.seq + self.len
    }
}

/// What an acknowledgement told of the scoreboard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivered {
    /// Round-trip time of the newest delivered segment that was sent only once.
    pub(crate) rtt: Option<Duration>,
    /// Sequence space newly SACKed.
    pub(crate) sacked: u32,
}

impl Delivered {
    fn sample(&mut self, now: Instant, sent: &Sent) {
        if !sent.ever_retransmitted {
            let rtt = now.since(sent.sent_at);
            self.rtt = Some(self.rtt.map_or(rtt, |r| r.min(rtt)));
        }
    }
}

/// The scoreboard.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    segments: VecDeque<Sent>,
    /// Sums over the entries, bytes of sequence space.
    outstanding: u32,
    sacked: u32,
    lost: u32,
    retransmitted: u32,
}

impl Scoreboard {
    /// Whether everything sent was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes in flight: sent, and neither SACKed nor lost without having been sent again (RFC 6675 §4, "pipe").
    pub(crate) fn pipe(&self) -> u32 {
        self.outstanding - self.sacked - self.lost + self.retransmitted
    }

    /// Bytes deemed lost and not sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.lost - self.retransmitted
    }

    /// A new segment was sent.
    pub(crate) fn sent(&mut self, now: Instant, seq: SeqNumber, len: u32, fin: bool) {
        self.outstanding += len;
        self.segments.push_back(Sent {
            seq,
            len,
            fin,
            sent_at: now,
            sacked: false,
            lost: false,
            retransmitted: false,
            ever_retransmitted: false,
        });
    }

    /// Everything before `una` was acknowledged.
    pub(crate) fn acknowledge(&mut self, now: Instant, una: SeqNumber, delivered: &mut Delivered) {
        while let Some(front) = self.segments.front_mut() {
            if front.end().le(una) {
                let sent = front.clone();
                if !sent.sacked {
                    delivered.sample(now, &sent);
                }
                self.forget(&sent, sent.len);
                self.segments.pop_front();
            } else if front.seq.lt(una) {
                // Part of a large segment.
                let n = una.since(front.seq);
                front.seq = una;
                front.len -= n;
                let sent = front.clone();
                if !sent.sacked {
                    delivered.sample(now, &sent);
                }
                self.forget(&sent, n);
                break;
            } else {
                break;
            }
        }
    }

    fn forget(&mut self, sent: &Sent, n: u32) {
        self.outstanding -= n;
        self.sacked -= if sent.sacked { n } else { 0 };
        self.lost -= if sent.lost { n } else { 0 };
        self.retransmitted -= if sent.retransmitted { n } else { 0 };
    }

    /// The peer has these blocks. Blocks outside `una..nxt` are ignored (RFC 2883 reports below `una`; above `nxt` is a
    /// lie). A block that covers part of a segment counts for the whole MSS-sized pieces it covers, so that a hostile peer
    /// cannot shred the scoreboard.
    pub(crate) fn sack(
        &mut self,
        now: Instant,
        blocks: &[SackBlock],
        una: SeqNumber,
        nxt: SeqNumber,
        mss: u32,
        delivered: &mut Delivered,
    ) {
        for &(left, right) in blocks {
            if left.lt(una) || !left.lt(right) || right.gt(nxt) {
                continue;
            }
            let mut i = self.segments.partition_point(|s| s.end().le(left));
            while let Some(segment) = self.segments.get(i) {
                if segment.seq.ge(right) {
                    break;
                }
                if segment.sacked {
                    i += 1;
                    continue;
                }
                let (seq, len, end) = (segment.seq, segment.len, segment.end());
                // The covered part, in whole pieces of an MSS counted from the segment's start.
                let from = if left.le(seq) { 0 } else { left.since(seq).next_multiple_of(mss) };
                let to = if right.ge(end) { len } else { right.since(seq) / mss * mss };
                if from >= to {
                    i += 1;
                    continue;
                }
                if to < len {
                    self.split(i, to);
                }
                if from > 0 {
                    self.split(i, from);
                    i += 1;
                }
                let segment = &mut self.segments[i];
                let (was_lost, was_retransmitted, n) =
                    (segment.lost, segment.retransmitted, segment.len);
                delivered.sample(now, segment);
                segment.sacked = true;
                segment.lost = false;
                segment.retransmitted = false;
                self.sacked += n;
                self.lost -= if was_lost { n } else { 0 };
                self.retransmitted -= if was_retransmitted { n } else { 0 };
                delivered.sacked += n;
                i += 1;
            }
        }
    }

    /// Cuts entry `i` so that its first part is `at` long.
    fn split(&mut self, i: usize, at: u32) {
        let first = &mut self.segments[i];
        let mut second = first.clone();
        second.seq += at;
        second.len -= at;
        first.len = at;
        first.fin = false;
        self.segments.insert(i + 1, second);
    }

    /// Marks as lost what has enough SACKed above it (RFC 6675 §4, IsLost). Returns whether anything new was.
    pub(crate) fn mark_lost_by_sack(&mut self, mss: u32) -> bool {
        if self.sacked == 0 {
            return false;
        }
        let mut above = 0u32;
        let mut found = false;
        for segment in self.segments.iter_mut().rev() {
            if segment.sacked {
                above += segment.len;
            } else if above > (DUP_THRESH - 1) * mss && !segment.lost {
                segment.lost = true;
                self.lost += segment.len;
                found = true;
            }
        }
        found
    }

    /// Marks the first segment as lost, `mss` bytes of it. Returns whether that was news.
    pub(crate) fn mark_front_lost(&mut self, mss: u32) -> bool {
        match self.segments.front() {
            Some(front) if !front.sacked && !front.lost => {
                if front.len > mss {
                    self.split(0, mss);
                }
                let front = &mut self.segments[0];
                front.lost = true;
                self.lost += front.len;
                true
            }
            _ => false,
        }
    }

    /// The timer ran out: everything the peer does not have is lost (RFC 6675 §5.1), what was sent again included. If the
    /// peer SACKed the very first byte without acknowledging it, it has reneged (RFC 2018 §8): its word counts no more.
    pub(crate) fn mark_all_lost(&mut self) {
        let reneged = self.segments.front().is_some_and(|s| s.sacked);
        self.sacked = 0;
        self.lost = 0;
        self.retransmitted = 0;
        for segment in &mut self.segments {
            segment.sacked &= !reneged;
            segment.lost = !segment.sacked;
            segment.retransmitted = false;
            if segment.sacked {
                self.sacked += segment.len;
            } else {
                self.lost += segment.len;
            }
        }
    }

    /// The first segment that is to be sent again, cut to `max` bytes.
    pub(crate) fn next_lost(&mut self, max: u32) -> Option<Sent> {
        if self.lost == self.retransmitted {
            return None;
        }
        let i = self.segments.iter().position(|s| s.lost && !s.retransmitted)?;
        if self.segments[i].len > max {
            self.split(i, max);
        }
        Some(self.segments[i].clone())
    }

    /// The segment at `seq` was sent again.
    pub(crate) fn retransmitted(&mut self, now: Instant, seq: SeqNumber) {
        let i = self.segments.partition_point(|s| s.seq.lt(seq));
        if let Some(segment) = self.segments.get_mut(i) {
            debug_assert_eq!(segment.seq, seq);
            segment.sent_at = now;
            segment.ever_retransmitted = true;
            if segment.lost && !segment.retransmitted {
                segment.retransmitted = true;
                self.retransmitted += segment.len;
            }
        }
    }

    /// Whether the first segment lies below something the peer has.
    pub(crate) fn front_is_hole(&self) -> bool {
        self.sacked > 0 && self.segments.front().is_some_and(|s| !s.sacked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;
    const BASE: SeqNumber = SeqNumber(u32::MAX - 250);

    fn board(segments: u32) -> Scoreboard {
        let mut b = Scoreboard::default();
        for i in 0..segments {
            b.sent(Instant::from_millis(u64::from(i)), BASE + i * MSS, MSS, false);
        }
        b
    }

    fn sack(b: &mut Scoreboard, blocks: &[(u32, u32)]) -> u32 {
        let blocks: Vec<SackBlock> = blocks.iter().map(|(l, r)| (BASE + *l, BASE + *r)).collect();
        let mut d = Delivered::default();
        b.sack(Instant::from_millis(50), &blocks, BASE, BASE + 100_000, MSS, &mut d);
        check(b);
        d.sacked
    }

    fn check(b: &Scoreboard) {
        let sum =
            |f: fn(&Sent) -> bool| b.segments.iter().filter(|s| f(s)).map(|s| s.len).sum::<u32>();
        assert_eq!(b.outstanding, sum(|_| true));
        assert_eq!(b.sacked, sum(|s| s.sacked));
        assert_eq!(b.lost, sum(|s| s.lost));
        assert_eq!(b.retransmitted, sum(|s| s.retransmitted));
        assert!(b.segments.iter().all(|s| !(s.sacked && s.lost) && s.len > 0));
    }

    #[test]
    fn three_segments_sacked_above_make_a_loss() {
        let mut b = board(6);
        assert_eq!(sack(&mut b, &[(100, 300)]), 200);
        assert!(!b.mark_lost_by_sack(MSS));
        assert_eq!(sack(&mut b, &[(100, 400)]), 100);
        assert!(b.mark_lost_by_sack(MSS));
        check(&b);
        assert_eq!((b.pipe(), b.lost()), (200, 100));
        let lost = b.next_lost(1000).unwrap();
        assert_eq!(lost.seq, BASE);
        b.retransmitted(Instant::from_millis(60), BASE);
        check(&b);
        assert_eq!(b.pipe(), 300);
        assert!(b.next_lost(1000).is_none());
        let mut d = Delivered::default();
        b.acknowledge(Instant::from_millis(70), BASE + 400, &mut d);
        check(&b);
        assert_eq!(
            d.rtt, None,
            "Karn: the retransmitted segment gives no sample, SACKed ones were timed before"
        );
    }

    #[test]
    fn part_of_a_large_segment_is_split_at_whole_pieces() {
        let mut b = Scoreboard::default();
        b.sent(Instant::ZERO, BASE, 1000, true);
        assert_eq!(sack(&mut b, &[(150, 420)]), 200);
        assert_eq!(b.segments.len(), 3);
        assert_eq!(b.segments[1].seq, BASE + 200);
        assert!(b.segments[2].fin && !b.segments[0].fin);
        for i in 0..1000 {
            sack(&mut b, &[(i, i + 1)]);
        }
        assert_eq!(b.segments.len(), 3, "one-byte blocks tear nothing");
    }

    #[test]
    fn lies_are_ignored() {
        let mut b = board(3);
        let mut d = Delivered::default();
        for block in [(BASE - 10, BASE + 100), (BASE + 200, BASE + 100), (BASE + 100, BASE + 301)] {
            b.sack(Instant::ZERO, &[block], BASE, BASE + 300, MSS, &mut d);
        }
        assert_eq!((d.sacked, b.pipe()), (0, 300));
    }

    #[test]
    fn reneging_is_survived() {
        let mut b = board(4);
        sack(&mut b, &[(0, 200)]);
        b.mark_all_lost();
        check(&b);
        assert_eq!((b.sacked, b.lost()), (0, 400));
    }
}
