//! Who belongs to a mesh proves it by its record alone, whoever passes it on; and who is out is said by the authority
//! alone.

use std::sync::Arc;

use keys::{AuthorityCertificate, AuthorityKey, AuthorityTrust, NodeKey, certificate, sign, verify};
use proptest::prelude::*;
use proto::limits::{CERTIFICATE_LIFE, HOUR, REVOKED_MAX, SECOND};
use proto::member::{MemberMessage, MemberSaid, Validity};
use proto::record::{CarriedRecord, NodeRecord, RecordKind, Revocations};
use proto::{AgentId, ErrorCode, NodeId, Refusal};

const NOW: u64 = 1_795_219_200_000_000_000;

struct Mesh {
    key: AuthorityKey,
    trust: AuthorityTrust,
}

fn mesh() -> Mesh {
    let key = AuthorityKey::make().expect("randomness");
    let name = "lab".parse().expect("a name");
    let certificate = AuthorityCertificate::make(&key, &name, NOW).expect("a certificate");
    Mesh { trust: AuthorityTrust::new(Arc::new(certificate)), key }
}

impl Mesh {
    fn certificate(&self, node: &NodeKey, called: &str) -> bytes::Bytes {
        let name = called.parse().expect("a name");
        let der = certificate::of_node(&self.key, self.trust.authority(), node.public(), &name, NOW);
        der.expect("a certificate").to_vec().into()
    }

    fn record(&self, node: &NodeKey) -> NodeRecord {
        NodeRecord {
            public_key: *node.public().as_bytes(),
            name: "alpha".parse().expect("a name"),
            addresses: vec!["10.0.0.5:7727".into()],
            links: vec![],
            certificate: Some(self.certificate(node, "alpha")),
            sequence: NOW,
            expiry: NOW + 7 * 24 * HOUR,
        }
    }

    fn judge(&self, node: &NodeKey, record: &NodeRecord) -> Result<(), Refusal> {
        let carried = sign::node_record(node, record).expect("signed");
        verify::member_record(carried, &self.trust).map(drop)
    }
}

#[test]
fn a_members_record_proves_by_itself_that_it_belongs() {
    let (mesh, node) = (mesh(), NodeKey::make().expect("randomness"));
    let record = mesh.record(&node);
    let carried = sign::node_record(&node, &record).expect("signed");
    let arrived = CarriedRecord::read(carried.as_bytes().clone()).expect("its layout");
    let attested = verify::member_record(arrived, &mesh.trust).expect("a member").into_inner();
    assert_eq!((attested.record, attested.key), (record, *node.public()));
    assert_eq!(attested.carried, carried, "what is passed on is what was signed");
}

#[test]
fn a_record_without_the_authoritys_word_for_this_key_and_this_name_is_no_members() {
    let (ours, others) = (mesh(), mesh());
    let (node, thief) = (NodeKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let good = ours.record(&node);
    assert_eq!(ours.judge(&node, &good), Ok(()));
    let self_signed = certificate::self_signed(&node, &good.name).expect("a certificate").to_vec();
    for certificate in [
        None,
        Some(others.certificate(&node, "alpha")),
        Some(ours.certificate(&thief, "alpha")),
        Some(ours.certificate(&node, "beta")),
        Some(self_signed.into()),
        Some(ours.trust.authority().der().to_vec().into()),
        Some(bytes::Bytes::new()),
    ] {
        let wrong = NodeRecord { certificate, ..good.clone() };
        assert_eq!(ours.judge(&node, &wrong), Err(Refusal::Certificate));
    }
    // Whoever has a member's certificate still has not its key.
    let stolen = NodeRecord { public_key: *thief.public().as_bytes(), ..good };
    assert_eq!(ours.judge(&thief, &stolen), Err(Refusal::Certificate));
}

#[test]
fn a_members_record_counts_no_longer_than_its_certificate() {
    let (mesh, node) = (mesh(), NodeKey::make().expect("randomness"));
    let good = mesh.record(&node);
    let not_after = NOW + CERTIFICATE_LIFE;
    assert_eq!(mesh.judge(&node, &NodeRecord { expiry: not_after, ..good.clone() }), Ok(()));
    assert_eq!(mesh.judge(&node, &NodeRecord { expiry: not_after + 1, ..good.clone() }), Err(Refusal::Certificate));
    // One who leaves says so with a record that is over at once.
    assert_eq!(mesh.judge(&node, &NodeRecord { expiry: NOW, ..good }), Ok(()));
}

#[test]
fn no_bit_of_a_members_record_can_be_changed_on_its_way() {
    let (mesh, node) = (mesh(), NodeKey::make().expect("randomness"));
    let carried = sign::node_record(&node, &mesh.record(&node)).expect("signed").as_bytes().to_vec();
    for at in 0..carried.len() {
        let mut changed = carried.clone();
        changed[at] ^= 1 << (at % 8);
        let taken = CarriedRecord::read(changed.into()).and_then(|record| verify::member_record(record, &mesh.trust));
        assert!(taken.is_err(), "byte {at}");
    }
}

#[test]
fn what_a_certificate_says_can_be_read_back() {
    let (mesh, node) = (mesh(), NodeKey::make().expect("randomness"));
    let about = certificate::read(&mesh.certificate(&node, "10.0.0.5")).expect("readable");
    assert_eq!((about.key, about.name.as_str()), (*node.public(), "10.0.0.5"));
    assert_eq!(about.validity, Validity::of_node(NOW));
    assert_eq!(mesh.trust.mesh(), mesh.key.mesh());
    assert_eq!(mesh.trust.authority().name().as_str(), "lab");
    let again = AuthorityCertificate::read(mesh.trust.authority().der().clone()).expect("its own word");
    assert_eq!(again.validity(), Validity::of_authority(NOW));
    assert_eq!(&again, mesh.trust.authority());
}

#[test]
fn an_authoritys_certificate_that_its_key_did_not_sign_is_none() {
    let mesh = mesh();
    let good = mesh.trust.authority().der().to_vec();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        let read = AuthorityCertificate::read(changed.into());
        assert!(read.is_err(), "byte {at}");
    }
}

