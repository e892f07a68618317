//! Reading and writing.

use usernet_core::tcp::StateName;
use usernet_core::{RecvError, SendError};

use crate::calls::{Kind, errno_of};
use crate::host::Host;
use crate::shared::Step;

/// How a read is meant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadFlags {
    pub(crate) peek: bool,
    pub(crate) dont_wait: bool,
    pub(crate) error_queue: bool,
    pub(crate) urgent: bool,
}

impl ReadFlags {
    pub(crate) fn from_bits(flags: i32) -> Self {
        Self {
            peek: flags & libc::MSG_PEEK != 0,
            dont_wait: flags & libc::MSG_DONTWAIT != 0,
            error_queue: flags & libc::MSG_ERRQUEUE != 0,
            urgent: flags & libc::MSG_OOB != 0,
        }
    }
}

impl Host {
    /// Reads what is there into `buf`.
    pub(crate) fn read(&mut self, fd: i32, buf: &mut [u8], flags: ReadFlags) -> Result<Step, i32> {
        let now = self.now();
        let socket = self.socket(fd)?;
        let wait = !socket.nonblocking && !flags.dont_wait;
        let (taken, until) = (socket.error_taken, socket.overrides.receive_timeout);
        let id = self.stream(fd)?;
        if flags.error_queue {
            return Err(libc::EAGAIN);
        }
        if flags.urgent {
            return Err(libc::EINVAL);
        }
        let stack = self.stack();
        let result =
            if flags.peek { stack.tcp_peek(id, buf) } else { stack.tcp_recv(now, id, buf) };
        match result {
            Ok(n) => Ok(Step::Done(Ok(n as isize))),
            Err(RecvError::NoSuchSocket) => Err(libc::EBADF),
            Err(RecvError::Connection(_)) if taken => Ok(Step::Done(Ok(0))),
            Err(RecvError::Connection(error)) => {
                self.socket(fd)?.error_taken = true;
                Err(errno_of(error))
            }
            Err(RecvError::WouldBlock) if wait => {
                let until = until.map(|t| self.now_usecs() + t);
                Ok(Step::Wait { until, then: Err(libc::EAGAIN) })
            }
            Err(RecvError::WouldBlock) => Err(libc::EAGAIN),
        }
    }

    /// Queues `data` from `*done` on; a blocking socket waits until all of it is queued.
    pub(crate) fn write(
        &mut self,
        fd: i32,
        data: &[u8],
        flags: i32,
        to: Option<std::net::SocketAddr>,
        done: &mut usize,
    ) -> Result<Step, i32> {
        if let Some(step) = self.write_fast(fd, data, flags, to, done)? {
            return Ok(step);
        }
        let now = self.now();
        let socket = self.socket(fd)?;
        let wait = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        let (taken, accepted) = (socket.error_taken, socket.accepted);
        let more = flags & libc::MSG_MORE != 0 || socket.overrides.cork;
        let Kind::Stream(id) = socket.kind else { return Err(libc::EPIPE) };
        if socket.write_shut {
            return Err(libc::EPIPE);
        }
        let state = self.stack().tcp_info(id).map_err(|_| libc::EBADF)?.state;
        if matches!(state, StateName::SynSent | StateName::SynReceived) && !accepted {
            // As in Linux: before the handshake is over nothing is taken.
            return if wait {
                Ok(Step::Wait { until: None, then: Err(libc::EAGAIN) })
            } else {
                Err(libc::EAGAIN)
            };
        }
        // What was not sent yet holds further writes back (Linux `sk_stream_memory_free`).
        let held = self.unsent_limit(fd);
        let full = self.stack().tcp_info(id).is_ok_and(|info| info.unsent >= held);
        match self.stack().tcp_send(now, id, if full { &[] } else { &data[*done..] }, more) {
            Ok(n) => *done += n,
            Err(SendError::NoSuchSocket) => return Err(libc::EBADF),
            Err(SendError::BrokenPipe) if *done > 0 => return Ok(Step::Done(Ok(*done as isize))),
            Err(SendError::BrokenPipe) => return Err(libc::EPIPE),
            Err(SendError::Connection(_)) if taken => return Err(libc::EPIPE),
            Err(SendError::Connection(error)) => {
                self.socket(fd)?.error_taken = true;
                return Err(errno_of(error));
            }
        }
        match (*done == data.len(), wait, *done) {
            (true, ..) | (false, false, 1..) => Ok(Step::Done(Ok(*done as isize))),
            (false, true, n) => Ok(Step::Wait { until: None, then: Ok(n as isize) }),
            (false, false, 0) => Err(libc::EAGAIN),
        }
    }

    /// ioctl(2): `SIOCINQ`, `SIOCOUTQ`.
    pub(crate) fn queue_length(&mut self, fd: i32, request: u64) -> Result<i32, i32> {
        let id = self.stream(fd)?;
        let info = self.stack().tcp_info(id).map_err(|_| libc::EBADF)?;
        match request {
            libc::FIONREAD => Ok(info.recv_queue as i32),
            libc::TIOCOUTQ => Ok(info.send_queue as i32),
            _ => Err(libc::EINVAL),
        }
    }

    /// What `TCP_INQ` tells: bytes left to read; 1 when only the end of the stream is left.
    pub(crate) fn queue_left(&mut self, fd: i32) -> Option<i32> {
        if !self.socket(fd).ok()?.overrides.tell_queue {
            return None;
        }
        let id = self.stream(fd).ok()?;
        let left = self.stack().tcp_info(id).ok()?.recv_queue as i32;
        Some(if left == 0 && self.peer_closed(fd) { 1 } else { left })
    }

    /// Whether the peer sent all it has.
    pub(crate) fn peer_closed(&mut self, fd: i32) -> bool {
        let Ok(id) = self.stream(fd) else { return false };
        self.stack().tcp_info(id).is_ok_and(|info| {
            matches!(
                info.state,
                StateName::CloseWait
                    | StateName::LastAck
                    | StateName::Closing
                    | StateName::TimeWait
                    | StateName::Closed
            )
        })
    }
}
