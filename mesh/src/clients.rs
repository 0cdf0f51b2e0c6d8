//! The agents' door: who is connected, and as whom. An attached name belongs to the user that first had it; the same
//! user takes over, and what the older client held is void.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use proto::control::{Attach, AttachReply, ControlBody};
use proto::limits::{
    BODY_BYTES_MAX, CLIENT_AGENTS_MAX, CLIENT_ROOM_BYTES, CLIENT_ROOM_DELIVERIES, HEADER_BYTES, HOSTED_MAX,
    HOSTED_UID_MAX, LEASE,
};
use proto::metadata::Key;
use proto::record::AgentRecord;
use proto::{AgentId, Content, ContentType, DoorEvent, ErrorCode, MessageId, Name, PrekeyId};

use crate::effect::Effect;
use crate::explain::is_for_the_core;
use crate::input::{ClientId, HostedAgent};
use crate::node::Node;
use crate::rules::Rule;
use crate::say::{Asked, Failure};
use crate::step::Step;
use crate::time::{Mono, millis};

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    uid: u32,
    /// It may change how the node is.
    is_admin: bool,
    agents: BTreeSet<AgentId>,
    room: u32,
    room_bytes: u64,
    /// What was said in each delivery that is not written to its socket yet, the oldest first.
    unwritten: VecDeque<u64>,
    /// What it was given so far, and what it will take in all: messages and bytes. Who says nothing takes what comes.
    given: (u64, u64),
    credit: Option<(u64, u64)>,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    all: BTreeMap<ClientId, Client>,
}

/// An agent whose keys this node keeps.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) hosted: HostedAgent,
    pub(crate) client: Option<ClientId>,
    pub(crate) capabilities: Vec<Box<str>>,
    pub(crate) topics: Vec<Box<str>>,
    /// The newest prekey and its last moment.
    pub(crate) prekey: Option<([u8; 32], u64)>,
    /// All whose secret halves are kept.
    pub(crate) prekeys: BTreeSet<PrekeyId>,
    /// When the next one is made.
    pub(crate) next_prekey: Option<Mono>,
    pub(crate) sequence: u64,
    pub(crate) counts: Counts,
}

/// How many messages went since the start: what agents say to each other, and not how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// All of them, and those whose keys are being made.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    pub(crate) agents: BTreeMap<AgentId, Local>,
    pub(crate) names: BTreeMap<Name, AgentId>,
    pub(crate) making: BTreeMap<Name, Vec<(Asked, Wish)>>,
}

/// What an attach asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    name: Name,
    capabilities: Vec<Box<str>>,
    topics: Vec<Box<str>>,
}

impl Client {
    /// Whether it will take a delivery. The first of what it was not given yet may be longer than its credit, or a
    /// message longer than all its credit would wait for ever.
    fn has_credit(&self) -> bool {
        self.credit.is_none_or(|(messages, bytes)| self.given.0 < messages && self.given.1 < bytes)
    }
}

impl Clients {
    /// Takes one place in a client's room, if there is one.
    pub(crate) fn take_room(&mut self, client: ClientId, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let Some(client) = self.all.get_mut(&client) else { return false };
        if client.room == 0 || client.room_bytes == 0 || !client.has_credit() {
            return false;
        }
        client.room -= 1;
        client.room_bytes = client.room_bytes.saturating_sub(bytes);
        client.unwritten.push_back(bytes);
        client.given = (client.given.0 + 1, client.given.1.saturating_add(bytes + HEADER_BYTES as u64));
        true
    }

    /// Whether it may change how the node is.
    pub(crate) fn is_admin(&self, client: ClientId) -> bool {
        self.all.get(&client).is_some_and(|client| client.is_admin)
    }
}

impl Locals {
    pub(crate) fn new(hosted: Vec<HostedAgent>) -> Self {
        let mut locals = Self::default();
        for agent in hosted {
            locals.insert(agent);
        }
        locals
    }

    fn insert(&mut self, hosted: HostedAgent) {
        self.names.insert(hosted.name.clone(), hosted.id);
        let local = Local {
            hosted,
            client: None,
            capabilities: Vec::new(),
            topics: Vec::new(),
            prekey: None,
            prekeys: BTreeSet::new(),
            next_prekey: None,
            sequence: 0,
            counts: Counts::default(),
        };
        self.agents.insert(local.hosted.id, local);
    }

