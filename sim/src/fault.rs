//! What a node did that the contract does not allow, in words. A fault is recorded where it is seen; nothing stops.

use crate::account::Key;

/// Which promise was broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Promise {
    /// Accepted is said of what is on the source's disk, and of nothing else.
    AcceptedIsOnDisk,
    /// What leaves a node is on its disk.
    AttemptIsOnDisk,
    /// STORED is said of what is on the destination's disk.
    StoredIsOnDisk,
    /// What an agent sees is on its node's disk.
    DeliveryIsOnDisk,
    /// The floor never passes what is owned.
    FloorIsOwned,
    /// What was promised is not given up before its end.
    NothingIsLost,
    /// All later deliveries say that there was one before.
    RepeatsAreMarked,
    /// A first delivery is marked for a reason only.
    MarksHaveReasons,
    /// First deliveries that are not marked come in order.
    OrderHolds,
    /// Each end is told once, and only one is.
    OneStory,
    /// An end is one that happened.
    EndsAreTrue,
    /// What its agent refused for good does not come again.
    RefusedIsOver,
    /// An answer that nobody waits for reaches nobody.
    NoUnwantedAnswers,
    /// What changes together is one transaction.
    OneTransaction,
    /// One id is one message.
    OneMessage,
    /// Acknowledgements count while their number does.
    NumbersAreVoid,
    /// Nobody speaks or listens in another user's name.
    StrangersStayOut,
    /// What is sent at most once comes at most once, and not late.
    AtMostOnce,
    /// A stage is told once, in order, and no further than asked.
    StagesAreTold,
    /// Every bound holds.
    BoundsHold,
    /// When all is mended, everything ends.
    ItSettles,
    /// Members know each other and each other's agents, and nobody else.
    MembersAreKnown,
    /// Nothing goes to those who are out, and nothing comes from them.
    OutIsOut,
    /// What a node asks for can be done.
    HostIsUsable,
}

/// A promise that was broken, where and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which.
    pub promise: Promise,
    /// When, in virtual ns.
    pub at: u64,
    /// On which node, if on one.
    pub node: Option<usize>,
    /// Of which message, if of one.
    pub key: Option<Key>,
    /// What happened.
    pub what: String,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} at {}", self.promise, crate::time::show(self.at))?;
        if let Some(node) = self.node {
            write!(f, " on node {node}")?;
        }
        if let Some(key) = self.key {
            write!(f, ", message {}", key.id)?;
        }
        write!(f, ": {}", self.what)
    }
}
