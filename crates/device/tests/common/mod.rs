//! What the tests against the kernel share: a namespace for each, and waiting for a frame.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::io;
use std::time::{Duration, Instant};

use usernet_device::{Device, RxData};

/// Runs `test` on a thread in a network namespace of its own. Where that or TUN is not permitted it says so and skips,
/// unless `CI` is set: then it fails.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: `unshare` takes no pointer and changes this thread only.
        let missing = if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            Some(format!("network namespaces (CAP_SYS_ADMIN): {}", io::Error::last_os_error()))
        } else {
            let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
            open.err().map(|e| format!("/dev/net/tun: {e}"))
        };
        match missing {
            None => test(),
            Some(what) => {
                assert!(std::env::var_os("CI").is_none(), "CI is set and this is missing: {what}");
                eprintln!("SKIPPED, missing: {what}");
            }
        }
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The next frame that `wanted` accepts, with what the device said of it: trusted checksum, segment size.
pub fn next(tun: &mut impl Device, wanted: impl Fn(&[u8]) -> bool) -> (Vec<u8>, bool, u16) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut buf = vec![0; tun.info().max_frame];
    loop {
        match tun.recv(&mut buf) {
            Ok(received) => {
                let RxData::Buffer(n) = received.data else {
                    panic!("a TUN reads into the buffer")
                };
                if wanted(&buf[..n]) {
                    return (buf[..n].to_vec(), received.checksum_trusted, received.gso_size);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                assert!(Instant::now() < deadline, "no such frame came");
                let mut poll =
                    libc::pollfd { fd: tun.fd().unwrap(), events: libc::POLLIN, revents: 0 };
                // SAFETY: the pointer is to one live `pollfd`.
                unsafe { libc::poll(&raw mut poll, 1, 100) };
            }
        }
    }
}

/// The Internet checksum (RFC 1071) of the pieces, of which all but the last have even length.
pub fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
