//! The endpoint: takes handshakes, dials, and starts a task for each link. Who may link at all is in the
//! configuration; which of several links stays is the core's decision.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use config::Mesh;
use keys::NodeKey;
use keys::certificate::{node_of, self_signed};
use keys::tls::Shown;
use proto::{Name, NodeId, limits};
use quinn::{ClientConfig, Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;

use super::{dial, link, transport};
use crate::StartError;
use crate::clock::duration;
use crate::shared::Shared;

/// How one peer is reached.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) config: ClientConfig,
    pub(super) address: Option<Box<str>>,
}

/// The open door. There is none where neither `listen` nor `peers` is configured.
#[derive(Clone, Debug)]
pub(crate) struct PeerDoor(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    pub(super) targets: BTreeMap<NodeId, Target>,
    pub(super) listens: bool,
}

impl PeerDoor {
    /// Opens it: on the socket that was passed, on the configured address, or, to dial only, on any.
    pub(crate) fn open(
        node: &Arc<NodeKey>,
        name: &Name,
        mesh: &Mesh,
        passed: Option<UdpSocket>,
    ) -> Result<Option<Self>, StartError> {
        if mesh.listen.is_none() && mesh.peers.is_empty() {
            return Ok(None);
        }
        if let Some(us) = mesh.peers.iter().find(|peer| peer.node == node.id()) {
            return Err(StartError::PeerIsUs { name: us.name.to_string() });
        }
        let certificate = self_signed(node, name)?;
        let shown = Shown::new(Arc::clone(node), certificate);
        if let Err(error) = transport::warm_up(&shown, node.id()) {
            tracing::debug!(%error, "TLS was not warmed up");
        }
        let common = Arc::new(transport::transport());
        let mut targets = BTreeMap::new();
        for peer in &mesh.peers {
            let config = transport::client(&shown, peer.node, Arc::clone(&common))?;
            targets.insert(peer.node, Target { config, address: peer.address.clone() });
        }
        let listens = passed.is_some() || mesh.listen.is_some();
        let nodes = mesh.peers.iter().map(|peer| peer.node).collect();
        let server = if listens { Some(transport::server(&shown, nodes, common)?) } else { None };
        let endpoint = match (passed, mesh.listen) {
            (Some(socket), _) => transport::endpoint_on(socket, server).map_err(StartError::Passed)?,
            (None, Some(address)) => transport::endpoint(address, server)?,
            (None, None) => any_port()?,
        };
        Ok(Some(Self(Arc::new(Inner { endpoint, targets, listens }))))
    }

    /// Begins to take handshakes, if it listens at all.
    pub(crate) fn listen(&self, shared: &Arc<Shared>) {
        for (peer, target) in &self.0.targets {
            shared.peers.board(*peer).said.lock().address = target.address.as_deref().unwrap_or_default().to_owned();
        }
        if self.0.listens {
            shared.tasks.spawn("peers' door", listen(Arc::clone(shared), self.0.endpoint.clone()));
        }
    }

    /// Where it listens, if it does.
    pub(crate) fn listens_on(&self) -> Option<SocketAddr> {
        self.0.listens.then(|| self.0.endpoint.local_addr().ok()).flatten()
    }

    /// Tries to reach a peer. The node hears what became of it.
    pub(crate) fn dial(&self, shared: &Arc<Shared>, peer: NodeId) {
        shared.tasks.spawn("dial", dial::dial(Arc::clone(shared), Arc::clone(&self.0), peer));
    }

    /// Lets nobody in any more. Links go on.
    pub(crate) fn close(&self) {
        self.0.endpoint.set_server_config(None);
    }

    /// Waits until peers have heard that their links are closed.
    pub(crate) async fn finish(&self) {
        self.0.endpoint.close(quinn::VarInt::from_u32(0), b"stopping");
        self.0.endpoint.wait_idle().await;
    }
}

fn any_port() -> Result<Endpoint, StartError> {
    transport::endpoint((Ipv6Addr::UNSPECIFIED, 0).into(), None)
        .or_else(|_| transport::endpoint((Ipv4Addr::UNSPECIFIED, 0).into(), None))
}

async fn listen(shared: Arc<Shared>, endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let is_crowded = endpoint.open_connections() >= limits::INCOMING_UNPROVED_MAX;
        if is_crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            // It does not matter whether this packet gets out: whoever is there tries again.
            drop(incoming.retry());
        } else if endpoint.open_connections() >= limits::LINKS_MAX_OPEN {
            incoming.refuse();
        } else {
            shared.tasks.spawn("incoming link", take(Arc::clone(&shared), incoming));
        }
    }
}

async fn take(shared: Arc<Shared>, incoming: Incoming) {
    let from = incoming.remote_address();
    let shaking = async { incoming.await };
    let connection = match tokio::time::timeout(duration(limits::DIAL_WAIT), shaking).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%from, error = super::describe(&error), "a handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%from, "a handshake took too long");
            return;
        }
    };
    match peer_of(&connection) {
        // TLS let nobody else in.
        Some(peer) => link::run(shared, connection, peer, false).await,
        None => super::LinkEnd::new(proto::ErrorCode::UNAUTHENTICATED, "no certificate").close(&connection),
    }
}

/// The node whose key TLS has seen.
pub(super) fn peer_of(connection: &Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node_of(chain.first()?).ok()
}
