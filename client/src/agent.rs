//! An agent that is attached to the daemon on its host: the handle that programs hold. Says what is to be done; the
//! connection's task does it.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use proto::control::{Attach, NodeAgents, NodeStatus, ResolveReply, subject};
use proto::{AgentId, Content, Name, NodeId, limits};

use crate::ask::Ask;
use crate::connection;
use crate::letter::Letter;
use crate::message::{Incoming, Message};
use crate::node::{Handle, Pong};
use crate::send::Sending;
use crate::serve::Handlers;
use crate::shared::Shared;
use crate::{Body, ClientError, Events};

/// Whom a message is for: `agent@node`, `agent`, or an id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// An id.
    Id(AgentId),
    /// What the node looks up.
    Text(Box<str>),
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Text(text.into()), Self::Id)
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<AgentId> for Address {
    fn from(id: AgentId) -> Self {
        Self::Id(id)
    }
}

/// An attached agent. Clones are the same agent; when the last one is dropped, the connection ends.
#[derive(Clone, Debug)]
pub struct Agent {
    handle: Arc<Handle>,
    name: Arc<str>,
    pub(crate) handlers: Arc<Mutex<Handlers>>,
}

impl Agent {
    /// Asks the daemon to be attached under `name`. Awaited, it is the attached agent.
    pub fn attach(name: impl Into<String>) -> Attaching {
        Attaching { name: name.into(), capabilities: Vec::new(), topics: Vec::new(), socket: None }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    /// The name it attached under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.shared().lock().me.id
    }

    /// The node that hosts it.
    #[must_use]
    pub fn node_id(&self) -> Option<NodeId> {
        self.shared().lock().me.node
    }

    /// That node's name.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.shared().lock().me.node_name.to_string()
    }

    /// `name@node`, as others address it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}@{}", self.name, self.shared().lock().me.node_name)
    }

    /// Asks, and waits for the answer. Sent once, without any disk, unless [`Ask::durable`] says otherwise.
    pub fn ask(&self, to: impl Into<Address>, subject: impl Into<String>, body: impl Into<Body>) -> Ask<'_> {
        Ask::new(self.shared(), to.into(), subject.into(), body.into())
    }

    /// Sends. Kept on disk until its end is known; awaited, it is accepted: on this host's disk.
    pub fn send(&self, to: impl Into<Address>, subject: impl Into<String>, body: impl Into<Body>) -> Sending<'_> {
        Sending::new(self.shared(), to.into(), subject.into(), body.into())
    }

    /// Waits for the next message, or for the end of a submission that nobody waits for. A durable delivery that waited
    /// here beyond its lease is left out: it comes again.
    pub async fn recv(&self) -> Result<Incoming, ClientError> {
        self.shared().receive().await
    }

    /// Asks whether an agent's node is there, and how long the way is.
    pub async fn ping(&self, to: impl Into<Address>) -> Result<Pong, ClientError> {
        let (destination, _) = self.shared().find(&to.into()).await?;
        self.handle.ping(destination).await
    }

    /// Asks who an address is.
    pub async fn resolve(&self, address: &str) -> Result<ResolveReply, ClientError> {
        self.shared().resolve(address).await
    }

    /// Asks the node something.
    pub async fn question(&self, subject: impl Into<String>, body: impl Into<Body>) -> Result<Message, ClientError> {
        self.handle.question(subject.into(), body.into()).await
    }

    /// Asks how the node is.
    pub async fn status(&self) -> Result<NodeStatus, ClientError> {
        self.shared().question(subject::STATUS, Body::empty()).await
    }

    /// Asks who can be reached.
    pub async fn agents(&self) -> Result<NodeAgents, ClientError> {
        self.shared().question(subject::AGENTS, Body::empty()).await
    }

    /// What becomes of the connection, from here on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.shared().events.subscribe())
    }

    /// Gives the name back and ends the connection, after all that was said has been written. For all clones.
    pub async fn detach(self) -> Result<(), ClientError> {
        let given_back = self.shared().ask(&Letter::question(subject::DETACH, Body::empty()), None).await;
        self.shared().close();
        self.shared().closed().await;
        given_back.map(|_: Content| ())
    }
}

/// An agent on its way to be attached.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it is awaited"]
pub struct Attaching {
    name: String,
    capabilities: Vec<String>,
    topics: Vec<String>,
    socket: Option<PathBuf>,
}

impl Attaching {
    /// Something it can do, as others may look for it.
    pub fn capability(mut self, capability: impl Into<String>) -> Self {
        self.capabilities.push(capability.into());
        self
    }

    /// A topic whose broadcasts it wants.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The daemon's socket, where it is not one of the usual ones.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket = Some(path.into());
        self
    }

    async fn run(self) -> Result<Agent, ClientError> {
        if !Name::is_name(&self.name) {
            return Err(ClientError::Invalid {
                what: "a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit",
            });
        }
        let most = |max: u32| usize::try_from(max).unwrap_or(usize::MAX);
        if self.capabilities.len() > most(limits::CAPABILITIES_MAX) || self.topics.len() > most(limits::TOPICS_MAX) {
            return Err(ClientError::Invalid { what: "an agent has at most 32 capabilities and 64 topics" });
        }
        let name = self.name.as_str().into();
        let attach = Attach { name: self.name, capabilities: self.capabilities, topics: self.topics };
        let shared = Arc::new(Shared::new(self.socket, Some(attach)));
        let opened = connection::open(&shared).await?;
        connection::start(&shared, opened);
        let handlers = Arc::new(Mutex::new(Handlers { by_subject: BTreeMap::new(), other: None }));
        Ok(Agent { handle: Arc::new(Handle(shared)), name, handlers })
    }
}

impl IntoFuture for Attaching {
    type Output = Result<Agent, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
