//! Interfaces, addresses and routes of a stack: which packets are ours, and which way others go.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::autoconf::MAX_EVENTS;
use super::bridge::BridgePortStats;
use super::groups::{Listeners, Memberships};
use super::link::Link;
use super::{Queued, Stack};
use crate::error::InterfaceError;
use crate::event::{AddressChange, LinkChange, SocketId};
use crate::interface::{
    AddressOrigin, AddressState, InterfaceConfig, InterfaceId, IpCidr, Medium, Offload, Route,
    is_unicast,
};
use crate::tcp::Path;
use crate::time::Instant;

/// The least MTU of an IPv4 link that hosts must cope with (RFC 791: every host takes 576 bytes).
const MIN_MTU_V4: u16 = 576;

/// The least MTU of an IPv6 link (RFC 8200 §5).
const MIN_MTU_V6: u16 = 1280;

/// An interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) config: InterfaceConfig,
    pub(super) loopback: bool,
    /// Whether its link carries frames.
    pub(super) up: bool,
    /// The multicast groups that are listened to, and by whom.
    pub(super) groups: BTreeMap<IpAddr, Listeners>,
    /// What multicast routers are told of them.
    pub(super) memberships: Memberships,
    /// What has passed it, of a port of the bridge.
    pub(super) bridged: Option<BridgePortStats>,
    /// Of an Ethernet interface.
    pub(super) link: Option<Box<Link>>,
}

impl Interface {
    fn new(config: InterfaceConfig, loopback: bool) -> Self {
        Self {
            config,
            loopback,
            up: true,
            groups: BTreeMap::new(),
            memberships: Memberships::default(),
            bridged: None,
            link: None,
        }
    }

    fn has(&self, addr: IpAddr) -> bool {
        self.config.addresses.iter().any(|cidr| cidr.addr == addr)
    }

    /// Whether it is to have `addr`, and checks that nobody else does.
    fn checks(&self, addr: IpAddr) -> bool {
        let assigned = self.link.as_ref().and_then(|link| link.addresses.get(&addr));
        assigned.is_some_and(|a| a.info.state == AddressState::Tentative)
    }

    /// Whether the prefix of an address says what is on the link: of one formed of a router's prefix it does not (RFC 5942
    /// §4).
    fn is_prefix_on_link(&self, addr: IpAddr) -> bool {
        let assigned = self.link.as_ref().and_then(|link| link.addresses.get(&addr));
        assigned.is_none_or(|a| a.info.origin != AddressOrigin::Slaac)
    }
}

impl Stack {
    pub(super) fn add_loopback(&mut self) {
        let config = InterfaceConfig {
            name: "lo".into(),
            medium: Medium::Ip,
            mtu: u16::MAX,
            offload: Offload { tx_checksum: true, ..Offload::default() },
            addresses: vec![
                IpCidr { addr: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix_len: 8 },
                IpCidr { addr: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix_len: 128 },
            ],
            ..InterfaceConfig::default()
        };
        self.loopback = Some(self.interfaces.insert(Interface::new(config, true)));
    }

