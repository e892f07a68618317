//! TUN and TAP on Linux: `/dev/net/tun` with the virtio offload header (kernel documentation, networking/tuntap).

use std::ffi::c_int;
use std::fs::OpenOptions;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Kind, MIN_MTU_IPV6, TunCounters, TunOptions, check, check_mtu};
use crate::device::{Device, DeviceInfo, Medium, Offload, Received, RxData, TxFrame, Wake};
use crate::frame_io::{FrameReader, write_frame};
use crate::netlink::{LinkMonitor, Netlink};
use crate::open_error::OpenError;
use crate::vnet::{self, VNET_LEN};

const PATH: &str = "/dev/net/tun";

/// `LOOPBACK_IFINDEX`: every namespace's loopback interface has this number.
const LOOPBACK_INDEX: u32 = 1;

/// Bytes before a packet when `IFF_NO_PI` is not set: flags and EtherType.
const PI_LEN: usize = 4;

/// Largest packet the kernel hands over with offload on, with room for headers, and to see that one was larger.
const MAX_SUPER_FRAME: usize = 65_550;

/// Bad frames passed over in one `recv`.
const MAX_BAD_READS: usize = 64;

/// A TUN interface of the network namespace it was opened in. The interface goes when this is dropped, unless it is
/// persistent.
///
/// Receiving and sending never block. A frame that the kernel refuses (malformed, no memory for it, or the interface was
/// taken down) is counted and lost, as on a wire; an interface that is down is not an error, it carries traffic again
/// when it is taken up ([`Device::link_change`] tells of both). Only an interface that was deleted ends the device: `recv`
/// and `send` give `EBADFD`.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    kind: Kind,
    info: DeviceInfo,
    index: u32,
    /// Whether a `PI_LEN` header comes first (inherited descriptors only).
    packet_info: bool,
    /// Bytes of the offload header, 0 without it.
    vnet_len: usize,
    reader: FrameReader,
    counters: TunCounters,
    /// How it was opened, to open further queues.
    options: Option<TunOptions>,
    /// A routing socket of the namespace that the interface is in; inherited descriptors have none.
    netlink: Option<Netlink>,
    /// Hears of its link state, of an interface that was opened here.
    link: Option<LinkMonitor>,
}

impl Tun {
    /// Creates a TUN interface, or attaches to a persistent one, in the calling thread's network namespace.
    ///
    /// # Errors
    /// `ENOENT` or `ENODEV` where the system has no TUN, `EPERM` or `EACCES` without the permission, `EBUSY` when the
    /// name is taken, `ENAMETOOLONG` or `EINVAL` for a bad name, `EINVAL` for a bad MTU or when the name belongs to an
    /// interface of another kind. The text names the value and the remedy.
    pub fn open(options: &TunOptions) -> Result<Self, OpenError> {
        Self::open_kind(options, Kind::Tun, None)
    }

    /// Opens either kind; `mac` is the hardware address of the kernel's side.
    pub(crate) fn open_kind(
        options: &TunOptions,
        kind: Kind,
        mac: Option<[u8; 6]>,
    ) -> Result<Self, OpenError> {
        check(options)?;
        let (fd, name, vnet) = open_queue(options, options.name.as_deref().unwrap_or(""), kind)?;
        let failed = |syscall, what: &str| {
            let name = name.clone();
            let what = what.to_owned();
            move |e: io::Error| {
                OpenError::from_io(&e, syscall, format!("cannot {what} of '{name}': {e}"))
            }
        };
        let mut offload = set_offload(fd.as_fd(), vnet, options.udp_offload);
        if options.persist {
            ioctl_value(fd.as_fd(), libc::TUNSETPERSIST, 1)
                .map_err(failed("ioctl", "make persistent the interface"))?;
        }

        let mut netlink =
            Netlink::open().map_err(failed("netlink", "open a routing socket for the settings"))?;
        let index = interface_index(&name).map_err(failed("ioctl", "get the index"))?;
        offload.big_tcp4 = options.big_tcp && offload.tso4 && netlink.has_big_tcp4(index);
        let mtu = configure(&mut netlink, &name, kind, index, options, mac)?;
        // Without it, the stack does not hear when somebody takes the interface down.
        let link = LinkMonitor::open(index, interface_is_up(&name).unwrap_or(true)).ok();
        Ok(Self {
            info: info(name, kind, mtu, offload, vnet),
            fd,
            kind,
            index,
            packet_info: false,
            vnet_len: if vnet { VNET_LEN } else { 0 },
            reader: FrameReader::new(vnet),
            counters: TunCounters::default(),
            options: Some(options.clone()),
            netlink: Some(netlink),
            link,
        })
    }

