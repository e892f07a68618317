//! Controlled delay (CoDel, RFC 8289): drops from the head of a queue that stays long for too long.

use std::collections::VecDeque;

use usernet_core::{Duration, Instant};

use crate::packet::Frame;
use crate::rewrite;

/// Settings of CoDel (RFC 8289 §4.2, §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDel {
    /// Delay that a queue may have for good.
    pub target: Duration,
    /// How long it may have more than that before packets are dropped; in the order of the longest round-trip time.
    pub interval: Duration,
    /// Whether ECN-capable packets are marked instead of dropped (RFC 8289 §4.2's "dropped" may be either; RFC 7567 §4.2.1).
    pub ecn: bool,
}

impl Default for CoDel {
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100), ecn: true }
    }
}

/// The state of the algorithm, under the names of RFC 8289 §5.3.
#[derive(Debug, Default)]
pub(crate) struct State {
    first_above: Option<Instant>,
    drop_next: Instant,
    count: u32,
    last_count: u32,
    dropping: bool,
    /// Packets marked in the place of being dropped.
    pub(crate) marked: u64,
}

impl State {
    /// The next packet to send; the ones to drop before it go to `dropped`. `mtu` bytes may always wait.
    pub(crate) fn dequeue(
        &mut self,
        settings: CoDel,
        now: Instant,
        mtu: usize,
        queue: &mut Queue,
        dropped: &mut Vec<Frame>,
    ) -> Option<Frame> {
        let (mut frame, mut ok_to_drop) = self.take(settings, now, mtu, queue);
        if self.dropping {
            if !ok_to_drop {
                self.dropping = false;
            }
            while self.dropping && now >= self.drop_next {
                self.count += 1;
                if self.mark(settings, &mut frame) {
                    self.drop_next = control_law(settings, self.drop_next, self.count);
                    break;
                }
                dropped.extend(frame.take());
                (frame, ok_to_drop) = self.take(settings, now, mtu, queue);
                if ok_to_drop {
                    self.drop_next = control_law(settings, self.drop_next, self.count);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            if !self.mark(settings, &mut frame) {
                dropped.extend(frame.take());
                (frame, _) = self.take(settings, now, mtu, queue);
            }
            self.dropping = true;
            // RFC 8289 §5.4: when the last dropping state is recent, go on at the rate it had found.
            let delta = self.count - self.last_count;
            let recent = now.since(self.drop_next) < settings.interval * 16;
            self.count = if delta > 1 && recent { delta } else { 1 };
            self.drop_next = control_law(settings, now, self.count);
            self.last_count = self.count;
        }
        frame
    }

    /// Marks a packet in the place of dropping it, if it is ECN-capable.
    fn mark(&mut self, settings: CoDel, frame: &mut Option<Frame>) -> bool {
        let marked = settings.ecn
            && frame.as_mut().is_some_and(|frame| rewrite::mark_congestion(&mut frame.bytes));
        self.marked += u64::from(marked);
        marked
    }

    fn take(
        &mut self,
        settings: CoDel,
        now: Instant,
        mtu: usize,
        queue: &mut Queue,
    ) -> (Option<Frame>, bool) {
        let Some(frame) = queue.pop() else {
            self.first_above = None;
            return (None, false);
        };
        let mut ok_to_drop = false;
        if now.since(frame.queued_at) < settings.target || queue.bytes <= mtu {
            self.first_above = None;
        } else {
            match self.first_above {
                None => self.first_above = Some(now + settings.interval),
                Some(at) => ok_to_drop = now >= at,
            }
        }
        (Some(frame), ok_to_drop)
    }
}

fn control_law(settings: CoDel, from: Instant, count: u32) -> Instant {
    // Square roots are exact to the last bit in IEEE 754: the same on every machine.
    from + Duration::from_nanos(
        (settings.interval.as_nanos() as f64 / f64::from(count).sqrt()) as u64,
    )
}

/// A queue of packets that knows its length in bytes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    frames: VecDeque<Frame>,
    pub(crate) bytes: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.bytes.len();
        Some(frame)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}
