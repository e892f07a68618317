//! A packet on its way through the network, and the parsed view of it that rules, observers and the trace get.

use std::fmt;
use std::net::SocketAddr;

use usernet_core::Instant;
use usernet_wire::ip::{self, Protocol};
use usernet_wire::tcp::{self, Flags};

use crate::NodeId;

/// A packet in the network.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Names its transmission on one link; copies made on that link share it. Grows with time.
    pub(crate) id: u64,
    /// The IP packet.
    pub(crate) bytes: Vec<u8>,
    /// The node that made it.
    pub(crate) origin: NodeId,
    /// How often the link had gone down when it was put on it: what is under way when a link goes down is lost.
    pub(crate) epoch: u32,
    /// When it entered the queue of the link.
    pub(crate) queued_at: Instant,
}

/// A valid IP packet, and its TCP header where it is a whole TCP segment.
#[derive(Clone, Debug)]
pub struct PacketView<'a> {
    /// The whole packet.
    pub bytes: &'a [u8],
    /// Its IP header.
    pub ip: ip::Packet,
    /// Its TCP header (checksum not verified).
    pub tcp: Option<tcp::Repr>,
    /// Its data: what follows the TCP header, or the IP header where there is no TCP.
    pub payload: &'a [u8],
}

impl<'a> PacketView<'a> {
    /// Parses a packet; `None` when it is not one.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ip = ip::Packet::parse(bytes).ok()?;
        let body = &bytes[ip.payload_offset..ip.payload_offset + ip.payload_len];
        let whole_tcp = ip.protocol == Protocol::TCP && ip.fragment.is_none();
        let tcp = if whole_tcp { tcp::Repr::parse(body, ip.src, ip.dst, true).ok() } else { None };
        let (tcp, payload) = match tcp {
            Some((tcp, header_len)) => (Some(tcp), &body[header_len..]),
            None => (None, body),
        };
        Some(Self { bytes, ip, tcp, payload })
    }

    /// Whether it is a TCP segment with all of these control bits.
    pub fn has(&self, flags: Flags) -> bool {
        self.tcp.as_ref().is_some_and(|tcp| tcp.flags.contains(flags))
    }

    /// Source address and port of a TCP segment.
    pub fn source(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|tcp| SocketAddr::new(self.ip.src, tcp.src_port))
    }

    /// Destination address and port of a TCP segment.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|tcp| SocketAddr::new(self.ip.dst, tcp.dst_port))
    }
}

/// Why the network did away with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// Lost on the wire, as the link's settings say.
    Lost,
    /// The queue of the link was full.
    QueueFull,
    /// CoDel took it out of the queue.
    CoDel,
    /// Larger than the MTU of the link.
    TooBig,
    /// The link is down, or went down while the packet was on it.
    LinkDown,
    /// A rule dropped it.
    Rule,
    /// Sender and receiver are parted.
    Partition,
    /// Nobody has the destination address, or no link leads there.
    NoRoute,
    /// The host has crashed.
    HostDown,
    /// Its TTL or hop limit ran out at a router.
    HopLimit,
    /// The NAT box has no mapping for it, no port left, or cannot translate its protocol.
    Nat,
    /// Not a valid IP packet (any more), found by a node that had to forward it.
    Malformed,
    /// The switch sees its destination where it came from.
    Filtered,
}

impl DropReason {
    /// As the trace prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::QueueFull => "queue full",
            Self::CoDel => "codel",
            Self::TooBig => "too big",
            Self::LinkDown => "link down",
            Self::Rule => "dropped",
            Self::Partition => "partition",
            Self::NoRoute => "no route",
            Self::HostDown => "host down",
            Self::HopLimit => "hop limit",
            Self::Nat => "nat",
            Self::Malformed => "malformed",
            Self::Filtered => "filtered",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A node put it on a link.
    Sent,
    /// It came to the node at the other end.
    Delivered,
    /// It is gone.
    Dropped(DropReason),
    /// The wire flipped one of its bits.
    Corrupted,
    /// The wire made a second one of it.
    Duplicated,
    /// The wire let later ones overtake it.
    Reordered,
    /// A rule delays it.
    Delayed,
    /// A rule changed it.
    Altered,
    /// A rule makes copies of it.
    Copied,
    /// A rule holds it.
    Held,
    /// What a rule held goes on.
    Released,
}

/// What an observer is told.
#[derive(Clone, Copy, Debug)]
pub struct PacketEvent<'a> {
    /// When.
    pub at: Instant,
    /// Names the packet's transmission over one link, in every event about it.
    pub id: u64,
    /// What happened to it.
    pub what: What,
    /// The node that sent it over this link.
    pub from: NodeId,
    /// The node at the link's other end; the sender itself when there is no link to take.
    pub to: NodeId,
    /// Name of `from`.
    pub from_name: &'a str,
    /// Name of `to`.
    pub to_name: &'a str,
    /// The packet, as it is at this point.
    pub bytes: &'a [u8],
}
