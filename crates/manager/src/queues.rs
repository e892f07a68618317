//! Several queues of one device, each driven by a shard of its own. A connection is one shard's ([`Steering`]); a frame that
//! comes out of another's queue is handed over. A kernel learns from what a shard sends which queue its connections are on
//! (`tun_flow_update`), so that beginnings of connections are about all that has to be.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use usernet_core::Steering;
use usernet_device::{Device, DeviceInfo, Medium, OpenError, Received, RxData, TxFrame, Wake};

/// Most frames, and bytes, that wait to be taken by the shard they were handed to; further ones are lost, as at the end of
/// any queue.
const MAX_HANDED: usize = 1024;
const MAX_HANDED_BYTES: usize = 4 << 20;

/// Frames that are handed over before the shard that reads them has its turn.
const HAND_OVERS: usize = 64;

/// What has passed between the queues of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Frames that came out of another queue than their owner's.
    pub handed_over: u64,
    /// Of those, frames that found no room.
    pub dropped: u64,
}

/// A frame that was handed over.
struct Handed {
    bytes: Vec<u8>,
    checksum_trusted: bool,
    gso_size: u16,
}

/// What was handed to one shard.
#[derive(Default)]
struct Inbox {
    /// How many frames wait, so that looking costs no lock.
    len: AtomicUsize,
    frames: Mutex<(VecDeque<Handed>, usize)>,
    waker: Mutex<Option<Arc<dyn Wake>>>,
}

/// Whose connections are shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Those of every address.
    All,
    /// Those of these addresses; packets for others are the first shard's.
    Only(Vec<IpAddr>),
    /// Those of every address but these.
    AllBut(Vec<IpAddr>),
}

impl Shared {
    fn has(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&address),
            Self::AllBut(others) => !others.contains(&address),
        }
    }
}

/// What the queues of a device have in common: which shard has which connection, and the way there for what comes out of
/// another's queue.
pub struct Queues {
    steering: Steering,
    inboxes: Vec<Inbox>,
    handed_over: AtomicU64,
    dropped: AtomicU64,
    /// How often `shared` was changed, so that looking costs no lock.
    changes: AtomicU64,
    shared: Mutex<Arc<Shared>>,
    /// How often somebody else took the link down or up; even: it is up.
    link_changes: AtomicU64,
}

impl Queues {
    /// Of a device with so many queues, for as many shards, which share the connections out by a hash with that key.
    pub fn new(queues: usize, key: [u8; 16]) -> Arc<Self> {
        let inboxes = (0..queues.max(1)).map(|_| Inbox::default()).collect();
        let (handed_over, dropped, changes, link_changes) = Default::default();
        let shared = Mutex::new(Arc::new(Shared::All));
        let steering = Steering::new(queues, key);
        Arc::new(Self { steering, inboxes, handed_over, dropped, changes, shared, link_changes })
    }

    /// The queue number `at`, as a device for that shard: it gives what is the shard's, out of whichever queue it came.
    ///
    /// # Panics
    /// When there are not so many queues.
    pub fn queue(self: &Arc<Self>, at: usize, device: Box<dyn Device>) -> Box<dyn Device> {
        assert!(at < self.inboxes.len(), "queue {at} of {}", self.inboxes.len());
        let (changes, link_changes) = Default::default();
        let shared = Arc::new(Shared::All);
        let inbox_next = true;
        let queues = self.clone();
        Box::new(Queue { device, at, queues, shared, changes, link_changes, inbox_next })
    }

    /// The shard that has the connection with `remote` from the local port.
    pub fn owner_of(&self, remote: SocketAddr, local_port: u16) -> usize {
        self.steering.owner_of(remote, local_port)
    }

