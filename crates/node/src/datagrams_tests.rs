//! Records of datagrams, over a core whose loopback carries them.

use std::time::Duration;

use usernet_core::{
    Config, Instant, ListenAddress, PingOptions, RawOptions, Secrets, Stack, UdpOptions,
};

use super::*;
use crate::pump::RECORD_SIZE;

const NOW: Instant = Instant::ZERO;
const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Slabs of cardboard: so many bytes are left.
struct Room {
    left: usize,
    bytes: Vec<u8>,
    used: usize,
}

impl Memory for Room {
    fn spare(&mut self, _: Class, len: usize) -> Option<&mut [u8]> {
        (self.left >= len).then(|| &mut self.bytes[self.used..self.used + self.left])
    }

    fn take(&mut self, _: Class, len: usize) -> (i32, i32) {
        self.used += len;
        self.left -= len;
        (1, (self.used - len) as i32)
    }
}

struct Bench {
    stack: Stack,
    datagrams: Datagrams,
    room: Room,
}

impl Bench {
    fn new() -> Self {
        let stack = Stack::new(Config::default(), Secrets::from_bytes(&[7; 64]), 1);
        let room = Room { left: 1 << 20, bytes: vec![0; 1 << 20], used: 0 };
        Self { stack, datagrams: Datagrams::new(0), room }
    }

    fn bind(&mut self, port: u16) -> (UdpId, f64) {
        let options = UdpOptions { address: ListenAddress::AnyV4, port, ..UdpOptions::default() };
        let id = self.stack.udp_bind(options).unwrap();
        (id, self.datagrams.add_udp(id).to_number())
    }

    fn send(&mut self, from: UdpId, to: u16, payload: &[u8]) {
        let dest = Some(SocketAddr::new(LOCALHOST, to));
        self.stack.udp_send_to(NOW, from, payload, dest, None).unwrap();
        self.settle();
    }

    fn settle(&mut self) {
        while self.stack.poll_transmit(NOW).is_some() {}
        while let Some(event) = self.stack.poll_event() {
            self.datagrams.note(event);
        }
    }

    /// One run with room for so many records: what they say, and why it stopped.
    fn run(&mut self, capacity: usize) -> (Vec<[i32; RECORD_SIZE]>, Stop) {
        let mut out = vec![-1; capacity * RECORD_SIZE];
        let mut records = Records::new(&mut out);
        let mut bytes = 1 << 20;
        let Self { stack, datagrams, room } = self;
        let stop = datagrams.run(stack, room, &mut records, &mut bytes, usize::MAX, &|_| 9);
        let len = records.len();
        out.truncate(len * RECORD_SIZE);
        (out.chunks(RECORD_SIZE).map(|r| r.try_into().unwrap()).collect(), stop)
    }
}

fn kinds(records: &[[i32; RECORD_SIZE]]) -> Vec<i32> {
    records.iter().map(|r| r[0]).collect()
}

#[test]
fn a_datagram_is_two_records_its_place_and_its_source() {
    let mut bench = Bench::new();
    let (from, _) = bench.bind(1000);
    let (_, number) = bench.bind(2000);
    bench.run(64);
    bench.send(from, 2000, b"hello");
    bench.send(from, 2000, b"");
    let (records, stop) = bench.run(64);
    assert_eq!(stop, Stop::Idle);
    assert_eq!(records[0], [Kind::Datagram as i32, number as i32, 0, 1, 0, 5]);
    assert_eq!(records[1], [1000, 0x7f00_0001, 0, 0, 0, 9]);
    assert_eq!(records[2], [Kind::Datagram as i32, number as i32, 0, -1, 0, 0], "no place");
    assert_eq!(&bench.room.bytes[..5], b"hello");
    assert_eq!(bench.run(64), (vec![], Stop::Idle));
}

#[test]
fn what_does_not_fit_waits_in_order_and_what_is_left_of_the_room_says_nothing() {
    let mut bench = Bench::new();
    let (from, _) = bench.bind(1000);
    bench.bind(2000);
    bench.run(64);
    for byte in 0..4u8 {
        bench.send(from, 2000, &[byte]);
    }
    let (records, stop) = bench.run(5);
    assert_eq!(stop, Stop::Full);
    assert_eq!(kinds(&records), [9, 1000, 9, 1000, 0], "the rest is filled");
    let (records, stop) = bench.run(64);
    assert_eq!((records.len(), stop), (4, Stop::Idle));
    assert_eq!(&bench.room.bytes[..4], [0, 1, 2, 3]);
}

#[test]
fn a_datagram_that_no_slab_has_room_for_is_not_lost() {
    let mut bench = Bench::new();
    let (from, _) = bench.bind(1000);
    bench.bind(2000);
    bench.run(64);
    bench.send(from, 2000, &[5; 9000]);
    bench.room.left = 8999;
    assert_eq!(bench.run(64), (vec![], Stop::Memory(Class::Bulk)));
    bench.room.left = 9000;
    let (records, stop) = bench.run(64);
    assert_eq!((records[0][5], stop), (9000, Stop::Idle));
}

#[test]
fn a_flooded_socket_leaves_the_others_their_turn() {
    let mut bench = Bench::new();
    let (from, _) = bench.bind(1000);
    bench.bind(2000);
    let (_, quiet) = bench.bind(3000);
    bench.run(64);
    for _ in 0..2 * BURST {
        bench.send(from, 2000, b"x");
    }
    bench.send(from, 3000, b"y");
    let (records, _) = bench.run(1024);
    let at = records.iter().position(|r| r[0] == 9 && r[1] == quiet as i32).unwrap();
    assert_eq!(at, 2 * BURST, "after one burst of the other");
    assert_eq!(records.len(), 2 * (2 * BURST + 1));
}

#[test]
fn a_refusal_and_the_end_are_reported_once() {
    let mut bench = Bench::new();
    let (id, number) = bench.bind(1000);
    bench.run(64);
    bench.stack.udp_connect(id, SocketAddr::new(LOCALHOST, 9)).unwrap();
    bench.stack.udp_send_to(NOW, id, b"?", None, None).unwrap();
    bench.settle();
    let (records, _) = bench.run(64);
    let refused = -Errno::ECONNREFUSED.number();
    assert_eq!(records, [[Kind::UdpError as i32, number as i32, 0, refused, 0, 0]]);
    bench.datagrams.fail_all(Errno::EIO);
    let (records, _) = bench.run(64);
    assert_eq!(kinds(&records), [Kind::UdpClosed as i32]);
    assert_eq!((bench.datagrams.udp(number), bench.datagrams.len()), (None, 0));
}

#[test]
fn raw_packets_have_both_ends_and_pings_an_outcome() {
    let mut bench = Bench::new();
    let raw = bench.stack.raw_open(RawOptions::new(1, false)).unwrap();
    bench.datagrams.add_raw(raw, None);
    let mut options = PingOptions::new(LOCALHOST, 7);
    options.timeout = Duration::from_secs(1);
    let ping = bench.stack.icmp_ping(NOW, options).unwrap();
    let ping = bench.datagrams.add_ping(ping);
    bench.settle();
    let (records, stop) = bench.run(64);
    assert_eq!(stop, Stop::Idle);
    assert_eq!(kinds(&records), [15, 64 | 1 << 8, 13, 64, 0, 13, 64, 0]);
    assert_eq!((records[0][1], records[0][3]), (ping.index as i32, 0));
    assert_eq!(records[1][5], 56, "bytes of data");
    assert_eq!(records[2][5], 64, "request and reply, ICMP header included");
}
