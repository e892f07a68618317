//! Telling routers which multicast groups are listened to on a link, Ethernet or not: the host's part of IGMPv3 (RFC 3376
//! §5) and MLDv2 (RFC 3810 §6), and of the older versions when an older querier speaks (RFC 3376 §7.2, RFC 3810 §8.2).
//! Sockets hear either everybody or the sources they name, so a group that somebody wants from everybody has the filter
//! EXCLUDE {}, one that is wanted of some sources INCLUDE of these, and one that nobody wants INCLUDE {}.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use usernet_wire::ip::{Packet, Protocol, Repr as IpRepr};
use usernet_wire::ndp::solicited_node;
use usernet_wire::{igmp, mld};

use super::Stack;
use super::address::is_all_hosts;
use super::link::LinkTimer;
use super::output::{Class, Outgoing};
use crate::error::MembershipError;
use crate::frame::RxFrame;
use crate::interface::InterfaceId;
use crate::time::{Duration, Instant};
use crate::udp::MAX_MEMBERSHIPS;
use igmp::RecordKind;

/// Robustness Variable and Query Interval until a querier says otherwise (RFC 3376 §8.1, §8.2; RFC 3810 §9).
const ROBUSTNESS: u8 = 2;
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// Unsolicited Report Interval of the newest version and of the older ones (RFC 3376 §8.11, RFC 2236 §8.10; RFC 3810
/// §9.11, RFC 2710 §7.10).
const UNSOLICITED: Duration = Duration::from_secs(1);
const UNSOLICITED_OLD: Duration = Duration::from_secs(10);
/// Sources remembered of queries for one group; beyond it the group is answered for as a whole (RFC 3376 §5.2).
const MAX_SOURCES: usize = 64;
/// Sources of one group that the sockets of an interface may name together.
const MAX_GROUP_SOURCES: usize = 1024;

const ALL_IGMPV3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const ALL_ROUTERS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const ALL_MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const ALL_ROUTERS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Which version is spoken. MLD has no `Oldest`: its version 1 is IGMP's 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    /// IGMPv1.
    Oldest,
    /// IGMPv2, MLDv1.
    Old,
    /// IGMPv3, MLDv2.
    New,
}

/// What is known of the queriers of a family.
#[derive(Debug)]
struct Querier {
    /// Until when queriers of the older versions are taken to be there.
    oldest_until: Option<Instant>,
    old_until: Option<Instant>,
    robustness: u8,
    interval: Duration,
    /// When all groups are to be reported.
    general_at: Option<Instant>,
    /// When changes are to be reported (again).
    changes_at: Option<Instant>,
}

impl Default for Querier {
    fn default() -> Self {
        Self {
            oldest_until: None,
            old_until: None,
            robustness: ROBUSTNESS,
            interval: QUERY_INTERVAL,
            general_at: None,
            changes_at: None,
        }
    }
}

impl Querier {
    fn version(&self, now: Instant) -> Version {
        let present = |until: Option<Instant>| until.is_some_and(|until| now < until);
        match (present(self.oldest_until), present(self.old_until)) {
            (true, _) => Version::Oldest,
            (_, true) => Version::Old,
            _ => Version::New,
        }
    }
}

/// Of which senders a group is wanted (RFC 3376 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    /// Of these alone; of none: it is not listened to.
    Include(BTreeSet<IpAddr>),
    /// Of everybody: EXCLUDE {}.
    Everybody,
}

impl Default for Filter {
    fn default() -> Self {
        Self::Include(BTreeSet::new())
    }
}

impl Filter {
    fn is_nobody(&self) -> bool {
        matches!(self, Self::Include(sources) if sources.is_empty())
    }

    fn has(&self, source: &IpAddr) -> bool {
        match self {
            Self::Include(sources) => sources.contains(source),
            Self::Everybody => true,
        }
    }
}

/// Who listens to a group on an interface.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// How many hear everybody.
    everybody: usize,
    /// How many hear a source.
    sources: BTreeMap<IpAddr, usize>,
}

impl Listeners {
    /// What the interface wants, of what its listeners do (RFC 3376 §3.2).
    fn filter(&self) -> Filter {
        if self.everybody > 0 {
            Filter::Everybody
        } else {
            Filter::Include(self.sources.keys().copied().collect())
        }
    }
}

