//! A cable between two stacks in one process: bounded queues of frames, no system calls, no privilege, any OS.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::{Device, DeviceInfo, Medium, Offload, Received, RxData, TxFrame, Wake};

/// Largest frame of a link that offloads: an IP packet of 65,535 bytes, with room for a link header.
const MAX_SUPER_FRAME: usize = 65_550;

/// Ethernet header with a VLAN tag, bytes.
const ETHERNET_LEN: usize = 14 + 4;

/// Frames up to this many bytes are copied into the receiver's buffer and their memory is used again; larger ones are
/// handed over as they are. Copying this much costs less than allocating.
const COPY_UP_TO: usize = 2048;

/// Buffers kept for use again, each way.
const POOL: usize = 64;

/// How a link is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    /// Largest packet, bytes, without link header. 65,535 at most by its type; the stack's families set the lower bound.
    pub mtu: u16,
    /// What its frames begin with. With [`Medium::Ethernet`] 18 bytes more than the MTU pass: the header and a VLAN tag.
    pub medium: Medium,
    /// Frames that wait each way before `send` says `WouldBlock`; at least 1 is used.
    pub capacity: usize,
    /// Whether it takes packets of up to 64 KiB with unfinished checksums and passes them on as they are. Turn it off
    /// where each packet has to be one as it would be on a wire (impairment).
    pub offload: bool,
    /// Names of the two ends.
    pub names: [String; 2],
}

impl Default for LinkOptions {
    /// MTU 1500, IP packets, 512 frames each way, offload, `link0` and `link1`.
    fn default() -> Self {
        Self {
            mtu: 1500,
            medium: Medium::Ip,
            capacity: 512,
            offload: true,
            names: ["link0".into(), "link1".into()],
        }
    }
}

/// What an end of a link has counted, frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// Handed to the other end's queue.
    pub sent: u64,
    /// Taken out of this end's queue.
    pub received: u64,
    /// Lost because they exceed the MTU (and no segmentation was asked for) or 64 KiB, or are empty.
    pub oversize: u64,
    /// Lost because the other end is gone.
    pub unplugged: u64,
}

struct Frame {
    data: Vec<u8>,
    trusted: bool,
    gso_size: u16,
}

/// One direction, shared by its sender and its receiver.
#[derive(Default)]
struct Lane {
    queue: VecDeque<Frame>,
    pool: Vec<Vec<u8>>,
    receiver: Option<Arc<dyn Wake>>,
    sender: Option<Arc<dyn Wake>>,
    /// The sender was refused and waits for room.
    sender_waits: bool,
    receiver_gone: bool,
}

#[derive(Default)]
struct SharedLane(Mutex<Lane>);

impl SharedLane {
    fn lock(&self) -> MutexGuard<'_, Lane> {
        // No code that holds this lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a link; see [`pair`].
///
/// A dropped end is an unplugged cable: what it had sent can still be received, what is sent to it is lost without an
/// error (and counted), and nothing more comes from it.
pub struct Link {
    info: DeviceInfo,
    medium: Medium,
    capacity: usize,
    tx: Arc<SharedLane>,
    rx: Arc<SharedLane>,
    stats: LinkStats,
}

/// The longest frame of one packet, bytes.
fn longest_frame(mtu: u16, medium: Medium) -> usize {
    usize::from(mtu) + if medium == Medium::Ethernet { ETHERNET_LEN } else { 0 }
}

/// Makes a link and gives its two ends.
pub fn pair(options: LinkOptions) -> (Link, Link) {
    let LinkOptions { mtu, medium, capacity, offload, names } = options;
    let longest = longest_frame(mtu, medium);
    let lanes = [Arc::new(SharedLane::default()), Arc::new(SharedLane::default())];
    let [first, second] = names;
    let end = |name, tx: &Arc<SharedLane>, rx: &Arc<SharedLane>| Link {
        info: DeviceInfo {
            name,
            mtu,
            max_frame: if offload { MAX_SUPER_FRAME.max(longest) } else { longest },
            offload: Offload {
                tx_checksum: offload,
                tso4: offload,
                tso6: offload,
                ..Offload::default()
            },
        },
        medium,
        capacity: capacity.max(1),
        tx: Arc::clone(tx),
        rx: Arc::clone(rx),
        stats: LinkStats::default(),
    };
    (end(first, &lanes[0], &lanes[1]), end(second, &lanes[1], &lanes[0]))
}

impl Link {
    /// What this end has counted.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Whether the other end still exists.
    pub fn is_connected(&self) -> bool {
        !self.tx.lock().receiver_gone
    }