    /// What an agent of this node said about itself before the restart holds until it attaches again.
    pub(crate) fn remember(&mut self, agent: AgentId, record: &AgentRecord) {
        if let Some(local) = self.agents.get_mut(&agent) {
            local.capabilities.clone_from(&record.capabilities);
            local.topics.clone_from(&record.topics);
            local.sequence = record.sequence;
        }
    }

    /// An agent of this node has sent something.
    pub(crate) fn count_sent(&mut self, agent: AgentId) {
        if let Some(local) = self.agents.get_mut(&agent) {
            local.counts.sent += 1;
        }
    }

    /// An agent of this node was given something.
    pub(crate) fn count_received(&mut self, agent: AgentId) {
        if let Some(local) = self.agents.get_mut(&agent) {
            local.counts.received += 1;
        }
    }

    /// Who is attached as an agent.
    pub(crate) fn client_of(&self, agent: AgentId) -> Option<ClientId> {
        self.agents.get(&agent)?.client
    }
}

impl Node {
    pub(crate) fn is_attached(&self, client: ClientId, agent: AgentId) -> bool {
        self.locals.client_of(agent) == Some(client)
    }

    pub(crate) fn client_came(&mut self, client: ClientId, uid: u32, is_admin: bool) {
        let new = Client {
            uid,
            is_admin,
            agents: BTreeSet::new(),
            room: CLIENT_ROOM_DELIVERIES,
            room_bytes: CLIENT_ROOM_BYTES,
            unwritten: VecDeque::new(),
            given: (0, 0),
            credit: None,
        };
        self.clients.all.insert(client, new);
    }

    pub(crate) fn client_left(&mut self, client: ClientId, step: &mut Step<'_>) {
        let Some(gone) = self.clients.all.remove(&client) else { return };
        for agent in gone.agents {
            self.detach(client, agent, step);
        }
    }

    fn detach(&mut self, client: ClientId, agent: AgentId, step: &mut Step<'_>) {
        if let Some(local) = self.locals.agents.get_mut(&agent)
            && local.client == Some(client)
        {
            local.client = None;
            self.take_back_all(agent, client, step);
        }
    }

    /// That many deliveries were written, and so many bytes of payload.
    pub(crate) fn client_room(&mut self, client: ClientId, deliveries: u32, bytes: u64, step: &mut Step<'_>) {
        let Some(known) = self.clients.all.get_mut(&client) else { return };
        let written = known.unwritten.len().min(deliveries as usize);
        let said: u64 = known.unwritten.drain(..written).sum();
        known.room = known.room.saturating_add(deliveries).min(CLIENT_ROOM_DELIVERIES);
        known.room_bytes = known.room_bytes.saturating_add(said).min(CLIENT_ROOM_BYTES);
        // A payload also holds what was proved. Credit counts what the client sees, or the two would drift apart.
        known.given.1 = known.given.1.saturating_add(bytes).saturating_sub(said);
        self.pump_client(client, step);
    }

    fn pump_client(&mut self, client: ClientId, step: &mut Step<'_>) {
        let Some(known) = self.clients.all.get(&client) else { return };
        let waiting = known.agents.iter().filter(|agent| self.mailboxes.boxes.contains_key(agent));
        for agent in waiting.copied().collect::<Vec<_>>() {
            self.pump_mailbox(agent, step);
        }
    }

    /// How much a client will take in all. It never takes credit back.
    fn credit(&mut self, client: ClientId, content: &Content, step: &mut Step<'_>) {
        let number = |key| content.metadata.number(key);
        let (Some(messages), Some(bytes)) = (number(Key::CreditMessages), number(Key::CreditBytes)) else { return };
        let Some(known) = self.clients.all.get_mut(&client) else { return };
        let (before, bytes_before) = known.credit.unwrap_or((0, 0));
        known.credit = Some((messages.max(before), bytes.max(bytes_before)));
        self.pump_client(client, step);
    }

