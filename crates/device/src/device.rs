//! The one trait of everything that carries frames.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use libc::EINVAL;

use crate::open_error::OpenError;

/// What a device can do for the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offload {
    /// It completes TCP and UDP checksums on transmit.
    pub tx_checksum: bool,
    /// It cuts large TCP segments over IPv4.
    pub tso4: bool,
    /// It cuts large TCP segments over IPv6.
    pub tso6: bool,
    /// It takes UDP datagrams apart that were merged, over either family.
    pub uso: bool,
    /// With `tso4`, it takes segments over IPv4 that are longer than a packet can be, 65,535 bytes, with 0 for the packet's
    /// length (what Linux calls BIG TCP).
    pub big_tcp4: bool,
}

/// What a device's frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Medium {
    /// An IPv4 or IPv6 header.
    #[default]
    Ip,
    /// An Ethernet header, 14 bytes, which the MTU does not count.
    Ethernet,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name, as the system or its maker calls it.
    pub name: String,
    /// Largest packet it carries, bytes, without link header.
    pub mtu: u16,
    /// Most bytes one `recv` can give: the MTU, or 65,550 or so with receive offload.
    pub max_frame: usize,
    /// What it can do.
    pub offload: Offload,
}

/// Which segmentation a device is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp4,
    /// UDP over IPv6.
    Udp6,
}

/// A request to cut one large segment into several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Protocol.
    pub kind: GsoKind,
    /// Payload bytes per segment.
    pub size: u16,
}

/// A checksum the device is to complete: its field holds the pseudo-header's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Where the checksummed range begins, bytes from the start of the frame.
    pub start: u16,
    /// Where the field lies, bytes from `start`.
    pub offset: u16,
}

/// Most pieces of a frame to send: its headers, and data in up to four.
pub const TX_PIECES: usize = 5;

/// A frame to send: pieces back to back, the headers in the first.
#[derive(Clone, Copy, Debug)]
pub struct TxFrame<'a> {
    /// The pieces; any may be empty.
    pub pieces: [&'a [u8]; TX_PIECES],
    /// Set when the device completes the checksum; never set on a device without `tx_checksum`.
    pub checksum: Option<TxChecksum>,
    /// Set when the device cuts the segment; never set on a device without `tso4`/`tso6`/`uso`.
    pub gso: Option<Gso>,
}

impl<'a> TxFrame<'a> {
    /// A frame that goes out as it is, of at most [`TX_PIECES`] pieces.
    pub fn of(pieces: &[&'a [u8]]) -> Self {
        let mut all: [&'a [u8]; TX_PIECES] = [&[]; TX_PIECES];
        all[..pieces.len()].copy_from_slice(pieces);
        Self { pieces: all, checksum: None, gso: None }
    }

    /// Length of the whole frame, bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|p| p.len()).sum()
    }
}

/// Where a received frame's bytes are.
#[derive(Debug)]
pub enum RxData {
    /// At the start of the buffer given to `recv`; this many bytes.
    Buffer(usize),
    /// In memory of their own: no copy was needed (in-process devices).
    Owned(Vec<u8>),
}

/// A received frame.
#[derive(Debug)]
pub struct Received {
    /// Its bytes.
    pub data: RxData,
    /// Whether its transport checksum needs no verification: the device did it, or the frame never left this machine.
    pub checksum_trusted: bool,
    /// Payload bytes per segment when several were merged into this frame; 0 otherwise.
    pub gso_size: u16,
}

/// Someone who waits for frames. Called from any thread, may be called spuriously, never blocks.
pub trait Wake: Send + Sync {
    /// The device may have become readable or writable.
    fn wake(&self);
}

/// Something that carries frames: non-blocking, owned by one driver.
pub trait Device: Send {
    /// What it is. Changes by [`set_mtu`](Self::set_mtu) alone.
    fn info(&self) -> DeviceInfo;

    /// What its frames begin with. Does not change.
    fn medium(&self) -> Medium {
        Medium::Ip
    }

    /// Takes one frame. `buf` has at least `max_frame` bytes.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; anything else means that the device is gone.
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received>;

    /// Sends one frame.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room: offer it again after a wake-up. Anything else means that the device is gone.
    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()>;

    /// The descriptor to poll for reading, where there is one. A device without one calls its waker instead.
    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }

    /// The descriptor to poll for reading that tells of changes to its link by somebody else, where there is one.
    #[cfg(unix)]
    fn link_fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }

    /// Whether the link went up (`true`) or down since the last call, by whoever did it. Takes what
    /// [`link_fd`](Self::link_fd) tells.
    fn link_change(&mut self) -> Option<bool> {
        None
    }

    /// Opens what further queues it was asked to have: devices of the same interface, for as many drivers. None by default.
    ///
    /// # Errors
    /// The system's.
    fn open_queues(&mut self) -> Result<Vec<Box<dyn Device>>, OpenError> {
        Ok(Vec::new())
    }

    /// Whether frames wait that neither its descriptor nor a further wake-up tells of. No by default.
    fn has_frames(&self) -> bool {
        false
    }

    /// A packet of the device's, put together again from fragments, that is not for who has received them: for a device that
    /// knows for whom. Lost by default.
    fn hand_back(&mut self, packet: &[u8]) {
        let _ = packet;
    }

    /// Who to wake when a frame came or room is there again. Devices with a descriptor may ignore it.
    fn set_waker(&mut self, waker: Arc<dyn Wake>);

    /// When `recv` or `send` should be tried again without a wake-up (frames that are being delayed), if ever.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Changes its largest packet, bytes. A device that has none to set keeps its own, and carries shorter ones.
    ///
    /// # Errors
    /// `EINVAL` where it cannot carry such packets; the system's.
    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        let DeviceInfo { name, mtu: most, .. } = self.info();
        if mtu <= most {
            return Ok(());
        }
        let message = format!("MTU {mtu} is more than '{name}' carries: {most} bytes");
        Err(OpenError::new(EINVAL, "setMtu", message))
    }

    /// Takes it up or down, where it has such a state of its own.
    ///
    /// # Errors
    /// The system's.
    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        let _ = up;
        Ok(())
    }
}

impl Device for Box<dyn Device> {
    fn info(&self) -> DeviceInfo {
        (**self).info()
    }

    fn medium(&self) -> Medium {
        (**self).medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        (**self).recv(buf)
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        (**self).send(frame)
    }

    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::RawFd> {
        (**self).fd()
    }

    #[cfg(unix)]
    fn link_fd(&self) -> Option<std::os::fd::RawFd> {
        (**self).link_fd()
    }

    fn link_change(&mut self) -> Option<bool> {
        (**self).link_change()
    }

    fn open_queues(&mut self) -> Result<Vec<Box<dyn Device>>, OpenError> {
        (**self).open_queues()
    }

    fn has_frames(&self) -> bool {
        (**self).has_frames()
    }

    fn hand_back(&mut self, packet: &[u8]) {
        (**self).hand_back(packet);
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        (**self).set_waker(waker);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        (**self).set_mtu(mtu)
    }

    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        (**self).set_up(up)
    }
}
