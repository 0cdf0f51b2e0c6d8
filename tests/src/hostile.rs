//! The agents' door from outside, byte by byte: for clients that mean harm, or know no better. It uses nothing of the
//! library, and says whatever it is told to.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proto::control::{Attach, AttachReply, ControlBody, ErrorBody, subject};
use proto::metadata::MetadataDraft;
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, Frame, Header, MessageId, MessageType, Receipt, Sequence, Shape,
};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub struct RawDoor {
    socket: UnixStream,
    arrived: BytesMut,
    next: u64,
}

impl RawDoor {
    /// Connects.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // Of two connections neither draws an id that the other has.
        let next = u64::from(std::process::id()) << 32 | u64::from(socket_number(&socket)) << 16;
        Ok(Self { socket, arrived: BytesMut::new(), next })
    }

    /// The same connection for one who only listens. What has arrived before stays here.
    pub fn ear(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, arrived: BytesMut::new(), next: 0 })
    }

    /// From now on nothing waits longer than this.
    pub fn be_patient(&self, wait: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(wait))?;
        self.socket.set_write_timeout(Some(wait))
    }

    /// Sends any bytes.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Waits for the next frame.
    pub fn hear(&mut self) -> io::Result<Content> {
        loop {
            if let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Down) {
                let (header, plain) = frame.into_plain().ok_or(io::ErrorKind::InvalidData)?;
                return Content::read(&header, plain).map_err(io::Error::other);
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.arrived.extend_from_slice(&bytes[..length]),
            }
        }
    }

    /// The bytes that have arrived by now, whatever they are.
    pub fn hear_if_any(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; 16 << 10];
        self.socket.set_nonblocking(true)?;
        let read = self.socket.read(&mut bytes);
        self.socket.set_nonblocking(false)?;
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(Some(bytes[..length].to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the daemon ends the connection. What it says before is passed over.
    pub fn has_ended(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                // What it did not read is lost with the connection, and the kernel says so.
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Asks for a name, and hears what it is, or why not.
    pub fn attach(&mut self, name: &str) -> io::Result<Result<AgentId, ErrorBody>> {
        let body = Attach { name: name.into(), ..Attach::default() }.write(ContentType::Json);
        let metadata = MetadataDraft { subject: Some(subject::ATTACH), ..MetadataDraft::default() };
        let draft = self.question();
        self.say(&frame(&draft, &metadata, &body))?;
        let answer = self.hear()?;
        if answer.header.message_type() == MessageType::Error {
            return Ok(Err(answer.error().map_err(io::Error::other)?));
        }
        let reply = AttachReply::read(answer.header.content_type(), &answer.body).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Ok(reply.agent_id.parse().map_err(io::Error::other)?))
    }

    /// A question to the node, from nobody.
    pub fn question(&mut self) -> Draft {
        let draft = self.draft(MessageType::Request, Shape::Once, AgentId::ZERO, AgentId::ZERO);
        Draft { content_type: ContentType::Json, ..draft }
    }

    /// A header with the next id.
    pub fn draft(&mut self, message_type: MessageType, shape: Shape, source: AgentId, destination: AgentId) -> Draft {
        self.next += 1;
        Draft {
            message_type,
            shape,
            id: MessageId::new(self.next),
            timestamp: 0,
            source,
            destination,
            content_type: ContentType::None,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        }
    }
}

/// A frame as an agent may send it.
///
/// # Panics
/// If there is no such frame; spoil it afterwards.
#[must_use]
pub fn frame(draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Vec<u8> {
    let mut plain = BytesMut::new();
    metadata.write(&mut plain);
    plain.extend_from_slice(body);
    let header = Header::make(draft, Boundary::Up, plain.len()).expect("a header");
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(&plain);
    bytes
}

/// A frame whose metadata are any bytes.
///
/// # Panics
/// If there is no such frame.
#[must_use]
pub fn frame_with(draft: &Draft, metadata: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(metadata.len()).expect("short").to_be_bytes();
    let plain = [&length[..], metadata, body].concat();
    let header = Header::make(draft, Boundary::Up, plain.len()).expect("a header");
    [&header.to_bytes()[..], &plain].concat()
}

/// A generator whose bytes nobody can foresee and everybody can repeat.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The same seed gives the same noise.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// That many bytes.
    pub fn bytes(&mut self, length: usize) -> Bytes {
        let words = length.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.next().to_be_bytes()).collect();
        bytes.truncate(length);
        bytes.into()
    }
}

fn socket_number(socket: &UnixStream) -> u16 {
    use std::os::fd::AsRawFd;
    u16::try_from(socket.as_raw_fd()).unwrap_or(u16::MAX)
}
