//! Links: what each direction of one does to packets, and when.

use usernet_core::{Duration, Instant};

pub use crate::codel::CoDel;
use crate::codel::{self, Queue};
use crate::packet::{DropReason, Frame};
use crate::rewrite;
use crate::rng::{Purpose, Rng};
use crate::{Error, NodeId};

/// Names a link of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub(crate) u32);

/// How packets are lost on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Loss {
    /// They are not.
    #[default]
    None,
    /// Each with this probability, whatever happened to others.
    Uniform(f64),
    /// In bursts: a chain of two states, one step per packet (Gilbert 1960, Elliott 1963).
    GilbertElliott {
        /// Probability of going from good to bad.
        to_bad: f64,
        /// Probability of going from bad to good; its inverse is the mean length of a burst, packets.
        to_good: f64,
        /// Probability of loss while good.
        loss_good: f64,
        /// Probability of loss while bad.
        loss_bad: f64,
    },
}

/// How a queue that a rate fills is kept short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Discipline {
    /// What does not fit is dropped, nothing else.
    #[default]
    DropTail,
    /// CoDel drops from the head (RFC 8289); what does not fit is dropped too.
    CoDel(CoDel),
}

/// Settings of one direction of a link. All of them can be changed while the network runs.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// Whether it carries anything. What is on it when it goes down is lost.
    pub up: bool,
    /// Time on the wire.
    pub delay: Duration,
    /// Time added to `delay`, drawn evenly between zero and this for each packet. It changes no order: a packet arrives
    /// no earlier than those before it.
    pub jitter: Duration,
    /// Bits per second of whole IP packets, at least 1; `None` sends them in no time.
    pub rate: Option<u64>,
    /// Bytes that wait for the rate at most; a packet that would make it more is dropped. Unused without a rate.
    pub queue: usize,
    /// How the queue is kept short.
    pub discipline: Discipline,
    /// Loss on the wire, after the queue: a lost packet has taken its time there.
    pub loss: Loss,
    /// Probability that a packet arrives twice, 0-1.
    pub duplicate: f64,
    /// Probability that a packet is held back so that later ones overtake it, 0-1.
    pub reorder: f64,
    /// How long such a packet is held back at most; the time is drawn evenly between zero and this.
    pub reorder_by: Duration,
    /// Probability that an ECN-capable packet is marked as having met congestion (RFC 3168 §5), 0-1.
    pub mark: f64,
    /// Probability that one bit of a packet, at any place, is flipped, 0-1.
    pub corrupt: f64,
    /// Largest IP packet that fits, bytes, 68-65535; larger ones are dropped. A host takes the MTU of its interface from
    /// its first link when it is linked; changing it here later is not told to hosts (routers do tell, by ICMP).
    pub mtu: u16,
}

impl Default for LinkConfig {
    /// Up, perfect, without delay, of endless rate, with an MTU of 1500.
    fn default() -> Self {
        Self {
            up: true,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: 256 << 10,
            discipline: Discipline::DropTail,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(10),
            mark: 0.0,
            corrupt: 0.0,
            mtu: 1500,
        }
    }
}

impl LinkConfig {
    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first that is not.
    pub fn validate(&self) -> Result<(), Error> {
        let mut chances = vec![
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("mark", self.mark),
            ("corrupt", self.corrupt),
        ];
        match self.loss {
            Loss::None => {}
            Loss::Uniform(p) => chances.push(("loss", p)),
            Loss::GilbertElliott { to_bad, to_good, loss_good, loss_bad } => chances.extend([
                ("loss.to_bad", to_bad),
                ("loss.to_good", to_good),
                ("loss.loss_good", loss_good),
                ("loss.loss_bad", loss_bad),
            ]),
        }
        for (setting, value) in chances {
            if !(0.0..=1.0).contains(&value) {
                let range = "a probability from 0 to 1";
                return Err(Error::InvalidSetting { setting, value, range });
            }
        }
        if self.rate == Some(0) {
            let range = "at least 1 bit/s (take the link down to stop it)";
            return Err(Error::InvalidSetting { setting: "rate", value: 0.0, range });
        }
        if self.mtu < 68 {
            let (value, range) = (f64::from(self.mtu), "68 to 65535 bytes");
            return Err(Error::InvalidSetting { setting: "mtu", value, range });
        }
        Ok(())
    }
}

