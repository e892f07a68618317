//! Captures in pcapng (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump read: one interface per host, raw IP
//! packets, nanoseconds of virtual time.

use std::collections::{BTreeMap, BTreeSet};

use usernet_core::Instant;

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

/// Link type of raw IP packets of either version.
const LINKTYPE_RAW: u16 = 101;

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    nodes: BTreeSet<NodeId>,
    interfaces: BTreeMap<NodeId, u32>,
    limit: usize,
    bytes: Vec<u8>,
    missed: u64,
}

/// Whether a packet came to the node of the capture or left it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    In = 1,
    Out = 2,
}

impl Capture {
    pub(crate) fn new(config: CaptureConfig) -> Self {
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        // shb_userappl
        option(&mut body, 4, b"usernet-sim");
        option(&mut body, 0, &[]);
        let mut bytes = Vec::new();
        block(&mut bytes, 0x0a0d_0d0a, &body);
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
        // The block's frame and options take 48 bytes.
        if self.bytes.len() + data.len().next_multiple_of(4) + 48 > self.limit {
            self.missed += 1;
            return;
        }
        let nanos = at.as_nanos();
        let mut body = Vec::with_capacity(data.len() + 40);
        body.extend(interface.to_le_bytes());
        body.extend(((nanos >> 32) as u32).to_le_bytes());
        body.extend((nanos as u32).to_le_bytes());
        body.extend((data.len() as u32).to_le_bytes());
        body.extend((data.len() as u32).to_le_bytes());
        body.extend(data);
        pad(&mut body);
        // epb_flags
        option(&mut body, 2, &(way as u32).to_le_bytes());
        option(&mut body, 0, &[]);
        block(&mut self.bytes, 6, &body);
    }

    fn interface(&mut self, node: NodeId, name: &str) -> u32 {
        if let Some(&index) = self.interfaces.get(&node) {
            return index;
        }
        let index = self.interfaces.len() as u32;
        self.interfaces.insert(node, index);
        let mut body = Vec::new();
        body.extend(LINKTYPE_RAW.to_le_bytes());
        body.extend([0; 6]);
        // if_name, then if_tsresol: 10^-9 s.
        option(&mut body, 2, name.as_bytes());
        option(&mut body, 9, &[9]);
        option(&mut body, 0, &[]);
        block(&mut self.bytes, 1, &body);
        index
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let len = (body.len() + 12) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.extend(len.to_le_bytes());
}
