//! A packet's way: from a stack over links, through routers, switches and NAT boxes, to another stack.

use usernet_wire::ip;

use crate::icmp;
use crate::link::LinkId;
use crate::network::{Happening, Network, NodeKind};
use crate::packet::{DropReason, Frame, PacketView, What};
use crate::rewrite;
use crate::rule::Action;
use crate::{NodeId, RuleId};

/// Most packets that one rule holds.
const MAX_HELD: usize = 65_536;

impl Network {
    /// A node has made a packet.
    pub(crate) fn originate(&mut self, node: NodeId, bytes: Vec<u8>) {
        let frame = self.frame(node, bytes);
        let ip = ip::Packet::parse(&frame.bytes).ok();
        let link = ip.and_then(|ip| self.routes().link(node, ip.dst));
        match (ip, link) {
            (Some(ip), Some(link)) => self.send(node, link, frame, Some(ip), true),
            (ip, _) => {
                let reason = if ip.is_some() { DropReason::NoRoute } else { DropReason::Malformed };
                let now = self.now;
                self.tap.record(now, What::Sent, &frame, [node, node], ip);
                self.drop_frame(&frame, [node, node], reason);
                // The network stands for the host's own routes: it hears at once that there are none.
                if ip.is_some_and(|ip| !ip.dst.is_multicast()) {
                    self.schedule(now, Happening::NoWay(node, frame.bytes));
                }
            }
        }
    }

    fn frame(&mut self, origin: NodeId, bytes: Vec<u8>) -> Frame {
        self.next_frame += 1;
        Frame { id: self.next_frame, bytes, origin, epoch: 0, queued_at: self.now }
    }

    /// A node puts a packet on a link. `made_here` says that it did not only forward it.
    fn send(
        &mut self,
        from: NodeId,
        link: LinkId,
        mut frame: Frame,
        ip: Option<ip::Packet>,
        made_here: bool,
    ) {
        // Each transmission has an id of its own.
        if !made_here {
            self.next_frame += 1;
            frame.id = self.next_frame;
        }
        let direction = usize::from(self.links[link.0 as usize].ends[0] != from);
        let ends = self.ends(link, direction);
        let stats = &mut self.links[link.0 as usize].pipes[direction].stats;
        stats.sent += 1;
        stats.sent_bytes += frame.bytes.len() as u64;
        self.tap.record(self.now, What::Sent, &frame, ends, ip);
        if made_here
            && !self.parted.is_empty()
            && let Some(to) = ip.and_then(|ip| self.routes().owner(ip.dst))
            && self.is_parted(frame.origin, to)
        {
            return self.drop_on(link, direction, &frame, DropReason::Partition);
        }
        if self.rules.is_empty() {
            return self.enter(link, direction, frame);
        }
        self.apply_rules(link, direction, frame, made_here);
    }

    fn apply_rules(&mut self, link: LinkId, direction: usize, mut frame: Frame, made_here: bool) {
        let ends = self.ends(link, direction);
        let ids: Vec<RuleId> = self.rules.keys().copied().collect();
        let (mut delay, mut copies) = (None, 0);
        for id in ids {
            let Some(view) = PacketView::parse(&frame.bytes) else { break };
            let to = self.routes().owner(view.ip.dst);
            let Some(rule) = self.rules.get_mut(&id) else { continue };
            let spot = rule.matches.link.map_or(made_here, |wanted| wanted == link);
            let maker = rule.matches.from.is_none_or(|wanted| wanted == frame.origin);
            let taker = rule.matches.to.is_none_or(|wanted| Some(wanted) == to);
            if !(spot && maker && taker && rule.matches.test(&view)) {
                continue;
            }
            rule.hits += 1;
            let what = match &mut rule.action {
                Action::Drop => return self.drop_on(link, direction, &frame, DropReason::Rule),
                Action::Hold if rule.held.len() >= MAX_HELD => {
                    return self.drop_on(link, direction, &frame, DropReason::Rule);
                }
                Action::Hold => {
                    self.tap.record(self.now, What::Held, &frame, ends, None);
                    rule.held.push((link, direction, frame));
                    return;
                }
                Action::Delay(by) => {
                    delay = Some(delay.unwrap_or_default() + *by);
                    What::Delayed
                }
                Action::Copy(n) => {
                    copies += *n;
                    What::Copied
                }
                Action::Alter(change) => {
                    change(&mut frame.bytes);
                    What::Altered
                }
            };
            self.tap.record(self.now, what, &frame, ends, None);
        }
        for _ in 0..copies {
            let copy = frame.clone();
            self.enter_after(link, direction, copy, delay);
        }
        self.enter_after(link, direction, frame, delay);
    }

