//! Packet formats, and nothing else: views over bytes that are validated once into plain values ("Reprs").
//! Nothing past this crate looks at raw header bytes.
//!
//! `no_std`, no allocation, no `unsafe`. Every parser answers malformed input with an [`Error`]; none panics.
#![no_std]
#![forbid(unsafe_code)]

pub mod checksum;
mod error;
pub mod ip;
pub mod seq;
pub mod tcp;

pub use error::Error;
pub use seq::SeqNumber;
