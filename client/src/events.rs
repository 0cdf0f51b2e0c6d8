//! What becomes of the connection, for those who want to know. Nobody has to listen: what nobody hears is dropped.

use std::time::Duration;

use tokio::sync::broadcast;

use crate::{ClientError, Outcome};

/// Something that happened to the connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The connection was lost; it is being made again.
    Disconnected {
        /// Why.
        why: ClientError,
    },
    /// It could not be made; the next attempt comes after a pause.
    Retrying {
        /// Why not.
        why: ClientError,
        /// How long the pause is.
        pause: Duration,
    },
    /// It is there again, and the agent is attached.
    Reconnected {
        /// Durable submissions that were sent again.
        resubmitted: usize,
    },
    /// A delivery found no room because nobody receives. A durable one comes again; one that is sent once is lost.
    Dropped {
        /// Whether it comes again.
        comes_again: bool,
    },
    /// While serving: the end of a submission that nobody waits for. It is acknowledged.
    Outcome(Box<Outcome>),
}

/// Events from here on.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next one; `None` once the agent is detached. Who listens too slowly misses the oldest.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
