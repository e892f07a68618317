//! Packet formats, and nothing else: views over bytes that are validated once into plain values ("Reprs").
//! Nothing past this crate looks at raw header bytes.
//!
//! `no_std`, no allocation, no `unsafe`. Every parser answers malformed input with an [`Error`]; none panics.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
mod error;
pub mod ethernet;
mod extension;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ip;
mod membership;
pub mod merged;
pub mod mld;
pub mod ndp;
pub mod quoted;
pub mod seq;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod udp;

pub use error::Error;
pub use seq::SeqNumber;
