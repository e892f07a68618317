//! TUN and TAP: network interfaces whose packets or Ethernet frames come to us instead of a wire. Options, counters and
//! checks that need no system; the system's part is beside this.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::Medium;
use crate::open_error::OpenError;

#[cfg(target_os = "linux")]
mod linux;
mod tap;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub use linux::{Tun, duplicate};
#[cfg(target_os = "linux")]
pub(crate) use linux::{interface_index, interface_mtu};
pub use tap::{Tap, TapOptions};
#[cfg(not(target_os = "linux"))]
pub use unsupported::Tun;

/// Longest interface name, bytes.
const MAX_NAME: usize = 15;

/// Most queues of an interface (Linux `MAX_TAP_QUEUES`).
const MAX_QUEUES: usize = 256;

/// Smallest MTU an IPv4 host may be given: every host has to take datagrams of this size (RFC 791, 3.1; RFC 1122,
/// 3.3.2).
const MIN_MTU: u16 = 576;

/// Smallest MTU of a link that carries IPv6 (RFC 8200, 5).
#[cfg(target_os = "linux")]
const MIN_MTU_IPV6: u16 = 1280;

/// Which of the two an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IP packets.
    Tun,
    /// Ethernet frames.
    Tap,
}

impl Kind {
    fn medium(self) -> Medium {
        match self {
            Self::Tun => Medium::Ip,
            Self::Tap => Medium::Ethernet,
        }
    }

    /// Most bytes before the packet: Ethernet's header, and one VLAN tag (IEEE 802.1Q).
    fn header_len(self) -> usize {
        match self {
            Self::Tun => 0,
            Self::Tap => 14 + 4,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Tun => Self::Tap,
            Self::Tap => Self::Tun,
        }
    }

    /// As `ip tuntap` calls it.
    fn mode(self) -> &'static str {
        match self {
            Self::Tun => "tun",
            Self::Tap => "tap",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tun => "TUN",
            Self::Tap => "TAP",
        })
    }
}

/// How a TUN interface is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunOptions {
    /// The interface's name, 1 to 15 bytes, no `/`, `:` or white space. One `%d` in it is replaced by a free number. An
    /// existing persistent TUN of this name that nobody has open is used. `None`: the kernel chooses.
    pub name: Option<String>,
    /// Whether to ask the kernel for checksum and segmentation offload; what it grants is in `info().offload`.
    pub offload: bool,
    /// With `offload`, whether the kernel may also hand over UDP datagrams merged into one frame (`gso_size` says where they
    /// join), and takes such frames, where it does so (Linux 6.2). Only for a receiver that takes them apart again, as the stack
    /// does: they are separate datagrams.
    pub udp_offload: bool,
    /// With `offload`, whether to hand over segments that are longer than a packet can be, where the kernel takes them (Linux
    /// 6.3, BIG TCP over IPv4).
    pub big_tcp: bool,
    /// MTU, bytes, 576 to 65,535, and at least 1,280 for IPv6. `None`: 1,500, or what an existing interface has.
    pub mtu: Option<u16>,
    /// Packets that wait in the kernel for us to read them; beyond it drops them.
    pub queue_len: u32,
    /// Queues, 1 to 256: more than one for as many drivers that share the work (`IFF_MULTI_QUEUE`). The first is what is
    /// opened, [`Device::open_queues`](crate::Device::open_queues) opens the others. A persistent interface that is used has
    /// to have been made with several (`ip tuntap add .. multi_queue`), or with one.
    pub queues: usize,
    /// Whether to take the interface up.
    pub up: bool,
    /// Whether the interface stays when it is closed.
    pub persist: bool,
}

impl Default for TunOptions {
    /// The kernel's name, offload, BIG TCP, the kernel's MTU, a queue of 5,000, one of them, up, not persistent.
    fn default() -> Self {
        Self {
            name: None,
            offload: true,
            udp_offload: true,
            big_tcp: true,
            mtu: None,
            queue_len: 5000,
            queues: 1,
            up: true,
            persist: false,
        }
    }
}

/// What a TUN has counted, frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TunStats {
    /// Frames the kernel refused: malformed, or the interface was down. They are lost, as on a wire.
    pub tx_refused: u64,
    /// Frames that asked for an offload in a way that cannot be expressed. A fault of the stack.
    pub tx_invalid: u64,
    /// Reads that failed for the fault of one frame.
    pub rx_failed: u64,
    /// Frames whose offload header contradicted itself or the frame, and was not believed.
    pub rx_odd_header: u64,
}

