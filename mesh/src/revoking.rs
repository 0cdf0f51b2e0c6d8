//! Who is out. The authority's list of the highest epoch counts; it goes on to all links, and from the moment it is known
//! here nothing goes to those that it names, and nothing comes from them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::entry::Parts;
use proto::limits::REPEAT_PAUSE;
use proto::record::{Known, Revocations};
use proto::{ContentType, ErrorCode, MessageId, NodeId, Verified};

use crate::dead::{Corpse, Home};
use crate::effect::{Control, Effect};
use crate::input::LinkId;
use crate::mailbox::{Item, ItemPlace};
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::step::Step;

impl Node {
    /// A list, from an operator or over a link. The authority signed it, whoever brings it.
    pub(crate) fn learn_revoked(
        &mut self,
        list: Verified<Box<Known<Revocations>>>,
        from: Option<LinkId>,
        step: &mut Step<'_>,
    ) {
        let Some(mesh) = &mut self.members.mesh else { return };
        let new = &list.get().record;
        if new.mesh != mesh.id {
            self.stats.ignored += 1;
            return;
        }
        let epoch = mesh.revoked.as_ref().map(|list| list.get().record.epoch);
        let is_newer = epoch.is_none_or(|epoch| new.epoch > epoch);
        if !is_newer && (self.rules.hold(Rule::OlderListIsRefused) || epoch == Some(new.epoch)) {
            // Whoever brings an older one is shown the newer one.
            if let Some(link) = from.filter(|_| epoch > Some(new.epoch)) {
                self.say_revoked(link, step);
            }
            return;
        }
        let nodes: Vec<NodeId> = new.nodes.iter().copied().collect();
        mesh.revoked = Some(list.clone());
        step.ask(Effect::KeepRevoked(list));
        for node in nodes {
            self.drop_revoked(node, step);
        }
        if is_newer && self.rules.hold(Rule::ListGoesOn) {
            let up: Vec<LinkId> = self.links.up().map(|(_, link)| link).filter(|link| Some(*link) != from).collect();
            for link in up {
                self.links.forget_list_said(link);
                self.say_revoked(link, step);
            }
        }
    }

    /// Says who is out. A list is long: whoever asks for it again and again hears it once a second.
    pub(crate) fn say_revoked(&mut self, link: LinkId, step: &mut Step<'_>) {
        let Some(list) = self.members.mesh.as_ref().and_then(|mesh| mesh.revoked.as_ref()) else { return };
        if self.links.may_say_list(link, step.now.mono, REPEAT_PAUSE) {
            let said = Control::Record(list.get().carried.clone());
            step.ask(Effect::Control { link, said });
        }
    }

    /// A node is out, with all its agents. Nothing waits for it any more, and nothing of it is delivered.
    pub(crate) fn drop_revoked(&mut self, node: NodeId, step: &mut Step<'_>) {
        if node == self.node_id() {
            return;
        }
        if self.rules.hold(Rule::RevokedHoldsNoMail) {
            self.withdraw_all_to(node, step);
        }
        if self.rules.hold(Rule::RevokedIsNotHeard) {
            self.withhold_all_from(node, step);
        }
        self.end_all_awaited(node, step);
        if self.rules.hold(Rule::RevokedIsCut) {
            self.drop_member(node, step);
            self.drop_record(node);
        }
    }

    fn withdraw_all_to(&mut self, node: NodeId, step: &mut Step<'_>) {
        let pairs = self.outbox.pairs.iter().filter(|(pair, _)| self.directory.host(pair.destination) == Some(node));
        let owned: Vec<(Pair, MessageId)> = pairs
            .flat_map(|(pair, out)| {
                out.flows.iter().flat_map(|flow| flow.owned.values()).map(|one| (*pair, one.letter.id))
            })
            .collect();
        for (pair, id) in owned {
            self.withdraw(pair, id, step);
        }
    }

    /// An outcome that its agent may have seen stays: another one would be a second end of the same message.
    fn withhold_all_from(&mut self, node: NodeId, step: &mut Step<'_>) {
        let is_told = |item: &Item| !item.is_message() && (item.tries > 0 || item.may_be_seen);
        let mut places = Vec::new();
        for (agent, mailbox) in &self.mailboxes.boxes {
            let theirs = mailbox.items.iter().filter(|(_, item)| item.received.source_node == node && !is_told(item));
            places.extend(theirs.map(|(order, _)| ItemPlace { agent: *agent, order: *order }));
        }
        for place in places {
            self.withhold(place, node, step);
        }
    }

    /// What lies in a mailbox and is no longer delivered. A message stays where an operator sees it; whoever awaits an
    /// answer hears that none is known.
    fn withhold(&mut self, place: ItemPlace, node: NodeId, step: &mut Step<'_>) {
        let Some(item) = self.take_item(place) else { return };
        let letter = item.received.letter;
        if item.is_message() {
            let home = Home::Mailbox(item.received);
            let corpse = Corpse { letter, code: ErrorCode::POLICY, bytes: item.bytes, home, peer: Some(node) };
            self.bury(corpse, Some(item.entry), Parts::default(), step);
        } else {
            self.ledger.forget(item.entry);
            if let Some(awaited) = self.stubs.find(letter.destination, letter.source, letter.id) {
                awaited.has_outcome = false;
            }
        }
        self.filled.insert(place.agent);
    }

    /// Nobody there will say how it ended.
    fn end_all_awaited(&mut self, node: NodeId, step: &mut Step<'_>) {
        let mut lost = Vec::new();
        for awaited in self.stubs.iter_mut().filter(|awaited| !awaited.has_outcome) {
            let stub = awaited.stub;
            if self.directory.host(stub.destination) == Some(node) {
                lost.push((stub.source, stub.destination, stub.id));
            }
        }
        for (asker, answerer, id) in lost {
            // What was withdrawn just now has told its end already.
            if self.outbox.place(Pair::messages(asker, answerer), id).is_none() {
                self.end_by_ourselves(asker, answerer, id, ContentType::None, ErrorCode::TIMEOUT, step);
            }
        }
    }
}
