//! The ordered set of deadlines. What ends early is taken out where it is many; whoever is called looks whether the
//! deadline still holds.

use alloc::collections::BTreeSet;

use proto::{AgentId, MessageId, NodeId, PrekeyId};

use crate::pair::Pair;
use crate::time::{Deadline, Mono};

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Why {
    /// Send again what is owned of a pair.
    Repeat(Pair),
    /// A destination that was full is tried again.
    HoldEnds(Pair),
    /// Say STORED again for a pair.
    SayStored(Pair),
    /// A message that is owned expires.
    OwnedExpires(Pair, MessageId),
    /// A message in a mailbox expires.
    ReceivedExpires(AgentId, u64),
    /// The lease of a delivery ends.
    LeaseEnds(AgentId, u64),
    /// A delivery is made again.
    Redeliver(AgentId, u64),
    /// An end has not come.
    StubEnds(AgentId, AgentId, MessageId),
    /// A mark is dropped.
    MarkEnds(Pair),
    /// What was sent at most once is forgotten.
    OnceForgotten,
    /// A peer is dialed.
    Dial(NodeId),
    /// An agent needs its next prekey.
    NextPrekey(AgentId),
    /// A prekey is erased.
    ErasePrekey(AgentId, PrekeyId),
    /// This node signs a new record of itself.
    NextNodeRecord,
    /// A node's record has ended.
    NodeEnds(NodeId),
    /// Records of agents have ended.
    AgentsEnd,
    /// What peers may not have heard is looked through.
    PassOn,
    /// This node's certificate is due for renewal.
    Renew,
    /// The clock has been steady after a jump.
    ClockSteady,
    /// The wall clock is noted on disk.
    NoteClock,
    /// The oldest dead letters are forgotten.
    DeadEnd,
    /// Other nodes had their time to say what they remember of a message.
    StoryEnds(u64),
}

impl Why {
    const fn word(self) -> &'static str {
        match self {
            Self::Repeat(_) => "repeat",
            Self::HoldEnds(_) => "hold",
            Self::SayStored(_) => "stored",
            Self::OwnedExpires(..) | Self::ReceivedExpires(..) => "expiry",
            Self::LeaseEnds(..) => "lease",
            Self::Redeliver(..) => "redelivery",
            Self::StubEnds(..) => "stub",
            Self::MarkEnds(_) => "mark",
            Self::OnceForgotten => "once",
            Self::Dial(_) => "dial",
            Self::NextPrekey(_) | Self::ErasePrekey(..) => "prekey",
            Self::NextNodeRecord | Self::NodeEnds(_) => "node record",
            Self::AgentsEnd => "agent records",
            Self::PassOn => "spreading",
            Self::Renew => "certificate",
            Self::ClockSteady | Self::NoteClock => "clock",
            Self::DeadEnd => "dead letters",
            Self::StoryEnds(_) => "story",
        }
    }
}

/// All deadlines of a node.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Mono, Why)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Mono, why: Why) {
        self.set.insert((at, why));
    }

    pub(crate) fn clear(&mut self, at: Mono, why: Why) {
        self.set.remove(&(at, why));
    }

    /// Takes the next that is due.
    pub(crate) fn due(&mut self, now: Mono) -> Option<(Mono, Why)> {
        let first = self.set.first().copied().filter(|(at, _)| *at <= now)?;
        self.set.remove(&first);
        Some(first)
    }

    pub(crate) fn next(&self) -> Option<Deadline> {
        self.set.first().map(|(at, why)| Deadline { at: *at, why: why.word() })
    }
}
