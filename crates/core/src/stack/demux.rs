//! Which connection a segment belongs to: one probe of a table that holds ids alone. The ends of a connection are in the
//! connection, so that an idle one costs nine bytes here and not a second copy of its addresses.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use slotmap::SlotMap;

use super::KeyedHash;
use crate::event::SocketId;
use crate::tcp::{Connection, Tuple};

/// The connections of a stack.
pub(super) type Connections = SlotMap<SocketId, Box<Connection>>;

/// The table. Peers choose ports and addresses, so the hash is keyed.
pub(super) struct Demux {
    ids: HashTable<SocketId>,
    hash: KeyedHash,
}

impl Demux {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { ids: HashTable::new(), hash }
    }

    /// The keyed hash, for other tables.
    pub(super) fn hasher(&self) -> &KeyedHash {
        &self.hash
    }

    /// The connection between these ends.
    pub(super) fn find(&self, connections: &Connections, tuple: &Tuple) -> Option<SocketId> {
        let is_it = |id: &SocketId| connections.get(*id).is_some_and(|conn| conn.tuple == *tuple);
        self.ids.find(self.hash.hash_one(tuple), is_it).copied()
    }

    /// Enters a connection, in the place of another with the same ends if there is one.
    pub(super) fn insert(&mut self, connections: &Connections, id: SocketId) {
        let Some(tuple) = connections.get(id).map(|conn| conn.tuple) else { return };
        if let Some(other) = self.find(connections, &tuple) {
            self.remove(&tuple, other);
        }
        let hash =
            |id: &SocketId| connections.get(*id).map_or(0, |conn| self.hash.hash_one(conn.tuple));
        self.ids.insert_unique(self.hash.hash_one(tuple), id, hash);
    }

    /// Takes a connection out, if it is in.
    pub(super) fn remove(&mut self, tuple: &Tuple, id: SocketId) {
        if let Ok(entry) = self.ids.find_entry(self.hash.hash_one(tuple), |other| *other == id) {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
