//! TUN against the kernel, in network namespaces that the tests make for their own threads.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // kernel sockets are the peer here

mod common;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use common::{checksum, in_namespace, next};
use usernet_device::{
    Device, Gso, GsoKind, Medium, Offload, Tun, TunOptions, TxChecksum, TxFrame, each_received,
};

fn named(name: &str) -> TunOptions {
    TunOptions { name: Some(name.into()), ..TunOptions::default() }
}

fn with_addresses(options: &TunOptions) -> Tun {
    let mut tun = Tun::open(options).unwrap();
    tun.add_kernel_address("198.18.0.1".parse().unwrap(), 24).unwrap();
    tun.add_kernel_address("fd00::1".parse().unwrap(), 64).unwrap();
    tun
}

/// A UDP packet from our side to the kernel's; `partial` leaves the checksum to the device.
fn udp(from: SocketAddr, to: SocketAddr, data: &[u8], partial: bool) -> Vec<u8> {
    let len = (8 + data.len()) as u16;
    let mut datagram = [from.port(), to.port(), len, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(data);
    let (mut packet, pseudo) = match (from.ip(), to.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0];
            header[2..4].copy_from_slice(&(20 + len).to_be_bytes());
            header.extend([s.octets(), d.octets()].concat());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            (header, [s.octets(), d.octets(), [0, 17, (len >> 8) as u8, len as u8]].concat())
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let mut header = vec![0x60, 0, 0, 0, (len >> 8) as u8, len as u8, 17, 64];
            header.extend([s.octets(), d.octets()].concat());
            let mut pseudo = [s.octets(), d.octets()].concat();
            pseudo.extend([0, 0, (len >> 8) as u8, len as u8, 0, 0, 0, 17]);
            (header, pseudo)
        }
        _ => panic!("mixed families"),
    };
    let sum = if partial { !checksum(&[&pseudo]) } else { checksum(&[&pseudo, &datagram]) };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    packet.extend(datagram);
    packet
}

const PAIRS: [(&str, &str, usize); 2] =
    [("198.18.0.1", "198.18.0.2", 20), ("fd00::1", "fd00::2", 40)];

