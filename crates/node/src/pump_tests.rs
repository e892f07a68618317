//! The pump over a core of cardboard.

use std::collections::{HashMap, VecDeque};

use slotmap::SlotMap;

use super::*;

#[derive(Default)]
struct FakeSocket {
    queue: VecDeque<u8>,
    /// A piece in the device's memory that comes after the queue.
    piece: Option<Payload>,
    fin: bool,
    error: Option<ConnectionError>,
    released: bool,
}

#[derive(Default)]
struct Fake {
    events: VecDeque<Event>,
    sockets: HashMap<SocketId, FakeSocket>,
    waiting: HashMap<ListenerId, VecDeque<SocketId>>,
}

impl Fake {
    fn socket(&mut self, id: SocketId) -> &mut FakeSocket {
        self.sockets.entry(id).or_default()
    }

    fn receive(&mut self, id: SocketId, bytes: &[u8]) {
        self.socket(id).queue.extend(bytes);
        self.events.push_back(Event::Socket(id, Ready::READABLE));
    }

    fn ready(&mut self, id: SocketId, ready: Ready) {
        self.events.push_back(Event::Socket(id, ready));
    }

    fn fail(&mut self, id: SocketId, error: ConnectionError) {
        self.socket(id).error = Some(error);
        let all = Ready::ERROR | Ready::READABLE | Ready::WRITABLE | Ready::FLUSHED | Ready::CLOSED;
        self.ready(id, all);
    }
}

impl Tcp for Fake {
    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn recv_queue(&self, id: SocketId) -> Result<usize, NoSuchSocket> {
        let waiting = |s: &FakeSocket| s.queue.len() + s.piece.as_ref().map_or(0, |p| p.len());
        self.sockets.get(&id).map(waiting).ok_or(NoSuchSocket)
    }

    fn before_piece(&self, id: SocketId, limit: usize, wanted: &dyn Fn(&Payload) -> bool) -> usize {
        let Some(socket) = self.sockets.get(&id) else { return 0 };
        let piece = socket.piece.as_ref().filter(|piece| !wanted(piece));
        (socket.queue.len() + piece.map_or(0, |piece| piece.len())).min(limit)
    }

    fn take_piece(
        &mut self,
        id: SocketId,
        wanted: &mut dyn FnMut(&Payload) -> bool,
    ) -> Option<Payload> {
        let socket = self.sockets.get_mut(&id)?;
        if socket.queue.is_empty() { socket.piece.take_if(|piece| wanted(piece)) } else { None }
    }

