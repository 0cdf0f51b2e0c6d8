//! The whole daemon inside a process: what is opened, in which order, and how all of it comes to an end. It reads no
//! environment and listens for no signal.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use config::Config;
use mesh::{HostedAgent, Input, Node, Share};
use proto::{Name, NodeId, limits};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

use crate::agent::Door;
use crate::clock::{Clock, duration};
use crate::member::{self, Membership, ToMembers};
use crate::node_task::{NodeTask, PATIENCE, Work};
use crate::peer::{Opening, PeerDoor};
use crate::policy::policy;
use crate::pulse::Pulse;
use crate::shared::{Ask, Shared};
use crate::tables::{SigningKey, ToClient, ToLink};
use crate::telemetry::MetricsDoor;
use crate::{Failure, Inherited, StartError, StateDir, echo, journal, reload};

/// What sessions and links have left to write, they write in this time.
const FLUSH: Duration = Duration::from_millis(1500);
/// Peers hear that their links are closed in this time; a dial that is under way is not waited for.
const CLOSE: Duration = Duration::from_millis(300);
/// After a restart in place, the port is free again in this time.
const CLOSE_LATE: Duration = Duration::from_secs(3);
/// Between two looks at whether they have.
const LOOK: Duration = Duration::from_millis(5);

/// Why a running daemon is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It cannot go on.
    Failed(Failure),
    /// What was changed counts from its next start on: it is to begin anew, with the same agents' socket.
    Restart,
}

/// A running daemon.
#[derive(Debug)]
pub struct App {
    shared: Arc<Shared>,
    agents: Door,
    peers: Option<PeerDoor>,
    node: JoinHandle<()>,
    journal: Thread<Result<(), Failure>>,
    failure: watch::Receiver<Option<Failure>>,
    metrics: Option<MetricsDoor>,
    /// Looks at the addresses of this host.
    addresses: Option<AbortHandle>,
    /// The UDP socket that was passed, for the next run.
    mesh: Option<UdpSocket>,
}

