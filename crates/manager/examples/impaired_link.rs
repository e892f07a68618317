//! An impaired link between two kernels in network namespaces, for the benchmarks: a TUN here and a TUN in the namespace of
//! another process, our impairment between.
//!
//! `impaired_link NEAR FAR PID RATE DELAY QUEUE`: the TUNs' names, the process, bit/s, ms one way and bytes, of each direction.
//! Says "listening" when both are there, and runs until it is killed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program of real time")]

#[cfg(target_os = "linux")]
#[path = "support/bridge.rs"]
mod bridge;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("impaired_link needs Linux: its network namespaces");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    use usernet_device::{Impaired, Impairment, Tun, TunOptions};

    let open = |name: &str| {
        Tun::open(&TunOptions {
            name: Some(name.into()),
            offload: false,
            queue_len: 20_000,
            ..TunOptions::default()
        })
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [near, far, pid, rate, delay, queue] = &arguments[..] else {
        return Err("usage: impaired_link NEAR FAR PID RATE DELAY QUEUE".into());
    };
    let each = Impairment {
        rate: Some(rate.parse()?),
        delay: Duration::from_millis(delay.parse()?),
        queue: queue.parse()?,
        ..Impairment::default()
    };
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    // A thread's namespace is its own; the TUN stays where it was opened.
    let far = thread::scope(|scope| {
        let there = scope.spawn(|| {
            // SAFETY: a system call without pointers, on a descriptor that lives; it changes this thread alone.
            let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
            open(far)
        });
        there.join().expect("the namespace")
    })?;
    let near = Impaired::new(open(near)?, each.clone(), each, 1)?;
    println!("listening");
    bridge::bridge(near, far, &AtomicBool::new(false));
    Ok(())
}