    pub(crate) fn client_said(&mut self, client: ClientId, content: Box<Content>, step: &mut Step<'_>) {
        let asked = Asked::of(client, &content.header);
        if !self.clients.all.contains_key(&client) {
            return;
        }
        let Some(event) = DoorEvent::of(&content) else {
            self.refuse(asked, Failure::new(ErrorCode::MALFORMED, "streams are not supported"), step);
            return;
        };
        let source = asked.source;
        if !source.is_zero() && !self.is_attached(client, source) {
            let words = "this connection is not attached as the source, or another one has taken over";
            self.refuse(asked, Failure::new(ErrorCode::UNAUTHENTICATED, words), step);
            return;
        }
        let number = content.metadata.number(Key::DeliveryNumber).unwrap_or(0);
        match event {
            DoorEvent::Attach => self.attach(asked, &content, step),
            DoorEvent::Detach => {
                self.detach(client, source, step);
                self.forget_attached(client, source);
                self.answer_done(asked, step);
            }
            DoorEvent::Working if self.working(client, source, number, step) => self.answer_done(asked, step),
            DoorEvent::Working => {
                let words = "this delivery is void: it was taken over, or its lease has ended";
                self.refuse(asked, Failure::new(ErrorCode::TIMEOUT, words), step);
            }
            DoorEvent::Resolve => self.resolve(asked, &content, step),
            DoorEvent::Submit => self.submit(client, content, step),
            DoorEvent::Respond => self.respond(client, content, step),
            DoorEvent::Ping => self.submit_ping(client, &content, step),
            DoorEvent::Handled => self.handled(client, source, number, asked.id, step),
            DoorEvent::Refuse if content.metadata.has(Key::DeliveryNumber) => {
                self.refuse_delivery(client, source, number, &content, step);
            }
            DoorEvent::Refuse => self.decline(&content, step),
            DoorEvent::Credit => self.credit(client, &content, step),
            DoorEvent::Order => self.order(asked, &content, step),
            DoorEvent::Question if is_for_the_core(&content) => self.explain(asked, &content, step),
            DoorEvent::Question
            | DoorEvent::Delivery
            | DoorEvent::Answer
            | DoorEvent::DurableDelivery
            | DoorEvent::Told
            | DoorEvent::Refused
            | DoorEvent::Pong => {
                self.refuse(asked, Failure::new(ErrorCode::MALFORMED, "the node does not know this subject"), step);
            }
        }
    }

    fn forget_attached(&mut self, client: ClientId, agent: AgentId) {
        if let Some(known) = self.clients.all.get_mut(&client) {
            known.agents.remove(&agent);
        }
    }

    fn attach(&mut self, asked: Asked, content: &Content, step: &mut Step<'_>) {
        self.credit(asked.client, content, step);
        match self.judge_attach(asked, content) {
            Err(failure) => self.refuse(asked, failure, step),
            Ok(wish) => match self.locals.names.get(&wish.name) {
                Some(agent) => self.attach_as(*agent, asked, wish, step),
                None => self.make_agent(asked, wish, step),
            },
        }
    }

    fn judge_attach(&self, asked: Asked, content: &Content) -> Result<Wish, Failure> {
        let malformed = |words: &'static str| Failure::new(ErrorCode::MALFORMED, words);
        let attach = Attach::read(content.header.content_type(), &content.body);
        let attach = attach.ok_or(malformed("the body of agent.attach cannot be read"))?;
        let name: Name = attach
            .name
            .parse()
            .map_err(|_| malformed("a name is 1 to 63 characters of a-z 0-9 . _ -, the first one a letter or digit"))?;
        let known = self.clients.all.get(&asked.client);
        if known.is_none_or(|known| known.agents.len() >= CLIENT_AGENTS_MAX) {
            return Err(Failure::full("one connection is attached as many agents as it may be"));
        }
        if !self.locals.names.contains_key(&name) && self.locals.agents.len() >= HOSTED_MAX {
            return Err(Failure::full("this node keeps the keys of as many agents as it may"));
        }
        let uid = known.map(|known| known.uid);
        let of_uid = || self.locals.agents.values().filter(|local| Some(local.hosted.uid) == uid).count();
        if !self.locals.names.contains_key(&name) && of_uid() >= HOSTED_UID_MAX {
            return Err(Failure::full("this user has as many agents on this node as it may"));
        }
        let boxed = |texts: Vec<alloc::string::String>| texts.into_iter().map(Into::into).collect();
        let wish = Wish { name, capabilities: boxed(attach.capabilities), topics: boxed(attach.topics) };
        if fits_record(&wish) { Ok(wish) } else { Err(malformed("capabilities or topics are too many or too long")) }
    }

