//! What happened to messages lately: envelopes alone, in memory alone, bounded. It is for people who ask; nothing is
//! decided by it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proto::entry::Letter;
use proto::limits::{HISTORY_DURABLE, HISTORY_ONCE};
use proto::{AgentId, Draft, ErrorCode, Header, MessageId, MessageType};

use crate::step::Step;
use crate::time::Wall;

macro_rules! whats {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal,)+) => {
        /// What happened. The words are those of `docs/PROTOCOL.md`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum What {
            $($(#[doc = $doc])+ $name,)+
        }

        impl What {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

whats! {
    /// Its agent asked for it, and it was refused.
    Refused "refused",
    /// Taken over from its agent.
    Accepted "accepted",
    /// An attempt left.
    Sent "sent",
    /// The destination said STORED.
    Stored "stored",
    /// The destination said that it is full.
    HeardFull "heard-full",
    /// The destination said that the prekey is an old one.
    HeardOldPrekey "heard-old-prekey",
    /// Numbered anew, because the destination knows a newer flow.
    Renumbered "renumbered",
    /// Taken from the wire.
    Received "received",
    /// It came before its turn, and waits.
    Early "early",
    /// It came again, and was not taken again.
    Duplicate "duplicate",
    /// There was no room for it here.
    SaidFull "said-full",
    /// Its content was refused here.
    SaidUnfit "said-unfit",
    /// No rule here allows it.
    SaidForbidden "said-forbidden",
    /// Given to its agent.
    Delivered "delivered",
    /// The agent refused it, its session was lost, or its lease ended.
    DeliveryFailed "delivery-failed",
    /// The agent is still at it.
    Working "working",
    /// The agent has handled it.
    Handled "handled",
    /// The agent has answered it.
    Answered "answered",
    /// What became of it has come back.
    Outcome "outcome",
    /// It expired.
    Expired "expired",
    /// It was given up, and is a dead letter.
    Dead "dead",
    /// An operator took it out.
    Withdrawn "withdrawn",
    /// An operator put it back.
    Requeued "requeued",
    /// An operator had it forgotten.
    Purged "purged",
    /// What was said is lost: the disk did not give it back.
    Lost "lost",
}

/// Something that happened to a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// When.
    pub wall: Wall,
    /// What.
    pub what: What,
    /// Who said it.
    pub source: AgentId,
    /// To whom.
    pub destination: AgentId,
    /// The message, or the one that it answers.
    pub id: MessageId,
    /// What kind of message.
    pub message_type: MessageType,
    /// The code that goes with it.
    pub code: Option<ErrorCode>,
    /// Which attempt or delivery; 0 if that says nothing.
    pub attempt: u32,
    /// Bytes of metadata and body, 0 if they are not known.
    pub bytes: u32,
}

impl Moment {
    pub(crate) fn of(what: What, letter: &Letter) -> Self {
        Self::new(what, letter.source, letter.destination, letter.id, letter.message_type)
    }

    pub(crate) fn of_draft(what: What, draft: &Draft) -> Self {
        Self::new(what, draft.source, draft.destination, draft.id, draft.message_type)
    }

    pub(crate) fn of_header(what: What, header: &Header) -> Self {
        Self::new(what, header.source(), header.destination(), header.id(), header.message_type())
    }

    /// Of what was asked once, by the header of an ERROR about it.
    pub(crate) fn of_asked(what: What, error: &Header) -> Self {
        Self::new(what, error.destination(), error.source(), error.id(), MessageType::Request)
    }

    const fn new(what: What, source: AgentId, destination: AgentId, id: MessageId, message_type: MessageType) -> Self {
        Self { wall: Wall(0), what, source, destination, id, message_type, code: None, attempt: 0, bytes: 0 }
    }

    pub(crate) const fn code(self, code: ErrorCode) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) const fn attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    pub(crate) fn bytes(self, bytes: usize) -> Self {
        Self { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), ..self }
    }
}

/// The last moments, numbered in the order in which they were noted.
#[derive(Debug, Default)]
pub(crate) struct History {
    next: u64,
    durable: VecDeque<(u64, Moment)>,
    /// What nobody keeps has a room of its own, so that it does not push out what is kept.
    once: VecDeque<(u64, Moment)>,
}

impl History {
    /// Notes something about a durable message.
    pub(crate) fn note(&mut self, moment: Moment, step: &Step<'_>) {
        let number = self.number();
        push(&mut self.durable, HISTORY_DURABLE, number, Moment { wall: step.now.wall, ..moment });
    }

    /// Notes something about a message that goes at most once.
    pub(crate) fn note_once(&mut self, moment: Moment, step: &Step<'_>) {
        let number = self.number();
        push(&mut self.once, HISTORY_ONCE, number, Moment { wall: step.now.wall, ..moment });
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// All that is remembered of an id, the oldest first.
    pub(crate) fn of(&self, id: MessageId) -> Vec<Moment> {
        let all = self.durable.iter().chain(&self.once).filter(|(_, moment)| moment.id == id);
        let mut found: Vec<(u64, Moment)> = all.copied().collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, moment)| moment).collect()
    }

    /// What was noted after `cursor` and fits, at most so many.
    pub(crate) fn since(&self, cursor: u64, limit: usize, fits: impl Fn(&Moment) -> bool) -> Since {
        let after = |ring: &VecDeque<(u64, Moment)>| ring.partition_point(|(number, _)| *number <= cursor);
        let (durable, once) = (after(&self.durable), after(&self.once));
        let there = self.durable.len() - durable + self.once.len() - once;
        let missed = self.next.saturating_sub(cursor).saturating_sub(there as u64);
        let all = self.durable.range(durable..).chain(self.once.range(once..));
        let mut found: Vec<(u64, Moment)> = all.filter(|(_, moment)| fits(moment)).copied().collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        let is_whole = found.len() <= limit;
        found.truncate(limit);
        let last = found.last().map_or(cursor, |(number, _)| *number);
        let cursor = if is_whole { self.next } else { last };
        Since { moments: found.into_iter().map(|(_, moment)| moment).collect(), cursor, missed }
    }

    /// Where the next moment will be.
    pub(crate) const fn cursor(&self) -> u64 {
        self.next
    }
}

fn push(ring: &mut VecDeque<(u64, Moment)>, most: usize, number: u64, moment: Moment) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back((number, moment));
}

/// Moments since a cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Since {
    /// What happened, the oldest first.
    pub moments: Vec<Moment>,
    /// For the next question.
    pub cursor: u64,
    /// Moments that were forgotten before they could be told.
    pub missed: u64,
}
