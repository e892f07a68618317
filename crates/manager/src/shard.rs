//! One stack under one lock, and the loop that drives it from whichever thread holds the lock.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use usernet_core::{Config, Instant, InterfaceConfig, InterfaceError, InterfaceId, Stack};
use usernet_device::Device;

/// A stack, its devices and its packet thread.
///
/// Any thread may drive it: whoever takes the lock may read devices, run timers and transmit, with a bounded amount of
/// work per hold. Normally that is the packet thread.
pub struct Shard {}

/// Exclusive use of the stack. Dropping it transmits what the calls made on it produced, there and then, on this thread,
/// tells whoever waits for the events that came of it, and wakes the packet thread if its next deadline moved forward.
pub struct ShardGuard<'a> {
    _shard: &'a Shard,
}

impl Shard {
    /// A stack with fresh secrets from the operating system and a running packet thread.
    pub fn new(config: Config) -> io::Result<Arc<Self>> {
        todo!("{config:?}")
    }

    /// The time to hand to the core now: since this shard was made, from a monotonic clock.
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Takes the lock.
    pub fn lock(&self) -> ShardGuard<'_> {
        todo!()
    }

    /// Adds a device as an interface; what `config` leaves to the device (mtu, offload) the caller has copied there.
    pub fn add_device(
        &self,
        device: Box<dyn Device>,
        config: InterfaceConfig,
    ) -> Result<InterfaceId, InterfaceError> {
        let _ = (device, config);
        todo!()
    }

    /// Removes an interface and drops its device.
    pub fn remove_device(&self, id: InterfaceId) -> Result<(), InterfaceError> {
        todo!("{id:?}")
    }

    /// Gives the events to `doorbell` instead of the blocking API: it is called (on any thread, the lock not held, must
    /// not block) on the edge from "no events wait" to "events wait". Take them with `lock()` and `poll_event`.
    pub fn set_doorbell(&self, doorbell: Option<Box<dyn Fn() + Send + Sync>>) {
        let _ = doorbell;
        todo!()
    }

    /// Receives, runs timers and transmits on the calling thread, up to `budget` frames; whether more is waiting.
    pub fn drive(&self, budget: usize) -> bool {
        todo!("{budget}")
    }

    /// Resets every connection, stops and joins the packet thread, drops the devices. Idempotent; from any thread but
    /// the packet thread.
    pub fn close(&self) {
        todo!()
    }
}

impl Deref for ShardGuard<'_> {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        todo!()
    }
}

impl DerefMut for ShardGuard<'_> {
    fn deref_mut(&mut self) -> &mut Stack {
        todo!()
    }
}