#[test]
fn datagrams_pass_both_ways_with_and_without_offload() {
    in_namespace(|| {
        for offload in [true, false] {
            let mut tun = with_addresses(&TunOptions { offload, ..named("un0") });
            let Offload { tx_checksum, tso4, tso6, big_tcp4, .. } = tun.info().offload;
            assert_eq!([tx_checksum, tso4, tso6], [offload; 3]);
            assert!(offload || !big_tcp4);
            for (kernel, ours, header) in PAIRS {
                let socket = UdpSocket::bind((kernel, 0)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let peer = SocketAddr::new(ours.parse().unwrap(), 7);
                socket.send_to(b"to the stack", peer).unwrap();
                let (frame, trusted, gso) = next(&mut tun, |f| f.ends_with(b"to the stack"));
                assert_eq!(frame.len(), header + 8 + 12);
                assert_eq!(
                    (trusted, gso),
                    (offload, 0),
                    "the kernel leaves the sum to us if it may"
                );

                let local = socket.local_addr().unwrap();
                let mut buf = [0; 2000];
                let packet = udp(peer, local, b"finished sum", false);
                let pieces = [&packet[..10], &packet[10..header + 9], &packet[header + 9..]];
                // The kernel may not take packets for a new IPv6 address yet (see `add_kernel_address`): offered again,
                // as a stack would.
                socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                let mut offered = 0;
                let (n, from) = loop {
                    tun.send(&TxFrame::of(&pieces)).unwrap();
                    offered += 1;
                    match socket.recv_from(&mut buf) {
                        Ok(received) => break received,
                        Err(error) => {
                            assert!(offered < 250, "{kernel}, offload {offload}: {error}");
                        }
                    }
                };
                assert!(offered == 1 || kernel.contains(':'), "{kernel}: offered {offered} times");
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                assert_eq!((&buf[..n], from), (&b"finished sum"[..], peer));

                let packet = udp(peer, local, b"unfinished sum", true);
                let sum = TxChecksum { start: header as u16, offset: 6 };
                let frame = TxFrame { checksum: Some(sum), ..TxFrame::of(&[&packet]) };
                tun.send(&frame).unwrap();
                if offload {
                    let (n, _) = socket.recv_from(&mut buf).unwrap();
                    assert_eq!(&buf[..n], b"unfinished sum");
                }
            }
            assert_eq!(tun.counters().get().tx_invalid, if offload { 0 } else { 2 });
            assert_eq!(tun.counters().get().tx_refused, 0);
        }
    });
}

#[test]
fn bad_frames_and_a_down_interface_do_not_end_the_device() {
    in_namespace(|| {
        let mut tun = with_addresses(&named("un0"));
        let socket = UdpSocket::bind("198.18.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let plain = |data: &[u8], tun: &mut Tun| {
            tun.send(&TxFrame::of(&[data])).unwrap();
        };
        plain(&[], &mut tun);
        plain(&[0xff; 60], &mut tun);
        assert_eq!(tun.counters().get().tx_refused, 2);

        let peer = SocketAddr::new(Ipv4Addr::new(198, 18, 0, 2).into(), 7);
        let packet = udp(peer, socket.local_addr().unwrap(), b"x", false);
        tun.set_up(false).unwrap();
        plain(&packet, &mut tun);
        assert_eq!(tun.counters().get().tx_refused, 3);
        let mut buf = vec![0; tun.info().max_frame];
        loop {
            match tun.recv(&mut buf) {
                Ok(_) => {}
                Err(e) => {
                    assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        tun.set_up(true).unwrap();
        plain(&packet, &mut tun);
        assert_eq!(socket.recv(&mut [0; 10]).unwrap(), 1);
    });
}

#[test]
fn a_deleted_interface_ends_the_device() {
    in_namespace(|| {
        let mut tun = Tun::open(&named("un0")).unwrap();
        let status =
            std::process::Command::new("ip").args(["link", "del", "un0"]).status().unwrap();
        assert!(status.success());
        let error = tun.recv(&mut vec![0; 65_550]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADFD));
        let frame = TxFrame::of(&[&[0x45; 40]]);
        assert_eq!(tun.send(&frame).unwrap_err().raw_os_error(), Some(libc::EBADFD));
    });
}

#[test]
fn errors_name_the_value_and_the_remedy() {
    in_namespace(|| {
        let first = Tun::open(&named("taken0")).unwrap();
        let error = Tun::open(&named("taken0")).unwrap_err();
        assert_eq!((error.code(), error.syscall()), ("EBUSY", "ioctl"));
        assert!(error.message().contains("'taken0'") && error.message().contains("another name"));
        drop(first);
        Tun::open(&named("taken0")).unwrap();

        let error = Tun::open(&named("lo")).unwrap_err();
        assert_eq!(error.code(), "EINVAL");
        assert!(
            error.message().contains("'lo'") && error.message().contains("not a TUN"),
            "{error}"
        );

        let mut small = Tun::open(&TunOptions { mtu: Some(1000), ..named("small0") }).unwrap();
        assert_eq!(small.info().mtu, 1000);
        small.add_kernel_address("198.18.0.1".parse().unwrap(), 24).unwrap();
        let error = small.add_kernel_address("fd00::1".parse().unwrap(), 64).unwrap_err();
        assert!(error.code() == "EINVAL" && error.message().contains("MTU 1000"), "{error}");
        let error = small.add_kernel_address("198.18.0.1".parse().unwrap(), 33).unwrap_err();
        assert!(error.code() == "EINVAL" && error.message().contains("33"), "{error}");
    });
}

#[test]
fn without_the_capability_it_says_what_to_do() {
    in_namespace(|| {
        let (header, mut sets) = ([0x2008_0522u32, 0], [0u32; 6]); // version 3; no capability at all
        // SAFETY: `capset` reads both arrays, which have the layout of its structures; it changes this thread only.
        let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_mut_ptr()) };
        assert_eq!(result, 0);
        let error = Tun::open(&named("un0")).unwrap_err();
        assert_eq!(error.code(), "EPERM");
        assert!(error.message().contains("CAP_NET_ADMIN"), "{error}");
        assert!(error.message().contains("unshare --user"), "{error}");
    });
}

#[test]
fn takes_over_a_descriptor() {
    in_namespace(|| {
        let mut tun = with_addresses(&named("un0"));
        // SAFETY: `dup` takes no pointer.
        let copy = unsafe { libc::dup(tun.fd().unwrap()) };
        assert!(copy >= 0);
        // SAFETY: `dup` just gave us this descriptor, nobody else owns it.
        let copy = unsafe { OwnedFd::from_raw_fd(copy) };
        let mut heir = Tun::from_fd(copy, true, None).unwrap();
        assert_eq!(heir.info(), tun.info());
        assert_eq!(heir.set_up(true).unwrap_err().code(), "ENOTSUP");
        let socket = UdpSocket::bind("198.18.0.1:0").unwrap();
        socket.send_to(b"inherited", "198.18.0.2:7").unwrap();
        assert_eq!(next(&mut heir, |f| f.ends_with(b"inherited")).0.len(), 37);
        tun.set_up(false).unwrap();

        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Tun::from_fd(null.into(), true, None).unwrap_err().code(), "EINVAL");
    });
}

