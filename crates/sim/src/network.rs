//! The network: its nodes, its links, its clock and the queue of what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use usernet_core::{Duration, Event, Instant, Stack};

use crate::capture::{Capture, CaptureConfig, CaptureId};
use crate::error::{Error, Stalled};
use crate::host::Host;
use crate::link::{Link, LinkConfig, LinkId, LinkStats};
use crate::nat::Nat;
use crate::packet::{DropReason, Frame, PacketEvent};
use crate::route::Routes;
use crate::rule::{Action, Match, RuleId};
use crate::switch::Switch;
use crate::tap::{ObserverId, Tap};
use crate::trace;

/// Names a node of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The how manieth node of its network it is, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A stack that hands out this many packets at one moment, or wants its timers run this often without time going on,
/// will not stop: a bug in it, reported by a panic.
const RUNAWAY: u32 = 1_000_000;

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    /// What it answers to; switches have none.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) kind: NodeKind,
}

pub(crate) enum NodeKind {
    Host(Box<Host>),
    Router,
    Switch(Switch),
    Nat { nat: Box<Nat>, uplink: Option<LinkId> },
}

pub(crate) struct Rule {
    pub(crate) matches: Match,
    pub(crate) action: Action,
    pub(crate) hits: u64,
    /// Packets it holds, and where they were to go on.
    pub(crate) held: Vec<(LinkId, usize, Frame)>,
}

/// What happens next.
pub(crate) enum Happening {
    /// A packet comes out of a link.
    Arrive(LinkId, usize, Frame),
    /// A link's transmitter is done with a packet.
    Transmitted(LinkId, usize),
    /// A packet that a rule delayed goes on a link.
    Enter(LinkId, usize, Frame),
    /// A host's timers may be due.
    Timer(NodeId),
    /// A host hears of a packet of its own that goes nowhere.
    NoWay(NodeId, Vec<u8>),
}

struct Entry {
    at: Instant,
    /// Makes the order total: what was scheduled first happens first.
    seq: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// A network of hosts and links in virtual time. Everything that happens in it follows from its seed and the calls made.
pub struct Network {
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Link>,
    pub(crate) rules: BTreeMap<RuleId, Rule>,
    pub(crate) tap: Tap,
    pub(crate) next_frame: u64,
    /// Pairs of nodes between which nothing passes.
    pub(crate) parted: Vec<(NodeId, NodeId)>,
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    queue: BinaryHeap<Reverse<Entry>>,
    next_seq: u64,
    in_flight: usize,
    pub(crate) routes: Option<Routes>,
    next_rule: u32,
    /// Hosts whose stacks have events.
    eventful: VecDeque<NodeId>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// Looking.
impl Network {
    /// An empty network at time zero.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::ZERO,
            nodes: Vec::new(),
            links: Vec::new(),
            rules: BTreeMap::new(),
            tap: Tap::new(),
            next_frame: 0,
            parted: Vec::new(),
            dropped: BTreeMap::new(),
            queue: BinaryHeap::new(),
            next_seq: 0,
            in_flight: 0,
            routes: None,
            next_rule: 0,
            eventful: VecDeque::new(),
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The name of a node.
    ///
    /// # Errors
    /// [`Error::NoSuchNode`].
    pub fn name(&self, node: NodeId) -> Result<&str, Error> {
        self.nodes.get(node.0 as usize).map(|n| &*n.name).ok_or(Error::NoSuchNode(node))
    }

    /// The node of a name; the first when several have it.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| &*n.name == name).map(|index| NodeId(index as u32))
    }

    /// The addresses of a node; none for a switch.
    ///
    /// # Errors
    /// [`Error::NoSuchNode`].
    pub fn addresses(&self, node: NodeId) -> Result<&[IpAddr], Error> {
        self.nodes.get(node.0 as usize).map(|n| &*n.addresses).ok_or(Error::NoSuchNode(node))
    }

