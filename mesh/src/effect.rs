//! Everything a node can ask for. The host does it in the order given; what it learns comes back as an input.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use proto::control::Story;
use proto::entry::{EntryNumber, Parts};
use proto::metadata::{Key, MetadataDraft, Proof};
use proto::record::{AgentRecord, CarriedRecord, Known, NodeRecord, Revocations};
use proto::{AgentId, Draft, FlowId, MessageId, Name, NodeId, PrekeyId, Verified};

use crate::input::{ClientId, LinkId, Load, Notice, TransactionNumber};

/// The caller's list of what is to be done. It is reused from step to step.
pub type Effects = Vec<Effect>;

/// Work to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Append one transaction to the journal. [`crate::Input::Stored`] says when it is synced.
    Store {
        /// Its number, one above the last.
        transaction: TransactionNumber,
        /// What happens in it.
        changes: Vec<Change>,
    },
    /// Make a frame (boundary wire) and send it over a link.
    Send {
        /// Over which.
        link: LinkId,
        /// What.
        outgoing: Box<Outgoing>,
        /// Seal it to this prekey of the destination, then sign it; otherwise it is only signed. The source signs:
        /// its key is kept here.
        seal_to: Option<[u8; 32]>,
    },
    /// Make a frame (boundary down) and give it to a client.
    Tell {
        /// To whom.
        client: ClientId,
        /// What.
        outgoing: Box<Outgoing>,
        /// It counts against the client's room, which [`crate::Input::ClientRoom`] gives back.
        is_delivery: bool,
    },
    /// Say something on the control stream of a link.
    Control {
        /// Of which.
        link: LinkId,
        /// What.
        said: Control,
    },
    /// Try to reach a peer. A [`crate::Input::LinkUp`] or a [`crate::Input::DialFailed`] follows.
    Dial {
        /// Whom.
        peer: NodeId,
    },
    /// End a link. A [`crate::Input::LinkDown`] follows.
    HangUp {
        /// Which.
        link: LinkId,
        /// Why, for logs.
        why: &'static str,
    },
    /// Disconnect a client, once what it was told is written.
    Disconnect {
        /// Whom.
        client: ClientId,
    },
    /// Make and keep the keys of a new agent.
    MakeAgent {
        /// What it is called.
        name: Name,
        /// Whose it is.
        uid: u32,
    },
    /// Make a prekey of an agent on this node.
    MakePrekey {
        /// Whose.
        agent: AgentId,
        /// Its last moment, in ns of the wall clock.
        not_after: u64,
    },
    /// Erase the secret half of a prekey.
    ErasePrekey {
        /// Whose.
        agent: AgentId,
        /// Which.
        prekey: PrekeyId,
    },
    /// Sign the record of an agent on this node, as the agent and as the node.
    SignAgent(Box<AgentRecord>),
    /// Sign this node's record. In a mesh with an authority the host puts its certificate in.
    SignNode(Box<NodeRecord>),
    /// The directory has a newer record of an agent: its key verifies frames from here on.
    LearnAgent(Verified<Box<Known<AgentRecord>>>),
    /// The directory has a newer record of a node: its key verifies records of its agents from here on, and its addresses
    /// are where it is dialed.
    LearnNode(Verified<Box<Known<NodeRecord>>>),
    /// A node is no member any more, as far as this one knows: its record has ended, or it is revoked or forgotten.
    ForgetNode(NodeId),
    /// Keep this list in place of the one before, and trust nobody on it from here on.
    KeepRevoked(Verified<Box<Known<Revocations>>>),
    /// Have this node's certificate renewed. [`crate::Input::Certified`] says when it is; until then this comes again.
    Renew,
    /// Something that an operator may want to read.
    Report(Event),
    /// What a clean stop needs is in the transactions so far. Once they are synced the host may exit.
    Stopped,
}

/// One change of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Keep an entry.
    Put(EntryNumber, Bytes),
    /// It is needed no more.
    Forget(EntryNumber),
}

