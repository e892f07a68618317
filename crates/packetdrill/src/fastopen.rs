//! TCP Fast Open as the socket calls offer it: `MSG_FASTOPEN`, `TCP_FASTOPEN_CONNECT`, and FreeBSD's sendto(2) on a socket
//! that is not connected.

use std::net::SocketAddr;

use usernet_core::{Duration, FastOpen, FastOpenKeys, SocketId};

use crate::calls::Kind;
use crate::host::Host;
use crate::settings::{Flavour, Settings};
use crate::shared::Step;

/// `net.ipv4.tcp_fastopen`'s bits.
const CLIENT: u64 = 0x1;
const SERVER: u64 = 0x2;
const CLIENT_WITHOUT_COOKIE: u64 = 0x4;
const SERVER_WITHOUT_COOKIE: u64 = 0x200;
const EVERY_LISTENER: u64 = 0x400;

/// A SYN waits for its data as long as the script does.
const FOR_EVER: Duration = Duration::from_secs(86_400);

impl Settings {
    fn fast_open_bits(&self) -> u64 {
        match self.flavour() {
            Flavour::Linux => self.number("net.ipv4.tcp_fastopen").unwrap_or(CLIENT),
            Flavour::FreeBsd => {
                let on = |name: &str, bit| if self.number(name) == Some(1) { bit } else { 0 };
                on("net.inet.tcp.fastopen.client_enable", CLIENT)
                    | on("net.inet.tcp.fastopen.server_enable", SERVER)
            }
        }
    }

    /// Of a listener; `queue` is what `TCP_FASTOPEN` said.
    pub(crate) fn fast_open_listener(&self, queue: Option<u32>, backlog: u32) -> FastOpen {
        let bits = self.fast_open_bits();
        let every = if bits & EVERY_LISTENER != 0 { backlog } else { 0 };
        FastOpen {
            queue: if bits & SERVER != 0 { queue.unwrap_or(every) } else { 0 },
            accept_without_cookie: bits & SERVER_WITHOUT_COOKIE != 0,
            ..FastOpen::default()
        }
    }

    /// Whether active opens may.
    pub(crate) fn fast_open_allowed(&self) -> bool {
        self.fast_open_bits() & CLIENT != 0
    }

    /// Of an active open that wants it.
    fn fast_open_client(&self) -> Option<FastOpen> {
        let bits = self.fast_open_bits();
        (bits & CLIENT != 0).then(|| FastOpen {
            connect: true,
            connect_without_cookie: bits & CLIENT_WITHOUT_COOKIE != 0,
            hold: FOR_EVER,
            ..FastOpen::default()
        })
    }

    /// `net.ipv4.tcp_fastopen_key`: four words, and after a comma those of the backup.
    pub(crate) fn fast_open_keys(&self) -> Option<FastOpenKeys> {
        let key = |text: &str| -> Option<[u8; 16]> {
            let mut key = [0; 16];
            let mut words = text.split('-');
            for bytes in key.chunks_exact_mut(4) {
                let word = u32::from_str_radix(words.next()?.trim(), 16).ok()?;
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            Some(key)
        };
        let mut keys = self.text("net.ipv4.tcp_fastopen_key")?.split(',');
        let primary = key(keys.next()?)?;
        Some(FastOpenKeys::Fixed { primary, backup: keys.next().and_then(key) })
    }
}

impl Host {
    /// What the options say of an active open's Fast Open; `asked` is `MSG_FASTOPEN`.
    pub(crate) fn fast_open_for(&mut self, fd: i32, asked: bool) -> Result<FastOpen, i32> {
        let wanted = asked || self.socket(fd)?.overrides.fast_open_connect;
        let client = if wanted { self.settings.fast_open_client() } else { None };
        Ok(client.unwrap_or_default())
    }

