//! Devices of the operating system, and layers over any device: from options to what a stack takes.

use std::path::{Path, PathBuf};

use usernet_core::{Detection, InterfaceConfig, IpCidr, MacAddr, Medium};
use usernet_device::{
    Capture, CaptureOptions, Device, Impaired, OpenError, Tap, TapOptions, Tun, TunOptions,
};

use crate::devices::{cidrs, impairment, invalid, refused_impairment};
use crate::js::{Failure, Js, Result, Value};
use crate::lane::MAX_LANES;
use crate::options::{bool, number, object, property, string, strings};

/// What TUN and TAP have in common, and the addresses of the kernel's side.
fn tun_options(
    js: Js<'_>,
    device: Value<'_>,
    mtu: Option<u16>,
) -> Result<(TunOptions, Vec<IpCidr>)> {
    let mut options = TunOptions { name: string(js, device, c"name")?, ..TunOptions::default() };
    options.mtu = mtu;
    if let Some(on) = bool(js, device, c"offload")? {
        options.offload = on;
    }
    if let Some(packets) = number(js, device, c"queueLength", (1.0, 1_000_000.0))? {
        options.queue_len = packets as u32;
    }
    if let Some(on) = bool(js, device, c"up")? {
        options.up = on;
    }
    if let Some(queues) = number(js, device, c"queues", (1.0, MAX_LANES as f64))? {
        options.queues = queues as usize;
        if options.queues > 1 {
            check_queues(js, device, options.queues)?;
        }
    }
    if property(js, device, c"impairment")?.is_some() {
        // Each frame has to be one packet as on a wire.
        options.offload = false;
    }
    // A way to force the fallback of systems that have none.
    options.udp_offload = std::env::var_os("USERNET_USO").is_none_or(|uso| uso != "never");
    let kernel = cidrs(&strings(js, device, c"kernelAddresses")?, "kernel address")?;
    Ok((options, kernel))
}

/// Refuses several queues of what has one.
fn check_queues(js: Js<'_>, device: Value<'_>, queues: usize) -> Result<()> {
    let tap = string(js, device, c"kind")?.as_deref() == Some("tap");
    let why = if tap {
        "a TAP has one here; tun() has several"
    } else if property(js, device, c"fd")?.is_some() {
        "a descriptor is one; leave 'fd' out and give the interface's name"
    } else if property(js, device, c"impairment")?.is_some() {
        "an impaired device is one wire; leave 'impairment' out"
    } else {
        return Ok(());
    };
    Err(invalid("addInterface", format!("{queues} queues are too many: {why}")))
}

/// The inherited descriptor that `fd` names, as one of our own.
#[cfg(target_os = "linux")]
fn inherited(js: Js<'_>, device: Value<'_>) -> Result<Option<std::os::fd::OwnedFd>> {
    let fd = number(js, device, c"fd", (0.0, f64::from(i32::MAX)))?;
    Ok(fd.map(|fd| usernet_device::duplicate(fd as i32)).transpose()?)
}

/// A TUN, made here or by whoever opened its descriptor.
pub(crate) fn tun(js: Js<'_>, device: Value<'_>, mtu: Option<u16>) -> Result<Box<dyn Device>> {
    let (options, kernel) = tun_options(js, device, mtu)?;
    #[cfg(target_os = "linux")]
    if let Some(fd) = inherited(js, device)? {
        let mut tun = Tun::from_fd(fd, options.offload, mtu)?;
        tun.set_udp_offload(options.udp_offload);
        return impaired(js, device, Box::new(tun));
    }
    let mut tun = Tun::open(&options)?;
    for IpCidr { addr, prefix_len } in kernel {
        tun.add_kernel_address(addr, prefix_len)?;
    }
    impaired(js, device, Box::new(tun))
}

/// A TAP, likewise.
pub(crate) fn tap(js: Js<'_>, device: Value<'_>, mtu: Option<u16>) -> Result<Box<dyn Device>> {
    let (tun, kernel) = tun_options(js, device, mtu)?;
    #[cfg(target_os = "linux")]
    if let Some(fd) = inherited(js, device)? {
        let mut tap = Tap::from_fd(fd, tun.offload, mtu)?;
        tap.set_udp_offload(tun.udp_offload);
        return impaired(js, device, Box::new(tap));
    }
    let kernel_mac = mac(js, device, c"kernelMac")?.map(|mac| mac.0);
    let mut tap = Tap::open(&TapOptions { tun, kernel_mac })?;
    for IpCidr { addr, prefix_len } in kernel {
        tap.add_kernel_address(addr, prefix_len)?;
    }
    impaired(js, device, Box::new(tap))
}

/// A packet socket on an existing interface.
pub(crate) fn packet(js: Js<'_>, device: Value<'_>) -> Result<Box<dyn Device>> {
    let name = string(js, device, c"interface")?.unwrap_or_default();
    #[cfg(target_os = "linux")]
    {
        let socket = usernet_device::PacketSocket::open(&name)?;
        impaired(js, device, Box::new(socket))
    }
    #[cfg(not(target_os = "linux"))]
    Err(unsupported(&format!("packet sockets (on '{name}')")))
}

