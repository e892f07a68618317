//! The few routing-netlink requests that set up an interface (rtnetlink(7)): link state, addresses, routes. Saves
//! calling `ip`, which may not be there.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const HEADER_LEN: usize = 16;
/// `struct ifinfomsg`.
const IFINFO_LEN: usize = 16;

const IFLA_ADDRESS: u16 = 1;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

/// A routing socket of the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Netlink {
    fd: OwnedFd,
    seq: u32,
}

impl Netlink {
    /// Opens one in the calling thread's namespace.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `socket` just gave us this descriptor, nobody else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, seq: 0 })
    }

    /// Sets the MTU, bytes.
    pub(crate) fn set_mtu(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        let mut message = Message::link(index, 0, 0);
        message.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        self.request(message)
    }

    /// Sets the hardware address.
    pub(crate) fn set_mac(&mut self, index: u32, mac: [u8; 6]) -> io::Result<()> {
        let mut message = Message::link(index, 0, 0);
        message.attribute(IFLA_ADDRESS, &mac);
        self.request(message)
    }

    /// Sets how many packets may wait in the device.
    pub(crate) fn set_queue_len(&mut self, index: u32, packets: u32) -> io::Result<()> {
        let mut message = Message::link(index, 0, 0);
        message.attribute(IFLA_TXQLEN, &packets.to_ne_bytes());
        self.request(message)
    }

    /// Makes the kernel give the interface no link-local address of its own accord, and so ask for no routers.
    pub(crate) fn quiet_ipv6(&mut self, index: u32) -> io::Result<()> {
        let mode = nested(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        let inet6 = nested(libc::AF_INET6 as u16, &mode);
        let mut message = Message::link(index, 0, 0);
        message.attribute(IFLA_AF_SPEC, &inet6);
        self.request(message)
    }

    /// Takes the interface up or down.
    pub(crate) fn set_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let flag = libc::IFF_UP as u32;
        self.request(Message::link(index, if up { flag } else { 0 }, flag))
    }

    /// Gives the interface an address, with the route to its prefix; one that is there already stays. No duplicate
    /// address detection.
    pub(crate) fn add_address(
        &mut self,
        index: u32,
        address: IpAddr,
        prefix: u8,
    ) -> io::Result<()> {
        let mut body = [family(address), prefix, 0, RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
        body[4..].copy_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body);
        message.address(IFA_LOCAL, address);
        message.address(IFA_ADDRESS, address);
        if address.is_ipv6() {
            message.attribute(IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes());
        }
        self.request(message)
    }

    /// Sends what goes to `destination`/`prefix` to the interface.
    pub(crate) fn add_route(
        &mut self,
        index: u32,
        destination: IpAddr,
        prefix: u8,
    ) -> io::Result<()> {
        let scope = if destination.is_ipv4() { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
        let mut body = [0; 12];
        body[..8].copy_from_slice(&[
            family(destination),
            prefix,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_STATIC,
            scope,
            RTN_UNICAST,
        ]);
        let mut message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body);
        message.address(RTA_DST, destination);
        message.attribute(RTA_OIF, &index.to_ne_bytes());
        self.request(message)
    }

    /// Whether the kernel knows of IPv4 packets that are longer than their headers can say (BIG TCP, Linux 6.3): it tells
    /// of any interface, `index` is one, how long it makes them.
    pub(crate) fn has_big_tcp4(&mut self, index: u32) -> bool {
        let mut body = [0; IFINFO_LEN];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut told = false;
        let asked = self.ask(Message::new(RTM_GETLINK, 0, &body), |reply| {
            told |= has_link_attribute(reply, IFLA_GSO_IPV4_MAX_SIZE);
        });
        asked.is_ok() && told
    }

    /// Sends a request and waits for the kernel's verdict.
    fn request(&mut self, message: Message) -> io::Result<()> {
        self.ask(message, |_| {})
    }

    /// Sends a request and waits for the kernel's verdict (which it gives before `send` returns); `hear` gets the answers
    /// that come before it.
    fn ask(&mut self, message: Message, mut hear: impl FnMut(&[u8])) -> io::Result<()> {
        self.seq = self.seq.wrapping_add(1);
        let bytes = message.finish(self.seq);
        // SAFETY: the pointer and length are those of a live slice.
        let sent = unsafe {
            libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        // An interface with all its attributes takes about two kilobytes.
        let mut reply = [0u8; 16_384];
        // Answers to earlier requests that were given up are passed over; there are never many.
        for _ in 0..16 {
            // SAFETY: the pointer and length are those of a live, exclusively borrowed array.
            let n = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    reply.as_mut_ptr().cast(),
                    reply.len(),
                    // The answer is there by now; waiting for one that is not would be for ever.
                    libc::MSG_DONTWAIT,
                )
            };
            if n < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            match verdict(&reply[..n as usize], self.seq) {
                Some(verdict) => return verdict,
                None => hear(&reply[..n as usize]),
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "no answer from rtnetlink"))
    }
}