    /// Takes over a TUN descriptor that somebody else opened (a parent process, a privileged helper). Whether it has
    /// packet information or the offload header is found out from it; offload is asked for only where the header is
    /// there and `offload` is true (see [`set_udp_offload`](Self::set_udp_offload)). `mtu` is for when the interface cannot be looked up because it is in another
    /// namespace (1,500 when that is `None` as well). The descriptor is made non-blocking, for all who share it.
    ///
    /// # Errors
    /// `EINVAL` when it is not a TUN with an interface attached.
    pub fn from_fd(fd: OwnedFd, offload: bool, mtu: Option<u16>) -> Result<Self, OpenError> {
        Self::from_fd_kind(fd, Kind::Tun, offload, mtu)
    }

    /// Takes over a descriptor of either kind.
    pub(crate) fn from_fd_kind(
        fd: OwnedFd,
        kind: Kind,
        offload: bool,
        mtu: Option<u16>,
    ) -> Result<Self, OpenError> {
        let raw = fd.as_raw_fd();
        let (name, flags) = attached(fd.as_fd()).map_err(|e| {
            OpenError::new(
                libc::EINVAL,
                "ioctl",
                format!("descriptor {raw} is not a {kind} with an interface attached ({e}); open {PATH} and do TUNSETIFF"),
            )
        })?;
        if flags & kind_flag(kind) == 0 {
            let other = kind.other();
            return Err(OpenError::new(
                libc::EINVAL,
                "ioctl",
                format!(
                    "descriptor {raw} is the {other} '{name}', not a {kind}; create it with IFF_{kind}"
                ),
            ));
        }
        let failed = |what: &str, e: &io::Error| {
            OpenError::from_io(
                e,
                "ioctl",
                format!("cannot {what} of descriptor {raw} ('{name}'): {e}"),
            )
        };
        set_nonblocking(fd.as_fd()).map_err(|e| failed("set the flags", &e))?;
        let vnet = flags & libc::IFF_VNET_HDR != 0;
        if vnet {
            set_vnet_header(fd.as_fd()).map_err(|e| failed("set the offload header", &e))?;
        }
        let mut offload = set_offload(fd.as_fd(), vnet && offload, true);
        // The interface may be in another namespace; any says what the kernel knows, and each has this one.
        offload.big_tcp4 =
            offload.tso4 && Netlink::open().is_ok_and(|mut n| n.has_big_tcp4(LOOPBACK_INDEX));
        let mtu = mtu.or_else(|| interface_mtu(&name).ok()).unwrap_or(1500);
        Ok(Self {
            index: 0,
            packet_info: flags & libc::IFF_NO_PI == 0,
            vnet_len: if vnet { VNET_LEN } else { 0 },
            info: info(name, kind, mtu, offload, vnet),
            fd,
            kind,
            reader: FrameReader::new(vnet),
            counters: TunCounters::default(),
            options: None,
            netlink: None,
            link: None,
        })
    }

