//! The memory of a running process, as a thief would read it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::forge::agreement_public;
use crate::search::Search;

/// Longest piece that is looked at: larger ones are stacks and arenas that are mostly untouched, and are read in pieces.
const PIECE: usize = 1 << 20;
/// Pieces overlap by this much, so that nothing is cut in two.
const OVERLAP: usize = 64;
/// Different bytes among 32: what is drawn at random has fewer with a chance of one in a million.
const DIFFERENT_MIN: usize = 21;

/// Everything that a process can write to.
#[derive(Debug)]
pub struct Memory(Vec<Vec<u8>>);

impl Memory {
    /// Reads it. The process goes on meanwhile.
    ///
    /// # Panics
    /// If it cannot be read: it must be a child of this process, or this one must be root.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let memory = File::open(format!("/proc/{process}/mem")).expect("the memory of a child");
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("its map");
        let mut pieces = Vec::new();
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, mode) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let Some((start, end)) = range.split_once('-').filter(|_| mode.starts_with("rw")) else { continue };
            let number = |hex| u64::from_str_radix(hex, 16).expect("an address");
            let (mut at, end) = (number(start), number(end));
            while at < end {
                let length = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
                let mut piece = vec![0; length];
                // What was unmapped meanwhile is nothing.
                let read = memory.read_at(&mut piece, at).unwrap_or(0);
                piece.truncate(read);
                if piece.iter().any(|byte| *byte != 0) {
                    pieces.push(piece);
                }
                at += (length.saturating_sub(OVERLAP)).max(1) as u64;
                if length < PIECE {
                    break;
                }
            }
        }
        assert!(!pieces.is_empty(), "nothing was read");
        Self(pieces)
    }

    /// Names of all that stands there, once for each copy.
    #[must_use]
    pub fn found<'a>(&self, search: &'a Search) -> Vec<&'a str> {
        self.0.iter().flat_map(|piece| search.found_in(piece)).collect()
    }

    /// The secret half of an X25519 key, if it stands there: whatever looks random is tried.
    #[must_use]
    pub fn find_secret(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
        let mut tried = std::collections::BTreeSet::new();
        for piece in &self.0 {
            for at in (0..piece.len().saturating_sub(32)).step_by(4) {
                let Some(candidate) = piece[at..].first_chunk::<32>() else { break };
                let looks_random = candidate[..8] != [0; 8] && different(candidate) >= DIFFERENT_MIN;
                if looks_random && tried.insert(*candidate) && agreement_public(candidate) == *public {
                    return Some(*candidate);
                }
            }
        }
        None
    }
}

fn different(bytes: &[u8; 32]) -> usize {
    let mut seen = [0_u64; 4];
    for byte in bytes {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|word| word.count_ones() as usize).sum()
}
