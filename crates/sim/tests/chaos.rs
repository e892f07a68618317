//! Programs that do anything at any time on bad links: what arrives is always the beginning of what was sent, an end of
//! stream means that all of it arrived, nothing panics, and in the end nothing is left.
//!
//! More seeds: `USERNET_SEEDS=0..100000 cargo test -p usernet-sim --test chaos`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use usernet_core::{
    BufferSize, Config, ConnectOptions, ConnectionError, KeepAlive, ListenAddress, ListenOptions,
    ListenerId, RecvError, SendError, Shutdown, SocketId, SocketOptions, Stack,
};
use usernet_sim::{Duration, HostConfig, Network, NodeId, Pattern, Plan, explore};

use common::{Dice, seeds};

mod common;

/// What one end of a connection did.
#[derive(Clone, Debug, Default)]
struct End {
    sent: u64,
    received: u64,
    /// It said that it would send no more, keeping what it had sent.
    finished: bool,
    eof: bool,
    /// It will read no more.
    deaf: bool,
    gone: bool,
    error: Option<ConnectionError>,
}

/// The connections, by the client's address, and their two ends.
type Ends = BTreeMap<SocketAddr, [End; 2]>;

struct World {
    net: Network,
    hosts: [NodeId; 2],
    listeners: [ListenerId; 2],
    /// Each host's sockets, which connection each belongs to, and which end it is.
    sockets: [Vec<(SocketId, SocketAddr, usize)>; 2],
    ends: Ends,
    dice: Dice,
}

fn streams(connection: SocketAddr, end: usize) -> (Pattern, Pattern) {
    let number = u64::from(connection.port()) * 4 + u64::from(connection.is_ipv6()) * 2;
    let (up, down) = (Pattern(number), Pattern(number + 1));
    if end == 0 { (up, down) } else { (down, up) }
}

impl World {
    fn new(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        let mut net = Network::new(plan.seed);
        let hosts = ["a", "b"].map(|name| {
            let socket = SocketOptions {
                recv_buffer: BufferSize::Fixed(2048 << dice.below(8)),
                send_buffer: BufferSize::Fixed(2048 << dice.below(8)),
                timestamps: dice.coin(),
                sack: dice.coin(),
                retries: 6,
                keep_alive: dice.coin().then(|| KeepAlive {
                    idle: Duration::from_secs(5),
                    interval: Duration::from_secs(1),
                    count: 5,
                }),
                ..SocketOptions::default()
            };
            let stack = Config { socket, max_time_wait: 4, ..Config::default() };
            net.host_with(name, HostConfig { stack, ..HostConfig::default() }).unwrap()
        });
        let link = net.link_with(hosts[0], hosts[1], plan.there.clone(), plan.back.clone());
        link.unwrap();
        let listeners = hosts.map(|host| {
            let options = ListenOptions {
                address: ListenAddress::AnyV6 { only: false },
                port: 80,
                backlog: 1 + dice.below(4) as usize,
                options: None,
            };
            net.with(host, |stack, _| stack.tcp_listen(options)).unwrap().unwrap()
        });
        Self { net, hosts, listeners, sockets: [Vec::new(), Vec::new()], ends: Ends::new(), dice }
    }

    /// One call of one program.
    fn act(&mut self) -> Result<(), String> {
        let who = self.dice.below(2) as usize;
        let what = self.dice.below(100);
        let count = self.sockets[who].len() as u64;
        if what < 8 && count < 6 {
            return self.connect(who);
        }
        if what < 20 {
            return self.accept(who);
        }
        if count == 0 {
            return Ok(());
        }
        let index = self.dice.below(count) as usize;
        match what {
            20..55 => self.send(who, index),
            55..88 => self.receive(who, index),
            88..93 => {
                let how = [Shutdown::Write, Shutdown::Write, Shutdown::Read, Shutdown::Both];
                let how = how[self.dice.below(4) as usize];
                self.stop(who, index, how)
            }
            93..98 => self.close(who, index, false),
            _ => self.close(who, index, true),
        }
    }

    fn stack<R>(&mut self, who: usize, f: impl FnOnce(&mut Stack, usernet_sim::Instant) -> R) -> R {
        self.net.with(self.hosts[who], f).expect("the host is up")
    }

    fn connect(&mut self, who: usize) -> Result<(), String> {
        let v6 = self.dice.coin();
        let remote = SocketAddr::new(self.net.address(self.hosts[1 - who], v6).unwrap(), 80);
        let options = ConnectOptions { remote, local_addr: None, local_port: None, options: None };
        let (socket, local) = self.stack(who, |stack, now| {
            let socket = stack.tcp_connect(now, options).map_err(|e| e.to_string())?;
            let local = stack.tcp_addrs(socket).map_err(|e| e.to_string())?.0;
            Ok::<_, String>((socket, local))
        })?;
        self.sockets[who].push((socket, local, 0));
        // A connection that used the address before is over.
        self.ends.insert(local, <[End; 2]>::default());
        for sockets in &mut self.sockets {
            sockets.retain(|&(id, addr, _)| id == socket || addr != local);
        }
        Ok(())
    }

    fn accept(&mut self, who: usize) -> Result<(), String> {
        let listener = self.listeners[who];
        let accepted = self.stack(who, |stack, _| {
            let socket = stack.tcp_accept(listener).map_err(|e| e.to_string())?;
            Ok::<_, String>(socket.map(|socket| (socket, stack.tcp_addrs(socket))))
        })?;
        let Some((socket, addrs)) = accepted else { return Ok(()) };
        let (_, remote) = addrs.map_err(|e| e.to_string())?;
        if !self.ends.contains_key(&remote) {
            return Err(format!("accepted {remote}, which nobody connected"));
        }
        self.sockets[who].push((socket, remote, 1));
        Ok(())
    }

