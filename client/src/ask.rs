//! An ask on its way: what may be added to it before it is awaited, and the waiting.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::metadata::Stage;
use proto::{AgentId, MessageType, Shape};
use serde::Serialize;

use crate::letter::{DURABLE_MESSAGE, Letter};
use crate::message::Message;
use crate::send::{Sent, entry};
use crate::shared::Shared;
use crate::{Address, Body, ClientError, clock};

/// How long an ask that is sent once waits, where nobody says otherwise. Of a durable one the mesh tells the end.
const ASK_WITHIN: Duration = Duration::from_secs(30);

/// A REQUEST that waits for its RESPONSE. Awaited, it is the answer.
#[derive(Debug)]
#[must_use = "nothing happens until it is awaited"]
pub struct Ask<'a> {
    shared: &'a Arc<Shared>,
    to: Address,
    letter: Letter,
    timeout: Option<Duration>,
    fault: Option<ClientError>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, to: Address, subject: String, body: Body) -> Self {
        let mut letter = Letter::new(MessageType::Request, Shape::Once, AgentId::ZERO, body);
        letter.subject = (!subject.is_empty()).then(|| subject.into());
        Self { shared, to, letter, timeout: None, fault: None }
    }

    /// How long to wait. Beyond that, whether the other side acted is unknown.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Keeps it on disk until its end is known, on both hosts. Such an ask survives restarts of the daemons and lost
    /// connections; it waits without end unless [`Ask::timeout`] says otherwise, for the mesh tells when it expired.
    pub const fn durable(mut self) -> Self {
        self.letter.shape = DURABLE_MESSAGE;
        self.letter.handled_wanted = true;
        self.letter.last_stage = Some(Stage::Handled);
        self
    }

    /// When it stops being worth anything.
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

    async fn run(mut self) -> Result<Message, ClientError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let is_once = self.letter.shape == Shape::Once;
        let Some(timeout) = self.timeout.or(is_once.then_some(ASK_WITHIN)) else { return self.answer().await };
        tokio::time::timeout(timeout, self.answer()).await.unwrap_or(Err(ClientError::Timeout))
    }

    async fn answer(mut self) -> Result<Message, ClientError> {
        if self.letter.shape == Shape::Once {
            return self.shared.ask_agent(&mut self.letter, &self.to).await.map(Message::new);
        }
        let (id, hear) = self.shared.submit_durable(&mut self.letter, &self.to).await?;
        let sent = Sent::new(self.shared.clone(), id, Stage::Handled, hear);
        sent.end().await
    }
}

impl<'a> IntoFuture for Ask<'a> {
    type Output = Result<Message, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
