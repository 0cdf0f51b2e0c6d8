//! What is sealed can be opened by its prekey and by nothing else, for as long as the prekey is kept and no longer.

use keys::seal::SealError;
use keys::store_key::{Credential, StoreKey};
use keys::{AgentKey, Prekeys, Sealer, verify};
use proptest::prelude::*;
use proto::metadata::MetadataDraft;
use proto::{ContentType, Draft, Frame, MessageId, MessageType, Receipt, Refusal, Sequence, Shape, limits};

const NOW: u64 = 1_795_219_200_000_000_000;

struct Pair {
    source: AgentKey,
    prekeys: Prekeys,
    sealer: Sealer,
    draft: Draft,
}

fn pair() -> Pair {
    let source = AgentKey::make().expect("randomness");
    let destination = AgentKey::make().expect("randomness").id();
    let mut prekeys = Prekeys::new(destination);
    let prekey = prekeys.make(NOW).expect("there is room");
    let sealer = Sealer::new(source.id(), destination, prekey, 0).expect("a sound prekey");
    let draft = Draft {
        message_type: MessageType::Request,
        shape: Shape::Once,
        id: MessageId::new(1),
        timestamp: NOW,
        source: source.id(),
        destination,
        content_type: ContentType::Octets,
        hops: 4,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    };
    Pair { source, prekeys, sealer, draft }
}

impl Pair {
    fn seal(&mut self, body: &[u8]) -> Frame {
        self.sealer.seal(&self.source, &self.draft, &MetadataDraft::default(), body, 0).expect("sealed")
    }

