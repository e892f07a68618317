//! What routers report of our packets, and path MTU discovery: by those reports (RFC 1191, RFC 8201), and by probing where
//! routers are silent (packetization-layer path MTU discovery, RFC 4821, with the search of RFC 8899).
//!
//! Repeated timeouts of segments above the base size mean that the path may swallow large packets without a word: the
//! connection falls back to the base size, where something passes nearly everywhere. Then it searches upwards with data:
//! one segment is sent larger than the rest. When it is acknowledged, segments become that large; when it is lost three
//! times, less is tried. Its loss is no sign of congestion (RFC 4821 §7.5).

use usernet_wire::SeqNumber;

use super::CaState;
use super::connection::{Connection, Ctx, Path};
use super::send::{Outgoing, Sender};
use super::state::{State, SynSent};
use crate::config::MtuProbing;
use crate::time::{Duration, Instant};

/// Timeouts in a row that make a black hole likely (R1 of RFC 9293 §3.8.3; Linux `tcp_retries1`).
const BLACK_HOLE_TIMEOUTS: u8 = 3;

/// Packet sizes to fall back to over IPv4, bytes: Linux's `tcp_base_mss` of 1,024, and what every host takes (RFC 9293
/// §3.7.1). IPv6 guarantees 1,280 (RFC 8200 §5).
const BASE_V4: [u16; 2] = [1064, 576];
const BASE_V6: [u16; 1] = [1280];

/// Lost probes of one size that make it too large (RFC 8899 §5.1.2, MAX_PROBES).
const MAX_PROBES: u8 = 3;

/// A search that comes closer than this is over, bytes (Linux `tcp_probe_threshold`).
const THRESHOLD: u32 = 8;

/// How long a result counts before more is tried (RFC 8899 §5.1.1, PMTU_RAISE_TIMER; RFC 1191 §6.3).
const RAISE_AFTER: Duration = Duration::from_secs(600);

/// Segments of the present size that follow a probe, so that its loss is found by what arrives behind it.
const FOLLOWERS: u32 = 4;

/// A probe in flight.
#[derive(Clone, Copy, Debug)]
struct Probe {
    seq: SeqNumber,
    len: u32,
}

/// The search. Sizes are payload bytes of a segment: what path and options leave.
#[derive(Debug)]
pub(super) struct PathSearch {
    /// The largest that may be tried, ever.
    most: u32,
    /// The largest that was not found to be too large.
    high: u32,
    /// The size that failed last, and how often.
    failed: (u32, u8),
    /// Whether the search goes on.
    searching: bool,
    /// When a search that is over begins anew.
    raise_at: Instant,
    probe: Option<Probe>,
    /// What became of the last probe, for who counts.
    outcome: Option<bool>,
}

impl PathSearch {
    /// Nothing to search: the path takes `mss`.
    pub(super) fn new(mss: u32) -> Self {
        Self {
            most: mss,
            high: mss,
            failed: (0, 0),
            searching: false,
            raise_at: Instant::FAR_FUTURE,
            probe: None,
            outcome: None,
        }
    }

    /// Searches between what is in use and `high`.
    fn search(&mut self, high: u32) {
        self.high = high.min(self.most);
        self.failed = (0, 0);
        self.searching = true;
        self.probe = None;
    }

    /// The path is known to take no more than `high`; more is tried later.
    fn settle(&mut self, now: Instant, high: u32) {
        self.high = high;
        self.searching = false;
        self.probe = None;
        self.raise_at = now + RAISE_AFTER;
    }

    /// The size to try next beyond `mss`, if it is time: the largest first, since that may have been right all along.
    fn next_size(&mut self, now: Instant, mss: u32) -> Option<u32> {
        if !self.searching && now >= self.raise_at && mss < self.most {
            self.search(self.most);
        }
        if !self.searching || self.probe.is_some() {
            return None;
        }
        if self.high < mss + THRESHOLD {
            self.settle(now, self.high);
            return None;
        }
        let untried = self.high == self.most && self.failed.0 != self.most;
        let retried = self.failed.0 > mss && self.failed.0 <= self.high && self.failed.1 > 0;
        Some(match (retried, untried) {
            (true, _) => self.failed.0,
            (false, true) => self.high,
            (false, false) => mss + (self.high - mss).div_ceil(2),
        })
    }

