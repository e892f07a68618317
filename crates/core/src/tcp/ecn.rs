//! Explicit congestion notification: RFC 3168, where one bit says "congestion" until it was heard, and AccECN (RFC 9768),
//! where a counter in three header bits says how many packets were marked.
//!
//! Data that is sent for the first time is ECT(0); retransmissions, pure acknowledgements, probes, SYN and RST are not
//! (RFC 3168 §6.1.1, §6.1.4, §6.1.5, §6.1.6). AccECN's option, which counts bytes, is in
//! `ecn_option.rs`. Who does not understand AccECN's SYN answers it with RFC 3168 or nothing, and is taken at that.

use usernet_wire::tcp::{AccEcn, Flags, Repr};

use super::connection::{Connection, Segment};
use super::ecn_option::{ByteCounters, plausible};
use super::send::Outgoing;
use crate::config::EcnPolicy;
use crate::lazy::blank;

/// The two ECN bits of an IP header (RFC 3168 §5).
pub(crate) const NOT_ECT: u8 = 0b00;
pub(crate) const ECT_1: u8 = 0b01;
pub(crate) const ECT_0: u8 = 0b10;
pub(crate) const CE: u8 = 0b11;

/// What both counters of marked packets begin with (RFC 9768 §3.2.2.1): no field that was cleared on the way looks so.
const FIRST_COUNT: u32 = 0b101;

/// Packets marked since the last acknowledgement that make one go at once (RFC 9768 §3.2.2.5.1: 2 to 6).
const MARKS_PER_ACK: u8 = 2;

/// Which notification a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EcnMode {
    /// None.
    #[default]
    Off,
    /// RFC 3168.
    Classic,
    /// AccECN, RFC 9768.
    Accurate,
}

impl EcnMode {
    /// `off`, `classic`, `accurate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Classic => "classic",
            Self::Accurate => "accurate",
        }
    }
}

/// A connection's part in it.
#[derive(Debug, Default)]
pub(super) struct Ecn {
    pub(super) mode: EcnMode,
    /// What our SYN asked for.
    asked: EcnMode,
    /// The mark on the peer's SYN or SYN-ACK, for the answer (RFC 9768 §3.1.1).
    syn_mark: u8,
    /// A packet with ECT or CE came.
    pub(super) seen: bool,
    /// Packets of ours that were marked.
    pub(super) delivered_ce: u32,
    /// Packets of the peer's that were marked.
    pub(super) received_ce: u32,
    /// RFC 3168 §6.1.3: ECE goes with every acknowledgement until the peer's CWR.
    echo: bool,
    /// RFC 3168 §6.1.2: CWR goes with the next new data.
    pub(super) cwr_due: bool,
    /// AccECN: marked packets that came (r.cep), and that the peer told of (s.cep).
    came: u32,
    told: u32,
    /// Marked packets since the last acknowledgement, and whether the newest packet was.
    marks: u8,
    marked: bool,
    /// The acknowledgement that ends our handshake says what mark the SYN-ACK had (RFC 9768 §3.2.2.1).
    handshake_ack: bool,
    /// The first counter of the peer was seen, and was none: the path clears it, nothing more is marked as ECT.
    checked: bool,
    pub(super) blind: bool,
    /// The segment that ends the handshake has no counter, and its mark was taken.
    handshake_over: bool,
    /// AccECN's option.
    pub(super) bytes: ByteCounters,
}

blank!(Ecn);

impl Ecn {
    fn settle(&mut self, mode: EcnMode) {
        self.mode = mode;
        (self.came, self.told) = (FIRST_COUNT, FIRST_COUNT);
    }
}

/// The three bits of AccECN's counter.
fn ace(flags: Flags) -> u32 {
    u32::from(flags.contains(Flags::AE)) << 2
        | u32::from(flags.contains(Flags::CWR)) << 1
        | u32::from(flags.contains(Flags::ECE))
}

fn set_ace(flags: &mut Flags, value: u32) {
    flags.set(Flags::AE, value & 4 != 0);
    flags.set(Flags::CWR, value & 2 != 0);
    flags.set(Flags::ECE, value & 1 != 0);
}

/// How a SYN-ACK, and the acknowledgement of one, tells the mark of the packet it answers (RFC 9768 §3.1.1, table 2;
/// §3.2.2.1, table 3).
fn handshake_code(mark: u8) -> u32 {
    match mark {
        ECT_1 => 0b011,
        ECT_0 => 0b100,
        CE => 0b110,
        _ => 0b010,
    }
}

impl Connection {
    // --- the handshake ---

    /// A SYN came to a listener: what its answer agrees to.
    pub(super) fn accept_ecn(&mut self, syn: &Segment) {
        let policy = self.options.ecn;
        let mode = match ace(syn.header.flags) {
            0b111 if policy.accepts_accurate() => EcnMode::Accurate,
            // RFC 9768 §3.1.2: whoever does not know AE takes it for RFC 3168.
            0b111 | 0b011 if policy.accepts_classic() => EcnMode::Classic,
            _ => EcnMode::Off,
        };
        if mode == EcnMode::Off && syn.ecn == NOT_ECT {
            return;
        }
        self.ecn.settle(mode);
        self.ecn.syn_mark = syn.ecn;
        self.ecn.seen |= syn.ecn != NOT_ECT;
    }

