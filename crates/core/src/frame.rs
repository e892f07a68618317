//! What crosses the border to a device: received frames with what the device knows of them, and frames to transmit.

use usernet_wire::Error;
use usernet_wire::ip::Packet;
use usernet_wire::merged::Merged;

use crate::interface::InterfaceId;
use crate::payload::Payload;

/// What the device says about the checksums of a received frame's upper layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RxChecksum {
    /// Nothing: the core verifies it.
    #[default]
    Unverified,
    /// It was verified, or the frame never left this machine and none was computed (virtio `NEEDS_CSUM`): the core
    /// skips it.
    Trusted,
}

/// A received frame: an IP packet (or, on an Ethernet interface, an Ethernet frame).
#[derive(Clone, Debug)]
pub struct RxFrame {
    /// The bytes.
    pub data: Payload,
    /// What the device knows of its checksum.
    pub checksum: RxChecksum,
    /// Size of the segments that the device merged into this one, bytes of payload; 0 when it is as it was sent.
    /// TCP counts segments by it for delayed ACK and the receive MSS estimate. Datagrams that a device merged (all of that size,
    /// the last may be shorter; 128 at most) are taken apart again.
    pub gso_size: u16,
    /// Frames behind the first that the driver merged into it (see [`Coalescing`](crate::Coalescing)): counters count them.
    pub merged: u16,
}

impl RxFrame {
    /// A frame the device knows nothing about.
    pub fn new(data: impl Into<Payload>) -> Self {
        Self { data: data.into(), checksum: RxChecksum::Unverified, gso_size: 0, merged: 0 }
    }

    /// The datagrams that it carries, if several: `packet` was parsed from what follows `link` bytes of its data.
    pub(crate) fn merged(&self, packet: &Packet, link: usize) -> Result<Option<Merged>, Error> {
        let verified = self.checksum == RxChecksum::Trusted;
        Merged::of(packet, &self.data[link..], self.gso_size, verified)
    }
}

/// Which segmentation a device is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4: datagrams of one socket to one destination.
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

/// A checksum that the device is to complete: its field holds the pseudo-header's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Where the checksummed range begins, bytes from the start of the frame.
    pub start: u16,
    /// Where the field lies, bytes from `start`.
    pub offset: u16,
}

/// Most pieces that a segment's data comes in.
pub const PAYLOAD_PIECES: usize = 4;

/// The payload of what has none.
pub(crate) const NO_PAYLOAD: [&[u8]; PAYLOAD_PIECES] = [&[]; PAYLOAD_PIECES];

/// A frame to transmit: `header` then the pieces of `payload`, back to back. It borrows the stack: the bytes are
/// still in the connection's send queue. The device writes it (or its driver copies it) before the next call.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// Which interface.
    pub interface: InterfaceId,
    /// Link, network and transport headers, or a whole small packet.
    pub header: &'a [u8],
    /// The data; any piece may be empty.
    pub payload: [&'a [u8]; PAYLOAD_PIECES],
    /// Set when the device completes the checksum.
    pub checksum: Option<TxChecksum>,
    /// Set when the device, or its driver by [`cut`](crate::cut()), cuts the segment. The driver also sets its checksums.
    pub gso: Option<Gso>,
}

impl Transmit<'_> {
    /// Length of the whole frame, bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.header.len() + self.payload.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// The frame as one piece of memory.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(self.header);
        for piece in self.payload {
            bytes.extend_from_slice(piece);
        }
        bytes
    }
}