    /// A probe of `len` bytes did not get through.
    fn lost(&mut self, len: u32) {
        self.probe = None;
        self.failed = if self.failed.0 == len { (len, self.failed.1 + 1) } else { (len, 1) };
        if self.failed.1 >= MAX_PROBES {
            self.high = len - 1;
            self.failed.1 = 0;
            self.outcome = Some(false);
        }
    }
}

impl PathSearch {
    /// Data at `seq` is sent again: when it was the probe's, its acknowledgement says nothing of the probe.
    pub(super) fn sent_again(&mut self, seq: SeqNumber) {
        if let Some(probe) = self.probe
            && seq.within(probe.seq, probe.len)
        {
            self.lost(probe.len);
        }
    }
}

impl Sender {
    /// The search, made when it is needed first: until then the path takes the MSS that there is.
    fn search_mut(&mut self) -> &mut PathSearch {
        let mss = self.mss;
        self.search.get_or_insert_with(|| Box::new(PathSearch::new(mss)))
    }

    /// The probe in flight.
    fn path_probe(&self) -> Option<Probe> {
        self.search.as_ref()?.probe
    }

    /// A probe of the path: one segment larger than the others, in new data, when it can do no harm. The first half of
    /// `next_new`: `unsent` bytes wait, `window` of them fit the peer's window and `quota` the congestion window.
    pub(super) fn next_path_probe(
        &mut self,
        now: Instant,
        unsent: u32,
        window: u32,
        quota: u32,
    ) -> Option<Outgoing> {
        let mss = self.mss;
        let size = self.search.as_mut()?.next_size(now, mss)?;
        let needed = size + FOLLOWERS * mss;
        // As Linux: nothing is amiss, and losing the probe would be seen by what follows (RFC 4821 §7.4).
        if self.ca_state() != CaState::Open
            || self.board.deemed_lost() > 0
            || unsent.min(window) < needed
            || quota < size
            || self.cwnd() < needed
        {
            return None;
        }
        let seq = self.nxt;
        self.search_mut().probe = Some(Probe { seq, len: size });
        self.board.sent(now, seq, size, false);
        self.nxt += size;
        Some(Outgoing { seq, len: size, fin: false, push: false, retransmit: false })
    }

    /// Whether that segment is a probe, which no device may cut.
    pub(super) fn is_path_probe(&self, out: Outgoing) -> bool {
        !out.retransmit && self.path_probe().is_some_and(|probe| probe.seq == out.seq)
    }

    /// Data was acknowledged: a probe among it got through.
    pub(super) fn path_probe_acked(&mut self) {
        if let Some(probe) = self.path_probe()
            && self.una.ge(probe.seq + probe.len)
        {
            let search = self.search_mut();
            search.probe = None;
            search.outcome = Some(true);
            search.failed = (0, 0);
            self.mss = probe.len;
        }
    }

    /// Something is lost. Whether it is the probe alone, which says nothing of congestion (RFC 4821 §7.5).
    pub(super) fn path_probe_lost(&mut self) -> bool {
        let Some(probe) = self.path_probe() else { return false };
        if self.una != probe.seq || self.board.deemed_lost() > probe.len {
            return false;
        }
        self.search_mut().lost(probe.len);
        self.loss.force_retransmit = true;
        true
    }

    /// The retransmission timer ran out: a probe in flight is taken for lost.
    pub(super) fn path_probe_timed_out(&mut self) {
        if let Some(probe) = self.path_probe() {
            self.search_mut().lost(probe.len);
        }
    }
}

impl Connection {
    /// Bytes of a packet beside its payload: IP and TCP headers with the options of every segment.
    fn overhead(&self) -> u16 {
        let headers = if self.is_v6() { 60 } else { 40 };
        headers + if self.timestamps() { super::connection::TIMESTAMPS_LEN } else { 0 }
    }

