//! Building a network: its nodes and its links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;
use crate::host::{Host, HostConfig};
use crate::link::{Link, LinkConfig, LinkId};
use crate::nat::{Nat, NatConfig};
use crate::network::{Network, Node, NodeId, NodeKind};
use crate::rng::{Purpose, Rng};
use crate::switch::Switch;

/// Most nodes of a network.
const MAX_NODES: usize = 65_000;

/// Building.
impl Network {
    /// Adds a host with default settings.
    ///
    /// # Errors
    /// [`Error::TooManyNodes`].
    pub fn host(&mut self, name: &str) -> Result<NodeId, Error> {
        self.host_with(name, HostConfig::default())
    }

    /// Adds a host. Its stack runs at once; its interface comes with its first link.
    ///
    /// # Errors
    /// [`Error::TooManyNodes`]; [`Error::AddressInUse`].
    pub fn host_with(&mut self, name: &str, mut config: HostConfig) -> Result<NodeId, Error> {
        let addresses = self.addresses_for(&config.addresses)?;
        config.addresses.clone_from(&addresses);
        let id = self.add_node(name, addresses, NodeKind::Host(Box::new(Host::new(config))))?;
        let (now, seed) = (self.now, self.seed);
        self.boot(id, now, seed)?;
        Ok(id)
    }

    /// Adds a router: it forwards packets along a shortest path, takes one off their hop limits, and says by ICMP why it
    /// cannot forward one. Which way is shortest follows from the links there are, up or down.
    ///
    /// # Errors
    /// [`Error::TooManyNodes`].
    pub fn router(&mut self, name: &str) -> Result<NodeId, Error> {
        let addresses = self.addresses_for(&[])?;
        self.add_node(name, addresses, NodeKind::Router)
    }

    /// Adds a learning switch. As links carry IP packets only, it learns IP addresses.
    ///
    /// # Errors
    /// [`Error::TooManyNodes`].
    pub fn switch(&mut self, name: &str) -> Result<NodeId, Error> {
        self.add_node(name, Vec::new(), NodeKind::Switch(Switch::default()))
    }

    /// Adds a NAT box. Link its outside with [`uplink`](Self::uplink) and its inside with [`link`](Self::link).
    ///
    /// # Errors
    /// [`Error::TooManyNodes`]; [`Error::AddressInUse`].
    pub fn nat(&mut self, name: &str, mut config: NatConfig) -> Result<NodeId, Error> {
        let addresses = self.addresses_for(&config.addresses)?;
        config.addresses.clone_from(&addresses);
        let rng = Rng::new(self.seed, Purpose::Nat, self.nodes.len() as u64);
        let nat = Box::new(Nat::new(config, rng));
        self.add_node(name, addresses, NodeKind::Nat { nat, uplink: None })
    }

    /// Links two nodes, the same settings both ways.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::NoSuchNode`], [`Error::SelfLink`], [`Error::SwitchLoop`],
    /// [`Error::Interface`] (an MTU that a host cannot have).
    pub fn link(&mut self, a: NodeId, b: NodeId, config: LinkConfig) -> Result<LinkId, Error> {
        self.link_with(a, b, config.clone(), config)
    }

    /// Links two nodes, with settings of its own for each direction.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub fn link_with(
        &mut self,
        a: NodeId,
        b: NodeId,
        a_to_b: LinkConfig,
        b_to_a: LinkConfig,
    ) -> Result<LinkId, Error> {
        a_to_b.validate()?;
        b_to_a.validate()?;
        let (name_a, name_b) = (self.name(a)?.to_owned(), self.name(b)?.to_owned());
        if a == b {
            return Err(Error::SelfLink(name_a));
        }
        if self.is_switch(a) && self.is_switch(b) && self.bridged(a, b) {
            return Err(Error::SwitchLoop(name_a, name_b));
        }
        for (node, mtu) in [(a, a_to_b.mtu), (b, b_to_a.mtu)] {
            let now = self.now;
            if let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind {
                let name = || self.tap.names[node.0 as usize].to_string();
                host.attach(now, mtu).map_err(|error| Error::Interface { name: name(), error })?;
            }
        }
        let id = LinkId(self.links.len() as u32);
        self.links.push(Link::new(self.seed, id, [a, b], [a_to_b, b_to_a]));
        self.routes = None;
        self.settle(a);
        self.settle(b);
        Ok(id)
    }

    /// Links the outside of a NAT box with a node.
    ///
    /// # Errors
    /// [`Error::NotANat`], [`Error::HasUplink`], and as [`link`](Self::link).
    pub fn uplink(&mut self, nat: NodeId, to: NodeId, config: LinkConfig) -> Result<LinkId, Error> {
        let name = self.name(nat)?.to_owned();
        match &self.nodes[nat.0 as usize].kind {
            NodeKind::Nat { uplink: None, .. } => {}
            NodeKind::Nat { .. } => return Err(Error::HasUplink(name)),
            _ => return Err(Error::NotANat(name)),
        }
        let id = self.link(nat, to, config)?;
        if let NodeKind::Nat { uplink, .. } = &mut self.nodes[nat.0 as usize].kind {
            *uplink = Some(id);
        }
        Ok(id)
    }

    fn add_node(
        &mut self,
        name: &str,
        addresses: Vec<IpAddr>,
        kind: NodeKind,
    ) -> Result<NodeId, Error> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Error::TooManyNodes);
        }
        let id = NodeId(self.nodes.len() as u32);
        self.tap.add_node(name, matches!(kind, NodeKind::Host(_)));
        self.nodes.push(Node { name: name.into(), addresses, kind });
        self.routes = None;
        Ok(id)
    }

    /// The addresses a node asked for, or the ones that its place in the network gives it.
    fn addresses_for(&self, asked: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let taken = |addr: &IpAddr| self.nodes.iter().any(|node| node.addresses.contains(addr));
        if !asked.is_empty() {
            return match asked.iter().find(|addr| taken(addr)) {
                Some(&addr) => Err(Error::AddressInUse(addr)),
                None => Ok(asked.to_vec()),
            };
        }
        // 198.18.0.0/15 has room for every node, whatever addresses were asked for by others.
        let free = |number: &u32| {
            let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number);
            let v6 = Ipv6Addr::from(
                u128::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0)) + u128::from(*number),
            );
            let both = [IpAddr::V4(v4), IpAddr::V6(v6)];
            (!both.iter().any(taken)).then(|| both.to_vec())
        };
        let first = self.nodes.len() as u32 + 1;
        (first..131_071).chain(1..first).find_map(|n| free(&n)).ok_or(Error::TooManyNodes)
    }

    fn is_switch(&self, node: NodeId) -> bool {
        matches!(self.nodes[node.0 as usize].kind, NodeKind::Switch(_))
    }

    /// Whether a path of switches leads from one to the other.
    fn bridged(&self, from: NodeId, to: NodeId) -> bool {
        let mut seen = vec![from];
        let mut at = 0;
        while at < seen.len() {
            for link in &self.links {
                for (here, there) in [(0, 1), (1, 0)] {
                    let there = link.ends[there];
                    if link.ends[here] == seen[at]
                        && self.is_switch(there)
                        && !seen.contains(&there)
                    {
                        seen.push(there);
                    }
                }
            }
            at += 1;
        }
        seen.contains(&to)
    }
}