/// Messages taken in one call; the descriptor stays readable while there are more.
const MAX_NEWS: usize = 64;

/// Hears of an interface's link state, whoever changes it.
#[derive(Debug)]
pub(crate) struct LinkMonitor {
    fd: OwnedFd,
    index: u32,
    up: bool,
}

impl LinkMonitor {
    /// Listens in the calling thread's namespace to what happens to the interface, which is `up` or not now.
    pub(crate) fn open(index: u32, up: bool) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `socket` just gave us this descriptor, nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: `sockaddr_nl` is plain data for which all zeroes is a valid value.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        // SAFETY: the pointer is to a live `sockaddr_nl` of the size that is given.
        let bound = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { fd, index, up })
    }

    /// The descriptor that is readable when there is news.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether the link went up or down since the last call.
    pub(crate) fn change(&mut self) -> Option<bool> {
        let before = self.up;
        let mut news = [0u8; 8192];
        for _ in 0..MAX_NEWS {
            // SAFETY: the pointer and length are those of a live, exclusively borrowed array.
            let n =
                unsafe { libc::recv(self.fd.as_raw_fd(), news.as_mut_ptr().cast(), news.len(), 0) };
            if n > 0 {
                self.up = link_state(&news[..n as usize], self.index).unwrap_or(self.up);
            } else if n == 0 || io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                break;
            }
        }
        (self.up != before).then_some(self.up)
    }
}

/// The last that messages say of whether interface `index` is up. One that left the namespace is where nothing is heard of
/// it, and counts as up.
fn link_state(mut messages: &[u8], index: u32) -> Option<bool> {
    let mut state = None;
    let number = |at: &[u8]| Some(u32::from_ne_bytes(at.get(..4)?.try_into().ok()?));
    while let Some(len) = number(messages).map(|len| len as usize) {
        if len < HEADER_LEN || len > messages.len() {
            break;
        }
        let (message, rest) = messages.split_at(len);
        messages = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let body = &message[HEADER_LEN..];
        // `struct ifinfomsg`: family, type, index, flags.
        let (Some(of), Some(flags)) =
            (body.get(4..).and_then(number), body.get(8..).and_then(number))
        else {
            continue;
        };
        if of == index && kind == RTM_NEWLINK {
            state = Some(flags & libc::IFF_UP as u32 != 0);
        } else if of == index && kind == RTM_DELLINK {
            state = Some(true);
        }
    }
    state
}

/// Whether a message tells of a link and of that attribute of it.
fn has_link_attribute(message: &[u8], kind: u16) -> bool {
    let number = |at: &[u8]| Some(u16::from_ne_bytes(at.get(..2)?.try_into().ok()?));
    if message.get(4..).and_then(number) != Some(RTM_NEWLINK) {
        return false;
    }
    let mut left = message.get(HEADER_LEN + IFINFO_LEN..).unwrap_or_default();
    while let (Some(len), Some(of)) = (number(left), left.get(2..).and_then(number)) {
        if of == kind {
            return true;
        }
        // One that is shorter than its own header is none.
        left = left.get(usize::from(len).max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// The outcome in a reply to request `seq`; `None` when it is about something else.
fn verdict(reply: &[u8], seq: u32) -> Option<io::Result<()>> {
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    let of = u32::from_ne_bytes(reply.get(8..12)?.try_into().ok()?);
    if kind != NLMSG_ERROR || of != seq {
        return None;
    }
    let code = i32::from_ne_bytes(reply.get(HEADER_LEN..HEADER_LEN + 4)?.try_into().ok()?);
    Some(if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) })
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// A request being put together, in the machine's byte order as netlink wants it.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    /// A change to a link: `struct ifinfomsg`.
    fn link(index: u32, flags: u32, change: u32) -> Self {
        let mut body = [0; IFINFO_LEN];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        body[12..16].copy_from_slice(&change.to_ne_bytes());
        Self::new(RTM_NEWLINK, 0, &body)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend_from_slice(&nested(kind, value));
    }

    fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.attribute(kind, &a.octets()),
            IpAddr::V6(a) => self.attribute(kind, &a.octets()),
        }
    }

    fn finish(mut self, seq: u32) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0[8..12].copy_from_slice(&seq.to_ne_bytes());
        self.0
    }
}

