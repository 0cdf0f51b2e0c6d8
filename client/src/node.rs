//! A client that is no agent: it asks the node and is known to nobody. Also what agents share with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::control::{
    AllowReply, AllowTest, ControlBody, DeadLetters, Done, Explain, Invitation, Invite, Join, JoinReply, NodeAgents,
    NodeConfig, NodePeers, NodeStatus, Outbox, PeerOrder, Reload, ReloadReply, ResolveReply, Revoked, Select, Story,
    Tap, TapReply, Up, UpReply, subject,
};
use proto::metadata::Key;
use proto::{AgentId, ContentType, MessageId, MessageType, Shape};
use tokio::time::Instant;

use crate::letter::Letter;
use crate::message::Message;
use crate::shared::{Link, Shared};
use crate::{Body, ClientError, connection};

/// A connection to the daemon on this host, for questions alone.
#[derive(Clone, Debug)]
pub struct Node(Arc<Handle>);

/// What came back for a ping.
#[derive(Clone, Debug)]
pub struct Pong {
    /// Who answered.
    pub source: AgentId,
    /// The agent's name, as far as it was told.
    pub name: Option<String>,
    /// The name of its node, as far as it was told.
    pub node_name: Option<String>,
    /// How many relays passed it on.
    pub hops: u64,
    /// From the question to the answer.
    pub round_trip: Duration,
}

impl Node {
    /// Connects to the given socket, or to the first usual one that is there.
    pub async fn connect(socket: Option<&Path>) -> Result<Self, ClientError> {
        let shared = Arc::new(Shared::new(socket.map(Path::to_path_buf), None));
        let opened = connection::open(&shared).await?;
        connection::start(&shared, opened);
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Asks the node something.
    pub async fn question(&self, subject: impl Into<String>, body: impl Into<Body>) -> Result<Message, ClientError> {
        self.0.question(subject.into(), body.into()).await
    }

    /// Asks how the node is.
    pub async fn status(&self) -> Result<NodeStatus, ClientError> {
        self.0.0.question(subject::STATUS, Body::empty()).await
    }

    /// Asks who can be reached.
    pub async fn agents(&self) -> Result<NodeAgents, ClientError> {
        self.0.0.question(subject::AGENTS, Body::empty()).await
    }

    /// Asks who an address is.
    pub async fn resolve(&self, address: &str) -> Result<ResolveReply, ClientError> {
        self.0.0.resolve(address).await
    }

    /// Asks what the node owns.
    pub async fn outbox(&self, select: &Select) -> Result<Outbox, ClientError> {
        self.0.0.question(subject::OUTBOX, packed(select)).await
    }

    /// Asks what was given up.
    pub async fn dead_letters(&self, select: &Select) -> Result<DeadLetters, ClientError> {
        self.0.0.question(subject::DEAD, packed(select)).await
    }

    /// Asks what became of a message, at both ends.
    pub async fn explain(&self, id: MessageId) -> Result<Story, ClientError> {
        self.0.0.question(subject::EXPLAIN, packed(&Explain { message_id: id.to_string() })).await
    }

    /// Asks what happened since the last answer. Only an administrator hears it.
    pub async fn tap(&self, tap: &Tap) -> Result<TapReply, ClientError> {
        self.0.0.question(subject::TAP, packed(tap)).await
    }

    /// Asks what the daemon runs with.
    pub async fn config(&self) -> Result<NodeConfig, ClientError> {
        self.0.0.question(subject::CONFIG, Body::empty()).await
    }

    /// Orders that the configuration is read again; what needs a restart is changed by one only if that is asked for.
    /// Only an administrator is obeyed.
    pub async fn reload(&self, restart: bool) -> Result<ReloadReply, ClientError> {
        self.0.0.question(subject::RELOAD, packed(&Reload { restart })).await
    }

    /// Asks what the rules of this node would say of a message.
    pub async fn test_allow(&self, test: &AllowTest) -> Result<AllowReply, ClientError> {
        self.0.0.question(subject::ALLOW_TEST, packed(test)).await
    }

    /// Orders something. Only an administrator is obeyed; what changes is on disk when this returns.
    pub async fn order(&self, order: Order, select: &Select) -> Result<Done, ClientError> {
        self.0.0.question(order.subject(), packed(select)).await
    }

    /// Asks for the other nodes.
    pub async fn peers(&self) -> Result<NodePeers, ClientError> {
        self.0.0.question(subject::PEERS, Body::empty()).await
    }

    /// Orders that the node takes part in a mesh, and makes one if it is in none. Like all orders below it is for
    /// administrators, and what changes is on disk when this returns. The node may restart in place right after.
    pub async fn up(&self, up: &Up) -> Result<UpReply, ClientError> {
        self.0.0.question(subject::UP, packed(up)).await
    }

    /// Orders that it takes part in none for now.
    pub async fn down(&self) -> Result<Done, ClientError> {
        self.0.0.question(subject::DOWN, Body::empty()).await
    }

    /// Asks for a ticket with which another node can join.
    pub async fn invite(&self, invite: &Invite) -> Result<Invitation, ClientError> {
        self.0.0.question(subject::INVITE, packed(invite)).await
    }

    /// Orders that the node joins the mesh of a ticket.
    pub async fn join(&self, join: &Join) -> Result<JoinReply, ClientError> {
        self.0.0.question(subject::JOIN, packed(join)).await
    }

    /// Orders that it leaves its mesh for good.
    pub async fn leave(&self) -> Result<Done, ClientError> {
        self.0.0.question(subject::LEAVE, Body::empty()).await
    }

    /// Orders that the node has no link with another one, or may have one again.
    pub async fn block(&self, order: &PeerOrder) -> Result<Done, ClientError> {
        self.0.0.question(subject::PEER_BLOCK, packed(order)).await
    }

    /// Orders that what is known of another node is forgotten.
    pub async fn forget(&self, order: &PeerOrder) -> Result<Done, ClientError> {
        self.0.0.question(subject::PEER_FORGET, packed(order)).await
    }

    /// Orders that a node is shut out of the mesh.
    pub async fn revoke(&self, order: &PeerOrder) -> Result<Revoked, ClientError> {
        self.0.0.question(subject::REVOKE, packed(order)).await
    }

    /// Orders that another node gets the key of the mesh's authority too.
    pub async fn share_authority(&self, order: &PeerOrder) -> Result<Done, ClientError> {
        self.0.0.question(subject::AUTHORITY_SHARE, packed(order)).await
    }

    /// Asks the node whether it is there.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        self.0.ping(AgentId::ZERO).await
    }
}

