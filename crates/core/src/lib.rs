//! The TCP/IP stack, sans-IO: it never reads a clock, a random source or a descriptor. Whoever drives it hands it frames
//! and the time, and takes frames and events from it. Any behaviour can be replayed from a seed in virtual time.
//!
//! The order of calls that a driver keeps, on each wake-up (all of it bounded by the driver):
//!
//! 1. [`Stack::handle_frame`] for the frames that came in,
//! 2. [`Stack::handle_timeout`] when [`Stack::poll_timeout`] is due,
//! 3. [`Stack::poll_transmit`] until it gives nothing (or the device takes no more),
//! 4. [`Stack::poll_event`] until it gives nothing,
//! 5. [`Stack::poll_timeout`]: when to come back at the latest.
//!
//! The socket calls (`tcp_*`) may come at any time; 3-5 follow them.
#![forbid(unsafe_code)]

mod config;
mod cut;
mod error;
mod event;
mod frame;
mod interface;
mod lazy;
mod payload;
mod stack;
mod steering;
pub mod tcp;
mod time;
mod udp;

pub use config::{
    BridgeConfig, BufferSize, Config, Congestion, EcnPolicy, FastOpen, FastOpenKeys, KeepAlive,
    MtuProbing, ReassemblyLimits, Secrets, SocketOptions, SynCookies, UnknownCongestion,
};
pub use cut::cut;
pub use error::{
    BindError, ConnectError, ConnectionError, DatagramError, FlowError, InterfaceError,
    ListenError, MembershipError, NoSuchSocket, RecvError, SendError,
};
pub use event::{
    AddressChange, ErrorReport, Event, FlowId, LinkChange, ListenerId, PathError, PingId,
    PingOutcome, RawId, Ready, SocketId, Trace, TraceEvent, UdpId,
};
pub use frame::{Gso, GsoKind, PAYLOAD_PIECES, RxChecksum, RxFrame, Transmit, TxChecksum};
pub use interface::{
    AddressInfo, AddressOrigin, AddressState, Detection, InterfaceConfig, InterfaceId, IpCidr,
    Medium, NeighborInfo, NeighborState, Offload, Route, is_unicast,
};
pub use payload::{Payload, Storage};
pub use stack::{
    BridgePortStats, BridgeStation, Coalescing, ConnectOptions, FlowInfo, FlowKind, FlowOptions,
    FlowSocket, ListenAddress, ListenOptions, PingOptions, RawOptions, RawPacket, Reject, Shutdown,
    Stack, Stats,
};
pub use steering::Steering;
pub use time::{Duration, Instant};
pub use udp::{Datagram, UdpInfo, UdpOptions, UdpSettings};
pub use usernet_wire::ethernet::MacAddr;
