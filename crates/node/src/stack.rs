//! One stack of one environment: its life from constructor to teardown, and the drain.
//!
//! Who drives: libuv's loop polls the devices and comes to [`turn_on_loop`] while it keeps up, the packet thread otherwise
//! (`usernet_manager::Shard::drive_from_loop`). JavaScript never runs while the lock is held.
//!
//! Everything here runs on the JavaScript thread, except `Bell::ring`. A stack ends in one of three ways, whichever is
//! first: `shutdownStack()`, the garbage collector finding its object, or the cleanup hook of its environment (worker
//! terminated, process ending). Each runs [`Stack::teardown`], which joins the packet thread before anything it touches
//! goes away, and after which nothing calls into JavaScript. There are no globals.
//!
//! The object is collected only while it has no socket and no listener: until then the stack holds it.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_void};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use napi::sys;
use usernet_core::{Config, InterfaceId, Stats};
use usernet_manager::{QueueStats, Queues, Shard, ShardStats};

use crate::bell::Bell;
use crate::busy_poll::BusyPoll;
use crate::class;
use crate::datagrams::Datagrams;
use crate::errno::Errno;
use crate::event_loop::{Drive, Driving, EventLoop};
use crate::js::{Called, Failure, Js, Reference, Result, Value, callback_info, caught, check};
use crate::lane::{Lane, Lanes};
use crate::port::PortNews;
use crate::pump::{Kind, RECORD_SIZE, Records, Stop};
use crate::sim::{Backend, Core};
use crate::slabs::{Received, Slabs};
use crate::tcp::Driver;
use crate::watch::Watched;

mod on_loop;

pub(crate) use on_loop::turn_on_loop;

/// Most bytes that a drain copies; then JavaScript's timers and everything else of its loop have a turn.
const DRAIN_BYTES: usize = 1 << 20;

/// Longer writes are sent at once: they are better worked off while JavaScript makes the next.
const SMALL_WRITE: usize = 16 << 10;

/// Most bytes that `writeText` takes (src/net/handle.ts has the same number).
pub(crate) const MAX_TEXT: usize = 16 << 10;

/// After so many drains in a row, or `DRAIN_BYTES` in them together, the next one waits for a turn of the loop: Node
/// answers up to 1,000 rings of a threadsafe function before it looks at timers and descriptors again.
const DRAINS_IN_A_ROW: u32 = 32;

/// Where a stack is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// A panic was caught: every socket ends with an error, then as closed.
    Failed,
    Closed,
}

/// What the stack refers to in JavaScript. All weak: the stack's object holds them as hidden properties, so that a cycle
/// through the doorbell (which knows the stack) can be collected.
struct Objects {
    /// The stack's object; made strong while there are sockets or listeners.
    this: Reference,
    events: Reference,
    doorbell: Reference,
    /// Calls the doorbell, if the stack is open still: what `setImmediate` gets.
    turn: Reference,
    set_immediate: Reference,
}

/// An interface as JavaScript knows it.
pub(crate) struct Interface {
    pub(crate) number: u32,
    pub(crate) id: InterfaceId,
    pub(crate) name: String,
    /// What goes through its device, for who watches it.
    pub(crate) watched: Option<Arc<Watched>>,
    /// Of a frame port: what its program is to be told.
    pub(crate) port_news: Option<Arc<PortNews>>,
    /// Its ids in the further lanes, from the second on, as many as its device has further queues.
    pub(crate) more: Vec<InterfaceId>,
    /// What those queues have in common, where there are several.
    pub(crate) queues: Option<Arc<Queues>>,
    /// Whether it takes any destination.
    pub(crate) accept_any: Cell<bool>,
}

