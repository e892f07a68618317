//! What a shard's lock guards, and one bounded turn of the loop that drives it: receive, timers, transmit, events.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Instant as Clock;

use slotmap::SecondaryMap;
use usernet_core::{
    Coalescing, Config, Event, GsoKind, Instant, InterfaceId, ListenerId, RxChecksum, RxFrame,
    Secrets, SocketId, Stack, Transmit,
};
use usernet_device::{Device, Gso, Medium, Offload, Received, RxData, TxChecksum, TxFrame};

#[cfg(unix)]
use crate::park::Interest;
use crate::slab::{self, Pool};

/// Most frames a turn takes in, and sends, before it lets go of the lock.
pub(crate) const BUDGET: usize = 64;

/// Most bytes that a turn on an event loop takes in, but for the rest of a batch: about what JavaScript takes in a turn, so
/// that what is more waits in the device, and not in receive queues that fill and close their windows.
const LOOP_BYTES: u64 = 1_000_000;

/// Frames taken in before the stack may answer: few, so that the peer goes on while we work; not one, so that one
/// acknowledgement answers several.
const RX_BATCH: usize = 16;

/// As many times more frames are taken from a device whose segments are merged here: they are small, and together one pass.
const MERGED_SHARE: usize = 4;

/// Longest header before a packet: Ethernet's with a VLAN tag.
const MAX_LINK_HEADER: usize = 18;

/// Longest frames that are merged with others: of longer ones too few fit one packet.
const MAX_COALESCED: usize = 16_384;

/// Ethernet's header, as the stack writes it: without tags.
const ETHERNET_HEADER: usize = 14;

/// Most frames that wait for a device without room, while others (it is not the only one) go on. Further ones are
/// dropped, as at the end of any interface's queue.
const MAX_PENDING: usize = 64;

/// Whether the shard works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Closed,
    /// A panic came out of the core or a device; its message.
    Failed(String),
}

/// What threads that block on one connection or listener wait for.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    pub(crate) condvar: Condvar,
    /// How many wait. Changes only under the lock; telling nobody would still cost a system call.
    pub(crate) waiting: AtomicUsize,
    /// Where threads wait for any of several, in as many shards.
    pub(crate) gate: OnceLock<Arc<Gate>>,
}

/// Where threads wait for listeners of several shards: no condvar goes with more than one lock.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    waiting: AtomicUsize,
    /// How often there was something.
    times: Mutex<u64>,
    condvar: Condvar,
}

impl Gate {
    /// Calls `attempt`, which looks everywhere, until it is ready, and waits in between.
    pub(crate) fn wait<R>(&self, mut attempt: impl FnMut() -> Poll<R>) -> R {
        // Whoever brings something about after `attempt` looked there, under that shard's lock, knows that somebody waits.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let result = loop {
            let before = *self.times.lock().unwrap_or_else(PoisonError::into_inner);
            if let Poll::Ready(result) = attempt() {
                break result;
            }
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            while *times == before {
                times = self.condvar.wait(times).unwrap_or_else(PoisonError::into_inner);
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn open(&self) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.condvar.notify_all();
    }
}

impl Waiter {
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
            || self.gate.get().is_some_and(|gate| gate.waiting.load(Ordering::SeqCst) > 0)
    }

    /// Tells everyone who waits.
    pub(crate) fn notify_all(&self) {
        self.condvar.notify_all();
        if let Some(gate) = self.gate.get() {
            gate.open();
        }
    }
}

/// Counters of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Frames received from devices.
    pub frames_in: u64,
    /// Frames given to devices.
    pub frames_out: u64,
    /// Times a device had no room for a frame, which was kept and offered again.
    pub tx_blocked: u64,
    /// Frames dropped because a device had no room for long, or was gone.
    pub tx_dropped: u64,
    /// Devices removed because they failed.
    pub devices_lost: u64,
    /// Receive slabs that exist, 1 MiB each.
    pub slabs: usize,
    /// Frames copied because unread data pinned every slab.
    pub slab_copies: u64,
    /// Turns that an event loop drove and in which something came.
    pub loop_turns: u64,
    /// Times the packet thread took over from an event loop that let frames wait.
    pub take_overs: u64,
    /// Calls of an event loop whose sending waited for the end of its turn.
    pub gathered: u64,
}

