//! From the core's events to the records that JavaScript reads: what to report of each socket, in which order, and how
//! much at a time. Knows neither Node-API nor threads, so its tests need neither.
//!
//! A socket with something to report stands in one queue, once, however much happened to it. Each turn it reports at
//! most one chunk of data and goes to the end of the queue, so that none starves another. What it reports comes in the
//! order Connect, Report, Data, End, Writable, Flushed, Error, Closed; Error and Closed wait until the data before them was
//! taken, however long JavaScript does not read.

use std::collections::VecDeque;

use bitflags::bitflags;
use usernet_core::{
    ConnectionError, Event, ListenerId, NoSuchSocket, Payload, Ready, RecvError, SocketId,
};

use crate::errno::Errno;
use crate::handles::{Handle, Table};

/// Kinds of records (`RecordKind` in src/native.ts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Kind {
    Data = 1,
    End = 2,
    Connect = 3,
    Error = 4,
    Writable = 5,
    Accept = 6,
    Flushed = 7,
    Closed = 8,
    // Of what is beside TCP, see `datagrams`: records that others follow.
    Datagram = 9,
    UdpError = 10,
    UdpWritable = 11,
    UdpClosed = 12,
    Raw = 13,
    RawWritable = 14,
    Ping = 15,
    Flow = 16,
    Frames = 17,
    Port = 18,
    /// Of an interface: its link, or one of its addresses (which follows).
    Interface = 19,
    /// Of a socket: a delivery problem that does not end it was reported.
    Report = 20,
}

/// Numbers a record (`RECORD_SIZE` in src/native.ts): kind, index, generation, a, b, c.
pub(crate) const RECORD_SIZE: usize = 6;

/// Most bytes of a Data record.
pub(crate) const MAX_CHUNK: usize = 65_536;

/// Chunks up to this long are gathered in small slabs, so that what JavaScript keeps of them keeps little memory.
pub(crate) const SMALL_CHUNK: usize = 4096;

/// Pieces at least this long are not copied: JavaScript gets the memory that they were received into. Of shorter ones many
/// go into one chunk.
pub(crate) const SHARED_PIECE: usize = 16 << 10;

/// Most bytes copied, and most sockets and listeners served, before the lock is let go: a few hundred microseconds.
const HOLD_BYTES: usize = 256 << 10;

/// What a byte that is not copied costs less than one that is.
const UNCOPIED: usize = 16;
const HOLD_TURNS: usize = 512;

/// Most connections that a listener reports before others have their turn.
const ACCEPTS: usize = 64;

/// What the pump asks of the core.
pub(crate) trait Tcp {
    fn poll_event(&mut self) -> Option<Event>;
    fn recv_queue(&self, id: SocketId) -> Result<usize, NoSuchSocket>;
    fn recv(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, RecvError>;
    /// Bytes that wait before the first piece that is `wanted`, at most `limit`.
    fn before_piece(&self, id: SocketId, limit: usize, wanted: &dyn Fn(&Payload) -> bool) -> usize;
    /// Takes the first received piece uncopied, if there is one that is `wanted`.
    fn take_piece(
        &mut self,
        id: SocketId,
        wanted: &mut dyn FnMut(&Payload) -> bool,
    ) -> Option<Payload>;
    fn error(&self, id: SocketId) -> Option<ConnectionError>;
    fn accept(&mut self, id: ListenerId) -> Option<SocketId>;
    fn release(&mut self, id: SocketId);
}

/// Which slab a chunk goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// At most [`SMALL_CHUNK`] bytes.
    Small,
    /// More.
    Bulk,
}

/// Whether JavaScript sees the memory that a piece was received into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It does: the piece can be named.
    Seen,
    /// It can be shown to it first (`Stop::Show`).
    ToShow,
    /// It never will: the piece has to be copied.
    Hidden,
}

