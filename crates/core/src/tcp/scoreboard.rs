//! What was sent and not acknowledged: one entry per segment as it was handed to the device, in sequence order, with what
//! is known of its fate (RFC 6675 §3: the scoreboard), and the time-based loss detection over it (RFC 8985 RACK).

use std::collections::VecDeque;

use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use super::rate::{Newest, RateSampler, Snapshot};
use crate::time::{Duration, Instant};

/// Duplicate acknowledgements, or segments SACKed above, that make a segment lost (RFC 5681 §3.2, RFC 6675 §2).
pub(crate) const DUP_THRESH: u32 = 3;

/// Recoveries without reordering after which the reordering window shrinks again (RFC 8985 §6.2 step 4).
const REO_WND_PERSIST: u8 = 16;

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
    /// Its place in the order of all transmissions: what was sent at the same time was still sent one after another.
    order: u64,
    /// The peer has it.
    sacked: bool,
    /// It is deemed lost (since it was sent first).
    lost: bool,
    /// Lost, and sent again since.
    retransmitted: bool,
    /// Was ever sent again: Karn's rule forbids to time it.
    ever_retransmitted: bool,
    /// The connection's delivery as it was then.
    snapshot: Snapshot,
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
    /// Sequence space newly acknowledged, SACKed before or not.
    pub(crate) acked: u32,
    /// Of that, SACKed before.
    pub(crate) acked_sacked: u32,
    /// The lowest of what arrived that was sent only once: its original transmission did (RFC 5682).
    pub(crate) original_start: Option<SeqNumber>,
    /// The last sent of what arrived.
    newest: Option<(u64, SeqNumber, Newest)>,
}

impl Delivered {
    /// Sequence space that is known to have arrived since the acknowledgement before.
    pub(crate) fn bytes(&self) -> u32 {
        self.acked - self.acked_sacked + self.sacked
    }

    /// The last sent of what arrived: what a delivery-rate sample is about.
    pub(crate) fn newest(&self) -> Option<Newest> {
        self.newest.map(|(_, _, newest)| newest)
    }
}

/// A segment that was just deemed lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostSegment {
    pub(crate) seq: SeqNumber,
    pub(crate) len: u32,
    pub(crate) snapshot: Snapshot,
    /// C.lost with it.
    pub(crate) total_lost: u64,
}

/// What the newest delivered segment says of those sent before it (RFC 8985 §5.2).
#[derive(Clone, Copy, Debug)]
struct Rack {
    /// Its place in the order of transmissions, and where it ends: pieces of one transmission share the former.
    sent: (u64, SeqNumber),
    /// Its round-trip time.
    rtt: Duration,
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
    /// Entries that are SACKed.
    sacked_entries: u32,
    rack: Option<Rack>,
    /// The highest sequence number that was delivered (RACK.fack).
    fack: Option<SeqNumber>,
    /// Reordering was seen on this connection.
    reordering: bool,
    /// The reordering window, in quarters of the least RTT, less one (RACK.reo_wnd_mult).
    reo_wnd_extra: u8,
    reo_wnd_persist: u8,
    /// Transmissions so far.
    transmissions: u64,
    /// The furthest that a segment arrived behind later ones, bytes, and how often one did.
    reorder_span: u32,
    reorder_seen: u32,
    /// Delivery-rate samples.
    pub(crate) rate: RateSampler,
    /// Whether congestion control looks at every lost segment, and those it has not seen; at most what is in flight.
    pub(crate) watch_losses: bool,
    losses: Vec<LostSegment>,
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

    /// Bytes deemed lost, sent again or not (`lost_out` in Linux).
    pub(crate) fn deemed_lost(&self) -> u32 {
        self.lost
    }

    /// Bytes the peer has above a gap.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Bytes sent again that are in flight (`retrans_out` in Linux).
    pub(crate) fn retransmitted_bytes(&self) -> u32 {
        self.retransmitted
    }

