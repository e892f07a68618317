//! A learning bridge (IEEE 802.1D §7): interfaces that are its ports have no addresses and no protocols; frames go from one
//! to the others. There is no spanning tree: ports must not form a loop.

use std::collections::HashMap;

use usernet_wire::ethernet::{EtherType, HEADER_LEN, MacAddr, Repr};
use usernet_wire::ip::{Packet, Protocol};

use super::forward::Way;
use super::{KeyedHash, Stack};
use crate::config::BridgeConfig;
use crate::frame::{RxChecksum, RxFrame};
use crate::interface::InterfaceId;
use crate::time::{Duration, Instant};

/// Ethernet header with a VLAN tag, bytes beyond the MTU.
const LINK_HEADER: usize = 18;

/// What a bridge knows.
#[derive(Debug)]
pub(super) struct Bridge {
    config: BridgeConfig,
    table: HashMap<MacAddr, Station, KeyedHash>,
    /// When the table was last searched for what is too old.
    swept: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Station {
    port: InterfaceId,
    heard: Instant,
}

/// What has passed a port of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BridgePortStats {
    /// Frames that came in.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames that were sent out.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Of those that came in: sent to all others, because they were for many, or nobody knew where their station is.
    pub flooded: u64,
    /// Of those that came in: for a station on the same port, or for bridges alone (IEEE 802.1D §7.12.6).
    pub filtered: u64,
    /// Of those that came in: no frames.
    pub malformed: u64,
    /// Of those to be sent out: longer than the port carries, or beyond what may wait.
    pub dropped: u64,
}

/// A station that a bridge knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeStation {
    /// Its hardware address.
    pub mac: MacAddr,
    /// Behind which port it was heard last.
    pub port: InterfaceId,
    /// How long ago.
    pub age: Duration,
}

impl Bridge {
    pub(super) fn new(config: BridgeConfig, hash: KeyedHash) -> Self {
        Self { config, table: HashMap::with_hasher(hash), swept: Instant::ZERO }
    }

    /// Notes behind which port a station is. A full table learns no more until somebody in it was silent for long enough:
    /// what is for stations that are not in it goes to all.
    fn learn(&mut self, now: Instant, mac: MacAddr, port: InterfaceId) {
        let ageing = self.config.ageing;
        if let Some(station) = self.table.get_mut(&mac) {
            *station = Station { port, heard: now };
            return;
        }
        if self.table.len() >= self.config.max_entries {
            // Not for every frame of a flood of made-up addresses.
            if now.since(self.swept) < Duration::from_secs(1).min(ageing) {
                return;
            }
            self.swept = now;
            self.table.retain(|_, station| now.since(station.heard) < ageing);
            if self.table.len() >= self.config.max_entries {
                return;
            }
        }
        self.table.insert(mac, Station { port, heard: now });
    }

    fn lookup(&self, now: Instant, mac: MacAddr) -> Option<InterfaceId> {
        let station = self.table.get(&mac)?;
        (now.since(station.heard) < self.config.ageing).then_some(station.port)
    }

    /// Forgets who is behind a port.
    pub(super) fn forget(&mut self, port: InterfaceId) {
        self.table.retain(|_, station| station.port != port);
    }
}

/// The IP packet in a frame, if it is a whole one, and where it begins.
fn ip_packet(frame: &[u8]) -> Option<(Packet, usize)> {
    let (header, len) = Repr::parse_any_vlan(frame).ok()?;
    let is_ip = matches!(header.ethertype, EtherType::IPV4 | EtherType::IPV6);
    let packet = Packet::parse(&frame[len..]).ok().filter(|p| is_ip && p.fragment.is_none())?;
    Some((packet, len))
}

/// Whether frames to that address stay on their segment (IEEE 802.1D table 7-10: spanning tree, pauses, LLDP).
fn is_of_the_link(mac: MacAddr) -> bool {
    mac.0[..5] == [0x01, 0x80, 0xc2, 0, 0] && mac.0[5] < 0x10
}

impl Stack {
    /// Takes a frame that came in through a port.
    pub(super) fn bridge_input(&mut self, now: Instant, arrived: InterfaceId, frame: &RxFrame) {
        if frame.gso_size != 0
            && let Some((packet, header_len)) = ip_packet(&frame.data)
            && packet.protocol == Protocol::UDP
        {
            return self.bridge_merged(now, arrived, frame, &packet, header_len);
        }
        let Some(stats) = self.port_stats(arrived) else { return };
        stats.frames_in += 1;
        stats.bytes_in += frame.data.len() as u64;
        // What follows the addresses is none of a bridge's business: there are frames without a type (IEEE 802.3).
        let addresses = frame.data.get(..HEADER_LEN).and_then(<[u8]>::first_chunk::<12>);
        let Some([d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5]) = addresses.copied() else {
            stats.malformed += 1;
            return;
        };
        let (dst, src) = (MacAddr([d0, d1, d2, d3, d4, d5]), MacAddr([s0, s1, s2, s3, s4, s5]));
        if !src.is_unicast() {
            stats.malformed += 1;
            return;
        }
        if is_of_the_link(dst) {
            stats.filtered += 1;
            return;
        }
        self.bridge.learn(now, src, arrived);
        let known = if dst.is_multicast() { None } else { self.bridge.lookup(now, dst) };
        match known {
            Some(port) if port == arrived => {
                if let Some(stats) = self.port_stats(arrived) {
                    stats.filtered += 1;
                }
            }
            Some(port) => self.bridge_output(port, frame),
            None => {
                if let Some(stats) = self.port_stats(arrived) {
                    stats.flooded += 1;
                }
                let others = |(id, i): (InterfaceId, &super::route::Interface)| {
                    (i.bridged.is_some() && i.up && id != arrived).then_some(id)
                };
                let ports: smallvec::SmallVec<[InterfaceId; 16]> =
                    self.interfaces.iter().filter_map(others).collect();
                for port in ports {
                    self.bridge_output(port, frame);
                }
            }
        }
    }

