//! Frames made and frames opened: which key signs, which seals, which verifies. It runs where it is called, holds no
//! queue, and names no cipher.

use std::collections::BTreeMap;

use keys::prekey::PrekeyPublic;
use keys::seal::SealError;
use keys::sign::Signer;
use keys::verify::{self, Rejected};
use keys::{PublicKey, Sealer};
use mesh::{Node, Now, Outgoing, PeerSaid};
use proto::entry::Parts;
use proto::{AgentId, Boundary, Frame, Protection, Refusal, Verified, limits};

use crate::shared::Shared;
use crate::tables::Hosted;

/// Makes the frames of one link. It remembers an ephemeral key for each pair of agents, and is used by one task.
#[derive(Debug, Default)]
pub(crate) struct Maker {
    sealers: BTreeMap<(AgentId, AgentId), Sealer>,
    signer: Signer,
}

/// Why a frame was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// Its source's key is not kept here. A fault of whoever asked.
    #[error("the source does not live here")]
    NotHere,
    /// It could not be sealed or signed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Maker {
    pub(crate) fn make(
        &mut self,
        shared: &Shared,
        outgoing: &Outgoing,
        parts: &Parts,
        seal_to: Option<[u8; 32]>,
    ) -> Result<Frame, MakeError> {
        let draft = &outgoing.draft;
        let hosted = shared.hosted.find(draft.source).ok_or(MakeError::NotHere)?;
        let key = hosted.key.as_agent();
        let mut application = Vec::new();
        let metadata = outgoing.notes.draft(parts, &mut application);
        let Some(prekey) = seal_to else {
            return Ok(self.signer.sign(key, draft, &metadata, &parts.body)?);
        };
        let now = shared.clock.now().mono.0;
        let sealer = self.sealer((draft.source, draft.destination), prekey, now)?;
        Ok(sealer.seal(key, draft, &metadata, &parts.body, now)?)
    }

    /// What is used no more would still open what it has sealed.
    pub(crate) fn forget_spent(&mut self, shared: &Shared) {
        let now = shared.clock.now().mono.0;
        self.sealers.retain(|_, sealer| !sealer.is_spent(now));
    }

    fn sealer(&mut self, pair: (AgentId, AgentId), prekey: [u8; 32], now: u64) -> Result<&mut Sealer, SealError> {
        let is_good = |sealer: &Sealer| *sealer.prekey().public() == prekey && !sealer.is_spent(now);
        if !self.sealers.get(&pair).is_some_and(is_good) {
            let sealer = Sealer::new(pair.0, pair.1, PrekeyPublic::new(prekey), now)?;
            if self.sealers.len() >= limits::SEALERS_KEPT_MAX {
                self.sealers.retain(|_, sealer| !sealer.is_spent(now));
            }
            if self.sealers.len() >= limits::SEALERS_KEPT_MAX {
                self.sealers.pop_first();
            }
            self.sealers.insert(pair, sealer);
        }
        // It was there, or has just been put there.
        self.sealers.get_mut(&pair).ok_or(SealError::Spent)
    }
}

/// What a frame from the wire came to.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// The core hears of it.
    Said(PeerSaid),
    /// Its signature holds and its content is refused: the core hears of it, and says so to its source.
    Unfit(PeerSaid, Refusal),
    /// Its destination does not live here.
    NotHere,
    /// It is dropped. Nothing about it was verified, or its content is refused.
    Dropped(Refusal),
    /// It is too old, or from the future, to be looked at.
    Stale,
}

/// The cheap questions, which need no cipher.
pub(crate) enum Admitted {
    /// The source's key, and the agent that it is for.
    Yes(PublicKey, std::sync::Arc<Hosted>),
    /// No more than this is known.
    No(Arrived),
}

/// Asks them.
pub(crate) fn admit(shared: &Shared, frame: &Frame, now: Now) -> Admitted {
    let header = frame.header();
    let Some(hosted) = shared.hosted.find(header.destination()) else { return Admitted::No(Arrived::NotHere) };
    if !Node::is_timely(header, now) {
        return Admitted::No(Arrived::Stale);
    }
    match shared.keys.find(header.source()) {
        Some(key) => Admitted::Yes(key, hosted),
        None => Admitted::No(Arrived::Said(PeerSaid::UnknownSource(header.source()))),
    }
}

/// Verifies a frame and opens it.
pub(crate) fn open(frame: Frame, key: &PublicKey, hosted: &Hosted, now: Now) -> Arrived {
    let protection = frame.header().shape().protection(Boundary::Wire);
    let verified = match verify::frame(frame, key) {
        Ok(verified) => verified,
        Err(refusal) => return Arrived::Dropped(refusal),
    };
    match protection {
        Protection::Signed => match verify::read(verified) {
            Ok(content) => Arrived::Said(PeerSaid::Frame(content.boxed())),
            Err(refusal) => Arrived::Dropped(refusal),
        },
        Protection::SealedSigned => unseal(verified, hosted, now),
        Protection::Sealed | Protection::None => Arrived::Dropped(Refusal::Unprotected),
    }
}

fn unseal(frame: Verified<Frame>, hosted: &Hosted, now: Now) -> Arrived {
    let header = verify::header(&frame);
    match verify::open_or_place(frame, &mut hosted.prekeys.lock(), now.wall.0) {
        Ok(content) => Arrived::Said(PeerSaid::Frame(content.boxed())),
        Err(Rejected::Unfit(place, refusal)) => Arrived::Unfit(PeerSaid::Unfit(place, refusal), refusal),
        Err(Rejected::Refused(refusal @ (Refusal::UnknownPrekey | Refusal::ExpiredPrekey))) => {
            Arrived::Unfit(PeerSaid::OldPrekey(header.boxed()), refusal)
        }
        Err(Rejected::Refused(refusal)) => Arrived::Dropped(refusal),
    }
}