    /// Whether `send` would find room.
    pub fn has_room(&self) -> bool {
        let lane = self.tx.lock();
        lane.queue.len() < self.capacity && !lane.receiver_gone
    }

    /// Frames that wait for this end's `recv`.
    pub fn waiting(&self) -> usize {
        self.rx.lock().queue.len()
    }

    /// Gives back the memory of a frame that came as [`RxData::Owned`], to be used for another. Optional: dropping it is
    /// as good, and slower. Only a bounded number is kept.
    pub fn recycle(&self, mut data: Vec<u8>) {
        data.clear();
        let mut lane = self.rx.lock();
        if lane.pool.len() < POOL {
            lane.pool.push(data);
        }
    }
}

impl Device for Link {
    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let mut lane = self.rx.lock();
        let Some(frame) = lane.queue.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let Frame { mut data, trusted, gso_size } = frame;
        // Woken at half rather than at the first free place, the sender fills many places per wake-up.
        let wake = if lane.sender_waits && lane.queue.len() <= self.capacity / 2 {
            lane.sender_waits = false;
            lane.sender.clone()
        } else {
            None
        };
        let len = data.len();
        let data = if len <= COPY_UP_TO && len <= buf.len() {
            buf[..len].copy_from_slice(&data);
            data.clear();
            if lane.pool.len() < POOL {
                lane.pool.push(data);
            }
            RxData::Buffer(len)
        } else {
            RxData::Owned(data)
        };
        drop(lane);
        if let Some(waker) = wake {
            waker.wake();
        }
        self.stats.received += 1;
        Ok(Received { data, checksum_trusted: trusted, gso_size })
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        let len = frame.len();
        let longest = longest_frame(self.info.mtu, self.medium);
        let limit = if frame.gso.is_some() { MAX_SUPER_FRAME } else { longest };
        if len == 0 || len > limit {
            self.stats.oversize += 1;
            return Ok(());
        }
        let mut lane = self.tx.lock();
        if lane.receiver_gone {
            drop(lane);
            self.stats.unplugged += 1;
            return Ok(());
        }
        if lane.queue.len() >= self.capacity {
            lane.sender_waits = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut data = lane.pool.pop().unwrap_or_default();
        if data.capacity() < len {
            // Small frames get a size that fits the next small frame as well.
            data.reserve_exact(if len <= COPY_UP_TO { COPY_UP_TO } else { len });
        }
        for piece in frame.pieces {
            data.extend_from_slice(piece);
        }
        let first = lane.queue.is_empty();
        lane.queue.push_back(Frame {
            data,
            // Only what came with an unfinished checksum is beyond doubt: its bytes never left this process. A finished
            // one may have been finished elsewhere (a forwarded packet) or spoilt on purpose (impairment).
            trusted: frame.checksum.is_some(),
            gso_size: frame.gso.map_or(0, |gso| gso.size),
        });
        let wake = if first { lane.receiver.clone() } else { None };
        drop(lane);
        if let Some(waker) = wake {
            waker.wake();
        }
        self.stats.sent += 1;
        Ok(())
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.tx.lock().sender = Some(Arc::clone(&waker));
        let mut lane = self.rx.lock();
        lane.receiver = Some(Arc::clone(&waker));
        let waiting = !lane.queue.is_empty();
        drop(lane);
        // Frames that came before there was anyone to wake.
        if waiting {
            waker.wake();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let freed = {
            let mut lane = self.rx.lock();
            lane.receiver_gone = true;
            lane.receiver = None;
            lane.sender_waits = false;
            let waker = lane.sender.take();
            let freed = (std::mem::take(&mut lane.queue), std::mem::take(&mut lane.pool));
            drop(lane);
            // Whoever waits for room finds that frames now vanish, and goes on; whoever waits for frames may look whether
            // anybody is left to send them.
            if let Some(waker) = waker {
                waker.wake();
            }
            freed
        };
        drop(freed);
        // The other end's lane to us keeps nothing of this stack alive.
        self.tx.lock().sender = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Gso, GsoKind, TxChecksum};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn plain(pieces: [&[u8]; 3]) -> TxFrame<'_> {
        TxFrame::of(&pieces)
    }

    fn receive(link: &mut Link) -> Option<(Vec<u8>, Received)> {
        let mut buf = vec![0; link.info().max_frame];
        match link.recv(&mut buf) {
            Ok(received) => {
                let data = match &received.data {
                    RxData::Buffer(n) => buf[..*n].to_vec(),
                    RxData::Owned(data) => data.clone(),
                };
                Some((data, received))
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                None
            }
        }
    }

