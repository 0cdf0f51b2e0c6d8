//! The store itself: append, sync, load, close. What it decides is where bytes go, and nothing else.

use bytes::Bytes;
use proto::limits::{
    JOURNAL_BUFFER_BYTES, JOURNAL_ITEMS_MAX, JOURNAL_RECORD_HEADER_BYTES, JOURNAL_RESERVE_SEGMENTS,
    JOURNAL_SEGMENT_BYTES, JOURNAL_SEGMENT_HEADER_BYTES, JOURNAL_SPARE_SEGMENTS,
};

use crate::ledger::Ledger;
use crate::record::{self, Binding, Kind, Numbers, Place};
use crate::segment::{self, SegmentHeader};
use crate::transaction::Item;
use crate::{AppendNumber, Disk, RecordNumber, SegmentNumber, StoreError, Transaction};

/// What opening is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Random bytes that name the store, should it have to be made.
    pub new_id: [u8; 16],
    /// Bytes of each segment, should the store have to be made; later it is what it was then.
    pub segment_bytes: usize,
    /// All segments together take no more than this.
    pub limit_bytes: u64,
}

impl Options {
    /// Segments of the usual length.
    #[must_use]
    pub const fn new(new_id: [u8; 16], limit_bytes: u64) -> Self {
        Self { new_id, segment_bytes: JOURNAL_SEGMENT_BYTES, limit_bytes }
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store<D> {
    pub(crate) disk: D,
    pub(crate) id: [u8; 16],
    pub(crate) segment_bytes: usize,
    pub(crate) segments_max: usize,
    pub(crate) ledger: Ledger,
    pub(crate) active: SegmentNumber,
    /// Where the next record goes.
    pub(crate) tail: usize,
    /// The last bytes before the tail, not yet handed to the disk.
    pub(crate) buffer: Vec<u8>,
    pub(crate) next_sequence: u64,
    /// All up to this sequence is durable.
    pub(crate) synced: u64,
    pub(crate) highest: u64,
    pub(crate) is_poisoned: bool,
    /// The segment that is being emptied. It is finished before another is begun.
    pub(crate) victim: Option<SegmentNumber>,
    /// A spare segment was used, or could not be made.
    pub(crate) lacks_spares: bool,
}

/// Who asks for room. Each may go one segment further than the one before.
#[derive(Clone, Copy)]
pub(crate) enum Room {
    Put,
    Forget,
    Copy,
}

impl<D: Disk> Store<D> {
    /// Adds a transaction. It is durable once a sync answers with its number or a later one.
    pub fn append(&mut self, transaction: Transaction) -> Result<AppendNumber, StoreError> {
        self.check_poison()?;
        let (items, highest) = self.admit(transaction.into_items())?;
        if items.is_empty() {
            return Ok(self.last());
        }
        let has_put = items.iter().any(|item| matches!(item, Item::Put(..)));
        self.add(&items, highest, if has_put { Room::Put } else { Room::Forget })
    }

    /// Makes all that was appended durable, and says up to where.
    pub fn sync(&mut self) -> Result<AppendNumber, StoreError> {
        self.check_poison()?;
        if self.synced == self.last().get() {
            return Ok(self.last());
        }
        self.flush()?;
        self.sync_active()?;
        self.note(Kind::Mark)?;
        Ok(self.last())
    }

    /// The bytes of a record, whether synced or not.
    pub fn load(&self, number: RecordNumber) -> Result<Bytes, StoreError> {
        let (segment, place) = self.ledger.find(number).ok_or(StoreError::Unknown { number })?;
        let body = self.read(segment, place)?;
        if !place.holds(&body) {
            return Err(StoreError::Damaged { number });
        }
        Ok(body.into())
    }

    /// Syncs, and notes that the store was stopped in peace.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.note(Kind::Clean)?;
        self.sync_active()
    }

    /// The store's id: that of the options which made it.
    #[must_use]
    pub const fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The highest number that was ever put; nothing was put if it is 0.
    #[must_use]
    pub const fn highest(&self) -> RecordNumber {
        RecordNumber::new(self.highest)
    }

    /// What the records that live take on disk, and the forgets that are still needed.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.ledger.live_bytes()
    }

