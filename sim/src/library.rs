//! What agents do in the world: their connections, what they say, and what they hear.

use bytes::Bytes;
use mesh::ClientId;
use proto::control::{Attach, ControlBody, subject};
use proto::metadata::{MetadataDraft, Stage};
use proto::{
    AgentId, Boundary, Content, ContentType, DoorEvent, Draft, ErrorCode, FlowKind, MessageId, MessageType, Name,
    Receipt, Sequence, Shape,
};

use crate::agent::{Act, Agent, Line, Said};
use crate::answers::what_once;
use crate::fault::Promise;
use crate::forge;
use crate::host::ClientEnd;
use crate::time::{MILLI, SECOND};
use crate::world::{What, World};

/// The topic of all broadcasts.
const TOPIC: &str = "weather";

/// A user that owns no agent.
const STRANGER: u32 = 9999;

impl World {
    pub(crate) fn agent_acts(&mut self, agent: usize, act: Act) {
        match act {
            Act::Connect => self.connect(agent, false),
            Act::TakeOver => self.connect(agent, true),
            Act::Rejoin { detaches } => self.rejoin(agent, detaches),
            Act::Intrude => self.intrude(agent),
            Act::Die => self.agent_dies(agent),
            Act::Say(said) => self.say_new(agent, *said),
            Act::SayOnce { to, asks } => self.say_once(agent, to, asks),
            Act::Ping { to } => self.ping(agent, to),
            Act::SayAgain { serial } => self.say(agent, serial),
            Act::Answer { client, number, to, id, how } => self.answer(agent, client, number, to, id, how),
            Act::AnswerOnce { client, to, id } => {
                let draft = self.draft(agent, MessageType::Response, Shape::Once, to, id);
                self.up(agent, client, &draft, &MetadataDraft::default(), b"at once");
            }
            Act::DeclineOnce { client, to, id, code } => {
                self.refuse(agent, client, (to, id), code, &MetadataDraft::default());
            }
        }
    }

    fn connect(&mut self, agent: usize, takes_over: bool) {
        let now = self.now;
        let is_mended = self.is_mended;
        let Some(who) = self.agents.get(agent) else { return };
        let (node, name, uid) = (who.node, who.name.clone(), who.uid);
        if !who.lines.is_empty() && !takes_over {
            return;
        }
        if who.away_until > now && !is_mended {
            let after = who.away_until - now;
            return self.plan(after, What::Act { agent, act: Act::Connect });
        }
        let takes = self.hosts.get(node).and_then(|host| host.run.as_ref()).is_some_and(|run| !run.is_stopping);
        if !takes {
            let after = self.chance.skewed(20 * MILLI, 2 * SECOND);
            return self.plan(after, What::Act { agent, act: Act::Connect });
        }
        let client = ClientId(self.name());
        let attach = MessageId::new(self.chance.number());
        let incarnation = self.incarnation(node);
        let line = Line { client, incarnation, attach, is_attached: false, said_at: now };
        if let Some(who) = self.agents.get_mut(agent) {
            who.lines.push(line);
        }
        if let Some(run) = self.run(node) {
            run.clients.insert(client, ClientEnd { agent, deliveries_out: 0, heard_at: now, is_stranger: false });
        }
        self.plan(0, What::Said { client, node, incarnation, content: None, uid });
        self.attach(agent, client, attach, &name);
    }

    fn attach(&mut self, agent: usize, client: ClientId, id: MessageId, name: &Name) {
        let (draft, body) = self.attach_frame(agent, id, name);
        self.up(agent, client, &draft, &attaches(), &body);
    }

    fn attach_frame(&self, agent: usize, id: MessageId, name: &Name) -> (Draft, Bytes) {
        let body = Attach { name: name.to_string(), capabilities: Vec::new(), topics: vec![TOPIC.into()] };
        let draft = Draft {
            source: AgentId::ZERO,
            content_type: ContentType::MessagePack,
            ..self.draft(agent, MessageType::Request, Shape::Once, AgentId::ZERO, id)
        };
        (draft, body.write(ContentType::MessagePack))
    }

    /// What was delivered before is void, and comes again.
    fn rejoin(&mut self, agent: usize, detaches: bool) {
        let (detach, id) = (MessageId::new(self.chance.number()), MessageId::new(self.chance.number()));
        let Some(who) = self.agents.get_mut(agent) else { return };
        let name = who.name.clone();
        let Some(line) = who.lines.iter_mut().rev().find(|line| line.is_attached) else { return };
        line.is_attached = false;
        line.attach = id;
        let client = line.client;
        if detaches {
            let draft = Draft {
                content_type: ContentType::None,
                ..self.draft(agent, MessageType::Request, Shape::Once, AgentId::ZERO, detach)
            };
            let metadata = MetadataDraft { subject: Some(subject::DETACH), ..MetadataDraft::default() };
            self.up(agent, client, &draft, &metadata, &[]);
        }
        self.attach(agent, client, id, &name);
    }

