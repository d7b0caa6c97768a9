//! Places in the log as callers keep them: opaque texts that only the same project accepts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::log::Position;

/// The text of a place, for callers of a project.
pub(super) fn encode(token: &str, position: Position) -> String {
    let mut bytes = [0; 12];
    let (number, sum) = bytes.split_at_mut(8);
    number.copy_from_slice(&position.get().to_be_bytes());
    sum.copy_from_slice(&checksum(token, position));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place of a text that [`encode`] gave; none for any other text.
pub(super) fn decode(token: &str, text: &str) -> Option<Position> {
    // A longer text was not issued, and need not be decoded.
    let bytes: [u8; 12] = (text.len() == 16)
        .then(|| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok())
        .flatten()?;
    let (number, sum) = bytes.split_first_chunk()?;
    let position = Position::from_number(u64::from_be_bytes(*number));
    (sum == checksum(token, position)).then_some(position)
}

/// Detects a text that is garbled or of another project. It is no secret: a forged cursor shows its key's own project
/// and nothing else.
fn checksum(token: &str, position: Position) -> [u8; 4] {
    let [_, _, _, _, sum @ ..] = xxh3_64_with_seed(token.as_bytes(), position.get()).to_be_bytes();
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        for number in [0, 1, 1 << 40, u64::MAX] {
            let position = Position::from_number(number);
            assert_eq!(decode("p", &encode("p", position)), Some(position));
        }
    }

    #[test]
    fn what_no_watch_of_the_project_gave_is_no_cursor() {
        let cursor = encode("p", Position::from_number(7));
        assert_eq!(decode("q", &cursor), None);
        for at in 0..cursor.len() {
            let mut garbled = cursor.clone().into_bytes();
            garbled[at] = if garbled[at] == b'B' { b'C' } else { b'B' };
            let garbled = String::from_utf8(garbled).unwrap();
            assert_eq!(decode("p", &garbled), None, "{garbled}");
        }
        for text in ["", "7", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAA=", "é", "\0"] {
            assert_eq!(decode("p", text), None, "{text}");
        }
    }
}
