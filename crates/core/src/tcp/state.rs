//! One struct per state of RFC 9293 §3.3.2, with only that state's data. LISTEN is the stack's (a listener has no peer).

use usernet_wire::SeqNumber;
use usernet_wire::tcp as wire;

use super::StateName;
use super::connection::{Segment, default_mss};
use super::fastopen::{FastOpened, FastSyn};
use super::recv::{AckSide, Receiver};
use super::rtt::Rtt;
use super::send::{Fin, Sender};
use super::send_buffer::SendBuffer;
use crate::lazy::Lazy;
use crate::time::Instant;

/// What a peer's SYN said.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerSyn {
    /// Its initial sequence number.
    pub(super) irs: SeqNumber,
    /// Its MSS, or the default of its family (RFC 9293 §3.7.1 MUST-15).
    pub(super) mss: u16,
    /// Its window shift, at most 14; `None` when it does not scale.
    pub(super) wscale: Option<u8>,
    /// Its TSval, when it offered timestamps.
    pub(super) ts: Option<u32>,
    /// Whether it permits SACK.
    pub(super) sack: bool,
}

/// What a SYN says.
pub(super) fn peer_syn(segment: &Segment, v6: bool) -> PeerSyn {
    let options = &segment.header.options;
    PeerSyn {
        irs: segment.header.seq,
        mss: options.mss.unwrap_or(default_mss(v6)),
        // RFC 7323 §2.3: a larger shift counts as 14.
        wscale: options.window_scale.map(|s| s.min(wire::MAX_WINDOW_SCALE)),
        ts: options.timestamps.map(|t| t.val),
        sack: options.sack_permitted,
    }
}

/// What both handshake states share: our SYN, and how often it was sent.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) iss: SeqNumber,
    /// What the application wrote already.
    pub(super) buf: Lazy<SendBuffer>,
    /// Whether it shut the sending side down already.
    pub(super) fin: Fin,
    pub(super) rtt: Rtt,
    /// Times our SYN was sent.
    pub(super) sent: u8,
    /// It is to be sent with the next poll.
    pub(super) due: bool,
    /// Bytes of `buf` that went out on the first SYN (RFC 7413).
    pub(super) syn_data: u16,
    pub(super) first_sent: Instant,
    pub(super) timer: Instant,
}

#[derive(Debug)]
pub(super) struct SynSent {
    pub(super) hs: Handshake,
    /// What Fast Open adds.
    pub(super) fast: Option<FastSyn>,
}

#[derive(Debug)]
pub(super) struct SynReceived {
    pub(super) hs: Handshake,
    pub(super) peer: PeerSyn,
    /// The window we announced.
    pub(super) window: u16,
    /// A bare acknowledgement is due: something unacceptable came.
    pub(super) ack_due: bool,
    /// Whether it came from a listener, and not from a simultaneous open.
    pub(super) passive: bool,
    /// Data is exchanged already (RFC 7413).
    pub(super) fast: Option<Box<FastOpened>>,
}

#[derive(Debug)]
pub(super) struct Established {
    pub(super) snd: Sender,
    pub(super) rcv: Receiver,
}

#[derive(Debug)]
pub(super) struct CloseWait {
    pub(super) snd: Sender,
    pub(super) acks: AckSide,
}

#[derive(Debug)]
pub(super) struct FinWait1 {
    pub(super) snd: Sender,
    pub(super) rcv: Receiver,
}

#[derive(Debug)]
pub(super) struct FinWait2 {
    pub(super) nxt: SeqNumber,
    pub(super) rcv: Receiver,
    /// When an orphan gives up waiting for the peer's FIN.
    pub(super) until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) snd: Sender,
    pub(super) acks: AckSide,
}

#[derive(Debug)]
pub(super) struct LastAck {
    pub(super) snd: Sender,
    pub(super) acks: AckSide,
}

#[derive(Debug)]
pub(super) struct TimeWait {
    pub(super) nxt: SeqNumber,
    pub(super) acks: AckSide,
    pub(super) until: Instant,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) enum State {
    /// Gone from the network; the application may not know yet.
    Closed,
    SynSent(SynSent),
    SynReceived(SynReceived),
    Established(Established),
    CloseWait(CloseWait),
    FinWait1(FinWait1),
    FinWait2(FinWait2),
    Closing(Closing),
    LastAck(LastAck),
    TimeWait(TimeWait),
}

