//! Property tests: whatever the network, the peer and the application do, what is delivered is a prefix of what was sent,
//! nothing panics, no timer is stuck, and memory stays bounded.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use usernet_core::EcnPolicy;
use usernet_wire::tcp::Flags;

use crate::support::{Family, Isn, LinkConfig, Pair, PairConfig, Segment, Tester};

pub(crate) fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    // More can be asked for: PROPTEST_CASES=10000.
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| default.cases);
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        // What once failed is tried first, for ever.
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..default
    }
}

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn isns() -> impl Strategy<Value = Isn> {
    prop_oneof![Just(Isn::Natural), Just(Isn::BelowSign), Just(Isn::BelowWrap)]
}

prop_compose! {
    fn links()(
        loss in 0u32..150, duplicate in 0u32..100, reorder in 0u32..200, mark in 0u32..200, delay in 0u64..60,
        jitter in 1u64..40,
    ) -> LinkConfig {
        LinkConfig { loss, duplicate, reorder, mark, delay_ms: delay, jitter_ms: jitter }
    }
}

prop_compose! {
    fn pairs()(
        seed: u64, family in families(), link in links(), bytes in (0u32..120_000, 0u32..120_000),
        recv_buffer in prop_oneof![2048usize..8192, 8192usize..65_536, Just(1usize << 20)],
        send_buffer in prop_oneof![2048usize..8192, Just(1usize << 20)],
        switches in any::<[bool; 7]>(), stalls in 0u32..5, ecn in (0u8..6, 0u8..6),
    ) -> PairConfig {
        let [timestamps, sack, window_scaling, nagle, delayed_ack, offload, fast_open] = switches;
        let mut link = link;
        if fast_open {
            // A SYN that comes twice may open twice (RFC 7413 §2.1).
            link.duplicate = 0;
        }
        PairConfig {
            seed, family, link, bytes: [bytes.0, bytes.1], recv_buffer, send_buffer,
            timestamps, sack, window_scaling, nagle, delayed_ack, offload, stalls,
            fast_open, ecn: [ecn.0, ecn.1],
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    /// Two stacks over a link that loses, duplicates and reorders: every byte arrives, both ways, and nothing is left.
    #[test]
    fn every_byte_arrives_over_a_bad_link(pair in pairs()) {
        Pair::new(&pair).run().map_err(TestCaseError::fail)?;
    }
}

/// A number of a hostile peer: near something that matters, or anything.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// From what the stack said last: its acknowledgement, or the end of what it sent.
    NearLast(i32),
    /// From the initial sequence number.
    NearStart(i32),
    Any(u32),
}

/// One thing that a hostile peer, the application or time does.
#[derive(Clone, Debug)]
enum Action {
    Segment {
        flags: u16,
        seq: Number,
        len: u16,
        ack: Number,
        win: u16,
        options: Vec<u8>,
        urgent: u16,
    },
    Icmp {
        kind: usize,
        mtu: u16,
        seq: Number,
    },
    Write(u16),
    Read(u16),
    Shutdown(u8),
    Close,
    Abort,
    KeepAlive(bool),
    RecvBuffer(u32),
    Wait(u32),
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        4 => Just(Number::NearLast(0)),
        4 => (-3000i32..3000).prop_map(Number::NearLast),
        2 => (-70_000i32..70_000).prop_map(Number::NearStart),
        1 => any::<u32>().prop_map(Number::Any),
    ]
}

/// Flags as they occur, and any at all.
fn flags() -> impl Strategy<Value = u16> {
    prop_oneof![
        8 => Just(Flags::ACK.bits()),
        4 => Just((Flags::ACK | Flags::PSH).bits()),
        2 => Just((Flags::ACK | Flags::FIN).bits()),
        1 => Just(Flags::SYN.bits()),
        1 => Just((Flags::SYN | Flags::ACK).bits()),
        1 => Just(Flags::RST.bits()),
        1 => 0u16..512,
    ]
}

/// Options as they occur, and any bytes at all.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let sack = vec(any::<[u8; 4]>(), 2..=8).prop_map(|words| {
        let words = &words[..words.len() / 2 * 2];
        let mut bytes = vec![1, 1, 5, 2 + 4 * words.len() as u8];
        bytes.extend(words.concat());
        bytes
    });
    let stamps = any::<[u8; 8]>().prop_map(|s| [vec![1, 1, 8, 10], s.to_vec()].concat());
    prop_oneof![4 => Just(Vec::new()), 2 => sack, 2 => stamps, 1 => vec(any::<u8>(), 0..40)]
}

