//! Opening: what is there is read and judged, what a crash tore is wiped, and what stands is made durable before it
//! is shown. Nothing is changed before every header was found to be ours.

use proto::limits::{
    JOURNAL_BUFFER_BYTES, JOURNAL_RECORD_HEADER_BYTES, JOURNAL_SEGMENT_HEADER_BYTES, JOURNAL_SEGMENTS_MIN,
};

use crate::ledger::Ledger;
use crate::record::{Binding, Kind};
use crate::scan::{self, Hole, Judged};
use crate::segment::{self, FORMAT_VERSION, HeaderFound, SegmentHeader};
use crate::{Disk, Options, RecordNumber, SegmentNumber, Store, StoreError};

/// What opening found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Recovery {
    /// The records that live, in order.
    pub records: Vec<RecordNumber>,
    /// The segments that were there, in order.
    pub segments: Vec<SegmentFound>,
    /// Synced bytes that cannot be read. Reported at every start until `tidy` has emptied the segment.
    pub damaged: Vec<Damage>,
    /// Where a crash tore what was being written. It was never promised, and is wiped.
    pub torn_tail: Option<TornTail>,
    /// The last stop was a clean one, or there was none.
    pub clean: bool,
    /// The store was made just now.
    pub born: bool,
}

/// A segment that was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentFound {
    /// Which.
    pub segment: SegmentNumber,
    /// Bytes of the file.
    pub bytes: usize,
    /// Transactions in it that count.
    pub transactions: u64,
}

/// Damage to what had been synced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where it lies.
    pub segment: SegmentNumber,
    /// Its first byte.
    pub at: usize,
    /// Its length, as far as it is known.
    pub bytes: usize,
    /// What it costs.
    pub harm: Harm,
}

/// What damage costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Harm {
    /// Nothing: the segment's header is bad or one of its copies is.
    Header,
    /// The file is shorter than it was made. What was in the rest is reported apart.
    Truncated,
    /// Transactions.
    Transactions {
        /// How many of them lost something, if it is known.
        count: Option<u64>,
        /// Lost records whose numbers could still be read. There may be others.
        lost: Vec<RecordNumber>,
    },
}

/// Where a crash tore the tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// Where it lies.
    pub segment: SegmentNumber,
    /// Its first byte.
    pub at: usize,
    /// Up to the last byte that was not zero.
    pub bytes: usize,
    /// Transactions that were whole, behind one that was not.
    pub dropped: u64,
}

/// A segment that is there.
struct Present {
    segment: SegmentNumber,
    length: usize,
    header: HeaderFound,
}

impl Present {
    fn good(&self) -> Option<SegmentHeader> {
        match self.header {
            HeaderFound::Good { header, .. } => Some(header),
            HeaderFound::Newer { .. } | HeaderFound::Bad => None,
        }
    }
}

impl<D: Disk> Store<D> {
    /// Opens the store that lies on the disk, or makes one.
    pub fn open(mut disk: D, options: &Options) -> Result<(Self, Recovery), StoreError> {
        let mut present = survey(&mut disk)?;
        let known = present.iter().find_map(Present::good);
        refuse_strangers(&present, known)?;
        let segment_bytes = known.map_or(options.segment_bytes, |header| header.bytes);
        let mut unfinished = None;
        // Only the newest can have been in the making; no byte of a record was in it yet.
        if let Some(newest) = present.last()
            && newest.good().is_none()
            && is_all_zero(&disk, newest)?
        {
            unfinished = present.pop().map(|newest| newest.segment);
        }
        if known.is_none() && !present.is_empty() {
            return Err(StoreError::Unreadable);
        }
        let mut store = Self {
            disk,
            id: known.map_or(options.new_id, |header| header.store),
            segment_bytes,
            segments_max: segments_max(options.limit_bytes, segment_bytes, present.len())?,
            ledger: Ledger::default(),
            active: SegmentNumber::new(0),
            tail: JOURNAL_SEGMENT_HEADER_BYTES,
            buffer: Vec::new(),
            next_sequence: 1,
            synced: 0,
            highest: 0,
            is_poisoned: false,
            victim: None,
            lacks_spares: false,
        };
        let recovery = store.recover(&present, unfinished)?;
        Ok((store, recovery))
    }

