//! How the stack is set up: `--so_flags`, and the sysctls that scripts set on the way.
//!
//! Both have the same form, `name=value`: flags separated by commas on the command line, sysctls one a line in the file
//! that `USERNET_PACKETDRILL_SYSCTL` names (the runner's stand-in for sysctl(8) appends to it). Unknown names are kept
//! and ignored, as most sysctls of the suites are about the kernel's insides.

use std::collections::HashMap;
use std::net::IpAddr;

use usernet_core::{Duration, EcnPolicy, MtuProbing, SocketOptions};

/// Whose habits the adapter takes on where stacks differ and no RFC says which is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Linux: Google's suite.
    Linux,
    /// FreeBSD: the order of SYN options, and receive buffers that are whole segments.
    FreeBsd,
}

/// Flags and sysctls, as text; the newest wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    values: HashMap<String, String>,
}

impl Settings {
    /// From `--so_flags`.
    pub(crate) fn from_flags(flags: &str) -> Self {
        let mut settings = Self::default();
        flags.split(',').for_each(|pair| settings.set(pair));
        settings
    }

    /// Takes one `name=value`; slashes in the name count as dots, as in sysctl(8).
    pub(crate) fn set(&mut self, pair: &str) {
        if let Some((name, value)) = pair.split_once('=') {
            let name = name.trim().replace('/', ".");
            self.values.insert(name, value.trim().trim_matches('"').to_owned());
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A number, decimal or `0x..`.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    pub(crate) fn flavour(&self) -> Flavour {
        match self.text("flavour") {
            Some("freebsd") => Flavour::FreeBsd,
            _ => Flavour::Linux,
        }
    }

    /// The stack's addresses: `local=` holds them with spaces or `+` between.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let default = "192.168.0.0+192.168.0.1+192.0.2.2+fd3d:fa7b:d17d::0";
        let text = self.text("local").unwrap_or(default);
        text.split(['+', ' ']).filter_map(|a| a.parse().ok()).collect()
    }

    /// MTU of the interface, bytes.
    pub(crate) fn mtu(&self) -> u16 {
        self.number("mtu").map_or(1500, |n| n.clamp(1280, 65535) as u16)
    }

    /// Whether segments larger than the MTU reach packetdrill in one piece, as over a kernel's TUN.
    pub(crate) fn tso(&self) -> bool {
        self.number("tso") != Some(0)
    }

    /// The middle one of the three numbers of `tcp_rmem` and `tcp_wmem`, or the whole of another.
    fn space(&self, linux: &str, index: usize, freebsd: &str) -> Option<usize> {
        let number = match self.flavour() {
            Flavour::Linux => self.text(linux)?.split_whitespace().nth(index)?.parse().ok(),
            Flavour::FreeBsd => self.number(freebsd).map(|n| n as usize),
        };
        number.filter(|n| *n > 0)
    }

    /// Receive buffer of a socket that sets none, bytes: what its window can be.
    pub(crate) fn receive_space(&self) -> usize {
        self.number("recv_buffer")
            .map(|n| n as usize)
            .or_else(|| self.space("net.ipv4.tcp_rmem", 1, "net.inet.tcp.recvspace"))
            .unwrap_or(65536)
    }

    /// The largest receive buffer there may ever be, bytes: the window shift is made for it.
    pub(crate) fn receive_space_max(&self) -> usize {
        self.space("net.ipv4.tcp_rmem", 2, "kern.ipc.maxsockbuf").unwrap_or(2 << 20)
    }

    /// Send buffer of a socket that sets none, bytes. Linux's grows by itself up to the third number.
    pub(crate) fn send_space(&self) -> usize {
        self.number("send_buffer")
            .map(|n| n as usize)
            .or_else(|| self.space("net.ipv4.tcp_wmem", 2, "net.inet.tcp.sendspace"))
            .unwrap_or(1 << 20)
    }

    /// A switch: whether `linux` or `freebsd` is not 0, with what holds when neither was set.
    fn on(&self, linux: &str, freebsd: &str, default: bool) -> bool {
        let name = if self.flavour() == Flavour::Linux { linux } else { freebsd };
        self.number(name).map_or(default, |n| n != 0)
    }

    /// `net.ipv4.tcp_ecn`, or FreeBSD's switch, whose 0, 1 and 2 mean the same as Linux's.
    fn ecn(&self) -> EcnPolicy {
        let name = match self.flavour() {
            Flavour::Linux => "net.ipv4.tcp_ecn",
            Flavour::FreeBsd => "net.inet.tcp.ecn.enable",
        };
        let number = self.number(name).and_then(|n| u8::try_from(n).ok());
        number.and_then(EcnPolicy::from_number).unwrap_or_default()
    }

    /// Options of a socket that sets none.
    pub(crate) fn socket_options(&self) -> SocketOptions {
        let retries = |name, default: u8| self.number(name).map_or(default, |n| n.min(255) as u8);
        let millis = |name, default| Duration::from_millis(self.number(name).unwrap_or(default));
        SocketOptions {
            // The shift is made for it; the socket's own space follows once the handshake is over.
            recv_buffer: self.receive_space_max().into(),
            send_buffer: self.send_space().into(),
            // Off in Linux and FreeBSD unless they are told.
            mtu_probing: match self.number("net.ipv4.tcp_mtu_probing") {
                Some(1) => MtuProbing::BlackHole,
                Some(2) => MtuProbing::Always,
                _ => MtuProbing::Off,
            },
            timestamps: self.on("net.ipv4.tcp_timestamps", "net.inet.tcp.rfc1323", true),
            window_scaling: self.on("net.ipv4.tcp_window_scaling", "net.inet.tcp.rfc1323", true),
            sack: self.on("net.ipv4.tcp_sack", "net.inet.tcp.sack.enable", true),
            // Linux's way; here and in FreeBSD it is not the default.
            fail_connect_on_soft_error: self.flavour() == Flavour::Linux,
            syn_retries: retries("net.ipv4.tcp_syn_retries", 6),
            synack_retries: retries("net.ipv4.tcp_synack_retries", 5),
            delayed_ack: millis("net.inet.tcp.delacktime", 40),
            ecn: self.ecn(),
            // FreeBSD delays from the start.
            quick_acks: if self.flavour() == Flavour::Linux { 16 } else { 0 },
            ..SocketOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_override_flags() {
        let mut settings = Settings::from_flags("net.ipv4.tcp_sack=1,mtu=1400");
        assert!(settings.socket_options().sack);
        settings.set("net/ipv4/tcp_sack=0");
        assert!(!settings.socket_options().sack);
        assert_eq!(settings.mtu(), 1400);
    }

    #[test]
    fn buffers_come_from_the_flavours_sysctls() {
        let linux = Settings::from_flags("net.ipv4.tcp_rmem=4096 540000 15728640");
        assert_eq!((linux.receive_space(), linux.receive_space_max()), (540_000, 15_728_640));
        let flags = "flavour=freebsd,kern.ipc.maxsockbuf=2097152,net.inet.tcp.recvspace=65536";
        let freebsd = Settings::from_flags(flags);
        assert_eq!((freebsd.receive_space(), freebsd.receive_space_max()), (65_536, 2_097_152));
    }

    #[test]
    fn both_families_are_local() {
        let settings = Settings::from_flags("local=192.168.0.1+fd3d::1");
        let addresses = settings.addresses();
        assert_eq!(addresses.len(), 2);
        assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6());
    }
}
