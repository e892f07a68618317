//! TUN and TAP where there is none: opening it says so.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use super::{Kind, TunCounters, TunOptions, check};
use crate::device::{Device, DeviceInfo, Received, TxFrame, Wake};
use crate::open_error::OpenError;

/// A TUN interface. Exists on Linux only; elsewhere it cannot be opened.
#[derive(Debug)]
pub struct Tun(Infallible);

impl Tun {
    /// Refuses: TUN is supported on Linux only.
    ///
    /// # Errors
    /// Always `ENOTSUP`, or what is wrong with the options.
    pub fn open(options: &TunOptions) -> Result<Self, OpenError> {
        Self::open_kind(options, Kind::Tun, None)
    }

    /// Refuses either kind.
    pub(crate) fn open_kind(
        options: &TunOptions,
        kind: Kind,
        _mac: Option<[u8; 6]>,
    ) -> Result<Self, OpenError> {
        check(options)?;
        Err(OpenError::new(
            libc::ENOTSUP,
            "open",
            format!(
                "{kind} interfaces are supported on Linux only, this is {}; use an in-process link instead",
                std::env::consts::OS
            ),
        ))
    }

    /// Its counters.
    pub fn counters(&self) -> TunCounters {
        match self.0 {}
    }
}

impl Device for Tun {
    fn info(&self) -> DeviceInfo {
        match self.0 {}
    }

    fn recv(&mut self, _buf: &mut [u8]) -> io::Result<Received> {
        match self.0 {}
    }

    fn send(&mut self, _frame: &TxFrame<'_>) -> io::Result<()> {
        match self.0 {}
    }

    fn set_waker(&mut self, _waker: Arc<dyn Wake>) {
        match self.0 {}
    }
}
