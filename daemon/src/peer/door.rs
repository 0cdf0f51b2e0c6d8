//! The endpoint: takes handshakes, dials, and starts a task for each link. Whom it lets in is said by the configuration
//! or by the mesh's authority; which of several links stays is the core's decision.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::Mesh;
use keys::NodeKey;
use keys::certificate::{node_of, self_signed};
use keys::tls::{self, Role, Shown, Trust};
use proto::{Name, NodeId, limits};
use quinn::crypto::rustls::HandshakeData;
use quinn::{ClientConfig, Connection, Endpoint, Incoming, TransportConfig};
use rustls::pki_types::CertificateDer;

use super::{dial, link, transport};
use crate::StartError;
use crate::clock::duration;
use crate::member::{self, Inside};
use crate::shared::Shared;

/// Whom it trusts: one kind, never both.
#[derive(Debug)]
enum Ties {
    /// The nodes of the configuration, and what this one shows them.
    Pinned { shown: Shown, nodes: BTreeSet<NodeId> },
    /// The members of a mesh.
    Inside(Arc<Inside>),
}

/// The open door. There is none where this node is in no mesh, or was taken down.
#[derive(Clone, Debug)]
pub(crate) struct PeerDoor(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    node: Arc<NodeKey>,
    ties: Ties,
    /// Where peers are that the configuration or a ticket names.
    named: Vec<config::Peer>,
    transport: Arc<TransportConfig>,
    listens: bool,
    is_closed: AtomicBool,
}

/// What there is to open it with.
pub(crate) struct Opening<'a> {
    pub(crate) node: &'a Arc<NodeKey>,
    pub(crate) name: &'a Name,
    pub(crate) mesh: &'a Mesh,
    /// The mesh that this node is in, whom to dial first there, and where it listens unless the configuration says so.
    pub(crate) inside: Option<(Arc<Inside>, Vec<config::Peer>, Option<SocketAddr>)>,
    /// A socket that is bound already.
    pub(crate) passed: Option<UdpSocket>,
}

impl PeerDoor {
    /// Opens it: on the socket that was passed, on the configured address, or, to dial only, on any.
    pub(crate) fn open(opening: Opening<'_>) -> Result<Option<Self>, StartError> {
        let Opening { node, name, mesh, inside, passed } = opening;
        let (ties, named, listen) = match inside {
            Some((inside, seeds, listen)) => {
                let usual = SocketAddr::from((Ipv6Addr::UNSPECIFIED, member::PORT));
                (Ties::Inside(inside), seeds, Some(mesh.listen.or(listen).unwrap_or(usual)))
            }
            None if mesh.listen.is_none() && mesh.peers.is_empty() => return Ok(None),
            None => {
                if let Some(us) = mesh.peers.iter().find(|peer| peer.node == node.id()) {
                    return Err(StartError::PeerIsUs { name: us.name.to_string() });
                }
                let shown = Shown::new(Arc::clone(node), self_signed(node, name)?);
                let nodes = mesh.peers.iter().map(|peer| peer.node).collect();
                (Ties::Pinned { shown, nodes }, mesh.peers.clone(), mesh.listen)
            }
        };
        let transport = Arc::new(transport::transport());
        let listens = passed.is_some() || listen.is_some();
        let server = ties.server(node, &transport)?;
        if let Err(error) = transport::warm_up(&ties.shown(node), node.id()) {
            tracing::debug!(%error, "TLS was not warmed up");
        }
        let server = listens.then_some(server);
        let endpoint = match (passed, listen) {
            (Some(socket), _) => transport::endpoint_on(socket, server).map_err(StartError::Passed)?,
            (None, Some(address)) => open_at(address, server)?,
            (None, None) => any_port()?,
        };
        let (node, is_closed) = (Arc::clone(node), AtomicBool::new(false));
        Ok(Some(Self(Arc::new(Inner { endpoint, node, ties, named, transport, listens, is_closed }))))
    }

