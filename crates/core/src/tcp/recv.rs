//! The receive side of a synchronised connection: which segments are acceptable, what is acknowledged when, and which
//! window is advertised (RFC 9293 §3.8.6, §3.10.7.4; RFC 7323; RFC 2018).

use arrayvec::ArrayVec;
use usernet_wire::SeqNumber;
use usernet_wire::tcp::{SackBlock, Timestamps};

use super::ack_timeout::{AckTimeout, Pace};
use super::assembler::Assembler;
use crate::lazy::Lazy;
use crate::payload::Payload;
use crate::time::{Duration, Instant};

/// An idle time after which TS.Recent is not to be trusted (RFC 7323 §5.5).
const TS_RECENT_EXPIRES: Duration = Duration::from_secs(24 * 24 * 3600);

/// When the peer hears of what arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckDue {
    /// It knows all.
    No,
    /// At that time at the latest (RFC 9293 §3.8.6.3).
    At(Instant),
    /// At once.
    Now,
}

/// TS.Recent (RFC 7323 §4.3).
#[derive(Clone, Copy, Debug)]
struct TsRecent {
    val: u32,
    at: Instant,
}

/// What the handshake settled for the receive side.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecvParams {
    /// The peer's initial sequence number.
    pub(super) irs: SeqNumber,
    /// Window advertised so far, bytes from `irs + 1`.
    pub(super) window: u32,
    /// Our window shift.
    pub(super) wscale: u8,
    /// The peer's last TSval, when timestamps are in use.
    pub(super) ts_recent: Option<u32>,
    /// Whether the peer takes SACK blocks.
    pub(super) sack: bool,
    /// Expected size of the peer's full segments.
    pub(super) mss: u32,
    /// The MSS that we announced: no segment of the peer's is larger, whatever a device merged.
    pub(super) advmss: u32,
    /// See [`SocketOptions::quick_acks`](crate::SocketOptions).
    pub(super) quick_acks: u8,
}

/// What every synchronised state needs to acknowledge: also those in which the peer sends no more.
#[derive(Debug)]
pub(super) struct AckSide {
    /// RCV.NXT.
    pub(super) nxt: SeqNumber,
    /// The right edge of the window that the peer knows of; it never moves left (RFC 9293 §3.8.6 SHLD-14).
    edge: SeqNumber,
    /// Our window shift.
    pub(super) wscale: u8,
    ts_recent: Option<TsRecent>,
    /// Last.ACK.sent (RFC 7323 §4.3).
    last_ack_sent: SeqNumber,
    due: AckDue,
    /// Segments without data or FIN that did not fit and were answered, and since when they are counted.
    answered_since: Instant,
    answered: u8,
}

/// For how long such answers are counted (Linux `tcp_invalid_ratelimit`), and how many there are at most in that time.
const ANSWERS_TIME: Duration = Duration::from_millis(500);
const MAX_ANSWERS: u8 = 10;

/// How a segment relates to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptable {
    /// In part at least.
    Yes,
    /// Not, but the acknowledgement it carries is still to be taken: a probe of our closed window (RFC 9293 §3.10.7.4).
    AckOnly,
    /// Not.
    No,
}

impl AckSide {
    /// RCV.WND as the peer knows it.
    pub(super) fn window(&self) -> u32 {
        if self.edge.gt(self.nxt) { self.edge.since(self.nxt) } else { 0 }
    }

    /// The acceptability test of RFC 9293 §3.10.7.4, table 6. `len` counts SYN and FIN.
    pub(super) fn acceptable(&self, seq: SeqNumber, len: u32) -> Acceptable {
        let wnd = self.window();
        let ok = match (len, wnd) {
            (0, 0) => seq == self.nxt,
            // The right edge itself counts too, as in Linux: a peer whose window was full sends its pure ACKs from there.
            (0, _) => seq.within(self.nxt, wnd + 1),
            (_, 0) => {
                return if seq == self.nxt { Acceptable::AckOnly } else { Acceptable::No };
            }
            (..) => {
                seq.within(self.nxt, wnd) || (seq + (len - 1)).within(self.nxt, wnd)
                // It begins before and ends behind the window.
                || (seq.lt(self.nxt) && (seq + len).gt(self.nxt))
            }
        };
        if ok { Acceptable::Yes } else { Acceptable::No }
    }

    /// Whether timestamps are in use.
    pub(super) fn timestamps(&self) -> bool {
        self.ts_recent.is_some()
    }