/// A group that is reported, or whose end is.
#[derive(Debug, Default)]
struct Group {
    /// What routers are told, or about to be.
    filter: Filter,
    /// Reports that are still to be sent of a change between everybody and some; in the older versions, of joining or
    /// leaving.
    mode_changes: u8,
    /// Reports that are still to be sent of sources that are wanted now, or not any more.
    source_changes: BTreeMap<IpAddr, u8>,
    /// When a query for the group is to be answered, and the sources it asked for; none: all.
    answer_at: Option<Instant>,
    asked: BTreeSet<IpAddr>,
    /// Whether the last report of it was ours (RFC 2236 §3).
    reported_last: bool,
}

impl Group {
    fn is_joined(&self) -> bool {
        !self.filter.is_nobody()
    }

    fn is_changing(&self) -> bool {
        self.mode_changes > 0 || !self.source_changes.is_empty()
    }

    fn forget_changes(&mut self) {
        self.mode_changes = 0;
        self.source_changes.clear();
    }

    /// Takes a new filter, and what of the change is to be said, `times` times (RFC 3376 §5.1).
    fn change(&mut self, filter: Filter, version: Version, times: u8) {
        let was = std::mem::replace(&mut self.filter, filter);
        let (before, after) = (!was.is_nobody(), self.is_joined());
        if !after {
            (self.answer_at, self.asked) = (None, BTreeSet::new());
        }
        if version != Version::New {
            if before != after {
                // RFC 2236 §3: a leave is said once.
                self.mode_changes = if after { times } else { 1 };
            }
            return;
        }
        match (&was, &self.filter) {
            (Filter::Include(was), Filter::Include(is)) => {
                let changed = was.symmetric_difference(is);
                self.source_changes.extend(changed.map(|source| (*source, times)));
            }
            _ => {
                self.mode_changes = times;
                self.source_changes.clear();
            }
        }
    }

    /// The records of a report of changes, the next of those to be sent (RFC 3376 §5.1).
    fn next_changes(&mut self, addr: IpAddr) -> Vec<Record> {
        let records = if self.mode_changes > 0 {
            vec![match &self.filter {
                Filter::Everybody => (RecordKind::ChangeToExclude, addr, Vec::new()),
                Filter::Include(sources) => {
                    (RecordKind::ChangeToInclude, addr, sources.iter().copied().collect())
                }
            }]
        } else {
            let changed = self.source_changes.keys().copied();
            let (new, old): (Vec<_>, Vec<_>) = changed.partition(|s| self.filter.has(s));
            let records = [
                (RecordKind::AllowNewSources, addr, new),
                (RecordKind::BlockOldSources, addr, old),
            ];
            records.into_iter().filter(|(_, _, sources)| !sources.is_empty()).collect()
        };
        self.mode_changes = self.mode_changes.saturating_sub(1);
        self.source_changes.retain(|_, times| {
            *times -= 1;
            *times > 0
        });
        records
    }

    /// The record that answers a query for these sources, or for the group as a whole (RFC 3376 §5.2).
    fn answer(&self, addr: IpAddr, asked: BTreeSet<IpAddr>) -> Option<Record> {
        let sources: Vec<IpAddr> = match &self.filter {
            Filter::Everybody if asked.is_empty() => {
                return Some((RecordKind::ModeIsExclude, addr, Vec::new()));
            }
            Filter::Include(sources) if asked.is_empty() => sources.iter().copied().collect(),
            filter => asked.into_iter().filter(|source| filter.has(source)).collect(),
        };
        (!sources.is_empty()).then_some((RecordKind::ModeIsInclude, addr, sources))
    }
}

/// What routers are told of a link.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    v4: Querier,
    v6: Querier,
    groups: BTreeMap<IpAddr, Group>,
}

impl Memberships {
    fn querier(&mut self, v6: bool) -> &mut Querier {
        if v6 { &mut self.v6 } else { &mut self.v4 }
    }

    fn deadline(&self) -> Option<Instant> {
        let queriers = [&self.v4, &self.v6];
        let times = queriers.into_iter().flat_map(|q| [q.general_at, q.changes_at]);
        times.chain(self.groups.values().map(|g| g.answer_at)).flatten().min()
    }
}