/// Where received bytes are copied to.
pub(crate) trait Memory {
    /// Room for a chunk of `len` bytes, or for a good part of it; none when a new slab has to be got first.
    fn spare(&mut self, class: Class, len: usize) -> Option<&mut [u8]>;
    /// Takes the first `len` bytes of what `spare` gave: their slab and offset.
    fn take(&mut self, class: Class, len: usize) -> (i32, i32);
}

/// What JavaScript sees of the memory that the device was read into, so that nothing need be copied.
pub(crate) trait Show: Memory {
    /// Whether the memory of a piece is of the kind that can be shown to JavaScript.
    fn can_show(&self, piece: &Payload) -> bool;
    /// Whether JavaScript sees the memory of a piece. `ToShow` remembers which that is.
    fn sight(&mut self, piece: &Payload) -> Sight;
    /// The slab and offset of a taken piece whose memory JavaScript sees.
    fn name(&mut self, piece: Payload) -> (i32, i32);
}

/// Where records are written to.
pub(crate) struct Records<'a> {
    out: &'a mut [i32],
    used: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(out: &'a mut [i32]) -> Self {
        Self { out, used: 0 }
    }

    /// How many were written.
    pub(crate) fn len(&self) -> usize {
        self.used / RECORD_SIZE
    }

    /// How many there is room for, those written included.
    pub(crate) fn capacity(&self) -> usize {
        self.out.len() / RECORD_SIZE
    }

    fn is_full(&self) -> bool {
        self.out.len() - self.used < RECORD_SIZE
    }

    /// Whether there is room for so many. If not, the rest is filled with records that say nothing: what is full is
    /// drained again at once.
    pub(crate) fn make_room(&mut self, count: usize) -> bool {
        let room = self.out.len() - self.used >= count * RECORD_SIZE;
        while !room && !self.is_full() {
            self.put([0; RECORD_SIZE]);
        }
        room
    }

    /// Writes a record for which there is room.
    pub(crate) fn put(&mut self, record: [i32; RECORD_SIZE]) {
        if !self.is_full() {
            self.out[self.used..self.used + RECORD_SIZE].copy_from_slice(&record);
            self.used += RECORD_SIZE;
        }
    }

    /// Writes a record, if there is room; whether there was.
    pub(crate) fn push(&mut self, kind: Kind, handle: Handle, rest: [i32; 3]) -> bool {
        if self.is_full() {
            return false;
        }
        let head = [kind as i32, handle.index as i32, handle.generation as i32];
        self.out[self.used..self.used + 3].copy_from_slice(&head);
        self.out[self.used + 3..self.used + RECORD_SIZE].copy_from_slice(&rest);
        self.used += RECORD_SIZE;
        true
    }
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Flags: u16 {
        /// JavaScript wants data.
        const READING = 1 << 0;
        /// There may be something to read.
        const READABLE = 1 << 1;
        /// End was reported.
        const ENDED = 1 << 2;
        /// It stands in the queue.
        const QUEUED = 1 << 3;
        /// To be reported: ..
        const CONNECT = 1 << 4;
        const WRITABLE = 1 << 5;
        const FLUSHED = 1 << 6;
        const ERROR = 1 << 7;
        const CLOSED = 1 << 8;
        /// JavaScript let go of it (`close`, `reset`); the core's socket is no longer ours.
        const RELEASED = 1 << 9;
        /// Flushed follows in any case (`close`, unless it was reported before).
        const OWES_FLUSHED = 1 << 10;
        /// Writable was reported because of an error that is held back.
        const HINTED = 1 << 11;
        /// A listener made it: it was connected before JavaScript heard of it.
        const ACCEPTED = 1 << 12;
        /// Flushed was reported.
        const TOLD_FLUSHED = 1 << 14;
        /// Our FIN was asked for: only from then on does the core's FLUSHED mean what ours does.
        const SHUT = 1 << 13;
        /// A delivery problem is to be reported.
        const REPORT = 1 << 15;

        const REPORTS = Self::CONNECT.bits() | Self::WRITABLE.bits() | Self::FLUSHED.bits()
            | Self::ERROR.bits() | Self::CLOSED.bits() | Self::REPORT.bits();
    }
}