    /// Whether a connection's SYN waits for data.
    pub(crate) fn syn_waits(&mut self, id: SocketId) -> bool {
        self.stack().tcp_syn_room(id).is_ok_and(|room| room > 0)
    }

    /// A write that opens the connection, or finds a SYN that waits for data. `None` when it is an ordinary one.
    pub(crate) fn write_fast(
        &mut self,
        fd: i32,
        data: &[u8],
        flags: i32,
        to: Option<SocketAddr>,
        done: &mut usize,
    ) -> Result<Option<Step>, i32> {
        let flavour = self.settings.flavour();
        let socket = self.socket(fd)?;
        let nonblocking = socket.nonblocking || flags & libc::MSG_DONTWAIT != 0;
        let asked = flags & libc::MSG_FASTOPEN != 0;
        let implied = flavour == Flavour::FreeBsd && socket.overrides.fast_open.is_some();
        if socket.kind == Kind::Idle && (asked || implied) {
            let Some(to) = to else { return Err(libc::EOPNOTSUPP) };
            if asked && self.settings.fast_open_client().is_none() {
                return Err(libc::EOPNOTSUPP);
            }
            self.begin(fd, to, true)?;
            let Kind::Stream(id) = self.socket(fd)?.kind else { return Err(libc::EBADF) };
            if !self.syn_waits(id) && flavour == Flavour::Linux {
                return if nonblocking {
                    Err(libc::EINPROGRESS)
                } else {
                    Ok(Some(Step::Wait { until: None, then: Err(libc::EAGAIN) }))
                };
            }
        }
        let Kind::Stream(id) = self.socket(fd)?.kind else { return Ok(None) };
        let opening = self.stack().tcp_info(id).is_ok_and(|info| {
            info.state == usernet_core::tcp::StateName::SynSent && info.segs_out > 0
        });
        if asked && opening && *done == 0 && nonblocking {
            return Err(libc::EALREADY);
        }
        let (room, now) = (self.stack().tcp_syn_room(id).unwrap_or(0), self.now());
        let connecting = self.stack().tcp_info(id).is_ok_and(|info| info.segs_out == 0);
        if *done > 0 || !connecting || (room == 0 && flavour == Flavour::Linux) {
            return Ok(None);
        }
        // FreeBSD takes all of it into the socket buffer, Linux what goes with the SYN.
        let n = if flavour == Flavour::Linux { room.min(data.len()) } else { data.len() };
        *done = self.stack().tcp_send(now, id, &data[..n], false).map_err(|_| libc::EPIPE)?;
        Ok(Some(match (nonblocking, *done) {
            _ if flavour == Flavour::FreeBsd => Step::Done(Ok(*done as isize)),
            (true, 0) => return Err(libc::EINPROGRESS),
            (true, n) => Step::Done(Ok(n as isize)),
            (false, _) => Step::Wait { until: None, then: Err(libc::EAGAIN) },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_on_by_its_option_or_for_all() {
        let of = |flags: &str, queue| Settings::from_flags(flags).fast_open_listener(queue, 7);
        assert_eq!(of("net.ipv4.tcp_fastopen=0x1", Some(3)).queue, 0, "servers are off");
        assert_eq!(of("net.ipv4.tcp_fastopen=0x2", Some(3)).queue, 3);
        assert_eq!(of("net.ipv4.tcp_fastopen=0x2", None).queue, 0);
        assert_eq!(of("net.ipv4.tcp_fastopen=0x70403", None).queue, 7);
        assert!(of("net.ipv4.tcp_fastopen=0x202", Some(1)).accept_without_cookie);
    }

    #[test]
    fn keys_are_words() {
        let text = "net.ipv4.tcp_fastopen_key=00000001-0-0-ff000000";
        let Some(FastOpenKeys::Fixed { primary, backup: None }) =
            Settings::from_flags(text).fast_open_keys()
        else {
            panic!("no key");
        };
        assert_eq!((primary[0], primary[15]), (1, 0xff));
    }
}
