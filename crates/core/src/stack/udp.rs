//! UDP on the stack (RFC 768, RFC 1122 §4.1): the socket calls, ports, datagrams in and out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand_core::Rng;
use usernet_wire::Error;
use usernet_wire::ip::{MAX_PACKET_LEN, Packet, Protocol, Repr as IpRepr};
use usernet_wire::udp::{self as wire, Repr};

use super::address::{Delivery, is_all_hosts};
use super::icmp::{Complaint, PathReport};
use super::output::{Class, Likeness};
use super::route::RouteResult;
use super::{ListenAddress, Queued, Stack};
use crate::error::{BindError, DatagramError, MembershipError, NoSuchSocket, RecvError};
use crate::event::{Ready, UdpId};
use crate::frame::{RxChecksum, RxFrame, TxChecksum};
use crate::interface::{InterfaceId, is_unicast};
use crate::payload::Payload;
use crate::tcp::Tuple;
use crate::time::Instant;
use crate::udp::{
    Datagram, MAX_MEMBERSHIPS, MAX_SOURCES, Membership, UdpInfo, UdpOptions, UdpSettings, UdpSocket,
};

/// Where a datagram goes, and how.
struct Way {
    interface: InterfaceId,
    source: IpAddr,
    hop_limit: u8,
    /// A copy is for us.
    looped: bool,
}

impl Stack {
    /// Makes a UDP socket.
    ///
    /// # Errors
    /// [`BindError::AddressNotAvailable`] when the address is neither ours nor a group's, [`BindError::AddressInUse`] when
    /// a socket has the port that does not share it, or no port is free, [`BindError::TooManySockets`].
    pub fn udp_bind(&mut self, mut options: UdpOptions) -> Result<UdpId, BindError> {
        if self.udp.len() >= self.config.max_udp_sockets {
            return Err(BindError::TooManySockets);
        }
        if let ListenAddress::One(addr) = options.address
            && !self.is_local(addr)
            && !addr.is_multicast()
            && !self.is_broadcast(addr)
            && addr != IpAddr::V4(Ipv4Addr::BROADCAST)
            && !self.accepts_any()
        {
            return Err(BindError::AddressNotAvailable);
        }
        match options.port {
            0 => {
                options.port =
                    self.free_udp_port(options.address).ok_or(BindError::AddressInUse)?;
            }
            port if self.udp_port_taken(
                options.address,
                port,
                options.reuse_addr,
                options.reuse_port,
            ) =>
            {
                return Err(BindError::AddressInUse);
            }
            _ => {}
        }
        let port = options.port;
        let id = self.udp.insert(UdpSocket::new(options));
        self.udp_ports.entry(port).or_default().push(id);
        Ok(id)
    }

    fn udp_port_taken(
        &self,
        address: ListenAddress,
        port: u16,
        reuse_addr: bool,
        reuse_port: bool,
    ) -> bool {
        self.udp_ports.get(&port).is_some_and(|ids| {
            ids.iter().any(|id| {
                let other = &self.udp[*id];
                let shared = reuse_addr && other.reuse_addr || reuse_port && other.reuse_port;
                other.bound.conflicts(address) && !shared
            })
        })
    }

    /// A free port: RFC 6056 §3.3.1, a random one, then the next that is free.
    fn free_udp_port(&mut self, address: ListenAddress) -> Option<u16> {
        let (low, high) = self.config.ephemeral_ports;
        let count = u32::from(high - low) + 1;
        let start = self.rng.next_u32() % count;
        (0..count)
            .map(|i| low + ((start + i) % count) as u16)
            .find(|port| !self.udp_port_taken(address, *port, false, false))
    }