    fn make_agent(&mut self, asked: Asked, wish: Wish, step: &mut Step<'_>) {
        let Some(uid) = self.clients.all.get(&asked.client).map(|client| client.uid) else { return };
        let waiting = self.locals.making.entry(wish.name.clone()).or_default();
        if waiting.is_empty() {
            step.ask(Effect::MakeAgent { name: wish.name.clone(), uid });
        }
        waiting.push((asked, wish));
    }

    pub(crate) fn agent_made(&mut self, hosted: HostedAgent, step: &mut Step<'_>) {
        let (agent, name) = (hosted.id, hosted.name.clone());
        self.locals.insert(hosted);
        self.next_prekey(agent, step);
        for (asked, wish) in self.locals.making.remove(&name).unwrap_or_default() {
            self.attach_as(agent, asked, wish, step);
        }
    }

    pub(crate) fn agent_not_made(&mut self, name: &Name, step: &mut Step<'_>) {
        for (asked, _) in self.locals.making.remove(name).unwrap_or_default() {
            let words = "the keys of a new agent could not be made or kept; the daemon's log says why";
            self.refuse(asked, Failure::new(ErrorCode::SERVER, words), step);
        }
    }

    fn attach_as(&mut self, agent: AgentId, asked: Asked, wish: Wish, step: &mut Step<'_>) {
        let Some(client) = self.clients.all.get_mut(&asked.client) else { return };
        let Some(local) = self.locals.agents.get_mut(&agent) else { return };
        if local.hosted.uid != client.uid {
            let words = "this name belongs to another user of this host";
            self.refuse(asked, Failure::new(ErrorCode::POLICY, words), step);
            return;
        }
        client.agents.insert(agent);
        let before = local.client.replace(asked.client);
        let is_new = local.capabilities != wish.capabilities || local.topics != wish.topics;
        local.capabilities = wish.capabilities;
        local.topics = wish.topics;
        if let Some(older) = before {
            if older != asked.client {
                self.forget_attached(older, agent);
                self.say_taken_over(older, agent, step);
            }
            if self.rules.hold(Rule::TakeoverVoidsNumbers) || older == asked.client {
                self.take_back_all(agent, older, step);
            }
        }
        if is_new {
            self.sign_agent(agent, step);
        }
        let reply = AttachReply {
            agent_id: alloc::format!("{agent}"),
            node_id: alloc::format!("{}", self.node_id()),
            node_name: self.me.name.as_str().into(),
            lease_ms: u32::try_from(millis(LEASE)).unwrap_or(u32::MAX).into(),
            message_bytes_max: u32::try_from(BODY_BYTES_MAX).unwrap_or(u32::MAX).into(),
        };
        self.answer(asked, &reply, step);
        self.pump_mailbox(agent, step);
    }

    /// Whoever was attached hears that it is no more, and why. A client that is attached as nobody else is let go.
    fn say_taken_over(&mut self, older: ClientId, agent: AgentId, step: &mut Step<'_>) {
        let asked = Asked { client: older, source: agent, id: MessageId::new(0), content_type: ContentType::None };
        let words = "another client of the same user has attached as this agent";
        self.refuse(asked, Failure::new(ErrorCode::POLICY, words), step);
        if self.clients.all.get(&older).is_some_and(|client| client.agents.is_empty()) {
            step.ask(Effect::Disconnect { client: older });
        }
    }
}

/// Whether the record of such an agent could be written.
fn fits_record(wish: &Wish) -> bool {
    use proto::limits::{CAPABILITIES_MAX, CAPABILITY_BYTES_MAX, SUBJECT_BYTES_MAX, TOPICS_MAX};
    let fit = |texts: &[Box<str>], count: u32, bytes: usize| {
        texts.len() <= count as usize
            && texts.iter().all(|text| !text.is_empty() && text.len() <= bytes && !text.chars().any(char::is_control))
    };
    fit(&wish.capabilities, CAPABILITIES_MAX, CAPABILITY_BYTES_MAX) && fit(&wish.topics, TOPICS_MAX, SUBJECT_BYTES_MAX)
}