/// A UNIX socket that carries a virtual machine's frames.
pub(crate) fn unix(js: Js<'_>, device: Value<'_>, mtu: Option<u16>) -> Result<Box<dyn Device>> {
    let path =
        |name| -> Result<Option<PathBuf>> { Ok(string(js, device, name)?.map(PathBuf::from)) };
    let (connect, listen) = (path(c"connect")?, path(c"listen")?);
    let (local, remote) = (path(c"local")?, path(c"remote")?);
    #[cfg(unix)]
    {
        use usernet_device::{VmLink, VmSocket};
        let how = match (connect, listen, local, remote) {
            (Some(path), None, None, None) => VmSocket::Connect(path),
            (None, Some(path), None, None) => VmSocket::Listen(path),
            (None, None, Some(local), Some(remote)) => VmSocket::Datagrams { local, remote },
            _ => {
                let message =
                    "a UNIX socket is either { connect }, { listen } or { local, remote }";
                return Err(invalid("addInterface", message.to_owned()));
            }
        };
        let mtu = mtu.unwrap_or(1500);
        impaired(js, device, Box::new(VmLink::open(&how, mtu)?))
    }
    #[cfg(not(unix))]
    {
        let _ = (connect, listen, local, remote, mtu);
        Err(unsupported("UNIX sockets"))
    }
}

#[cfg(not(target_os = "linux"))]
fn unsupported(what: &str) -> Failure {
    let message = format!("{what} are not supported on this system; use createLink()");
    Failure::system(crate::errno::Errno::EINVAL, "addInterface", message)
}

/// A layer of impairment, where it is asked for.
pub(crate) fn impaired(
    js: Js<'_>,
    options: Value<'_>,
    device: Box<dyn Device>,
) -> Result<Box<dyn Device>> {
    let Some(settings) = property(js, options, c"impairment")? else { return Ok(device) };
    let settings = object(js, settings, "options.device.impairment")?;
    let (settings, seed) = impairment(js, settings)?;
    let impaired = Impaired::new(device, settings.clone(), settings, seed)
        .map_err(|error| refused_impairment("addInterface", error))?;
    Ok(Box::new(impaired))
}

/// A layer that writes what passes to a file, where it is asked for: `capture` is its path. All queues of a device write to
/// the same file.
pub(crate) struct Layers(Option<Capture>);

impl Layers {
    pub(crate) fn new(js: Js<'_>, options: Value<'_>) -> Result<Self> {
        let path = string(js, options, c"capture")?;
        Ok(Self(path.map(|path| capture(Path::new(&path))).transpose()?))
    }

    /// The device with that layer over it.
    pub(crate) fn over(&self, device: Box<dyn Device>) -> Box<dyn Device> {
        match &self.0 {
            Some(capture) => Box::new(capture.layer(device)),
            None => device,
        }
    }
}

fn capture(path: &Path) -> std::result::Result<Capture, OpenError> {
    std::fs::File::create(path)
        .and_then(|file| Capture::new(std::io::BufWriter::new(file), CaptureOptions::default()))
        .map_err(|error| OpenError::of_file(&error, path))
}

/// What is said of an Ethernet interface: its hardware address, and how it comes by its addresses.
pub(crate) fn ethernet(
    js: Js<'_>,
    options: Value<'_>,
    device: Value<'_>,
    config: &mut InterfaceConfig,
) -> Result<()> {
    if let Some(mac) = mac(js, options, c"mac")?.or(mac(js, device, c"mac")?) {
        config.medium = Medium::Ethernet(mac);
    }
    config.slaac = bool(js, options, c"slaac")?.unwrap_or(false);
    config.advertise = bool(js, options, c"routerAdvertisements")?.unwrap_or(false);
    config.identifier_key = identifier_key(js, options)?;
    config.detection = match string(js, options, c"duplicateAddressDetection")?.as_deref() {
        None | Some("optimistic") => Detection::Optimistic,
        Some("strict") => Detection::Strict,
        Some("off") => Detection::Off,
        Some(other) => {
            return Err(Failure::Value(format!(
                "The \"options.duplicateAddressDetection\" argument must be 'optimistic', 'strict' or 'off'. Received '{other}'"
            )));
        }
    };
    Ok(())
}

/// The key of the interface identifiers that addresses are formed with (RFC 7217): 16 bytes.
fn identifier_key(js: Js<'_>, options: Value<'_>) -> Result<Option<[u8; 16]>> {
    let Some(key) = property(js, options, c"identifierKey")? else { return Ok(None) };
    // SAFETY: copied before any JavaScript runs.
    let key = unsafe { js.bytes(key, "options.identifierKey")? };
    let key = key.try_into().map_err(|_| {
        let message = format!("an identifier key has 16 bytes, not {}", key.len());
        invalid("addInterface", message)
    })?;
    Ok(Some(key))
}

/// A hardware address such as `02:00:00:00:00:01`.
fn mac(js: Js<'_>, object: Value<'_>, name: &std::ffi::CStr) -> Result<Option<MacAddr>> {
    string(js, object, name)?.map(|text| parse_mac(&text)).transpose()
}

/// The hardware address of a station from `02:00:00:00:00:01`.
pub(crate) fn parse_mac(text: &str) -> Result<MacAddr> {
    let mut mac = [0; 6];
    let mut bytes = text.split([':', '-']);
    for byte in &mut mac {
        let part = bytes.next().filter(|part| part.len() == 2);
        *byte = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(|| {
            let message =
                format!("hardware address '{text}' is invalid; write it like 02:00:00:00:00:01");
            invalid("addInterface", message)
        })?;
    }
    let mac = MacAddr(mac);
    if bytes.next().is_some() || !mac.is_unicast() {
        let message = format!(
            "hardware address '{text}' is not one of a single station; give one whose first byte is even, such as 02:00:00:00:00:01"
        );
        return Err(invalid("addInterface", message));
    }
    Ok(mac)
}