/// What the binding knows of a socket.
struct Socket {
    flags: Flags,
    /// Number of the error to report, negative; 0 for none.
    errno: i32,
}

/// What the binding knows of a listener.
struct Listener {
    queued: bool,
    /// The handle that JavaScript knows it by, where that is not its own: of a part in a further lane.
    known_as: Option<Handle>,
}

/// Why [`Pump::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everything was reported.
    Idle,
    /// No room for records.
    Full,
    /// A slab of this class is needed.
    Memory(Class),
    /// The memory that was asked for last is to be shown to JavaScript.
    Show,
    /// Enough for one hold of the lock; there may be more.
    Hold,
}

/// How a socket's turn ended.
enum Turn {
    /// Nothing left to report now.
    Done,
    /// More to report.
    Again,
    /// It cannot go on: for want of room or memory.
    Stop(Stop),
}

/// What is left to do.
struct Left<'a> {
    /// In this hold of the lock, in bytes copied.
    hold: usize,
    /// In this drain, bytes.
    bytes: &'a mut usize,
}

impl Left<'_> {
    fn spend(&mut self, bytes: usize, hold: usize) {
        *self.bytes = self.bytes.saturating_sub(bytes);
        self.hold = self.hold.saturating_sub(hold);
    }
}

/// Sockets, listeners, and who of them has something to report.
pub(crate) struct Pump {
    sockets: Table<SocketId, Socket>,
    listeners: Table<ListenerId, Listener>,
    ready: VecDeque<Handle>,
    acceptable: VecDeque<Handle>,
}

impl Pump {
    /// One whose handles begin with that index.
    pub(crate) fn new(base: u32) -> Self {
        Self {
            sockets: Table::new(base),
            listeners: Table::new(base),
            ready: VecDeque::new(),
            acceptable: VecDeque::new(),
        }
    }

    /// Sockets and listeners that JavaScript knows.
    pub(crate) fn len(&self) -> usize {
        self.sockets.len() + self.listeners.len()
    }

