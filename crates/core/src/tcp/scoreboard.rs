//! What was sent and not acknowledged: one entry per segment as it was handed to the device, in sequence order, with what
//! is known of its fate (RFC 6675 §3: the scoreboard), and the time-based loss detection over it (RFC 8985 RACK).
//!
//! The work of an acknowledgement is bounded, whatever the peer says (CVE-2019-11477 "SACK Panic", CVE-2019-11478, and
//! CVE-2018-5390 are what happens otherwise): every step is a look-up in a tree, or changes an entry's state, and an entry
//! changes state as often as it is sent and not oftener. What the peer has is merged into runs, so a block that is repeated
//! is passed over in one step; what waits to be sent again and what is in flight, in the order of sending, have sets of
//! their own, so that nothing is ever searched for.
//!
//! Most segments are sent once and acknowledged in order: those wait in a plain queue, whose memory is used again, and come
//! to the trees only when something is lost, or arrives out of order, while they are on their way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use super::rate::{Newest, RateSampler, Snapshot};
use crate::lazy::blank;
use crate::time::{Duration, Instant};

/// Duplicate acknowledgements, or segments SACKed above, that make a segment lost (RFC 5681 §3.2, RFC 6675 §2).
pub(crate) const DUP_THRESH: u32 = 3;

/// Recoveries without reordering after which the reordering window shrinks again (RFC 8985 §6.2 step 4).
const REO_WND_PERSIST: u8 = 16;

/// Most entries: beyond it nothing new is sent until something is acknowledged. A window of 90 MiB in full segments; it
/// bounds what small ones, written one by one or forced by a small MSS, take of memory.
const MAX_ENTRIES: usize = 1 << 16;

/// Room in the queue that a connection keeps when everything was acknowledged, entries.
const KEEP: usize = 32;

