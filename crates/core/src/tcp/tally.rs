//! What loss recovery has to tell the stack's counters: it is without them, so it notes and the connection adds up.

use bitflags::bitflags;

use crate::lazy::blank;
use crate::stack::Stats;

bitflags! {
    /// What happened while one acknowledgement or timer was handled.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(super) struct Happened: u16 {
        /// Fast recovery began with SACK.
        const SACK_RECOVERY = 1 << 0;
        /// Fast recovery began without.
        const RENO_RECOVERY = 1 << 1;
        /// A recovery was taken back.
        const UNDO = 1 << 2;
        /// It was a fast recovery whose window was acknowledged.
        const FULL_UNDO = 1 << 3;
        /// It was a fast recovery in its course.
        const PARTIAL_UNDO = 1 << 4;
        /// D-SACKs told.
        const DSACK_UNDO = 1 << 5;
        /// It was a timeout.
        const LOSS_UNDO = 1 << 6;
        /// F-RTO told.
        const SPURIOUS_RTO = 1 << 7;
        /// A tail loss probe had repaired a loss.
        const PROBE_RECOVERY = 1 << 8;
        /// The peer took back what it had SACKed.
        const RENEGING = 1 << 9;
        /// The peer reported a duplicate.
        const DSACK = 1 << 10;
    }
}

/// What waits to be added to the stack's counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) happened: Happened,
    /// Retransmissions found to be lost.
    pub(super) lost_retransmissions: u32,
    /// Segments that arrived behind later ones.
    pub(super) reorderings: u32,
}

blank!(Tally);

impl Tally {
    /// Adds it up.
    pub(super) fn settle(self, stats: &mut Stats) {
        let Self { happened, lost_retransmissions, reorderings } = self;
        for (what, counter) in [
            (Happened::SACK_RECOVERY, &mut stats.tcp_sack_recovery),
            (Happened::RENO_RECOVERY, &mut stats.tcp_reno_recovery),
            (Happened::UNDO, &mut stats.tcp_undos),
            (Happened::FULL_UNDO, &mut stats.tcp_full_undo),
            (Happened::PARTIAL_UNDO, &mut stats.tcp_partial_undo),
            (Happened::DSACK_UNDO, &mut stats.tcp_dsack_undo),
            (Happened::LOSS_UNDO, &mut stats.tcp_loss_undo),
            (Happened::SPURIOUS_RTO, &mut stats.tcp_spurious_rtos),
            (Happened::PROBE_RECOVERY, &mut stats.tcp_loss_probe_recovery),
            (Happened::RENEGING, &mut stats.tcp_sack_reneging),
            (Happened::DSACK, &mut stats.tcp_dsack_recv),
        ] {
            *counter += u64::from(happened.contains(what));
        }
        stats.tcp_lost_retransmit += u64::from(lost_retransmissions);
        stats.tcp_sack_reorder += u64::from(reorderings);
    }
}