    /// Sockets that JavaScript knows.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Whether something waits to be reported, as far as the pump has heard.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.acceptable.is_empty()
    }

    /// A connection that was begun.
    pub(crate) fn add_socket(&mut self, id: SocketId) -> Handle {
        // The core uses the slot of a dead connection again at once, while the last event of the old one may still
        // wait, and would not be found to be its any more. So it is told now.
        if let Some(old) = self.sockets.predecessor(id)
            && let Some((_, socket)) = self.sockets.get(old)
        {
            socket.flags |= Flags::CLOSED;
            self.enqueue(old);
        }
        self.sockets.insert(id, Socket { flags: Flags::empty(), errno: 0 })
    }

    /// A listener that was made, which JavaScript may know by another one's handle.
    pub(crate) fn add_listener(&mut self, id: ListenerId, known_as: Option<Handle>) -> Handle {
        self.listeners.insert(id, Listener { queued: false, known_as })
    }

    /// Forgets a listener; the core's key of it.
    pub(crate) fn remove_listener(&mut self, number: f64) -> Option<ListenerId> {
        let (handle, id) = self.listeners.key(number)?;
        self.listeners.remove(handle);
        Some(id)
    }

    /// The core's key of a listener.
    pub(crate) fn listener(&self, number: f64) -> Option<ListenerId> {
        self.listeners.key(number).map(|(_, id)| id)
    }

    /// The core's key of a socket that JavaScript has not let go of.
    pub(crate) fn socket(&self, number: f64) -> Option<SocketId> {
        let (handle, id) = self.sockets.key(number)?;
        let released = self.sockets.value(handle)?.flags.contains(Flags::RELEASED);
        (!released).then_some(id)
    }

    /// The number of the core's socket, if JavaScript knows it.
    pub(crate) fn number(&self, id: SocketId) -> Option<f64> {
        self.sockets.find(id).map(Handle::to_number)
    }

    /// Whether JavaScript wants a socket's data; whether the socket exists. What waits is reported on the next run.
    pub(crate) fn set_reading(&mut self, number: f64, on: bool) -> bool {
        let Some((handle, _)) = self.sockets.key(number) else { return false };
        let Some((_, socket)) = self.sockets.get(handle) else { return false };
        if socket.flags.contains(Flags::RELEASED) {
            return false;
        }
        socket.flags.set(Flags::READING, on);
        if on && socket.flags.intersects(Flags::READABLE | Flags::REPORTS) {
            self.enqueue(handle);
        }
        true
    }

    /// The sending side of a socket was shut down: Flushed may follow.
    pub(crate) fn set_shut(&mut self, number: f64) {
        if let Some((handle, _)) = self.sockets.key(number)
            && let Some((_, socket)) = self.sockets.get(handle)
        {
            socket.flags |= Flags::SHUT;
        }
    }

    /// The core's key of a socket, also of one that JavaScript has let go of and that has not Closed.
    pub(crate) fn any_socket(&self, number: f64) -> Option<SocketId> {
        self.sockets.key(number).map(|(_, id)| id)
    }

    /// JavaScript lets go of a socket: no data, End or Error is reported any more, only Flushed (when `owes_flushed`)
    /// and Closed. `gone` when the core does not know it any more, so that nothing will come from there.
    pub(crate) fn release(&mut self, number: f64, owes_flushed: bool, gone: bool) {
        let Some((handle, _)) = self.sockets.key(number) else { return };
        let Some((_, socket)) = self.sockets.get(handle) else { return };
        let over = gone || socket.flags.intersects(Flags::ERROR | Flags::CLOSED);
        socket.flags.remove(
            Flags::READING
                | Flags::READABLE
                | Flags::CONNECT
                | Flags::WRITABLE
                | Flags::ERROR
                | Flags::REPORT,
        );
        socket.flags |= Flags::RELEASED;
        let owes_flushed = owes_flushed && !socket.flags.contains(Flags::TOLD_FLUSHED);
        socket.flags.set(Flags::OWES_FLUSHED, owes_flushed);
        if !owes_flushed {
            socket.flags.remove(Flags::FLUSHED);
        }
        if over {
            socket.flags |= Flags::CLOSED;
        }
        if socket.flags.intersects(Flags::REPORTS) {
            self.enqueue(handle);
        }
    }

    /// Every socket ends with that error; nothing more comes from the core.
    pub(crate) fn fail_all(&mut self, errno: Errno) {
        for handle in self.sockets.handles() {
            let Some((_, socket)) = self.sockets.get(handle) else { continue };
            if socket.flags.contains(Flags::RELEASED) {
                socket.flags |= Flags::CLOSED;
            } else if !socket.flags.contains(Flags::ERROR) {
                socket.flags |= Flags::ERROR;
                socket.errno = errno.number();
            }
            self.enqueue(handle);
        }
    }

    /// Whether it has something that can be reported now.
    fn enqueue(&mut self, handle: Handle) {
        if let Some((_, socket)) = self.sockets.get(handle)
            && !socket.flags.contains(Flags::QUEUED)
        {
            socket.flags |= Flags::QUEUED;
            self.ready.push_back(handle);
        }
    }

    /// Notes one of the core's events.
    fn note(&mut self, tcp: &impl Tcp, event: Event) {
        match event {
            Event::Socket(id, ready) => {
                // A socket that waits to be accepted has no handle yet; `accepted` looks at what became of it.
                let Some(handle) = self.sockets.find(id) else { return };
                let Some((_, socket)) = self.sockets.get(handle) else { return };
                let flags = &mut socket.flags;
                if flags.contains(Flags::RELEASED) {
                    if ready.contains(Ready::FLUSHED) && flags.contains(Flags::OWES_FLUSHED) {
                        *flags |= Flags::FLUSHED;
                    }
                    if ready.intersects(Ready::CLOSED | Ready::ERROR) {
                        *flags |= Flags::CLOSED;
                    }
                } else {
                    for (from, to) in [
                        (Ready::CONNECTED, Flags::CONNECT),
                        (Ready::READABLE, Flags::READABLE),
                        (Ready::WRITABLE, Flags::WRITABLE),
                        (Ready::FLUSHED, Flags::FLUSHED),
                        (Ready::CLOSED, Flags::CLOSED),
                        (Ready::REPORT, Flags::REPORT),
                    ] {
                        if ready.contains(from) {
                            *flags |= to;
                        }
                    }
                    if ready.intersects(Ready::ERROR | Ready::CLOSED) {
                        // Look once more at what was received before it.
                        *flags |= Flags::READABLE;
                        if let Some(error) = tcp.error(id) {
                            // The writer hears of it by Error; room and arrival mean nothing any more.
                            flags.remove(Flags::WRITABLE | Flags::FLUSHED);
                            *flags |= Flags::ERROR;
                            socket.errno = Errno::from(error).number();
                        }
                    }
                    if flags.contains(Flags::ACCEPTED) {
                        flags.remove(Flags::CONNECT);
                    }
                    if !flags.contains(Flags::SHUT) {
                        flags.remove(Flags::FLUSHED);
                    }
                }
                let can_read = socket.flags.contains(Flags::READING | Flags::READABLE);
                if can_read || socket.flags.intersects(Flags::REPORTS) {
                    self.enqueue(handle);
                }
            }
            Event::Acceptable(id) => {
                if let Some(handle) = self.listeners.find(id)
                    && let Some((_, listener)) = self.listeners.get(handle)
                    && !listener.queued
                {
                    listener.queued = true;
                    self.acceptable.push_back(handle);
                }
            }
            // `datagrams` has them; of addresses nobody is told yet.
            Event::Udp(..)
            | Event::Raw(..)
            | Event::Ping(..)
            | Event::Flow(_)
            | Event::Address(..)
            | Event::Link(..) => {}
        }
    }

    /// Writes records, as much as one hold of the lock should do. `bytes` counts down what a drain may report.
    pub(crate) fn run(
        &mut self,
        tcp: &mut impl Tcp,
        memory: &mut impl Show,
        records: &mut Records<'_>,
        bytes: &mut usize,
    ) -> Stop {
        let mut more_events = true;
        for _ in 0..HOLD_TURNS * 4 {
            let Some(event) = tcp.poll_event() else {
                more_events = false;
                break;
            };
            self.note(tcp, event);
        }
        let mut left = Left { hold: HOLD_BYTES, bytes };
        for _ in 0..HOLD_TURNS {
            if records.is_full() && self.has_work() {
                return Stop::Full;
            }
            if let Some(handle) = self.acceptable.pop_front() {
                self.accept(tcp, records, handle);
            } else if let Some(handle) = self.ready.pop_front() {
                match self.turn(tcp, memory, records, &mut left, handle) {
                    Turn::Done => {
                        if let Some((_, socket)) = self.sockets.get(handle) {
                            socket.flags.remove(Flags::QUEUED);
                        }
                    }
                    Turn::Again => self.ready.push_back(handle),
                    Turn::Stop(stop) => {
                        self.ready.push_front(handle);
                        return stop;
                    }
                }
                if left.hold == 0 || *left.bytes == 0 {
                    return Stop::Hold;
                }
            } else if more_events {
                return Stop::Hold;
            } else if let Some(event) = tcp.poll_event() {
                // The calls above bring events about themselves.
                self.note(tcp, event);
            } else {
                return Stop::Idle;
            }
        }
        Stop::Hold
    }

    /// One turn of a listener.
    fn accept(&mut self, tcp: &mut impl Tcp, records: &mut Records<'_>, handle: Handle) {
        let Some((listener_id, listener)) = self.listeners.get(handle) else { return };
        listener.queued = false;
        let known_as = listener.known_as.unwrap_or(handle);
        for _ in 0..ACCEPTS {
            if records.is_full() {
                break;
            }
            let Some(id) = tcp.accept(listener_id) else { return };
            let new = self.add_socket(id);
            let (index, generation) = (new.index as i32, new.generation as i32);
            records.push(Kind::Accept, known_as, [index, generation, 0]);
            self.accepted(tcp, new, id);
        }
        if let Some((_, listener)) = self.listeners.get(handle) {
            listener.queued = true;
            self.acceptable.push_back(handle);
        }
    }

    /// What happened to a socket before it was accepted was not noted: it had no handle. Nearly every program wants its
    /// data, which is reported from the start: a call less, and it may follow in the same records.
    fn accepted(&mut self, tcp: &impl Tcp, handle: Handle, id: SocketId) {
        let Some((_, socket)) = self.sockets.get(handle) else { return };
        socket.flags |= Flags::READING | Flags::READABLE | Flags::ACCEPTED;
        if let Some(error) = tcp.error(id) {
            socket.flags |= Flags::ERROR;
            socket.errno = Errno::from(error).number();
        }
        self.enqueue(handle);
    }

    /// One turn of a socket. What is written down is no longer flagged, so that a turn can stop anywhere.
    fn turn(
        &mut self,
        tcp: &mut impl Tcp,
        memory: &mut impl Show,
        records: &mut Records<'_>,
        left: &mut Left<'_>,
        handle: Handle,
    ) -> Turn {
        let Some((id, socket)) = self.sockets.get(handle) else { return Turn::Done };
        // Writes a record for a flag, if it is set, and clears the flag.
        macro_rules! report {
            ($flag:ident, $kind:ident, $a:expr) => {
                if socket.flags.contains(Flags::$flag) {
                    if !records.push(Kind::$kind, handle, [$a, 0, 0]) {
                        return Turn::Stop(Stop::Full);
                    }
                    socket.flags.remove(Flags::$flag);
                }
            };
        }
        report!(CONNECT, Connect, 0);
        report!(REPORT, Report, 0);

        let mut again = false;
        if socket.flags.contains(Flags::READING | Flags::READABLE)
            && !socket.flags.intersects(Flags::ENDED)
        {
            if records.is_full() {
                return Turn::Stop(Stop::Full);
            }
            let waiting = tcp.recv_queue(id).unwrap_or(0).min(MAX_CHUNK);
            let share = if waiting < SHARED_PIECE {
                Share::Copy(waiting)
            } else {
                share(tcp, memory, id, waiting)
            };
            match share {
                Share::Show => return Turn::Stop(Stop::Show),
                Share::Piece(slab, offset, len) => {
                    records.push(Kind::Data, handle, [slab, offset, len as i32]);
                    left.spend(len, len / UNCOPIED);
                    again = true;
                }
                Share::Copy(waiting) => {
                    let class = if waiting <= SMALL_CHUNK { Class::Small } else { Class::Bulk };
                    // One byte at least: receiving into nothing would not tell the end of the stream.
                    let want = waiting.max(1);
                    let Some(spare) = memory.spare(class, want) else {
                        return Turn::Stop(Stop::Memory(class));
                    };
                    let len = spare.len().min(MAX_CHUNK);
                    match tcp.recv(id, &mut spare[..len.min(want)]) {
                        Ok(0) => {
                            socket.flags.remove(Flags::READABLE);
                            socket.flags |= Flags::ENDED;
                            records.push(Kind::End, handle, [0; 3]);
                        }
                        Ok(len) => {
                            let (slab, offset) = memory.take(class, len);
                            records.push(Kind::Data, handle, [slab, offset, len as i32]);
                            left.spend(len, len);
                            // What comes behind (more data, the end, nothing) is for the next turn.
                            again = true;
                        }
                        Err(RecvError::WouldBlock | RecvError::NoSuchSocket) => {
                            socket.flags.remove(Flags::READABLE);
                        }
                        Err(RecvError::Connection(error)) => {
                            socket.flags.remove(Flags::READABLE);
                            socket.flags |= Flags::ERROR;
                            socket.errno = Errno::from(error).number();
                        }
                    }
                }
            }
        }

        report!(WRITABLE, Writable, 0);
        if socket.flags.contains(Flags::FLUSHED) {
            report!(FLUSHED, Flushed, 0);
            socket.flags |= Flags::TOLD_FLUSHED;
            socket.flags.remove(Flags::OWES_FLUSHED);
        }
        if again {
            return Turn::Again;
        }
        if !socket.flags.intersects(Flags::ERROR | Flags::CLOSED) {
            return Turn::Done;
        }
        // What came before the end is still to be read. `set_reading` puts it back into the queue.
        if !socket.flags.contains(Flags::RELEASED) && has_unread(tcp, id, socket) {
            // A writer that waits for room is not to wait for the reader: its next write tells it of the error.
            if socket.flags.contains(Flags::ERROR) && !socket.flags.contains(Flags::HINTED) {
                socket.flags |= Flags::WRITABLE | Flags::HINTED;
                report!(WRITABLE, Writable, 0);
            }
            return Turn::Done;
        }
        if socket.flags.contains(Flags::ERROR) {
            report!(ERROR, Error, -socket.errno);
            socket.flags |= Flags::CLOSED;
        }
        if socket.flags.contains(Flags::OWES_FLUSHED) {
            socket.flags |= Flags::FLUSHED;
            report!(FLUSHED, Flushed, 0);
            socket.flags.remove(Flags::OWES_FLUSHED);
        }
        let released = socket.flags.contains(Flags::RELEASED);
        report!(CLOSED, Closed, 0);
        self.sockets.remove(handle);
        if !released {
            tcp.release(id);
        }
        Turn::Done
    }
}

