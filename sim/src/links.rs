//! How nodes reach each other: dials, connections, frames and control streams, and what the receiving shell makes of
//! them before the core hears anything.

use mesh::{Control, Input, LinkId, Node, Notice, Outgoing, PeerSaid};
use proto::limits::LINK_ROOM_FRAMES;
use proto::{AgentId, Boundary, Content, ErrorCode, NodeId, Protection, Refusal, Shape};

use crate::fault::Promise;
use crate::forge::{self, Record};
use crate::host::LinkEnd;
use crate::network::{Carried, Fate, Parcel, Wire};
use crate::time::{MILLI, SECOND};
use crate::world::{What, World};

/// Frames that schedules by hand can look at.
const SENT_KEPT: usize = 10_000;

impl World {
    pub(crate) fn dial(&mut self, node: usize, peer: NodeId) {
        let incarnation = self.incarnation(node);
        let Some(to) = self.node_of(peer) else {
            return self.fault(Promise::HostIsUsable, node, "it dials a node that is not there");
        };
        if !self.has_address(node, to) {
            return self.fault(Promise::HostIsUsable, node, "it dials a node that nobody has told it of");
        }
        self.judge_contact(node, to, "dials");
        let after = self.network.latency(&mut self.chance);
        self.plan(after, What::Dialed { node, incarnation, peer: to });
    }

    pub(crate) fn dialed(&mut self, node: usize, incarnation: u32, to: usize) {
        if !self.is_running(node, incarnation) {
            return;
        }
        let Some(peer) = self.hosts.get(to).map(|host| host.id) else { return };
        let says_hello = |world: &Self, node: usize| {
            let run = world.hosts.get(node).and_then(|host| host.run.as_ref());
            run.is_some_and(|run| run.record.is_some() && !run.is_stopped)
        };
        let is_reached = says_hello(self, node) && says_hello(self, to) && !self.network.is_parted(node, to, self.now);
        if !is_reached {
            let after = self.chance.skewed(MILLI, 2 * SECOND);
            return self.plan(after, What::DialFails { node, incarnation, peer });
        }
        let links = [LinkId(self.name()), LinkId(self.name())];
        let delays = [self.network.latency(&mut self.chance), self.network.latency(&mut self.chance)];
        let wire = self.network.wires.len();
        self.network.wires.push(Wire {
            nodes: [node, to],
            incarnations: [incarnation, self.incarnation(to)],
            links,
            is_up: [false; 2],
            is_open: true,
            frames_at: [0; 2],
            control_at: [0; 2],
            up_at: delays.map(|delay| self.now + delay),
        });
        for (side, delay) in delays.into_iter().enumerate() {
            self.plan(delay, What::LinkUp { wire, side });
        }
    }

    pub(crate) fn dial_fails(&mut self, node: usize, incarnation: u32, peer: NodeId) {
        if !self.is_running(node, incarnation) {
            return;
        }
        self.input(node, Input::DialFailed { peer });
    }

    pub(crate) fn link_up(&mut self, wire: usize, side: usize) {
        let Some(there) = self.network.wires.get(wire) else { return };
        let (node, incarnation, link) = (there.node(side), there.incarnation(side), there.link(side));
        let (other, other_incarnation) = (there.node(1 - side), there.incarnation(1 - side));
        let (is_open, dialed) = (there.is_open, side == 0);
        if !self.is_running(node, incarnation) {
            return;
        }
        let now = self.now;
        let peer = self.hosts.get(other).map(|host| (host.id, host.wall(now)));
        let record = self.hosts.get(other).and_then(|host| host.run.as_ref()?.record.clone());
        let is_there = self.is_running(other, other_incarnation);
        let Some((peer, wall)) = peer else { return };
        let (Some(record), true, true) = (record, is_open, is_there) else {
            // It went before this side knew of it; only who dialed hears of that.
            if dialed {
                self.input(node, Input::DialFailed { peer });
            }
            return;
        };
        if let Some(there) = self.network.wires.get_mut(wire) {
            there.set_up(side, true);
        }
        if let Some(run) = self.run(node) {
            run.links.insert(link, LinkEnd { wire, side, frames_out: 0 });
            run.learned_nodes.insert(peer);
        }
        self.input(node, Input::LinkUp { link, peer, dialed, record, wall });
    }

    pub(crate) fn link_down(&mut self, wire: usize, side: usize) {
        let Some(there) = self.network.wires.get_mut(wire) else { return };
        if !there.is_up(side) {
            return;
        }
        there.set_up(side, false);
        let (node, incarnation, link) = (there.node(side), there.incarnation(side), there.link(side));
        if !self.is_running(node, incarnation) {
            return;
        }
        if let Some(run) = self.run(node) {
            run.links.remove(&link);
        }
        self.input(node, Input::LinkDown { link });
    }

