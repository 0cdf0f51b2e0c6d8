//! Tasks with names, so that none is lost: each is joined, and one that panics is told by its name.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

/// What runs until its owner stops it.
#[derive(Default, Debug)]
pub(crate) struct Tasks {
    running: Mutex<Running>,
}

#[derive(Default, Debug)]
struct Running {
    set: JoinSet<()>,
    /// Of those that have not been joined. Never walked through.
    names: HashMap<Id, &'static str>,
    /// Nobody joins what is begun from now on.
    is_over: bool,
}

impl Tasks {
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut running = self.running.lock();
        running.reap();
        let handle = running.set.spawn(task);
        running.names.insert(handle.id(), name);
        if running.is_over {
            // It would live on with all that it holds: a client that came last would wait for an answer forever.
            handle.abort();
        }
        handle
    }

    pub(crate) fn spawn_blocking(&self, name: &'static str, work: impl FnOnce() + Send + 'static) {
        let mut running = self.running.lock();
        running.reap();
        let handle = running.set.spawn_blocking(work);
        running.names.insert(handle.id(), name);
    }

    /// Waits for all that is running, and ends by force what takes longer than `patience`, and whatever is begun later.
    /// Says whether none did.
    pub(crate) async fn finish(&self, patience: Duration) -> bool {
        let mut set = {
            let mut running = self.running.lock();
            running.is_over = true;
            std::mem::take(&mut running.set)
        };
        let all = async {
            while let Some(ended) = set.join_next_with_id().await {
                self.running.lock().told(ended);
            }
        };
        let in_time = tokio::time::timeout(patience, all).await.is_ok();
        if !in_time {
            set.abort_all();
            while let Some(ended) = set.join_next_with_id().await {
                let name = self.running.lock().told(ended);
                tracing::debug!(task = name, "a task had to be ended");
            }
        }
        in_time
    }
}

impl Running {
    fn reap(&mut self) {
        while let Some(ended) = self.set.try_join_next_with_id() {
            self.told(ended);
        }
    }

    /// Which task that was.
    fn told(&mut self, ended: Result<(Id, ()), JoinError>) -> &'static str {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let name = self.names.remove(&id).unwrap_or("?");
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!(task = name, "a task panicked");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_comes_after_the_end_is_let_go() {
        let tasks = Tasks::default();
        assert!(tasks.finish(Duration::from_secs(1)).await);
        let (connection, other_end) = oneshot::channel::<()>();
        tasks.spawn("late", async move {
            std::future::pending::<()>().await;
            drop(connection);
        });
        let ended = tokio::time::timeout(Duration::from_secs(20), other_end).await;
        assert!(ended.expect("it is not held for ever").is_err());
    }
}