    fn enter_after(
        &mut self,
        link: LinkId,
        direction: usize,
        frame: Frame,
        delay: Option<usernet_core::Duration>,
    ) {
        match delay {
            None => self.enter(link, direction, frame),
            Some(delay) => {
                self.schedule(self.now + delay, Happening::Enter(link, direction, frame));
            }
        }
    }

    pub(crate) fn release_all(&mut self, held: Vec<(LinkId, usize, Frame)>) -> usize {
        let count = held.len();
        for (link, direction, frame) in held {
            let ends = self.ends(link, direction);
            self.tap.record(self.now, What::Released, &frame, ends, None);
            self.enter(link, direction, frame);
        }
        count
    }

    /// A packet comes to a link: into its queue where it has a rate, else on the wire.
    pub(crate) fn enter(&mut self, link: LinkId, direction: usize, mut frame: Frame) {
        let now = self.now;
        let pipe = &mut self.links[link.0 as usize].pipes[direction];
        if let Err(reason) = pipe.admit(&frame) {
            return self.drop_on(link, direction, &frame, reason);
        }
        frame.epoch = pipe.epoch;
        if pipe.config.rate.is_none() && pipe.waiting() == 0 {
            return self.wire(link, direction, frame);
        }
        match pipe.enqueue(now, frame) {
            Ok(None) => {}
            Ok(Some(at)) => self.schedule(at, Happening::Transmitted(link, direction)),
            Err(frame) => self.drop_on(link, direction, &frame, DropReason::QueueFull),
        }
    }

    /// A link's transmitter is done with a packet: it goes on the wire, and the next one follows.
    pub(crate) fn transmitted(&mut self, link: LinkId, direction: usize) {
        let mut dropped = Vec::new();
        let pipe = &mut self.links[link.0 as usize].pipes[direction];
        let (sent, next_at) = pipe.transmitted(self.now, &mut dropped);
        if let Some(at) = next_at {
            self.schedule(at, Happening::Transmitted(link, direction));
        }
        for frame in dropped {
            self.drop_on(link, direction, &frame, DropReason::CoDel);
        }
        if let Some(frame) = sent {
            self.wire(link, direction, frame);
        }
    }

    fn wire(&mut self, link: LinkId, direction: usize, mut frame: Frame) {
        let now = self.now;
        let ends = self.ends(link, direction);
        let pipe = &mut self.links[link.0 as usize].pipes[direction];
        if frame.epoch != pipe.epoch || !pipe.config.up {
            return self.drop_on(link, direction, &frame, DropReason::LinkDown);
        }
        let fate = pipe.wire(now, &mut frame);
        if fate.lost {
            return self.drop_on(link, direction, &frame, DropReason::Lost);
        }
        let marks = [
            (fate.corrupted, What::Corrupted),
            (fate.reordered, What::Reordered),
            (fate.duplicate.is_some(), What::Duplicated),
        ];
        for (_, what) in marks.into_iter().filter(|(happened, _)| *happened) {
            self.tap.record(now, what, &frame, ends, None);
        }
        if let Some(at) = fate.duplicate {
            let second = frame.clone();
            self.schedule(fate.arrival, Happening::Arrive(link, direction, frame));
            self.schedule(at, Happening::Arrive(link, direction, second));
        } else {
            self.schedule(fate.arrival, Happening::Arrive(link, direction, frame));
        }
    }

    /// A packet comes out of a link.
    pub(crate) fn arrive(&mut self, link: LinkId, direction: usize, frame: Frame) {
        let [from, to] = self.ends(link, direction);
        let pipe = &mut self.links[link.0 as usize].pipes[direction];
        if frame.epoch != pipe.epoch {
            return self.drop_on(link, direction, &frame, DropReason::LinkDown);
        }
        if let NodeKind::Host(host) = &self.nodes[to.0 as usize].kind {
            let down = host.stack.is_none();
            if self.is_parted(frame.origin, to) {
                return self.drop_on(link, direction, &frame, DropReason::Partition);
            }
            if down {
                return self.drop_on(link, direction, &frame, DropReason::HostDown);
            }
        }
        let pipe = &mut self.links[link.0 as usize].pipes[direction];
        pipe.stats.delivered += 1;
        pipe.stats.delivered_bytes += frame.bytes.len() as u64;
        self.tap.record(self.now, What::Delivered, &frame, [from, to], None);
        let now = self.now;
        match &mut self.nodes[to.0 as usize].kind {
            NodeKind::Host(host) => {
                host.receive(now, frame.bytes);
                self.settle(to);
            }
            NodeKind::Router => self.route(to, link, frame),
            NodeKind::Switch(_) => self.bridge(to, link, frame),
            NodeKind::Nat { .. } => self.translate(to, link, frame),
        }
    }

