//! Impairment: a layer over any device that loses, doubles, reorders, spoils, delays and slows down its frames, each
//! direction by its own settings, repeatably.

mod line;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::datagrams::each_received;
use crate::device::{Device, DeviceInfo, Medium, Offload, Received, RxData, TxFrame, Wake};
use crate::link::{Link, LinkOptions, pair};
use crate::open_error::OpenError;
use line::Line;

/// Frames that one call takes out of the device below, or gives to it, at most.
const BATCH: usize = 64;

/// When to try again where the device below has no room for a frame that is due.
const RETRY: Duration = Duration::from_millis(1);

/// Settings of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Impairment {
    /// Probability that a frame is lost, 0-1; after the queue, so it has taken its time there.
    pub loss: f64,
    /// Probability that a frame arrives twice, 0-1.
    pub duplicate: f64,
    /// Probability that a frame is held back so that later ones overtake it, 0-1.
    pub reorder: f64,
    /// How long such a frame is held back at most; drawn evenly between zero and this.
    pub reorder_by: Duration,
    /// Probability that one bit of a frame, at any place, is flipped, 0-1.
    pub corrupt: f64,
    /// Time on the way.
    pub delay: Duration,
    /// Time added to `delay`, drawn evenly between zero and this for each frame. It changes no order.
    pub jitter: Duration,
    /// Bits per second of whole frames, at least 1; `None` sends them in no time.
    pub rate: Option<u64>,
    /// Bytes that wait for the rate, the frame being sent included; a frame that would make it more is lost. Unused
    /// without a rate.
    pub queue: usize,
    /// Frames on their way at most (and 64 MiB); further ones are lost.
    pub limit: usize,
}

impl Default for Impairment {
    /// A perfect direction; a queue of 256 KiB once there is a rate, 10 ms for reordering, 65,536 frames.
    fn default() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(10),
            corrupt: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: 256 << 10,
            limit: 65_536,
        }
    }
}

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{setting} is {value}: it must be {range}")]
pub struct InvalidImpairment {
    /// Which.
    pub setting: &'static str,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub range: &'static str,
}

impl Impairment {
    /// Whether it does nothing to any frame.
    pub fn is_none(&self) -> bool {
        self.rate.is_none()
            && self.delay.is_zero()
            && self.jitter.is_zero()
            && [self.loss, self.duplicate, self.reorder, self.corrupt].iter().all(|p| *p <= 0.0)
    }

    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn validate(&self) -> Result<(), InvalidImpairment> {
        for (setting, value) in [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(InvalidImpairment {
                    setting,
                    value,
                    range: "a probability from 0 to 1",
                });
            }
        }
        if self.rate == Some(0) {
            let range = "at least 1 bit/s (lose everything to stop it)";
            return Err(InvalidImpairment { setting: "rate", value: 0.0, range });
        }
        if self.limit == 0 {
            let range = "at least 1 frame (lose everything to stop it)";
            return Err(InvalidImpairment { setting: "limit", value: 0.0, range });
        }
        Ok(())
    }
}

/// What one direction has done, frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImpairmentStats {
    /// Came in.
    pub frames: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Held back for others to overtake.
    pub reordered: u64,
    /// Spoilt.
    pub corrupted: u64,
    /// Lost because the queue before the rate was full.
    pub queue_dropped: u64,
    /// Lost because too much was on its way.
    pub limit_dropped: u64,
}

/// A direction, seen from the stack that owns the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the stack sends.
    Transmit,
    /// What the stack receives.
    Receive,
}

#[derive(Debug)]
struct Control {
    settings: [Impairment; 2],
    stats: [ImpairmentStats; 2],
}