/// How what was received first goes to JavaScript.
enum Share {
    /// Uncopied: slab, offset and length.
    Piece(i32, i32, usize),
    /// Uncopied, once JavaScript sees its memory.
    Show,
    /// So many bytes, copied.
    Copy(usize),
}

/// Takes the first piece of what waits (`waiting` bytes), if JavaScript can have it uncopied.
fn share(tcp: &mut impl Tcp, memory: &mut impl Show, id: SocketId, waiting: usize) -> Share {
    // What is copied ends before a piece that need not be.
    let before = tcp.before_piece(id, waiting, &|piece| {
        (SHARED_PIECE..=MAX_CHUNK).contains(&piece.len()) && memory.can_show(piece)
    });
    if before > 0 {
        return Share::Copy(before);
    }
    let mut sight = Sight::Hidden;
    let taken = tcp.take_piece(id, &mut |piece| {
        sight = memory.sight(piece);
        sight == Sight::Seen
    });
    match (taken, sight) {
        (Some(piece), _) => {
            let len = piece.len();
            let (slab, offset) = memory.name(piece);
            Share::Piece(slab, offset, len)
        }
        (None, Sight::ToShow) => Share::Show,
        (None, _) => Share::Copy(waiting),
    }
}

/// Whether data or the end of the stream waits for JavaScript to read on.
fn has_unread(tcp: &mut impl Tcp, id: SocketId, socket: &mut Socket) -> bool {
    if socket.flags.intersects(Flags::ENDED | Flags::READING) {
        // Reading sockets get here only with nothing left.
        return false;
    }
    match tcp.recv_queue(id) {
        Ok(0) => {
            if socket.errno != 0 {
                return false;
            }
            // Nothing is queued, so this takes nothing; it tells whether the end was reached.
            match tcp.recv(id, &mut [0]) {
                Ok(_) => true,
                Err(RecvError::Connection(error)) => {
                    socket.flags |= Flags::ERROR;
                    socket.errno = Errno::from(error).number();
                    false
                }
                Err(_) => false,
            }
        }
        Ok(_) => true,
        Err(NoSuchSocket) => false,
    }
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
