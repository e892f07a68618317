//! What can be wrong with what a network is asked to do.

use std::net::IpAddr;

use thiserror::Error;
use usernet_core::InterfaceError;

use crate::{LinkId, NodeId};

/// Why a network refused.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The id is of another network.
    #[error("no such node: {0:?} is not of this network")]
    NoSuchNode(NodeId),
    /// The id is of another network.
    #[error("no such link: {0:?} is not of this network")]
    NoSuchLink(LinkId),
    /// The node is not a host.
    #[error("{0} is not a host: only hosts have a stack")]
    NotAHost(String),
    /// The node is not a NAT box.
    #[error("{0} is not a NAT box: only those have an uplink")]
    NotANat(String),
    /// The NAT box has its uplink already.
    #[error("{0} has its uplink already: use link() for the inside")]
    HasUplink(String),
    /// The node does not sit at either end of the link.
    #[error("{0} is not an end of that link")]
    NotAnEnd(String),
    /// The host crashed.
    #[error("host {0} is down: restart it first")]
    HostDown(String),
    /// The host runs already.
    #[error("host {0} is up: only a crashed host can be restarted")]
    HostUp(String),
    /// A link needs two nodes.
    #[error("{0} cannot be linked with itself")]
    SelfLink(String),
    /// Two paths between switches: a flooded packet would circle for ever.
    #[error("a link of {0} with {1} would close a loop of switches: put a router between them")]
    SwitchLoop(String, String),
    /// Two nodes have one address.
    #[error("address {0} belongs to another node already")]
    AddressInUse(IpAddr),
    /// A network has at most 65,000 nodes.
    #[error("too many nodes: a network has at most 65000")]
    TooManyNodes,
    /// A setting of a link is out of its range.
    #[error("{setting} is {value}: it must be {range}")]
    InvalidSetting {
        /// Which.
        setting: &'static str,
        /// What it was set to.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The stack refused the host's interface.
    #[error("interface of {name}: {error}")]
    Interface {
        /// The host.
        name: String,
        /// Why.
        error: InterfaceError,
    },
}

/// A run did not reach what it was to reach, within its limit of virtual time or because nothing is left to happen.
/// Its text shows the last packets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{why} at {at}; the last packets:\n{trace}")]
pub struct Stalled {
    /// What stopped the run.
    pub why: &'static str,
    /// When, in the trace's form.
    pub at: String,
    /// The last packets, one a line.
    pub trace: String,
}
