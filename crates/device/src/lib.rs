//! Where packets come from and go to. This crate knows bytes, offload metadata and descriptors, and no protocol; it is
//! the only one with raw system calls for packets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the edge: clocks and descriptors live here

mod device;

pub use device::{
    Device, DeviceInfo, Gso, GsoKind, Offload, Received, RxData, TxChecksum, TxFrame, Wake,
};
