//! Schedules by hand: a world in which somebody decides what happens, instead of chance. What is not decided stays as
//! quiet as it can be.

use proto::control::ErrorBody;
use proto::limits::ANSWER_LIFE;
use proto::metadata::{MetadataDraft, Stage};
use proto::{
    AgentId, Boundary, ContentType, Draft, ErrorCode, FlowId, FlowKind, MessageId, MessageType, Receipt, Sequence,
    Shape as Kind,
};

use crate::account::{Key, PairKey};
use crate::agent::{Act, Said};
use crate::fault::Promise;
use crate::forge;
use crate::network::{Fate, Parcel};
use crate::shape::{Handling, Shape};
use crate::time::{SECOND, seconds};
use crate::world::{Sent, What, World};

/// A flow of answers that no clock gives.
const FORGED_FLOW: u64 = 1001;

/// What somebody says.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// REQUEST or BROADCAST.
    pub message_type: MessageType,
    /// The last stage to hear of.
    pub last: Stage,
    /// Its sender waits for its end. Of a REQUEST it always does.
    pub wants_end: bool,
    /// It expires after that many ns.
    pub life: Option<u64>,
    /// Bytes of its body.
    pub body_bytes: usize,
}

impl Wish {
    /// A question.
    pub const REQUEST: Self =
        Self { message_type: MessageType::Request, last: Stage::Handled, wants_end: true, life: None, body_bytes: 20 };

    /// Something that is told, and whose sender wants to know that it arrived.
    pub const TOLD: Self = Self {
        message_type: MessageType::Broadcast,
        last: Stage::Stored,
        wants_end: false,
        life: None,
        body_bytes: 20,
    };
}

impl World {
    /// Nodes with one agent each, all of whom know each other; everybody handles what comes at once.
    #[must_use]
    pub fn quiet(seed: u64, nodes: usize, without: Option<mesh::Rule>) -> Self {
        let handling = Handling { respond: 0, pause_ms: 1, ..Handling::default() };
        let shape =
            Shape { name: "by hand", nodes, agents: 1, handling, sync_ms: 2, segment_bytes: 4 << 20, ..Shape::CALM };
        let mut world = Self::with(seed, shape, without);
        world.run_for(seconds(3));
        world
    }

    /// Members of a mesh with one agent each, before any of them starts: one after the other joins through the first.
    #[must_use]
    pub fn mesh(seed: u64, nodes: usize, without: Option<mesh::Rule>) -> Self {
        let handling = Handling { respond: 0, pause_ms: 1, ..Handling::default() };
        let quiet = Shape { name: "by hand", agents: 1, handling, sync_ms: 2, segment_bytes: 4 << 20, ..Shape::CALM };
        Self::with(seed, Shape { nodes, members: true, agents_known: true, ..quiet }, without)
    }

    /// Somebody says something. It is on its way to the node when this returns.
    pub fn submit(&mut self, from: usize, to: usize, wish: &Wish) -> Sent {
        let id = MessageId::new(self.chance.number());
        let destination = self.agent_id(to);
        let node = self.agents.get(from).map_or(0, |agent| agent.node);
        let wall = self.hosts.get(node).map_or(0, |host| host.wall(self.now));
        let said = Said {
            to: destination,
            id,
            message_type: wish.message_type,
            content_type: ContentType::Octets,
            last: wish.last,
            wants_end: wish.wants_end,
            expiry: wish.life.map(|life| wall.saturating_add(life)),
            body: vec![7; wish.body_bytes],
            times: 0,
        };
        self.plan(0, What::Act { agent: from, act: Act::Say(Box::new(said)) });
        Sent { source: self.agent_id(from), destination, id }
    }

