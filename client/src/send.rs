//! A durable submission: what may be added to it before it is awaited, and the stages that can be awaited afterwards.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::metadata::Stage;
use proto::{AgentId, MessageId, MessageType};
use serde::Serialize;
use tokio::sync::watch;

use crate::letter::{DURABLE_MESSAGE, Letter};
use crate::message::Message;
use crate::shared::{Progress, Shared};
use crate::{Address, Body, ClientError, clock};

/// A message that is kept until its end is known. Awaited, it is accepted: on this host's disk.
#[derive(Debug)]
#[must_use = "nothing happens until it is awaited"]
pub struct Sending<'a> {
    shared: &'a Arc<Shared>,
    to: Address,
    letter: Letter,
    fault: Option<ClientError>,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, to: Address, subject: String, body: Body) -> Self {
        let mut letter = Letter::new(MessageType::Request, DURABLE_MESSAGE, AgentId::ZERO, body);
        letter.subject = (!subject.is_empty()).then(|| subject.into());
        letter.last_stage = Some(Stage::Stored);
        Self { shared, to, letter, fault: None }
    }

    /// The last stage that will be awaited. [`Stage::Stored`] where nobody says otherwise; it is accepted in any case.
    pub fn until(mut self, stage: Stage) -> Self {
        let stage = if stage == Stage::None { Stage::Accepted } else { stage };
        self.letter.last_stage = Some(stage);
        self.letter.handled_wanted = stage == Stage::Handled;
        self
    }

    /// When it stops being worth anything. By default 24 h from now, at most 72.
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.letter.extras.expiry = Some(clock::moment_after(life));
        self
    }

    /// The trace that it belongs to.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.letter.extras.traceparent = Some(traceparent.into());
        self
    }

    /// The session that it belongs to.
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.letter.extras.session = Some(session.into());
        self
    }

    /// An entry of the application's own, beside the body.
    pub fn entry<T: Serialize + ?Sized>(mut self, key: impl Into<String>, value: &T) -> Self {
        entry(&mut self.letter, &mut self.fault, key.into(), value);
        self
    }

    /// Draws the message's id now, so that it can be written down before the message is submitted. Whoever dies in
    /// between submits it [`Sending::again`] under the same id.
    pub fn id(&mut self) -> Result<MessageId, ClientError> {
        if let Some((id, _)) = self.letter.drawn {
            return Ok(id);
        }
        let id = self.shared.lock().draw()?;
        self.letter.drawn = Some((id, false));
        Ok(id)
    }

    /// Submits a message that may have been submitted under this id before. Where the daemon knows it, it is the same
    /// message; otherwise it is delivered marked.
    pub fn again(mut self, id: MessageId) -> Self {
        self.letter.drawn = Some((id, true));
        self
    }

    async fn run(mut self) -> Result<Sent, ClientError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let (id, hear) = self.shared.submit_durable(&mut self.letter, &self.to).await?;
        let stage = self.letter.last_stage.unwrap_or(Stage::Stored);
        let sent = Sent::new(self.shared.clone(), id, stage, hear);
        sent.accepted().await?;
        Ok(sent)
    }
}

impl<'a> IntoFuture for Sending<'a> {
    type Output = Result<Sent, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// An accepted message. Dropping it stops the waiting, not the message.
#[derive(Debug)]
pub struct Sent {
    shared: Arc<Shared>,
    id: MessageId,
    until: Stage,
    hear: watch::Receiver<Progress>,
}

impl Sent {
    pub(crate) const fn new(shared: Arc<Shared>, id: MessageId, until: Stage, hear: watch::Receiver<Progress>) -> Self {
        Self { shared, id, until, hear }
    }

    /// The message's id.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.id
    }

    async fn accepted(&self) -> Result<(), ClientError> {
        self.reached(|progress| progress.is_accepted).await.map(drop)
    }

    /// Waits until it is on the disk of the destination's host.
    pub async fn stored(&self) -> Result<(), ClientError> {
        if self.until == Stage::Accepted {
            return Err(ClientError::NotAsked);
        }
        self.reached(|progress| progress.is_stored).await.map(drop)
    }

    /// Waits until the destination has handled it, which [`Sending::until`] has to have asked for. An answer, if it gave
    /// one, is part of that.
    pub async fn handled(&self) -> Result<Option<Message>, ClientError> {
        if self.until != Stage::Handled {
            return Err(ClientError::NotAsked);
        }
        let progress = self.reached(|_| false).await?;
        Ok(progress.end.and_then(Result::ok).flatten())
    }

    /// Waits for the answer; of a message that was handled without one, there is none.
    pub(crate) async fn end(&self) -> Result<Message, ClientError> {
        self.handled().await?.ok_or(ClientError::Unanswered)
    }

    /// Waits until `is_there`, or the end.
    async fn reached(&self, is_there: impl Fn(&Progress) -> bool) -> Result<Progress, ClientError> {
        let mut hear = self.hear.clone();
        let heard = hear.wait_for(|progress| is_there(progress) || progress.end.is_some()).await;
        // Whoever told is gone without an end only when the whole connection is.
        let progress = heard.map_err(|_| ClientError::Closed)?.clone();
        match &progress.end {
            Some(Err(why)) if !is_there(&progress) => Err(why.clone()),
            Some(_) | None => Ok(progress),
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.shared.forget_durable(self.id);
    }
}

/// Adds an entry of the application's own; a value that has no form is told when the message is sent.
pub(crate) fn entry<T: Serialize + ?Sized>(
    letter: &mut Letter,
    fault: &mut Option<ClientError>,
    key: String,
    value: &T,
) {
    match rmp_serde::to_vec_named(value) {
        Ok(value) => letter.extras.application.push((key, value)),
        Err(_) => *fault = Some(ClientError::Invalid { what: "an entry has no form in MessagePack" }),
    }
}