impl App {
    /// Starts it. When this returns, agents and peers are taken.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Inherited::default()).await
    }

    /// The same, with sockets that are open already.
    pub async fn start_with(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        let clock = Clock::start();
        let state = StateDir::open(&config.state_dir)?.with_credentials(config.credentials.as_deref())?;
        let (identity, disk) = state.open_identity()?;
        let node_key = Arc::clone(&identity.node);
        let house = Membership::load(&state, config, node_key.id())?;
        // Before what was kept is read, which may take long: whoever waits for the daemon sees that it starts.
        let metrics = match &config.metrics {
            Some(listen) => Some(MetricsDoor::open(listen, config.socket.mode).await?),
            None => None,
        };
        // What can fail for reasons of the host comes first: a journal that was opened is no longer at rest.
        let peers = open_peers(&node_key, config, &house, inherited.mesh.as_ref(), inherited.is_restart).await?;
        let mut agents = Door::open(&config.socket, inherited.agents)?;
        let kept = state.agents()?;
        let trust = house.inside().map(|inside| inside.trust());
        let opened = journal::open(&state, disk, identity, config.store_limit, trust.as_deref())?;
        let (failure, failed) = watch::channel(None);
        let running = journal::start(opened.worker, clock, failure.clone())?;
        let (to_node, asks) = mpsc::channel(limits::NODE_QUEUE);
        let listens_on = peers.as_ref().and_then(PeerDoor::listens_on);
        let whereabouts = house.whereabouts(listens_on);
        let addresses = whereabouts.addresses(&config.mesh.advertise);
        let (to_members, orders) = mpsc::channel(limits::MEMBER_QUEUE);
        let shared = Arc::new(Shared::new(
            clock,
            Arc::clone(&node_key),
            house.name.clone(),
            config,
            to_node,
            running.journal,
            failure,
            house.members(to_members, whereabouts, &addresses),
        ));
        for key in opened.keys {
            shared.keys.learn(key);
        }
        shared.keys.learn(*node_key.public());
        shared.hosted.insert(SigningKey::Node(Arc::clone(&node_key)), shared.name.clone());
        let mut hosted = Vec::with_capacity(kept.len());
        for agent in kept {
            let (id, public_key) = (agent.key.id(), *agent.key.public().as_bytes());
            shared.keys.learn(*agent.key.public());
            shared.hosted.insert(SigningKey::Agent(Box::new(agent.key)), agent.name.clone());
            hosted.push(HostedAgent { id, public_key, name: agent.name, uid: agent.uid });
        }
        let options = house.options(&node_key, config, hosted, addresses);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StartError::NoRandomness)?;
        let mut effects = Vec::new();
        let mut node = Node::new(options, seed, opened.past, clock.now(), &mut effects)?;
        node.handle(Input::Policy(policy(config)), clock.now(), &mut effects);
        let (stored, room, work) = (running.stored, running.room, Work::new(opened.is_restored));
        let (to_all, peers_too) = (Arc::clone(&shared), peers.clone());
        let task = NodeTask { node, shared: to_all, state, asks, stored, room, peers: peers_too, effects, work };
        let node = tokio::spawn(task.run());
        let is_watched = house.inside().is_some() && listens_on.is_some_and(|listens| listens.ip().is_unspecified());
        shared.tasks.spawn("membership", house.task(&shared, orders, peers.clone(), &config.mesh).run());
        // The first agent that ever comes may ask it at once.
        let (attached, echo) = oneshot::channel();
        shared.tasks.spawn("echo", echo::run(Arc::clone(&shared), attached));
        drop(tokio::time::timeout(duration(limits::ECHO_WAIT), echo).await);
        agents.listen(&shared);
        if let Some(peers) = &peers {
            peers.listen(&shared);
        }
        let watching = || shared.tasks.spawn("addresses", member::watch_addresses(Arc::clone(&shared)));
        let addresses = is_watched.then(watching);
        let listen = listens_on.map_or("nothing".into(), |address| address.to_string());
        let (id, socket) = (shared.node, agents.path().display().to_string());
        tracing::info!(node = %id, name = %shared.name, socket, listen, "aicpd is running");
        if let Some(metrics) = &metrics {
            metrics.ready(&shared);
        }
        // The doors are open; whoever comes is served by the tasks.
        tokio::task::yield_now().await;
        let mesh = inherited.mesh;
        Ok(Self { shared, agents, peers, node, journal: running.thread, failure: failed, metrics, addresses, mesh })
    }

    /// Who this node is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.node
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// Where agents connect.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.agents.path()
    }

    /// Where peers are listened for, with the port that was chosen if none was given.
    #[must_use]
    pub fn listens_on(&self) -> Option<SocketAddr> {
        self.peers.as_ref().and_then(PeerDoor::listens_on)
    }

    /// By which it can be asked whether it is alive.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse::new(Arc::clone(&self.shared))
    }

    /// Reads the configuration again, and says in the log what came of it.
    pub async fn reload(&self) {
        if let Err(error) = reload::reload(&self.shared).await {
            tracing::error!(%error, "the configuration cannot be used; nothing has changed");
        }
    }

    /// Waits until the daemon cannot go on, or is to restart.
    pub async fn ended(&mut self) -> Ended {
        tokio::select! {
            told = self.failure.wait_for(Option::is_some) => {
                let failure = told.ok().and_then(|failure| failure.clone());
                Ended::Failed(failure.unwrap_or(Failure::Task("node")))
            }
            () = self.shared.restart.notified() => Ended::Restart,
        }
    }

    /// Ends it in peace: nothing new is taken, the core writes down what a clean stop needs, what was said is written
    /// out, and the journal is closed.
    pub async fn stop(mut self) -> Result<(), Failure> {
        if self.agents.is_passed() {
            // Whoever comes from here on waits for the next daemon.
            self.agents.close();
        }
        self.come_to_rest().await
    }

    /// The same, but agents can go on to connect: they are taken by whoever is started with what this returns.
    pub async fn stop_to_restart(mut self) -> Result<Inherited, Failure> {
        // Whoever comes from here on waits for the next run.
        self.agents.close();
        let agents = self.agents.keep();
        self.come_to_rest().await?;
        Ok(Inherited { agents, mesh: self.mesh.take(), is_restart: true })
    }

    async fn come_to_rest(&mut self) -> Result<(), Failure> {
        let Self { shared, agents, peers, node, journal, metrics, addresses, .. } = self;
        let shared = Arc::clone(shared);
        if let Some(metrics) = metrics {
            metrics.stopping(&shared);
        }
        if let Some(peers) = peers {
            peers.close();
        }
        drop(shared.to_node.send(Ask::Fact(Input::Stop, None, None)).await);
        let ended = tokio::time::timeout(PATIENCE, &mut *node).await;
        let in_time = matches!(ended, Ok(Ok(())));
        if !in_time {
            node.abort();
            tracing::warn!("the node did not come to rest in time");
            shared.journal.close().await;
        }
        tracing::debug!("the core has stopped");
        flush(&shared).await;
        tracing::debug!("sessions and links have ended");
        if let Some(peers) = peers {
            drop(tokio::time::timeout(CLOSE, peers.finish()).await);
            peers.let_go();
        }
        tracing::debug!("the peers' door is closed");
        agents.close();
        agents.remove();
        // Those that never end by themselves.
        shared.members.tell(ToMembers::Stop).await;
        if let Some(addresses) = addresses {
            addresses.abort();
        }
        shared.tasks.finish(FLUSH).await;
        tracing::debug!("all tasks have ended");
        join(journal, PATIENCE).await?;
        let failure = shared.failure.borrow().clone();
        match failure {
            Some(failure) => Err(failure),
            None if in_time => Ok(()),
            None => Err(Failure::Unclean),
        }
    }

    /// Ends it at once, after a failure. Peers hear that their links are closed.
    pub async fn abandon(mut self) {
        self.node.abort();
        self.agents.close();
        self.agents.remove();
        if let Some(peers) = &self.peers {
            drop(tokio::time::timeout(CLOSE, peers.finish()).await);
        }
    }
}

