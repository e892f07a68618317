//! Socket options.

use usernet_core::{BufferSize, Duration, KeepAlive, SocketOptions};

use crate::calls::{Kind, errno_of};
use crate::host::Host;
use crate::settings::Flavour;

/// What setsockopt(2) changed on a socket; the rest is the settings'.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    pub(crate) receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    no_delay: bool,
    pub(crate) cork: bool,
    max_segment: Option<u16>,
    user_timeout: Option<u32>,
    syn_retries: Option<u8>,
    keep_alive: bool,
    keep: Option<KeepAlive>,
    traffic_class: Option<u8>,
    hop_limit: Option<u8>,
    /// Seconds, once `SO_LINGER` is on.
    pub(crate) linger: Option<i32>,
    /// `SO_RCVTIMEO`, microseconds.
    pub(crate) receive_timeout: Option<u64>,
    /// `TCP_NOTSENT_LOWAT`, bytes.
    unsent_low: Option<u32>,
    /// `TCP_FASTOPEN`: of a listener the most connections, of others FreeBSD's switch.
    pub(crate) fast_open: Option<u32>,
    /// `TCP_FASTOPEN_CONNECT`.
    pub(crate) fast_open_connect: bool,
    /// `TCP_INQ`: reads tell how much is left.
    pub(crate) tell_queue: bool,
    /// Options that only have to be remembered.
    plain: Vec<(i32, i32, i32)>,
}

impl Overrides {
    /// Options of a socket with these changes.
    pub(crate) fn apply(&self, mut options: SocketOptions) -> SocketOptions {
        if let Some(n) = self.receive_buffer {
            options.recv_buffer = n.max(2048).into();
        }
        if let Some(n) = self.send_buffer {
            options.send_buffer = n.max(2048).into();
        }
        options.nagle = !self.no_delay;
        options.max_segment_size = self.max_segment.or(options.max_segment_size);
        options.user_timeout = self.user_timeout.map(|ms| Duration::from_millis(ms.into()));
        options.syn_retries = self.syn_retries.unwrap_or(options.syn_retries);
        options.keep_alive = self.keep_alive.then(|| self.keep.unwrap_or_default());
        options.traffic_class = self.traffic_class.unwrap_or(options.traffic_class);
        options.hop_limit = self.hop_limit.unwrap_or(options.hop_limit);
        options
    }
}

/// Options that are remembered and change nothing here.
const REMEMBERED: [(i32, i32); 10] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::SOL_SOCKET, libc::SO_BUSY_POLL),
    (libc::SOL_SOCKET, libc::SO_MARK),
    (libc::SOL_SOCKET, libc::SO_ZEROCOPY),
    (libc::IPPROTO_IP, libc::IP_FREEBIND),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
];