impl ShardStats {
    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        self.tx_blocked += other.tx_blocked;
        self.tx_dropped += other.tx_dropped;
        self.devices_lost += other.devices_lost;
        self.slabs += other.slabs;
        self.slab_copies += other.slab_copies;
        self.loop_turns += other.loop_turns;
        self.take_overs += other.take_overs;
        self.gathered += other.gathered;
    }
}

/// A frame that a device had no room for.
struct Pending {
    bytes: Vec<u8>,
    checksum: Option<TxChecksum>,
    gso: Option<Gso>,
}

/// A device and what is known of it.
struct Port {
    id: InterfaceId,
    device: Box<dyn Device>,
    max_frame: usize,
    offload: Offload,
    /// Bytes before the IP header.
    link_header: usize,
    /// Whether what comes one after the other may be merged: it does not do so itself.
    coalesces: bool,
    /// It was taken down: frames to it are lost.
    down: bool,
    /// Frames that it had no room for, in order.
    pending: VecDeque<Pending>,
}

/// Why no more frames were taken from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As many came as were asked for.
    Enough,
    /// There are none.
    Empty,
    /// It failed.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    Blocked,
    Gone,
}

impl Port {
    /// Whether a segment is to be cut here.
    fn cuts(&self, transmit: &Transmit<'_>) -> bool {
        transmit.gso.is_some_and(|gso| match gso.kind {
            GsoKind::Tcp4 => !self.offload.tso4,
            GsoKind::Tcp6 => !self.offload.tso6,
            GsoKind::Udp4 | GsoKind::Udp6 => !self.offload.uso,
        })
    }

    /// Sends a frame, or keeps it where the device has no room; `blocked` counts devices that have none any more.
    fn offer(&mut self, frame: &TxFrame<'_>, stats: &mut ShardStats, blocked: &mut usize) -> Sent {
        let sent =
            if self.pending.is_empty() { send(&mut *self.device, frame) } else { Sent::Blocked };
        match sent {
            Sent::Yes => stats.frames_out += 1,
            Sent::Blocked => {
                if self.pending.is_empty() {
                    *blocked += 1;
                    stats.tx_blocked += 1;
                }
                if self.pending.len() < MAX_PENDING {
                    let (checksum, gso) = (frame.checksum, frame.gso);
                    self.pending.push_back(Pending { bytes: frame.pieces.concat(), checksum, gso });
                } else {
                    stats.tx_dropped += 1;
                }
            }
            Sent::Gone => stats.tx_dropped += 1,
        }
        sent
    }

    /// Offers what is pending; whether the device takes frames now.
    fn flush(&mut self) -> Sent {
        while let Some(p) = self.pending.front() {
            let whole = TxFrame::of(&[&p.bytes]);
            let frame = TxFrame { checksum: p.checksum, gso: p.gso, ..whole };
            match send(&mut *self.device, &frame) {
                Sent::Yes => self.pending.pop_front(),
                other => return other,
            };
        }
        Sent::Yes
    }
}

fn send(device: &mut dyn Device, frame: &TxFrame<'_>) -> Sent {
    loop {
        match device.send(frame) {
            Ok(()) => return Sent::Yes,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Sent::Blocked,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Sent::Gone,
        }
    }
}

/// What the lock guards.
pub(crate) struct Inner {
    pub(crate) stack: Stack,
    pub(crate) state: State,
    /// Whether events are left for `poll_event`, and the doorbell is rung for them.
    pub(crate) doorbell: bool,
    /// Whether the doorbell was rung for the events that wait.
    rung: bool,
    ports: Vec<Port>,
    pool: Pool,
    /// Where segments are cut.
    cut: Vec<u8>,
    /// Bytes of frames received.
    bytes_in: u64,
    /// Bytes of frames offered to devices.
    bytes_out: u64,
    /// Frames received and bytes moved when [`Inner::moved`] was last asked.
    moved: (u64, u64),
    trimmed: Instant,
    pub(crate) sockets: SecondaryMap<SocketId, Arc<Waiter>>,
    pub(crate) listeners: SecondaryMap<ListenerId, Arc<Waiter>>,
    /// Connections that someone waits to see flushed: no event tells of it.
    flushing: Vec<(SocketId, Arc<Waiter>)>,
    /// When the packet thread will look again at the latest; zero while it is awake, when it looks anyway.
    pub(crate) asleep_until: Instant,
    /// How often the packet thread has looked.
    pub(crate) turns: u64,
    /// How many wait for it to look.
    pub(crate) look_waiters: usize,
    /// Whether what the packet thread waits for in the devices is not what it went to sleep for: one is gone, or is to
    /// say when it has room.
    pub(crate) devices_changed: bool,
    /// How often devices were added or removed.
    pub(crate) devices_generation: u64,
    /// Whether a call was made on the stack since the packet thread last looked.
    pub(crate) called: bool,
    pub(crate) stats: ShardStats,
    /// A stack that a panic left in an unknown state; kept so that dropping it cannot panic where that would abort.
    wreck: Option<Stack>,
}

