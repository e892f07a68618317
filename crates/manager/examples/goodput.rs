//! Goodput over one impaired link, beside the kernel's own: Linux to Linux, usernet to Linux, Linux to usernet. The link is
//! the same process in all three: a TUN in a namespace of its own at each end that a kernel has, and our impairment
//! between. Run by `bench/goodput.mjs`, which makes the namespace this starts in.
//!
//! `goodput [--seconds 10] [--seeds 3] [--case 20ms-0.1%] [--congestion cubic] [--only linux,out,in] [--buffer 8000000]` prints a table, in
//! Mbit/s: each number is the mean over the seeds.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program of real time")]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("goodput needs Linux: it compares with its TCP, in network namespaces");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
#[path = "support/bridge.rs"]
mod bridge;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use usernet_core::{BufferSize, Config, Congestion};
    use usernet_device::{Impaired, Impairment, Tun, TunOptions};
    use usernet_manager::Interface;

    use super::bridge::bridge;

    /// The ends: the sender's and the receiver's address.
    const SENDER: &str = "198.18.0.1";
    const RECEIVER: &str = "198.18.0.2";
    const PORT: u16 = 5001;

    /// A link.
    #[derive(Clone)]
    struct Case {
        name: &'static str,
        /// Round-trip time, half of it each way.
        rtt: Duration,
        /// Loss of what the sender sends.
        loss: f64,
        reorder: f64,
        rate: u64,
    }

    fn cases() -> Vec<Case> {
        let ms = Duration::from_millis;
        let case =
            |name, rtt, loss, reorder, rate| Case { name, rtt: ms(rtt), loss, reorder, rate };
        vec![
            case("20ms-0.1%", 20, 0.001, 0.0, 100_000_000),
            case("20ms-1%", 20, 0.01, 0.0, 100_000_000),
            case("50ms-1%", 50, 0.01, 0.0, 100_000_000),
            case("100ms-0.1%", 100, 0.001, 0.0, 100_000_000),
            case("100ms-0%", 100, 0.0, 0.0, 100_000_000),
            case("5ms-3%-reordering", 5, 0.03, 0.05, 100_000_000),
        ]
    }

    impl Case {
        /// What each direction does; acknowledgements are only late.
        fn impairments(&self) -> (Impairment, Impairment) {
            // A queue of one bandwidth-delay product.
            let queue = (self.rate / 8) as usize * self.rtt.as_millis() as usize / 1000;
            let back = Impairment { delay: self.rtt / 2, ..Impairment::default() };
            let forth = Impairment {
                loss: self.loss,
                reorder: self.reorder,
                reorder_by: self.rtt / 2,
                rate: Some(self.rate),
                queue: queue.max(64 << 10),
                ..back.clone()
            };
            (forth, back)
        }
    }

    /// A transfer over such a link, with that seed: Mbit/s.
    type Run = fn(&Case, u64, &Arguments) -> f64;

    struct Arguments {
        seconds: u64,
        seeds: u64,
        case: Option<String>,
        congestion: String,
        only: String,
        buffer: Option<usize>,
    }

    fn arguments() -> Arguments {
        let mut arguments = Arguments {
            seconds: 10,
            seeds: 3,
            case: None,
            congestion: "cubic".into(),
            only: "linux,out,in".into(),
            buffer: None,
        };
        let mut given = std::env::args().skip(1);
        while let Some(name) = given.next() {
            let value = given.next().unwrap_or_else(|| panic!("{name} takes a value"));
            match name.as_str() {
                "--seconds" => arguments.seconds = value.parse().expect("a number of seconds"),
                "--seeds" => arguments.seeds = value.parse().expect("a number of seeds"),
                "--case" => arguments.case = Some(value),
                "--congestion" => arguments.congestion = value,
                "--only" => arguments.only = value,
                "--buffer" => arguments.buffer = Some(value.parse().expect("bytes")),
                _ => panic!("{name}: there are --seconds, --seeds, --case, --congestion, --only"),
            }
        }
        arguments
    }

    pub(super) fn main() {
        let arguments = arguments();
        let runs: [(&str, Run); 3] =
            [("linux", linux_to_linux), ("out", usernet_to_linux), ("in", linux_to_usernet)];
        println!(
            "{:<20} {:>14} {:>14} {:>14}",
            "Mbit/s", "linux-linux", "usernet-linux", "linux-usernet"
        );
        for case in cases() {
            if arguments.case.as_ref().is_some_and(|name| !case.name.contains(name.as_str())) {
                continue;
            }
            print!("{:<20}", case.name);
            for (name, run) in runs {
                if !arguments.only.split(',').any(|only| only == name) {
                    print!(" {:>14}", "-");
                    continue;
                }
                let each: Vec<f64> = (1..=arguments.seeds)
                    .map(|seed| {
                        // Each run has namespaces of its own, gone with its threads.
                        thread::scope(|scope| scope.spawn(|| run(&case, seed, &arguments)).join())
                            .expect("the run")
                    })
                    .collect();
                let mean = each.iter().sum::<f64>() / each.len() as f64;
                print!(" {mean:>14.2}");
                let _ = std::io::stdout().flush();
            }
            println!();
        }
    }

    /// The calling thread, and what it starts from here on, is in a namespace of its own.
    fn own_namespace() {
        // SAFETY: a system call without pointers; it changes this thread alone.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "unshare: {}", std::io::Error::last_os_error());
    }

    fn ip(arguments: &str) {
        let status = Command::new("ip").args(arguments.split(' ')).status();
        assert!(status.is_ok_and(|s| s.success()), "ip {arguments}");
    }

    /// A TUN in a new namespace of this thread, where the kernel has `address`.
    fn kernel_end(address: &str) -> Tun {
        own_namespace();
        let tun = Tun::open(&TunOptions {
            name: Some("un0".into()),
            offload: false,
            queue_len: 20_000,
            ..TunOptions::default()
        })
        .expect("a TUN");
        ip(&format!("addr add {address}/24 dev un0"));
        ip("link set lo up");
        tun
    }

    fn config(arguments: &Arguments) -> Config {
        let mut config = Config::default();
        config.socket.congestion =
            arguments.congestion.parse::<Congestion>().expect("a congestion control");
        if let Some(bytes) = arguments.buffer {
            config.socket.send_buffer = BufferSize::Fixed(bytes);
            config.socket.recv_buffer = BufferSize::Fixed(bytes);
        }
        config
    }

    fn set_congestion(socket: &TcpStream, name: &str) {
        // SAFETY: the name is read for the length given, during the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CONGESTION,
                name.as_ptr().cast(),
                name.len() as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{name}: {}", std::io::Error::last_os_error());
    }

    /// Writes for so long, from the first byte on.
    fn send(mut to: impl Write, time: Duration) {
        let block = vec![7; 128 << 10];
        let end = Instant::now() + time;
        while Instant::now() < end {
            if to.write(&block).is_err() {
                return;
            }
        }
    }

    /// Reads until the sender's time is up; Mbit/s from the connection on.
    fn receive(mut from: impl Read, start: Instant, time: Duration) -> f64 {
        let mut block = vec![0; 256 << 10];
        let mut bytes = 0u64;
        while start.elapsed() < time {
            match from.read(&mut block) {
                Ok(0) => break,
                Ok(n) => bytes += n as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => panic!("{e}"),
            }
        }
        bytes as f64 * 8e-6 / start.elapsed().as_secs_f64()
    }

    const PATIENCE: Option<Duration> = Some(Duration::from_millis(200));

    fn linux_receives(listener: &TcpListener, time: Duration) -> f64 {
        let (socket, _) = listener.accept().expect("a connection");
        socket.set_read_timeout(PATIENCE).expect("a timeout");
        receive(&socket, Instant::now(), time)
    }

    fn linux_sends(congestion: &str, time: Duration) {
        let socket = TcpStream::connect((RECEIVER, PORT)).expect("a connection");
        set_congestion(&socket, congestion);
        socket.set_write_timeout(PATIENCE).expect("a timeout");
        let end = Instant::now() + time;
        while Instant::now() < end {
            send(&socket, end - Instant::now());
        }
    }

    fn linux_to_linux(case: &Case, seed: u64, arguments: &Arguments) -> f64 {
        let time = Duration::from_secs(arguments.seconds);
        let (forth, back) = case.impairments();
        thread::scope(|scope| {
            let (give, take) = std::sync::mpsc::channel();
            let receiver = scope.spawn(move || {
                give.send(kernel_end(RECEIVER)).expect("the bridge");
                let listener = TcpListener::bind((RECEIVER, PORT)).expect("a listener");
                linux_receives(&listener, time)
            });
            let far = take.recv().expect("the receiver's TUN");
            let near = kernel_end(SENDER);
            // Seen from the bridge, what the sender's kernel sends is received.
            let near = Impaired::new(near, back, forth, seed).expect("settings");
            let done = Arc::new(AtomicBool::new(false));
            let bridge = thread::spawn({
                let done = done.clone();
                move || bridge(near, far, &done)
            });
            let congestion = &arguments.congestion;
            scope.spawn(move || linux_sends(congestion, time));
            let rate = receiver.join().expect("the receiver");
            done.store(true, Ordering::Relaxed);
            bridge.join().expect("the bridge");
            rate
        })
    }

    fn usernet_to_linux(case: &Case, seed: u64, arguments: &Arguments) -> f64 {
        let time = Duration::from_secs(arguments.seconds);
        let (forth, back) = case.impairments();
        let tun = kernel_end(RECEIVER);
        let listener = TcpListener::bind((RECEIVER, PORT)).expect("a listener");
        let device = Impaired::new(tun, forth, back, seed).expect("settings");
        let interface = Interface::builder(device)
            .config(config(arguments))
            .address("198.18.0.1/24")
            .start()
            .expect("a stack");
        let remote = format!("{RECEIVER}:{PORT}").parse().expect("an address");
        thread::scope(|scope| {
            scope.spawn(|| {
                let stream = interface.connect(remote).expect("a connection");
                send(&stream, time);
                if std::env::var_os("GOODPUT_INFO").is_some() {
                    eprintln!("{:?}", stream.info());
                }
            });
            linux_receives(&listener, time)
        })
    }

    fn linux_to_usernet(case: &Case, seed: u64, arguments: &Arguments) -> f64 {
        let time = Duration::from_secs(arguments.seconds);
        let (forth, back) = case.impairments();
        let tun = kernel_end(SENDER);
        let device = Impaired::new(tun, back, forth, seed).expect("settings");
        let interface = Interface::builder(device)
            .config(config(arguments))
            .address("198.18.0.2/24")
            .start()
            .expect("a stack");
        let listener = interface.bind(PORT).expect("a listener");
        thread::scope(|scope| {
            let congestion = &arguments.congestion;
            scope.spawn(move || linux_sends(congestion, time));
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(PATIENCE).expect("a timeout");
            let rate = receive(&stream, Instant::now(), time);
            stream.reset();
            rate
        })
    }
}
