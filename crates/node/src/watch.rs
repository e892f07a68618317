//! A layer over any device through which JavaScript can watch frames: off, it costs a load a frame; on, frames are copied
//! to a bounded queue, and those that find it full are counted.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use usernet_device::{
    Device, DeviceInfo, Medium, OpenError, Received, RxData, TxFrame, Wake, each_received,
    each_sent,
};

use crate::bell::Bell;

/// A frame as it passed.
pub(crate) struct Seen {
    /// Whether it went out.
    pub(crate) outgoing: bool,
    /// When, ms since 1970.
    pub(crate) at: f64,
    /// How long it was, bytes.
    pub(crate) len: usize,
    /// What is kept of it.
    pub(crate) data: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Seen>,
    bytes: usize,
    most_frames: usize,
    most_bytes: usize,
    snap_len: usize,
    dropped: u64,
    /// Where merged datagrams are taken apart.
    scratch: Vec<u8>,
}

/// What goes through one device.
pub(crate) struct Watched {
    on: AtomicBool,
    /// There are frames that JavaScript was not told of.
    news: AtomicBool,
    queue: Mutex<Queue>,
    /// The device takes segments that are longer than a packet. Not while it is watched: what is seen is packets.
    pub(crate) big_tcp4: bool,
    bell: Arc<Bell>,
}

impl Watched {
    pub(crate) fn new(bell: Arc<Bell>, big_tcp4: bool) -> Arc<Self> {
        Arc::new(Self {
            on: AtomicBool::new(false),
            news: AtomicBool::new(false),
            queue: Mutex::default(),
            big_tcp4,
            bell,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch with a queue of so many frames and bytes, and so many bytes of each; 0 frames ends it.
    pub(crate) fn set(&self, frames: usize, bytes: usize, snap_len: usize) {
        let mut queue = self.queue();
        *queue = Queue { most_frames: frames, most_bytes: bytes, snap_len, ..Queue::default() };
        self.news.store(false, Ordering::Relaxed);
        self.on.store(frames > 0, Ordering::Relaxed);
    }

    /// Whether there are frames that nobody was told of; they count as told from here on.
    pub(crate) fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// Up to `most` frames, oldest first, and how many were dropped so far.
    pub(crate) fn take(&self, most: usize) -> (Vec<Seen>, u64) {
        let mut queue = self.queue();
        let count = most.min(queue.frames.len());
        let taken: Vec<_> = queue.frames.drain(..count).collect();
        queue.bytes -= taken.iter().map(|seen| seen.data.len()).sum::<usize>();
        (taken, queue.dropped)
    }

    /// A frame that came in, `gso_size` as the device said.
    fn came(&self, medium: Medium, frame: &[u8], gso_size: u16) {
        let mut queue = self.queue();
        let before = queue.frames.len();
        let mut scratch = std::mem::take(&mut queue.scratch);
        each_received(medium, frame, gso_size, &mut scratch, |one, _| queue.see(false, &[one]));
        queue.scratch = scratch;
        self.tell(queue, before);
    }

    /// A frame that went out.
    fn went(&self, medium: Medium, frame: &TxFrame<'_>) {
        let mut queue = self.queue();
        let before = queue.frames.len();
        let mut scratch = std::mem::take(&mut queue.scratch);
        each_sent(medium, frame, &mut scratch, |pieces| queue.see(true, pieces));
        queue.scratch = scratch;
        self.tell(queue, before);
    }

    /// Rings for what was queued beside what was there before.
    fn tell(&self, queue: MutexGuard<'_, Queue>, before: usize) {
        let news = queue.frames.len() > before;
        drop(queue);
        if news && !self.news.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }
}

impl Queue {
    fn see(&mut self, outgoing: bool, pieces: &[&[u8]]) {
        let queue = self;
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let keep = len.min(queue.snap_len);
        if queue.frames.len() >= queue.most_frames || queue.bytes + keep > queue.most_bytes {
            queue.dropped += 1;
            return;
        }
        let mut data = Vec::with_capacity(keep);
        for piece in pieces {
            data.extend_from_slice(&piece[..piece.len().min(keep - data.len())]);
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        queue.bytes += keep;
        queue.frames.push_back(Seen { outgoing, at: since.as_secs_f64() * 1e3, len, data });
    }
}

/// A device with that layer over it.
pub(crate) struct WatchedDevice {
    pub(crate) inner: Box<dyn Device>,
    pub(crate) watched: Arc<Watched>,
}

impl Device for WatchedDevice {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn medium(&self) -> Medium {
        self.inner.medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let received = self.inner.recv(buf)?;
        if self.watched.on.load(Ordering::Relaxed) {
            let frame = match &received.data {
                RxData::Buffer(len) => &buf[..*len],
                RxData::Owned(data) => &data[..],
            };
            self.watched.came(self.inner.medium(), frame, received.gso_size);
        }
        Ok(received)
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.inner.send(frame)?;
        if self.watched.on.load(Ordering::Relaxed) {
            self.watched.went(self.inner.medium(), frame);
        }
        Ok(())
    }

    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::RawFd> {
        self.inner.fd()
    }

    #[cfg(unix)]
    fn link_fd(&self) -> Option<std::os::fd::RawFd> {
        self.inner.link_fd()
    }

    fn link_change(&mut self) -> Option<bool> {
        self.inner.link_change()
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.inner.set_waker(waker);
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        self.inner.set_mtu(mtu)
    }

    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        self.inner.set_up(up)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
}
