//! A member that is hostile can say what it likes about its own agents, and nothing in the name of others.
//!
//! `AICP_LIES=10000` tells so many of each kind.

use std::time::Duration;

use bytes::Bytes;
use client::{Agent, Incoming};
use proto::link::ControlMessage;
use proto::member::{MemberMessage, MemberSaid};
use proto::metadata::MetadataDraft;
use proto::record::{AgentRecord, CarriedRecord, RecordKind};
use proto::{ContentType, Draft, FlowKind, MessageType, Shape};
use referee::forge::sign_again;
use referee::hosts::{Host, env_number, until};
use referee::members::{authority, mesh};
use referee::peer::{Known, Peer, Pen, Puppet, Spot, random_id, wall};

const HOUR: u64 = 3_600_000_000_000;
/// Messages of the honest agent, each of which must arrive once.
const HONEST: u32 = 20;
/// Lies that go out before the daemon is asked whether it is still there.
const BATCH: usize = 256;

fn is_known(host: &Host, puppet: &Puppet) {
    let id = puppet.key.id().to_string();
    until("the agent is known", Duration::from_secs(10), || {
        String::from_utf8_lossy(&host.ctl(&["agents", "--json"]).stdout).contains(&id).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_member_cannot_speak_for_others_re_sign_redirect_or_poison_the_memory_of_duplicates() {
    let lies = usize::try_from(env_number("AICP_LIES", 500)).expect("a number");
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let authority = authority(&alpha);
    let (honest, mallory) = (Peer::enrolled("honest", &authority), Peer::enrolled("mallory", &authority));
    let (writer, mal) = (honest.agent("writer"), mallory.agent("mal"));
    let reader = Agent::attach("reader").socket(alpha.socket()).await.expect("attached");
    let mut to_alpha = honest.dial(&alpha).await;
    to_alpha.say(&ControlMessage::Record(writer.record.clone())).await;
    let mut evil = mallory.dial(&alpha).await;
    evil.say(&ControlMessage::Record(mal.record.clone())).await;
    is_known(&alpha, &writer);
    is_known(&alpha, &mal);
    let known: Known = evil.record("reader").await;
    let echo: Known = evil.record("echo").await;
    // Flows of messages have even numbers.
    let flow = wall() & !1;
    let mut pen = Pen::new(&writer.key, known);
    let mut astray = Pen::new(&writer.key, echo);
    let mut own = Pen::new(&mal.key, known);
    let letter = |pen: &mut Pen<'_>, sequence: u32, body: &str| {
        let draft = pen.draft(MessageType::Broadcast, Shape::Durable(FlowKind::Messages), random_id());
        let draft = Draft { content_type: ContentType::Text, ..draft };
        pen.durable(draft, Spot { flow, sequence, floor: 1 }, wall() + HOUR, body.as_bytes())
    };
    let mut batch: Vec<Bytes> = Vec::with_capacity(BATCH);
    let kinds = 6;
    for i in 0..lies * kinds {
        let sequence = u32::try_from(i / kinds).expect("few") % (2 * HONEST) + 1;
        let lie = match i % kinds {
            // In the writer's name, by mallory's keys.
            0 => sign_again(&mal.seed, &letter(&mut pen, sequence, "lie"), |_| {}),
            1 => sign_again(&mallory.seed, &letter(&mut pen, sequence, "lie"), |_| {}),
            // What the writer wrote to another agent, sent on to the reader.
            2 => redirect(&letter(&mut astray, sequence, "lie"), &known),
            // Marks of the writer's flow moved far ahead, so that its own messages would count as duplicates.
            3 => sign_again(&mal.seed, &letter(&mut pen, u32::MAX - sequence, "lie"), |_| {}),
            // STORED and once-only frames in the writer's name.
            4 => sign_again(&mal.seed, &pen.stored(flow, sequence), |_| {}),
            _ => {
                let draft = pen.draft(MessageType::Request, Shape::Once, random_id());
                sign_again(&mal.seed, &pen.seal(&draft, &MetadataDraft::default(), b"lie"), |_| {})
            }
        };
        batch.push(lie);
        if batch.len() == BATCH {
            evil.send(&batch).await;
            evil.settled().await;
            batch.clear();
        }
    }
    evil.send(&batch).await;
    evil.settled().await;
    // Records of others, as mallory would like them to be.
    for record in forged_records(&writer, &honest, &mal, &mallory) {
        evil.say(&ControlMessage::Record(record)).await;
    }
    evil.settled().await;
    // What it says for its own agent arrives, so all of the above was heard.
    evil.send(&[letter(&mut own, 1, "mine")]).await;
    let mut letters: Vec<Bytes> = (1..=HONEST).map(|n| letter(&mut pen, n, &format!("honest {n}"))).collect();
    // Over mallory's link too: whoever passes on what was signed and sealed changes nothing by it.
    evil.send(&letters[..5]).await;
    to_alpha.send(&letters.split_off(5)).await;
    let mut heard = Vec::new();
    while heard.len() < HONEST as usize + 1 {
        let came = tokio::time::timeout(Duration::from_secs(20), reader.recv()).await.expect("in time");
        let Incoming::Delivery(delivery) = came.expect("mail") else { panic!("no message") };
        heard.push(format!("{} {}", delivery.source_name(), delivery.text().expect("text")));
        delivery.handled().await.expect("handled");
    }
    assert!(tokio::time::timeout(Duration::from_millis(500), reader.recv()).await.is_err(), "one more came");
    let mut wanted: Vec<String> = (1..=HONEST).map(|n| format!("writer honest {n}")).collect();
    wanted.push("mal mine".into());
    heard.sort();
    wanted.sort();
    assert_eq!(heard, wanted);
    println!("{} lies of {kinds} kinds: none was believed", lies * kinds);
    let agents = String::from_utf8_lossy(&alpha.ctl(&["agents"]).stdout).into_owned();
    assert!(agents.contains("writer@honest") && !agents.contains("writer@mallory"), "{agents}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_only_says_that_it_holds_the_authoritys_key_does_not_keep_others_from_inviting() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha", "beta"]);
    let mallory = Peer::enrolled("mallory", &authority(&hosts[0]));
    let mut evil = mallory.dial(&hosts[1]).await;
    evil.say(&ControlMessage::Member(Box::new(MemberMessage { request: 0, said: MemberSaid::Holder }))).await;
    evil.settled().await;
    // The one that holds it comes later.
    hosts[0].stop();
    hosts[0].start();
    hosts[1].await_peer("alpha");
    let invites = (0..2).map(|_| hosts[1].ctl(&["invite"]));
    let invited = invites.filter(|done| done.status.success()).count();
    assert_eq!(invited, 1, "one of the two is asked in vain, and the next time the other one");
    let open = std::fs::read_dir(hosts[1].state().join("mesh/tickets")).expect("a folder").count();
    assert_eq!(open, 1, "a ticket that nobody got is forgotten");
}

/// The frame for another destination.
fn redirect(frame: &Bytes, to: &Known) -> Bytes {
    let mut bytes = frame.to_vec();
    bytes[50..82].copy_from_slice(to.id.as_bytes());
    bytes.into()
}

fn forged_records(writer: &Puppet, honest: &Peer, mal: &Puppet, mallory: &Peer) -> Vec<CarriedRecord> {
    let record = AgentRecord::read(writer.record.body()).expect("a record");
    let moved = AgentRecord { host: mallory.id(), sequence: wall() + HOUR, ..record }.write().expect("a body");
    let (by_writer, by_honest) = (writer.record.signature(), writer.record.countersignature());
    let by_mal = mal.record.signature().expect("a signature");
    let stolen = [(by_writer, by_honest), (Some(by_mal), by_honest), (by_writer, mal.record.countersignature())];
    let agents = stolen.into_iter().map(|(signature, countersignature)| {
        let signature = signature.expect("a signature");
        CarriedRecord::assemble(RecordKind::Agent, &moved, signature, countersignature).expect("a record")
    });
    // Its own node record under another's name, for longer than its certificate, without one, and another's with its key.
    let other = honest.record_with(|record| record.addresses = vec!["127.0.0.1:9".into()]);
    let nodes = [
        mallory.record_with(|record| record.name = "honest".parse().expect("a name")),
        mallory.record_with(|record| record.expiry = u64::MAX),
        mallory.record_with(|record| record.certificate = None),
        CarriedRecord::assemble(RecordKind::Node, other.body(), by_mal, None).expect("a record"),
    ];
    agents.chain(nodes).collect()
}