    /// Protection against wrapped sequence numbers (RFC 7323 §5.3 R1): whether the segment is too old. Never asked for a
    /// RST (§5.2).
    pub(super) fn too_old(&self, now: Instant, stamps: Option<Timestamps>) -> bool {
        match (self.ts_recent, stamps) {
            (Some(recent), Some(stamps)) => {
                (stamps.val.wrapping_sub(recent.val) as i32) < 0
                    && now.since(recent.at) < TS_RECENT_EXPIRES
            }
            _ => false,
        }
    }

    /// Takes the peer's timestamp of an acceptable segment (RFC 7323 §4.3 (2)).
    pub(super) fn take_timestamp(&mut self, now: Instant, seq: SeqNumber, stamps: Timestamps) {
        if let Some(recent) = &mut self.ts_recent
            && seq.le(self.last_ack_sent)
        {
            *recent = TsRecent { val: stamps.val, at: now };
        }
    }

    /// What the next segment echoes.
    pub(super) fn ts_recent(&self) -> Option<u32> {
        self.ts_recent.map(|recent| recent.val)
    }

    /// An acknowledgement goes out with the next poll.
    pub(super) fn ack_now(&mut self) {
        self.due = AckDue::Now;
    }

    /// Answers a segment that does not fit. Ones that are mere acknowledgements only so often (RFC 5961 §7): two ends
    /// that disagree would answer each other for ever. Data and FIN are answered always, as a lost acknowledgement must
    /// be repeated.
    pub(super) fn answer(&mut self, now: Instant, mere_ack: bool) {
        if mere_ack {
            if now >= self.answered_since + ANSWERS_TIME {
                (self.answered_since, self.answered) = (now, 0);
            }
            if self.answered >= MAX_ANSWERS {
                return;
            }
            self.answered += 1;
        }
        self.ack_now();
    }

    fn ack_by(&mut self, at: Instant) {
        match self.due {
            AckDue::No => self.due = AckDue::At(at),
            AckDue::At(_) | AckDue::Now => {}
        }
    }

    /// Whether an acknowledgement is due.
    pub(super) fn ack_due(&self, now: Instant) -> bool {
        match self.due {
            AckDue::Now => true,
            AckDue::At(at) => at <= now,
            AckDue::No => false,
        }
    }

    /// Time has passed: a delayed acknowledgement that is due goes out with the next poll.
    /// Answers whether there is one.
    pub(super) fn on_timer(&mut self, now: Instant) -> bool {
        let over = matches!(self.due, AckDue::At(at) if at <= now);
        if over {
            self.due = AckDue::Now;
        }
        over
    }

    /// When a delayed acknowledgement is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.due {
            AckDue::At(at) => Some(at),
            AckDue::Now | AckDue::No => None,
        }
    }

    /// A segment goes out: it acknowledges everything. Gives the window field.
    pub(super) fn advertise(&mut self, edge: SeqNumber) -> u16 {
        self.due = AckDue::No;
        self.last_ack_sent = self.nxt;
        self.edge = self.edge.max(edge);
        let wnd = self.window();
        // A window that is not a multiple of the scale's unit is rounded down; the edge does not move for that.
        (wnd >> self.wscale).min(0xffff) as u16
    }
}

impl AckSide {
    /// A SYN-ACK goes out that acknowledges data: as [`advertise`](Self::advertise), but its window is not scaled
    /// (RFC 7323 §2.2).
    pub(super) fn advertise_unscaled(&mut self, free: usize) -> u16 {
        let window = free.min(0xffff) as u16;
        self.advertise(self.nxt + u32::from(window));
        self.window().min(0xffff) as u16
    }
}

/// What data did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// Bytes that can be read now.
    pub(super) readable: usize,
    /// Whether everything up to the peer's FIN, and the FIN, has arrived.
    pub(super) fin: bool,
}

/// The receive side while the peer may still send.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) acks: AckSide,
    /// Made when something arrives ahead of a gap, and gone when no gap is left.
    pub(super) ooo: Lazy<Assembler>,
    /// Where the peer's FIN lies, once it was seen ahead of a gap.
    fin_at: Option<SeqNumber>,
    sack: bool,
    /// The duplicate to report (RFC 2883).
    dsack: Option<SackBlock>,
    /// Largest segment seen lately: what "full-sized" means for the peer.
    rcv_mss: u32,
    advmss: u32,
    /// Bytes since the last acknowledgement.
    unacked: u32,
    /// Acknowledgements that are still to go at once, and how many a loss brings back.
    quick: u8,
    quick_acks: u8,
    /// How long they wait otherwise.
    pub(super) timeout: Lazy<AckTimeout>,
    /// When data came last, or the handshake was over.
    last_data: Instant,
    /// The application answers what it gets: an acknowledgement can ride on the answer.
    interactive: bool,
}