/// A query, of whichever family.
struct Query {
    group: Option<IpAddr>,
    max_response: Duration,
    version: Version,
    robustness: u8,
    interval: Duration,
    sources: Vec<IpAddr>,
}

/// A record of a report.
type Record = (RecordKind, IpAddr, Vec<IpAddr>);

/// Whether a group is never reported: that of all hosts, and what does not leave the host (RFC 3376 §4, RFC 3810 §6).
fn is_silent(group: IpAddr) -> bool {
    is_all_hosts(group) || matches!(group, IpAddr::V6(a) if a.octets()[1] & 0xf < 2)
}

impl Stack {
    /// The groups of an interface, or its addresses, changed: routers are told at the next call with a time.
    pub(super) fn groups_changed(&mut self, interface: InterfaceId) {
        if self.interfaces.get(interface).is_some_and(|i| !i.loopback) {
            self.link_timers.set(LinkTimer::Groups(interface), Some(Instant::ZERO));
        }
    }

    /// Listens to a group on an interface. Calls are counted: as many [`leave_group`](Self::leave_group) undo them.
    ///
    /// # Errors
    /// [`MembershipError::InvalidGroup`], [`MembershipError::NoSuchInterface`],
    /// [`MembershipError::TooManyMemberships`] beyond 256 groups on the interface.
    pub fn join_group(
        &mut self,
        interface: InterfaceId,
        group: IpAddr,
    ) -> Result<(), MembershipError> {
        self.join(interface, group, None)
    }

    /// Listens to a group on an interface: to one source, or to everybody. Counted.
    pub(super) fn join(
        &mut self,
        interface: InterfaceId,
        group: IpAddr,
        source: Option<IpAddr>,
    ) -> Result<(), MembershipError> {
        if !group.is_multicast() {
            return Err(MembershipError::InvalidGroup);
        }
        let i = self.interfaces.get_mut(interface).ok_or(MembershipError::NoSuchInterface)?;
        if !i.groups.contains_key(&group) && i.groups.len() >= MAX_MEMBERSHIPS {
            return Err(MembershipError::TooManyMemberships);
        }
        let listeners = i.groups.entry(group).or_default();
        let count = match source {
            None => &mut listeners.everybody,
            Some(source) => {
                let sources = &mut listeners.sources;
                if sources.len() >= MAX_GROUP_SOURCES && !sources.contains_key(&source) {
                    return Err(MembershipError::TooManyMemberships);
                }
                sources.entry(source).or_default()
            }
        };
        *count += 1;
        if *count == 1 {
            self.groups_changed(interface);
        }
        Ok(())
    }

    /// Stops listening to a group on an interface.
    ///
    /// # Errors
    /// [`MembershipError::NoSuchInterface`], [`MembershipError::NotMember`].
    pub fn leave_group(
        &mut self,
        interface: InterfaceId,
        group: IpAddr,
    ) -> Result<(), MembershipError> {
        self.leave(interface, group, None)
    }

    /// Undoes one [`join`](Self::join).
    pub(super) fn leave(
        &mut self,
        interface: InterfaceId,
        group: IpAddr,
        source: Option<IpAddr>,
    ) -> Result<(), MembershipError> {
        let i = self.interfaces.get_mut(interface).ok_or(MembershipError::NoSuchInterface)?;
        let listeners = i.groups.get_mut(&group).ok_or(MembershipError::NotMember)?;
        let count = match source {
            None => Some(&mut listeners.everybody),
            Some(source) => listeners.sources.get_mut(&source),
        };
        let count = count.filter(|count| **count > 0).ok_or(MembershipError::NotMember)?;
        *count -= 1;
        if *count > 0 {
            return Ok(());
        }
        if let Some(source) = source {
            listeners.sources.remove(&source);
        }
        if listeners.everybody == 0 && listeners.sources.is_empty() {
            i.groups.remove(&group);
        }
        self.groups_changed(interface);
        Ok(())
    }