    fn recv(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, RecvError> {
        let socket = self.sockets.get_mut(&id).ok_or(RecvError::NoSuchSocket)?;
        if let Some(piece) = socket.piece.take_if(|_| buf.len() > socket.queue.len()) {
            socket.queue.extend(&piece[..]);
        }
        if socket.queue.is_empty() {
            return match socket.error {
                Some(error) => Err(error.into()),
                None if socket.fin => Ok(0),
                None => Err(RecvError::WouldBlock),
            };
        }
        let n = socket.queue.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(socket.queue.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }

    fn error(&self, id: SocketId) -> Option<ConnectionError> {
        self.sockets.get(&id)?.error
    }

    fn accept(&mut self, id: ListenerId) -> Option<SocketId> {
        self.waiting.get_mut(&id)?.pop_front()
    }

    fn release(&mut self, id: SocketId) {
        self.socket(id).released = true;
    }
}

/// One slab of each class; a new one on request. Pieces keep their memory, whose number is its first byte.
struct Fakes {
    /// Which memory can be shown, and is.
    showable: bool,
    shown: Vec<u8>,
    to_show: Option<u8>,

    slabs: Vec<Vec<u8>>,
    small: Option<(usize, usize)>,
    bulk: Option<(usize, usize)>,
}

impl Fakes {
    fn new() -> Self {
        Self {
            showable: true,
            shown: Vec::new(),
            to_show: None,
            slabs: Vec::new(),
            small: None,
            bulk: None,
        }
    }

    fn provide(&mut self, class: Class) {
        self.slabs.push(vec![0; if class == Class::Small { 8192 } else { 1 << 20 }]);
        *self.current(class) = Some((self.slabs.len() - 1, 0));
    }

    fn current(&mut self, class: Class) -> &mut Option<(usize, usize)> {
        if class == Class::Small { &mut self.small } else { &mut self.bulk }
    }
}

impl Show for Fakes {
    fn can_show(&self, _piece: &Payload) -> bool {
        true
    }

    fn sight(&mut self, piece: &Payload) -> Sight {
        if self.shown.contains(&piece[0]) {
            return Sight::Seen;
        }
        if !self.showable {
            return Sight::Hidden;
        }
        self.to_show = Some(piece[0]);
        Sight::ToShow
    }

    fn name(&mut self, piece: Payload) -> (i32, i32) {
        (-i32::from(piece[0]), 0)
    }
}

impl Memory for Fakes {
    fn spare(&mut self, class: Class, len: usize) -> Option<&mut [u8]> {
        let (slab, used) = (*self.current(class))?;
        let spare = &mut self.slabs[slab][used..];
        (spare.len() >= len).then_some(spare)
    }

    fn take(&mut self, class: Class, len: usize) -> (i32, i32) {
        let current = self.current(class).as_mut().expect("spare was given");
        let at = (current.0 as i32, current.1 as i32);
        current.1 += len;
        at
    }
}

/// A pump, its core, and what JavaScript would have got.
struct Bench {
    keys: SlotMap<SocketId, ()>,
    fake: Fake,
    pump: Pump,
    memory: Fakes,
}

impl Bench {
    fn new() -> Self {
        Self {
            keys: SlotMap::with_key(),
            fake: Fake::default(),
            pump: Pump::new(0),
            memory: Fakes::new(),
        }
    }

    /// A connected socket: its key and number.
    fn socket(&mut self) -> (SocketId, f64) {
        let id = self.keys.insert(());
        self.fake.socket(id);
        (id, self.pump.add_socket(id).to_number())
    }

    /// A socket that JavaScript reads from.
    fn reading(&mut self) -> (SocketId, f64) {
        let (id, number) = self.socket();
        assert!(self.pump.set_reading(number, true));
        (id, number)
    }

    /// One drain: raw records, and whether there is more.
    fn drain(&mut self, capacity: usize, mut bytes: usize) -> (Vec<[i32; 6]>, bool) {
        let mut out = vec![0; capacity * RECORD_SIZE];
        let mut records = Records::new(&mut out);
        let more = loop {
            let stop = self.pump.run(&mut self.fake, &mut self.memory, &mut records, &mut bytes);
            match stop {
                Stop::Memory(class) => self.memory.provide(class),
                Stop::Show => self.memory.shown.extend(self.memory.to_show.take()),
                Stop::Hold if bytes > 0 => {}
                Stop::Hold | Stop::Full => break true,
                Stop::Idle => break false,
            }
        };
        let count = records.len();
        let records = out.chunks(RECORD_SIZE).take(count);
        (records.map(|r| r.try_into().expect("six")).collect(), more)
    }

    /// One drain without bounds: kind, number and first argument of each record.
    fn told(&mut self) -> Vec<(i32, f64, i32)> {
        let (records, more) = self.drain(10_000, 1 << 30);
        assert!(!more);
        records
            .iter()
            .map(|[kind, index, generation, a, ..]| {
                let handle = Handle { index: *index as u32, generation: *generation as u32 };
                (*kind, handle.to_number(), *a)
            })
            .collect()
    }

    fn kinds(&mut self) -> Vec<i32> {
        self.told().into_iter().map(|(kind, ..)| kind).collect()
    }

    fn bytes(&self, record: &[i32; 6]) -> &[u8] {
        let [_, _, _, slab, offset, len] = *record;
        &self.memory.slabs[slab as usize][offset as usize..][..len as usize]
    }
}

const DATA: i32 = Kind::Data as i32;
const END: i32 = Kind::End as i32;
const CONNECT: i32 = Kind::Connect as i32;
const REPORT: i32 = Kind::Report as i32;
const ERROR: i32 = Kind::Error as i32;
const WRITABLE: i32 = Kind::Writable as i32;
const ACCEPT: i32 = Kind::Accept as i32;
const FLUSHED: i32 = Kind::Flushed as i32;
const CLOSED: i32 = Kind::Closed as i32;

#[test]
fn data_comes_before_end_before_closed_although_all_was_known_at_once() {
    let mut b = Bench::new();
    let (id, _) = b.reading();
    b.fake.receive(id, b"abc");
    b.fake.socket(id).fin = true;
    b.fake.ready(id, Ready::CONNECTED | Ready::READABLE | Ready::CLOSED);
    assert_eq!(b.kinds(), [CONNECT, DATA, END, CLOSED]);
    assert!(b.fake.socket(id).released);
    assert_eq!(b.pump.len(), 0);
    assert_eq!(b.kinds(), []);
}

#[test]
fn queued_data_comes_before_an_error_and_only_closed_after_it() {
    let mut b = Bench::new();
    let (id, number) = b.reading();
    b.fake.receive(id, b"abc");
    b.fake.fail(id, ConnectionError::Reset);
    let told = b.told();
    assert_eq!(told.iter().map(|t| t.0).collect::<Vec<_>>(), [DATA, ERROR, CLOSED]);
    assert_eq!(told[1], (ERROR, number, -Errno::ECONNRESET.number()));
    assert!(told[1].2 > 0);
    assert!(!b.pump.set_reading(number, true), "stale");
}

#[test]
fn a_refused_connection_tells_error_and_closed_alone() {
    let mut b = Bench::new();
    let (id, _) = b.socket();
    b.fake.fail(id, ConnectionError::Refused);
    assert_eq!(b.kinds(), [ERROR, CLOSED]);
}

#[test]
fn a_report_is_told_whether_anybody_reads_and_never_after_letting_go() {
    let mut b = Bench::new();
    let (id, number) = b.socket();
    b.fake.receive(id, b"abc");
    b.fake.ready(id, Ready::REPORT);
    b.fake.ready(id, Ready::REPORT);
    assert_eq!(b.kinds(), [REPORT]);
    b.fake.ready(id, Ready::REPORT | Ready::CONNECTED);
    assert_eq!(b.kinds(), [CONNECT, REPORT]);
    b.fake.ready(id, Ready::REPORT);
    b.pump.release(number, false, false);
    assert_eq!(b.kinds(), []);
}

#[test]
fn a_socket_that_is_not_read_keeps_its_data_and_what_follows_it() {
    let mut b = Bench::new();
    let (id, number) = b.socket();
    b.fake.receive(id, &vec![1; 100_000]);
    b.fake.socket(id).fin = true;
    b.fake.ready(id, Ready::READABLE | Ready::CLOSED);
    assert_eq!(b.kinds(), []);
    assert_eq!(b.fake.socket(id).queue.len(), 100_000);
    assert!(b.pump.set_reading(number, true) && b.pump.has_work());
    assert_eq!(b.kinds(), [DATA, DATA, END, CLOSED]);
}

#[test]
fn a_writer_hears_of_an_error_that_waits_for_the_reader() {
    let mut b = Bench::new();
    let (id, number) = b.socket();
    b.fake.receive(id, b"abc");
    b.fake.fail(id, ConnectionError::Reset);
    assert_eq!(b.kinds(), [WRITABLE]);
    assert_eq!(b.kinds(), [], "once");
    b.pump.set_reading(number, true);
    assert_eq!(b.kinds(), [DATA, ERROR, CLOSED]);
}

#[test]
fn an_error_without_data_before_it_does_not_wait_for_the_reader() {
    let mut b = Bench::new();
    let (id, _) = b.socket();
    b.fake.fail(id, ConnectionError::TimedOut);
    assert_eq!(b.kinds(), [ERROR, CLOSED]);
}

#[test]
fn read_stop_in_the_middle_stops_data_at_once() {
    let mut b = Bench::new();
    let (id, number) = b.reading();
    b.fake.receive(id, &vec![7; 300_000]);
    let (records, more) = b.drain(2, 1 << 30);
    assert_eq!((records.len(), more), (2, true));
    b.pump.set_reading(number, false);
    assert_eq!(b.kinds(), []);
    assert_eq!(b.fake.socket(id).queue.len(), 300_000 - 2 * MAX_CHUNK);
    b.pump.set_reading(number, true);
    assert_eq!(b.kinds(), [DATA, DATA, DATA]);
    assert_eq!(b.fake.socket(id).queue.len(), 0);
}

#[test]
fn large_pieces_are_named_where_they_lie_and_what_is_before_them_is_copied() {
    let mut bench = Bench::new();
    let (id, _) = bench.reading();
    bench.fake.receive(id, &[1; 5000]);
    bench.fake.socket(id).piece = Some(Payload::from(vec![7; 50_000]));
    let (records, more) = bench.drain(10, 1 << 20);
    assert!(!more);
    assert_eq!(records.len(), 2);
    assert_eq!((records[0][0], bench.bytes(&records[0])), (DATA, &[1; 5000][..]));
    assert_eq!((records[1][0], &records[1][3..]), (DATA, &[-7, 0, 50_000][..]));
    // Seen already, nothing has to be shown; what is reported besides does not wait for the end of the data.
    bench.fake.socket(id).piece = Some(Payload::from(vec![7; 20_000]));
    bench.fake.ready(id, Ready::READABLE | Ready::WRITABLE);
    assert_eq!(bench.kinds(), [DATA, WRITABLE]);
}

#[test]
fn pieces_that_are_short_or_cannot_be_shown_are_copied() {
    let mut bench = Bench::new();
    let (id, _) = bench.reading();
    bench.fake.socket(id).piece = Some(Payload::from(vec![7; SHARED_PIECE - 1]));
    bench.fake.receive(id, &[2; 10]);
    let (records, _) = bench.drain(10, 1 << 20);
    assert_eq!((records.len(), records[0][5]), (1, SHARED_PIECE as i32 + 9));
    assert!(records[0][3] >= 0);
    bench.memory.showable = false;
    bench.fake.receive(id, &[]);
    bench.fake.socket(id).piece = Some(Payload::from(vec![8; 40_000]));
    let (records, _) = bench.drain(10, 1 << 20);
    assert_eq!((records.len(), bench.bytes(&records[0])), (1, &vec![8; 40_000][..]));
}

#[test]
fn a_drain_reports_no_more_bytes_than_asked_for_copied_or_not() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..10).map(|_| bench.reading().0).collect();
    for id in &ids {
        bench.fake.receive(*id, &[]);
        bench.fake.socket(*id).piece = Some(Payload::from(vec![3; 60_000]));
    }
    let (records, more) = bench.drain(100, 150_000);
    assert_eq!((records.len(), more), (3, true));
    let (records, more) = bench.drain(100, 1 << 20);
    assert_eq!((records.len(), more), (7, false));
}

