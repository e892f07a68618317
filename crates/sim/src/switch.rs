//! A switch: it learns behind which link each address is, and floods what it does not know.
//!
//! The stack's links carry IP packets only so far, so this switch learns IP addresses where a real one learns Ethernet
//! addresses; everything else (learning from sources, ageing, flooding, filtering) is as in IEEE 802.1D. There is no
//! spanning tree: [`link`](crate::Network::link) refuses to close a loop of switches.

use std::collections::BTreeMap;
use std::net::IpAddr;

use usernet_core::{Duration, Instant};

use crate::link::LinkId;

/// Addresses a switch remembers; further ones are flooded.
const MAX_ENTRIES: usize = 8_192;
/// How long it remembers one it no longer hears (IEEE 802.1D table 7-5).
const AGEING: Duration = Duration::from_secs(300);

/// What a switch knows.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    table: BTreeMap<IpAddr, (LinkId, Instant)>,
}

impl Switch {
    /// Notes where a packet came from.
    pub(crate) fn learn(&mut self, now: Instant, source: IpAddr, link: LinkId) {
        if self.table.len() >= MAX_ENTRIES && !self.table.contains_key(&source) {
            self.table.retain(|_, (_, heard)| now.since(*heard) < AGEING);
            if self.table.len() >= MAX_ENTRIES {
                return;
            }
        }
        self.table.insert(source, (link, now));
    }

    /// Behind which link an address is, if known.
    pub(crate) fn lookup(&self, now: Instant, address: IpAddr) -> Option<LinkId> {
        let (link, heard) = self.table.get(&address)?;
        (now.since(*heard) < AGEING).then_some(*link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_bounded_and_ages() {
        let mut switch = Switch::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..10_000 {
            switch.learn(Instant::ZERO, address(n), LinkId(n));
        }
        assert_eq!(switch.table.len(), MAX_ENTRIES);
        assert_eq!(switch.lookup(Instant::from_millis(299_999), address(5)), Some(LinkId(5)));
        assert_eq!(switch.lookup(Instant::from_millis(300_000), address(5)), None);
        switch.learn(Instant::from_millis(300_000), address(9_999), LinkId(1));
        assert_eq!(switch.table.len(), 1);
    }
}
