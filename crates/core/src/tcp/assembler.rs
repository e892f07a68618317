//! Data that arrived ahead of a gap (RFC 9293 §3.10.7.4: "segments with higher beginning sequence numbers SHOULD be held").
//!
//! However a peer tears its data into pieces (CVE-2018-5390, "SegmentSmack"), a segment costs a look-up and the shorter of
//! two moves, and memory is counted as it is used.

use std::collections::{BTreeMap, VecDeque};

use arrayvec::ArrayVec;
use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use super::recv_queue::SMALL;
use crate::lazy::blank;
use crate::payload::Payload;

/// What a held piece counts at least, bytes: tiny segments cost more memory than they carry.
const MIN_CHARGE: usize = 256;

/// Contiguous data.
#[derive(Debug)]
struct Run {
    start: SeqNumber,
    end: SeqNumber,
    pieces: VecDeque<Payload>,
    /// Counts up with every change: the newest runs are reported first (RFC 2018 §4).
    touched: u64,
}

/// Out-of-order data, as runs that neither touch nor overlap, in order.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    runs: VecDeque<Run>,
    /// Where runs begin, by when they changed last. A run's start never moves.
    newest: BTreeMap<u64, SeqNumber>,
    charge: usize,
    bytes: usize,
    clock: u64,
}

blank!(Assembler);

impl Assembler {
    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Payload bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory held, bytes: payload, and the least that a piece costs.
    pub(crate) fn memory(&self) -> usize {
        self.charge
    }

    /// Holds `data`, which begins at `seq`, ahead of the gap. Bytes that are held already stay as they are. Answers
    /// whether it was new in part at least; `false` also when holding it would exceed `limit` bytes of memory.
    pub(crate) fn insert(&mut self, mut seq: SeqNumber, mut data: Payload, limit: usize) -> bool {
        // The first run that ends at or behind our start: it may swallow our front.
        let mut at = self.runs.partition_point(|run| run.end.lt(seq));
        let mut added = false;
        while !data.is_empty() {
            let end = seq + data.len() as u32;
            // Our front lies within this run: skip what it has.
            if let Some(run) = self.runs.get(at)
                && run.start.le(seq)
                && seq.lt(run.end)
            {
                let skip = run.end.since(seq).min(data.len() as u32);
                data.narrow(skip as usize..data.len());
                seq += skip;
                continue;
            }
            // Only what lies before the next run is new. The run at `at` may end exactly where we begin.
            let behind = at + usize::from(self.runs.get(at).is_some_and(|run| run.end == seq));
            let (piece, next_seq) = match self.runs.get(behind) {
                Some(run) if run.start.lt(end) => {
                    (data.slice(0..run.start.since(seq) as usize), run.start)
                }
                _ => (data.clone(), end),
            };
            let charge = piece.len().max(MIN_CHARGE);
            if self.charge + charge > limit {
                return added;
            }
            added = true;
            self.charge += charge;
            self.bytes += piece.len();
            data.narrow(piece.len()..data.len());
            at = self.place(at, seq, piece);
            seq = next_seq;
        }
        added
    }

    /// The first bytes of `seq..end` that are held already.
    pub(crate) fn overlap(&self, seq: SeqNumber, end: SeqNumber) -> Option<SackBlock> {
        let run = self.runs.get(self.runs.partition_point(|run| run.end.le(seq)))?;
        let block = (run.start.max(seq), run.end.min(end));
        block.0.lt(block.1).then_some(block)
    }

    /// The run that holds `seq` is reported first from now on (RFC 2883 §4.1.2: a duplicate is followed by the block it
    /// lies in).
    pub(crate) fn touch(&mut self, seq: SeqNumber) {
        let at = self.runs.partition_point(|run| run.end.le(seq));
        if self.runs.get(at).is_some_and(|run| run.start.le(seq)) {
            self.changed(at);
        }
    }

    /// The run at `at` changed.
    fn changed(&mut self, at: usize) {
        self.clock += 1;
        let run = &mut self.runs[at];
        self.newest.remove(&std::mem::replace(&mut run.touched, self.clock));
        self.newest.insert(self.clock, run.start);
    }

    /// Puts a piece that overlaps nothing in its place, joining runs it touches; the index of the run it is in.
    fn place(&mut self, mut at: usize, seq: SeqNumber, piece: Payload) -> usize {
        // A small piece is copied: it must not keep its slab from being used again.
        let piece = if piece.len() < SMALL { Payload::from(&*piece) } else { piece };
        let end = seq + piece.len() as u32;
        if self.runs.get(at).is_none_or(|run| run.end != seq) {
            if at > 0 && self.runs[at - 1].end == seq {
                at -= 1;
            } else {
                let run = Run { start: seq, end: seq, pieces: VecDeque::new(), touched: 0 };
                self.runs.insert(at, run);
            }
        }
        let run = &mut self.runs[at];
        run.pieces.push_back(piece);
        run.end = end;
        self.changed(at);
        if self.runs.get(at + 1).is_some_and(|next| next.start == end)
            && let Some(next) = self.runs.remove(at + 1)
        {
            self.newest.remove(&next.touched);
            let run = &mut self.runs[at];
            run.end = next.end;
            // The fewer pieces move: a peer that sends backwards must not have all of them moved every time.
            let mut pieces = next.pieces;
            if pieces.len() > run.pieces.len() {
                for piece in run.pieces.drain(..).rev() {
                    pieces.push_front(piece);
                }
                run.pieces = pieces;
            } else {
                run.pieces.append(&mut pieces);
            }
        }
        at
    }