    #[test]
    fn carries_frames_both_ways_in_order() {
        let (mut a, mut b) = pair(LinkOptions::default());
        a.send(&plain([b"he", b"", b"llo"])).unwrap();
        a.send(&plain([b"second", b"", b""])).unwrap();
        b.send(&plain([b"", b"back", b""])).unwrap();
        assert_eq!(receive(&mut b).unwrap().0, b"hello");
        let (data, received) = receive(&mut b).unwrap();
        assert_eq!(data, b"second");
        assert!(!received.checksum_trusted);
        assert_eq!(received.gso_size, 0);
        assert!(receive(&mut b).is_none());
        assert_eq!(receive(&mut a).unwrap().0, b"back");
        assert!(receive(&mut a).is_none());
        assert_eq!((a.stats().sent, a.stats().received), (2, 1));
    }

    #[test]
    fn passes_super_segments_as_they_are() {
        let (mut a, mut b) = pair(LinkOptions::default());
        let payload: Vec<u8> = (0..64_240u32).map(|i| i as u8).collect();
        let frame = TxFrame {
            checksum: Some(TxChecksum { start: 20, offset: 16 }),
            gso: Some(Gso { kind: GsoKind::Tcp4, size: 1460 }),
            ..TxFrame::of(&[&[7; 40], &payload[..1000], &payload[1000..]])
        };
        a.send(&frame).unwrap();
        let (data, received) = receive(&mut b).unwrap();
        assert_eq!(data.len(), frame.len());
        assert_eq!(&data[40..], &payload[..]);
        assert!(received.checksum_trusted);
        assert_eq!(received.gso_size, 1460);
        assert!(matches!(received.data, RxData::Owned(_)));
    }

    #[test]
    fn without_offload_it_says_so() {
        let (a, b) = pair(LinkOptions { offload: false, mtu: 1280, ..LinkOptions::default() });
        assert_eq!(a.info().offload, Offload::default());
        assert_eq!((a.info().mtu, a.info().max_frame), (1280, 1280));
        assert_eq!((a.info().name, b.info().name), ("link0".into(), "link1".into()));
    }

    #[test]
    fn loses_and_counts_what_the_mtu_forbids() {
        let (mut a, mut b) = pair(LinkOptions { mtu: 1000, ..LinkOptions::default() });
        a.send(&plain([&[0; 1001], b"", b""])).unwrap();
        a.send(&plain([b"", b"", b""])).unwrap();
        a.send(&plain([&[1; 1000], b"", b""])).unwrap();
        assert_eq!(receive(&mut b).unwrap().0, vec![1; 1000]);
        assert!(receive(&mut b).is_none());
        assert_eq!(a.stats().oversize, 2);
    }

    #[test]
    fn ethernet_frames_have_a_header_more_than_the_mtu() {
        let options = LinkOptions {
            mtu: 1000,
            medium: Medium::Ethernet,
            offload: false,
            ..LinkOptions::default()
        };
        let (mut a, mut b) = pair(options);
        assert_eq!((a.medium(), b.info().max_frame), (Medium::Ethernet, 1018));
        a.send(&plain([&[0; 14], &[0; 1005], b""])).unwrap();
        a.send(&plain([&[1; 18], &[1; 1000], b""])).unwrap();
        assert_eq!(receive(&mut b).unwrap().0, vec![1; 1018]);
        assert_eq!((a.stats().oversize, a.stats().sent), (1, 1));
    }

    #[test]
    fn wakes_the_receiver_on_the_first_frame_only() {
        let (mut a, mut b) = pair(LinkOptions::default());
        let waker = Arc::new(Count::default());
        b.set_waker(waker.clone());
        assert_eq!(waker.get(), 0);
        a.send(&plain([b"1", b"", b""])).unwrap();
        a.send(&plain([b"2", b"", b""])).unwrap();
        assert_eq!(waker.get(), 1);
        while receive(&mut b).is_some() {}
        a.send(&plain([b"3", b"", b""])).unwrap();
        assert_eq!(waker.get(), 2);
    }

    #[test]
    fn wakes_at_once_when_frames_came_before_the_waker() {
        let (mut a, mut b) = pair(LinkOptions::default());
        a.send(&plain([b"1", b"", b""])).unwrap();
        let waker = Arc::new(Count::default());
        b.set_waker(waker.clone());
        assert_eq!(waker.get(), 1);
    }

