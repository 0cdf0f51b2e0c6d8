//! Who belongs to a mesh: what its members say to each other about newcomers, certificates and the authority's key, and
//! what a newcomer and its inviter say (`docs/PROTOCOL.md`, section 11). Signatures are made and checked in `keys`.

use bytes::Bytes;
use prost::Message;

use crate::control::RawMember;
use crate::{ErrorCode, limits};

mod join;

pub use join::{JoinAnswer, JoinAsk, Joined, SignedAsk};

/// From when until when a certificate counts, in ns. Both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The first moment.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
}

impl Validity {
    /// That of a node's certificate which is made at `now`. Certificates know whole seconds.
    #[must_use]
    pub const fn of_node(now: u64) -> Self {
        Self::of(now, limits::CERTIFICATE_LIFE)
    }

    /// That of an authority's certificate, likewise.
    #[must_use]
    pub const fn of_authority(now: u64) -> Self {
        Self::of(now, limits::AUTHORITY_LIFE)
    }

    const fn of(now: u64, life: u64) -> Self {
        let second = now - now % limits::SECOND;
        Self {
            not_before: second.saturating_sub(limits::CERTIFICATE_BACKDATED),
            not_after: second.saturating_add(life),
        }
    }

    /// Whether `now` lies in it.
    #[must_use]
    pub const fn contains(self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// From when on it should be renewed.
    #[must_use]
    pub const fn renew_at(self) -> u64 {
        self.after(limits::RENEW_AT)
    }

    /// From when on people should be told that nothing renewed it.
    #[must_use]
    pub const fn warn_at(self) -> u64 {
        self.after(limits::WARN_AT)
    }

    const fn after(self, parts: u64) -> u64 {
        let life = self.not_after.saturating_sub(self.not_before);
        self.not_before.saturating_add(life / limits::CERTIFICATE_PARTS * parts)
    }
}

/// What one member says to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberMessage {
    /// Which question it is, or which one it answers. Drawn by whoever asks.
    pub request: u64,
    /// What it says.
    pub said: MemberSaid,
}

/// One thing that a member can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberSaid {
    /// I hold the authority's key.
    Holder,
    /// I gave out a ticket.
    Invite {
        /// The public half of the key that is in it.
        ticket_key: [u8; limits::PUBLIC_KEY_BYTES],
        /// Until when it counts, in seconds.
        expiry: u64,
    },
    /// I shall take it.
    Invited,
    /// Somebody asks to join with a ticket of mine.
    Join {
        /// As it was signed.
        ask: Bytes,
    },
    /// What it is to be answered.
    Joined {
        /// A [`JoinAnswer`].
        answer: Bytes,
    },
    /// My certificate ends soon.
    Renew,
    /// Here is another one.
    Renewed {
        /// In DER.
        certificate: Bytes,
    },
    /// I would give you the authority's key.
    ShareOffer,
    /// Seal it to this key.
    ShareWanted {
        /// An X25519 key for this once.
        public: [u8; limits::AGREEMENT_KEY_BYTES],
        /// My signature over it.
        signature: [u8; limits::SIGNATURE_BYTES],
    },
    /// Here it is.
    Share {
        /// Sealed.
        sealed: Bytes,
    },
    /// I have it, on disk.
    ShareTaken,
    /// No.
    Refused {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people. Untrusted.
        words: Box<str>,
    },
}

const HOLDER: u32 = 1;
const INVITE: u32 = 2;
const INVITED: u32 = 3;
const JOIN: u32 = 4;
const JOINED: u32 = 5;
const RENEW: u32 = 6;
const RENEWED: u32 = 7;
const SHARE_OFFER: u32 = 8;
const SHARE_WANTED: u32 = 9;
const SHARE: u32 = 10;
const SHARE_TAKEN: u32 = 11;
const REFUSED: u32 = 12;

impl MemberMessage {
    /// Reads the body of one. What a later version says is `None` too: it says so in a kind of its own.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let raw = RawMember::decode(body).ok()?;
        let content = Bytes::from(raw.content);
        let said = match raw.kind {
            HOLDER => MemberSaid::Holder,
            INVITE => MemberSaid::Invite { ticket_key: raw.key.try_into().ok()?, expiry: raw.expiry },
            INVITED => MemberSaid::Invited,
            JOIN => MemberSaid::Join { ask: content },
            JOINED => MemberSaid::Joined { answer: content },
            RENEW => MemberSaid::Renew,
            RENEWED => MemberSaid::Renewed { certificate: content },
            SHARE_OFFER => MemberSaid::ShareOffer,
            SHARE_WANTED => {
                MemberSaid::ShareWanted { public: raw.key.try_into().ok()?, signature: raw.signature.try_into().ok()? }
            }
            SHARE => MemberSaid::Share { sealed: content },
            SHARE_TAKEN => MemberSaid::ShareTaken,
            REFUSED => {
                let code = ErrorCode::new(u16::try_from(raw.code).ok()?)?;
                if raw.words.len() > limits::REFUSED_WORDS_BYTES_MAX {
                    return None;
                }
                MemberSaid::Refused { code, words: raw.words.into() }
            }
            _ => return None,
        };
        Some(Self { request: raw.request, said })
    }

    /// Writes the body. Words beyond their bound are cut at a character.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut raw = RawMember { request: self.request, ..RawMember::default() };
        match &self.said {
            MemberSaid::Holder => raw.kind = HOLDER,
            MemberSaid::Invite { ticket_key, expiry } => {
                raw.kind = INVITE;
                raw.key = ticket_key.to_vec();
                raw.expiry = *expiry;
            }
            MemberSaid::Invited => raw.kind = INVITED,
            MemberSaid::Join { ask } => (raw.kind, raw.content) = (JOIN, ask.to_vec()),
            MemberSaid::Joined { answer } => (raw.kind, raw.content) = (JOINED, answer.to_vec()),
            MemberSaid::Renew => raw.kind = RENEW,
            MemberSaid::Renewed { certificate } => (raw.kind, raw.content) = (RENEWED, certificate.to_vec()),
            MemberSaid::ShareOffer => raw.kind = SHARE_OFFER,
            MemberSaid::ShareWanted { public, signature } => {
                raw.kind = SHARE_WANTED;
                raw.key = public.to_vec();
                raw.signature = signature.to_vec();
            }
            MemberSaid::Share { sealed } => (raw.kind, raw.content) = (SHARE, sealed.to_vec()),
            MemberSaid::ShareTaken => raw.kind = SHARE_TAKEN,
            MemberSaid::Refused { code, words } => {
                raw.kind = REFUSED;
                raw.code = code.get().into();
                raw.words = cut(words).into();
            }
        }
        raw.encode_to_vec().into()
    }
}

/// Words within their bound.
fn cut(words: &str) -> &str {
    words.get(..words.floor_char_boundary(limits::REFUSED_WORDS_BYTES_MAX)).unwrap_or_default()
}
