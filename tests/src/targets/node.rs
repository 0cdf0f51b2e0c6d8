//! The core, told anything: by clients, by peers with good keys and bad manners, by clocks and by a disk that rots.
//! Every byte is a choice. It must not panic, must ask for nothing that cannot be done, and must keep to its rooms.

use bytes::BytesMut;
use keys::AgentKey;
use keys::prekey::PrekeyPublic;
use mesh::{ClientId, HostedAgent, Input, LinkId, Mono, Notice, Now, PeerSaid, Wall};
use proto::control::{Attach, ControlBody, Resolve, subject};
use proto::limits::{HOUR, SECOND};
use proto::metadata::{MetadataDraft, Stage};
use proto::record::{AgentRecord, NodeRecord};
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, ErrorCode, FlowKind, Frame, Header, MessageId, MessageType,
    Receipt, Sequence, Shape,
};

use super::choices::Choices;
use cast::{How, LOCALS, PEERS, Spec, cast};
use host::{Asked, Host};

mod cast;
mod host;

/// One life is no longer than this.
const STEPS_MAX: usize = 400;
/// When the world begins, in ns of its wall clock.
const BEGIN: u64 = 1_800_000_000 * SECOND;
const CLIENTS_MAX: usize = 6;
const LINKS_MAX: usize = 4;

/// Lives one life.
pub fn node(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut host = Host::new(Now { mono: Mono(0), wall: Wall(BEGIN) });
    let (mut next_client, mut next_link) = (1, 1);
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        match choices.below(24) {
            0 if host.clients.len() < CLIENTS_MAX => {
                let (client, uid) = (ClientId(next_client), 1000 + u32::from(choices.below(2)));
                next_client += 1;
                host.clients.insert(client, (0, 0));
                host.tell(Input::ClientCame { client, uid, is_admin: choices.flag() });
            }
            1..=7 => client_says(&mut host, &mut choices),
            8 => client_changes(&mut host, &mut choices),
            9 if host.links.len() < LINKS_MAX => {
                let link = LinkId(next_link);
                next_link += 1;
                link_up(&mut host, &mut choices, link);
            }
            10..=15 => peer_says(&mut host, &mut choices),
            16 => link_changes(&mut host, &mut choices),
            17 | 18 => answer(&mut host, &mut choices),
            19 | 20 => host.sync(1 + usize::from(choices.below(8))),
            21 => time_passes(&mut host, &mut choices),
            22 => match choices.below(7) {
                0 => host.rot(choices.wide()),
                1 => host.plant(choices.bytes()),
                2 => host.tell(Input::Stop),
                3 => host.tell(Input::Disk { has_room: choices.flag() }),
                4 => {
                    let link = link(&host, &mut choices);
                    host.tell(Input::LinkSilent { link });
                }
                5 => {
                    let link = link(&host, &mut choices);
                    host.tell(Input::LinkHeard { link });
                }
                _ => host.tell(Input::DialFailed { peer: choices.of(&cast().peers.each_ref()).id() }),
            },
            23 => {
                if host.has_stopped && choices.flag() {
                    host.sync(usize::MAX);
                    assert!(host.is_synced());
                }
                if !host.restart(choices.below(8) == 0) {
                    return;
                }
            }
            _ => {}
        }
    }
    host.check();
}

fn client(host: &Host, choices: &mut Choices<'_>) -> ClientId {
    let at = usize::from(choices.byte()) % host.clients.len().max(1);
    // One that is not there may have left a moment ago.
    host.clients.keys().nth(at).copied().unwrap_or(ClientId(0))
}

fn client_changes(host: &mut Host, choices: &mut Choices<'_>) {
    let client = client(host, choices);
    if choices.below(3) == 0 {
        host.clients.remove(&client);
        host.tell(Input::ClientLeft { client });
    } else if let Some(out) = host.clients.get_mut(&client) {
        let (deliveries, bytes) = std::mem::take(out);
        host.tell(Input::ClientRoom { client, deliveries, bytes });
    }
}

fn client_says(host: &mut Host, choices: &mut Choices<'_>) {
    let client = client(host, choices);
    let content = if choices.below(16) == 0 { raw_content(choices) } else { content(host, choices) };
    if let Some(content) = content {
        host.tell(Input::ClientSaid { client, content: Box::new(content) });
    }
}

/// Whatever bytes say, if they may stand at the door.
fn raw_content(choices: &mut Choices<'_>) -> Option<Content> {
    let frame = Frame::take(&mut BytesMut::from(choices.bytes()), Boundary::Up).ok()?;
    let (header, plain) = frame.into_plain()?;
    Content::read(&header, plain).ok()
}