/// What an administrator may order. The messages that it is about are selected beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Try again now what the node owns.
    Retry,
    /// Own it no longer, and tell its sender.
    Drop,
    /// Put back what was given up.
    Requeue,
    /// Forget what was given up.
    Purge,
    /// The clock is right although it jumped: what expires may expire. Nothing is selected.
    TrustClock,
}

impl Order {
    const fn subject(self) -> &'static str {
        match self {
            Self::Retry => subject::OUTBOX_RETRY,
            Self::Drop => subject::OUTBOX_DROP,
            Self::Requeue => subject::DEAD_REQUEUE,
            Self::Purge => subject::DEAD_PURGE,
            Self::TrustClock => subject::TRUST_CLOCK,
        }
    }
}

fn packed(body: &impl ControlBody) -> Body {
    Body::new(ContentType::MessagePack, body.write(ContentType::MessagePack))
}

/// Whoever holds this keeps the connection; when the last one is dropped, it ends.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    pub(crate) async fn question(&self, subject: String, body: Body) -> Result<Message, ClientError> {
        let letter = Letter::question(subject, body);
        letter.judge(self.0.body_bytes_max())?;
        self.0.ask(&letter, None).await.map(Message::new)
    }

    pub(crate) async fn ping(&self, destination: AgentId) -> Result<Pong, ClientError> {
        let letter = Letter::new(MessageType::Ping, Shape::Ping, destination, Body::empty());
        let begun = Instant::now();
        let answer = self.0.ask(&letter, None).await?;
        let round_trip = begun.elapsed();
        let text = |key| answer.metadata.text(key).map(str::to_owned);
        Ok(Pong {
            source: answer.header.source(),
            name: text(Key::SourceName),
            node_name: text(Key::SourceNodeName),
            hops: answer.metadata.number(Key::Hops).unwrap_or(0),
            round_trip,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    /// Waits until the connection has ended for good.
    pub(crate) async fn closed(&self) {
        loop {
            let mut turn = std::pin::pin!(self.turn.notified());
            turn.as_mut().enable();
            if matches!(self.lock().link, Link::Closed(_)) {
                return;
            }
            turn.await;
        }
    }
}
