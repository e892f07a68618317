//! TAP against the kernel, in network namespaces that the tests make for their own threads.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // kernel sockets are the peer here

mod common;

use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{checksum, in_namespace, next};
use pcap_parser::traits::PcapNGPacketBlock;
use usernet_device::{
    Capture, CaptureOptions, Device, Impaired, Impairment, Medium, Offload, Tap, TapOptions, Tun,
    TunOptions, TxChecksum, TxFrame,
};

const KERNEL_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const KERNEL: [u8; 4] = [198, 18, 0, 1];
const OURS: [u8; 4] = [198, 18, 0, 2];

fn options(offload: bool) -> TapOptions {
    let tun = TunOptions { name: Some("tap0".into()), offload, ..TunOptions::default() };
    TapOptions { tun, kernel_mac: Some(KERNEL_MAC) }
}

fn open(offload: bool) -> Tap {
    let mut tap = Tap::open(&options(offload)).unwrap();
    tap.add_kernel_address(KERNEL.into(), 24).unwrap();
    tap
}

fn send(tap: &mut impl Device, frame: &[u8], checksum: Option<TxChecksum>) {
    tap.send(&TxFrame { checksum, ..TxFrame::of(&[frame]) }).unwrap();
}

/// Answers the kernel's question who has our address (RFC 826).
fn answer_arp(tap: &mut impl Device) {
    let (question, ..) =
        next(tap, |f| f[12..14] == [8, 6] && f[20..22] == [0, 1] && f[38..42] == OURS);
    assert_eq!(question[..6], [0xff; 6]);
    assert_eq!(question[6..12], KERNEL_MAC);
    let mut answer = [&KERNEL_MAC[..], &OUR_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    answer.extend([&OUR_MAC[..], &OURS, &KERNEL_MAC, &KERNEL].concat());
    send(tap, &answer, None);
}

/// An Ethernet frame with an IPv4 packet from us to the kernel, its header's checksum done.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut header = vec![0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend([OURS, KERNEL].concat());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&KERNEL_MAC[..], &OUR_MAC, &[8, 0], &header, payload].concat()
}

/// The sum of the pseudo-header from us to the kernel, as an unfinished checksum has it.
fn pseudo(protocol: u8, len: usize) -> [u8; 2] {
    let tail = [0, protocol, (len >> 8) as u8, len as u8];
    (!checksum(&[&OURS, &KERNEL, &tail])).to_be_bytes()
}

