//! The demo's receiving agent: it handles what arrives and remembers in which order it came. It survives its daemon, as
//! any agent does.

use std::sync::{Arc, Mutex, PoisonError};

use client::{Agent, Message, Refuse};
use tokio::task::JoinHandle;

/// An agent that serves in the background.
pub(super) struct Reader {
    me: Agent,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// One delivery.
#[derive(Clone, Copy)]
struct Seen {
    number: u32,
    is_marked: bool,
}

impl Reader {
    pub(super) fn start(me: Agent) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = seen.clone();
        me.on("note", move |message: Message| {
            let list = list.clone();
            async move {
                let text = message.text()?;
                let number = text.strip_prefix("message ").and_then(|number| number.parse().ok());
                let number = number.ok_or_else(|| Refuse::new("not one of ours"))?;
                let seen = Seen { number, is_marked: message.is_marked() };
                list.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                Ok(())
            }
        });
        let server = me.clone();
        let task = tokio::spawn(async move {
            // It ends when the agent is detached.
            let _ = server.serve().await;
        });
        Self { me, seen, task }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came, in the order in which it came.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.seen().iter().map(|seen| seen.number).collect()
    }

    /// Deliveries that were not the first of their message, and did not say so.
    pub(super) fn repeats_without_mark(&self) -> usize {
        let mut before = std::collections::BTreeSet::new();
        self.seen().iter().filter(|seen| !before.insert(seen.number) && !seen.is_marked).count()
    }

    pub(super) async fn detach(self) {
        let _ = self.me.detach().await;
        let _ = self.task.await;
    }
}
