//! What is said to the daemon and waits for its word: questions, asks, submissions, settlements. Each is written once;
//! sending again after a lost connection is the connection's work.

use bytes::BytesMut;
use proto::control::{AttachReply, ControlBody, Resolve, ResolveReply, subject};
use proto::{AgentId, Content, ContentType, ErrorCode, MessageId, MessageType, Shape, limits};
use tokio::sync::{oneshot, watch};

use crate::connection::Handshake;
use crate::credit::Credit;
use crate::letter::{Letter, Stamp};
use crate::message::Ticket;
use crate::shared::{Asked, Durable, Heard, Identity, Progress, Shared, State};
use crate::{Address, Body, ClientError};

/// An ask is repeated under a new id this often if its destination's prekey was replaced meanwhile.
const PREKEY_TRIES: usize = 3;

impl Shared {
    /// Writes a frame that has one answer, and waits for it.
    pub(crate) async fn ask(&self, letter: &Letter, of: Option<AgentId>) -> Result<Content, ClientError> {
        let _place = self.place(None).await?;
        let (id, hear) = self
            .submit(letter.is_control(), |state| {
                let id = state.draw()?;
                state.write(letter, id, false)?;
                let (tell, hear) = oneshot::channel();
                state.asked.insert(id, Asked { of, tell });
                Ok((id, hear))
            })
            .await?;
        let _forget = Forget { shared: self, id };
        hear.await.unwrap_or(Err(ClientError::Disconnected))
    }

    /// Asks an agent: again under a new id where that is known to help.
    pub(crate) async fn ask_agent(&self, letter: &mut Letter, to: &Address) -> Result<Content, ClientError> {
        letter.judge(self.body_bytes_max())?;
        let mut tries = PREKEY_TRIES;
        loop {
            let (destination, was_known) = self.find(to).await?;
            letter.destination = destination;
            let of = (letter.shape != Shape::Ping).then_some(destination);
            let answer = self.ask(letter, of).await;
            let Err(error) = &answer else { return answer };
            if error.is(ErrorCode::PREKEY) && tries > 1 {
                tries -= 1;
            } else if !(error.is(ErrorCode::OFFLINE) && was_known && self.is_elsewhere(to, destination).await) {
                return answer;
            }
        }
    }

    /// Submits what is kept until its end is known. What is heard of it comes through the receiver.
    pub(crate) async fn submit_durable(
        &self,
        letter: &mut Letter,
        to: &Address,
    ) -> Result<(MessageId, watch::Receiver<Progress>), ClientError> {
        letter.judge(self.body_bytes_max())?;
        letter.destination = self.find(to).await?.0;
        let mut place = Some(self.place(Some(letter)).await?);
        self.submit(false, |state| {
            let (id, again) = letter.drawn.map_or_else(|| state.draw().map(|id| (id, false)), Ok)?;
            state.write(letter, id, again)?;
            let (progress, hear) = watch::channel(Progress::default());
            state.submitted += 1;
            let order = state.submitted;
            let Some(place) = place.take() else { return Err(ClientError::Closed) };
            state.durable.insert(id, Durable { order, letter: letter.clone(), progress, _place: place });
            Ok((id, hear))
        })
        .await
    }

    /// Whoever waited has left.
    pub(crate) fn forget_durable(&self, id: MessageId) {
        let mut state = self.lock();
        if state.durable.remove(&id).is_some_and(|durable| !durable.letter.wants_outcome()) {
            state.settled.add(id, Heard::Stage);
        }
    }

    /// Writes a frame that nobody answers.
    pub(crate) async fn post(&self, letter: &Letter, id: MessageId) -> Result<(), ClientError> {
        self.submit(letter.is_control(), |state| state.write(letter, id, false)).await
    }

    /// Writes what settles a delivery of this connection.
    pub(crate) async fn settle(&self, ticket: Ticket, letter: &Letter, id: MessageId) -> Result<(), ClientError> {
        self.submit(letter.is_control(), |state| {
            if state.epoch != ticket.epoch {
                return Err(ClientError::Disconnected);
            }
            state.write(letter, id, false)
        })
        .await
    }

    /// Answers a durable REQUEST and waits until the answer is accepted.
    pub(crate) async fn respond(&self, ticket: Ticket, letter: &Letter, id: MessageId) -> Result<(), ClientError> {
        let _place = self.place(None).await?;
        let hear = self
            .submit(false, |state| {
                if state.epoch != ticket.epoch {
                    return Err(ClientError::Disconnected);
                }
                state.write(letter, id, false)?;
                let (tell, hear) = oneshot::channel();
                state.responses.insert(id, tell);
                Ok(hear)
            })
            .await?;
        hear.await.unwrap_or(Err(ClientError::Disconnected))
    }