/// The send side of a synchronised state.
pub(super) enum Snd<'a> {
    /// There is something to send, or that waits to be acknowledged.
    Active(&'a mut Sender, Fin),
    /// Our FIN was acknowledged: SND.NXT.
    Done(SeqNumber),
}

/// The receive side of a synchronised state.
pub(super) enum Rcv<'a> {
    /// The peer may send.
    Open(&'a mut Receiver),
    /// Its FIN has arrived.
    Closed(&'a mut AckSide),
}

impl Rcv<'_> {
    pub(super) fn acks(&mut self) -> &mut AckSide {
        match self {
            Self::Open(rcv) => &mut rcv.acks,
            Self::Closed(acks) => acks,
        }
    }
}

impl State {
    pub(super) fn name(&self) -> StateName {
        match self {
            Self::Closed => StateName::Closed,
            Self::SynSent(_) => StateName::SynSent,
            Self::SynReceived(_) => StateName::SynReceived,
            Self::Established(_) => StateName::Established,
            Self::CloseWait(_) => StateName::CloseWait,
            Self::FinWait1(_) => StateName::FinWait1,
            Self::FinWait2(_) => StateName::FinWait2,
            Self::Closing(_) => StateName::Closing,
            Self::LastAck(_) => StateName::LastAck,
            Self::TimeWait(_) => StateName::TimeWait,
        }
    }

    /// The two sides of a synchronised state.
    pub(super) fn sides(&mut self) -> Option<(Snd<'_>, Rcv<'_>)> {
        Some(match self {
            Self::SynReceived(SynReceived { fast: Some(fast), .. }) => {
                // A FIN waits for the end of the handshake.
                (Snd::Active(&mut fast.snd, Fin::Open), Rcv::Open(&mut fast.rcv))
            }
            Self::Closed | Self::SynSent(_) | Self::SynReceived(_) => return None,
            Self::Established(s) => (Snd::Active(&mut s.snd, Fin::Open), Rcv::Open(&mut s.rcv)),
            Self::CloseWait(s) => (Snd::Active(&mut s.snd, Fin::Open), Rcv::Closed(&mut s.acks)),
            Self::FinWait1(s) => (Snd::Active(&mut s.snd, Fin::Queued), Rcv::Open(&mut s.rcv)),
            Self::FinWait2(s) => (Snd::Done(s.nxt), Rcv::Open(&mut s.rcv)),
            Self::Closing(s) => (Snd::Active(&mut s.snd, Fin::Queued), Rcv::Closed(&mut s.acks)),
            Self::LastAck(s) => (Snd::Active(&mut s.snd, Fin::Queued), Rcv::Closed(&mut s.acks)),
            Self::TimeWait(s) => (Snd::Done(s.nxt), Rcv::Closed(&mut s.acks)),
        })
    }

    /// The send side, where there is one.
    pub(super) fn sender(&self) -> Option<&Sender> {
        match self {
            Self::Established(Established { snd, .. })
            | Self::CloseWait(CloseWait { snd, .. })
            | Self::FinWait1(FinWait1 { snd, .. })
            | Self::Closing(Closing { snd, .. })
            | Self::LastAck(LastAck { snd, .. }) => Some(snd),
            Self::SynReceived(SynReceived { fast: Some(fast), .. }) => Some(&fast.snd),
            _ => None,
        }
    }

    pub(super) fn sender_mut(&mut self) -> Option<&mut Sender> {
        match self.sides() {
            Some((Snd::Active(snd, _), _)) => Some(snd),
            _ => None,
        }
    }

    /// Whether both SYNs have been exchanged, or data is already (RFC 9293 §3.3.2).
    pub(super) fn is_synchronized(&self) -> bool {
        self.acks().is_some()
    }

