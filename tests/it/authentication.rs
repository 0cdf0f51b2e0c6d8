//! Every bit of a frame but those of the hop byte is authenticated (G9), and no key that could lie for others gets in.

use keys::sign::Signer;
use keys::{AgentKey, Prekeys, PublicKey, Sealer, verify};
use proto::metadata::MetadataDraft;
use proto::{
    Boundary, ContentType, Draft, FlowId, FlowKind, Frame, MessageId, MessageType, Protection, Receipt, Sequence, Shape,
};
use referee::forge;

const NOW: u64 = 1_795_219_200_000_000_000;
const SEED: [u8; 32] = [1; 32];

struct Ends {
    source: AgentKey,
    destination: AgentKey,
    prekeys: Prekeys,
    sealer: Sealer,
}

impl Ends {
    fn new() -> Self {
        let source = AgentKey::from_published_seed(&SEED);
        let destination = AgentKey::make().expect("randomness");
        let mut prekeys = Prekeys::new(destination.id());
        let prekey = prekeys.make(NOW).expect("there is room");
        let sealer = Sealer::new(source.id(), destination.id(), prekey, 0).expect("a sound prekey");
        Self { source, destination, prekeys, sealer }
    }

    fn draft(&self, message_type: MessageType, shape: Shape, content_type: ContentType, sequence: u32) -> Draft {
        Draft {
            message_type,
            shape,
            id: MessageId::new(7),
            timestamp: NOW,
            source: self.source.id(),
            destination: self.destination.id(),
            content_type,
            hops: 8,
            sequence: Sequence::new(sequence),
            told: Receipt::None,
            last: false,
        }
    }

    fn durable(&mut self, body: &[u8]) -> Frame {
        let draft = self.draft(MessageType::Request, Shape::Durable(FlowKind::Messages), ContentType::Octets, 5);
        let metadata = MetadataDraft {
            expiry: Some(NOW),
            flow_id: FlowId::new(2),
            floor: Some(1),
            handled_wanted: true,
            ..Default::default()
        };
        self.sealer.seal(&self.source, &draft, &metadata, body, 0).expect("sealed")
    }

    /// Whether the bytes come through every check that stands between a wire and an agent.
    fn takes(&mut self, bytes: &[u8]) -> bool {
        let Ok(frame) = Frame::read(bytes.to_vec().into(), Boundary::Wire) else { return false };
        let sealed = frame.header().shape().protection(Boundary::Wire) == Protection::SealedSigned;
        let Ok(verified) = verify::frame(frame, self.source.public()) else { return false };
        if sealed { verify::open(verified, &mut self.prekeys, NOW).is_ok() } else { verify::read(verified).is_ok() }
    }
}

#[test]
fn every_single_bit_flip_is_refused_but_those_that_lower_the_hop_byte() {
    let mut ends = Ends::new();
    let stored = ends.draft(MessageType::Ack, Shape::Stored, ContentType::None, 41);
    let mark = MetadataDraft { flow_id: FlowId::new(3), ..Default::default() };
    let frames = [ends.durable(b"the body"), Signer::new().sign(&ends.source, &stored, &mark, b"").expect("signed")];
    for frame in frames {
        let good = frame.as_bytes().to_vec();
        assert!(ends.takes(&good));
        let mut lowered = 0;
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                let is_lower_hop = at == 88 && changed[at] < good[at];
                assert_eq!(ends.takes(&changed), is_lower_hop, "byte {at}, bit {bit}");
                lowered += u32::from(is_lower_hop);
            }
        }
        assert_eq!(lowered, 1, "8 hops have one bit that can be cleared");
    }
}

#[test]
fn a_relay_can_only_lower_the_hops_and_the_frame_still_holds() {
    let mut ends = Ends::new();
    let mut frame = ends.durable(b"over hills");
    let mut hops = 0;
    loop {
        assert!(ends.takes(frame.as_bytes()));
        let Some(next) = frame.into_next_hop() else { break };
        frame = next;
        hops += 1;
    }
    assert_eq!(hops, 8);
}

