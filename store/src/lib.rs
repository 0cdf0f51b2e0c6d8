//! What must survive: a journal of opaque records. It decides nothing about what they mean, and has no thread, clock
//! or chance of its own.
//!
//! - [`Store`]: append, sync, load, tidy, close; [`Options`] and [`Recovery`] are what opening takes and gives.
//! - [`transaction`]: what is appended; one transaction is one record on disk, there whole or not at all.
//! - [`record`], [`segment`] and [`scan`]: the format, as pure functions over bytes.
//! - [`Disk`]: what the store asks of a disk; [`FileDisk`] is the real one, and [`LookDisk`] one that changes nothing.
//!
//! Whoever appends may rely on what a later [`Store::sync`] covered, and on nothing before it. What was not covered
//! is, after a crash, a prefix of what was appended: no transaction survives one that came before it.

mod disk;
mod error;
mod file_disk;
mod ledger;
mod look_disk;
pub mod record;
mod recovery;
pub mod scan;
pub mod segment;
mod store;
mod tidy;
pub mod transaction;

pub use disk::{Disk, SegmentNumber};
pub use error::StoreError;
pub use file_disk::FileDisk;
pub use look_disk::LookDisk;
pub use recovery::{Damage, Harm, Recovery, SegmentFound, TornTail};
pub use store::{Options, Store};
pub use tidy::Tidied;
pub use transaction::{AppendNumber, RecordNumber, Transaction};
