//! A process of another user that tries to be an agent which is not its own: it attaches under that name, speaks as that
//! agent, and says all there is to say about a delivery whose number somebody told it.
//!
//! `stranger SOCKET TRIES NAME AGENT SENDER NUMBER ID` prints how many tries it made, and how many succeeded.

#![expect(clippy::expect_used, clippy::panic, reason = "a test's helper stops at the first fault")]

use std::path::Path;
use std::time::Duration;

use proto::control::{ControlBody, RawErrorBody};
use proto::metadata::MetadataDraft;
use proto::{AgentId, ContentType, Draft, FlowKind, MessageId, MessageType, Shape};
use referee::hostile::{RawDoor, frame};

struct Known {
    name: String,
    agent: AgentId,
    sender: AgentId,
    number: u64,
    id: MessageId,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [socket, tries, name, agent, sender, number, id] = &words[..] else {
        panic!("stranger SOCKET TRIES NAME AGENT SENDER NUMBER ID")
    };
    let known = Known {
        name: name.clone(),
        agent: agent.parse().expect("an id"),
        sender: sender.parse().expect("an id"),
        number: number.parse().expect("a number"),
        id: MessageId::parse(id).expect("an id"),
    };
    let tries: u64 = tries.parse().expect("a number");
    let succeeded: u64 = (0..tries).map(|i| u64::from(has_success(Path::new(socket), &known, i))).sum();
    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    let () = println!("{tries} tries as another user: {succeeded} succeeded");
}

/// One try on a connection of its own. Whatever is not refused, or not ignored where nothing is answered, is a success.
fn has_success(socket: &Path, known: &Known, i: u64) -> bool {
    let mut door = RawDoor::open(socket).expect("the door is open to everybody");
    let kind = i % 8;
    if kind == 0 {
        let is_attached = door.attach(&known.name).expect("an answer").is_ok();
        return is_attached || hears_mail(&mut door);
    }
    // Half of the tries come from a client that is an agent of its own, and half of those speak in its name.
    let own =
        (i / 8).is_multiple_of(2).then(|| door.attach("stranger").expect("an answer").expect("a name of its own"));
    let source = own.filter(|_| (i / 16).is_multiple_of(2)).unwrap_or(known.agent);
    // The last kinds are always in the other's name.
    let is_own = Some(source) == own && kind <= 4;
    let draft = door.draft(MessageType::Request, Shape::Once, source, known.sender);
    door.say(&attempt(&draft, known, kind)).expect("the door takes it");
    // Asked afterwards, and so answered afterwards.
    let end = door.draft(MessageType::Ping, Shape::Ping, own.unwrap_or(AgentId::ZERO), AgentId::ZERO);
    door.say(&frame(&end, &MetadataDraft::default(), b"")).expect("the door takes it");
    let mut is_refused = false;
    loop {
        let heard = door.hear().expect("an answer");
        if heard.header.shape() == Shape::Pong {
            break;
        }
        if heard.header.message_type() != MessageType::Error {
            return true;
        }
        is_refused = true;
    }
    // In its own name an acknowledgement of what it was never given is passed over.
    !is_refused && !is_own
}

fn attempt(draft: &Draft, known: &Known, kind: u64) -> Vec<u8> {
    let draft = *draft;
    let about = MetadataDraft { delivery_number: Some(known.number), ..MetadataDraft::default() };
    let none = MetadataDraft::default();
    match kind {
        1 => {
            frame(&Draft { message_type: MessageType::Ack, shape: Shape::Handled, id: known.id, ..draft }, &about, b"")
        }
        2 => {
            let refusal =
                RawErrorBody { error_code: 4008, original_message_id: known.id.to_string(), ..RawErrorBody::default() };
            let body = refusal.write(ContentType::MessagePack);
            let content_type = ContentType::MessagePack;
            let draft =
                Draft { message_type: MessageType::Error, shape: Shape::Notice, id: known.id, content_type, ..draft };
            frame(&draft, &about, &body)
        }
        3 => {
            let shape = Shape::Durable(FlowKind::Answers);
            frame(&Draft { message_type: MessageType::Response, shape, id: known.id, ..draft }, &about, b"")
        }
        4 => {
            let metadata = MetadataDraft { subject: Some("agent.working"), ..about };
            frame(&Draft { destination: AgentId::ZERO, ..draft }, &metadata, b"")
        }
        5 => {
            let source = known.agent;
            let metadata = MetadataDraft { subject: Some("agent.detach"), ..none };
            frame(&Draft { destination: AgentId::ZERO, source, ..draft }, &metadata, b"")
        }
        6 => frame(&Draft { source: known.agent, shape: Shape::Durable(FlowKind::Messages), ..draft }, &none, b""),
        _ => frame(&Draft { source: known.agent, ..draft }, &none, b""),
    }
}

/// Whether anything but refusals comes within a moment.
fn hears_mail(door: &mut RawDoor) -> bool {
    door.be_patient(Duration::from_millis(5)).expect("set");
    door.hear().is_ok_and(|heard| heard.header.message_type() != MessageType::Error)
}
