//! The user timeout option (RFC 5482): each end tells the other how long it is ready to wait, so that both give up at about
//! the same time. Off unless asked for (§3.1, ENABLED). What the peer says counts only while the application has set no
//! timeout of its own (§3.1, CHANGEABLE), and within limits (§3.1, §6: it must not hold our memory for ever, nor end the
//! connection at the first outage).

use std::sync::Arc;

use usernet_wire::tcp::{Options, user_timeout_option, user_timeout_seconds};

use super::connection::Connection;
use crate::lazy::blank;
use crate::time::Duration;

/// The least that a peer can make of our timeout (L_LIMIT): RFC 1122 §4.2.3.5 wants R2 to be 100 s at least.
const LEAST: Duration = Duration::from_secs(100);

/// The most (U_LIMIT): an hour of memory for a peer that is gone.
const MOST: Duration = Duration::from_secs(3600);

/// What a connection keeps of it.
#[derive(Debug)]
pub(super) struct UserTimeout {
    /// What the peer made of ours; while this is what is in force, the application has set none.
    adopted: Option<Duration>,
    /// What the peer was told, as the option has it.
    told: Option<u16>,
    /// It is to be told something else.
    due: bool,
}

blank!(UserTimeout = UserTimeout { adopted: None, told: None, due: false });

impl UserTimeout {
    /// Whether a segment is to go out for it.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }
}

impl Connection {
    /// What there is to tell (ADV_UTO): our own timeout, never one that the peer gave us.
    fn advertised_user_timeout(&self) -> Option<u16> {
        let own = self.options.user_timeout.filter(|t| Some(*t) != self.user_timeout.adopted);
        let own = own.filter(|_| self.options.user_timeout_option)?;
        user_timeout_option(own.as_millis().div_ceil(1000) as u64)
    }

    /// The option of a SYN or SYN-ACK (§4.1), if there is room beside its others; where there is none, it follows later.
    pub(super) fn user_timeout_on_syn(&mut self, others: &Options) -> Option<u16> {
        let raw = self.advertised_user_timeout()?;
        let with = Options { user_timeout: Some(raw), ..others.clone() };
        let fits = with.len() > others.len();
        self.user_timeout.told = Some(raw).filter(|_| fits);
        self.user_timeout.due = !fits;
        self.user_timeout.told
    }

    /// The option of a segment without data, when the peer is to hear of a change (§4.1).
    pub(super) fn tell_user_timeout(&mut self) -> Option<u16> {
        if !self.user_timeout.live().is_some_and(|timeout| std::mem::take(&mut timeout.due)) {
            return None;
        }
        self.user_timeout.told = self.advertised_user_timeout();
        self.user_timeout.told
    }

    /// The application may have set another.
    pub(super) fn user_timeout_changed(&mut self) {
        let raw = self.advertised_user_timeout();
        let due = raw.is_some() && raw != self.user_timeout.told && self.state.acks().is_some();
        if due || self.user_timeout.is_live() {
            self.user_timeout.due = due;
        }
    }

    /// The peer tells of its own (REMOTE_UTO): ours becomes as long, within the limits.
    pub(super) fn take_user_timeout(&mut self, raw: u16) {
        let free = self.options.user_timeout == self.user_timeout.adopted;
        if !self.options.user_timeout_option || !free {
            return;
        }
        let remote = Duration::from_secs(user_timeout_seconds(raw).into());
        let adopted = Some(remote.clamp(LEAST, MOST));
        if self.options.user_timeout != adopted {
            Arc::make_mut(&mut self.options).user_timeout = adopted;
        }
        self.user_timeout.adopted = adopted;
    }
}
