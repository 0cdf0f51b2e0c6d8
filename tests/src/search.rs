//! Looks for secrets where none may be: in files, logs, output and memory, in each of the forms in which a careless
//! program might have written them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// What is looked for, by the first bytes of each of its forms.
#[derive(Debug, Default)]
pub struct Search {
    begins: Vec<bool>,
    forms: BTreeMap<[u8; START], Vec<(usize, Vec<u8>)>>,
    names: Vec<String>,
}

/// No form is shorter.
const START: usize = 8;
/// What is passed over.
const PAGE: [u8; 4096] = [0; 4096];

impl Search {
    /// Looks for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { begins: vec![false; 1 << 16], ..Self::default() }
    }

    /// Looks for these bytes too: as they are, in hex, in Base64, and as a list of numbers.
    ///
    /// # Panics
    /// If they are too few to be found by chance alone.
    pub fn add(&mut self, name: impl Into<String>, secret: &[u8]) {
        assert!(secret.len() >= 16, "{} bytes may stand anywhere", secret.len());
        let name_at = self.names.len();
        self.names.push(name.into());
        let hex = |upper: bool| {
            let digits = secret.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
            digits.collect::<String>().into_bytes()
        };
        let numbers: Vec<String> = secret.iter().map(ToString::to_string).collect();
        let mut forms = vec![secret.to_vec(), hex(false), hex(true), numbers.join(", ").into_bytes()];
        // In the middle of something longer, Base64 has one of three forms; its ends depend on what is beside.
        forms.extend((0..3).map(|skip| base64(&secret[skip..])));
        for form in forms {
            let start: [u8; START] = form[..START].try_into().expect("as long");
            self.begins[usize::from(form[0]) << 8 | usize::from(form[1])] = true;
            self.forms.entry(start).or_default().push((name_at, form));
        }
    }

    /// Names of all that stands in `bytes`.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (page, content) in bytes.chunks(PAGE.len()).enumerate() {
            // Most of a journal is empty.
            if content != &PAGE[..content.len()] {
                self.find_in(bytes, page * PAGE.len()..page * PAGE.len() + content.len(), &mut found);
            }
        }
        found
    }

    fn find_in<'a>(&'a self, bytes: &[u8], begins: Range<usize>, found: &mut Vec<&'a str>) {
        for at in begins {
            let Some(start) = bytes[at..].first_chunk::<START>() else { return };
            if !self.begins[usize::from(start[0]) << 8 | usize::from(start[1])] {
                continue;
            }
            for (name, form) in self.forms.get(start).into_iter().flatten() {
                if bytes[at..].starts_with(form) {
                    found.push(&*self.names[*name]);
                }
            }
        }
    }

    /// What stands in the files of a folder and of those below it: file, and name.
    ///
    /// # Panics
    /// If one cannot be read.
    #[must_use]
    pub fn found_below(&self, folder: &Path) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                found.extend(self.found_below(&entry.path()));
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).expect("a file");
                let path = entry.path().display().to_string();
                found.extend(self.found_in(&bytes).into_iter().map(|name| (path.clone(), name)));
            }
        }
        found
    }
}

/// Whole groups of three bytes, in the common alphabet.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        out.extend([18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize]));
    }
    out
}