/// What is to be told after the lock was let go.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) waiters: Vec<Arc<Waiter>>,
    pub(crate) ring: bool,
}

impl Inner {
    pub(crate) fn new(stack: Stack) -> Self {
        Self {
            stack,
            state: State::Running,
            doorbell: false,
            rung: false,
            ports: Vec::new(),
            pool: Pool::new(),
            cut: Vec::new(),
            bytes_in: 0,
            bytes_out: 0,
            moved: (0, 0),
            trimmed: Instant::ZERO,
            sockets: SecondaryMap::new(),
            listeners: SecondaryMap::new(),
            flushing: Vec::new(),
            asleep_until: Instant::ZERO,
            turns: 0,
            look_waiters: 0,
            devices_changed: false,
            devices_generation: 0,
            called: false,
            stats: ShardStats::default(),
            wreck: None,
        }
    }

    pub(crate) fn add_port(&mut self, id: InterfaceId, device: Box<dyn Device>) {
        let (max_frame, coalesces) = lengths(&*device);
        self.devices_generation += 1;
        let offload = device.info().offload;
        let link_header = if device.medium() == Medium::Ethernet { ETHERNET_HEADER } else { 0 };
        let pending = VecDeque::new();
        let down = false;
        self.ports.push(Port {
            id,
            device,
            max_frame,
            offload,
            link_header,
            coalesces,
            down,
            pending,
        });
    }

    pub(crate) fn remove_port(&mut self, id: InterfaceId) -> Option<Box<dyn Device>> {
        let at = self.ports.iter().position(|p| p.id == id)?;
        self.devices_generation += 1;
        Some(self.ports.remove(at).device)
    }

    /// Calls `change` with the device of an interface, whose longest frame may be another afterwards.
    pub(crate) fn change_device<R>(
        &mut self,
        id: InterfaceId,
        change: impl FnOnce(&mut dyn Device) -> R,
    ) -> Option<R> {
        let port = self.ports.iter_mut().find(|p| p.id == id)?;
        let changed = change(&mut *port.device);
        (port.max_frame, port.coalesces) = lengths(&*port.device);
        Some(changed)
    }

    /// Takes the link of an interface down or up: nothing is sent while it is down.
    pub(crate) fn set_down(&mut self, id: InterfaceId, down: bool) {
        if let Some(port) = self.ports.iter_mut().find(|p| p.id == id) {
            port.down = down;
            self.stats.tx_dropped += port.pending.len() as u64;
            port.pending.clear();
        }
    }

    /// Removes every device and gives the memory for receiving back.
    pub(crate) fn remove_ports(&mut self) -> Vec<Box<dyn Device>> {
        self.pool = Pool::new();
        self.devices_generation += 1;
        self.ports.drain(..).map(|p| p.device).collect()
    }

    /// Receives, runs timers and transmits, up to `budget` frames each way; whether more waits.
    pub(crate) fn turn(&mut self, now: Instant, budget: usize) -> bool {
        let mut left = budget;
        loop {
            let batch = left.min(RX_BATCH);
            let (received, more) = self.receive(now, batch);
            left = left.saturating_sub(received);
            self.timers(now);
            let transmit_left = self.transmit(now, budget);
            let due = self.stack.poll_timeout().is_some_and(|at| at <= now);
            if !more {
                return transmit_left || due;
            }
            if left == 0 {
                return true;
            }
        }
    }

