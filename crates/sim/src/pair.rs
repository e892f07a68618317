//! Two hosts and a link: what most tests need.

use usernet_core::{Duration, ListenerId};

use crate::traffic::{End, Flow, FlowId, Traffic};
use crate::{HostConfig, LinkConfig, LinkId, Network, NodeId, Stalled};

/// The port that the server of a [`Pair`] listens on.
const PORT: u16 = 80;

/// What [`Pair::exchange`] is to do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Bytes from client to server on each connection.
    pub up: u64,
    /// Bytes from server to client on each connection.
    pub down: u64,
    /// Over IPv6.
    pub v6: bool,
    /// Connections, all started at once.
    pub connections: usize,
    /// Virtual time it may take.
    pub limit: Duration,
}

impl Default for Workload {
    fn default() -> Self {
        Self { up: 0, down: 0, v6: false, connections: 1, limit: Duration::from_secs(3600) }
    }
}

/// What became of an exchange.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Bytes that arrived, both ways together, every one of them right and in its place.
    pub received: u64,
    /// Virtual time until the last of them.
    pub took: Duration,
    /// The client's ends.
    pub clients: Vec<End>,
    /// The server's ends.
    pub servers: Vec<End>,
}

/// A client, a server and a link between them; the server listens on port 80.
pub struct Pair {
    /// The network of the two.
    pub net: Network,
    /// The flows between them.
    pub traffic: Traffic,
    /// The client.
    pub client: NodeId,
    /// The server.
    pub server: NodeId,
    /// The link.
    pub link: LinkId,
    /// The server's listener.
    pub listener: ListenerId,
}

impl Pair {
    /// Two hosts with default settings, and a link.
    ///
    /// # Panics
    /// When the settings of the link are out of range.
    pub fn new(seed: u64, link: LinkConfig) -> Self {
        Self::with(seed, link, HostConfig::default(), HostConfig::default())
    }

    /// Two hosts and a link.
    ///
    /// # Panics
    /// When settings are out of range.
    pub fn with(seed: u64, link: LinkConfig, client: HostConfig, server: HostConfig) -> Self {
        let mut net = Network::new(seed);
        let client = net.host_with("client", client).expect("settings of the client");
        let server = net.host_with("server", server).expect("settings of the server");
        let link = net.link(client, server, link).expect("settings of the link");
        let mut traffic = Traffic::new();
        let listener = traffic.listen(&mut net, server, PORT);
        Self { net, traffic, client, server, link, listener }
    }

    /// A flow from client to server that carries nothing yet.
    pub fn flow(&self) -> Flow {
        Flow::new(self.client, self.server, PORT)
    }

    /// Starts a flow.
    ///
    /// # Panics
    /// When the client's stack refuses at once.
    pub fn connect(&mut self, flow: Flow) -> FlowId {
        self.traffic.connect(&mut self.net, flow)
    }

    /// Runs until every flow is done.
    ///
    /// # Errors
    /// [`Stalled`], as [`Traffic::run`].
    pub fn run(&mut self, limit: Duration) -> Result<(), Stalled> {
        self.traffic.run(&mut self.net, limit)
    }

    /// Runs for some time.
    pub fn run_for(&mut self, time: Duration) {
        self.traffic.run_for(&mut self.net, time);
    }

    /// Carries data over new connections, closes them, and checks every byte.
    ///
    /// # Errors
    /// [`Stalled`] when it takes too long, when a byte is wrong, or when a connection ends early.
    pub fn exchange(&mut self, work: &Workload) -> Result<Outcome, Stalled> {
        let start = self.net.now();
        let flows: Vec<FlowId> = (0..work.connections)
            .map(|_| {
                self.connect(Flow { up: work.up, down: work.down, v6: work.v6, ..self.flow() })
            })
            .collect();
        self.run(work.limit)?;
        let ends = |side: fn(&Traffic, FlowId) -> &End| -> Vec<End> {
            flows.iter().map(|&flow| side(&self.traffic, flow).clone()).collect()
        };
        let (clients, servers) = (ends(Traffic::client), ends(Traffic::server));
        let received = clients.iter().chain(&servers).map(|end| end.received).sum();
        if received != (work.up + work.down) * work.connections as u64 {
            return Err(self.net.stalled("a connection ended early"));
        }
        let last = clients.iter().chain(&servers).map(|end| end.last_received).max();
        let took = last.unwrap_or(start).since(start);
        Ok(Outcome { received, took, clients, servers })
    }
}