    /// Says whose connections are shared out; before: all.
    pub fn set_shared(&self, shared: Shared) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(shared);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// What has passed between the queues.
    pub fn stats(&self) -> QueueStats {
        QueueStats {
            handed_over: self.handed_over.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn hand(&self, owner: usize, frame: Handed) {
        let inbox = &self.inboxes[owner];
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        {
            let mut frames = inbox.frames.lock().unwrap_or_else(PoisonError::into_inner);
            let (queue, bytes) = &mut *frames;
            if queue.len() >= MAX_HANDED || *bytes + frame.bytes.len() > MAX_HANDED_BYTES {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            *bytes += frame.bytes.len();
            queue.push_back(frame);
            inbox.len.store(queue.len(), Ordering::Release);
            if queue.len() > 1 {
                // Who was woken for the first takes it too.
                return;
            }
        }
        self.wake(owner);
    }

    fn wake(&self, owner: usize) {
        let inbox = &self.inboxes[owner];
        let waker = inbox.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The link is up, or down: every shard is to know.
    fn tell_link(&self, up: bool) {
        let before = self.link_changes.load(Ordering::Acquire);
        if before.is_multiple_of(2) != up {
            self.link_changes.store(before + 1, Ordering::Release);
            for owner in 1..self.inboxes.len() {
                self.wake(owner);
            }
        }
    }

    fn waits(&self, owner: usize) -> bool {
        self.inboxes[owner].len.load(Ordering::Acquire) > 0
    }

    fn take(&self, owner: usize) -> Option<Handed> {
        if !self.waits(owner) {
            return None;
        }
        let inbox = &self.inboxes[owner];
        let mut frames = inbox.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = frames.0.pop_front()?;
        frames.1 -= frame.bytes.len();
        inbox.len.store(frames.0.len(), Ordering::Release);
        Some(frame)
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").field("steering", &self.steering).finish_non_exhaustive()
    }
}

/// One queue, as the device of the shard that drives it: gives what is that shard's, out of whichever queue it came.
struct Queue {
    device: Box<dyn Device>,
    at: usize,
    queues: Arc<Queues>,
    /// What the queues share, as it was when they had changed it so often.
    shared: Arc<Shared>,
    changes: u64,
    /// Changes of the link that were given.
    link_changes: u64,
    /// What was handed over has its turn, then what comes out of the queue.
    inbox_next: bool,
}

impl Queue {
    /// Whose a packet is.
    fn owner(&mut self, packet: &[u8]) -> usize {
        let changes = self.queues.changes.load(Ordering::Acquire);
        if changes != self.changes {
            self.changes = changes;
            self.shared = self.queues.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        let shared = &*self.shared;
        self.queues.steering.owner_within(packet, |address| shared.has(address))
    }

    fn take(&self, buf: &mut [u8]) -> Option<Received> {
        let Handed { bytes, checksum_trusted, gso_size } = self.queues.take(self.at)?;
        let data = if bytes.len() <= buf.len() {
            buf[..bytes.len()].copy_from_slice(&bytes);
            RxData::Buffer(bytes.len())
        } else {
            RxData::Owned(bytes)
        };
        Some(Received { data, checksum_trusted, gso_size })
    }
}

impl Device for Queue {
    fn info(&self) -> DeviceInfo {
        self.device.info()
    }

    fn medium(&self) -> Medium {
        self.device.medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.inbox_next = !self.inbox_next;
        if !self.inbox_next
            && let Some(received) = self.take(buf)
        {
            return Ok(received);
        }
        for _ in 0..HAND_OVERS {
            let received = match self.device.recv(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    // Nothing, then: the other one has what there is.
                    return self.take(buf).ok_or(e);
                }
                received => received?,
            };
            let bytes = match &received.data {
                RxData::Buffer(len) => &buf[..*len],
                RxData::Owned(bytes) => bytes,
            };
            let owner = self.owner(bytes);
            if owner == self.at {
                return Ok(received);
            }
            let Received { checksum_trusted, gso_size, .. } = received;
            self.queues.hand(owner, Handed { bytes: bytes.to_vec(), checksum_trusted, gso_size });
        }
        // Its descriptor is readable still, so whoever polls it comes back.
        self.take(buf).ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.device.send(frame)
    }

    #[cfg(unix)]
    fn fd(&self) -> Option<RawFd> {
        self.device.fd()
    }

    #[cfg(unix)]
    fn link_fd(&self) -> Option<RawFd> {
        self.device.link_fd()
    }

    fn link_change(&mut self) -> Option<bool> {
        if self.at == 0 {
            let change = self.device.link_change();
            if let Some(up) = change {
                self.queues.tell_link(up);
            }
            return change;
        }
        let changes = self.queues.link_changes.load(Ordering::Acquire);
        let changed = changes != std::mem::replace(&mut self.link_changes, changes);
        changed.then_some(changes.is_multiple_of(2))
    }

    fn has_frames(&self) -> bool {
        self.queues.waits(self.at) || self.device.has_frames()
    }

    fn hand_back(&mut self, packet: &[u8]) {
        let owner = self.owner(packet);
        // No device vouched for the whole of it.
        let frame = Handed { bytes: packet.to_vec(), checksum_trusted: false, gso_size: 0 };
        self.queues.hand(owner, frame);
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        let inbox = &self.queues.inboxes[self.at];
        *inbox.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.device.set_waker(waker);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.device.poll_timeout()
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        self.device.set_mtu(mtu)
    }

    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        // The interface is one.
        if self.at == 0 { self.device.set_up(up) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::SocketAddr;

    use super::*;

    /// A queue that gives packets of its own, then none.
    struct Feed(VecDeque<Vec<u8>>);

    impl Device for Feed {
        fn info(&self) -> DeviceInfo {
            let offload = usernet_device::Offload::default();
            DeviceInfo { name: "feed".into(), mtu: 1500, max_frame: 1500, offload }
        }

        fn recv(&mut self, _: &mut [u8]) -> io::Result<Received> {
            let packet = self.0.pop_front().ok_or(ErrorKind::WouldBlock)?;
            Ok(Received { data: RxData::Owned(packet), checksum_trusted: true, gso_size: 7 })
        }

        fn send(&mut self, _: &TxFrame<'_>) -> io::Result<()> {
            Ok(())
        }

        fn set_waker(&mut self, _: Arc<dyn Wake>) {}
    }

    /// A packet of a connection from that port of the peer's.
    fn packet(port: u16, len: usize) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([198, 18, 0, 1, 198, 18, 0, 2]);
        packet.extend(port.to_be_bytes());
        packet.extend(80u16.to_be_bytes());
        packet.resize(len, 0);
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        let words = packet[..20].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum: u32 = words.sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn queues(feed: Vec<Vec<u8>>) -> (Arc<Queues>, [Box<dyn Device>; 2]) {
        let queues = Queues::new(2, [9; 16]);
        let mut feeds = [Feed(feed.into()), Feed(VecDeque::new())].into_iter();
        let make = |at| queues.queue(at, Box::new(feeds.next().expect("two")));
        let pair = [0, 1].map(make);
        (queues, pair)
    }

    /// Everything that a queue gives; its shard comes as often as there is something.
    fn drain(queue: &mut Box<dyn Device>) -> Vec<Vec<u8>> {
        let (mut got, mut buf, mut misses) = (Vec::new(), vec![0; 1500], 0);
        while misses < 100 {
            match queue.recv(&mut buf) {
                Ok(Received { data, checksum_trusted, gso_size }) => {
                    assert!(checksum_trusted && gso_size == 7, "what the device said goes along");
                    got.push(match data {
                        RxData::Buffer(len) => buf[..len].to_vec(),
                        RxData::Owned(bytes) => bytes,
                    });
                }
                Err(_) => misses += 1,
            }
        }
        got
    }

    #[test]
    fn each_gets_what_is_its_own_in_order() {
        let sent: Vec<_> = (0..500).map(|n| packet(1000 + n % 50, 40 + usize::from(n))).collect();
        let (queues, [mut first, mut second]) = queues(sent.clone());
        let (ours, theirs) = (drain(&mut first), drain(&mut second));
        assert_eq!(queues.stats(), QueueStats { handed_over: theirs.len() as u64, dropped: 0 });
        let owner = |packet: &Vec<u8>| queues.steering.owner(packet);
        let of = |at| sent.iter().filter(|p| owner(p) == at).cloned().collect::<Vec<_>>();
        assert_eq!((ours, theirs), (of(0), of(1)));
    }

    #[test]
    fn what_is_handed_over_is_bounded() {
        let port = (1000..2000).find(|port| {
            queues(Vec::new()).0.owner_of(SocketAddr::from(([198, 18, 0, 1], *port)), 80) == 1
        });
        for (len, most) in [(40, MAX_HANDED), (60_000, MAX_HANDED_BYTES / 60_000)] {
            let sent = vec![packet(port.unwrap(), len); 2000];
            let (queues, [mut first, mut second]) = queues(sent);
            assert!(drain(&mut first).is_empty());
            let dropped = 2000 - most as u64;
            assert_eq!(queues.stats(), QueueStats { handed_over: 2000, dropped });
            assert_eq!(drain(&mut second).len(), most);
            // There is room again.
            queues.hand(1, Handed { bytes: vec![1], checksum_trusted: true, gso_size: 7 });
            assert_eq!(drain(&mut second), [[1]]);
        }
    }

    #[test]
    fn what_was_put_together_goes_to_its_owner() {
        let (_, [mut first, mut second]) = queues(Vec::new());
        let mut owners = HashSet::new();
        for port in 1000..1020 {
            first.hand_back(&packet(port, 100));
        }
        for (at, queue) in [&mut first, &mut second].into_iter().enumerate() {
            let mut buf = vec![0; 1500];
            assert!(queue.has_frames());
            while let Ok(received) = queue.recv(&mut buf) {
                assert!(!received.checksum_trusted, "nobody vouched for the whole");
                owners.insert(at);
            }
            assert!(!queue.has_frames());
        }
        assert_eq!(owners.len(), 2);
    }

    #[test]
    fn what_is_not_shared_out_is_the_first_ones() {
        let ours = IpAddr::from([198, 18, 0, 2]);
        for (shared, handed) in [
            (Shared::Only(vec![ours]), true),
            (Shared::Only(Vec::new()), false),
            (Shared::AllBut(vec![ours]), false),
            (Shared::AllBut(Vec::new()), true),
        ] {
            let (queues, [mut first, _]) = queues((1000..1100).map(|p| packet(p, 40)).collect());
            queues.set_shared(shared);
            assert_eq!(drain(&mut first).len() < 100, handed);
            assert_eq!(queues.stats().handed_over > 0, handed);
        }
    }

    /// A queue whose link goes down and up.
    struct Link(VecDeque<bool>);

    impl Device for Link {
        fn info(&self) -> DeviceInfo {
            Feed(VecDeque::new()).info()
        }

        fn recv(&mut self, _: &mut [u8]) -> io::Result<Received> {
            Err(ErrorKind::WouldBlock.into())
        }

        fn send(&mut self, _: &TxFrame<'_>) -> io::Result<()> {
            Ok(())
        }

        fn link_change(&mut self) -> Option<bool> {
            self.0.pop_front()
        }

        fn set_waker(&mut self, _: Arc<dyn Wake>) {}
    }

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_queue_hears_of_the_link() {
        let queues = Queues::new(3, [9; 16]);
        let link = |changes: &[bool]| Box::new(Link(changes.iter().copied().collect()));
        let mut first = queues.queue(0, link(&[false, false, true]));
        let mut others = [1, 2].map(|at| queues.queue(at, link(&[])));
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        for queue in &mut others {
            queue.set_waker(woken.clone());
        }
        for (change, told) in [(false, Some(false)), (false, None), (true, Some(true))] {
            assert_eq!(first.link_change(), Some(change));
            assert!(others.iter_mut().all(|queue| queue.link_change() == told));
            assert!(others.iter_mut().all(|queue| queue.link_change().is_none()));
        }
        assert_eq!(woken.0.load(Ordering::SeqCst), 4, "twice each");
    }
}
