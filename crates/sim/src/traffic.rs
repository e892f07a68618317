//! Programs for hosts: connections that carry a known stream each way and check every byte of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use usernet_core::{
    ConnectOptions, ConnectionError, Duration, Event, Instant, ListenAddress, ListenOptions,
    ListenerId, Ready, RecvError, SendError, Shutdown, SocketId, SocketOptions, Stack,
};

use crate::pattern::Pattern;
use crate::{Network, NodeId, Stalled};

/// Names a flow of a [`Traffic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(usize);

/// What one connection carries.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Who connects.
    pub client: NodeId,
    /// To whom; it has to [`listen`](Traffic::listen).
    pub server: NodeId,
    /// To which port. Where a NAT box changes the client's address, each flow that is open at a time needs a port of its
    /// own: the server knows it by nothing else.
    pub port: u16,
    /// From which port; 0 leaves it to the stack.
    pub local_port: u16,
    /// Over IPv6.
    pub v6: bool,
    /// Bytes from client to server.
    pub up: u64,
    /// Bytes from server to client.
    pub down: u64,
    /// The server sends only after the client's FIN.
    pub reply_after_eof: bool,
    /// Both ends keep the connection open when they have sent everything.
    pub stay_open: bool,
    /// Options of the client's socket; `None` takes its stack's.
    pub options: Option<SocketOptions>,
}

impl Flow {
    /// A connection that carries nothing.
    pub fn new(client: NodeId, server: NodeId, port: u16) -> Self {
        Self {
            client,
            server,
            port,
            local_port: 0,
            v6: false,
            up: 0,
            down: 0,
            reply_after_eof: false,
            stay_open: false,
            options: None,
        }
    }
}

/// One end of a flow.
#[derive(Clone, Debug)]
pub struct End {
    /// Its host.
    pub host: NodeId,
    /// Its socket; none before it was accepted.
    pub socket: Option<SocketId>,
    /// Bytes the stack took from it.
    pub sent: u64,
    /// Bytes it got, every one of them checked.
    pub received: u64,
    /// When it got the last of them.
    pub last_received: Instant,
    /// Whether the peer's FIN came.
    pub eof: bool,
    /// Why the connection ended early, if it did.
    pub error: Option<ConnectionError>,
    /// It reads nothing for now.
    pub paused: bool,
    /// It let go of the socket, or the socket is gone.
    pub closed: bool,
    /// The life of the host that its socket is of.
    life: u32,
    to_send: u64,
    to_receive: u64,
    shut: bool,
}

impl End {
    fn new(host: NodeId, to_send: u64, to_receive: u64) -> Self {
        Self {
            host,
            socket: None,
            sent: 0,
            received: 0,
            last_received: Instant::ZERO,
            eof: false,
            error: None,
            paused: false,
            closed: false,
            life: 0,
            to_send,
            to_receive,
            shut: false,
        }
    }

    fn attach(&mut self, net: &Network, socket: SocketId) {
        self.socket = Some(socket);
        self.life = net.life(self.host);
    }

    /// Whether it did all it had to, or failed.
    fn done(&self, flow: &Flow) -> bool {
        let all = self.sent == self.to_send && self.received == self.to_receive;
        self.error.is_some() || self.closed || (flow.stay_open && all)
    }
}

struct State {
    flow: Flow,
    ends: [End; 2],
    done: bool,
}

/// The client's end of a flow.
const CLIENT: usize = 0;
/// The server's end of a flow.
const SERVER: usize = 1;

/// Flows over a network, driven by its events: call [`pump`](Self::pump) after each step, as
/// [`run`](Self::run) does.
#[derive(Default)]
pub struct Traffic {
    flows: Vec<State>,
    sockets: BTreeMap<(NodeId, u32, SocketId), (usize, usize)>,
    listeners: BTreeMap<(NodeId, u32, ListenerId), u16>,
    /// Flows that were not accepted yet, by the client's address.
    expected: BTreeMap<(NodeId, SocketAddr), usize>,
    /// The same by the server's port, for when a NAT box changed the client's.
    expected_on: BTreeMap<(NodeId, u16), VecDeque<usize>>,
    /// Flows that are not done.
    open: usize,
    /// The first wrong byte, if there was one.
    wrong: Option<String>,
}

impl Traffic {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a host listen on a port, for both families, with a backlog of 1,024.
    ///
    /// # Panics
    /// When the host is none, is down, or the port is taken.
    pub fn listen(&mut self, net: &mut Network, host: NodeId, port: u16) -> ListenerId {
        let options = ListenOptions {
            address: ListenAddress::AnyV6 { only: false },
            port,
            backlog: 1024,
            options: None,
        };
        let listener =
            net.with(host, |stack, _| stack.tcp_listen(options)).expect("a host that is up");
        let listener = listener.expect("a free port");
        self.listeners.insert((host, net.life(host), listener), port);
        listener
    }

