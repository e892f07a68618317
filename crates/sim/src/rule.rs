//! Rules on packets: which ones, and what is done with them.

use usernet_core::Duration;
use usernet_wire::tcp::Flags;

use crate::NodeId;
use crate::link::LinkId;
use crate::packet::PacketView;

/// Names a rule of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(crate) u32);

/// Changes a packet's bytes.
pub type Change = Box<dyn FnMut(&mut Vec<u8>) + Send>;

type Predicate = Box<dyn FnMut(&PacketView<'_>) -> bool + Send>;

/// Which packets a rule is about. Built by narrowing [`Match::any`]; "the third data segment from client to server" is
/// `Match::any().from(client).to(server).data().nth(3)`.
///
/// A packet is judged once, where the node that made it puts it on a link; with [`on`](Self::on), where any node puts it
/// on that link.
pub struct Match {
    pub(crate) from: Option<NodeId>,
    pub(crate) to: Option<NodeId>,
    pub(crate) link: Option<LinkId>,
    predicates: Vec<Predicate>,
    first: u64,
    last: u64,
    /// Packets that fitted everything but the count, so far.
    seen: u64,
}

impl std::fmt::Debug for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Match")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("link", &self.link)
            .field("predicates", &self.predicates.len())
            .field("count", &(self.first..=self.last))
            .field("seen", &self.seen)
            .finish()
    }
}

impl Match {
    /// Every valid IP packet.
    pub fn any() -> Self {
        Self {
            from: None,
            to: None,
            link: None,
            predicates: Vec::new(),
            first: 1,
            last: u64::MAX,
            seen: 0,
        }
    }

    /// Packets that this node made.
    #[must_use]
    pub fn from(mut self, node: NodeId) -> Self {
        self.from = Some(node);
        self
    }

    /// Packets for an address of this node.
    #[must_use]
    pub fn to(mut self, node: NodeId) -> Self {
        self.to = Some(node);
        self
    }

    /// Packets that are put on this link.
    #[must_use]
    pub fn on(mut self, link: LinkId) -> Self {
        self.link = Some(link);
        self
    }

    /// Packets that fulfil a condition of one's own. Conditions are asked in the order they were added, until one fails.
    #[must_use]
    pub fn when(mut self, predicate: impl FnMut(&PacketView<'_>) -> bool + Send + 'static) -> Self {
        self.predicates.push(Box::new(predicate));
        self
    }

    /// TCP segments with data.
    #[must_use]
    pub fn data(self) -> Self {
        self.when(|packet| packet.tcp.is_some() && !packet.payload.is_empty())
    }

    /// TCP segments with all of these control bits.
    #[must_use]
    pub fn flags(self, flags: Flags) -> Self {
        self.when(move |packet| packet.has(flags))
    }

    /// TCP segments from or to this port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.when(move |packet| {
            packet.tcp.as_ref().is_some_and(|tcp| tcp.src_port == port || tcp.dst_port == port)
        })
    }

    /// Of them the `n`th, counted from 1.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.between(n, n)
    }

    /// Of them the `first`th to the `last`th, counted from 1, both included.
    #[must_use]
    pub fn between(mut self, first: u64, last: u64) -> Self {
        (self.first, self.last) = (first, last);
        self
    }

    /// Whether the conditions hold and the count is right; the packet is counted.
    pub(crate) fn test(&mut self, packet: &PacketView<'_>) -> bool {
        if !self.predicates.iter_mut().all(|predicate| predicate(packet)) {
            return false;
        }
        self.seen += 1;
        (self.first..=self.last).contains(&self.seen)
    }
}

/// What a rule does with its packets. Rules are asked in the order they were added; the first that drops or holds a
/// packet ends the matter, the others add up.
pub enum Action {
    /// Does away with it.
    Drop,
    /// Lets it wait this long before it goes on the link; later ones overtake it.
    Delay(Duration),
    /// Sends this many more of it right behind it.
    Copy(u32),
    /// Changes its bytes. Checksums are left as they are: see [`fix_checksums`](crate::fix_checksums).
    Alter(Change),
    /// Keeps it until [`release`](crate::Network::release) or the removal of the rule; at most 65,536 packets per rule,
    /// further ones are dropped.
    Hold,
}

impl Action {
    /// [`Action::Alter`] without the box.
    pub fn alter(change: impl FnMut(&mut Vec<u8>) + Send + 'static) -> Self {
        Self::Alter(Box::new(change))
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Drop => f.write_str("Drop"),
            Self::Delay(by) => write!(f, "Delay({by:?})"),
            Self::Copy(n) => write!(f, "Copy({n})"),
            Self::Alter(_) => f.write_str("Alter(..)"),
            Self::Hold => f.write_str("Hold"),
        }
    }
}
