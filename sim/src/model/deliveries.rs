//! What the model makes of all that agents are told and say.

use mesh::ClientId;
use proto::entry::EntryNumber;
use proto::limits::{DELIVERIES_OUT_MAX, SECOND};
use proto::metadata::Key as Field;
use proto::{AgentId, Content, ErrorCode, MessageType, Receipt, Shape};

use super::{End, Model, end_of};
use crate::account::{Key, PairKey, is_answer};
use crate::fault::Promise;

/// Acknowledgements so close to the end of a lease may be judged either way.
const GREY: u64 = 2 * SECOND;

/// A delivery that is out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    pub(crate) key: Key,
    pub(crate) client: ClientId,
    /// When its lease ends.
    pub(crate) until: u64,
    lease: u64,
    is_void: bool,
}

impl Model {
    /// A node tells a client something.
    pub(crate) fn told(
        &mut self,
        node: usize,
        client: ClientId,
        content: &Content,
        entry: Option<EntryNumber>,
        wall: u64,
    ) {
        match content.header.shape() {
            Shape::Durable(_) => self.delivered(node, client, content, entry, wall),
            Shape::Once if content.metadata.has(Field::SourceName) => self.delivered_once(node, content, wall),
            Shape::Told => self.told_stage(node, content),
            Shape::Notice => self.told_refusal(node, content),
            Shape::Once
            | Shape::Pong
            | Shape::Stored
            | Shape::Ping
            | Shape::Opener
            | Shape::Chunk
            | Shape::ChunkAck
            | Shape::StreamEnd
            | Shape::StreamAbort
            | Shape::Handled => {}
        }
    }

    fn delivered(&mut self, node: usize, client: ClientId, content: &Content, entry: Option<EntryNumber>, wall: u64) {
        let header = &content.header;
        let answers = is_answer(header.message_type());
        let pair = PairKey { source: header.source(), destination: header.destination(), answers };
        let key = self.key_delivered(node, Key { pair, id: header.id() });
        let is_marked = content.metadata.has(Field::Marked);
        let lease = content.metadata.number(Field::Lease).unwrap_or(0).saturating_mul(SECOND / 1000);
        if let Some(number) = content.metadata.number(Field::DeliveryNumber) {
            let delivered = Delivered { key, client, until: self.now.saturating_add(lease), lease, is_void: false };
            self.judge_out(node, key.pair.destination);
            let doubled = self.out.get_mut(node).and_then(|out| out.insert(number, delivered));
            if doubled.is_some() {
                self.fault(Promise::NumbersAreVoid, Some(node), Some(key), "a delivery number was drawn twice");
            }
        }
        self.tally.deliveries += 1;
        self.tally.marked += u64::from(is_marked);
        self.judge_on_disk(node, key, entry);
        let before = self.mail_of(key).deliveries;
        self.mail_of(key).deliveries += 1;
        self.judge_run(node, key);
        if before > 0 && !is_marked && !self.is_forgiven(node) {
            let what = format!("delivery {} is not marked", before + 1);
            self.fault(Promise::RepeatsAreMarked, Some(node), Some(key), what);
        }
        if before == 0 && is_marked {
            self.judge_mark(node, key);
        }
        if before == 0 && !is_marked {
            self.judge_order(node, key);
        }
        if answers {
            self.judge_end(node, key, content, wall);
        }
    }

    /// Nothing is delivered for ever.
    fn judge_run(&mut self, node: usize, key: Key) {
        let starts = self.accounts.get(node).map_or(0, |account| account.starts);
        let most = self.deliveries_max;
        let mail = self.mail_of(key);
        // What is said again may lie there a second time, and an outcome is given again to whoever asks for it.
        let may_be_two = mail.submissions > 1 || mail.said_again || mail.is_renumbered || key.pair.answers;
        let is_over = mail.refused_in_run == Some(starts) && !may_be_two && mail.excuse.is_none();
        let (run, count) = &mut mail.deliveries_in_run;
        *count = if *run == starts { *count + 1 } else { 1 };
        *run = starts;
        if *count > if may_be_two { 3 * most } else { most } {
            let what = format!("delivery {count} in one run, of {most}");
            self.fault(Promise::BoundsHold, Some(node), Some(key), what);
        }
        if is_over && !self.is_forgiven(node) {
            let what = "it is delivered again, and its agent refused it for good";
            self.fault(Promise::RefusedIsOver, Some(node), Some(key), what);
        }
    }

