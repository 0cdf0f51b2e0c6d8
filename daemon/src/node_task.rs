//! The one loop that owns the core: facts in, in batches; work out, in the order given. It waits for nothing but facts,
//! time and the journal's queue, so nobody who waits for it can hold it up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use keys::verify::{self, Attested};
use keys::{PublicKey, sign};
use mesh::{Change, Control, Effect, Effects, Event, HostedAgent, Input, LinkId, Node, TransactionNumber};
use proto::link::{ControlMessage, Notice};
use proto::record::{AgentRecord, NodeRecord};
use proto::{AgentId, Name, NodeId, Refusal, limits};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock::duration;
use crate::member::ToMembers;
use crate::peer::PeerDoor;
use crate::shared::{Ask, Room, Shared, Turn};
use crate::tables::{IsDelivery, LinkHandle, SigningKey, ToLink};
use crate::{Failure, StateDir, reload, status};

/// The loop and what it owns.
#[derive(Debug)]
pub(crate) struct NodeTask {
    pub(crate) node: Node,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: StateDir,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) stored: watch::Receiver<TransactionNumber>,
    pub(crate) room: watch::Receiver<bool>,
    pub(crate) peers: Option<PeerDoor>,
    /// What the core's birth led to is the first to be carried out.
    pub(crate) effects: Effects,
    pub(crate) work: Work,
}

/// What carrying out leads to.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Facts that are known at once.
    facts: VecDeque<Input>,
    /// Transactions that go to the journal together.
    transactions: Vec<(TransactionNumber, Vec<Change>)>,
    /// Peers whose clock is far from ours.
    apart: BTreeMap<NodeId, u64>,
    has_stopped: bool,
    /// The note that the journal was put back is still there.
    is_restored: bool,
}

impl Work {
    pub(crate) fn new(is_restored: bool) -> Self {
        Self { is_restored, ..Self::default() }
    }
}

