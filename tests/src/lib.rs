//! The referee: reads vectors as `docs/PROTOCOL.md` describes them, and judges our code by them.
//! The tests, the maker of the vectors and the reader of foreign frames share it.

// It is a test's helper: where something is missing, the vector is broken and the test must stop.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first fault")]

pub mod agents;
pub mod certificates;
pub mod clock;
pub mod door;
pub mod fixture;
pub mod forge;
pub mod fuse;
pub mod hex;
pub mod hostile;
pub mod hosts;
pub mod impostor;
pub mod judge;
pub mod members;
pub mod memory;
pub mod moved;
pub mod net;
pub mod peer;
pub mod search;
pub mod show;
pub mod targets;

use std::path::{Path, PathBuf};

/// The folder that holds the workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}
