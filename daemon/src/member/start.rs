//! What a start makes of the membership that is kept: whom to trust, what the core is told, and the task that looks
//! after it from then on.

use std::net::SocketAddr;
use std::sync::Arc;

use config::{Config, Mesh};
use keys::ticket::{Ticket, TicketFileError};
use keys::{Attested, AuthorityTrust, NodeKey};
use mesh::{HostedAgent, Options, PinnedPeer};
use proto::{Name, NodeId, Verified};
use tokio::sync::mpsc;

use super::files::{Kept, MeshFiles};
use super::place::{Place, Whereabouts};
use super::task::{Given, MemberTask, Own, Revoked};
use super::tickets::Tickets;
use super::{Inside, Members, ToMembers, View};
use crate::app::bounds;
use crate::peer::PeerDoor;
use crate::shared::Shared;
use crate::{StartError, StateDir};

/// All that is kept of a mesh, or that there is none.
#[derive(Debug)]
pub(crate) struct Membership {
    /// What this node is called: in a mesh, as its certificate says.
    pub(crate) name: Name,
    files: MeshFiles,
    kept: Option<Kept>,
    inside: Option<Arc<Inside>>,
    place: Place,
    view: View,
    tickets: Tickets,
    handed: Option<Result<Ticket, TicketFileError>>,
}

impl Membership {
    pub(crate) fn load(state: &StateDir, config: &Config, us: NodeId) -> Result<Self, StartError> {
        let files = MeshFiles::below(state.root());
        let kept = files.load(us)?;
        if let Some(kept) = kept.as_ref().filter(|_| !config.mesh.peers.is_empty()) {
            return Err(StartError::TwoTrusts { mesh: kept.authority.name().to_string() });
        }
        let name = kept.as_ref().map_or(&config.node_name, |kept| &kept.name).clone();
        if name != config.node_name {
            tracing::warn!(
                %name,
                configured = %config.node_name,
                "the name in this node's certificate counts, not the configured one, until it leaves its mesh"
            );
        }
        let tickets = Tickets::load(&files.tickets())?;
        let inside = kept.as_ref().map(|kept| {
            let mut trust = AuthorityTrust::new(Arc::clone(&kept.authority));
            trust.revoked = kept.revoked.as_ref().map(|list| list.get().record.nodes.clone()).unwrap_or_default();
            trust.guests = tickets.guests(us);
            Arc::new(Inside::new(Arc::clone(&kept.authority), trust, kept.certificate.clone()))
        });
        let list = kept.as_ref().and_then(|kept| kept.revoked.as_ref()).map(|list| &list.get().record);
        let is_up = kept.as_ref().map_or(!config.mesh.peers.is_empty(), |kept| !kept.is_down);
        let view = View {
            is_holder: kept.as_ref().is_some_and(|kept| kept.key.is_some()),
            is_up,
            blocked: files.blocked()?,
            revoked: list.map(|list| list.nodes.clone()).unwrap_or_default(),
            epoch: list.map_or(0, |list| list.epoch),
            ..View::default()
        };
        let handed = state.handed_ticket().map(|path| Ticket::load(&path));
        Ok(Self { name, place: files.place()?, files, kept, inside, view, tickets, handed })
    }

    pub(crate) const fn inside(&self) -> Option<&Arc<Inside>> {
        self.inside.as_ref()
    }

    /// A member that was told to take part in nothing.
    pub(crate) fn is_down(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_down)
    }

    /// What the peers' door is opened with.
    pub(crate) fn door(&self) -> Option<(Arc<Inside>, Vec<config::Peer>, Option<SocketAddr>)> {
        let (inside, kept) = self.inside.as_ref().zip(self.kept.as_ref())?;
        Some((Arc::clone(inside), kept.seeds.clone(), self.place.listen))
    }

    /// What our addresses follow from.
    pub(crate) fn whereabouts(&self, listens_on: Option<SocketAddr>) -> Whereabouts {
        Whereabouts { listens_on, is_member: self.inside.is_some(), advertise: self.place.advertise.clone() }
    }

    pub(crate) fn members(
        &self,
        to: mpsc::Sender<ToMembers>,
        whereabouts: Whereabouts,
        addresses: &[Box<str>],
    ) -> Members {
        let view = View { addresses: addresses.to_vec(), ..self.view.clone() };
        Members::new(to, self.inside.clone(), whereabouts, view)
    }

    /// What the core is told at its birth.
    pub(crate) fn options(
        &self,
        node_key: &NodeKey,
        config: &Config,
        agents: Vec<HostedAgent>,
        addresses: Vec<Box<str>>,
    ) -> Options {
        let node = HostedAgent {
            id: node_key.id().agent(),
            public_key: *node_key.public().as_bytes(),
            name: self.name.clone(),
            uid: rustix::process::geteuid().as_raw(),
        };
        Options {
            node,
            addresses,
            trust: self.trust(&config.mesh),
            blocked: self.view.blocked.clone(),
            agents,
            hops: config.mesh.hops,
            bounds: bounds(&config.limits),
            rules: mesh::Rules::default(),
        }
    }

    fn trust(&self, mesh: &Mesh) -> mesh::Trust {
        let pinned = |peer: &config::Peer| PinnedPeer {
            name: peer.name.clone(),
            node: peer.node,
            can_dial: peer.address.is_some(),
        };
        let Some(kept) = &self.kept else { return mesh::Trust::Pinned(mesh.peers.iter().map(pinned).collect()) };
        let mut seeds: Vec<PinnedPeer> = Vec::new();
        // One may stand there with several addresses.
        for seed in &kept.seeds {
            if !seeds.iter().any(|known| known.node == seed.node) {
                seeds.push(pinned(seed));
            }
        }
        mesh::Trust::Members(mesh::Membership {
            mesh: kept.authority.mesh(),
            certificate: kept.certificate.validity,
            revoked: kept.revoked.clone().map(|list| Attested::known(list).boxed()),
            seeds,
        })
    }

    /// The task that looks after it.
    pub(crate) fn task(
        self,
        shared: &Arc<Shared>,
        queue: mpsc::Receiver<ToMembers>,
        peers: Option<PeerDoor>,
        mesh: &Mesh,
    ) -> MemberTask {
        let (key, revoked) = self.kept.map_or((None, None), |kept| (kept.key, kept.revoked));
        let revoked = revoked.map(Verified::into_inner);
        MemberTask {
            shared: Arc::clone(shared),
            files: self.files,
            queue,
            peers,
            given: Given { has_pins: !mesh.peers.is_empty(), listen: mesh.listen },
            place: self.place,
            key: key.map(Arc::new),
            tickets: self.tickets,
            handed: self.handed,
            revoked: revoked.map(|list| Revoked { list: list.record, carried: list.carried }),
            own: Own::default(),
        }
    }
}