    /// The network reports that the path takes packets of `mtu` bytes at most, for a packet of ours with sequence number
    /// `seq` (RFC 1191 §6, RFC 8201 §4; validated against what is in flight, RFC 5927 §7).
    pub(crate) fn on_packet_too_big(&mut self, now: Instant, seq: SeqNumber, mtu: u32) {
        // RFC 8201 §4: below the least MTU of the family it is not to be believed; RFC 1191 §5 guesses where a router does
        // not say, and no IPv4 path of today has less than 552 bytes (Linux `min_pmtu`).
        let least = if self.is_v6() { 1280 } else { 552 };
        let mtu = mtu.max(least).min(u32::from(u16::MAX)) as u16;
        let payload = u32::from(mtu.saturating_sub(self.overhead()));
        if let State::SynSent(SynSent { hs, .. }) = &mut self.state
            && hs.syn_data > 0
            && hs.sent == 1
            && hs.iss == seq
            && mtu < self.path.mtu
        {
            // The SYN was too large with its data, and goes at once without.
            hs.due = true;
            self.path.mtu = mtu;
            return;
        }
        let Some(snd) = self.state.sender_mut() else { return };
        if seq.lt(snd.una) || seq.ge(snd.nxt) {
            return;
        }
        if mtu < self.path.mtu {
            snd.search_mut().settle(now, payload);
            self.narrow_path(mtu);
        } else if let Some(probe) = snd.path_probe()
            && probe.seq == seq
            && payload < probe.len
        {
            // About a probe: it is not to be tried again.
            let search = snd.search_mut();
            search.probe = None;
            search.high = payload;
            search.failed = (0, 0);
            snd.board.mark_lost(seq);
            snd.loss.force_retransmit = true;
        }
    }

    /// Packets go another way from now on, or the same one takes others than before: longer ones are sent at once, what is
    /// too long for it is sent again.
    pub(crate) fn set_path(&mut self, now: Instant, path: Path) {
        let before = std::mem::replace(&mut self.path, path);
        if path.mtu == before.mtu {
            return;
        }
        let payload = u32::from(path.mtu.saturating_sub(self.overhead()));
        let mss = u32::from(self.send_mss());
        let Some(snd) = self.state.sender_mut() else { return };
        snd.search_mut().most = payload;
        snd.search_mut().settle(now, payload);
        if path.mtu > before.mtu {
            snd.mss = mss.max(snd.mss);
        } else {
            snd.shrink_mss(mss);
        }
    }

    fn narrow_path(&mut self, mtu: u16) {
        self.path.mtu = mtu;
        let mss = u32::from(self.send_mss());
        if let Some(snd) = self.state.sender_mut() {
            snd.shrink_mss(mss);
        }
    }

    /// A retransmission timeout: after several, of a segment that is large, packets of its size may vanish on the way.
    pub(super) fn check_black_hole(&mut self, ctx: &mut Ctx<'_>) {
        if self.options.mtu_probing == MtuProbing::Off {
            return;
        }
        let bases: &[u16] = if self.is_v6() { &BASE_V6 } else { &BASE_V4 };
        let overhead = self.overhead();
        let Some(&base) = bases.iter().find(|base| **base < self.path.mtu) else { return };
        let Some(snd) = self.state.sender_mut() else { return };
        let large = snd.board.front_len() > u32::from(base - overhead)
            && snd.mss > u32::from(base - overhead);
        // Once at the first base, the next is tried after as many timeouts again. A window that shrank to nothing takes no
        // segment of any size.
        if snd.wnd == 0
            || snd.retries < BLACK_HOLE_TIMEOUTS
            || !snd.retries.is_multiple_of(BLACK_HOLE_TIMEOUTS)
            || !large
        {
            return;
        }
        let high = snd.search_mut().high.max(snd.mss);
        snd.search_mut().search(high);
        ctx.stats.tcp_mtup_black_holes += 1;
        self.narrow_path(base);
    }

    /// Counts what became of a probe, and takes the path for what it showed.
    pub(super) fn settle_path_probe(&mut self, ctx: &mut Ctx<'_>) {
        let overhead = self.overhead();
        let Some(snd) = self.state.sender_mut() else { return };
        match snd.search.as_mut().and_then(|search| search.outcome.take()) {
            Some(true) => {
                ctx.stats.tcp_mtup_success += 1;
                self.path.mtu = snd.mss as u16 + overhead;
            }
            Some(false) => ctx.stats.tcp_mtup_fail += 1,
            None => {}
        }
    }

    /// With [`MtuProbing::Always`] a connection begins at the base size and searches from there.
    pub(super) fn begin_path_search(&mut self) {
        if self.options.mtu_probing != MtuProbing::Always {
            return;
        }
        let base = if self.is_v6() { BASE_V6[0] } else { BASE_V4[0] };
        if base >= self.path.mtu {
            return;
        }
        if let Some(snd) = self.state.sender_mut() {
            let high = snd.mss;
            snd.search_mut().search(high);
            self.narrow_path(base);
        }
    }
}
