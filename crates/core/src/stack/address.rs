//! Addresses: whose a packet that came in is, and which of ours one that goes out bears (RFC 6724).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use usernet_wire::ndp::solicited_node;

use super::Stack;
use crate::interface::{AddressState, InterfaceId, IpCidr, is_unicast};

/// What is done with a packet that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is for us.
    Unicast,
    /// It is for everybody on the link.
    Broadcast,
    /// It is for a group we are in.
    Multicast,
    /// It is for somebody else, and we are a router.
    Forward,
    /// It is not for us, or its addresses cannot be right.
    Drop,
}

/// The group of all IPv4 hosts on a link (RFC 1112 §4).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// The groups of all IPv6 nodes, of the interface and of the link (RFC 4291 §2.7.1).
const ALL_NODES: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)];

/// Whether every host is in that group without joining.
pub(super) fn is_all_hosts(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(a) => a == ALL_HOSTS,
        IpAddr::V6(a) => ALL_NODES.contains(&a),
    }
}

/// Whether `group` is the solicited-node group of an address.
fn is_solicited_node_of(addr: IpAddr, group: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if group == IpAddr::V6(solicited_node(a)))
}

/// Whether a router may pass on packets from or to that address: not what is of this host, of the link, or of nobody
/// (RFC 1812 §5.3.7, RFC 3927 §2.7, RFC 4291 §2.5.6).
pub(super) fn is_routable(addr: IpAddr) -> bool {
    is_unicast(addr)
        && !addr.is_loopback()
        && match addr {
            IpAddr::V4(a) => !a.is_link_local() && a.octets()[0] != 0,
            IpAddr::V6(a) => !a.is_unicast_link_local(),
        }
}

impl Stack {
    /// Whose a packet is that came in through `interface`. `own` says that we sent it.
    pub(super) fn delivery(
        &self,
        interface: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        own: bool,
    ) -> Delivery {
        let Some(i) = self.interfaces.get(interface) else { return Delivery::Drop };
        let outside = !i.loopback && !own;
        // RFC 1122 §3.2.1.3: nobody else is us, and loopback's addresses never leave a host.
        if outside && (src.is_loopback() || dst.is_loopback() || self.is_local(src)) {
            return Delivery::Drop;
        }
        let from_host = is_unicast(src) && !self.is_broadcast(src);
        // RFC 1122 §3.2.1.3 (a): a host that does not know its address yet has none; it speaks to all.
        let from_somebody = from_host || src.is_unspecified();
        if dst.is_multicast() {
            return if from_somebody && self.listens_to(interface, dst) {
                Delivery::Multicast
            } else {
                Delivery::Drop
            };
        }
        if self.is_broadcast_on(interface, dst) {
            return if from_somebody { Delivery::Broadcast } else { Delivery::Drop };
        }
        // RFC 9293 §3.9.2.3 MUST-63.
        if !from_host || !is_unicast(dst) {
            return Delivery::Drop;
        }
        // RFC 1812 §4.2.2.11: a router takes packets to any of its addresses, wherever they come in; a host of the strong
        // model does not (RFC 1122 §3.3.4.2).
        if self.is_for_us(interface, dst)
            || i.config.accept_any
            || self.config.forwarding && self.is_local(dst)
        {
            return Delivery::Unicast;
        }
        if self.config.forwarding && outside { Delivery::Forward } else { Delivery::Drop }
    }

    /// Whether `dst` is the limited broadcast address, or that of a subnet of the interface.
    pub(super) fn is_broadcast_on(&self, interface: InterfaceId, dst: IpAddr) -> bool {
        dst == IpAddr::V4(Ipv4Addr::BROADCAST)
            || self.interfaces.get(interface).is_some_and(|i| {
                i.config.addresses.iter().any(|cidr| cidr.broadcast() == Some(dst))
            })
    }

    /// Whether packets to `group` that come in through `interface` are for us.
    pub(super) fn listens_to(&self, interface: InterfaceId, group: IpAddr) -> bool {
        let Some(i) = self.interfaces.get(interface) else { return false };
        is_all_hosts(group)
            || i.groups.contains_key(&group)
            || self.is_routers_group(interface, group)
            || i.config.addresses.iter().any(|cidr| is_solicited_node_of(cidr.addr, group))
            // RFC 4862 §5.4.2: of those too that are being checked.
            || i.link.iter().flat_map(|l| l.addresses.keys()).any(|a| is_solicited_node_of(*a, group))
    }

