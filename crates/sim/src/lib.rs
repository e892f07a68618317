//! A whole network in one process: hosts, links, routers, switches and NAT boxes in virtual time, from one seed.
//!
//! Each host is a [`usernet_core::Stack`]; a [`Network`] carries their packets, does to them what its links and rules
//! say, and moves a virtual clock from one happening to the next. The same seed and the same calls give the same packets
//! at the same times on every machine: nothing here reads a clock or draws from the system.
//!
//! ```
//! use usernet_sim::{Duration, LinkConfig, Loss, Pair, Workload};
//!
//! let bad = LinkConfig {
//!     delay: Duration::from_millis(20),
//!     loss: Loss::Uniform(0.05),
//!     ..LinkConfig::default()
//! };
//! let mut pair = Pair::new(1, bad);
//! let outcome = pair.exchange(&Workload { up: 50_000, down: 50_000, ..Workload::default() }).unwrap();
//! assert_eq!(outcome.received, 100_000);
//! ```
//!
//! How it is made, and what it leaves out:
//!
//! - A host has one interface. With several links, each packet takes the one on a shortest path to its destination;
//!   subnets play no part. Routes are those of the whole graph and do not move when links go down.
//! - Links carry IP packets, so a switch learns IP addresses (see [`Network::switch`]).
//! - Routers do not fragment: a packet larger than the next link's MTU is dropped and answered by ICMP.
//! - NAT boxes translate TCP and UDP only.
#![forbid(unsafe_code)]

mod build;
mod capture;
mod codel;
mod error;
mod explore;
mod forward;
mod host;
mod icmp;
mod link;
mod nat;
mod network;
mod packet;
mod pair;
mod pattern;
mod rewrite;
mod rng;
mod route;
mod rule;
mod switch;
mod tap;
mod trace;
mod traffic;

pub use capture::{CaptureConfig, CaptureId};
pub use error::{Error, Stalled};
pub use explore::{Failure, Fault, Plan, explore};
pub use host::HostConfig;
pub use link::{CoDel, Discipline, LinkConfig, LinkId, LinkStats, Loss};
pub use nat::{NatConfig, NatKind};
pub use network::{Network, NodeId};
pub use packet::{DropReason, PacketEvent, PacketView, What};
pub use pair::{Outcome, Pair, Workload};
pub use pattern::Pattern;
pub use rewrite::fix_checksums;
pub use rule::{Action, Change, Match, RuleId};
pub use tap::ObserverId;
pub use traffic::{End, Flow, FlowId, Traffic};
pub use usernet_core::{Duration, Instant};
