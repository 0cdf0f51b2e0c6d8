//! Peers: the nodes of the configuration or the members of the mesh, and the link to each. One link carries a peer; which one stays when two
//! dials cross is decided the same way on both sides.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use proto::limits::{
    CLOCKS_APART_MAX, DIAL_PAUSE, DIAL_PAUSE_MAX, DIALS_CROSS, FETCH_PAUSE, FETCHES_MAX, LINK_ROOM_BYTES,
    LINK_ROOM_FRAMES, LINK_SHORT,
};
use proto::record::{Known, NodeRecord};
use proto::{AgentId, NodeId, Verified};

use alloc::boxed::Box;

use crate::effect::{Control, Effect, Event};
use crate::input::{LinkId, PinnedPeer};
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::step::Step;
use crate::summary::PeerState;
use crate::time::Mono;
use crate::timers::Why;

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pinned: PinnedPeer,
    pub(crate) state: PeerState,
    pub(crate) since: Mono,
    pub(crate) link: Option<LinkId>,
    dialed: bool,
    /// The sequence of the record in its HELLO: another one means another run of the peer.
    run: u64,
    failures: u32,
    /// When it is dialed next.
    next_dial: Option<Mono>,
    /// Pairs that have more to send than the link has room for.
    pub(crate) stuck: BTreeSet<Pair>,
    pub(crate) early_bytes: usize,
    /// Nothing is heard over its link, although something should be.
    pub(crate) is_silent: bool,
}

/// All peers, and the links that carry them.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) by_link: BTreeMap<LinkId, LinkState>,
    /// When a record was last asked for.
    asked: BTreeMap<AgentId, Mono>,
    /// The same, the oldest first.
    asked_at: VecDeque<(Mono, AgentId)>,
}

/// One link.
#[derive(Debug)]
pub(crate) struct LinkState {
    peer: NodeId,
    room: u32,
    room_bytes: u64,
    /// The highest record of each node that went over it, either way.
    has: BTreeMap<NodeId, u64>,
    /// Nodes whose agents the peer hears of from here.
    tells: BTreeSet<NodeId>,
    /// When the list of revocations was said last.
    list_said: Option<Mono>,
}

impl Links {
    pub(crate) fn new(pinned: Vec<PinnedPeer>, now: Mono) -> Self {
        let peers = pinned.into_iter().map(|pinned| (pinned.node, Peer::new(pinned, now))).collect();
        Self { peers, ..Self::default() }
    }

    /// The link over which a node is reached.
    pub(crate) fn to(&self, node: NodeId) -> Option<LinkId> {
        self.peers.get(&node)?.link
    }

    pub(crate) fn peer_of(&self, link: LinkId) -> Option<NodeId> {
        self.by_link.get(&link).map(|state| state.peer)
    }

    /// Frames that may be handed to a link. One that begins while there is room for bytes may go beyond.
    pub(crate) fn room(&self, link: LinkId) -> u32 {
        self.by_link.get(&link).filter(|state| state.room_bytes > 0).map_or(0, |state| state.room)
    }

    pub(crate) fn room_bytes(&self, link: LinkId) -> u64 {
        self.by_link.get(&link).map_or(0, |state| state.room_bytes)
    }

    pub(crate) fn take_room(&mut self, link: LinkId, bytes: usize) {
        if let Some(state) = self.by_link.get_mut(&link) {
            state.room = state.room.saturating_sub(1);
            state.room_bytes = state.room_bytes.saturating_sub(bytes as u64);
        }
    }

    /// Whether nothing is heard from a node over the link that there is.
    pub(crate) fn is_silent(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.is_silent)
    }

    /// All peers that a link carries, and that link.
    pub(crate) fn up(&self) -> impl Iterator<Item = (NodeId, LinkId)> {
        self.peers.iter().filter_map(|(node, peer)| Some((*node, peer.link?)))
    }

    /// The other side has this record of a node, or a newer one.
    pub(crate) fn note_heard(&mut self, link: LinkId, node: NodeId, sequence: u64) {
        self.is_news(link, node, sequence);
    }

    /// Whether a record of a node did not go over the link so far, nor a newer one. From here on it did.
    pub(crate) fn is_news(&mut self, link: LinkId, node: NodeId, sequence: u64) -> bool {
        let Some(state) = self.by_link.get_mut(&link) else { return false };
        let before = state.has.entry(node).or_default();
        let is_news = sequence > *before;
        *before = sequence.max(*before);
        is_news
    }

    /// Whether the peer is to hear of a node's agents from here. Whether that has just begun.
    pub(crate) fn passes_agents_of(&mut self, link: LinkId, host: NodeId, is_so: bool) -> bool {
        let Some(state) = self.by_link.get_mut(&link) else { return false };
        let was_so = if is_so { !state.tells.insert(host) } else { state.tells.remove(&host) };
        is_so && !was_so
    }

    pub(crate) fn is_told_agents_of(&self, link: LinkId, host: NodeId) -> bool {
        self.by_link.get(&link).is_some_and(|state| state.tells.contains(&host))
    }

    /// Whether the list of revocations may be said again. From here on it was.
    pub(crate) fn may_say_list(&mut self, link: LinkId, now: Mono, pause: u64) -> bool {
        let Some(state) = self.by_link.get_mut(&link) else { return false };
        let may = state.list_said.is_none_or(|said| now.since(said) >= pause);
        if may {
            state.list_said = Some(now);
        }
        may
    }

    /// There is another list.
    pub(crate) fn forget_list_said(&mut self, link: LinkId) {
        if let Some(state) = self.by_link.get_mut(&link) {
            state.list_said = None;
        }
    }

    pub(crate) fn early_bytes(&mut self, node: NodeId) -> Option<&mut usize> {
        self.peers.get_mut(&node).map(|peer| &mut peer.early_bytes)
    }
}