/// What an agent says, and what it should not.
fn content(host: &Host, choices: &mut Choices<'_>) -> Option<Content> {
    let given = host.given.get(choices.wide() % host.given.len().max(1)).copied();
    let me = given.filter(|_| choices.flag()).map_or_else(|| somebody(choices), |given| given.destination);
    let number = given.map_or(choices.byte().into(), |given| given.number);
    let to_node = (Shape::Once, MessageType::Request, AgentId::ZERO);
    let mut metadata = MetadataDraft::default();
    let mut body = bytes::Bytes::new();
    let mut source = me;
    let mut id = MessageId::new(choices.below(12).into());
    let (shape, message_type, destination) = match choices.below(16) {
        0 | 1 => {
            source = if choices.below(8) == 0 { me } else { AgentId::ZERO };
            metadata.subject = Some(subject::ATTACH);
            let name = choices.of(&["ann", "bob", "cid", "dan", "eve", "us", "", "ECHO"]);
            let capabilities = vec!["x".repeat(usize::from(choices.byte()))];
            let attach = Attach { name: name.into(), capabilities, ..Attach::default() };
            body = attach.write(ContentType::MessagePack);
            to_node
        }
        2 => {
            metadata.subject = Some(choices.of(&[subject::DETACH, "node.what", subject::CREDIT]));
            metadata.credit_messages = Some(choices.byte().into()).filter(|_| choices.flag());
            metadata.credit_bytes = metadata.credit_messages;
            to_node
        }
        3 => {
            metadata.subject = Some(subject::WORKING);
            metadata.delivery_number = Some(number);
            to_node
        }
        4 => {
            metadata.subject = Some(subject::RESOLVE);
            let address = choices.of(&["ann", "ann@us", "far@peer-a", "far", "@", "us@us", "a@b@c"]);
            body = Resolve { address: address.into() }.write(ContentType::MessagePack);
            to_node
        }
        5 | 6 => {
            metadata.delivery_number = Some(number);
            id = given.map_or(id, |given| given.id);
            (Shape::Handled, MessageType::Ack, given.map_or_else(|| somebody(choices), |given| given.source))
        }
        7 => {
            // Without one it is about something that was sent once.
            metadata.delivery_number = Some(number).filter(|_| choices.flag());
            id = given.filter(|_| metadata.delivery_number.is_some()).map_or(id, |given| given.id);
            let error_code = choices.of(&[4008, 4010, 5000, 4012]);
            body = proto::control::RawErrorBody { error_code, ..Default::default() }.write(ContentType::MessagePack);
            (Shape::Notice, MessageType::Error, given.map_or_else(|| somebody(choices), |given| given.source))
        }
        8 => {
            metadata.delivery_number = Some(number);
            metadata.last_stage = stage(choices);
            id = given.map_or(id, |given| given.id);
            let to = given.map_or_else(|| somebody(choices), |given| given.source);
            (Shape::Durable(FlowKind::Answers), MessageType::Response, to)
        }
        9 => (Shape::Ping, MessageType::Ping, somebody(choices)),
        10 | 11 => {
            let message_type = choices.of(&[MessageType::Request, MessageType::Response, MessageType::Broadcast]);
            metadata.expiry = expiry(host, choices);
            (Shape::Once, message_type, somebody(choices))
        }
        _ => {
            metadata.expiry = expiry(host, choices);
            metadata.handled_wanted = choices.flag();
            metadata.again = choices.below(4) == 0;
            metadata.last_stage = stage(choices);
            let message_type = if choices.flag() { MessageType::Request } else { MessageType::Broadcast };
            (Shape::Durable(FlowKind::Messages), message_type, somebody(choices))
        }
    };
    if body.is_empty() && !matches!(shape, Shape::Handled) {
        body = vec![b'b'; choices.of(&[0, 1, 100, 3000])].into();
    }
    let is_ours = matches!(message_type, MessageType::Error) || destination.is_zero();
    let content_type = if is_ours { ContentType::MessagePack } else { ContentType::None };
    let draft = Draft { message_type, shape, id, source, destination, content_type, ..blank() };
    let mut plain = BytesMut::new();
    metadata.write(&mut plain);
    plain.extend_from_slice(&body);
    let header = Header::make(&draft, Boundary::Up, plain.len()).ok()?;
    Content::read(&header, plain.freeze()).ok()
}