/// The counters of a TUN: can be read while a stack owns the device.
#[derive(Clone, Debug, Default)]
pub struct TunCounters(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    tx_refused: AtomicU64,
    tx_invalid: AtomicU64,
    rx_failed: AtomicU64,
    rx_odd_header: AtomicU64,
}

impl TunCounters {
    /// What has been counted up to now.
    pub fn get(&self) -> TunStats {
        TunStats {
            tx_refused: self.0.tx_refused.load(Ordering::Relaxed),
            tx_invalid: self.0.tx_invalid.load(Ordering::Relaxed),
            rx_failed: self.0.rx_failed.load(Ordering::Relaxed),
            rx_odd_header: self.0.rx_odd_header.load(Ordering::Relaxed),
        }
    }
}

/// Refuses what no system would take, with the same words everywhere.
fn check(options: &TunOptions) -> Result<(), OpenError> {
    if let Some(name) = &options.name {
        check_name(name)?;
    }
    if !(1..=MAX_QUEUES).contains(&options.queues) {
        let message = format!("{} queues: there can be 1 to {MAX_QUEUES}", options.queues);
        return Err(OpenError::new(libc::EINVAL, "ioctl", message));
    }
    options.mtu.map_or(Ok(()), check_mtu)
}

fn check_mtu(mtu: u16) -> Result<(), OpenError> {
    if mtu >= MIN_MTU {
        return Ok(());
    }
    let message = format!(
        "MTU {mtu} is too small: IPv4 needs at least {MIN_MTU} bytes (and IPv6 1280); leave it out for 1500"
    );
    Err(OpenError::new(libc::EINVAL, "ioctl", message))
}

fn check_name(name: &str) -> Result<(), OpenError> {
    let refuse = |errno, why: &str| {
        Err(OpenError::new(errno, "ioctl", format!("interface name {name:?} {why}")))
    };
    if name.is_empty() {
        return refuse(libc::EINVAL, "is empty; leave it out to let the kernel choose");
    }
    if name.len() > MAX_NAME {
        let len = name.len();
        return refuse(
            libc::ENAMETOOLONG,
            &format!("is too long: {len} bytes, at most {MAX_NAME} are allowed"),
        );
    }
    if name == "." || name == ".." {
        return refuse(libc::EINVAL, "is not allowed; choose a name such as 'un0'");
    }
    if name.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        return refuse(
            libc::EINVAL,
            "has a character that is not allowed ('/', ':', white space); choose a name such as 'un0'",
        );
    }
    if name.contains('%') && (name.matches('%').count() != 1 || !name.contains("%d")) {
        return refuse(libc::EINVAL, "has a '%' that is not one '%d' (the place of a number)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Result<(), OpenError> {
        check(&TunOptions { name: Some(name.into()), ..TunOptions::default() })
    }

    #[test]
    fn takes_good_names() {
        for name in ["un0", "a", "fifteen-bytes-x", "un%d", "tün0", "x.5"] {
            assert_eq!(named(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn refuses_bad_names_and_says_which() {
        for (name, code) in [
            ("", "EINVAL"),
            ("sixteen-bytes-xx", "ENAMETOOLONG"),
            ("a/b", "EINVAL"),
            ("a b", "EINVAL"),
            ("a\tb", "EINVAL"),
            ("a\0b", "EINVAL"),
            ("a:b", "EINVAL"),
            ("..", "EINVAL"),
            ("%s", "EINVAL"),
            ("%d%d", "EINVAL"),
        ] {
            let error = named(name).unwrap_err();
            assert_eq!(error.code(), code, "{name:?}");
            assert!(error.message().contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn refuses_a_small_mtu() {
        let mtu = |mtu| check(&TunOptions { mtu: Some(mtu), ..TunOptions::default() });
        for bad in [0, 68, 575] {
            let error = mtu(bad).unwrap_err();
            assert_eq!(error.code(), "EINVAL");
            assert!(error.message().contains(&format!("MTU {bad} ")), "{error}");
        }
        for good in [576, 1500, 65_535] {
            assert_eq!(mtu(good), Ok(()));
        }
    }
}
