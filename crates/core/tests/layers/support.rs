//! Stacks on wires.

use std::net::{IpAddr, SocketAddr};

use usernet_core::{
    Config, Datagram, Event, Instant, InterfaceConfig, InterfaceId, ListenAddress, Offload,
    RecvError, RxChecksum, RxFrame, Secrets, Stack, UdpId, UdpOptions, UdpSettings,
};
use usernet_wire::ip::{Fragment, Protocol, Repr as IpRepr};
use usernet_wire::{checksum, udp};

pub(crate) const NOW: Instant = Instant::from_millis(1_000);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn at(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(text), port)
}

/// A stack with an interface.
pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) interface: InterfaceId,
}

pub(crate) fn interface(addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig {
        name: "un0".into(),
        addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
        ..InterfaceConfig::default()
    }
}

impl Host {
    pub(crate) fn new(seed: u8, config: Config, interface: InterfaceConfig) -> Self {
        let mut stack = Stack::new(config, Secrets::from_bytes(&[seed; 64]), seed.into());
        let interface = stack.add_interface(NOW, interface).expect("a good interface");
        Self { stack, interface }
    }

    /// `198.18.0.{n}/24` and `fd00::{n}/64` over a device with an MTU of 1,500.
    pub(crate) fn number(n: u8) -> Self {
        let addresses = [format!("198.18.0.{n}/24"), format!("fd00::{n}/64")];
        Self::new(n, Config::default(), interface(&[&addresses[0], &addresses[1]]))
    }

    /// A UDP socket on all addresses of a family.
    pub(crate) fn udp(&mut self, like: IpAddr, port: u16) -> UdpId {
        self.udp_with(like, port, |_| {})
    }

    pub(crate) fn udp_with(
        &mut self,
        like: IpAddr,
        port: u16,
        set: impl FnOnce(&mut UdpSettings),
    ) -> UdpId {
        let address =
            if like.is_ipv4() { ListenAddress::AnyV4 } else { ListenAddress::AnyV6 { only: true } };
        let mut settings = UdpSettings::default();
        set(&mut settings);
        let options = UdpOptions { address, port, settings, ..UdpOptions::default() };
        self.stack.udp_bind(options).expect("a free port")
    }

    pub(crate) fn give(&mut self, frame: Vec<u8>) {
        self.stack.handle_frame(NOW, self.interface, RxFrame::new(frame));
    }

    /// The frames that go out, checksums completed as a device would.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(InterfaceId, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some(transmit) = self.stack.poll_transmit(now) {
            let mut bytes = transmit.to_vec();
            if let Some(sum) = transmit.checksum {
                checksum::complete(&mut bytes, sum.start.into(), sum.offset.into())
                    .expect("a field in the frame");
            }
            frames.push((transmit.interface, bytes));
        }
        frames
    }

    pub(crate) fn frames(&mut self) -> Vec<Vec<u8>> {
        self.take(NOW).into_iter().map(|(_, bytes)| bytes).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.stack.poll_event()).collect()
    }

    pub(crate) fn recv(&mut self, id: UdpId) -> Option<Datagram> {
        match self.stack.udp_recv_from(id) {
            Ok(datagram) => Some(datagram),
            Err(RecvError::WouldBlock) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Carries frames between two hosts until neither has any; gives all of them.
pub(crate) fn carry(now: Instant, a: &mut Host, b: &mut Host) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (from_a, from_b) = (a.take(now), b.take(now));
        if from_a.is_empty() && from_b.is_empty() {
            return all;
        }
        for (from, to) in [(from_a, &mut *b), (from_b, &mut *a)] {
            for (_, bytes) in from {
                to.stack.handle_frame(now, to.interface, RxFrame::new(bytes.clone()));
                all.push(bytes);
            }
        }
    }
}

/// The addresses of hosts 1 and 2 in both families.
pub(crate) fn families() -> [(IpAddr, IpAddr); 2] {
    [(ip("198.18.0.1"), ip("198.18.0.2")), (ip("fd00::1"), ip("fd00::2"))]
}

pub(crate) fn header(src: IpAddr, dst: IpAddr, protocol: Protocol, payload_len: usize) -> IpRepr {
    IpRepr {
        src,
        dst,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        ident: 0,
        dont_fragment: false,
        flow_label: 0,
        payload_len,
    }
}

/// A packet.
pub(crate) fn packet(src: IpAddr, dst: IpAddr, protocol: Protocol, body: &[u8]) -> Vec<u8> {
    let ip = header(src, dst, protocol, body.len());
    let mut bytes = vec![0; ip.header_len()];
    ip.emit(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// A UDP datagram without IP header.
pub(crate) fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let repr = udp::Repr { src_port: from.port(), dst_port: to.port(), payload_len: data.len() };
    let mut bytes = vec![0; udp::HEADER_LEN];
    repr.emit(&mut bytes);
    udp::Repr::fill_checksum(&mut bytes, &[data], from.ip(), to.ip());
    bytes.extend_from_slice(data);
    bytes
}

pub(crate) fn udp_packet(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    packet(from.ip(), to.ip(), Protocol::UDP, &datagram(from, to, data))
}

/// A fragment of `body`.
pub(crate) fn fragment(
    (src, dst): (IpAddr, IpAddr),
    ident: u32,
    body: &[u8],
    range: std::ops::Range<usize>,
    more: bool,
) -> Vec<u8> {
    let ip = header(src, dst, Protocol::UDP, body.len());
    let mut bytes = vec![0; ip.fragment_header_len()];
    let place = Fragment { ident, offset: range.start as u16, more };
    ip.emit_fragment(place, range.len(), &mut bytes);
    bytes.extend_from_slice(&body[range]);
    bytes
}

/// A frame that a device vouched for.
pub(crate) fn vouched(data: Vec<u8>, gso_size: u16) -> RxFrame {
    RxFrame { checksum: RxChecksum::Trusted, gso_size, ..RxFrame::new(data) }
}

pub(crate) const FULL_OFFLOAD: Offload =
    Offload { tx_checksum: true, tso4: true, tso6: true, uso: false, big_tcp4: false };

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i ^ (i >> 8)) as u8).collect()
}