    /// Adds an interface.
    ///
    /// # Errors
    /// [`InterfaceError::InvalidMtu`] below 576 bytes (1280 with an IPv6 address), [`InterfaceError::InvalidAddress`] for
    /// what is not a host's, [`InterfaceError::AddressInUse`] for what an interface has already,
    /// [`InterfaceError::InvalidMac`] for a hardware address that no station has.
    pub fn add_interface(
        &mut self,
        now: Instant,
        config: InterfaceConfig,
    ) -> Result<InterfaceId, InterfaceError> {
        let v6 = config.slaac || config.addresses.iter().any(|a| a.addr.is_ipv6());
        let least = if v6 { MIN_MTU_V6 } else { MIN_MTU_V4 };
        if config.mtu < least {
            return Err(InterfaceError::InvalidMtu);
        }
        for (i, address) in config.addresses.iter().enumerate() {
            self.check_address(*address)?;
            if config.addresses[..i].iter().any(|other| other.addr == address.addr) {
                return Err(InterfaceError::AddressInUse);
            }
        }
        let mut interface = Interface::new(config, false);
        let Medium::Ethernet(mac) = interface.config.medium else {
            // A bridge carries Ethernet frames.
            if interface.config.bridge_port {
                return Err(InterfaceError::InvalidMac);
            }
            return Ok(self.interfaces.insert(interface));
        };
        if !mac.is_unicast() {
            return Err(InterfaceError::InvalidMac);
        }
        if interface.config.bridge_port {
            // It takes part in nothing itself.
            interface.config.addresses.clear();
            interface.bridged = Some(BridgePortStats::default());
            return Ok(self.interfaces.insert(interface));
        }
        interface.link = Some(Box::new(Link::new(mac, self.table.hasher())));
        let id = self.interfaces.insert(interface);
        self.start_link(now, id);
        Ok(id)
    }

    fn check_address(&self, address: IpCidr) -> Result<(), InterfaceError> {
        let IpCidr { addr, prefix_len } = address;
        let max = if addr.is_ipv4() { 32 } else { 128 };
        if !is_unicast(addr) || prefix_len > max || address.broadcast() == Some(addr) {
            return Err(InterfaceError::InvalidAddress);
        }
        if self.interfaces.values().any(|i| i.has(addr) || i.checks(addr)) {
            return Err(InterfaceError::AddressInUse);
        }
        Ok(())
    }

    /// Removes an interface, its addresses and routes. Connections over it stay, and time out unless it comes back, as
    /// with the kernel.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`]; the loopback interface cannot be removed either.
    pub fn remove_interface(
        &mut self,
        _now: Instant,
        id: InterfaceId,
    ) -> Result<(), InterfaceError> {
        if self.loopback == Some(id) || self.interfaces.remove(id).is_none() {
            return Err(InterfaceError::NoSuchInterface);
        }
        self.routes.retain(|route| route.interface != id);
        self.link_timers.forget(id);
        self.bridge.forget(id);
        Ok(())
    }

    /// As [`remove_interface`](Self::remove_interface), because the device failed: [`Event::Link`] tells of it.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`].
    pub fn lose_interface(&mut self, now: Instant, id: InterfaceId) -> Result<(), InterfaceError> {
        self.remove_interface(now, id)?;
        // At most one for each interface there was.
        self.interface_events += 1;
        self.events.push_back(Queued::Link(id, LinkChange::Lost));
        self.reroute();
        Ok(())
    }

    /// Changes the largest packet of an interface, bytes. Connections through it follow: they send no longer ones, and longer
    /// ones as far as the rest of their path is known to take them.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`]; [`InterfaceError::InvalidMtu`] as with
    /// [`add_interface`](Self::add_interface).
    pub fn set_mtu(
        &mut self,
        now: Instant,
        id: InterfaceId,
        mtu: u16,
    ) -> Result<(), InterfaceError> {
        self.check_mtu(id, mtu)?;
        let Some(interface) = self.interfaces.get_mut(id) else {
            return Err(InterfaceError::NoSuchInterface);
        };
        interface.config.mtu = mtu;
        if let Some(link) = interface.link.as_deref_mut() {
            // What a router says holds within what the link carries (RFC 4861 §6.3.4).
            link.mtu_v6 = link.mtu_v6.filter(|told| *told <= mtu);
        }
        self.path_changed(now, id);
        Ok(())
    }

    /// Tells the connections through an interface what it takes now.
    fn path_changed(&mut self, now: Instant, id: InterfaceId) {
        let ids: Vec<SocketId> = self.connections.keys().collect();
        for socket in ids {
            let (tuple, path) = (self.connections[socket].tuple, self.connections[socket].path);
            if path.interface == id {
                let path = self.path_to(now, id, tuple.remote);
                self.with(now, socket, |conn, ctx| conn.set_path(ctx.now, path));
            }
        }
    }

