//! packetdrill's table of functions (its `packetdrill.h`), and the way from C into the calls.

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{epoll_event, iovec, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t};

use crate::shared::{self, Step};
use crate::transfer::ReadFlags;

type Data = *mut c_void;

/// How far the clock may run while packetdrill waits for a packet, microseconds: longer than any timer of TCP but the
/// keep-alive's two hours, which are in it.
const RECEIVE_LIMIT: u64 = 4 * 3600 * 1_000_000;

/// `struct packetdrill_interface`. Variadic members (fcntl, ioctl) are declared with their one argument: on the calling
/// conventions of Linux a variadic call passes it where a fixed one does.
#[repr(C)]
pub(crate) struct PacketdrillInterface {
    userdata: Data,
    free: unsafe extern "C" fn(Data),
    socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(Data, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    read: unsafe extern "C" fn(Data, c_int, *mut c_void, size_t) -> ssize_t,
    readv: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    recv: unsafe extern "C" fn(Data, c_int, *mut c_void, size_t, c_int) -> ssize_t,
    recvfrom: unsafe extern "C" fn(
        Data,
        c_int,
        *mut c_void,
        size_t,
        c_int,
        *mut sockaddr,
        *mut socklen_t,
    ) -> ssize_t,
    recvmsg: unsafe extern "C" fn(Data, c_int, *mut msghdr, c_int) -> ssize_t,
    write: unsafe extern "C" fn(Data, c_int, *const c_void, size_t) -> ssize_t,
    writev: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    send: unsafe extern "C" fn(Data, c_int, *const c_void, size_t, c_int) -> ssize_t,
    sendto: unsafe extern "C" fn(
        Data,
        c_int,
        *const c_void,
        size_t,
        c_int,
        *const sockaddr,
        socklen_t,
    ) -> ssize_t,
    sendmsg: unsafe extern "C" fn(Data, c_int, *const msghdr, c_int) -> ssize_t,
    fcntl: unsafe extern "C" fn(Data, c_int, c_int, c_long) -> c_int,
    ioctl: unsafe extern "C" fn(Data, c_int, c_ulong, *mut c_int) -> c_int,
    close: unsafe extern "C" fn(Data, c_int) -> c_int,
    shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    getsockopt:
        unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: unsafe extern "C" fn(Data, *mut pollfd, nfds_t, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(Data, *const c_void, size_t) -> c_int,
    netdev_receive: unsafe extern "C" fn(Data, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    usleep: unsafe extern "C" fn(Data, c_uint) -> c_int,
    gettimeofday: unsafe extern "C" fn(Data, *mut libc::timeval, *mut c_void) -> c_int,
    epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(Data, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    splice: unsafe extern "C" fn(
        Data,
        c_int,
        *mut libc::loff_t,
        c_int,
        *mut libc::loff_t,
        size_t,
        c_uint,
    ) -> ssize_t,
}

/// Fills packetdrill's table; the one symbol it looks for. A new call begins a new run.
///
/// # Safety
/// `flags` is null or a C string, `interface` points to a table to fill.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut PacketdrillInterface,
) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: a C string, as the caller says.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    shared::init(&flags);
    let table = PacketdrillInterface {
        userdata: std::ptr::null_mut(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: the caller's table, not read before it is written.
    unsafe { interface.write(table) };
}

/// Sets errno and gives -1 for an error.
fn answer(result: Result<isize, i32>) -> isize {
    result.unwrap_or_else(|errno| {
        // SAFETY: errno of this thread.
        unsafe { *libc::__errno_location() = errno };
        -1
    })
}

fn answer_int(result: Result<isize, i32>) -> c_int {
    answer(result) as c_int
}

/// A call that never blocks.
fn at_once(f: impl FnOnce(&mut crate::host::Host) -> Result<isize, i32>) -> c_int {
    answer_int(shared::with(f).unwrap_or(Err(libc::EBADF)))
}

/// Flattens a call that can fail before it knows whether it waits.
fn step(result: Result<Step, i32>) -> Step {
    result.unwrap_or_else(|errno| Step::Done(Err(errno)))
}

/// Whether a descriptor was handed out here.
pub(crate) fn is_ours(fd: c_int) -> bool {
    shared::with(|host| host.descriptors.contains_key(&fd)).unwrap_or(false)
}

/// Reads a socket address.
///
/// # Safety
/// `addr` points to `len` bytes.
unsafe fn read_addr(addr: *const sockaddr, len: socklen_t) -> Option<SocketAddr> {
    if addr.is_null() || (len as usize) < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: at least the family is there.
    let family = c_int::from(unsafe { addr.cast::<libc::sa_family_t>().read_unaligned() });
    match family {
        libc::AF_INET if len as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family and the length say what it is.
            let sin = unsafe { addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(sin.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(sin.sin_port)))
        }
        libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: the family and the length say what it is.
            let sin6 = unsafe { addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
            Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(sin6.sin6_port)))
        }
        _ => None,
    }
}

/// Writes a socket address, as much as there is room for.
///
/// # Safety
/// `addr` and `len` are null or point to an address buffer of `*len` bytes.
unsafe fn write_addr(from: SocketAddr, addr: *mut sockaddr, len: *mut socklen_t) {
    if addr.is_null() || len.is_null() {
        return;
    }
    // SAFETY: plain old data, for which zeros are a value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let size = match from {
        SocketAddr::V4(v4) => {
            let sin = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage has room for every address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(sin) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let sin6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: a sockaddr_storage has room for every address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(sin6) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    // SAFETY: the caller's buffer has `*len` bytes, the storage `size`.
    unsafe {
        let room = (*len as usize).min(size);
        std::ptr::copy_nonoverlapping((&raw const storage).cast::<u8>(), addr.cast::<u8>(), room);
        *len = size as socklen_t;
    }
}

/// The caller's pieces of memory.
///
/// # Safety
/// `iov` points to `count` pieces that live through the call.
unsafe fn pieces<'a>(iov: *const iovec, count: usize) -> &'a [iovec] {
    if iov.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(iov, count) }
}

/// Reads into pieces of memory, one after the other.
///
/// # Safety
/// Each piece is memory that can be written, or null with `MSG_TRUNC` (then what is read is thrown away).
unsafe fn scatter(fd: c_int, iov: &[iovec], flags: c_int) -> isize {
    if flags & libc::MSG_TRUNC == 0 && iov.iter().any(|p| p.iov_base.is_null() && p.iov_len > 0) {
        return answer(Err(libc::EFAULT));
    }
    let total = iov.iter().map(|piece| piece.iov_len).sum();
    let mut buf = vec![0u8; total];
    let result = shared::call(|host| step(host.read(fd, &mut buf, ReadFlags::from_bits(flags))));
    let mut rest = &buf[..result.unwrap_or(0).max(0) as usize];
    for piece in iov {
        let n = rest.len().min(piece.iov_len);
        if !piece.iov_base.is_null() && flags & libc::MSG_TRUNC == 0 {
            // SAFETY: memory of the caller with room for `iov_len` bytes.
            unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), piece.iov_base.cast(), n) };
        }
        rest = &rest[n..];
    }
    answer(result)
}

