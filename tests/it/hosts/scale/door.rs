//! A connection at the agents' door that only attaches, under one name or many. It reads no more than the answers to
//! that: what comes later stays in the socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use proto::control::{Attach, ControlBody};
use proto::metadata::MetadataDraft;
use proto::{AgentId, Boundary, ContentType, Draft, Frame, Header, MessageId, MessageType, Receipt, Sequence, Shape};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Door {
    socket: UnixStream,
    arrived: BytesMut,
}

impl Door {
    pub(super) fn open(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the door is open");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, arrived: BytesMut::new() }
    }

    /// Asks for all of them at once, and waits until all are attached.
    pub(super) fn attach(&mut self, names: &[String]) {
        let frames: Vec<u8> = names.iter().zip(1..).flat_map(|(name, id)| attach_frame(name, id)).collect();
        self.socket.write_all(&frames).expect("the door takes it");
        for name in names {
            let frame = self.hear();
            assert_eq!(frame.header().message_type(), MessageType::Response, "{name} is attached");
        }
    }

    /// Whether the daemon ends the connection without a word.
    pub(super) fn is_turned_away(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 64]), Ok(0))
    }

    fn hear(&mut self) -> Frame {
        loop {
            if let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Down) {
                return frame;
            }
            let mut bytes = [0; 4096];
            let length = self.socket.read(&mut bytes).expect("an answer in time");
            assert!(length > 0, "the door was closed");
            self.arrived.extend_from_slice(&bytes[..length]);
        }
    }
}

fn attach_frame(name: &str, id: u64) -> Vec<u8> {
    let draft = Draft {
        message_type: MessageType::Request,
        shape: Shape::Once,
        id: MessageId::new(id),
        timestamp: 0,
        source: AgentId::ZERO,
        destination: AgentId::ZERO,
        content_type: ContentType::Json,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    };
    let mut plain = BytesMut::new();
    MetadataDraft { subject: Some("agent.attach"), ..MetadataDraft::default() }.write(&mut plain);
    plain.extend_from_slice(&Attach { name: name.into(), ..Attach::default() }.write(ContentType::Json));
    let header = Header::make(&draft, Boundary::Up, plain.len()).expect("a header");
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(&plain);
    bytes
}