    /// It knows the name and a number, and must get nowhere with them.
    fn intrude(&mut self, agent: usize) {
        let id = MessageId::new(self.chance.number());
        let Some(who) = self.agents.get(agent).filter(|who| who.attached().is_some()) else { return };
        let (node, name, own) = (who.node, who.name.clone(), who.id);
        let client = ClientId(self.name());
        let incarnation = self.incarnation(node);
        let now = self.now;
        let out = self.model.out.get(node).into_iter().flatten();
        let stolen =
            out.filter(|(_, out)| out.key.pair.destination == own).map(|(number, out)| (*number, out.key)).next();
        let Some(run) = self.run(node) else { return };
        run.clients.insert(client, ClientEnd { agent, deliveries_out: 0, heard_at: now, is_stranger: true });
        let (draft, body) = self.attach_frame(agent, id, &name);
        let mut said = vec![forge::frame(&draft, &attaches(), &body, Boundary::Up)];
        if let Some((number, key)) = stolen {
            let draft = Draft {
                content_type: ContentType::None,
                ..self.draft(agent, MessageType::Ack, Shape::Handled, key.pair.source, key.id)
            };
            let metadata = MetadataDraft { delivery_number: Some(number), ..MetadataDraft::default() };
            said.push(forge::frame(&draft, &metadata, &[], Boundary::Up));
        }
        let uid = STRANGER;
        self.model.tally.strangers += 1;
        self.plan(0, What::Said { client, node, incarnation, content: None, uid });
        for (after, content) in (1..).zip(said) {
            let content = content.ok().map(Box::new);
            self.plan(after * MILLI, What::Said { client, node, incarnation, content, uid });
        }
        self.plan(SECOND, What::Left { client, node, incarnation });
    }

    fn ping(&mut self, agent: usize, to: AgentId) {
        let id = MessageId::new(self.chance.number());
        let Some(client) = self.agents.get(agent).and_then(Agent::attached).map(|line| line.client) else { return };
        let draft =
            Draft { content_type: ContentType::None, ..self.draft(agent, MessageType::Ping, Shape::Ping, to, id) };
        self.up(agent, client, &draft, &MetadataDraft::default(), &[]);
    }

    fn agent_dies(&mut self, agent: usize) {
        let now = self.now;
        let Some(who) = self.agents.get_mut(agent) else { return };
        let node = who.node;
        for line in std::mem::take(&mut who.lines) {
            let after = line.said_at.saturating_sub(now);
            self.plan(after, What::Left { client: line.client, node, incarnation: line.incarnation });
        }
        let after = self.chance.skewed(10 * MILLI, 3 * SECOND);
        self.plan(after, What::Act { agent, act: Act::Connect });
    }

    pub(crate) fn line_lost(&mut self, agent: usize, client: ClientId) {
        let Some(who) = self.agents.get_mut(agent) else { return };
        let before = who.lines.len();
        who.lines.retain(|line| line.client != client);
        if who.lines.len() < before && who.lines.is_empty() {
            let after = self.chance.skewed(10 * MILLI, 2 * SECOND);
            self.plan(after, What::Act { agent, act: Act::Connect });
        }
    }

    pub(crate) fn draft(
        &self,
        agent: usize,
        message_type: MessageType,
        shape: Shape,
        destination: AgentId,
        id: MessageId,
    ) -> Draft {
        Draft {
            message_type,
            shape,
            id,
            timestamp: 0,
            source: self.agent_id(agent),
            destination,
            content_type: ContentType::Octets,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        }
    }

    /// Says something to the node over one connection.
    pub(crate) fn up(
        &mut self,
        agent: usize,
        client: ClientId,
        draft: &Draft,
        metadata: &MetadataDraft<'_>,
        body: &[u8],
    ) {
        let now = self.now;
        let after = self.chance.skewed(MILLI / 20, MILLI);
        let Some(who) = self.agents.get_mut(agent) else { return };
        let (node, uid) = (who.node, who.uid);
        let Some(line) = who.lines.iter_mut().find(|line| line.client == client) else { return };
        line.said_at = line.said_at.max(now + after);
        let (at, incarnation) = (line.said_at, line.incarnation);
        match forge::frame(draft, metadata, body, Boundary::Up) {
            Ok(content) => {
                let content = Some(Box::new(content));
                self.plan(at - now, What::Said { client, node, incarnation, content, uid });
            }
            Err(refusal) => self.fault(Promise::HostIsUsable, node, format!("a frame up cannot be made: {refusal}")),
        }
    }

