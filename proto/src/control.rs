//! The bodies that daemons write and read themselves: errors, and what an agent and its node say to each other.
//! Each has one struct, made from `schema/aicp.proto`, for all three encodings.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{ContentType, ErrorCode, MessageId, Refusal, limits, msgpack};

mod json;
mod strict;
// Made by prost-build; the test `the_generated_code_is_what_the_schema_says` makes it again and compares.
#[rustfmt::skip]
mod generated;

pub use generated::{
    AgentStatus, AllowReply, AllowTest, Attach, AttachReply, ConfigKey, ConfigRule, DeadLetter, DeadLetters,
    DirectoryAgent, Done, ErrorBody as RawErrorBody, Explain, Invitation, Invite, Join, JoinReply, Member as RawMember,
    Moment, NodeAgents, NodeConfig, NodePeers, NodeStatus, Outbox, OutboxMessage, PeerOrder, PeerStatus, Reload,
    ReloadReply, Resolve, ResolveReply, Revoked, Select, Story, Tap, TapReply, Up, UpReply,
};
use strict::{strict_messages, strict_string, strict_strings};

/// Subjects that a node's own agent answers at the door.
pub mod subject {
    /// Asks for a name on this connection.
    pub const ATTACH: &str = crate::metadata::place::ATTACH;
    /// Gives it back.
    pub const DETACH: &str = "agent.detach";
    /// Asks for more time for a delivery.
    pub const WORKING: &str = crate::metadata::place::WORKING;
    /// Tells how much more one side will take.
    pub const CREDIT: &str = crate::metadata::place::CREDIT;
    /// Asks who an address is.
    pub const RESOLVE: &str = "agent.resolve";
    /// What every other question to the node begins with.
    pub const NODE: &str = "node.";
    /// Asks how the node is.
    pub const STATUS: &str = "node.status";
    /// Asks who can be reached.
    pub const AGENTS: &str = "node.agents";
    /// Asks what the node owns.
    pub const OUTBOX: &str = "node.outbox";
    /// Orders another attempt now.
    pub const OUTBOX_RETRY: &str = "node.outbox.retry";
    /// Orders that messages are owned no longer; their senders are told.
    pub const OUTBOX_DROP: &str = "node.outbox.drop";
    /// Asks what was given up.
    pub const DEAD: &str = "node.dead";
    /// Orders that what was given up is tried again.
    pub const DEAD_REQUEUE: &str = "node.dead.requeue";
    /// Orders that what was given up is forgotten.
    pub const DEAD_PURGE: &str = "node.dead.purge";
    /// Asks what became of a message, at both ends.
    pub const EXPLAIN: &str = "node.explain";
    /// Asks what happens.
    pub const TAP: &str = "node.tap";
    /// Asks what the daemon runs with.
    pub const CONFIG: &str = "node.config";
    /// Orders that the configuration is read again.
    pub const RELOAD: &str = "node.reload";
    /// Asks what the rules of this node would say of a message.
    pub const ALLOW_TEST: &str = "node.allow.test";
    /// Orders that the clock is right although it jumped: what expires may expire.
    pub const TRUST_CLOCK: &str = "node.clock.trust";
    /// Orders that the node takes part in a mesh, and makes one if it is in none.
    pub const UP: &str = "node.up";
    /// Orders that it takes part in none for now.
    pub const DOWN: &str = "node.down";
    /// Asks for a ticket with which another node can join.
    pub const INVITE: &str = "node.invite";
    /// Orders that the node joins the mesh of a ticket.
    pub const JOIN: &str = "node.join";
    /// Orders that it leaves its mesh for good.
    pub const LEAVE: &str = "node.leave";
    /// Asks for the other nodes.
    pub const PEERS: &str = "node.peers";
    /// Orders that this node has no link with another one.
    pub const PEER_BLOCK: &str = "node.peer.block";
    /// Orders that what is known of another node is forgotten.
    pub const PEER_FORGET: &str = "node.peer.forget";
    /// Orders that a node is shut out of the mesh.
    pub const REVOKE: &str = "node.revoke";
    /// Orders that another node gets the key of the mesh's authority too.
    pub const AUTHORITY_SHARE: &str = "node.authority.share";
}

/// What the answers to questions call themselves, so that whoever reads one knows what will stay.
pub mod schema {
    /// [`NodeStatus`](super::NodeStatus).
    pub const STATUS: &str = "aicp.status/1";
    /// [`NodeAgents`](super::NodeAgents).
    pub const AGENTS: &str = "aicp.agents/1";
    /// [`Outbox`](super::Outbox).
    pub const OUTBOX: &str = "aicp.outbox/1";
    /// [`DeadLetters`](super::DeadLetters).
    pub const DEAD: &str = "aicp.dead/1";
    /// [`Done`](super::Done).
    pub const DONE: &str = "aicp.done/1";
    /// [`Story`](super::Story).
    pub const STORY: &str = "aicp.story/1";
    /// [`NodeConfig`](super::NodeConfig).
    pub const CONFIG: &str = "aicp.config/1";
    /// [`ReloadReply`](super::ReloadReply).
    pub const RELOAD: &str = "aicp.reload/1";
    /// [`AllowReply`](super::AllowReply).
    pub const ALLOW: &str = "aicp.allow/1";
    /// [`TapReply`](super::TapReply).
    pub const TAP: &str = "aicp.tap/1";
    /// [`UpReply`](super::UpReply).
    pub const UP: &str = "aicp.up/1";
    /// [`Invitation`](super::Invitation).
    pub const INVITE: &str = "aicp.invite/1";
    /// [`JoinReply`](super::JoinReply).
    pub const JOIN: &str = "aicp.join/1";
    /// [`NodePeers`](super::NodePeers).
    pub const PEERS: &str = "aicp.peers/1";
    /// [`Revoked`](super::Revoked).
    pub const REVOKED: &str = "aicp.revoked/1";
}

