//! An agent and its library, as far as they matter here: it attaches, says things, handles what it gets, dies and comes
//! back, and says again what it has not heard the end of. It knows the protocol, and nothing of the core.

use std::collections::BTreeMap;

use mesh::ClientId;
use proto::metadata::Stage;
use proto::{AgentId, ContentType, ErrorCode, MessageId, MessageType, Name};

use crate::shape::Handling;

/// One agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) node: usize,
    pub(crate) name: Name,
    pub(crate) uid: u32,
    pub(crate) id: AgentId,
    pub(crate) handling: Handling,
    /// Its connections, the newest last.
    pub(crate) lines: Vec<Line>,
    /// It does not connect before.
    pub(crate) away_until: u64,
    /// What it has not heard the end of, in the order in which it was first said.
    pub(crate) said: BTreeMap<u64, Said>,
    pub(crate) serial: u64,
    /// How many durable messages were delivered to it.
    pub(crate) seen: u64,
}

/// A connection to the node, as its client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) client: ClientId,
    /// The start of the node that it was made with.
    pub(crate) incarnation: u32,
    pub(crate) attach: MessageId,
    pub(crate) is_attached: bool,
    /// What was said last arrives then.
    pub(crate) said_at: u64,
}

/// A durable message whose end was not heard.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) to: AgentId,
    pub(crate) id: MessageId,
    pub(crate) message_type: MessageType,
    pub(crate) content_type: ContentType,
    pub(crate) last: Stage,
    pub(crate) wants_end: bool,
    pub(crate) expiry: Option<u64>,
    pub(crate) body: Vec<u8>,
    pub(crate) times: u32,
}

/// What an agent does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Connects and attaches, if it has no connection.
    Connect,
    /// Connects although it is attached already.
    TakeOver,
    /// Attaches once more over the connection that it has, perhaps after it detached.
    Rejoin { detaches: bool },
    /// Another user tries to attach under its name, and to acknowledge for it.
    Intrude,
    /// Its process dies.
    Die,
    /// Says something new.
    Say(Box<Said>),
    /// Says something new that goes at most once.
    SayOnce { to: AgentId, asks: bool },
    /// Asks whether somebody is there.
    Ping { to: AgentId },
    /// Says again what it has not heard the end of.
    SayAgain { serial: u64 },
    /// Tells the node what became of a delivery.
    Answer { client: ClientId, number: u64, to: AgentId, id: MessageId, how: Answer },
    /// Answers what was asked at most once.
    AnswerOnce { client: ClientId, to: AgentId, id: MessageId },
    /// Refuses what was asked at most once, with this code.
    DeclineOnce { client: ClientId, to: AgentId, id: MessageId, code: ErrorCode },
}

/// What became of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It was handled.
    Handled,
    /// It was answered, which says that it was handled.
    Respond,
    /// It will not be handled, with this code.
    Refuse(ErrorCode),
    /// It takes longer.
    Working,
}

impl Agent {
    pub(crate) const fn new(node: usize, name: Name, uid: u32, id: AgentId, handling: Handling) -> Self {
        Self {
            node,
            name,
            uid,
            id,
            handling,
            lines: Vec::new(),
            away_until: 0,
            said: BTreeMap::new(),
            serial: 0,
            seen: 0,
        }
    }

    pub(crate) fn line(&self, client: ClientId) -> Option<&Line> {
        self.lines.iter().find(|line| line.client == client)
    }

    pub(crate) fn attached(&self) -> Option<&Line> {
        self.lines.iter().rev().find(|line| line.is_attached)
    }

    pub(crate) fn remember(&mut self, said: Said) -> u64 {
        self.serial += 1;
        self.said.insert(self.serial, said);
        self.serial
    }

    /// No more is awaited of an id.
    pub(crate) fn is_over(&mut self, id: MessageId) {
        self.said.retain(|_, said| said.id != id);
    }

    /// It was told that a message reached a stage.
    pub(crate) fn reached(&mut self, id: MessageId, stage: Stage) {
        let rank = |stage: Stage| match stage {
            Stage::None => 0,
            Stage::Accepted => 1,
            Stage::Stored => 2,
            Stage::Handled => 3,
        };
        self.said.retain(|_, said| said.id != id || rank(said.last) > rank(stage));
    }
}
