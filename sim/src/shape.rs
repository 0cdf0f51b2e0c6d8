//! What a world is made of and what goes wrong in it, as data. Nothing here happens by itself.

use mesh::Bounds;

use crate::chance::Chance;

/// The shape of a run: its size, its traffic and its troubles. All chances are in thousandths.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What people call it.
    pub name: &'static str,
    /// How many nodes, each linked with each.
    pub nodes: usize,
    /// Agents on each.
    pub agents: usize,
    /// Virtual seconds of traffic and trouble, before all is mended.
    pub seconds: u64,
    /// Messages, spread over that time.
    pub messages: u64,
    /// What is said.
    pub talk: Talk,
    /// What agents do with what they get.
    pub handling: Handling,
    /// What happens to single frames.
    pub frames: Frames,
    /// Which troubles come, by weight.
    pub troubles: Troubles,
    /// Virtual ms between two troubles, at most; 0 for none.
    pub trouble_every_ms: u64,
    /// What clocks do.
    pub clocks: Clocks,
    /// Bytes of a segment of the journal.
    pub segment_bytes: usize,
    /// The slowest sync, in ms.
    pub sync_ms: u64,
    /// How much may wait where.
    pub bounds: Bounds,
    /// Nodes are members of a mesh that join one after the other, and know nobody but the first; otherwise they are pinned.
    pub members: bool,
    /// Agents are there when the node is born, and need not be made.
    pub agents_known: bool,
}

/// What is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talk {
    /// Sent at most once.
    pub once: u32,
    /// A durable BROADCAST instead of a REQUEST.
    pub broadcast: u32,
    /// With an expiry of seconds.
    pub short_lived: u32,
    /// To an agent of the same node.
    pub local: u32,
    /// To an agent that nobody knows.
    pub unknown: u32,
    /// Refused by the reader of its content.
    pub unfit: u32,
    /// Resubmitted although nothing happened.
    pub impatient: u32,
    /// Bodies up to this long.
    pub body_bytes: usize,
}

/// What agents do with what they get; what is left is a HANDLED.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handling {
    /// A RESPONSE to a REQUEST.
    pub respond: u32,
    /// A refusal.
    pub refuse: u32,
    /// A refusal for good.
    pub refuse_for_good: u32,
    /// Nothing, until the lease ends.
    pub never: u32,
    /// Long work, with more time asked for.
    pub slow: u32,
    /// An answer long after the lease has ended.
    pub late: u32,
    /// The longest pause before an answer, in ms.
    pub pause_ms: u64,
}

/// What happens to single frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    /// Lost.
    pub loss: u32,
    /// Comes twice.
    pub repeat: u32,
    /// Overtaken by others.
    pub reorder: u32,
    /// An old one comes again.
    pub late: u32,
    /// Usual time on the way, in ms.
    pub latency_ms: u64,
}

/// Troubles, by weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct Troubles {
    /// The power of a node fails.
    pub crash: u32,
    /// The process of a node is killed.
    pub kill: u32,
    /// A node is stopped in peace, and started again.
    pub stop: u32,
    /// A link is cut.
    pub cut: u32,
    /// Nothing passes between two nodes for a while.
    pub partition: u32,
    /// An agent's process dies and comes back.
    pub client_crash: u32,
    /// A second process attaches as the same agent.
    pub takeover: u32,
    /// An agent stays away for a while.
    pub away: u32,
    /// A store is lost; the keys are not.
    pub lose_store: u32,
    /// An earlier store is put back, and the node is told.
    pub rollback: u32,
    /// An earlier store is put back, and the node is not told.
    pub silent_rollback: u32,
    /// The disk lies until the power fails.
    pub lie: u32,
    /// A byte of the store changes.
    pub damage: u32,
    /// A byte of the store changes while the node runs.
    pub rot: u32,
    /// A wall clock jumps.
    pub clock_jump: u32,
    /// A disk takes seconds to sync for a while.
    pub slow_disk: u32,
    /// A disk has no room for new things for a while.
    pub full_disk: u32,
    /// A node is told, rightly or not, that nothing is heard of a peer, and later that something is.
    pub silence: u32,
    /// A member is revoked, for good.
    pub revoke: u32,
}

/// What clocks do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    /// How far apart two nodes are, in ms.
    pub apart_ms: u64,
    /// The furthest jump of one, in ms.
    pub jump_ms: u64,
}

impl Troubles {
    /// Every trouble with its weight.
    #[must_use]
    pub const fn weights(&self) -> [(Trouble, u32); 19] {
        [
            (Trouble::Crash, self.crash),
            (Trouble::Kill, self.kill),
            (Trouble::Stop, self.stop),
            (Trouble::Cut, self.cut),
            (Trouble::Partition, self.partition),
            (Trouble::ClientCrash, self.client_crash),
            (Trouble::Takeover, self.takeover),
            (Trouble::Away, self.away),
            (Trouble::LoseStore, self.lose_store),
            (Trouble::Rollback, self.rollback),
            (Trouble::SilentRollback, self.silent_rollback),
            (Trouble::Lie, self.lie),
            (Trouble::Damage, self.damage),
            (Trouble::Rot, self.rot),
            (Trouble::ClockJump, self.clock_jump),
            (Trouble::SlowDisk, self.slow_disk),
            (Trouble::FullDisk, self.full_disk),
            (Trouble::Silence, self.silence),
            (Trouble::Revoke, self.revoke),
        ]
    }

    /// All weights together.
    #[must_use]
    pub fn all(&self) -> u32 {
        self.weights().iter().map(|(_, weight)| weight).sum()
    }

    /// Draws one.
    #[must_use]
    pub fn draw(&self, chance: &mut Chance) -> Option<Trouble> {
        let mut left = chance.below(u64::from(self.all()));
        for (trouble, weight) in self.weights() {
            if left < u64::from(weight) {
                return Some(trouble);
            }
            left -= u64::from(weight);
        }
        None
    }
}

/// One kind of trouble; see [`Troubles`].
#[expect(missing_docs, reason = "each is a field of Troubles")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trouble {
    Crash,
    Kill,
    Stop,
    Cut,
    Partition,
    ClientCrash,
    Takeover,
    Away,
    LoseStore,
    Rollback,
    SilentRollback,
    Lie,
    Damage,
    Rot,
    ClockJump,
    SlowDisk,
    FullDisk,
    Silence,
    Revoke,
}