    /// Lets go of a socket: its port is free at once, its memberships end, what waits to be read is thrown away. What was
    /// sent is still transmitted.
    ///
    /// # Errors
    /// [`NoSuchSocket`] for a stale id, as for every call that takes one.
    pub fn udp_close(&mut self, id: UdpId) -> Result<(), NoSuchSocket> {
        self.udp_forget_connected(id)?;
        let socket = self.udp.remove(id).ok_or(NoSuchSocket)?;
        if let Some(ids) = self.udp_ports.get_mut(&socket.port) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.udp_ports.remove(&socket.port);
            }
        }
        for membership in socket.memberships {
            self.end_membership(&membership);
        }
        self.udp_flow_closed(id);
        Ok(())
    }

    /// Connects a socket: it receives from `remote` alone, sends there by default, and hears of ICMP errors.
    ///
    /// # Errors
    /// See [`DatagramError`]; the socket is then as it was.
    pub fn udp_connect(&mut self, id: UdpId, remote: SocketAddr) -> Result<(), DatagramError> {
        let way = self.udp_way(id, remote, None)?;
        self.udp_forget_connected(id).map_err(|_| DatagramError::NoSuchSocket)?;
        let socket = &mut self.udp[id];
        socket.connected = Some((remote, way.source));
        socket.error = None;
        let tuple = Tuple {
            local: way.source,
            remote: remote.ip(),
            local_port: socket.port,
            remote_port: remote.port(),
        };
        self.udp_connected.insert(tuple, id);
        Ok(())
    }

    /// Undoes [`udp_connect`](Self::udp_connect).
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_disconnect(&mut self, id: UdpId) -> Result<(), NoSuchSocket> {
        self.udp_forget_connected(id)?;
        self.udp[id].connected = None;
        Ok(())
    }

    fn udp_forget_connected(&mut self, id: UdpId) -> Result<(), NoSuchSocket> {
        let socket = self.udp.get(id).ok_or(NoSuchSocket)?;
        if let Some((remote, local)) = socket.connected {
            let tuple = Tuple {
                local,
                remote: remote.ip(),
                local_port: socket.port,
                remote_port: remote.port(),
            };
            if self.udp_connected.get(&tuple) == Some(&id) {
                self.udp_connected.remove(&tuple);
            }
        }
        Ok(())
    }

    /// The address and port a socket is bound to; of a connected one the address it sends from.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_local_addr(&self, id: UdpId) -> Result<SocketAddr, NoSuchSocket> {
        let socket = self.udp.get(id).ok_or(NoSuchSocket)?;
        let addr = match (socket.connected, socket.bound) {
            (Some((_, local)), _) => local,
            (None, ListenAddress::One(addr)) => addr,
            (None, ListenAddress::AnyV4) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            (None, ListenAddress::AnyV6 { .. }) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Ok(SocketAddr::new(addr, socket.port))
    }

    /// The other end of a connected socket.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_remote_addr(&self, id: UdpId) -> Result<Option<SocketAddr>, NoSuchSocket> {
        Ok(self.udp.get(id).ok_or(NoSuchSocket)?.connected.map(|(remote, _)| remote))
    }

    /// Counters and queues.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_info(&self, id: UdpId) -> Result<UdpInfo, NoSuchSocket> {
        let socket = self.udp.get(id).ok_or(NoSuchSocket)?;
        Ok(UdpInfo { send_queue: socket.send_queue, ..socket.info })
    }

    /// The settings in force.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_settings(&self, id: UdpId) -> Result<&UdpSettings, NoSuchSocket> {
        self.udp.get(id).map(|socket| &socket.settings).ok_or(NoSuchSocket)
    }

    /// Changes settings; what is queued already stays.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_set(
        &mut self,
        id: UdpId,
        change: impl FnOnce(&mut UdpSettings),
    ) -> Result<(), NoSuchSocket> {
        change(&mut self.udp.get_mut(id).ok_or(NoSuchSocket)?.settings);
        Ok(())
    }

    /// Makes a socket a member of a multicast group. Without an interface it is the one where multicasts to the group go
    /// out.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub fn udp_join(
        &mut self,
        id: UdpId,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), MembershipError> {
        let interface = self.membership_interface(id, group, interface)?;
        if self.udp[id].membership(Some(interface), group).is_some() {
            return Err(MembershipError::AlreadyMember);
        }
        self.udp_add_membership(id, Membership { interface, group, sources: None })
    }

    fn udp_add_membership(
        &mut self,
        id: UdpId,
        membership: Membership,
    ) -> Result<(), MembershipError> {
        if self.udp[id].memberships.len() >= MAX_MEMBERSHIPS {
            return Err(MembershipError::TooManyMemberships);
        }
        let source = membership.sources.as_ref().and_then(|sources| sources.first().copied());
        self.join(membership.interface, membership.group, source)?;
        self.udp[id].memberships.push(membership);
        Ok(())
    }

    /// Undoes what a membership joined.
    fn end_membership(&mut self, membership: &Membership) {
        let Membership { interface, group, sources } = membership;
        let sources =
            sources.as_ref().map_or(vec![None], |s| s.iter().copied().map(Some).collect());
        for source in sources {
            // The interface may be gone, and its groups with it.
            let _ = self.leave(*interface, *group, source);
        }
    }

    /// Makes a socket hear one more source of a multicast group, and no other than those named so (RFC 4607, source-specific
    /// multicast). What other sources send to the group is dropped at the socket.
    ///
    /// # Errors
    /// See [`MembershipError`]; [`AlreadyMember`](MembershipError::AlreadyMember) when it hears that source, or all.
    pub fn udp_join_source(
        &mut self,
        id: UdpId,
        source: IpAddr,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), MembershipError> {
        let interface = self.membership_interface(id, group, interface)?;
        if source.is_ipv4() != group.is_ipv4() || !is_unicast(source) {
            return Err(MembershipError::InvalidGroup);
        }
        let Some(at) = self.udp[id].membership(Some(interface), group) else {
            let sources = Some(smallvec::smallvec![source]);
            return self.udp_add_membership(id, Membership { interface, group, sources });
        };
        match &self.udp[id].memberships[at].sources {
            Some(sources) if sources.contains(&source) => Err(MembershipError::AlreadyMember),
            Some(sources) if sources.len() >= MAX_SOURCES => {
                Err(MembershipError::TooManyMemberships)
            }
            Some(_) => {
                self.join(interface, group, Some(source))?;
                let sources = &mut self.udp[id].memberships[at].sources;
                sources.get_or_insert_default().push(source);
                Ok(())
            }
            None => Err(MembershipError::AlreadyMember),
        }
    }

    /// Undoes [`udp_join_source`](Self::udp_join_source); with the last source the membership ends.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub fn udp_leave_source(
        &mut self,
        id: UdpId,
        source: IpAddr,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), MembershipError> {
        let socket = self.udp.get_mut(id).ok_or(MembershipError::NoSuchSocket)?;
        let at = socket.membership(interface, group).ok_or(MembershipError::NotMember)?;
        let sources = socket.memberships[at].sources.as_mut().ok_or(MembershipError::NotMember)?;
        let which = sources.iter().position(|s| *s == source).ok_or(MembershipError::NotMember)?;
        sources.remove(which);
        let last = sources.is_empty();
        let interface = socket.memberships[at].interface;
        if last {
            socket.memberships.remove(at);
        }
        // The interface may be gone, and its groups with it.
        let _ = self.leave(interface, group, Some(source));
        Ok(())
    }

    /// Ends a membership.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub fn udp_leave(
        &mut self,
        id: UdpId,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), MembershipError> {
        let socket = self.udp.get_mut(id).ok_or(MembershipError::NoSuchSocket)?;
        let at = socket.membership(interface, group).ok_or(MembershipError::NotMember)?;
        let membership = socket.memberships.remove(at);
        self.end_membership(&membership);
        Ok(())
    }

    fn membership_interface(
        &self,
        id: UdpId,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<InterfaceId, MembershipError> {
        let socket = self.udp.get(id).ok_or(MembershipError::NoSuchSocket)?;
        let family = match socket.bound {
            ListenAddress::AnyV4 => group.is_ipv4(),
            ListenAddress::AnyV6 { only } => group.is_ipv6() || !only,
            ListenAddress::One(addr) => addr.is_ipv4() == group.is_ipv4(),
        };
        if !group.is_multicast() || !family {
            return Err(MembershipError::InvalidGroup);
        }
        interface
            .or(socket.settings.interface)
            .or_else(|| self.multicast_interface(group, socket.settings.multicast_interface))
            .filter(|id| self.interfaces.contains_key(*id))
            .ok_or(MembershipError::NoSuchInterface)
    }

    /// Where multicasts to `group` go: as asked for, by the route, else through the first interface of the family, the
    /// loopback interface when there is no other.
    fn multicast_interface(
        &self,
        group: IpAddr,
        asked: Option<InterfaceId>,
    ) -> Option<InterfaceId> {
        let has_family = |id: &InterfaceId| {
            let addresses = &self.interfaces[*id].config.addresses;
            addresses.iter().any(|cidr| cidr.addr.is_ipv4() == group.is_ipv4())
        };
        asked.or_else(|| self.lookup(group).map(|(id, _)| id)).or_else(|| {
            let mut ids = self.interfaces.keys().filter(|id| Some(*id) != self.loopback);
            ids.find(has_family).or(self.loopback)
        })
    }

    /// Where a datagram of a socket goes.
    fn udp_way(
        &self,
        id: UdpId,
        dest: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<Way, DatagramError> {
        let socket = self.udp.get(id).ok_or(DatagramError::NoSuchSocket)?;
        let settings = &socket.settings;
        let to = dest.ip();
        let family = match socket.bound {
            ListenAddress::AnyV4 => to.is_ipv4(),
            ListenAddress::AnyV6 { only } => to.is_ipv6() || !only,
            ListenAddress::One(addr) => addr.is_ipv4() == to.is_ipv4(),
        };
        if dest.port() == 0
            || to.is_unspecified()
            || !family
            || source.is_some_and(|s| s.is_ipv4() != to.is_ipv4())
        {
            return Err(DatagramError::InvalidDestination);
        }
        let local = source.or(match socket.bound {
            ListenAddress::One(addr) if is_unicast(addr) && !self.is_broadcast(addr) => Some(addr),
            _ => socket.connected.filter(|(remote, _)| *remote == dest).map(|(_, local)| local),
        });
        let limited = to == IpAddr::V4(Ipv4Addr::BROADCAST);
        let broadcast = limited || self.is_broadcast(to);
        if broadcast && !settings.broadcast {
            return Err(DatagramError::PermissionDenied);
        }
        if !to.is_multicast() && !limited {
            if !is_unicast(to) {
                return Err(DatagramError::InvalidDestination);
            }
            let (interface, source) = match self.route_within(to, local, settings.interface) {
                RouteResult::Via(interface, source) => (interface, source),
                RouteResult::Unreachable => return Err(DatagramError::NetworkUnreachable),
                RouteResult::NoSuchAddress => return Err(DatagramError::AddressNotAvailable),
            };
            // RFC 919 §7: a broadcast reaches its sender too.
            let looped = broadcast && Some(interface) != self.loopback;
            let hop_limit = self.hop_limit(interface, to.is_ipv6(), settings.hop_limit);
            return Ok(Way { interface, source, hop_limit, looped });
        }
        let asked =
            settings.interface.or(if limited { None } else { settings.multicast_interface });
        let interface = self
            .multicast_interface(to, asked)
            .filter(|id| self.interfaces.contains_key(*id))
            .ok_or(DatagramError::NetworkUnreachable)?;
        let source = match local.or_else(|| self.source_for(interface, to)) {
            // RFC 1122 §3.2.1.3 (a): who has no address yet may still speak to all on the link (DHCP, RFC 2131 §4.1).
            None if limited => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) if limited => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Some(source) if self.is_local(source) || self.accepts_any() => source,
            Some(_) => return Err(DatagramError::AddressNotAvailable),
            None => return Err(DatagramError::NetworkUnreachable),
        };
        let lo = Some(interface) == self.loopback;
        let (hop_limit, looped) = if limited {
            (settings.hop_limit, !lo)
        } else {
            let member = settings.multicast_loop && self.listens_to(interface, to);
            (settings.multicast_hop_limit, member && !lo)
        };
        Ok(Way { interface, source, hop_limit, looped })
    }

    /// Sends a datagram: to `dest`, or of a connected socket to its other end. `source` asks for a local address, such as
    /// the [`to`](Datagram::to) of the datagram that is answered.
    ///
    /// Datagrams of one length to one destination that are sent one after the other, before the stack is polled for what to
    /// transmit, are one frame where the device takes them apart ([`Offload::uso`](crate::Offload::uso)); the last may be
    /// shorter.
    ///
    /// # Errors
    /// See [`DatagramError`].
    pub fn udp_send_to(
        &mut self,
        now: Instant,
        id: UdpId,
        payload: &[u8],
        dest: Option<SocketAddr>,
        source: Option<IpAddr>,
    ) -> Result<(), DatagramError> {
        let socket = self.udp.get_mut(id).ok_or(DatagramError::NoSuchSocket)?;
        if let Some(error) = socket.error.take() {
            return Err(error.into());
        }
        let dest = dest
            .or(socket.connected.map(|(remote, _)| remote))
            .ok_or(DatagramError::DestinationRequired)?;
        let way = self.udp_way(id, dest, source)?;
        let to = dest.ip();
        let socket = &self.udp[id];
        let port = socket.port;
        let len = wire::HEADER_LEN + payload.len();
        let ip = IpRepr {
            src: way.source,
            dst: to,
            protocol: Protocol::UDP,
            hop_limit: way.hop_limit,
            traffic_class: socket.settings.traffic_class,
            // RFC 6864 §4.1: what is not cut needs no identification; what is gets one then.
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: len,
        };
        let ip_len = ip.header_len();
        let most = if to.is_ipv4() { MAX_PACKET_LEN - ip_len } else { MAX_PACKET_LEN };
        let mtu = usize::from(self.path_to(now, way.interface, to).mtu);
        let whole = ip_len + len <= mtu;
        if len > most || !whole && socket.settings.dont_fragment {
            return Err(DatagramError::MessageTooLong);
        }
        if !socket.has_send_room() {
            self.stats.udp_sndbuf_errors += 1;
            self.udp[id].wants_write = true;
            return Err(DatagramError::WouldBlock);
        }
        let offload = self.interfaces.get(way.interface).map(|i| i.config.offload);
        let offload = offload.filter(|_| whole).unwrap_or_default();
        let by_device = offload.tx_checksum;
        let like = Likeness {
            id,
            interface: way.interface,
            source: way.source,
            dest,
            hop_limit: way.hop_limit,
            traffic_class: ip.traffic_class,
        };
        let merges = offload.uso && by_device && !way.looped;
        if merges && self.out.add_to_run(&like, payload) {
            self.udp[id].send_queue += ip_len + len;
            self.stats.udp_out_merged += 1;
            self.udp_sent(now, id, dest, payload.len());
            return Ok(());
        }
        let mut packet = self.out.spare();
        packet.reserve(ip_len + len);
        packet.resize(ip_len + wire::HEADER_LEN, 0);
        let header = &mut packet[ip_len..];
        let repr = Repr { src_port: port, dst_port: dest.port(), payload_len: payload.len() };
        repr.emit(header);
        if by_device {
            Repr::fill_partial_checksum(header, len, way.source, to);
        } else {
            Repr::fill_checksum(header, &[payload], way.source, to);
        }
        packet.extend_from_slice(payload);
        let checksum = by_device
            .then_some(TxChecksum { start: ip_len as u16, offset: wire::CHECKSUM_OFFSET as u16 });
        if way.looped {
            let mut copy = packet.clone();
            // Longer than an IPv6 packet can say it is not looped, as it would not be sent in one piece either.
            if copy.len() <= MAX_PACKET_LEN {
                ip.emit(&mut copy[..ip_len]);
                self.loop_back(way.interface, Payload::from(copy));
            }
        }
        if !self.send_ip(way.interface, mtu, &ip, packet, checksum, Class::Udp(id)) {
            return Err(DatagramError::NoBufferSpace);
        }
        if merges {
            self.out.begin_run(like, payload.len());
        }
        self.udp_sent(now, id, dest, payload.len());
        Ok(())
    }

    /// Takes note of a datagram that will go out.
    fn udp_sent(&mut self, now: Instant, id: UdpId, dest: SocketAddr, len: usize) {
        self.stats.udp_out_datagrams += 1;
        let socket = &mut self.udp[id];
        socket.remember(dest);
        socket.info.datagrams_out += 1;
        socket.info.bytes_out += len as u64;
        self.udp_flow_used(now, id);
    }

    /// The next datagram that came in, if any; what is there comes before an error.
    ///
    /// # Errors
    /// See [`RecvError`].
    pub fn udp_recv_from(&mut self, id: UdpId) -> Result<Datagram, RecvError> {
        let socket = self.udp.get_mut(id).ok_or(RecvError::NoSuchSocket)?;
        if let Some(datagram) = socket.pop() {
            return Ok(datagram);
        }
        match socket.error.take() {
            Some(error) => Err(error.into()),
            None => Err(RecvError::WouldBlock),
        }
    }

    /// Whether there is something to read: a datagram or an error.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn udp_readable(&self, id: UdpId) -> Result<bool, NoSuchSocket> {
        let socket = self.udp.get(id).ok_or(NoSuchSocket)?;
        Ok(!socket.is_empty() || socket.error.is_some())
    }

    /// Every UDP socket.
    pub fn udp_sockets(&self) -> impl Iterator<Item = UdpId> + '_ {
        self.udp.keys()
    }

    /// Reports what changed on a socket.
    pub(super) fn udp_settle(&mut self, id: UdpId) {
        let Some(socket) = self.udp.get_mut(id) else { return };
        if !socket.ready.is_empty() && !socket.event_queued {
            socket.event_queued = true;
            self.events.push_back(Queued::Udp(id));
        }
    }

    /// A packet was transmitted that a socket was charged with.
    pub(super) fn sent(&mut self, class: Class, bytes: usize) {
        match class {
            Class::Udp(id) => {
                let Some(socket) = self.udp.get_mut(id) else { return };
                socket.send_queue = socket.send_queue.saturating_sub(bytes);
                // Half the buffer free, so that a writer is not woken for each datagram.
                if socket.wants_write && socket.send_queue <= socket.settings.send_buffer / 2 {
                    socket.wants_write = false;
                    socket.ready |= Ready::WRITABLE;
                    self.udp_settle(id);
                }
            }
            Class::Raw(id) => self.raw_sent(id, bytes),
            Class::Control | Class::Forward => {}
        }
    }

    /// Takes a datagram.
    pub(super) fn udp_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: RxFrame,
        delivery: Delivery,
    ) {
        let RxFrame { data, checksum, .. } = frame;
        let body = data.slice(packet.payload_offset..packet.payload_offset + packet.payload_len);
        let trusted = checksum == RxChecksum::Trusted;
        let header = match Repr::parse(&body, packet.src, packet.dst, trusted) {
            Ok(header) => header,
            Err(error) => return self.udp_malformed(error),
        };
        let payload = body.slice(wire::HEADER_LEN..wire::HEADER_LEN + header.payload_len);
        let datagram = Datagram::new(interface, packet, &header, payload);
        if delivery == Delivery::Unicast && self.holds(interface) {
            match self.udp_socket_for(interface, &datagram) {
                Some((id, true)) => self.udp_deliver(now, id, datagram, usize::MAX),
                _ => self.udp_flow_input(now, interface, datagram),
            }
        } else if !self.udp_take(now, datagram, delivery, usize::MAX) {
            self.stats.udp_no_ports += 1;
            // RFC 1122 §4.1.3.6 has one reason more for silence: nobody was meant by name.
            if delivery == Delivery::Unicast {
                self.complain(now, interface, &data, Complaint::PortUnreachable);
            }
        }
    }

    /// Counts a datagram that is none.
    pub(super) fn udp_malformed(&mut self, error: Error) {
        self.stats.udp_in_errors += 1;
        if error == Error::BadChecksum {
            self.stats.udp_in_csum_errors += 1;
        }
    }

    /// Gives a datagram, or several of `size` bytes each that came as one, to whose they are; false when nobody has the port.
    pub(super) fn udp_take(
        &mut self,
        now: Instant,
        datagram: Datagram,
        delivery: Delivery,
        size: usize,
    ) -> bool {
        let interface = datagram.interface;
        if delivery == Delivery::Unicast {
            let found = self.udp_socket_for(interface, &datagram);
            if let Some((id, _)) = found {
                self.udp_deliver(now, id, datagram, size);
            }
            return found.is_some();
        }
        let Some(ids) = self.udp_ports.get(&datagram.to.port()).cloned() else { return false };
        let (to, from) = (datagram.to.ip(), datagram.from);
        for id in ids {
            let socket = &self.udp[id];
            let member = delivery == Delivery::Broadcast
                || is_all_hosts(to)
                || socket.hears(interface, to, from.ip());
            // A socket bound to one address of ours still gets broadcasts of its family only if bound to that address.
            if member && socket.fits(interface, to, from) > 0 {
                self.udp_deliver(now, id, datagram.clone(), size);
            }
        }
        true
    }

    /// The socket that takes a unicast datagram, the most exact, of equals the one bound last; and whether it was bound to
    /// that very address.
    pub(super) fn udp_socket_for(
        &self,
        interface: InterfaceId,
        datagram: &Datagram,
    ) -> Option<(UdpId, bool)> {
        let (to, from) = (datagram.to, datagram.from);
        let tuple = Tuple {
            local: to.ip(),
            remote: from.ip(),
            local_port: to.port(),
            remote_port: from.port(),
        };
        if let Some(&id) = self.udp_connected.get(&tuple)
            && self.udp[id].fits(interface, to.ip(), from) > 0
        {
            return Some((id, true));
        }
        let ids = self.udp_ports.get(&to.port())?;
        let fits = |id: &UdpId| self.udp[*id].fits(interface, to.ip(), from);
        let (fit, id) =
            ids.iter().map(|id| (fits(id), *id)).filter(|(fit, _)| *fit > 0).max_by_key(|f| f.0)?;
        if !self.udp[id].reuse_port {
            return Some((id, fit > 1));
        }
        // Those that share a port share the peers: which is whose is keyed, so that no peer can choose.
        let equals = || ids.iter().filter(|id| self.udp[**id].reuse_port && fits(id) == fit);
        let chosen = self.port_key.of(&tuple, true) % equals().count() as u64;
        equals().nth(chosen as usize).map(|id| (*id, fit > 1))
    }

    /// Queues a datagram, or several of `size` bytes each that came as one.
    pub(super) fn udp_deliver(&mut self, now: Instant, id: UdpId, datagram: Datagram, size: usize) {
        let socket = &mut self.udp[id];
        let (taken, dropped) = if datagram.payload.len() > size {
            socket.push_merged(&datagram, size)
        } else if socket.push(datagram, &mut self.copies) {
            (1, 0)
        } else {
            (0, 1)
        };
        self.stats.udp_in_datagrams += taken;
        self.stats.udp_rcvbuf_errors += dropped;
        if taken > 0 {
            self.udp_settle(id);
            self.udp_flow_used(now, id);
        }
    }

    /// An ICMP error about a datagram of ours (RFC 1122 §4.1.3.3): one that a socket did send.
    pub(super) fn udp_error(&mut self, now: Instant, tuple: &Tuple, report: &PathReport) {
        let remote = tuple.remote_addr();
        let connected = self.udp_connected.get(tuple).copied();
        let id = connected.or_else(|| {
            let ids = self.udp_ports.get(&tuple.local_port)?;
            ids.iter().rev().copied().find(|id| self.udp[*id].has_sent_to(remote))
        });
        let Some(id) = id else { return };
        if let Some(mtu) = report.too_big() {
            self.learn_mtu(now, tuple.remote, mtu);
        }
        // Linux, too, tells connected sockets alone, and of errors that are certain alone (`harderr`).
        if connected.is_some()
            && let Some(error) = report.hard_error()
        {
            let socket = &mut self.udp[id];
            socket.error = Some(error);
            socket.ready |= Ready::ERROR | Ready::READABLE;
            self.udp_settle(id);
        }
    }
}
