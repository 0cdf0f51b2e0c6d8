//! How much a client may send: what was taken from it since it came, and how far it was told that it may go. Nobody is
//! stopped here who goes further: no more is read than the node takes.

use proto::metadata::Key;
use proto::{Content, DoorEvent, Header, limits};

/// Frames, and their bytes with their headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Amount {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// What is taken at most beyond what was taken.
const WINDOW: Amount = Amount { frames: limits::SESSION_CREDIT_MESSAGES, bytes: limits::SESSION_CREDIT_BYTES };

/// One connection's account.
#[derive(Debug, Default)]
pub(super) struct Credit {
    taken: Amount,
    /// Only who speaks of credit is told of it.
    told: Option<Amount>,
}

impl Credit {
    pub(super) const fn note(&mut self, header: &Header) {
        self.taken.frames += 1;
        self.taken.bytes += (limits::HEADER_BYTES + header.payload_bytes()) as u64;
    }

    /// What to tell before a frame is passed on: it may be the first that speaks of credit.
    pub(super) fn begin(&mut self, event: DoorEvent, content: &Content) -> Option<Amount> {
        let may_speak = matches!(event, DoorEvent::Credit | DoorEvent::Attach);
        let speaks = [Key::CreditMessages, Key::CreditBytes].iter().all(|key| content.metadata.has(*key));
        (may_speak && speaks && self.told.is_none()).then(|| self.tell())
    }

    /// What to tell now that a frame was passed on: more, if half of what was told is used up.
    pub(super) fn renew(&mut self) -> Option<Amount> {
        let told = self.told?;
        let is_half =
            told.frames <= self.taken.frames + WINDOW.frames / 2 || told.bytes <= self.taken.bytes + WINDOW.bytes / 2;
        is_half.then(|| self.tell())
    }

    fn tell(&mut self) -> Amount {
        let Amount { frames, bytes } = self.taken;
        let told = Amount { frames: frames + WINDOW.frames, bytes: bytes + WINDOW.bytes };
        self.told = Some(told);
        told
    }
}