    /// Begins to take handshakes, if it listens at all.
    pub(crate) fn listen(&self, shared: &Arc<Shared>) {
        for peer in &self.0.named {
            let board = shared.peers.board(peer.node);
            let mut said = board.said.lock();
            let address = peer.address.clone();
            said.address = address.as_deref().unwrap_or_default().to_owned();
            said.addresses.extend(address);
        }
        if self.0.listens {
            let listening = listen(Arc::clone(shared), self.clone());
            shared.tasks.spawn("peers' door", listening);
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

    /// What this node shows, or whom it trusts, has changed: handshakes from here on heed it. Links go on.
    pub(crate) fn refresh(&self) {
        if !self.0.listens || self.0.is_closed.load(Ordering::Acquire) {
            return;
        }
        match self.0.ties.server(&self.0.node, &self.0.transport) {
            Ok(server) => self.0.endpoint.set_server_config(Some(server)),
            Err(error) => tracing::error!(%error, "whom to let in was not changed"),
        }
    }

    /// Lets nobody in any more. Links go on.
    pub(crate) fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.endpoint.set_server_config(None);
    }

    /// Waits until peers have heard that their links are closed.
    pub(crate) async fn finish(&self) {
        self.0.endpoint.close(quinn::VarInt::from_u32(0), b"stopping");
        self.0.endpoint.wait_idle().await;
    }

    /// Gives up its socket, whatever is still open on it. QUIC keeps a link for half a minute that ended before it was
    /// taken, and would hold the port, or take packets from whoever has the same socket next.
    pub(crate) fn let_go(&self) {
        // The socket before the last one is still listened on.
        for _ in 0..2 {
            let nowhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
            if let Err(error) = nowhere.and_then(|nowhere| self.0.endpoint.rebind(nowhere)) {
                tracing::debug!(%error, "the port is held until all links on it have ended");
            }
        }
    }
}

impl Inner {
    /// How one peer is dialed. Nobody else can answer.
    pub(super) fn client(&self, shared: &Shared, peer: NodeId) -> Result<ClientConfig, String> {
        let tls = match &self.ties {
            Ties::Pinned { shown, .. } => tls::dialer(shown, peer),
            Ties::Inside(inside) => {
                let validity = inside.certificate().validity;
                if let Some(why) = member::out_of_time(validity, shared.clock.now().wall.0) {
                    return Err(why);
                }
                tls::member_dialer(&self.ties.shown(&self.node), peer, (*inside.trust()).clone())
            }
        };
        let config = tls.map_err(|error| error.to_string())?;
        transport::client(config, Arc::clone(&self.transport)).map_err(|error| error.to_string())
    }

    /// Whether a peer is dialed where it came from last, too: members listen where they dial from.
    pub(super) const fn dials_back(&self) -> bool {
        matches!(self.ties, Ties::Inside(_))
    }

    fn role(&self, connection: &Connection, node: NodeId) -> Option<Role> {
        let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
        self.ties.trust().role(node, &data.protocol?)
    }
}

impl Ties {
    fn trust(&self) -> Trust {
        match self {
            Self::Pinned { nodes, .. } => Trust::Pinned(nodes.clone()),
            Self::Inside(inside) => Trust::Authority((*inside.trust()).clone()),
        }
    }

    fn shown(&self, node: &Arc<NodeKey>) -> Shown {
        match self {
            Self::Pinned { shown, .. } => shown.clone(),
            Self::Inside(inside) => Shown::new(Arc::clone(node), inside.certificate().der),
        }
    }

    fn server(&self, node: &Arc<NodeKey>, transport: &Arc<TransportConfig>) -> Result<quinn::ServerConfig, StartError> {
        transport::server(&self.shown(node), self.trust(), Arc::clone(transport))
    }
}

/// A host without IPv6 listens on all of IPv4.
fn open_at(address: SocketAddr, server: Option<quinn::ServerConfig>) -> Result<Endpoint, StartError> {
    let opened = transport::endpoint(address, server.clone());
    let is_any = address.ip() == Ipv6Addr::UNSPECIFIED;
    match opened {
        Err(StartError::Listen { .. }) if is_any => {
            transport::endpoint((Ipv4Addr::UNSPECIFIED, address.port()).into(), server)
        }
        opened => opened,
    }
}

/// A socket to dial from.
pub(crate) fn any_port() -> Result<Endpoint, StartError> {
    transport::endpoint((Ipv6Addr::UNSPECIFIED, 0).into(), None)
        .or_else(|_| transport::endpoint((Ipv4Addr::UNSPECIFIED, 0).into(), None))
}

async fn listen(shared: Arc<Shared>, door: PeerDoor) {
    let endpoint = door.0.endpoint.clone();
    while let Some(incoming) = endpoint.accept().await {
        let is_crowded = endpoint.open_connections() >= limits::INCOMING_UNPROVED_MAX;
        if is_crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            // It does not matter whether this packet gets out: whoever is there tries again.
            drop(incoming.retry());
        } else if endpoint.open_connections() >= limits::LINKS_MAX_OPEN {
            incoming.refuse();
        } else {
            shared.tasks.spawn("incoming link", take(Arc::clone(&shared), door.clone(), incoming));
        }
    }
}

async fn take(shared: Arc<Shared>, door: PeerDoor, incoming: Incoming) {
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
    // TLS let nobody else in; what was trusted may have changed since.
    let Some(peer) = peer_of(&connection) else {
        return super::LinkEnd::new(proto::ErrorCode::UNAUTHENTICATED, "no certificate").close(&connection);
    };
    match door.0.role(&connection, peer) {
        Some(Role::Peer) => link::run(shared, connection, peer, false).await,
        Some(Role::Guest) => member::serve_guest(&shared, &connection, peer).await,
        None => {
            super::LinkEnd::new(proto::ErrorCode::UNAUTHENTICATED, "not trusted as what it comes").close(&connection)
        }
    }
}

/// The node whose key TLS has seen.
pub(super) fn peer_of(connection: &Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node_of(chain.first()?).ok()
}
