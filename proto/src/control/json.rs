//! What serde_json does not judge: that a body is an object, how deep it goes, and that it is UTF-8 where nobody reads it.

use crate::limits;

/// Whether `body` is UTF-8, begins as an object and never goes deeper than the bound. Whether it is JSON at all is for the
/// parser to say.
pub(super) fn is_shallow_object(body: &[u8]) -> bool {
    if core::str::from_utf8(body).is_err() {
        return false;
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return false;
    }
    let mut depth = 0_u32;
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (true | false, _) => {}
        }
        if depth > limits::DEPTH_MAX {
            return false;
        }
    }
    true
}