/// Sends bytes, as write(2).
pub(crate) fn send_bytes(fd: c_int, data: &[u8]) -> isize {
    let mut done = 0;
    answer(shared::call(|host| step(host.write(fd, data, 0, None, &mut done))))
}

/// Writes what lies in pieces of memory.
///
/// # Safety
/// Each piece is memory that can be read.
unsafe fn gather(fd: c_int, iov: &[iovec], flags: c_int, to: Option<SocketAddr>) -> isize {
    if iov.iter().any(|piece| piece.iov_base.is_null() && piece.iov_len > 0) {
        return answer(Err(libc::EFAULT));
    }
    let mut data = Vec::new();
    for piece in iov.iter().filter(|piece| piece.iov_len > 0) {
        // SAFETY: memory of the caller of that length.
        data.extend(unsafe { std::slice::from_raw_parts(piece.iov_base.cast(), piece.iov_len) });
    }
    let mut done = 0;
    answer(shared::call(|host| step(host.write(fd, &data, flags, to, &mut done))))
}

// The functions of the table. SAFETY of all: packetdrill hands over what the system calls of the same names take.

unsafe extern "C" fn free(_: Data) {
    shared::free();
}

unsafe extern "C" fn socket(_: Data, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    at_once(|host| host.open_socket(domain, kind, protocol))
}

unsafe extern "C" fn bind(_: Data, fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: see above.
    let addr = unsafe { read_addr(addr, len) };
    at_once(|host| host.bind(fd, addr.ok_or(libc::EINVAL)?))
}

unsafe extern "C" fn listen(_: Data, fd: c_int, backlog: c_int) -> c_int {
    at_once(|host| host.listen(fd, backlog))
}

unsafe extern "C" fn accept(_: Data, fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    let result = shared::call(|host| step(host.accept(fd, 0)));
    if let Ok(new) = result
        && let Some(Ok(peer)) = shared::with(|host| host.peer_of(new as c_int))
    {
        // SAFETY: see above.
        unsafe { write_addr(peer, addr, len) };
    }
    answer_int(result)
}

unsafe extern "C" fn connect(_: Data, fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: see above.
    let Some(remote) = (unsafe { read_addr(addr, len) }) else {
        return at_once(|host| host.disconnect(fd));
    };
    let mut first = true;
    answer_int(shared::call(|host| {
        let result = step(host.connect(fd, remote, first));
        first = false;
        result
    }))
}

