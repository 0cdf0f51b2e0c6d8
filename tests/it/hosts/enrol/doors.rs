//! Who comes to a member's door with a certificate that does not make it one, or shows one at its own, is linked with by
//! nobody, and it is told why (G14). The honest links go on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use keys::certificate::{of_node, self_signed};
use keys::tls::{Shown, dialer};
use keys::{AuthorityCertificate, AuthorityKey, NodeKey};
use quinn::Endpoint;
use referee::certificates::{Forged, Purpose};
use referee::hosts::{Host, until};
use referee::impostor::{Impostor, comes_and_goes};
use referee::members::{
    all_are_linked, authority, authority_seed, echo_answers, lets_in, lets_in_by, mesh, peers, said,
};
use referee::peer::{Peer, wall};
use serde_json::Value;

use crate::tls::NoCertificate;

const DAY: u64 = 86_400_000_000_000;
const SOON: Duration = Duration::from_secs(30);
/// What the mesh is called, and so its authority.
const MESH: &str = "mesh";

/// Makes a right certificate wrong.
type Change = fn(&mut Forged);

/// What is wrong with a certificate that would else be right, and what is said of it.
const WRONG: [(&str, Change, &str); 6] = [
    ("no use", |forged| forged.uses = vec![], "it is not for a node"),
    ("another use", |forged| forged.uses = vec![Purpose::ServerAuth], "it is not for a node"),
    ("an authority", |forged| forged.is_authority = true, "it is not for a node"),
    ("another name beside its own", |forged| forged.other_names = vec!["alpha"], "its names differ"),
    ("no such name", |forged| (forged.name, forged.other_names) = ("Not a name", vec!["x"]), "its names differ"),
    ("over", |forged| forged.not_after = forged.not_before + 1, "has expired"),
];

fn forged(seed: [u8; 32], key: &NodeKey, change: Change) -> Vec<u8> {
    let mut forged = Forged::right(seed, MESH, *key.public().as_bytes(), wall());
    change(&mut forged);
    forged.der()
}

