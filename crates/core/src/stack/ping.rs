//! Echo requests of ours (RFC 792, RFC 4443 §4): what ping and traceroute are made of.

use std::net::IpAddr;

use rand_core::Rng;
use usernet_wire::ip::{MAX_PACKET_LEN, Packet, Protocol, Repr as IpRepr};
use usernet_wire::quoted::Quoted;
use usernet_wire::{icmpv4, icmpv6};

use super::icmp::PathReport;
use super::output::Class;
use super::route::RouteResult;
use super::{Queued, Stack};
use crate::error::{DatagramError, NoSuchSocket};
use crate::event::{PingId, PingOutcome};
use crate::interface::is_unicast;
use crate::time::{Duration, Instant};

/// Requests that time out in one call.
const TIMEOUTS_PER_CALL: usize = 256;

/// How an echo request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingOptions {
    /// To whom.
    pub remote: IpAddr,
    /// From which address; `None` picks one by the route.
    pub source: Option<IpAddr>,
    /// Identifier; `None` picks one at random, which no stranger can guess.
    pub ident: Option<u16>,
    /// Sequence number.
    pub seq: u16,
    /// Bytes of data; 0-65507 over IPv4, 0-65527 over IPv6. What exceeds the path's MTU is cut.
    pub size: usize,
    /// TTL or hop limit; small ones are how traceroute makes routers speak.
    pub hop_limit: u8,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Whether it is refused rather than cut when it exceeds the path's MTU.
    pub dont_fragment: bool,
}

impl PingOptions {
    /// 56 bytes of data, 64 hops, 1 s, as `ping` does.
    pub fn new(remote: IpAddr, seq: u16) -> Self {
        Self {
            remote,
            source: None,
            ident: None,
            seq,
            size: 56,
            hop_limit: 64,
            timeout: Duration::from_secs(1),
            dont_fragment: false,
        }
    }
}

/// What an answer is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PingKey {
    remote: IpAddr,
    ident: u16,
    seq: u16,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Ping {
    key: PingKey,
    local: IpAddr,
    size: usize,
    sent_at: Instant,
    deadline: Instant,
    outcome: Option<PingOutcome>,
}

/// The data of a request: a pattern, so that an answer that was damaged is noticed.
fn pattern(size: usize) -> impl Iterator<Item = u8> {
    (0..size).map(|i| i as u8)
}

