//! How much a connection may queue: buffers that grow with the path and with what the application takes, within the bounds
//! of their [`BufferSize`] and of the stack's memory.
//!
//! **Receive**: dynamic right-sizing, as Linux's `tcp_rcv_space_adjust`. Once per round trip it is seen how much the
//! application took; the buffer is made to hold twice that, and more when it was more than the time before, so that the
//! advertised window never is what limits the sender. An application that reads slowly takes little, and its buffer stays.
//!
//! **Send**: as Linux's `tcp_sndbuf_expand`, twice the congestion window, when the application waits for room.
//!
//! Neither shrinks but by the stack's memory: while that is short no buffer counts as larger than it began, and where it is
//! used up as no larger than its least.

use usernet_wire::SeqNumber;
use usernet_wire::tcp::{MAX_WINDOW_SCALE, Timestamps};

use super::connection::{Connection, Ctx};
use super::state::{Rcv, State};
use crate::config::BufferSize;
use crate::event::Ready;
use crate::time::{Duration, Instant};

/// How much of the stack's memory for queues is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Level {
    /// Enough is left.
    #[default]
    Plenty,
    /// Three quarters: buffers grow no more, and count as no larger than they began.
    Pressure,
    /// All of it: buffers count as no larger than their least.
    Full,
    /// A quarter beyond it, since what was offered still comes: data that exceeds a buffer's least is dropped.
    Over,
}

impl Level {
    /// The level at which `used` bytes of `limit` are.
    pub(crate) fn of(used: u64, limit: usize) -> Self {
        let limit = limit as u64;
        match used {
            n if n >= limit + limit / 4 => Self::Over,
            n if n >= limit => Self::Full,
            n if n >= limit - limit / 4 => Self::Pressure,
            _ => Self::Plenty,
        }
    }
}

/// The levels of both directions' memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) receive: Level,
    pub(crate) send: Level,
}

/// What a buffer that has grown to `grown` counts as.
pub(super) fn effective(size: BufferSize, grown: usize, level: Level) -> usize {
    match level {
        Level::Plenty => grown.clamp(size.initial(), size.max()),
        Level::Pressure => size.initial(),
        Level::Full | Level::Over => size.min(),
    }
}

/// The window shift for a receive buffer: the least that can express it (RFC 7323 §2.3).
pub(super) fn window_scale(buffer: usize) -> u8 {
    (0..MAX_WINDOW_SCALE).find(|s| buffer >> s <= 0xffff).unwrap_or(MAX_WINDOW_SCALE)
}

/// Timestamps tick milliseconds: one that is echoed within the tick says no more than that.
const TICK: Duration = Duration::from_millis(1);

/// The receive buffer's size and what it follows.
#[derive(Debug)]
pub(super) struct RecvTuning {
    /// Bytes the buffer has grown to.
    pub(super) grown: usize,
    /// Round-trip time as the receiver sees it.
    rtt: Option<Duration>,
    /// Without timestamps: what arrives a window later left after our acknowledgement arrived.
    window_mark: Option<(SeqNumber, Instant)>,
    /// The timestamp that was echoed last: one sample of each.
    echoed: Option<u32>,
    /// Bytes the application took, ever.
    copied: u64,
    /// Of those, before this round trip; when it began; and how many the last one that counted took.
    mark: (u64, Instant),
    space: usize,
}

impl RecvTuning {
    /// `first` is what the peer may send in its first round trip, bytes.
    pub(super) fn new(first: usize, now: Instant) -> Self {
        Self {
            grown: 0,
            rtt: None,
            window_mark: None,
            echoed: None,
            copied: 0,
            mark: (0, now),
            space: first.max(1),
        }
    }

