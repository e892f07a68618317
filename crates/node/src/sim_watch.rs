//! What is noted of the packets of a network: for each TCP connection what became of it, and, where JavaScript asked for
//! them, the packets themselves.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use usernet_core::Instant;
use usernet_sim::{NodeId, PacketEvent, PacketView, What};
use usernet_wire::tcp::Flags;

/// Most connections that are remembered; beyond it the oldest are forgotten, and counted.
const MAX_FLOWS: usize = 65_536;

/// Most packets that wait to be taken; beyond it they are counted and left out.
const MAX_PACKETS: usize = 262_144;

/// One direction of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    pub(crate) retransmits: u64,
    pub(crate) resets: u64,
    pub(crate) fins: u64,
    pub(crate) lost: u64,
    /// Sequence number that no segment went beyond so far.
    top: Option<u32>,
}

/// A TCP connection, from its first SYN.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) client_node: NodeId,
    pub(crate) server_node: Option<NodeId>,
    pub(crate) began: Instant,
    /// Whether each end, the client first, got what makes its connection ESTABLISHED (RFC 9293 section 3.5).
    pub(crate) established: [bool; 2],
    /// Client to server, server to client.
    pub(crate) ways: [Way; 2],
    isn: u32,
    answered: bool,
}

/// What became of connections.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    owners: HashMap<IpAddr, NodeId>,
    flows: BTreeMap<u64, Flow>,
    current: HashMap<(SocketAddr, SocketAddr), u64>,
    next: u64,
    pub(crate) forgotten: u64,
}

impl Watch {
    /// A node has these addresses.
    pub(crate) fn own(&mut self, node: NodeId, addresses: &[IpAddr]) {
        self.owners.extend(addresses.iter().map(|&address| (address, node)));
    }

    /// Connections, oldest first.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.values()
    }

    /// Something happened to a packet.
    pub(crate) fn packet(&mut self, event: &PacketEvent<'_>) {
        if !matches!(event.what, What::Sent | What::Delivered | What::Dropped(_)) {
            return;
        }
        let Some(view) = PacketView::parse(event.bytes) else { return };
        let (Some(tcp), Some(source), Some(destination)) =
            (&view.tcp, view.source(), view.destination())
        else {
            return;
        };
        let sent = event.what == What::Sent && self.owners.get(&source.ip()) == Some(&event.from);
        if sent && tcp.flags.contains(Flags::SYN) && !tcp.flags.contains(Flags::ACK) {
            self.begin(event, source, destination, tcp.seq.0);
        }
        let (key, direction) = match self.current.get(&(source, destination)) {
            Some(&key) => (key, 0),
            None => match self.current.get(&(destination, source)) {
                Some(&key) => (key, 1),
                None => return,
            },
        };
        let Some(flow) = self.flows.get_mut(&key) else { return };
        match event.what {
            What::Sent if sent => {
                let way = &mut flow.ways[direction];
                way.segments += 1;
                way.resets += u64::from(tcp.flags.contains(Flags::RST));
                let controls = [Flags::SYN, Flags::FIN].map(|f| u32::from(tcp.flags.contains(f)));
                let len = view.payload.len() as u32 + controls[0] + controls[1];
                if len == 0 || tcp.flags.contains(Flags::RST) {
                    return;
                }
                let end = tcp.seq.0.wrapping_add(len);
                let new = way.top.is_none_or(|top| end.wrapping_sub(top) as i32 > 0);
                if new {
                    way.top = Some(end);
                    way.bytes += view.payload.len() as u64;
                    way.fins += u64::from(controls[1]);
                    flow.answered |= direction == 1 && controls[0] == 1;
                } else if way.top.is_some_and(|top| !is_probe(&view, tcp.seq.0, top)) {
                    way.retransmits += 1;
                }
            }
            What::Delivered if self.owners.get(&destination.ip()) == Some(&event.to) => {
                let syn = tcp.flags.contains(Flags::SYN);
                if tcp.flags.contains(Flags::ACK) && !tcp.flags.contains(Flags::RST) {
                    // The client's connection is established by SYN and ACK, the server's by the ACK of its SYN.
                    if direction == 1 && syn {
                        flow.established[0] = true;
                    } else if direction == 0 && !syn && flow.answered {
                        flow.established[1] = true;
                    }
                }
            }
            What::Dropped(_) => flow.ways[direction].lost += 1,
            _ => {}
        }
    }

    fn begin(&mut self, event: &PacketEvent<'_>, source: SocketAddr, to: SocketAddr, isn: u32) {
        let known = self.current.get(&(source, to)).and_then(|key| self.flows.get(key));
        if known.is_some_and(|flow| flow.isn == isn) {
            return;
        }
        if self.flows.len() >= MAX_FLOWS
            && let Some((key, old)) = self.flows.pop_first()
        {
            self.forgotten += 1;
            if self.current.get(&(old.client, old.server)) == Some(&key) {
                self.current.remove(&(old.client, old.server));
            }
        }
        self.next += 1;
        self.current.insert((source, to), self.next);
        self.current.remove(&(to, source));
        let flow = Flow {
            client: source,
            server: to,
            client_node: event.from,
            server_node: self.owners.get(&to.ip()).copied(),
            began: event.at,
            established: [false; 2],
            ways: Default::default(),
            isn,
            answered: false,
        };
        self.flows.insert(self.next, flow);
    }
}

/// Whether a segment is a keep-alive probe: at most one byte, of what was acknowledged before (RFC 9293 section 3.8.4).
fn is_probe(view: &PacketView<'_>, seq: u32, top: u32) -> bool {
    let plain = !view.has(Flags::SYN) && !view.has(Flags::FIN);
    plain && view.payload.len() <= 1 && seq.wrapping_add(1) == top
}

/// A packet that JavaScript is to be told of.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    pub(crate) id: u64,
    pub(crate) what: What,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) bytes: Vec<u8>,
}

/// Packets that wait for JavaScript.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    queue: VecDeque<Packet>,
    pub(crate) missed: u64,
}

impl Packets {
    /// Notes a packet.
    pub(crate) fn push(&mut self, event: &PacketEvent<'_>) {
        if self.queue.len() >= MAX_PACKETS {
            self.missed += 1;
            return;
        }
        let PacketEvent { at, id, what, from, to, bytes, .. } = *event;
        self.queue.push_back(Packet { at, id, what, from, to, bytes: bytes.to_vec() });
    }

    /// Takes the oldest, at most `most` of them.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Packet> {
        let len = self.queue.len().min(most);
        self.queue.drain(..len).collect()
    }
}