impl LinkState {
    const fn new(peer: NodeId) -> Self {
        Self {
            peer,
            room: LINK_ROOM_FRAMES,
            room_bytes: LINK_ROOM_BYTES,
            has: BTreeMap::new(),
            tells: BTreeSet::new(),
            list_said: None,
        }
    }
}

impl Peer {
    pub(crate) const fn new(pinned: PinnedPeer, now: Mono) -> Self {
        Self {
            pinned,
            state: PeerState::Down,
            since: now,
            link: None,
            dialed: false,
            run: 0,
            failures: 0,
            next_dial: None,
            stuck: BTreeSet::new(),
            early_bytes: 0,
            is_silent: false,
        }
    }
}

/// A HELLO that was taken.
pub(crate) struct Hello {
    pub(crate) link: LinkId,
    pub(crate) peer: NodeId,
    pub(crate) dialed: bool,
    pub(crate) record: Verified<Box<Known<NodeRecord>>>,
    pub(crate) wall: u64,
}

impl Node {
    pub(crate) fn dial(&mut self, peer: NodeId, step: &mut Step<'_>) {
        if self.is_out(peer) {
            return;
        }
        let Some(known) = self.links.peers.get_mut(&peer) else { return };
        if known.pinned.can_dial && known.state == PeerState::Down {
            // An operator need not wait for the pause.
            if let Some(at) = known.next_dial.take() {
                self.timers.clear(at, Why::Dial(peer));
            }
            known.state = PeerState::Dialing;
            known.since = step.now.mono;
            step.ask(Effect::Dial { peer });
        }
    }

    pub(crate) fn dial_failed(&mut self, peer: NodeId, step: &Step<'_>) {
        let Some(known) = self.links.peers.get_mut(&peer) else { return };
        if known.state == PeerState::Dialing {
            known.state = PeerState::Down;
            known.since = step.now.mono;
            self.dial_later(peer, step);
        }
    }

    pub(crate) fn dial_later(&mut self, peer: NodeId, step: &Step<'_>) {
        let Some(known) = self.links.peers.get_mut(&peer) else { return };
        let doublings = known.failures.min(DIAL_PAUSE_MAX.ilog2() - DIAL_PAUSE.ilog2());
        known.failures = known.failures.saturating_add(1);
        if let Some(at) = known.next_dial.take() {
            self.timers.clear(at, Why::Dial(peer));
        }
        let most = DIAL_PAUSE << doublings;
        let pause = self.chance.between(most / 2, most);
        let at = step.now.mono.after(pause);
        known.next_dial = Some(at);
        self.timers.set(at, Why::Dial(peer));
    }

    pub(crate) fn link_up(&mut self, hello: Hello, step: &mut Step<'_>) {
        let Hello { link, peer, dialed, record, wall } = hello;
        if self.is_out(peer) {
            step.ask(Effect::HangUp { link, why: "it is blocked or revoked here" });
            return;
        }
        if self.members.mesh.is_some() {
            self.learn_node(record.clone(), None, step);
        }
        let lower = self.me.id < peer.agent();
        let Some(known) = self.links.peers.get_mut(&peer) else {
            step.ask(Effect::HangUp { link, why: "not a peer of this node" });
            return;
        };
        self.links.by_link.insert(link, LinkState::new(peer));
        if let Some(present) = known.link {
            // Two dials cross within one run of both nodes, and soon. Then the dial of the lower one stays; otherwise
            // whoever dials anew has lost the present link.
            let is_same_run = record.get().record.sequence == known.run;
            let is_soon = step.now.mono.since(known.since) < DIALS_CROSS;
            let crossed = dialed != known.dialed && is_same_run && is_soon;
            let loser = if crossed && known.dialed == lower { link } else { present };
            step.ask(Effect::HangUp { link: loser, why: "another link to the same peer stays" });
            if loser == link {
                return;
            }
        } else {
            step.ask(Effect::Report(Event::PeerUp { peer }));
        }
        known.link = Some(link);
        known.dialed = dialed;
        known.run = record.get().record.sequence;
        known.state = PeerState::Up;
        known.since = step.now.mono;
        known.is_silent = false;
        known.stuck.clear();
        if wall.abs_diff(step.wall()) > CLOCKS_APART_MAX {
            step.ask(Effect::Report(Event::ClockApart { peer, theirs: wall }));
        }
        if self.members.mesh.is_none() {
            self.learn_node(record, None, step);
        }
        self.say_members(link, peer, step);
        self.say_own_records(link, step);
        self.forget_said(peer);
        if self.rules.hold(Rule::RepeatOnLinkUp) {
            self.repeat_all_to(peer, step);
        }
        self.say_all_stored(peer, step);
    }