    /// A full segment with data arrived. `echo` is the timestamp it echoes and its age; `sender` the round-trip time that
    /// our own data measured, if any did, which is finer than what timestamps tell.
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        nxt: SeqNumber,
        window: u32,
        echo: Option<(u32, Duration)>,
        sender: Option<Duration>,
    ) {
        if let Some((echo, age)) = echo {
            if self.echoed == Some(echo) {
                return;
            }
            self.echoed = Some(echo);
            let sample = if age <= TICK { sender.map_or(TICK, |s| s.min(TICK)) } else { age };
            self.rtt = Some(self.rtt.map_or(sample, |rtt| rtt * 7 / 8 + sample / 8));
            return;
        }
        match self.window_mark {
            Some((edge, began)) if nxt.ge(edge) => {
                // How long a window takes is the round trip at least; so the least of it counts.
                let sample = now.since(began).max(Duration::from_micros(1));
                let sample = sender.map_or(sample, |s| s.min(sample));
                self.rtt = Some(self.rtt.map_or(sample, |rtt| rtt.min(sample)));
                self.window_mark = Some((nxt + window, now));
            }
            Some(_) => {}
            None => self.window_mark = Some((nxt + window, now)),
        }
    }

    /// The application took `n` bytes.
    pub(super) fn on_read(
        &mut self,
        now: Instant,
        n: usize,
        mss: usize,
        size: BufferSize,
        level: Level,
    ) {
        self.copied += n as u64;
        let (before, began) = self.mark;
        if self.rtt.is_none_or(|rtt| now.since(began) < rtt) {
            return;
        }
        let copied = (self.copied - before) as usize;
        self.mark = (self.copied, now);
        if copied <= self.space {
            return;
        }
        if level == Level::Plenty {
            // Twice what was taken, since ours arrives a round trip late, and room for a burst; and again as much as it
            // grew by, for the peer in slow start doubles. (Linux adds that twice and without a bound.)
            let base = 2 * copied + 16 * mss;
            let growth = base as u128 * (copied - self.space) as u128 / self.space as u128;
            let wanted = base + growth.min(base as u128) as usize;
            self.grown = self.grown.max(wanted.min(size.max()));
        }
        self.space = copied;
    }

    /// Round-trip time as the receiver sees it, once known.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }
}

impl Connection {
    /// How large the receive buffer is now, bytes.
    pub(super) fn recv_buffer(&self, level: Level) -> usize {
        effective(
            self.options.recv_buffer,
            self.recv_tuning.as_ref().map_or(0, |tuning| tuning.grown),
            level,
        )
    }

    fn recv_tuning_mut(&mut self) -> &mut RecvTuning {
        // What a peer may send before it hears of us: its initial window (RFC 6928), or ours.
        let (size, mss) = (self.options.recv_buffer, self.path.mss(self.is_v6()));
        let first = size.initial().min(10 * usize::from(mss));
        self.recv_tuning.get_or_insert_with(|| Box::new(RecvTuning::new(first, Instant::ZERO)))
    }

    /// How large the send buffer is now, bytes.
    pub(super) fn send_buffer(&self, level: Level) -> usize {
        effective(self.options.send_buffer, self.send_grown, level)
    }

    /// Room in the receive buffer for the window, bytes.
    pub(super) fn free(&self, ctx: &Ctx<'_>) -> usize {
        self.recv_buffer(ctx.memory.receive).saturating_sub(self.rx.len())
    }

    /// Bytes of receive memory held, out-of-order data with its bookkeeping.
    pub(crate) fn receive_memory(&self) -> usize {
        self.rx.len() + self.state.receiver().map_or(0, |rcv| rcv.ooo.memory())
    }

    /// Bytes of send memory held.
    pub(crate) fn send_memory(&self) -> usize {
        let sender = self.state.sender().map(|snd| &snd.buf);
        sender.or(self.state.handshake().map(|hs| &hs.buf)).map_or(0, |buf| buf.len())
    }

    /// Room in the send queue, bytes.
    pub(crate) fn send_room(&self, level: Level) -> usize {
        match &self.state {
            State::SynSent(_)
            | State::SynReceived(_)
            | State::Established(_)
            | State::CloseWait(_) => self.send_buffer(level).saturating_sub(self.send_memory()),
            _ => 0,
        }
    }

    /// Acknowledged data made room: the application hears of it once a third of the buffer is free. That it waits says
    /// that the buffer limits it: the buffer grows with the congestion window, twice of it so that there is something to
    /// send while acknowledgements are under way.
    pub(super) fn check_writable(&mut self, ctx: &Ctx<'_>) {
        if !self.wants_write {
            return;
        }
        let level = ctx.memory.send;
        if level == Level::Plenty
            && let Some(snd) = self.state.sender()
        {
            let wanted = (snd.cwnd() as usize).saturating_mul(2);
            self.send_grown = self.send_grown.max(wanted.min(self.options.send_buffer.max()));
        }
        if self.send_room(level) >= (self.send_buffer(level) / 3).max(1) {
            self.wants_write = false;
            self.ready |= Ready::WRITABLE;
        }
    }

    /// The application took `n` bytes: the receive buffer follows.
    pub(super) fn tune_receive_buffer(&mut self, ctx: &Ctx<'_>, n: usize) {
        let Some(rcv) = self.state.receiver() else { return };
        let mss = rcv.rcv_mss() as usize;
        let size = self.options.recv_buffer;
        self.recv_tuning_mut().on_read(ctx.now, n, mss, size, ctx.memory.receive);
    }

    /// There is more room: the peer hears of it if it is worth it.
    pub(super) fn update_window(&mut self, ctx: &Ctx<'_>) {
        let (free, buffer) = (self.free(ctx), self.recv_buffer(ctx.memory.receive));
        if let Some((_, Rcv::Open(rcv))) = self.state.sides() {
            rcv.after_read(free, buffer);
        }
    }