    /// Ends a connection. Each side hears of it when it does.
    pub(crate) fn cut_wire(&mut self, wire: usize, delays: [u64; 2]) {
        let Some(there) = self.network.wires.get_mut(wire).filter(|there| there.is_open) else { return };
        there.is_open = false;
        for (side, delay) in delays.into_iter().enumerate() {
            self.plan(delay, What::LinkDown { wire, side });
        }
    }

    pub(crate) fn hang_up(&mut self, node: usize, link: LinkId) {
        let Some(end) = self.run(node).and_then(|run| run.links.get(&link).copied()) else { return };
        let there = self.network.latency(&mut self.chance);
        let mut delays = [there; 2];
        if let Some(own) = delays.get_mut(end.side) {
            *own = self.chance.skewed(0, MILLI);
        }
        self.cut_wire(end.wire, delays);
    }

    pub(crate) fn send(&mut self, node: usize, link: LinkId, outgoing: &Outgoing, seal_to: Option<[u8; 32]>) {
        let Some(end) = self.run(node).and_then(|run| run.links.get_mut(&link)) else { return };
        end.frames_out += 1;
        let (wire, side, out) = (end.wire, end.side, end.frames_out);
        if out > LINK_ROOM_FRAMES {
            self.fault(Promise::BoundsHold, node, format!("{out} frames to a link that has no room"));
        }
        let room = self.chance.skewed(0, 30 * MILLI);
        self.input_later(room, node, Input::LinkRoom { link, frames: 1, bytes: outgoing.bytes as u64 });
        let Some((parts, entry)) = self.parts(node, outgoing) else { return };
        let content = match forge::outgoing(outgoing, &parts, Boundary::Wire) {
            Ok(content) => content,
            Err(refusal) => {
                let what = format!("a frame for the wire cannot be made: {refusal}; {:?}", outgoing.draft);
                return self.fault(Promise::HostIsUsable, node, what);
            }
        };
        let is_sealed = content.header.shape().protection(Boundary::Wire) == Protection::SealedSigned;
        if is_sealed != seal_to.is_some() {
            let what = format!("sealed: {is_sealed}, and a key to seal to: {}", seal_to.is_some());
            return self.fault(Promise::HostIsUsable, node, what);
        }
        if self.model.homes.get(&content.header.source()) != Some(&node) {
            return self.fault(Promise::HostIsUsable, node, "it signs for an agent that lives elsewhere");
        }
        self.model.sent(node, &content, entry);
        self.tally_frame(wire, side, node);
        let to = self.network.wires.get(wire).map_or(usize::MAX, |there| there.node(1 - side));
        self.travel(wire, 1 - side, Parcel { from: node, to, content, sealed_to: seal_to });
    }

    /// Puts a frame on its way to a side of a connection.
    fn travel(&mut self, wire: usize, side: usize, parcel: Parcel) {
        let fate = self.fates.as_mut().map_or(Fate::Chance, |fates| fates(&parcel, self.now));
        if self.keeps_sent {
            self.sent.push_back(parcel.clone());
            if self.sent.len() > SENT_KEPT {
                self.sent.pop_front();
            }
        }
        let old = self.network.remember(&parcel, &mut self.chance);
        for (delay, in_order) in self.network.fates(fate, &mut self.chance) {
            let mut at = self.now + delay;
            if in_order && let Some(there) = self.network.wires.get_mut(wire) {
                at = there.arrival(side, at, false);
            }
            let carried = Carried::Frame(Box::new(parcel.clone()));
            self.plan(at - self.now, What::Arrives { wire, side, carried });
        }
        if let Some((old, delay)) = old {
            self.inject(old, delay);
        }
    }

    /// A frame comes out of whatever connection there is then, from whatever time it is.
    pub(crate) fn inject(&mut self, parcel: Parcel, after: u64) {
        self.model.tally.late_frames += 1;
        let carried = Carried::Frame(Box::new(parcel));
        self.plan(after, What::Arrives { wire: usize::MAX, side: 0, carried });
    }

    pub(crate) fn send_control(&mut self, node: usize, link: LinkId, said: Control) {
        let Some(end) = self.run(node).and_then(|run| run.links.get(&link)).copied() else { return };
        self.control_leaves(node, end, &said);
        let latency = self.network.latency(&mut self.chance);
        let now = self.now;
        let Some(there) = self.network.wires.get_mut(end.wire) else { return };
        let at = there.arrival(1 - end.side, now + latency, true);
        let carried = Carried::Control(Box::new(said));
        self.plan(at - now, What::Arrives { wire: end.wire, side: 1 - end.side, carried });
    }