    /// How far segments were seen to arrive behind later ones, bytes (zero: never), and how often.
    pub(crate) fn reordering(&self) -> (u32, u32) {
        (self.reorder_span, self.reorder_seen)
    }

    /// Takes a segment that was deemed lost since the last call, if losses are watched.
    pub(crate) fn take_losses(&mut self) -> Vec<LostSegment> {
        std::mem::take(&mut self.losses)
    }

    /// Counts a segment that is deemed lost from now on.
    fn count_loss(&mut self, seq: SeqNumber, len: u32, snapshot: Snapshot) {
        self.rate.lost += u64::from(len);
        if self.watch_losses {
            self.losses.push(LostSegment { seq, len, snapshot, total_lost: self.rate.lost });
        }
    }

    /// A new segment was sent.
    pub(crate) fn sent(&mut self, now: Instant, seq: SeqNumber, len: u32, fin: bool) {
        let outstanding = !self.segments.is_empty();
        self.outstanding += len;
        let snapshot = self.rate.on_sent(now, outstanding, self.pipe());
        self.transmissions += 1;
        self.segments.push_back(Sent {
            seq,
            len,
            fin,
            sent_at: now,
            order: self.transmissions,
            sacked: false,
            lost: false,
            retransmitted: false,
            ever_retransmitted: false,
            snapshot,
        });
    }

    /// Everything before `una` was acknowledged. `echo` is how long ago the transmission that the acknowledgement answers
    /// was sent, by its timestamp, if any.
    pub(crate) fn acknowledge(
        &mut self,
        now: Instant,
        una: SeqNumber,
        min_rtt: Duration,
        echo: Option<Duration>,
        delivered: &mut Delivered,
    ) {
        while let Some(front) = self.segments.front_mut() {
            let whole = front.end().le(una);
            if !whole && front.seq.ge(una) {
                break;
            }
            // Part of a large segment may be acknowledged: its front goes.
            let n = if whole { front.len } else { una.since(front.seq) };
            let mut part = front.clone();
            part.len = n;
            if whole {
                self.segments.pop_front();
            } else {
                front.seq = una;
                front.len -= n;
            }
            delivered.acked += n;
            if part.sacked {
                delivered.acked_sacked += n;
            } else {
                self.deliver(now, &part, min_rtt, echo, delivered);
            }
            self.outstanding -= n;
            self.sacked -= if part.sacked { n } else { 0 };
            self.sacked_entries -= u32::from(part.sacked && whole);
            self.lost -= if part.lost { n } else { 0 };
            self.retransmitted -= if part.retransmitted { n } else { 0 };
        }
    }

    /// A segment arrived that was not known to have: RTT sample, RACK's newest (RFC 8985 §6.2 steps 1-3).
    fn deliver(
        &mut self,
        now: Instant,
        sent: &Sent,
        min_rtt: Duration,
        echo: Option<Duration>,
        delivered: &mut Delivered,
    ) {
        let rtt = now.since(sent.sent_at);
        let end = sent.end();
        if delivered.newest.is_none_or(|(order, e, _)| sent_after((sent.order, end), (order, e))) {
            let newest = Newest { snapshot: sent.snapshot, sent_at: sent.sent_at };
            delivered.newest = Some((sent.order, end, newest));
        }
        if sent.ever_retransmitted {
            // It may answer an earlier transmission: then its time says nothing. Our timestamps tick milliseconds.
            let earlier = echo.is_some_and(|echo| echo > rtt + Duration::from_millis(1));
            if earlier || rtt < min_rtt {
                return;
            }
        } else {
            delivered.rtt = Some(delivered.rtt.map_or(rtt, |r| r.min(rtt)));
            delivered.original_start =
                Some(delivered.original_start.map_or(sent.seq, |s| s.min(sent.seq)));
        }
        if self.rack.is_none_or(|rack| sent_after((sent.order, end), rack.sent)) {
            self.rack = Some(Rack { sent: (sent.order, end), rtt });
        }
        match self.fack {
            Some(fack) if end.lt(fack) => {
                if !sent.ever_retransmitted {
                    self.reordering = true;
                    self.reorder_span = self.reorder_span.max(fack.since(sent.seq));
                    self.reorder_seen = self.reorder_seen.saturating_add(1);
                }
            }
            _ => self.fack = Some(end),
        }
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
        min_rtt: Duration,
        echo: Option<Duration>,
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
                let before = segment.clone();
                segment.sacked = true;
                segment.lost = false;
                segment.retransmitted = false;
                let n = before.len;
                self.sacked += n;
                self.sacked_entries += 1;
                self.lost -= if before.lost { n } else { 0 };
                self.retransmitted -= if before.retransmitted { n } else { 0 };
                delivered.sacked += n;
                self.deliver(now, &before, min_rtt, echo, delivered);
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
        self.sacked_entries += u32::from(second.sacked);
        self.segments.insert(i + 1, second);
    }

