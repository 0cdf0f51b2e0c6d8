//! What the daemon says, brought to whoever waits for it. Decides nothing about the connection and writes nothing but
//! the acknowledgement of an outcome that was given away.

use proto::metadata::Key;
use proto::{AgentId, Content, DoorEvent, ErrorCode, Frame, MessageId, MessageType, Receipt, limits};
use tokio::time::Instant;

use crate::ClientError;
use crate::credit::Amount;
use crate::letter::Letter;
use crate::message::{Delivery, End, Incoming, Message, Outcome, Ticket};
use crate::shared::{Arrived, Durable, Heard, Link, Progress, Shared, State};

/// What came of one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// Whoever waited has it, or nobody wanted it.
    Done,
    /// It lies in the inbox.
    Arrived,
    /// The daemon takes more.
    Credit,
    /// There was no room for it. A durable one comes again.
    Dropped { comes_again: bool },
    /// Another client has the name.
    Over,
}

impl State {
    /// Takes one frame.
    pub(crate) fn take(&mut self, frame: Frame, now: Instant) -> Taken {
        let header = *frame.header();
        let content = frame.into_plain().ok_or(ClientError::Protocol { what: "sealed" });
        let content = content.and_then(|(header, plain)| Ok(Content::read(&header, plain)?));
        let content = match content {
            Ok(content) => content,
            Err(error) => {
                self.end_with(header.id(), &error);
                return Taken::Done;
            }
        };
        let event = DoorEvent::of(&content);
        if matches!(event, Some(DoorEvent::Delivery | DoorEvent::DurableDelivery)) {
            self.credit.note_arrived(frame_bytes(&content));
        }
        match event {
            Some(DoorEvent::Delivery) if content.header.message_type() == MessageType::Response => {
                self.answer(content);
                Taken::Done
            }
            Some(DoorEvent::Answer | DoorEvent::Pong) => {
                self.answer(content);
                Taken::Done
            }
            Some(DoorEvent::Delivery) => self.arrive(content, None, false),
            Some(DoorEvent::DurableDelivery) => self.durable_delivery(content, now),
            Some(DoorEvent::Told) => {
                self.told(&content);
                Taken::Done
            }
            // It is about no message, but about being attached at all.
            Some(DoorEvent::Refused) if header.id() == MessageId::new(0) => Taken::Over,
            Some(DoorEvent::Refused) => {
                self.refused(&content);
                Taken::Done
            }
            Some(DoorEvent::Credit) => {
                self.allow(&content);
                Taken::Credit
            }
            // These only go up.
            Some(
                DoorEvent::Attach
                | DoorEvent::Detach
                | DoorEvent::Working
                | DoorEvent::Resolve
                | DoorEvent::Order
                | DoorEvent::Question
                | DoorEvent::Submit
                | DoorEvent::Respond
                | DoorEvent::Ping
                | DoorEvent::Handled
                | DoorEvent::Refuse,
            )
            | None => Taken::Done,
        }
    }

    /// The daemon says how much it takes.
    pub(crate) fn allow(&mut self, content: &Content) {
        let number = |key| content.metadata.number(key);
        if let (Some(count), Some(bytes)) = (number(Key::CreditMessages), number(Key::CreditBytes)) {
            self.credit.allow(Amount { count, bytes });
        }
    }

    fn answer(&mut self, content: Content) {
        let id = content.header.id();
        let Some(asked) = self.asked.get(&id) else { return };
        // Only the one who was asked may answer.
        if asked.of.is_some_and(|of| of != content.header.source()) {
            return;
        }
        if let Some(asked) = self.asked.remove(&id) {
            let _ = asked.tell.send(Ok(content));
        }
    }

    fn told(&mut self, content: &Content) {
        let id = content.header.id();
        let receipt = content.header.receipt();
        if receipt == Receipt::Accepted
            && let Some(tell) = self.responses.remove(&id)
        {
            let _ = tell.send(Ok(()));
            return;
        }
        self.progress(id, |progress| match receipt {
            Receipt::None => {}
            Receipt::Accepted => progress.is_accepted = true,
            Receipt::Stored => progress.is_stored = true,
            Receipt::Handled => progress.end = Some(Ok(None)),
        });
    }