/// A sent segment, or a run of them that the peer has.
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
    /// Segments that it was sent in, as far as they were told apart.
    pieces: u32,
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
    /// It is on its way, as far as is known: neither arrived nor lost.
    fn is_in_flight(&self) -> bool {
        !self.sacked && (!self.lost || self.retransmitted)
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> SeqNumber {
        self.seq + self.len
    }

    /// Cuts its first `len` bytes off, and gives them: fewer than it has.
    fn cut_front(&mut self, len: u32) -> Self {
        let front = Self { len, fin: false, ..self.clone() };
        self.seq += len;
        self.len -= len;
        front
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

/// Where a segment begins, counted so that it never wraps.
type Place = u64;

/// The scoreboard.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    /// With `fresh`, every byte from the first unacknowledged one to the last sent, once.
    segments: BTreeMap<Place, Sent>,
    /// What was sent after all of those (and after all that was sent again), and but once, in order: neither SACKed nor lost.
    fresh: VecDeque<Sent>,
    /// A sequence number and its place, at or below the first entry.
    base: (SeqNumber, Place),
    /// What is in flight of `segments`, in the order of sending.
    in_flight: BTreeSet<(u64, Place)>,
    /// What is lost and was not sent again, and what was.
    to_repair: BTreeSet<Place>,
    repaired: BTreeSet<Place>,
    /// Sums over the entries, bytes of sequence space.
    outstanding: u32,
    sacked: u32,
    lost: u32,
    retransmitted: u32,
    /// Segments that are SACKed.
    sacked_pieces: u32,
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
    /// Since they were taken last: retransmissions found to be lost, and segments that arrived behind later ones.
    news: (u32, u32),
    /// Entries looked at or changed so far.
    #[cfg(test)]
    work: u64,
}

blank!(Scoreboard);

impl Scoreboard {
    /// Whether everything sent was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.fresh.is_empty()
    }

    /// Whether there are so many entries that nothing new is to be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.segments.len() + self.fresh.len() >= MAX_ENTRIES
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

    /// Retransmissions found to be lost, and segments that arrived behind later ones, since this was asked last.
    pub(crate) fn take_news(&mut self) -> (u32, u32) {
        std::mem::take(&mut self.news)
    }

    /// Counts a segment that is deemed lost from now on.
    fn count_loss(&mut self, seq: SeqNumber, len: u32, snapshot: Snapshot) {
        self.rate.lost += u64::from(len);
        if self.watch_losses {
            self.losses.push(LostSegment { seq, len, snapshot, total_lost: self.rate.lost });
        }
    }

    fn place(&self, seq: SeqNumber) -> Place {
        self.base.1 + u64::from(seq.since(self.base.0))
    }

    #[inline]
    #[cfg_attr(not(test), allow(clippy::unused_self))]
    fn note_work(&mut self) {
        #[cfg(test)]
        {
            self.work += 1;
        }
    }

    /// Takes an entry out, and what it stands for.
    fn take(&mut self, place: Place) -> Option<Sent> {
        self.note_work();
        let sent = self.segments.remove(&place)?;
        self.outstanding -= sent.len;
        if sent.sacked {
            self.sacked -= sent.len;
            self.sacked_pieces -= sent.pieces;
        }
        if sent.is_in_flight() {
            self.in_flight.remove(&(sent.order, place));
        }
        if sent.lost {
            self.lost -= sent.len;
            if sent.retransmitted {
                self.retransmitted -= sent.len;
                self.repaired.remove(&place);
            } else {
                self.to_repair.remove(&place);
            }
        }
        Some(sent)
    }

    /// Puts an entry in, and what it stands for.
    fn put(&mut self, sent: Sent) {
        self.note_work();
        let place = self.place(sent.seq);
        self.outstanding += sent.len;
        if sent.sacked {
            self.sacked += sent.len;
            self.sacked_pieces += sent.pieces;
        }
        if sent.is_in_flight() {
            self.in_flight.insert((sent.order, place));
        }
        if sent.lost {
            self.lost += sent.len;
            if sent.retransmitted {
                self.retransmitted += sent.len;
                self.repaired.insert(place);
            } else {
                self.to_repair.insert(place);
            }
        }
        self.segments.insert(place, sent);
    }

    /// Moves what was sent once to the trees: something is to be found or changed there.
    fn sort_in(&mut self) {
        while let Some(sent) = self.fresh.pop_front() {
            self.outstanding -= sent.len;
            self.put(sent);
        }
    }

    /// The first entry.
    fn front(&self) -> Option<&Sent> {
        self.segments.first_key_value().map(|(_, sent)| sent).or_else(|| self.fresh.front())
    }

    /// Changes an entry.
    fn change(&mut self, place: Place, change: impl FnOnce(&mut Sent)) {
        if let Some(mut sent) = self.take(place) {
            change(&mut sent);
            self.put(sent);
        }
    }

    /// A new segment was sent.
    pub(crate) fn sent(&mut self, now: Instant, seq: SeqNumber, len: u32, fin: bool) {
        let outstanding = !self.is_empty();
        if !outstanding {
            self.base = (seq, 0);
        }
        let snapshot = self.rate.on_sent(now, outstanding, self.pipe() + len);
        self.transmissions += 1;
        self.note_work();
        self.outstanding += len;
        if self.fresh.capacity() == 0 {
            // Mostly one is on its way at a time.
            self.fresh.reserve_exact(1);
        }
        self.fresh.push_back(Sent {
            seq,
            len,
            fin,
            sent_at: now,
            order: self.transmissions,
            pieces: 1,
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
        while let Some((&place, front)) = self.segments.first_key_value() {
            if front.seq.ge(una) {
                break;
            }
            let Some(mut part) = self.take(place) else { break };
            if part.end().gt(una) {
                // Part of a large segment may be acknowledged: its front goes.
                let front = part.cut_front(una.since(part.seq));
                self.put(std::mem::replace(&mut part, front));
            }
            delivered.acked += part.len;
            if part.sacked {
                delivered.acked_sacked += part.len;
            } else {
                self.deliver(now, &part, min_rtt, echo, delivered);
            }
        }
        if self.segments.is_empty() {
            // An idle connection keeps no memory for it.
            self.segments = BTreeMap::new();
            self.in_flight = BTreeSet::new();
            self.to_repair = BTreeSet::new();
            self.repaired = BTreeSet::new();
            self.acknowledge_fresh(now, una, min_rtt, echo, delivered);
        }
        match self.front().map(|front| front.seq) {
            Some(seq) => self.base = (seq, self.place(seq)),
            // Nor much for this.
            None if self.fresh.capacity() > KEEP => self.fresh = VecDeque::new(),
            None => {}
        }
    }

    /// As [`acknowledge`](Self::acknowledge), of what was sent once.
    fn acknowledge_fresh(
        &mut self,
        now: Instant,
        una: SeqNumber,
        min_rtt: Duration,
        echo: Option<Duration>,
        delivered: &mut Delivered,
    ) {
        while let Some(front) = self.fresh.front_mut() {
            if front.seq.ge(una) {
                break;
            }
            let part = if front.end().gt(una) {
                front.cut_front(una.since(front.seq))
            } else {
                let Some(part) = self.fresh.pop_front() else { break };
                part
            };
            self.note_work();
            self.outstanding -= part.len;
            delivered.acked += part.len;
            self.deliver(now, &part, min_rtt, echo, delivered);
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
                    self.news.1 += 1;
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
            if left.lt(una) || !left.lt(right) || right.gt(nxt) || self.is_empty() {
                continue;
            }
            self.sort_in();
            let (left, right) = (self.place(left), self.place(right));
            let first = self.segments.range(..=left).next_back();
            let mut at = first.map_or(left, |(place, _)| *place);
            while at < right {
                self.note_work();
                let Some((&place, segment)) = self.segments.range(at..).next() else { break };
                let (len, sacked) = (segment.len, segment.sacked);
                let end = place + u64::from(len);
                at = end;
                if sacked || end <= left || place >= right {
                    continue;
                }
                // The covered part, in whole pieces of an MSS counted from the segment's start.
                let from = (left.saturating_sub(place) as u32).next_multiple_of(mss);
                let to = if right >= end { len } else { (right - place) as u32 / mss * mss };
                if from >= to || (self.is_full() && (from > 0 || to < len)) {
                    continue;
                }
                if to < len {
                    self.split(place, to);
                }
                if from > 0 {
                    self.split(place, from);
                }
                let Some(mut segment) = self.take(place + u64::from(from)) else { continue };
                delivered.sacked += segment.len;
                self.deliver(now, &segment, min_rtt, echo, delivered);
                segment.sacked = true;
                segment.lost = false;
                segment.retransmitted = false;
                self.put_sacked(segment);
            }
        }
    }

    /// Puts in what the peer has, as one with what it has before and behind.
    fn put_sacked(&mut self, mut run: Sent) {
        let place = self.place(run.seq);
        let before = self.segments.range(..place).next_back();
        if let Some(before) = before.filter(|(_, s)| s.sacked).map(|(place, _)| *place)
            && let Some(before) = self.take(before)
        {
            run = merge(before, run);
        }
        let behind = self.place(run.end());
        if self.segments.get(&behind).is_some_and(|s| s.sacked)
            && let Some(behind) = self.take(behind)
        {
            run = merge(run, behind);
        }
        self.put(run);
    }

    /// Cuts the entry at `place` so that its first part is `at` long.
    fn split(&mut self, place: Place, at: u32) {
        let Some(mut rest) = self.take(place) else { return };
        let front = rest.cut_front(at);
        self.put(front);
        self.put(rest);
    }

    /// The reordering window (RFC 8985 §6.2 step 4): how much later than a segment sent after it one may arrive before it
    /// counts as lost.
    fn reo_wnd(&self, recovering: bool, mss: u32, min_rtt: Duration, srtt: Duration) -> Duration {
        let many = self.sacked_pieces >= DUP_THRESH || self.sacked > (DUP_THRESH - 1) * mss;
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
        // Nothing of `fresh` was sent before anything that arrived: what is SACKed or sent again brings it to the trees.
        debug_assert!(
            self.fresh.front().is_none_or(|s| !sent_after(rack.sent, (s.order, s.end())))
        );
        let patience = rack.rtt + self.reo_wnd(recovering, mss, min_rtt, srtt);
        let mut found = false;
        while let Some(&(order, place)) = self.in_flight.first() {
            self.note_work();
            let Some(segment) = self.segments.get(&place) else { break };
            if !sent_after(rack.sent, (order, segment.end())) {
                break;
            }
            let at = segment.sent_at + patience;
            if at > now {
                // Those behind it were sent later.
                return (found, Some(at));
            }
            found = true;
            self.news.0 += u32::from(segment.lost);
            let (seq, len, snapshot) = (segment.seq, segment.len, segment.snapshot);
            self.change(place, |segment| {
                // If it was lost before, its retransmission was lost too.
                segment.lost = true;
                segment.retransmitted = false;
            });
            self.count_loss(seq, len, snapshot);
        }
        (found, None)
    }

    /// Length of the first segment, bytes of sequence space.
    pub(crate) fn front_len(&self) -> u32 {
        self.front().map_or(0, |front| front.len)
    }

    /// Marks the segment that begins at `seq` as lost.
    pub(crate) fn mark_lost(&mut self, seq: SeqNumber) {
        self.sort_in();
        let place = self.place(seq);
        if self.segments.get(&place).is_some_and(|s| !s.sacked && !s.lost) {
            self.change(place, |segment| segment.lost = true);
        }
    }

    /// Marks the first segment as lost, `mss` bytes of it. Returns whether that was news.
    pub(crate) fn mark_front_lost(&mut self, mss: u32) -> bool {
        self.sort_in();
        let Some((&place, front)) = self.segments.first_key_value() else { return false };
        if front.sacked || front.lost {
            return false;
        }
        if front.len > mss {
            self.split(place, mss);
        }
        self.change(place, |front| front.lost = true);
        if let Some(front) = self.segments.get(&place) {
            let (seq, len, snapshot) = (front.seq, front.len, front.snapshot);
            self.count_loss(seq, len, snapshot);
        }
        true
    }

    /// The timer ran out: everything the peer does not have is lost (RFC 6675 §5.1), what was sent again included. If the
    /// peer SACKed the very first byte without acknowledging it, it has reneged (RFC 2018 §8): its word counts no more.
    ///
    /// Answers whether it has.
    pub(crate) fn mark_all_lost(&mut self) -> bool {
        self.sort_in();
        let reneged = self.segments.first_key_value().is_some_and(|(_, s)| s.sacked);
        if reneged {
            let held: Vec<Place> =
                self.segments.iter().filter(|(_, s)| s.sacked).map(|(place, _)| *place).collect();
            for place in held {
                self.change(place, |segment| {
                    segment.sacked = false;
                    segment.pieces = 1;
                });
            }
        }
        while let Some(&(_, place)) = self.in_flight.first() {
            let Some(segment) = self.segments.get(&place) else { break };
            let (seq, len, snapshot) = (segment.seq, segment.len, segment.snapshot);
            self.change(place, |segment| {
                segment.lost = true;
                segment.retransmitted = false;
            });
            self.count_loss(seq, len, snapshot);
        }
        reneged
    }

    /// Nothing is lost after all: what was not sent again is in flight still.
    pub(crate) fn unmark_lost(&mut self) {
        while let Some(place) = self.to_repair.first().or_else(|| self.repaired.first()).copied() {
            self.change(place, |segment| {
                segment.lost = false;
                segment.retransmitted = false;
            });
        }
    }

    /// The first segment that is to be sent again, cut to `max` bytes.
    pub(crate) fn next_lost(&mut self, max: u32) -> Option<Sent> {
        self.note_work();
        let place = *self.to_repair.first()?;
        if self.segments.get(&place)?.len > max {
            self.split(place, max);
        }
        self.segments.get(&place).cloned()
    }

    /// Cuts the last segment so that a probe of `max` bytes can be sent of its end (RFC 8985 §7.3).
    pub(crate) fn cut_tail(&mut self, max: u32) -> Option<Sent> {
        self.sort_in();
        let (&place, last) = self.segments.last_key_value()?;
        let len = last.len;
        if len > max {
            // Its end in whole segments: what the device cut last.
            let tail = if len.is_multiple_of(max) { max } else { len % max };
            self.split(place, len - tail);
        }
        self.segments.last_key_value().map(|(_, last)| last.clone())
    }

    /// The segment at `seq` was sent again.
    pub(crate) fn retransmitted(&mut self, now: Instant, seq: SeqNumber) {
        self.sort_in();
        let place = self.place(seq);
        self.transmissions += 1;
        let order = self.transmissions;
        self.change(place, |segment| {
            segment.sent_at = now;
            segment.order = order;
            segment.ever_retransmitted = true;
            segment.retransmitted |= segment.lost;
        });
        let in_flight = self.pipe();
        let snapshot = self.rate.on_sent(now, true, in_flight);
        if let Some(segment) = self.segments.get_mut(&place) {
            segment.snapshot = snapshot;
        } else {
            debug_assert!(false, "what is sent again is an entry");
        }
    }
}

/// Two runs of what the peer has, one right behind the other.
fn merge(first: Sent, second: Sent) -> Sent {
    let later = if first.order > second.order { &first } else { &second };
    Sent {
        seq: first.seq,
        len: first.len + second.len,
        fin: second.fin,
        pieces: first.pieces.saturating_add(second.pieces),
        ever_retransmitted: first.ever_retransmitted || second.ever_retransmitted,
        ..later.clone()
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
        b.sack(now, &blocks, BASE, BASE + 10_000_000, MSS, RTT, None, &mut d);
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
        let all = || b.segments.values().chain(&b.fresh);
        let sum = |f: fn(&Sent) -> bool| all().filter(|s| f(s)).map(|s| s.len).sum::<u32>();
        assert_eq!(b.outstanding, sum(|_| true));
        assert_eq!(b.sacked, sum(|s| s.sacked));
        assert_eq!(b.lost, sum(|s| s.lost));
        assert_eq!(b.retransmitted, sum(|s| s.retransmitted));
        assert!(all().all(|s| !(s.sacked && s.lost) && s.len > 0));
        assert!(b.fresh.iter().all(|s| !s.sacked && !s.lost && !s.ever_retransmitted));
        let keys = |f: fn(&Sent) -> bool| {
            b.segments.iter().filter(|(_, s)| f(s)).map(|(place, _)| *place).collect::<Vec<_>>()
        };
        assert!(b.to_repair.iter().copied().eq(keys(|s| s.lost && !s.retransmitted)));
        assert!(b.repaired.iter().copied().eq(keys(|s| s.lost && s.retransmitted)));
        let mut in_flight: Vec<_> = b.in_flight.iter().map(|(_, place)| *place).collect();
        in_flight.sort_unstable();
        assert_eq!(in_flight, keys(Sent::is_in_flight));
        assert!(b.segments.iter().all(|(place, s)| *place == b.place(s.seq)));
        assert!(all().zip(all().skip(1)).all(|(one, next)| one.end() == next.seq));
        assert!(b.fresh.iter().zip(b.fresh.iter().skip(1)).all(|(a, b)| a.order < b.order));
    }

    #[test]
    fn what_is_sent_once_and_arrives_in_order_is_never_sorted() {
        let mut b = board(6);
        assert_eq!((b.fresh.len(), b.segments.len(), b.front_len()), (6, 0, MSS));
        let mut d = Delivered::default();
        // Part of the third, too.
        b.acknowledge(Instant::from_millis(50), BASE + 230, RTT, None, &mut d);
        check(&b);
        assert_eq!((d.acked, d.bytes(), b.pipe(), b.front_len()), (230, 230, 370, 70));
        assert_eq!(detect(&mut b, 50), (false, None));
        assert_eq!((b.fresh.len(), b.segments.len()), (4, 0));
        b.acknowledge(Instant::from_millis(60), BASE + 600, RTT, None, &mut d);
        check(&b);
        assert!(b.is_empty() && b.pipe() == 0);
        assert_eq!(b.fresh.capacity(), b.fresh.capacity().min(KEEP), "little is kept");
    }

    #[test]
    fn what_is_sent_behind_a_loss_is_lost_by_the_time_of_a_later_retransmission() {
        let mut b = board(4);
        sack(&mut b, &[(300, 400)]);
        assert_eq!((b.fresh.len(), b.segments.len()), (0, 4));
        assert!(b.mark_front_lost(MSS));
        // Sent while the first is repaired, but before it is.
        b.sent(Instant::from_millis(51), BASE + 400, MSS, false);
        assert_eq!(b.fresh.len(), 1);
        b.retransmitted(Instant::from_millis(60), BASE);
        b.sent(Instant::from_millis(61), BASE + 500, MSS, false);
        check(&b);
        let mut d = Delivered::default();
        b.acknowledge(Instant::from_millis(101), BASE + 400, RTT, None, &mut d);
        check(&b);
        // Of the two on their way one was sent before what arrived now.
        let (_, later) = detect(&mut b, 101);
        assert!(later.is_some());
        let (found, later) = detect(&mut b, 1000);
        assert_eq!((found, later, b.lost()), (true, None, MSS));
        assert_eq!(b.next_lost(MSS).map(|s| s.seq), Some(BASE + 400));
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
        assert_eq!(b.segments[&200].seq, BASE + 200);
        assert!(b.segments[&400].fin && !b.segments[&0].fin);
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

    /// Units of work of `f`.
    fn work(b: &mut Scoreboard, f: impl FnOnce(&mut Scoreboard)) -> u64 {
        let before = b.work;
        f(b);
        b.work - before
    }

    #[test]
    fn blocks_that_are_repeated_over_thousands_of_segments_cost_nothing() {
        let n = 20_000;
        let mut b = board(n);
        sack(&mut b, &[(100, n / 2 * 100)]);
        assert_eq!(b.segments.len() as u32, 1 + 1 + n / 2, "what the peer has is one run");
        for _ in 0..10 {
            let blocks = [(100, n / 2 * 100); 4];
            let blocks = blocks.map(|(l, r)| (BASE + l, BASE + r));
            let mut d = Delivered::default();
            let work = work(&mut b, |b| {
                b.sack(
                    Instant::from_millis(50),
                    &blocks,
                    BASE,
                    BASE + n * MSS,
                    MSS,
                    RTT,
                    None,
                    &mut d,
                );
            });
            assert!(d.sacked == 0 && work <= 8, "{work}");
        }
    }

    #[test]
    fn work_of_a_hostile_peer_with_thousands_of_holes_is_bounded() {
        // SACK Panic and its relatives: large segments of a peer with the least MSS, torn at every second piece, so that
        // there are thousands of holes; then every hole is deemed lost and sent again, and again, while the peer repeats
        // itself. All of it costs a few steps for what is sent, and a few for every acknowledgement.
        let (pieces, total) = (1000, 20_000);
        let mut b = Scoreboard::default();
        for i in 0..total / pieces {
            b.sent(Instant::from_millis(1), BASE + i * pieces * MSS, pieces * MSS, false);
        }
        let end = BASE + total * MSS;
        let (mut ms, mut acks, mut sent) = (50, 0_u64, u64::from(total / pieces));
        let ack = |b: &mut Scoreboard, ms: u64, blocks: &[SackBlock]| {
            let now = Instant::from_millis(ms);
            let mut d = Delivered::default();
            let work = work(b, |b| {
                b.sack(now, blocks, BASE, end, MSS, RTT, None, &mut d);
            });
            assert!(work <= 16 * blocks.len() as u64, "{work} steps for one acknowledgement");
            b.detect_losses(now, true, MSS, RTT, RTT);
        };
        for i in (1..total).step_by(8) {
            let blocks = [0, 2, 4, 6].map(|k| (BASE + (i + k) * MSS, BASE + (i + k + 1) * MSS));
            ms += 1;
            acks += 1;
            ack(&mut b, ms, &blocks);
        }
        check(&b);
        assert!(b.segments.len() as u32 >= total - 1, "{} entries", b.segments.len());
        for _ in 0..3 {
            ms += 1000;
            while let Some(lost) = b.next_lost(MSS) {
                b.retransmitted(Instant::from_millis(ms), lost.seq);
                sent += 1;
            }
            // The last hole arrives, so all the others were lost again; the same blocks come with it, over and over.
            for _ in 0..1000 {
                let last = (end - 2 * MSS, end - MSS);
                let old = (BASE + MSS, BASE + 2 * MSS);
                ms += 1;
                acks += 1;
                ack(&mut b, ms, &[last, old, old, old]);
            }
        }
        check(&b);
        assert!(b.work <= 16 * acks + 16 * sent, "{} steps, {acks} ACKs, {sent} sent", b.work);
    }

    #[test]
    fn entries_are_bounded() {
        let mut b = Scoreboard::default();
        let mut at = BASE;
        while !b.is_full() {
            b.sent(Instant::ZERO, at, 2 * MSS, false);
            at += 2 * MSS;
        }
        assert_eq!(b.segments.len() + b.fresh.len(), MAX_ENTRIES);
        assert_eq!(sack(&mut b, &[(MSS, 2 * MSS)]), 0, "nothing is cut any more");
        assert_eq!(sack(&mut b, &[(0, 2 * MSS)]), 2 * MSS, "what is whole counts still");
    }
}