    /// The first IPv4 (or IPv6) address of a node.
    pub fn address(&self, node: NodeId, v6: bool) -> Option<IpAddr> {
        self.addresses(node).ok()?.iter().copied().find(|a| a.is_ipv6() == v6)
    }

    /// The stack of a host, to look at; `None` when it is no host or is down.
    pub fn stack(&self, host: NodeId) -> Option<&Stack> {
        match &self.nodes.get(host.0 as usize)?.kind {
            NodeKind::Host(host) => host.stack.as_ref(),
            _ => None,
        }
    }

    /// How often a host was started: 1, and one more for each [`restart`](Self::restart). Socket ids of one life mean
    /// nothing in another. 0 when it is down, or no host.
    pub fn life(&self, host: NodeId) -> u32 {
        match self.nodes.get(host.0 as usize).map(|node| &node.kind) {
            Some(NodeKind::Host(host)) if host.stack.is_some() => host.lives,
            _ => 0,
        }
    }

    /// The settings of the direction of a link that leads away from `from`.
    ///
    /// # Errors
    /// [`Error::NotAnEnd`], [`Error::NoSuchNode`], [`Error::NoSuchLink`].
    pub fn link_config(&self, link: LinkId, from: NodeId) -> Result<&LinkConfig, Error> {
        let direction = self.direction(link, from)?;
        Ok(&self.links[link.0 as usize].pipes[direction].config)
    }

    /// What the direction of a link that leads away from `from` did so far.
    ///
    /// # Errors
    /// [`Error::NotAnEnd`], [`Error::NoSuchNode`], [`Error::NoSuchLink`].
    pub fn link_stats(&self, link: LinkId, from: NodeId) -> Result<&LinkStats, Error> {
        let direction = self.direction(link, from)?;
        Ok(&self.links[link.0 as usize].pipes[direction].stats)
    }

    /// Packets that the network did away with so far, by reason.
    pub fn drops(&self) -> &BTreeMap<DropReason, u64> {
        &self.dropped
    }

    /// Mappings of a NAT box, ones that lapsed without anybody noticing included.
    ///
    /// # Errors
    /// [`Error::NoSuchNode`], [`Error::NotANat`].
    pub fn nat_mappings(&self, nat: NodeId) -> Result<usize, Error> {
        let name = self.name(nat)?;
        match &self.nodes[nat.0 as usize].kind {
            NodeKind::Nat { nat, .. } => Ok(nat.mappings()),
            _ => Err(Error::NotANat(name.to_owned())),
        }
    }

    /// Packets under way: in queues, on wires, delayed by rules. What rules hold does not count.
    pub fn in_flight(&self) -> usize {
        let waiting =
            |link: &Link| link.pipes.iter().map(crate::link::Pipe::waiting).sum::<usize>();
        self.in_flight + self.links.iter().map(waiting).sum::<usize>()
    }

    /// The last packets, one line each, oldest first. The form of a line:
    ///
    /// ```text
    /// 12.3ms client>server TCP 40000>80 SA seq 0 ack 1 win 65535 <mss 1460,sackOK,ts 17:4,wscale 7> [duplicated]
    /// ```
    ///
    /// Time, sender and receiver on this link (a packet that passes a router has a line for each link), ports, control
    /// bits (`S`YN, `F`IN, `R`ST, `P`SH, `A`CK, `U`RG, `E`CE, `C`WR, `N` for AE), sequence and acknowledgement numbers
    /// relative to the initial ones where those were seen, the window as it stands in the header, options, and what the
    /// network did to the packet. IPv6 is written as `TCP6`.
    pub fn trace(&self) -> String {
        self.tap.trace.render(&self.tap.names)
    }

    /// Sets how many packets the trace keeps (200 unless set); 0 keeps none.
    pub fn keep_trace(&mut self, packets: usize) {
        self.tap.trace.keep(packets);
    }