    fn recover(&mut self, present: &[Present], unfinished: Option<SegmentNumber>) -> Result<Recovery, StoreError> {
        let mut recovery = Recovery::default();
        let mut last = None;
        for (at, part) in present.iter().enumerate() {
            let newest = at + 1 == present.len() && part.good().is_some();
            last = Some((part, newest, self.replay(part, newest, &mut recovery)?));
        }
        if let Some(segment) = unfinished {
            self.disk.remove(segment).map_err(|source| self.poison("removing a segment", source))?;
        }
        // A name that a killed process made or took away may not be durable yet.
        self.disk.sync_dir().map_err(|source| self.poison("syncing the folder", source))?;
        match last {
            Some((part, true, judged)) => self.resume(part, &judged, &mut recovery)?,
            Some((part, false, _)) => self.begin(part.segment.next())?,
            None => {
                self.begin(SegmentNumber::new(1))?;
                recovery.clean = true;
                recovery.born = true;
            }
        }
        recovery.records = self.ledger.live().collect();
        Ok(recovery)
    }

    fn replay(&mut self, part: &Present, newest: bool, recovery: &mut Recovery) -> Result<Judged, StoreError> {
        let segment = part.segment;
        let header = part.good();
        let bytes = read_whole(&self.disk, part, self.segment_bytes)?;
        let found = scan::scan(&bytes, &Binding { store: self.id, segment });
        let judged = scan::judge(&bytes, found, header.map(|header| header.first_sequence), newest);
        self.ledger.add_segment(segment, self.segment_bytes);
        let transactions = judged.kept.len() as u64;
        recovery.segments.push(SegmentFound { segment, bytes: part.length, transactions });
        for record in &judged.kept {
            self.ledger.apply(segment, record.at, record.entries.as_deref().unwrap_or_default());
        }
        self.highest = self.highest.max(judged.highest);
        self.next_sequence = self.next_sequence.max(judged.next_sequence);
        let before = recovery.damaged.len();
        // A crash may have torn the making of the newest; it holds nothing yet.
        let is_empty = newest && judged.kept.is_empty() && judged.note.is_none() && judged.holes.is_empty();
        if !is_empty && !matches!(part.header, HeaderFound::Good { is_whole: true, .. }) {
            let bytes = JOURNAL_SEGMENT_HEADER_BYTES;
            recovery.damaged.push(Damage { segment, at: 0, bytes, harm: Harm::Header });
        }
        if part.length < self.segment_bytes {
            let bytes = self.segment_bytes - part.length;
            recovery.damaged.push(Damage { segment, at: part.length, bytes, harm: Harm::Truncated });
        }
        recovery.damaged.extend(judged.holes.iter().map(|hole| damage(segment, hole)));
        if recovery.damaged.len() > before {
            self.ledger.mark_hurt(segment);
        }
        Ok(judged)
    }

    /// Goes on where the newest segment ends.
    fn resume(&mut self, part: &Present, judged: &Judged, recovery: &mut Recovery) -> Result<(), StoreError> {
        self.active = part.segment;
        self.tail = judged.tail;
        let torn = judged.torn.map(|end| TornTail {
            segment: part.segment,
            at: judged.tail,
            bytes: end - judged.tail,
            dropped: judged.dropped,
        });
        recovery.clean = judged.note == Some(Kind::Clean) && torn.is_none();
        recovery.torn_tail = torn;
        if let Some(header) = part.good().filter(|_| !matches!(part.header, HeaderFound::Good { is_whole: true, .. })) {
            self.write(part.segment, 0, &segment::encode(&header))?;
        }
        // Survivors of a tear would be taken for records again once others stand before them.
        self.wipe(judged.tail, judged.torn.unwrap_or(judged.tail))?;
        self.wipe(part.length, self.segment_bytes)?;
        // What a killed process wrote may be in memory only; it is shown, so it must stay.
        self.sync_active()?;
        self.note(Kind::Mark)?;
        self.sync_active()
    }

