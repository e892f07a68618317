//! Large segments that the driver cuts: what arrives is what a stack that makes small ones would have sent.

use std::net::IpAddr;

use usernet_core::{
    Config, ConnectOptions, GsoKind, InterfaceConfig, InterfaceId, ListenAddress, ListenOptions,
    MacAddr, Medium, RxFrame, Secrets, Shutdown, Stack, cut,
};
use usernet_wire::ip::Packet;
use usernet_wire::tcp::{Flags, Repr};

use crate::support::*;

fn host(n: u8, medium: Medium, cuts: bool) -> (Stack, InterfaceId) {
    let mut config = Config { loopback: false, ..Config::default() };
    config.socket.send_buffer = (1 << 20).into();
    let mut stack = Stack::new(config, Secrets::from_bytes(&[n; 64]), n.into());
    let addresses = [format!("198.18.0.{n}/24"), format!("fd00::{n}/64")];
    let interface = InterfaceConfig {
        medium,
        cut_by_driver: cuts,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ..InterfaceConfig::default()
    };
    let id = stack.add_interface(NOW, interface).unwrap();
    (stack, id)
}

/// Everything that a stack sends, cut as a driver does; and how many large segments there were.
fn output(stack: &mut Stack, link: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut frames, mut large, mut memory) = (Vec::new(), 0, Vec::new());
    while let Some(transmit) = stack.poll_transmit(NOW) {
        if transmit.gso.is_none() {
            frames.push(transmit.to_vec());
            continue;
        }
        large += 1;
        let before = frames.len();
        let count = cut(&transmit, link, &mut memory, |packet| {
            frames.push(packet.to_vec());
            true
        });
        assert_eq!(count, frames.len() - before);
        let whole = transmit.to_vec();
        assert!(count > 1 && frames[before..].iter().map(Vec::len).sum::<usize>() > whole.len());
        // Who has enough may say so.
        assert_eq!(cut(&transmit, link, &mut memory, |_| false), 1);
    }
    (frames, large)
}

/// A transfer of `data` from the one to the other; how many large segments it took, and the flags of the small ones.
fn transfer((from, to): (IpAddr, IpAddr), ethernet: bool, cuts: bool) -> (usize, Vec<Flags>) {
    let medium =
        |n| if ethernet { Medium::Ethernet(MacAddr([2, 0, 0, 0, 0, n])) } else { Medium::Ip };
    let link = if ethernet { 14 } else { 0 };
    let (mut a, ours) = host(1, medium(1), cuts);
    let (mut b, theirs) = host(2, medium(2), false);
    let address = ListenAddress::One(to);
    let listen = ListenOptions { address, port: 80, backlog: 4, options: None };
    let listener = b.tcp_listen(listen).unwrap();
    let remote = (to, 80).into();
    let connect =
        ConnectOptions { remote, local_addr: Some(from), local_port: None, options: None };
    let socket = a.tcp_connect(NOW, connect).unwrap();
    let data = pattern(700_000);
    let (mut sent, mut got, mut all, mut flags) = (0, Vec::new(), 0, Vec::new());
    let (mut accepted, mut buf) = (None, vec![0; 1 << 20]);
    for _ in 0..2000 {
        sent += a.tcp_send(NOW, socket, &data[sent..], false).unwrap_or(0);
        if sent == data.len() {
            let _ = a.tcp_shutdown(NOW, socket, Shutdown::Write);
        }
        let (frames, large) = output(&mut a, link);
        all += large;
        for frame in frames {
            assert!(frame.len() <= 1500 + link);
            if let Ok(packet) = Packet::parse(&frame[link..])
                && let Ok((header, _)) = Repr::parse(
                    &frame[link + packet.payload_offset..],
                    packet.src,
                    packet.dst,
                    false,
                )
            {
                flags.push(header.flags);
            }
            b.handle_frame(NOW, theirs, RxFrame::new(frame));
        }
        accepted = accepted.or_else(|| b.tcp_accept(listener).unwrap());
        while let Some(n) = accepted.and_then(|id| b.tcp_recv(NOW, id, &mut buf).ok()) {
            if n == 0 {
                break;
            }
            got.extend_from_slice(&buf[..n]);
        }
        for frame in output(&mut b, link).0 {
            a.handle_frame(NOW, ours, RxFrame::new(frame));
        }
        if got.len() == data.len() {
            break;
        }
    }
    assert!(got == data, "{} of {}", got.len(), data.len());
    let stats = b.stats();
    assert_eq!((stats.tcp_in_csum_errors, stats.tcp_in_errs, stats.ip_in_hdr_errors), (0, 0, 0));
    assert_eq!(a.stats().tcp_retrans_segs, 0);
    assert_eq!(a.stats().tcp_out_segs, stats.tcp_in_segs, "each counts");
    (all, flags)
}

#[test]
fn large_segments_are_cut_behind_tcp() {
    for pair in families() {
        for ethernet in [false, true] {
            let (large, flags) = transfer(pair, ethernet, true);
            assert!(large > 5, "{large}");
            // PSH at the ends of what was written, FIN once.
            assert!(flags.iter().filter(|f| f.contains(Flags::PSH)).count() < flags.len() / 4);
            assert!(flags.iter().filter(|f| f.contains(Flags::FIN)).count() <= 1);
            assert_eq!(transfer(pair, ethernet, false).0, 0);
        }
    }
}

#[test]
fn what_is_not_to_be_cut_is_not() {
    let (mut a, _) = host(1, Medium::Ip, true);
    let connect = ConnectOptions {
        remote: at("198.18.0.2", 80),
        local_addr: None,
        local_port: None,
        options: None,
    };
    a.tcp_connect(NOW, connect).unwrap();
    let mut syn = a.poll_transmit(NOW).expect("a SYN");
    let never = |_: &[u8]| -> bool { unreachable!("it is no large segment") };
    assert_eq!(cut(&syn, 0, &mut Vec::new(), never), 0);
    // Nor what is no segment at all: the header is too short for what it says.
    for (kind, header) in [(GsoKind::Tcp6, syn.header), (GsoKind::Tcp4, &syn.header[..30])] {
        syn.gso = Some(usernet_core::Gso { kind, size: 1460 });
        syn.header = header;
        assert_eq!(cut(&syn, 0, &mut Vec::new(), |_| true), 0);
    }
}