    /// The flags of our SYN or SYN-ACK. `sent` is how often it was sent, this time included.
    pub(super) fn mark_syn(&mut self, header: &mut Repr, sent: u8) {
        if header.flags.contains(Flags::ACK) {
            match self.ecn.mode {
                EcnMode::Off => {}
                EcnMode::Classic => header.flags |= Flags::ECE,
                // Something on the path may not let it through: not for ever (RFC 9768 §3.1.4.2).
                EcnMode::Accurate if sent > 2 => {}
                EcnMode::Accurate => {
                    set_ace(&mut header.flags, handshake_code(self.ecn.syn_mark));
                    // RFC 9768 §3.2.3.2.2: not again, should the option be why it was lost.
                    if sent <= 1 {
                        let room = self.cookie.is_none();
                        header.options.acc_ecn = Some(self.ecn.bytes.first(room));
                    }
                }
            }
            return;
        }
        let asked = match self.options.ecn {
            // RFC 9768 §3.1.4.1: one more try. RFC 3168 §6.1.1.1: none.
            EcnPolicy::Accurate if sent <= 2 => EcnMode::Accurate,
            EcnPolicy::Classic | EcnPolicy::AccurateClassic if sent <= 1 => EcnMode::Classic,
            _ => EcnMode::Off,
        };
        if asked != self.ecn.asked {
            self.ecn.asked = asked;
        }
        match asked {
            EcnMode::Off => {}
            EcnMode::Classic => header.flags |= Flags::ECE | Flags::CWR,
            EcnMode::Accurate => header.flags |= Flags::AE | Flags::ECE | Flags::CWR,
        }
    }

    /// The SYN-ACK to our SYN: what was agreed.
    pub(super) fn agree_on_ecn(&mut self, seg: &Segment) {
        let mode = match (self.ecn.asked, ace(seg.header.flags)) {
            // RFC 9768 §3.1.1, table 2. All three bits set are our own, reflected by something broken.
            (EcnMode::Accurate, 0b010 | 0b011 | 0b100 | 0b110) => EcnMode::Accurate,
            (EcnMode::Accurate, 0b001 | 0b101) => EcnMode::Classic,
            // RFC 3168 §6.1.1: ECE and not CWR.
            (EcnMode::Classic, 0b001 | 0b101) => EcnMode::Classic,
            _ => EcnMode::Off,
        };
        if mode == EcnMode::Off && seg.ecn == NOT_ECT && !self.ecn.is_live() {
            return;
        }
        self.ecn.settle(mode);
        self.ecn.seen |= seg.ecn != NOT_ECT;
        if mode == EcnMode::Accurate {
            self.ecn.bytes.first_of_peer(seg.header.options.acc_ecn.as_ref());
            self.ecn.syn_mark = seg.ecn;
            self.ecn.handshake_ack = true;
            if seg.ecn == CE {
                // It is the first packet that counts (RFC 9768 §3.2.2.1).
                self.ecn.came += 1;
                self.ecn.received_ce += 1;
            }
        }
    }

    /// The acknowledgement that ends a passive handshake (RFC 9768 §3.2.2.1, table 4).
    pub(super) fn end_ecn_handshake(&mut self, flags: Flags, option: Option<&AccEcn>) {
        if self.ecn.mode != EcnMode::Accurate {
            return;
        }
        self.ecn.bytes.first_of_peer(option);
        self.ecn.checked = true;
        self.ecn.handshake_over = true;
        match ace(flags) {
            // Cleared on the way: feedback goes on, but nothing of ours is ECT any more.
            0b000 => self.ecn.blind = true,
            0b110 => {
                self.ecn.told += 1;
                self.ecn.delivered_ce += 1;
            }
            _ => {}
        }
    }

    /// What else the SYN-ACK carries is taken as if it had come behind it: its flags and mark were.
    pub(super) fn after_syn_ack(&mut self, seg: &mut Segment) {
        if let Some(ecn) = self.ecn.live() {
            ecn.handshake_over = true;
        }
        seg.ecn = NOT_ECT;
        seg.header.flags.remove(Flags::AE | Flags::CWR | Flags::ECE);
    }

    // --- data ---