/// A million by `AICP_MUTANTS=1000000`; fewer where time is short.
#[test]
fn random_mutants_are_refused() {
    let mutants: u64 = std::env::var("AICP_MUTANTS").map_or(100_000, |count| count.parse().expect("a number"));
    let mut ends = Ends::new();
    let good = ends.durable(&[0x5a; 200]).as_bytes().to_vec();
    let other = ends.durable(&[0xa5; 200]).as_bytes().to_vec();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut reached_the_signature = 0_u64;
    for round in 0..mutants {
        let mutant = mutate(&good, &other, &mut chance);
        if mutant == good || mutant == other || only_lowers_hops(&mutant, &good) || only_lowers_hops(&mutant, &other) {
            continue;
        }
        reached_the_signature += u64::from(Frame::read(mutant.clone().into(), Boundary::Wire).is_ok());
        assert!(!ends.takes(&mutant), "round {round}: {}", referee::hex::write(&mutant));
    }
    assert!(reached_the_signature > mutants / 4, "only {reached_the_signature} were worth a verification");
}

fn only_lowers_hops(mutant: &[u8], good: &[u8]) -> bool {
    mutant.len() == good.len()
        && mutant.iter().zip(good).enumerate().all(|(at, (m, g))| if at == 88 { m <= g } else { m == g })
}

fn mutate(good: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut mutant = good.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(mutant.len());
        match chance.below(10) {
            // Most change content and trailer, whose lengths stay possible.
            0..=4 => mutant[at] ^= 1 << chance.below(8),
            5 | 6 => mutant[at] = chance.next().to_le_bytes()[0],
            7 => {
                let end = at + chance.below(mutant.len() - at);
                if other.len() == mutant.len() {
                    mutant[at..end].copy_from_slice(&other[at..end]);
                }
            }
            8 => {
                let with = chance.below(mutant.len());
                mutant.swap(at, with);
            }
            _ => {
                // A byte moves from the content to the end or back, the whole length kept.
                let byte = mutant.remove(at);
                mutant.push(byte);
            }
        }
    }
    mutant
}

/// A small generator with a seed, so that a failure comes again.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("small")
    }
}

#[test]
fn keys_of_small_order_are_refused_in_frames_that_are_valid_otherwise() {
    let mut ends = Ends::new();
    let good = ends.durable(b"grafted").as_bytes().to_vec();
    for point in forge::small_order_points() {
        assert!(PublicKey::admit(&point).is_err());
        // As R of a signature by an honest key.
        let mut grafted = good.clone();
        let at = grafted.len() - 80;
        grafted[at..at + 32].copy_from_slice(&point);
        assert!(!ends.takes(&grafted));
        // As an ephemeral key, signed by its maker; the secret would be zeros for everyone.
        let mut agreement = [0; 32];
        agreement[0] = u8::from(point[0] == 1);
        let forged = forge::sign_again(&SEED, &good, |bytes| bytes[100..132].copy_from_slice(&agreement));
        let frame = Frame::read(forged, Boundary::Wire).expect("its header is sound");
        let verified = verify::frame(frame, ends.source.public()).expect("its maker signed it");
        assert_eq!(verify::open(verified, &mut ends.prekeys, NOW).err(), Some(proto::Refusal::SharedSecret));
    }
}

#[test]
fn a_frame_of_another_source_is_not_verified_by_our_key() {
    let mut ends = Ends::new();
    let frame = ends.durable(b"from one");
    let other = AgentKey::make().expect("randomness");
    assert_eq!(verify::frame(frame, other.public()).err(), Some(proto::Refusal::WrongKey));
}

#[test]
fn what_is_sealed_for_one_agent_is_not_opened_by_another() {
    let mut ends = Ends::new();
    let frame = ends.durable(b"for one");
    let verified = verify::frame(frame, ends.source.public()).expect("signed");
    let mut others = Prekeys::new(ends.source.id());
    others.make(NOW).expect("there is room");
    assert_eq!(verify::open(verified, &mut others, NOW).err(), Some(proto::Refusal::UnknownPrekey));
}
