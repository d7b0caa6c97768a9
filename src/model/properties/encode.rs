//! Writes the canonical form.

use std::ops::Range;

use prost::encoding::{encode_varint, encoded_len_varint};

use super::error::ValueError;
use crate::model::field::Field;
use crate::model::quote::quoted;

const ENTRY: u8 = 0x0a;
const ENTRY_KEY: u8 = 0x0a;
const ENTRY_VALUE: u8 = 0x12;
const LIST_ITEM: u8 = 0x0a;
pub(super) const NULL: u8 = 0x08;
pub(super) const NUMBER: u8 = 0x11;
pub(super) const TEXT: u8 = 0x1a;
pub(super) const BOOL: u8 = 0x20;
const OBJECT: u8 = 0x2a;
const LIST: u8 = 0x32;
pub(super) const INTEGER: u8 = 0x38;

pub(super) fn null(out: &mut Vec<u8>) {
    out.extend([NULL, 0]);
}

pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend([BOOL, u8::from(value)]);
}

pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    out.push(NUMBER);
    out.extend(value.to_le_bytes());
}

pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    out.push(INTEGER);
    // Protobuf's int64 is the two's complement as a varint.
    encode_varint(value.cast_unsigned(), out);
}

pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    delimited(out, TEXT, value.as_bytes());
}

fn delimited(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    encode_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// One entry of an object whose value is at hand.
pub(super) fn entry(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.push(ENTRY);
    let length = field_len(key.len()) + field_len(value.len());
    encode_varint(length as u64, out);
    delimited(out, ENTRY_KEY, key.as_bytes());
    delimited(out, ENTRY_VALUE, value);
}

fn field_len(bytes: usize) -> usize {
    1 + encoded_len_varint(bytes as u64) + bytes
}

/// A list; its items are the fields that [`item`] opens, one after the other.
pub(super) fn list(out: &mut Vec<u8>) -> Field {
    Field::open(out, LIST)
}

/// An item of a list; its value comes next.
pub(super) fn item(out: &mut Vec<u8>) -> Field {
    Field::open(out, LIST_ITEM)
}

/// The entries of an object in flight.
pub(super) struct Entries {
    start: usize,
    spans: Vec<Span>,
}

struct Span {
    key: Range<usize>,
    entry: Range<usize>,
}

/// An entry in flight: its value comes next.
#[must_use]
pub(super) struct Entry {
    start: usize,
    key: Range<usize>,
    entry: Field,
    value: Field,
}

impl Entries {
    pub(super) fn open(out: &[u8]) -> Self {
        Self {
            start: out.len(),
            spans: Vec::new(),
        }
    }

    /// Begins the entry of `key`.
    pub(super) fn entry(out: &mut Vec<u8>, key: &str) -> Entry {
        let start = out.len();
        let entry = Field::open(out, ENTRY);
        delimited(out, ENTRY_KEY, key.as_bytes());
        Entry {
            start,
            key: out.len() - key.len()..out.len(),
            entry,
            value: Field::open(out, ENTRY_VALUE),
        }
    }

    /// Ends an entry behind its value.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, entry: Entry) {
        entry.value.close(out);
        let before = out.len();
        entry.entry.close(out);
        // A length of several bytes has moved the key.
        let moved = out.len() - before;
        self.spans.push(Span {
            key: entry.key.start + moved..entry.key.end + moved,
            entry: entry.start..out.len(),
        });
    }

    /// Brings the entries into the order of their keys.
    pub(super) fn close(mut self, out: &mut Vec<u8>) -> Result<(), ValueError> {
        fn bytes(out: &[u8], range: Range<usize>) -> &[u8] {
            out.get(range).unwrap_or_default()
        }
        let key = |span: &Span| bytes(out, span.key.clone());
        if self.spans.is_sorted_by(|a, b| key(a) < key(b)) {
            return Ok(());
        }
        self.spans.sort_by(|a, b| key(a).cmp(key(b)));
        let duplicate = self
            .spans
            .iter()
            .zip(self.spans.iter().skip(1))
            .find(|(a, b)| key(a) == key(b));
        if let Some((span, _)) = duplicate {
            let key = String::from_utf8_lossy(key(span));
            return Err(ValueError::Duplicate(quoted(&key)));
        }
        let mut sorted = Vec::with_capacity(out.len() - self.start);
        for span in &self.spans {
            sorted.extend(bytes(out, span.entry.clone()));
        }
        out.truncate(self.start);
        out.append(&mut sorted);
        Ok(())
    }
}

/// An object as a value: its entries come next, and are closed before it.
pub(super) fn object(out: &mut Vec<u8>) -> Field {
    Field::open(out, OBJECT)
}