/// Plays TCP's server just long enough for the kernel to send a lot at once.
#[test]
fn the_kernel_hands_over_super_segments() {
    in_namespace(|| {
        let mut tun = with_addresses(&named("un0"));
        let client = std::thread::spawn(|| {
            // This thread is in the namespace of the one that made it.
            let mut stream = TcpStream::connect("198.18.0.2:80").unwrap();
            stream.write_all(&[7; 12_000]).unwrap();
            stream
        });
        let (syn, ..) = next(&mut tun, |f| f[0] == 0x45 && f[9] == 6 && f[33] == 2);
        let mut answer = vec![0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0];
        answer.extend([&syn[16..20], &syn[12..16]].concat());
        let sum = checksum(&[&answer]);
        answer[10..12].copy_from_slice(&sum.to_be_bytes());
        let ack = u32::from_be_bytes(syn[24..28].try_into().unwrap()).wrapping_add(1);
        answer
            .extend([&syn[22..24], &syn[20..22], &1u32.to_be_bytes(), &ack.to_be_bytes()].concat());
        answer.extend([0x60, 0x12, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4]); // SYN, ACK; MSS 1460
        let pseudo = !checksum(&[&answer[12..20], &[0, 6, 0, 24]]);
        answer[36..38].copy_from_slice(&pseudo.to_be_bytes());
        let sum = TxChecksum { start: 20, offset: 16 };
        tun.send(&TxFrame { checksum: Some(sum), ..TxFrame::of(&[&answer]) }).unwrap();

        let (frame, trusted, gso) = next(&mut tun, |f| f[0] == 0x45 && f[9] == 6 && f.len() > 1500);
        assert!(frame.len() > 40 + 1460 && trusted);
        assert_eq!(gso, 1460);
        drop(client.join().unwrap());
    });
}

/// Sends `data` with one call as datagrams of `size` bytes each.
fn send_segments(socket: &UdpSocket, to: SocketAddr, data: &[u8], size: i32) {
    // SAFETY: the value is a live integer of that length; the kernel only reads it.
    let set = unsafe {
        let value = std::ptr::from_ref(&size).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, 4)
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    assert_eq!(socket.send_to(data, to).unwrap(), data.len());
}

#[test]
fn datagrams_come_and_go_merged_where_that_is_wanted() {
    in_namespace(|| {
        let mut tun = with_addresses(&named("un0"));
        let before = tun.info().offload;
        assert!(before.uso && before.tso4 && before.tso6, "Linux 6.2 and later");
        let data: Vec<u8> = (0..2500u32).map(|i| (i % 251) as u8).collect();
        for (kernel, ours, header) in PAIRS {
            let socket = UdpSocket::bind((kernel, 0)).unwrap();
            let peer = SocketAddr::new(ours.parse().unwrap(), 7);
            assert!(tun.set_udp_offload(true));
            send_segments(&socket, peer, &data, 1000);
            let (frame, trusted, gso) = next(&mut tun, |f| f.ends_with(&data[2000..]));
            assert_eq!((trusted, gso, frame.len()), (true, 1000, header + 8 + 2500));
            let (mut seen, mut scratch) = (Vec::new(), Vec::new());
            each_received(Medium::Ip, &frame, gso, &mut scratch, |one, _| seen.push(one.to_vec()));
            // Without it the kernel takes them apart: the same packets, all else as before.
            assert!(!tun.set_udp_offload(false));
            assert_eq!(tun.info().offload, Offload { uso: false, ..before });
            send_segments(&socket, peer, &data, 1000);
            for (part, mut one) in data.chunks(1000).zip(seen) {
                let (mut single, _, gso) = next(&mut tun, |f| f.ends_with(part));
                assert_eq!(gso, 0);
                if header == 20 {
                    // Identifications go on from where they were, and the header's checksum with them.
                    for frame in [&mut one, &mut single] {
                        frame[4..6].fill(0);
                        frame[10..12].fill(0);
                    }
                }
                // The kernel left its sum to us.
                let field = header + 6..header + 8;
                assert_ne!(one[field.clone()], [0, 0]);
                one[field.clone()].fill(0);
                single[field].fill(0);
                assert_eq!(one, single);
            }

            // The other way.
            let local = socket.local_addr().unwrap();
            let packet = udp(peer, local, &data, true);
            let kind = if header == 20 { GsoKind::Udp4 } else { GsoKind::Udp6 };
            let frame = TxFrame {
                checksum: Some(TxChecksum { start: header as u16, offset: 6 }),
                gso: Some(Gso { kind, size: 1000 }),
                ..TxFrame::of(&[&packet])
            };
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let (mut buf, mut got) = ([0; 4000], Vec::new());
            // A new IPv6 address drops what comes for some milliseconds: offered again.
            for _ in 0..500 {
                tun.send(&frame).unwrap();
                while let Ok(n) = socket.recv(&mut buf) {
                    got.push(buf[..n].to_vec());
                }
                if !got.is_empty() {
                    break;
                }
            }
            assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
            assert!(got.concat() == data);
        }
        assert_eq!(tun.counters().get().tx_refused, 0);
    });
}
