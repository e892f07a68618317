//! Ethernet frames over a UNIX socket, as QEMU's `-netdev stream` and `-netdev dgram` speak them (and passt, socket_vmnet
//! and others): on a stream each frame after its length in four bytes, big-endian; of datagrams each is one frame.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::device::{Device, DeviceInfo, Medium, Offload, Received, RxData, TxFrame, Wake};
use crate::open_error::OpenError;

/// Largest frame that is believed, bytes: QEMU's own bound is 69,632.
const MAX_FRAME: usize = 65_550;
/// Bytes of the length before a frame.
const LENGTH: usize = 4;
/// Ethernet header with a VLAN tag, bytes.
const LINK_HEADER: usize = 18;

/// How a socket is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmSocket {
    /// Connects to a stream socket at a path.
    Connect(PathBuf),
    /// Makes a stream socket at a path, and carries frames for whoever connects, one after the other. The path is
    /// removed when the device is dropped.
    Listen(PathBuf),
    /// A datagram socket at `local`, which is removed when the device is dropped, with its peer at `remote`. The peer may
    /// come later: until then what is sent is lost.
    Datagrams {
        /// Where we receive.
        local: PathBuf,
        /// Where the peer does.
        remote: PathBuf,
    },
}

enum Socket {
    Stream(UnixStream),
    Listener { listener: UnixListener, peer: Option<UnixStream> },
    Datagrams { socket: UnixDatagram, remote: PathBuf },
}

/// A link to a virtual machine.
///
/// A peer that breaks the framing is disconnected. Without a peer, frames are lost, as with an unplugged cable; a
/// connected stream whose peer goes ends the device.
pub struct VmLink {
    socket: Socket,
    path: Option<PathBuf>,
    info: DeviceInfo,
    /// What came of the next frame, its length first.
    incoming: Vec<u8>,
    /// What the socket did not take of a frame yet.
    outgoing: Vec<u8>,
}

impl std::fmt::Debug for VmLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VmLink").field("info", &self.info).finish_non_exhaustive()
    }
}