    fn refused(&mut self, content: &Content) {
        let error = content.error().map_or_else(ClientError::from, ClientError::from);
        self.end_with(content.header.id(), &error);
    }

    /// Whoever waits under this id hears of the error.
    fn end_with(&mut self, id: proto::MessageId, error: &ClientError) {
        if let Some(asked) = self.asked.remove(&id) {
            let _ = asked.tell.send(Err(error.clone()));
        } else if let Some(tell) = self.responses.remove(&id) {
            let _ = tell.send(Err(error.clone()));
        } else if !self.is_passing(id, error) {
            self.progress(id, |progress| progress.end = Some(Err(error.clone())));
        }
    }

    /// 4009 and 4013 end nothing that was accepted: its daemon tries again.
    fn is_passing(&self, id: proto::MessageId, error: &ClientError) -> bool {
        let is_accepted = self.durable.get(&id).is_some_and(|durable| durable.progress.borrow().is_accepted);
        is_accepted && (error.is(ErrorCode::PREKEY) || error.is(ErrorCode::FULL))
    }

    /// Notes what was heard of a submission, and forgets it once that was the last that was asked for.
    fn progress(&mut self, id: proto::MessageId, note: impl FnOnce(&mut Progress)) {
        let Some(durable) = self.durable.get(&id) else { return };
        durable.progress.send_modify(|progress| {
            note(progress);
            // A later stage says the earlier ones too.
            progress.is_stored |= matches!(progress.end, Some(Ok(_)));
            progress.is_accepted |= progress.is_stored;
        });
        let is_over = {
            let progress = durable.progress.borrow();
            progress.end.is_some() || durable.letter.is_last(&progress)
        };
        if is_over {
            let heard = if progress_has_end(self.durable.remove(&id)) { Heard::End } else { Heard::Stage };
            self.settled.add(id, heard);
        }
    }

    fn durable_delivery(&mut self, content: Content, now: Instant) -> Taken {
        let ticket = self.ticket(&content, now);
        match content.header.message_type() {
            MessageType::Request | MessageType::Broadcast => self.arrive(content, Some(ticket), false),
            MessageType::Response | MessageType::Ack | MessageType::Error | MessageType::Ping => {
                self.outcome(content, ticket)
            }
        }
    }

    fn outcome(&mut self, content: Content, ticket: Ticket) -> Taken {
        let id = content.header.id();
        let message_type = content.header.message_type();
        // An ERROR may be the own node's: it expired before it left.
        let is_ours = self.durable.get(&id).is_some_and(|durable| {
            message_type == MessageType::Error || durable.letter.destination == content.header.source()
        });
        let is_wanted = self.durable.get(&id).is_some_and(|durable| durable.letter.wants_outcome());
        // An answer to what nobody asked the end of is for whoever receives; it has reached its destination all the same.
        if is_ours && !is_wanted && message_type == MessageType::Response {
            self.progress(id, |progress| progress.is_stored = true);
        } else if is_ours {
            self.acknowledge(&content, ticket);
            let end = end_of(&content);
            self.progress(id, |progress| progress.end = Some(end));
            self.settled.add(id, Heard::End);
            return Taken::Done;
        }
        let is_told = match self.settled.get(id) {
            Some(Heard::End) => true,
            Some(Heard::Stage) => message_type == MessageType::Ack,
            None => false,
        };
        if is_told {
            self.acknowledge(&content, ticket);
            return Taken::Done;
        }
        self.arrive(content, Some(ticket), true)
    }

    /// Keeps something for whoever receives, if there is room.
    fn arrive(&mut self, content: Content, ticket: Option<Ticket>, is_outcome: bool) -> Taken {
        let bytes = frame_bytes(&content);
        let is_full = self.inbox.len() >= limits::LIBRARY_INBOX_MESSAGES_MAX
            || self.inbox_bytes + bytes > limits::LIBRARY_INBOX_BYTES_MAX;
        if is_full {
            return Taken::Dropped { comes_again: ticket.is_some() };
        }
        self.inbox_bytes += bytes;
        self.inbox.push_back(Arrived { content, ticket, is_outcome });
        Taken::Arrived
    }

