//! One signed, sealed frame, made and opened: what travels between two hosts, and what everyone on the way sees of it.
//!
//! `cargo run -p aicp-keys --example sealed-frame`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use keys::{AgentKey, Prekeys, Sealer, verify};
use proto::metadata::MetadataDraft;
use proto::{Boundary, ContentType, Draft, FlowId, FlowKind, Frame, MessageId, MessageType, Receipt, Sequence, Shape};

/// Any moment will do here; a daemon asks its clock.
const NOW: u64 = 1_795_219_200_000_000_000;
const HOUR: u64 = 3_600_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let (planner, writer) = (AgentKey::make()?, AgentKey::make()?);
    println!("planner  {}", planner.id());
    println!("writer   {}", writer.id());

    // The writer's daemon publishes a prekey that lives for two days; the planner's seals to it.
    let mut prekeys = Prekeys::new(writer.id());
    let prekey = prekeys.make(NOW + 48 * HOUR)?;
    let mut sealer = Sealer::new(planner.id(), writer.id(), prekey, 0)?;

    let draft = Draft {
        message_type: MessageType::Request,
        shape: Shape::Durable(FlowKind::Messages),
        id: MessageId::new(0x5f3a_91c2_d07b_e844),
        timestamp: NOW,
        source: planner.id(),
        destination: writer.id(),
        content_type: ContentType::Text,
        hops: 8,
        sequence: Sequence::new(1),
        told: Receipt::None,
        last: false,
    };
    let metadata = MetadataDraft {
        subject: Some("draft"),
        expiry: Some(NOW + 24 * HOUR),
        flow_id: FlowId::new(NOW),
        floor: Some(1),
        handled_wanted: true,
        ..Default::default()
    };
    let sent = sealer.seal(&planner, &draft, &metadata, b"meet me at the usual place", 0)?;
    println!("\n{} bytes on the wire; a relay sees this and no more:\n  {:?}", sent.as_bytes().len(), sent.header());

    // A hop further, at the writer's daemon: first the signature over the bytes that came, then the seal.
    let arrived = sent.into_next_hop().ok_or("no hops left")?;
    let bytes = arrived.as_bytes().clone();
    let verified = verify::frame(arrived, planner.public())?;
    let opened = verify::open(verified, &mut prekeys, NOW)?.into_inner();
    println!("\nsigned by the planner, opened by the writer:");
    println!("  subject {:?}", opened.metadata.subject().unwrap_or_default());
    println!("  body    {:?}", String::from_utf8_lossy(&opened.body));

    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(200) {
        *byte ^= 1;
    }
    let refusal = verify::frame(Frame::read(changed.into(), Boundary::Wire)?, planner.public()).map(drop);
    println!("\none bit changed on the way: {}", refusal.err().ok_or("it was taken")?);

    prekeys.erase(prekey.id());
    let again = verify::frame(Frame::read(bytes, Boundary::Wire)?, planner.public())?;
    let refusal = verify::open(again, &mut prekeys, NOW).map(drop);
    println!("the prekey erased:          {}", refusal.err().ok_or("it was opened")?);
    Ok(())
}
