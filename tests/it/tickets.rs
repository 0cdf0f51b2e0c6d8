//! An invitation: the text that people carry, what a newcomer asks with it, and what it makes of the answer.

use std::sync::Arc;

use keys::join::JoinFault;
use keys::sign::Context;
use keys::ticket::{Ticket, TicketError};
use keys::trust::CertificateFault;
use keys::{AuthorityCertificate, AuthorityKey, AuthorityTrust, NodeKey, certificate, sign, verify};
use proptest::prelude::*;
use proto::limits::{CERTIFICATE_LIFE, SECOND};
use proto::member::{JoinAnswer, JoinAsk, Joined, SignedAsk};
use proto::record::{NodeRecord, Revocations};
use proto::{AgentId, ErrorCode, Name, NodeId, Refusal};

const NOW: u64 = 1_795_219_200_000_000_000;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn ticket(addresses: &[&str]) -> Ticket {
    let inviter = NodeKey::from_published_seed(&[2; 32]).id();
    let addresses = addresses.iter().map(|address| (*address).into());
    Ticket::make([1; 32], inviter, addresses, NOW / SECOND + 900).expect("randomness")
}

#[test]
fn a_ticket_says_who_invites_where_and_until_when() {
    let ticket = ticket(&["10.0.0.5:7727", "[fd00::5]:7727"]);
    let text = ticket.to_string();
    assert!(text.starts_with("aicp-join:1"), "{text}");
    assert!(text.len() < 320, "a line or two that can be copied: {}", text.len());
    for carried in [text.clone(), text.to_uppercase(), format!("  {text}\n")] {
        let read: Ticket = carried.parse().expect("a ticket");
        assert_eq!(read, ticket);
        assert_eq!(read.key().public(), ticket.key().public(), "the same secret, and so the same key");
    }
    assert!(!ticket.has_expired(NOW + 900 * SECOND));
    assert!(ticket.has_expired(NOW + 901 * SECOND));
}

#[test]
fn no_two_tickets_have_the_same_key() {
    let keys: std::collections::BTreeSet<_> = (0..100).map(|_| ticket(&[]).key().guest()).collect();
    assert_eq!(keys.len(), 100);
}

#[test]
fn a_ticket_with_a_letter_changed_lost_added_or_swapped_is_refused() {
    let text = ticket(&["10.0.0.5:7727"]).to_string();
    let refused = |changed: &str| {
        assert!(changed == text || changed.parse::<Ticket>().is_err(), "{changed}");
    };
    for at in 0..text.len() {
        for letter in "qpzry9x8gf2tvdw0s3jn54khce6mua7l".chars() {
            let mut changed = text.clone();
            changed.replace_range(at..=at, &letter.to_string());
            refused(&changed);
        }
        refused(&[&text[..at], &text[at + 1..]].concat());
        refused(&[&text[..at], "q", &text[at..]].concat());
        refused(&text[..at]);
    }
    for at in 1..text.len() {
        let mut swapped = text.clone().into_bytes();
        swapped.swap(at - 1, at);
        refused(&String::from_utf8(swapped).expect("letters"));
    }
}

#[test]
fn what_is_no_ticket_is_named_as_what_it_is() {
    let node = NodeKey::from_published_seed(&[2; 32]).id().to_string();
    for (text, wanted) in [
        ("", TicketError::Prefix),
        ("hello", TicketError::Prefix),
        (node.as_str(), TicketError::Prefix),
        ("aicp-join:", TicketError::Checksum),
        ("aicp-join:1qqqqqqqq", TicketError::Checksum),
    ] {
        assert_eq!(text.parse::<Ticket>(), Err(wanted), "{text}");
    }
    assert_eq!(format!("aicp-join:1{}", "q".repeat(10_000)).parse::<Ticket>(), Err(TicketError::Form));
    let hrp = bech32::Hrp::parse("aicp-join:").expect("a prefix");
    let whole = |bytes: &[u8]| bech32::encode::<bech32::Bech32m>(hrp, bytes).expect("short");
    assert_eq!(whole(&[]).parse::<Ticket>(), Err(TicketError::Form));
    assert_eq!(whole(&[2; 200]).parse::<Ticket>(), Err(TicketError::Newer));
    let good = [&[1][..], &[3; 32 + 32 + 16 + 8]].concat();
    assert!(whole(&good).parse::<Ticket>().is_ok(), "no address at all");
    for cut in 1..good.len() {
        assert_eq!(whole(&good[..cut]).parse::<Ticket>(), Err(TicketError::Form), "{cut} bytes");
    }
    for address in [&[0][..], &[2, b'a'], &[1, 7], &[1, 0xff]] {
        assert_eq!(whole(&[&good, address].concat()).parse::<Ticket>(), Err(TicketError::Form), "{address:?}");
    }
    let seventeen = [&good[..], &[1, b'a'].repeat(17)].concat();
    assert_eq!(whole(&seventeen).parse::<Ticket>(), Err(TicketError::Form));
}

