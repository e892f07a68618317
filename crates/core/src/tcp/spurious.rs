//! Taking back a recovery that was not needed: nothing had been lost, but was late or came in another order (Eifel, RFC 3522
//! and 4015; D-SACK, RFC 3708; F-RTO, RFC 5682).

use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use super::recovery::Recovery;
use super::scoreboard::Delivered;
use super::send::{Ack, AckResult, Sender};
use super::tally::Happened;
use crate::time::Instant;

/// What is needed to take a recovery back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    /// SND.UNA when it began.
    pub(super) marker: SeqNumber,
    /// When the first retransmission was sent.
    pub(super) retransmitted_at: Option<Instant>,
    /// Bytes retransmitted, less those that D-SACKs called duplicates.
    pub(super) pending: u32,
}

/// Whether a timeout may have been spurious (F-RTO, RFC 5682).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frto {
    /// No, or nobody can tell.
    Off,
    /// Step 2: what the next acknowledgement says; the first segment, which ends at `until`, was sent again.
    First {
        /// See there.
        until: SeqNumber,
    },
    /// Step 3: that segment and no more was acknowledged, new data goes out, and the acknowledgement after that decides.
    Second,
}

/// Duplicates that the peer reports, and what was sent again and can have caused them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reports {
    /// Bytes sent again.
    pub(super) sent_again: u64,
    /// Bytes reported as duplicates.
    reported: u64,
    /// Until when further reports of this round trip say nothing new (RACK.dsack_round).
    round: Option<SeqNumber>,
}

impl Reports {
    /// None came.
    pub(super) const NONE: Self = Self { sent_again: 0, reported: 0, round: None };

    /// Whether a report of `len` bytes makes RACK more patient (RFC 8985 §6.2 step 4): once a round trip, and not beyond
    /// what was sent again, as in Linux: other duplicates are the network's doing, or lies.
    fn count(&mut self, len: u32, una: SeqNumber, nxt: SeqNumber) -> bool {
        if self.reported + u64::from(len) > self.sent_again {
            return false;
        }
        self.reported += u64::from(len);
        let news = self.round.is_none_or(|round| una.ge(round));
        if news {
            self.round = Some(nxt);
        }
        news
    }
}

impl Sender {
    /// F-RTO goes on (RFC 5682 §2.1, §3.1), after a timeout that no acknowledgement showed to be spurious yet.
    pub(super) fn look_for_spurious(&mut self, advanced: u32, duplicate: bool, sacked: u32) {
        let frto = match self.loss.frto {
            Frto::Off => Frto::Off,
            // Step 2a: a duplicate, or not all of what was sent again: it was needed, as far as can be told. With SACK the
            // blocks tell what has arrived, so that a duplicate decides nothing.
            Frto::First { until } if advanced == 0 => {
                if duplicate && !self.sack {
                    Frto::Off
                } else {
                    Frto::First { until }
                }
            }
            // Step 2b: that and something beyond it may still have been on its way: only what was never sent can tell.
            // Where there is no such thing, or no room for it, recovery goes on as ever.
            Frto::First { until } if self.una.ge(until) => {
                let room = self.wnd_end().ge(self.nxt + self.mss);
                let more = self.unsent() >= self.mss && room && self.board.lost() > 0;
                if more { Frto::Second } else { Frto::Off }
            }
            Frto::First { .. } => Frto::Off,
            // Step 3a: nothing but what was new arrived, so one more may go than did. (Step 3b takes the timeout back.)
            Frto::Second if duplicate || sacked > 0 || advanced > 0 => {
                self.loss.force_retransmit = true;
                Frto::Off
            }
            Frto::Second => Frto::Second,
        };
        if let Some(loss) = self.loss.live() {
            loss.frto = frto;
        }
    }

    /// Whether the recovery was for nothing, and if so, its end (RFC 4015 §3).
    pub(super) fn take_back(
        &mut self,
        now: Instant,
        a: &Ack<'_>,
        advanced: u32,
        dsack: Option<SackBlock>,
        delivered: &Delivered,
        result: &mut AckResult,
    ) {
        if let Some((left, right)) = dsack
            && let Some(loss) = self.loss.live()
            && loss.reports.count(right.since(left), self.una, self.nxt)
        {
            self.board.widen_reo_wnd();
        }
        let repairing = self.is_repairing();
        let Some(undo) = self.loss.live().and_then(|loss| loss.undo.as_mut()) else { return };
        // Eifel (RFC 3522 §3.2): the acknowledgement echoes a transmission from before the first retransmission. The clock
        // of the echo ticks milliseconds.
        let echoes_original = advanced > 0
            && repairing
            && match (undo.retransmitted_at, a.timestamp_rtt) {
                (Some(at), Some(age)) => {
                    now.as_millis().saturating_sub(age.as_millis() as u64) < at.as_millis()
                }
                _ => false,
            };
        // D-SACK (RFC 3708 §2): every retransmission arrived twice.
        let mut all_duplicates = false;
        if let Some((left, right)) = dsack
            && left.ge(undo.marker)
            && undo.pending > 0
        {
            undo.pending = undo.pending.saturating_sub(right.since(left));
            all_duplicates = undo.pending == 0;
        }
        // F-RTO: after the timeout something arrived that was sent once only, before it. With SACK that is seen at once
        // (RFC 5682 §3.1 step 3b); without, it may have lain there for long, and only the acknowledgement after new data
        // tells (§2.1 step 3b).
        let original_arrived = match (self.loss.recovery, self.loss.frto) {
            (_, Frto::Off) => false,
            (Recovery::Timeout { high }, _) if self.sack => {
                delivered.original_start.is_some_and(|start| start.lt(high))
            }
            (Recovery::Timeout { .. }, Frto::Second) => advanced > 0,
            _ => false,
        };
        if !(echoes_original || all_duplicates || original_arrived) {
            return;
        }
        // Under the names, and by the distinctions, of Linux's counters.
        let which = match self.loss.recovery {
            Recovery::Timeout { .. } if original_arrived => {
                Happened::LOSS_UNDO | Happened::SPURIOUS_RTO
            }
            Recovery::Timeout { .. } => Happened::LOSS_UNDO,
            Recovery::Fast { high } if echoes_original && self.una.ge(high) => Happened::FULL_UNDO,
            Recovery::Fast { .. } if echoes_original => Happened::PARTIAL_UNDO,
            _ => Happened::DSACK_UNDO,
        };
        self.tally.happened |= Happened::UNDO | which;
        let loss = &mut *self.loss;
        loss.undo = None;
        loss.prr = None;
        loss.frto = Frto::Off;
        loss.force_retransmit = false;
        loss.recovery = Recovery::Open;
        loss.reno_sacked = 0;
        self.board.unmark_lost();
        self.cc.undo(now);
        if result.recovery != Some(true) {
            result.recovery = Some(false);
        }
    }
}

/// The duplicate that the first block reports (RFC 2883 §4): it lies below the cumulative acknowledgement, or within the
/// second block.
pub(super) fn duplicate_report(blocks: &[SackBlock], una: SeqNumber) -> Option<SackBlock> {
    let &(left, right) = blocks.first()?;
    if !left.lt(right) {
        return None;
    }
    let within_second =
        blocks.get(1).is_some_and(|&(l, r)| l.le(left) && right.le(r) && left.ge(una));
    (right.le(una) || within_second).then_some((left, right))
}
