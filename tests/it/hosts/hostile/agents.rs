//! What can be done at the agents' door: each is one kind of harm, done some number of times.

use std::io;
use std::path::Path;
use std::time::Duration;

use proto::metadata::MetadataDraft;
use proto::{AgentId, ContentType, FlowKind, MessageType, Shape, limits};
use referee::hostile::{Noise, RawDoor, frame, frame_with};

/// One kind of harm: against which door, how often. It says how many frames it sent.
pub(super) type Harm = fn(&Path, u64) -> io::Result<u64>;

/// A connection, or a frame of tens of kilobytes, counts as so many small frames.
const CONNECTION_COSTS: u64 = 4;

/// All kinds.
pub(super) const ALL: [(&str, Harm); 10] = [
    ("noise instead of frames", noise),
    ("lengths that lie", lies),
    ("large frames that never end", unfinished),
    ("depth", depth),
    ("one byte at a time", dribble),
    ("frames that are refused, and no ear for it", refused),
    ("frames that are refused, heard", refused_and_heard),
    ("questions, and no ear for the answers", questions),
    ("deliveries that nobody reads", unread),
    ("connections that say nothing", silent),
];

/// Those that are nothing but as much as possible, and wait for no answer.
pub(super) const FLOODS: [(&str, Harm); 2] =
    [("frames that are refused, and no ear for it", refused), ("connections that say nothing", silent)];

fn noise(door: &Path, count: u64) -> io::Result<u64> {
    let (mut noise, count) = (Noise::new(11), count / CONNECTION_COSTS);
    for _ in 0..count {
        let mut door = RawDoor::open(door)?;
        let length = 1 + noise.below(4096);
        // It may be closed on the first 96 bytes.
        let _said = door.say(&noise.bytes(length as usize));
        if length >= limits::HEADER_BYTES as u64 && noise.below(4) == 0 {
            assert!(door.has_ended(), "noise is no frame");
        }
    }
    Ok(count)
}

fn lies(path: &Path, count: u64) -> io::Result<u64> {
    let count = count / CONNECTION_COSTS;
    for i in 0..count {
        let mut door = RawDoor::open(path)?;
        let draft = door.draft(MessageType::Ping, Shape::Ping, AgentId::ZERO, AgentId::ZERO);
        let mut bytes = frame(&draft, &MetadataDraft::default(), b"");
        let length: u32 = [1, 0, u32::MAX, 1 << 30, (limits::PAYLOAD_BYTES_MAX + 1) as u32][(i % 5) as usize];
        bytes[82..86].copy_from_slice(&length.to_be_bytes());
        door.say(&bytes)?;
        if i % 8 == 0 {
            assert!(door.has_ended(), "a length that lies ends the connection");
        }
    }
    Ok(count)
}

fn unfinished(path: &Path, count: u64) -> io::Result<u64> {
    let count = count.min(64);
    let mut doors = Vec::new();
    for _ in 0..count {
        let mut door = RawDoor::open(path)?;
        door.be_patient(Duration::from_millis(50))?;
        let draft = door.draft(MessageType::Request, Shape::Once, AgentId::new([1; 32]), AgentId::new([2; 32]));
        let bytes = frame(&draft, &MetadataDraft::default(), &vec![7; limits::BODY_BYTES_MAX]);
        // All but the last byte, as far as it is taken at all.
        let _said = door.say(&bytes[..bytes.len() - 1]);
        doors.push(door);
    }
    Ok(count)
}

fn depth(path: &Path, count: u64) -> io::Result<u64> {
    let mut door = RawDoor::open(path)?;
    let count = count / CONNECTION_COSTS;
    let bombs: [(ContentType, Vec<u8>); 4] = [
        (ContentType::MessagePack, vec![0x91; 60_000]),
        (ContentType::MessagePack, [&b"\x81\xa4name"[..], &vec![0x81; 60_000]].concat()),
        (ContentType::Json, vec![b'['; 60_000]),
        (ContentType::Protobuf, vec![0x0b; 60_000]),
    ];
    for i in 0..count {
        let (content_type, body) = &bombs[(i % 4) as usize];
        let draft = door.question();
        let draft = proto::Draft { content_type: *content_type, ..draft };
        let is_metadata = i % 5 == 0;
        let bytes = if is_metadata {
            frame_with(&draft, &[&b"\x81\xa1x"[..], &body[..limits::METADATA_BYTES_MAX - 3]].concat(), b"")
        } else {
            frame(&draft, &MetadataDraft { subject: Some("agent.attach"), ..MetadataDraft::default() }, body)
        };
        door.say(&bytes)?;
        assert_eq!(door.hear()?.header.message_type(), MessageType::Error, "depth is refused, and closes nothing");
    }
    Ok(count)
}

fn dribble(path: &Path, count: u64) -> io::Result<u64> {
    let mut doors = Vec::new();
    for _ in 0..count.min(100) {
        let mut door = RawDoor::open(path)?;
        let draft = door.draft(MessageType::Ping, Shape::Ping, AgentId::ZERO, AgentId::ZERO);
        let draft = proto::Draft { content_type: ContentType::Text, ..draft };
        doors.push((door, frame(&draft, &MetadataDraft::default(), b"slow")));
    }
    let length = doors.first().map_or(0, |(_, bytes)| bytes.len());
    for at in 0..length {
        for (door, bytes) in &mut doors {
            door.say(&bytes[at..=at])?;
        }
    }
    for (door, _) in &mut doors {
        let heard = door.hear()?;
        assert_eq!(heard.header.shape(), Shape::Pong, "whoever is slow is served: {:?}", heard.error());
    }
    Ok(doors.len() as u64)
}

