//! Frames from and to a descriptor that gives and takes one a system call, with a header of the kernel's before each.
//!
//! The kernel takes 70 ns longer for a `readv` of header and frame than for a `read` of both, and 100 ns longer for a
//! `writev` than for a `write`: more than it costs to move a short frame within the cache. So short frames are joined to
//! their headers. io_uring, with the descriptor and the memory registered and 32 frames an `io_uring_enter`, takes as long as
//! the vectors (docs/performance.md).

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use arrayvec::ArrayVec;

use crate::device::TX_PIECES;

/// Longest header before a frame: TUN's packet information and virtio's.
const MAX_PREFIX: usize = 14;

/// Longest frames that are joined to their headers, bytes: those of an Ethernet's MTU.
const MAX_JOINED: usize = 2048;

/// So many short frames came in a row: the next is believed to be short.
const SHORT_RUN: u8 = 4;

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// Whether buffers have room for the longest frame and its header.
    roomy: bool,
    /// Short frames in a row, [`SHORT_RUN`] at most.
    short: u8,
}

impl FrameReader {
    /// Of frames to buffers that are longer than the longest of them by [`MAX_PREFIX`] at least (`roomy`), or not.
    pub(crate) fn new(roomy: bool) -> Self {
        Self { roomy, short: 0 }
    }

    /// Reads what precedes a frame, and the frame, with one system call; the frame's length, unless the kernel found fault
    /// with it or it is empty.
    pub(crate) fn read(
        &mut self,
        fd: &OwnedFd,
        prefix: &mut [u8],
        buf: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let joined = prefix.is_empty()
            || self.roomy && self.short == SHORT_RUN && prefix.len() <= MAX_PREFIX;
        let read = if joined { read_joined(fd, buf) } else { read_parted(fd, prefix, buf) };
        let Some(len) = read?.and_then(|n| n.checked_sub(prefix.len())).filter(|len| *len > 0)
        else {
            return Ok(None);
        };
        if joined && !prefix.is_empty() {
            prefix.copy_from_slice(&buf[..prefix.len()]);
            // All of a long frame that came all the same: after it, headers are read apart again.
            buf.copy_within(prefix.len()..prefix.len() + len, 0);
        }
        self.short = if len <= MAX_JOINED { SHORT_RUN.min(self.short + 1) } else { 0 };
        Ok(Some(len))
    }
}

fn read_joined(fd: &OwnedFd, buf: &mut [u8]) -> io::Result<Option<usize>> {
    // The C library's `read` and `write` are points where a thread may be cancelled, which two atomic operations a call
    // see to; nobody cancels threads here.
    // SAFETY: `buf` is live memory of its length, borrowed exclusively by us.
    again(|| unsafe {
        libc::syscall(libc::SYS_read, raw(fd), buf.as_mut_ptr(), buf.len()) as isize
    })
}

fn read_parted(fd: &OwnedFd, prefix: &mut [u8], buf: &mut [u8]) -> io::Result<Option<usize>> {
    let parts = [
        libc::iovec { iov_base: prefix.as_mut_ptr().cast(), iov_len: prefix.len() },
        libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() },
    ];
    // SAFETY: both parts point to live memory of at least their length, borrowed exclusively by us.
    again(|| unsafe { libc::readv(fd.as_raw_fd(), parts.as_ptr(), 2) })
}

/// Writes a frame from what goes before it and its pieces, with one system call; whether the kernel took it rather than
/// found fault with it.
pub(crate) fn write_frame(
    fd: &OwnedFd,
    prefix: &[u8],
    pieces: &[&[u8]; TX_PIECES],
) -> io::Result<bool> {
    let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    if len > MAX_JOINED || prefix.len() > MAX_PREFIX {
        return write_parted(fd, prefix, pieces);
    }
    let mut joined = ArrayVec::<u8, { MAX_PREFIX + MAX_JOINED }>::new();
    for piece in [prefix].iter().chain(pieces) {
        // There is room, by the lengths above.
        let _ = joined.try_extend_from_slice(piece);
    }
    // SAFETY: the memory is live and of that length; `write` only reads it. As to the system call, see `read_joined`.
    let written = again(|| unsafe {
        libc::syscall(libc::SYS_write, raw(fd), joined.as_ptr(), joined.len()) as isize
    });
    Ok(written?.is_some())
}

fn write_parted(fd: &OwnedFd, prefix: &[u8], pieces: &[&[u8]; TX_PIECES]) -> io::Result<bool> {
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; TX_PIECES + 1];
    let mut count = 0;
    for piece in [prefix].iter().chain(pieces).filter(|piece| !piece.is_empty()) {
        parts[count] =
            libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
        count += 1;
    }
    // SAFETY: the first `count` parts point to live slices of their length; `writev` only reads them.
    let written = again(|| unsafe { libc::writev(fd.as_raw_fd(), parts.as_ptr(), count as c_int) });
    Ok(written?.is_some())
}