/// What is said on a control stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    /// Pass a record on.
    Record(CarriedRecord),
    /// Ask for an agent's record.
    Want(AgentId),
    /// A frame went no further.
    Notice(Notice),
    /// Ask what the peer remembers of a message.
    Explain(MessageId),
    /// Tell what is remembered of one.
    Story(Box<Story>),
}

/// A frame to be made.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What stands in its header.
    pub draft: Draft,
    /// What the daemon adds to the metadata.
    pub notes: Notes,
    /// What the agent said, or where it lies.
    pub load: Load,
    /// Its bytes, as they count against the room of a link or a client and come back to it.
    pub bytes: usize,
}

/// What daemons add to an agent's metadata; see the tables of `docs/PROTOCOL.md`, sections 4 and 12.
#[expect(missing_docs, reason = "each is a row of those tables")]
#[derive(Clone, Default, Debug)]
pub struct Notes {
    pub expiry: Option<u64>,
    pub flow_id: Option<FlowId>,
    pub floor: Option<u32>,
    pub handled_wanted: bool,
    pub again: bool,
    pub delivery_number: Option<u64>,
    pub source_name: Option<Name>,
    pub source_node: Option<NodeId>,
    pub source_node_name: Option<Name>,
    pub attempt: Option<u32>,
    pub hops: Option<u8>,
    pub received: Option<u64>,
    pub marked: bool,
    pub proof: Option<Proof>,
    pub lease_ms: Option<u64>,
}

impl Notes {
    /// The metadata of a frame: what its agent said, and what the daemon adds. `application` is room for the
    /// entries of the applications' own.
    #[must_use]
    pub fn draft<'a>(&'a self, parts: &'a Parts, application: &'a mut Vec<(&'a str, &'a [u8])>) -> MetadataDraft<'a> {
        let said = &parts.metadata;
        application.clear();
        application.extend(said.application());
        MetadataDraft {
            content_type_name: said.text(Key::ContentTypeName),
            expiry: self.expiry,
            flow_id: self.flow_id,
            subject: said.subject(),
            topic: said.text(Key::Topic),
            traceparent: said.text(Key::Traceparent),
            session_id: said.text(Key::SessionId),
            capability: said.text(Key::Capability),
            floor: self.floor,
            handled_wanted: self.handled_wanted,
            again: self.again,
            delivery_number: self.delivery_number,
            source_name: self.source_name.as_ref(),
            source_node: self.source_node,
            source_node_name: self.source_node_name.as_ref(),
            attempt: self.attempt,
            hops: self.hops,
            received: self.received,
            marked: self.marked,
            proof: self.proof,
            lease_ms: self.lease_ms,
            application,
            ..MetadataDraft::default()
        }
    }
}

/// What an operator may want to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A link is up.
    PeerUp {
        /// To whom.
        peer: NodeId,
    },
    /// The last link to a peer is down.
    PeerDown {
        /// To whom.
        peer: NodeId,
    },
    /// A peer's clock is more than ten minutes from ours.
    ClockApart {
        /// Whose.
        peer: NodeId,
        /// Theirs.
        theirs: u64,
    },
    /// A peer answered in a way that the contract does not allow; it was ignored.
    Ignored {
        /// What.
        what: &'static str,
    },
    /// An entry of the journal could not be read, and what it held is lost.
    Lost {
        /// Which.
        entry: EntryNumber,
    },
    /// The wall clock jumped: nothing expires until it is trusted.
    ClockJumped,
    /// The clock has been steady, or an operator said that it is right.
    ClockTrusted,
    /// A dead letter had to make way for newer ones.
    DeadDropped,
    /// A message ended and no agent could be told.
    Untold {
        /// Its sender.
        source: AgentId,
        /// Its destination.
        destination: AgentId,
        /// Its id.
        id: MessageId,
        /// The code of its end.
        code: u16,
    },
}