impl VmLink {
    /// Opens a link of `mtu` bytes (without the Ethernet header; 1,500 is QEMU's default).
    ///
    /// # Errors
    /// `ENOENT` or `ECONNREFUSED` where nobody listens, `EADDRINUSE` where the path exists already; the text names the
    /// path and the remedy.
    pub fn open(how: &VmSocket, mtu: u16) -> Result<Self, OpenError> {
        let failed = |syscall: &'static str, path: &Path, remedy: &str| {
            let what = format!("cannot {syscall} UNIX socket '{}'", path.display());
            let remedy = remedy.to_owned();
            move |e: io::Error| OpenError::from_io(&e, syscall, format!("{what}: {e}{remedy}"))
        };
        let in_use = "; remove the path if nobody uses it, or choose another";
        let (socket, path, name) = match how {
            VmSocket::Connect(path) => {
                let remedy = "; start the other end first (QEMU: -netdev stream,server=on,..)";
                let failed = failed("connect", path, remedy);
                let stream = UnixStream::connect(path)
                    .and_then(|stream| stream.set_nonblocking(true).map(|()| stream))
                    .map_err(failed)?;
                (Socket::Stream(stream), None, path)
            }
            VmSocket::Listen(path) => {
                let listener = UnixListener::bind(path)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .map_err(failed("bind", path, in_use))?;
                (Socket::Listener { listener, peer: None }, Some(path.clone()), path)
            }
            VmSocket::Datagrams { local, remote } => {
                let socket = UnixDatagram::bind(local)
                    .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                    .map_err(failed("bind", local, in_use))?;
                let remote = remote.clone();
                (Socket::Datagrams { socket, remote }, Some(local.clone()), local)
            }
        };
        let name = name.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let max_frame = usize::from(mtu) + LINK_HEADER;
        let offload = Offload::default();
        let info = DeviceInfo { name, mtu, max_frame, offload };
        Ok(Self { socket, path, info, incoming: Vec::new(), outgoing: Vec::new() })
    }

    /// The connected stream; takes a peer that waits to be let in.
    fn stream(&mut self) -> io::Result<Option<&mut UnixStream>> {
        match &mut self.socket {
            Socket::Stream(stream) => Ok(Some(stream)),
            Socket::Listener { listener, peer } => {
                if peer.is_none() {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            stream.set_nonblocking(true)?;
                            *peer = Some(stream);
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                        Err(e) => return Err(e),
                    }
                }
                Ok(peer.as_mut())
            }
            Socket::Datagrams { .. } => Ok(None),
        }
    }

    /// The peer of a stream is gone: a listener waits for another.
    fn hang_up(&mut self) -> io::Result<()> {
        self.incoming.clear();
        self.outgoing.clear();
        match &mut self.socket {
            Socket::Listener { peer, .. } => {
                *peer = None;
                Ok(())
            }
            _ => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    /// Reads until `incoming` has `len` bytes; false when there is nothing more for now.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        while self.incoming.len() < len {
            let at = self.incoming.len();
            let mut incoming = std::mem::take(&mut self.incoming);
            incoming.resize(len, 0);
            let read = match self.stream()? {
                Some(stream) => stream.read(&mut incoming[at..]),
                None => Err(ErrorKind::WouldBlock.into()),
            };
            incoming.truncate(at + read.as_ref().copied().unwrap_or(0));
            self.incoming = incoming;
            match read {
                Ok(0) => {
                    self.hang_up()?;
                    return Ok(false);
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.hang_up()?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn recv_stream(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        loop {
            if !self.fill(LENGTH)? {
                return Err(ErrorKind::WouldBlock.into());
            }
            let mut length = [0; LENGTH];
            length.copy_from_slice(&self.incoming[..LENGTH]);
            let len = u32::from_be_bytes(length) as usize;
            if len == 0 || len > MAX_FRAME {
                // Nobody knows where the next frame begins.
                self.hang_up()?;
                continue;
            }
            if !self.fill(LENGTH + len)? {
                return Err(ErrorKind::WouldBlock.into());
            }
            // One that is longer than the link carries is lost, as on a wire.
            let fits = len <= buf.len();
            if fits {
                buf[..len].copy_from_slice(&self.incoming[LENGTH..]);
            }
            self.incoming.clear();
            if fits {
                return Ok(received(len));
            }
        }
    }

    /// Sends what is left of the last frame; whether all of it is gone.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.outgoing.is_empty() {
            let outgoing = std::mem::take(&mut self.outgoing);
            let written = match self.stream()? {
                Some(stream) => stream.write(&outgoing),
                None => return Ok(true),
            };
            self.outgoing = outgoing;
            match written {
                Ok(n) => drop(self.outgoing.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.hang_up()?,
            }
        }
        Ok(true)
    }
}

fn received(len: usize) -> Received {
    Received { data: RxData::Buffer(len), checksum_trusted: false, gso_size: 0 }
}

impl Device for VmLink {
    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let Socket::Datagrams { socket, .. } = &self.socket else { return self.recv_stream(buf) };
        loop {
            match socket.recv(buf) {
                Ok(0) => {}
                Ok(len) => return Ok(received(len)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        let len = frame.len();
        if len > MAX_FRAME || frame.checksum.is_some() || frame.gso.is_some() {
            return Ok(());
        }
        if let Socket::Datagrams { socket, remote } = &self.socket {
            return match socket.send_to(&frame.pieces.concat(), remote) {
                // A queue that is full says so; a peer that is not there is an unplugged cable.
                Err(e) if e.kind() == ErrorKind::WouldBlock => Err(e),
                _ => Ok(()),
            };
        }
        if !self.flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.stream()?.is_none() {
            return Ok(());
        }
        self.outgoing.extend_from_slice(&(len as u32).to_be_bytes());
        for piece in frame.pieces {
            self.outgoing.extend_from_slice(piece);
        }
        // What is left of it goes before the next.
        self.flush()?;
        Ok(())
    }

    fn fd(&self) -> Option<RawFd> {
        Some(match &self.socket {
            Socket::Stream(stream) | Socket::Listener { peer: Some(stream), .. } => {
                stream.as_raw_fd()
            }
            Socket::Listener { listener, peer: None } => listener.as_raw_fd(),
            Socket::Datagrams { socket, .. } => socket.as_raw_fd(),
        })
    }

    fn set_waker(&mut self, _waker: Arc<dyn Wake>) {}
}

impl Drop for VmLink {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may have been removed by somebody else.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::env::temp_dir().join(format!("usernet-{}-{count}-{name}", std::process::id()))
    }

    fn plain(data: &[u8]) -> TxFrame<'_> {
        TxFrame::of(&[data])
    }

    fn receive(link: &mut VmLink) -> Option<Vec<u8>> {
        let mut buf = vec![0; link.info().max_frame];
        match link.recv(&mut buf) {
            Ok(Received { data: RxData::Buffer(len), .. }) => Some(buf[..len].to_vec()),
            Ok(other) => panic!("{other:?}"),
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn frames_on_a_stream_have_their_length_before_them() {
        let path = temporary("stream");
        let mut link = VmLink::open(&VmSocket::Listen(path.clone()), 1500).unwrap();
        // Nobody is there: as an unplugged cable.
        link.send(&plain(b"lost")).unwrap();
        assert_eq!(receive(&mut link), None);
        let mut peer = UnixStream::connect(&path).unwrap();
        peer.write_all(&[0, 0, 0, 5, b'h', b'e']).unwrap();
        assert_eq!(receive(&mut link), None, "half of it");
        peer.write_all(b"llo\0\0\0\x02hi").unwrap();
        assert_eq!(receive(&mut link).unwrap(), b"hello");
        assert_eq!(receive(&mut link).unwrap(), b"hi");
        let pieces: [&[u8]; 3] = [b"a", b"nsw", b"er"];
        link.send(&TxFrame::of(&pieces)).unwrap();
        let mut got = [0; 10];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"\0\0\0\x06answer");
        drop(link);
        assert!(!path.exists(), "the path is removed");
    }

    #[test]
    fn a_peer_that_breaks_the_framing_is_let_go_and_the_next_one_served() {
        let path = temporary("broken");
        let mut link = VmLink::open(&VmSocket::Listen(path.clone()), 1500).unwrap();
        for bad in [[0, 0, 0, 0], [0xff; 4], [0, 1, 0x10, 0]] {
            let mut peer = UnixStream::connect(&path).unwrap();
            peer.write_all(&bad).unwrap();
            assert_eq!(receive(&mut link), None);
            assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "{bad:?}");
        }
        // Longer than the link carries: lost, and the next one taken.
        let mut peer = UnixStream::connect(&path).unwrap();
        peer.write_all(&3000u32.to_be_bytes()).unwrap();
        peer.write_all(&[0; 3000]).unwrap();
        peer.write_all(b"\0\0\0\x02ok").unwrap();
        assert_eq!(receive(&mut link).unwrap(), b"ok");
    }

    #[test]
    fn what_a_full_socket_does_not_take_follows() {
        let path = temporary("full");
        let listener = UnixListener::bind(&path).unwrap();
        let mut link = VmLink::open(&VmSocket::Connect(path.clone()), 1500).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut sent = 0u32;
        loop {
            let mut frame = [0; 1400];
            frame[..4].copy_from_slice(&sent.to_be_bytes());
            match link.send(&plain(&frame)) {
                Ok(()) => sent += 1,
                Err(e) => break assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(sent > 10);
        for i in 0..sent {
            let mut frame = [0; 1404];
            peer.read_exact(&mut frame).unwrap();
            assert_eq!(frame[..8], [[0, 0, 5, 0x78], i.to_be_bytes()].concat());
            link.flush().unwrap();
        }
        link.send(&plain(b"more")).unwrap();
        drop(peer);
        let mut buf = vec![0; 2000];
        assert_eq!(link.recv(&mut buf).unwrap_err().kind(), ErrorKind::ConnectionReset);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn datagrams_are_frames() {
        let (local, remote) = (temporary("local"), temporary("remote"));
        let how = VmSocket::Datagrams { local: local.clone(), remote: remote.clone() };
        let mut link = VmLink::open(&how, 1500).unwrap();
        link.send(&plain(b"nobody is there")).unwrap();
        let peer = UnixDatagram::bind(&remote).unwrap();
        link.send(&plain(b"hello")).unwrap();
        let mut buf = [0; 2000];
        let len = peer.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"hello");
        peer.send_to(b"answer", &local).unwrap();
        assert_eq!(receive(&mut link).unwrap(), b"answer");
        let error = VmLink::open(&how, 1500).unwrap_err();
        assert_eq!(error.syscall(), "bind");
        drop(link);
        assert!(!local.exists());
        std::fs::remove_file(remote).unwrap();
    }
}