    /// Starts a capture.
    pub fn capture(&mut self, config: CaptureConfig) -> CaptureId {
        self.tap.capture(config)
    }

    /// What a capture has so far: a whole pcapng file. Empty when it has ended.
    pub fn captured(&self, capture: CaptureId) -> &[u8] {
        self.tap.captured(capture).map_or(&[], Capture::bytes)
    }

    /// Packets that a capture left out because its limit was reached.
    pub fn capture_missed(&self, capture: CaptureId) -> u64 {
        self.tap.captured(capture).map_or(0, Capture::missed)
    }

    /// Ends a capture and gives its file; empty when it had ended before.
    pub fn end_capture(&mut self, capture: CaptureId) -> Vec<u8> {
        self.tap.end_capture(capture).map(|c| c.bytes().to_vec()).unwrap_or_default()
    }

    /// Tells `observer` of everything that happens to packets from now on.
    pub fn observe(
        &mut self,
        observer: impl FnMut(&PacketEvent<'_>) + Send + 'static,
    ) -> ObserverId {
        self.tap.observe(Box::new(observer))
    }

    /// Tells an observer no more; whether it was there.
    pub fn unobserve(&mut self, observer: ObserverId) -> bool {
        self.tap.unobserve(observer)
    }
}

/// Changing.
impl Network {
    /// Changes the settings of both directions of a link.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]: then neither direction changed. [`Error::NoSuchLink`].
    pub fn set_link(
        &mut self,
        link: LinkId,
        mut change: impl FnMut(&mut LinkConfig),
    ) -> Result<(), Error> {
        let link = self.links.get_mut(link.0 as usize).ok_or(Error::NoSuchLink(link))?;
        let configs = [0, 1].map(|direction| {
            let mut config = link.pipes[direction].config.clone();
            change(&mut config);
            config
        });
        configs.iter().try_for_each(LinkConfig::validate)?;
        for (pipe, config) in link.pipes.iter_mut().zip(configs) {
            pipe.configure(config);
        }
        Ok(())
    }

    /// Changes the settings of the direction of a link that leads away from `from`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]: then nothing changed. [`Error::NotAnEnd`], [`Error::NoSuchNode`], [`Error::NoSuchLink`].
    pub fn set_link_from(
        &mut self,
        link: LinkId,
        from: NodeId,
        change: impl FnOnce(&mut LinkConfig),
    ) -> Result<(), Error> {
        let direction = self.direction(link, from)?;
        let pipe = &mut self.links[link.0 as usize].pipes[direction];
        let mut config = pipe.config.clone();
        change(&mut config);
        config.validate()?;
        pipe.configure(config);
        Ok(())
    }

    /// Parts every node of `a` from every node of `b`: what one sends to the other is lost, what is under way too. Nodes
    /// are parted by who made a packet and who is to get it (a NAT box counts as the maker of what it translates), so
    /// that it does not matter which way the packets take.
    pub fn partition(&mut self, a: &[NodeId], b: &[NodeId]) {
        for &a in a {
            for &b in b {
                self.parted.push((a, b));
            }
        }
    }

    /// Ends every partition.
    pub fn heal(&mut self) {
        self.parted.clear();
    }

    /// Takes a host away at once, as a power failure does: no FIN, no RST; what it sent before is still under way. Its
    /// sockets, and the events that waited, are gone.
    ///
    /// # Errors
    /// [`Error::NotAHost`], [`Error::HostDown`], [`Error::NoSuchNode`].
    pub fn crash(&mut self, host: NodeId) -> Result<(), Error> {
        let name = self.name(host)?.to_owned();
        match &mut self.nodes[host.0 as usize].kind {
            NodeKind::Host(host) if host.stack.is_none() => Err(Error::HostDown(name)),
            NodeKind::Host(host) => {
                host.crash();
                Ok(())
            }
            _ => Err(Error::NotAHost(name)),
        }
    }

