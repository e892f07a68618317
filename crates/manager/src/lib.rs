//! The condvar-guarded connection manager: it drives the sans-IO core with devices, a clock and a packet thread, and
//! offers it to Rust as a blocking API like `std::net` ([`Interface`]), and to the Node binding as a lock and a doorbell
//! ([`Shard`]).
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the edge: clocks and threads live here

mod change;
mod error;
mod inner;
mod interface;
mod listener;
mod park;
mod queues;
mod shard;
mod slab;
mod socket;
mod standby;
mod stream;

pub use change::ChangeError;
pub use inner::ShardStats;
pub use interface::{Interface, InterfaceBuilder, share_of};
pub use listener::{Incoming, TcpListener};
pub use queues::{QueueStats, Queues, Shared};
pub use shard::{LoopTurn, Shard, ShardGuard, interface_config};
pub use slab::SharedSlab;
pub use stream::TcpStream;
pub use usernet_core::tcp::Info;
pub use usernet_core::{
    Config, ConnectionError, ErrorReport, KeepAlive, PathError, Secrets, SocketOptions, Stats,
};
