//! What lies in a daemon's journal: each entry comes back as it was written, and bytes that are none are refused.

use bytes::Bytes;
use proptest::prelude::*;
use proto::entry::{DeadLetter, Entry, EntryNumber, Letter, Mark, Parts, Place, Received, Stub};
use proto::{AgentId, ContentType, FlowId, MessageId, MessageType, Metadata, NodeId};

fn id() -> impl Strategy<Value = AgentId> {
    any::<[u8; 32]>().prop_map(AgentId::new)
}

fn letter() -> impl Strategy<Value = Letter> {
    let types = prop_oneof![
        Just(MessageType::Request),
        Just(MessageType::Response),
        Just(MessageType::Ack),
        Just(MessageType::Error),
        Just(MessageType::Broadcast),
    ];
    let contents = prop_oneof![Just(ContentType::None), Just(ContentType::Json), Just(ContentType::Named)];
    (id(), id(), any::<u64>(), types, contents, any::<[u64; 2]>(), any::<[bool; 2]>()).prop_map(
        |(source, destination, id, message_type, content_type, [timestamp, expiry], [handled_wanted, again])| Letter {
            source,
            destination,
            id: MessageId::new(id),
            message_type,
            content_type,
            timestamp,
            expiry,
            handled_wanted,
            again,
        },
    )
}

fn place() -> impl Strategy<Value = Place> {
    (1..=i64::MAX as u64, any::<u32>())
        .prop_map(|(flow, sequence)| Place { flow: FlowId::new(flow).expect("in range"), sequence })
}

fn parts() -> impl Strategy<Value = Parts> {
    (any::<Option<u64>>(), proptest::collection::vec(any::<u8>(), 0..200)).prop_map(|(expiry, body)| {
        // One entry: the expiry, as an agent may set it.
        let metadata = expiry.map_or_else(Bytes::new, |expiry| {
            let mut map = vec![0x81, 2, 0xcf];
            map.extend_from_slice(&expiry.to_be_bytes());
            map.into()
        });
        Parts { metadata: Metadata::read(metadata).expect("a map"), body: body.into() }
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let received = (letter(), any::<u64>(), id(), any::<u8>(), any::<bool>(), parts());
    prop_oneof![
        (letter(), place(), parts()).prop_map(|(letter, place, parts)| Entry::Owned { letter, place, parts }),
        (any::<u64>(), place()).prop_map(|(entry, place)| Entry::Moved(EntryNumber::new(entry), place)),
        received.prop_map(|(letter, received, node, hops, marked, parts)| Entry::Received {
            received: Received { letter, received, source_node: NodeId::new(node), hops, marked },
            parts,
        }),
        (id(), id(), any::<[u64; 2]>(), any::<bool>()).prop_map(|(source, destination, [id, expiry], is_request)| {
            Entry::Stub(Stub { source, destination, id: MessageId::new(id), expiry, is_request })
        }),
        (id(), id(), place(), any::<u64>()).prop_map(|(source, destination, place, keep_until)| Entry::Mark(Mark {
            source,
            destination,
            place,
            keep_until,
        })),
        any::<u64>().prop_map(Entry::Birth),
        any::<u64>().prop_map(Entry::MarksDropped),
        any::<u64>().prop_map(Entry::ClockSuspended),
        any::<u64>().prop_map(Entry::Clock),
        (any::<[u64; 2]>(), any::<u16>()).prop_map(|([entry, since], code)| Entry::Died {
            entry: EntryNumber::new(entry),
            code,
            since
        }),
        any::<[u64; 3]>().prop_map(|[entry, timestamp, expiry]| Entry::Revived {
            entry: EntryNumber::new(entry),
            timestamp,
            expiry
        }),
        proptest::collection::vec(any::<u64>().prop_map(EntryNumber::new), 0..20).prop_map(Entry::Delivered),
        (letter(), any::<u16>(), any::<u64>(), parts())
            .prop_map(|(letter, code, since, parts)| Entry::Dead { dead: DeadLetter { letter, code, since }, parts }),
    ]
}

/// An entry has no equality of its own: what it says is all that can be seen of it.
fn shown(entry: &Entry) -> (String, Option<(Bytes, Bytes)>) {
    let parts = match entry {
        Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => {
            Some((parts.metadata.as_bytes().clone(), parts.body.clone()))
        }
        Entry::Moved(..)
        | Entry::Stub(_)
        | Entry::Mark(_)
        | Entry::Record(_)
        | Entry::Birth(_)
        | Entry::MarksDropped(_)
        | Entry::Delivered(_)
        | Entry::ClockSuspended(_)
        | Entry::Died { .. }
        | Entry::Revived { .. }
        | Entry::Clock(_) => None,
    };
    (format!("{entry:?}"), parts)
}

proptest! {
    #[test]
    fn every_entry_of_the_journal_comes_back_as_it_was_written(entry in entry()) {
        let again = Entry::read(entry.write()).expect("what was written can be read");
        prop_assert_eq!(shown(&entry), shown(&again));
    }

    #[test]
    fn an_entry_that_was_cut_short_is_refused_or_a_shorter_one(entry in entry(), cut in any::<prop::sample::Index>()) {
        let bytes = entry.write();
        let bytes = bytes.slice(..cut.index(bytes.len()));
        // Bodies and lists have no length of their own: the record around them has one, and a checksum.
        if let Ok(shorter) = Entry::read(bytes.clone()) {
            prop_assert_eq!(shorter.write(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_an_entry_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(entry) = Entry::read(bytes.clone().into()) {
            // Flags may have bits that nobody reads; all else is written again as it stood.
            prop_assert_eq!(entry.write().len(), bytes.len());
        }
    }
}

#[test]
fn a_form_that_is_not_known_is_refused_by_name() {
    let mut bytes = Entry::Birth(7).write().to_vec();
    bytes[1] = 2;
    assert_eq!(Entry::read(bytes.into()).expect_err("a later form").what, "form");
}

/// The kinds that vectors must show: a kind that is added to the code stands here too.
const KINDS: [&str; 14] = [
    "owned",
    "moved",
    "received",
    "stub",
    "mark",
    "record",
    "birth",
    "marks dropped",
    "delivered",
    "dead",
    "clock suspended",
    "died",
    "revived",
    "clock",
];

#[test]
fn every_entry_that_any_version_wrote_says_the_same_today() {
    let text = std::fs::read_to_string(referee::root().join("tests/fixtures/entries.json")).expect("the fixture");
    let mut kinds = std::collections::BTreeSet::new();
    for case in referee::judge::cases(&text) {
        let name = &case["name"];
        let bytes: Bytes = referee::hex::read(case["entry"].as_str().expect("hex")).into();
        let entry = Entry::read(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A later form may say more: what was said then is still said.
        let today = referee::show::entry(&entry);
        for (field, said) in case["says"].as_object().expect("an object") {
            assert_eq!(&today[field], said, "{name}: {field}");
        }
        let again = entry.write();
        assert_eq!(referee::show::entry(&Entry::read(again.clone()).expect("readable")), today, "{name}");
        // An entry of an older form is written in a newer one; of the same form, every byte is the same.
        assert!(again[..2] != bytes[..2] || again == bytes, "{name}: written otherwise in the same form");
        kinds.insert(entry.name());
    }
    assert_eq!(kinds, std::collections::BTreeSet::from(KINDS));
}