    /// A turn on an event loop: up to `budget` frames or [`LOOP_BYTES`] in, and what follows from them out; whether more is to be sent, and
    /// whether frames are left that no descriptor tells of. (For those of the others the loop comes again by itself.)
    pub(crate) fn turn_on_loop(&mut self, now: Instant, budget: usize) -> (bool, bool) {
        let mut left = budget;
        let enough = self.bytes_in + LOOP_BYTES;
        loop {
            let (received, more) = self.receive(now, left.min(RX_BATCH));
            self.stats.loop_turns += u64::from(received > 0 && left == budget);
            left = left.saturating_sub(received);
            self.timers(now);
            let transmit_left = self.transmit(now, budget);
            if transmit_left || !more || left == 0 || self.bytes_in >= enough {
                return (transmit_left, more && self.may_have_silent_frames());
            }
        }
    }

    /// Frames received, and bytes received and sent, since this was last asked.
    pub(crate) fn moved(&mut self) -> (u64, u64) {
        let now = (self.stats.frames_in, self.bytes_in + self.bytes_out);
        let before = std::mem::replace(&mut self.moved, now);
        (now.0 - before.0, now.1 - before.1)
    }

    /// Whether frames may wait that no descriptor tells of.
    fn may_have_silent_frames(&self) -> bool {
        #[cfg(unix)]
        return self.ports.iter().any(|p| p.device.fd().is_none() || p.device.has_frames());
        #[cfg(not(unix))]
        !self.ports.is_empty()
    }

    /// A turn of the packet thread while an event loop receives: runs timers and sends; whether there is more to do at
    /// once.
    pub(crate) fn turn_standing_by(&mut self, now: Instant, budget: usize) -> bool {
        if self.ports.iter().any(|p| p.device.poll_timeout().is_some()) {
            // Frames that a device delays come when it is time, not when a descriptor says so.
            return self.turn(now, budget);
        }
        self.timers(now);
        self.transmit(now, budget) || self.stack.poll_timeout().is_some_and(|at| at <= now)
    }

    /// Whether a device had no room for what waits to be sent.
    pub(crate) fn is_blocked(&self) -> bool {
        self.ports.iter().any(|p| !p.pending.is_empty())
    }

    /// Takes up to `budget` frames from the devices, by turns; how many, and whether there may be more.
    fn receive(&mut self, now: Instant, budget: usize) -> (usize, bool) {
        let mut total = 0;
        let mut more = false;
        let mut at = 0;
        while at < self.ports.len() {
            // Each device gets a fair part of what is left, at least one frame.
            let share = budget.saturating_sub(total).div_ceil(self.ports.len() - at).max(1);
            let share = if self.ports[at].coalesces { share * MERGED_SHARE } else { share };
            let (frames, end) = self.receive_from(now, at, share);
            total += frames;
            while let Some((id, packet)) = self.stack.take_aside() {
                if let Some(port) = self.ports.iter_mut().find(|p| p.id == id) {
                    port.device.hand_back(&packet);
                }
            }
            if end == End::Gone {
                self.lose(now, at);
            } else {
                more |= end == End::Enough;
                at += 1;
            }
        }
        if total == 0 {
            self.look_at_links(now);
        }
        (total, more)
    }

