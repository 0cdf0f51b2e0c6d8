//! The shapes that are tried: from a calm day to everything at once. A table in code, so that the compiler reads it.

use mesh::{Bounds, Share};

use crate::chance::Chance;
use crate::shape::{Clocks, Frames, Handling, Shape, Talk, Troubles};
use crate::time::{MILLI, SECOND};

/// One world in so many is a mesh with members.
const MEMBERS_EVERY: u64 = 8;

impl Shape {
    /// Two nodes, and nothing goes wrong.
    pub const CALM: Self = Self {
        name: "calm",
        nodes: 2,
        agents: 2,
        seconds: 30,
        messages: 60,
        talk: Talk {
            once: 200,
            broadcast: 200,
            short_lived: 0,
            local: 200,
            unknown: 0,
            unfit: 0,
            impatient: 0,
            body_bytes: 200,
        },
        handling: Handling { respond: 400, refuse: 0, refuse_for_good: 0, never: 0, slow: 0, late: 0, pause_ms: 200 },
        frames: Frames { loss: 0, repeat: 0, reorder: 0, late: 0, latency_ms: 5 },
        troubles: Troubles {
            crash: 0,
            kill: 0,
            stop: 0,
            cut: 0,
            partition: 0,
            client_crash: 0,
            takeover: 0,
            away: 0,
            lose_store: 0,
            rollback: 0,
            silent_rollback: 0,
            lie: 0,
            damage: 0,
            rot: 0,
            clock_jump: 0,
            slow_disk: 0,
            full_disk: 0,
            silence: 0,
            revoke: 0,
        },
        trouble_every_ms: 0,
        clocks: Clocks { apart_ms: 0, jump_ms: 0 },
        segment_bytes: 256 << 10,
        sync_ms: 20,
        bounds: Bounds::USUAL,
        members: false,
        agents_known: false,
    };

