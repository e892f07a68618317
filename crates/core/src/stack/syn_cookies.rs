//! SYN cookies (RFC 4987 §3.6, in Linux's form): when a listener's SYN queue is full, what a SYN said is put into the
//! answer instead of into memory, and taken back from the acknowledgement that only a peer that got the answer can send.
//!
//! The initial sequence number says when it was made, and the peer's MSS among eight; a keyed hash of both ends and of the
//! peer's own number hides that and makes it hard to guess (one try in 2^28). Window scale, SACK and ECN go into the lowest
//! bits of our timestamp, which the peer echoes; a peer without timestamps gets a connection without them.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;
use usernet_wire::SeqNumber;
use usernet_wire::tcp::{Flags, Options, Repr, Timestamps};

use super::Stack;
use super::flow::without_data;
use crate::config::{SocketOptions, SynCookies};
use crate::event::ListenerId;
use crate::interface::InterfaceId;
use crate::tcp::{Connection, Grant, Owner, Segment, Tuple};
use crate::time::{Duration, Instant};

/// The key changes with this period's number; a cookie of the period before is taken too.
const PERIOD: Duration = Duration::from_secs(60);

/// How many periods a cookie is taken for, that of its making included.
const PERIODS: u32 = 2;

/// Bits of the sequence number that hold hash and MSS; the rest counts periods.
const BITS: u32 = 24;
const MASK: u32 = (1 << BITS) - 1;

/// Where the MSS stands in them.
const MSS_SHIFT: u32 = BITS - 3;

/// The MSS values that can be told: that which is the largest not above the peer's stands for it.
const MSS: [u16; 8] = [48, 536, 1220, 1300, 1400, 1440, 1460, 8960];

/// Bits of the timestamp that hold options.
const STAMP_MASK: u32 = 0x3f;
const STAMP_NO_SCALE: u32 = 0xf;
const STAMP_SACK: u32 = 0x10;
const STAMP_ECN: u32 = 0x20;

/// Makes and reads cookies.
pub(super) struct SynCookieKey([u8; 16]);

impl SynCookieKey {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// A keyed value of both ends and the peer's number; `period` is `None` for the part that does not depend on time.
    fn hash(&self, tuple: &Tuple, irs: SeqNumber, period: Option<u32>) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(b"SYN cookie");
        tuple.hash(&mut hasher);
        (irs.0, period).hash(&mut hasher);
        hasher.finish() as u32
    }

    /// The initial sequence number for a peer whose own is `irs` and whose MSS is `mss`.
    fn make(&self, now: Instant, tuple: &Tuple, irs: SeqNumber, mss: u16) -> SeqNumber {
        let period = period(now);
        let index = MSS.partition_point(|m| *m <= mss).saturating_sub(1) as u32;
        // The index stands in the highest bits: no number next to a cookie is one.
        let low = (self.hash(tuple, irs, Some(period)) ^ index << MSS_SHIFT) & MASK;
        SeqNumber(self.hash(tuple, irs, None)) + (period << BITS) + low
    }

    /// The MSS that a cookie tells, if it is one of ours and young enough.
    fn read(&self, now: Instant, tuple: &Tuple, irs: SeqNumber, cookie: SeqNumber) -> Option<u16> {
        let period = period(now);
        let rest = cookie.0.wrapping_sub(self.hash(tuple, irs, None));
        let age = period.wrapping_sub(rest >> BITS) & (u32::MAX >> BITS);
        if age >= PERIODS {
            return None;
        }
        let told = (rest ^ self.hash(tuple, irs, Some(period.wrapping_sub(age)))) & MASK;
        let index = told >> MSS_SHIFT;
        (told == index << MSS_SHIFT).then(|| MSS[index as usize])
    }
}

fn period(now: Instant) -> u32 {
    (now.as_nanos() / PERIOD.as_nanos() as u64) as u32
}

/// Puts options into the lowest bits of a timestamp, which never runs ahead of the clock for that.
fn stamp(clock: u32, options: &Options, ecn: bool) -> u32 {
    let scale = options.window_scale.map_or(STAMP_NO_SCALE, |s| u32::from(s).min(14));
    let bits = scale
        | if options.sack_permitted { STAMP_SACK } else { 0 }
        | if ecn { STAMP_ECN } else { 0 };
    let value = (clock & !STAMP_MASK) | bits;
    if bits > clock & STAMP_MASK { value.wrapping_sub(STAMP_MASK + 1) } else { value }
}