    /// Starts a host that crashed, with the same addresses and settings, no sockets, and other secrets (unless its
    /// settings name them).
    ///
    /// # Errors
    /// [`Error::NotAHost`], [`Error::HostUp`], [`Error::NoSuchNode`].
    pub fn restart(&mut self, host: NodeId) -> Result<(), Error> {
        let name = self.name(host)?.to_owned();
        match &self.nodes[host.0 as usize].kind {
            NodeKind::Host(host) if host.stack.is_some() => return Err(Error::HostUp(name)),
            NodeKind::Host(_) => {}
            _ => return Err(Error::NotAHost(name)),
        }
        let (now, seed) = (self.now, self.seed);
        self.boot(host, now, seed)
    }

    /// Adds a rule. It is asked after those that were added before.
    pub fn rule(&mut self, matches: Match, action: Action) -> RuleId {
        self.next_rule += 1;
        let id = RuleId(self.next_rule);
        self.rules.insert(id, Rule { matches, action, hits: 0, held: Vec::new() });
        id
    }

    /// How many packets a rule was applied to; 0 when it was removed.
    pub fn rule_hits(&self, rule: RuleId) -> u64 {
        self.rules.get(&rule).map_or(0, |r| r.hits)
    }

    /// How many packets a rule holds.
    pub fn rule_held(&self, rule: RuleId) -> usize {
        self.rules.get(&rule).map_or(0, |r| r.held.len())
    }

    /// Lets the packets that a rule holds go on, in their order; how many. The rule goes on holding new ones.
    pub fn release(&mut self, rule: RuleId) -> usize {
        let held = self.rules.get_mut(&rule).map(|r| std::mem::take(&mut r.held));
        self.release_all(held.unwrap_or_default())
    }

    /// Removes a rule; what it holds goes on. Whether it was there.
    pub fn remove_rule(&mut self, rule: RuleId) -> bool {
        let Some(rule) = self.rules.remove(&rule) else { return false };
        self.release_all(rule.held);
        true
    }

    /// Hands a packet to a host as if it had come over its link: nothing on the way touches it. It need not be valid.
    ///
    /// # Errors
    /// [`Error::NotAHost`], [`Error::HostDown`], [`Error::NoSuchNode`].
    pub fn inject(&mut self, host: NodeId, packet: Vec<u8>) -> Result<(), Error> {
        let now = self.now;
        if !self.host_mut(host)?.receive(now, packet) {
            return Err(Error::HostDown(self.name(host)?.to_owned()));
        }
        self.settle(host);
        Ok(())
    }

    /// Uses the stack of a host: `f` gets it and the time. What it then has to send is sent.
    ///
    /// # Errors
    /// [`Error::NotAHost`], [`Error::HostDown`], [`Error::NoSuchNode`].
    pub fn with<R>(
        &mut self,
        host: NodeId,
        f: impl FnOnce(&mut Stack, Instant) -> R,
    ) -> Result<R, Error> {
        let now = self.now;
        let Some(stack) = &mut self.host_mut(host)?.stack else {
            return Err(Error::HostDown(self.name(host)?.to_owned()));
        };
        let result = f(stack, now);
        self.settle(host);
        Ok(result)
    }
}

/// Running.
impl Network {
    /// The next event of any host, if there is one.
    pub fn poll_event(&mut self) -> Option<(NodeId, Event)> {
        while let Some(&id) = self.eventful.front() {
            if let NodeKind::Host(host) = &mut self.nodes[id.0 as usize].kind {
                if let Some(event) = host.stack.as_mut().and_then(Stack::poll_event) {
                    return Some((id, event));
                }
                host.queued = false;
            }
            self.eventful.pop_front();
        }
        None
    }

