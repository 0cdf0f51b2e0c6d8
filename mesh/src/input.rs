//! Everything that can happen to a node. What is said over the wire has been verified before it comes here.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use proto::control::Story;
use proto::entry::{Entry, EntryNumber, Parts};
use proto::limits::ID_BYTES;
use proto::member::Validity;
use proto::record::{AgentRecord, Known, NodeRecord, Revocations};
use proto::{AgentId, Content, ErrorCode, Header, MessageId, Name, NodeId, PrekeyId, Refusal, Verified};

/// One connection at the agents' door. Drawn by the host, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// One link to a peer, from its HELLO to its end. Drawn by the host, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// Where a transaction stands among all that this run has asked for, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TransactionNumber(pub u64);

/// A fact.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody connected to the agents' door. The kernel says whose process it is.
    ClientCame {
        /// The connection.
        client: ClientId,
        /// Its user.
        uid: u32,
        /// Whether that user may change how the node is.
        is_admin: bool,
    },
    /// A client sent a frame that may stand there (`Boundary::Up`). Questions to the node that
    /// [`is_for_the_core`](crate::is_for_the_core) does not name are answered by the host and do not come here.
    ClientSaid {
        /// Who.
        client: ClientId,
        /// What.
        content: Box<Content>,
    },
    /// The connection has ended.
    ClientLeft {
        /// Which.
        client: ClientId,
    },
    /// That many deliveries were written to the client's socket: there is room for as many again.
    ClientRoom {
        /// Whose.
        client: ClientId,
        /// How many.
        deliveries: u32,
        /// Bytes of their payloads, as they were written.
        bytes: u64,
    },
    /// A peer's HELLO was taken: the link can carry frames.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Who is at its other end, proved by TLS.
        peer: NodeId,
        /// We dialed it; otherwise they did.
        dialed: bool,
        /// Who they say they are.
        record: Verified<Box<Known<NodeRecord>>>,
        /// Their wall clock, in ns.
        wall: u64,
    },
    /// The link has ended, or was never used because [`crate::Effect::HangUp`] said so.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// A dial came to nothing.
    DialFailed {
        /// Whom we tried to reach.
        peer: NodeId,
    },
    /// That many frames were handed to the link's streams: there is room for as many again.
    LinkRoom {
        /// Whose.
        link: LinkId,
        /// How many.
        frames: u32,
        /// Bytes of what was said in them.
        bytes: u64,
    },
    /// Nothing is heard over the link, although something should be: what was sent is still on its way below us.
    LinkSilent {
        /// Which.
        link: LinkId,
    },
    /// Something is heard again over a link that was silent.
    LinkHeard {
        /// Which.
        link: LinkId,
    },
    /// A peer said something.
    PeerSaid {
        /// Over which link.
        link: LinkId,
        /// What.
        said: PeerSaid,
    },
    /// The keys of an agent were made, as [`crate::Effect::MakeAgent`] asked.
    AgentMade(HostedAgent),
    /// They could not be made.
    AgentNotMade {
        /// Whose.
        name: Name,
    },
    /// A prekey was made, as [`crate::Effect::MakePrekey`] asked.
    PrekeyMade {
        /// Whose.
        agent: AgentId,
        /// Its name in frames.
        id: PrekeyId,
        /// Its public half.
        public: [u8; 32],
        /// Its last moment, as asked.
        not_after: u64,
    },
    /// A record of an agent on this node was signed, as [`crate::Effect::SignAgent`] asked.
    AgentSigned(Verified<Box<Known<AgentRecord>>>),
    /// This node's record was signed, as [`crate::Effect::SignNode`] asked.
    NodeSigned(Verified<Box<Known<NodeRecord>>>),
    /// All transactions up to this one are synced.
    Stored {
        /// The last that is.
        upto: TransactionNumber,
    },
    /// Whether the disk has room. Without it nothing new is taken, and what is there is finished.
    Disk {
        /// Whether it has.
        has_room: bool,
    },
    /// An entry that was asked for cannot be read or opened: it is lost.
    Unreadable {
        /// Which.
        entry: EntryNumber,
    },
    /// From here on these rules say who may send what to agents of this node. A node begins without any.
    Policy(crate::Policy),
    /// From here on so much may wait where. Nothing that waits is lost by it.
    Bounds(crate::Bounds),
    /// Where this node listens has changed.
    Addresses(Vec<Box<str>>),
    /// A new certificate of this node is in place, as [`crate::Effect::Renew`] asked.
    Certified(Validity),
    /// An operator revoked nodes: the authority's new list.
    Revoked(Verified<Box<Known<Revocations>>>),
    /// An operator wants no link with a node, or wants one again.
    Block {
        /// Whom.
        peer: NodeId,
        /// Whether there shall be none.
        is_blocked: bool,
    },
    /// An operator wants what is known of a node forgotten. If it is still there, it is heard of again.
    Forget {
        /// Whom.
        peer: NodeId,
    },
    /// This node leaves its mesh: all are told so. A stop follows.
    Leave,
    /// Nothing but time has passed.
    Tick,
    /// The node is to stop: write down what a clean stop needs. Nothing is taken after it.
    Stop,
}

