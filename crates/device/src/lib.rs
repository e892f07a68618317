//! Where packets come from and go to. This crate knows bytes, offload metadata and descriptors, and no protocol; it is
//! the only one with raw system calls for packets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the edge: clocks and descriptors live here

mod capture;
mod datagrams;
mod device;
#[cfg(target_os = "linux")]
mod frame_io;
mod impairment;
mod link;
#[cfg(target_os = "linux")]
mod netlink;
mod open_error;
#[cfg(target_os = "linux")]
mod packet;
mod port;
mod tun;
#[cfg(unix)]
mod vm;
#[cfg(target_os = "linux")]
mod vnet;

pub use capture::{Capture, CaptureOptions, CaptureStats, Captured};
pub use datagrams::{each_received, each_sent};
pub use device::{
    Device, DeviceInfo, Gso, GsoKind, Medium, Offload, Received, RxData, TX_PIECES, TxChecksum,
    TxFrame, Wake,
};
pub use impairment::{
    Direction, Impaired, Impairment, ImpairmentHandle, ImpairmentStats, InvalidImpairment,
    impaired_pair,
};
pub use link::{Link, LinkOptions, LinkStats, pair};
pub use open_error::OpenError;
#[cfg(target_os = "linux")]
pub use packet::PacketSocket;
pub use port::{FramePort, PortDevice, PortOptions, PortStats, frame_port};
#[cfg(target_os = "linux")]
pub use tun::duplicate;
pub use tun::{Tap, TapOptions, Tun, TunCounters, TunOptions, TunStats};
#[cfg(unix)]
pub use vm::{VmLink, VmSocket};
