//! Where packets come from and go to. This crate knows bytes, offload metadata and descriptors, and no protocol; it is
//! the only one with raw system calls for packets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the edge: clocks and descriptors live here

mod capture;
mod device;
mod impairment;
mod link;
#[cfg(target_os = "linux")]
mod netlink;
mod open_error;
mod tun;
#[cfg(target_os = "linux")]
mod vnet;

pub use capture::{Capture, CaptureOptions, CaptureStats, Captured};
pub use device::{
    Device, DeviceInfo, Gso, GsoKind, Medium, Offload, Received, RxData, TxChecksum, TxFrame, Wake,
};
pub use impairment::{
    Direction, Impaired, Impairment, ImpairmentHandle, ImpairmentStats, InvalidImpairment,
    impaired_pair,
};
pub use link::{Link, LinkOptions, LinkStats, pair};
pub use open_error::OpenError;
pub use tun::{Tun, TunCounters, TunOptions, TunStats};
