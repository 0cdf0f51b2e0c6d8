//! The keys of the days, and which entries each still has to open. A key goes with the last entry of its day. What is
//! sealed names its day, and is bound to its entry's number.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use keys::store_key::{Credential, StoreKey};
use mesh::Wall;
use proto::limits::HOUR;

use crate::{StartError, StateDir};

const DAY: u64 = 24 * HOUR;
const DAY_BYTES: usize = 8;

/// Seals what goes to the journal, and opens what comes from it.
#[derive(Debug)]
pub(crate) struct Days {
    state: StateDir,
    credential: Credential,
    keys: BTreeMap<u64, StoreKey>,
    /// The day of each entry that lives.
    entries: BTreeMap<u64, u64>,
    /// How many entries of each day live.
    living: BTreeMap<u64, u64>,
}

/// Why an entry could not be sealed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The key of a new day could not be kept.
    #[error("the key of a new day cannot be kept: {0}")]
    Key(#[from] std::io::Error),
    /// It could not be made or used.
    #[error("{0}")]
    Cipher(#[from] keys::store_key::StoreKeyError),
    /// The operating system gives no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] keys::NoRandomness),
}

impl Days {
    pub(crate) fn open(state: StateDir, credential: Credential) -> Result<Self, StartError> {
        let keys = state.day_keys(&credential)?;
        Ok(Self::of(state, credential, keys))
    }

    /// With the keys that are there, whether they are all or not.
    pub(crate) fn of(state: StateDir, credential: Credential, keys: BTreeMap<u64, StoreKey>) -> Self {
        Self { state, credential, keys, entries: BTreeMap::new(), living: BTreeMap::new() }
    }

    /// How many entries of each day live.
    pub(crate) const fn living(&self) -> &BTreeMap<u64, u64> {
        &self.living
    }

    /// `day (8) ‖ sealed`, under the key of the day that `wall` lies in.
    pub(crate) fn seal(&mut self, number: u64, body: &[u8], wall: Wall) -> Result<Bytes, SealError> {
        let day = wall.0 / DAY;
        if !self.keys.contains_key(&day) {
            let key = StoreKey::make()?;
            self.state.save_day_key(day, &key, &self.credential)?;
            self.keys.insert(day, key);
        }
        let key = self.keys.get_mut(&day).ok_or(keys::store_key::StoreKeyError::Broken)?;
        let sealed = key.seal(&number.to_be_bytes(), body)?;
        let mut out = BytesMut::with_capacity(DAY_BYTES + sealed.len());
        out.put_u64(day);
        out.extend_from_slice(&sealed);
        self.note(number, day);
        Ok(out.freeze())
    }

    /// What was sealed under this number; `None` if it was changed, or sealed under another.
    pub(crate) fn unseal(&self, number: u64, record: &[u8]) -> Option<Bytes> {
        let (day, sealed) = split(record)?;
        self.keys.get(&day)?.open(&number.to_be_bytes(), sealed).ok()
    }

    /// At a start: an entry of the journal lives. If its day's key is not there, the error says which day that is.
    pub(crate) fn adopt(&mut self, number: u64, record: &[u8]) -> Result<(), u64> {
        let Some((day, _)) = split(record) else { return Ok(()) };
        self.note(number, day);
        if self.keys.contains_key(&day) { Ok(()) } else { Err(day) }
    }

    /// The entry is needed no more, and that is synced.
    pub(crate) fn forget(&mut self, number: u64) {
        let Some(day) = self.entries.remove(&number) else { return };
        if let Some(living) = self.living.get_mut(&day) {
            *living = living.saturating_sub(1);
        }
    }

    /// Erases the keys of days past of which no entry lives.
    pub(crate) fn erase_unneeded(&mut self, wall: Wall) {
        let today = wall.0 / DAY;
        let unneeded: Vec<u64> = self
            .keys
            .keys()
            .copied()
            .filter(|day| *day != today && self.living.get(day).copied().unwrap_or(0) == 0)
            .collect();
        for day in unneeded {
            match self.state.erase_day_key(day) {
                Ok(()) => {
                    self.keys.remove(&day);
                    self.living.remove(&day);
                    tracing::debug!(day, "the key of a day was erased");
                }
                Err(error) => tracing::warn!(day, %error, "the key of a day cannot be erased"),
            }
        }
    }

    fn note(&mut self, number: u64, day: u64) {
        self.entries.insert(number, day);
        *self.living.entry(day).or_default() += 1;
    }
}

fn split(record: &[u8]) -> Option<(u64, &[u8])> {
    let (day, sealed) = record.split_first_chunk::<DAY_BYTES>()?;
    Some((u64::from_be_bytes(*day), sealed))
}
