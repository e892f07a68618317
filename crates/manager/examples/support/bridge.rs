//! A link between two kernels: our impairment between two TUNs, each in a namespace of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use usernet_device::{Device, Impaired, Received, RxData, Tun, TxFrame, Wake};

struct NoWaker;
impl Wake for NoWaker {
    fn wake(&self) {}
}

/// Carries packets between two devices until it is told to stop.
pub(crate) fn bridge(mut near: Impaired<Tun>, mut far: Tun, done: &AtomicBool) {
    near.set_waker(Arc::new(NoWaker));
    let mut buffer = vec![0; near.info().max_frame.max(far.info().max_frame)];
    while !done.load(Ordering::Relaxed) {
        let mut busy = false;
        for _ in 0..64 {
            busy |=
                carry(&mut near, &mut far, &mut buffer) | carry(&mut far, &mut near, &mut buffer);
        }
        if busy {
            continue;
        }
        let wait = near
            .poll_timeout()
            .map_or(Duration::from_millis(100), |at| at.saturating_duration_since(Instant::now()));
        let mut fds = [&near as &dyn Device, &far].map(|device| libc::pollfd {
            fd: device.fd().expect("a TUN has a descriptor"),
            events: libc::POLLIN,
            revents: 0,
        });
        let timeout = libc::timespec {
            tv_sec: wait.as_secs() as libc::time_t,
            tv_nsec: wait.subsec_nanos().into(),
        };
        // SAFETY: two `pollfd`s and a timespec that live for the call; no signal mask.
        unsafe { libc::ppoll(fds.as_mut_ptr(), 2, &raw const timeout, std::ptr::null()) };
    }
}

fn carry(from: &mut dyn Device, to: &mut dyn Device, buffer: &mut [u8]) -> bool {
    let data = match from.recv(buffer) {
        Ok(Received { data: RxData::Buffer(len), .. }) => &buffer[..len],
        Ok(Received { data: RxData::Owned(data), .. }) => {
            return forward(to, &data);
        }
        Err(_) => return false,
    };
    forward(to, data)
}

fn forward(to: &mut dyn Device, data: &[u8]) -> bool {
    let frame = TxFrame::of(&[data]);
    // What does not fit is lost, as on a wire.
    let _ = to.send(&frame);
    true
}