    /// Whether the interface's device may be handed segments that are longer than a packet can be
    /// ([`Offload::big_tcp4`](crate::Offload::big_tcp4)), from now on.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`].
    pub fn set_big_tcp(
        &mut self,
        now: Instant,
        id: InterfaceId,
        on: bool,
    ) -> Result<(), InterfaceError> {
        let interface = self.interfaces.get_mut(id).ok_or(InterfaceError::NoSuchInterface)?;
        if std::mem::replace(&mut interface.config.offload.big_tcp4, on) != on {
            self.path_changed(now, id);
        }
        Ok(())
    }

    /// Whether an interface can have that MTU.
    ///
    /// # Errors
    /// As [`set_mtu`](Self::set_mtu).
    pub fn check_mtu(&self, id: InterfaceId, mtu: u16) -> Result<(), InterfaceError> {
        let Some(interface) = self.interfaces.get(id).filter(|i| !i.loopback) else {
            return Err(InterfaceError::NoSuchInterface);
        };
        let config = &interface.config;
        let assigned = interface.link.iter().flat_map(|link| link.addresses.keys());
        let mut addresses = config.addresses.iter().map(|cidr| cidr.addr).chain(assigned.copied());
        let v6 = config.slaac || addresses.any(|addr| addr.is_ipv6());
        if mtu < if v6 { MIN_MTU_V6 } else { MIN_MTU_V4 } {
            return Err(InterfaceError::InvalidMtu);
        }
        Ok(())
    }

    /// Takes the link of an interface down, or up again. While it is down nothing comes in or goes out, and no route leads
    /// through it; connections live on until they time out. When it is up again, addresses are checked and announced anew.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`]; loopback is always up.
    pub fn set_link(
        &mut self,
        now: Instant,
        id: InterfaceId,
        up: bool,
    ) -> Result<(), InterfaceError> {
        let Some(interface) = self.interfaces.get_mut(id).filter(|i| !i.loopback) else {
            return Err(InterfaceError::NoSuchInterface);
        };
        if interface.up == up {
            return Ok(());
        }
        interface.up = up;
        if up {
            self.restart_link(now, id);
        } else {
            self.forget_neighbors(id);
            self.bridge.forget(id);
        }
        if self.interface_events < MAX_EVENTS {
            self.interface_events += 1;
            let change = if up { LinkChange::Up } else { LinkChange::Down };
            self.events.push_back(Queued::Link(id, change));
        }
        self.reroute();
        Ok(())
    }

    /// An interface's largest packet, bytes, and whether its link is up.
    pub fn interface_link(&self, id: InterfaceId) -> Option<(u16, bool)> {
        self.interfaces.get(id).map(|i| (i.config.mtu, i.up))
    }

    /// Adds an address to an interface.
    ///
    /// # Errors
    /// As [`add_interface`](Self::add_interface).
    pub fn add_address(
        &mut self,
        now: Instant,
        id: InterfaceId,
        address: IpCidr,
    ) -> Result<(), InterfaceError> {
        self.check_address(address)?;
        let interface = self.interfaces.get_mut(id).ok_or(InterfaceError::NoSuchInterface)?;
        if interface.bridged.is_some() {
            return Err(InterfaceError::InvalidAddress);
        }
        if address.addr.is_ipv6() && interface.config.mtu < MIN_MTU_V6 {
            return Err(InterfaceError::InvalidMtu);
        }
        if interface.link.is_some() {
            let origin = AddressOrigin::Manual;
            self.assign(now, id, address, origin, Instant::FAR_FUTURE, 0);
        } else {
            interface.config.addresses.push(address);
        }
        self.tell_added(id, address.addr);
        Ok(())
    }

