//! A host: a stack of its own, with its own secrets, and its place in the network.

use std::net::IpAddr;

use usernet_core::{
    Config, Instant, InterfaceConfig, InterfaceError, InterfaceId, IpCidr, Medium, Offload, Route,
    RxFrame, Secrets, Stack,
};

use crate::rng::{Purpose, Rng};

/// Settings of a host.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// Its addresses. Empty: one IPv4 address from 198.18.0.0/15 and one IPv6 address from fd00::/64 are given to it.
    pub addresses: Vec<IpAddr>,
    /// MTU of its interface, bytes; `None` takes the one of its first link.
    pub mtu: Option<u16>,
    /// Settings of its stack.
    pub stack: Config,
    /// Keys of its stack; `None` derives them from the network's seed.
    pub secrets: Option<Secrets>,
}

/// A host.
pub(crate) struct Host {
    pub(crate) config: HostConfig,
    /// `None` after a crash.
    pub(crate) stack: Option<Stack>,
    pub(crate) interface: Option<InterfaceId>,
    /// MTU of its interface, once it has one.
    mtu: Option<u16>,
    /// How often it was started.
    pub(crate) lives: u32,
    /// For when its earliest timer stands in the event queue.
    pub(crate) timer: Option<Instant>,
    /// Whether it stands in the queue of hosts that have events.
    pub(crate) queued: bool,
    /// How often its timers ran in a row without time going on.
    pub(crate) spins: u32,
}

impl Host {
    pub(crate) fn new(config: HostConfig) -> Self {
        Self {
            config,
            stack: None,
            interface: None,
            mtu: None,
            lives: 0,
            timer: None,
            queued: false,
            spins: 0,
        }
    }

    /// Starts its stack, with secrets that differ in each life; its interface comes back if it had one.
    pub(crate) fn boot(
        &mut self,
        now: Instant,
        seed: u64,
        index: u32,
    ) -> Result<(), InterfaceError> {
        let mut rng = Rng::new(seed, Purpose::Host, u64::from(index) << 32 | u64::from(self.lives));
        self.lives += 1;
        let mut bytes = [0; 64];
        rng.fill(&mut bytes);
        let secrets = self.config.secrets.clone().unwrap_or(Secrets::from_bytes(&bytes));
        self.stack = Some(Stack::new(self.config.stack.clone(), secrets, rng.next_u64()));
        match self.mtu {
            Some(mtu) => self.attach(now, mtu),
            None => Ok(()),
        }
    }

    /// Gives the stack its one interface, its addresses and a default route for each family it has. The first call
    /// counts: a host has one interface whatever the number of its links.
    pub(crate) fn attach(&mut self, now: Instant, link_mtu: u16) -> Result<(), InterfaceError> {
        let mtu = *self.mtu.get_or_insert(self.config.mtu.unwrap_or(link_mtu));
        let Some(stack) = &mut self.stack else { return Ok(()) };
        if self.interface.is_some() {
            return Ok(());
        }
        let addresses = self.config.addresses.iter().map(|&addr| {
            // The whole range is one subnet to the hosts; which way packets take is the network's business.
            IpCidr { addr, prefix_len: if addr.is_ipv4() { 15 } else { 64 } }
        });
        let interface = stack.add_interface(
            now,
            InterfaceConfig {
                name: "eth0".to_owned(),
                medium: Medium::Ip,
                mtu,
                offload: Offload::default(),
                addresses: addresses.collect(),
                ..InterfaceConfig::default()
            },
        )?;
        self.interface = Some(interface);
        for default in ["0.0.0.0/0", "::/0"] {
            let to: IpCidr = default.parse().expect("a prefix");
            if self.config.addresses.iter().any(|a| a.is_ipv4() == to.addr.is_ipv4()) {
                stack.add_route(Route { to, via: None, interface })?;
            }
        }
        Ok(())
    }

    /// The host vanishes: nothing is sent, nothing is remembered.
    pub(crate) fn crash(&mut self) {
        self.stack = None;
        self.interface = None;
        self.timer = None;
    }

    /// Tells the stack, if there is one, that a packet of its own goes nowhere.
    pub(crate) fn no_way(&mut self, now: Instant, packet: &[u8]) {
        if let Some(stack) = &mut self.stack {
            stack.no_way(now, packet);
        }
    }

    /// Hands a packet to the stack; false when there is nobody to take it.
    pub(crate) fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> bool {
        let (Some(stack), Some(interface)) = (&mut self.stack, self.interface) else {
            return false;
        };
        stack.handle_frame(now, interface, RxFrame::new(bytes));
        true
    }
}