    /// All that is tried by default, in turn.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::CALM,
            Self::lossy(),
            Self::crashing(),
            Self::killed_and_stopped(),
            Self::restless_agents(),
            Self::short_lives(),
            Self::stores_lost(),
            Self::lying_disks(),
            Self::wrong_clocks(),
            Self::stubborn_agents(),
            Self::full_rooms(),
            Self::everything(),
        ]
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|shape| shape.name == name)
    }

    /// The one that a seed takes by default: a shape in turn, somewhat changed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let shapes = Self::all();
        let mut chance = Chance::new(seed ^ 0x5ca1_ab1e);
        let turn = usize::try_from(seed % shapes.len() as u64).unwrap_or(0);
        let mut shape = shapes.into_iter().nth(turn).unwrap_or(Self::CALM);
        shape.nodes = 2 + chance.index(3);
        shape.agents = 1 + chance.index(3);
        shape.messages = chance.between(shape.messages / 2, shape.messages * 3 / 2);
        shape.members = seed % MEMBERS_EVERY == MEMBERS_EVERY - 1;
        // Those who are left are at least two.
        shape.troubles.revoke = if shape.members && shape.nodes > 2 { shape.troubles.all().div_ceil(8) } else { 0 };
        shape.agents_known = chance.percent(50);
        shape.sync_ms = chance.pick(&[2, 20, 20, 200]).copied().unwrap_or(20);
        shape
    }

    /// Frames are lost, repeated, late and out of order; links are cut.
    #[must_use]
    pub fn lossy() -> Self {
        Self {
            name: "lossy",
            seconds: 60,
            frames: Frames { loss: 150, repeat: 60, reorder: 150, late: 20, latency_ms: 20 },
            troubles: Troubles { cut: 3, partition: 1, ..Troubles::default() },
            trouble_every_ms: 6000,
            handling: Handling {
                respond: 400,
                refuse: 30,
                refuse_for_good: 20,
                never: 10,
                slow: 20,
                late: 10,
                pause_ms: 2000,
            },
            ..Self::CALM
        }
    }

    /// Power fails often.
    #[must_use]
    pub fn crashing() -> Self {
        Self {
            name: "crashing",
            seconds: 60,
            frames: Frames { loss: 30, repeat: 20, reorder: 30, late: 10, latency_ms: 10 },
            troubles: Troubles { crash: 5, kill: 1, cut: 1, ..Troubles::default() },
            trouble_every_ms: 5000,
            ..Self::CALM
        }
    }

    /// Daemons are killed and stopped.
    #[must_use]
    pub fn killed_and_stopped() -> Self {
        Self {
            name: "killed and stopped",
            seconds: 60,
            frames: Frames { loss: 30, repeat: 20, reorder: 30, late: 10, latency_ms: 10 },
            troubles: Troubles { kill: 2, stop: 4, client_crash: 1, ..Troubles::default() },
            trouble_every_ms: 5000,
            handling: Handling {
                respond: 400,
                refuse: 0,
                refuse_for_good: 0,
                never: 20,
                slow: 50,
                late: 0,
                pause_ms: 3000,
            },
            ..Self::CALM
        }
    }

    /// Agents die, take over from each other, refuse, take long, and say things twice.
    #[must_use]
    pub fn restless_agents() -> Self {
        Self {
            name: "restless agents",
            seconds: 90,
            messages: 80,
            talk: Talk { unfit: 50, unknown: 20, impatient: 200, ..Self::CALM.talk },
            frames: Frames { loss: 20, repeat: 20, reorder: 20, late: 10, latency_ms: 10 },
            troubles: Troubles { client_crash: 4, takeover: 4, away: 2, kill: 1, ..Troubles::default() },
            trouble_every_ms: 3000,
            handling: Handling {
                respond: 400,
                refuse: 100,
                refuse_for_good: 40,
                never: 60,
                slow: 60,
                late: 60,
                pause_ms: 4000,
            },
            ..Self::CALM
        }
    }

    /// Messages expire, before and after they arrive.
    #[must_use]
    pub fn short_lives() -> Self {
        Self {
            name: "short lives",
            seconds: 90,
            messages: 100,
            talk: Talk { short_lived: 500, impatient: 50, ..Self::CALM.talk },
            frames: Frames { loss: 100, repeat: 20, reorder: 50, late: 10, latency_ms: 50 },
            troubles: Troubles { partition: 4, away: 3, cut: 1, crash: 1, ..Troubles::default() },
            trouble_every_ms: 6000,
            handling: Handling {
                respond: 400,
                refuse: 100,
                refuse_for_good: 30,
                never: 100,
                slow: 50,
                late: 50,
                pause_ms: 6000,
            },
            ..Self::CALM
        }
    }

    /// Stores are lost, put back from backups, and damaged; the nodes are told.
    #[must_use]
    pub fn stores_lost() -> Self {
        Self {
            name: "stores lost",
            seconds: 90,
            frames: Frames { loss: 100, repeat: 50, reorder: 50, late: 50, latency_ms: 20 },
            troubles: Troubles {
                lose_store: 2,
                rollback: 4,
                damage: 1,
                rot: 1,
                crash: 2,
                kill: 1,
                partition: 2,
                ..Troubles::default()
            },
            trouble_every_ms: 6000,
            ..Self::CALM
        }
    }

    /// Disks lie, and stores go back behind the node's back.
    #[must_use]
    pub fn lying_disks() -> Self {
        Self {
            name: "lying disks",
            seconds: 60,
            frames: Frames { loss: 50, repeat: 20, reorder: 50, late: 20, latency_ms: 10 },
            troubles: Troubles { lie: 3, silent_rollback: 2, crash: 2, ..Troubles::default() },
            trouble_every_ms: 6000,
            ..Self::CALM
        }
    }

    /// Clocks are apart and jump.
    #[must_use]
    pub fn wrong_clocks() -> Self {
        Self {
            name: "wrong clocks",
            seconds: 90,
            talk: Talk { short_lived: 100, ..Self::CALM.talk },
            frames: Frames { loss: 50, repeat: 20, reorder: 50, late: 20, latency_ms: 10 },
            troubles: Troubles { clock_jump: 3, crash: 1, stop: 1, cut: 1, ..Troubles::default() },
            trouble_every_ms: 8000,
            clocks: Clocks { apart_ms: 5000, jump_ms: 200_000 },
            ..Self::CALM
        }
    }

    /// Agents that refuse what they get again and again, and are given up on.
    #[must_use]
    pub fn stubborn_agents() -> Self {
        Self {
            name: "stubborn agents",
            seconds: 60,
            frames: Frames { loss: 30, repeat: 20, reorder: 30, late: 10, latency_ms: 10 },
            talk: Talk { short_lived: 100, ..Self::CALM.talk },
            handling: Handling {
                respond: 300,
                refuse: 600,
                refuse_for_good: 60,
                never: 20,
                slow: 20,
                late: 10,
                pause_ms: 500,
            },
            troubles: Troubles { kill: 1, stop: 1, client_crash: 4, takeover: 1, crash: 1, ..Troubles::default() },
            trouble_every_ms: 4000,
            bounds: Bounds { deliveries_failed: 3, ..Bounds::USUAL },
            ..Self::CALM
        }
    }

    /// Little room everywhere, and agents that are away.
    #[must_use]
    pub fn full_rooms() -> Self {
        Self {
            name: "full rooms",
            seconds: 60,
            messages: 120,
            frames: Frames { loss: 50, repeat: 30, reorder: 50, late: 10, latency_ms: 10 },
            talk: Talk { short_lived: 50, impatient: 50, ..Self::CALM.talk },
            troubles: Troubles { away: 4, full_disk: 2, silence: 2, cut: 1, stop: 1, crash: 1, ..Troubles::default() },
            trouble_every_ms: 3000,
            bounds: Bounds {
                mailbox: Share { messages: 4, bytes: 600 },
                pair: Share { messages: 3, bytes: 500 },
                peer: Share { messages: 6, bytes: 1000 },
                ..Bounds::USUAL
            },
            ..Self::CALM
        }
    }

    /// A little of everything that a node is told of.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            name: "everything",
            seconds: 120,
            messages: 120,
            talk: Talk { short_lived: 100, unfit: 20, unknown: 20, impatient: 100, ..Self::CALM.talk },
            frames: Frames { loss: 80, repeat: 40, reorder: 80, late: 20, latency_ms: 15 },
            troubles: Troubles {
                crash: 3,
                kill: 2,
                stop: 2,
                cut: 3,
                partition: 2,
                client_crash: 2,
                takeover: 2,
                away: 1,
                lose_store: 1,
                rollback: 1,
                slow_disk: 1,
                full_disk: 1,
                silence: 1,
                clock_jump: 1,
                ..Troubles::default()
            },
            trouble_every_ms: 4000,
            clocks: Clocks { apart_ms: 0, jump_ms: 200_000 },
            handling: Handling {
                respond: 400,
                refuse: 50,
                refuse_for_good: 20,
                never: 30,
                slow: 40,
                late: 30,
                pause_ms: 3000,
            },
            ..Self::CALM
        }
    }

    /// Nanoseconds of trouble.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.seconds * SECOND
    }

    /// The usual time of a frame on its way.
    #[must_use]
    pub const fn latency(&self) -> u64 {
        self.frames.latency_ms * MILLI
    }
}
