//! Some clients send text that is not quite JSON. It is repaired and read.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes of an escape such as `\ud83d`.
const ESCAPE_BYTES: usize = 6;
/// U+FFFD as an escape of the same length.
const REPLACEMENT: &[u8; ESCAPE_BYTES] = b"\\ufffd";

/// The text without its byte order mark. U+FFFD replaces each half of a surrogate pair that has no other half.
///
/// A program that cuts a text inside of a character escapes half of it. The rest of the text must not be lost.
pub(super) fn repaired(bytes: Bytes) -> Bytes {
    let bytes = match bytes.starts_with(BYTE_ORDER_MARK) {
        true => bytes.slice(BYTE_ORDER_MARK.len()..),
        false => bytes,
    };
    let Some(first) = lone_half(&bytes, 0) else {
        return bytes;
    };
    let mut bytes = BytesMut::from(bytes);
    let mut next = Some(first);
    while let Some(at) = next {
        let behind = at + ESCAPE_BYTES;
        if let Some(half) = bytes.get_mut(at..behind) {
            half.copy_from_slice(REPLACEMENT);
        }
        next = lone_half(&bytes, behind);
    }
    bytes.freeze()
}

/// The place of the next half of a surrogate pair that has no other half. The search starts at `from`, outside of any
/// escape.
fn lone_half(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr(b'\\', bytes.get(at..)?)?;
        at += match unit(bytes, at) {
            // A backslash, and the character that it escapes.
            None => 2,
            Some(0xd800..=0xdbff) => match unit(bytes, at + ESCAPE_BYTES) {
                Some(0xdc00..=0xdfff) => 2 * ESCAPE_BYTES,
                Some(_) | None => return Some(at),
            },
            Some(0xdc00..=0xdfff) => return Some(at),
            Some(_) => ESCAPE_BYTES,
        };
    }
}

/// The UTF-16 unit that is escaped here, if there is one.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit * 16 + char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired_text(text: &str) -> String {
        let bytes = repaired(Bytes::copy_from_slice(text.as_bytes()));
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_byte_order_mark_in_front_is_passed_over_and_elsewhere_kept() {
        assert_eq!(repaired_text("\u{feff}{}"), "{}");
        assert_eq!(repaired_text("{}\u{feff}"), "{}\u{feff}");
        assert_eq!(repaired_text("\u{feff}"), "");
    }

    #[test]
    fn a_half_without_its_other_half_becomes_the_replacement_character() {
        for (sent, read) in [
            (r#""abc\ud83d""#, r#""abc\ufffd""#),
            (r#""\uDE00x""#, r#""\ufffdx""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#),
            (r#"{"\ud83d":"\\\ud83d"}"#, r#"{"\ufffd":"\\\ufffd"}"#),
        ] {
            assert_eq!(repaired_text(sent), read, "{sent}");
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for text in [
            "",
            "{}",
            r#""\ud83d\ude00""#,
            r#""\\ud83d""#,
            r#""\\\\ud83d""#,
            r#""\u00e9\n\"\/""#,
            r#""\ud8""#,
            r#""\ud8zz""#,
            "\\",
            "\\u",
        ] {
            assert_eq!(repaired_text(text), text);
        }
    }
}