impl Stack {
    /// Sends an echo request; its outcome follows as [`Event::Ping`](crate::Event::Ping), always, at the latest after its
    /// timeout.
    ///
    /// # Errors
    /// [`DatagramError::NoBufferSpace`] with [`max_pings`](crate::Config::max_pings) under way, or one to the same host
    /// with the same identifier and sequence number; otherwise as for UDP.
    pub fn icmp_ping(
        &mut self,
        now: Instant,
        options: PingOptions,
    ) -> Result<PingId, DatagramError> {
        let remote = options.remote;
        let mixed = options.source.is_some_and(|source| source.is_ipv4() != remote.is_ipv4());
        if !is_unicast(remote) || self.is_broadcast(remote) || mixed || options.hop_limit == 0 {
            return Err(DatagramError::InvalidDestination);
        }
        let (interface, local) = match self.route_to(remote, options.source) {
            RouteResult::Via(interface, local) => (interface, local),
            RouteResult::Unreachable => return Err(DatagramError::NetworkUnreachable),
            RouteResult::NoSuchAddress => return Err(DatagramError::AddressNotAvailable),
        };
        let len = icmpv4::HEADER_LEN + options.size;
        let ip = IpRepr {
            src: local,
            dst: remote,
            protocol: if remote.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 },
            hop_limit: self.hop_limit(interface, remote.is_ipv6(), options.hop_limit),
            traffic_class: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: len,
        };
        let ip_len = ip.header_len();
        let mtu = usize::from(self.path_to(now, interface, remote).mtu);
        let most = if remote.is_ipv4() { MAX_PACKET_LEN - ip_len } else { MAX_PACKET_LEN };
        if len > most || options.dont_fragment && ip_len + len > mtu {
            return Err(DatagramError::MessageTooLong);
        }
        let ident = options.ident.unwrap_or_else(|| self.rng.next_u32() as u16);
        let key = PingKey { remote, ident, seq: options.seq };
        if self.pings.len() >= self.config.max_pings || self.ping_table.contains_key(&key) {
            return Err(DatagramError::NoBufferSpace);
        }
        let data: Vec<u8> = pattern(options.size).collect();
        let mut packet = vec![0; ip_len + len];
        match (local, remote) {
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                let message = icmpv6::Repr::EchoRequest { ident, seq: options.seq, data: &data };
                message.emit(&mut packet[ip_len..], local, remote);
            }
            _ => {
                let message = icmpv4::Repr::EchoRequest { ident, seq: options.seq, data: &data };
                message.emit(&mut packet[ip_len..]);
            }
        }
        if !self.send_ip(interface, mtu, &ip, packet, None, Class::Control) {
            return Err(DatagramError::NoBufferSpace);
        }
        self.stats.icmp_out_msgs += 1;
        let deadline = now + options.timeout;
        let id = self.pings.insert(Ping {
            key,
            local,
            size: options.size,
            sent_at: now,
            deadline,
            outcome: None,
        });
        self.ping_table.insert(key, id);
        self.ping_timers.insert((deadline, id));
        Ok(id)
    }

    /// Forgets a request: no outcome will come.
    ///
    /// # Errors
    /// [`NoSuchSocket`] when it had its outcome.
    pub fn icmp_cancel(&mut self, id: PingId) -> Result<(), NoSuchSocket> {
        let ping = self.pings.remove(id).ok_or(NoSuchSocket)?;
        if ping.outcome.is_none() {
            self.ping_table.remove(&ping.key);
            self.ping_timers.remove(&(ping.deadline, id));
        }
        Ok(())
    }

    /// The outcome of a request is known: it waits to be taken.
    fn ping_over(&mut self, id: PingId, outcome: PingOutcome) {
        let Some(ping) = self.pings.get_mut(id) else { return };
        ping.outcome = Some(outcome);
        self.ping_table.remove(&ping.key);
        self.ping_timers.remove(&(ping.deadline, id));
        self.events.push_back(Queued::Ping(id));
    }

    /// Takes the outcome that an event reports.
    pub(super) fn take_ping(&mut self, id: PingId) -> Option<PingOutcome> {
        self.pings.remove(id)?.outcome
    }

    /// An answer came.
    pub(super) fn ping_reply(
        &mut self,
        now: Instant,
        packet: &Packet,
        ident: u16,
        seq: u16,
        data: &[u8],
    ) {
        let from = packet.src;
        let key = PingKey { remote: from, ident, seq };
        // Late, twice, or never asked for.
        let Some(&id) = self.ping_table.get(&key) else { return };
        let ping = &self.pings[id];
        if ping.local != packet.dst {
            return;
        }
        let outcome = PingOutcome::Reply {
            from,
            rtt: now.since(ping.sent_at),
            hop_limit: packet.hop_limit,
            size: data.len(),
            intact: data.len() == ping.size && pattern(ping.size).eq(data.iter().copied()),
        };
        self.ping_over(id, outcome);
    }

    /// An error about a request came.
    pub(super) fn ping_error(
        &mut self,
        now: Instant,
        quoted: &Quoted<'_>,
        ident: u16,
        seq: u16,
        report: PathReport,
    ) {
        let key = PingKey { remote: quoted.dst, ident, seq };
        let Some(&id) = self.ping_table.get(&key) else { return };
        let ping = &self.pings[id];
        if ping.local != quoted.src {
            return;
        }
        let PathReport { from, error, .. } = report;
        let rtt = now.since(ping.sent_at);
        if let Some(mtu) = report.too_big() {
            self.learn_mtu(now, quoted.dst, mtu);
        }
        self.ping_over(id, PingOutcome::Error { from, rtt, error });
    }

    /// Ends the requests whose time is over, a bounded number.
    pub(super) fn ping_timeouts(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_CALL {
            match self.ping_timers.first() {
                Some(&(at, id)) if at <= now => self.ping_over(id, PingOutcome::TimedOut),
                _ => break,
            }
        }
    }
}
