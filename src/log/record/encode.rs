//! Writes the message `footfall.log.v1.Record` without building one first: every command passes here.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::{Command, Record, Taken};
use crate::model::customer_id::CustomerId;
use crate::model::field::Field;

/// Bytes for what a record has beside its texts and properties.
const REST_BYTES: usize = 64;

/// How many bytes [`record`] writes at most, as an estimate.
pub(super) fn room(record: &Record) -> usize {
    let ids = record.ids.as_slice().iter();
    let ids: usize = ids.map(|id| id.kind.len() + id.value.len() + 16).sum();
    let command = match &record.command {
        Command::Update { properties, .. } => properties.bytes().len(),
        Command::Event(event) => event.event_type.as_str().len() + event.properties.bytes().len(),
        Command::Anonymize | Command::Erase | Command::Erased(_) => 0,
    };
    record.project.len() + ids + command + REST_BYTES
}

pub(super) fn record(record: &Record, out: &mut Vec<u8>) {
    bytes(out, 1, record.project.as_bytes());
    number(out, 2, record.received.micros().cast_unsigned());
    for id in record.ids.as_slice() {
        message(out, 3, |out| customer_id(id, out));
    }
    match &record.command {
        Command::Update { properties, time } => message(out, 4, |out| {
            bytes(out, 1, properties.bytes());
            number(out, 2, time.micros().cast_unsigned());
        }),
        Command::Event(event) => message(out, 5, |out| {
            bytes(out, 1, event.event_type.as_str().as_bytes());
            bytes(out, 2, event.properties.bytes());
            number(out, 3, event.time.micros().cast_unsigned());
        }),
        Command::Anonymize => message(out, 6, |_| {}),
        Command::Erase => message(out, 7, |_| {}),
        Command::Erased(all) => message(out, 8, |out| {
            for one in all {
                message(out, 1, |out| taken(one, out));
            }
        }),
    }
    number(out, 9, u64::from(record.conflicted));
    number(out, 10, u64::from(record.expired));
    number(out, 11, zigzag(record.clock_set));
    if !record.customers.is_empty() {
        message(out, 12, |out| {
            for customer in &record.customers {
                encode_varint(*customer, out);
            }
        });
    }
}

fn customer_id(id: &CustomerId, out: &mut Vec<u8>) {
    bytes(out, 1, id.kind.as_bytes());
    bytes(out, 2, id.value.as_bytes());
    number(out, 3, u64::from(id.soft));
}

fn taken(taken: &Taken, out: &mut Vec<u8>) {
    number(out, 1, taken.customer);
    bytes(out, 2, taken.kind.as_bytes());
    number(out, 3, taken.since);
}

/// A message.
fn message(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    // Keys of tags up to 15 take one byte.
    let field = Field::open(out, tag << 3 | WireType::LengthDelimited as u8);
    write(out);
    field.close(out);
}

/// A number, unless it is the one that stands for none.
fn number(out: &mut Vec<u8>, tag: u32, number: u64) {
    if number != 0 {
        encode_key(tag, WireType::Varint, out);
        encode_varint(number, out);
    }
}

/// A number that may be below zero, as protobuf's sint64.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Bytes or a text, unless it is empty.
fn bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.extend(bytes);
    }
}
