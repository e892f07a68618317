//! Neighbour discovery: out and in again, and the validation rules of RFC 4861 one by one.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::icmpv6;
use crate::ip;
use crate::testing::{bytes, mutate, mutations};

const LL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn packet(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8) -> Packet {
    let repr = ip::Repr {
        src: IpAddr::V6(src),
        dst: IpAddr::V6(dst),
        protocol: ip::Protocol::ICMPV6,
        hop_limit,
        traffic_class: 0,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: 0,
    };
    let mut bytes = [0; 40];
    repr.emit(&mut bytes);
    Packet::parse(&bytes).unwrap()
}

fn emit(message: Message, options: &[NdOption<'_>], src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![0xee; message.len(options)];
    message.emit(options, &mut bytes, src, dst);
    bytes
}

fn parse(
    bytes: &[u8],
    src: Ipv6Addr,
    dst: Ipv6Addr,
) -> Result<(Message, Vec<NdOption<'_>>), Error> {
    let icmpv6::Repr::Other { kind, code, rest } = icmpv6::Repr::parse(bytes, src, dst, false)?
    else {
        panic!("neighbour discovery is Other there");
    };
    let (message, options) = Message::parse(kind, code, rest, &packet(src, dst, 255))?;
    Ok((message, options.into_iter().collect()))
}

fn messages() -> impl Strategy<Value = Message> {
    let host = || any::<u128>().prop_map(|n| Ipv6Addr::from_bits(n >> 1));
    prop_oneof![
        Just(Message::RouterSolicitation),
        any::<(u8, u8, u16, u32, u32)>().prop_map(
            |(cur_hop_limit, flags, life, reach, retrans)| {
                Message::RouterAdvertisement {
                    cur_hop_limit,
                    flags,
                    router_lifetime: life,
                    reachable_time: reach,
                    retrans_timer: retrans,
                }
            }
        ),
        host().prop_map(|target| Message::NeighborSolicitation { target }),
        (host(), any::<(bool, bool, bool)>()).prop_map(
            |(target, (router, solicited, override_))| {
                Message::NeighborAdvertisement { target, router, solicited, override_ }
            }
        ),
        host().prop_map(|a| Message::Redirect { target: a, destination: a }),
        host().prop_map(|a| Message::Redirect { target: LL, destination: a }),
    ]
}

static POOL: [u8; 96] = [0x5a; 96];

fn options() -> impl Strategy<Value = NdOption<'static>> {
    prop_oneof![
        any::<[u8; 5]>()
            .prop_map(|[a, b, c, d, e]| NdOption::SourceMac(MacAddr([2, a, b, c, d, e]))),
        any::<[u8; 5]>()
            .prop_map(|[a, b, c, d, e]| NdOption::TargetMac(MacAddr([2, a, b, c, d, e]))),
        (any::<u128>(), 0u8..=128, any::<(bool, bool, u32, u32)>()).prop_map(
            |(addr, len, (on_link, autonomous, valid_lifetime, preferred_lifetime))| {
                NdOption::Prefix(Prefix {
                    addr: Ipv6Addr::from_bits(addr),
                    len,
                    on_link,
                    autonomous,
                    valid_lifetime,
                    preferred_lifetime,
                })
            }
        ),
        (0usize..=12).prop_map(|n| NdOption::Redirected(&POOL[..n * 8])),
        any::<u32>().prop_map(NdOption::Mtu),
        any::<[u8; 6]>().prop_map(NdOption::Nonce),
        (any::<u32>(), 1usize..=6)
            .prop_map(|(lifetime, n)| NdOption::NameServers { lifetime, servers: &POOL[..n * 16] }),
        (40u8.., 0usize..=10)
            .prop_map(|(kind, n)| NdOption::Unknown { kind, body: &POOL[..n * 8 + 6] }),
    ]
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed(
        message in messages(), options in prop::collection::vec(options(), 0..6),
    ) {
        let bytes = emit(message, &options, LL, HOST);
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(parse(&bytes, LL, HOST), Ok((message, options)));
    }

    #[test]
    fn truncation_never_panics_and_never_invents(message in messages(), option in options()) {
        let bytes = emit(message, &[option], LL, HOST);
        let at = packet(LL, HOST, 255);
        for len in 4..bytes.len() {
            match Message::parse(bytes[0], 0, &bytes[4..len], &at) {
                Ok((parsed, options)) => {
                    prop_assert_eq!(len, message.len(&[]));
                    prop_assert_eq!(parsed, message);
                    prop_assert_eq!(options.into_iter().count(), 0);
                }
                Err(error) if len < message.len(&[]) => prop_assert_eq!(error, Error::Truncated),
                Err(error) => prop_assert_eq!(error, Error::BadLength),
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(kind in 130u8..140, rest in bytes(120)) {
        if let Ok((_, options)) = Message::parse(kind, 0, &rest, &packet(LL, HOST, 255)) {
            prop_assert!(options.into_iter().count() <= MAX_OPTIONS);
        }
    }

    #[test]
    fn mutated_messages_do_not_panic(
        message in messages(), options in prop::collection::vec(options(), 0..4), changes in mutations(),
    ) {
        let mut bytes = emit(message, &options, LL, HOST);
        mutate(&mut bytes[4..], &changes);
        if let Ok((_, options)) = Message::parse(bytes[0], 0, &bytes[4..], &packet(LL, HOST, 255)) {
            for option in options {
                let _ = option.addresses().count();
                let mut out = vec![0; option.len()];
                option.emit(&mut out);
            }
        }
    }
}

#[test]
fn what_was_routed_or_has_a_code_is_refused() {
    let bytes = emit(Message::RouterSolicitation, &[], LL, ALL_NODES);
    for (code, hop_limit, ok) in [(0, 255, true), (0, 254, false), (1, 255, false)] {
        let parsed = Message::parse(133, code, &bytes[4..], &packet(LL, ALL_NODES, hop_limit));
        assert_eq!(parsed.err(), (!ok).then_some(Error::BadField));
    }
}

#[test]
fn an_option_of_length_zero_kills_the_message() {
    let mut bytes = emit(Message::RouterSolicitation, &[NdOption::Mtu(1500)], LL, ALL_NODES);
    bytes[9] = 0;
    let parsed = Message::parse(133, 0, &bytes[4..], &packet(LL, ALL_NODES, 255));
    assert_eq!(parsed, Err(Error::BadLength));
}

#[test]
fn options_are_bounded() {
    let parse = |n| {
        let bytes = emit(Message::RouterSolicitation, &vec![NdOption::Mtu(1500); n], LL, HOST);
        parse(&bytes, LL, HOST).map(|(_, options)| options.len())
    };
    assert_eq!(parse(MAX_OPTIONS), Ok(MAX_OPTIONS));
    assert_eq!(parse(MAX_OPTIONS + 1), Err(Error::TooManyHeaders));
}

#[test]
fn advertisements_and_redirects_come_from_link_local_addresses() {
    let advertisement = Message::RouterAdvertisement {
        cur_hop_limit: 64,
        flags: 0,
        router_lifetime: 1800,
        reachable_time: 0,
        retrans_timer: 0,
    };
    let redirect = Message::Redirect { target: LL, destination: HOST };
    for message in [advertisement, redirect] {
        let bytes = emit(message, &[], HOST, ALL_NODES);
        assert_eq!(parse(&bytes, HOST, ALL_NODES), Err(Error::BadField));
        let bytes = emit(message, &[], LL, ALL_NODES);
        assert!(parse(&bytes, LL, ALL_NODES).is_ok());
    }
}

#[test]
fn redirects_name_a_neighbour_and_no_group() {
    let other = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);
    for (target, destination) in [(other, HOST), (LL, ALL_NODES), (ALL_NODES, ALL_NODES)] {
        let bytes = emit(Message::Redirect { target, destination }, &[], LL, HOST);
        assert_eq!(parse(&bytes, LL, HOST), Err(Error::BadField));
    }
}

#[test]
fn solicitations_without_a_source_say_no_hardware_address() {
    let none = Ipv6Addr::UNSPECIFIED;
    let source = [NdOption::SourceMac(MAC)];
    for message in [Message::RouterSolicitation, Message::NeighborSolicitation { target: HOST }] {
        let dst = solicited_node(HOST);
        assert!(parse(&emit(message, &[], none, dst), none, dst).is_ok());
        assert_eq!(parse(&emit(message, &source, none, dst), none, dst), Err(Error::BadField));
        assert!(parse(&emit(message, &source, LL, dst), LL, dst).is_ok());
    }
    // RFC 4861 §7.1.1: and a duplicate address probe goes to the solicited-node address.
    let probe = emit(Message::NeighborSolicitation { target: HOST }, &[], none, HOST);
    assert_eq!(parse(&probe, none, HOST), Err(Error::BadField));
}

#[test]
fn targets_are_never_groups() {
    let target = ALL_NODES;
    let (router, solicited, override_) = (false, false, true);
    for message in [
        Message::NeighborSolicitation { target },
        Message::NeighborAdvertisement { target, router, solicited, override_ },
    ] {
        assert_eq!(parse(&emit(message, &[], LL, HOST), LL, HOST), Err(Error::BadField));
    }
}

#[test]
fn an_advertisement_to_all_is_not_solicited() {
    let advertise = |solicited| {
        let message = Message::NeighborAdvertisement {
            target: HOST,
            router: false,
            solicited,
            override_: true,
        };
        parse(&emit(message, &[], LL, ALL_NODES), LL, ALL_NODES).map(|(message, _)| message)
    };
    assert!(advertise(false).is_ok());
    assert_eq!(advertise(true), Err(Error::BadField));
}

#[test]
fn known_options_with_impossible_contents_are_unknown() {
    for (kind, body) in [
        (1, &[3, 0, 0, 0, 0, 1][..]), // a group
        (2, &[0; 6]),                 // nobody
        (1, &[2; 14]),                // not Ethernet
        (3, &[0; 6]),                 // too short
        (3, &[129; 30]),              // a prefix of 129 bits
        (5, &[0; 14]),                // too long
        (25, &[0; 6]),                // no server
        (25, &[0; 14]),               // half a server
        (14, &[0; 14]),
    ] {
        let option = NdOption::Unknown { kind, body };
        let bytes = emit(Message::RouterSolicitation, &[option], LL, HOST);
        assert_eq!(parse(&bytes, LL, HOST), Ok((Message::RouterSolicitation, vec![option])));
    }
}

#[test]
fn a_router_advertisement_byte_by_byte() {
    let message = Message::RouterAdvertisement {
        cur_hop_limit: 64,
        flags: 0xc0,
        router_lifetime: 1800,
        reachable_time: 30_000,
        retrans_timer: 1000,
    };
    let server = HOST.octets();
    let options = [
        NdOption::SourceMac(MAC),
        NdOption::Mtu(1500),
        NdOption::NameServers { lifetime: 600, servers: &server },
    ];
    let bytes = emit(message, &options, LL, ALL_NODES);
    assert_eq!(bytes[..2], [134, 0]);
    assert_eq!(bytes[4..16], [64, 0xc0, 7, 8, 0, 0, 0x75, 0x30, 0, 0, 3, 0xe8]);
    assert_eq!(bytes[16..32], [1, 1, 2, 0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0, 5, 0xdc]);
    assert_eq!(bytes[32..40], [25, 3, 0, 0, 0, 0, 2, 88]);
    assert_eq!(bytes[40..], server);
    assert_eq!(options[2].addresses().collect::<Vec<_>>(), [HOST]);
    assert_eq!(options[0].addresses().count(), 0);
}

#[test]
fn solicited_node_addresses() {
    assert_eq!(solicited_node(HOST), "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
    assert!(is_solicited_node(solicited_node(HOST)));
    assert!(!is_solicited_node(ALL_NODES) && !is_solicited_node(HOST));
}