/// The run before may still hold the port for a moment.
async fn open_peers(
    node: &Arc<keys::NodeKey>,
    config: &Config,
    house: &Membership,
    passed: Option<&UdpSocket>,
    is_restart: bool,
) -> Result<Option<PeerDoor>, StartError> {
    if house.is_down() {
        return Ok(None);
    }
    let mut looks = if is_restart { CLOSE_LATE.as_millis() / LOOK.as_millis() } else { 0 };
    loop {
        let passed = passed.map(UdpSocket::try_clone).transpose().map_err(StartError::Passed)?;
        let opening = Opening { node, name: &house.name, mesh: &config.mesh, inside: house.door(), passed };
        match PeerDoor::open(opening) {
            Err(StartError::PortInUse { .. }) if looks > 0 => looks -= 1,
            opened => return opened,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How much may wait where. What the doors may be reading is not the operator's to say: their buffers have that size.
pub(crate) fn bounds(limits: &config::Limits) -> mesh::Bounds {
    mesh::Bounds {
        outbox: Share { messages: limits.outbox_messages, bytes: limits.outbox_bytes },
        mailbox: Share { messages: limits.mailbox_messages, bytes: limits.mailbox_bytes },
        pair: Share { messages: limits.pair_messages, bytes: limits.pair_bytes },
        peer: Share { messages: limits.peer_messages, bytes: limits.peer_bytes },
        node_bytes: limits.node_bytes,
        deliveries_failed: limits.deliveries,
        ..mesh::Bounds::default()
    }
}

/// Lets sessions and links write what they were given, and then end.
async fn flush(shared: &Shared) {
    for session in shared.sessions.all() {
        drop(session.frames.try_send(ToClient::Goodbye));
    }
    for link in shared.links.all() {
        drop(link.frames.try_send(ToLink::Goodbye));
    }
    let at_rest = async {
        while shared.sessions.count() > 0 || !shared.links.all().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    drop(tokio::time::timeout(FLUSH, at_rest).await);
}

/// The thread ends once it has synced; a disk that hangs is not waited for.
async fn join(thread: &mut Thread<Result<(), Failure>>, patience: Duration) -> Result<(), Failure> {
    let ended = async {
        while !thread.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(patience, ended).await.map_err(|_| Failure::Unclean)
}
