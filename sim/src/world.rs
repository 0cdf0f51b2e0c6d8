//! The world: one queue of events, one clock, one source of chance, and everything that is there. Events of one moment
//! happen in the order in which they were planned, so a seed decides everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh::{ClientId, Effects, HostedAgent, Input, Rule};
use proto::{AgentId, Content, MessageId, Name, NodeId};

use crate::agent::{Act, Agent};
use crate::chance::Chance;
use crate::disk::SimDisk;
use crate::fault::{Fault, Promise};
use crate::forge;
use crate::host::Host;
use crate::model::{Model, Tally};
use crate::network::{Carried, Fate, Network, Parcel};
use crate::shape::{Shape, Trouble};
use crate::spread::Spread;
use crate::story::Story;
use crate::time::MILLI;
use crate::trace::Trace;

/// An event that is planned.
#[derive(Debug)]
pub(crate) enum What {
    /// A node's process starts.
    Start {
        node: usize,
    },
    /// The core is told something, if it is still the same process.
    Input {
        node: usize,
        incarnation: u32,
        input: Box<Input>,
    },
    /// The core wanted to be called.
    Tick {
        node: usize,
        incarnation: u32,
    },
    /// The disk is free to take what waits.
    SyncBegins {
        node: usize,
        incarnation: u32,
    },
    /// What was given to the disk is there.
    SyncEnds {
        node: usize,
        incarnation: u32,
    },
    /// Something comes out of a connection.
    Arrives {
        wire: usize,
        side: usize,
        carried: Carried,
    },
    /// A side hears that a connection is up, or down.
    LinkUp {
        wire: usize,
        side: usize,
    },
    LinkDown {
        wire: usize,
        side: usize,
    },
    /// A dial comes to nothing.
    DialFails {
        node: usize,
        incarnation: u32,
        peer: NodeId,
    },
    /// A dial reaches the other side.
    Dialed {
        node: usize,
        incarnation: u32,
        peer: usize,
    },
    /// A client says something to its node.
    Said {
        client: ClientId,
        node: usize,
        incarnation: u32,
        content: Option<Box<Content>>,
        uid: u32,
    },
    /// A client's connection ends, on the node's side.
    Left {
        client: ClientId,
        node: usize,
        incarnation: u32,
    },
    /// A client hears something.
    Hears {
        agent: usize,
        client: ClientId,
        content: Box<Content>,
    },
    /// A client finds its connection gone.
    LineLost {
        agent: usize,
        client: ClientId,
    },
    /// An agent does something.
    Act {
        agent: usize,
        act: Act,
    },
    /// Something goes wrong, and the next trouble is planned.
    Trouble,
    /// That trouble ends.
    Mend {
        trouble: Trouble,
        node: usize,
    },
}

/// Everything.
pub struct World {
    pub(crate) now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), What>,
    pub(crate) chance: Chance,
    pub(crate) shape: Shape,
    pub(crate) hosts: Vec<Host>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) network: Network,
    pub(crate) model: Model,
    pub(crate) trace: Trace,
    pub(crate) story: Story,
    pub(crate) effects: Effects,
    pub(crate) events: u64,
    pub(crate) names: u64,
    pub(crate) without: Option<Rule>,
    /// Agents do as they should, and nothing goes wrong any more.
    pub(crate) is_mended: bool,
    /// When something other than keeping alive last happened.
    pub(crate) busy_at: u64,
    /// Messages whose content the destination's shell refuses.
    pub(crate) unfit: BTreeSet<MessageId>,
    /// Messages that the rules of their destination do not allow.
    pub(crate) forbidden: BTreeSet<MessageId>,
    pub(crate) fates: Option<Fates>,
    /// The last frames that left, for schedules by hand.
    pub(crate) sent: VecDeque<Parcel>,
    pub(crate) keeps_sent: bool,
    /// Records on control streams are counted for whoever asks how they spread.
    pub(crate) spread: Option<(NodeId, Spread)>,
}

/// Decides about each frame, before chance does.
pub type Fates = Box<dyn FnMut(&Parcel, u64) -> Fate>;

/// A message, as a schedule by hand speaks of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// From whom.
    pub source: AgentId,
    /// To whom.
    pub destination: AgentId,
    /// Its id.
    pub id: MessageId,
}

impl World {
    /// A world of that shape, before anything has happened. Its nodes start within the first moments.
    #[must_use]
    pub fn new(seed: u64, shape: Shape) -> Self {
        Self::with(seed, shape, None)
    }

    /// The same with a rule of the contract left out in every node.
    #[must_use]
    pub fn with(seed: u64, shape: Shape, without: Option<Rule>) -> Self {
        let mut world = Self {
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            chance: Chance::new(seed),
            hosts: Vec::new(),
            agents: Vec::new(),
            network: Network::new(shape.frames),
            model: Model::new(shape.nodes, shape.bounds.deliveries_failed),
            trace: Trace::new(),
            story: Story::silent(),
            effects: Effects::new(),
            events: 0,
            names: 0,
            without,
            is_mended: false,
            busy_at: 0,
            unfit: BTreeSet::new(),
            forbidden: BTreeSet::new(),
            fates: None,
            sent: VecDeque::new(),
            keeps_sent: false,
            spread: None,
            shape,
        };
        world.people();
        world
    }