    /// Asks for more time for a delivery.
    pub(crate) async fn working(&self, ticket: Ticket) -> Result<(), ClientError> {
        let mut letter = Letter::question(subject::WORKING, Body::empty());
        letter.delivery_number = Some(ticket.number);
        if self.lock().epoch != ticket.epoch {
            return Err(ClientError::Disconnected);
        }
        self.ask(&letter, None).await.map(drop)
    }

    /// Asks the node, in MessagePack, and reads what it says.
    pub(crate) async fn question<A: ControlBody>(&self, subject: &'static str, body: Body) -> Result<A, ClientError> {
        let answer = self.ask(&Letter::question(subject, body), None).await?;
        read_answer(&answer)
    }

    pub(crate) async fn resolve(&self, address: &str) -> Result<ResolveReply, ClientError> {
        let body = Resolve { address: address.into() }.write(ContentType::MessagePack);
        self.question(subject::RESOLVE, Body::new(ContentType::MessagePack, body)).await
    }

    /// The id behind an address, and whether it was known from before.
    pub(crate) async fn find(&self, to: &Address) -> Result<(AgentId, bool), ClientError> {
        let text = match to {
            Address::Id(id) => return Ok((*id, false)),
            Address::Text(text) => text,
        };
        if let Some(id) = self.lock().addresses.get(&**text) {
            return Ok((*id, true));
        }
        let reply = self.resolve(text).await?;
        let id = reply.agent_id.parse().map_err(|_| ClientError::Protocol { what: "the id in a ResolveReply" })?;
        let mut state = self.lock();
        if state.addresses.len() >= limits::LIBRARY_ADDRESSES_MAX {
            state.addresses.clear();
        }
        state.addresses.insert(text.clone(), id);
        Ok((id, false))
    }

    /// Whether an address leads to somebody else by now.
    async fn is_elsewhere(&self, to: &Address, before: AgentId) -> bool {
        if let Address::Text(text) = to {
            self.lock().addresses.remove(&**text);
        }
        self.find(to).await.is_ok_and(|(id, _)| id != before)
    }
}

/// Asks to be attached, on a connection that nobody else uses yet.
pub(crate) async fn attach(shared: &Shared, wire: &mut Handshake) -> Result<Option<Identity>, ClientError> {
    let Some(attach) = &shared.attach else { return Ok(None) };
    let body = Body::new(ContentType::MessagePack, attach.write(ContentType::MessagePack));
    let (id, out) = shared.lock().begin(Letter::question(subject::ATTACH, body))?;
    let answer = wire.exchange(shared, out, id).await?;
    let reply: AttachReply = read_answer(&answer)?;
    let unread = |_| ClientError::Protocol { what: "an id in an AttachReply" };
    let most = usize::try_from(reply.message_bytes_max).unwrap_or(usize::MAX);
    Ok(Some(Identity {
        id: reply.agent_id.parse().map_err(unread)?,
        node: Some(reply.node_id.parse().map_err(unread)?),
        node_name: reply.node_name.into(),
        body_bytes_max: if most == 0 { limits::BODY_BYTES_MAX } else { most.min(limits::BODY_BYTES_MAX) },
    }))
}

impl State {
    /// Makes the first frame of a connection, which also says the first credit.
    fn begin(&mut self, mut letter: Letter) -> Result<(MessageId, BytesMut), ClientError> {
        self.credit = Credit::new(self.inbox_amount());
        letter.credit = Some(self.credit.told());
        let id = self.draw()?;
        let mut out = BytesMut::new();
        letter.write(Stamp { id, source: AgentId::ZERO, again: false }, &mut out)?;
        self.credit.note_written(out.len());
        Ok((id, out))
    }
}

fn read_answer<A: ControlBody>(answer: &Content) -> Result<A, ClientError> {
    if answer.header.message_type() != MessageType::Response {
        return Err(ClientError::Protocol { what: "an answer that is no RESPONSE" });
    }
    A::read(answer.header.content_type(), &answer.body).ok_or(ClientError::Protocol { what: "the body of an answer" })
}

/// Takes an ask out of the table when its asker leaves.
struct Forget<'a> {
    shared: &'a Shared,
    id: MessageId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.lock().asked.remove(&self.id);
    }
}
