//! The stack with its virtual clock, the packets it sent, and the table of descriptors.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;

use usernet_core::{
    Config, Event, Instant, InterfaceConfig, InterfaceId, IpCidr, ListenerId, Medium, Offload,
    Route, RxFrame, Secrets, SocketId, Stack,
};

use crate::calls::{Kind, Socket};
use crate::layout;
use crate::ready::Epoll;
use crate::settings::{Flavour, Settings};

/// Most packets that wait for packetdrill to look at them.
const MAX_SENT: usize = 65_536;

/// Most timers run for one advance of the clock; a stack that sets timers in the past would stop the clock otherwise.
const MAX_STEPS: usize = 1_000_000;

/// What a descriptor stands for.
#[derive(Debug)]
pub(crate) enum Descriptor {
    Socket(Box<Socket>),
    Epoll(Epoll),
}

/// Everything under the lock.
pub(crate) struct Host {
    pub(crate) settings: Settings,
    stack: Option<(Stack, InterfaceId)>,
    /// Microseconds since an arbitrary origin.
    now: u64,
    /// Packets that left, with the time they did.
    sent: VecDeque<(u64, Vec<u8>)>,
    pub(crate) descriptors: BTreeMap<i32, Descriptor>,
    /// How much of the file of sysctls was read.
    sysctl_read: usize,
    /// The states of the connections as they were last written out.
    states: String,
}

impl Host {
    /// A host set up by `--so_flags`. The stack itself is made by the first call that needs it, so that sysctls set
    /// before count.
    pub(crate) fn new(flags: &str) -> Self {
        Self {
            settings: Settings::from_flags(flags),
            stack: None,
            // Some way from zero, as a clock is.
            now: 1_000_000_000,
            sent: VecDeque::new(),
            descriptors: BTreeMap::new(),
            sysctl_read: 0,
            states: String::new(),
        }
    }

    /// Takes in what the scripts' sysctls said since the last call.
    pub(crate) fn read_sysctls(&mut self) {
        let Some(path) = std::env::var_os("USERNET_PACKETDRILL_SYSCTL") else { return };
        let Ok(text) = std::fs::read_to_string(path) else { return };
        for line in text.get(self.sysctl_read..).unwrap_or_default().lines() {
            self.settings.set(line);
        }
        if text.len() > self.sysctl_read
            && let Some(keys) = self.settings.fast_open_keys()
            && let Some((stack, _)) = &mut self.stack
        {
            stack.set_fast_open_keys(keys);
        }
        self.sysctl_read = text.len();
    }

    /// Writes the states of all connections beside the file of sysctls when they changed, in the words of FreeBSD's
    /// sockstat(1): the runner's stand-in for it prints them.
    pub(crate) fn write_states(&mut self) {
        let Some(mut path) = std::env::var_os("USERNET_PACKETDRILL_SYSCTL") else { return };
        let Some((stack, _)) = &self.stack else { return };
        let mut text = String::new();
        for (_, local, remote, state) in stack.tcp_connections() {
            let state = match state.as_str() {
                "SYN-RECEIVED" => "SYN_RCVD".to_owned(),
                name => name.replace('-', "_"),
            };
            let family = if local.is_ipv4() { 4 } else { 6 };
            let _ = writeln!(text, "root packetdril 1 3 tcp{family} {local} {remote} {state}");
        }
        if text != self.states {
            path.push(".sockets");
            // Without the file the scripts that ask see no connection, and fail.
            let _ = std::fs::write(path, &text);
            self.states = text;
        }
    }

    /// The stack, made now if it was not.
    pub(crate) fn stack(&mut self) -> &mut Stack {
        if self.stack.is_none() {
            self.stack = Some(make_stack(&self.settings));
        }
        match &mut self.stack {
            Some((stack, _)) => stack,
            None => unreachable!("made above"),
        }
    }

    /// Microseconds of the virtual clock.
    pub(crate) fn now_usecs(&self) -> u64 {
        self.now
    }