fn actions() -> impl Strategy<Value = Action> {
    let segment =
        (flags(), numbers(), 0u16..3000, numbers(), any::<u16>(), options(), any::<u16>())
            .prop_map(|(flags, seq, len, ack, win, options, urgent)| Action::Segment {
                flags,
                seq,
                len,
                ack,
                win,
                options,
                urgent,
            });
    prop_oneof![
        20 => segment,
        1 => (0usize..8, any::<u16>(), numbers())
            .prop_map(|(kind, mtu, seq)| Action::Icmp { kind, mtu, seq }),
        4 => any::<u16>().prop_map(Action::Write),
        4 => any::<u16>().prop_map(Action::Read),
        1 => (0u8..3).prop_map(Action::Shutdown),
        1 => Just(Action::Close),
        1 => Just(Action::Abort),
        1 => any::<bool>().prop_map(Action::KeepAlive),
        1 => (0u32..2_000_000).prop_map(Action::RecvBuffer),
        3 => (0u32..3000).prop_map(Action::Wait),
        1 => (0u32..100_000_000).prop_map(Action::Wait),
    ]
}

/// Puts a number of the hostile peer into the script's terms.
fn resolve(number: Number, last: u32) -> u32 {
    match number {
        Number::NearLast(offset) => last.wrapping_add(offset as u32),
        Number::NearStart(offset) => offset as u32,
        Number::Any(n) => n,
    }
}

/// Does one thing. What the stack answers is judged by what always holds.
fn act(tester: &mut Tester, action: &Action, limit: usize) -> Result<(), String> {
    const ICMP: [&str; 8] = [
        "net-unreachable",
        "host-unreachable",
        "protocol-unreachable",
        "port-unreachable",
        "too-big",
        "admin-prohibited",
        "time-exceeded",
        "source-quench",
    ];
    let (last_ack, last_end) = tester.last_said();
    match action {
        Action::Segment { flags, seq, len, ack, win, options, urgent } => {
            let segment = Segment {
                flags: Flags::from_bits_truncate(*flags),
                seq: resolve(*seq, last_ack),
                len: u32::from(*len),
                ack: Some(resolve(*ack, last_end)),
                win: Some(*win),
                urgent: Some(*urgent),
                ..Segment::default()
            };
            tester.inject_raw(&segment, options)?;
        }
        Action::Icmp { kind, mtu, seq } => {
            let (kind, seq) = (ICMP[*kind], resolve(*seq, last_end) as i32);
            let mtu = if kind == "too-big" { format!("{mtu} ") } else { String::new() };
            tester.try_run(&format!("< icmp {kind} {mtu}{seq}\ndiscard"))?;
        }
        Action::Write(n) => tester.write_some(u32::from(*n)),
        Action::Read(n) => tester.read_some(usize::from(*n))?,
        Action::Shutdown(how) => {
            let how = ["read", "write", "both"][usize::from(*how)];
            let _ = tester.call(&["shutdown", how]);
        }
        Action::Close => drop(tester.call(&["close"])),
        Action::Abort => drop(tester.call(&["abort"])),
        Action::KeepAlive(true) => drop(tester.call(&["set", "keep_alive", "1s", "1s", "3"])),
        Action::KeepAlive(false) => drop(tester.call(&["set", "keep_alive", "off"])),
        Action::RecvBuffer(n) => drop(tester.call(&["set", "recv_buffer", &n.to_string()])),
        Action::Wait(ms) => {
            let until = tester.now + std::time::Duration::from_millis(u64::from(*ms));
            tester.advance(until, false)?;
            tester.now = tester.now.max(until);
        }
    }
    tester.settle()?;
    let sent = tester.forget_sent();
    // A wait of a day may hold many probes; everything else is answered by a window's worth.
    let most = if matches!(action, Action::Wait(_)) { 20_000 } else { 2_000 };
    if sent > most {
        return Err(format!("{sent} packets in answer to {action:?}"));
    }
    tester.bounded(limit)
}