/// What came over a link. The source's signature held in all but records that prove themselves, and notices, which
/// are the peer's own word.
#[derive(Clone, Debug)]
pub enum PeerSaid {
    /// A frame for an agent that is hosted here, or for this node's own.
    Frame(Verified<Box<Content>>),
    /// A frame with a place in a flow, whose metadata could be read, and whose content is refused nevertheless. Its
    /// body is empty.
    Unfit(Verified<Box<Content>>, Refusal),
    /// A frame that was sealed to a prekey that is not kept here, or past its last moment.
    OldPrekey(Verified<Box<Header>>),
    /// A frame of a source whose key is not known, so nothing was verified; it was dropped.
    UnknownSource(AgentId),
    /// An agent's record, with the proof of agent and hosting node.
    Agent(Verified<Box<Known<AgentRecord>>>),
    /// A node's record. In a mesh with an authority, with the proof that it is a member.
    Node(Verified<Box<Known<NodeRecord>>>),
    /// Who is revoked, with the authority's proof.
    Revoked(Verified<Box<Known<Revocations>>>),
    /// The peer wants the record of an agent.
    Want(AgentId),
    /// The peer dropped a frame of ours.
    Notice(Notice),
    /// The peer wants to know what is remembered of a message.
    Explain(MessageId),
    /// What the peer remembers of a message, as we asked. It proves nothing.
    Story(Box<Story>),
}

/// Why a frame went no further, as one node tells the next. It proves nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What went wrong.
    pub code: ErrorCode,
    /// The frame's id.
    pub id: MessageId,
    /// Its source.
    pub source: AgentId,
    /// Its destination.
    pub destination: AgentId,
}

/// An agent whose keys this node keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostedAgent {
    /// Who it is.
    pub id: AgentId,
    /// The key behind the id.
    pub public_key: [u8; 32],
    /// What it is called here.
    pub name: Name,
    /// The user that may attach as it.
    pub uid: u32,
}

/// A node that the configuration names, or that is dialed before its record is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinnedPeer {
    /// What it is called here.
    pub name: Name,
    /// Who it is.
    pub node: NodeId,
    /// Whether there is an address to dial. Without one, it has to come to us.
    pub can_dial: bool,
}

/// Whose word counts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The nodes that the configuration names, and no others.
    Pinned(Vec<PinnedPeer>),
    /// The members of a mesh. They come and go with their records.
    Members(Membership),
}

/// What a node knows of its mesh at its birth.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Which mesh.
    pub mesh: [u8; ID_BYTES],
    /// From when until when this node's own certificate counts.
    pub certificate: Validity,
    /// Who is out, as it was kept last.
    pub revoked: Option<Verified<Box<Known<Revocations>>>>,
    /// Whom to dial before anybody else is known.
    pub seeds: Vec<PinnedPeer>,
}

/// What a node is told at its birth.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node.
    pub node: HostedAgent,
    /// Where it listens, as others may dial it.
    pub addresses: Vec<Box<str>>,
    /// Whose word counts.
    pub trust: Trust,
    /// Nodes that there shall be no link with.
    pub blocked: BTreeSet<NodeId>,
    /// The agents whose keys it keeps.
    pub agents: Vec<HostedAgent>,
    /// How far its messages may travel.
    pub hops: u8,
    /// How much may wait where.
    pub bounds: crate::Bounds,
    /// The rules that it follows.
    pub rules: crate::Rules,
}

/// What the journal held.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// What lives, in the order of its numbers.
    pub entries: Vec<(EntryNumber, PastEntry)>,
    /// The highest number that was ever used.
    pub highest: u64,
    /// The last stop was clean, or there was none.
    pub is_clean: bool,
    /// The store was made at this start, for an identity that was there before, or was put back from a backup, or
    /// lost something to damage.
    pub is_reborn: bool,
}

/// An entry as the journal gives it back. Records were verified anew.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one, and each lives for a moment")]
#[derive(Clone, Debug)]
pub enum PastEntry {
    /// All but records. What was said is left out, but for its length in bytes: the core asks for it by number.
    Entry(Entry, usize),
    /// An agent's record.
    Agent(Verified<Box<Known<AgentRecord>>>),
    /// A node's record.
    Node(Verified<Box<Known<NodeRecord>>>),
}

/// A past that contradicts itself. Nothing was done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PastError {
    /// Two messages hold one place of a flow.
    #[error("entries {first:?} and {second:?} hold the same place of one flow")]
    SamePlace {
        /// One.
        first: EntryNumber,
        /// The other.
        second: EntryNumber,
    },
    /// An entry is numbered above the highest number used.
    #[error("entry {entry:?} is numbered above the highest number used")]
    Number {
        /// Which.
        entry: EntryNumber,
    },
}

/// What was said, or where it lies.
#[expect(clippy::large_enum_variant, reason = "it always stands in a box")]
#[derive(Clone, Debug)]
pub enum Load {
    /// In memory.
    Here(Parts),
    /// In the journal, under that number; synced.
    Entry(EntryNumber),
}