/// The options that a SYN had, by the timestamp that its answer's acknowledgement echoes.
fn options_of(mss: u16, stamps: Option<(u32, u32)>) -> Options {
    let mut options = Options { mss: Some(mss), ..Options::default() };
    if let Some((peers, ours)) = stamps {
        let scale = ours & STAMP_NO_SCALE;
        options.window_scale = (scale != STAMP_NO_SCALE).then_some(scale as u8);
        options.sack_permitted = ours & STAMP_SACK != 0;
        options.timestamps = Some(Timestamps { val: peers, ecr: 0 });
    }
    options
}

impl Stack {
    /// Whether this SYN is to be answered by a cookie.
    pub(super) fn wants_cookie(&self, listener: ListenerId) -> bool {
        match self.config.syn_cookies {
            SynCookies::Off => false,
            SynCookies::WhenFull => self.listeners[listener].syn_queue_full(&self.config),
            SynCookies::Always => true,
        }
    }

    /// Answers a SYN without keeping anything of it but that it happened.
    pub(super) fn send_cookie(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: Tuple,
        syn: &Segment,
        listener: ListenerId,
    ) {
        let options = self.listeners[listener].options.clone();
        self.listeners[listener].cookies_until = Some(now + PERIOD * PERIODS);
        let offset = self.timestamp_offset(&tuple);
        let clock = now.as_millis() as u32;
        let mut syn = without_data(syn);
        let offered = &mut syn.header.options;
        if !(options.timestamps && offered.timestamps.is_some()) {
            // Nothing will bring them back.
            *offered = Options { mss: offered.mss, ..Options::default() };
        }
        let (path, hop_limit) = (self.path_to(now, interface, tuple.remote), options.hop_limit);
        let traffic_class = options.traffic_class;
        // An offer of AccECN is answered as one of RFC 3168 (RFC 9768 §3.1.2): one bit has to do.
        let ecn = offered.timestamps.is_some()
            && options.ecn.accepts_classic()
            && syn.header.flags.contains(Flags::ECE | Flags::CWR);
        let mss = offered.mss.unwrap_or(crate::tcp::default_mss(tuple.local.is_ipv6()));
        let iss = self.syn_cookie_key.make(now, &tuple, syn.header.seq, mss);
        let value = stamp(clock, &agreed(&options, offered), ecn).wrapping_add(offset);
        let mut answer = Connection::stateless_syn_ack(tuple, options, path, iss, value, &syn);
        answer.flags.set(Flags::ECE, ecn);
        self.stats.syncookies_sent += 1;
        self.stats.tcp_out_segs += 1;
        self.send_bare(interface, &tuple, answer, hop_limit, traffic_class);
    }

    /// An acknowledgement to a listener that completes no handshake we know of: if it answers a cookie, its connection is
    /// made and the segment taken. Whether it did.
    pub(super) fn take_cookie(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: Tuple,
        segment: &Segment,
        listener_id: ListenerId,
    ) -> bool {
        let header = &segment.header;
        if header.flags.intersects(Flags::SYN | Flags::RST) {
            return false;
        }
        // Only while some are out: else a flood of acknowledgements could try its luck, and cost hashes.
        let listener = &self.listeners[listener_id];
        if listener.cookies_until.is_none_or(|until| now >= until) {
            return false;
        }
        let (irs, iss) = (header.seq - 1, header.ack - 1);
        let Some(mss) = self.syn_cookie_key.read(now, &tuple, irs, iss) else {
            self.stats.syncookies_failed += 1;
            return false;
        };
        let offset = self.timestamp_offset(&tuple);
        let stamps = header.options.timestamps.map(|t| (t.val, t.ecr.wrapping_sub(offset)));
        let options = options_of(mss, stamps);
        if options != agreed(&listener.options, &options) {
            // We never said that: the timestamp was tampered with.
            self.stats.syncookies_failed += 1;
            return false;
        }
        self.stats.syncookies_recv += 1;
        // While the accept queue is full it becomes half-open, so that its SYN-ACK is sent again until there is room: nothing
        // else might bring this peer back. Nobody can do that without being reached by us.
        if listener.is_full() && listener.half_open >= 2 * self.config.max_syn_backlog {
            self.stats.listen_overflows += 1;
            return true;
        }
        if self.connections.len() >= self.config.max_connections {
            self.stats.listen_drops += 1;
            return true;
        }
        let mut syn = without_data(segment);
        let ecn = stamps.is_some_and(|(_, ours)| ours & STAMP_ECN != 0);
        let flags = if ecn { Flags::SYN | Flags::ECE | Flags::CWR } else { Flags::SYN };
        syn.header = Repr { seq: irs, flags, options, ..syn.header };
        syn.ecn = 0;
        let socket_options = listener.options.clone();
        self.listeners[listener_id].half_open += 1;
        let owner = Owner::Listener(listener_id);
        let iss = Some(iss);
        let grant = Grant::default();
        let id =
            self.open_passively(now, interface, tuple, &syn, socket_options, owner, iss, grant);
        self.tcp_segment(now, interface, id, tuple, segment.clone());
        true
    }
}

