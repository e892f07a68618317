//! Fast Open as a server (RFC 7413 §4.1.2, §4.2.2, §5.1): what a SYN is granted, and how many connections exchange data
//! before their handshake is over.

use std::collections::VecDeque;
use std::net::IpAddr;

use slotmap::Key;

use super::{Queued, Stack};
use crate::config::{FastOpen, FastOpenKeys};
use crate::error::{ConnectionError, NoSuchSocket};
use crate::event::{ListenerId, SocketId};
use crate::tcp::{Grant, Segment, StateName, Tuple, Worth};
use crate::time::{Duration, Instant};

/// How long a connection that was reset before its handshake was over still counts (RFC 7413 §5.1): its SYN's address
/// may have been forged.
const RESET_COUNTS_FOR: Duration = Duration::from_secs(60);

/// Connections of a listener, or of accepted flows, that are open before their handshake is over.
#[derive(Debug, Default)]
pub(super) struct FastOpenCount {
    pending: u32,
    /// When each of those that were reset stops to count; at most as many as the listener's cap.
    reset: VecDeque<Instant>,
}

impl FastOpenCount {
    fn is_full(&mut self, now: Instant, cap: u32) -> bool {
        while self.reset.front().is_some_and(|until| *until <= now) {
            self.reset.pop_front();
        }
        self.pending as usize + self.reset.len() >= cap as usize
    }
}

impl Stack {
    /// Where those are counted that a listener granted, or (null) accepted flows.
    fn fast_open_count(&mut self, of: ListenerId) -> Option<&mut FastOpenCount> {
        if of.is_null() {
            return Some(&mut self.flows.fast_open);
        }
        self.listeners.get_mut(of).map(|listener| &mut listener.fast_open)
    }

    /// What a listener, or (null) an accepted flow, with these options grants a SYN.
    pub(super) fn fast_open_grant(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        syn: &Segment,
        options: FastOpen,
        of: ListenerId,
    ) -> Grant {
        let shown = syn.header.options.fast_open.as_ref();
        let without = options.accept_without_cookie && !syn.payload.is_empty();
        if options.queue == 0 || (shown.is_none() && !without) {
            return Grant::default();
        }
        let requested = shown.is_some_and(|cookie| cookie.is_empty());
        self.stats.fast_open_cookie_reqd += u64::from(requested);
        let Some(count) = self.fast_open_count(of) else { return Grant::default() };
        if count.is_full(now, options.queue) {
            // RFC 7413 §5.1: an ordinary handshake.
            self.stats.fast_open_listen_overflow += 1;
            return Grant::default();
        }
        let (client, server) = (tuple.remote, tuple.local);
        let worth = match shown {
            _ if without => Worth::Valid,
            Some(cookie) if !requested => self.cookie_keys.check(now, client, server, cookie),
            _ => Worth::Invalid,
        };
        match worth {
            Worth::Valid => return Grant { open: true, cookie: None },
            Worth::Old => self.stats.fast_open_passive_alt_key += 1,
            Worth::Invalid => self.stats.fast_open_passive_fail += u64::from(!requested),
        }
        // Whoever has none that counts for long gets one; its data is left to be sent again (§4.1.2).
        let cookie = self.cookie_keys.cookie(now, client, server);
        let experimental = syn.header.options.fast_open_experimental;
        Grant { open: worth == Worth::Old, cookie: Some((cookie, experimental)) }
    }

    /// A connection with data on its SYN can be accepted at once.
    pub(super) fn fast_open_accepted(&mut self, id: SocketId, of: ListenerId) {
        if let Some(count) = self.fast_open_count(of) {
            count.pending += 1;
        }
        let Some(listener) = self.listeners.get_mut(of) else { return };
        listener.queue.push_back(id);
        if !listener.event_queued {
            listener.event_queued = true;
            self.events.push_back(Queued::Listener(of));
        }
    }

    /// The handshake of a connection that was open before is over, or failed: it counts no more, or for a while.
    pub(super) fn settle_fast_open(&mut self, now: Instant, id: SocketId) {
        let Some(conn) = self.connections.get_mut(id) else { return };
        let Some(listener_id) = conn.fast_open_of else { return };
        if conn.is_fast_open() {
            return;
        }
        conn.fast_open_of = None;
        let reset =
            conn.state() == StateName::Closed && conn.error() == Some(ConnectionError::Reset);
        if let Some(count) = self.fast_open_count(listener_id) {
            count.pending = count.pending.saturating_sub(1);
            if reset {
                count.reset.push_back(now + RESET_COUNTS_FOR);
            }
        }
    }

    /// Sets the keys of the Fast Open cookies that listeners hand out from now on.
    pub fn set_fast_open_keys(&mut self, keys: FastOpenKeys) {
        self.cookie_keys.set(keys);
    }

    /// Forgets the cookies that servers gave us, and which of them Fast Open does not reach.
    pub fn forget_fast_open_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Bytes that [`tcp_send`](Self::tcp_send) can still put on the SYN of a connection that has not sent it (it waits for
    /// [`FastOpen::hold`](crate::FastOpen::hold) at most); 0 when none will go with it.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_syn_room(&self, id: SocketId) -> Result<usize, NoSuchSocket> {
        self.connections.get(id).map(|conn| conn.syn_room()).ok_or(NoSuchSocket)
    }

    /// The cookie that `client` would get from `server` now.
    pub fn fast_open_cookie(&self, now: Instant, client: IpAddr, server: IpAddr) -> Vec<u8> {
        self.cookie_keys.cookie(now, client, server).to_vec()
    }
}