impl Host {
    /// setsockopt(2); `value` is what the caller's buffer holds.
    pub(crate) fn set_option(
        &mut self,
        fd: i32,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<isize, i32> {
        let number = match *value {
            [a, b, c, d, ..] => i32::from_ne_bytes([a, b, c, d]),
            [a, ..] => i32::from(a),
            [] => return Err(libc::EINVAL),
        };
        let flavour = self.settings.flavour();
        let fast_open = self.settings.fast_open_allowed();
        let positive = || u32::try_from(number).ok().filter(|n| *n > 0).ok_or(libc::EINVAL);
        let socket = self.socket(fd)?;
        let over = &mut socket.overrides;
        match (level, name) {
            // Linux keeps twice the number, for its overhead; the window is the number itself.
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => over.receive_buffer = Some(positive()? as usize),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                let twice = if flavour == Flavour::Linux { 2 } else { 1 };
                over.send_buffer = Some(positive()? as usize * twice);
            }
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => over.keep_alive = number != 0,
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let seconds =
                    value.get(4..8).map_or(0, |s| i32::from_ne_bytes([s[0], s[1], s[2], s[3]]));
                over.linger = (number != 0).then_some(seconds);
            }
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => {
                let part = |at: usize| {
                    value
                        .get(at..at + 8)
                        .and_then(|b| b.try_into().ok())
                        .map_or(0, u64::from_ne_bytes)
                };
                over.receive_timeout = Some(part(0) * 1_000_000 + part(8)).filter(|t| *t > 0);
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => over.no_delay = number != 0,
            (libc::IPPROTO_TCP, libc::TCP_CORK) => over.cork = number != 0,
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                let bounds = if flavour == Flavour::Linux { 88..=32767 } else { 1..=65535 };
                over.max_segment = Some(
                    u16::try_from(number)
                        .ok()
                        .filter(|n| bounds.contains(n))
                        .ok_or(libc::EINVAL)?,
                );
            }
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
                let ms = u32::try_from(number).map_err(|_| libc::EINVAL)?;
                over.user_timeout = Some(ms).filter(|ms| *ms > 0);
            }
            (libc::IPPROTO_TCP, libc::TCP_SYNCNT) => {
                over.syn_retries = Some(positive()?.min(127) as u8);
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => {
                over.keep.get_or_insert_default().idle = Duration::from_secs(positive()?.into());
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => {
                over.keep.get_or_insert_default().interval =
                    Duration::from_secs(positive()?.into());
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => {
                over.keep.get_or_insert_default().count = positive()?.min(127) as u8;
            }
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                over.traffic_class = Some(number as u8);
            }
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
                over.hop_limit = u8::try_from(number).ok().filter(|n| *n > 0);
            }
            (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) => over.unsent_low = Some(number as u32),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) => {
                over.fast_open = Some(u32::try_from(number).map_err(|_| libc::EINVAL)?);
            }
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) if !fast_open => {
                return Err(libc::EOPNOTSUPP);
            }
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) => {
                over.fast_open_connect = number != 0;
            }
            (libc::IPPROTO_TCP, libc::TCP_INQ) => {
                over.tell_queue = match number {
                    0 => false,
                    1 => true,
                    _ => return Err(libc::EINVAL),
                };
            }
            plain if REMEMBERED.contains(&plain) => {
                over.plain.retain(|(l, n, _)| (*l, *n) != plain);
                over.plain.push((level, name, number));
            }
            _ => return Err(libc::ENOPROTOOPT),
        }
        let (over, kind) = (over.clone(), &socket.kind);
        if let Kind::Listener(id) = *kind {
            return self.listen_again(fd, id);
        }
        if let Kind::Stream(id) = *kind {
            let now = self.now();
            let _ = self.stack().tcp_set_options(now, id, |options| {
                let buffer = over.receive_buffer.map_or(options.recv_buffer, BufferSize::Fixed);
                *options = over.apply(options.clone());
                options.recv_buffer = buffer;
            });
            if name == libc::TCP_CORK && level == libc::IPPROTO_TCP && number == 0 {
                // What was held back goes now.
                let _ = self.stack().tcp_send(now, id, &[], false);
            }
        }
        Ok(0)
    }

    /// How much unsent data makes a socket unwritable: `TCP_NOTSENT_LOWAT` or its sysctl; 0 counts as unset.
    pub(crate) fn unsent_limit(&mut self, fd: i32) -> u32 {
        let default =
            self.settings.number("net.ipv4.tcp_notsent_lowat").map_or(u32::MAX, |n| n as u32);
        let own = self.socket(fd).ok().and_then(|s| s.overrides.unsent_low);
        own.filter(|n| *n > 0).unwrap_or(default)
    }

    /// getsockopt(2); the answer's bytes.
    pub(crate) fn get_option(&mut self, fd: i32, level: i32, name: i32) -> Result<Vec<u8>, i32> {
        if (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR) {
            let error = self.take_error(fd)?.map_or(0, errno_of);
            return Ok(error.to_ne_bytes().to_vec());
        }
        if (level, name) == (libc::IPPROTO_TCP, libc::TCP_INFO) {
            return self.tcp_info_bytes(fd);
        }
        let flavour = self.settings.flavour();
        let (space, send) = (self.settings.receive_space(), self.settings.send_space());
        let id = self.stream(fd).ok();
        let info = id.and_then(|id| self.stack().tcp_info(id).ok());
        let socket = self.socket(fd)?;
        let listening = matches!(socket.kind, Kind::Listener(_));
        let over = &socket.overrides;
        let twice = if flavour == Flavour::Linux { 2 } else { 1 };
        let keep = over.keep.unwrap_or_default();
        let number = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
                // FreeBSD rounds it up to whole segments once it knows their size.
                let mss = info.filter(|i| i.peer_mss > 0).map_or(1, |i| usize::from(i.mss).max(1));
                match over.receive_buffer {
                    Some(n) => n * twice,
                    None if flavour == Flavour::FreeBsd => space.next_multiple_of(mss),
                    None => space,
                }
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => over.send_buffer.unwrap_or(send),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => usize::from(over.keep_alive),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => usize::from(listening),
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM as usize,
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => usize::from(over.no_delay),
            (libc::IPPROTO_TCP, libc::TCP_CORK) => usize::from(over.cork),
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => match info {
                Some(info) if info.peer_mss > 0 => usize::from(info.mss),
                _ => usize::from(over.max_segment.unwrap_or(536)),
            },
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => over.user_timeout.unwrap_or(0) as usize,
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => keep.idle.as_secs() as usize,
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => keep.interval.as_secs() as usize,
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => usize::from(keep.count),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) => over.fast_open.unwrap_or(0) as usize,
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) => usize::from(over.fast_open_connect),
            (libc::IPPROTO_TCP, libc::TCP_INQ) => usize::from(over.tell_queue),
            (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) => over.unsent_low.unwrap_or(0) as usize,
            (libc::IPPROTO_TCP, libc::TCP_CC_INFO) => return Ok(Vec::new()),
            (libc::SOL_SOCKET, libc::SO_MEMINFO) => {
                let (received, queued) = info.map_or((0, 0), |i| (i.recv_queue, i.send_queue));
                let memory = [received, space as u32, queued, send as u32];
                let words = memory.into_iter().chain([0; 5]);
                return Ok(words.flat_map(u32::to_ne_bytes).collect());
            }
            other => over
                .plain
                .iter()
                .find(|(l, n, _)| (*l, *n) == other)
                .map(|(.., value)| *value as usize)
                .or(REMEMBERED.contains(&other).then_some(0))
                .ok_or(libc::ENOPROTOOPT)?,
        };
        Ok((number as i32).to_ne_bytes().to_vec())
    }
}
