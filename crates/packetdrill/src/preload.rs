//! What packetdrill asks of libc and not of us; it comes here when the object is in `LD_PRELOAD` too. Three of these
//! spare a test run what only a run in real time needs: real-time priority, locked memory, and 100 ms of spinning.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicI64, Ordering};

use crate::abi;

/// getsockopt(2) for descriptors of ours (packetdrill reads `TCP_INFO` through it), the system's for others.
///
/// # Safety
/// As getsockopt(2): `value` has room for `*len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> c_int {
    if abi::is_ours(fd) {
        // SAFETY: the caller keeps getsockopt(2)'s contract.
        return unsafe { abi::getsockopt(std::ptr::null_mut(), fd, level, name, value, len) };
    }
    // SAFETY: the system call of that name, with its arguments.
    unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) as c_int }
}

/// sched_setscheduler(2) that does nothing: virtual time needs no priority, and a shared machine no such guest.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn sched_setscheduler(
    _pid: c_int,
    _policy: c_int,
    _param: *const c_void,
) -> c_int {
    0
}

/// mlockall(2) that does nothing, so that no privilege is needed.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn mlockall(_flags: c_int) -> c_int {
    0
}

/// times(2) that ticks at each call: packetdrill spins for ten ticks before it starts. It looks at the result alone.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn times(_buffer: *mut c_void) -> c_long {
    static TICKS: AtomicI64 = AtomicI64::new(1);
    TICKS.fetch_add(1, Ordering::Relaxed) as c_long
}

/// sendfile(2): packetdrill sends a file through a socket of ours. The rest is the system's.
///
/// # Safety
/// As sendfile(2): `offset` is null or points to an offset.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendfile(
    out: c_int,
    file: c_int,
    offset: *mut libc::off_t,
    count: usize,
) -> isize {
    if !abi::is_ours(out) {
        // SAFETY: the system call of that name, with its arguments.
        return unsafe { libc::syscall(libc::SYS_sendfile, out, file, offset, count) as isize };
    }
    let mut data = vec![0u8; count];
    // SAFETY: the buffer has room for `count` bytes, and the caller keeps sendfile(2)'s contract for `offset`.
    let read = unsafe {
        if offset.is_null() {
            libc::read(file, data.as_mut_ptr().cast(), count)
        } else {
            libc::pread(file, data.as_mut_ptr().cast(), count, *offset)
        }
    };
    if read < 0 {
        return read;
    }
    data.truncate(read as usize);
    let sent = abi::send_bytes(out, &data);
    if sent > 0 && !offset.is_null() {
        // SAFETY: as above.
        unsafe { *offset += sent as libc::off_t };
    }
    sent
}