/// A stack.
pub(crate) struct Stack {
    env: sys::napi_env,
    /// The lane that has everything but what others share.
    pub(crate) first: Lane,
    /// The lanes of further queues; see [`Lane`].
    pub(crate) more: RefCell<Vec<Rc<Lane>>>,
    pub(crate) lanes: Lanes,
    /// Which lane is drained first.
    turn_of: Cell<usize>,
    pub(crate) bell: Arc<Bell>,
    /// The loop that drives, and the generation of devices that it polls. `None` where the packet thread drives alone.
    event_loop: RefCell<Option<(EventLoop, Vec<u64>)>>,
    /// Who is to drive.
    drive: Drive,
    life: Cell<Life>,
    slabs: RefCell<Slabs>,
    objects: RefCell<Option<Objects>>,
    pub(crate) interfaces: RefCell<Vec<Interface>>,
    last_interface: Cell<u32>,
    /// The object is held.
    held: Cell<bool>,
    /// Drains since the loop last had a turn of its own (as far as is known), and bytes they copied.
    in_a_row: Cell<(u32, usize)>,
    /// `setImmediate` was called and its callback has not come.
    deferred: Cell<bool>,
    pub(crate) busy_poll: RefCell<BusyPoll>,
    /// A turn on the loop reports more than one record: small writes until its end are sent together then.
    gathers: Cell<bool>,
    /// There is a device that takes several datagrams at once.
    uso: Cell<bool>,
    /// In a turn, see `turn`.
    in_turn: Cell<bool>,
    /// The last drain left no socket: the next gives memory back.
    resting: Cell<bool>,
    /// The reference that the cleanup hook has; null when there is no hook.
    hook: Cell<*const Stack>,
    last_stats: RefCell<Option<Stats>>,
    last_shard_stats: Cell<ShardStats>,
    /// What `writeText` encodes into.
    pub(crate) text: RefCell<Box<[u8]>>,
}

