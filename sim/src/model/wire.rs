//! What the model makes of each frame that leaves a node: attempts, STORED, and what comes at most once.

use proto::entry::{EntryNumber, Place};
use proto::limits::{ANSWER_LIFE, MESSAGE_LIFE_MAX, WINDOW_BYTES, WINDOW_MESSAGES};
use proto::metadata::Key as Field;
use proto::{Content, ErrorCode, FlowId, FlowKind, MessageType, Shape};

use super::{Flight, Model, PairKey};
use crate::account::{Key, is_answer};
use crate::fault::Promise;

/// Below it a full window of messages cannot fill the window's bytes.
const LARGE: usize = WINDOW_BYTES / WINDOW_MESSAGES as usize;

/// More attempts than any life of ten minutes of trouble gives reason for.
const ATTEMPTS_MAX: u32 = 500;

impl Model {
    /// A frame leaves for another node.
    pub(crate) fn sent(&mut self, node: usize, content: &Content, entry: Option<EntryNumber>) {
        match content.header.shape() {
            Shape::Durable(_) => self.sent_durable(node, content, entry),
            Shape::Stored => self.sent_stored(node, content),
            Shape::Once
            | Shape::Pong
            | Shape::Notice
            | Shape::Ping
            | Shape::Opener
            | Shape::Chunk
            | Shape::ChunkAck
            | Shape::StreamEnd
            | Shape::StreamAbort
            | Shape::Handled
            | Shape::Told => {}
        }
    }

    fn sent_durable(&mut self, node: usize, content: &Content, entry: Option<EntryNumber>) {
        let header = &content.header;
        let answers = is_answer(header.message_type());
        let pair = PairKey { source: header.source(), destination: header.destination(), answers };
        let key = Key { pair, id: header.id() };
        let (Some(flow), Some(floor)) = (content.metadata.flow_id(), content.metadata.number(Field::Floor)) else {
            return self.fault(Promise::HostIsUsable, Some(node), Some(key), "an attempt without flow or floor");
        };
        let sequence = header.sequence().get();
        let says_again = content.metadata.has(Field::Again);
        self.judge_attempt(node, key, content, flow, entry);
        let lowest = self.accounts.get(node).and_then(|account| account.floor_at_most(pair, flow));
        if lowest.is_some_and(|lowest| floor > u64::from(lowest)) {
            let what = format!("the floor is {floor}, and place {} is owned", lowest.unwrap_or(0));
            self.fault(Promise::FloorIsOwned, Some(node), Some(key), what);
        }
        let flight = self.flights.entry((pair, flow)).or_default();
        flight.highest = flight.highest.max(sequence);
        let settled = flight.settled.max(lowest.unwrap_or(1).saturating_sub(1));
        let unconfirmed = flight.highest.saturating_sub(settled);
        flight.bytes.insert(sequence, content.body.len());
        flight.bytes = flight.bytes.split_off(&settled.saturating_add(1));
        let bytes: usize = if content.body.len() < LARGE { 0 } else { flight.bytes.values().sum() };
        if bytes > WINDOW_BYTES && flight.bytes.len() > 1 {
            let what = format!("{bytes} bytes of one flow are sent and not confirmed");
            self.fault(Promise::BoundsHold, Some(node), Some(key), what);
        }
        if unconfirmed > WINDOW_MESSAGES {
            let what = format!("{unconfirmed} places of one flow are sent and not confirmed");
            self.fault(Promise::BoundsHold, Some(node), Some(key), what);
        }
        let life = content.metadata.expiry().unwrap_or(0).saturating_sub(header.timestamp());
        if life > MESSAGE_LIFE_MAX || answers && life != ANSWER_LIFE {
            self.fault(Promise::BoundsHold, Some(node), Some(key), format!("it lives {life} ns"));
        }
        let mail = self.mail_of(key);
        mail.attempts += 1;
        if mail.attempts > ATTEMPTS_MAX {
            self.fault(Promise::BoundsHold, Some(node), Some(key), "it was sent again and again and again");
            return;
        }
        let may_say_again = mail.said_again || mail.is_renumbered || answers;
        if says_again && !may_say_again {
            let what = "AGAIN is said of what was neither submitted again nor renumbered";
            self.fault(Promise::MarksHaveReasons, Some(node), Some(key), what);
        }
    }

