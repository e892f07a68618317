//! Urgent data (RFC 9293 §3.8.5, RFC 6093): always in line, in both directions. What is special about it is a mark: the
//! end of what is urgent. The application is told when there is one, or when it moves on, and how far it is.
//!
//! RFC 6093 §2.1, §3.1: the pointer names the byte *behind* the urgent data, as every stack has it. There is no "out of
//! band" byte: nothing is taken out of the stream.

use usernet_wire::SeqNumber;
use usernet_wire::tcp::{Flags, Repr};

use super::connection::{Connection, Ctx, Segment};
use super::state::{Rcv, Snd};
use crate::error::SendError;
use crate::event::{Ready, Trace};
use crate::lazy::blank;

/// Both marks.
#[derive(Debug)]
pub(super) struct Urgent {
    /// RCV.UP as an offset in the stream of what is received in order.
    received: Option<u64>,
    /// SND.UP.
    sent: Option<SeqNumber>,
}

blank!(Urgent = Urgent { received: None, sent: None });

impl Connection {
    /// A segment with URG came (RFC 9293 §3.10.7.4, sixth). Once the peer's FIN has arrived it says nothing.
    pub(super) fn take_urgent(&mut self, ctx: &mut Ctx<'_>, seg: &Segment) {
        let Some((_, Rcv::Open(rcv))) = self.state.sides() else { return };
        let end = seg.header.seq + u32::from(seg.header.urgent);
        let ahead = if end.gt(rcv.acks.nxt) { end.since(rcv.acks.nxt) } else { 0 };
        if ahead == 0 {
            // It lies within what has arrived: only the segment that brings the data may say so.
            return;
        }
        let mark = self.counters.data.bytes_received + u64::from(ahead);
        if self.urgent.received.is_some_and(|known| known >= mark) {
            return;
        }
        self.urgent.received = Some(mark);
        // MUST-32: whenever there is a mark that was not there before, or that moved on.
        self.ready |= Ready::URGENT;
        let left = self.urgent_left().unwrap_or(0);
        self.trace(ctx, Trace::Urgent { left });
    }

    /// Bytes to read before the end of the urgent data (MUST-33); `None` when there is none.
    pub(crate) fn urgent_left(&self) -> Option<u32> {
        let read = self.counters.data.bytes_received - self.recv_queue() as u64;
        self.urgent
            .received
            .and_then(|mark| mark.checked_sub(read))
            .filter(|n| *n > 0)
            .map(|n| n as u32)
    }

    /// Queues bytes that are urgent to their end.
    pub(crate) fn send_urgent(&mut self, ctx: &Ctx<'_>, data: &[u8]) -> Result<usize, SendError> {
        let n = self.send(ctx, data, false)?;
        if n > 0
            && let Some((Snd::Active(snd, _), _)) = self.state.sides()
        {
            // MUST-31: of any length.
            self.urgent.sent = Some(snd.una + snd.buf.len() as u32);
        }
        Ok(n)
    }

    /// Whether what goes out next is urgent: then in single segments, for a device that cuts copies the pointer.
    pub(super) fn is_urgent(&mut self) -> bool {
        let Some(mark) = self.urgent.sent else { return false };
        let una = match self.state.sides() {
            Some((Snd::Active(snd, _), _)) => snd.una,
            _ => mark,
        };
        if una.ge(mark) {
            self.urgent.sent = None;
        }
        self.urgent.sent.is_some()
    }

    /// The pointer of a segment before the mark, the largest there is where the mark is further away.
    pub(super) fn point_to_urgent(&self, header: &mut Repr) {
        if let Some(mark) = self.urgent.sent
            && mark.gt(header.seq)
        {
            header.flags |= Flags::URG;
            header.urgent = mark.since(header.seq).min(0xffff) as u16;
        }
    }
}