const fn blank() -> Draft {
    Draft {
        message_type: MessageType::Request,
        shape: Shape::Once,
        id: MessageId::new(0),
        timestamp: 0,
        source: AgentId::ZERO,
        destination: AgentId::ZERO,
        content_type: ContentType::None,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

fn somebody(choices: &mut Choices<'_>) -> AgentId {
    match choices.byte() {
        250.. => AgentId::new([7; 32]),
        at => cast().agent(at.into()).id(),
    }
}

fn stage(choices: &mut Choices<'_>) -> Option<Stage> {
    choices.of(&[None, Some(Stage::None), Some(Stage::Accepted), Some(Stage::Stored), Some(Stage::Handled)])
}

fn expiry(host: &Host, choices: &mut Choices<'_>) -> Option<u64> {
    let wall = host.now.wall.0 / HOUR * HOUR;
    match choices.below(8) {
        0 | 1 => None,
        2 => Some(0),
        3 => Some(u64::MAX),
        4 => Some(wall.saturating_add(HOUR)),
        5 => Some(wall.saturating_add(72 * HOUR)),
        6 => Some(wall.saturating_add(74 * HOUR)),
        _ => Some(wall.saturating_add(2 * HOUR)),
    }
}

fn link_up(host: &mut Host, choices: &mut Choices<'_>, link: LinkId) {
    let cast = cast();
    let at = usize::from(choices.below(3));
    // A node that TLS would let in and that is no peer any more: ourselves.
    let key = cast.peers.get(at).unwrap_or(&cast.us);
    let sequence = choices.below(3).into();
    let name = if choices.below(8) == 0 { "us" } else { "peer" };
    let record = NodeRecord {
        public_key: *key.public().as_bytes(),
        name: name.parse().expect("a name"),
        addresses: Vec::new(),
        links: Vec::new(),
        certificate: None,
        sequence,
        expiry: u64::MAX,
    };
    let Some(record) = cast::sign_node(&record) else { return };
    host.links.insert(link, (0, 0));
    let wall = choices.of(&[BEGIN, 0, u64::MAX]);
    host.tell(Input::LinkUp { link, peer: key.id(), dialed: choices.flag(), record, wall });
}

fn link(host: &Host, choices: &mut Choices<'_>) -> LinkId {
    let at = usize::from(choices.byte()) % host.links.len().max(1);
    host.links.keys().nth(at).copied().unwrap_or(LinkId(0))
}

fn link_changes(host: &mut Host, choices: &mut Choices<'_>) {
    let link = link(host, choices);
    if choices.below(3) == 0 {
        host.links.remove(&link);
        host.tell(Input::LinkDown { link });
    } else if let Some(out) = host.links.get_mut(&link) {
        let (frames, bytes) = std::mem::take(out);
        host.tell(Input::LinkRoom { link, frames, bytes });
    }
}

fn peer_says(host: &mut Host, choices: &mut Choices<'_>) {
    let link = link(host, choices);
    let said = match choices.below(16) {
        0 => Some(PeerSaid::UnknownSource(somebody(choices))),
        1 => Some(PeerSaid::Want(somebody(choices))),
        2 => Some(PeerSaid::Notice(Notice {
            code: choices.of(&[ErrorCode::NO_ROUTE, ErrorCode::FULL, ErrorCode::PREKEY, ErrorCode::VERSION]),
            id: MessageId::new(choices.below(12).into()),
            source: somebody(choices),
            destination: somebody(choices),
        })),
        3 | 4 => agent_record(choices).and_then(|record| cast::sign_agent(&record)).map(PeerSaid::Agent),
        _ => cast::frame(&spec(host, choices)),
    };
    if let Some(said) = said {
        host.tell(Input::PeerSaid { link, said });
    }
}

fn agent_record(choices: &mut Choices<'_>) -> Option<AgentRecord> {
    let key = cast().agent(usize::from(choices.below(9)) + 1);
    let host = cast().peers.get(usize::from(choices.below(3))).unwrap_or(&cast().us);
    let prekey = choices.of(&[None, Some(([8; 32], u64::MAX)), Some(([0; 32], 5)), Some(([9; 32], BEGIN))]);
    Some(AgentRecord {
        public_key: *key.public().as_bytes(),
        name: choices.of(&["far", "ann", "near"]).parse().ok()?,
        capabilities: Vec::new(),
        topics: Vec::new(),
        prekey,
        host: host.id(),
        chain: Vec::new(),
        sequence: choices.of(&[1, 2, BEGIN, BEGIN + HOUR, u64::MAX]),
        expiry: choices.of(&[0, BEGIN + HOUR, u64::MAX]),
    })
}

fn spec(host: &Host, choices: &mut Choices<'_>) -> Spec {
    let durable = |kind, message_type| (Shape::Durable(kind), message_type);
    let (shape, message_type) = match choices.below(12) {
        0..=2 => durable(FlowKind::Messages, MessageType::Request),
        3 => durable(FlowKind::Messages, MessageType::Broadcast),
        4 => durable(FlowKind::Answers, MessageType::Response),
        5 => durable(FlowKind::Answers, MessageType::Ack),
        6 => durable(FlowKind::Answers, MessageType::Error),
        7 => (Shape::Stored, MessageType::Ack),
        8 => (Shape::Notice, MessageType::Error),
        9 => (Shape::Once, choices.of(&[MessageType::Request, MessageType::Response, MessageType::Broadcast])),
        10 => (Shape::Ping, MessageType::Ping),
        _ => choices.of(&[(Shape::Pong, MessageType::Ack), (Shape::StreamEnd, MessageType::Ack)]),
    };
    let is_answer = matches!(shape, Shape::Durable(FlowKind::Answers));
    let has_place = matches!(shape, Shape::Durable(_));
    let flow = choices.of(&[BEGIN, BEGIN + 2, 2, i64::MAX as u64 - 1, BEGIN + 24 * HOUR]) | u64::from(is_answer);
    let sequence = choices.of(&[1, 2, 3, 4, 5, 1000, 1025, u32::MAX - 1, u32::MAX]);
    let floor = choices.of(&[1, 1, 2, 4, 1000, u32::MAX, 0]);
    let has_flow = has_place || shape == Shape::Stored || (shape == Shape::Notice && choices.flag());
    Spec {
        message_type,
        shape,
        id: choices.below(12).into(),
        timestamp: choices.of(&[host.now.wall.0 / SECOND * SECOND, BEGIN, 0, u64::MAX]),
        source: usize::from(choices.byte()),
        destination: usize::from(choices.below(u8::try_from(LOCALS).unwrap_or(1) + 1)),
        sequence: if has_place || shape == Shape::Stored { sequence } else { 0 },
        flow: Some(flow).filter(|_| has_flow),
        floor: Some(floor).filter(|_| has_place),
        expiry: expiry(host, choices).filter(|_| shape != Shape::Stored),
        handled_wanted: choices.flag() && has_place,
        again: choices.below(4) == 0 && has_place,
        body: if matches!(message_type, MessageType::Ack) { 0 } else { choices.of(&[0, 1, 9, 13, 15, 3000]) },
        how: choices.of(&[How::Usual, How::Usual, How::Usual, How::Unfit, How::OldPrekey]),
    }
}

/// The core hears what became of something that it asked for.
fn answer(host: &mut Host, choices: &mut Choices<'_>) {
    let at = choices.wide() % host.asked.len().max(1);
    let Some(asked) = host.asked.remove(at) else { return };
    match asked {
        Asked::Agent(name, uid) => match host.next_local().filter(|_| choices.below(4) > 0) {
            Some(key) => {
                let hosted = hosted(key, name, uid);
                host.host_agent(hosted.clone());
                host.tell(Input::AgentMade(hosted));
            }
            None => host.tell(Input::AgentNotMade { name }),
        },
        Asked::Prekey(agent, not_after) => {
            let prekey = PrekeyPublic::new([choices.byte(); 32]);
            host.tell(Input::PrekeyMade { agent, id: prekey.id(), public: *prekey.public(), not_after });
        }
        Asked::AgentRecord(record) => {
            if let Some(record) = cast::sign_agent(&record) {
                host.tell(Input::AgentSigned(record));
            }
        }
        Asked::NodeRecord(record) => {
            if let Some(record) = cast::sign_node(&record) {
                host.tell(Input::NodeSigned(record));
            }
        }
        Asked::Dial(peer) => {
            assert!(peer < PEERS);
            host.tell(Input::DialFailed { peer: cast().peers[peer].id() });
        }
        Asked::HangUp(link) => {
            host.links.remove(&link);
            host.tell(Input::LinkDown { link });
        }
        Asked::Disconnect(client) => {
            host.clients.remove(&client);
            host.tell(Input::ClientLeft { client });
        }
    }
}

fn hosted(key: &AgentKey, name: proto::Name, uid: u32) -> HostedAgent {
    HostedAgent { id: key.id(), public_key: *key.public().as_bytes(), name, uid }
}

fn time_passes(host: &mut Host, choices: &mut Choices<'_>) {
    let pass = choices.of(&[
        0,
        SECOND / 1000,
        SECOND,
        6 * SECOND,
        31 * SECOND,
        131 * SECOND,
        1000 * SECOND,
        25 * HOUR,
        80 * HOUR,
    ]);
    let wall = host.now.wall.0;
    let wall = match choices.below(12) {
        0 => wall.saturating_sub(48 * HOUR),
        1 => wall.saturating_add(48 * HOUR),
        2 => 0,
        3 => i64::MAX as u64 + 5,
        4 => u64::MAX,
        5 => BEGIN,
        6 => wall,
        _ => wall.saturating_add(pass),
    };
    host.pass(pass, wall);
}