    /// Takes datagrams that a device merged, one by one.
    fn bridge_merged(
        &mut self,
        now: Instant,
        arrived: InterfaceId,
        frame: &RxFrame,
        packet: &Packet,
        header_len: usize,
    ) {
        let (header, bytes) = frame.data.split_at(header_len);
        let merged = match frame.merged(packet, header_len) {
            Ok(Some(merged)) => merged,
            Ok(None) => {
                let one = RxFrame { gso_size: 0, ..frame.clone() };
                return self.bridge_input(now, arrived, &one);
            }
            Err(_) => {
                if let Some(stats) = self.port_stats(arrived) {
                    stats.malformed += 1;
                }
                return;
            }
        };
        for index in 0..merged.count() {
            let mut data = header.to_vec();
            data.resize(header_len + merged.len(index), 0);
            merged.write(bytes, index, &mut data[header_len..]);
            let one = RxFrame { checksum: RxChecksum::Trusted, ..RxFrame::new(data) };
            self.bridge_input(now, arrived, &one);
        }
    }

    fn port_stats(&mut self, port: InterfaceId) -> Option<&mut BridgePortStats> {
        self.interfaces.get_mut(port)?.bridged.as_mut()
    }

    /// Sends a frame out through a port. What a device vouched for, or merged, is finished or cut where the port's device
    /// does not do so.
    fn bridge_output(&mut self, port: InterfaceId, frame: &RxFrame) {
        let Some(interface) = self.interfaces.get(port) else { return };
        let (mtu, offload) = (usize::from(interface.config.mtu), interface.config.offload);
        let vouched = frame.checksum == RxChecksum::Trusted || frame.gso_size != 0;
        let packet = if vouched { ip_packet(&frame.data) } else { None };
        let Some((packet, header_len)) = packet else {
            let fits = frame.data.len() <= mtu + LINK_HEADER;
            return self.send_bridged(
                port,
                fits,
                &Way { interface: port, header: &[] },
                |stack, way| stack.pass_on(way, frame.data.to_vec(), None, None),
            );
        };
        let (header, rest) = frame.data.split_at(header_len);
        // What the frame carries past the packet is padding.
        let bytes = rest[..packet.payload_offset + packet.payload_len].to_vec();
        let way = Way { interface: port, header };
        let merged = frame.gso_size != 0 && packet.protocol == Protocol::TCP && bytes.len() > mtu;
        let fits = if merged {
            super::forward::merged_segment_len(&packet, &bytes, frame.gso_size) <= mtu
        } else {
            bytes.len() <= mtu
        };
        self.send_bridged(port, fits, &way, |stack, way| {
            if merged {
                stack.forward_merged(way, &packet, bytes, frame.gso_size, offload)
            } else {
                stack.finish_and_pass_on(way, &packet, bytes, offload)
            }
        });
    }

    /// Sends, if it fits, and counts what came of it. `send` says how many frames and bytes it queued, and how many found no
    /// room.
    fn send_bridged(
        &mut self,
        port: InterfaceId,
        fits: bool,
        way: &Way<'_>,
        send: impl FnOnce(&mut Self, &Way<'_>) -> Passed,
    ) {
        let passed =
            if fits { send(self, way) } else { Passed { refused: 1, ..Passed::default() } };
        let Some(stats) = self.port_stats(port) else { return };
        stats.frames_out += passed.frames;
        stats.bytes_out += passed.bytes;
        stats.dropped += passed.refused;
    }

    /// The ports of the bridge, with what has passed them.
    pub fn bridge_ports(&self) -> impl Iterator<Item = (InterfaceId, BridgePortStats)> + '_ {
        self.interfaces.iter().filter_map(|(id, i)| Some((id, i.bridged?)))
    }

    /// The stations that the bridge knows, in no order.
    pub fn bridge_table(&self, now: Instant) -> Vec<BridgeStation> {
        let ageing = self.bridge.config.ageing;
        let stations = self.bridge.table.iter().map(|(mac, station)| {
            let age = now.since(station.heard);
            BridgeStation { mac: *mac, port: station.port, age }
        });
        stations.filter(|station| station.age < ageing).collect()
    }
}

/// What became of a packet that was to be passed on, maybe in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Frames that found no room.
    pub(super) refused: u64,
}

impl std::ops::AddAssign for Passed {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.refused += other.refused;
    }
}