/// A descriptor as `syscall` takes its arguments.
fn raw(fd: &OwnedFd) -> libc::c_long {
    fd.as_raw_fd().into()
}

/// Calls the system until no signal interrupts it: bytes, or nothing where it found fault with the frame.
fn again(mut call: impl FnMut() -> isize) -> io::Result<Option<usize>> {
    loop {
        if let Ok(n) = usize::try_from(call()) {
            return Ok(Some(n));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
            Some(libc::EINTR) => {}
            code if is_frames_fault(code) => return Ok(None),
            _ => return Err(error),
        }
    }
}

/// Whether an error of one read or write leaves the device usable: the frame was bad (`EINVAL`, `EMSGSIZE`, `E2BIG`,
/// `EFAULT` of a frame the kernel cannot copy), there was no memory for it, or the interface is down (`EIO`,
/// `ENETDOWN`).
fn is_frames_fault(code: Option<i32>) -> bool {
    matches!(
        code,
        Some(
            libc::EINVAL
                | libc::EMSGSIZE
                | libc::E2BIG
                | libc::EFAULT
                | libc::ENOMEM
                | libc::ENOBUFS
                | libc::EIO
                | libc::ENETDOWN
                | libc::EPERM // a filter of the administrator refused it
        )
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;

    use super::*;

    /// Two ends that keep frames apart, as a TUN's descriptor does.
    fn pair() -> (OwnedFd, OwnedFd) {
        let mut ends = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the array has room for both descriptors.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
        assert_eq!(made, 0, "{}", io::Error::last_os_error());
        // SAFETY: just made, and nobody else's.
        ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }).into()
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + len) as u8).collect()
    }

    #[test]
    fn frames_of_any_length_and_cut_pass_whole_with_their_headers() {
        let (a, b) = pair();
        for prefix_len in [0, 4, 10, 14] {
            for roomy in [false, true] {
                let mut reader = FrameReader::new(roomy);
                let mut buf = vec![0; 65_550];
                // Runs of short frames, after which headers are read with them, with long ones between.
                let lens = [1, 40, 2047, 2048, 2049, 65_535, 20, 52, 1500, 64, 64, 65_535, 64];
                for (i, len) in lens.into_iter().cycle().take(100).enumerate() {
                    let (prefix, frame) = (bytes(prefix_len), bytes(len));
                    let cut = |part: usize| (len * part / 5).min(len);
                    let pieces = [0, 1, 2, 3, 4].map(|p| &frame[cut(p)..cut(p + 1)]);
                    let pieces = if i % 2 == 0 { pieces } else { [&frame[..], &[], &[], &[], &[]] };
                    assert!(write_frame(&a, &prefix, &pieces).unwrap());
                    let mut got = vec![0; prefix_len];
                    assert_eq!(reader.read(&b, &mut got, &mut buf).unwrap(), Some(len));
                    assert_eq!((got, &buf[..len]), (prefix, &frame[..]));
                    assert_eq!(reader.short == 0, len > MAX_JOINED);
                }
            }
        }
    }

    #[test]
    fn buffers_without_room_for_a_header_get_the_longest_frame_whole() {
        let (a, b) = pair();
        let mut reader = FrameReader::new(false);
        let mut buf = vec![0; 1500];
        for _ in 0..10 {
            assert!(write_frame(&a, &[1; 4], &[&[2; 1500], &[], &[], &[], &[]]).unwrap());
            assert_eq!(reader.read(&b, &mut [0; 4], &mut buf).unwrap(), Some(1500));
            assert_eq!(buf, [2; 1500]);
        }
    }

    #[test]
    fn nothing_to_read_blocks_and_what_has_no_frame_is_at_fault() {
        let (a, b) = pair();
        let mut reader = FrameReader::new(true);
        let mut buf = [0; 100];
        for _ in 0..10 {
            let error = reader.read(&b, &mut [0; 10], &mut buf).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(write_frame(&a, &[1; 10], &[&[]; TX_PIECES]).unwrap());
            assert_eq!(reader.read(&b, &mut [0; 10], &mut buf).unwrap(), None, "a header alone");
            assert!(write_frame(&a, &[1; 10], &[&[3; 20], &[], &[], &[], &[]]).unwrap());
            assert_eq!(reader.read(&b, &mut [0; 10], &mut buf).unwrap(), Some(20));
        }
    }
}