    /// The rules of a node's operator from here on, after restarts too.
    pub fn set_policy(&mut self, node: usize, policy: mesh::Policy) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.policy = policy.clone();
        }
        self.input(node, mesh::Input::Policy(policy));
    }

    /// Says that rules do not allow this: nobody is to see it, and its sender is to hear so.
    pub fn forbid(&mut self, sent: Sent) {
        self.forbidden.insert(sent.id);
    }

    /// What an agent does with deliveries from here on.
    pub fn set_handling(&mut self, agent: usize, handling: Handling) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.handling = handling;
        }
    }

    /// An agent's process ends, and is not there for that many ns.
    pub fn send_away(&mut self, agent: usize, length: u64) {
        let until = self.now + length;
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.away_until = until;
        }
        self.plan(0, What::Act { agent, act: Act::Die });
    }

    /// A second process attaches as the same agent.
    pub fn take_over(&mut self, agent: usize) {
        self.plan(0, What::Act { agent, act: Act::TakeOver });
    }

    /// Syncs of a node wait.
    pub fn hold_syncs(&mut self, node: usize) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.holds_syncs = true;
        }
    }

    /// Syncs of a node go on.
    pub fn release_syncs(&mut self, node: usize) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.holds_syncs = false;
            let incarnation = host.incarnation;
            self.plan(0, What::SyncBegins { node, incarnation });
        }
    }

    /// Decides about each frame from here on.
    pub fn on_frames(&mut self, fates: impl FnMut(&Parcel, u64) -> Fate + 'static) {
        self.fates = Some(Box::new(fates));
    }

    /// Frames go as they usually do again.
    pub fn leave_frames(&mut self) {
        self.fates = None;
    }

    /// Notes that something has not come about that should have.
    pub fn must(&mut self, is_so: bool, what: &str) {
        if !is_so {
            self.model.fault(Promise::ItSettles, None, None, what);
        }
    }

    /// The flow in which a message has its place at its source, and the place.
    #[must_use]
    pub fn place(&self, sent: Sent) -> Option<(FlowId, u32)> {
        let node = self.home(sent.source)?;
        let key = Key::message(sent.source, sent.destination, sent.id);
        let places = self.model.accounts.get(node)?.asked.owned.get(&key)?;
        places.values().next().map(|place| (place.flow, place.sequence))
    }

    /// A destination says STORED of what it has not. What left before is its to answer for; nothing else is.
    pub fn forge_stored(&mut self, about: Sent, flow: FlowId, sequence: u32) {
        let draft = Draft {
            sequence: Sequence::new(sequence),
            ..self.forged(about, MessageType::Ack, Kind::Stored, ContentType::None)
        };
        let pair = PairKey { source: about.source, destination: about.destination, answers: false };
        self.model.liars.insert(pair);
        self.forge(&draft, Some(flow), &[]);
    }

    /// A destination claims to know a newer flow.
    pub fn forge_older_flow(&mut self, about: Sent, newest: u64) {
        let error = ErrorBody {
            code: ErrorCode::OLDER_FLOW,
            message: "a lie".into(),
            original: MessageId::new(0),
            retry_after_ms: 0,
        };
        let draft = self.forged(about, MessageType::Error, Kind::Notice, ContentType::MessagePack);
        let Some(newest) = FlowId::new(newest) else { return };
        self.forge(&draft, Some(newest), &error.write(ContentType::MessagePack));
    }

    /// Another agent than the one that was asked claims to have handled a message, at a place of its own flow.
    pub fn forge_handled(&mut self, about: Sent, by: usize, sequence: u32) {
        let source = self.agent_id(by);
        let Some(to) = self.home(about.source) else { return };
        let keys = self.hosts.get(to).and_then(|host| host.run.as_ref()).map(|run| &run.prekeys);
        let key = keys.and_then(|keys| keys.iter().find(|(_, kept)| kept.agent == about.source)).map(|(key, _)| *key);
        let mut draft = self.forged(about, MessageType::Ack, Kind::Durable(FlowKind::Answers), ContentType::None);
        draft.source = source;
        draft.sequence = Sequence::new(sequence);
        let metadata = MetadataDraft {
            expiry: Some(draft.timestamp.saturating_add(ANSWER_LIFE)),
            flow_id: FlowId::new(FORGED_FLOW),
            floor: Some(sequence),
            ..MetadataDraft::default()
        };
        let (Some(from), Ok(content)) = (self.home(source), forge::frame(&draft, &metadata, &[], Boundary::Wire))
        else {
            return;
        };
        if from != to {
            self.inject(Parcel { from, to, content, sealed_to: key }, SECOND / 100);
        }
    }

    fn forged(&self, about: Sent, message_type: MessageType, shape: Kind, content_type: ContentType) -> Draft {
        let wall =
            self.home(about.destination).and_then(|from| self.hosts.get(from)).map_or(0, |host| host.wall(self.now));
        Draft {
            message_type,
            shape,
            id: about.id,
            timestamp: wall,
            source: about.destination,
            destination: about.source,
            content_type,
            hops: 8,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        }
    }

    fn forge(&mut self, draft: &Draft, flow_id: Option<FlowId>, body: &[u8]) {
        let (Some(from), Some(to)) = (self.home(draft.source), self.home(draft.destination)) else { return };
        let metadata = MetadataDraft { flow_id, ..MetadataDraft::default() };
        match forge::frame(draft, &metadata, body, Boundary::Wire) {
            Ok(content) => self.inject(Parcel { from, to, content, sealed_to: None }, SECOND / 100),
            Err(refusal) => {
                self.fault(Promise::HostIsUsable, from, format!("a forged frame cannot be made: {refusal}"))
            }
        }
    }

    /// Whether an agent was given a message.
    #[must_use]
    pub fn is_delivered(&self, sent: Sent) -> bool {
        self.mail(sent).is_some_and(|mail| mail.deliveries > 0)
    }

    /// Whether a node runs.
    #[must_use]
    pub fn is_up(&self, node: usize) -> bool {
        self.hosts.get(node).is_some_and(|host| host.run.is_some())
    }

    /// Whether a message's end was told.
    #[must_use]
    pub fn is_ended(&self, sent: Sent) -> bool {
        self.mail(sent).is_some_and(|mail| !mail.ends.is_empty())
    }

    /// An agent by its id.
    #[must_use]
    pub fn who(&self, id: AgentId) -> Option<usize> {
        self.agents.iter().position(|agent| agent.id == id)
    }
}