/// A body in any of the three encodings.
pub trait ControlBody: prost::Message + serde::Serialize + DeserializeOwned + Default {
    /// Writes the body. Any content type that is not one of the three is answered in MessagePack.
    fn write(&self, content_type: ContentType) -> Bytes {
        let mut out = Vec::new();
        match content_type {
            // Writing into memory fails only if memory does.
            ContentType::Json => drop(serde_json::to_writer(&mut out, self)),
            ContentType::Protobuf => drop(self.encode(&mut out)),
            ContentType::None
            | ContentType::MessagePack
            | ContentType::Octets
            | ContentType::Text
            | ContentType::Named => {
                let mut writer = rmp_serde::Serializer::new(&mut out).with_struct_map();
                drop(self.serialize(&mut writer));
            }
        }
        out.into()
    }

    /// Reads a body. `None` is all that can be said about one that does not fit.
    fn read(content_type: ContentType, body: &[u8]) -> Option<Self> {
        match content_type {
            ContentType::MessagePack if msgpack::is_named_map(body) => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(body);
                reader.set_max_depth(usize::try_from(limits::DEPTH_MAX).unwrap_or(0) + 1);
                serde::Deserialize::deserialize(&mut reader).ok()
            }
            ContentType::Json if json::is_shallow_object(body) => serde_json::from_slice(body).ok(),
            ContentType::Protobuf => Self::decode(body).ok(),
            ContentType::MessagePack
            | ContentType::Json
            | ContentType::None
            | ContentType::Octets
            | ContentType::Text
            | ContentType::Named => None,
        }
    }
}

// Of messages that hold others, the generator does not say so.
impl Eq for Story {}

impl ControlBody for RawErrorBody {}
impl ControlBody for Attach {}
impl ControlBody for AttachReply {}
impl ControlBody for Resolve {}
impl ControlBody for ResolveReply {}
impl ControlBody for NodeStatus {}
impl ControlBody for NodeAgents {}
impl ControlBody for Select {}
impl ControlBody for Outbox {}
impl ControlBody for DeadLetters {}
impl ControlBody for Done {}
impl ControlBody for Explain {}
impl ControlBody for Story {}
impl ControlBody for Tap {}
impl ControlBody for TapReply {}
impl ControlBody for Up {}
impl ControlBody for UpReply {}
impl ControlBody for Invite {}
impl ControlBody for Invitation {}
impl ControlBody for Join {}
impl ControlBody for JoinReply {}
impl ControlBody for NodePeers {}
impl ControlBody for PeerOrder {}
impl ControlBody for Revoked {}
impl ControlBody for NodeConfig {}
impl ControlBody for Reload {}
impl ControlBody for ReloadReply {}
impl ControlBody for AllowTest {}
impl ControlBody for AllowReply {}

/// What an ERROR says, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorBody {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, for people. Untrusted: escape it before it reaches a terminal.
    pub message: Box<str>,
    /// The message that it is about.
    pub original: MessageId,
    /// When trying again makes sense; zero is no advice.
    pub retry_after_ms: u32,
}

impl ErrorBody {
    /// Reads the body of an ERROR.
    pub fn read(content_type: ContentType, body: &[u8]) -> Result<Self, Refusal> {
        let raw = RawErrorBody::read(content_type, body).ok_or(Refusal::ErrorBody)?;
        let code = u16::try_from(raw.error_code).ok().and_then(ErrorCode::new).ok_or(Refusal::ErrorBody)?;
        let original = MessageId::parse(&raw.original_message_id).ok_or(Refusal::ErrorBody)?;
        if raw.error_message.len() > limits::ERROR_MESSAGE_BYTES_MAX {
            return Err(Refusal::ErrorBody);
        }
        Ok(Self { code, message: raw.error_message.into(), original, retry_after_ms: raw.retry_after_ms })
    }

    /// Writes it as the request was written. A message beyond its bound is cut at a character.
    #[must_use]
    pub fn write(&self, content_type: ContentType) -> Bytes {
        let end = self.message.floor_char_boundary(limits::ERROR_MESSAGE_BYTES_MAX);
        RawErrorBody {
            error_code: self.code.get().into(),
            error_message: self.message.get(..end).unwrap_or_default().into(),
            original_message_id: self.original.to_string(),
            retry_after_ms: self.retry_after_ms,
        }
        .write(content_type)
    }
}