    /// Starts a flow.
    ///
    /// # Panics
    /// When the client is no host or is down, or its stack refuses at once.
    pub fn connect(&mut self, net: &mut Network, flow: Flow) -> FlowId {
        let address = net.address(flow.server, flow.v6).expect("a server with an address");
        let remote = SocketAddr::new(address, flow.port);
        let options = ConnectOptions {
            remote,
            local_addr: None,
            local_port: (flow.local_port != 0).then_some(flow.local_port),
            options: flow.options.clone(),
        };
        let index = self.flows.len();
        let (socket, local) = net
            .with(flow.client, |stack, now| {
                let socket = stack.tcp_connect(now, options).expect("a way to the server");
                (socket, stack.tcp_addrs(socket).expect("a socket").0)
            })
            .expect("a client that is up");
        self.sockets.insert((flow.client, net.life(flow.client), socket), (index, CLIENT));
        self.expected.insert((flow.server, local), index);
        self.expected_on.entry((flow.server, flow.port)).or_default().push_back(index);
        let mut ends =
            [End::new(flow.client, flow.up, flow.down), End::new(flow.server, flow.down, flow.up)];
        ends[CLIENT].attach(net, socket);
        self.flows.push(State { flow, ends, done: false });
        self.open += 1;
        self.work(net, index, CLIENT);
        FlowId(index)
    }

    /// Answers the events that wait.
    pub fn pump(&mut self, net: &mut Network) {
        while let Some((host, event)) = net.poll_event() {
            match event {
                Event::Acceptable(listener) => self.accept(net, host, listener),
                Event::Udp(..)
                | Event::Raw(..)
                | Event::Ping(..)
                | Event::Flow(_)
                | Event::Address(..)
                | Event::Link(..) => {}
                Event::Socket(socket, ready) => {
                    let key = (host, net.life(host), socket);
                    if let Some(&(index, end)) = self.sockets.get(&key) {
                        if ready.contains(Ready::CLOSED) {
                            self.sockets.remove(&key);
                        }
                        self.work(net, index, end);
                    }
                }
            }
        }
    }

    /// Runs the network until every flow is done, for `limit` at most.
    ///
    /// # Errors
    /// [`Stalled`] at the limit, when nothing is left to happen, or at the first wrong byte.
    pub fn run(&mut self, net: &mut Network, limit: Duration) -> Result<(), Stalled> {
        let result = net.run_until(limit, |net| {
            self.pump(net);
            self.open == 0 || self.wrong.is_some()
        });
        if let Some(wrong) = &self.wrong {
            let mut stalled = net.stalled("wrong data");
            stalled.trace = format!("{wrong}\n{}", stalled.trace);
            return Err(stalled);
        }
        result
    }

    /// Runs the network for `time`, answering events.
    pub fn run_for(&mut self, net: &mut Network, time: Duration) {
        let until = net.now() + time;
        self.pump(net);
        while net.next_at().is_some_and(|at| at <= until) {
            net.step();
            self.pump(net);
        }
        net.run_to(until);
    }

    /// Flows that are not done.
    pub fn open(&self) -> usize {
        self.open
    }

    /// The client's end of a flow.
    pub fn client(&self, flow: FlowId) -> &End {
        &self.flows[flow.0].ends[CLIENT]
    }

    /// The server's end of a flow.
    pub fn server(&self, flow: FlowId) -> &End {
        &self.flows[flow.0].ends[SERVER]
    }

    /// All flows.
    pub fn flows(&self) -> impl Iterator<Item = FlowId> + use<> {
        (0..self.flows.len()).map(FlowId)
    }

    /// Says of every byte so far whether it was right: the first one that was not, in words.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Makes the server's end of a flow stop reading, or read again.
    pub fn pause_server(&mut self, net: &mut Network, flow: FlowId, paused: bool) {
        self.flows[flow.0].ends[SERVER].paused = paused;
        self.work(net, flow.0, SERVER);
    }

    /// Gives both ends of a flow more to send. It must not have been shut down ([`Flow::stay_open`]).
    pub fn send_more(&mut self, net: &mut Network, flow: FlowId, up: u64, down: u64) {
        let state = &mut self.flows[flow.0];
        for (end, more, less) in [(CLIENT, up, down), (SERVER, down, up)] {
            state.ends[end].to_send += more;
            state.ends[end].to_receive += less;
        }
        if std::mem::take(&mut state.done) {
            self.open += 1;
        }
        self.work(net, flow.0, CLIENT);
        self.work(net, flow.0, SERVER);
    }

    /// Lets a flow that was to stay open close when all is sent.
    pub fn finish(&mut self, net: &mut Network, flow: FlowId) {
        let state = &mut self.flows[flow.0];
        state.flow.stay_open = false;
        if std::mem::take(&mut state.done) {
            self.open += 1;
        }
        self.work(net, flow.0, CLIENT);
        self.work(net, flow.0, SERVER);
    }