    fn open(&mut self, frame: Frame, now: u64) -> Result<Vec<u8>, Refusal> {
        let verified = verify::frame(frame, self.source.public())?;
        Ok(verify::open(verified, &mut self.prekeys, now)?.into_inner().body.to_vec())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_sealed_comes_out_as_it_went_in(
        body in prop::collection::vec(any::<u8>(), 0..40_000),
        subject in "[a-z ]{1,40}",
        key in "[a-zA-Z]{1,20}",
        number in any::<u64>(),
    ) {
        let mut pair = pair();
        let value = [&[0xcf][..], &number.to_be_bytes()].concat();
        let application = [(key.as_str(), value.as_slice())];
        let metadata = MetadataDraft { subject: Some(&subject), expiry: Some(number), application: &application, ..Default::default() };
        let frame = pair.sealer.seal(&pair.source, &pair.draft, &metadata, &body, 0).expect("sealed");
        let plain_in_sight = body.len() > 8 && frame.as_bytes().windows(body.len()).any(|window| window == body);
        prop_assert!(!plain_in_sight);
        let verified = verify::frame(frame, pair.source.public()).expect("signed");
        let content = verify::open(verified, &mut pair.prekeys, NOW).expect("opened").into_inner();
        prop_assert_eq!(&content.body[..], &body[..]);
        prop_assert_eq!(content.metadata.subject(), Some(subject.as_str()));
        prop_assert_eq!(content.metadata.expiry(), Some(number));
        prop_assert_eq!(content.metadata.application().collect::<Vec<_>>(), vec![(key.as_str(), value.as_slice())]);
    }
}

#[test]
fn an_erased_prekey_opens_nothing_even_what_it_has_opened_before() {
    let mut pair = pair();
    let frame = pair.seal(b"soon closed");
    assert_eq!(pair.open(frame.clone(), NOW).as_deref(), Ok(&b"soon closed"[..]));
    let id = pair.sealer.prekey().id();
    assert!(pair.prekeys.erase(id));
    assert_eq!(pair.open(frame, NOW), Err(Refusal::UnknownPrekey));
    assert!(!pair.prekeys.erase(id));
}

#[test]
fn a_prekey_past_its_last_moment_is_refused_and_a_newer_one_beside_it_is_not() {
    let mut pair = pair();
    let late = pair.seal(b"late");
    let newer = pair.prekeys.make(NOW + 100).expect("there is room");
    let destination = pair.draft.destination;
    pair.sealer = Sealer::new(pair.source.id(), destination, newer, 0).expect("a sound prekey");
    let in_time = pair.seal(b"in time");
    assert_eq!(pair.open(late.clone(), NOW).as_deref(), Ok(&b"late"[..]));
    assert_eq!(pair.open(late, NOW + 1), Err(Refusal::ExpiredPrekey));
    assert_eq!(pair.open(in_time, NOW + 1).as_deref(), Ok(&b"in time"[..]));
}

#[test]
fn what_is_addressed_to_one_agent_is_not_opened_by_anothers_prekey() {
    let mut pair = pair();
    let elsewhere = AgentKey::make().expect("randomness").id();
    pair.sealer = Sealer::new(pair.source.id(), elsewhere, *pair.sealer.prekey(), 0).expect("a sound prekey");
    pair.draft.destination = elsewhere;
    let misaddressed = pair.seal(b"for another");
    assert_eq!(pair.open(misaddressed, NOW), Err(Refusal::UnknownPrekey));
}

#[test]
fn no_two_frames_of_a_sealer_share_a_nonce() {
    let mut pair = pair();
    let mut seen = std::collections::BTreeSet::new();
    // Past several draws from the operating system.
    for _ in 0..limits::NONCES_PER_DRAW * 3 + 5 {
        assert!(seen.insert(*pair.seal(b"").nonce().expect("signed")));
    }
}

#[test]
fn a_sealer_ends_after_ten_minutes_instead_of_wearing_out() {
    let mut pair = pair();
    assert!(!pair.sealer.is_spent(limits::EPHEMERAL_LIFE_MAX));
    let spent = limits::EPHEMERAL_LIFE_MAX + 1;
    let outcome = pair.sealer.seal(&pair.source, &pair.draft, &MetadataDraft::default(), b"", spent);
    assert_eq!(outcome.err(), Some(SealError::Spent));
}

#[test]
fn a_sealer_serves_its_own_two_ends_only() {
    let mut pair = pair();
    let stranger = AgentKey::make().expect("randomness");
    let to_other = Draft { destination: stranger.id(), ..pair.draft };
    for (key, draft) in
        [(&pair.source, to_other), (&stranger, pair.draft), (&stranger, Draft { source: stranger.id(), ..pair.draft })]
    {
        let outcome = pair.sealer.seal(key, &draft, &MetadataDraft::default(), b"", 0);
        assert_eq!(outcome.err(), Some(SealError::OtherEnds));
    }
}

#[test]
fn a_body_beyond_its_bound_is_refused_before_it_is_sealed() {
    let mut pair = pair();
    let most = vec![0; limits::BODY_BYTES_MAX];
    let frame = pair.seal(&most);
    assert_eq!(pair.open(frame, NOW).map(|body| body.len()), Ok(limits::BODY_BYTES_MAX));
    // The bound of the header leaves room for the longest metadata; the body's own is judged when it is read.
    let over = vec![0; limits::BODY_BYTES_MAX + 1];
    let frame = pair.seal(&over);
    assert_eq!(pair.open(frame, NOW), Err(Refusal::TooLarge));
    let far_over = vec![0; limits::PLAIN_BYTES_MAX];
    let outcome = pair.sealer.seal(&pair.source, &pair.draft, &MetadataDraft::default(), &far_over, 0);
    assert_eq!(outcome.err(), Some(SealError::Refused(Refusal::TooLarge)));
}

#[test]
fn more_sources_than_are_remembered_are_all_still_opened() {
    let mut pair = pair();
    let (destination, prekey) = (pair.draft.destination, *pair.sealer.prekey());
    let mut frames = Vec::new();
    for _ in 0..limits::AGREEMENTS_KEPT_MAX + 10 {
        pair.sealer = Sealer::new(pair.source.id(), destination, prekey, 0).expect("a sound prekey");
        frames.push(pair.seal(b"one of many"));
    }
    for _ in 0..2 {
        for frame in &frames {
            assert_eq!(pair.open(frame.clone(), NOW).as_deref(), Ok(&b"one of many"[..]));
        }
    }
    let remembered = format!("agreements: {}", limits::AGREEMENTS_KEPT_MAX);
    assert!(format!("{:?}", pair.prekeys).contains(&remembered), "{:?}", pair.prekeys);
}

#[test]
fn what_a_store_key_seals_opens_only_in_its_own_place_on_its_own_day() {
    let credential = Credential::make().expect("randomness");
    let mut today = StoreKey::make().expect("randomness");
    let sealed = today.seal(b"record 7", b"a body at rest").expect("sealed");
    assert!(!sealed.windows(6).any(|window| window == b"a body"));
    let wrapped = today.wrap(&credential, 20_413).expect("wrapped");
    drop(today);

    let back = StoreKey::unwrap(&wrapped, &credential, 20_413).expect("the same day");
    assert_eq!(back.open(b"record 7", &sealed).as_deref(), Ok(&b"a body at rest"[..]));
    assert!(back.open(b"record 8", &sealed).is_err());
    for at in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        assert!(back.open(b"record 7", &changed).is_err(), "byte {at}");
    }
    assert!(back.open(b"record 7", &sealed[..20]).is_err());
    assert!(StoreKey::unwrap(&wrapped, &credential, 20_414).is_err());
    assert!(StoreKey::unwrap(&wrapped, &Credential::make().expect("randomness"), 20_413).is_err());
    let tomorrow = StoreKey::make().expect("randomness");
    assert!(tomorrow.open(b"record 7", &sealed).is_err());
}