#[test]
fn chunks_are_bounded_and_hold_the_bytes_in_order() {
    let mut b = Bench::new();
    let (id, _) = b.reading();
    let sent: Vec<u8> = (0..200_001u32).map(|i| (i * 7 / 3) as u8).collect();
    b.fake.receive(id, &sent);
    let (records, _) = b.drain(100, 1 << 30);
    let mut got = Vec::new();
    for record in &records {
        assert!(record[5] as usize <= MAX_CHUNK);
        got.extend_from_slice(b.bytes(record));
    }
    assert!(got == sent, "{} bytes", got.len());
}

#[test]
fn small_chunks_go_to_small_slabs() {
    let mut b = Bench::new();
    let (id, _) = b.reading();
    b.fake.receive(id, &[1; SMALL_CHUNK]);
    b.kinds();
    assert!(b.memory.small.is_some() && b.memory.bulk.is_none());
    b.fake.receive(id, &[1; SMALL_CHUNK + 1]);
    b.kinds();
    assert!(b.memory.bulk.is_some());
}

#[test]
fn sockets_take_turns() {
    let mut b = Bench::new();
    let (hog, hog_number) = b.reading();
    let (other, other_number) = b.reading();
    b.fake.receive(hog, &vec![1; 10 * MAX_CHUNK]);
    b.fake.receive(other, b"x");
    let (records, more) = b.drain(2, 1 << 30);
    assert!(more);
    let who: Vec<f64> = records.iter().map(|r| f64::from(r[1])).collect();
    assert_eq!(who, [hog_number, other_number]);
}