    /// A segment of `len` bytes arrived in order: what it says of the round trip as the receiver sees it.
    pub(super) fn time_receiver(&mut self, now: Instant, len: u32, stamps: Option<Timestamps>) {
        if matches!(self.options.recv_buffer, BufferSize::Fixed(_)) {
            return;
        }
        let clock = self.ts_now(now);
        let sender = self.state.sender().map(|snd| snd.rtt.min_rtt()).filter(|rtt| !rtt.is_zero());
        let Some(rcv) = self.state.receiver() else { return };
        if len < rcv.rcv_mss() {
            return;
        }
        let (nxt, window) = (rcv.acks.nxt, rcv.acks.window());
        let echo = stamps
            .filter(|s| rcv.acks.timestamps() && s.ecr != 0)
            .map(|s| (s.ecr, clock.wrapping_sub(s.ecr)))
            .filter(|(_, ms)| *ms < 1 << 24)
            .map(|(ecr, ms)| (ecr, Duration::from_millis(ms.into())));
        self.recv_tuning_mut().on_data(now, nxt, window, echo, sender);
    }

    /// Whether data that arrives is to be dropped, since memory is used up and the application has its least to read
    /// already. What is held ahead of a gap does not count: the gap must be able to close.
    pub(super) fn must_drop(&self, ctx: &Ctx<'_>, len: usize) -> bool {
        ctx.memory.receive == Level::Over
            && len > 0
            && self.rx.len() > 0
            && self.rx.len() + len > self.options.recv_buffer.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: BufferSize = BufferSize::Auto { min: 4096, default: 65_536, max: 6 << 20 };

    #[test]
    fn levels_of_memory() {
        let level = |used| Level::of(used, 1000);
        assert_eq!(level(749), Level::Plenty);
        assert_eq!(level(750), Level::Pressure);
        assert_eq!(level(1000), Level::Full);
        assert_eq!(level(1250), Level::Over);
        assert_eq!(Level::of(0, 0), Level::Over, "a limit of nothing leaves the least");
    }

    #[test]
    fn short_memory_makes_buffers_count_less() {
        let size = |level| effective(AUTO, 1 << 20, level);
        assert_eq!(size(Level::Plenty), 1 << 20);
        assert_eq!(size(Level::Pressure), 65_536);
        assert_eq!((size(Level::Full), size(Level::Over)), (4096, 4096));
        assert_eq!(effective(AUTO, 0, Level::Plenty), 65_536);
        assert_eq!(effective(AUTO, usize::MAX, Level::Plenty), 6 << 20);
    }

    /// A sender that fills the window each round trip: how large it gets.
    fn fill(rtt_ms: u64, bytes_per_rtt: usize, level: Level) -> usize {
        let mut tuning = RecvTuning::new(14_600, Instant::ZERO);
        for round in 1..30u64 {
            let now = Instant::from_millis(round * rtt_ms);
            let window = effective(AUTO, tuning.grown, level);
            let n = bytes_per_rtt.min(window);
            let echo = Some((round as u32, Duration::from_millis(rtt_ms)));
            tuning.on_data(now, SeqNumber(round as u32), window as u32, echo, None);
            tuning.on_read(now, n, 1460, AUTO, level);
        }
        effective(AUTO, tuning.grown, level)
    }

    #[test]
    fn grows_to_twice_the_product_of_bandwidth_and_delay() {
        let grown = fill(100, 1_000_000, Level::Plenty);
        assert!((2_000_000..4_500_000).contains(&grown), "{grown}");
        assert_eq!(fill(100, 100 << 20, Level::Plenty), 6 << 20, "the most it may");
        assert_eq!(fill(100, 10_000, Level::Plenty), 65_536, "a slow application");
        assert_eq!(fill(100, 100 << 20, Level::Pressure), 65_536, "not while memory is short");
    }

    #[test]
    fn without_timestamps_a_window_tells_the_time() {
        let mut tuning = RecvTuning::new(14_600, Instant::ZERO);
        let mut nxt = SeqNumber(u32::MAX - 1000);
        for ms in [10, 60, 110] {
            tuning.on_data(Instant::from_millis(ms), nxt, 1000, None, None);
            nxt += 1000;
        }
        assert_eq!(tuning.rtt(), Some(Duration::from_millis(50)));
    }

    #[test]
    fn one_sample_of_each_timestamp() {
        let mut tuning = RecvTuning::new(14_600, Instant::ZERO);
        for age in [40, 400] {
            let echo = Some((7, Duration::from_millis(age)));
            tuning.on_data(Instant::from_millis(100), SeqNumber(1), 1000, echo, None);
        }
        assert_eq!(tuning.rtt(), Some(Duration::from_millis(40)));
    }
}