impl NodeTask {
    /// Runs until the core has stopped and the journal has all of it.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        if let Err(failure) = self.serve().await {
            shared.fail(failure);
        }
    }

    async fn serve(&mut self) -> Result<(), Failure> {
        let mut asks = Vec::with_capacity(limits::NODE_BATCH);
        let mut due = None;
        let timer = sleep_until(Instant::now());
        tokio::pin!(timer);
        self.carry_out().await?;
        while !self.work.has_stopped {
            let next = self.node.next_deadline().map(|deadline| deadline.at);
            if let Some(at) = next.filter(|_| next != due) {
                timer.as_mut().reset(self.shared.clock.instant_of(at));
            }
            due = next;
            tokio::select! {
                biased;
                changed = self.stored.changed() => {
                    changed.map_err(|_| Failure::Task("journal"))?;
                    let upto = *self.stored.borrow_and_update();
                    self.birth_is_kept();
                    self.work.facts.push_back(Input::Stored { upto });
                }
                changed = self.room.changed() => {
                    changed.map_err(|_| Failure::Task("journal"))?;
                    let has_room = *self.room.borrow_and_update();
                    self.work.facts.push_back(Input::Disk { has_room });
                }
                count = self.asks.recv_many(&mut asks, limits::NODE_BATCH) => {
                    if count == 0 {
                        return Err(Failure::Task("door"));
                    }
                }
                () = &mut timer, if due.is_some() => due = None,
            }
            self.step(&mut asks).await?;
        }
        self.shared.journal.close().await;
        Ok(())
    }

    /// The first transaction holds the birth of a journal that was put back; once it is synced, nobody need say so again.
    fn birth_is_kept(&mut self) {
        if std::mem::take(&mut self.work.is_restored)
            && let Err(error) = self.state.clear_restored_mark()
        {
            tracing::warn!(%error, "the note that this journal was put back stays; the next start marks mail once more");
        }
    }

    async fn step(&mut self, asks: &mut Vec<Ask>) -> Result<(), Failure> {
        let now = self.shared.clock.now();
        while let Some(fact) = self.work.facts.pop_front() {
            self.node.handle(fact, now, &mut self.effects);
        }
        for ask in asks.drain(..) {
            match ask {
                Ask::Fact(fact, room, turn) => {
                    self.node.handle(fact, now, &mut self.effects);
                    drop::<(Option<Room>, Option<Turn>)>((room, turn));
                }
                Ask::Question { client, content, turn: _turn } if reload::is_order(&content) => {
                    reload::obey(&self.shared, client, self.node.is_admin(client), content);
                }
                Ask::Question { client, content, turn: _turn } => {
                    let answer = status::answer(
                        &self.shared,
                        self.peers.as_ref(),
                        &self.node,
                        &self.work.apart,
                        client,
                        &content,
                    );
                    if let Some(answer) = answer {
                        self.shared.sessions.answer(client, answer);
                    }
                }
                // Whoever asked may be gone.
                Ask::Alive(reply) => drop(reply.send(())),
                Ask::Summary(reply) => drop(reply.send(Box::new(self.node.summary()))),
            }
        }
        // However much is asked, what is due is done.
        if self.node.next_deadline().is_some_and(|deadline| deadline.at <= now.mono) {
            self.node.handle(Input::Tick, now, &mut self.effects);
        }
        self.carry_out().await
    }

    /// Carries out what is to be done, and what that leads to.
    async fn carry_out(&mut self) -> Result<(), Failure> {
        loop {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.perform(effect);
            }
            self.effects = effects;
            if !self.work.transactions.is_empty() {
                let transactions = std::mem::take(&mut self.work.transactions);
                if !self.shared.journal.append(transactions).await {
                    return Err(Failure::Task("journal"));
                }
            }
            if self.work.facts.is_empty() {
                return Ok(());
            }
            let now = self.shared.clock.now();
            while let Some(fact) = self.work.facts.pop_front() {
                self.node.handle(fact, now, &mut self.effects);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Store { transaction, changes } => self.work.transactions.push((transaction, changes)),
            Effect::Send { link, outgoing, seal_to } => self.send(link, ToLink::Frame(outgoing, seal_to)),
            Effect::Tell { client, outgoing, is_delivery } => {
                self.shared.sessions.tell(client, outgoing, IsDelivery(is_delivery));
            }
            Effect::Control { link, said } => self.control(link, said),
            Effect::Dial { peer } => match &self.peers {
                Some(peers) => peers.dial(&self.shared, peer),
                None => self.work.facts.push_back(Input::DialFailed { peer }),
            },
            Effect::HangUp { link, why } => {
                if let Some(handle) = self.shared.links.find(link) {
                    tracing::debug!(link = link.0, why, "a link is ended");
                    crate::peer::LinkEnd::unneeded(why).close(&handle.connection);
                }
            }
            Effect::Disconnect { client } => self.shared.sessions.end(client),
            Effect::MakeAgent { name, uid } => self.make_agent(name, uid),
            Effect::MakePrekey { agent, not_after } => self.make_prekey(agent, not_after),
            Effect::ErasePrekey { agent, prekey } => {
                if let Some(hosted) = self.shared.hosted.find(agent) {
                    hosted.prekeys.lock().erase(prekey);
                }
            }
            Effect::SignAgent(record) => match self.sign_agent(&record) {
                Ok(fact) => self.work.facts.push_back(fact),
                Err(refusal) => tracing::error!(name = %record.name, %refusal, "an agent's record was not signed"),
            },
            Effect::SignNode(record) => match self.sign_node(*record) {
                Ok(fact) => self.work.facts.push_back(fact),
                Err(refusal) => tracing::error!(%refusal, "this node's record was not signed"),
            },
            Effect::LearnAgent(record) => self.learn(record.get().id, &record.get().record.public_key),
            Effect::LearnNode(record) => {
                let known = record.get();
                self.learn(known.id, &known.record.public_key);
                self.find_at(NodeId::new(known.id), &known.record);
                if known.id == self.shared.node.agent() {
                    self.shared.own_record.send_replace(Some(known.carried.clone()));
                }
            }
            Effect::ForgetNode(node) => self.shared.peers.forget(node),
            Effect::Renew => self.shared.members.tell_now(ToMembers::Renew),
            Effect::KeepRevoked(list) => {
                // However much else waits there: who is out must be kept.
                let (shared, carried) = (Arc::clone(&self.shared), list.get().carried.clone());
                self.shared.tasks.spawn("a list of who is out", async move {
                    shared.members.tell(ToMembers::Revoked(carried)).await;
                });
            }
            Effect::Report(event) => self.report(&event),
            Effect::Stopped => self.work.has_stopped = true,
        }
    }

    fn send(&self, link: LinkId, order: ToLink) {
        let Some(handle) = self.shared.links.find(link) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = handle.frames.try_send(order) {
            // The core keeps within the link's room, which is smaller.
            self.overrun(link, &handle);
        }
    }

    fn control(&self, link: LinkId, said: Control) {
        let Some(handle) = self.shared.links.find(link) else { return };
        let message = match said {
            Control::Record(record) => ControlMessage::Record(record),
            Control::Want(agent) => ControlMessage::Want(agent),
            Control::Explain(id) => ControlMessage::Explain(id),
            Control::Story(story) => ControlMessage::Story(story),
            Control::Notice(mesh::Notice { code, id, source, destination }) => {
                ControlMessage::Notice(Notice { code, id, source, destination, text: "".into() })
            }
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = handle.control.try_send(message) {
            self.overrun(link, &handle);
        }
    }

    fn overrun(&self, link: LinkId, handle: &LinkHandle) {
        tracing::warn!(link = link.0, "a peer does not take what it is sent, and the link is ended");
        crate::peer::LinkEnd::new(proto::ErrorCode::FULL, "too slow").close(&handle.connection);
    }

    /// The key is made and kept by another thread: that waits for the disk.
    fn make_agent(&self, name: Name, uid: u32) {
        let (state, shared) = (self.state.clone(), Arc::clone(&self.shared));
        self.shared.tasks.spawn_blocking("new agent", move || {
            let fact = match state.make_agent(uid, &name) {
                Ok(key) => {
                    let (id, public_key) = (key.id(), *key.public().as_bytes());
                    tracing::info!(%name, uid, %id, "an agent was made");
                    shared.keys.learn(*key.public());
                    shared.hosted.insert(SigningKey::Agent(Box::new(key)), name.clone());
                    Input::AgentMade(HostedAgent { id, public_key, name, uid })
                }
                Err(error) => {
                    tracing::error!(%name, uid, %error, "an agent was not made");
                    Input::AgentNotMade { name }
                }
            };
            drop(shared.to_node.blocking_send(Ask::Fact(fact, None, None)));
        });
    }

    fn make_prekey(&mut self, agent: AgentId, not_after: u64) {
        let Some(hosted) = self.shared.hosted.find(agent) else { return };
        let made = hosted.prekeys.lock().make(not_after);
        match made {
            Ok(prekey) => {
                let (id, public) = (prekey.id(), *prekey.public());
                self.work.facts.push_back(Input::PrekeyMade { agent, id, public, not_after });
            }
            Err(error) => tracing::error!(name = %hosted.name, %error, "a prekey was not made"),
        }
    }

    fn sign_agent(&self, record: &AgentRecord) -> Result<Input, Refusal> {
        let hosted = self.shared.hosted.find(PublicKey::id_of(&record.public_key)).ok_or(Refusal::WrongKey)?;
        let proof = verify::own_agent_record(hosted.key.as_agent(), &self.shared.node_key, record)?;
        Ok(Input::AgentSigned(Attested::known(proof).boxed()))
    }

    /// A member's record carries the certificate that makes it one.
    fn sign_node(&self, record: NodeRecord) -> Result<Input, Refusal> {
        let inside = self.shared.members.inside.as_ref();
        let certificate = inside.map(|inside| Bytes::copy_from_slice(&inside.certificate().der));
        let record = NodeRecord { certificate, ..record };
        let carried = sign::node_record(&self.shared.node_key, &record)?;
        let proof = match inside {
            Some(inside) => verify::member_record(carried.clone(), &inside.trust())?,
            None => verify::node_record(carried.clone())?,
        };
        self.shared.own_record.send_replace(Some(carried));
        Ok(Input::NodeSigned(Attested::known(proof).boxed()))
    }

    /// Where a peer can be dialed from now on, and what it says about its links.
    fn find_at(&self, peer: NodeId, record: &NodeRecord) {
        if self.shared.members.inside.is_none() || peer == self.shared.node {
            return;
        }
        let board = self.shared.peers.board(peer);
        let mut said = board.said.lock();
        said.addresses.clone_from(&record.addresses);
        said.links.clone_from(&record.links);
    }

    fn learn(&self, id: AgentId, public_key: &[u8; limits::PUBLIC_KEY_BYTES]) {
        // Admission is dear, and an id has one key.
        if self.shared.keys.find(id).is_some() {
            return;
        }
        // The record was verified by this very key.
        if let Ok(key) = PublicKey::admit(public_key) {
            self.shared.keys.learn(key);
        }
    }

    fn report(&mut self, event: &Event) {
        match event {
            Event::PeerUp { peer } => {
                let address = self.shared.peers.board(*peer).said.lock().address.clone();
                tracing::info!(%peer, "a peer is up");
                tracing::debug!(%peer, address, "its address");
            }
            Event::PeerDown { peer } => {
                self.work.apart.remove(peer);
                let why = self.shared.peers.board(*peer).said.lock().last_error.clone();
                tracing::info!(%peer, why, "a peer is down");
            }
            Event::ClockApart { peer, theirs } => {
                self.work.apart.insert(*peer, *theirs);
                tracing::warn!(%peer, theirs, "a peer's clock is more than ten minutes from ours");
            }
            Event::ClockJumped => {
                tracing::warn!(
                    "the clock of this host jumped; nothing expires until it has been steady for ten minutes"
                );
            }
            Event::ClockTrusted => tracing::warn!("the clock of this host is trusted again; what is due expires"),
            Event::DeadDropped => tracing::warn!("a dead letter had to make way for newer ones"),
            Event::Ignored { what } => tracing::debug!(what, "ignored"),
            Event::Lost { entry } => tracing::error!(entry = entry.get(), "what an entry of the journal held is lost"),
            Event::Untold { source, destination, id, code } => {
                tracing::warn!(?source, ?destination, %id, code, "a message ended, and no agent could be told");
            }
        }
    }
}

/// Longest time that a clean stop of the core may take.
pub(crate) const PATIENCE: std::time::Duration = duration(limits::STOP_WAIT);
