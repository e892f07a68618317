//! A simulated network as the binding holds it, and the two things that can run a stack's core: a shard with a packet
//! thread, or a host of such a network.
//!
//! Everything about a network happens on the JavaScript thread, in calls that JavaScript makes; nothing rings and nothing
//! runs by itself.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time;

use napi::sys;
use usernet_core::Instant;
use usernet_manager::{Shard, ShardGuard};
use usernet_sim::{CaptureId, LinkId, Network, NodeId, ObserverId, RuleId};

use crate::errno::Errno;
use crate::js::{Failure, Js, Result, Value, check, unwrap};
use crate::options;
use crate::sim_watch::{Packets, Watch};

/// Marks objects that wrap a [`Sim`].
pub(crate) static NETWORK_TAG: sys::napi_type_tag =
    sys::napi_type_tag { lower: 0x52a7_09d1_e6c3_4b80, upper: 0x8f14_cd37_6ab2_91e5 };

/// A network and what JavaScript knows of it by number.
pub(crate) struct Sim {
    network: RefCell<Network>,
    /// When its time zero was, where it runs in real time.
    began: Option<time::Instant>,
    pub(crate) links: RefCell<Vec<LinkId>>,
    pub(crate) captures: RefCell<Vec<CaptureId>>,
    pub(crate) rules: RefCell<Vec<RuleId>>,
    pub(crate) watch: Arc<Mutex<Watch>>,
    pub(crate) packets: Arc<Mutex<Packets>>,
    pub(crate) observer: RefCell<Option<ObserverId>>,
    pub(crate) nodes: RefCell<Vec<NodeId>>,
}

impl Sim {
    /// A network in virtual time, or, from now on, in real time.
    pub(crate) fn new(seed: u64, real: bool) -> Self {
        let mut network = Network::new(seed);
        let watch = Arc::<Mutex<Watch>>::default();
        let shared = Arc::clone(&watch);
        network.observe(move |event| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).packet(event);
        });
        Self {
            network: RefCell::new(network),
            began: real.then(time::Instant::now),
            links: RefCell::default(),
            captures: RefCell::default(),
            rules: RefCell::default(),
            watch,
            packets: Arc::default(),
            observer: RefCell::default(),
            nodes: RefCell::default(),
        }
    }

    /// Uses the network. In real time, what was due by now has happened before.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Network) -> R) -> R {
        let Ok(mut network) = self.network.try_borrow_mut() else {
            // Caught by whoever was called, and thrown.
            panic!("the network is at work: a rule's function must not use it");
        };
        if let Some(began) = self.began {
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            network.run_to(Instant::from_nanos(nanos));
        }
        f(&mut network)
    }

    /// The node of a number that JavaScript gives.
    pub(crate) fn node(&self, number: f64) -> Result<NodeId> {
        let nodes = self.nodes.borrow();
        let found = (number >= 0.0).then(|| nodes.get(number as usize)).flatten();
        found.copied().ok_or_else(|| refused(format!("{number} is no node of this network")))
    }
}

/// What a network refuses.
pub(crate) fn refused(message: String) -> Failure {
    Failure::system(Errno::EINVAL, "network", message)
}

/// One life of a host of a network.
pub(crate) struct Host {
    sim: Rc<Sim>,
    node: NodeId,
    life: u32,
}

/// What runs the core of a stack.
pub(crate) enum Backend {
    /// A packet thread.
    Shard(Arc<Shard>),
    /// The network it is a host of.
    Sim(Host),
}

/// The core's stack, for one call.
pub(crate) enum Core<'a> {
    Shard(ShardGuard<'a>),
    Sim { stack: &'a mut usernet_core::Stack, now: Instant },
}

impl Core<'_> {
    /// The time to hand to the core.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Shard(guard) => guard.now(),
            Self::Sim { now, .. } => *now,
        }
    }

    /// See `ShardGuard::may_wait`.
    pub(crate) fn may_wait(&mut self) {
        if let Self::Shard(guard) = self {
            guard.may_wait();
        }
    }

    /// See `ShardGuard::may_wait_from_now_on`.
    pub(crate) fn may_wait_from_now_on(&mut self) {
        if let Self::Shard(guard) = self {
            guard.may_wait_from_now_on();
        }
    }

    /// See `ShardGuard::rearm_doorbell`.
    pub(crate) fn rearm_doorbell(&mut self) {
        if let Self::Shard(guard) = self {
            guard.rearm_doorbell();
        }
    }
}

impl Deref for Core<'_> {
    type Target = usernet_core::Stack;
    fn deref(&self) -> &usernet_core::Stack {
        match self {
            Self::Shard(guard) => guard,
            Self::Sim { stack, .. } => stack,
        }
    }
}

impl DerefMut for Core<'_> {
    fn deref_mut(&mut self) -> &mut usernet_core::Stack {
        match self {
            Self::Shard(guard) => guard,
            Self::Sim { stack, .. } => stack,
        }
    }
}

impl Backend {
    /// Calls `f` with the core; not when its host has crashed.
    pub(crate) fn with_core<R>(&self, f: impl FnOnce(&mut Core<'_>) -> R) -> Option<R> {
        match self {
            Self::Shard(shard) => Some(f(&mut Core::Shard(shard.lock_on_loop()))),
            Self::Sim(Host { sim, node, life }) => sim.with(|network| {
                if network.life(*node) != *life {
                    return None;
                }
                network.with(*node, |stack, now| f(&mut Core::Sim { stack, now })).ok()
            }),
        }
    }
}

/// The network that an object stands for.
pub(crate) fn network_of(js: Js<'_>, object: Value<'_>) -> Result<Rc<Sim>> {
    let wrong =
        || Failure::Type("The \"options.network\" argument must be a NativeNetwork.".to_owned());
    let object = options::object(js, object, "options.network")?;
    let mut is_network = false;
    // SAFETY: `js` and `object` are valid in this scope; the tag is only read.
    check(unsafe {
        sys::napi_check_object_type_tag(
            js.env(),
            object.raw(),
            &raw const NETWORK_TAG,
            &raw mut is_network,
        )
    })?;
    if !is_network {
        return Err(wrong());
    }
    let sim = unwrap::<Sim>(js, object);
    if sim.is_null() {
        return Err(wrong());
    }
    // SAFETY: only the constructor of `NativeNetwork` gives objects this tag, and it wraps a reference to a `Sim` that
    // lives as long as the object; another is added for the one returned.
    unsafe {
        Rc::increment_strong_count(sim);
        Ok(Rc::from_raw(sim))
    }
}

/// The host that the options of a `NativeStack` name: `{ network, host }`.
pub(crate) fn host_of(js: Js<'_>, value: Value<'_>) -> Result<Option<Backend>> {
    let object = options::object(js, value, "options")?;
    let Some(network) = options::property(js, object, c"network")? else { return Ok(None) };
    let sim = network_of(js, network)?;
    let number = options::number(js, object, c"host", (0.0, 1e6))?.unwrap_or(-1.0);
    let node = sim.node(number)?;
    let life = sim.with(|network| network.life(node));
    if life == 0 {
        return Err(refused(format!("node {number} is no host, or is down")));
    }
    Ok(Some(Backend::Sim(Host { sim, node, life })))
}