    /// Turns [`TunOptions::udp_offload`] on or off where the kernel lets it; whether it is on now. Everything else stays. To be
    /// called before a stack owns the device.
    pub fn set_udp_offload(&mut self, on: bool) -> bool {
        let Offload { tx_checksum, big_tcp4, .. } = self.info.offload;
        self.info.offload = Offload { big_tcp4, ..set_offload(self.fd.as_fd(), tx_checksum, on) };
        self.info.offload.uso
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Its counters; they can be read while a stack owns the device.
    pub fn counters(&self) -> TunCounters {
        self.counters.clone()
    }

    /// Gives the kernel's side of the interface an address (no duplicate address detection), and the route to its
    /// prefix: how programs on kernel sockets reach the stack, which has an address of its own in the same prefix. An
    /// address that is there already stays.
    ///
    /// An IPv6 address can be sent from at once, but for some milliseconds the kernel may still drop what comes for it.
    ///
    /// # Errors
    /// `EINVAL` when the prefix is longer than the address, or for IPv6 when the MTU is under 1,280; `EPERM` without
    /// permission; `EAFNOSUPPORT` or `EACCES` where the kernel has IPv6 off; `ENOTSUP` on an inherited descriptor.
    pub fn add_kernel_address(&mut self, address: IpAddr, prefix: u8) -> Result<(), OpenError> {
        self.check_prefix(address, prefix)?;
        let (index, name) = (self.index, self.info.name.clone());
        self.netlink()?.add_address(index, address, prefix).map_err(|e| {
            OpenError::from_io(
                &e,
                "netlink",
                format!(
                    "cannot add address {address}/{prefix} to '{name}': {e}{}",
                    config_remedy(&e)
                ),
            )
        })
    }

    /// Makes the kernel send what goes to `destination`/`prefix` to the interface. The interface has to be up.
    ///
    /// # Errors
    /// As [`add_kernel_address`](Self::add_kernel_address); `ENETDOWN` when the interface is down, `EINVAL` when bits of
    /// `destination` beyond the prefix are set.
    pub fn add_kernel_route(&mut self, destination: IpAddr, prefix: u8) -> Result<(), OpenError> {
        self.check_prefix(destination, prefix)?;
        let (index, name) = (self.index, self.info.name.clone());
        self.netlink()?.add_route(index, destination, prefix).map_err(|e| {
            OpenError::from_io(
                &e,
                "netlink",
                format!(
                    "cannot add route {destination}/{prefix} to '{name}': {e}{}",
                    config_remedy(&e)
                ),
            )
        })
    }

    /// Takes the interface up or down.
    ///
    /// # Errors
    /// `EPERM` without permission; `ENOTSUP` on an inherited descriptor.
    pub fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        let (index, name) = (self.index, self.info.name.clone());
        let state = if up { "up" } else { "down" };
        self.netlink()?.set_up(index, up).map_err(|e| {
            OpenError::from_io(
                &e,
                "netlink",
                format!("cannot take '{name}' {state}: {e}{}", config_remedy(&e)),
            )
        })
    }

    fn netlink(&mut self) -> Result<&mut Netlink, OpenError> {
        let name = &self.info.name;
        self.netlink.as_mut().ok_or_else(|| {
            OpenError::new(
                libc::ENOTSUP,
                "netlink",
                format!("'{name}' was opened by somebody else, who has to set it up (its namespace is not known here)"),
            )
        })
    }

    fn check_prefix(&self, address: IpAddr, prefix: u8) -> Result<(), OpenError> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(OpenError::new(
                libc::EINVAL,
                "netlink",
                format!("prefix length {prefix} of {address} is too long: at most {longest}"),
            ));
        }
        let mtu = self.info.mtu;
        if address.is_ipv6() && mtu < MIN_MTU_IPV6 {
            return Err(OpenError::new(
                libc::EINVAL,
                "netlink",
                format!(
                    "MTU {mtu} of '{}' is too small for {address}: IPv6 needs at least {MIN_MTU_IPV6} bytes",
                    self.info.name
                ),
            ));
        }
        Ok(())
    }

    /// Bytes before each packet.
    fn prefix_len(&self) -> usize {
        self.vnet_len + if self.packet_info { PI_LEN } else { 0 }
    }
}

