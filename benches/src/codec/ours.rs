//! Frames made and opened as the daemon does it: a durable request with the metadata that it must have.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use keys::sign::Signer;
use keys::{AgentKey, Prekeys, Sealer, verify};
use proto::metadata::MetadataDraft;
use proto::{
    Boundary, Content, ContentType, Draft, FlowId, FlowKind, Frame, Header, MessageId, MessageType, Receipt, Sequence,
    Shape,
};

const NOW: u64 = 1_795_219_200_000_000_000;

pub(crate) struct World {
    key: AgentKey,
    draft: Draft,
    body: Vec<u8>,
    sealer: RefCell<Sealer>,
    signer: RefCell<Signer>,
    prekeys: RefCell<Prekeys>,
    door: Bytes,
    ping: Frame,
}

impl World {
    pub(crate) fn new(size: usize) -> Self {
        let key = AgentKey::make().unwrap();
        let destination = AgentKey::make().unwrap().id();
        let mut prekeys = Prekeys::new(destination);
        let prekey = prekeys.make(NOW).unwrap();
        let sealer = Sealer::new(key.id(), destination, prekey, 0).unwrap();
        let draft = Draft {
            message_type: MessageType::Request,
            shape: Shape::Durable(FlowKind::Messages),
            id: MessageId::new(7),
            timestamp: NOW,
            source: key.id(),
            destination,
            content_type: ContentType::Octets,
            hops: 8,
            sequence: Sequence::new(9),
            told: Receipt::None,
            last: false,
        };
        let body = vec![0x5a; size];
        let ping = Draft { message_type: MessageType::Ping, shape: Shape::Ping, sequence: Sequence::NONE, ..draft };
        let mut signer = Signer::new();
        let none = MetadataDraft::default();
        let ping = signer.sign(&key, &ping, &none, &body[..size.min(65_536)]).unwrap();
        let (signer, prekeys, sealer) = (RefCell::new(signer), RefCell::new(prekeys), RefCell::new(sealer));
        let mut world = Self { key, draft, body, sealer, signer, prekeys, door: Bytes::new(), ping };
        world.door = world.encode();
        world
    }

    fn metadata() -> MetadataDraft<'static> {
        MetadataDraft {
            expiry: Some(NOW),
            flow_id: FlowId::new(NOW),
            subject: Some("store"),
            floor: Some(3),
            handled_wanted: true,
            ..Default::default()
        }
    }

    /// Header, metadata and body in one buffer.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(96 + 64 + self.body.len());
        out.resize(96, 0);
        let metadata =
            MetadataDraft { expiry: Some(NOW), subject: Some("store"), handled_wanted: true, ..Default::default() };
        metadata.write(&mut out);
        out.extend_from_slice(&self.body);
        let draft = Draft { sequence: Sequence::NONE, ..self.draft };
        let header = Header::make(&draft, Boundary::Up, out.len() - 96).unwrap();
        out[..96].copy_from_slice(&header.to_bytes());
        out.freeze()
    }

    /// The same frame read: header, metadata and body checked.
    pub(crate) fn decode(&self) -> Content {
        let frame = Frame::read(self.door.clone(), Boundary::Up).unwrap();
        let (header, plain) = frame.into_plain().unwrap();
        Content::read(&header, plain).unwrap()
    }

    pub(crate) fn sign(&self) -> Frame {
        let draft =
            Draft { message_type: MessageType::Ping, shape: Shape::Ping, sequence: Sequence::NONE, ..self.draft };
        self.signer.borrow_mut().sign(&self.key, &draft, &MetadataDraft::default(), &self.body).unwrap()
    }

    pub(crate) fn verify(&self) -> proto::Verified<Frame> {
        verify::frame(self.ping.clone(), self.key.public()).unwrap()
    }

    pub(crate) fn seal(&self) -> Frame {
        let mut sealer = self.sealer.borrow_mut();
        if sealer.is_spent(0) {
            *sealer = Sealer::new(self.key.id(), self.draft.destination, *sealer.prekey(), 0).unwrap();
        }
        sealer.seal(&self.key, &self.draft, &Self::metadata(), &self.body, 0).unwrap()
    }

    /// As it arrives: bytes that nobody else holds.
    pub(crate) fn sealed(&self) -> BytesMut {
        BytesMut::from(&self.seal().as_bytes()[..])
    }

    pub(crate) fn open(&self, mut arrived: BytesMut) -> Content {
        let frame = Frame::take(&mut arrived, Boundary::Wire).unwrap();
        drop(arrived);
        let verified = verify::frame(frame, self.key.public()).unwrap();
        verify::open(verified, &mut self.prekeys.borrow_mut(), NOW).unwrap().into_inner()
    }
}