#[test]
fn printing_a_ticket_for_a_log_shows_no_secret() {
    let ticket = ticket(&["10.0.0.5:7727"]);
    let shown = format!("{ticket:?} {:?}", ticket.key());
    let text = ticket.to_string();
    assert!(shown.contains("10.0.0.5"), "{shown}");
    for at in 0..text.len() - 12 {
        assert!(!shown.contains(&text[at..at + 12]), "{shown}");
    }
    let bytes: Vec<u8> = {
        let (_, data) = bech32::decode(&text).expect("bech32");
        data[65..81].to_vec()
    };
    assert!(!shown.contains(&referee::hex::write(&bytes)) && !shown.contains(&format!("{bytes:?}")), "{shown}");
}

proptest! {
    #[test]
    fn whatever_a_ticket_says_is_read_as_it_was_written(
        mesh in any::<[u8; 32]>(),
        inviter in any::<[u8; 32]>(),
        addresses in prop::collection::vec("[a-z0-9.:\\[\\]é-]{1,100}", 0..17),
        expiry in any::<u64>(),
    ) {
        let inviter = NodeId::new(AgentId::new(inviter));
        let addresses: Vec<Box<str>> = addresses.into_iter().map(Into::into).collect();
        let ticket = Ticket::make(mesh, inviter, addresses.clone(), expiry).expect("randomness");
        let read: Ticket = ticket.to_string().parse().expect("a ticket");
        prop_assert_eq!(&read.addresses, &addresses);
        prop_assert_eq!(read, ticket);
    }

    #[test]
    fn whatever_a_newcomer_asks_is_read_as_it_was_written(
        mesh in any::<[u8; 32]>(),
        name in "[a-z0-9][a-z0-9._-]{0,62}",
        time in any::<u64>(),
    ) {
        let (ticket, node) = (ticket(&[]).key(), NodeKey::from_published_seed(&[3; 32]));
        let ask = JoinAsk { mesh, name: name.parse().expect("a name"), time, ..ask(&ticket, &node) };
        let signed = sign::join_ask(&ticket, &node, &ask).expect("signed");
        let signed = SignedAsk::read(signed.as_bytes().clone()).expect("its layout");
        let asked = verify::join_ask(&signed).expect("its signatures").into_inner();
        prop_assert_eq!((asked.ask, asked.ticket, asked.node), (ask, *ticket.public(), *node.public()));
    }
}

fn ask(ticket: &keys::ticket::TicketKey, node: &NodeKey) -> JoinAsk {
    JoinAsk {
        mesh: [1; 32],
        inviter: NodeKey::from_published_seed(&[2; 32]).id(),
        ticket_key: *ticket.public().as_bytes(),
        public_key: *node.public().as_bytes(),
        name: name("gamma"),
        time: NOW,
    }
}

#[test]
fn what_a_newcomer_asks_holds_only_as_it_was_signed_by_its_ticket_and_by_itself() {
    let (ticket, node) = (ticket(&[]).key(), NodeKey::make().expect("randomness"));
    let signed = sign::join_ask(&ticket, &node, &ask(&ticket, &node)).expect("signed");
    let good = signed.as_bytes().to_vec();
    let holds = |bytes: Vec<u8>| SignedAsk::read(bytes.into()).is_ok_and(|signed| verify::join_ask(&signed).is_ok());
    assert!(holds(good.clone()));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            assert!(!holds(changed), "byte {at}, bit {bit}");
        }
        assert!(!holds(good[..at].to_vec()), "{at} bytes");
    }
    assert!(!holds([&good[..], &[0]].concat()), "a byte too many");
}