    /// Nodes and agents, with ids that are arbitrary and distinct.
    fn people(&mut self) {
        let apart = self.shape.clocks.apart_ms * MILLI;
        for node in 0..self.shape.nodes {
            let Some(name) = name_of('n', node, 0) else { continue };
            let id = NodeId::new(AgentId::new(self.chance.bytes32()));
            self.model.homes.insert(id.agent(), node);
            self.model.nodes.insert(id.agent());
            let ahead = self.chance.below(2 * apart + 1);
            let wall_ahead = i64::try_from(ahead).unwrap_or(0) - i64::try_from(apart).unwrap_or(0);
            let booted = 0;
            let mut host = Host {
                id,
                name,
                disk: SimDisk::new(),
                incarnation: 0,
                agents: Vec::new(),
                run: None,
                booted,
                wall_ahead,
                is_reborn: false,
                policy: mesh::Policy::default(),
                backups: Vec::new(),
                lies: false,
                slow_until: 0,
                holds_syncs: false,
                member: self.shape.members.then(|| self.member(node)),
                blocked: BTreeSet::new(),
                is_apart: false,
            };
            for slot in 0..self.shape.agents {
                let Some(name) = name_of('a', node, slot) else { continue };
                let id = AgentId::new(self.chance.bytes32());
                self.model.homes.insert(id, node);
                let uid = 1000 + u32::try_from(slot).unwrap_or(0);
                if self.shape.agents_known {
                    let public_key = forge::public_key(id);
                    host.agents.push(HostedAgent { id, public_key, name: name.clone(), uid });
                }
                self.agents.push(Agent::new(node, name, uid, id, self.shape.handling));
            }
            self.hosts.push(host);
            let at = self.joins_at(node) + self.chance.below(100 * MILLI);
            self.plan(at, What::Start { node });
        }
        for agent in 0..self.agents.len() {
            let at = 150 * MILLI + self.chance.below(100 * MILLI);
            self.plan(at, What::Act { agent, act: Act::Connect });
        }
    }

    /// A node starts only when somebody says so.
    pub(crate) fn hold_start(&mut self, held: usize) {
        self.queue.retain(|_, what| !matches!(what, What::Start { node } if *node == held));
    }

    /// Plans an event, that many ns from now.
    pub(crate) fn plan(&mut self, after: u64, what: What) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), what);
    }

    /// Lets the next event happen. Whether there was one up to that moment.
    pub(crate) fn step(&mut self, until: u64) -> bool {
        let Some(entry) = self.queue.first_entry() else { return false };
        let (at, _) = *entry.key();
        if at > until {
            return false;
        }
        let what = entry.remove();
        self.now = self.now.max(at);
        self.model.now = self.now;
        self.events += 1;
        self.trace.word(self.now);
        self.happen(what);
        true
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Start { node } => self.start(node),
            What::Input { node, incarnation, input } => self.input_if(node, incarnation, *input),
            What::Tick { node, incarnation } => self.tick(node, incarnation),
            What::SyncBegins { node, incarnation } => self.sync_begins(node, incarnation),
            What::SyncEnds { node, incarnation } => self.sync_ends(node, incarnation),
            What::Arrives { wire, side, carried } => self.arrives(wire, side, carried),
            What::LinkUp { wire, side } => self.link_up(wire, side),
            What::LinkDown { wire, side } => self.link_down(wire, side),
            What::DialFails { node, incarnation, peer } => self.dial_fails(node, incarnation, peer),
            What::Dialed { node, incarnation, peer } => self.dialed(node, incarnation, peer),
            What::Said { client, node, incarnation, content, uid } => {
                self.client_said(client, node, incarnation, content, uid);
            }
            What::Left { client, node, incarnation } => self.client_left(client, node, incarnation),
            What::Hears { agent, client, content } => self.agent_hears(agent, client, &content),
            What::LineLost { agent, client } => self.line_lost(agent, client),
            What::Act { agent, act } => self.agent_acts(agent, act),
            What::Trouble => self.trouble(),
            What::Mend { trouble, node } => self.mend(trouble, node),
        }
    }

    /// A number that no two things share.
    pub(crate) const fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    pub(crate) fn fault(&mut self, promise: Promise, node: usize, what: impl Into<String>) {
        self.model.fault(promise, Some(node), None, what);
    }

    pub(crate) fn node_of(&self, id: NodeId) -> Option<usize> {
        self.hosts.iter().position(|host| host.id == id)
    }

    /// Virtual time, in ns since the world began.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// The promises that were broken so far.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.model.faults
    }

    /// What was tried so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.model.tally
    }

    /// The hash of all that happened so far.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The id of an agent: which one of a node.
    #[must_use]
    pub fn agent(&self, node: usize, slot: usize) -> Option<usize> {
        let mut of_node = self.agents.iter().enumerate().filter(|(_, agent)| agent.node == node);
        of_node.nth(slot).map(|(at, _)| at)
    }

    /// Who an agent is.
    #[must_use]
    pub fn agent_id(&self, agent: usize) -> AgentId {
        self.agents.get(agent).map_or(AgentId::ZERO, |agent| agent.id)
    }

    pub(crate) fn incarnation(&self, node: usize) -> u32 {
        self.hosts.get(node).map_or(u32::MAX, |host| host.incarnation)
    }

    pub(crate) fn is_running(&self, node: usize, incarnation: u32) -> bool {
        self.hosts.get(node).is_some_and(|host| host.incarnation == incarnation && host.run.is_some())
    }
}

/// Names are short, valid, and tell whose they are.
fn name_of(kind: char, node: usize, slot: usize) -> Option<Name> {
    let text = if kind == 'n' { format!("n{node}") } else { format!("{kind}{node}-{slot}") };
    text.parse().ok()
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("events", &self.events).finish_non_exhaustive()
    }
}
