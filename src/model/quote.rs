//! Quotes a caller's text in an error message.

/// Most characters that are quoted.
pub const CHARS_MAX: usize = 64;

/// The beginning of a caller's text.
pub fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut cut: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}