    pub(crate) fn arrives(&mut self, wire: usize, side: usize, carried: Carried) {
        let found = match (&carried, wire) {
            // An old frame takes whatever connection there is.
            (Carried::Frame(parcel), usize::MAX) => self.network.open(parcel.to, parcel.from),
            (Carried::Frame(_) | Carried::Control(_), _) => Some((wire, side)),
        };
        let Some((wire, side)) = found else { return };
        let Some(there) = self.network.wires.get(wire) else { return };
        let (node, other) = (there.node(side), there.node(1 - side));
        let link = there.link(side);
        let arrives = there.is_open && there.is_up(side) && self.is_running(node, there.incarnation(side));
        if !arrives || self.network.is_parted(node, other, self.now) {
            return;
        }
        match carried {
            Carried::Frame(parcel) => self.frame_arrives(node, link, *parcel),
            Carried::Control(said) => self.control_arrives(node, link, *said),
        }
    }

    fn frame_arrives(&mut self, node: usize, link: LinkId, parcel: Parcel) {
        let now = self.now;
        // A frame may grow too old between the shell's look at it and the core's.
        let looks = self.chance.percent(50);
        let Parcel { content, sealed_to, .. } = parcel;
        let header = content.header;
        let Some(host) = self.hosts.get(node) else { return };
        let (wall, core_now) = (host.wall(now), host.now(now));
        let destination = header.destination();
        let is_here = destination == host.id.agent() || host.agents.iter().any(|agent| agent.id == destination);
        let Some(run) = host.run.as_ref() else { return };
        if !is_here {
            let what = format!("a frame for {} came to a node that does not host it", destination.short());
            return self.fault(Promise::HostIsUsable, node, what);
        }
        if looks && !Node::is_timely(&header, core_now) {
            return self.dropped(node, link, &content, ErrorCode::STALE);
        }
        if !run.learned.contains(&header.source()) {
            self.model.tally.unknown_sources += 1;
            let said = PeerSaid::UnknownSource(header.source());
            return self.input(node, Input::PeerSaid { link, said });
        }
        let opens = |key: &[u8; 32]| {
            run.prekeys.get(key).is_some_and(|kept| kept.agent == destination && wall <= kept.not_after)
        };
        if sealed_to.as_ref().is_some_and(|key| !opens(key)) {
            self.model.tally.old_prekeys += 1;
            let said = PeerSaid::OldPrekey(forge::verified_header(header));
            return self.input(node, Input::PeerSaid { link, said });
        }
        let is_unfit = header.shape() == Shape::Durable(proto::FlowKind::Messages) && self.unfit.contains(&header.id());
        if header.shape() == Shape::Stored {
            self.model.heard_stored(&content);
        }
        let said = if is_unfit {
            self.model.tally.unfit += 1;
            let content = Content { body: bytes::Bytes::new(), ..content };
            PeerSaid::Unfit(forge::verified(content), Refusal::MetadataPresence)
        } else {
            PeerSaid::Frame(forge::verified(content))
        };
        self.input(node, Input::PeerSaid { link, said });
    }

    /// The shell drops a frame and tells the peer why.
    fn dropped(&mut self, node: usize, link: LinkId, content: &Content, code: ErrorCode) {
        let header = &content.header;
        let provokes = !matches!(header.shape(), Shape::Pong | Shape::Notice | Shape::Stored);
        if provokes {
            let (source, destination) = (header.source(), header.destination());
            let notice = Notice { code, id: header.id(), source, destination };
            self.send_control(node, link, Control::Notice(notice));
        }
    }

    fn control_arrives(&mut self, node: usize, link: LinkId, said: Control) {
        let said = match said {
            Control::Record(carried) => match forge::read_record(carried) {
                Ok(Record::Agent(known)) => {
                    let host = known.get().record.host;
                    let is_known = self.run(node).is_some_and(|run| run.learned_nodes.contains(&host));
                    if !is_known {
                        return;
                    }
                    PeerSaid::Agent(known)
                }
                Ok(Record::Node(known)) => PeerSaid::Node(known),
                Ok(Record::Revocations(list)) => PeerSaid::Revoked(list),
                Err(refusal) => {
                    return self.fault(Promise::HostIsUsable, node, format!("a record on a link: {refusal}"));
                }
            },
            Control::Want(agent) => PeerSaid::Want(agent),
            Control::Notice(notice) => PeerSaid::Notice(notice),
            Control::Explain(id) => PeerSaid::Explain(id),
            Control::Story(story) => PeerSaid::Story(story),
        };
        self.input(node, Input::PeerSaid { link, said });
    }

    /// The nodes and their agents that a frame may be for.
    pub(crate) fn home(&self, agent: AgentId) -> Option<usize> {
        self.model.homes.get(&agent).copied()
    }
}