/// Frames of a source that is not attached, and of shapes that no agent may send.
fn refusable(door: &mut RawDoor, i: u64) -> Vec<u8> {
    let somebody = AgentId::new([9; 32]);
    let (shape, message_type) = match i % 3 {
        0 => (Shape::Once, MessageType::Request),
        1 => (Shape::Durable(FlowKind::Messages), MessageType::Request),
        _ => (Shape::Once, MessageType::Broadcast),
    };
    let draft = door.draft(message_type, shape, somebody, somebody);
    frame(&draft, &MetadataDraft::default(), &[b'x'; 100][..(i % 100) as usize])
}

fn refused(path: &Path, count: u64) -> io::Result<u64> {
    let mut door = RawDoor::open(path)?;
    door.be_patient(Duration::from_millis(200))?;
    for i in 0..count {
        let bytes = refusable(&mut door, i);
        // It is held up, or disconnected, and comes again.
        if door.say(&bytes).is_err() {
            door = RawDoor::open(path)?;
            door.be_patient(Duration::from_millis(200))?;
        }
    }
    Ok(count)
}

fn refused_and_heard(path: &Path, count: u64) -> io::Result<u64> {
    const BATCH: u64 = 100;
    let mut door = RawDoor::open(path)?;
    for batch in 0..count / BATCH {
        let bytes: Vec<u8> = (0..BATCH).flat_map(|i| refusable(&mut door, batch * BATCH + i)).collect();
        door.say(&bytes)?;
        for _ in 0..BATCH {
            assert_eq!(door.hear()?.header.message_type(), MessageType::Error);
        }
    }
    Ok(count / BATCH * BATCH)
}

fn questions(path: &Path, count: u64) -> io::Result<u64> {
    let mut door = RawDoor::open(path)?;
    door.be_patient(Duration::from_millis(200))?;
    for _ in 0..count {
        let draft = door.question();
        let metadata = MetadataDraft { subject: Some("node.agents"), ..MetadataDraft::default() };
        if door.say(&frame(&draft, &metadata, b"")).is_err() {
            door = RawDoor::open(path)?;
            door.be_patient(Duration::from_millis(200))?;
        }
    }
    Ok(count)
}

/// One agent attaches and reads nothing; another one sends it all it can, the largest frames among it.
fn unread(path: &Path, count: u64) -> io::Result<u64> {
    let mut sloth = RawDoor::open(path)?;
    let to = sloth.attach("sloth")?.map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut sender = RawDoor::open(path)?;
    let me = sender.attach("pusher")?.map_err(|error| io::Error::other(format!("{error:?}")))?;
    sender.be_patient(Duration::from_millis(200))?;
    let large = vec![1; limits::BODY_BYTES_MAX];
    let count = count / CONNECTION_COSTS;
    for i in 0..count {
        let shape = if i % 2 == 0 { Shape::Once } else { Shape::Durable(FlowKind::Messages) };
        let draft = sender.draft(MessageType::Broadcast, shape, me, to);
        // Both kinds, the durable ones as many as a mailbox holds.
        let is_large = i % 50 == 0 || i % 50 == 25 && i < 300;
        let body = if is_large { &large[..] } else { &large[..10_000] };
        let expiry = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64 + 5 * limits::SECOND);
        let metadata = MetadataDraft { expiry: Some(expiry), ..MetadataDraft::default() };
        if sender.say(&frame(&draft, &metadata, body)).is_err() {
            break;
        }
    }
    Ok(count)
}

fn silent(path: &Path, count: u64) -> io::Result<u64> {
    let mut doors = Vec::new();
    // How many are let in is another test's.
    for _ in 0..count.min(4000) {
        match RawDoor::open(path) {
            Ok(door) => doors.push(door),
            Err(_) => break,
        }
    }
    Ok(doors.len() as u64)
}

/// As many questions as the door takes, of the most laborious kind, and somebody who listens to the answers.
pub(super) fn flood(path: &Path) -> io::Result<u64> {
    const BATCH: u64 = 100;
    const COUNT: u64 = 300;
    let mut door = RawDoor::open(path)?;
    let mut ear = door.ear()?;
    let listening = std::thread::spawn(move || {
        for _ in 0..COUNT {
            ear.hear().expect("an answer");
        }
    });
    let metadata = MetadataDraft { subject: Some("node.agents"), ..MetadataDraft::default() };
    for _ in 0..COUNT / BATCH {
        let bytes: Vec<u8> = (0..BATCH).flat_map(|_| frame(&door.question(), &metadata, b"")).collect();
        door.say(&bytes)?;
    }
    listening.join().expect("it only listens");
    Ok(COUNT)
}

/// Gives the daemon some agents to speak of.
pub(super) fn populate(path: &Path) -> io::Result<RawDoor> {
    let mut door = RawDoor::open(path)?;
    for i in 0..50 {
        door.attach(&format!("agent{i}"))?.map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    Ok(door)
}