    /// The address of `id` that a packet to `remote` bears, of those the interface has (RFC 6724 §4, §5; §3.3.4.3 of RFC
    /// 1122 for IPv4).
    pub(super) fn source_for(&self, id: InterfaceId, remote: IpAddr) -> Option<IpAddr> {
        let interface = self.interfaces.get(id)?;
        // RFC 6724 §5 rule 3; RFC 4429 §3.2 has those that are not sure yet treated alike.
        let avoided = |addr: IpAddr| {
            let assigned = interface.link.as_ref().and_then(|link| link.addresses.get(&addr));
            assigned.is_some_and(|a| a.info.state != AddressState::Preferred)
        };
        let mut best: Option<(IpCidr, bool)> = None;
        for cidr in &interface.config.addresses {
            let candidate = (*cidr, avoided(cidr.addr));
            if cidr.addr.is_ipv4() == remote.is_ipv4()
                && best.is_none_or(|best| is_better_source(&candidate, &best, remote))
            {
                best = Some(candidate);
            }
        }
        best.map(|(cidr, _)| cidr.addr)
    }
}

/// Whether `a` is a better source for packets to `remote` than `b` (RFC 6724 §5), each with whether it is to be avoided.
/// Rules 4 and 7 are about properties that addresses here do not have (home, temporary), rule 5 is fulfilled as all are
/// of one interface.
fn is_better_source(
    (a, a_avoided): &(IpCidr, bool),
    (b, b_avoided): &(IpCidr, bool),
    remote: IpAddr,
) -> bool {
    // Rule 1: the destination itself.
    if (a.addr == remote) != (b.addr == remote) {
        return a.addr == remote;
    }
    // Rule 2: the least scope that reaches the destination; where none does, the greatest.
    let (sa, sb, sd) = (scope(a.addr), scope(b.addr), scope(remote));
    if sa != sb {
        return if sa < sb { sa >= sd } else { sb < sd };
    }
    // Rule 3: deprecated ones last.
    if a_avoided != b_avoided {
        return *b_avoided;
    }
    // Rule 6: the destination's label.
    let (la, lb) = (label(a.addr) == label(remote), label(b.addr) == label(remote));
    if la != lb {
        return la;
    }
    // Rule 8: the longest prefix in common, not counting the interface's part.
    common_prefix(a, remote) > common_prefix(b, remote)
}

/// How far an address reaches (RFC 6724 §3.1, §3.2): the scopes of RFC 4291 §2.7.
fn scope(addr: IpAddr) -> u8 {
    const LINK: u8 = 2;
    const GLOBAL: u8 = 14;
    match addr {
        IpAddr::V4(a) if a.is_loopback() || a.is_link_local() => LINK,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(a) if a.is_multicast() => a.octets()[1] & 0xf,
        IpAddr::V6(a) if a.is_loopback() || a.is_unicast_link_local() => LINK,
        // Site-local, deprecated (RFC 3879), counts as such.
        IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfec0 => 5,
        IpAddr::V6(_) => GLOBAL,
    }
}

/// The label of the default policy table (RFC 6724 §2.1).
fn label(addr: IpAddr) -> u8 {
    let IpAddr::V6(a) = addr else { return 4 };
    let s = a.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0, 0, 0, 0, 0, 0xffff, ..] => 4,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [first, ..] if first & 0xfe00 == 0xfc00 => 13,
        [0, 0, 0, 0, 0, 0, ..] => 3,
        [first, ..] if first & 0xffc0 == 0xfec0 => 11,
        [0x3ffe, ..] => 12,
        _ => 1,
    }
}

fn common_prefix(cidr: &IpCidr, remote: IpAddr) -> u32 {
    let common = match (cidr.addr, remote) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        _ => 0,
    };
    common.min(u32::from(cidr.prefix_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_follow_rfc_6724() {
        // The examples of §10.1 that apply, best first.
        for (remote, best, other) in [
            ("2001:db8:1::1", "2001:db8:3::1/64", "fe80::1/64"),
            ("2001:db8:1::1", "2001:db8:1::2/64", "2001:db8:3::2/64"),
            ("fe80::1", "fe80::2/64", "2001:db8:1::1/64"),
            ("ff05::1", "2001:db8:3::1/64", "fe80::1/64"),
            ("ff02::1", "fe80::1/64", "2001:db8:3::1/64"),
            ("fd00::9", "fd11::1/64", "2001:db8::1/64"),
            ("2001:db8::9", "2001:db8:7::1/64", "fd00::1/64"),
            ("198.18.0.1", "198.18.0.2/24", "192.0.2.1/24"),
            ("192.0.2.9", "198.18.0.2/24", "169.254.0.2/16"),
        ] {
            let (remote, best, other) = (
                remote.parse().unwrap(),
                (best.parse().unwrap(), false),
                (other.parse().unwrap(), false),
            );
            assert!(is_better_source(&best, &other, remote), "{best:?} {other:?} {remote}");
            assert!(!is_better_source(&other, &best, remote), "{best:?} {other:?} {remote}");
            assert!(!is_better_source(&best, &best, remote), "{best:?}");
        }
    }

    #[test]
    fn solicited_node_groups_are_those_of_rfc_4291() {
        let addr: Ipv6Addr = "4037::01:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(addr).to_string(), "ff02::1:ff0e:8c6c");
    }
}