#[test]
fn nobody_asks_with_a_ticket_or_for_a_key_that_is_not_theirs() {
    let (ours, others) = (ticket(&[]).key(), ticket(&[]).key());
    let (node, victim) = (NodeKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let ask = ask(&ours, &node);
    assert_eq!(sign::join_ask(&others, &node, &ask), Err(Refusal::WrongKey));
    assert_eq!(sign::join_ask(&ours, &victim, &ask), Err(Refusal::WrongKey));
    // The signatures of one question stand for no other.
    let signed = sign::join_ask(&ours, &node, &ask).expect("signed");
    let other = JoinAsk { name: name("alpha"), ..ask };
    let (by_ticket, by_node) = (signed.by_ticket().expect("there"), signed.by_node().expect("there"));
    let forged = SignedAsk::assemble(&other.write(), by_ticket, by_node).expect("its layout");
    assert_eq!(verify::join_ask(&forged).err(), Some(Refusal::RecordSignature));
    let swapped = SignedAsk::assemble(signed.body(), by_node, by_ticket).expect("its layout");
    assert_eq!(verify::join_ask(&swapped).err(), Some(Refusal::RecordSignature));
}

#[test]
fn who_has_seen_a_tickets_public_key_cannot_ask_with_it() {
    let (ticket, seed) = (ticket(&[]).key(), [0x45; 32]);
    let node = NodeKey::from_published_seed(&seed);
    let body = ask(&ticket, &node).write();
    let by_ticket = referee::forge::sign(&seed, &[Context::Enrol.as_bytes(), &body].concat());
    let by_node = referee::forge::sign(&seed, &[Context::Joiner.as_bytes(), &body, &by_ticket].concat());
    let forged = SignedAsk::assemble(&body, &by_ticket, &by_node).expect("its layout");
    assert_eq!(verify::join_ask(&forged).err(), Some(Refusal::RecordSignature));
}

/// A mesh, its inviter, a newcomer and the ticket between them.
struct Scene {
    authority: AuthorityKey,
    trust: AuthorityTrust,
    inviter: NodeKey,
    newcomer: NodeKey,
    ticket: Ticket,
}

impl Scene {
    fn new() -> Self {
        let authority = AuthorityKey::make().expect("randomness");
        let certificate = AuthorityCertificate::make(&authority, &name("lab"), NOW).expect("a certificate");
        let (inviter, newcomer) = (NodeKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
        let ticket = Ticket::make(authority.mesh(), inviter.id(), [], NOW / SECOND + 900).expect("randomness");
        Self { trust: AuthorityTrust::new(Arc::new(certificate)), authority, inviter, newcomer, ticket }
    }

    fn certificate(&self, node: &NodeKey, called: &str, now: u64) -> bytes::Bytes {
        let mesh = self.trust.authority();
        let der = certificate::of_node(&self.authority, mesh, node.public(), &name(called), now);
        der.expect("a certificate").to_vec().into()
    }

    fn record(&self, node: &NodeKey, called: &str) -> proto::record::CarriedRecord {
        let record = NodeRecord {
            public_key: *node.public().as_bytes(),
            name: name(called),
            addresses: vec![],
            links: vec![],
            certificate: Some(self.certificate(node, called, NOW)),
            sequence: NOW,
            expiry: NOW + 1,
        };
        sign::node_record(node, &record).expect("signed")
    }

    fn revoked(&self, authority: &AuthorityKey, nodes: &[NodeId]) -> proto::record::CarriedRecord {
        let list = Revocations { mesh: authority.mesh(), epoch: 1, nodes: nodes.iter().copied().collect() };
        sign::revocations(authority, &list).expect("signed")
    }

    fn answer(&self) -> Joined {
        Joined {
            authority: self.trust.authority().der().to_vec().into(),
            certificate: self.certificate(&self.newcomer, "gamma", NOW),
            revocations: Some(self.revoked(&self.authority, &[NodeId::new(AgentId::new([9; 32]))])),
            inviter: self.record(&self.inviter, "alpha"),
            time: NOW,
        }
    }

    fn judge(&self, joined: Joined, now: u64) -> Result<keys::join::Admission, JoinFault> {
        // As it travels.
        let carried = JoinAnswer::Joined(Box::new(joined)).write().expect("within its bound");
        let JoinAnswer::Joined(joined) = JoinAnswer::read(&carried).expect("an answer") else { panic!("refused") };
        self.ticket.admit(&joined, self.newcomer.public(), &name("gamma"), now)
    }

    fn fault(&self, joined: Joined) -> JoinFault {
        self.judge(joined, NOW).expect_err("refused")
    }
}

#[test]
fn a_newcomer_that_is_answered_knows_its_mesh_its_inviter_and_who_is_out() {
    let scene = Scene::new();
    let admission = scene.judge(scene.answer(), NOW).expect("a member");
    assert_eq!(admission.trust.mesh(), scene.ticket.mesh);
    assert_eq!(admission.trust.authority().name().as_str(), "lab");
    assert_eq!(admission.inviter.get().key.node_id(), scene.inviter.id());
    assert_eq!(admission.trust.revoked, [NodeId::new(AgentId::new([9; 32]))].into());
    assert!(admission.about.validity.contains(NOW + CERTIFICATE_LIFE));
    assert!(!admission.about.validity.contains(NOW + CERTIFICATE_LIFE + SECOND));
    let none = scene.judge(Joined { revocations: None, ..scene.answer() }, NOW).expect("a member");
    assert!(none.trust.revoked.is_empty() && none.revocations.is_none());
}

#[test]
fn an_answer_that_is_not_from_the_mesh_of_the_ticket_makes_nobody_a_member() {
    let (scene, other) = (Scene::new(), Scene::new());
    assert_eq!(scene.fault(other.answer()), JoinFault::OtherMesh);
    let mixed = Joined { authority: scene.answer().authority, ..other.answer() };
    assert_eq!(scene.fault(Joined { revocations: None, ..mixed }), CertificateFault::Issuer.into());
    let inviter = Joined { inviter: other.record(&scene.inviter, "alpha"), ..scene.answer() };
    assert_eq!(scene.fault(inviter), JoinFault::Inviter);
    let list = Joined { revocations: Some(scene.revoked(&other.authority, &[])), ..scene.answer() };
    assert_eq!(scene.fault(list), JoinFault::Revocations);
}

#[test]
fn an_answer_for_another_key_another_name_or_by_another_inviter_makes_nobody_a_member() {
    let scene = Scene::new();
    let certificate = scene.certificate(&scene.inviter, "gamma", NOW);
    assert_eq!(scene.fault(Joined { certificate, ..scene.answer() }), JoinFault::OtherNode);
    let certificate = scene.certificate(&scene.newcomer, "alpha", NOW);
    assert_eq!(scene.fault(Joined { certificate, ..scene.answer() }), JoinFault::OtherNode);
    let inviter = scene.record(&NodeKey::make().expect("randomness"), "alpha");
    assert_eq!(scene.fault(Joined { inviter, ..scene.answer() }), JoinFault::Inviter);
    let revocations = Some(scene.revoked(&scene.authority, &[scene.inviter.id()]));
    assert_eq!(scene.fault(Joined { revocations, ..scene.answer() }), JoinFault::Inviter);
    let revocations = Some(scene.revoked(&scene.authority, &[scene.newcomer.id()]));
    assert_eq!(scene.fault(Joined { revocations, ..scene.answer() }), CertificateFault::Revoked.into());
}

#[test]
fn a_clock_that_is_ten_minutes_off_is_named_as_such_and_nothing_else_is() {
    let scene = Scene::new();
    assert!(scene.judge(scene.answer(), NOW + 590 * SECOND).is_ok());
    assert!(scene.judge(scene.answer(), NOW - 590 * SECOND).is_ok());
    let ahead = scene.judge(scene.answer(), NOW + 3600 * SECOND).expect_err("a wrong clock");
    assert_eq!(ahead, JoinFault::Clock { seconds: 3600, is_ahead: true });
    assert!(ahead.to_string().contains("clock is 3600 s ahead of"), "{ahead}");
    let behind = scene.judge(scene.answer(), NOW - 3600 * SECOND).expect_err("a wrong clock");
    assert_eq!(behind, JoinFault::Clock { seconds: 3600, is_ahead: false });
    let expired = scene.certificate(&scene.newcomer, "gamma", NOW - CERTIFICATE_LIFE - SECOND);
    assert_eq!(scene.fault(Joined { certificate: expired, ..scene.answer() }), CertificateFault::Expired.into());
}

#[test]
fn an_answer_is_whole_or_it_is_none() {
    let scene = Scene::new();
    let refused = JoinAnswer::Refused { code: ErrorCode::POLICY, words: "used before".into(), time: NOW };
    for answer in [JoinAnswer::Joined(Box::new(scene.answer())), refused] {
        let bytes = answer.write().expect("within its bound");
        assert_eq!(JoinAnswer::read(&bytes), Ok(answer));
        for cut in 0..bytes.len() {
            assert!(JoinAnswer::read(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        assert!(JoinAnswer::read(&[&bytes[..], &[0xc0]].concat()).is_err());
    }
}