    fn route(&mut self, node: NodeId, came_over: LinkId, mut frame: Frame) {
        let here = [node, node];
        let Ok(ip) = ip::Packet::parse(&frame.bytes) else {
            return self.drop_frame(&frame, here, DropReason::Malformed);
        };
        let Some(link) = self.routes().link(node, ip.dst) else {
            self.complain(node, came_over, &frame, icmp::Reason::Unreachable);
            return self.drop_frame(&frame, here, DropReason::NoRoute);
        };
        if !rewrite::decrement_hop_limit(&mut frame.bytes) {
            self.complain(node, came_over, &frame, icmp::Reason::HopLimit);
            return self.drop_frame(&frame, here, DropReason::HopLimit);
        }
        let direction = usize::from(self.links[link.0 as usize].ends[0] != node);
        let mtu = self.links[link.0 as usize].pipes[direction].config.mtu;
        if frame.bytes.len() > usize::from(mtu) {
            self.complain(node, came_over, &frame, icmp::Reason::TooBig(mtu));
        }
        self.send(node, link, frame, Some(ip), false);
    }

    /// A router says by ICMP why it does not forward a packet.
    fn complain(&mut self, node: NodeId, over: LinkId, frame: &Frame, reason: icmp::Reason) {
        let Ok(ip) = ip::Packet::parse(&frame.bytes) else { return };
        let v6 = ip.src.is_ipv6();
        let Some(address) = self.address(node, v6) else { return };
        let Some(bytes) = icmp::error(address, &frame.bytes, &ip, reason) else { return };
        let ip = ip::Packet::parse(&bytes).ok();
        let complaint = self.frame(node, bytes);
        self.send(node, over, complaint, ip, true);
    }

    fn bridge(&mut self, node: NodeId, came_over: LinkId, frame: Frame) {
        let here = [node, node];
        let now = self.now;
        let Ok(ip) = ip::Packet::parse(&frame.bytes) else {
            return self.drop_frame(&frame, here, DropReason::Malformed);
        };
        let NodeKind::Switch(switch) = &mut self.nodes[node.0 as usize].kind else { return };
        switch.learn(now, ip.src, came_over);
        match switch.lookup(now, ip.dst) {
            Some(link) if link == came_over => {
                self.drop_frame(&frame, here, DropReason::Filtered);
            }
            Some(link) => self.send(node, link, frame, Some(ip), false),
            None => {
                let others: Vec<LinkId> = (0..self.links.len() as u32)
                    .map(LinkId)
                    .filter(|&l| l != came_over && self.links[l.0 as usize].ends.contains(&node))
                    .collect();
                for link in others {
                    self.send(node, link, frame.clone(), Some(ip), false);
                }
            }
        }
    }

    fn translate(&mut self, node: NodeId, came_over: LinkId, mut frame: Frame) {
        let here = [node, node];
        let now = self.now;
        let Ok(ip) = ip::Packet::parse(&frame.bytes) else {
            return self.drop_frame(&frame, here, DropReason::Malformed);
        };
        let onwards = self.routes().link(node, ip.dst);
        let NodeKind::Nat { nat, uplink } = &mut self.nodes[node.0 as usize].kind else { return };
        let uplink = *uplink;
        let translated = if Some(came_over) == uplink {
            nat.inbound(now, &mut frame.bytes, &ip)
        } else if onwards.is_some() && onwards == uplink {
            nat.outbound(now, &mut frame.bytes, &ip)
        } else if onwards.is_some() {
            // From one inside link to another it is a router.
            return self.route(node, came_over, frame);
        } else {
            false
        };
        if !translated {
            return self.drop_frame(&frame, here, DropReason::Nat);
        }
        frame.origin = node;
        self.route(node, came_over, frame);
    }

    fn is_parted(&self, a: NodeId, b: NodeId) -> bool {
        self.parted.iter().any(|&pair| pair == (a, b) || pair == (b, a))
    }

    /// The nodes that a direction of a link leads from and to.
    fn ends(&self, link: LinkId, direction: usize) -> [NodeId; 2] {
        let [a, b] = self.links[link.0 as usize].ends;
        if direction == 0 { [a, b] } else { [b, a] }
    }

    fn drop_on(&mut self, link: LinkId, direction: usize, frame: &Frame, reason: DropReason) {
        self.links[link.0 as usize].pipes[direction].stats.dropped += 1;
        self.drop_frame(frame, self.ends(link, direction), reason);
    }

    fn drop_frame(&mut self, frame: &Frame, ends: [NodeId; 2], reason: DropReason) {
        *self.dropped.entry(reason).or_default() += 1;
        self.tap.record(self.now, What::Dropped(reason), frame, ends, None);
    }
}
