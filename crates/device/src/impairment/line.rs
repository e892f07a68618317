//! What one direction of an impaired device does to frames, and when they come out: no clock, no device, one seed.

use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::{Impairment, ImpairmentStats};

/// Bytes that one direction holds at most, whatever its `limit` of frames.
pub(super) const MAX_HELD: usize = 64 << 20;

/// Buffers kept for use again.
const POOL: usize = 256;

/// Added to `now` where a time would be beyond what the system's clock can say.
const FAR: Duration = Duration::from_secs(3600);

/// A frame on its way.
#[derive(Debug)]
pub(super) struct Held {
    due: Instant,
    /// Among frames that are due at the same time, the one that came first goes first.
    order: u64,
    pub(super) data: Vec<u8>,
    pub(super) trusted: bool,
    pub(super) gso_size: u16,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    /// The greatest is the one that is due first, as `BinaryHeap` wants it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

/// One direction.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) settings: Impairment,
    pub(super) stats: ImpairmentStats,
    rng: ChaCha8Rng,
    held: BinaryHeap<Held>,
    held_bytes: usize,
    pool: Vec<Vec<u8>>,
    next_order: u64,
    /// When the transmitter is done with all that was accepted.
    busy_until: Option<Instant>,
    /// When the last frame in order comes out.
    last_due: Option<Instant>,
}