impl Device for Tun {
    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn medium(&self) -> Medium {
        self.kind.medium()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let prefix_len = self.prefix_len();
        for _ in 0..MAX_BAD_READS {
            let mut prefix = [0u8; PI_LEN + VNET_LEN];
            let Some(len) = self.reader.read(&self.fd, &mut prefix[..prefix_len], buf)? else {
                self.counters.0.rx_failed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let mut meta = vnet::RxMeta::default();
            if self.vnet_len > 0 {
                let header = &prefix[prefix_len - VNET_LEN..prefix_len];
                let header = header.try_into().unwrap_or_default();
                meta = vnet::parse(header, &buf[..len], self.kind.medium());
                if meta.odd {
                    self.counters.0.rx_odd_header.fetch_add(1, Ordering::Relaxed);
                }
            }
            return Ok(Received {
                data: RxData::Buffer(len),
                checksum_trusted: meta.checksum_trusted,
                gso_size: meta.gso_size,
            });
        }
        // The descriptor is still readable, so whoever polls it comes back.
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        let header = if self.vnet_len > 0 {
            vnet::build(frame)
        } else {
            (frame.checksum.is_none() && frame.gso.is_none()).then_some([0; VNET_LEN])
        };
        let Some(header) = header else {
            self.counters.0.tx_invalid.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let mut prefix = [0u8; PI_LEN + VNET_LEN];
        let prefix_len = self.prefix_len();
        if self.packet_info && self.kind == Kind::Tun {
            // Flags, then the EtherType, which the kernel wants to agree with the packet.
            let first = frame.pieces.iter().find_map(|p| p.first()).copied().unwrap_or(0);
            let ether_type: u16 = if first >> 4 == 6 { 0x86dd } else { 0x0800 };
            prefix[2..4].copy_from_slice(&ether_type.to_be_bytes());
        }
        prefix[prefix_len - self.vnet_len..prefix_len].copy_from_slice(&header[..self.vnet_len]);

        if !write_frame(&self.fd, &prefix[..prefix_len], &frame.pieces)? {
            self.counters.0.tx_refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }

    fn link_fd(&self) -> Option<RawFd> {
        self.link.as_ref().map(LinkMonitor::fd)
    }

    fn link_change(&mut self) -> Option<bool> {
        self.link.as_mut()?.change()
    }

    fn open_queues(&mut self) -> Result<Vec<Box<dyn Device>>, OpenError> {
        let Some(options) = self.options.clone() else { return Ok(Vec::new()) };
        let open = |_| {
            let (fd, _, vnet) = open_queue(&options, &self.info.name, self.kind)?;
            set_offload(fd.as_fd(), vnet, options.udp_offload);
            let queue = Self {
                fd,
                kind: self.kind,
                info: self.info.clone(),
                index: self.index,
                packet_info: false,
                vnet_len: if vnet { VNET_LEN } else { 0 },
                reader: FrameReader::new(vnet),
                counters: self.counters.clone(),
                options: None,
                netlink: None,
                link: None,
            };
            Ok(Box::new(queue) as Box<dyn Device>)
        };
        (1..options.queues).map(open).collect()
    }

    fn set_waker(&mut self, _waker: Arc<dyn Wake>) {}

    fn set_mtu(&mut self, mtu: u16) -> Result<(), OpenError> {
        check_mtu(mtu)?;
        let (index, name) = (self.index, self.info.name.clone());
        self.netlink()?.set_mtu(index, mtu.into()).map_err(|e| {
            OpenError::from_io(
                &e,
                "netlink",
                format!("cannot set MTU {mtu} of '{name}': {e}{}", config_remedy(&e)),
            )
        })?;
        let vnet = self.vnet_len > 0;
        self.info = info(name, self.kind, mtu, self.info.offload, vnet);
        Ok(())
    }

    fn set_up(&mut self, up: bool) -> Result<(), OpenError> {
        Self::set_up(self, up)
    }
}

/// A descriptor of our own for what `fd` (of a parent process, of a helper) stands for: what is done to `fd` from here on
/// does not matter.
///
/// # Errors
/// `EBADF` when it is none.
pub fn duplicate(fd: RawFd) -> Result<OwnedFd, OpenError> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer, and says so when the descriptor is none.
    let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if own < 0 {
        let error = io::Error::last_os_error();
        let message = format!("descriptor {fd} is not open ({error}); pass one that was inherited");
        return Err(OpenError::from_io(&error, "fcntl", message));
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

fn kind_flag(kind: Kind) -> c_int {
    match kind {
        Kind::Tun => libc::IFF_TUN,
        Kind::Tap => libc::IFF_TAP,
    }
}

fn info(name: String, kind: Kind, mtu: u16, offload: Offload, vnet: bool) -> DeviceInfo {
    let packet = if vnet { MAX_SUPER_FRAME } else { usize::from(mtu) };
    let max_frame = packet + kind.header_len();
    DeviceInfo { name, mtu, max_frame, offload }
}

fn open_failed(error: &io::Error) -> OpenError {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ENOTDIR) => {
            "; load the module with 'modprobe tun', or give the container the device with '--device /dev/net/tun'"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "; run as root or make the device accessible to this user ('chmod 666 /dev/net/tun'; in a container \
             '--device /dev/net/tun --cap-add NET_ADMIN')"
        }
        Some(libc::EMFILE | libc::ENFILE) => "; raise the limit of open files ('ulimit -n')",
        _ => "",
    };
    OpenError::from_io(error, "open", format!("cannot open {PATH}: {error}{remedy}"))
}

fn config_remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => "; run as root or with CAP_NET_ADMIN",
        Some(libc::EACCES | libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => {
            "; is IPv6 off here (sysctl net.ipv6.conf.*.disable_ipv6)?"
        }
        Some(libc::ENETDOWN) => "; take the interface up first",
        _ => "",
    }
}

/// Opens a queue of the interface of that name, which is made if there is none: the descriptor, the interface's name, and
/// whether an offload header comes first.
fn open_queue(
    options: &TunOptions,
    name: &str,
    kind: Kind,
) -> Result<(OwnedFd, String, bool), OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(PATH)
        .map_err(|e| open_failed(&e))?;
    let fd = OwnedFd::from(file);
    let vnet = options.offload && features(fd.as_fd()) & libc::IFF_VNET_HDR != 0;
    let flags = kind_flag(kind)
        | libc::IFF_NO_PI
        | if vnet { libc::IFF_VNET_HDR } else { 0 }
        | if options.queues > 1 { libc::IFF_MULTI_QUEUE } else { 0 };
    let name = attach(fd.as_fd(), name, kind, flags)?;
    if vnet {
        set_vnet_header(fd.as_fd()).map_err(|e| {
            let text = format!("cannot set the offload header of '{name}': {e}");
            OpenError::from_io(&e, "ioctl", text)
        })?;
    }
    Ok((fd, name, vnet))
}