    /// Takes up to `budget` frames from one device; how many, and why no more. Where the device does not merge segments,
    /// those that follow one another are merged here.
    fn receive_from(&mut self, now: Instant, at: usize, budget: usize) -> (usize, End) {
        let Self { ports, pool, stack, stats, bytes_in, .. } = self;
        let port = &mut ports[at];
        // A run of segments at the beginning of the pool's buffer, and its length, bytes.
        let mut run: Option<(Coalescing, usize)> = None;
        let mut frames = 0;
        let end = loop {
            if frames == budget {
                break End::Enough;
            }
            let behind = run.as_ref().map_or(0, |(_, len)| *len);
            if behind > 0 && pool.behind(behind, port.max_frame).is_none() {
                finish(now, stack, port.id, pool, run.take());
                continue;
            }
            let (held, buffer) = match behind {
                0 => (&mut [][..], pool.buffer(port.max_frame)),
                _ => pool.behind(behind, port.max_frame).unwrap_or_default(),
            };
            let received = match port.device.recv(buffer) {
                Ok(received) => received,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break End::Empty,
                Err(e) if e.kind() == ErrorKind::Interrupted => {
                    frames += 1;
                    continue;
                }
                Err(_) => break End::Gone,
            };
            frames += 1;
            stats.frames_in += 1;
            let RxData::Buffer(len) = received.data else {
                finish(now, stack, port.id, pool, run.take());
                let frame = rx_frame(received, pool);
                *bytes_in += frame.data.len() as u64;
                stack.handle_frame(now, port.id, frame);
                continue;
            };
            *bytes_in += len as u64;
            let checksum = rx_checksum(&received);
            let merges = port.coalesces && received.gso_size == 0;
            if let Some((run, run_len)) = &mut run
                && merges
                && let Some(payload) = run.append(held, &buffer[..len], checksum)
            {
                let added = payload.len();
                pool.held(*run_len + len).copy_within(*run_len + payload.start.., *run_len);
                *run_len += added;
            } else {
                finish(now, stack, port.id, pool, run.take());
                // It is where the buffer begins now.
                let first = pool.held(len);
                run = merges
                    .then(|| stack.coalescing(now, port.id, first, checksum))
                    .flatten()
                    .map(|run| (run, len));
                if run.is_none() {
                    let frame = rx_frame(received, pool);
                    stack.handle_frame(now, port.id, frame);
                }
            }
            if run.as_ref().is_some_and(|(run, _)| run.has_ended()) {
                finish(now, stack, port.id, pool, run.take());
            }
        };
        finish(now, stack, port.id, pool, run.take());
        (frames, end)
    }

    /// Takes in that somebody else took the link of a device down or up.
    fn look_at_links(&mut self, now: Instant) {
        for at in 0..self.ports.len() {
            if let Some(up) = self.ports[at].device.link_change() {
                let id = self.ports[at].id;
                self.set_down(id, !up);
                // Unknown to the stack only if it was removed there by hand.
                let _ = self.stack.set_link(now, id, up);
            }
        }
    }

    fn timers(&mut self, now: Instant) {
        if self.stack.poll_timeout().is_some_and(|at| at <= now) {
            self.stack.handle_timeout(now);
        }
    }

    /// Sends up to `budget` frames; whether there may be more that a device would take.
    pub(crate) fn transmit(&mut self, now: Instant, budget: usize) -> bool {
        let mut blocked = 0;
        let mut at = 0;
        while at < self.ports.len() {
            match self.ports[at].flush() {
                Sent::Yes => at += 1,
                Sent::Blocked => {
                    blocked += 1;
                    at += 1;
                }
                Sent::Gone => self.lose(now, at),
            }
        }
        let mut left = budget;
        while left > 0 {
            // No device has room: what the stack would send stays in its queues, in order, uncopied. To ourselves there
            // is always a way.
            if blocked > 0 && blocked == self.ports.len() {
                self.stack.poll_loopback(now);
                return false;
            }
            let Some(transmit) = self.stack.poll_transmit(now) else { return false };
            left -= 1;
            self.bytes_out += transmit.len() as u64;
            let Some(at) = self.ports.iter().position(|p| p.id == transmit.interface) else {
                self.stats.tx_dropped += 1;
                continue;
            };
            let port = &mut self.ports[at];
            if port.down {
                self.stats.tx_dropped += 1;
                continue;
            }
            let stats = &mut self.stats;
            let blocked_before = stats.tx_blocked;
            let sent = if port.cuts(&transmit) {
                let mut sent = Sent::Yes;
                let count =
                    usernet_core::cut(&transmit, port.link_header, &mut self.cut, |bytes| {
                        let frame = TxFrame::of(&[bytes]);
                        sent = port.offer(&frame, stats, &mut blocked);
                        sent != Sent::Gone
                    });
                left = left.saturating_sub(count.saturating_sub(1));
                sent
            } else {
                port.offer(&tx_frame(&transmit), stats, &mut blocked)
            };
            self.devices_changed |= self.stats.tx_blocked != blocked_before;
            if sent == Sent::Gone {
                self.lose(now, at);
            }
        }
        true
    }