impl Receiver {
    pub(super) fn new(params: RecvParams, now: Instant) -> Self {
        let nxt = params.irs + 1;
        Self {
            acks: AckSide {
                nxt,
                edge: nxt + params.window,
                wscale: params.wscale,
                ts_recent: params.ts_recent.map(|val| TsRecent { val, at: now }),
                last_ack_sent: nxt,
                due: AckDue::No,
                answered_since: now,
                answered: 0,
            },
            ooo: Lazy::default(),
            fin_at: None,
            sack: params.sack,
            dsack: None,
            rcv_mss: params.mss,
            advmss: params.advmss,
            unacked: 0,
            quick: params.quick_acks,
            quick_acks: params.quick_acks,
            timeout: Lazy::default(),
            last_data: now,
            interactive: false,
        }
    }

    /// New data of ours goes out: when it follows the peer's, or the handshake, at once, the two take turns (as in Linux).
    pub(super) fn on_answer(&mut self, now: Instant, delay: Duration) {
        self.interactive |= now.since(self.last_data) < delay;
    }

    /// Something is amiss on the path: the peer should hear of all that arrives.
    fn quicken(&mut self) {
        self.quick = self.quick_acks;
        self.interactive = false;
    }

    /// Takes the data and FIN of an acceptable segment. `segment_size` is the size of the wire's segments, `pace` how
    /// long an acknowledgement may wait, `limit` the memory that data ahead of a gap may take, bytes.
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        mut seq: SeqNumber,
        mut data: Payload,
        mut fin: bool,
        segment_size: u32,
        mut push: impl FnMut(Payload),
        pace: Pace,
        limit: usize,
    ) -> Received {
        let mut result = Received::default();
        let nxt = self.acks.nxt;
        let end = seq + data.len() as u32;
        if data.is_empty() && !fin {
            return result;
        }
        if self.timeout.on_data(now, pace) {
            // The sender restarts after its idle time from a small window (RFC 5681 §4.1), as at the start.
            self.quick = self.quick_acks;
        }
        if data.len() as u32 > segment_size {
            self.timeout.on_more_data((data.len() as u32 - 1) / segment_size.max(1), pace);
        }
        // What we have already is cut off its front: a duplicate, reported at once (RFC 9293 §3.10.7.4, RFC 2883 §4).
        if seq.lt(nxt) {
            let dup = nxt.since(seq).min(data.len() as u32);
            if dup > 0 && self.sack {
                self.dsack = Some((seq, seq + dup));
            }
            data.narrow(dup as usize..data.len());
            seq += dup;
            self.quicken();
            self.acks.ack_now();
            if seq.lt(nxt) || (data.is_empty() && !fin) {
                return result;
            }
        }
        // What lies past the window is cut off its end.
        let room = if self.acks.edge.gt(seq) { self.acks.edge.since(seq) } else { 0 };
        if data.len() as u32 > room {
            data.narrow(0..room as usize);
            fin = false;
            self.acks.ack_now();
        }
        if let Some(at) = self.fin_at {
            // Nothing can lie behind a FIN.
            if end.gt(at) && !data.is_empty() {
                let keep = if at.gt(seq) { at.since(seq).min(data.len() as u32) } else { 0 };
                data.narrow(0..keep as usize);
            }
        } else if fin {
            self.fin_at = Some(end);
        }
        // What is held already and came again, in part or in whole, is reported (RFC 2883 §4.1, §4.2).
        let again = self.ooo.overlap(seq, seq + data.len() as u32);
        if self.sack && self.dsack.is_none() {
            self.dsack = again;
        }
        if seq == nxt {
            let len = data.len() as u32;
            self.acks.nxt += len;
            result.readable += data.len();
            if len > 0 {
                push(data);
            }
            if !self.ooo.is_empty() {
                let readable = &mut result.readable;
                self.acks.nxt = self.ooo.take(self.acks.nxt, |piece| {
                    *readable += piece.len();
                    push(piece);
                });
                if self.ooo.is_empty() {
                    self.ooo.reset();
                }
                // RFC 5681 §4.2: a segment that fills a gap, in part or in whole, is acknowledged at once.
                self.acks.ack_now();
            }
            self.delay_ack(now, len, segment_size, pace);
        } else {
            self.ooo.insert(seq, data, limit);
            if let Some((from, _)) = again {
                self.ooo.touch(from);
            }
            // RFC 9293 §3.10.7.4 SHLD-31, MAY-13, RFC 5681 §4.2: it is kept, and the sender hears of it at once.
            self.quicken();
            self.acks.ack_now();
        }
        if self.fin_at.is_some_and(|at| at.le(self.acks.nxt)) {
            self.acks.nxt += 1;
            self.ooo.reset();
            self.acks.ack_now();
            result.fin = true;
        }
        result
    }

    /// Most bytes that can be taken in one pass from `seq` on, as if their segments came one by one: those in order and
    /// within the window, while nothing waits ahead of a gap.
    pub(super) fn in_order_room(
        &self,
        now: Instant,
        seq: SeqNumber,
        tsval: Option<u32>,
    ) -> Option<u32> {
        let stamps = tsval.map(|val| Timestamps { val, ecr: 0 });
        let plain = seq == self.acks.nxt
            && self.ooo.is_empty()
            && self.fin_at.is_none()
            && !self.acks.too_old(now, stamps);
        plain.then(|| self.acks.window())
    }

    /// RFC 9293 §3.8.6.3: at least every second full-sized segment (SHLD-19), and no later than the delay (SHLD-18).
    fn delay_ack(&mut self, now: Instant, len: u32, segment_size: u32, pace: Pace) {
        self.rcv_mss = self.rcv_mss.max(segment_size.min(self.advmss));
        self.unacked = self.unacked.saturating_add(len);
        self.last_data = now;
        let quick = self.quick > 0 && !self.interactive;
        if pace.delay.is_zero() || quick || self.unacked >= 2 * self.rcv_mss {
            self.acks.ack_now();
        } else {
            self.acks.ack_by(now + self.timeout.delay(pace));
        }
    }

    /// The right edge that a queue with `free` bytes of room allows, unless that is too little to be worth telling
    /// (receiver SWS avoidance, RFC 9293 §3.8.6.2.2 MUST-39).
    fn new_edge(&self, free: usize, buffer: usize) -> SeqNumber {
        // What the window field can say bounds it too (RFC 7323 §2.3).
        let edge = self.acks.nxt + free.min(0xffff << self.acks.wscale) as u32;
        let half = buffer as u32 / 2;
        let least = half.min(self.rcv_mss).max(1);
        // What is silly is a small window; one of at least half the buffer moves on by any number of bytes, as in Linux
        // and FreeBSD.
        let wide = edge.since(self.acks.nxt) >= half.min(0xffff << self.acks.wscale).max(1);
        if edge.gt(self.acks.edge) && (wide || edge.since(self.acks.edge) >= least) {
            // A multiple of the scale's unit, so that what the peer computes is what we mean.
            edge - (edge.since(self.acks.nxt) & ((1 << self.acks.wscale) - 1))
        } else {
            self.acks.edge
        }
    }

    /// A segment goes out: gives its window field.
    pub(super) fn advertise(&mut self, free: usize, buffer: usize) -> u16 {
        let edge = self.new_edge(free, buffer);
        if self.unacked > 0 {
            self.quick = self.quick.saturating_sub(1);
        }
        self.unacked = 0;
        self.acks.advertise(edge)
    }

    /// The application took data: whether the window opened so much that the peer should hear of it. As in Linux, when it
    /// at least doubles what the peer may still send.
    pub(super) fn after_read(&mut self, free: usize, buffer: usize) {
        let window = self.acks.window();
        let edge = self.new_edge(free, buffer);
        if edge.gt(self.acks.edge) && edge.since(self.acks.nxt) / 2 >= window {
            self.acks.ack_now();
        }
    }

    /// The SACK blocks of the next acknowledgement: a duplicate first (RFC 2883 §4), then the newest (RFC 2018 §4).
    pub(super) fn sack_blocks(&mut self, max: usize) -> ArrayVec<SackBlock, 4> {
        let mut blocks = ArrayVec::new();
        if !self.sack {
            return blocks;
        }
        blocks.extend(self.dsack.take());
        blocks.extend(self.ooo.sack_blocks(max - blocks.len()));
        blocks
    }

    /// Whether the next SACK reports a duplicate, and then whether of what is acknowledged already.
    pub(super) fn duplicate_due(&self) -> Option<bool> {
        self.dsack.map(|(_, right)| right.le(self.acks.nxt))
    }

    /// A segment that lies wholly before RCV.NXT came: its data is reported as a duplicate (RFC 2883 §4).
    pub(super) fn note_duplicate(&mut self, seq: SeqNumber, len: u32) {
        if self.sack && len > 0 && (seq + len).le(self.acks.nxt) {
            self.dsack = Some((seq, seq + len));
        }
    }

    /// Largest segment seen: what "full-sized" means for the peer, bytes.
    pub(super) fn rcv_mss(&self) -> u32 {
        self.rcv_mss
    }

    /// The peer's FIN has arrived: only acknowledging is left.
    pub(super) fn close(self) -> AckSide {
        self.acks
    }
}