/// Creates or attaches to the interface; gives its name.
fn attach(fd: BorrowedFd<'_>, wanted: &str, kind: Kind, flags: c_int) -> Result<String, OpenError> {
    let mut request = interface_request(wanted);
    request.ifr_ifru.ifru_flags = flags as i16;
    match ioctl_interface(fd, libc::TUNSETIFF, &mut request) {
        Ok(()) => Ok(request_name(&request)),
        Err(error) => {
            let (mode, other) = (kind.mode(), kind.other());
            let why = match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => format!(
                    "; run as root or with CAP_NET_ADMIN (setcap cap_net_admin+ep), or in a namespace of your own \
                     ('unshare --user --map-root-user --net'), or have root make one for you \
                     ('ip tuntap add dev NAME mode {mode} user YOU')"
                ),
                Some(libc::EBUSY) => format!(
                    ": the name is taken by a {kind} that another program has open; choose another name or close it"
                ),
                Some(libc::EINVAL) if flags & libc::IFF_MULTI_QUEUE != 0 => {
                    if interface_index(wanted).is_ok() {
                        format!(
                            ": the name is taken by an interface that is not a {kind} with several queues; make it so \
                             ('ip tuntap add NAME mode {mode} multi_queue'), ask for one queue, or choose another name"
                        )
                    } else {
                        ": this kernel gives no several queues (IFF_MULTI_QUEUE); ask for one"
                            .into()
                    }
                }
                Some(libc::EINVAL) if interface_index(wanted).is_ok() => format!(
                    ": the name is taken by an interface that is not a {kind} with one queue (a {other}, a network \
                     card, ...); choose another name"
                ),
                Some(libc::ENFILE) => ": no number is free for '%d'; choose another name".into(),
                _ => String::new(),
            };
            let what = if wanted.is_empty() {
                format!("a {kind} interface")
            } else {
                format!("{kind} interface '{wanted}'")
            };
            Err(OpenError::from_io(&error, "ioctl", format!("cannot create {what}: {error}{why}")))
        }
    }
}