/// Waits until the log of a host says so once more than before.
fn log_says(host: &Host, words: &str, before: usize) {
    until(words, SOON, || (host.log().matches(words).count() > before).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_does_not_open_a_members_door_and_the_log_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta"]);
    let links = settled(&hosts);
    let alpha = &hosts[0];
    let ((key, own), seed) = (authority(alpha), authority_seed(alpha));
    let node = Arc::new(NodeKey::make().expect("randomness"));
    let other_key = AuthorityKey::make().expect("randomness");
    let other = AuthorityCertificate::make(&other_key, own.name(), wall()).expect("made");
    let name = "mallory".parse().expect("a name");
    let made = |key: &AuthorityKey, mesh: &AuthorityCertificate, node: &NodeKey, at: u64| {
        of_node(key, mesh, node.public(), &name, at).expect("made").to_vec()
    };
    let good = made(&key, &own, &node, wall());
    assert_eq!(lets_in(alpha, &node, good.clone()).await, Ok(()), "the others prove nothing without this");
    assert_eq!(lets_in(alpha, &node, forged(seed, &node, |_| {})).await, Ok(()), "nor without this");
    let stranger = Arc::new(NodeKey::make().expect("randomness"));
    let mut cut = good.clone();
    let last = cut.len() - 1;
    cut[last] ^= 1;
    let others = "the peer is in another mesh";
    let mut wrong = vec![
        ("self-signed", &node, self_signed(&node, &name).expect("made").to_vec(), "certificate cannot be read"),
        ("another authority's", &node, made(&other_key, &other, &node, wall()), others),
        ("of an authority of the same name, by another key", &node, made(&other_key, &own, &node, wall()), others),
        ("expired", &node, made(&key, &own, &node, wall() - 31 * DAY), "has expired, or does not count yet"),
        ("not yet valid", &node, made(&key, &own, &node, wall() + DAY), "has expired, or does not count yet"),
        ("another node's", &stranger, good.clone(), "does not have the key"),
        ("the authority's own", &node, own.der().to_vec(), "its names differ"),
        ("damaged", &node, cut, others),
    ];
    wrong.extend(WRONG.map(|(what, change, words)| (what, &node, forged(seed, &node, change), words)));
    for (what, key, certificate, words) in wrong {
        let before = alpha.log().matches(words).count();
        assert!(lets_in(alpha, key, certificate).await.is_err(), "{what}");
        log_says(alpha, words, before);
    }
    let shown = Shown::new(Arc::clone(&node), good.clone().into());
    let mut nobody = dialer(&shown, alpha.id.parse().expect("an id")).expect("TLS");
    nobody.client_auth_cert_resolver = Arc::new(NoCertificate);
    assert!(lets_in_by(alpha, nobody).await.is_err(), "none");
    log_says(alpha, "it shows no certificate", 0);
    said(&alpha.ctl(&["revoke", &node.id().to_string(), "--yes"]));
    assert!(lets_in(alpha, &node, good).await.is_err(), "revoked");
    log_says(alpha, "it was shut out of the mesh", 0);
    honest_links_go_on(&hosts, &links);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_with_a_wrong_certificate_or_in_anothers_place_is_not_linked_with_and_the_status_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta"]);
    let links = settled(&hosts);
    let [alpha, beta] = hosts.as_slice() else { panic!("two hosts") };
    let (authority, seed) = (authority(alpha), authority_seed(alpha));
    let mut wrong = Vec::new();
    for (i, (_, change, words)) in WRONG.into_iter().enumerate() {
        let shows = |peer: &Peer| forged(seed, peer.key(), change);
        wrong.push((Impostor::new(&format!("wrong-{i}"), &authority, &[alpha, beta], shows), words));
    }
    let unknown = Impostor::new("unknown", &authority, &[alpha, beta], |peer| forged([9; 32], peer.key(), |_| {}));
    wrong.push((unknown, "the peer is in another mesh"));
    let good = Impostor::new("good", &authority, &[alpha, beta], |peer| forged(seed, peer.key(), |_| {}));
    good.comes_and_goes(alpha).await;
    for (impostor, _) in &wrong {
        impostor.comes_and_goes(alpha).await;
    }
    // Beta answers where this one says that it is.
    let elsewhere = Peer::enrolled("elsewhere", &authority);
    let socket = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    comes_and_goes(&elsewhere, socket, alpha, ([127, 0, 0, 1], beta.port).into()).await;
    let mut reasons: Vec<(&str, &str)> = wrong.iter().map(|(who, words)| (who.peer.name.as_str(), *words)).collect();
    reasons.push(("elsewhere", "another node answers there"));
    for (name, words) in reasons {
        let told = until(&format!("{name}: {words}"), SOON, || {
            peer(alpha, name).filter(|peer| peer["last_error"].as_str().is_some_and(|why| why.contains(words)))
        });
        assert_ne!(told["state"], "up", "{told}");
    }
    // A good one is dialed, and taken for what it is; it says no HELLO.
    until("the good one is reached", SOON, || {
        let why = peer(alpha, "good")?["last_error"].as_str()?.to_owned();
        why.contains("HELLO").then_some(())
    });
    honest_links_go_on(&hosts, &links);
}

fn peer(host: &Host, name: &str) -> Option<Value> {
    peers(host)["peers"].as_array()?.iter().find(|peer| peer["name"] == name).cloned()
}

/// How often the log of each says that the other one is down, once no dials cross any more: each has dialed the other
/// then, or knows that it need not.
fn settled(hosts: &[Host]) -> Vec<usize> {
    all_are_linked(hosts);
    let mut before = downs(hosts);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        all_are_linked(hosts);
        let now = downs(hosts);
        if now == before {
            return now;
        }
        before = now;
    }
}

fn downs(hosts: &[Host]) -> Vec<usize> {
    let of = |host: &Host, other: &Host| {
        host.log().lines().filter(|line| line.contains("a peer is down") && line.contains(&other.id)).count()
    };
    vec![of(&hosts[0], &hosts[1]), of(&hosts[1], &hosts[0])]
}

/// The link of the two is the one that there was.
fn honest_links_go_on(hosts: &[Host], before: &[usize]) {
    for (host, other) in [(&hosts[0], &hosts[1]), (&hosts[1], &hosts[0])] {
        echo_answers(host, &format!("echo@{}", other.name));
    }
    assert_eq!(downs(hosts), before);
}