    /// Drops a device that failed. Connections over it live on until they time out.
    fn lose(&mut self, now: Instant, at: usize) {
        let port = self.ports.remove(at);
        self.devices_changed = true;
        self.devices_generation += 1;
        self.stats.devices_lost += 1;
        self.stats.tx_dropped += port.pending.len() as u64;
        // It can be unknown to the stack only if it was removed there by hand, which is what is wanted.
        let _ = self.stack.lose_interface(now, port.id);
    }

    /// Who is to be told of what happened since the last time.
    pub(crate) fn tell(&mut self, told: &mut Told) {
        if self.doorbell {
            let waiting = self.stack.has_events();
            told.ring |= waiting && !self.rung;
            self.rung = waiting;
        } else {
            while let Some(event) = self.stack.poll_event() {
                let waiter = match event {
                    Event::Socket(id, _) => self.sockets.get(id),
                    Event::Acceptable(id) => self.listeners.get(id),
                    // Nobody waits for those with a thread.
                    Event::Udp(..)
                    | Event::Raw(..)
                    | Event::Ping(..)
                    | Event::Flow(_)
                    | Event::Address(..)
                    | Event::Link(..) => None,
                };
                told.waiters.extend(waiter.filter(|w| w.has_waiting()).cloned());
            }
        }
        let stack = &self.stack;
        self.flushing.retain(|(id, waiter)| {
            let waits = stack.tcp_flushed(*id) == Ok(false);
            if !waits {
                told.waiters.push(waiter.clone());
            }
            waits
        });
    }

    /// Tells `waiter` when all that was sent on a connection is acknowledged, or the connection is gone.
    pub(crate) fn tell_when_flushed(&mut self, id: SocketId, waiter: &Arc<Waiter>) {
        if !self.flushing.iter().any(|(other, _)| *other == id) {
            self.flushing.push((id, waiter.clone()));
        }
    }

    /// The doorbell is to be rung again if events wait.
    pub(crate) fn forget_ring(&mut self) {
        self.rung = false;
    }

    /// Everyone who waits is to look again: nothing will come any more.
    pub(crate) fn tell_all(&mut self, told: &mut Told) {
        told.waiters.extend(self.sockets.values().cloned());
        told.waiters.extend(self.listeners.values().cloned());
        told.waiters.extend(self.flushing.drain(..).map(|(_, waiter)| waiter));
        told.ring |= self.doorbell;
    }

    /// When something is to be done even if nothing comes.
    pub(crate) fn deadline(&self, epoch: Clock) -> Option<Instant> {
        let devices = self
            .ports
            .iter()
            .filter_map(|p| p.device.poll_timeout())
            .map(|at| Instant::ZERO + at.saturating_duration_since(epoch));
        self.stack.poll_timeout().into_iter().chain(devices).min()
    }

    /// The descriptors to wait for.
    #[cfg(unix)]
    pub(crate) fn interests(&self, interests: &mut Vec<Interest>) {
        interests.clear();
        interests.extend(
            self.ports.iter().filter_map(|p| {
                Some(Interest { fd: p.device.fd()?, write: !p.pending.is_empty() })
            }),
        );
        let links = self.ports.iter().filter_map(|p| p.device.link_fd());
        interests.extend(links.map(|fd| Interest { fd, write: false }));
    }

    /// Gives memory back that a burst left, now and then; whether to come back for more.
    pub(crate) fn trim(&mut self, now: Instant, every: std::time::Duration) -> bool {
        let wanted = self.pool.wants_trim() || self.stack.wants_trim();
        if wanted && now.since(self.trimmed) >= every {
            self.trimmed = now;
            let (receive, send) = (self.pool.trim(), self.stack.trim());
            return receive || send;
        }
        wanted
    }

    pub(crate) fn stats(&self) -> ShardStats {
        ShardStats { slabs: self.pool.slabs(), slab_copies: self.pool.copied(), ..self.stats }
    }

    /// After a panic: takes the stack out of use.
    pub(crate) fn fail(&mut self, message: String, told: &mut Told) {
        if self.state == State::Running {
            self.state = State::Failed(message);
        }
        let wreck = self.retire(told);
        if self.wreck.is_none() {
            self.wreck = Some(wreck);
        }
    }