/// Brings the interface to the state asked for; gives its MTU. What is so already is not touched: whoever was given a
/// persistent interface that is set up needs no permission.
fn configure(
    netlink: &mut Netlink,
    name: &str,
    kind: Kind,
    index: u32,
    options: &TunOptions,
    mac: Option<[u8; 6]>,
) -> Result<u16, OpenError> {
    let failed = |what: String, e: &io::Error| {
        OpenError::from_io(e, "netlink", format!("cannot {what} '{name}': {e}{}", config_remedy(e)))
    };
    if let Some(mtu) = options.mtu
        && interface_mtu(name).ok() != Some(mtu)
    {
        netlink.set_mtu(index, mtu.into()).map_err(|e| failed(format!("set MTU {mtu} of"), &e))?;
    }
    if let Some(mac) = mac {
        netlink.set_mac(index, mac).map_err(|e| {
            let [a, b, c, d, e_, f] = mac;
            let what = format!("set address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e_:02x}:{f:02x} of");
            failed(what, &e)
        })?;
    }
    // Both make things better and neither is needed; without the permission, or without IPv6, they are left.
    let _ = netlink.set_queue_len(index, options.queue_len);
    // On Ethernet the kernel's side is a neighbour as others are: without a link-local address it could be no router.
    if kind == Kind::Tun {
        let _ = netlink.quiet_ipv6(index);
    }
    if options.up && !interface_is_up(name).unwrap_or(false) {
        netlink.set_up(index, true).map_err(|e| failed("take up".into(), &e))?;
    }
    interface_mtu(name).map_err(|e| {
        OpenError::from_io(&e, "ioctl", format!("cannot read the MTU of '{name}': {e}"))
    })
}

/// Fixes the offload header's size and byte order, which a persistent interface may have otherwise.
fn set_vnet_header(fd: BorrowedFd<'_>) -> io::Result<()> {
    ioctl_int(fd, libc::TUNSETVNETHDRSZ, VNET_LEN as c_int)?;
    match ioctl_int(fd, libc::TUNSETVNETLE, 1) {
        // Kernels before 4.0 know the machine's own order only.
        Err(_) if cfg!(target_endian = "little") => Ok(()),
        result => result,
    }
}

/// Asks for as much offload as the kernel gives. Always sets something: a persistent interface keeps what its last user
/// asked for.
fn set_offload(fd: BorrowedFd<'_>, wanted: bool, udp: bool) -> Offload {
    use libc::{TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6};
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    // Each with what it means; UDP's came with Linux 6.2, and one family alone is refused.
    let attempts =
        [(udp, tcp | TUN_F_USO4 | TUN_F_USO6, true), (true, tcp, true), (true, TUN_F_CSUM, false)];
    for (worth, flags, tso) in attempts {
        if wanted && worth && ioctl_value(fd, libc::TUNSETOFFLOAD, flags as usize).is_ok() {
            let uso = flags & TUN_F_USO4 != 0;
            return Offload { tx_checksum: true, tso4: tso, tso6: tso, uso, big_tcp4: false };
        }
    }
    let _ = ioctl_value(fd, libc::TUNSETOFFLOAD, 0);
    Offload::default()
}

