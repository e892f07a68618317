//! Which way packets take: from every node, for every address, the link of a shortest path, as if a routing protocol had
//! settled. Links that are down count all the same: nothing routes around a fault.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::NodeId;
use crate::link::{Link, LinkId};
use crate::network::{Node, NodeKind};

/// The ways to every address.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// The owner of each address.
    owners: BTreeMap<IpAddr, NodeId>,
    /// For each owner, for each node, the link to take.
    next: BTreeMap<NodeId, Vec<Option<LinkId>>>,
}

impl Routes {
    pub(crate) fn new(nodes: &[Node], links: &[Link], owners: BTreeMap<IpAddr, NodeId>) -> Self {
        let mut neighbours = vec![Vec::new(); nodes.len()];
        for (index, link) in links.iter().enumerate() {
            let id = LinkId(index as u32);
            let [a, b] = link.ends;
            neighbours[a.0 as usize].push((id, b));
            neighbours[b.0 as usize].push((id, a));
        }
        let mut next = BTreeMap::new();
        for &owner in owners.values() {
            next.entry(owner).or_insert_with(|| ways_to(owner, nodes, &neighbours));
        }
        Self { owners, next }
    }

    /// Who has an address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<NodeId> {
        self.owners.get(&address).copied()
    }

    /// The link that leads from a node to an address.
    pub(crate) fn link(&self, from: NodeId, to: IpAddr) -> Option<LinkId> {
        let owner = self.owners.get(&to)?;
        self.next.get(owner)?.get(from.0 as usize).copied().flatten()
    }
}

/// Walks outwards from the owner; the link over which a node is reached first is the one it takes back.
fn ways_to(
    owner: NodeId,
    nodes: &[Node],
    neighbours: &[Vec<(LinkId, NodeId)>],
) -> Vec<Option<LinkId>> {
    let mut ways = vec![None; nodes.len()];
    let mut frontier = VecDeque::from([owner]);
    while let Some(at) = frontier.pop_front() {
        for &(link, neighbour) in &neighbours[at.0 as usize] {
            if !carries(nodes, owner, at, ways[at.0 as usize], link) {
                continue;
            }
            let way = &mut ways[neighbour.0 as usize];
            if neighbour != owner && way.is_none() {
                *way = Some(link);
                frontier.push_back(neighbour);
            }
        }
    }
    ways
}

/// Whether packets for `owner` that come to `at` over `link` get any further (or have arrived).
fn carries(
    nodes: &[Node],
    owner: NodeId,
    at: NodeId,
    onwards: Option<LinkId>,
    link: LinkId,
) -> bool {
    match &nodes[at.0 as usize].kind {
        NodeKind::Host(_) => at == owner,
        NodeKind::Router | NodeKind::Switch(_) => true,
        // The address of a NAT box is on its uplink; from the inside, what is outside is reached through it, and from
        // the outside nothing that is inside.
        NodeKind::Nat { uplink, .. } => at == owner || onwards == *uplink || Some(link) != *uplink,
    }
}