impl Stack {
    /// Makes a stack and wraps it in `this`, the object under construction.
    pub(crate) fn construct<'s>(
        js: Js<'s>,
        this: Value<'s>,
        config: Config,
        driving: Driving,
        slabs: Slabs,
        events: Value<'s>,
        doorbell: Value<'s>,
    ) -> Result<()> {
        let shared = config.clone();
        Self::construct_driven(js, this, shared, driving, slabs, events, doorbell, || {
            let shard = Shard::new(config).map_err(|error| {
                Failure::system(
                    Errno::EAGAIN,
                    "createStack",
                    format!("cannot start the packet thread ({error}); close other stacks or raise the limits (ulimit -u, ulimit -n)"),
                )
            })?;
            Ok(Backend::Shard(shard))
        })
    }

    /// As `construct`, on whatever runs the core, which has its own driver.
    pub(crate) fn construct_on<'s>(
        js: Js<'s>,
        this: Value<'s>,
        events: Value<'s>,
        doorbell: Value<'s>,
        backend: impl FnOnce() -> Result<Backend>,
    ) -> Result<()> {
        let slabs = Slabs::new(true);
        let driving = Driving { drive: Drive::Thread, busy_poll: BusyPoll::fixed(Duration::ZERO) };
        let config = Config::default();
        Self::construct_driven(js, this, config, driving, slabs, events, doorbell, backend)
    }

    #[allow(clippy::too_many_arguments)] // each is handed through once
    fn construct_driven<'s>(
        js: Js<'s>,
        this: Value<'s>,
        config: Config,
        driving: Driving,
        slabs: Slabs,
        events: Value<'s>,
        doorbell: Value<'s>,
        backend: impl FnOnce() -> Result<Backend>,
    ) -> Result<()> {
        let (_, len) = js.int32_array(events)?;
        if len < RECORD_SIZE {
            return Err(Failure::Value(format!(
                "The \"events\" argument has {len} elements; it needs {RECORD_SIZE} a record."
            )));
        }
        if js.type_of(doorbell)? != sys::ValueType::napi_function {
            let message = "The \"doorbell\" argument must be of type function.";
            return Err(Failure::Type(message.to_owned()));
        }
        let backend = backend()?;
        let stack = Rc::new(Self {
            env: js.env(),
            first: Lane::new(0, backend, 0),
            more: RefCell::default(),
            lanes: Lanes::new(config),
            turn_of: Cell::new(0),
            bell: Arc::new(Bell::new()),
            event_loop: RefCell::new(None),
            drive: driving.drive,
            life: Cell::new(Life::Open),
            slabs: RefCell::new(slabs),
            objects: RefCell::new(None),
            interfaces: RefCell::new(Vec::new()),
            last_interface: Cell::new(0),
            held: Cell::new(false),
            in_a_row: Cell::new((0, 0)),
            deferred: Cell::new(false),
            busy_poll: RefCell::new(driving.busy_poll),
            gathers: Cell::new(false),
            uso: Cell::new(false),
            in_turn: Cell::new(false),
            resting: Cell::new(false),
            hook: Cell::new(ptr::null()),
            last_stats: RefCell::new(None),
            last_shard_stats: Cell::default(),
            text: RefCell::new(vec![0; MAX_TEXT + 5].into_boxed_slice()),
        });
        stack.connect(js, this, events, doorbell).inspect_err(|_| stack.teardown())?;
        stack.join_loop(js, driving.drive).inspect_err(|_| stack.teardown())
    }

    /// The part of construction that Node-API can refuse.
    fn connect<'s>(
        self: &Rc<Self>,
        js: Js<'s>,
        this: Value<'s>,
        events: Value<'s>,
        doorbell: Value<'s>,
    ) -> Result<()> {
        // A simulated host is driven by the thread it runs on: nobody else rings for it.
        if !self.first.is_simulated() {
            self.bell.connect(js, Rc::downgrade(self))?;
        }
        // After the threadsafe function, whose own hook then runs after ours (last in, first out).
        let hook = Rc::into_raw(Rc::clone(self));
        // SAFETY: `js` is valid; the argument stays alive until the hook ran or `teardown` took it back.
        let status = unsafe {
            sys::napi_add_env_cleanup_hook(js.env(), Some(on_cleanup), hook.cast_mut().cast())
        };
        if let Err(failure) = check(status) {
            // SAFETY: from `into_raw` above; the hook was not registered.
            drop(unsafe { Rc::from_raw(hook) });
            return Err(failure);
        }
        self.hook.set(hook);

        // For `setImmediate`.
        let turn = self.bound(js, c"turn", on_turn)?;
        let set_immediate = js.get(js.global()?, c"setImmediate")?;
        js.set_hidden(this, c"_events", events)?;
        js.set_hidden(this, c"_doorbell", doorbell)?;
        js.set_hidden(this, c"_turn", turn)?;
        for (name, callback) in class::bound() {
            js.set(this, name, self.bound(js, name, callback)?)?;
        }
        *self.objects.borrow_mut() = Some(Objects {
            this: js.reference(this, false)?,
            events: js.reference(events, false)?,
            doorbell: js.reference(doorbell, false)?,
            turn: js.reference(turn, false)?,
            set_immediate: js.reference(set_immediate, true)?,
        });

        let bell = Arc::clone(&self.bell);
        self.with_shard(|shard| shard.set_doorbell(Some(Box::new(move || bell.ring()))));

        let data = Rc::into_raw(Rc::clone(self));
        // SAFETY: `js` is valid; the data stays alive until `on_collected` takes it back.
        let status = unsafe {
            sys::napi_wrap(
                js.env(),
                this.raw(),
                data.cast_mut().cast(),
                Some(on_collected),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        // SAFETY: from `into_raw` above; a failed wrap did not take it over.
        check(status).inspect_err(|_| drop(unsafe { Rc::from_raw(data) }))
    }

    /// A function that knows the stack without keeping it: its data is a `Weak<Stack>`, which lives as long as it does.
    fn bound<'s>(
        self: &Rc<Self>,
        js: Js<'s>,
        name: &CStr,
        callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
    ) -> Result<Value<'s>> {
        let data: *mut Weak<Self> = Box::into_raw(Box::new(Rc::downgrade(self)));
        let mut raw = ptr::null_mut();
        // SAFETY: `js` is valid; `data` lives as long as the function, see below.
        let made = check(unsafe {
            sys::napi_create_function(
                js.env(),
                name.as_ptr(),
                name.count_bytes() as isize,
                Some(callback),
                data.cast(),
                &raw mut raw,
            )
        });
        let made = made.and_then(|()| {
            // SAFETY: `raw` was just made; the finaliser runs when the function was collected.
            check(unsafe {
                sys::napi_wrap(
                    js.env(),
                    raw,
                    data.cast(),
                    Some(drop_bound),
                    ptr::null_mut(),
                    ptr::null_mut(),
                )
            })
        });
        if let Err(failure) = made {
            // SAFETY: nobody took it over; a function made without a finaliser was not given to anyone.
            drop(unsafe { Box::from_raw(data) });
            return Err(failure);
        }
        // SAFETY: just made in the scope of `js`.
        Ok(unsafe { Value::from_raw(raw) })
    }

    /// Calls `f` with the first lane's shard, as [`Lane::with_shard`].
    pub(crate) fn with_shard<R>(&self, f: impl FnOnce(&Shard) -> R) -> Option<R> {
        self.first.with_shard(f)
    }

    /// Calls `f` with the first lane's core, as [`Lane::with_core`].
    pub(crate) fn with_core<R>(&self, f: impl FnOnce(&mut Core<'_>) -> R) -> Option<R> {
        self.first.with_core(f)
    }

    /// Everything beside TCP that JavaScript knows, but for parts of raw sockets.
    pub(crate) fn datagrams(&self) -> std::cell::RefMut<'_, Datagrams> {
        self.first.datagrams()
    }

    /// A new interface's number, which is what `make` gives it.
    pub(crate) fn add_interface(&self, make: impl FnOnce(u32) -> Interface) -> u32 {
        let number = self.last_interface.get() + 1;
        self.last_interface.set(number);
        self.interfaces.borrow_mut().push(make(number));
        number
    }

    /// Rings for what a call from JavaScript left to report.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Whether the doorbell keeps the event loop alive.
    pub(crate) fn set_ref(&self, js: Js<'_>, on: bool) {
        self.bell.set_ref(js, on);
    }

    /// Holds the object while there are sockets or listeners: they are in use although JavaScript may have dropped the
    /// stack itself.
    pub(crate) fn update_hold(&self) {
        let more = self.more.borrow();
        let hold = self.life.get() != Life::Closed
            && (self.first.len() > 0 || more.iter().any(|lane| lane.len() > 0));
        drop(more);
        if hold != self.held.get()
            && let Some(objects) = &*self.objects.borrow()
        {
            self.held.set(hold);
            // SAFETY: this is the thread of `env`, which lives: JavaScript or one of its hooks runs on it.
            unsafe { objects.this.set_strong(self.env, hold) };
        }
    }

    /// Counters; those of the end once it is closed.
    pub(crate) fn stats(&self) -> Stats {
        let Some(mut stats) = self.with_core(|core| core.stats()) else {
            return self.last_stats.borrow().clone().unwrap_or_default();
        };
        // A listener is one, in however many lanes.
        let listeners = stats.listeners;
        for lane in &*self.more.borrow() {
            lane.with_core(|core| stats.add(&core.stats()));
        }
        stats.listeners = listeners;
        stats
    }

    /// What has passed between the queues of devices that have several.
    pub(crate) fn queue_stats(&self) -> QueueStats {
        let interfaces = self.interfaces.borrow();
        let all = interfaces.iter().filter_map(|i| i.queues.as_ref()).map(|queues| queues.stats());
        all.fold(QueueStats::default(), |sum, queues| QueueStats {
            handed_over: sum.handed_over + queues.handed_over,
            dropped: sum.dropped + queues.dropped,
        })
    }

    /// Counters of who drove; those of the end once it is closed. Zeros where there is no packet thread.
    pub(crate) fn shard_stats(&self) -> ShardStats {
        let Some(mut stats) = self.with_shard(Shard::stats) else {
            return self.last_shard_stats.get();
        };
        // A device is lost once.
        let devices_lost = stats.devices_lost;
        for lane in &*self.more.borrow() {
            lane.with_shard(|shard| stats.add(&shard.stats()));
        }
        stats.devices_lost = devices_lost;
        stats
    }

    /// How much JavaScript got, and how.
    pub(crate) fn received(&self) -> Received {
        self.slabs.borrow().received()
    }

    /// Calls the doorbell: somebody rang. `Err` when it threw.
    pub(crate) fn notify(&self, js: Js<'_>) -> Result<()> {
        if self.life.get() == Life::Closed {
            return Ok(());
        }
        let doorbell = match &*self.objects.borrow() {
            Some(objects) => js.deref(&objects.doorbell),
            None => None,
        };
        doorbell.map_or(Ok(()), |doorbell| self.turn(|| js.call(doorbell, &[]).map(drop)))
    }

    /// A turn, in which JavaScript answers to what is reported: what it writes to several sockets is sent together.
    fn turn<T>(&self, callback: impl FnOnce() -> T) -> T {
        self.in_turn.set(true);
        let outcome = callback();
        self.in_turn.set(false);
        if self.gathers.replace(false) {
            self.with_shard(Shard::flush);
            for lane in &*self.more.borrow() {
                lane.with_shard(Shard::flush);
            }
        }
        outcome
    }

    /// Whether the doorbell is to be called on the loop's next turn.
    pub(crate) fn is_deferred(&self) -> bool {
        self.deferred.get()
    }

    /// Has the doorbell called on the loop's next turn. Until then nobody need ring.
    fn defer(&self, js: Js<'_>) {
        self.bell.hold();
        self.in_a_row.set((0, 0));
        if self.deferred.replace(true) {
            return;
        }
        let functions = match &*self.objects.borrow() {
            Some(objects) => js.deref(&objects.set_immediate).zip(js.deref(&objects.turn)),
            None => None,
        };
        let called = functions.map(|(set_immediate, turn)| js.call(set_immediate, &[turn]));
        if !matches!(called, Some(Ok(_))) {
            self.deferred.set(false);
            self.bell.answer();
            self.bell.ring();
        }
    }

    /// Fills the events array; the number of records.
    pub(crate) fn drain(&self, js: Js<'_>) -> Result<i32> {
        if self.life.get() == Life::Closed {
            return Ok(0);
        }
        let events = match &*self.objects.borrow() {
            Some(objects) => js.deref(&objects.events),
            None => None,
        };
        let Some(events) = events else { return Ok(0) };
        let (start, len) = js.int32_array(events)?;
        self.bell.answer();
        if self.event_loop.borrow().is_some() {
            // A device without a descriptor may have rung.
            self.answer_call(0);
            let lanes = self.more.borrow().len();
            (1..=lanes).for_each(|at| self.answer_call(at));
        }
        if start.is_null() || len < RECORD_SIZE {
            // JavaScript transferred its array away.
            return Ok(0);
        }
        // SAFETY: memory of a live, unshared array that `this` keeps alive; no JavaScript runs until `out` is dropped,
        // because nothing below calls a function of it before `defer`.
        let out = unsafe { std::slice::from_raw_parts_mut(start, len) };
        let mut records = Records::new(out);
        let (drains, bytes) = self.in_a_row.get();
        let mut left = DRAIN_BYTES.saturating_sub(bytes).max(1);
        let more = self.fill(js, &mut records, &mut left)?;
        let count = records.len() as i32;
        self.gathers.set(self.in_turn.get() && (count > 1 || self.gathers.get()));

        self.update_hold();
        let idle = self.is_idle() && self.slabs.borrow().holds();
        self.resting.set(idle);
        let drains = drains + u32::from(count > 0);
        self.in_a_row.set((drains, DRAIN_BYTES - left));
        if more || idle || left == 0 || drains >= DRAINS_IN_A_ROW {
            self.defer(js);
        }
        Ok(count)
    }

    /// Whether a write of so many bytes may wait for the end of the turn.
    pub(crate) fn gathers(&self, bytes: usize) -> bool {
        bytes <= SMALL_WRITE && self.gathers.get()
    }

    /// A device was added that takes several datagrams at once.
    pub(crate) fn has_uso(&self) {
        self.uso.set(true);
    }

    /// Whether datagrams are worth waiting for one another, and may: there is a loop that drives.
    pub(crate) fn merges_datagrams(&self) -> bool {
        self.uso.get() && self.event_loop.borrow().is_some()
    }

    /// Whether there is no socket that could receive anything.
    fn is_idle(&self) -> bool {
        self.first.sockets() == 0 && self.more.borrow().iter().all(|lane| lane.sockets() == 0)
    }

    /// Says which interfaces have frames for who watches them, and which frame ports have frames or room for their program.
    fn report_frames(&self, records: &mut Records<'_>) {
        for interface in &*self.interfaces.borrow() {
            if let Some(news) = &interface.port_news
                && records.make_room(1)
                && news.take()
            {
                records.put([Kind::Port as i32, interface.number as i32, 0, 0, 0, 0]);
            }
            let Some(watched) = &interface.watched else { continue };
            if records.make_room(1) && watched.take_news() {
                records.put([Kind::Frames as i32, interface.number as i32, 0, 0, 0, 0]);
            }
        }
    }

    /// Writes records, and counts `bytes` down; whether there is more to come.
    fn fill(&self, js: Js<'_>, records: &mut Records<'_>, bytes: &mut usize) -> Result<bool> {
        let mut slabs = self.slabs.borrow_mut();
        slabs.begin(js);
        self.report_frames(records);
        if self.resting.replace(false) && self.is_idle() {
            slabs.rest();
            slabs.begin(js);
        }
        let more = self.more.borrow();
        if more.is_empty() {
            return self.fill_from(js, &self.first, 0, &mut slabs, records, bytes);
        }
        // Who is first changes, so that none waits for the others however much they have.
        let lanes = more.len() + 1;
        let first = self.turn_of.get();
        self.turn_of.set((first + 1) % lanes);
        for at in (0..lanes).map(|n| (first + n) % lanes) {
            let lane = at.checked_sub(1).map_or(&self.first, |at| &more[at]);
            if (at == 0 || lane.take_news())
                && self.fill_from(js, lane, at, &mut slabs, records, bytes)?
            {
                // It has more, and others may have something: the next drain begins with another.
                lane.tell_news();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As `fill`, of one lane.
    fn fill_from(
        &self,
        js: Js<'_>,
        lane: &Lane,
        at: usize,
        slabs: &mut Slabs,
        records: &mut Records<'_>,
        bytes: &mut usize,
    ) -> Result<bool> {
        let before = records.len();
        loop {
            let stop = {
                let mut pump = lane.pump();
                let mut datagrams = lane.datagrams();
                let interfaces = self.interfaces.borrow();
                let is = |i: &&Interface, id| match at {
                    0 => i.id == id,
                    _ => i.more.get(at - 1) == Some(&id),
                };
                let numbers = |id| interfaces.iter().find(|i| is(i, id)).map_or(0, |i| i.number);
                // A shard that failed has an empty stack behind its lock, so this serves a failed stack as well.
                let stop = lane.with_core(|core| {
                    core.rearm_doorbell();
                    let now = core.now();
                    // What is beside TCP may use half of the records, then TCP what is left, then who has more.
                    for share in [records.capacity() / 2, usize::MAX] {
                        let stop = datagrams.run(core, slabs, records, bytes, share, &numbers);
                        if share == usize::MAX || matches!(stop, Stop::Memory(_)) {
                            return stop;
                        }
                        let mut driver = Driver { stack: core, now, datagrams: &mut datagrams };
                        let stop = pump.run(&mut driver, slabs, records, bytes);
                        if stop != Stop::Idle || !datagrams.has_work() {
                            return stop;
                        }
                    }
                    Stop::Idle
                });
                stop.unwrap_or(Stop::Idle)
            };
            match stop {
                Stop::Memory(class) => slabs.provide(js, class)?,
                Stop::Show => slabs.show(js)?,
                Stop::Hold if *bytes > 0 => {}
                Stop::Hold | Stop::Full => return Ok(true),
                Stop::Idle => {}
            }
            if stop == Stop::Idle {
                // Rung for nothing: it may be the last ring, of a shard that failed.
                if records.len() == before
                    && self.life.get() == Life::Open
                    && let Some(Some(message)) = lane.with_shard(Shard::failed)
                {
                    self.fail(&message);
                    continue;
                }
                return Ok(false);
            }
        }
    }

    /// Takes note of a panic: sockets end with an error, the process lives.
    pub(crate) fn fail(&self, message: &str) {
        if self.life.get() != Life::Open {
            return;
        }
        self.life.set(Life::Failed);
        eprintln!("usernet: internal error: {message}. The stack is closed; please report this.");
        let more = self.more.borrow();
        for lane in std::iter::once(&self.first).chain(more.iter().map(|lane| &**lane)) {
            let _ = caught(|| lane.with_shard(Shard::close));
            if let Some(mut pump) = lane.try_pump() {
                pump.fail_all(Errno::EIO);
            }
            if let Some(mut datagrams) = lane.try_datagrams() {
                datagrams.fail_all(Errno::EIO);
            }
        }
        drop(more);
        self.bell.ring();
    }

    /// The buffer of a slab that records named.
    pub(crate) fn slab<'s>(&self, js: Js<'s>, index: i32) -> Option<Value<'s>> {
        self.slabs.borrow().buffer(js, index)
    }

    /// Resets every connection, joins the packet thread, closes the devices, lets go of JavaScript. Idempotent. On the
    /// stack's thread, while its environment lives.
    pub(crate) fn teardown(&self) {
        if self.life.replace(Life::Closed) == Life::Closed {
            return;
        }
        self.last_shard_stats.set(self.shard_stats());
        // The loop lets go of the devices before they are closed.
        self.event_loop.take();
        let more = self.more.take();
        let lanes = std::iter::once(&self.first).chain(more.iter().map(|lane| &**lane));
        let shards = lanes.filter_map(|lane| match lane.take_backend() {
            Some(Backend::Shard(shard)) => Some(shard),
            _ => None,
        });
        let shards: Vec<_> = shards.collect();
        if !shards.is_empty() {
            let closed = caught(move || {
                let mut stats = Stats::default();
                for shard in &shards {
                    shard.set_doorbell(None);
                    stats.add(&shard.lock().stats());
                }
                Shard::close_all(&shards);
                // What is counted up stays as it was; of what there is at a time nothing is left.
                (stats.connections, stats.time_wait) = (0, 0);
                (stats.listeners, stats.receive_memory) = (0, 0);
                stats.tcp_curr_estab = 0;
                stats
            });
            *self.last_stats.borrow_mut() = closed.ok();
        }
        self.bell.disconnect();
        self.first.clear();
        self.lanes.clear();
        for lane in &more {
            lane.clear();
        }
        self.interfaces.borrow_mut().clear();
        // SAFETY: as the contract of this function says.
        unsafe { self.slabs.borrow_mut().close(self.env) };
        if let Some(objects) = self.objects.borrow_mut().take() {
            let Objects { this, events, doorbell, turn, set_immediate } = objects;
            for reference in [this, events, doorbell, turn, set_immediate] {
                // SAFETY: as above.
                unsafe { reference.release(self.env) };
            }
        }
        let hook = self.hook.replace(ptr::null());
        if !hook.is_null() {
            // SAFETY: registered with these in `connect` and not run, or `hook` would be null; then the reference is
            // ours again. `self` is kept by whoever calls.
            unsafe {
                sys::napi_remove_env_cleanup_hook(
                    self.env,
                    Some(on_cleanup),
                    hook.cast_mut().cast(),
                );
                drop(Rc::from_raw(hook));
            }
        }
    }
}

