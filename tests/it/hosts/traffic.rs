//! Agents that keep real daemons busy, and a ledger of what they were promised and what came. They use the library as
//! anybody would, and forget a message once it was accepted: from then on the daemons alone answer for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use client::{Agent, ClientError, Incoming, Stage};
use referee::hosts::{Host, until};
use tokio::task::JoinHandle;

/// What a writer waits between two messages, so that it can be read as fast.
const BETWEEN: Duration = Duration::from_millis(5);
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// A writer's name, and the number of one of its messages.
type Item = (String, u64);

/// What was promised, and what came.
#[derive(Default, Debug)]
pub(super) struct Ledger {
    /// The daemon said: accepted.
    pub(super) accepted: BTreeSet<Item>,
    /// The daemon said no.
    pub(super) refused: Vec<(Item, ClientError)>,
    /// In the order in which they came; `true` is marked.
    pub(super) deliveries: Vec<(Item, bool)>,
}

/// Agents at work.
pub(super) struct Traffic {
    runtime: tokio::runtime::Runtime,
    ledger: Arc<Mutex<Ledger>>,
    is_stopping: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    _others: Vec<JoinHandle<()>>,
}

/// The name of the agent that reads what a host's peers write to it.
fn reader_at(host: &Host) -> String {
    format!("reader-{}", host.name)
}

impl Traffic {
    /// So many writers for each pair of hosts, one message of `bytes` bytes after the other.
    pub(super) fn start(pairs: &[(&Host, &Host)], writers: usize, bytes: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let mut traffic = Self {
            runtime: runtime.expect("a runtime"),
            ledger: Arc::default(),
            is_stopping: Arc::default(),
            writers: Vec::new(),
            _others: Vec::new(),
        };
        for (_, to) in pairs {
            let (name, socket, ledger) = (reader_at(to), to.socket(), Arc::clone(&traffic.ledger));
            traffic._others.push(traffic.runtime.spawn(read(name, socket, ledger)));
        }
        for (from, to) in pairs {
            await_agent(from, &reader_at(to));
            for at in 0..writers {
                let (name, socket) = (format!("writer-{}-{at}", from.name), from.socket());
                let (ledger, is_stopping) = (Arc::clone(&traffic.ledger), Arc::clone(&traffic.is_stopping));
                let to = format!("{}@{}", reader_at(to), to.name);
                let me = Agent::attach(name).socket(socket);
                let me = traffic.runtime.block_on(async { me.await.expect("attached") });
                traffic._others.push(traffic.runtime.spawn(take_ends(me.clone())));
                traffic.writers.push(traffic.runtime.spawn(write(me, to, bytes, ledger, is_stopping)));
            }
        }
        traffic
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics with it")
    }

    /// Waits until so many more were accepted.
    pub(super) fn await_accepted(&self, more: usize) {
        let goal = self.ledger().accepted.len() + more;
        until("messages are accepted", Duration::from_secs(30), || {
            (self.ledger().accepted.len() >= goal).then_some(())
        });
    }

    /// Lets the writers end, and waits until all that was accepted has come. Gives the ledger.
    pub(super) fn finish(mut self, hosts: &[&Host]) -> Ledger {
        self.is_stopping.store(true, Ordering::Relaxed);
        let writers = std::mem::take(&mut self.writers);
        self.runtime.block_on(async {
            for writer in writers {
                let ended = tokio::time::timeout(Duration::from_secs(60), writer).await;
                ended.expect("the last submission ends").expect("a writer does not panic");
            }
        });
        for host in hosts {
            until(&format!("nothing is queued at {}", host.name), Duration::from_secs(90), || {
                let status = host.status();
                let left = ["outbox_messages", "mailbox_messages", "awaiting"];
                left.iter().all(|what| status[what].as_u64() == Some(0)).then_some(())
            });
        }
        self.runtime.shutdown_background();
        std::mem::take(&mut *self.ledger.lock().expect("nobody panics with it"))
    }
}

/// Waits until `host` knows an agent.
pub(super) fn await_agent(host: &Host, name: &str) {
    until(&format!("{name} is known at {}", host.name), Duration::from_secs(20), || {
        let listed = String::from_utf8(host.ctl(&["agents", "--json"]).stdout).expect("text");
        listed.contains(&format!("\"{name}\"")).then_some(())
    });
}

impl Ledger {
    /// Nothing that was accepted is missing, nothing came twice unmarked, and what is unmarked came in order. Gives how
    /// many came more than once.
    pub(super) fn judge(&self) -> usize {
        let mut times: BTreeMap<&Item, u32> = BTreeMap::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (item, is_marked) in &self.deliveries {
            let times = times.entry(item).or_default();
            *times += 1;
            if !is_marked {
                assert_eq!(*times, 1, "{item:?} came again and was not marked");
                let before = last.insert(&item.0, item.1);
                assert!(before < Some(item.1), "{item:?} came after {before:?}");
            }
        }
        let missing: Vec<_> = self.accepted.iter().filter(|item| !times.contains_key(item)).collect();
        assert!(missing.is_empty(), "{} accepted messages were lost: {missing:?}", missing.len());
        times.values().filter(|times| **times > 1).count()
    }
}

async fn read(name: String, socket: PathBuf, ledger: Arc<Mutex<Ledger>>) {
    let me = Agent::attach(name).socket(socket).await.expect("attached");
    loop {
        let Incoming::Delivery(delivery) = me.recv().await.expect("the library keeps the connection") else { continue };
        let text = delivery.text().expect("text");
        let mut words = text.split(' ');
        let (writer, number) = (words.next().expect("a name"), words.next().expect("a number"));
        let item = (writer.to_owned(), number.parse().expect("a number"));
        ledger.lock().expect("nobody panics with it").deliveries.push((item, delivery.is_marked()));
        // A lost connection voids the delivery; it comes again.
        drop(delivery.handled().await);
    }
}

/// A writer takes the ends of what it wrote, or it may not write any more.
async fn take_ends(me: Agent) {
    while me.recv().await.is_ok() {}
}

async fn write(me: Agent, to: String, bytes: usize, ledger: Arc<Mutex<Ledger>>, is_stopping: Arc<AtomicBool>) {
    let name = me.name().to_owned();
    let filler = "x".repeat(bytes);
    for number in 0.. {
        if is_stopping.load(Ordering::Relaxed) {
            return;
        }
        let said = me.send(&*to, "count", format!("{name} {number} {filler}")).until(Stage::Accepted).await;
        let item = (name.clone(), number);
        let has_failed = said.is_err();
        {
            let mut ledger = ledger.lock().expect("nobody panics with it");
            match said {
                Ok(_) => drop(ledger.accepted.insert(item)),
                Err(error) => ledger.refused.push((item, error)),
            }
        }
        tokio::time::sleep(if has_failed { AFTER_REFUSAL } else { BETWEEN }).await;
    }
}