impl Line {
    /// A direction with the `stream`th sequence of random numbers of `seed`.
    pub(super) fn new(settings: Impairment, seed: u64, stream: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&stream.to_le_bytes());
        Self {
            settings,
            stats: ImpairmentStats::default(),
            rng: ChaCha8Rng::from_seed(bytes),
            held: BinaryHeap::new(),
            held_bytes: 0,
            pool: Vec::new(),
            next_order: 0,
            busy_until: None,
            last_due: None,
        }
    }

    /// Whether frames may go past it: it would do nothing to them, and none is on its way that they would overtake.
    pub(super) fn is_clear(&self) -> bool {
        self.held.is_empty() && self.settings.is_none()
    }

    /// Takes a frame in, or loses it.
    pub(super) fn enter(&mut self, now: Instant, pieces: &[&[u8]], trusted: bool, gso_size: u16) {
        self.stats.frames += 1;
        let len: usize = pieces.iter().map(|p| p.len()).sum();
        let Some(sent) = self.transmit(now, len) else {
            self.stats.queue_dropped += 1;
            return;
        };
        if self.chance(self.settings.loss) {
            self.stats.lost += 1;
            return;
        }
        let corrupt = self.chance(self.settings.corrupt);
        let duplicate = self.chance(self.settings.duplicate);
        let mut due = self.draw_due(now, sent);
        let flip = if corrupt && len > 0 { Some(self.below(len as u64 * 8)) } else { None };
        self.stats.corrupted += u64::from(flip.is_some());
        for copy in 0..=usize::from(duplicate) {
            if self.held.len() >= self.settings.limit || self.held_bytes + len > MAX_HELD {
                self.stats.limit_dropped += 1;
                return;
            }
            if copy == 1 {
                due = self.draw_due(now, sent);
                self.stats.duplicated += 1;
            }
            let mut data = self.pool.pop().unwrap_or_default();
            data.clear();
            for piece in pieces {
                data.extend_from_slice(piece);
            }
            if let Some(bit) = flip {
                data[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            self.held_bytes += len;
            let order = self.next_order;
            self.next_order += 1;
            // Nobody vouches for what was spoilt.
            let trusted = trusted && flip.is_none();
            self.held.push(Held { due, order, data, trusted, gso_size });
        }
    }

    /// When a frame of `len` bytes has left the transmitter; `None` when the queue before it has no room.
    fn transmit(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.settings.rate else {
            self.busy_until = None;
            return Some(now);
        };
        let rate = u128::from(rate.max(1));
        let start = self.busy_until.map_or(now, |at| at.max(now));
        // What waits is what the rate will have sent until the transmitter is free. A frame that finds it free always
        // goes, however small the queue.
        let waiting = start.saturating_duration_since(now).as_nanos() * rate / 8_000_000_000;
        if start > now && waiting + len as u128 > self.settings.queue as u128 {
            return None;
        }
        let nanos = len as u128 * 8_000_000_000 / rate;
        let done = later(start, Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        self.busy_until = Some(done);
        Some(done)
    }

    /// When a frame that has left the transmitter at `sent` comes out.
    fn draw_due(&mut self, now: Instant, sent: Instant) -> Instant {
        let jitter = self.up_to(self.settings.jitter);
        let on_time = later(later(sent, self.settings.delay), jitter);
        // Jitter alone changes no order.
        let in_order = self.last_due.map_or(on_time, |at| at.max(on_time)).max(now);
        if self.chance(self.settings.reorder) {
            self.stats.reordered += 1;
            let by = self.up_to(self.settings.reorder_by);
            return later(in_order, by);
        }
        self.last_due = Some(in_order);
        in_order
    }

    /// The next frame that is due at `now`, which is to be given back to [`recycle`](Self::recycle).
    pub(super) fn pop(&mut self, now: Instant) -> Option<Held> {
        if self.held.peek()?.due > now {
            return None;
        }
        let held = self.held.pop()?;
        self.held_bytes -= held.data.len();
        Some(held)
    }

    /// The next frame that is due at `now`, left where it is.
    pub(super) fn peek(&self, now: Instant) -> Option<&Held> {
        self.held.peek().filter(|held| held.due <= now)
    }

    /// Keeps a frame's memory for another.
    pub(super) fn recycle(&mut self, held: Held) {
        if self.pool.len() < POOL {
            self.pool.push(held.data);
        }
    }

    /// When the next frame is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.peek().map(|held| held.due)
    }

    /// True with probability `p`. Nothing is drawn when the answer is certain.
    fn chance(&mut self, p: f64) -> bool {
        if p <= 0.0 {
            return false;
        }
        // 2^64 as a float: only exact operations, equal on every machine.
        p >= 1.0 || self.rng.next_u64() < (p * 18_446_744_073_709_551_616.0) as u64
    }

    /// A number below `n`, which is not 0. The bias is below `n / 2^64`.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.rng.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A duration from zero to `max`, both included.
    fn up_to(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
        if nanos == 0 { Duration::ZERO } else { Duration::from_nanos(self.below(nanos + 1)) }
    }
}

fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or_else(|| at + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn line(settings: Impairment) -> Line {
        settings.validate().unwrap();
        Line::new(settings, 1, 0)
    }

    fn enter(line: &mut Line, now: Instant, data: &[u8]) {
        line.enter(now, &[data], false, 0);
    }

    /// Numbers of all frames in the order in which they come out, and when, ms after `start`.
    fn drain(line: &mut Line, start: Instant) -> Vec<(u32, u128)> {
        let mut out = Vec::new();
        while let Some(due) = line.next_due() {
            assert!(line.peek(due).is_some());
            let held = line.pop(due).expect("is due");
            let number = u32::from_be_bytes(held.data[..4].try_into().unwrap());
            out.push((number, due.saturating_duration_since(start).as_millis()));
            line.recycle(held);
        }
        assert_eq!(line.held_bytes, 0);
        out
    }

    fn burst(settings: Impairment, n: u32) -> (Line, Vec<(u32, u128)>) {
        let (mut line, now) = (line(settings), Instant::now());
        for i in 0..n {
            enter(&mut line, now, &i.to_be_bytes());
        }
        let out = drain(&mut line, now);
        (line, out)
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let (mut line, now) =
            (line(Impairment { delay: ms(20), ..Impairment::default() }), Instant::now());
        enter(&mut line, now, b"first");
        enter(&mut line, now + ms(5), b"second");
        assert_eq!(line.next_due(), Some(now + ms(20)));
        assert!(line.pop(now + ms(19)).is_none());
        assert_eq!(line.pop(now + ms(20)).unwrap().data, b"first");
        assert!(line.pop(now + ms(24)).is_none());
        assert_eq!(line.pop(now + ms(30)).unwrap().data, b"second");
        assert_eq!(line.next_due(), None);
    }

    #[test]
    fn probabilities_hold() {
        let settings = Impairment {
            loss: 0.1,
            duplicate: 0.05,
            reorder: 0.2,
            corrupt: 0.01,
            ..Impairment::default()
        };
        let (line, out) = burst(settings, 20_000);
        let stats = line.stats;
        assert_eq!(stats.frames, 20_000);
        assert!((1_800..2_200).contains(&stats.lost), "{stats:?}");
        assert!((800..1_000).contains(&stats.duplicated), "{stats:?}");
        assert!((3_400..4_000).contains(&stats.reordered), "{stats:?}");
        assert!((140..220).contains(&stats.corrupted), "{stats:?}");
        assert_eq!(out.len() as u64, 20_000 - stats.lost + stats.duplicated);
    }

    #[test]
    fn the_same_seed_does_the_same_and_another_does_not() {
        let settings = Impairment { loss: 0.3, reorder: 0.3, ..Impairment::default() };
        let now = Instant::now();
        let run = |seed, stream| {
            let mut line = Line::new(settings.clone(), seed, stream);
            for i in 0..200u32 {
                enter(&mut line, now, &i.to_be_bytes());
            }
            drain(&mut line, now)
        };
        assert_eq!(run(7, 0), run(7, 0));
        assert_ne!(run(7, 0), run(8, 0));
        assert_ne!(run(7, 0), run(7, 1));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let steady = Impairment { delay: ms(1), jitter: ms(5), ..Impairment::default() };
        let (_, out) = burst(steady.clone(), 1000);
        assert!(out.is_sorted());
        assert!(out[0].1 < 3 && out[999].1 > 4, "{:?} {:?}", out[0], out[999]);
        assert!(out[999].1 <= 6);
        let (line, out) = burst(Impairment { reorder: 0.1, ..steady }, 1000);
        let overtaken = out.windows(2).filter(|w| w[1].0 < w[0].0).count();
        assert!(overtaken > 10 && overtaken as u64 <= line.stats.reordered, "{overtaken}");
    }

    #[test]
    fn the_rate_is_kept_and_the_queue_drops_its_tail() {
        // 1,000 bytes take 1 ms at 8 Mbit/s.
        let (mut line, now) = (
            line(Impairment { rate: Some(8_000_000), queue: 3000, ..Impairment::default() }),
            Instant::now(),
        );
        let frame = |n: u32| [&n.to_be_bytes()[..], &[0; 996]].concat();
        for n in 0..5 {
            enter(&mut line, now, &frame(n));
        }
        assert_eq!(line.stats.queue_dropped, 2);
        enter(&mut line, now + ms(1), &frame(5));
        assert_eq!(drain(&mut line, now), [(0, 1), (1, 2), (2, 3), (5, 4)]);
        // Idle for a while: no credit was saved up.
        enter(&mut line, now + ms(100), &frame(6));
        enter(&mut line, now + ms(100), &frame(7));
        assert_eq!(drain(&mut line, now), [(6, 101), (7, 102)]);
        // A frame larger than the queue goes when the transmitter is free.
        line.settings.queue = 10;
        enter(&mut line, now + ms(200), &frame(8));
        enter(&mut line, now + ms(200), &frame(9));
        assert_eq!(drain(&mut line, now), [(8, 201)]);
        // Even the slowest rate and the longest delay are times that the clock can say.
        line.settings = Impairment { rate: Some(1), delay: Duration::MAX, ..Impairment::default() };
        enter(&mut line, now + ms(300), &[0; 1000]);
        assert!(line.next_due().unwrap() > now + ms(300));
    }

    #[test]
    fn corruption_flips_one_bit_and_ends_the_trust() {
        let (mut line, now) = (
            line(Impairment { corrupt: 1.0, duplicate: 1.0, ..Impairment::default() }),
            Instant::now(),
        );
        for _ in 0..100 {
            line.enter(now, &[&[0; 20], &[0; 10], &[0; 10]], true, 7);
            let mut seen = Vec::new();
            while let Some(held) = line.pop(now) {
                assert_eq!(held.data.len(), 40);
                assert_eq!(held.data.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
                assert!(!held.trusted);
                assert_eq!(held.gso_size, 7);
                seen.push(held.data);
            }
            assert_eq!(seen.len(), 2);
            assert_eq!(seen[0], seen[1], "the same frame twice");
        }
        // There is nothing to spoil in an empty frame.
        line.enter(now, &[], true, 0);
        assert!(line.pop(now).unwrap().trusted);
    }

    #[test]
    fn what_it_holds_is_bounded() {
        let settings = Impairment { delay: ms(10), limit: 3, ..Impairment::default() };
        let (line, out) = burst(settings, 10);
        assert_eq!((out.len(), line.stats.limit_dropped), (3, 7));
        let (mut line, now) = (
            Line::new(Impairment { delay: ms(10), ..Impairment::default() }, 1, 0),
            Instant::now(),
        );
        let big = vec![0; 65_000];
        for _ in 0..1100 {
            enter(&mut line, now, &big);
        }
        assert!(line.held_bytes <= MAX_HELD && line.held_bytes > MAX_HELD - 65_000);
        assert_eq!(line.stats.limit_dropped, 1100 - line.held.len() as u64);
    }

    #[test]
    fn memory_is_used_again() {
        let (mut line, now) =
            (line(Impairment { delay: ms(1), ..Impairment::default() }), Instant::now());
        for _ in 0..10 {
            enter(&mut line, now, &[1; 1500]);
            let held = line.pop(now + ms(60)).unwrap();
            line.recycle(held);
            assert_eq!(line.pool.len(), 1);
        }
    }
}
