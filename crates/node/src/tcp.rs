//! The core as the pump sees it.

use usernet_core::{
    ConnectionError, Event, Instant, ListenerId, NoSuchSocket, Payload, RecvError, SocketId, Stack,
};

use crate::datagrams::Datagrams;
use crate::pump::Tcp;

/// The core's stack, locked, at a moment.
pub(crate) struct Driver<'a> {
    pub(crate) stack: &'a mut Stack,
    pub(crate) now: Instant,
    /// Who takes the events that are not TCP's.
    pub(crate) datagrams: &'a mut Datagrams,
}

impl Tcp for Driver<'_> {
    fn poll_event(&mut self) -> Option<Event> {
        loop {
            match self.stack.poll_event()? {
                event @ (Event::Socket(..) | Event::Acceptable(_)) => return Some(event),
                other => self.datagrams.note(other),
            }
        }
    }

    fn recv_queue(&self, id: SocketId) -> Result<usize, NoSuchSocket> {
        self.stack.tcp_recv_queue(id)
    }

    fn recv(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, RecvError> {
        self.stack.tcp_recv(self.now, id, buf)
    }

    fn before_piece(&self, id: SocketId, limit: usize, wanted: &dyn Fn(&Payload) -> bool) -> usize {
        self.stack.tcp_recv_queue_before(id, limit, wanted).unwrap_or(0)
    }

    fn take_piece(
        &mut self,
        id: SocketId,
        wanted: &mut dyn FnMut(&Payload) -> bool,
    ) -> Option<Payload> {
        self.stack.tcp_take_piece(self.now, id, wanted).ok().flatten()
    }

    fn error(&self, id: SocketId) -> Option<ConnectionError> {
        self.stack.tcp_error(id).ok().flatten()
    }

    fn accept(&mut self, id: ListenerId) -> Option<SocketId> {
        self.stack.tcp_accept(id).ok().flatten()
    }

    fn release(&mut self, id: SocketId) {
        // The core may have forgotten it already.
        let _ = self.stack.tcp_close(self.now, id);
    }
}