    fn ticket(&self, content: &Content, now: Instant) -> Ticket {
        let number = content.metadata.number(Key::DeliveryNumber).unwrap_or(0);
        let lease = std::time::Duration::from_millis(content.metadata.number(Key::Lease).unwrap_or(0));
        // A lease that no clock can hold ends never.
        let until = now.checked_add(lease).unwrap_or(now + std::time::Duration::from_secs(1 << 30));
        Ticket { number, epoch: self.epoch, lease, until }
    }

    fn acknowledge(&mut self, content: &Content, ticket: Ticket) {
        // The number is void on another connection, where the outcome comes again.
        if !matches!(self.link, Link::Up) {
            return;
        }
        let letter = Letter::handled(content.header.source(), ticket.number);
        // It is 101 bytes that always fit their shape.
        let _ = self.write(&letter, content.header.id(), false);
    }

    /// The oldest thing to be received that is still ours, and whose source fits. The end of a submission always does.
    fn pop(&mut self, now: Instant, fits: impl Fn(AgentId) -> bool) -> Option<Arrived> {
        let mut place = 0;
        while let Some(arrived) = self.inbox.get(place) {
            let is_ours = arrived.ticket.is_none_or(|ticket| ticket.epoch == self.epoch && now < ticket.until);
            if is_ours && !arrived.is_outcome && !fits(arrived.content.header.source()) {
                place += 1;
                continue;
            }
            let arrived = self.inbox.remove(place)?;
            self.inbox_bytes = self.inbox_bytes.saturating_sub(frame_bytes(&arrived.content));
            if is_ours {
                return Some(arrived);
            }
        }
        None
    }
}

impl Shared {
    /// Waits for the next thing to be received.
    pub(crate) async fn receive(self: &std::sync::Arc<Self>) -> Result<Incoming, ClientError> {
        self.receive_if(|_| true).await
    }

    /// The same, but a message only from a source that fits.
    pub(crate) async fn receive_if(
        self: &std::sync::Arc<Self>,
        fits: impl Fn(AgentId) -> bool,
    ) -> Result<Incoming, ClientError> {
        loop {
            if let Some(incoming) = self.try_receive(&fits)? {
                return Ok(incoming);
            }
            let mut arrival = std::pin::pin!(self.arrivals.notified());
            arrival.as_mut().enable();
            if let Some(incoming) = self.try_receive(&fits)? {
                return Ok(incoming);
            }
            arrival.await;
        }
    }

    fn try_receive(
        self: &std::sync::Arc<Self>,
        fits: impl Fn(AgentId) -> bool,
    ) -> Result<Option<Incoming>, ClientError> {
        let mut state = self.lock();
        if let Link::Closed(why) = &state.link {
            return Err(why.clone());
        }
        let popped = state.pop(Instant::now(), fits);
        if state.say_credit() {
            self.poke.notify_one();
        }
        let Some(arrived) = popped else { return Ok(None) };
        if !state.inbox.is_empty() {
            // Another receiver may sleep, although there is more.
            self.arrivals.notify_one();
        }
        let message = Message::new(arrived.content.clone());
        if !arrived.is_outcome {
            return Ok(Some(Incoming::Delivery(Delivery { message, ticket: arrived.ticket, shared: self.clone() })));
        }
        if let Some(ticket) = arrived.ticket {
            state.acknowledge(&arrived.content, ticket);
            state.settled.add(arrived.content.header.id(), Heard::End);
            // The task writes it, for the task alone tells whoever waits for room.
            self.poke.notify_one();
        }
        let end = match end_of(&arrived.content) {
            Ok(Some(_)) => End::Answered,
            Ok(None) => End::Handled,
            Err(error) => End::Failed(error),
        };
        Ok(Some(Incoming::Outcome(Outcome { message, end })))
    }
}

/// What it counts for in credit.
fn frame_bytes(content: &Content) -> usize {
    limits::HEADER_BYTES + content.header.payload_bytes()
}

fn progress_has_end(durable: Option<Durable>) -> bool {
    durable.is_some_and(|durable| durable.progress.borrow().end.is_some())
}

/// What an outcome says.
fn end_of(content: &Content) -> Result<Option<Message>, ClientError> {
    match content.header.message_type() {
        MessageType::Response => Ok(Some(Message::new(content.clone()))),
        MessageType::Error => Err(content.error().map_or_else(ClientError::from, ClientError::from)),
        MessageType::Request | MessageType::Ack | MessageType::Ping | MessageType::Broadcast => Ok(None),
    }
}
