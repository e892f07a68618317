//! Whoever watches packets: the trace, captures and observers.

use std::collections::BTreeMap;
use std::sync::Arc;

use usernet_core::Instant;
use usernet_wire::ip;

use crate::NodeId;
use crate::capture::{Capture, CaptureConfig, CaptureId, Way};
use crate::packet::{Frame, PacketEvent, What};
use crate::trace::Trace;

/// Names an observer of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObserverId(u32);

type Observer = Box<dyn FnMut(&PacketEvent<'_>) + Send>;

pub(crate) struct Tap {
    pub(crate) trace: Trace,
    pub(crate) names: Vec<Arc<str>>,
    /// Which nodes are hosts.
    hosts: Vec<bool>,
    captures: BTreeMap<CaptureId, Capture>,
    observers: BTreeMap<ObserverId, Observer>,
    next_id: u32,
}

impl Tap {
    pub(crate) fn new() -> Self {
        Self {
            trace: Trace::new(),
            names: Vec::new(),
            hosts: Vec::new(),
            captures: BTreeMap::new(),
            observers: BTreeMap::new(),
            next_id: 0,
        }
    }

    pub(crate) fn add_node(&mut self, name: &str, is_host: bool) {
        self.names.push(name.into());
        self.hosts.push(is_host);
    }

    /// Tells everybody what happened to a packet between two nodes. `ip` is its header where it is at hand.
    pub(crate) fn record(
        &mut self,
        at: Instant,
        what: What,
        frame: &Frame,
        ends: [NodeId; 2],
        ip: Option<ip::Packet>,
    ) {
        self.trace.record(at, what, frame, ends, ip);
        let spot = match what {
            What::Sent => Some((ends[0], Way::Outbound)),
            What::Delivered => Some((ends[1], Way::Inbound)),
            _ => None,
        };
        if let Some((node, way)) = spot {
            let index = node.0 as usize;
            for capture in self.captures.values_mut() {
                if capture.wants(node, self.hosts[index]) {
                    capture.packet(at, node, &self.names[index], way, &frame.bytes);
                }
            }
        }
        if self.observers.is_empty() {
            return;
        }
        let [from, to] = ends;
        let event = PacketEvent {
            at,
            id: frame.id,
            what,
            from,
            to,
            from_name: &self.names[from.0 as usize],
            to_name: &self.names[to.0 as usize],
            bytes: &frame.bytes,
        };
        for observer in self.observers.values_mut() {
            observer(&event);
        }
    }

    pub(crate) fn capture(&mut self, config: CaptureConfig) -> CaptureId {
        self.next_id += 1;
        let id = CaptureId(self.next_id);
        self.captures.insert(id, Capture::new(config));
        id
    }

    pub(crate) fn captured(&self, id: CaptureId) -> Option<&Capture> {
        self.captures.get(&id)
    }

    pub(crate) fn end_capture(&mut self, id: CaptureId) -> Option<Capture> {
        self.captures.remove(&id)
    }

    pub(crate) fn observe(&mut self, observer: Observer) -> ObserverId {
        self.next_id += 1;
        let id = ObserverId(self.next_id);
        self.observers.insert(id, observer);
        id
    }

    pub(crate) fn unobserve(&mut self, id: ObserverId) -> bool {
        self.observers.remove(&id).is_some()
    }
}
