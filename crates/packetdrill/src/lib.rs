//! The stack under Google's packetdrill: a shared object for `--so_filename`, in virtual time, without TUN.
//!
//! | file | concern |
//! |---|---|
//! | `abi` | packetdrill's table of functions, and the way from C into the calls |
//! | `shared` | the lock, blocking calls on a second thread, and how time waits for them |
//! | `host` | the stack, its clock and its packets |
//! | `settings` | `--so_flags`, and the sysctls that scripts set |
//! | `calls`, `transfer`, `sockopt`, `ready` | the socket calls |
//! | `info` | `TCP_INFO` |
//! | `layout` | the option order of other stacks |
//! | `preload` | what packetdrill asks of libc and not of us (`LD_PRELOAD`) |
//!
//! How it is run and what comes out is in `docs/packetdrill.md`.

mod abi;
mod calls;
mod fastopen;
mod host;
mod info;
mod layout;
mod preload;
mod ready;
mod settings;
mod shared;
mod sockopt;
mod transfer;