    /// Removes an address from an interface.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`], [`InterfaceError::InvalidAddress`] when the interface does not have it.
    pub fn remove_address(
        &mut self,
        _now: Instant,
        id: InterfaceId,
        address: IpAddr,
    ) -> Result<(), InterfaceError> {
        let interface = self.interfaces.get_mut(id).ok_or(InterfaceError::NoSuchInterface)?;
        let before = interface.config.addresses.len();
        interface.config.addresses.retain(|cidr| cidr.addr != address);
        let removed = interface.config.addresses.len() != before;
        if !self.unassign(id, address) && !removed {
            return Err(InterfaceError::InvalidAddress);
        }
        self.tell_address(id, address, AddressChange::Removed);
        Ok(())
    }

    /// Adds a route, in place of one to the same prefix through the same interface.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`], [`InterfaceError::InvalidAddress`] for a bad prefix,
    /// [`InterfaceError::InvalidNextHop`] when the next hop is not on the interface's link.
    pub fn add_route(&mut self, route: Route) -> Result<(), InterfaceError> {
        let interface =
            self.interfaces.get(route.interface).ok_or(InterfaceError::NoSuchInterface)?;
        if IpCidr::new(route.to.addr, route.to.prefix_len).is_none() {
            return Err(InterfaceError::InvalidAddress);
        }
        if let Some(via) = route.via {
            // RFC 4861 §5.2: link-local addresses are on every link that speaks IPv6.
            let link_local = matches!(via, IpAddr::V6(a) if a.is_unicast_link_local());
            let on_link = interface.config.addresses.iter().any(|cidr| cidr.contains(via))
                || link_local && interface.link.is_some();
            if via.is_ipv4() != route.to.addr.is_ipv4() || !on_link || !is_unicast(via) {
                return Err(InterfaceError::InvalidNextHop);
            }
        }
        self.routes.retain(|r| !(same_prefix(r.to, route.to) && r.interface == route.interface));
        self.routes.push(route);
        self.reroute();
        Ok(())
    }

    /// Removes the routes to exactly that prefix; whether there was one.
    pub fn remove_route(&mut self, to: IpCidr) -> bool {
        let before = self.routes.len();
        self.routes.retain(|route| !same_prefix(route.to, to));
        self.reroute();
        self.routes.len() != before
    }

    /// Every route, in the order they were added. What is on a link needs none.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The addresses of every interface, loopback's too.
    pub fn addresses(&self) -> Vec<(InterfaceId, IpCidr)> {
        self.interfaces
            .iter()
            .flat_map(|(id, i)| i.config.addresses.iter().map(move |cidr| (id, *cidr)))
            .collect()
    }

    /// The name of an interface.
    pub fn interface_name(&self, id: InterfaceId) -> Option<&str> {
        self.interfaces.get(id).map(|i| i.config.name.as_str())
    }