    /// Not more than so many are with one agent at a time.
    fn judge_out(&mut self, node: usize, agent: AgentId) {
        let now = self.now;
        let Some(out) = self.out.get_mut(node) else { return };
        if out.len() > 2 * DELIVERIES_OUT_MAX {
            out.retain(|_, delivered| !delivered.is_void && now <= delivered.until + GREY);
        }
        let is_with = |delivered: &&Delivered| {
            delivered.key.pair.destination == agent && !delivered.is_void && now < delivered.until
        };
        let count = out.values().filter(is_with).count();
        if count >= DELIVERIES_OUT_MAX {
            let what = format!("{} deliveries are with one agent", count + 1);
            self.fault(Promise::BoundsHold, Some(node), None, what);
        }
    }

    /// An ERROR of a node stands under its own name; which agent's answer it is in place of, the mailbox tells.
    fn key_delivered(&self, node: usize, key: Key) -> Key {
        let Some(account) = self.accounts.get(node) else { return key };
        if account.asked.received.contains_key(&key) || !key.pair.answers {
            return key;
        }
        let same =
            |other: &&Key| other.id == key.id && other.pair.destination == key.pair.destination && other.pair.answers;
        account.asked.received.keys().find(same).copied().unwrap_or(key)
    }

    fn judge_on_disk(&mut self, node: usize, key: Key, entry: Option<EntryNumber>) {
        let Some(account) = self.accounts.get(node).filter(|account| !account.is_forgiven) else { return };
        let is_there = entry.map_or_else(
            || account.synced.received.contains_key(&key),
            |entry| account.synced.entries.contains_key(&entry),
        );
        if !is_there {
            let what = "an agent sees what is not on its node's disk";
            self.fault(Promise::DeliveryIsOnDisk, Some(node), Some(key), what);
        }
    }

    /// Whether a first delivery may be marked.
    fn judge_mark(&mut self, node: usize, key: Key) {
        let Some(account) = self.accounts.get(node) else { return };
        let Some(mail) = self.mail.get(&key) else { return };
        let was_there = account.unclean_start > mail.received_start;
        let is_old =
            account.birth.is_some_and(|birth| mail.timestamp < birth.saturating_add(proto::limits::CLOCKS_APART_MAX));
        // An end that the node makes up itself may stand in for one that it told before.
        let asked = self.mail.get(&key.reverse()).filter(|_| key.pair.answers);
        let is_about_old = asked.is_some_and(|asked| {
            let said_from = asked.expiry.saturating_sub(proto::limits::MESSAGE_LIFE_MAX);
            account.birth.is_some_and(|birth| said_from < birth.saturating_add(proto::limits::CLOCKS_APART_MAX))
        });
        let fits = mail.said_again
            || is_about_old
            || mail.is_renumbered
            || was_there
            || is_old
            || account.clock_moved
            || account.is_forgiven
            || mail.excuse.is_some();
        if !fits {
            self.fault(Promise::MarksHaveReasons, Some(node), Some(key), "a first delivery is marked for no reason");
        }
    }

    fn judge_order(&mut self, node: usize, key: Key) {
        let Some(order) = self.mail.get(&key).and_then(|mail| mail.received_order) else { return };
        let is_free = |mail: &super::Mail| mail.is_source_lost || self.is_forgiven(mail.source_node);
        // A store that went back may have accepted it twice.
        if self.is_forgiven(node) || self.mail.get(&key).is_some_and(is_free) {
            return;
        }
        let last = self.last_unmarked.insert(key.pair, (order, key.id));
        if let Some((_, last)) = last.filter(|(last, _)| *last > order) {
            let what = format!("it was accepted before {last}, and that was delivered before it");
            self.fault(Promise::OrderHolds, Some(node), Some(key), what);
        }
    }