    #[test]
    fn full_queue_blocks_and_wakes_the_sender_when_there_is_room() {
        for capacity in [1usize, 2, 7] {
            let (mut a, mut b) = pair(LinkOptions { capacity, ..LinkOptions::default() });
            let waker = Arc::new(Count::default());
            a.set_waker(waker.clone());
            for _ in 0..capacity {
                a.send(&plain([b"x", b"", b""])).unwrap();
            }
            let error = a.send(&plain([b"y", b"", b""])).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(waker.get(), 0);
            let mut drained = 0;
            while receive(&mut b).is_some() {
                drained += 1;
            }
            assert_eq!(drained, capacity);
            assert_eq!(waker.get(), 1, "capacity {capacity}");
            a.send(&plain([b"y", b"", b""])).unwrap();
        }
    }

    #[test]
    fn zero_capacity_is_one() {
        let (mut a, _b) = pair(LinkOptions { capacity: 0, ..LinkOptions::default() });
        a.send(&plain([b"x", b"", b""])).unwrap();
        assert!(a.send(&plain([b"x", b"", b""])).is_err());
    }

    #[test]
    fn dropped_end_is_an_unplugged_cable() {
        let (mut a, mut b) = pair(LinkOptions { capacity: 1, ..LinkOptions::default() });
        let waker = Arc::new(Count::default());
        a.set_waker(waker.clone());
        b.send(&plain([b"last words", b"", b""])).unwrap();
        a.send(&plain([b"x", b"", b""])).unwrap();
        assert!(a.send(&plain([b"y", b"", b""])).is_err());
        assert!(a.is_connected());
        let before = waker.get();
        drop(b);
        assert_eq!(waker.get(), before + 1, "the waiting sender is woken");
        assert!(!a.is_connected());
        a.send(&plain([b"y", b"", b""])).unwrap();
        assert_eq!(a.stats().unplugged, 1);
        assert_eq!(receive(&mut a).unwrap().0, b"last words");
        assert!(receive(&mut a).is_none());
        assert_eq!(Arc::strong_count(&waker), 2, "a's own lane holds it, nothing else: rx side");
    }

    #[test]
    fn small_frames_use_the_same_memory_again() {
        let (mut a, mut b) = pair(LinkOptions::default());
        let mut buf = vec![0; b.info().max_frame];
        for round in 0..100u8 {
            a.send(&plain([&[round; 100], b"", b""])).unwrap();
            let received = b.recv(&mut buf).unwrap();
            assert!(matches!(received.data, RxData::Buffer(100)));
            assert_eq!(b.rx.lock().pool.len(), 1, "round {round}");
        }
    }

    #[test]
    fn recycled_memory_is_used_and_bounded() {
        let (mut a, mut b) = pair(LinkOptions::default());
        for _ in 0..POOL + 10 {
            b.recycle(Vec::with_capacity(65_536));
        }
        assert_eq!(b.rx.lock().pool.len(), POOL);
        let big = vec![1; 60_000];
        a.send(&TxFrame {
            checksum: Some(TxChecksum { start: 20, offset: 16 }),
            gso: Some(Gso { kind: GsoKind::Tcp4, size: 1460 }),
            ..TxFrame::of(&[&big])
        })
        .unwrap();
        assert_eq!(b.rx.lock().pool.len(), POOL - 1);
        let (_, received) = receive(&mut b).unwrap();
        let RxData::Owned(data) = received.data else { panic!("large frames are handed over") };
        assert_eq!(data.capacity(), 65_536);
    }

    #[test]
    fn two_threads_lose_nothing() {
        let (mut a, mut b) = pair(LinkOptions { capacity: 4, ..LinkOptions::default() });
        struct Park(std::thread::Thread);
        impl Wake for Park {
            fn wake(&self) {
                self.0.unpark();
            }
        }
        let sender = std::thread::spawn(move || {
            a.set_waker(Arc::new(Park(std::thread::current())));
            for i in 0..20_000u32 {
                while a.send(&plain([&i.to_be_bytes(), b"", b""])).is_err() {
                    std::thread::park();
                }
            }
            a
        });
        b.set_waker(Arc::new(Park(std::thread::current())));
        let mut buf = vec![0; b.info().max_frame];
        for i in 0..20_000u32 {
            loop {
                match b.recv(&mut buf) {
                    Ok(_) => break,
                    Err(_) => std::thread::park(),
                }
            }
            assert_eq!(buf[..4], i.to_be_bytes());
        }
        assert_eq!(sender.join().unwrap().stats().sent, 20_000);
    }
}