/// The kernel's `IFF_*` abilities; those of the oldest kernel when it does not say.
fn features(fd: BorrowedFd<'_>) -> c_int {
    let mut flags: c_int = 0;
    // SAFETY: TUNGETFEATURES writes one `unsigned int` to the pointer, which is to a live one.
    let result = unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::TUNGETFEATURES, std::ptr::from_mut(&mut flags))
    };
    if result < 0 { 0 } else { flags }
}

/// Name and flags of the interface that a TUN descriptor is attached to.
fn attached(fd: BorrowedFd<'_>) -> io::Result<(String, c_int)> {
    let mut request = interface_request("");
    ioctl_interface(fd, libc::TUNGETIFF, &mut request)?;
    // SAFETY: TUNGETIFF filled in the flags, and every bit pattern is a valid integer.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok((request_name(&request), c_int::from(flags as u16)))
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: F_SETFL takes an integer.
    let set = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let request = query(name, libc::SIOCGIFINDEX)?;
    // SAFETY: SIOCGIFINDEX filled in the index, and every bit pattern is a valid integer.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex } as u32)
}

/// The hardware address of an Ethernet interface.
pub(crate) fn interface_mac(name: &str) -> io::Result<[u8; 6]> {
    let request = query(name, libc::SIOCGIFHWADDR)?;
    // SAFETY: SIOCGIFHWADDR filled in the address, and every bit pattern is a valid one.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(address.sa_data) {
        *to = from as u8;
    }
    Ok(mac)
}

pub(crate) fn interface_mtu(name: &str) -> io::Result<u16> {
    let request = query(name, libc::SIOCGIFMTU)?;
    // SAFETY: SIOCGIFMTU filled in the MTU, and every bit pattern is a valid integer.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
}

fn interface_is_up(name: &str) -> io::Result<bool> {
    let request = query(name, libc::SIOCGIFFLAGS)?;
    // SAFETY: SIOCGIFFLAGS filled in the flags, and every bit pattern is a valid integer.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(c_int::from(flags) & libc::IFF_UP != 0)
}

/// Asks about an interface of the calling thread's namespace.
fn query(name: &str, operation: libc::Ioctl) -> io::Result<libc::ifreq> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` just gave us this descriptor, nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut request = interface_request(name);
    ioctl_interface(socket.as_fd(), operation, &mut request)?;
    Ok(request)
}

/// A request about the interface `name`; longer than it may be, it is cut off (and was refused by `check` before).
fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request
}

fn request_name(request: &libc::ifreq) -> String {
    let bytes: Vec<u8> =
        request.ifr_name.iter().map(|c| *c as u8).take_while(|c| *c != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An ioctl that reads and writes an `ifreq`.
fn ioctl_interface(
    fd: BorrowedFd<'_>,
    operation: libc::Ioctl,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: the operations used with this take a pointer to an `ifreq`, and this is a live one.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), operation, std::ptr::from_mut(request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An ioctl that reads an `int`.
fn ioctl_int(fd: BorrowedFd<'_>, operation: libc::Ioctl, value: c_int) -> io::Result<()> {
    // SAFETY: the operations used with this read an `int` from the pointer, and this is a live one.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), operation, std::ptr::from_ref(&value)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An ioctl whose argument is the value itself.
fn ioctl_value(fd: BorrowedFd<'_>, operation: libc::Ioctl, value: usize) -> io::Result<()> {
    // SAFETY: the operations used with this take an integer, no pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), operation, value) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
