//! The server of the benchmark on smoltcp, behind a TUN: one thread. Ports 1 to 4 as in server.mjs.
//!
//! `bench-smoltcp NAME ADDRESS/PREFIX`; says "listening" when it does. smoltcp has no segmentation offload.

use std::os::fd::AsRawFd;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};

/// Ports, how many sockets listen on each, and the size of their buffers.
const PORTS: [(u16, usize, usize); 4] =
    [(1, 4, 1 << 20), (2, 4, 1 << 20), (3, 80, 64 << 10), (4, 64, 4 << 10)];

struct Served {
    handle: SocketHandle,
    port: u16,
    /// Bytes that are still to be sent, once they were asked for.
    left: Option<u64>,
    greeted: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, address] = &arguments[..] else {
        panic!("usage: bench-smoltcp NAME ADDRESS/PREFIX")
    };
    let mut device = TunTapInterface::new(name, Medium::Ip).expect("a TUN");
    let fd = device.as_raw_fd();
    let address: IpCidr = address.parse().expect("an address");
    let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::now());
    iface.update_ip_addrs(|addresses| addresses.push(address).expect("room"));
    let mut sockets = SocketSet::new(Vec::new());
    let mut all = Vec::new();
    for (port, count, size) in PORTS {
        for _ in 0..count {
            let buffer = || SocketBuffer::new(vec![0; size]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_nagle_enabled(false);
            socket.set_congestion_control(CongestionControl::Cubic);
            all.push(Served { handle: sockets.add(socket), port, left: None, greeted: false });
        }
    }
    println!("listening");
    let chunk = vec![7; 64 << 10];
    loop {
        let mut busy = false;
        for served in &mut all {
            busy |= serve(sockets.get_mut(served.handle), served, &chunk);
        }
        busy |= iface.poll(Instant::now(), &mut device, &mut sockets)
            == smoltcp::iface::PollResult::SocketStateChanged;
        if !busy {
            wait(fd, iface.poll_delay(Instant::now(), &sockets)).expect("poll");
        }
    }
}

/// Does what a connection's port is for; whether there was anything to do.
fn serve(socket: &mut Socket<'_>, served: &mut Served, chunk: &[u8]) -> bool {
    if matches!(socket.state(), State::Closed | State::TimeWait) {
        socket.abort();
        (served.left, served.greeted) = (None, false);
        return socket.listen(served.port).is_ok();
    }
    if !socket.may_recv() && !socket.may_send() {
        return false;
    }
    let mut busy = false;
    match served.port {
        1 => {
            if served.left.is_none() && socket.recv_queue() >= 8 {
                let mut request = [0; 8];
                socket.recv_slice(&mut request).expect("a request");
                served.left = Some(u64::from_be_bytes(request));
            }
            if let Some(left) = &mut served.left {
                let part = chunk.len().min(*left as usize);
                let sent = if socket.can_send() {
                    socket.send_slice(&chunk[..part]).unwrap_or(0)
                } else {
                    0
                };
                *left -= sent as u64;
                busy |= sent > 0;
                if *left == 0 {
                    socket.close();
                }
            }
        }
        2 => {
            while socket.can_recv() {
                busy |= socket.recv(|data| (data.len(), data.len())).unwrap_or(0) > 0;
            }
            if socket.state() == State::CloseWait && socket.can_send() {
                let _ = socket.send_slice(b"k");
                socket.close();
            }
        }
        3 => {
            while socket.can_recv() && socket.can_send() {
                let mut data = [0; 16 << 10];
                let len = socket.peek_slice(&mut data).unwrap_or(0);
                let sent = socket.send_slice(&data[..len]).unwrap_or(0);
                if sent == 0 {
                    break;
                }
                let _ = socket.recv(|_| (sent, ()));
                busy = true;
            }
            if socket.state() == State::CloseWait {
                socket.close();
            }
        }
        _ => {
            if !served.greeted && socket.can_send() {
                served.greeted = socket.send_slice(b"k").is_ok();
                busy = true;
            }
            if socket.state() == State::CloseWait {
                socket.close();
            }
        }
    }
    busy
}
