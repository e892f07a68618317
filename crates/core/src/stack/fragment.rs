//! Reassembly of IPv4 and IPv6 fragments (RFC 791 §3.2, RFC 815, RFC 8200 §4.5), bounded in datagrams, bytes, fragments
//! and time; and the identifications of those we send (RFC 6864, RFC 7739).

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;

use usernet_wire::ip::{Packet, Protocol, fill_checksum_v4};

use super::{KeyedHash, Stats};
use crate::config::ReassemblyLimits;
use crate::interface::InterfaceId;
use crate::time::Instant;

/// What a piece and a datagram cost beside their bytes: tree nodes, allocations, the table's entry.
const PIECE_OVERHEAD: usize = 64;
const DATAGRAM_OVERHEAD: usize = 384;

/// Bytes of a first fragment that are kept, for the header and for what a Time Exceeded quotes.
const KEPT: usize = 1280;

/// Datagrams that time out in one call.
const TIMEOUTS_PER_CALL: usize = 256;

/// What fragments of one datagram have in common (RFC 791 §3.2; RFC 8200 §4.5 leaves the protocol out), and where they
/// came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    interface: InterfaceId,
    src: IpAddr,
    dst: IpAddr,
    ident: u32,
    protocol: Option<Protocol>,
}

/// A datagram of which a part is there.
#[derive(Debug)]
struct Datagram {
    deadline: Instant,
    serial: u64,
    /// The fragment at offset 0: what it says, and its first bytes.
    first: Option<(Packet, Vec<u8>)>,
    /// By offset, never overlapping.
    pieces: BTreeMap<u16, Box<[u8]>>,
    /// Length of the data, once the last fragment is there.
    total: Option<usize>,
    received: usize,
    /// What it is charged with.
    memory: usize,
    /// Every ECN codepoint seen, a bit each.
    ecn: u8,
    /// It is beyond repair: nothing of it is kept, and what still comes is dropped (RFC 5722 §4).
    dead: bool,
}

/// The datagrams that wait for fragments.
#[derive(Debug)]
pub(super) struct Reassembler {
    limits: ReassemblyLimits,
    table: HashMap<Key, Datagram, KeyedHash>,
    order: BTreeMap<(Instant, u64), Key>,
    memory: usize,
    serial: u64,
}

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}

impl Reassembler {
    pub(super) fn new(limits: ReassemblyLimits, hash: KeyedHash) -> Self {
        Self {
            limits,
            table: HashMap::with_hasher(hash),
            order: BTreeMap::new(),
            memory: 0,
            serial: 0,
        }
    }

    /// Bytes charged, bookkeeping included.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Datagrams that wait.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// When the next one times out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.order.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes a fragment; gives the whole packet when it was the last that was missing.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        bytes: &[u8],
        stats: &mut Stats,
    ) -> Option<Vec<u8>> {
        let fragment = packet.fragment?;
        stats.ip_reasm_reqds += 1;
        let data = &bytes[packet.payload_offset..packet.payload_offset + packet.payload_len];
        let (v4, at) = (packet.src.is_ipv4(), usize::from(fragment.offset));
        let key = Key {
            interface,
            src: packet.src,
            dst: packet.dst,
            ident: fragment.ident,
            protocol: v4.then_some(packet.protocol),
        };
        if !self.table.contains_key(&key) {
            if self.table.len() >= self.limits.max_datagrams.max(1) {
                self.evict_one(None, stats);
            }
            self.make_room(DATAGRAM_OVERHEAD, None, stats);
            self.begin(now, key, v4);
        }
        let datagram = self.table.get_mut(&key)?;
        if datagram.dead {
            stats.ip_frag_drops += 1;
            return None;
        }
        // RFC 8200 §4.5: exact duplicates, which networks make, are dropped without harm.
        if let Some(piece) = datagram.pieces.get(&fragment.offset)
            && **piece == *data
            && fragment.more == (datagram.total != Some(at + data.len()))
        {
            stats.ip_frag_drops += 1;
            return None;
        }
        if !datagram.fits(at, data.len(), fragment.more) {
            // RFC 5722 §4, RFC 8200 §4.5: overlap kills the datagram, with what is there of it and what still comes.
            // Over IPv4 too, as in Linux since 2018 (CVE-2018-5391): nobody overlaps who means well.
            stats.ip_reasm_overlaps += 1;
            self.kill(key, stats);
            return None;
        }
        if datagram.pieces.len() >= self.limits.max_fragments {
            self.kill(key, stats);
            return None;
        }
        let kept = packet.payload_offset.max(KEPT).min(bytes.len());
        let charge = PIECE_OVERHEAD + data.len() + if fragment.offset == 0 { kept } else { 0 };
        self.make_room(charge, Some(key), stats);
        if self.memory + charge > self.limits.max_bytes {
            self.kill(key, stats);
            return None;
        }
        self.memory += charge;
        let datagram = self.table.get_mut(&key)?;
        datagram.memory += charge;
        if fragment.offset == 0 {
            datagram.first = Some((*packet, bytes[..kept].to_vec()));
        }
        if !fragment.more {
            datagram.total = Some(at + data.len());
        }
        datagram.ecn |= 1 << (packet.traffic_class & 3);
        datagram.received += data.len();
        datagram.pieces.insert(fragment.offset, data.into());
        if datagram.total != Some(datagram.received) {
            return None;
        }
        let whole = datagram.assemble();
        self.remove(&key);
        if whole.is_some() {
            stats.ip_reasm_oks += 1;
        } else {
            stats.ip_reasm_fails += 1;
        }
        whole
    }

    fn begin(&mut self, now: Instant, key: Key, v4: bool) {
        let timeout = if v4 { self.limits.timeout_v4 } else { self.limits.timeout_v6 };
        let (deadline, serial) = (now + timeout, self.serial);
        self.serial += 1;
        self.memory += DATAGRAM_OVERHEAD;
        self.order.insert((deadline, serial), key);
        let datagram = Datagram {
            deadline,
            serial,
            first: None,
            pieces: BTreeMap::new(),
            total: None,
            received: 0,
            memory: DATAGRAM_OVERHEAD,
            ecn: 0,
            dead: false,
        };
        self.table.insert(key, datagram);
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.table.remove(key)?;
        self.order.remove(&(datagram.deadline, datagram.serial));
        self.memory -= datagram.memory;
        Some(datagram)
    }

    /// Gives up on a datagram, and remembers to until its time is over.
    fn kill(&mut self, key: Key, stats: &mut Stats) {
        let Some(datagram) = self.table.get_mut(&key) else { return };
        stats.ip_reasm_fails += 1;
        stats.ip_frag_drops += 1 + datagram.pieces.len() as u64;
        self.memory -= datagram.memory - DATAGRAM_OVERHEAD;
        datagram.memory = DATAGRAM_OVERHEAD;
        datagram.dead = true;
        datagram.first = None;
        datagram.pieces = BTreeMap::new();
    }

    /// Evicts until `charge` bytes fit, or nothing but `keep` is left.
    fn make_room(&mut self, charge: usize, keep: Option<Key>, stats: &mut Stats) {
        while self.memory + charge > self.limits.max_bytes && self.evict_one(keep, stats) {}
    }

    /// Drops the datagram that would time out first.
    fn evict_one(&mut self, keep: Option<Key>, stats: &mut Stats) -> bool {
        // `keep` is at most one of the first two.
        let Some(key) = self.order.values().find(|key| Some(**key) != keep).copied() else {
            return false;
        };
        if let Some(datagram) = self.remove(&key)
            && !datagram.dead
        {
            stats.ip_reasm_fails += 1;
            stats.ip_frag_drops += datagram.pieces.len() as u64;
        }
        stats.ip_reasm_evicted += 1;
        true
    }

    /// Drops what timed out, a bounded number. Gives the beginnings of those whose first fragment came: their senders are
    /// told (RFC 792, RFC 8200 §4.5).
    pub(super) fn expire(
        &mut self,
        now: Instant,
        stats: &mut Stats,
    ) -> Vec<(InterfaceId, Vec<u8>)> {
        let mut told = Vec::new();
        for _ in 0..TIMEOUTS_PER_CALL {
            let Some((&(at, _), &key)) = self.order.first_key_value() else { break };
            if at > now {
                break;
            }
            let Some(datagram) = self.remove(&key) else { break };
            if datagram.dead {
                continue;
            }
            stats.ip_reasm_timeout += 1;
            stats.ip_reasm_fails += 1;
            stats.ip_frag_drops += datagram.pieces.len() as u64;
            told.extend(datagram.first.map(|(_, bytes)| (key.interface, bytes)));
        }
        told
    }
}