/// The environment goes away.
unsafe extern "C" fn on_cleanup(data: *mut c_void) {
    // SAFETY: the reference given to the hook in `connect`, which `teardown` takes back when it removes the hook.
    let stack = unsafe { Rc::from_raw(data.cast_const().cast::<Stack>()) };
    stack.hook.set(ptr::null());
    let _ = caught(|| stack.teardown());
}

/// The stack's object was collected, or its environment goes away.
unsafe extern "C" fn on_collected(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: the reference given to `napi_wrap` in `connect`; Node-API calls a finaliser once.
    let stack = unsafe { Rc::from_raw(data.cast_const().cast::<Stack>()) };
    let _ = caught(|| stack.teardown());
}

/// `setImmediate` calls back.
unsafe extern "C" fn on_turn(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the callback's own arguments.
    let Ok(Called { js, data, .. }) = (unsafe { callback_info::<0>(env, info) }) else {
        return ptr::null_mut();
    };
    // SAFETY: what the function was made with, which lives as long as the function that runs.
    if let Some(stack) = unsafe { &*data.cast::<Weak<Stack>>() }.upgrade() {
        stack.deferred.set(false);
        // What the doorbell throws stays pending, and becomes an uncaught exception when this returns.
        let _ = stack.notify(js);
    }
    ptr::null_mut()
}

/// A function that knows a stack was collected.
unsafe extern "C" fn drop_bound(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `bound`; Node-API calls a finaliser once.
    drop(unsafe { Box::from_raw(data.cast::<Weak<Stack>>()) });
}
