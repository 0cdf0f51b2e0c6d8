//! Lowercase hex, as the vectors use it.

/// Writes bytes.
#[must_use]
pub fn write(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads bytes.
#[must_use]
pub fn read(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "not hex: {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Reads a known number of bytes.
#[must_use]
pub fn array<const N: usize>(text: &str) -> [u8; N] {
    read(text).try_into().expect("the right length")
}