#[test]
fn a_drain_copies_no_more_than_it_may() {
    let mut b = Bench::new();
    let (id, _) = b.reading();
    b.fake.receive(id, &vec![1; 40 * MAX_CHUNK]);
    let (records, more) = b.drain(1000, 4 * MAX_CHUNK);
    assert_eq!((records.len(), more), (4, true));
    let (records, more) = b.drain(1000, 1 << 30);
    assert_eq!((records.len(), more), (36, false));
}

#[test]
fn nothing_is_lost_when_records_are_full() {
    let mut b = Bench::new();
    let (id, _) = b.reading();
    b.fake.receive(id, b"abc");
    b.fake.socket(id).fin = true;
    b.fake.ready(id, Ready::CONNECTED | Ready::WRITABLE | Ready::READABLE | Ready::CLOSED);
    let mut kinds = Vec::new();
    for _ in 0..8 {
        let (records, _) = b.drain(1, 1 << 30);
        kinds.extend(records.iter().map(|r| r[0]));
    }
    assert_eq!(kinds, [CONNECT, DATA, END, WRITABLE, CLOSED]);
}

#[test]
fn close_owes_flushed_and_closed_whether_they_come_from_the_core_or_not() {
    for (gone, ready) in [
        (false, Some(Ready::FLUSHED)),
        (false, None),
        (true, None),
        (false, Some(Ready::ERROR | Ready::WRITABLE)),
    ] {
        let mut b = Bench::new();
        let (id, number) = b.reading();
        b.fake.receive(id, b"unread");
        b.pump.release(number, true, gone);
        assert_eq!(b.pump.socket(number), None);
        assert!(!b.pump.set_reading(number, true));
        if let Some(ready) = ready {
            b.fake.ready(id, ready);
        }
        if !gone {
            b.fake.ready(id, Ready::CLOSED | Ready::READABLE);
        }
        assert_eq!(b.kinds(), [FLUSHED, CLOSED], "gone {gone}, {ready:?}");
        assert_eq!(b.pump.len(), 0);
    }
}