    /// What the segments take on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.segment_bytes as u64 * self.ledger.segments() as u64
    }

    /// Whether something new should be begun. If not, all that is appended still finds room for a while: that of the
    /// spare segments on a disk that is full, and that of as many below the limit. It is kept for ending what was begun.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.lacks_spares && !self.is_near_limit()
    }

    /// As many segments as are spare are still free below the limit, or fewer.
    pub(crate) fn is_near_limit(&self) -> bool {
        let most = self.segments_max - JOURNAL_RESERVE_SEGMENTS;
        self.ledger.segments() + JOURNAL_SPARE_SEGMENTS.min(most / 2) > most
    }

    /// Keeps segments in reserve for when the disk has no room for another one. If it has no room for them either, the
    /// store goes on without, and a later call tries again; [`Store::has_room`] says which it is.
    pub fn keep_spares(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        let kept = self.disk.keep_spares(JOURNAL_SPARE_SEGMENTS, self.segment_bytes);
        self.lacks_spares = kept.is_err();
        match kept {
            Err(source) if !is_full(&source) => Err(self.poison("making a spare segment", source)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives a spare segment up, so that something small beside the store finds room. `false` if there is none.
    pub fn give_up_spare(&mut self) -> Result<bool, StoreError> {
        self.check_poison()?;
        self.lacks_spares = true;
        self.disk.remove_spare().map_err(|source| self.poison("removing a spare segment", source))
    }

    /// Drops forgets of what is not there, and refuses numbers that do not grow.
    fn admit(&self, items: Vec<Item>) -> Result<(Vec<Item>, u64), StoreError> {
        let mut highest = self.highest;
        let mut admitted = Vec::with_capacity(items.len());
        for item in items {
            match &item {
                Item::Put(number, _) if number.get() <= highest => {
                    let highest = RecordNumber::new(highest);
                    return Err(StoreError::NotGrowing { number: *number, highest });
                }
                Item::Put(number, _) => highest = number.get(),
                // What this very transaction put is greater than all before.
                Item::Forget(number) if number.get() > self.highest && number.get() <= highest => {}
                Item::Forget(number) if !self.ledger.is_live(*number) => continue,
                Item::Forget(_) => {}
            }
            admitted.push(item);
        }
        Ok((admitted, highest))
    }

    pub(crate) fn add(&mut self, items: &[Item], highest: u64, room: Room) -> Result<AppendNumber, StoreError> {
        let framed = record::framed_bytes_of(items);
        let most = self.segment_bytes - JOURNAL_SEGMENT_HEADER_BYTES - JOURNAL_RECORD_HEADER_BYTES;
        if framed > most || items.len() > JOURNAL_ITEMS_MAX {
            return Err(StoreError::TooLarge { bytes: framed, most });
        }
        self.make_room(framed, room)?;
        let numbers = Numbers { sequence: self.next_sequence, synced: self.synced, highest };
        let binding = self.binding();
        let entries = record::encode(&mut self.buffer, &binding, self.tail, numbers, items);
        self.ledger.apply(self.active, self.tail, &entries);
        self.tail += framed;
        self.next_sequence += 1;
        self.highest = highest;
        if self.buffer.len() >= JOURNAL_BUFFER_BYTES {
            self.flush()?;
        }
        Ok(self.last())
    }

    fn make_room(&mut self, framed: usize, room: Room) -> Result<(), StoreError> {
        let most = match room {
            Room::Put => self.segments_max - JOURNAL_RESERVE_SEGMENTS,
            Room::Forget => self.segments_max - 1,
            Room::Copy => self.segments_max,
        };
        // A note always has room behind the last record.
        let is_short = self.tail + framed + JOURNAL_RECORD_HEADER_BYTES > self.segment_bytes;
        if self.ledger.segments() + usize::from(is_short) > most {
            return Err(StoreError::Full { limit: self.segment_bytes as u64 * self.segments_max as u64 });
        }
        if is_short { self.roll() } else { Ok(()) }
    }

    /// Goes on in a new segment. All in the old one is durable before the new one is there, so that damage in any
    /// segment but the newest is never a tear.
    pub(crate) fn roll(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.note(Kind::Seal)?;
        self.sync_active()?;
        let next = self.active.next();
        self.make_segment(next)?;
        self.start(next)
    }

    /// Out of the disk's room, or of a spare segment if there is none.
    pub(crate) fn make_segment(&mut self, segment: SegmentNumber) -> Result<(), StoreError> {
        let Err(source) = self.disk.create(segment, self.segment_bytes) else { return Ok(()) };
        if !is_full(&source) {
            return Err(self.poison("making a segment", source));
        }
        // The next attempt makes it anew; until then it should not take what little room there is.
        match self.disk.remove(segment).and_then(|()| self.disk.sync_dir()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(self.poison("removing a segment", error));
            }
            Ok(()) | Err(_) => {}
        }
        self.lacks_spares = true;
        match self.disk.create_from_spare(segment, self.segment_bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::NoSpace { source }),
            Err(error) => Err(self.poison("using a spare segment", error)),
        }
    }

    /// Heads a segment of zeros and makes it the active one.
    pub(crate) fn start(&mut self, segment: SegmentNumber) -> Result<(), StoreError> {
        let header =
            SegmentHeader { store: self.id, segment, bytes: self.segment_bytes, first_sequence: self.next_sequence };
        self.write(segment, 0, &segment::encode(&header))?;
        self.disk.sync_data(segment).map_err(|source| self.poison("syncing a segment", source))?;
        self.ledger.add_segment(segment, self.segment_bytes);
        self.active = segment;
        self.tail = JOURNAL_SEGMENT_HEADER_BYTES;
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.write(self.active, self.tail - buffer.len(), &buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        self.buffer.shrink_to(JOURNAL_BUFFER_BYTES);
        Ok(())
    }

    pub(crate) fn sync_active(&mut self) -> Result<(), StoreError> {
        self.disk.sync_data(self.active).map_err(|source| self.poison("syncing", source))?;
        self.synced = self.last().get();
        Ok(())
    }

    /// Written where the next record will go, and not synced by itself.
    pub(crate) fn note(&mut self, kind: Kind) -> Result<(), StoreError> {
        let numbers = Numbers { sequence: self.next_sequence, synced: self.synced, highest: self.highest };
        let note = record::encode_note(&self.binding(), self.tail, kind, numbers);
        self.write(self.active, self.tail, &note)
    }

    pub(crate) fn write(&mut self, segment: SegmentNumber, at: usize, bytes: &[u8]) -> Result<(), StoreError> {
        match self.disk.write_at(segment, at, bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(self.poison("writing", std::io::ErrorKind::WriteZero.into())),
            Err(source) => Err(self.poison("writing", source)),
        }
    }

    pub(crate) fn read(&self, segment: SegmentNumber, place: Place) -> Result<Vec<u8>, StoreError> {
        let buffered_from = self.tail - self.buffer.len();
        if segment == self.active && place.at >= buffered_from {
            let body = self.buffer.get(place.at - buffered_from..).and_then(|rest| rest.get(..place.length));
            return Ok(body.unwrap_or_default().to_vec());
        }
        let mut body = vec![0; place.length];
        let length = self.disk.read_at(segment, place.at, &mut body);
        let length = length.map_err(|source| StoreError::Read { segment, source })?;
        body.truncate(length);
        Ok(body)
    }

    pub(crate) fn check_poison(&self) -> Result<(), StoreError> {
        if self.is_poisoned { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    pub(crate) fn poison(&mut self, doing: &'static str, source: std::io::Error) -> StoreError {
        self.is_poisoned = true;
        StoreError::Failed { doing, source }
    }

    fn binding(&self) -> Binding {
        Binding { store: self.id, segment: self.active }
    }

    fn last(&self) -> AppendNumber {
        AppendNumber::new(self.next_sequence.saturating_sub(1))
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
