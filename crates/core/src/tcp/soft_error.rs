//! Soft errors: what the network and the timers say of a delivery that fails and may yet succeed. They never end a
//! connection by themselves (RFC 9293 §3.9.2.2 MUST-56), but are told to the application (§3.9.1.8 MUST-47), and name the
//! reason when the connection is given up.

use std::net::IpAddr;

use usernet_wire::SeqNumber;

use super::connection::{Connection, Ctx};
use super::state::{State, SynReceived, SynSent};
use crate::error::ConnectionError;
use crate::event::{ErrorReport, PathError, Ready, Trace};
use crate::lazy::blank;
use crate::time::Duration;

/// R1 (RFC 9293 §3.8.3, SHLD-10; Linux `tcp_retries1`): so many retransmissions of one segment are a delivery problem.
const R1: u8 = 3;

/// Whether a message that cannot be delivered may be delivered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It may: routes come and go (RFC 9293 §3.9.2.2).
    Soft,
    /// The destination, or somebody on the way, does not want it.
    Hard,
    /// Our own link knows that nobody is there to take it.
    Local,
}

/// What an ICMP error says of a segment of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undelivered {
    /// Who says it.
    pub(crate) from: IpAddr,
    pub(crate) error: PathError,
    pub(crate) meaning: ConnectionError,
    pub(crate) severity: Severity,
}

/// What a connection remembers of them.
#[derive(Debug, Default)]
pub(super) struct SoftErrors {
    /// The last one since there was progress (Linux `sk_err_soft`).
    error: Option<ConnectionError>,
    /// What the application was not told of yet: the last of each reason, so that nobody fills memory with them.
    icmp: Option<ErrorReport>,
    retransmissions: Option<ErrorReport>,
    /// The IP layer is to look whether the next hop is still there.
    advice: bool,
}

blank!(SoftErrors);

impl Connection {
    /// The network reports that a packet of ours with sequence number `seq` cannot be delivered (validated against what is
    /// in flight, RFC 5927 §4.1). A hard error ends a connection that is being opened (RFC 9293 §3.9.2.2 SHLD-26); one
    /// that is open does not die of it (RFC 5927 §5.2, RFC 5461 §3). A soft one does neither (MUST-56), unless the
    /// application wants it so.
    pub(crate) fn on_undelivered(&mut self, ctx: &mut Ctx<'_>, seq: SeqNumber, what: Undelivered) {
        let opening = match &self.state {
            State::SynSent(SynSent { hs, .. })
            | State::SynReceived(SynReceived { hs, passive: false, .. }) => {
                hs.sent > 0 && hs.iss == seq
            }
            state => {
                let in_flight = |snd: &super::send::Sender| seq.ge(snd.una) && seq.lt(snd.nxt);
                if !state.sender().is_some_and(in_flight) {
                    return;
                }
                false
            }
        };
        if !opening && !self.state.is_synchronized() {
            return;
        }
        let ends = what.severity != Severity::Soft || self.options.fail_connect_on_soft_error;
        if opening && ends {
            self.fail(ctx, what.meaning);
            return;
        }
        let Undelivered { from, error, meaning, .. } = what;
        let report = ErrorReport::Icmp { from, error, meaning };
        self.soft.error = Some(meaning);
        self.soft.icmp = Some(report);
        self.tell(ctx, report);
    }

    /// A segment was sent again `count` times in a row, and nothing came back. From R1 on that is a delivery problem (RFC
    /// 9293 §3.8.3): the IP layer gets negative advice (MUST-20 b), and the application hears of it (SHLD-9), until R2.
    pub(super) fn sent_in_vain(&mut self, ctx: &mut Ctx<'_>, count: u8, rto: Duration) {
        if count < R1 {
            return;
        }
        let report = ErrorReport::Retransmissions { count, rto };
        self.soft.advice = true;
        self.soft.retransmissions = Some(report);
        self.tell(ctx, report);
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, report: ErrorReport) {
        self.ready |= Ready::REPORT;
        self.trace(ctx, Trace::Report(report));
    }

    /// What was sent arrives: what was said before counts no more.
    pub(super) fn deliveries_succeed(&mut self) {
        if let Some(soft) = self.soft.live() {
            soft.error = None;
            soft.advice = false;
        }
    }

    /// The last soft error since there was progress.
    pub(crate) fn soft_error(&self) -> Option<ConnectionError> {
        self.soft.error
    }

    /// The next report that the application has not taken.
    pub(crate) fn take_report(&mut self) -> Option<ErrorReport> {
        let soft = self.soft.live()?;
        soft.icmp.take().or_else(|| soft.retransmissions.take())
    }

    /// Whether the IP layer is to look for the next hop; said once.
    pub(crate) fn take_advice(&mut self) -> bool {
        self.soft.live().is_some_and(|soft| std::mem::take(&mut soft.advice))
    }
}