    /// The reordering window (RFC 8985 §6.2 step 4): how much later than a segment sent after it one may arrive before it
    /// counts as lost.
    fn reo_wnd(&self, recovering: bool, mss: u32, min_rtt: Duration, srtt: Duration) -> Duration {
        let many = self.sacked_entries >= DUP_THRESH || self.sacked > (DUP_THRESH - 1) * mss;
        if !self.reordering && (recovering || many) {
            return Duration::ZERO;
        }
        (min_rtt / 4 * (u32::from(self.reo_wnd_extra) + 1)).min(srtt)
    }

    /// A D-SACK came: something was sent again for nothing, so the reordering window was too small (RFC 8985 §6.2 step 4).
    pub(crate) fn widen_reo_wnd(&mut self) {
        self.reordering = true;
        self.reo_wnd_extra = self.reo_wnd_extra.saturating_add(1).min(31);
        self.reo_wnd_persist = REO_WND_PERSIST;
    }

    /// A recovery ended: after enough of them without reordering the window is small again.
    pub(crate) fn recovery_ended(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_extra = 0;
        }
    }

    /// Marks what is lost by RACK (RFC 8985 §6.2 step 5): whether anything new was, and when the next would be if it does
    /// not arrive before.
    pub(crate) fn detect_losses(
        &mut self,
        now: Instant,
        recovering: bool,
        mss: u32,
        min_rtt: Duration,
        srtt: Duration,
    ) -> (bool, Option<Instant>) {
        let Some(rack) = self.rack else { return (false, None) };
        let patience = rack.rtt + self.reo_wnd(recovering, mss, min_rtt, srtt);
        let (mut found, mut later) = (false, None::<Instant>);
        for i in 0..self.segments.len() {
            let segment = &mut self.segments[i];
            if segment.sacked || (segment.lost && !segment.retransmitted) {
                continue;
            }
            if !sent_after(rack.sent, (segment.order, segment.end())) {
                if segment.ever_retransmitted {
                    continue;
                }
                // Those behind it were sent even later, unless they were sent again, and those follow their originals.
                break;
            }
            let at = segment.sent_at + patience;
            if at > now {
                later = Some(later.map_or(at, |l| l.min(at)));
                continue;
            }
            found = true;
            if segment.lost {
                // The retransmission was lost too.
                segment.retransmitted = false;
                self.retransmitted -= segment.len;
            } else {
                segment.lost = true;
                self.lost += segment.len;
            }
            let (seq, len, snapshot) = (segment.seq, segment.len, segment.snapshot);
            self.count_loss(seq, len, snapshot);
        }
        (found, later)
    }

    /// Length of the first segment, bytes of sequence space.
    pub(crate) fn front_len(&self) -> u32 {
        self.segments.front().map_or(0, |s| s.len)
    }

    /// Marks the segment that begins at `seq` as lost.
    pub(crate) fn mark_lost(&mut self, seq: SeqNumber) {
        let i = self.segments.partition_point(|s| s.seq.lt(seq));
        if let Some(segment) = self.segments.get_mut(i).filter(|s| s.seq == seq)
            && !segment.sacked
            && !segment.lost
        {
            segment.lost = true;
            self.lost += segment.len;
        }
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
                let (seq, len, snapshot) = (front.seq, front.len, front.snapshot);
                self.lost += len;
                self.count_loss(seq, len, snapshot);
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
        self.sacked_entries = 0;
        for i in 0..self.segments.len() {
            let segment = &mut self.segments[i];
            let known = segment.lost && !segment.retransmitted;
            segment.sacked &= !reneged;
            segment.lost = !segment.sacked;
            segment.retransmitted = false;
            let (seq, len, snapshot) = (segment.seq, segment.len, segment.snapshot);
            if segment.sacked {
                self.sacked += len;
                self.sacked_entries += 1;
            } else {
                self.lost += len;
                if !known {
                    self.count_loss(seq, len, snapshot);
                }
            }
        }
    }

    /// Nothing is lost after all: what was not sent again is in flight still.
    pub(crate) fn unmark_lost(&mut self) {
        self.lost = 0;
        self.retransmitted = 0;
        for segment in &mut self.segments {
            segment.lost = false;
            segment.retransmitted = false;
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

    /// Cuts the last segment so that a probe of `max` bytes can be sent of its end (RFC 8985 §7.3).
    pub(crate) fn cut_tail(&mut self, max: u32) -> Option<Sent> {
        let last = self.segments.len().checked_sub(1)?;
        let len = self.segments[last].len;
        if len > max {
            // Its end in whole segments: what the device cut last.
            let tail = if len.is_multiple_of(max) { max } else { len % max };
            self.split(last, len - tail);
        }
        self.segments.back().cloned()
    }

    /// The segment at `seq` was sent again.
    pub(crate) fn retransmitted(&mut self, now: Instant, seq: SeqNumber) {
        let i = self.segments.partition_point(|s| s.seq.lt(seq));
        if let Some(segment) = self.segments.get_mut(i) {
            debug_assert_eq!(segment.seq, seq);
            self.transmissions += 1;
            segment.sent_at = now;
            segment.order = self.transmissions;
            segment.ever_retransmitted = true;
            if segment.lost && !segment.retransmitted {
                segment.retransmitted = true;
                self.retransmitted += segment.len;
            }
            let in_flight = self.pipe();
            self.segments[i].snapshot = self.rate.on_sent(now, true, in_flight);
        }
    }
}

/// Whether `a` was sent after `b` (RFC 8985 §5.2). The order of transmissions stands for the RFC's time of sending, which
/// cannot tell a retransmission from what left in the same instant.
fn sent_after(a: (u64, SeqNumber), b: (u64, SeqNumber)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1.gt(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;
    const BASE: SeqNumber = SeqNumber(u32::MAX - 250);
    const RTT: Duration = Duration::from_millis(40);

    /// Segments sent a millisecond apart.
    fn board(segments: u32) -> Scoreboard {
        let mut b = Scoreboard::default();
        for i in 0..segments {
            b.sent(Instant::from_millis(u64::from(i)), BASE + i * MSS, MSS, false);
        }
        b
    }

    fn sack_at(b: &mut Scoreboard, ms: u64, blocks: &[(u32, u32)]) -> u32 {
        let blocks: Vec<SackBlock> = blocks.iter().map(|(l, r)| (BASE + *l, BASE + *r)).collect();
        let mut d = Delivered::default();
        let now = Instant::from_millis(ms);
        b.sack(now, &blocks, BASE, BASE + 100_000, MSS, RTT, None, &mut d);
        check(b);
        d.sacked
    }

    fn sack(b: &mut Scoreboard, blocks: &[(u32, u32)]) -> u32 {
        sack_at(b, 50, blocks)
    }

    fn detect(b: &mut Scoreboard, ms: u64) -> (bool, Option<Instant>) {
        let result = b.detect_losses(Instant::from_millis(ms), false, MSS, RTT, RTT);
        check(b);
        result
    }

    fn check(b: &Scoreboard) {
        let sum =
            |f: fn(&Sent) -> bool| b.segments.iter().filter(|s| f(s)).map(|s| s.len).sum::<u32>();
        assert_eq!(b.outstanding, sum(|_| true));
        assert_eq!(b.sacked, sum(|s| s.sacked));
        assert_eq!(b.lost, sum(|s| s.lost));
        assert_eq!(b.retransmitted, sum(|s| s.retransmitted));
        assert_eq!(b.sacked_entries as usize, b.segments.iter().filter(|s| s.sacked).count());
        assert!(b.segments.iter().all(|s| !(s.sacked && s.lost) && s.len > 0));
    }

    #[test]
    fn three_segments_sacked_above_make_a_loss_at_once() {
        let mut b = board(6);
        assert_eq!(sack(&mut b, &[(100, 300)]), 200);
        let (found, later) = detect(&mut b, 50);
        assert!(!found && later.is_some(), "a quarter of the round trip is waited");
        assert_eq!(sack(&mut b, &[(100, 400)]), 100);
        assert!(detect(&mut b, 50).0);
        assert_eq!((b.pipe(), b.lost()), (200, 100));
        let lost = b.next_lost(1000).unwrap();
        assert_eq!(lost.seq, BASE);
        b.retransmitted(Instant::from_millis(60), BASE);
        check(&b);
        assert_eq!(b.pipe(), 300);
        assert!(b.next_lost(1000).is_none());
        let mut d = Delivered::default();
        b.acknowledge(Instant::from_millis(110), BASE + 400, RTT, None, &mut d);
        check(&b);
        assert_eq!(
            d.rtt, None,
            "Karn: the retransmitted one gives no sample, SACKed ones were timed before"
        );
        assert_eq!((d.acked, d.acked_sacked, d.bytes()), (400, 300, 100));
    }

    #[test]
    fn one_segment_sacked_above_makes_a_loss_after_the_reordering_window() {
        let mut b = board(3);
        sack_at(&mut b, 42, &[(200, 300)]);
        // Sent at 2 ms and back at 42: a round trip of 40, and 10 of patience for what was sent at 0.
        assert_eq!(detect(&mut b, 42), (false, Some(Instant::from_millis(50))));
        assert!(detect(&mut b, 50).0);
        assert_eq!(b.lost(), 100, "the second was sent a millisecond later");
    }

    #[test]
    fn a_lost_retransmission_is_found_by_what_was_sent_after_it() {
        let mut b = board(5);
        sack(&mut b, &[(100, 400)]);
        assert!(detect(&mut b, 50).0);
        b.retransmitted(Instant::from_millis(60), BASE);
        b.sent(Instant::from_millis(61), BASE + 500, MSS, false);
        sack_at(&mut b, 101, &[(500, 600)]);
        assert!(detect(&mut b, 101).0);
        assert_eq!(b.next_lost(1000).unwrap().seq, BASE);
    }

    #[test]
    fn reordering_once_seen_makes_patient() {
        let mut b = board(5);
        sack(&mut b, &[(100, 200)]);
        sack(&mut b, &[(0, 100)]);
        assert!(b.reordering);
        sack(&mut b, &[(300, 500)]);
        sack(&mut b, &[(0, 500)]);
        let mut b = board(6);
        b.reordering = true;
        sack(&mut b, &[(100, 600)]);
        assert!(!detect(&mut b, 50).0, "five above, and still waited for");
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
    fn a_probe_takes_the_end_as_the_device_cut_it() {
        let mut b = Scoreboard::default();
        b.sent(Instant::ZERO, BASE, 250, false);
        let tail = b.cut_tail(MSS).unwrap();
        assert_eq!((tail.seq, tail.len), (BASE + 200, 50));
        check(&b);
    }

    #[test]
    fn lies_are_ignored() {
        let mut b = board(3);
        let mut d = Delivered::default();
        for block in [(BASE - 10, BASE + 100), (BASE + 200, BASE + 100), (BASE + 100, BASE + 301)] {
            b.sack(Instant::ZERO, &[block], BASE, BASE + 300, MSS, RTT, None, &mut d);
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
