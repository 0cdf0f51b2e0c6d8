//! Whether a running daemon is alive: the task that decides and the thread that owns the journal each have to answer.
//! It judges nobody; whoever asks decides what a silence means.

use std::sync::Arc;

use mesh::{PeerState, Summary};
use proto::limits;
use tokio::sync::oneshot;

use crate::clock::duration;
use crate::shared::{Ask, Shared};

/// The way to both of them.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<Shared>);

impl Pulse {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Waits until both have answered, and says how the daemon is, in a line. Waits forever for one that hangs; nothing
    /// comes from one that has ended. A journal that waits for room on its disk is alive, and so is who waits for it.
    pub(crate) async fn beat(&self) -> Option<String> {
        let looks = self.0.journal.counters().looks.get();
        tokio::select! {
            status = self.both() => status,
            () = self.looks_again(looks) => Some("the disk is full; nothing new is taken".into()),
        }
    }

    async fn both(&self) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.0.to_node.send(Ask::Summary(reply)).await.ok()?;
        let summary = answer.await.ok()?;
        self.0.journal.answers().await?;
        Some(self.status(&summary))
    }

    async fn looks_again(&self, before: u64) {
        while self.0.journal.counters().looks.get() == before {
            tokio::time::sleep(duration(limits::JOURNAL_ROOM_LOOK)).await;
        }
    }

    fn status(&self, summary: &Summary) -> String {
        let up = summary.peers.iter().filter(|peer| matches!(peer.state, PeerState::Up)).count();
        let (peers, agents) = (summary.peers.len(), self.0.sessions.count());
        let (outbox, mailbox) = (summary.outbox_messages, summary.mailbox_messages);
        let (name, dead) = (&self.0.name, summary.dead_messages);
        format!(
            "{name}: {up} of {peers} peers up, {agents} agents connected, outbox {outbox}, mailboxes {mailbox}, dead {dead}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::clock::Clock;
    use crate::member::Membership;
    use crate::{App, StateDir, journal};

    /// Much longer than an answer takes, and shorter than anybody waits for one.
    const WHILE: Duration = Duration::from_secs(2);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_daemon_that_runs_is_alive_and_says_how_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = config::Flags {
            config: Some("/dev/null".into()),
            state_dir: Some(folder.path().into()),
            name: Some("house".into()),
            ..config::Flags::default()
        };
        let app = App::start(&config::load(&flags).expect("a configuration")).await.expect("a daemon");
        let status = app.pulse().beat().await.expect("it is alive");
        assert!(status.starts_with("house: 0 of 0 peers up"), "{status}");
        let pulse = app.pulse();
        app.stop().await.expect("a clean stop");
        assert_eq!(pulse.beat().await, None, "it has ended");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_that_answers_does_not_make_up_for_a_core_that_hangs() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = config::Flags { state_dir: Some(folder.path().into()), ..config::Flags::default() };
        let config = config::load(&flags).expect("a configuration");
        let state = StateDir::open(folder.path()).expect("a folder");
        let (identity, disk) = state.open_identity().expect("an identity");
        let (clock, node_key) = (Clock::start(), Arc::clone(&identity.node));
        let opened = journal::open(&state, disk, identity, config.store_limit, None).expect("a journal");
        let (failure, _failed) = watch::channel(None);
        let running = journal::start(opened.worker, clock, failure.clone()).expect("a thread");
        // Questions are taken, and nobody reads them.
        let (to_node, _unread) = mpsc::channel(limits::NODE_QUEUE);
        let house = Membership::load(&state, &config, node_key.id()).expect("no mesh");
        let (to_members, _unheard) = mpsc::channel(limits::MEMBER_QUEUE);
        let members = house.members(to_members, house.whereabouts(None), &[]);
        let name = house.name.clone();
        let shared = Shared::new(clock, node_key, name, &config, to_node, running.journal, failure, members);
        shared.journal.answers().await.expect("the journal is alive");
        let beat = tokio::time::timeout(WHILE, Pulse::new(Arc::new(shared)).beat()).await;
        assert!(beat.is_err(), "{beat:?}");
    }
}
