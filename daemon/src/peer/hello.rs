//! The first words on a link: both say who they are, and each compares it with what TLS proved. Until both have, no
//! frame is taken.

use bytes::BytesMut;
use keys::verify::{self, Attested};
use proto::link::{ControlError, ControlMessage, Hello, Notice, SPEAK_VERSION};
use proto::record::{CarriedRecord, NodeRecord};
use proto::{AgentId, ErrorCode, MessageId, NodeId, Refusal, Verified, limits};
use quinn::{Connection, RecvStream, SendStream};

use super::LinkEnd;
use crate::shared::Shared;
use crate::telemetry::counters::Reason;

/// A link whose ends know each other.
pub(super) struct Greeted {
    pub(super) send: SendStream,
    pub(super) receive: Control,
    pub(super) record: Verified<Attested<NodeRecord>>,
    /// The peer's wall clock, in ns.
    pub(super) wall: u64,
}

/// The control stream on its way in, and what has come of the next message.
pub(super) struct Control {
    stream: RecvStream,
    arrived: BytesMut,
}

impl Control {
    pub(super) async fn next(&mut self) -> Result<ControlMessage, LinkEnd> {
        loop {
            match ControlMessage::take(&mut self.arrived) {
                Ok(message) => return Ok(message),
                Err(ControlError::Short { .. }) => {}
                Err(error) => return Err(LinkEnd::new(error.code(), error.to_string())),
            }
            match self.stream.read_chunk(limits::PIPE_BYTES, true).await {
                Ok(Some(chunk)) => self.arrived.extend_from_slice(&chunk.bytes),
                Ok(None) => return Err(LinkEnd::new(ErrorCode::MALFORMED, "the control stream ended")),
                Err(error) => return Err(LinkEnd::quiet(error.to_string())),
            }
        }
    }
}

/// Says HELLO and hears it.
pub(super) async fn greet(
    shared: &Shared,
    connection: &Connection,
    peer: NodeId,
    dialed: bool,
) -> Result<Greeted, LinkEnd> {
    let quiet = |error: quinn::ConnectionError| LinkEnd::quiet(super::describe(&error));
    let ours = our_hello(shared, dialed).await?;
    let (mut send, stream) = if dialed {
        connection.open_bi().await.map_err(quiet)?
    } else {
        connection.accept_bi().await.map_err(quiet)?
    };
    let mut receive = Control { stream, arrived: BytesMut::new() };
    // The stream exists for the listener only once something was said on it.
    if dialed {
        say(&mut send, &ours).await?;
    }
    let theirs = match receive.next().await? {
        ControlMessage::Hello(hello) => hello,
        ControlMessage::Record(_)
        | ControlMessage::Want(_)
        | ControlMessage::Notice(_)
        | ControlMessage::Explain(_)
        | ControlMessage::Story(_)
        | ControlMessage::Member(_)
        | ControlMessage::Unknown(_) => return Err(LinkEnd::new(ErrorCode::MALFORMED, "no HELLO")),
    };
    if !theirs.speaks_ours {
        refuse_version(&mut send).await;
        return Err(LinkEnd::new(ErrorCode::VERSION, SPEAK_VERSION));
    }
    let record = judge(shared, &theirs, peer, dialed)?;
    if !dialed {
        say(&mut send, &ours).await?;
    }
    Ok(Greeted { send, receive, record, wall: theirs.time })
}

async fn our_hello(shared: &Shared, dialed: bool) -> Result<ControlMessage, LinkEnd> {
    let mut records = shared.own_record.subscribe();
    let record = records.wait_for(Option::is_some).await.ok().and_then(|record| record.clone());
    let record = record.ok_or_else(|| LinkEnd::quiet("stopping"))?;
    let mut link = [0; limits::LINK_ID_BYTES];
    getrandom::fill(&mut link).map_err(|_| LinkEnd::new(ErrorCode::SERVER, "no random bytes"))?;
    Ok(ControlMessage::Hello(Box::new(Hello {
        speaks_ours: true,
        mesh: shared.members.mesh(),
        record,
        time: shared.clock.now().wall.0,
        payload_max: u64::try_from(limits::PAYLOAD_BYTES_MAX).ok(),
        link: dialed.then_some(link),
    })))
}

fn judge(
    shared: &Shared,
    hello: &Hello,
    peer: NodeId,
    dialed: bool,
) -> Result<Verified<Attested<NodeRecord>>, LinkEnd> {
    if hello.mesh != shared.members.mesh() {
        return Err(LinkEnd::new(ErrorCode::UNAUTHENTICATED, "another mesh"));
    }
    // The dialer names the link; a listener has nothing to name.
    if hello.link.is_some() == dialed {
        return Err(LinkEnd::new(ErrorCode::MALFORMED, "the link's id is the dialer's to give"));
    }
    let record = judge_node(shared, hello.record.clone()).map_err(|refusal| {
        shared.refused.peers.note(Reason::Refused(refusal));
        LinkEnd::refused(refusal)
    })?;
    if record.get().key.node_id() != peer {
        return Err(LinkEnd::new(ErrorCode::UNAUTHENTICATED, "the record is another node's"));
    }
    Ok(record)
}

/// A node's record, by the rules of the mesh that this node is in.
pub(super) fn judge_node(shared: &Shared, record: CarriedRecord) -> Result<Verified<Attested<NodeRecord>>, Refusal> {
    match &shared.members.inside {
        Some(inside) => verify::member_record(record, &inside.trust()),
        None => verify::node_record(record),
    }
}

async fn refuse_version(send: &mut SendStream) {
    let notice = Notice {
        code: ErrorCode::VERSION,
        id: MessageId::new(0),
        source: AgentId::ZERO,
        destination: AgentId::ZERO,
        text: SPEAK_VERSION.into(),
    };
    // The link is closed on it in any case.
    drop(say(send, &ControlMessage::Notice(notice)).await);
    drop(send.finish());
    drop(send.stopped().await);
}

/// Writes one message.
async fn say(send: &mut SendStream, message: &ControlMessage) -> Result<(), LinkEnd> {
    let mut out = BytesMut::new();
    message.write(&mut out).map_err(LinkEnd::refused)?;
    send.write_chunk(out.freeze()).await.map_err(|error| LinkEnd::quiet(error.to_string()))
}
