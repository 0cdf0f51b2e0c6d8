//! The built-in agent `echo`: answers each REQUEST with what it was sent. It lives in this process and sees no more
//! than any other agent; its door is a queue instead of a socket.

use std::sync::Arc;

use bytes::BytesMut;
use mesh::{ClientId, Input, Outgoing};
use proto::control::{Attach, AttachReply, ControlBody, subject};
use proto::entry::Parts;
use proto::metadata::{Key, MetadataDraft};
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, FlowKind, Header, MessageId, MessageType, Receipt, Refusal,
    Sequence, Shape, limits,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::agent::Written;
use crate::load::load;
use crate::shared::Shared;
use crate::tables::{IsDelivery, SessionHandle, ToClient, Waiting};

const NAME: &str = "echo";
const CAPABILITY: &str = "echo";
const BATCH: usize = 64;
/// Its one submission that is awaited.
const ATTACH_ID: MessageId = MessageId::new(1);

/// Attaches, and answers until it is told goodbye. `attached` is dropped once it is there, or cannot be.
pub(crate) async fn run(shared: Arc<Shared>, attached: oneshot::Sender<()>) {
    let client = shared.new_client();
    let (frames, mut queue) = mpsc::channel(limits::SESSION_QUEUE);
    let cut = Arc::new(Notify::new());
    shared.sessions.insert(client, SessionHandle { frames, cut: Arc::clone(&cut), waiting: Waiting::new() });
    let uid = rustix::process::geteuid().as_raw();
    shared.tell(Input::ClientCame { client, uid, is_admin: false }).await;
    let mut echo = Echo { shared: Arc::clone(&shared), client, us: None, attached: Some(attached) };
    echo.attach().await;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            count = queue.recv_many(&mut batch, BATCH) => count,
            () = cut.notified() => 0,
        };
        if count == 0 || echo.take(&mut batch).await {
            break;
        }
    }
    shared.sessions.remove(client);
    shared.tell(Input::ClientLeft { client }).await;
}

struct Echo {
    shared: Arc<Shared>,
    client: ClientId,
    /// Who it is, once it is attached.
    us: Option<AgentId>,
    /// Dropped then, or when it is refused.
    attached: Option<oneshot::Sender<()>>,
}

impl Echo {
    async fn attach(&self) {
        let asked = Attach { name: NAME.into(), capabilities: vec![CAPABILITY.into()], topics: Vec::new() };
        let body = asked.write(ContentType::MessagePack);
        let metadata = MetadataDraft { subject: Some(subject::ATTACH), ..MetadataDraft::default() };
        let draft = Draft {
            content_type: ContentType::MessagePack,
            ..draft(MessageType::Request, Shape::Once, ATTACH_ID, AgentId::ZERO, AgentId::ZERO)
        };
        self.say(&draft, &metadata, &body).await;
    }

    /// Whether nothing follows.
    async fn take(&mut self, batch: &mut Vec<ToClient>) -> bool {
        let mut loaded = load(&self.shared, batch.iter().filter_map(ToClient::outgoing)).await;
        let mut heard = Written::default();
        let mut is_last = false;
        for said in batch.drain(..) {
            match said {
                ToClient::Frame(outgoing, IsDelivery(is_delivery)) => {
                    heard.note(limits::HEADER_BYTES + outgoing.bytes, is_delivery);
                    if let Some(parts) = loaded.parts(&self.shared, &outgoing).await {
                        self.hear(&outgoing, &parts).await;
                    }
                }
                ToClient::Made(..) => {}
                ToClient::Goodbye => is_last = true,
            }
        }
        let Written { deliveries, bytes } = heard;
        if deliveries > 0 {
            self.shared.tell(Input::ClientRoom { client: self.client, deliveries, bytes }).await;
        }
        is_last
    }

    async fn hear(&mut self, outgoing: &Outgoing, parts: &Parts) {
        let Draft { shape, message_type, .. } = outgoing.draft;
        match (shape, message_type) {
            (Shape::Once, MessageType::Response) if outgoing.draft.id == ATTACH_ID && self.us.is_none() => {
                let reply = AttachReply::read(outgoing.draft.content_type, &parts.body);
                self.us = reply.and_then(|reply| reply.agent_id.parse().ok());
                self.attached = None;
            }
            (Shape::Once, MessageType::Request) if outgoing.notes.source_name.is_some() => {
                self.respond(outgoing, parts, Shape::Once).await;
            }
            (Shape::Durable(_), MessageType::Request) => {
                self.respond(outgoing, parts, Shape::Durable(FlowKind::Answers)).await;
            }
            (Shape::Durable(_), _) => self.handled(outgoing).await,
            (Shape::Notice, _) if self.us.is_none() => {
                let why = proto::control::ErrorBody::read(outgoing.draft.content_type, &parts.body);
                let why = why.map_or_else(|_| String::new(), |body| body.message.escape_default().to_string());
                tracing::warn!(why, "the built-in agent echo is not attached");
                self.attached = None;
            }
            (
                Shape::Once
                | Shape::Stored
                | Shape::Pong
                | Shape::Notice
                | Shape::Ping
                | Shape::Opener
                | Shape::Chunk
                | Shape::ChunkAck
                | Shape::StreamEnd
                | Shape::StreamAbort
                | Shape::Handled
                | Shape::Told,
                _,
            ) => {}
        }
    }

    /// The same metadata and the same body, back to where it came from.
    async fn respond(&self, asked: &Outgoing, parts: &Parts, shape: Shape) {
        let Some(us) = self.us else { return };
        let said = &parts.metadata;
        let application: Vec<(&str, &[u8])> = said.application().collect();
        let metadata = MetadataDraft {
            content_type_name: said.text(Key::ContentTypeName),
            subject: said.subject(),
            traceparent: said.text(Key::Traceparent),
            session_id: said.text(Key::SessionId),
            capability: said.text(Key::Capability),
            delivery_number: asked.notes.delivery_number,
            application: &application,
            ..MetadataDraft::default()
        };
        let draft = Draft {
            content_type: asked.draft.content_type,
            ..draft(MessageType::Response, shape, asked.draft.id, us, asked.draft.source)
        };
        self.say(&draft, &metadata, &parts.body).await;
    }

    async fn handled(&self, delivery: &Outgoing) {
        let Some(us) = self.us else { return };
        let number = delivery.notes.delivery_number;
        let metadata = MetadataDraft { delivery_number: number, ..MetadataDraft::default() };
        let draft = draft(MessageType::Ack, Shape::Handled, delivery.draft.id, us, delivery.draft.source);
        self.say(&draft, &metadata, &[]).await;
    }

    /// What it says is read as if it had come over the socket.
    async fn say(&self, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) {
        let mut plain = BytesMut::with_capacity(body.len() + limits::PIPE_BYTES / 64);
        metadata.write(&mut plain);
        plain.extend_from_slice(body);
        let header = Header::make(draft, Boundary::Up, plain.len());
        let content = header.and_then(|header| Content::read(&header, plain.freeze()));
        match content {
            Ok(content) => {
                self.shared.tell(Input::ClientSaid { client: self.client, content: Box::new(content) }).await;
            }
            Err(refusal) => tracing::error!(reason = Refusal::reason(refusal), ?draft, "echo said what cannot be said"),
        }
    }
}

const fn draft(message_type: MessageType, shape: Shape, id: MessageId, source: AgentId, destination: AgentId) -> Draft {
    Draft {
        message_type,
        shape,
        id,
        timestamp: 0,
        source,
        destination,
        content_type: ContentType::None,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}
