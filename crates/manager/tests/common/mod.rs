//! What the tests share: two interfaces on a wire that tests can cut, stop, fail and blow up.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use usernet_device::{Device, DeviceInfo, Offload, Received, RxData, TxFrame, Wake};
use usernet_manager::{Config, Interface, Secrets};

/// Frames that a direction of the wire holds.
const CAPACITY: usize = 64;

/// What a wire does with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carries them.
    Up,
    /// Loses, doubles and swaps some of them, the same ones each time.
    Lossy,
    /// Loses them.
    Cut,
    /// Takes none, once it is full: nobody receives.
    Stopped,
    /// Fails for good.
    Broken,
    /// Panics.
    Explosive,
}

#[derive(Default)]
struct Direction {
    frames: VecDeque<Vec<u8>>,
    /// Who waits for frames, and who for room.
    reader: Option<Arc<dyn Wake>>,
    writer: Option<Arc<dyn Wake>>,
    closed: bool,
    /// State of the generator for [`Mode::Lossy`].
    random: u64,
}

impl Direction {
    /// A number from 0 to 99.
    fn percent(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) % 100
    }
}

/// Two directions of frames, and what is done to them.
pub struct Wire {
    directions: [Mutex<Direction>; 2],
    mode: Mutex<Mode>,
    in_buffer: bool,
}

impl Wire {
    /// A wire and the devices at its ends. `in_buffer` says whether frames are received in the buffer given or owned.
    pub fn new(in_buffer: bool) -> (Arc<Self>, End, End) {
        let wire = Arc::new(Self {
            directions: Default::default(),
            mode: Mutex::new(Mode::Up),
            in_buffer,
        });
        (wire.clone(), End { wire: wire.clone(), side: 0 }, End { wire, side: 1 })
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        for direction in &self.directions {
            let direction = direction.lock().unwrap();
            for waker in [&direction.reader, &direction.writer].into_iter().flatten() {
                waker.wake();
            }
        }
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }
}

/// One end of a wire.
pub struct End {
    wire: Arc<Wire>,
    side: usize,
}

impl End {
    fn check(&self) -> io::Result<Mode> {
        match self.wire.mode() {
            Mode::Broken => Err(io::Error::other("broken on purpose")),
            Mode::Explosive if self.side == 0 => panic!("exploded on purpose"),
            mode => Ok(mode),
        }
    }
}

impl Device for End {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            name: format!("wire{}", self.side),
            mtu: 1500,
            max_frame: 1500,
            offload: Offload::default(),
        }
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let mode = self.check()?;
        let mut direction = self.wire.directions[self.side].lock().unwrap();
        if mode == Mode::Stopped {
            return Err(ErrorKind::WouldBlock.into());
        }
        let frame = direction.frames.pop_front().ok_or(ErrorKind::WouldBlock)?;
        if let Some(waker) = &direction.writer {
            waker.wake();
        }
        let data = if self.wire.in_buffer {
            buf[..frame.len()].copy_from_slice(&frame);
            RxData::Buffer(frame.len())
        } else {
            RxData::Owned(frame)
        };
        Ok(Received { data, checksum_trusted: false, gso_size: 0 })
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        let mode = self.check()?;
        assert!(frame.checksum.is_none() && frame.gso.is_none(), "the wire offloads nothing");
        let mut direction = self.wire.directions[1 - self.side].lock().unwrap();
        if mode == Mode::Cut || direction.closed {
            return Ok(());
        }
        if direction.frames.len() >= CAPACITY {
            return Err(ErrorKind::WouldBlock.into());
        }
        let lossy = mode == Mode::Lossy;
        if lossy && direction.percent() < 5 {
            return Ok(());
        }
        direction.frames.push_back(frame.pieces.concat());
        if lossy && direction.percent() < 5 {
            direction.frames.push_back(frame.pieces.concat());
        }
        if let last @ 1.. = direction.frames.len() - 1
            && lossy
            && direction.percent() < 5
        {
            direction.frames.swap(last, last - 1);
        }
        if let Some(waker) = &direction.reader {
            waker.wake();
        }
        Ok(())
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.wire.directions[self.side].lock().unwrap().reader = Some(waker.clone());
        self.wire.directions[1 - self.side].lock().unwrap().writer = Some(waker);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut ours = self.wire.directions[self.side].lock().unwrap();
        ours.closed = true;
        ours.frames.clear();
        ours.reader = None;
        if let Some(waker) = &ours.writer {
            waker.wake();
        }
        drop(ours);
        self.wire.directions[1 - self.side].lock().unwrap().writer = None;
    }
}

/// An interface with addresses 198.18.0.`host` and fd00::`host`.
pub fn interface(device: impl Device + 'static, host: u8, config: Config) -> Interface {
    Interface::builder(device)
        .address(&format!("198.18.0.{host}/24"))
        .address(&format!("fd00::{host}/64"))
        .config(config)
        .secrets(Secrets::from_bytes(&[host; 64]), host.into())
        .start()
        .unwrap()
}

/// Two interfaces, hosts 1 and 2, on one wire.
pub fn pair_with(config: Config) -> (Arc<Wire>, Interface, Interface) {
    let (wire, a, b) = Wire::new(true);
    (wire, interface(a, 1, config.clone()), interface(b, 2, config))
}

/// Two interfaces, hosts 1 and 2, on one wire.
pub fn pair() -> (Arc<Wire>, Interface, Interface) {
    pair_with(Config::default())
}

/// Bytes that tell where they belong.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