#[test]
fn flushed_is_told_once_and_only_after_the_fin_was_asked_for() {
    let mut b = Bench::new();
    let (id, number) = b.socket();
    b.fake.ready(id, Ready::FLUSHED);
    assert_eq!(b.kinds(), []);
    b.pump.set_shut(number);
    b.fake.ready(id, Ready::FLUSHED);
    assert_eq!(b.kinds(), [FLUSHED]);
    b.pump.release(number, true, false);
    b.fake.ready(id, Ready::CLOSED);
    assert_eq!(b.kinds(), [CLOSED]);
}

#[test]
fn reset_tells_closed_alone_and_late_events_meet_nobody() {
    let mut b = Bench::new();
    let (id, number) = b.reading();
    b.fake.receive(id, b"unread");
    b.pump.release(number, false, true);
    assert_eq!(b.kinds(), [CLOSED]);
    b.fake.ready(id, Ready::FLUSHED | Ready::CLOSED);
    assert_eq!(b.kinds(), []);
}

#[test]
fn a_closed_socket_is_told_although_the_core_used_its_slot_again() {
    let mut b = Bench::new();
    let (id, number) = b.socket();
    b.pump.set_shut(number);
    b.pump.release(number, true, false);
    // Its last event waits in the core while the slot is given to another.
    b.fake.ready(id, Ready::FLUSHED | Ready::CLOSED);
    b.keys.remove(id);
    let (_, next) = b.socket();
    assert_eq!(b.kinds(), [FLUSHED, CLOSED]);
    assert_eq!(b.pump.sockets(), 1);
    assert!(b.pump.socket(next).is_some());
}