    pub(crate) fn agent_hears(&mut self, agent: usize, client: ClientId, content: &Content) {
        let Some(who) = self.agents.get_mut(agent) else { return };
        if who.line(client).is_none() {
            return;
        }
        let header = &content.header;
        match DoorEvent::of(content) {
            Some(DoorEvent::Answer) => self.is_attached(agent, client, header.id()),
            Some(DoorEvent::Told) => {
                let stage = match header.receipt() {
                    Receipt::Accepted => Stage::Accepted,
                    Receipt::Stored => Stage::Stored,
                    Receipt::Handled => Stage::Handled,
                    Receipt::None => Stage::None,
                };
                who.reached(header.id(), stage);
            }
            Some(DoorEvent::Refused) => self.is_refused(agent, client, content),
            Some(DoorEvent::DurableDelivery) => self.takes(agent, client, content),
            Some(DoorEvent::Delivery) => {
                if header.message_type() == MessageType::Request && !header.source().is_zero() {
                    let act = what_once(&who.handling, client, header.source(), header.id());
                    let after = self.chance.skewed(0, 100 * MILLI);
                    self.plan(after, What::Act { agent, act });
                }
            }
            Some(
                DoorEvent::Attach
                | DoorEvent::Detach
                | DoorEvent::Working
                | DoorEvent::Credit
                | DoorEvent::Resolve
                | DoorEvent::Order
                | DoorEvent::Question
                | DoorEvent::Submit
                | DoorEvent::Respond
                | DoorEvent::Ping
                | DoorEvent::Handled
                | DoorEvent::Refuse
                | DoorEvent::Pong,
            )
            | None => {}
        }
    }

    /// The node took the name: all that was said and not heard the end of is said again.
    fn is_attached(&mut self, agent: usize, client: ClientId, id: MessageId) {
        let Some(who) = self.agents.get_mut(agent) else { return };
        let Some(line) = who.lines.iter_mut().find(|line| line.client == client && line.attach == id) else { return };
        line.is_attached = true;
        let serials: Vec<_> = who.said.keys().copied().collect();
        for serial in serials {
            self.say(agent, serial);
        }
    }

    fn is_refused(&mut self, agent: usize, client: ClientId, content: &Content) {
        let Some(who) = self.agents.get_mut(agent) else { return };
        let id = content.header.id();
        if who.line(client).is_some_and(|line| line.attach == id) {
            let node = who.node;
            let incarnation = self.incarnation(node);
            self.plan(0, What::Left { client, node, incarnation });
            return self.line_lost(agent, client);
        }
        let code = content.error().map(|error| error.code).ok();
        // Nobody knew whom it was for, or there was no room: a library tries again, under a new id.
        let again = matches!(code, Some(ErrorCode::OFFLINE | ErrorCode::FULL));
        if code == Some(ErrorCode::UNAUTHENTICATED) {
            // Another process of this agent has taken over; it goes on.
            let serial = who.said.iter().find(|(_, said)| said.id == id).map(|(serial, _)| *serial);
            let after = self.chance.skewed(100 * MILLI, 2 * SECOND);
            return serial.into_iter().for_each(|serial| {
                self.plan(after, What::Act { agent, act: Act::SayAgain { serial } });
            });
        }
        let found = who.said.iter().find(|(_, said)| said.id == id).map(|(_, said)| said.clone());
        who.is_over(id);
        let is_here = |node: Option<usize>| node.is_some_and(|node| !self.model.out_nodes.contains(&node));
        let node = self.agents.get(agent).map(|who| who.node);
        if let Some(mut said) = found
            && again
            && is_here(node)
            && is_here(self.home(said.to))
        {
            said.id = MessageId::new(self.chance.number());
            said.times = 0;
            let after = self.chance.skewed(200 * MILLI, 3 * SECOND);
            self.plan(after, What::Act { agent, act: Act::Say(Box::new(said)) });
        }
    }

    fn say_new(&mut self, agent: usize, said: Said) {
        let Some(who) = self.agents.get_mut(agent) else { return };
        let serial = who.remember(said);
        self.say(agent, serial);
    }

    /// Says something for the first time, or again.
    fn say(&mut self, agent: usize, serial: u64) {
        let Some(who) = self.agents.get_mut(agent) else { return };
        let Some(client) = who.attached().map(|line| line.client) else { return };
        let Some(said) = who.said.get_mut(&serial) else { return };
        said.times += 1;
        let said = said.clone();
        if said.last == Stage::None {
            who.said.remove(&serial);
        }
        let is_request = said.message_type == MessageType::Request;
        let draft = Draft {
            content_type: said.content_type,
            ..self.draft(agent, said.message_type, Shape::Durable(FlowKind::Messages), said.to, said.id)
        };
        let metadata = MetadataDraft {
            expiry: said.expiry,
            subject: is_request.then_some("work"),
            topic: (!is_request).then_some(TOPIC),
            handled_wanted: said.wants_end,
            again: said.times > 1,
            last_stage: Some(said.last),
            ..MetadataDraft::default()
        };
        self.up(agent, client, &draft, &metadata, &said.body);
    }

    fn say_once(&mut self, agent: usize, to: AgentId, asks: bool) {
        let id = MessageId::new(self.chance.number());
        let Some(client) = self.agents.get(agent).and_then(Agent::attached).map(|line| line.client) else { return };
        let message_type = if asks { MessageType::Request } else { MessageType::Broadcast };
        let draft = self.draft(agent, message_type, Shape::Once, to, id);
        let metadata = MetadataDraft { topic: (!asks).then_some(TOPIC), ..MetadataDraft::default() };
        self.up(agent, client, &draft, &metadata, b"once");
    }
}

fn attaches() -> MetadataDraft<'static> {
    MetadataDraft { subject: Some(subject::ATTACH), ..MetadataDraft::default() }
}