    /// The groups that were joined on an interface.
    pub fn groups(&self, interface: InterfaceId) -> impl Iterator<Item = IpAddr> + '_ {
        self.interfaces.get(interface).into_iter().flat_map(|i| i.groups.keys().copied())
    }

    fn memberships(&mut self, interface: InterfaceId) -> Option<&mut Memberships> {
        self.interfaces.get_mut(interface).filter(|i| !i.loopback).map(|i| &mut i.memberships)
    }

    /// Something is to be reported.
    pub(super) fn groups_timer(&mut self, now: Instant, interface: InterfaceId) {
        self.note_changes(now, interface);
        for v6 in [false, true] {
            self.report_due(now, interface, v6);
        }
        if let Some(memberships) = self.memberships(interface) {
            let next = memberships.deadline();
            self.link_timers.set(LinkTimer::Groups(interface), next);
        }
    }

    /// Compares what is listened to with what routers know.
    fn note_changes(&mut self, now: Instant, interface: InterfaceId) {
        let routers = IpAddr::V6(ALL_ROUTERS_V6);
        let routers = self.is_routers_group(interface, routers).then_some(routers);
        let Some(i) = self.interfaces.get_mut(interface) else { return };
        let nodes = i.link.iter().flat_map(|link| link.addresses.keys()).filter_map(|addr| {
            match addr {
                // RFC 4862 §5.4.2: before the address is checked.
                IpAddr::V6(a) => Some((IpAddr::V6(solicited_node(*a)), Filter::Everybody)),
                IpAddr::V4(_) => None,
            }
        });
        let joined = i.groups.iter().map(|(group, listeners)| (*group, listeners.filter()));
        let mut wanted: BTreeMap<IpAddr, Filter> = joined
            .chain(nodes)
            .chain(routers.map(|group| (group, Filter::Everybody)))
            .filter(|(group, _)| !is_silent(*group))
            .collect();
        let memberships = &mut i.memberships;
        for group in wanted.keys() {
            memberships.groups.entry(*group).or_default();
        }
        let (mut v4, mut v6) = (false, false);
        for (addr, group) in &mut memberships.groups {
            let filter = wanted.remove(addr).unwrap_or_default();
            if group.filter == filter {
                continue;
            }
            let family = if addr.is_ipv6() { &memberships.v6 } else { &memberships.v4 };
            group.change(filter, family.version(now), family.robustness);
            *(if addr.is_ipv6() { &mut v6 } else { &mut v4 }) = true;
        }
        if v4 {
            memberships.v4.changes_at = Some(now);
        }
        if v6 {
            memberships.v6.changes_at = Some(now);
        }
    }

    /// Sends the reports of a family that are due.
    fn report_due(&mut self, now: Instant, interface: InterfaceId, v6: bool) {
        let (again, again_old) = (self.jitter(UNSOLICITED), self.jitter(UNSOLICITED_OLD));
        let Some(memberships) = self.memberships(interface) else { return };
        let querier = memberships.querier(v6);
        let version = querier.version(now);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let general = due(querier.general_at);
        let changes = due(querier.changes_at);
        if general {
            querier.general_at = None;
        }
        let mut records: Vec<Record> = Vec::new();
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        let mut more = false;
        for (addr, group) in memberships.groups.iter_mut().filter(|(a, _)| a.is_ipv6() == v6) {
            let joined = group.is_joined();
            if changes && group.is_changing() {
                // RFC 2236 §3: whoever reported last is the one who may have to say that nobody is left.
                if group.mode_changes > 0 && (joined || group.reported_last) {
                    (if joined { &mut joins } else { &mut leaves }).push(*addr);
                }
                group.reported_last |= joined;
                records.extend(group.next_changes(*addr));
                more |= group.is_changing();
            }
            let asked = due(group.answer_at);
            if asked {
                group.answer_at = None;
            }
            if joined && (general || asked) {
                let mut asked = std::mem::take(&mut group.asked);
                if general {
                    asked.clear();
                }
                records.extend(group.answer(*addr, asked));
                joins.push(*addr);
                group.reported_last = true;
            }
        }
        memberships.groups.retain(|_, group| group.is_joined() || group.is_changing());
        if changes {
            let wait = if version == Version::New { again } else { again_old };
            memberships.querier(v6).changes_at = more.then_some(now + wait);
        }
        if version == Version::New {
            return self.send_report(interface, v6, &records);
        }
        for group in joins {
            self.send_old_report(interface, group, version, false);
        }
        // RFC 2236 §4: version 1 has no leave.
        for group in leaves.into_iter().filter(|_| version == Version::Old) {
            self.send_old_report(interface, group, version, true);
        }
    }

    /// Sends records in as many reports as they need.
    fn send_report(&mut self, interface: InterfaceId, v6: bool, records: &[Record]) {
        let mtu = usize::from(self.path(interface, v6).mtu);
        let (address, overhead) = if v6 { (16, 56) } else { (4, 32) };
        // RFC 3376 §4.2.16: a list of sources that does not fit is cut in several records.
        let most = (mtu - overhead - 4 - address) / address;
        let pieces = |(kind, group, sources): &Record| -> Vec<Record> {
            if sources.len() <= most {
                return vec![(*kind, *group, sources.clone())];
            }
            sources.chunks(most).map(|piece| (*kind, *group, piece.to_vec())).collect()
        };
        let records: Vec<Record> = records.iter().flat_map(pieces).collect();
        let mut rest = &records[..];
        while !rest.is_empty() {
            let mut room = mtu - overhead;
            let fits = rest.iter().take_while(|(_, _, sources)| {
                let len = 4 + address * (1 + sources.len());
                let fits = len <= room;
                room = room.saturating_sub(len);
                fits
            });
            let count = fits.count().max(1);
            let (these, later) = rest.split_at(count);
            rest = later;
            if v6 {
                let sources: Vec<Vec<Ipv6Addr>> = these.iter().map(|r| list_v6(&r.2)).collect();
                let records: Vec<_> = these
                    .iter()
                    .zip(&sources)
                    .filter_map(|((kind, group, _), sources)| match group {
                        IpAddr::V6(group) => {
                            Some(mld::NewRecord { kind: *kind, group: *group, sources })
                        }
                        IpAddr::V4(_) => None,
                    })
                    .collect();
                self.send_mld(interface, ALL_MLDV2_ROUTERS, mld::NewMessage::ReportV2(&records));
            } else {
                let sources: Vec<Vec<Ipv4Addr>> = these.iter().map(|r| list_v4(&r.2)).collect();
                let records: Vec<_> = these
                    .iter()
                    .zip(&sources)
                    .filter_map(|((kind, group, _), sources)| match group {
                        IpAddr::V4(group) => {
                            Some(igmp::NewRecord { kind: *kind, group: *group, sources })
                        }
                        IpAddr::V6(_) => None,
                    })
                    .collect();
                self.send_igmp(interface, ALL_IGMPV3_ROUTERS, igmp::NewMessage::ReportV3(&records));
            }
        }
    }

    /// Sends a report or a leave of an older version.
    fn send_old_report(
        &mut self,
        interface: InterfaceId,
        group: IpAddr,
        version: Version,
        leave: bool,
    ) {
        match group {
            IpAddr::V4(group) if leave => {
                self.send_igmp(interface, ALL_ROUTERS_V4, igmp::NewMessage::Leave(group));
            }
            IpAddr::V4(group) if version == Version::Oldest => {
                self.send_igmp(interface, group, igmp::NewMessage::ReportV1(group));
            }
            IpAddr::V4(group) => {
                self.send_igmp(interface, group, igmp::NewMessage::ReportV2(group));
            }
            IpAddr::V6(group) if leave => {
                self.send_mld(interface, ALL_ROUTERS_V6, mld::NewMessage::Done(group));
            }
            IpAddr::V6(group) => {
                self.send_mld(interface, group, mld::NewMessage::ReportV1(group));
            }
        }
    }

    fn send_igmp(&mut self, interface: InterfaceId, dst: Ipv4Addr, message: igmp::NewMessage<'_>) {
        // RFC 3376 §4.2.13: a host without an address reports all the same.
        let src = self.source_for(interface, dst.into());
        let src = src.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (ip, start) = report_header(src, dst.into(), Protocol::IGMP, message.len());
        let mut bytes = vec![0; start + message.len()];
        ip.emit_with_router_alert(&mut bytes[..start]);
        message.emit(&mut bytes[start..]);
        let class = Class::Control;
        self.send_packet(Outgoing { interface, bytes, checksum: None, gso: None, class });
    }

    fn send_mld(&mut self, interface: InterfaceId, dst: Ipv6Addr, message: mld::NewMessage<'_>) {
        // RFC 3810 §5.2.13, RFC 3590: from the link-local address, or from none while there is none.
        let addresses = self.interfaces.get(interface).map(|i| &i.config.addresses);
        let src = addresses.into_iter().flatten().find_map(|cidr| match cidr.addr {
            IpAddr::V6(a) if a.is_unicast_link_local() => Some(a),
            _ => None,
        });
        let src = src.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let (ip, start) = report_header(src.into(), dst.into(), Protocol::ICMPV6, message.len());
        let mut bytes = vec![0; start + message.len()];
        ip.emit_with_router_alert(&mut bytes[..start]);
        message.emit(&mut bytes[start..], src, dst);
        self.stats.icmp_out_msgs += 1;
        let class = Class::Control;
        self.send_packet(Outgoing { interface, bytes, checksum: None, gso: None, class });
    }

    /// Takes an IGMP message.
    pub(super) fn igmp_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &RxFrame,
    ) {
        let body = &frame.data[packet.payload_offset..packet.payload_offset + packet.payload_len];
        // RFC 3376 §4: they stay on the link.
        let message = igmp::Message::parse(body).ok().filter(|_| packet.hop_limit == 1);
        match message {
            Some(igmp::Message::Query(query)) => {
                use igmp::QueryVersion as V;
                let tenths = |t: u32| Duration::from_millis(u64::from(t) * 100);
                let unsaid = (ROBUSTNESS, QUERY_INTERVAL, Vec::new());
                let (version, max_response, (robustness, interval, sources)) = match query.version {
                    V::V1 => (Version::Oldest, tenths(100), unsaid),
                    V::V2 { max_response } => (Version::Old, tenths(max_response.into()), unsaid),
                    V::V3 { max_response, robustness, interval, sources, .. } => {
                        let interval = Duration::from_secs(interval.into());
                        let sources = sources.iter().take(MAX_SOURCES + 1).map(IpAddr::V4);
                        (
                            Version::New,
                            tenths(max_response),
                            (robustness, interval, sources.collect()),
                        )
                    }
                };
                let group = (!query.group.is_unspecified()).then_some(IpAddr::V4(query.group));
                let query = Query { group, max_response, version, robustness, interval, sources };
                self.group_query(now, interface, false, query);
            }
            Some(igmp::Message::ReportV1(group) | igmp::Message::ReportV2(group)) => {
                self.group_reported(now, interface, group.into());
            }
            Some(igmp::Message::Leave(_) | igmp::Message::ReportV3(_)) => {}
            None => self.stats.igmp_in_errors += 1,
        }
    }

    /// Takes a multicast listener message, whose checksum was verified.
    pub(super) fn mld_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        kind: u8,
        rest: &[u8],
    ) {
        match mld::Message::parse(kind, rest, packet) {
            Ok(mld::Message::Query(query)) => {
                let (version, robustness, interval, sources) = match query.v2 {
                    None => (Version::Old, ROBUSTNESS, QUERY_INTERVAL, Vec::new()),
                    Some(v2) => {
                        let sources = v2.sources.iter().take(MAX_SOURCES + 1).map(IpAddr::V6);
                        let interval = Duration::from_secs(v2.interval.into());
                        (Version::New, v2.robustness, interval, sources.collect())
                    }
                };
                let group = (!query.group.is_unspecified()).then_some(IpAddr::V6(query.group));
                let max_response = Duration::from_millis(query.max_response.into());
                let query = Query { group, max_response, version, robustness, interval, sources };
                self.group_query(now, interface, true, query);
            }
            Ok(mld::Message::ReportV1(group)) => self.group_reported(now, interface, group.into()),
            Ok(mld::Message::Done(_) | mld::Message::ReportV2(_)) => {}
            Err(_) => self.stats.igmp_in_errors += 1,
        }
    }

    /// A querier asks (RFC 3376 §5.2, §7.2.1; RFC 3810 §6.2, §8.2.1).
    fn group_query(&mut self, now: Instant, interface: InterfaceId, v6: bool, query: Query) {
        // Each group is answered for at a time of its own in the older versions.
        let delays: Vec<Duration> = {
            let count = self.memberships(interface).map_or(0, |m| m.groups.len());
            (0..=count).map(|_| self.jitter(query.max_response)).collect()
        };
        let Some(memberships) = self.memberships(interface) else { return };
        let querier = memberships.querier(v6);
        let before = querier.version(now);
        match query.version {
            Version::New => {
                querier.robustness =
                    if query.robustness == 0 { ROBUSTNESS } else { query.robustness };
                if !query.interval.is_zero() {
                    querier.interval = query.interval;
                }
            }
            older => {
                // Older Version Querier Present Timeout (RFC 3376 §8.12).
                let present = querier.interval * u32::from(querier.robustness) + query.max_response;
                let until = Some(now + present);
                if older == Version::Old {
                    querier.old_until = until;
                } else {
                    querier.oldest_until = until;
                }
            }
        }
        let version = querier.version(now);
        if version != before {
            // RFC 3376 §7.2.1: what was pending in the other version is off.
            (querier.general_at, querier.changes_at) = (None, None);
            for (_, group) in memberships.groups.iter_mut().filter(|(a, _)| a.is_ipv6() == v6) {
                group.forget_changes();
                group.answer_at = None;
            }
            memberships.groups.retain(|_, group| group.is_joined());
        }
        let at = now + delays[0];
        let querier = memberships.querier(v6);
        match (version, query.group) {
            // 1. An answer for everything that is sooner answers this too.
            (Version::New, _) if querier.general_at.is_some_and(|pending| pending <= at) => {}
            // 2.
            (Version::New, None) => querier.general_at = Some(at),
            // 3. to 5.
            (Version::New, Some(group)) => {
                let Some(group) = memberships.groups.get_mut(&group).filter(|g| g.is_joined())
                else {
                    return;
                };
                let whole = group.answer_at.is_some() && group.asked.is_empty();
                group.asked.extend(query.sources.iter().copied());
                if whole || query.sources.is_empty() || group.asked.len() > MAX_SOURCES {
                    group.asked.clear();
                }
                group.answer_at = Some(group.answer_at.map_or(at, |pending| pending.min(at)));
            }
            (_, asked) => {
                let groups = memberships.groups.iter_mut().zip(&delays[1..]);
                for ((addr, group), delay) in groups {
                    let meant = asked.is_none_or(|asked| asked == *addr);
                    if group.is_joined() && addr.is_ipv6() == v6 && meant {
                        // RFC 2236 §3: a timer that would fire sooner stays.
                        let at = now + *delay;
                        group.answer_at = Some(group.answer_at.map_or(at, |p| p.min(at)));
                    }
                }
            }
        }
        let next = memberships.deadline();
        self.link_timers.set(LinkTimer::Groups(interface), next);
    }

    /// Another host reported a group: in the older versions one report is enough (RFC 2236 §3, RFC 2710 §4).
    fn group_reported(&mut self, now: Instant, interface: InterfaceId, addr: IpAddr) {
        let Some(memberships) = self.memberships(interface) else { return };
        if memberships.querier(addr.is_ipv6()).version(now) == Version::New {
            return;
        }
        if let Some(group) = memberships.groups.get_mut(&addr) {
            group.answer_at = None;
            group.reported_last = false;
            if group.is_joined() {
                group.forget_changes();
            }
        }
    }
}

/// The header of a message to routers, with a Router Alert (RFC 3376 §4, RFC 3810 §5), and its length.
fn report_header(src: IpAddr, dst: IpAddr, protocol: Protocol, len: usize) -> (IpRepr, usize) {
    let ip = IpRepr {
        src,
        dst,
        protocol,
        hop_limit: 1,
        // RFC 3376 §4: Internetwork Control.
        traffic_class: if dst.is_ipv4() { 0xc0 } else { 0 },
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: len,
    };
    let start = ip.router_alert_header_len();
    (ip, start)
}

fn list_v4(addrs: &[IpAddr]) -> Vec<Ipv4Addr> {
    let v4 = |addr: &IpAddr| match addr {
        IpAddr::V4(a) => Some(*a),
        IpAddr::V6(_) => None,
    };
    addrs.iter().filter_map(v4).collect()
}

fn list_v6(addrs: &[IpAddr]) -> Vec<Ipv6Addr> {
    let v6 = |addr: &IpAddr| match addr {
        IpAddr::V6(a) => Some(*a),
        IpAddr::V4(_) => None,
    };
    addrs.iter().filter_map(v6).collect()
}