    /// The receive side's acknowledging part.
    pub(super) fn acks(&self) -> Option<&AckSide> {
        match self {
            Self::Established(Established { rcv, .. })
            | Self::FinWait1(FinWait1 { rcv, .. })
            | Self::FinWait2(FinWait2 { rcv, .. }) => Some(&rcv.acks),
            Self::CloseWait(CloseWait { acks, .. })
            | Self::Closing(Closing { acks, .. })
            | Self::LastAck(LastAck { acks, .. })
            | Self::TimeWait(TimeWait { acks, .. }) => Some(acks),
            Self::SynReceived(SynReceived { fast: Some(fast), .. }) => Some(&fast.rcv.acks),
            Self::Closed | Self::SynSent(_) | Self::SynReceived(_) => None,
        }
    }

    /// The receive side while the peer may send.
    pub(super) fn receiver(&self) -> Option<&Receiver> {
        match self {
            Self::Established(Established { rcv, .. })
            | Self::FinWait1(FinWait1 { rcv, .. })
            | Self::FinWait2(FinWait2 { rcv, .. }) => Some(rcv),
            Self::SynReceived(SynReceived { fast: Some(fast), .. }) => Some(&fast.rcv),
            _ => None,
        }
    }

    pub(super) fn handshake(&self) -> Option<&Handshake> {
        match self {
            Self::SynSent(s) => Some(&s.hs),
            Self::SynReceived(s) => Some(&s.hs),
            _ => None,
        }
    }

    pub(super) fn handshake_mut(&mut self) -> Option<&mut Handshake> {
        match self {
            Self::SynSent(s) => Some(&mut s.hs),
            Self::SynReceived(s) => Some(&mut s.hs),
            _ => None,
        }
    }

    /// SND.NXT, as a RST of ours carries it.
    pub(super) fn snd_nxt(&self) -> SeqNumber {
        match self {
            Self::FinWait2(s) => s.nxt,
            Self::TimeWait(s) => s.nxt,
            Self::SynSent(SynSent { hs, .. })
            | Self::SynReceived(SynReceived { hs, fast: None, .. }) => hs.iss + 1,
            _ => self.sender().map_or(SeqNumber(0), |snd| snd.nxt),
        }
    }
}

/// What became of the two directions with one segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closed {
    /// Our FIN was acknowledged.
    pub(super) fin_acked: bool,
    /// The peer's FIN, and all before it, has arrived.
    pub(super) fin_received: bool,
}

impl State {
    /// The transitions of RFC 9293 §3.3.2, figure 5, that segments cause in synchronised states.
    pub(super) fn after_segment(self, closed: Closed, time_wait: Instant) -> Self {
        let Closed { fin_acked, fin_received } = closed;
        match (self, fin_received, fin_acked) {
            (Self::Established(Established { snd, rcv }), true, _) => {
                Self::CloseWait(CloseWait { snd, acks: rcv.close() })
            }
            (Self::FinWait1(FinWait1 { snd, rcv }), true, true) => {
                Self::TimeWait(TimeWait { nxt: snd.nxt, acks: rcv.close(), until: time_wait })
            }
            (Self::FinWait1(FinWait1 { snd, rcv }), true, false) => {
                Self::Closing(Closing { snd, acks: rcv.close() })
            }
            (Self::FinWait1(FinWait1 { snd, rcv }), false, true) => {
                Self::FinWait2(FinWait2 { nxt: snd.nxt, rcv, until: None })
            }
            (Self::FinWait2(FinWait2 { nxt, rcv, .. }), true, _) => {
                Self::TimeWait(TimeWait { nxt, acks: rcv.close(), until: time_wait })
            }
            (Self::Closing(Closing { snd, acks }), _, true) => {
                Self::TimeWait(TimeWait { nxt: snd.nxt, acks, until: time_wait })
            }
            (Self::LastAck(_), _, true) => Self::Closed,
            (same, ..) => same,
        }
    }

    /// The application shut the sending side down: a FIN stands behind the queue (RFC 9293 §3.10.4).
    pub(super) fn after_shutdown(self) -> Self {
        match self {
            Self::Established(Established { snd, rcv }) => Self::FinWait1(FinWait1 { snd, rcv }),
            Self::CloseWait(CloseWait { snd, acks }) => Self::LastAck(LastAck { snd, acks }),
            Self::SynSent(mut s) => {
                s.hs.fin = Fin::Queued;
                Self::SynSent(s)
            }
            Self::SynReceived(mut s) => {
                s.hs.fin = Fin::Queued;
                Self::SynReceived(s)
            }
            same => same,
        }
    }
}