/// Of what a SYN offered, what its answer accepts.
fn agreed(ours: &SocketOptions, offered: &Options) -> Options {
    let mut options = offered.clone();
    options.window_scale = options.window_scale.filter(|_| ours.window_scaling);
    options.sack_permitted &= ours.sack;
    options.timestamps = options.timestamps.filter(|_| ours.timestamps);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: "192.0.2.1".parse().unwrap(),
            remote: "192.0.2.2".parse().unwrap(),
            local_port: 80,
            remote_port: port,
        }
    }

    #[test]
    fn a_cookie_tells_the_largest_mss_not_above() {
        let key = SynCookieKey::new([7; 16]);
        let now = Instant::from_millis(1_000_000);
        for irs in [SeqNumber(0), SeqNumber(u32::MAX), SeqNumber(0x8000_0000)] {
            for (mss, told) in [
                (0, 48),
                (48, 48),
                (535, 48),
                (536, 536),
                (1459, 1440),
                (1460, 1460),
                (65535, 8960),
            ] {
                let cookie = key.make(now, &tuple(1), irs, mss);
                assert_eq!(key.read(now, &tuple(1), irs, cookie), Some(told));
                assert_eq!(key.read(now, &tuple(2), irs, cookie), None, "another peer's");
                for off in 1..10 {
                    assert_eq!(key.read(now, &tuple(1), irs + off, cookie), None, "another SYN's");
                    assert_eq!(key.read(now, &tuple(1), irs, cookie + off), None, "not ours");
                    assert_eq!(key.read(now, &tuple(1), irs, cookie - off), None, "not ours");
                }
            }
        }
    }

    #[test]
    fn a_cookie_is_taken_for_one_to_two_minutes() {
        let key = SynCookieKey::new([7; 16]);
        // The number of the period wraps in eight bits, and time starts anywhere.
        for start in [0, 59_999, 60_000, 255 * 60_000 + 59_000, 1 << 43] {
            let made = Instant::from_millis(start);
            let cookie = key.make(made, &tuple(1), SeqNumber(5), 1460);
            let read = |after: u64| {
                key.read(made + Duration::from_secs(after), &tuple(1), SeqNumber(5), cookie)
            };
            assert_eq!(read(60), Some(1460));
            assert_eq!(read(120), None);
            assert_eq!(read(3600), None);
        }
    }

    #[test]
    fn guesses_fail() {
        let key = SynCookieKey::new([7; 16]);
        let now = Instant::from_millis(1_000_000);
        let mut hits = 0;
        for guess in 0..100_000u32 {
            let cookie = SeqNumber(guess.wrapping_mul(2_654_435_761));
            hits += u32::from(key.read(now, &tuple(1), SeqNumber(5), cookie).is_some());
        }
        assert_eq!(hits, 0);
    }

    #[test]
    fn options_come_back_by_the_timestamp() {
        for clock in [0, 1, 63, 64, 1_000_037, u32::MAX] {
            for (scale, sack) in
                [(None, false), (Some(0), true), (Some(7), true), (Some(14), false)]
            {
                let options = Options {
                    mss: Some(1460),
                    window_scale: scale,
                    sack_permitted: sack,
                    timestamps: Some(Timestamps { val: 9, ecr: 0 }),
                    ..Options::default()
                };
                let value = stamp(clock, &options, false);
                assert!(clock.wrapping_sub(value) < 2 * 64, "never ahead of the clock");
                assert_eq!(options_of(1460, Some((9, value))), options);
            }
        }
        assert_eq!(options_of(536, None), Options { mss: Some(536), ..Options::default() });
    }
}
