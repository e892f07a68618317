//! The condvar-guarded connection manager: it drives the sans-IO core with devices, a clock and a packet thread, and
//! offers it to Rust as a blocking API like `std::net`, and to the Node binding as a lock and a doorbell.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the edge: clocks and threads live here

mod inner;
mod park;
mod shard;
mod slab;

pub use inner::ShardStats;
pub use shard::{Shard, ShardGuard, interface_config};
