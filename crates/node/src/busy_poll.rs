//! Whether the event loop looks for more packets before it goes to sleep, and for how long. Reads no clock: times are
//! arguments.

use std::time::{Duration, Instant};

/// For so long an [`adaptive`](BusyPoll::Adaptive) loop looks.
const WINDOW: Duration = Duration::from_micros(50);

/// What comes so soon after the last turn would have come within [`WINDOW`], had the loop not slept: waking it takes the rest.
const SOON: Duration = Duration::from_micros(100);

/// So many turns in a row have to come soon before the loop looks, so that one look in vain costs few turns little.
const IN_A_ROW: u8 = 8;

/// A turn that moved more is one of many or of long packets: throughput, which looking does not help.
const FEW_FRAMES: u64 = 2;
const FEW_BYTES: u64 = 4096;

/// What a turn was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// Frames received since the turn before it.
    pub(crate) frames: u64,
    /// Bytes received and sent since the turn before it.
    pub(crate) bytes: u64,
}

/// When a loop looks.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// For so long after each turn; zero: never.
    For(Duration),
    /// While what comes is little, and comes again so soon that a sleeping processor's wake-up would be most of the time.
    Adaptive {
        /// How many turns in a row came soon.
        soon: u8,
        /// When the last ended.
        last: Option<Instant>,
    },
}

/// When a loop looks for packets before it sleeps.
#[derive(Clone, Debug)]
pub(crate) struct BusyPoll {
    mode: Mode,
    /// For so long it looks before it sleeps next.
    window: Option<Duration>,
    /// How often it did.
    looks: u64,
}

impl BusyPoll {
    /// Looks for so long after each turn; zero: never.
    pub(crate) fn fixed(window: Duration) -> Self {
        Self { mode: Mode::For(window), window: None, looks: 0 }
    }

    /// Looks where what came lately says that it pays.
    pub(crate) fn adaptive() -> Self {
        Self { mode: Mode::Adaptive { soon: 0, last: None }, window: None, looks: 0 }
    }

    /// Whether it never looks.
    pub(crate) fn is_never(&self) -> bool {
        matches!(self.mode, Mode::For(window) if window.is_zero())
    }

    /// How often it looked.
    pub(crate) fn looks(&self) -> u64 {
        self.looks
    }

    /// A turn is over.
    pub(crate) fn turned(&mut self, turn: Turn) {
        self.window = match &mut self.mode {
            Mode::For(window) => (!window.is_zero()).then_some(*window),
            Mode::Adaptive { soon, last } => {
                let gap = last.map(|last| turn.began.saturating_duration_since(last));
                let few = turn.frames <= FEW_FRAMES && turn.bytes <= FEW_BYTES;
                *soon = match gap {
                    Some(gap) if few && gap <= SOON => soon.saturating_add(1).min(IN_A_ROW),
                    _ => 0,
                };
                *last = Some(turn.ended);
                (*soon == IN_A_ROW).then_some(WINDOW)
            }
        };
    }

    /// The loop is about to sleep: calls `look` if it is to look for more for so long, which says whether something came, or
    /// nothing if the loop does not sleep now.
    pub(crate) fn before_sleep(&mut self, look: impl FnOnce(Duration) -> Option<bool>) {
        let Some(came) = self.window.and_then(look) else { return };
        self.window = None;
        self.looks += 1;
        if let Mode::Adaptive { soon, .. } = &mut self.mode
            && !came
        {
            *soon = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of 5 us that begin so long after the one before, with so many frames and bytes; whether the loop looks after
    /// each. Something always comes then.
    fn turns(poll: &mut BusyPoll, start: &mut Instant, each: &[(u64, u64, u64)]) -> Vec<bool> {
        let looked = each.iter().map(|&(gap, frames, bytes)| {
            let began = *start + Duration::from_micros(gap);
            let ended = began + Duration::from_micros(5);
            *start = ended;
            poll.turned(Turn { began, ended, frames, bytes });
            let mut looked = false;
            poll.before_sleep(|_| {
                looked = true;
                Some(true)
            });
            looked
        });
        looked.collect()
    }

    /// A turn after which nothing comes.
    fn miss(poll: &mut BusyPoll, start: &mut Instant) {
        *start += Duration::from_micros(1);
        poll.turned(Turn { began: *start, ended: *start, frames: 1, bytes: 1 });
        let mut looked = false;
        poll.before_sleep(|_| {
            looked = true;
            Some(false)
        });
        assert!(looked);
    }

    #[test]
    fn a_fixed_time_follows_every_turn_once() {
        let (mut poll, mut at) = (BusyPoll::fixed(Duration::from_micros(70)), Instant::now());
        assert!(!poll.is_never());
        assert_eq!(turns(&mut poll, &mut at, &[(9000, 64, 1 << 20), (1, 1, 1)]), [true, true]);
        miss(&mut poll, &mut at);
        assert_eq!(turns(&mut poll, &mut at, &[(9000, 64, 1 << 20)]), [true]);
        poll.before_sleep(|_| unreachable!("no turn since"));
        assert_eq!(poll.looks(), 4);
    }

    #[test]
    fn a_loop_that_does_not_sleep_yet_looks_when_it_does() {
        let (mut poll, at) = (BusyPoll::fixed(Duration::from_micros(70)), Instant::now());
        poll.turned(Turn { began: at, ended: at, frames: 1, bytes: 1 });
        poll.before_sleep(|_| None);
        assert_eq!(poll.looks(), 0);
        poll.before_sleep(|window| {
            assert_eq!(window, Duration::from_micros(70));
            Some(true)
        });
        assert_eq!(poll.looks(), 1);
    }

    #[test]
    fn never_is_never() {
        let (mut poll, mut at) = (BusyPoll::fixed(Duration::ZERO), Instant::now());
        assert!(poll.is_never() && !BusyPoll::adaptive().is_never());
        assert_eq!(turns(&mut poll, &mut at, &[(1, 1, 1); 20]), [false; 20]);
    }

    #[test]
    fn adaptive_looks_after_enough_small_turns_that_came_soon() {
        let (mut poll, mut at) = (BusyPoll::adaptive(), Instant::now());
        let looked = turns(&mut poll, &mut at, &[(90, 1, 200); 12]);
        // The first has none before it.
        assert_eq!(looked.iter().position(|looked| *looked), Some(usize::from(IN_A_ROW)));
        assert!(looked[usize::from(IN_A_ROW)..].iter().all(|looked| *looked));
        miss(&mut poll, &mut at);
        let looked = turns(&mut poll, &mut at, &[(90, 1, 200); 8]);
        assert_eq!(looked, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn adaptive_leaves_off_when_turns_are_far_apart_or_large() {
        for other in [(101, 1, 200), (10, 3, 200), (10, 1, 4097)] {
            let (mut poll, mut at) = (BusyPoll::adaptive(), Instant::now());
            assert!(turns(&mut poll, &mut at, &[(10, 2, 4096); 9])[8]);
            assert_eq!(turns(&mut poll, &mut at, &[other]), [false], "{other:?}");
            assert_eq!(turns(&mut poll, &mut at, &[(10, 1, 200); 7]), [false; 7]);
        }
    }
}