    /// What a sender is told of an end.
    fn judge_end(&mut self, node: usize, key: Key, content: &Content, wall: u64) {
        let question = key.reverse();
        let Some(end) = end_of(content.header.message_type(), Self::code_of(content)) else { return };
        let is_forgiven = self.is_forgiven(node);
        let Some(mail) = self.mail.get(&question) else {
            return self.fault(Promise::NoUnwantedAnswers, Some(node), Some(key), "the end of what was never said");
        };
        let is_free = is_forgiven || mail.is_source_lost || self.is_forgiven(mail.destination_node);
        let waits = self.accounts.get(node).is_some_and(|account| account.asked.stubs.contains_key(&question));
        if (!mail.is_asked && !matches!(end, End::Failed(_)) || !waits && mail.is_asked) && !is_free {
            self.fault(Promise::NoUnwantedAnswers, Some(node), Some(key), "the end of what nobody waits for");
        }
        self.note_end(node, question, end, wall, is_free);
    }

    /// One story, and a true one.
    pub(crate) fn note_end(&mut self, node: usize, question: Key, end: End, wall: u64, is_free: bool) {
        let expired_somewhere = self.wall_most.max(wall);
        let deliveries_max = self.deliveries_max;
        let home = self.mail_of(question).destination_node;
        let is_out = self.out_nodes.contains(&home);
        let mail = self.mail_of(question);
        let was_handled = mail.was_handled || mail.was_responded;
        let is_true = match end {
            End::Handled => was_handled,
            End::Responded => mail.was_responded,
            End::Failed(ErrorCode::EXPIRED) => {
                let may_have_come = mail.attempts > 0 && !mail.was_stored;
                mail.deliveries == 0 && !may_have_come && expired_somewhere >= mail.expiry
            }
            End::Failed(ErrorCode::TIMEOUT) => expired_somewhere >= mail.expiry || is_out,
            End::Failed(ErrorCode::GIVEN_UP) => mail.deliveries >= deliveries_max,
            // Withdrawn, and it never left.
            End::Failed(ErrorCode::POLICY) if is_out => mail.attempts == 0 || mail.is_refused,
            End::Failed(ErrorCode::MALFORMED | ErrorCode::POLICY) => mail.is_unfit || mail.is_refused,
            End::Failed(ErrorCode::FULL) => mail.was_responded,
            // What was said was lost, and is said to be.
            End::Failed(ErrorCode::STORAGE) => mail.excuse.is_some(),
            End::Failed(_) => false,
        };
        let is_new = mail.ends.insert(end);
        let stories = mail.ends.len();
        if is_new {
            self.tally.ended += 1;
        }
        if !is_true && !is_free {
            self.fault(Promise::EndsAreTrue, Some(node), Some(question), format!("told {end:?}, which is not so"));
        }
        if stories > 1 && !is_free {
            let ends = self.mail_of(question).ends.clone();
            self.fault(Promise::OneStory, Some(node), Some(question), format!("two stories: {ends:?}"));
        }
    }

    fn told_stage(&mut self, node: usize, content: &Content) {
        let header = &content.header;
        let Some(key) = self.find_said(header.destination(), header.id()) else {
            return self.fault(Promise::StagesAreTold, Some(node), None, "a stage of what was never said");
        };
        let is_free = self.is_forgiven(node);
        let mail = self.mail_of(key);
        let is_excused = mail.excuse.is_some() || is_free;
        let rank = match header.receipt() {
            Receipt::Accepted => 1,
            Receipt::Stored => 2,
            Receipt::Handled => 3,
            Receipt::None => 0_u8,
        };
        let count = mail.told.get_mut(usize::from(rank).wrapping_sub(1)).map_or(0, |count| {
            *count += 1;
            *count
        });
        let is_too_often = count > mail.submissions || rank > mail.asked_rank;
        if is_too_often && !key.pair.answers {
            let what = format!("{:?} is told {count} times, of {} submissions", header.receipt(), mail.submissions);
            self.fault(Promise::StagesAreTold, Some(node), Some(key), what);
        }
        self.judge_stage(node, key, header.receipt(), is_excused);
    }