    fn accept(&mut self, net: &mut Network, host: NodeId, listener: ListenerId) {
        let Some(&port) = self.listeners.get(&(host, net.life(host), listener)) else { return };
        loop {
            let accepted = net.with(host, |stack, _| {
                let socket = stack.tcp_accept(listener).ok().flatten()?;
                Some((socket, stack.tcp_addrs(socket).ok()?.1))
            });
            let Ok(Some((socket, remote))) = accepted else { return };
            let index = self.expected.remove(&(host, remote)).or_else(|| {
                let waiting = self.expected_on.get_mut(&(host, port))?;
                while let Some(index) = waiting.pop_front() {
                    if self.flows[index].ends[SERVER].socket.is_none() {
                        return Some(index);
                    }
                }
                None
            });
            let Some(index) = index else { continue };
            self.flows[index].ends[SERVER].attach(net, socket);
            self.sockets.insert((host, net.life(host), socket), (index, SERVER));
            self.work(net, index, SERVER);
        }
    }

    /// Does what one end of a flow can do now.
    fn work(&mut self, net: &mut Network, index: usize, which: usize) {
        let State { flow, ends, done } = &mut self.flows[index];
        for end in ends.iter_mut() {
            // The socket died with its host.
            end.closed |= end.socket.is_some() && end.life != net.life(end.host);
        }
        let end = &mut ends[which];
        if let Some(socket) = end.socket
            && !end.closed
        {
            let streams = streams(index, which);
            let used = net.with(end.host, |stack, now| {
                work_end(stack, now, socket, flow, end, which, streams)
            });
            if let Ok(Err(wrong)) = used {
                self.wrong.get_or_insert(format!("flow {index}, end {which}: {wrong}"));
            }
        }
        let never_was = ends[SERVER].socket.is_none() && ends[CLIENT].error.is_some();
        if !*done && (never_was || ends.iter().all(|end| end.done(flow))) {
            *done = true;
            self.open -= 1;
        }
    }
}

/// The streams that an end sends and gets.
fn streams(index: usize, which: usize) -> [Pattern; 2] {
    let index = index as u64;
    let (up, down) = (Pattern(index * 2), Pattern(index * 2 + 1));
    if which == CLIENT { [up, down] } else { [down, up] }
}

fn work_end(
    stack: &mut Stack,
    now: Instant,
    socket: SocketId,
    flow: &Flow,
    end: &mut End,
    which: usize,
    [out, into]: [Pattern; 2],
) -> Result<(), String> {
    let mut buf = [0; 16 << 10];
    while !end.paused && !end.eof && end.error.is_none() {
        match stack.tcp_recv(now, socket, &mut buf) {
            Ok(0) => end.eof = true,
            Ok(n) => {
                if let Some(at) = into.mismatch(end.received, &buf[..n]) {
                    return Err(format!("wrong byte at {}", end.received + at as u64));
                }
                end.received += n as u64;
                end.last_received = now;
                if end.received > end.to_receive {
                    return Err(format!("{} bytes, {} expected", end.received, end.to_receive));
                }
            }
            Err(RecvError::WouldBlock) => break,
            Err(RecvError::Connection(error)) => end.error = Some(error),
            Err(RecvError::NoSuchSocket) => {
                end.closed = true;
                return Ok(());
            }
        }
    }
    if end.eof && end.received < end.to_receive {
        return Err(format!("end after {} bytes of {}", end.received, end.to_receive));
    }
    let may_send = which == CLIENT || !flow.reply_after_eof || end.eof;
    while may_send && end.sent < end.to_send && end.error.is_none() {
        let n = (end.to_send - end.sent).min(buf.len() as u64) as usize;
        out.fill(end.sent, &mut buf[..n]);
        match stack.tcp_send(now, socket, &buf[..n], false) {
            Ok(taken) => {
                end.sent += taken as u64;
                if taken < n {
                    break;
                }
            }
            Err(SendError::Connection(error)) => end.error = Some(error),
            // The error was reported elsewhere, or will be by reading.
            Err(SendError::BrokenPipe) => {
                end.error =
                    stack.tcp_error(socket).ok().flatten().or(Some(ConnectionError::Aborted));
            }
            Err(SendError::NoSuchSocket) => {
                end.closed = true;
                return Ok(());
            }
        }
    }
    let all_sent = may_send && end.sent == end.to_send && !flow.stay_open;
    if all_sent && !end.shut && end.error.is_none() {
        end.shut = true;
        let _ = stack.tcp_shutdown(now, socket, Shutdown::Write);
    }
    if (end.eof && end.shut) || end.error.is_some() {
        end.closed = true;
        let _ = stack.tcp_close(now, socket);
    }
    Ok(())
}
