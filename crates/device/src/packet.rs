//! A packet socket on an existing Ethernet interface (packet(7)): the stack as another station on that link, beside the
//! kernel's. Meant for one end of a veth pair in a network namespace.

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::device::{Device, DeviceInfo, Medium, Offload, Received, RxData, TxFrame, Wake};
use crate::frame_io::{FrameReader, write_frame};
use crate::open_error::OpenError;
use crate::tun::{interface_index, interface_mtu};
use crate::vnet::{self, VNET_LEN};

/// Largest frame the kernel hands over with offload on.
const MAX_SUPER_FRAME: usize = 65_550 + 18;
/// Bad frames passed over in one `recv`.
const MAX_BAD_READS: usize = 64;

/// A packet socket that takes and gives Ethernet frames of an interface of the calling thread's network namespace.
///
/// It is promiscuous: frames to any hardware address come in, so that the stack can have its own. The kernel, too,
/// handles what comes in; give the interface no address there, so that it stays silent. Frames that the kernel sends
/// itself are not seen. With offload, segments of up to 64 KiB pass uncut.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    info: DeviceInfo,
    reader: FrameReader,
}

impl PacketSocket {
    /// Opens a packet socket on the interface `name`.
    ///
    /// # Errors
    /// `ENODEV` when there is no such interface, `EPERM` without `CAP_NET_RAW`. The text names the value and the remedy.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let index = interface_index(name).map_err(|e| {
            let remedy = "; 'ip link' lists those of this network namespace";
            OpenError::from_io(&e, "ioctl", format!("no interface '{name}': {e}{remedy}"))
        })?;
        let failed = |syscall: &'static str, what: &'static str| {
            move |e: io::Error| {
                let remedy = match e.raw_os_error() {
                    Some(libc::EPERM) => {
                        "; run as root or with CAP_NET_RAW, or in a namespace of your own \
                         ('unshare --user --map-root-user --net')"
                    }
                    _ => "",
                };
                OpenError::from_io(&e, syscall, format!("cannot {what} '{name}': {e}{remedy}"))
            }
        };
        let mtu = interface_mtu(name).map_err(failed("ioctl", "get the MTU of"))?;
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // No protocol until it is bound, so that nothing of other interfaces comes in before that.
        // SAFETY: no pointers are passed.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if raw < 0 {
            return Err(failed("socket", "open a packet socket on")(io::Error::last_os_error()));
        }
        // SAFETY: just made, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        // The order matters: the header has to be agreed on before frames come.
        set_option(raw, libc::PACKET_VNET_HDR, &1i32)
            .map_err(failed("setsockopt", "set the offload header on"))?;
        set_option(raw, libc::PACKET_IGNORE_OUTGOING, &1i32)
            .map_err(failed("setsockopt", "leave out outgoing frames of"))?;
        let membership = libc::packet_mreq {
            mr_ifindex: index as c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(raw, libc::PACKET_ADD_MEMBERSHIP, &membership)
            .map_err(failed("setsockopt", "make promiscuous the interface"))?;
        // SAFETY: all zeroes is a valid address of that type.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as c_int;
        // SAFETY: the address is live and of the length given.
        let bound = unsafe {
            libc::bind(
                raw,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound < 0 {
            return Err(failed("bind", "bind to")(io::Error::last_os_error()));
        }
        let offload = Offload { tx_checksum: true, tso4: true, tso6: true, ..Offload::default() };
        let info = DeviceInfo { name: name.to_owned(), mtu, max_frame: MAX_SUPER_FRAME, offload };
        Ok(Self { fd, info, reader: FrameReader::new(true) })
    }
}

fn set_option<T>(fd: RawFd, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value is live and of the length given; the kernel only reads it.
    let set = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Device for PacketSocket {
    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        for _ in 0..MAX_BAD_READS {
            let mut header = [0u8; VNET_LEN];
            let Some(len) = self.reader.read(&self.fd, &mut header, buf)? else { continue };
            // The kernel writes it in the machine's order here, which is the order `vnet` reads on all that are supported.
            let meta = vnet::parse(header, &buf[..len], Medium::Ethernet);
            return Ok(Received {
                data: RxData::Buffer(len),
                checksum_trusted: meta.checksum_trusted,
                gso_size: meta.gso_size,
            });
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        // What cannot be expressed is lost, as with a TUN.
        let Some(header) = vnet::build(frame) else { return Ok(()) };
        write_frame(&self.fd, &header, &frame.pieces).map(|_| ())
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }

    fn set_waker(&mut self, _waker: Arc<dyn Wake>) {}
}