unsafe extern "C" fn read(_: Data, fd: c_int, buf: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: see above.
    unsafe { scatter(fd, &[iovec { iov_base: buf, iov_len: count }], 0) }
}

unsafe extern "C" fn readv(_: Data, fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: see above.
    unsafe { scatter(fd, pieces(iov, count as usize), 0) }
}

unsafe extern "C" fn recv(
    _: Data,
    fd: c_int,
    buf: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: see above.
    unsafe { scatter(fd, &[iovec { iov_base: buf, iov_len: count }], flags) }
}

unsafe extern "C" fn recvfrom(
    _: Data,
    fd: c_int,
    buf: *mut c_void,
    count: size_t,
    flags: c_int,
    _addr: *mut sockaddr,
    _len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: see above.
    unsafe { scatter(fd, &[iovec { iov_base: buf, iov_len: count }], flags) }
}

unsafe extern "C" fn recvmsg(_: Data, fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: see above.
    unsafe {
        let n = scatter(fd, pieces((*msg).msg_iov, (*msg).msg_iovlen), flags);
        (*msg).msg_flags = 0;
        let left = (n >= 0).then(|| shared::with(|host| host.queue_left(fd))).flatten().flatten();
        write_control(&mut *msg, left);
        n
    }
}

/// The control message of `TCP_INQ` (`TCP_CM_INQ`: how much is left to read), or none.
///
/// # Safety
/// The message's control buffer has the length it says.
unsafe fn write_control(msg: &mut msghdr, left: Option<i32>) {
    // SAFETY: CMSG_SPACE and CMSG_FIRSTHDR only compute, from a valid header; what they point to was checked to have room.
    unsafe {
        let space = libc::CMSG_SPACE(size_of::<c_int>() as c_uint) as usize;
        let (Some(left), false) = (left, msg.msg_control.is_null()) else {
            msg.msg_controllen = 0;
            return;
        };
        if msg.msg_controllen < space {
            msg.msg_controllen = 0;
            return;
        }
        let header = libc::CMSG_FIRSTHDR(msg);
        (*header).cmsg_level = libc::IPPROTO_TCP;
        (*header).cmsg_type = libc::TCP_CM_INQ;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<c_int>() as c_uint) as _;
        libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(left);
        msg.msg_controllen = space as _;
    }
}

unsafe extern "C" fn write(_: Data, fd: c_int, buf: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: see above.
    unsafe { gather(fd, &[iovec { iov_base: buf.cast_mut(), iov_len: count }], 0, None) }
}

unsafe extern "C" fn writev(_: Data, fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: see above.
    unsafe { gather(fd, pieces(iov, count as usize), 0, None) }
}

unsafe extern "C" fn send(
    _: Data,
    fd: c_int,
    buf: *const c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: see above.
    unsafe { gather(fd, &[iovec { iov_base: buf.cast_mut(), iov_len: count }], flags, None) }
}