    /// Zeros from one place to another.
    fn wipe(&mut self, from: usize, to: usize) -> Result<(), StoreError> {
        let zeros = vec![0; JOURNAL_BUFFER_BYTES.min(to.saturating_sub(from))];
        let mut at = from;
        while let Some(part) = zeros.get(..to.saturating_sub(at).min(zeros.len())).filter(|part| !part.is_empty()) {
            self.write(self.active, at, part)?;
            at += part.len();
        }
        Ok(())
    }

    /// Goes on in a segment that is not there yet.
    fn begin(&mut self, segment: SegmentNumber) -> Result<(), StoreError> {
        self.make_segment(segment)?;
        self.start(segment)?;
        self.synced = self.next_sequence.saturating_sub(1);
        self.note(Kind::Mark)?;
        self.sync_active()
    }
}

fn survey<D: Disk>(disk: &mut D) -> Result<Vec<Present>, StoreError> {
    let mut segments = disk.list().map_err(|source| StoreError::Folder { source })?;
    segments.sort_unstable();
    let mut present = Vec::with_capacity(segments.len());
    for segment in segments {
        let length = disk.open(segment).map_err(|source| StoreError::Read { segment, source })?;
        let block = read(disk, segment, 0, JOURNAL_SEGMENT_HEADER_BYTES)?;
        present.push(Present { segment, length, header: segment::decode(&block, segment) });
    }
    Ok(present)
}

fn refuse_strangers(present: &[Present], known: Option<SegmentHeader>) -> Result<(), StoreError> {
    for Present { segment, header, .. } in present {
        match header {
            HeaderFound::Newer { version } => {
                let (segment, found) = (*segment, *version);
                return Err(StoreError::NewerFormat { segment, found, known: FORMAT_VERSION });
            }
            HeaderFound::Good { header, .. } => {
                let is_ours = known.is_some_and(|known| known.store == header.store && known.bytes == header.bytes);
                if !is_ours {
                    return Err(StoreError::Foreign { segment: *segment });
                }
            }
            HeaderFound::Bad => {}
        }
    }
    Ok(())
}

/// A limit that was lowered below what is there leaves one segment more to empty the others into.
fn segments_max(limit: u64, segment_bytes: usize, present: usize) -> Result<usize, StoreError> {
    if !segment::is_length(segment_bytes) {
        return Err(StoreError::SegmentLength { bytes: segment_bytes });
    }
    let fit = usize::try_from(limit / segment_bytes as u64).unwrap_or(usize::MAX);
    if fit < JOURNAL_SEGMENTS_MIN {
        return Err(StoreError::LimitTooSmall { limit, segments: JOURNAL_SEGMENTS_MIN, segment_bytes });
    }
    Ok(if present > fit { present + 1 } else { fit })
}

fn is_all_zero<D: Disk>(disk: &D, part: &Present) -> Result<bool, StoreError> {
    let bytes = read(disk, part.segment, 0, part.length)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// What is missing at the end reads as zeros.
fn read_whole<D: Disk>(disk: &D, part: &Present, segment_bytes: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = read(disk, part.segment, 0, segment_bytes)?;
    bytes.resize(segment_bytes, 0);
    Ok(bytes)
}

fn read<D: Disk>(disk: &D, segment: SegmentNumber, at: usize, length: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; length];
    let there = disk.read_at(segment, at, &mut bytes).map_err(|source| StoreError::Read { segment, source })?;
    bytes.truncate(there);
    Ok(bytes)
}

fn damage(segment: SegmentNumber, hole: &Hole) -> Damage {
    let harm = Harm::Transactions { count: hole.transactions, lost: hole.lost.clone() };
    Damage { segment, at: hole.at, bytes: hole.end.saturating_sub(hole.at), harm }
}

/// A note must fit behind the header of the smallest segment.
const _: () = assert!(JOURNAL_RECORD_HEADER_BYTES < JOURNAL_SEGMENT_HEADER_BYTES);