    /// Puts an empty stack in the place of the one there is, which it gives: every id is stale from here on, nothing is
    /// sent or received any more.
    pub(crate) fn retire(&mut self, told: &mut Told) -> Stack {
        let config = Config { loopback: false, max_connections: 0, ..Config::default() };
        let empty = Stack::new(config, Secrets::from_bytes(&[0; 64]), 0);
        self.tell_all(told);
        std::mem::replace(&mut self.stack, empty)
    }
}

/// Most bytes that `device` gives at once, and whether what it gives one after the other may be merged: it never gives
/// more than a packet.
fn lengths(device: &dyn Device) -> (usize, bool) {
    let info = device.info();
    let max_frame = info.max_frame.max(1);
    (max_frame, max_frame <= usize::from(info.mtu) + MAX_LINK_HEADER && max_frame <= MAX_COALESCED)
}

/// Hands a run of segments over, which is at the beginning of the pool's buffer.
fn finish(
    now: Instant,
    stack: &mut Stack,
    id: InterfaceId,
    pool: &mut Pool,
    run: Option<(Coalescing, usize)>,
) {
    if let Some((run, len)) = run {
        run.finish(pool.held(len));
        let frame = run.frame(pool.take(len));
        stack.handle_frame(now, id, frame);
    }
}

fn rx_checksum(received: &Received) -> RxChecksum {
    if received.checksum_trusted { RxChecksum::Trusted } else { RxChecksum::Unverified }
}

fn rx_frame(received: Received, pool: &mut Pool) -> RxFrame {
    let checksum = rx_checksum(&received);
    let data = match received.data {
        RxData::Buffer(len) => pool.take(len),
        RxData::Owned(frame) => slab::owned(frame),
    };
    RxFrame { data, checksum, gso_size: received.gso_size, merged: 0 }
}

fn tx_frame<'a>(transmit: &Transmit<'a>) -> TxFrame<'a> {
    let [first, second, third, fourth] = transmit.payload;
    TxFrame {
        pieces: [transmit.header, first, second, third, fourth],
        checksum: transmit.checksum.map(|c| TxChecksum { start: c.start, offset: c.offset }),
        gso: transmit.gso.map(|g| Gso {
            kind: match g.kind {
                GsoKind::Tcp4 => usernet_device::GsoKind::Tcp4,
                GsoKind::Tcp6 => usernet_device::GsoKind::Tcp6,
                GsoKind::Udp4 => usernet_device::GsoKind::Udp4,
                GsoKind::Udp6 => usernet_device::GsoKind::Udp6,
            },
            size: g.size,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use usernet_core::InterfaceConfig;
    use usernet_device::{DeviceInfo, Wake};

    use super::*;

    /// A device that always has a frame.
    struct Endless(usize);

    impl Device for Endless {
        fn info(&self) -> DeviceInfo {
            let offload = Offload::default();
            DeviceInfo { name: "endless".into(), mtu: 1500, max_frame: self.0, offload }
        }

        fn recv(&mut self, _: &mut [u8]) -> io::Result<Received> {
            let data = RxData::Buffer(self.0);
            Ok(Received { data, checksum_trusted: true, gso_size: 0 })
        }

        fn send(&mut self, _: &TxFrame<'_>) -> io::Result<()> {
            Ok(())
        }

        fn set_waker(&mut self, _: Arc<dyn Wake>) {}
    }

    #[test]
    fn a_turn_on_a_loop_takes_so_many_frames_or_so_many_bytes() {
        for (len, frames) in [(100, BUDGET), (40_000, 2 * RX_BATCH), (63_000, RX_BATCH)] {
            let mut stack = Stack::new(Config::default(), Secrets::from_bytes(&[0; 64]), 0);
            let id = stack.add_interface(Instant::ZERO, InterfaceConfig::default()).unwrap();
            let mut inner = Inner::new(stack);
            inner.add_port(id, Box::new(Endless(len)));
            let (sends_left, frames_left) = inner.turn_on_loop(Instant::ZERO, BUDGET);
            assert_eq!(inner.stats.frames_in, frames as u64, "of {len} bytes");
            assert!(!sends_left && frames_left, "no descriptor tells of the others");
        }
    }
}