#[derive(Debug)]
struct Shared {
    /// Counts changes of settings, so that the device need not lock to know that there was none.
    changes: AtomicU64,
    control: Mutex<Control>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Control> {
        // No code that holds this lock can panic half-way through a change.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes and reads the impairment of a device while a stack owns it. Clones are handles of the same device.
#[derive(Clone, Debug)]
pub struct ImpairmentHandle(Arc<Shared>);

impl ImpairmentHandle {
    /// The settings of a direction.
    pub fn get(&self, direction: Direction) -> Impairment {
        self.0.lock().settings[direction as usize].clone()
    }

    /// Gives a direction other settings. Frames on their way arrive as they were going to.
    ///
    /// # Errors
    /// A setting is out of its range; nothing is changed.
    pub fn set(&self, direction: Direction, settings: Impairment) -> Result<(), InvalidImpairment> {
        settings.validate()?;
        let mut control = self.0.lock();
        control.settings[direction as usize] = settings;
        self.0.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What a direction has done, as of the device's last call.
    pub fn stats(&self, direction: Direction) -> ImpairmentStats {
        self.0.lock().stats[direction as usize]
    }
}

/// A device with impairment.
///
/// It offers no offload: every frame is one as it would be on a wire. The device below should have been opened without
/// offload too, or frames it merged are lost or spoilt as one.
#[derive(Debug)]
pub struct Impaired<D> {
    device: D,
    tx: Line,
    rx: Line,
    shared: Arc<Shared>,
    seen_changes: u64,
    /// The device below may have frames that were not taken out yet.
    rx_more: bool,
    /// When to offer a frame again that the device below had no room for.
    tx_retry: Option<Instant>,
    /// Where merged datagrams are taken apart.
    scratch: Vec<u8>,
}

impl<D: Device> Impaired<D> {
    /// A layer over `device`, with settings for what the stack sends and receives, and the seed of their chances.
    ///
    /// # Errors
    /// A setting is out of its range.
    pub fn new(
        device: D,
        transmit: Impairment,
        receive: Impairment,
        seed: u64,
    ) -> Result<Self, InvalidImpairment> {
        Self::with_streams(device, [transmit, receive], seed, [0, 1])
    }

    fn with_streams(
        device: D,
        settings: [Impairment; 2],
        seed: u64,
        streams: [u64; 2],
    ) -> Result<Self, InvalidImpairment> {
        settings.iter().try_for_each(Impairment::validate)?;
        let [tx, rx] = settings.clone();
        Ok(Self {
            device,
            tx: Line::new(tx, seed, streams[0]),
            rx: Line::new(rx, seed, streams[1]),
            shared: Arc::new(Shared {
                changes: AtomicU64::new(0),
                control: Mutex::new(Control { settings, stats: Default::default() }),
            }),
            seen_changes: 0,
            rx_more: false,
            scratch: Vec::new(),
            tx_retry: None,
        })
    }

    /// Changes and reads the impairment, from any thread.
    pub fn handle(&self) -> ImpairmentHandle {
        ImpairmentHandle(Arc::clone(&self.shared))
    }

    /// The device below.
    pub fn get_ref(&self) -> &D {
        &self.device
    }

    fn take_changes(&mut self) {
        let changes = self.shared.changes.load(Ordering::Acquire);
        if changes != self.seen_changes {
            self.seen_changes = changes;
            let [tx, rx] = self.shared.lock().settings.clone();
            self.tx.settings = tx;
            self.rx.settings = rx;
        }
    }

    fn tell_stats(&self) {
        self.shared.lock().stats = [self.tx.stats, self.rx.stats];
    }

    /// Gives frames that are due to the device below.
    fn pump_tx(&mut self, now: Instant) -> io::Result<()> {
        self.tx_retry = None;
        for _ in 0..BATCH {
            let Some(held) = self.tx.peek(now) else { break };
            match self.device.send(&TxFrame::of(&[&held.data])) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.tx_retry = Some(now + RETRY);
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            if let Some(held) = self.tx.pop(now) {
                self.tx.recycle(held);
            }
        }
        Ok(())
    }

    /// Takes what has come out of the device below; `buf` is scratch.
    fn pump_rx(&mut self, now: Instant, buf: &mut [u8]) -> io::Result<()> {
        self.rx_more = false;
        for _ in 0..BATCH {
            match self.device.recv(buf) {
                Ok(Received { data, checksum_trusted, gso_size }) => {
                    let data = match &data {
                        RxData::Buffer(len) => &buf[..*len],
                        RxData::Owned(data) => &data[..],
                    };
                    let (rx, medium) = (&mut self.rx, self.device.medium());
                    // What is done to packets is done to each of merged datagrams.
                    each_received(medium, data, gso_size, &mut self.scratch, |one, gso_size| {
                        rx.enter(now, &[one], checksum_trusted, gso_size);
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.rx_more = true;
        Ok(())
    }

    fn recv_at(&mut self, now: Instant, buf: &mut [u8]) -> io::Result<Received> {
        self.take_changes();
        if !self.tx.is_clear() {
            self.pump_tx(now)?;
        }
        if self.rx.is_clear() {
            self.rx_more = false;
            return self.device.recv(buf);
        }
        // Frames that are due go first: a burst from below must not hold them up.
        if self.rx.peek(now).is_none() {
            let pumped = self.pump_rx(now, buf);
            self.tell_stats();
            pumped?;
        }
        let Some(held) = self.rx.pop(now) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let (trusted, gso_size) = (held.trusted, held.gso_size);
        let data = match buf.get_mut(..held.data.len()) {
            Some(buf) => {
                buf.copy_from_slice(&held.data);
                let len = held.data.len();
                self.rx.recycle(held);
                RxData::Buffer(len)
            }
            None => RxData::Owned(held.data),
        };
        Ok(Received { data, checksum_trusted: trusted, gso_size })
    }

    fn send_at(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.take_changes();
        if self.tx.is_clear() {
            return self.device.send(frame);
        }
        debug_assert!(frame.checksum.is_none() && frame.gso.is_none(), "no offload was offered");
        self.tx.enter(now, &frame.pieces, false, 0);
        let pumped = self.pump_tx(now);
        self.tell_stats();
        pumped
    }
}

impl<D: Device> Device for Impaired<D> {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { offload: Offload::default(), ..self.device.info() }
    }

    fn medium(&self) -> Medium {
        self.device.medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.recv_at(Instant::now(), buf)
    }

    /// Never says `WouldBlock` while there is anything to do to frames: what is too much is lost.
    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.send_at(Instant::now(), frame)
    }

    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::RawFd> {
        self.device.fd()
    }

    #[cfg(unix)]
    fn link_fd(&self) -> Option<std::os::fd::RawFd> {
        self.device.link_fd()
    }

    fn link_change(&mut self) -> Option<bool> {
        self.device.link_change()
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.device.set_waker(waker);
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        self.device.set_mtu(mtu)
    }

    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        self.device.set_up(up)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tx = self.tx_retry.or_else(|| self.tx.next_due());
        // Frames left below are of no hurry beyond being taken out at once.
        let rx = if self.rx_more { Some(Instant::now()) } else { self.rx.next_due() };
        tx.into_iter().chain(rx).chain(self.device.poll_timeout()).min()
    }
}

/// A link (see [`pair`]) each of whose directions is impaired: `settings[0]` from the first end to the second. It has no
/// offload, whatever `options` say.
///
/// Frames are held where they arrive, so what an end had sent before it was dropped still arrives.
///
/// # Errors
/// A setting is out of its range.
pub fn impaired_pair(
    options: LinkOptions,
    settings: [Impairment; 2],
    seed: u64,
) -> Result<(Impaired<Link>, Impaired<Link>), InvalidImpairment> {
    let (first, second) = pair(LinkOptions { offload: false, ..options });
    let [there, back] = settings;
    let none = Impairment::default;
    Ok((
        Impaired::with_streams(first, [none(), back], seed, [0, 1])?,
        Impaired::with_streams(second, [none(), there], seed, [2, 3])?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn send<D: Device>(device: &mut Impaired<D>, now: Instant, data: &[u8]) {
        device.send_at(now, &TxFrame::of(&[data])).unwrap();
    }

    fn recv<D: Device>(device: &mut Impaired<D>, now: Instant) -> Option<Vec<u8>> {
        let mut buf = vec![0; device.info().max_frame];
        match device.recv_at(now, &mut buf) {
            Ok(Received { data: RxData::Buffer(len), .. }) => Some(buf[..len].to_vec()),
            Ok(Received { data: RxData::Owned(data), .. }) => Some(data),
            Err(e) => {
                assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
                None
            }
        }
    }

    fn delay(n: u64) -> Impairment {
        Impairment { delay: ms(n), ..Impairment::default() }
    }

    #[test]
    fn each_direction_has_its_own_settings() {
        let (mut a, mut b) =
            impaired_pair(LinkOptions::default(), [delay(20), delay(50)], 1).unwrap();
        assert_eq!(a.info().offload, Offload::default());
        let now = Instant::now();
        send(&mut a, now, b"there");
        send(&mut b, now, b"back");
        assert_eq!((recv(&mut a, now), recv(&mut b, now)), (None, None));
        assert_eq!(a.poll_timeout(), Some(now + ms(50)));
        assert_eq!(b.poll_timeout(), Some(now + ms(20)));
        assert_eq!(recv(&mut b, now + ms(20)).unwrap(), b"there");
        assert_eq!(recv(&mut a, now + ms(49)), None);
        assert_eq!(recv(&mut a, now + ms(50)).unwrap(), b"back");
        assert_eq!((a.poll_timeout(), b.poll_timeout()), (None, None));
    }

    #[test]
    fn merged_datagrams_are_impaired_one_by_one() {
        let (inner, mut peer) = pair(LinkOptions::default());
        let mut device = Impaired::new(inner, Impairment::default(), delay(10), 1).unwrap();
        let whole = crate::datagrams::tests::packet(false, 1000);
        let frame = TxFrame {
            checksum: Some(crate::device::TxChecksum { start: 20, offset: 6 }),
            gso: Some(crate::device::Gso { kind: crate::device::GsoKind::Udp4, size: 400 }),
            ..TxFrame::of(&[&whole])
        };
        peer.send(&frame).unwrap();
        let now = Instant::now();
        assert_eq!(recv(&mut device, now), None);
        let got: Vec<_> = std::iter::from_fn(|| recv(&mut device, now + ms(10))).collect();
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [428, 428, 228]);
        assert_eq!(
            got.iter().flat_map(|one| &one[28..]).collect::<Vec<_>>(),
            whole[28..].iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_was_sent_outlives_the_sender() {
        let (mut a, mut b) =
            impaired_pair(LinkOptions::default(), [delay(20), delay(20)], 1).unwrap();
        let now = Instant::now();
        send(&mut a, now, b"last words");
        drop(a);
        assert_eq!(recv(&mut b, now), None);
        assert_eq!(recv(&mut b, now + ms(20)).unwrap(), b"last words");
    }

    #[test]
    fn what_is_sent_is_impaired_over_any_device() {
        let (inner, mut peer) =
            pair(LinkOptions { offload: false, capacity: 2, ..LinkOptions::default() });
        let mut device = Impaired::new(inner, delay(10), Impairment::default(), 1).unwrap();
        let now = Instant::now();
        for n in 0..4u8 {
            send(&mut device, now, &[n]);
        }
        assert_eq!(device.poll_timeout(), Some(now + ms(10)));
        let mut buf = [0; 1500];
        assert!(peer.recv(&mut buf).is_err());
        assert_eq!(recv(&mut device, now + ms(10)), None);
        // The device below had room for two; the others are offered again a little later.
        assert_eq!(device.poll_timeout(), Some(now + ms(11)));
        for n in 0..4u8 {
            let _ = recv(&mut device, now + ms(11 + u64::from(n)));
            assert!(peer.recv(&mut buf).is_ok(), "frame {n}");
            assert_eq!(buf[0], n);
        }
        let _ = recv(&mut device, now + ms(20));
        assert_eq!(device.poll_timeout(), None);
        // The direction without impairment is as fast as the device.
        peer.send(&TxFrame::of(&[b"x"])).unwrap();
        assert_eq!(recv(&mut device, now + ms(20)).unwrap(), b"x");
    }

    #[test]
    fn settings_change_while_it_runs() {
        let (mut a, mut b) =
            impaired_pair(LinkOptions::default(), [delay(20), delay(20)], 1).unwrap();
        let handle = b.handle();
        let now = Instant::now();
        send(&mut a, now, b"slow");
        assert_eq!(recv(&mut b, now), None);
        let cut = Impairment { loss: 1.0, ..Impairment::default() };
        handle.clone().set(Direction::Receive, cut.clone()).unwrap();
        assert_eq!(handle.get(Direction::Receive), cut);
        send(&mut a, now, b"lost");
        assert_eq!(recv(&mut b, now + ms(20)).unwrap(), b"slow");
        assert_eq!(recv(&mut b, now + ms(60)), None);
        assert_eq!(handle.stats(Direction::Receive).lost, 1);
        handle.set(Direction::Receive, Impairment::default()).unwrap();
        send(&mut a, now, b"fast");
        assert_eq!(recv(&mut b, now).unwrap(), b"fast");
        let bad = Impairment { loss: f64::NAN, ..Impairment::default() };
        assert_eq!(handle.set(Direction::Receive, bad).unwrap_err().setting, "loss");
        assert_eq!(handle.get(Direction::Receive), Impairment::default());
    }

    #[test]
    fn a_burst_is_taken_out_in_bounded_pieces_and_none_is_forgotten() {
        let (mut a, mut b) =
            impaired_pair(LinkOptions::default(), [delay(5), delay(5)], 1).unwrap();
        let now = Instant::now();
        for n in 0..200u8 {
            send(&mut a, now, &[n]);
        }
        assert_eq!(recv(&mut b, now), None);
        assert!(b.poll_timeout().unwrap() < now + ms(5), "more waits below");
        while recv(&mut b, now).is_none() && b.rx_more {}
        for n in 0..200u8 {
            assert_eq!(recv(&mut b, now + ms(5)).unwrap(), [n]);
        }
        assert_eq!(recv(&mut b, now + ms(5)), None);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let default = Impairment::default();
        for (name, bad) in [
            ("loss", Impairment { loss: 1.1, ..default.clone() }),
            ("duplicate", Impairment { duplicate: -0.1, ..default.clone() }),
            ("reorder", Impairment { reorder: f64::INFINITY, ..default.clone() }),
            ("corrupt", Impairment { corrupt: f64::NAN, ..default.clone() }),
            ("rate", Impairment { rate: Some(0), ..default.clone() }),
            ("limit", Impairment { limit: 0, ..default.clone() }),
        ] {
            assert_eq!(bad.validate().unwrap_err().setting, name);
            let error =
                impaired_pair(LinkOptions::default(), [bad, default.clone()], 1).err().unwrap();
            assert!(error.to_string().starts_with(&format!("{name} is ")), "{error}");
        }
    }
}