/// One attribute, padded to a multiple of four bytes.
fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_counted_without_padding() {
        let bytes = nested(8, &[1]);
        assert_eq!(bytes.len(), 8);
        assert_eq!(bytes[..2], 5u16.to_ne_bytes());
        let mut message = Message::link(7, 1, 1);
        message.attribute(4, &1500u32.to_ne_bytes());
        let bytes = message.finish(9);
        assert_eq!(bytes.len(), 16 + 16 + 8);
        assert_eq!(bytes[..4], 40u32.to_ne_bytes());
        assert_eq!(bytes[8..12], 9u32.to_ne_bytes());
    }

    #[test]
    fn reads_link_states() {
        let message = |kind: u16, index: u32, flags: u32| {
            let mut bytes = Message::link(index, flags, 0).finish(1);
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes
        };
        let up = libc::IFF_UP as u32;
        let of = |messages: &[Vec<u8>]| link_state(&messages.concat(), 7);
        assert_eq!(of(&[message(RTM_NEWLINK, 7, up)]), Some(true));
        assert_eq!(of(&[message(RTM_NEWLINK, 7, 0)]), Some(false));
        assert_eq!(of(&[message(RTM_NEWLINK, 8, 0)]), None);
        assert_eq!(of(&[message(RTM_NEWADDR, 7, 0)]), None);
        // The last counts.
        assert_eq!(of(&[message(RTM_NEWLINK, 7, 0), message(RTM_NEWLINK, 7, up)]), Some(true));
        assert_eq!(of(&[message(RTM_NEWLINK, 7, 0), message(RTM_DELLINK, 7, 0)]), Some(true));
        let whole = message(RTM_NEWLINK, 7, 0);
        for cut in 0..whole.len() {
            assert_eq!(link_state(&whole[..cut], 7), None);
        }
        assert_eq!(link_state(&[0; 64], 7), None);
    }

    #[test]
    fn finds_attributes_of_links() {
        let mut message = Message::link(7, 1, 1);
        message.attribute(IFLA_MTU, &1500u32.to_ne_bytes());
        message.attribute(IFLA_GSO_IPV4_MAX_SIZE, &65_536u32.to_ne_bytes());
        let bytes = message.finish(1);
        assert!(has_link_attribute(&bytes, IFLA_GSO_IPV4_MAX_SIZE));
        assert!(has_link_attribute(&bytes, IFLA_MTU) && !has_link_attribute(&bytes, IFLA_TXQLEN));
        let header = bytes.len() - 4;
        for cut in 0..header {
            assert!(!has_link_attribute(&bytes[..cut], IFLA_GSO_IPV4_MAX_SIZE));
        }
        // An attribute that says it has no length does not make it go on for ever.
        assert!(!has_link_attribute(&[&bytes[..32], &[0; 8]].concat(), 9));
        let other = Message::new(RTM_NEWADDR, 0, &bytes[16..]).finish(1);
        assert!(!has_link_attribute(&other, IFLA_GSO_IPV4_MAX_SIZE));
    }

    #[test]
    fn reads_verdicts() {
        let mut reply = [0u8; 36];
        reply[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        reply[8..12].copy_from_slice(&5u32.to_ne_bytes());
        assert!(verdict(&reply, 5).unwrap().is_ok());
        assert!(verdict(&reply, 6).is_none());
        reply[16..20].copy_from_slice(&(-libc::EPERM).to_ne_bytes());
        let error = verdict(&reply, 5).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        for cut in 0..20 {
            assert!(verdict(&reply[..cut], 5).is_none());
        }
    }
}