#[test]
fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_warned_about_after_five_sixths() {
    let validity = Validity { not_before: NOW, not_after: NOW + 30 * 24 * HOUR };
    assert_eq!(validity.renew_at(), NOW + 20 * 24 * HOUR);
    assert_eq!(validity.warn_at(), NOW + 25 * 24 * HOUR);
    assert!(validity.contains(NOW) && validity.contains(NOW + 30 * 24 * HOUR));
    assert!(!validity.contains(NOW - 1) && !validity.contains(NOW + 30 * 24 * HOUR + 1));
}

fn nodes(count: u32) -> std::collections::BTreeSet<NodeId> {
    (0..count)
        .map(|number| {
            let mut id = [0x55; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            NodeId::new(AgentId::new(id))
        })
        .collect()
}

#[test]
fn who_is_out_is_said_by_the_authority_and_by_nobody_else() {
    let (ours, other) = (mesh(), mesh());
    let list = Revocations { mesh: ours.key.mesh(), epoch: 3, nodes: nodes(2) };
    let carried = sign::revocations(&ours.key, &list).expect("signed");
    let attested = verify::revocations(carried.clone(), ours.key.public()).expect("attested").into_inner();
    assert_eq!((attested.record, attested.carried), (list.clone(), carried.clone()));
    assert_eq!(sign::revocations(&other.key, &list), Err(Refusal::WrongKey));
    assert_eq!(verify::revocations(carried.clone(), other.key.public()).err(), Some(Refusal::WrongKey));
    let bytes = carried.as_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        let taken = CarriedRecord::read(changed.into()).and_then(|list| verify::revocations(list, ours.key.public()));
        assert!(taken.is_err(), "byte {at}");
    }
    // The same bytes as another kind of record, or signed for another purpose, say nothing.
    let node = NodeKey::make().expect("randomness");
    let record = sign::node_record(&node, &ours.record(&node)).expect("signed");
    assert_eq!(verify::revocations(record, ours.key.public()).err(), Some(Refusal::RecordForm));
    assert_eq!(verify::node_record(carried).err(), Some(Refusal::RecordForm));
}

#[test]
fn a_list_of_those_who_are_out_holds_900_of_them_and_never_one_more() {
    let mesh = mesh();
    let list = |count| Revocations { mesh: mesh.key.mesh(), epoch: 1, nodes: nodes(count) };
    let longest = sign::revocations(&mesh.key, &list(REVOKED_MAX)).expect("signed");
    assert_eq!(longest.kind(), RecordKind::Revocations);
    assert!(verify::revocations(longest, mesh.key.public()).is_ok());
    assert_eq!(sign::revocations(&mesh.key, &list(REVOKED_MAX + 1)), Err(Refusal::RecordValue));
}

fn said() -> impl Strategy<Value = MemberSaid> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..500).prop_map(bytes::Bytes::from);
    prop_oneof![
        Just(MemberSaid::Holder),
        (any::<[u8; 32]>(), any::<u64>()).prop_map(|(ticket_key, expiry)| MemberSaid::Invite { ticket_key, expiry }),
        Just(MemberSaid::Invited),
        bytes().prop_map(|ask| MemberSaid::Join { ask }),
        bytes().prop_map(|answer| MemberSaid::Joined { answer }),
        Just(MemberSaid::Renew),
        bytes().prop_map(|certificate| MemberSaid::Renewed { certificate }),
        Just(MemberSaid::ShareOffer),
        (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(public, one, two)| {
            MemberSaid::ShareWanted { public, signature: [one, two].concat().try_into().expect("64 bytes") }
        }),
        bytes().prop_map(|sealed| MemberSaid::Share { sealed }),
        Just(MemberSaid::ShareTaken),
        (4000_u16..6000, "[^\\p{Cc}]{0,100}").prop_map(|(code, words)| {
            MemberSaid::Refused { code: ErrorCode::new(code).expect("a code"), words: words.into() }
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_members_say_is_read_as_it_was_written(request in any::<u64>(), said in said()) {
        let message = MemberMessage { request, said };
        prop_assert_eq!(MemberMessage::read(&message.write()), Some(message));
    }

    #[test]
    fn whatever_dates_a_certificate_has_are_read_as_they_were_written(
        // From 1970 to the end of the clock's 64 bits, in 2554: over the years where the form of the dates changes.
        now in SECOND * 600..u64::MAX - CERTIFICATE_LIFE,
    ) {
        let (key, node) = (AuthorityKey::from_published_seed(&[1; 32]), NodeKey::from_published_seed(&[2; 32]));
        let name = "lab".parse().expect("a name");
        let authority = AuthorityCertificate::make(&key, &name, NOW).expect("a certificate");
        let der = certificate::of_node(&key, &authority, node.public(), &name, now).expect("a certificate");
        prop_assert_eq!(certificate::read(&der).expect("readable").validity, Validity::of_node(now));
    }
}
