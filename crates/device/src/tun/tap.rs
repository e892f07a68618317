//! TAP: a TUN whose frames begin with an Ethernet header. Everything else is shared.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use super::{Kind, Tun, TunOptions};
use crate::device::{Device, DeviceInfo, Medium, Received, TxFrame, Wake};
use crate::open_error::OpenError;

/// How a TAP interface is opened.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TapOptions {
    /// What it has in common with a TUN. The MTU is without the Ethernet header.
    pub tun: TunOptions,
    /// Hardware address of the kernel's side, a unicast one; `None`: the kernel draws one. The stack's own is a matter of
    /// the stack: a TAP carries frames to and from any address.
    pub kernel_mac: Option<[u8; 6]>,
}

/// A TAP interface: as [`Tun`], whose methods it has, with Ethernet frames.
///
/// Frames have no checksum sequence, and at most one VLAN tag fits beyond the MTU.
#[derive(Debug)]
pub struct Tap(Tun);

impl Tap {
    /// Creates a TAP interface, or attaches to a persistent one, in the calling thread's network namespace.
    ///
    /// # Errors
    /// As [`Tun::open`]; `EINVAL` for a hardware address that is of a group or all zeroes.
    pub fn open(options: &TapOptions) -> Result<Self, OpenError> {
        if let Some(mac) = options.kernel_mac
            && (mac[0] & 1 != 0 || mac == [0; 6])
        {
            return Err(OpenError::new(
                libc::EINVAL,
                "ioctl",
                format!(
                    "hardware address {mac:02x?} is not one of a single interface; give one whose first byte is even, \
                     such as 02:00:00:00:00:01"
                ),
            ));
        }
        Tun::open_kind(&options.tun, Kind::Tap, options.kernel_mac).map(Self)
    }

    /// As [`Tun::from_fd`], for the descriptor of a TAP.
    ///
    /// # Errors
    /// `EINVAL` when it is not a TAP with an interface attached.
    #[cfg(target_os = "linux")]
    pub fn from_fd(
        fd: std::os::fd::OwnedFd,
        offload: bool,
        mtu: Option<u16>,
    ) -> Result<Self, OpenError> {
        Tun::from_fd_kind(fd, Kind::Tap, offload, mtu).map(Self)
    }

    /// The hardware address of the kernel's side.
    ///
    /// # Errors
    /// The system's, when the interface is gone or in another namespace than the calling thread.
    #[cfg(target_os = "linux")]
    pub fn kernel_mac(&self) -> io::Result<[u8; 6]> {
        super::linux::interface_mac(self.0.name())
    }
}

impl Deref for Tap {
    type Target = Tun;
    fn deref(&self) -> &Tun {
        &self.0
    }
}

impl DerefMut for Tap {
    fn deref_mut(&mut self) -> &mut Tun {
        &mut self.0
    }
}

impl Device for Tap {
    fn info(&self) -> DeviceInfo {
        self.0.info()
    }

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.0.recv(buf)
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.0.send(frame)
    }

    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::RawFd> {
        self.0.fd()
    }

    #[cfg(unix)]
    fn link_fd(&self) -> Option<std::os::fd::RawFd> {
        self.0.link_fd()
    }

    fn link_change(&mut self) -> Option<bool> {
        self.0.link_change()
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.0.set_waker(waker);
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        self.0.set_mtu(mtu)
    }

    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        self.0.set_up(up)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}
