//! Capture: a layer over any device that writes what goes through it as pcapng, for Wireshark and tcpdump.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use usernet_pcapng::{Direction, LinkType};

use crate::datagrams::{each_received, each_sent};
use crate::device::{Device, DeviceInfo, Medium, Offload, Received, RxData, TxFrame, Wake};
use crate::open_error::OpenError;

/// What a capture keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Most bytes of a frame that are kept; 0 keeps all of them.
    pub snap_len: u32,
    /// Most bytes of the whole capture; frames beyond it are counted and left out.
    pub limit: u64,
}

impl Default for CaptureOptions {
    /// Whole frames, without limit.
    fn default() -> Self {
        Self { snap_len: 0, limit: u64::MAX }
    }
}

/// What a capture has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CaptureStats {
    /// Frames written.
    pub frames: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Frames left out: beyond the limit, or after the writer failed.
    pub missed: u64,
}

struct Inner {
    writer: Box<dyn Write + Send>,
    options: CaptureOptions,
    interfaces: u32,
    stats: CaptureStats,
    /// The first error of the writer; nothing is written after it.
    error: Option<io::Error>,
    /// One block at a time, so that the writer never sees half of one.
    block: Vec<u8>,
}

impl Inner {
    /// Writes the block that was put together.
    fn write(&mut self) -> bool {
        if self.error.is_some() {
            return false;
        }
        match self.writer.write_all(&self.block) {
            Ok(()) => {
                self.stats.bytes += self.block.len() as u64;
                true
            }
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    fn frame(&mut self, interface: u32, nanos: u64, direction: Direction, pieces: &[&[u8]]) {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let keep = match self.options.snap_len {
            0 => len,
            most => len.min(most as usize),
        };
        let room = self.options.limit.saturating_sub(self.stats.bytes);
        if usernet_pcapng::packet_len(keep) as u64 > room {
            self.stats.missed += 1;
            return;
        }
        self.block.clear();
        usernet_pcapng::packet(&mut self.block, interface, nanos, direction, pieces, keep);
        if self.write() {
            self.stats.frames += 1;
        } else {
            self.stats.missed += 1;
        }
    }
}

/// Nanoseconds since 1970; a clock before that, or after 2554, is nobody's.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A running capture of any number of devices. Clones are handles of the same one.
///
/// It keeps one block in memory. What the writer costs, the thread that drives the device pays: give it a `BufWriter` of
/// a file, and [`flush`](Self::flush) that. A writer that fails stops the capture, not the traffic.
#[derive(Clone)]
pub struct Capture(Arc<Mutex<Inner>>);

impl Capture {
    /// Starts a capture that goes to `writer`, with the format's header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(writer: impl Write + Send + 'static, options: CaptureOptions) -> io::Result<Self> {
        let mut inner = Inner {
            writer: Box::new(writer),
            options,
            interfaces: 0,
            stats: CaptureStats::default(),
            error: None,
            block: Vec::new(),
        };
        usernet_pcapng::section(&mut inner.block, "usernet");
        inner.write();
        match inner.error.take() {
            Some(error) => Err(error),
            None => Ok(Self(Arc::new(Mutex::new(inner)))),
        }
    }

    /// A layer over `device` that captures what goes through it, as an interface of its name.
    ///
    /// It sees frames as the device does: with offload, what is sent has unfinished checksums and can be up to 64 KiB, as
    /// in captures of the kernel's own interfaces; but merged UDP datagrams are single ones, as on a wire. A frame the device had no room for appears when it was taken.
    pub fn layer<D: Device>(&self, device: D) -> Captured<D> {
        let mut inner = self.lock();
        let interface = inner.interfaces;
        inner.interfaces += 1;
        let link_type = match device.medium() {
            Medium::Ip => LinkType::Raw,
            Medium::Ethernet => LinkType::Ethernet,
        };
        let snap_len = inner.options.snap_len;
        inner.block.clear();
        usernet_pcapng::interface(&mut inner.block, &device.info().name, link_type, snap_len);
        inner.write();
        drop(inner);
        Captured { device, capture: self.clone(), interface, scratch: Vec::new() }
    }

    /// What has been written up to now.
    pub fn stats(&self) -> CaptureStats {
        self.lock().stats
    }

    /// Flushes the writer.
    ///
    /// # Errors
    /// Why the capture stopped before; or why the writer cannot be flushed.
    pub fn flush(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if let Some(error) = &inner.error {
            let told = io::Error::new(error.kind(), error.to_string());
            return Err(told);
        }
        inner.writer.flush()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A writer that panics under it may leave half a block; the capture is then as good as it gets.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A device whose frames are captured; see [`Capture::layer`].
#[derive(Debug)]
pub struct Captured<D> {
    device: D,
    capture: Capture,
    interface: u32,
    /// Where merged datagrams are taken apart.
    scratch: Vec<u8>,
}

impl<D> Captured<D> {
    /// The device below.
    pub fn get_ref(&self) -> &D {
        &self.device
    }
}

impl<D: Device> Device for Captured<D> {
    /// What is written down is packets: whose length their headers say.
    fn info(&self) -> DeviceInfo {
        let info = self.device.info();
        DeviceInfo { offload: Offload { big_tcp4: false, ..info.offload }, ..info }
    }

    fn medium(&self) -> Medium {
        self.device.medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let received = self.device.recv(buf)?;
        let data = match &received.data {
            RxData::Buffer(len) => &buf[..*len],
            RxData::Owned(data) => &data[..],
        };
        let (nanos, mut inner) = (now(), self.capture.lock());
        each_received(
            self.device.medium(),
            data,
            received.gso_size,
            &mut self.scratch,
            |one, _| {
                inner.frame(self.interface, nanos, Direction::Inbound, &[one]);
            },
        );
        drop(inner);
        Ok(received)
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        // The time before it is sent: another thread may receive it, and the answer, at once.
        let nanos = now();
        self.device.send(frame)?;
        let mut inner = self.capture.lock();
        each_sent(self.device.medium(), frame, &mut self.scratch, |pieces| {
            inner.frame(self.interface, nanos, Direction::Outbound, pieces);
        });
        Ok(())
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
        self.device.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{LinkOptions, pair};
    use pcap_parser::PcapBlockOwned::NG;
    use pcap_parser::traits::PcapNGPacketBlock;
    use pcap_parser::{Block, Linktype, OptionCode, PcapNGSlice};

    /// Memory that a test can read while a capture writes it; fails beyond `room`.
    #[derive(Clone)]
    struct Sink {
        bytes: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Sink {
        fn new(room: usize) -> Self {
            Self { bytes: Arc::default(), room }
        }

        fn bytes(&self) -> Vec<u8> {
            self.bytes.lock().unwrap().clone()
        }
    }

    impl Write for Sink {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            let mut bytes = self.bytes.lock().unwrap();
            if bytes.len() + data.len() > self.room {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            bytes.extend_from_slice(data);
            Ok(data.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A packet as an independent reader finds it: interface, direction, length on the wire, bytes kept, time, ns.
    type Packet = (u32, u8, u32, Vec<u8>, u64);

    /// Interfaces and packets of a capture.
    fn read(bytes: &[u8]) -> (Vec<Linktype>, Vec<Packet>) {
        let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
        for block in PcapNGSlice::from_slice(bytes).unwrap() {
            match block.unwrap() {
                NG(Block::InterfaceDescription(found)) => {
                    assert_eq!(found.ts_resolution(), Some(1_000_000_000));
                    interfaces.push(found.linktype);
                }
                NG(Block::EnhancedPacket(found)) => {
                    let flags = found.options.iter().find(|o| o.code == OptionCode(2)).unwrap();
                    let nanos = u64::from(found.ts_high) << 32 | u64::from(found.ts_low);
                    let data = found.packet_data().to_vec();
                    packets.push((found.if_id, flags.value[0], found.origlen, data, nanos));
                }
                NG(Block::SectionHeader(_)) => {}
                _ => panic!("a block of another kind"),
            }
        }
        (interfaces, packets)
    }

    #[test]
    fn what_is_captured_is_no_longer_than_a_packet() {
        struct Big;
        impl Device for Big {
            fn info(&self) -> DeviceInfo {
                let offload = Offload { big_tcp4: true, tso4: true, ..Offload::default() };
                DeviceInfo { name: "big".into(), mtu: 1500, max_frame: 1500, offload }
            }

            fn recv(&mut self, _: &mut [u8]) -> io::Result<Received> {
                Err(io::ErrorKind::WouldBlock.into())
            }

            fn send(&mut self, _: &TxFrame<'_>) -> io::Result<()> {
                Ok(())
            }

            fn set_waker(&mut self, _: Arc<dyn Wake>) {}
        }
        let capture = Capture::new(io::sink(), CaptureOptions::default()).unwrap();
        let offload = capture.layer(Big).info().offload;
        assert!(offload.tso4 && !offload.big_tcp4);
    }

    fn frame(pieces: [&[u8]; 3]) -> TxFrame<'_> {
        TxFrame::of(&pieces)
    }

    #[test]
    fn captures_both_ways_with_time_and_direction() {
        let sink = Sink::new(usize::MAX);
        let capture = Capture::new(sink.clone(), CaptureOptions::default()).unwrap();
        let (a, b) = pair(LinkOptions { capacity: 2, ..LinkOptions::default() });
        let (mut a, mut b) = (capture.layer(a), capture.layer(b));
        let before = now();
        a.send(&frame([b"he", b"", b"llo"])).unwrap();
        // Large enough to be handed over rather than copied.
        let large = vec![1; 40_000];
        let gso = Some(crate::device::Gso { kind: crate::device::GsoKind::Tcp4, size: 1460 });
        a.send(&TxFrame { gso, ..frame([&large[..1], &large[1..], b""]) }).unwrap();
        assert!(a.send(&frame([b"no room", b"", b""])).is_err());
        let mut buf = vec![0; b.info().max_frame];
        assert!(matches!(b.recv(&mut buf).unwrap().data, RxData::Buffer(5)));
        assert!(matches!(b.recv(&mut buf).unwrap().data, RxData::Owned(_)));
        assert!(b.recv(&mut buf).is_err());
        let after = now();
        capture.flush().unwrap();

        let bytes = sink.bytes();
        let (interfaces, packets) = read(&bytes);
        assert_eq!(interfaces, [Linktype::RAW, Linktype::RAW]);
        let seen: Vec<_> =
            packets.iter().map(|(i, way, len, data, _)| (*i, *way, *len, &data[..])).collect();
        let (out, into) = (2, 1);
        assert_eq!(
            seen,
            [
                (0, out, 5, &b"hello"[..]),
                (0, out, 40_000, &large),
                (1, into, 5, b"hello"),
                (1, into, 40_000, &large)
            ]
        );
        assert!(packets.iter().all(|p| (before..=after).contains(&p.4)));
        assert_eq!(
            capture.stats(),
            CaptureStats { frames: 4, bytes: bytes.len() as u64, missed: 0 }
        );
    }

    #[test]
    fn keeps_the_limit_and_the_snap_length() {
        let sink = Sink::new(usize::MAX);
        let options = CaptureOptions { snap_len: 40, limit: 1000 };
        let capture = Capture::new(sink.clone(), options).unwrap();
        let (a, _b) = pair(LinkOptions::default());
        let mut a = capture.layer(a);
        for _ in 0..20 {
            a.send(&frame([&[7; 30], &[8; 1000], b""])).unwrap();
        }
        let bytes = sink.bytes();
        assert!(bytes.len() <= 1000);
        let (_, packets) = read(&bytes);
        assert!(packets.len() > 8);
        assert!(packets.iter().all(|p| p.2 == 1030 && p.3 == [vec![7; 30], vec![8; 10]].concat()));
        assert_eq!(capture.stats().missed, 20 - packets.len() as u64);
        assert_eq!(capture.stats().frames, packets.len() as u64);
    }

    #[test]
    fn a_writer_that_fails_stops_the_capture_and_not_the_traffic() {
        let sink = Sink::new(400);
        let capture = Capture::new(sink.clone(), CaptureOptions::default()).unwrap();
        let (a, mut b) = pair(LinkOptions::default());
        let mut a = capture.layer(a);
        for _ in 0..10 {
            a.send(&frame([&[7; 100], b"", b""])).unwrap();
        }
        let mut buf = vec![0; 65_550];
        for _ in 0..10 {
            assert!(b.recv(&mut buf).is_ok());
        }
        let (_, packets) = read(&sink.bytes());
        assert!(!packets.is_empty(), "what was written before is whole");
        assert_eq!(capture.stats().frames, packets.len() as u64);
        assert_eq!(capture.stats().missed, 10 - packets.len() as u64);
        assert_eq!(capture.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(Capture::new(Sink::new(0), CaptureOptions::default()).is_err());
    }
}