    fn judge_stage(&mut self, node: usize, key: Key, receipt: Receipt, is_excused: bool) {
        let mail = self.mail_of(key);
        match receipt {
            Receipt::Accepted => {
                if !mail.was_owned && !is_excused {
                    let what = "Accepted is said of what is not on disk";
                    self.fault(Promise::AcceptedIsOnDisk, Some(node), Some(key), what);
                }
            }
            Receipt::Stored => {
                let is_free = is_excused || mail.is_unfit;
                let destination = mail.destination_node;
                if !mail.was_stored && !is_free && !self.is_forgiven(destination) {
                    let what = "STORED is said of what is not on the destination's disk";
                    self.fault(Promise::StoredIsOnDisk, Some(node), Some(key), what);
                }
            }
            Receipt::Handled => self.note_end(node, key, End::Handled, 0, is_excused),
            Receipt::None => {}
        }
    }

    fn told_refusal(&mut self, node: usize, content: &Content) {
        let header = &content.header;
        let Some(code) = Self::code_of(content) else { return };
        if !self.nodes.contains(&header.source()) {
            return self.refused_once(node, header, code);
        }
        let Some(key) = self.find_said(header.destination(), header.id()).filter(|key| !key.pair.answers) else {
            return;
        };
        // A client that was taken over is refused whatever it says; that says nothing about the message.
        if code == ErrorCode::UNAUTHENTICATED {
            return;
        }
        let is_free = self.is_forgiven(node);
        let Some(mail) = self.mail.get_mut(&key) else { return };
        let is_free = is_free || mail.excuse.is_some();
        let is_end = matches!(code, ErrorCode::EXPIRED | ErrorCode::TIMEOUT);
        if mail.was_owned && is_end && !mail.is_asked {
            // Nobody waits for its end by a stub, so it is told like this.
            let is_free = mail.is_source_lost;
            return self.note_end(node, key, End::Failed(code), 0, is_free);
        }
        if code == ErrorCode::FULL && mail.submissions > 1 {
            // What it is said again of may have ended long ago; that there is no room now says nothing of it.
            return;
        }
        mail.refused = Some(code);
        if mail.was_owned && !is_free && !mail.is_unfit {
            let what = format!("refused with {code} after it was accepted");
            self.fault(Promise::OneStory, Some(node), Some(key), what);
        }
    }

    /// An agent acknowledges, answers or refuses a delivery; the node takes that now.
    pub(crate) fn acknowledged(&mut self, node: usize, client: ClientId, content: &Content) {
        let Some(number) = content.metadata.number(Field::DeliveryNumber) else { return };
        let now = self.now;
        let Some(delivered) = self.out.get_mut(node).and_then(|out| out.get_mut(&number)) else { return };
        let counts = !delivered.is_void && delivered.client == client && now <= delivered.until + GREY;
        let is_grey = now + GREY > delivered.until;
        let key = delivered.key;
        if content.header.shape() == Shape::Once {
            // Working: the lease begins anew.
            if counts {
                delivered.until = now.saturating_add(delivered.lease);
            }
            return;
        }
        if counts {
            delivered.is_void = true;
        }
        let is_refusal = content.header.shape() == Shape::Notice;
        let is_response = content.header.message_type() == MessageType::Response;
        let is_for_good = matches!(Self::code_of(content), Some(ErrorCode::MALFORMED | ErrorCode::POLICY));
        if !counts || is_refusal && !is_for_good {
            return;
        }
        let starts = self.accounts.get(node).map_or(0, |account| account.starts);
        if is_refusal {
            let mail = self.mail_of(key);
            mail.is_refused = true;
            mail.refused_in_run = (!is_grey).then_some(starts);
            self.tally.refused += 1;
            return;
        }
        let mail = self.mail_of(key);
        mail.was_responded |= is_response;
        mail.was_handled = true;
        if is_grey {
            mail.may_be_acknowledged = true;
        } else if !mail.was_acknowledged {
            mail.was_acknowledged = true;
            self.tally.handled += 1;
        }
    }

    /// The numbers of a client's deliveries are void: it left, or another took over for `agent`.
    pub(crate) fn void(&mut self, node: usize, client: Option<ClientId>, agent: Option<AgentId>) {
        let Some(out) = self.out.get_mut(node) else { return };
        for delivered in out.values_mut() {
            let of_client = client.is_none_or(|client| delivered.client == client);
            let of_agent = agent.is_none_or(|agent| delivered.key.pair.destination == agent);
            delivered.is_void |= of_client && of_agent;
        }
    }
}
