//! Takes fixed fields off the front of an entry. It never reads past the end and copies nothing.

use bytes::{Buf, Bytes};

use super::EntryError;
use crate::{AgentId, limits};

const SHORT: EntryError = EntryError { what: "length" };

pub(super) struct Cursor(Bytes);

impl Cursor {
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Result<u8, EntryError> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    pub(super) fn truth(&mut self) -> Result<bool, EntryError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(EntryError { what: "truth" }),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, EntryError> {
        self.0.try_get_u16().map_err(|_| SHORT)
    }

    pub(super) fn u32(&mut self) -> Result<u32, EntryError> {
        self.0.try_get_u32().map_err(|_| SHORT)
    }

    pub(super) fn u64(&mut self) -> Result<u64, EntryError> {
        self.0.try_get_u64().map_err(|_| SHORT)
    }

    pub(super) fn agent(&mut self) -> Result<AgentId, EntryError> {
        let id = self.0.first_chunk::<{ limits::ID_BYTES }>().copied().ok_or(SHORT)?;
        self.0.advance(limits::ID_BYTES);
        Ok(AgentId::new(id))
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<Bytes, EntryError> {
        if bytes > self.0.len() { Err(SHORT) } else { Ok(self.0.split_to(bytes)) }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        self.0.split_off(0)
    }
}