    /// A host whose stack has events, for drivers that take them from the stack itself (see [`with`](Self::with)). It is
    /// named again when it has events after the next time its stack was touched.
    pub fn poll_eventful(&mut self) -> Option<NodeId> {
        let id = self.eventful.pop_front()?;
        if let NodeKind::Host(host) = &mut self.nodes[id.0 as usize].kind {
            host.queued = false;
        }
        Some(id)
    }

    /// When something happens next; `None` when nothing will, unless somebody does something.
    pub fn next_at(&mut self) -> Option<Instant> {
        loop {
            let Reverse(entry) = self.queue.peek()?;
            let at = entry.at;
            let Happening::Timer(node) = entry.what else { return Some(at) };
            // Timers move with nearly every packet; their entries are put right when they come up.
            let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind else {
                return Some(at);
            };
            let due = host.stack.as_ref().and_then(Stack::poll_timeout);
            if host.timer == Some(at) && due.is_some_and(|due| due <= at) {
                return Some(at);
            }
            if host.timer == Some(at) {
                host.timer = None;
            }
            self.queue.pop();
            self.set_timer(node);
        }
    }

    /// Whether nothing is left to happen by itself: no packet is under way and no stack waits for time.
    pub fn is_idle(&mut self) -> bool {
        self.next_at().is_none()
    }

    /// Goes on to the next thing that happens and lets it happen; false when there is none.
    pub fn step(&mut self) -> bool {
        self.step_before(Instant::FAR_FUTURE)
    }

    /// Goes on to the next thing that happens, unless that is later than `until`: then nothing changes, and it is false.
    pub fn step_to(&mut self, until: Instant) -> bool {
        self.step_before(until)
    }

    /// Lets everything happen that is due up to `until`, and ends there.
    pub fn run_to(&mut self, until: Instant) {
        while self.step_before(until) {}
        self.now = self.now.max(until);
    }

    /// Lets everything happen that is due within `time`, and ends there.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Goes on until nothing is left to happen, for `limit` at most. The clock stays at what happened last.
    ///
    /// # Errors
    /// [`Stalled`] when something is left to happen at the limit.
    pub fn run_until_idle(&mut self, limit: Duration) -> Result<(), Stalled> {
        let until = self.now + limit;
        while self.step_before(until) {}
        if self.is_idle() { Ok(()) } else { Err(self.stalled("not idle")) }
    }

    /// Goes on until `done`, which is asked before the first and after every step, for `limit` at most. It may use the
    /// network: reading events and answering them there is how programs run in it.
    ///
    /// # Errors
    /// [`Stalled`] at the limit, or when nothing is left to happen.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Stalled> {
        let until = self.now + limit;
        loop {
            if done(self) {
                return Ok(());
            }
            if !self.step_before(until) {
                let why = if self.is_idle() { "nothing left to happen" } else { "out of time" };
                return Err(self.stalled(why));
            }
        }
    }

    /// An error that says where the network stands, for whoever runs it step by step.
    pub fn stalled(&self, why: &'static str) -> Stalled {
        let at = format!("{}ms (seed {})", trace::millis(self.now), self.seed);
        Stalled { why, at, trace: self.trace() }
    }

    fn step_before(&mut self, until: Instant) -> bool {
        if self.next_at().is_none_or(|at| at > until) {
            return false;
        }
        let Some(Reverse(entry)) = self.queue.pop() else { return false };
        if entry.at > self.now {
            self.now = entry.at;
        }
        match entry.what {
            Happening::Arrive(link, direction, frame) => {
                self.in_flight -= 1;
                self.arrive(link, direction, frame);
            }
            Happening::Transmitted(link, direction) => self.transmitted(link, direction),
            Happening::Enter(link, direction, frame) => {
                self.in_flight -= 1;
                self.enter(link, direction, frame);
            }
            Happening::Timer(node) => self.timer(node),
            Happening::NoWay(node, packet) => {
                // It may have crashed meanwhile.
                if let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind {
                    host.no_way(self.now, &packet);
                    self.settle(node);
                }
            }
        }
        true
    }

