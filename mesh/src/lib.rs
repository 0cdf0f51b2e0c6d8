//! What to do about it: the core that decides, and never touches the world.
//!
//! A [`Node`] is given facts and the time ([`Input`], [`Now`]), and gives back work to do ([`Effect`]). It has no
//! clock, no chance but a seed, no socket, no file, no thread and no cipher: the daemon, the simulator and the fuzzer
//! are three hosts for it. The same seed and the same facts give the same effects.
//!
//! One message, as the rooms see it:
//!
//! 1. `clients.rs` finds out what a frame at the agents' door means; `submission.rs` judges it and takes it over.
//! 2. `ledger.rs` writes it into the step's one transaction, and holds what follows until that is synced.
//! 3. `sending.rs` sends what `outbox.rs` owns: in order, within window and room, again until it is stored; `giving_up.rs` ends
//!    what never is.
//! 4. `inbox.rs`, on the other node, judges its place in the flow first and takes it only when it is next; `receipts.rs`
//!    says STORED, and `notices.rs` hears what else the other end says about attempts.
//! 5. `delivering.rs` gives it to its agent from `mailbox.rs`.
//! 6. `outcomes.rs` sends what became of it back as an answer; `stubs.rs` keeps what the sender waits for until it has
//!    acknowledged that.
//!
//! `once.rs` and `recent.rs` are for what nobody keeps, `link.rs` for peers, `directory.rs` and `records.rs` for who is who, `members.rs` for who belongs to
//! the mesh, `spreading.rs` for how all hear of it, `revoking.rs` for who is out, `renewal.rs` for this node's own record and certificate, `recovery.rs` for what the
//! journal held. `bounds.rs` says how much may wait where, `policy.rs` who may send what to whom, `flows.rs` counts what other nodes have here, `clock.rs` watches the wall clock, `dead.rs` keeps
//! what was given up, `history.rs` what happened lately; `listing.rs`, `orders.rs` and `explain.rs` are for operators. `rules.rs` names the rules that all of this follows.
#![no_std]

extern crate alloc;

mod bounds;
mod chance;
mod clients;
mod clock;
mod dead;
mod delivering;
mod directory;
mod effect;
mod explain;
mod flows;
mod giving_up;
mod history;
mod inbox;
mod input;
mod ledger;
mod link;
mod listing;
mod mailbox;
mod members;
mod node;
mod notices;
mod once;
mod orders;
mod outbox;
mod outcomes;
mod pair;
mod policy;
mod receipts;
mod recent;
mod records;
mod recovery;
mod renewal;
mod revoking;
mod rules;
mod say;
mod sending;
mod spreading;
mod step;
mod stubs;
mod submission;
mod summary;
mod time;
mod timers;

pub use bounds::{Bounds, Share};
pub use effect::{Change, Control, Effect, Effects, Event, Notes, Outgoing};
pub use explain::is_for_the_core;
pub use history::{Moment, Since, What};
pub use input::{
    ClientId, HostedAgent, Input, LinkId, Load, Membership, Notice, Options, Past, PastEntry, PastError, PeerSaid,
    PinnedPeer, TransactionNumber, Trust,
};
pub use listing::Unanswered;
pub use node::Node;
pub use policy::{Allow, Pattern, Policy, Where, Who};
pub use rules::{Rule, Rules};
pub use summary::{AgentSummary, PeerState, PeerSummary, Stats, Summary};
pub use time::{Deadline, Mono, Now, Wall, millis};