#[test]
fn ethernet_frames_pass_both_ways_with_and_without_offload() {
    in_namespace(|| {
        for offload in [true, false] {
            let mut tap = open(offload);
            let Offload { tx_checksum, tso4, tso6, .. } = tap.info().offload;
            assert_eq!([tx_checksum, tso4, tso6], [offload; 3]);
            assert_eq!(tap.medium(), Medium::Ethernet);
            assert_eq!((tap.name(), tap.info().mtu), ("tap0", 1500));
            assert!(tap.info().max_frame >= 1514);
            assert_eq!(tap.kernel_mac().unwrap(), KERNEL_MAC);

            let socket = UdpSocket::bind((std::net::Ipv4Addr::from(KERNEL), 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // As large as fits: 1,500 bytes of IP in 1,514 of Ethernet.
            let data = [7; 1472];
            socket.send_to(&data, (std::net::Ipv4Addr::from(OURS), 7)).unwrap();
            answer_arp(&mut tap);
            let (frame, trusted, _) = next(&mut tap, |f| f[12..14] == [8, 0] && f[23] == 17);
            assert_eq!((frame.len(), trusted), (1514, offload));
            assert_eq!([&frame[..6], &frame[6..12]], [&OUR_MAC[..], &KERNEL_MAC]);
            assert_eq!(frame[42..], data);

            let port = socket.local_addr().unwrap().port().to_be_bytes();
            let mut datagram = [&[0, 7][..], &port, &[0, 12, 0, 0], b"back"].concat();
            let sum = pseudo(17, 12);
            datagram[6..8].copy_from_slice(&sum);
            let partial = TxChecksum { start: 34, offset: 6 };
            if !offload {
                let sum = checksum(&[&datagram]);
                datagram[6..8].copy_from_slice(&sum.to_be_bytes());
            }
            send(&mut tap, &ipv4(17, &datagram), offload.then_some(partial));
            let mut buf = [0; 10];
            assert_eq!(socket.recv(&mut buf).unwrap(), 4);
            assert_eq!(&buf[..4], b"back");
        }
    });
}

/// Plays TCP's server just long enough for the kernel to send a lot at once.
#[test]
fn the_kernel_hands_over_super_segments() {
    in_namespace(|| {
        let mut tap = open(true);
        let client = std::thread::spawn(|| {
            // This thread is in the namespace of the one that made it.
            let mut stream = TcpStream::connect("198.18.0.2:80").unwrap();
            stream.write_all(&[7; 12_000]).unwrap();
            stream
        });
        answer_arp(&mut tap);
        let tcp = |f: &[u8]| f[12..14] == [8, 0] && f[23] == 6;
        let (syn, ..) = next(&mut tap, |f| tcp(f) && f[47] == 2);
        let ack = u32::from_be_bytes(syn[38..42].try_into().unwrap()).wrapping_add(1);
        let mut answer =
            [&syn[36..38], &syn[34..36], &1u32.to_be_bytes(), &ack.to_be_bytes()].concat();
        answer.extend([0x60, 0x12, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4]); // SYN, ACK; MSS 1460
        answer[16..18].copy_from_slice(&pseudo(6, 24));
        send(&mut tap, &ipv4(6, &answer), Some(TxChecksum { start: 34, offset: 16 }));
        let (frame, trusted, gso) = next(&mut tap, |f| tcp(f) && f.len() > 1514);
        assert!(frame.len() > 54 + 1460 && trusted);
        assert_eq!(gso, 1460);
        drop(client.join().unwrap());
    });
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn layers_know_that_it_is_ethernet() {
    in_namespace(|| {
        let sink = Sink::default();
        let capture = Capture::new(sink.clone(), CaptureOptions::default()).unwrap();
        let twice = Impairment { duplicate: 1.0, ..Impairment::default() };
        let tap = Impaired::new(open(false), Impairment::default(), twice, 1).unwrap();
        let mut tap = capture.layer(tap);
        assert_eq!(tap.medium(), Medium::Ethernet);
        let socket = UdpSocket::bind("198.18.0.1:0").unwrap();
        socket.send_to(b"x", "198.18.0.2:7").unwrap();
        let arp = |f: &[u8]| f[12..14] == [8, 6];
        assert_eq!(next(&mut tap, arp).0, next(&mut tap, arp).0);
        let bytes = sink.0.lock().unwrap().clone();
        let (mut link_types, mut frames) = (Vec::new(), 0);
        for block in pcap_parser::PcapNGSlice::from_slice(&bytes).unwrap() {
            match block.unwrap() {
                pcap_parser::PcapBlockOwned::NG(pcap_parser::Block::InterfaceDescription(i)) => {
                    link_types.push(i.linktype);
                }
                pcap_parser::PcapBlockOwned::NG(pcap_parser::Block::EnhancedPacket(packet)) => {
                    frames += usize::from(arp(packet.packet_data()));
                }
                _ => {}
            }
        }
        assert_eq!(link_types, [pcap_parser::Linktype::ETHERNET]);
        assert_eq!(frames, 2);
    });
}

#[test]
fn errors_name_the_value_and_the_kind() {
    in_namespace(|| {
        for mac in [[0; 6], [1, 0, 0x5e, 0, 0, 1]] {
            let error =
                Tap::open(&TapOptions { kernel_mac: Some(mac), ..options(true) }).unwrap_err();
            assert_eq!(error.code(), "EINVAL");
            assert!(error.message().contains("02:00:00:00:00:01"), "{error}");
        }
        let tap = Tap::open(&options(true)).unwrap();
        let error = Tap::open(&options(true)).unwrap_err();
        assert_eq!(error.code(), "EBUSY");
        assert!(error.message().contains("TAP interface 'tap0'"), "{error}");
        let error = Tun::open(&options(true).tun).unwrap_err();
        assert!(error.message().contains("not a TUN") || error.code() == "EBUSY", "{error}");

        let inherit = |tap: &Tap| {
            // SAFETY: `dup` takes no pointer.
            let copy = unsafe { libc::dup(tap.fd().unwrap()) };
            assert!(copy >= 0);
            // SAFETY: `dup` just gave us this descriptor, nobody else owns it.
            unsafe { OwnedFd::from_raw_fd(copy) }
        };
        let error = Tun::from_fd(inherit(&tap), true, None).unwrap_err();
        assert!(error.message().contains("is the TAP 'tap0', not a TUN"), "{error}");
        let heir = Tap::from_fd(inherit(&tap), true, None).unwrap();
        assert_eq!((heir.info(), heir.medium()), (tap.info(), Medium::Ethernet));
    });
}
