//! State folders in fixtures: one text file holds a whole folder, with its modes, and without the zeros that segments
//! are full of. What git would lose is written down; the user whose agents they are is whoever unpacks.
//!
//! ```text
//! folder PATH MODE
//! file PATH MODE BYTES
//! at PLACE HEX            belongs to the file above; what is not written is zero
//! ```

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::hex;

/// Bytes of a line.
const LINE: usize = 64;
/// In paths, the folder of the user whose agents they are.
const UID: &str = "UID";

/// The folder as text.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn pack(folder: &Path) -> String {
    let mut out = String::new();
    pack_below(folder, "", &mut out);
    out
}

fn pack_below(folder: &Path, place: &str, out: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().expect("text");
        // Only users have folders whose names are numbers.
        let is_user = entry.path().is_dir() && name.parse::<u32>().is_ok();
        let path = format!("{place}{}", if is_user { UID } else { &name });
        let mode = entry.metadata().expect("metadata").mode() & 0o7777;
        if entry.path().is_dir() {
            writeln!(out, "folder {path} {mode:o}").expect("a string grows");
            pack_below(&entry.path(), &format!("{path}/"), out);
            continue;
        }
        let bytes = fs::read(entry.path()).expect("a file");
        writeln!(out, "file {path} {mode:o} {}", bytes.len()).expect("a string grows");
        for (index, line) in bytes.chunks(LINE).enumerate() {
            if line.iter().any(|byte| *byte != 0) {
                writeln!(out, "at {} {}", index * LINE, hex::write(line)).expect("a string grows");
            }
        }
    }
}

/// Makes the folder that the text describes. It must not be there.
///
/// # Panics
/// If it cannot be made, or the text is none.
pub fn unpack(text: &str, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    set_mode(folder, 0o700);
    let us = fs::metadata(folder).expect("metadata").uid().to_string();
    let at = |path: &str| folder.join(path.replace(&format!("/{UID}"), &format!("/{us}")));
    let mut file = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["folder", path, mode] => {
                fs::create_dir(at(path)).expect("a folder");
                set_mode(&at(path), u32::from_str_radix(mode, 8).expect("a mode"));
            }
            ["file", path, mode, bytes] => {
                let made = fs::File::create_new(at(path)).expect("a file");
                made.set_len(bytes.parse().expect("a length")).expect("room");
                set_mode(&at(path), u32::from_str_radix(mode, 8).expect("a mode"));
                file = Some(made);
            }
            ["at", place, bytes] => {
                let file = file.as_ref().expect("a file comes first");
                file.write_all_at(&hex::read(bytes), place.parse().expect("a place")).expect("written");
            }
            _ => panic!("what is {line}"),
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