    /// The stack's time.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// When the stack's next timer is due, microseconds, not before now.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        let at = self.stack.as_ref()?.0.poll_timeout()?;
        Some(at.as_nanos().div_ceil(1000).max(self.now))
    }

    /// Moves the clock, without looking at timers: the caller stops at each.
    pub(crate) fn set_now(&mut self, at: u64) {
        self.now = self.now.max(at);
    }

    /// Runs the timers that are due, and takes what the stack then sends.
    pub(crate) fn run_timers(&mut self) {
        let now = self.now();
        for _ in 0..MAX_STEPS {
            let Some((stack, _)) = &mut self.stack else { return };
            match stack.poll_timeout() {
                Some(at) if at <= now => stack.handle_timeout(now),
                _ => break,
            }
            self.settle();
        }
    }

    /// Hands the stack a packet.
    pub(crate) fn inject(&mut self, packet: &[u8]) {
        let now = self.now();
        self.stack();
        if let Some((stack, interface)) = &mut self.stack {
            stack.handle_frame(now, *interface, RxFrame::new(packet));
        }
        self.settle();
    }

    /// Takes events and packets from the stack.
    pub(crate) fn settle(&mut self) {
        while let Some(event) = self.stack.as_mut().and_then(|(stack, _)| stack.poll_event()) {
            match event {
                Event::Socket(id, ready) => self.note(id, ready),
                Event::Acceptable(id) => self.take_accepted(id),
                // The scripts are TCP's: no other sockets are made.
                _ => {}
            }
        }
        let now = self.now;
        let flavour = self.settings.flavour();
        while let Some((stack, _)) = &mut self.stack {
            let Some(frame) = stack.poll_transmit(Instant::from_micros(now)) else { break };
            let mut packet = frame.to_vec();
            if flavour == Flavour::FreeBsd {
                layout::freebsd_syn(&mut packet);
            }
            if self.sent.len() < MAX_SENT {
                self.sent.push_back((now, packet));
            }
        }
    }

    /// The next packet that left.
    pub(crate) fn take_sent(&mut self) -> Option<(u64, Vec<u8>)> {
        self.sent.pop_front()
    }

    /// Connections of a listener are taken at once, so that their buffers can be set; they wait in the adapter's queue.
    fn take_accepted(&mut self, listener: ListenerId) {
        while let Ok(Some(id)) = self.stack().tcp_accept(listener) {
            self.established(id);
            self.accepted(listener, id);
        }
    }

    /// The handshake is over: the receive buffer becomes what the settings say (the shift was made for a larger one).
    pub(crate) fn established(&mut self, id: SocketId) {
        let space = self.settings.receive_space();
        let flavour = self.settings.flavour();
        let now = self.now();
        let set = self.descriptors.values().any(|d| {
            matches!(d, Descriptor::Socket(s) if s.kind == Kind::Stream(id) && s.overrides.receive_buffer.is_some())
        });
        let stack = self.stack();
        let Ok(info) = stack.tcp_info(id) else { return };
        let buffer = match flavour {
            // FreeBSD rounds its buffer up to whole segments (tcp_mss_update).
            Flavour::FreeBsd => space.next_multiple_of(usize::from(info.mss).max(1)),
            // Linux begins with a window of 64 KiB and widens it when much comes in.
            Flavour::Linux => space.min(65_535),
        };
        if !set {
            let _ = stack.tcp_set_options(now, id, |options| {
                options.recv_buffer = buffer.into();
            });
        }
    }
}

/// A stack with one interface that leads everywhere.
fn make_stack(settings: &Settings) -> (Stack, InterfaceId) {
    let mut config =
        Config { loopback: false, socket: settings.socket_options(), ..Config::default() };
    if let Some(seconds) = settings.number("time_wait") {
        config.time_wait = std::time::Duration::from_secs(seconds);
    }
    if let Some(keys) = settings.fast_open_keys() {
        config.fast_open_keys = keys;
    }
    let mut stack = Stack::new(config, Secrets::from_bytes(&[7; 64]), 1);
    let addresses = settings.addresses();
    let interface = stack
        .add_interface(
            Instant::ZERO,
            InterfaceConfig {
                name: "tun0".into(),
                medium: Medium::Ip,
                mtu: settings.mtu(),
                offload: Offload {
                    tso4: settings.tso(),
                    tso6: settings.tso(),
                    ..Offload::default()
                },
                addresses: addresses
                    .iter()
                    .filter_map(|a| IpCidr::new(*a, if a.is_ipv4() { 16 } else { 48 }))
                    .collect(),
                ..InterfaceConfig::default()
            },
        )
        .expect("the flags' MTU and addresses are an interface's");
    for any in [IpAddr::from([0u8; 4]), IpAddr::from([0u8; 16])] {
        if addresses.iter().any(|a| a.is_ipv4() == any.is_ipv4())
            && let Some(to) = IpCidr::new(any, 0)
        {
            let _ = stack.add_route(Route { to, via: None, interface });
        }
    }
    (stack, interface)
}