    fn timer(&mut self, node: NodeId) {
        let now = self.now;
        let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind else { return };
        host.timer = None;
        if let Some(stack) = &mut host.stack {
            stack.handle_timeout(now);
            let still_due = stack.poll_timeout().is_some_and(|due| due <= now);
            host.spins = if still_due { host.spins + 1 } else { 0 };
            assert!(
                host.spins < RUNAWAY,
                "{}: handle_timeout at {now:?} leaves poll_timeout due for ever\n{}",
                self.tap.names[node.0 as usize],
                self.trace()
            );
        }
        self.settle(node);
    }
}

/// What the rest of the crate builds on.
impl Network {
    pub(crate) fn schedule(&mut self, at: Instant, what: Happening) {
        self.next_seq += 1;
        if matches!(what, Happening::Arrive(..) | Happening::Enter(..)) {
            self.in_flight += 1;
        }
        self.queue.push(Reverse(Entry { at, seq: self.next_seq, what }));
    }

    pub(crate) fn routes(&mut self) -> &Routes {
        let Self { routes, nodes, links, .. } = self;
        routes.get_or_insert_with(|| {
            let ids = (0..).map(NodeId);
            let owners = nodes
                .iter()
                .zip(ids)
                .flat_map(|(node, id)| node.addresses.iter().map(move |&addr| (addr, id)))
                .collect();
            Routes::new(nodes, links, owners)
        })
    }

    /// Which of a link's directions leads away from a node.
    pub(crate) fn direction(&self, link: LinkId, from: NodeId) -> Result<usize, Error> {
        let name = self.name(from)?;
        let ends = self.links.get(link.0 as usize).ok_or(Error::NoSuchLink(link))?.ends;
        ends.iter().position(|&end| end == from).ok_or_else(|| Error::NotAnEnd(name.to_owned()))
    }

    /// After a host's stack was touched: sends what it has to send, notes its next timer and its events.
    pub(crate) fn settle(&mut self, node: NodeId) {
        let now = self.now;
        for turn in 0.. {
            let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind else { return };
            let Some(transmit) = host.stack.as_mut().and_then(|s| s.poll_transmit(now)) else {
                break;
            };
            let bytes = transmit.to_vec();
            assert!(
                turn < RUNAWAY,
                "{}: poll_transmit at {now:?} never ends\n{}",
                self.tap.names[node.0 as usize],
                self.trace()
            );
            self.originate(node, bytes);
        }
        self.set_timer(node);
        if let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind
            && !host.queued
            && host.stack.as_ref().is_some_and(Stack::has_events)
        {
            host.queued = true;
            self.eventful.push_back(node);
        }
    }

    fn set_timer(&mut self, node: NodeId) {
        let NodeKind::Host(host) = &mut self.nodes[node.0 as usize].kind else { return };
        let Some(due) = host.stack.as_ref().and_then(Stack::poll_timeout) else { return };
        let due = due.max(self.now);
        if due == Instant::FAR_FUTURE || host.timer.is_some_and(|timer| timer <= due) {
            return;
        }
        host.timer = Some(due);
        self.schedule(due, Happening::Timer(node));
    }

    fn host_mut(&mut self, node: NodeId) -> Result<&mut Host, Error> {
        let found = self.nodes.get_mut(node.0 as usize).ok_or(Error::NoSuchNode(node))?;
        match &mut found.kind {
            NodeKind::Host(host) => Ok(host),
            _ => Err(Error::NotAHost(found.name.to_string())),
        }
    }

    pub(crate) fn boot(&mut self, node: NodeId, now: Instant, seed: u64) -> Result<(), Error> {
        let name = self.name(node)?.to_owned();
        let host = self.host_mut(node)?;
        host.boot(now, seed, node.0).map_err(|error| Error::Interface { name, error })?;
        self.settle(node);
        Ok(())
    }
}