#[test]
fn closing_what_failed_meanwhile_is_closed_at_once() {
    let mut b = Bench::new();
    let (id, number) = b.socket();
    b.fake.receive(id, b"abc");
    b.fake.fail(id, ConnectionError::Reset);
    assert_eq!(b.kinds(), [WRITABLE]);
    b.pump.release(number, true, false);
    assert_eq!(b.kinds(), [FLUSHED, CLOSED]);
}

#[test]
fn accepted_sockets_are_read_from_the_start_and_tell_no_connect() {
    let mut b = Bench::new();
    let mut listeners = SlotMap::<ListenerId, ()>::with_key();
    let listener = listeners.insert(());
    let number = b.pump.add_listener(listener, None).to_number();
    let ids: Vec<_> = (0..3).map(|_| b.keys.insert(())).collect();
    for id in &ids[..2] {
        b.fake.socket(*id).queue.extend(b"early");
    }
    b.fake.waiting.insert(listener, ids.iter().copied().collect());
    b.fake.events.push_back(Event::Acceptable(listener));
    b.fake.ready(ids[0], Ready::CONNECTED | Ready::READABLE);
    let told = b.told();
    let kinds: Vec<_> = told.iter().map(|t| t.0).collect();
    assert_eq!(kinds, [ACCEPT, ACCEPT, ACCEPT, DATA, DATA], "without another event");
    assert!(told[..3].iter().all(|t| t.1 == number));
    b.fake.ready(ids[0], Ready::CONNECTED | Ready::READABLE);
    assert_eq!(b.kinds(), []);
    let third = f64::from(told[2].2);
    b.pump.set_reading(third, false);
    b.fake.receive(ids[2], b"late");
    assert_eq!(b.kinds(), [], "it can be stopped");
    b.pump.set_reading(third, true);
    assert_eq!(b.kinds(), [DATA]);
}

#[test]
fn accepting_is_bounded_by_records_and_goes_on() {
    let mut b = Bench::new();
    let mut listeners = SlotMap::<ListenerId, ()>::with_key();
    let listener = listeners.insert(());
    b.pump.add_listener(listener, None);
    let ids: VecDeque<_> = (0..200).map(|_| b.keys.insert(())).collect();
    b.fake.waiting.insert(listener, ids);
    b.fake.events.push_back(Event::Acceptable(listener));
    let (records, more) = b.drain(5, 1 << 30);
    assert_eq!((records.len(), more), (5, true));
    assert_eq!(b.kinds(), [ACCEPT; 195]);
}

#[test]
fn a_socket_reset_before_it_was_accepted_tells_so() {
    let mut b = Bench::new();
    let mut listeners = SlotMap::<ListenerId, ()>::with_key();
    let listener = listeners.insert(());
    b.pump.add_listener(listener, None);
    let id = b.keys.insert(());
    b.fake.fail(id, ConnectionError::Reset);
    b.fake.waiting.insert(listener, [id].into());
    b.fake.events.push_back(Event::Acceptable(listener));
    assert_eq!(b.kinds(), [ACCEPT, ERROR, CLOSED]);
}

#[test]
fn when_everything_fails_every_socket_is_told() {
    let mut b = Bench::new();
    let (_, first) = b.reading();
    let (_, second) = b.socket();
    b.pump.release(second, true, false);
    // As behind the lock of a shard that failed: every id is stale.
    b.fake.sockets.clear();
    b.pump.fail_all(Errno::EIO);
    let told = b.told();
    assert_eq!(told[0], (ERROR, first, -Errno::EIO.number()));
    assert_eq!(told.iter().map(|t| t.0).collect::<Vec<_>>(), [ERROR, CLOSED, FLUSHED, CLOSED]);
    assert_eq!(b.pump.len(), 0);
}