const STARTS: [&str; 6] = [
    "@server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>",
    "connect\n> SEWA 0:0(0)\n< S. 0:0(0) ack 1 win 65535 <mss 536>\n> . 1:1(0)",
    "@server <mss 1460,sackOK,nop,wscale 2>\nset nagle off",
    "connect\n> SEWA 0:0(0)\n< SE. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>\n> . 1:1(0)\nwrite 30000\ndiscard",
    // With data before the handshake is over, and with AccECN.
    "listen 80\n< S 0:100(100) win 65535 <mss 1460,FO COOKIE>\n> S. 0:0(0)\naccept\nwrite 5000\ndiscard",
    "connect\n> SEWA 0:0(0)\n< SW. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>\n> W. 1:1(0)\nwrite 30000\ndiscard",
];

proptest! {
    #![proptest_config(config(256))]

    /// A peer that sends anything at all, and an application that calls anything at all.
    #[test]
    fn hostile_peer_does_no_harm(
        family in families(), isn in isns(), start in 0..STARTS.len(), small in any::<bool>(),
        actions in vec(actions(), 1..120),
    ) {
        let mut tester = Tester::new(family, isn, start % 2 == 1);
        let buffer = if small { 4096 } else { 1 << 20 };
        tester.config.socket.recv_buffer = buffer.into();
        tester.config.socket.fast_open.queue = 4;
        tester.config.socket.ecn = EcnPolicy::Accurate;
        tester.run(STARTS[start]);
        tester.peer().lawless = true;
        for action in &actions {
            // A buffer set later may be larger.
            act(&mut tester, action, 2_000_000)
                .map_err(|error| TestCaseError::fail(tester.report(&error)))?;
        }
        // In the end everything is given up, and nothing is left.
        tester.stop().map_err(|error| TestCaseError::fail(tester.report(&error)))?;
    }

    /// A stream in pieces that overlap, repeat and come in any order is delivered whole, and once.
    #[test]
    fn stream_in_any_pieces_is_delivered_whole(
        family in families(), isn in isns(), sack in any::<bool>(),
        cuts in vec((0u32..30_000, 1u32..1460), 1..80), order in any::<u64>(),
    ) {
        const LEN: u32 = 30_000;
        let mut tester = Tester::new(family, isn, false);
        tester.run(if sack { "@server <mss 1460,sackOK>" } else { "@server" });
        // What the random pieces leave out comes at the end.
        let regular = (0..LEN).step_by(1000).map(|at| (at, 1000));
        let mut pieces: Vec<(u32, u32)> =
            cuts.into_iter().map(|(at, len)| (at, len.min(LEN - at))).collect();
        shuffle(&mut pieces, order);
        pieces.extend(regular);
        for (at, len) in pieces {
            let segment = Segment {
                flags: Flags::ACK,
                seq: 1 + at,
                len,
                ack: Some(1),
                win: Some(65535),
                ..Segment::default()
            };
            tester.inject_raw(&segment, &[]).map_err(TestCaseError::fail)?;
            tester.settle().map_err(|error| TestCaseError::fail(tester.report(&error)))?;
            tester.forget_sent();
        }
        tester.run(&format!("read {LEN}\nread none\ninfo ooo_queue = 0\ndiscard"));
    }

    /// Frames of anything at all: nothing panics, nothing stays.
    #[test]
    fn garbage_does_no_harm(
        family in families(), frames in vec(vec(any::<u8>(), 0..120), 0..40),
        damage in vec((0usize..80, any::<u8>()), 1..40),
    ) {
        let mut tester = Tester::new(family, Isn::Natural, false);
        tester.run("@server");
        for frame in frames {
            // As if of the right version, too.
            let mut versioned = frame.clone();
            if let Some(first) = versioned.first_mut() {
                *first = if family == Family::V4 { 0x45 } else { 0x60 };
            }
            tester.receive(frame, 0);
            tester.receive(versioned, 0);
        }
        let good = Segment { flags: Flags::ACK, seq: 1, len: 20, ack: Some(1), ..Segment::default() };
        for (at, byte) in damage {
            let mut frame = tester.frame(&good, &[1, 1, 1, 0]).map_err(TestCaseError::fail)?;
            let at = at % frame.len();
            frame[at] ^= byte;
            tester.receive(frame, 0);
        }
        tester.swallow();
        prop_assert!(tester.stack().0.stats().connections <= 1);
    }
}

/// Any order, by a seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, (seed >> 33) as usize % (i + 1));
    }
}