    /// Takes what can be read now that everything before `nxt` has arrived: `sink` gets the pieces in order; the new
    /// `rcv_nxt`.
    pub(crate) fn take(&mut self, mut nxt: SeqNumber, mut sink: impl FnMut(Payload)) -> SeqNumber {
        while let Some(run) = self.runs.front() {
            if run.start.gt(nxt) {
                break;
            }
            let Some(run) = self.runs.pop_front() else { break };
            self.newest.remove(&run.touched);
            let mut seq = run.start;
            for mut piece in run.pieces {
                let len = piece.len();
                self.bytes -= len;
                self.charge -= len.max(MIN_CHARGE);
                let end = seq + len as u32;
                if end.gt(nxt) {
                    if seq.lt(nxt) {
                        piece.narrow(nxt.since(seq) as usize..len);
                    }
                    sink(piece);
                    nxt = end;
                }
                seq = end;
            }
        }
        nxt
    }

    /// The blocks to report, the most recently changed first (RFC 2018 §4), at most `max`.
    pub(crate) fn sack_blocks(&self, max: usize) -> ArrayVec<SackBlock, 4> {
        let run_at = |start: SeqNumber| {
            let at = self.runs.partition_point(|run| run.start.lt(start));
            self.runs.get(at).map(|run| (run.start, run.end))
        };
        self.newest.values().rev().take(max.min(4)).filter_map(|start| run_at(*start)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: SeqNumber = SeqNumber(u32::MAX - 50);

    fn bytes(from: u32, to: u32) -> Payload {
        Payload::from((from..to).map(|i| (i * 7) as u8).collect::<Vec<_>>())
    }

    fn insert(a: &mut Assembler, from: u32, to: u32) -> bool {
        a.insert(BASE + from, bytes(from, to), 1 << 20)
    }

    fn take(a: &mut Assembler, from: u32) -> (u32, Vec<u8>) {
        let mut out = Vec::new();
        let nxt = a.take(BASE + from, |p| out.extend_from_slice(&p));
        (nxt.since(BASE), out)
    }

    #[test]
    fn runs_join_when_the_gap_closes() {
        let mut a = Assembler::default();
        assert!(insert(&mut a, 100, 200));
        assert!(insert(&mut a, 300, 400));
        assert!(insert(&mut a, 200, 300));
        assert_eq!(a.sack_blocks(4).as_slice(), &[(BASE + 100, BASE + 400)]);
        assert_eq!(take(&mut a, 50), (50, vec![]));
        assert_eq!(take(&mut a, 100), (400, bytes(100, 400).to_vec()));
        assert!(a.is_empty());
        assert_eq!((a.charge, a.bytes), (0, 0));
    }

    #[test]
    fn the_newest_run_is_reported_first() {
        let mut a = Assembler::default();
        for start in [10, 30, 50, 70, 90] {
            insert(&mut a, start, start + 5);
        }
        insert(&mut a, 35, 38);
        let starts: Vec<u32> = a.sack_blocks(3).iter().map(|b| b.0.since(BASE)).collect();
        assert_eq!(starts, [30, 90, 70]);
    }

    #[test]
    fn memory_is_bounded_in_real_bytes() {
        let mut a = Assembler::default();
        let mut held = 0;
        for i in 0..1000 {
            held += usize::from(a.insert(BASE + 2 * i, bytes(2 * i, 2 * i + 1), 64 * MIN_CHARGE));
        }
        assert_eq!(held, 64);
    }

    #[test]
    fn pieces_sent_backwards_or_scattered_are_cheap_to_hold() {
        // Backwards: every piece joins a run in front of it.
        let mut a = Assembler::default();
        for i in (1..4000).rev() {
            assert!(insert(&mut a, i, i + 1));
        }
        assert_eq!((a.runs.len(), a.newest.len()), (1, 1));
        assert_eq!(take(&mut a, 1), (4000, bytes(1, 4000).to_vec()));
        // Scattered: thousands of runs, and three of them are reported without looking at the others.
        for i in 0..3000 {
            assert!(insert(&mut a, 4 * i + 5000, 4 * i + 5001));
        }
        assert_eq!((a.runs.len(), a.newest.len()), (3000, 3000));
        let ends: Vec<u32> = a.sack_blocks(3).iter().map(|b| b.1.since(BASE)).collect();
        assert_eq!(ends, [16_997, 16_993, 16_989]);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_bytes(
            pieces in proptest::collection::vec((0u32..3000, 1u32..1500), 1..60),
            read in 0u32..200,
        ) {
            let mut a = Assembler::default();
            let mut have = vec![false; 5000];
            for (start, len) in pieces {
                let (start, end) = (start + 1, start + 1 + len);
                let new = have[start as usize..end as usize].iter().any(|h| !h);
                prop_assert_eq!(insert(&mut a, start, end), new);
                have[start as usize..end as usize].fill(true);
            }
            let mut runs = 0;
            for i in 1..have.len() {
                runs += usize::from(have[i] && !have[i - 1]);
            }
            prop_assert_eq!(a.runs.len(), runs);
            let mut starts: Vec<_> = a.newest.values().copied().collect();
            starts.sort_by_key(|start| start.since(BASE));
            prop_assert!(starts.into_iter().eq(a.runs.iter().map(|run| run.start)));
            let held: usize = have.iter().filter(|h| **h).count();
            prop_assert_eq!(a.bytes, held);
            let mut end = read as usize;
            while have[end] { end += 1; }
            let (nxt, out) = take(&mut a, read);
            if end > read as usize {
                prop_assert_eq!(nxt as usize, end);
                prop_assert_eq!(out, bytes(read, end as u32).to_vec());
            } else {
                prop_assert!(out.is_empty());
            }
        }
    }
}
