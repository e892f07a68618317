//! What property tests need of the tester: segments without rules, calls whose outcome does not matter, and bounds.

use std::time::Duration;

use super::language::Segment;
use super::segment;
use super::tester::Tester;

impl Tester {
    /// The frame of a segment of the current peer with any bytes for options; past 40 they are left out.
    pub(crate) fn frame(&mut self, segment: &Segment, options: &[u8]) -> Result<Vec<u8>, String> {
        let peer = self.peer().clone();
        let mut options = options.to_vec();
        options.truncate(40);
        options.resize(options.len().next_multiple_of(4), 0);
        let ports = (peer.peer_port, peer.local_port);
        segment::build_with(self.family, ports, peer.bases, segment, &options)
    }

    /// The peer sends a segment with any bytes for options.
    pub(crate) fn inject_raw(&mut self, segment: &Segment, options: &[u8]) -> Result<(), String> {
        let frame = self.frame(segment, options)?;
        self.note(&format!("< {segment:?} {options:02x?}"));
        self.receive(frame, 0);
        Ok(())
    }

    /// What the stack said last on the current connection, relative: its acknowledgement, and the end of what it sent.
    pub(crate) fn last_said(&mut self) -> (u32, u32) {
        self.peer().said
    }

    /// Writes; how much is taken, if any, is up to the stack.
    pub(crate) fn write_some(&mut self, len: u32) {
        let (Some(id), now, at) = (self.peer().socket, self.now, self.peer().written) else {
            return;
        };
        let data = segment::bytes_at(true, at.wrapping_add(1), len);
        if let Ok(taken) = self.stack().0.tcp_send(now, id, &data, len.is_multiple_of(7)) {
            self.peer().written += taken as u32;
        }
    }

    /// Reads; what comes, if anything, must be what the peer sent there.
    pub(crate) fn read_some(&mut self, len: usize) -> Result<(), String> {
        let (Some(id), now, at) = (self.peer().socket, self.now, self.peer().read) else {
            return Ok(());
        };
        let mut buf = vec![0; len];
        let Ok(got) = self.stack().0.tcp_recv(now, id, &mut buf) else { return Ok(()) };
        self.peer().read += got as u32;
        if buf[..got] == segment::bytes_at(false, at.wrapping_add(1), got as u32) {
            Ok(())
        } else {
            Err(format!("what was read after {at} bytes is not what the peer sent"))
        }
    }

    /// Forgets what was sent; answers how many packets it was.
    pub(crate) fn forget_sent(&mut self) -> usize {
        let sent = self.out.len();
        self.out.clear();
        sent
    }

    /// Takes whatever the stack sends, TCP or not.
    pub(crate) fn swallow(&mut self) {
        let now = self.now;
        let stack = &mut self.stack().0;
        while stack.poll_transmit(now).is_some() {}
        while stack.poll_event().is_some() {}
    }

    /// Whether memory and connections stay within their bounds. `limit` is the largest receive buffer, bytes.
    pub(crate) fn bounded(&mut self, limit: usize) -> Result<(), String> {
        let most = self.config.max_receive_memory.min(4 * limit) as u64;
        let id = self.peer().socket;
        let stack = &self.stack().0;
        let stats = stack.stats();
        if stats.receive_memory > most {
            return Err(format!("{} bytes in receive queues", stats.receive_memory));
        }
        // The one at hand, and what a listener's queue holds: 128 of a backlog and one more.
        if stats.connections > 130 {
            return Err(format!("{} connections", stats.connections));
        }
        let Some(info) = id.and_then(|id| stack.tcp_info(id).ok()) else { return Ok(()) };
        if info.ooo_queue as usize > limit || info.recv_queue as usize > limit {
            return Err(format!("queues past the buffer: {info:?}"));
        }
        if info.send_queue as usize > self.config.socket.send_buffer.max() {
            return Err(format!("send queue past the buffer: {info:?}"));
        }
        if info.in_flight > info.send_queue + 1 || info.unsent > info.send_queue {
            return Err(format!("more in flight than was written: {info:?}"));
        }
        Ok(())
    }

    /// Ends everything: what is left goes away by itself.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let now = self.now;
        self.stack().0.abort_all(now);
        self.settle()?;
        let until = self.now + Duration::from_secs(3600);
        self.advance(until, false)?;
        let stats = self.stack().0.stats();
        if (stats.connections, stats.receive_memory, stats.time_wait) != (0, 0, 0) {
            return Err(format!("left over: {stats:?}"));
        }
        Ok(())
    }
}
