//! Which characters may reach a terminal as they are. Texts that come over a wire hold any others too.

/// Whether a character does more to a terminal than stand there: controls, and marks that turn the direction of text.
#[must_use]
pub fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