    /// An acceptable segment came: takes the mark of its packet. Whether the peer should hear of it at once.
    pub(super) fn on_mark(&mut self, seg: &Segment) -> bool {
        let data = !seg.payload.is_empty();
        let packets = match seg.gso_size {
            0 => 1,
            size => (seg.payload.len() as u32).div_ceil(u32::from(size)).max(1),
        };
        if seg.ecn != NOT_ECT && !self.ecn.seen {
            self.ecn.seen = true;
        }
        let Some(ecn) = self.ecn.live() else { return false };
        match ecn.mode {
            EcnMode::Off => false,
            EcnMode::Classic => {
                if seg.header.flags.contains(Flags::CWR) {
                    ecn.echo = false;
                }
                // RFC 3168 §6.1.3: CE on data; what has no data is no ECT packet.
                if data && seg.ecn == CE {
                    ecn.received_ce = ecn.received_ce.wrapping_add(packets);
                    return !std::mem::replace(&mut ecn.echo, true);
                }
                false
            }
            EcnMode::Accurate => {
                let marked = seg.ecn == CE;
                ecn.bytes.came(seg.ecn, seg.payload.len() as u32);
                if marked {
                    ecn.came = ecn.came.wrapping_add(packets);
                    ecn.received_ce = ecn.received_ce.wrapping_add(packets);
                    ecn.marks = ecn.marks.saturating_add(packets.min(7) as u8);
                }
                if !data {
                    return false;
                }
                // RFC 9768 §3.2.2.5.1: at the first of a row of marks, and then at every second.
                let first = marked && !ecn.marked;
                ecn.marked = marked;
                first || ecn.marks >= MARKS_PER_ACK
            }
        }
    }

    /// Whether segments with these flags say no more than the first of them.
    pub(super) fn says_it_once(&self, flags: Flags) -> bool {
        match self.ecn.mode {
            EcnMode::Off => true,
            // RFC 3168 §6.1.2: each echo is one.
            EcnMode::Classic => !flags.contains(Flags::ECE),
            // A counter, but for what is left of the handshake.
            EcnMode::Accurate => !self.ecn.handshake_over,
        }
    }

    /// What an acknowledgement tells of marks on our packets: how many were. `acked` is how many packets it newly
    /// acknowledges, at least, of `mss` bytes each.
    pub(super) fn told_of_marks(
        &mut self,
        flags: Flags,
        acked: u32,
        option: Option<&AccEcn>,
        mss: u32,
    ) -> u32 {
        let Some(ecn) = self.ecn.live() else { return 0 };
        match ecn.mode {
            EcnMode::Off => 0,
            EcnMode::Classic if flags.contains(Flags::ECE) => {
                ecn.delivered_ce = ecn.delivered_ce.wrapping_add(acked);
                acked.max(1)
            }
            EcnMode::Classic => 0,
            EcnMode::Accurate => {
                let bytes = ecn.bytes.told(option);
                if std::mem::take(&mut ecn.handshake_over) {
                    return 0;
                }
                if !std::mem::replace(&mut ecn.checked, true) && ace(flags) == 0 {
                    // RFC 9768 §3.2.2.4: the first counter cannot be zero.
                    ecn.blind = true;
                }
                if ecn.blind {
                    return 0;
                }
                let delta = ace(flags).wrapping_sub(ecn.told) & 7;
                // RFC 9768 §3.2.2.5.2, appendix A.2: where the counter may have gone round, as often as it can have.
                let most = if acked > 7 { acked - (acked.wrapping_sub(delta) & 7) } else { delta };
                let marks = bytes.map_or(most, |bytes| plausible(delta, most, bytes, mss));
                ecn.told = ecn.told.wrapping_add(marks);
                ecn.delivered_ce = ecn.delivered_ce.wrapping_add(marks);
                marks
            }
        }
    }

    /// The window was reduced, for whatever reason: the peer hears of it (RFC 3168 §6.1.2).
    pub(super) fn window_reduced(&mut self) {
        if let Some(ecn) = self.ecn.live() {
            ecn.cwr_due = ecn.mode == EcnMode::Classic;
        }
    }

    /// The ECN flags and the mark of a segment in the synchronised states. `sent` is its data.
    pub(super) fn mark_segment(&mut self, header: &mut Repr, sent: Option<&Outgoing>) -> u8 {
        let Some(ecn) = self.ecn.live() else { return NOT_ECT };
        let new_data = sent.is_some_and(|out| out.len > 0 && !out.retransmit);
        match ecn.mode {
            EcnMode::Off => return NOT_ECT,
            EcnMode::Classic => {
                header.flags.set(Flags::ECE, ecn.echo);
                // RFC 3168 §6.1.5: never on a retransmission.
                header.flags.set(Flags::CWR, new_data && std::mem::take(&mut ecn.cwr_due));
            }
            EcnMode::Accurate => {
                let value = if std::mem::take(&mut ecn.handshake_ack) {
                    handshake_code(ecn.syn_mark)
                } else {
                    ecn.came
                };
                set_ace(&mut header.flags, value);
                ecn.marks = 0;
            }
        }
        if new_data && !ecn.blind { ECT_0 } else { NOT_ECT }
    }

    /// Whether the next data may not be handed over in more than one segment: devices clear CWR on all but the first that
    /// they cut, which says something else where it is part of a counter.
    pub(super) fn cwr_is_next(&self) -> bool {
        match self.ecn.mode {
            EcnMode::Off => false,
            EcnMode::Classic => self.ecn.cwr_due,
            EcnMode::Accurate => {
                let value = if self.ecn.handshake_ack {
                    handshake_code(self.ecn.syn_mark)
                } else {
                    self.ecn.came
                };
                value & 2 != 0
            }
        }
    }
}