    fn send(&mut self, who: usize, index: usize) -> Result<(), String> {
        let (socket, connection, which) = self.sockets[who][index];
        let mut data = vec![0; 1 + self.dice.below(20_000) as usize];
        let more = self.dice.below(8) == 0;
        let end = &self.ends[&connection][which];
        streams(connection, which).0.fill(end.sent, &mut data);
        let finished = end.finished;
        let taken = self.stack(who, |stack, now| stack.tcp_send(now, socket, &data, more));
        let end = &mut self.ends.get_mut(&connection).unwrap()[which];
        match taken {
            Ok(taken) if finished && taken > 0 => {
                return Err(format!("{connection}/{which}: sent after shutdown"));
            }
            Ok(taken) => end.sent += taken as u64,
            Err(SendError::Connection(error)) => end.error = Some(error),
            Err(SendError::BrokenPipe) if finished || end.error.is_some() => {}
            Err(other) => return Err(format!("{connection}/{which}: {other}")),
        }
        Ok(())
    }

    fn receive(&mut self, who: usize, index: usize) -> Result<(), String> {
        let (socket, connection, which) = self.sockets[who][index];
        let mut buf = vec![0; 1 + self.dice.below(30_000) as usize];
        let got = self.stack(who, |stack, now| stack.tcp_recv(now, socket, &mut buf));
        let ends = self.ends.get_mut(&connection).unwrap();
        let peer = ends[1 - which].clone();
        let end = &mut ends[which];
        let me = format!("{connection}/{which}");
        match got {
            // An error is reported once; the stream is over after it.
            Ok(0) if end.deaf || end.error.is_some() => {}
            Ok(0) => {
                if !peer.finished && !peer.gone {
                    return Err(format!("{me}: end of a stream that goes on"));
                }
                if end.received != peer.sent {
                    let (received, sent) = (end.received, peer.sent);
                    return Err(format!("{me}: end of stream at {received} of {sent}"));
                }
                end.eof = true;
            }
            Ok(_) if end.eof => return Err(format!("{me}: data after the end of the stream")),
            Ok(n) => {
                if let Some(at) = streams(connection, which).1.mismatch(end.received, &buf[..n]) {
                    return Err(format!("{me}: wrong byte at {}", end.received + at as u64));
                }
                end.received += n as u64;
                if end.received > peer.sent {
                    return Err(format!("{me}: more than was sent"));
                }
            }
            Err(RecvError::WouldBlock) if end.eof => {
                return Err(format!("{me}: would block after the end of the stream"));
            }
            Err(RecvError::WouldBlock) => {}
            Err(RecvError::Connection(error)) => end.error = Some(error),
            Err(RecvError::NoSuchSocket) => return Err(format!("{me}: a socket in use is gone")),
        }
        Ok(())
    }

    fn stop(&mut self, who: usize, index: usize, how: Shutdown) -> Result<(), String> {
        let (socket, connection, which) = self.sockets[who][index];
        self.stack(who, |stack, now| stack.tcp_shutdown(now, socket, how))
            .map_err(|_| format!("{connection}/{which}: a socket in use is gone"))?;
        let end = &mut self.ends.get_mut(&connection).unwrap()[which];
        end.finished |= how != Shutdown::Read;
        end.deaf |= how != Shutdown::Write;
        Ok(())
    }

    fn close(&mut self, who: usize, index: usize, abort: bool) -> Result<(), String> {
        let (socket, connection, which) = self.sockets[who].remove(index);
        let result = self.stack(who, |stack, now| {
            if abort { stack.tcp_abort(now, socket) } else { stack.tcp_close(now, socket) }
        });
        result.map_err(|_| format!("{connection}/{which}: a socket in use is gone"))?;
        self.ends.get_mut(&connection).unwrap()[which].gone = true;
        let again = self.stack(who, |stack, now| stack.tcp_close(now, socket));
        if again.is_ok() {
            return Err(format!("{connection}/{which}: closed twice"));
        }
        Ok(())
    }

    fn drain_events(&mut self) -> Result<(), String> {
        for turn in 0.. {
            if turn > 10_000 {
                return Err("events never end".to_owned());
            }
            if self.net.poll_event().is_none() {
                break;
            }
        }
        Ok(())
    }

    fn leftovers(&self) -> Result<(), String> {
        for host in self.hosts {
            let stats = self.net.stack(host).unwrap().stats();
            if (stats.connections, stats.time_wait, stats.receive_memory) != (0, 0, 0) {
                return Err(format!("left over: {stats:?}"));
            }
        }
        Ok(())
    }
}

fn chaos(plan: &Plan) -> Result<(), String> {
    let mut world = World::new(plan);
    let mut run = || {
        for _ in 0..400 {
            let pause = Duration::from_micros(world.dice.below(60_000));
            world.net.run_for(pause);
            world.act()?;
            world.drain_events()?;
        }
        for who in 0..2 {
            let listener = world.listeners[who];
            world
                .stack(who, |stack, now| stack.tcp_close_listener(now, listener))
                .map_err(|_| "the listener is gone".to_owned())?;
            while !world.sockets[who].is_empty() {
                world.close(who, 0, false)?;
            }
        }
        // Six retransmissions, FIN-WAIT-2 and TIME-WAIT are over by then.
        world.net.run_until_idle(Duration::from_secs(3600)).map_err(|s| s.to_string())?;
        world.drain_events()?;
        world.leftovers()
    };
    run().map_err(|why| format!("{why}\n{}", world.net.trace()))
}

#[test]
fn programs_that_do_anything_at_any_time() {
    if let Err(failure) = explore(seeds(300), chaos) {
        panic!("{failure}");
    }
}