/// What one direction of a link did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets put on it.
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Packets that came out at the other end, second ones included.
    pub delivered: u64,
    /// Bytes of them.
    pub delivered_bytes: u64,
    /// Packets that did not, whatever the reason; holding by a rule is no such reason.
    pub dropped: u64,
    /// Packets that were doubled.
    pub duplicated: u64,
    /// Packets that were held back for others to overtake.
    pub reordered: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets marked as having met congestion.
    pub marked: u64,
}

/// A link: two nodes, two directions.
#[derive(Debug)]
pub(crate) struct Link {
    /// The nodes at its ends: direction 0 goes from the first to the second, direction 1 back.
    pub(crate) ends: [NodeId; 2],
    pub(crate) pipes: [Pipe; 2],
}

impl Link {
    pub(crate) fn new(seed: u64, id: LinkId, ends: [NodeId; 2], configs: [LinkConfig; 2]) -> Self {
        let mut direction = 0;
        let pipes = configs.map(|config| {
            direction += 1;
            Pipe::new(config, Rng::new(seed, Purpose::Link, u64::from(id.0) * 2 + direction))
        });
        Self { ends, pipes }
    }
}

/// What the wire does with one packet.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    pub(crate) corrupted: bool,
    pub(crate) reordered: bool,
    /// When the packet arrives.
    pub(crate) arrival: Instant,
    /// When the second one arrives, if there is one.
    pub(crate) duplicate: Option<Instant>,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) config: LinkConfig,
    pub(crate) stats: LinkStats,
    /// How often it went down.
    pub(crate) epoch: u32,
    rng: Rng,
    /// Gilbert-Elliott: whether the chain is in the bad state.
    bad: bool,
    /// Packets that wait for the one on the transmitter.
    queue: Queue,
    codel: codel::State,
    /// The packet on the transmitter.
    sending: Option<Frame>,
    /// When the last packet in order arrives.
    last_arrival: Instant,
}

impl Pipe {
    fn new(config: LinkConfig, rng: Rng) -> Self {
        Self {
            config,
            stats: LinkStats::default(),
            epoch: 0,
            rng,
            bad: false,
            queue: Queue::default(),
            codel: codel::State::default(),
            sending: None,
            last_arrival: Instant::ZERO,
        }
    }

