//! The server of the benchmark straight on the blocking API, a thread a connection: what Node costs, seen from below it.
//! Ports 1 to 4 as in `bench/server.mjs`.
//!
//! `bench_server NAME ADDRESS/PREFIX [QUEUES]` makes a TUN of that name, has that address, and says "listening" when it
//! does.
#![allow(clippy::disallowed_methods, reason = "a program of its own has threads")]

use std::io::{Error, Read, Result, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use usernet_core::Config;
use usernet_device::{Tun, TunOptions};
use usernet_manager::{Interface, TcpListener, TcpStream};

/// What a port does with a connection.
type Serve = fn(TcpStream) -> Result<()>;

const PORTS: [(u16, Serve); 4] = [(1, give), (2, take), (3, echo), (4, one_byte)];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, address, queues) = match &arguments[..] {
        [name, address] => (name, address, 1),
        [name, address, queues] => (name, address, queues.parse().map_err(Error::other)?),
        _ => {
            eprintln!("usage: bench_server NAME ADDRESS/PREFIX [QUEUES]");
            std::process::exit(2);
        }
    };
    let tun = Tun::open(&TunOptions { name: Some(name.clone()), queues, ..TunOptions::default() })?;
    let mut config = Config { time_wait: Duration::from_secs(1), ..Config::default() };
    config.socket.nagle = false;
    let interface = Interface::builder(tun).config(config).address(address).start()?;
    let listening = PORTS.map(|(port, serve)| interface.bind(port).map(|on| (on, serve)));
    println!("listening");
    thread::scope(|scope| {
        for on in listening {
            let (listener, serve) = on?;
            scope.spawn(move || accept(&listener, serve));
        }
        Ok(())
    })
}

fn accept(listener: &TcpListener, serve: Serve) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let served = thread::Builder::new().stack_size(128 << 10).spawn(move || serve(stream));
        if let Err(error) = served {
            eprintln!("no thread: {error}");
        }
    }
}

/// Sends as many bytes as it is asked for.
fn give(mut stream: TcpStream) -> Result<()> {
    let mut request = [0; 8];
    stream.read_exact(&mut request)?;
    let mut left = u64::from_be_bytes(request);
    let chunk = vec![7; 256 << 10];
    while left > 0 {
        let part = left.min(chunk.len() as u64);
        stream.write_all(&chunk[..part as usize])?;
        left -= part;
    }
    stream.shutdown(Shutdown::Write)
}

/// Reads to the end and answers a byte.
fn take(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while stream.read(&mut buffer)? > 0 {}
    stream.write_all(b"k")?;
    stream.shutdown(Shutdown::Write)
}

fn echo(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}

fn one_byte(mut stream: TcpStream) -> Result<()> {
    stream.write_all(b"k")?;
    while stream.read(&mut [0; 16])? > 0 {}
    Ok(())
}
