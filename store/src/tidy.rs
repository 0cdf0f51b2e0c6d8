//! How room comes back: what still lives in a segment is copied to the tail, made durable, and then the segment goes.
//!
//! A copy holds what one record on disk still had that is needed, and no more: it is never larger than what it was
//! made from, and damage to it can cost no more.

use proto::limits::JOURNAL_RESERVE_SEGMENTS;

use crate::ledger::Kept;
use crate::store::Room;
use crate::transaction::Item;
use crate::{Disk, RecordNumber, SegmentNumber, Store, StoreError};

/// What was done to win room.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tidied {
    /// Bytes that were copied.
    pub copied: usize,
    /// Segments that have gone.
    pub removed: usize,
    /// Records that could not be copied because they were damaged. They are lost.
    pub lost: Vec<RecordNumber>,
    /// There is more to do.
    pub more: bool,
}

impl<D: Disk> Store<D> {
    /// Copies at least one record and, beyond the first, at most `budget` bytes out of segments that are mostly dead,
    /// and removes those that are empty. It syncs before it removes. While the store is close to its limit, it takes
    /// segments that are hardly dead too. A read that fails changes nothing; the next call tries again.
    pub fn tidy(&mut self, budget: usize) -> Result<Tidied, StoreError> {
        self.check_poison()?;
        let mut tidied = Tidied::default();
        while let Some(victim) = self.victim.or_else(|| self.choose()) {
            self.victim = Some(victim);
            let Some(kept) = self.ledger.first_kept(victim) else {
                self.remove(victim)?;
                tidied.removed += 1;
                continue;
            };
            if tidied.copied > 0 && tidied.copied.saturating_add(kept.framed_bytes()) > budget {
                tidied.more = true;
                return Ok(tidied);
            }
            tidied.copied += kept.framed_bytes();
            self.copy(victim, &kept, &mut tidied.lost)?;
        }
        Ok(tidied)
    }

    /// Close to the limit, a segment is worth emptying for so little that, when all together hold one segment's worth
    /// of dead bytes, one of them is chosen.
    fn choose(&self) -> Option<SegmentNumber> {
        let is_close = self.is_near_limit() || self.ledger.segments() + JOURNAL_RESERVE_SEGMENTS >= self.segments_max;
        let parts = if is_close { 2 * self.segments_max } else { 2 };
        // With the last segment in use there is room for what is left of the emptiest, not for any.
        let may_be_full = self.ledger.segments() < self.segments_max;
        self.ledger.victim(self.active, may_be_full, |capacity| (capacity / parts).max(1))
    }

    fn copy(&mut self, victim: SegmentNumber, kept: &Kept, lost: &mut Vec<RecordNumber>) -> Result<(), StoreError> {
        let mut items = Vec::with_capacity(kept.puts.len() + kept.forgets.len());
        let mut damaged = Vec::new();
        for (number, place) in &kept.puts {
            let body = self.read(victim, *place)?;
            if place.holds(&body) {
                items.push(Item::Put(*number, body.into()));
            } else {
                damaged.push(*number);
            }
        }
        items.extend(kept.forgets.iter().copied().map(Item::Forget));
        if !items.is_empty() {
            self.add(&items, self.highest, Room::Copy)?;
        }
        for number in &damaged {
            self.ledger.lose(*number);
        }
        lost.append(&mut damaged);
        Ok(())
    }

    /// The sync covers the copies, and also the forgets by which a record here came to be dead.
    fn remove(&mut self, victim: SegmentNumber) -> Result<(), StoreError> {
        self.sync()?;
        let removed = self.disk.remove(victim).and_then(|()| self.disk.sync_dir());
        removed.map_err(|source| self.poison("removing a segment", source))?;
        self.ledger.remove_segment(victim);
        self.victim = None;
        Ok(())
    }
}