    /// Whether `addr` is ours: an interface has it, or it is in loopback's network.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        (self.loopback.is_some() && addr.is_loopback())
            || self.interfaces.values().any(|i| i.has(addr))
    }

    /// Whether an interface takes any destination, so that any address may be local.
    pub(super) fn accepts_any(&self) -> bool {
        self.interfaces.values().any(|i| i.config.accept_any)
    }

    /// Whether a packet to `addr` that came in through `id` is for us. The strong host model (RFC 1122 §3.3.4.2): an
    /// address belongs to its interface.
    pub(super) fn is_for_us(&self, id: InterfaceId, addr: IpAddr) -> bool {
        match self.interfaces.get(id) {
            Some(i) if i.loopback => self.is_local(addr),
            Some(i) => i.has(addr),
            None => false,
        }
    }

    /// Whether `addr` is the broadcast address of a subnet of ours (RFC 1122 §3.2.1.3).
    pub(super) fn is_broadcast(&self, addr: IpAddr) -> bool {
        self.interfaces
            .values()
            .any(|i| i.config.addresses.iter().any(|cidr| cidr.broadcast() == Some(addr)))
    }

    /// The way to `remote`: through which interface, and from which address, unless `local` names one.
    pub(super) fn route_to(&self, remote: IpAddr, local: Option<IpAddr>) -> RouteResult {
        if let Some(local) = local
            && !self.is_local(local)
            && !self.accepts_any()
        {
            return RouteResult::NoSuchAddress;
        }
        if self.is_local(remote) {
            // To ourselves. As in Linux the source is the destination, within 127/8 it is 127.0.0.1.
            let Some(lo) = self.loopback else { return RouteResult::Unreachable };
            let source = match (local, remote) {
                (Some(local), _) => local,
                (None, IpAddr::V4(a)) if a.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                (None, addr) => addr,
            };
            return RouteResult::Via(lo, source);
        }
        let through = local.and_then(|local| self.bound_to(local));
        let Some((id, _)) = self.lookup_within(remote, through) else {
            return RouteResult::Unreachable;
        };
        let source = local.or_else(|| self.source_for(id, remote));
        match source {
            Some(source) if !source.is_loopback() => RouteResult::Via(id, source),
            _ => RouteResult::Unreachable,
        }
    }

    /// Through which interface and from which address a connection to `remote` would be, from `local` where that is given;
    /// none when there is no way.
    pub fn way_to(&self, remote: IpAddr, local: Option<IpAddr>) -> Option<(InterfaceId, IpAddr)> {
        match self.route_to(remote, local) {
            RouteResult::Via(interface, source) => Some((interface, source)),
            RouteResult::Unreachable | RouteResult::NoSuchAddress => None,
        }
    }

    /// The interface through which alone packets from `local` leave: the strong host model of RFC 1122 §3.3.4.2 (B), with
    /// the source as an argument of the choice of a route. A router has none such: what it sends itself takes the way that
    /// packets of others take (RFC 1812 §5.2.4.3).
    fn bound_to(&self, local: IpAddr) -> Option<InterfaceId> {
        if self.config.forwarding {
            return None;
        }
        self.interfaces.iter().find(|(_, i)| !i.loopback && i.has(local)).map(|(id, _)| id)
    }

    /// As [`route_to`](Self::route_to), through `interface` alone where one is given.
    pub(super) fn route_within(
        &self,
        remote: IpAddr,
        local: Option<IpAddr>,
        interface: Option<InterfaceId>,
    ) -> RouteResult {
        let Some(id) = interface.filter(|_| !self.is_local(remote)) else {
            return self.route_to(remote, local);
        };
        if local.is_some_and(|local| !self.is_local(local)) && !self.accepts_any() {
            return RouteResult::NoSuchAddress;
        }
        match local.or_else(|| self.source_for(id, remote)) {
            Some(source) if self.interfaces.contains_key(id) => RouteResult::Via(id, source),
            _ => RouteResult::Unreachable,
        }
    }

    /// The way to a host that is not us, by the longest prefix: through which interface, and to which next hop. An
    /// interface's own subnets are routes too, and so is what routers said; of equally long prefixes a subnet goes before
    /// a configured route, and that before a router's.
    pub(super) fn lookup(&self, remote: IpAddr) -> Option<(InterfaceId, IpAddr)> {
        self.lookup_within(remote, None)
    }

    /// As [`lookup`](Self::lookup), through `only` where it is given.
    pub(super) fn lookup_within(
        &self,
        remote: IpAddr,
        only: Option<InterfaceId>,
    ) -> Option<(InterfaceId, IpAddr)> {
        let mut best: Option<(u8, InterfaceId, IpAddr)> = None;
        let mut consider = |len: u8, id: InterfaceId, via: IpAddr| {
            if best.is_none_or(|(l, ..)| len > l) {
                best = Some((len, id, via));
            }
        };
        let asked = |id: InterfaceId| only.is_none_or(|only| only == id);
        for (id, i) in self.interfaces.iter().filter(|(id, i)| !i.loopback && i.up && asked(*id)) {
            for cidr in &i.config.addresses {
                if cidr.contains(remote) && i.is_prefix_on_link(cidr.addr) {
                    consider(cidr.prefix_len, id, remote);
                }
            }
            for prefix in i.link.iter().flat_map(|link| &link.prefixes) {
                if prefix.cidr.contains(remote) {
                    consider(prefix.cidr.prefix_len, id, remote);
                }
            }
        }
        let is_up = |id: InterfaceId| self.interfaces.get(id).is_some_and(|i| i.up);
        for route in self.routes.iter().filter(|r| asked(r.interface) && is_up(r.interface)) {
            if route.to.contains(remote) {
                consider(route.to.prefix_len, route.interface, route.via.unwrap_or(remote));
            }
        }
        if best.is_none() && remote.is_ipv6() {
            let mut ids = self.interfaces.keys().filter(|id| asked(*id) && is_up(*id));
            return ids.find_map(|id| Some((id, self.default_router(id)?)));
        }
        best.map(|(_, id, via)| (id, via))
    }

    /// What packets to `remote` through `id` go through, as far as the path is known.
    pub(super) fn path_to(&self, now: Instant, id: InterfaceId, remote: IpAddr) -> Path {
        let path = self.path(id, remote.is_ipv6());
        let mtu = self.path_mtus.get(now, remote).map_or(path.mtu, |mtu| mtu.min(path.mtu));
        // At the other end of a TUN is its kernel. What that passes on to another device, it mostly has to cut for it.
        let big = self.interfaces.get(id).is_some_and(|i| {
            let (config, offload) = (&i.config, i.config.offload);
            offload.big_tcp4
                && offload.tso4
                && remote.is_ipv4()
                && i.link.is_none()
                && config.addresses.iter().any(|cidr| cidr.contains(remote))
        });
        Path { mtu, big, ..path }
    }

    /// Connections follow the routes when these change.
    pub(super) fn reroute(&mut self) {
        let ids: Vec<SocketId> = self.connections.keys().collect();
        for id in ids {
            let (tuple, path) = (self.connections[id].tuple, self.connections[id].path);
            let RouteResult::Via(interface, _) = self.route_to(tuple.remote, Some(tuple.local))
            else {
                continue;
            };
            // What came in through an interface that accepts any address goes out there again.
            let stays = self.interfaces.get(path.interface).is_some_and(|i| i.config.accept_any);
            if interface != path.interface && !stays {
                let new = self.path(interface, tuple.remote.is_ipv6());
                let (now, path) = (self.latest, Path { mtu: path.mtu.min(new.mtu), ..new });
                self.with(now, id, |conn, ctx| conn.set_path(ctx.now, path));
            }
        }
    }

    /// What packets of a connection through `id` go through.
    pub(super) fn path(&self, id: InterfaceId, v6: bool) -> Path {
        match self.interfaces.get(id) {
            Some(i) => Path {
                interface: id,
                mtu: i.link.as_ref().and_then(|l| l.mtu_v6).filter(|_| v6).unwrap_or(i.config.mtu),
                tso: if v6 { i.config.offload.tso6 } else { i.config.offload.tso4 }
                    || i.config.cut_by_driver && self.config.coalesce,
                big: false,
            },
            None => Path {
                interface: id,
                mtu: if v6 { MIN_MTU_V6 } else { MIN_MTU_V4 },
                tso: false,
                big: false,
            },
        }
    }
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteResult {
    /// Through that interface, from that address.
    Via(InterfaceId, IpAddr),
    /// Nowhere.
    Unreachable,
    /// The local address asked for is not ours.
    NoSuchAddress,
}

fn same_prefix(a: IpCidr, b: IpCidr) -> bool {
    a.prefix_len == b.prefix_len && a.contains(b.addr)
}
