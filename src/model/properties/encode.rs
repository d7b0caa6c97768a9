//! Writes the canonical form.
//!
//! Protobuf puts a length before each nested message, so a value is written first and its header moved in
//! before it; values are small and shallow, so that the move costs less than a pass that measures.

use std::ops::Range;

use prost::encoding::{encode_varint, encoded_len_varint};

use super::error::ValueError;
use crate::model::quote::quoted;

const ENTRY: u8 = 0x0a;
const ENTRY_KEY: u8 = 0x0a;
const ENTRY_VALUE: u8 = 0x12;
const LIST_ITEM: u8 = 0x0a;
const NULL: u8 = 0x08;
const NUMBER: u8 = 0x11;
const TEXT: u8 = 0x1a;
const BOOL: u8 = 0x20;
const OBJECT: u8 = 0x2a;
const LIST: u8 = 0x32;
const INTEGER: u8 = 0x38;

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

/// Makes what stands behind `start` the one object or item that `wrapper` says.
fn wrap(out: &mut Vec<u8>, start: usize, tag: u8) {
    let mut header = Vec::with_capacity(6);
    header.push(tag);
    encode_varint((out.len() - start) as u64, &mut header);
    insert(out, start, &header);
}

fn insert(out: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    out.splice(at..at, bytes.iter().copied());
}

/// A list under way: its items are written one after the other.
pub(super) struct List {
    start: usize,
}

impl List {
    pub(super) fn open(out: &[u8]) -> Self {
        Self { start: out.len() }
    }

    /// Makes the value behind `start` the next item.
    pub(super) fn item(&self, out: &mut Vec<u8>, start: usize) {
        wrap(out, start, LIST_ITEM);
    }

    pub(super) fn close(self, out: &mut Vec<u8>) {
        wrap(out, self.start, LIST);
    }
}

/// The entries of an object under way.
pub(super) struct Entries {
    start: usize,
    spans: Vec<Span>,
}

struct Span {
    key: Range<usize>,
    entry: Range<usize>,
}

impl Entries {
    pub(super) fn open(out: &[u8]) -> Self {
        Self {
            start: out.len(),
            spans: Vec::new(),
        }
    }

    /// Makes the value behind `start` the entry of `key`.
    pub(super) fn entry(&mut self, out: &mut Vec<u8>, start: usize, key: &str) {
        let value = out.len() - start;
        let mut header = Vec::with_capacity(key.len() + 16);
        header.push(ENTRY);
        encode_varint(
            (field_len(key.len()) + field_len(value)) as u64,
            &mut header,
        );
        delimited(&mut header, ENTRY_KEY, key.as_bytes());
        let key_end = start + header.len();
        header.push(ENTRY_VALUE);
        encode_varint(value as u64, &mut header);
        insert(out, start, &header);
        self.spans.push(Span {
            key: key_end - key.len()..key_end,
            entry: start..out.len(),
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

    /// As [`Entries::close`], and makes the whole a value.
    pub(super) fn close_value(self, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let start = self.start;
        self.close(out)?;
        wrap(out, start, OBJECT);
        Ok(())
    }
}
