//! What a commit to the journal costs beside one write of the same length and one sync:
//! `cargo run --release -p aicp-benches --bin bench-store [folder]`. The folder decides which disk is measured.
//!
//! Both take turns commit by commit, and the ratio is taken pair by pair, so that a disk that others use too slows both
//! alike. Segments are rolled on and dead ones tidied away in separate calls that are not timed and are printed apart.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench prints and stops at the first fault"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use proto::limits::{JOURNAL_ITEM_BYTES, JOURNAL_RECORD_HEADER_BYTES, JOURNAL_SEGMENT_BYTES};
use store::record::framed_bytes;
use store::{FileDisk, Options, RecordNumber, Store, Transaction};

const BODY_BYTES: usize = 1024;
const LIMIT_BYTES: u64 = 512 << 20;
/// Batch, and pairs of commits.
const ROUNDS: [(usize, usize); 3] = [(1, 2001), (64, 501), (512, 101)];

fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/bench-store"), PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    println!("1 KiB a record; median µs a commit; ratio = ours / bare, pair by pair (median, quartiles)");
    println!(
        "{:>6}{:>12}{:>12}{:>14}{:>14}{:>8}  quartiles{:>14}",
        "batch", "ours µs", "bare µs", "ours rec/s", "bare rec/s", "ratio", "rolls"
    );
    for (batch, pairs) in ROUNDS {
        let journal = folder.join(format!("journal-{batch}"));
        // What an earlier run left would be scanned and kept.
        let _ = std::fs::remove_dir_all(&journal);
        let mut ours = Ours::new(&journal);
        let mut bare = Bare::new(&folder.join(format!("bare-{batch}")));
        let mut times: Vec<_> = (0..pairs).map(|at| in_turn(at, &mut ours, &mut bare, batch)).collect();
        print(batch, &mut times, &ours.rolls);
        drop(ours);
        std::fs::remove_dir_all(&journal).unwrap();
    }
}

/// Who goes first changes from pair to pair.
fn in_turn(at: usize, ours: &mut Ours, bare: &mut Bare, batch: usize) -> (f64, f64) {
    if at.is_multiple_of(2) {
        let first = ours.commit(batch);
        (first, bare.commit(batch))
    } else {
        let first = bare.commit(batch);
        (ours.commit(batch), first)
    }
}

struct Ours {
    store: Store<FileDisk>,
    body: Bytes,
    next: u64,
    room: usize,
    rolls: Vec<f64>,
}

impl Ours {
    fn new(folder: &Path) -> Self {
        let disk = FileDisk::open(folder).unwrap();
        let (store, _) = Store::open(disk, &Options::new([7; 16], LIMIT_BYTES)).unwrap();
        Self { store, body: body(), next: 1, room: JOURNAL_SEGMENT_BYTES, rolls: Vec::new() }
    }

    fn commit(&mut self, batch: usize) -> f64 {
        self.make_room(batch);
        let segments = self.store.disk_bytes();
        let time = microseconds(|| {
            for _ in 0..batch {
                let put = Transaction::new().put(RecordNumber::new(self.next), self.body.clone());
                self.store.append(put).unwrap();
                self.next += 1;
            }
            self.store.sync().unwrap();
        });
        assert_eq!(self.store.disk_bytes(), segments, "a new segment was begun inside a timed commit");
        self.room -= batch * framed_bytes(1, BODY_BYTES);
        time
    }

    /// One commit that goes on in the next segment, beside the others; then all that is in the old one is dead.
    fn make_room(&mut self, batch: usize) {
        let reserve = JOURNAL_RECORD_HEADER_BYTES + 8192;
        if self.room > batch * framed_bytes(1, BODY_BYTES) + reserve {
            return;
        }
        let before = self.store.disk_bytes();
        while self.store.disk_bytes() == before {
            let fill = vec![0; 6000];
            let put = Transaction::new().put(RecordNumber::new(self.next), fill);
            let time = microseconds(|| self.store.append(put).unwrap());
            self.next += 1;
            if self.store.disk_bytes() != before {
                self.rolls.push(time);
            }
        }
        let mut forgets = Transaction::new();
        for number in 1..self.next {
            forgets = forgets.forget(RecordNumber::new(number));
        }
        self.store.append(forgets).unwrap();
        self.store.tidy(usize::MAX).unwrap();
        // The record that went on, the forgets, the header.
        let forgotten = usize::try_from(self.next).unwrap() * JOURNAL_ITEM_BYTES;
        self.room = JOURNAL_SEGMENT_BYTES - forgotten - 3 * 8192;
    }
}

/// The same length in one write into zeros, and a sync. Starts again where the file ends.
struct Bare {
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

impl Bare {
    fn new(path: &Path) -> Self {
        let file = File::create(path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all_at(&vec![0; JOURNAL_SEGMENT_BYTES], 0).unwrap();
        file.sync_all().unwrap();
        Self { file, at: 0, bytes: Vec::new() }
    }

    fn commit(&mut self, batch: usize) -> f64 {
        self.bytes.resize(batch * framed_bytes(1, BODY_BYTES), 0x5A);
        let length = self.bytes.len() as u64;
        if self.at + length > JOURNAL_SEGMENT_BYTES as u64 {
            self.at = 0;
        }
        let time = microseconds(|| {
            self.file.write_all_at(&self.bytes, self.at).unwrap();
            self.file.sync_data().unwrap();
        });
        self.at += length;
        time
    }
}

fn body() -> Bytes {
    (0..BODY_BYTES).map(|at| at.to_le_bytes()[0] ^ 0x35).collect::<Vec<_>>().into()
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn microseconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed().as_nanos() as f64 / 1000.0
}

fn print(batch: usize, times: &mut [(f64, f64)], rolls: &[f64]) {
    let mut ratios: Vec<_> = times.iter().map(|(ours, bare)| ours / bare).collect();
    let (mut ours, mut bare): (Vec<_>, Vec<_>) = times.iter().copied().unzip();
    let (ours, bare) = (quantile(&mut ours, 1, 2), quantile(&mut bare, 1, 2));
    let per_second = |commit: f64| batch as f64 * 1_000_000.0 / commit;
    let [low, ratio, high] = [1, 2, 3].map(|quarter| quantile(&mut ratios, quarter, 4));
    let rolls = match rolls.len() {
        0 => "none".to_owned(),
        many => format!("{many} of {:.0} µs", quantile(&mut rolls.to_vec(), 1, 2)),
    };
    println!(
        "{batch:>6}{ours:>12.1}{bare:>12.1}{:>14.0}{:>14.0}{ratio:>8.3}  {low:.3} to {high:.3}{rolls:>20}",
        per_second(ours),
        per_second(bare)
    );
}

fn quantile(values: &mut [f64], part: usize, of: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * part / of]
}