    fn judge_attempt(&mut self, node: usize, key: Key, content: &Content, flow: FlowId, entry: Option<EntryNumber>) {
        if self.is_forgiven(node) {
            return;
        }
        let header = &content.header;
        let Some(account) = self.accounts.get(node) else { return };
        let wanted = Place { flow, sequence: header.sequence().get() };
        let Some((letter, place)) = account.synced.letter(&key, wanted) else {
            let what = "an attempt leaves, and the message is not on the source's disk";
            return self.fault(Promise::AttemptIsOnDisk, Some(node), Some(key), what);
        };
        let is_same = letter.timestamp == header.timestamp()
            && content.metadata.expiry() == Some(letter.expiry)
            && letter.message_type == header.message_type()
            && place.flow == flow
            && place.sequence == header.sequence().get();
        let is_from_disk = entry.is_none_or(|entry| account.synced.entries.contains_key(&entry));
        if !is_same || !is_from_disk {
            let what = format!(
                "an attempt at place {} of flow {} differs from what is on disk at place {} of flow {}",
                header.sequence().get(),
                flow.get(),
                place.sequence,
                place.flow.get()
            );
            self.fault(Promise::AttemptIsOnDisk, Some(node), Some(key), what);
        }
    }

    /// STORED goes from the destination to the source, and speaks of the other direction.
    fn sent_stored(&mut self, node: usize, content: &Content) {
        let header = &content.header;
        let Some(flow) = content.metadata.flow_id() else { return };
        let answers = flow.kind() == FlowKind::Answers;
        let pair = PairKey { source: header.destination(), destination: header.source(), answers };
        let sequence = header.sequence().get();
        if self.is_forgiven(node) {
            return;
        }
        let mark = self.accounts.get(node).and_then(|account| account.synced.marks.get(&pair)).copied();
        let covers = mark.is_some_and(|mark| mark.flow > flow || mark.flow == flow && mark.sequence >= sequence);
        if !covers && !answers {
            let what = format!("STORED up to {sequence}, and the mark on disk is {mark:?}");
            self.fault(Promise::StoredIsOnDisk, Some(node), None, what);
        }
        let from = self.flights.get(&(pair, flow)).map_or(0, |flight| flight.settled);
        let covered: Vec<_> =
            self.places.range((pair, flow, from.min(sequence))..=(pair, flow, sequence)).map(|(_, key)| *key).collect();
        for key in covered {
            self.judge_stored(node, key);
        }
    }

    fn judge_stored(&mut self, node: usize, key: Key) {
        let wall = self.wall_most;
        let Some(mail) = self.mail.get(&key) else { return };
        let is_owned =
            self.accounts.get(mail.source_node).is_some_and(|account| account.synced.owned.contains_key(&key));
        let fits = mail.was_stored
            || mail.excuse.is_some()
            || mail.is_unfit
            || wall >= mail.expiry
            || !is_owned
            || key.pair.answers
            || self.is_forgiven(mail.source_node);
        if !fits {
            self.fault(Promise::StoredIsOnDisk, Some(node), Some(key), "STORED covers what was never on this disk");
        }
    }

    /// STORED reaches the source.
    pub(crate) fn heard_stored(&mut self, content: &Content) {
        let header = &content.header;
        let Some(flow) = content.metadata.flow_id() else { return };
        let answers = flow.kind() == FlowKind::Answers;
        let pair = PairKey { source: header.destination(), destination: header.source(), answers };
        let flight: &mut Flight = self.flights.entry((pair, flow)).or_default();
        flight.settled = flight.settled.max(header.sequence().get().min(flight.highest));
    }

    /// The code of an ERROR.
    pub(crate) fn code_of(content: &Content) -> Option<ErrorCode> {
        if content.header.message_type() != MessageType::Error {
            return None;
        }
        content.error().ok().map(|error| error.code)
    }
}