    /// Packets in the queue and on the transmitter.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + usize::from(self.sending.is_some())
    }

    /// Takes new settings, valid ones.
    pub(crate) fn configure(&mut self, config: LinkConfig) {
        if self.config.up && !config.up {
            self.epoch += 1;
        }
        self.config = config;
    }

    /// Whether a packet may enter at all.
    pub(crate) fn admit(&self, frame: &Frame) -> Result<(), DropReason> {
        if !self.config.up {
            return Err(DropReason::LinkDown);
        }
        if frame.bytes.len() > usize::from(self.config.mtu) {
            return Err(DropReason::TooBig);
        }
        Ok(())
    }

    /// Puts a packet before the transmitter of a link that has a rate; gives it back when the queue is full. When the
    /// transmitter is free it starts at once, and the time it is done is given.
    pub(crate) fn enqueue(
        &mut self,
        now: Instant,
        mut frame: Frame,
    ) -> Result<Option<Instant>, Frame> {
        frame.queued_at = now;
        if self.sending.is_none() {
            return Ok(Some(self.start(now, frame)));
        }
        if self.queue.bytes + frame.bytes.len() > self.config.queue {
            return Err(frame);
        }
        self.queue.push(frame);
        Ok(None)
    }

    /// The transmitter is done: the packet it sent, and when it is done with the next one, if any waits. What CoDel takes
    /// out goes to `dropped`.
    pub(crate) fn transmitted(
        &mut self,
        now: Instant,
        dropped: &mut Vec<Frame>,
    ) -> (Option<Frame>, Option<Instant>) {
        let sent = self.sending.take();
        let next = match self.config.discipline {
            Discipline::DropTail => self.queue.pop(),
            Discipline::CoDel(settings) => {
                let mtu = usize::from(self.config.mtu);
                let next = self.codel.dequeue(settings, now, mtu, &mut self.queue, dropped);
                self.stats.marked += std::mem::take(&mut self.codel.marked);
                next
            }
        };
        (sent, next.map(|frame| self.start(now, frame)))
    }

    fn start(&mut self, now: Instant, frame: Frame) -> Instant {
        let bits = frame.bytes.len() as u128 * 8;
        // The rate may have been taken away while packets waited: then they go in no time.
        let nanos = self.config.rate.map_or(0, |r| bits * 1_000_000_000 / u128::from(r.max(1)));
        self.sending = Some(frame);
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Draws what the wire does with a packet that leaves the transmitter now, and flips its bit.
    pub(crate) fn wire(&mut self, now: Instant, frame: &mut Frame) -> Fate {
        let mut fate = Fate::default();
        if self.draw_loss() {
            fate.lost = true;
            return fate;
        }
        // Drawn only where it can happen: the sequence of the other draws stays what it was.
        if self.config.mark > 0.0
            && self.rng.chance(self.config.mark)
            && rewrite::mark_congestion(&mut frame.bytes)
        {
            self.stats.marked += 1;
        }
        if self.rng.chance(self.config.corrupt) && !frame.bytes.is_empty() {
            let bit = self.rng.below(frame.bytes.len() as u64 * 8);
            frame.bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            fate.corrupted = true;
            self.stats.corrupted += 1;
        }
        let duplicate = self.rng.chance(self.config.duplicate);
        (fate.arrival, fate.reordered) = self.draw_arrival(now);
        if duplicate {
            fate.duplicate = Some(self.draw_arrival(now).0);
            self.stats.duplicated += 1;
        }
        fate
    }

    fn draw_loss(&mut self) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::Uniform(p) => self.rng.chance(p),
            Loss::GilbertElliott { to_bad, to_good, loss_good, loss_bad } => {
                let change = if self.bad { to_good } else { to_bad };
                self.bad ^= self.rng.chance(change);
                self.rng.chance(if self.bad { loss_bad } else { loss_good })
            }
        }
    }

    fn draw_arrival(&mut self, now: Instant) -> (Instant, bool) {
        let on_time = now + self.config.delay + self.rng.up_to(self.config.jitter);
        let in_order = on_time.max(self.last_arrival);
        if self.rng.chance(self.config.reorder) {
            self.stats.reordered += 1;
            return (in_order + self.rng.up_to(self.config.reorder_by), true);
        }
        self.last_arrival = in_order;
        (in_order, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(config: LinkConfig) -> Pipe {
        config.validate().unwrap();
        Pipe::new(config, Rng::new(1, Purpose::Link, 1))
    }

    fn frame(id: u64, len: usize) -> Frame {
        let queued_at = Instant::ZERO;
        Frame { id, bytes: vec![0; len], origin: NodeId(0), epoch: 0, queued_at }
    }

    /// Sends `n` packets of 1,000 bytes through the wire at once and gives what became of each.
    fn fates(config: LinkConfig, n: u64) -> Vec<Fate> {
        let mut pipe = pipe(config);
        (0..n).map(|id| pipe.wire(Instant::ZERO, &mut frame(id, 1000))).collect()
    }

    #[test]
    fn probabilities_hold() {
        let config = LinkConfig {
            loss: Loss::Uniform(0.1),
            duplicate: 0.05,
            reorder: 0.2,
            corrupt: 0.01,
            ..LinkConfig::default()
        };
        let fates = fates(config, 20_000);
        let count = |test: fn(&Fate) -> bool| fates.iter().filter(|fate| test(fate)).count();
        assert!((1_800..2_200).contains(&count(|f| f.lost)));
        assert!((800..1_000).contains(&count(|f| f.duplicate.is_some())));
        assert!((3_400..3_800).contains(&count(|f| f.reordered)));
        assert!((140..220).contains(&count(|f| f.corrupted)));
    }

    #[test]
    fn gilbert_elliott_loses_in_bursts() {
        let loss =
            Loss::GilbertElliott { to_bad: 0.01, to_good: 0.2, loss_good: 0.0, loss_bad: 1.0 };
        let fates = fates(LinkConfig { loss, ..LinkConfig::default() }, 100_000);
        let lost = fates.iter().filter(|f| f.lost).count();
        let bursts = fates.windows(2).filter(|w| !w[0].lost && w[1].lost).count();
        // In the long run 0.01 / 0.21 of the time is bad, in bursts of five.
        assert!((4_200..5_300).contains(&lost), "{lost}");
        let mean = lost as f64 / bursts as f64;
        assert!((4.5..5.5).contains(&mean), "{mean}");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Duration::from_millis(5);
        let steady = LinkConfig { jitter, ..LinkConfig::default() };
        let times: Vec<_> = fates(steady.clone(), 1_000).iter().map(|f| f.arrival).collect();
        assert!(times.is_sorted());
        assert!(*times.last().unwrap() > Instant::ZERO + jitter / 2);
        assert!(*times.last().unwrap() <= Instant::ZERO + jitter);
        let times: Vec<_> =
            fates(LinkConfig { reorder: 0.1, ..steady }, 1_000).iter().map(|f| f.arrival).collect();
        assert!(!times.is_sorted());
    }

    #[test]
    fn corruption_flips_one_bit() {
        let mut pipe = pipe(LinkConfig { corrupt: 1.0, ..LinkConfig::default() });
        for id in 0..100 {
            let mut frame = frame(id, 40);
            pipe.wire(Instant::ZERO, &mut frame);
            assert_eq!(frame.bytes.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
        }
    }

    #[test]
    fn rate_and_queue_are_kept() {
        // 1,000 bytes take 1 ms at 8 Mbit/s.
        let config = LinkConfig { rate: Some(8_000_000), queue: 2_500, ..LinkConfig::default() };
        let mut pipe = pipe(config);
        let now = Instant::ZERO;
        assert_eq!(pipe.enqueue(now, frame(1, 1000)).unwrap(), Some(Instant::from_millis(1)));
        assert_eq!(pipe.enqueue(now, frame(2, 1000)).unwrap(), None);
        assert_eq!(pipe.enqueue(now, frame(3, 1000)).unwrap(), None);
        assert_eq!(pipe.enqueue(now, frame(4, 1000)).unwrap_err().id, 4);
        assert_eq!(pipe.enqueue(now, frame(5, 500)).unwrap(), None);
        assert_eq!(pipe.waiting(), 4);
        let mut dropped = Vec::new();
        let mut now = Instant::from_millis(1);
        for (id, next) in [(1, Some(2000)), (2, Some(3000)), (3, Some(3500)), (5, None)] {
            let (sent, at) = pipe.transmitted(now, &mut dropped);
            assert_eq!(sent.map(|f| f.id), Some(id));
            assert_eq!(at, next.map(Instant::from_micros));
            now = at.unwrap_or(now);
        }
        assert!(dropped.is_empty());
    }

    /// Keeps a link of 8 Mbit/s full with 1.1 times as much and gives its longest queueing delay in the last two
    /// seconds of ten.
    fn standing_delay(discipline: Discipline) -> Duration {
        let rate = Some(8_000_000);
        let mut pipe = pipe(LinkConfig { rate, discipline, ..LinkConfig::default() });
        let (mut done, mut longest) = (None, Duration::ZERO);
        let mut dropped = Vec::new();
        for n in 0..11_000 {
            let now = Instant::from_micros(n * 909);
            while let Some(at) = done.filter(|at| *at <= now) {
                let (sent, next) = pipe.transmitted(at, &mut dropped);
                if at > Instant::from_millis(8_000) {
                    longest = longest.max(at.since(sent.unwrap().queued_at));
                }
                done = next;
            }
            done = pipe.enqueue(now, frame(n, 1000)).unwrap_or(None).or(done);
        }
        longest
    }

    #[test]
    fn codel_keeps_the_queue_short() {
        let tail = standing_delay(Discipline::DropTail);
        let codel = standing_delay(Discipline::CoDel(CoDel::default()));
        // 256 KiB at 8 Mbit/s.
        assert!(tail > Duration::from_millis(250), "{tail:?}");
        assert!(codel < Duration::from_millis(130), "{codel:?}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let default = LinkConfig::default();
        for bad in [
            LinkConfig { duplicate: 1.1, ..default.clone() },
            LinkConfig { reorder: -0.1, ..default.clone() },
            LinkConfig { corrupt: f64::NAN, ..default.clone() },
            LinkConfig { loss: Loss::Uniform(2.0), ..default.clone() },
            LinkConfig { rate: Some(0), ..default.clone() },
            LinkConfig { mtu: 67, ..default.clone() },
        ] {
            let error = bad.validate().unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { .. }), "{bad:?}");
        }
        let text = LinkConfig { rate: Some(0), ..default }.validate().unwrap_err().to_string();
        assert_eq!(text, "rate is 0: it must be at least 1 bit/s (take the link down to stop it)");
    }
}
