//! Captures in pcapng (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump read: one interface per host, raw IP
//! packets, nanoseconds of virtual time.

use std::collections::{BTreeMap, BTreeSet};

use usernet_core::Instant;
pub(crate) use usernet_pcapng::Direction as Way;
use usernet_pcapng::LinkType;

use crate::NodeId;

/// Names a capture of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaptureId(pub(crate) u32);

/// What to capture.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// At which nodes; empty means at every host. Packets appear as the node sends them (before the link does anything
    /// to them) and as they reach it, as with tcpdump there.
    pub nodes: Vec<NodeId>,
    /// Most bytes of the file; packets beyond it are counted and left out.
    pub limit: usize,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self { nodes: Vec::new(), limit: 256 << 20 }
    }
}

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    nodes: BTreeSet<NodeId>,
    interfaces: BTreeMap<NodeId, u32>,
    limit: usize,
    bytes: Vec<u8>,
    missed: u64,
}

impl Capture {
    pub(crate) fn new(config: CaptureConfig) -> Self {
        let mut bytes = Vec::new();
        usernet_pcapng::section(&mut bytes, "usernet-sim");
        Self {
            nodes: config.nodes.into_iter().collect(),
            interfaces: BTreeMap::new(),
            limit: config.limit,
            bytes,
            missed: 0,
        }
    }

    /// Whether packets at `node` are wanted.
    pub(crate) fn wants(&self, node: NodeId, is_host: bool) -> bool {
        if self.nodes.is_empty() { is_host } else { self.nodes.contains(&node) }
    }

    pub(crate) fn packet(&mut self, at: Instant, node: NodeId, name: &str, way: Way, data: &[u8]) {
        let interface = self.interface(node, name);
        if self.bytes.len() + usernet_pcapng::packet_len(data.len()) > self.limit {
            self.missed += 1;
            return;
        }
        let (nanos, all) = (at.as_nanos(), usize::MAX);
        usernet_pcapng::packet(&mut self.bytes, interface, nanos, way, &[data], all);
    }

    fn interface(&mut self, node: NodeId, name: &str) -> u32 {
        if let Some(&index) = self.interfaces.get(&node) {
            return index;
        }
        let index = self.interfaces.len() as u32;
        self.interfaces.insert(node, index);
        usernet_pcapng::interface(&mut self.bytes, name, LinkType::Raw, 0);
        index
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}