    /// Agents of this node, as a peer that has just come needs to know them.
    fn say_own_records(&mut self, link: LinkId, step: &mut Step<'_>) {
        for agent in self.locals.agents.keys() {
            if let Some(held) = self.directory.agents.get(agent) {
                let said = Control::Record(held.known.get().carried.clone());
                step.ask(Effect::Control { link, said });
            }
        }
    }

    pub(crate) fn link_down(&mut self, link: LinkId, step: &mut Step<'_>) {
        let Some(LinkState { peer, .. }) = self.links.by_link.remove(&link) else { return };
        let Some(known) = self.links.peers.get_mut(&peer) else { return };
        if known.link != Some(link) {
            return;
        }
        // Whoever hangs up at once is no more there than one that cannot be reached.
        if step.now.mono.since(known.since) >= LINK_SHORT {
            known.failures = 0;
        }
        known.link = None;
        known.is_silent = false;
        known.state = PeerState::Down;
        known.since = step.now.mono;
        known.stuck.clear();
        step.ask(Effect::Report(Event::PeerDown { peer }));
        self.dial_later(peer, step);
        self.sign_soon(step);
    }

    /// Ends all links with a node at once: what comes over them from here on is not heard.
    pub(crate) fn drop_links(&mut self, peer: NodeId, why: &'static str, step: &mut Step<'_>) {
        let links = self.links.by_link.iter().filter(|(_, state)| state.peer == peer).map(|(link, _)| *link);
        let links: Vec<LinkId> = links.collect();
        for link in links {
            self.links.by_link.remove(&link);
            step.ask(Effect::HangUp { link, why });
        }
        let Some(known) = self.links.peers.get_mut(&peer) else { return };
        if let Some(at) = known.next_dial.take() {
            self.timers.clear(at, Why::Dial(peer));
        }
        known.state = PeerState::Down;
        known.since = step.now.mono;
        known.is_silent = false;
        known.stuck.clear();
        if known.link.take().is_some() {
            step.ask(Effect::Report(Event::PeerDown { peer }));
            self.sign_soon(step);
        }
    }

    /// Nothing is heard over a link for a while, or something again. It is a hint: what is owed stays owed.
    pub(crate) fn link_silent(&mut self, link: LinkId, is_silent: bool, step: &mut Step<'_>) {
        let Some(peer) = self.links.peer_of(link) else { return };
        let Some(known) = self.links.peers.get_mut(&peer).filter(|known| known.link == Some(link)) else { return };
        let was_silent = core::mem::replace(&mut known.is_silent, is_silent);
        if was_silent && !is_silent {
            self.heard_again(peer, step);
            self.say_all_stored(peer, step);
        }
    }

    pub(crate) fn link_room(&mut self, link: LinkId, frames: u32, bytes: u64, step: &mut Step<'_>) {
        let Some(state) = self.links.by_link.get_mut(&link) else { return };
        state.room = state.room.saturating_add(frames).min(LINK_ROOM_FRAMES);
        state.room_bytes = state.room_bytes.saturating_add(bytes).min(LINK_ROOM_BYTES);
        let peer = state.peer;
        let Some(known) = self.links.peers.get_mut(&peer) else { return };
        if known.link != Some(link) {
            return;
        }
        for pair in core::mem::take(&mut known.stuck) {
            self.say_stored(pair, step);
            self.pump(pair, step);
        }
    }

    /// Asks the peer for an agent's record, if it was not asked a moment ago.
    pub(crate) fn fetch(&mut self, link: LinkId, agent: AgentId, step: &mut Step<'_>) {
        let now = step.now.mono;
        while let Some((at, old)) = self.links.asked_at.front().copied()
            && now.since(at) >= FETCH_PAUSE
        {
            self.links.asked_at.pop_front();
            self.links.asked.remove(&old);
        }
        if self.links.asked.contains_key(&agent) || self.links.asked.len() >= FETCHES_MAX {
            return;
        }
        self.links.asked.insert(agent, now);
        self.links.asked_at.push_back((now, agent));
        step.ask(Effect::Control { link, said: Control::Want(agent) });
    }
}
