//! An echo server on our own TCP, with a bounded pool of worker threads over the blocking API.
//!
//! On a TUN interface (Linux, with the permission to make one), for the kernel's clients:
//!
//! ```sh
//! echo_server un0 198.18.0.2/24 7 &                # name, our address, port
//! ip addr add 198.18.0.1/24 dev un0 && nc 198.18.0.2 7
//! ```
//!
//! With no privilege, against clients on the other end of an in-process link:
//!
//! ```sh
//! echo_server --in-process
//! ```
#![allow(clippy::disallowed_methods)] // a program of its own has threads

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

use usernet_device::{LinkOptions, Tun, TunOptions, pair};
use usernet_manager::{Interface, TcpListener, TcpStream};

/// Connections served at once. Further ones wait in the listener's backlog.
const WORKERS: usize = 8;

const USAGE: &str = "usage: echo_server NAME ADDRESS/PREFIX PORT | echo_server --in-process";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--in-process"] => in_process(),
        [name, address, port] => on_tun(name, address, port.parse()?),
        _ => Err(USAGE.into()),
    }
}

fn on_tun(name: &str, address: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let tun = Tun::open(&TunOptions { name: Some(name.into()), ..TunOptions::default() })?;
    let interface = Interface::builder(tun).address(address).start()?;
    let listener = interface.bind(port)?;
    println!("listening on {address} port {port} with {WORKERS} workers");
    serve(&listener, usize::MAX)?;
    Ok(())
}

/// Gives each of `count` connections to a free worker.
fn serve(listener: &TcpListener, count: usize) -> io::Result<()> {
    // Room for none: `send` waits until a worker takes the connection.
    let (give, take) = sync_channel::<TcpStream>(0);
    let take = Mutex::new(take);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Ok(stream) = take.lock().expect("no worker panics with it").recv() else {
                        break;
                    };
                    if let Err(error) = echo(stream) {
                        eprintln!("a connection ended: {error}");
                    }
                }
            });
        }
        // Dropped on every way out of here, so that the workers end.
        let give = give;
        for stream in listener.incoming().take(count) {
            give.send(stream?).expect("the workers live as long as this");
        }
        Ok(())
    })
}

/// Sends back what comes until the peer has finished, then finishes, too.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}

fn in_process() -> Result<(), Box<dyn Error>> {
    const CLIENTS: usize = 24;
    const MESSAGES: usize = 50;
    let (ours, theirs) = pair(LinkOptions::default());
    let server = Interface::builder(ours).address("198.18.0.2/24").address("fd00::2/64").start()?;
    let client =
        Interface::builder(theirs).address("198.18.0.1/24").address("fd00::1/64").start()?;
    let listener = server.bind(7)?;
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&listener, CLIENTS));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                let host = if i % 2 == 0 { "198.18.0.2:7" } else { "[fd00::2]:7" };
                let client = &client;
                scope.spawn(move || talk(client, host.parse().expect("an address"), i, MESSAGES))
            })
            .collect();
        let mut echoed = 0;
        for client in clients {
            echoed += client.join().expect("no client panics")?;
        }
        serving.join().expect("the server does not panic")?;
        println!(
            "{CLIENTS} clients, {} messages, {echoed} bytes echoed in order",
            CLIENTS * MESSAGES
        );
        Ok(())
    })
}

/// Sends messages of growing length on one connection while reading the echo; checks every byte.
fn talk(client: &Interface, server: SocketAddr, id: usize, messages: usize) -> io::Result<usize> {
    let stream = client.connect(server)?;
    let message = |n: usize| format!("{id}:{n};").repeat(1 + n * 20).into_bytes();
    thread::scope(|scope| {
        scope.spawn(|| -> io::Result<()> {
            for n in 0..messages {
                (&stream).write_all(&message(n))?;
            }
            stream.shutdown(Shutdown::Write)
        });
        let expected: Vec<u8> = (0..messages).flat_map(message).collect();
        let mut echoed = Vec::new();
        (&stream).read_to_end(&mut echoed)?;
        if echoed == expected {
            Ok(echoed.len())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("client {id}: a wrong echo")))
        }
    })
}

#[cfg(all(test, target_os = "linux"))]
#[path = "../tests/common/netns.rs"]
mod netns;

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::netns;

    #[test]
    fn it_echoes_to_clients_in_process() {
        super::in_process().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[allow(clippy::disallowed_types)] // the kernel's sockets are the peer
    fn it_echoes_to_kernel_clients() {
        use std::io::{Read, Write};
        use std::net::{Shutdown, TcpStream};
        use std::process::Command;
        use std::thread;
        use std::time::{Duration, Instant};

        if !netns::inside_namespace("tests::it_echoes_to_kernel_clients") {
            return;
        }
        // It serves until the process ends.
        thread::spawn(|| super::on_tun("un0", "198.18.0.2/24", 7).unwrap());
        let end = Instant::now() + Duration::from_secs(30);
        let address = ["addr", "add", "198.18.0.1/24", "dev", "un0"];
        while !Command::new("ip").args(address).output().unwrap().status.success() {
            assert!(Instant::now() < end, "no interface un0");
        }
        let connect = || loop {
            match TcpStream::connect("198.18.0.2:7") {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        };
        // More than there are workers.
        thread::scope(|scope| {
            for i in 0..super::WORKERS * 2 {
                scope.spawn(move || {
                    let mut stream = connect();
                    let message = vec![i as u8; 50_000];
                    stream.write_all(&message).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut echo = Vec::new();
                    stream.read_to_end(&mut echo).unwrap();
                    assert!(echo == message);
                });
            }
        });
    }
}
