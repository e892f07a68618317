//! Readiness: poll(2) and epoll(7).

use std::collections::BTreeMap;

use usernet_core::tcp::StateName;

use crate::calls::Kind;
use crate::host::{Descriptor, Host};
use crate::shared::Step;

/// A descriptor that an epoll instance watches.
#[derive(Clone, Copy, Debug)]
struct Watch {
    events: u32,
    data: u64,
    /// What was reported last, and after which happening, for the edge.
    reported: Option<(u32, u64)>,
}

/// An epoll instance.
#[derive(Debug, Default)]
pub(crate) struct Epoll {
    watched: BTreeMap<i32, Watch>,
}

impl Host {
    /// What is ready on a socket, as poll(2)'s bits (epoll's are the same).
    fn readiness(&mut self, fd: i32) -> Result<u32, i32> {
        let bit = |bit: i16| u32::from(bit as u16);
        let (pollin, pollout) = (bit(libc::POLLIN) | 0x40, bit(libc::POLLOUT) | 0x100);
        let socket = self.socket(fd)?;
        let (taken, shut, accepted) = (socket.error_taken, socket.write_shut, socket.accepted);
        let id = match socket.kind {
            Kind::Idle => return Ok(bit(libc::POLLOUT) | bit(libc::POLLHUP)),
            Kind::Listener(_) if socket.queue.is_empty() => return Ok(0),
            Kind::Listener(_) => return Ok(pollin),
            Kind::Stream(id) => id,
        };
        let peer_closed = self.peer_closed(fd);
        let limit = self.unsent_limit(fd);
        let waits = self.syn_waits(id);
        let stack = self.stack();
        let info = stack.tcp_info(id).map_err(|_| libc::EBADF)?;
        let room = stack.tcp_send_room(id).unwrap_or(0);
        let error = stack.tcp_error(id).ok().flatten().is_some() && !taken;
        let mut ready = 0;
        if matches!(info.state, StateName::SynSent | StateName::SynReceived) && !accepted {
            return Ok(if waits { pollout } else { 0 });
        }
        if info.recv_queue > 0 || peer_closed {
            ready |= pollin;
        }
        if peer_closed {
            ready |= libc::POLLRDHUP as u32;
        }
        if shut || info.state == StateName::Closed || (room > 0 && info.unsent < limit) {
            ready |= pollout;
        }
        if info.state == StateName::Closed || (shut && peer_closed) {
            ready |= bit(libc::POLLHUP);
        }
        if error {
            ready |= bit(libc::POLLERR);
        }
        Ok(ready)
    }

    /// poll(2), tried once; `end` is when it gives up, microseconds.
    pub(crate) fn poll(&mut self, fds: &mut [libc::pollfd], end: Option<u64>) -> Step {
        let mut count = 0;
        for poll in fds.iter_mut() {
            let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
            poll.revents = match self.readiness(poll.fd) {
                Ok(ready) => ready as i16 & (poll.events | always),
                Err(_) => libc::POLLNVAL,
            };
            count += isize::from(poll.revents != 0);
        }
        if count > 0 { Step::Done(Ok(count)) } else { Step::Wait { until: end, then: Ok(0) } }
    }

    pub(crate) fn epoll_create(&mut self) -> Result<isize, i32> {
        self.hand_out(Descriptor::Epoll(Epoll::default()))
    }

    fn epoll(&mut self, fd: i32) -> Result<&mut Epoll, i32> {
        match self.descriptors.get_mut(&fd) {
            Some(Descriptor::Epoll(epoll)) => Ok(epoll),
            Some(Descriptor::Socket(_)) => Err(libc::EINVAL),
            None => Err(libc::EBADF),
        }
    }

    pub(crate) fn epoll_ctl(
        &mut self,
        epfd: i32,
        op: i32,
        fd: i32,
        event: Option<(u32, u64)>,
    ) -> Result<isize, i32> {
        self.socket(fd)?;
        let epoll = self.epoll(epfd)?;
        let known = epoll.watched.contains_key(&fd);
        match (op, event, known) {
            (libc::EPOLL_CTL_ADD, _, true) => return Err(libc::EEXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, _, false) => return Err(libc::ENOENT),
            (libc::EPOLL_CTL_DEL, ..) => {
                epoll.watched.remove(&fd);
            }
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, Some((events, data)), _) => {
                epoll.watched.insert(fd, Watch { events, data, reported: None });
            }
            _ => return Err(libc::EINVAL),
        }
        Ok(0)
    }

    /// epoll_wait(2), tried once.
    pub(crate) fn epoll_wait(
        &mut self,
        epfd: i32,
        max: usize,
        out: &mut Vec<(u32, u64)>,
    ) -> Result<(), i32> {
        let watched: Vec<(i32, Watch)> =
            self.epoll(epfd)?.watched.iter().map(|(fd, watch)| (*fd, *watch)).collect();
        for (fd, mut watch) in watched {
            let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
            let Ok(ready) = self.readiness(fd) else { continue };
            let ready = ready & (watch.events | always);
            let happened = self.socket(fd)?.happened;
            let edge = watch.events & libc::EPOLLET as u32 != 0;
            if ready == 0 || (edge && watch.reported == Some((ready, happened))) {
                continue;
            }
            if out.len() == max {
                break;
            }
            out.push((ready, watch.data));
            watch.reported = Some((ready, happened));
            if watch.events & libc::EPOLLONESHOT as u32 != 0 {
                watch.events = 0;
            }
            self.epoll(epfd)?.watched.insert(fd, watch);
        }
        Ok(())
    }
}