unsafe extern "C" fn sendto(
    _: Data,
    fd: c_int,
    buf: *const c_void,
    count: size_t,
    flags: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> ssize_t {
    // SAFETY: see above.
    unsafe {
        let iov = [iovec { iov_base: buf.cast_mut(), iov_len: count }];
        gather(fd, &iov, flags, read_addr(addr, len))
    }
}

unsafe extern "C" fn sendmsg(_: Data, fd: c_int, msg: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: see above.
    unsafe {
        let to = read_addr((*msg).msg_name.cast(), (*msg).msg_namelen);
        gather(fd, pieces((*msg).msg_iov, (*msg).msg_iovlen), flags, to)
    }
}

unsafe extern "C" fn fcntl(_: Data, fd: c_int, command: c_int, argument: c_long) -> c_int {
    at_once(|host| {
        let socket = host.socket(fd)?;
        match command {
            libc::F_GETFL => {
                let nonblocking = if socket.nonblocking { libc::O_NONBLOCK } else { 0 };
                Ok((libc::O_RDWR | nonblocking) as isize)
            }
            libc::F_SETFL => {
                socket.nonblocking = argument as c_int & libc::O_NONBLOCK != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(libc::EINVAL),
        }
    })
}

unsafe extern "C" fn ioctl(_: Data, fd: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    let length = shared::with(|host| host.queue_length(fd, request)).unwrap_or(Err(libc::EBADF));
    answer_int(length.map(|length| {
        // SAFETY: see above; both requests take a pointer to an int.
        unsafe { argument.write(length) };
        0
    }))
}

unsafe extern "C" fn close(_: Data, fd: c_int) -> c_int {
    at_once(|host| host.close(fd))
}

unsafe extern "C" fn shutdown(_: Data, fd: c_int, how: c_int) -> c_int {
    at_once(|host| host.shutdown(fd, how))
}

/// getsockopt(2); also what the preloaded one comes to.
pub(crate) unsafe extern "C" fn getsockopt(
    _: Data,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let bytes = shared::with(|host| host.get_option(fd, level, name)).unwrap_or(Err(libc::EBADF));
    answer_int(bytes.map(|bytes| {
        // SAFETY: see above: `value` has room for `*len` bytes.
        unsafe {
            let n = bytes.len().min(*len as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast(), n);
            *len = n as socklen_t;
        }
        0
    }))
}

unsafe extern "C" fn setsockopt(
    _: Data,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    let value: &[u8] = if value.is_null() {
        &[]
    } else {
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts(value.cast(), len as usize) }
    };
    at_once(|host| host.set_option(fd, level, name, value))
}

/// When a timeout of so many milliseconds is over; negative ones never are.
fn end_of(timeout: c_int) -> Option<u64> {
    let timeout = u64::try_from(timeout).ok()?;
    shared::with(|host| host.now_usecs() + timeout * 1000)
}

unsafe extern "C" fn poll(_: Data, fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    let end = end_of(timeout);
    // SAFETY: see above.
    let fds = unsafe { std::slice::from_raw_parts_mut(fds, count as usize) };
    answer_int(shared::call(|host| host.poll(fds, end)))
}

unsafe extern "C" fn netdev_send(_: Data, buf: *const c_void, count: size_t) -> c_int {
    // SAFETY: see above.
    let packet: &[u8] = unsafe { std::slice::from_raw_parts(buf.cast(), count) };
    at_once(|host| {
        host.inject(packet);
        Ok(0)
    })
}

unsafe extern "C" fn netdev_receive(
    _: Data,
    buf: *mut c_void,
    count: *mut size_t,
    time_usecs: *mut c_longlong,
) -> c_int {
    let packet = shared::receive(RECEIVE_LIMIT);
    // SAFETY: see above: `buf` has room for `*count` bytes.
    unsafe {
        match packet {
            Some((at, bytes)) if bytes.len() <= *count => {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), buf.cast(), bytes.len());
                *count = bytes.len();
                *time_usecs = at as c_longlong;
            }
            _ => *count = 0,
        }
    }
    0
}

unsafe extern "C" fn usleep(_: Data, usecs: c_uint) -> c_int {
    shared::usleep(usecs.into());
    0
}

unsafe extern "C" fn gettimeofday(_: Data, tv: *mut libc::timeval, _: *mut c_void) -> c_int {
    let now = shared::gettimeofday();
    let time = libc::timeval {
        tv_sec: (now / 1_000_000) as libc::time_t,
        tv_usec: (now % 1_000_000) as libc::suseconds_t,
    };
    // SAFETY: see above.
    unsafe { tv.write(time) };
    0
}

unsafe extern "C" fn epoll_create(_: Data, _size: c_int) -> c_int {
    at_once(crate::host::Host::epoll_create)
}

unsafe extern "C" fn epoll_ctl(
    _: Data,
    epfd: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    let event = if event.is_null() {
        None
    } else {
        // SAFETY: see above.
        let event = unsafe { event.read_unaligned() };
        Some((event.events, event.u64))
    };
    at_once(|host| host.epoll_ctl(epfd, op, fd, event))
}

unsafe extern "C" fn epoll_wait(
    _: Data,
    epfd: c_int,
    events: *mut epoll_event,
    max: c_int,
    timeout: c_int,
) -> c_int {
    let end = end_of(timeout);
    let mut ready = Vec::new();
    let result = shared::call(|host| {
        step(host.epoll_wait(epfd, max.max(0) as usize, &mut ready).map(|()| match ready.len() {
            0 => Step::Wait { until: end, then: Ok(0) },
            n => Step::Done(Ok(n as isize)),
        }))
    });
    for (at, (bits, data)) in ready.into_iter().enumerate() {
        // SAFETY: see above: room for `max` events.
        unsafe { events.add(at).write_unaligned(epoll_event { events: bits, u64: data }) };
    }
    answer_int(result)
}

unsafe extern "C" fn pipe(_: Data, fds: *mut c_int) -> c_int {
    // SAFETY: see above.
    unsafe { libc::pipe(fds) }
}

unsafe extern "C" fn splice(
    _: Data,
    _in: c_int,
    _off_in: *mut libc::loff_t,
    _out: c_int,
    _off_out: *mut libc::loff_t,
    _len: size_t,
    _flags: c_uint,
) -> ssize_t {
    answer(Err(libc::EINVAL))
}
