//! The start of a node whose journal holds a million records. They are written by the journal's own writer, sealed under
//! the day's key as the daemon would: messages of 1 KiB that wait for 100 agents, 10,000 for each. Sending them would
//! take minutes and measure something else.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use benches::BODY_BYTES;
use benches::hosts::{Host, memory_kib, processor_us};
use benches::times::since;
use bytes::{BufMut, Bytes, BytesMut};
use client::{Agent, Node};
use keys::store_key::StoreKey;
use keys::vault;
use proto::entry::{Entry, Letter, Parts, Received};
use proto::limits::{HOUR, JOURNAL_LIMIT_BYTES, MESSAGE_LIFE};
use proto::{AgentId, ContentType, MessageId, MessageType, NodeId};
use store::{FileDisk, Options, RecordNumber, Store, Transaction};
use tokio::time::Instant;

use crate::resident_mib;

const RECORDS: u64 = 1_000_000;
const AGENTS: u64 = 100;
const DAY: u64 = 24 * HOUR;
/// Records between two syncs.
const BATCH: u64 = 4096;

pub(crate) async fn run(folder: &Path) {
    let mut host = Host::alone(folder).await;
    let mut agents = Vec::new();
    for at in 0..AGENTS {
        agents.push(Agent::attach(format!("agent-{at:05}")).socket(host.socket()).await.unwrap());
    }
    let ids: Vec<AgentId> = agents.iter().map(Agent::id).collect();
    drop(agents);
    host.stop();
    let begun = Instant::now();
    let mut store = Store::open(FileDisk::open(&host.state().join("store")).unwrap(), &options()).unwrap().0;
    fill(&mut store, &mut today(&host.state()), &ids);
    let (live, disk) = (store.live_bytes() as f64 / 1e6, store.disk_bytes() as f64 / 1e6);
    store.close().unwrap();
    println!("{RECORDS} records made in {:.1} s: {live:.0} MB live, {disk:.0} MB of segments", since(begun) / 1e6);
    store_alone(&host.state());
    for _ in 0..3 {
        host.start(None);
        let took = host.is_ready().await / 1e6;
        let used = processor_us(host.process()) / 1e6;
        let node = Node::connect(Some(&host.socket())).await.unwrap();
        let waiting = node.status().await.unwrap().mailbox_messages;
        assert_eq!(waiting, RECORDS, "messages that wait");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let most = memory_kib(host.process(), "VmHWM").unwrap_or_default() / 1024.0;
        let memory = resident_mib(host.process());
        println!("ready after {took:.1} s, {used:.1} s of processor; 10 s later {memory:.0} MiB, most {most:.0} MiB");
        host.stop();
    }
}

/// What the store itself takes: reading, checksums, the ledger; nothing is opened or judged.
fn store_alone(state: &Path) {
    let begun = Instant::now();
    let (store, recovery) = Store::open(FileDisk::open(&state.join("store")).unwrap(), &options()).unwrap();
    let opened = since(begun) / 1e6;
    let begun = Instant::now();
    for number in &recovery.records {
        std::hint::black_box(store.load(*number).unwrap());
    }
    let memory = resident_mib(std::process::id());
    println!(
        "the store alone: opened in {opened:.2} s, each record loaded in {:.2} s more; this process {memory:.0} MiB",
        since(begun) / 1e6
    );
    store.close().unwrap();
}

fn options() -> Options {
    Options::new([7; 16], JOURNAL_LIMIT_BYTES)
}

/// The key of today, which the daemon may have made already.
fn today(state: &Path) -> (u64, StoreKey) {
    let credential = vault::load_credential(&state.join("identity/credential.key")).unwrap();
    let day = now() / DAY;
    let path = state.join(format!("store-keys/{day}.key"));
    let key = match fs::read(&path) {
        Ok(wrapped) => StoreKey::unwrap(&wrapped, &credential, day).unwrap(),
        Err(_) => {
            let key = StoreKey::make().unwrap();
            fs::write(&path, key.wrap(&credential, day).unwrap()).unwrap();
            key
        }
    };
    (day, key)
}

fn fill(store: &mut Store<FileDisk>, (day, key): &mut (u64, StoreKey), agents: &[AgentId]) {
    let first = store.highest().get() + 1;
    let body = Bytes::from(vec![0x5A; BODY_BYTES]);
    for at in 0..RECORDS {
        let number = first + at;
        let destination = agents[usize::try_from(at % AGENTS).unwrap()];
        let plain = received(at, destination, body.clone()).write();
        let sealed = key.seal(&number.to_be_bytes(), &plain).unwrap();
        let mut record = BytesMut::with_capacity(8 + sealed.len());
        record.put_u64(*day);
        record.extend_from_slice(&sealed);
        store.append(Transaction::new().put(RecordNumber::new(number), record.freeze())).unwrap();
        if at % BATCH == 0 {
            store.sync().unwrap();
        }
    }
}

fn received(at: u64, destination: AgentId, body: Bytes) -> Entry {
    let mut source = [7; 32];
    source[..8].copy_from_slice(&(at % (10 * AGENTS)).to_be_bytes());
    let letter = Letter {
        source: AgentId::new(source),
        destination,
        id: MessageId::new(at + 1),
        message_type: MessageType::Request,
        content_type: ContentType::Octets,
        timestamp: now(),
        expiry: now() + MESSAGE_LIFE,
        handled_wanted: false,
        again: false,
    };
    let received =
        Received { letter, received: now(), source_node: NodeId::new(AgentId::new([8; 32])), hops: 1, marked: false };
    Entry::Received { received, parts: Parts { body, ..Parts::default() } }
}

#[expect(clippy::disallowed_methods, reason = "what is written must not have expired")]
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
