//! A port through which a program hands frames in and takes them out itself (tunnels, WebSockets, emulated machines): a
//! link whose other end is the program.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::device::{Device, DeviceInfo, Medium, Received, RxData, TxFrame, Wake};
use crate::link::{Link, LinkOptions, pair};

/// How a port is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOptions {
    /// Its name.
    pub name: String,
    /// Largest packet, bytes, without Ethernet header.
    pub mtu: u16,
    /// What its frames begin with.
    pub medium: Medium,
    /// Frames that wait each way; at least 1 is used.
    pub capacity: usize,
}

impl Default for PortOptions {
    /// MTU 1,500, IP packets, 512 frames each way, `port0`.
    fn default() -> Self {
        Self { name: "port0".into(), mtu: 1500, medium: Medium::Ip, capacity: 512 }
    }
}

/// What has passed a port, as its program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PortStats {
    /// Frames the program handed in.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames the program took out.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Frames the program meant to hand in that found no room.
    pub dropped: u64,
    /// Frames the program meant to hand in that were empty or too long.
    pub invalid: u64,
}

/// The program's end of a port. Dropping it ends the device.
pub struct FramePort {
    link: Link,
    longest: usize,
    buffer: Vec<u8>,
    stats: PortStats,
}

/// The stack's end of a port. It is gone once the program's is, and what that had handed in was received.
pub struct PortDevice(Link);

/// Makes a port: its two ends.
pub fn frame_port(options: PortOptions) -> (FramePort, PortDevice) {
    let PortOptions { name, mtu, medium, capacity } = options;
    let names = [name.clone(), name];
    let (device, link) = pair(LinkOptions { mtu, medium, capacity, offload: false, names });
    let longest = link.info().max_frame;
    let port = FramePort { link, longest, buffer: vec![0; longest], stats: PortStats::default() };
    (port, PortDevice(device))
}

impl FramePort {
    /// Hands a frame in.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room: the waker says when there is again; `InvalidInput` for one that is empty or
    /// longer than the MTU and the link header; `BrokenPipe` where the stack has let its end go.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        if frame.is_empty() || frame.len() > self.longest {
            self.stats.invalid += 1;
            return Err(ErrorKind::InvalidInput.into());
        }
        if !self.link.is_connected() {
            self.stats.dropped += 1;
            return Err(ErrorKind::BrokenPipe.into());
        }
        let sent = self.link.send(&TxFrame::of(&[frame]));
        if sent.is_ok() {
            self.stats.frames_in += 1;
            self.stats.bytes_in += frame.len() as u64;
        } else {
            self.stats.dropped += 1;
        }
        sent
    }

    /// Takes the next frame out, and gives it to `take`; nothing where none waits.
    pub fn read<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let received = self.link.recv(&mut self.buffer).ok()?;
        let frame = match &received.data {
            RxData::Buffer(len) => &self.buffer[..*len],
            RxData::Owned(frame) => &frame[..],
        };
        self.stats.frames_out += 1;
        self.stats.bytes_out += frame.len() as u64;
        let taken = take(frame);
        if let RxData::Owned(frame) = received.data {
            self.link.recycle(frame);
        }
        Some(taken)
    }

    /// Whether `write` would find room.
    pub fn has_room(&self) -> bool {
        self.link.has_room()
    }

    /// Frames that wait to be taken out.
    pub fn waiting(&self) -> usize {
        self.link.waiting()
    }

    /// Whether the stack still has its end.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Who to wake when a frame came out where there was none, and when there is room again.
    pub fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.link.set_waker(waker);
    }

    /// What has passed.
    pub fn stats(&self) -> PortStats {
        self.stats
    }
}

impl std::fmt::Debug for FramePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FramePort").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Device for PortDevice {
    fn info(&self) -> DeviceInfo {
        self.0.info()
    }

    fn medium(&self) -> Medium {
        self.0.medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        // Asked first: what was handed in before the other end went is there by then.
        let connected = self.0.is_connected();
        match self.0.recv(buf) {
            Err(e) if e.kind() == ErrorKind::WouldBlock && !connected => {
                Err(ErrorKind::BrokenPipe.into())
            }
            other => other,
        }
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.0.send(frame)
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.0.set_waker(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn ethernet(capacity: usize) -> (FramePort, PortDevice) {
        let medium = Medium::Ethernet;
        frame_port(PortOptions { mtu: 100, medium, capacity, ..PortOptions::default() })
    }

    fn receive(device: &mut PortDevice) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; device.info().max_frame];
        let received = device.recv(&mut buf)?;
        assert!(!received.checksum_trusted, "nobody vouches for what a program made");
        match received.data {
            RxData::Buffer(len) => Ok(buf[..len].to_vec()),
            RxData::Owned(data) => Ok(data),
        }
    }

    fn send(device: &mut PortDevice, data: &[u8]) -> io::Result<()> {
        device.send(&TxFrame::of(&[data]))
    }

    #[test]
    fn frames_pass_both_ways_and_are_counted() {
        let (mut port, mut device) = ethernet(4);
        assert_eq!((device.medium(), device.info().mtu), (Medium::Ethernet, 100));
        port.write(&[1; 118]).unwrap();
        assert_eq!(receive(&mut device).unwrap(), [1; 118]);
        assert_eq!(receive(&mut device).unwrap_err().kind(), ErrorKind::WouldBlock);
        send(&mut device, &[2; 60]).unwrap();
        assert_eq!(port.waiting(), 1);
        assert_eq!(port.read(<[u8]>::to_vec).unwrap(), [2; 60]);
        assert_eq!(port.read(<[u8]>::to_vec), None);
        for bad in [&[0; 119][..], &[]] {
            assert_eq!(port.write(bad).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let expected = PortStats {
            frames_in: 1,
            bytes_in: 118,
            frames_out: 1,
            bytes_out: 60,
            dropped: 0,
            invalid: 2,
        };
        assert_eq!(port.stats(), expected);
    }

    #[test]
    fn a_full_port_says_so_both_ways_and_tells_of_room() {
        let (mut port, mut device) = ethernet(2);
        let waker = Arc::new(Count::default());
        port.set_waker(waker.clone());
        for _ in 0..2 {
            port.write(b"in").unwrap();
            send(&mut device, b"out").unwrap();
        }
        assert_eq!(waker.0.load(Ordering::SeqCst), 1, "of the first frame");
        assert_eq!(port.write(b"in").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(send(&mut device, b"out").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!port.has_room());
        assert_eq!(port.stats().dropped, 1);
        receive(&mut device).unwrap();
        assert_eq!(waker.0.load(Ordering::SeqCst), 2, "of the room");
        assert!(port.has_room());
    }

    #[test]
    fn either_end_may_go_first() {
        let (mut port, mut device) = ethernet(2);
        let waker = Arc::new(Count::default());
        device.set_waker(waker.clone());
        port.write(b"last words").unwrap();
        drop(port);
        assert_eq!(waker.0.load(Ordering::SeqCst), 2, "of the frame and of the end");
        send(&mut device, b"to nobody").unwrap();
        assert_eq!(receive(&mut device).unwrap(), b"last words");
        assert_eq!(receive(&mut device).unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (mut port, device) = ethernet(2);
        drop(device);
        assert!(!port.is_connected());
        assert_eq!(port.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
