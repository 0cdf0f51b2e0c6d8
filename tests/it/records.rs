//! Records that we sign ourselves: they are attested where they arrive, and nobody signs for another.

use bytes::Bytes;
use keys::{AgentKey, NodeKey, sign, verify};
use proptest::prelude::*;
use proto::Refusal;
use proto::record::{AgentRecord, CarriedRecord, NodeRecord, RecordKind};

fn agent_record(agent: &AgentKey, host: &NodeKey) -> AgentRecord {
    AgentRecord {
        public_key: *agent.public().as_bytes(),
        name: "writer".parse().expect("a name"),
        capabilities: vec!["write".into()],
        topics: vec![],
        prekey: Some(([7; 32], 99)),
        host: host.id(),
        chain: vec![],
        sequence: 5,
        expiry: 6,
    }
}

fn node_record(node: &NodeKey) -> NodeRecord {
    NodeRecord {
        public_key: *node.public().as_bytes(),
        name: "alpha".parse().expect("a name"),
        addresses: vec!["10.0.0.5:7727".into()],
        links: vec![],
        certificate: None,
        sequence: 5,
        expiry: 6,
    }
}

#[test]
fn a_record_signed_here_is_attested_where_it_arrives() {
    let (agent, host) = (AgentKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let record = agent_record(&agent, &host);
    let carried = sign::agent_record(&agent, &host, &record).expect("signed");
    let arrived = CarriedRecord::read(carried.as_bytes().clone()).expect("a record");
    let attested = verify::agent_record(arrived, host.public()).expect("attested").into_inner();
    assert_eq!((attested.record, attested.key.id()), (record, agent.id()));
    assert_eq!(attested.carried, carried, "what is passed on is what was signed");

    let record = node_record(&host);
    let carried = sign::node_record(&host, &record).expect("signed");
    assert_eq!(verify::node_record(carried).expect("attested").into_inner().record, record);
}

#[test]
fn every_bit_of_a_record_is_signed() {
    let (agent, host) = (AgentKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let of_agent = sign::agent_record(&agent, &host, &agent_record(&agent, &host)).expect("signed");
    let of_node = sign::node_record(&host, &node_record(&host)).expect("signed");
    let takes = |bytes: Vec<u8>| match CarriedRecord::read(bytes.into()) {
        Ok(carried) if carried.kind() == RecordKind::Agent => verify::agent_record(carried, host.public()).is_ok(),
        Ok(carried) => verify::node_record(carried).is_ok(),
        Err(_) => false,
    };
    for carried in [of_agent, of_node] {
        let good = carried.as_bytes().to_vec();
        assert!(takes(good.clone()));
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                assert!(!takes(changed), "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn nobody_signs_a_record_about_another() {
    let (agent, host) = (AgentKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let (stranger, elsewhere) = (AgentKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let record = agent_record(&agent, &host);
    assert_eq!(sign::agent_record(&stranger, &host, &record).err(), Some(Refusal::WrongKey));
    assert_eq!(sign::agent_record(&agent, &elsewhere, &record).err(), Some(Refusal::WrongKey));
    assert_eq!(sign::node_record(&elsewhere, &node_record(&host)).err(), Some(Refusal::WrongKey));
}

#[test]
fn a_record_that_nobody_would_read_is_not_signed() {
    let (agent, host) = (AgentKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let good = agent_record(&agent, &host);
    let long: Box<str> = "x".repeat(65).into();
    for wrong in [
        AgentRecord { capabilities: vec![long.clone()], ..good.clone() },
        AgentRecord { capabilities: vec!["".into()], ..good.clone() },
        AgentRecord { capabilities: vec!["a".into(); 33], ..good.clone() },
        AgentRecord { topics: vec!["\u{1b}[31m".into()], ..good.clone() },
        AgentRecord { chain: vec![Bytes::from(vec![0; 16_385])], ..good.clone() },
        AgentRecord { chain: vec![Bytes::new(); 5], ..good },
    ] {
        assert_eq!(sign::agent_record(&agent, &host, &wrong).err(), Some(Refusal::RecordValue));
    }
    let good = node_record(&host);
    for wrong in [
        NodeRecord { addresses: vec!["a".into(); 17], ..good.clone() },
        NodeRecord { links: vec![host.id(); 513], ..good },
    ] {
        assert_eq!(sign::node_record(&host, &wrong).err(), Some(Refusal::RecordValue));
    }
}

proptest! {
    #[test]
    fn whatever_a_record_says_is_read_as_it_was_written(
        name in "[a-z0-9][a-z0-9._-]{0,62}",
        capabilities in prop::collection::vec("[^\\p{Cc}]{1,16}", 0..33),
        topics in prop::collection::vec("[a-z]{1,255}", 0..65),
        prekey in proptest::option::of((any::<[u8; 32]>(), any::<u64>())),
        chain in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4000), 0..5),
        sequence in any::<u64>(),
        expiry in any::<u64>(),
    ) {
        let (agent, host) = (AgentKey::from_published_seed(&[1; 32]), NodeKey::from_published_seed(&[2; 32]));
        let record = AgentRecord {
            name: name.parse().expect("a name"),
            capabilities: capabilities.into_iter().map(Into::into).collect(),
            topics: topics.into_iter().map(Into::into).collect(),
            prekey,
            chain: chain.into_iter().map(Bytes::from).collect(),
            sequence,
            expiry,
            ..agent_record(&agent, &host)
        };
        match record.write() {
            Ok(body) => prop_assert_eq!(AgentRecord::read(&body), Ok(record)),
            // Each list is within its bound; all together they may exceed the record's.
            Err(refusal) => prop_assert_eq!(refusal, Refusal::RecordForm),
        }
    }
}
