//! Several queues of one device, each driven by a shard of its own. A connection is one shard's ([`Steering`]); a frame that
//! comes out of another's queue is handed over. A kernel learns from what a shard sends which queue its connections are on
//! (`tun_flow_update`), so that beginnings of connections are about all that has to be.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
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

/// What the queues of a device have in common.
pub(crate) struct Queues {
    pub(crate) steering: Steering,
    inboxes: Vec<Inbox>,
    handed_over: AtomicU64,
    dropped: AtomicU64,
}

impl Queues {
    pub(crate) fn new(steering: Steering, queues: usize) -> Arc<Self> {
        let inboxes = (0..queues).map(|_| Inbox::default()).collect();
        let (handed_over, dropped) = Default::default();
        Arc::new(Self { steering, inboxes, handed_over, dropped })
    }

    pub(crate) fn stats(&self) -> QueueStats {
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
        }
        let waker = inbox.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take(&self, owner: usize) -> Option<Handed> {
        let inbox = &self.inboxes[owner];
        if inbox.len.load(Ordering::Acquire) == 0 {
            return None;
        }
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
pub(crate) struct Queue {
    device: Box<dyn Device>,
    at: usize,
    queues: Arc<Queues>,
}

impl Queue {
    pub(crate) fn new(device: Box<dyn Device>, at: usize, queues: Arc<Queues>) -> Self {
        Self { device, at, queues }
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
        if let Some(Handed { bytes, checksum_trusted, gso_size }) = self.queues.take(self.at) {
            let data = if bytes.len() <= buf.len() {
                buf[..bytes.len()].copy_from_slice(&bytes);
                RxData::Buffer(bytes.len())
            } else {
                RxData::Owned(bytes)
            };
            return Ok(Received { data, checksum_trusted, gso_size });
        }
        for _ in 0..HAND_OVERS {
            let received = self.device.recv(buf)?;
            let bytes = match &received.data {
                RxData::Buffer(len) => &buf[..*len],
                RxData::Owned(bytes) => bytes,
            };
            let owner = self.queues.steering.owner(bytes);
            if owner == self.at {
                return Ok(received);
            }
            let Received { checksum_trusted, gso_size, .. } = received;
            self.queues.hand(owner, Handed { bytes: bytes.to_vec(), checksum_trusted, gso_size });
        }
        // Its descriptor is readable still, so whoever polls it comes back.
        Err(ErrorKind::WouldBlock.into())
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
        self.device.link_change()
    }

    fn hand_back(&mut self, packet: &[u8]) {
        let owner = self.queues.steering.owner(packet);
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
        self.device.set_up(up)
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

    fn queues(feed: Vec<Vec<u8>>) -> (Arc<Queues>, [Queue; 2]) {
        let queues = Queues::new(Steering::new(2, [9; 16]), 2);
        let mut feeds = [Feed(feed.into()), Feed(VecDeque::new())].into_iter();
        let make = |at| {
            let device = Box::new(feeds.next().expect("two"));
            Queue::new(device, at, queues.clone())
        };
        let pair = [0, 1].map(make);
        (queues, pair)
    }

    /// Everything that a queue gives; its shard comes as often as there is something.
    fn drain(queue: &mut Queue) -> Vec<Vec<u8>> {
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
            queues(Vec::new()).0.steering.owner_of(SocketAddr::from(([198, 18, 0, 1], *port)), 80)
                == 1
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
        for queue in [&mut first, &mut second] {
            let mut buf = vec![0; 1500];
            while let Ok(received) = queue.recv(&mut buf) {
                assert!(!received.checksum_trusted, "nobody vouched for the whole");
                owners.insert(queue.at);
            }
        }
        assert_eq!(owners.len(), 2);
    }
}