impl Datagram {
    /// Whether a piece neither overlaps what is there nor contradicts it.
    fn fits(&self, at: usize, len: usize, more: bool) -> bool {
        let end = at + len;
        let before = self.pieces.range(..=at as u16).next_back();
        if before.is_some_and(|(start, piece)| usize::from(*start) + piece.len() > at) {
            return false;
        }
        let after = self.pieces.range(at as u16..).next();
        if after.is_some_and(|(start, _)| usize::from(*start) < end.max(at + 1)) {
            return false;
        }
        let last_end = self
            .pieces
            .last_key_value()
            .map_or(0, |(start, piece)| usize::from(*start) + piece.len());
        match self.total {
            // There is one last fragment, and nothing lies past it.
            Some(total) => more && end <= total,
            None => more || end >= last_end,
        }
    }

    /// The whole packet.
    fn assemble(&self) -> Option<Vec<u8>> {
        let (packet, first) = self.first.as_ref()?;
        let header_len = packet.reassembled_header_len();
        let mut whole = Vec::with_capacity(header_len + self.received);
        whole.resize(header_len, 0);
        packet.emit_reassembled_header(first, self.received, &mut whole).ok()?;
        // RFC 3168 §5.3: congestion that any fragment met is congestion of the datagram; together with a fragment that
        // could not have been marked it is a forgery.
        if self.ecn & 1 << 3 != 0 {
            if self.ecn & 1 != 0 {
                return None;
            }
            match packet.src {
                IpAddr::V4(_) => {
                    whole[1] |= 3;
                    fill_checksum_v4(&mut whole);
                }
                IpAddr::V6(_) => whole[1] |= 0x30,
            }
        }
        for piece in self.pieces.values() {
            whole.extend_from_slice(piece);
        }
        Some(whole)
    }
}

/// Buckets of the identification counters.
const IDENT_BUCKETS: usize = 1024;

/// Identifications of the fragmented datagrams we send: per source, destination and protocol a keyed start, then counting
/// up, so that none comes again soon (RFC 6864 §4.3) and none can be foretold (RFC 7739 §5).
#[derive(Debug)]
pub(super) struct Idents {
    hash: KeyedHash,
    counters: Box<[u32; IDENT_BUCKETS]>,
}

impl Idents {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { hash, counters: Box::new([0; IDENT_BUCKETS]) }
    }

    /// The next identification; IPv4 uses its lower 16 bits.
    pub(super) fn next(&mut self, src: IpAddr, dst: IpAddr, protocol: Protocol) -> u32 {
        let hash = self.hash.hash_one(("ident", src, dst, protocol.0));
        let counter = &mut self.counters[hash as usize % IDENT_BUCKETS];
        *counter = counter.wrapping_add(1);
        ((hash >> 32) as u32).wrapping_add(*counter)
    }
}
