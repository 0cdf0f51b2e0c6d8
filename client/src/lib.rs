//! The agent's library: attach to the daemon on this host, ask, send, receive, serve.
//!
//! It speaks the agent's door (`docs/PROTOCOL.md`, section 12) over a Unix socket. It never sees a private key, never
//! signs or seals, and opens no other connection: all that is the daemon's.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::ClientError> {
//! use client::{Agent, Stage};
//!
//! let me = Agent::attach("planner").capability("plan").await?;
//! let answer = me.ask("echo@beta", "greet", "hello").await?;
//! let sent = me.send("archiver@beta", "store", answer.body().clone()).until(Stage::Handled).await?;
//! sent.stored().await?;
//! sent.handled().await?;
//!
//! me.on("plan", |message| async move { Ok(format!("a plan for {}", message.source_name())) });
//! me.serve().await
//! # }
//! ```
//!
//! One task owns the connection. It connects again by itself, with growing pauses, attaches again, and sends every durable
//! submission whose end it has not heard again under the same id. All queues are bounded: who submits more than fits waits,
//! and what nobody receives is left to its lease.

mod agent;
mod ask;
mod body;
mod clock;
mod connection;
mod credit;
mod error;
mod events;
mod incoming;
mod letter;
mod message;
mod node;
mod requests;
mod send;
mod serve;
mod shared;
mod socket;
#[cfg(test)]
mod tests;

pub use agent::{Address, Agent, Attaching};
pub use ask::Ask;
pub use body::Body;
pub use error::{ClientError, Refuse};
pub use events::{Event, Events};
pub use message::{Delivery, End, Incoming, Message, Outcome, Proof};
pub use node::{Node, Order, Pong};
pub use proto::metadata::Stage;
pub use proto::{AgentId, ContentType, ErrorCode, MessageId, MessageType, NodeId};
pub use send::{Sending, Sent};
pub use serve::Reply;
pub use socket::candidates as socket_candidates;
