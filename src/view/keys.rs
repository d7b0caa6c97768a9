//! The keys of the view's tables. All tables are in one keyspace: a key begins with the byte of its table.
//! Numbers are big-endian, so that keys sort by their values.
//!
//! | table      | key                                            | value |
//! |------------|------------------------------------------------|-------|
//! | projects   | token                                          | number (u32) |
//! | ids        | project (u32), digest of type and value (16 bytes) | `IdEntry` |
//! | customers  | customer (u64)                                 | `Customer` |
//! | properties | customer (u64), name                           | `Property` |
//! | timeline   | customer (u64), time (i64, µs), content hash (8 bytes) | `Entry` |
//! | timeline   | the same, position (u64)                       | `Entry` of an event that is stored twice |
//! | records    | customer (u64), position (u64)                 | `Involvement` |
//! | duplicates | key of the timeline, position (u64)            | nothing |
//! | members    | customer (u64), number (u64) that merged into it | nothing |
//! | suppressed | position (u64) of an event that is in no timeline | nothing |
//! | erasures   | position (u64) of the erasure, position (u64)  | `Involvement` |
//! | chores     | number (u64)                                   | `Chore`: what the fold has yet to do for a record |
//! | lanes      | token                                          | position (u64) up to which the project is folded, if less than `applied` |
//! | anonymous  | digest of an ID (16 bytes), customer (u64)     | nothing |
//! | meta       | `format`                                       | a number (u64) |
//! | meta       | `applied`                                      | a number (u64) |
//! | meta       | `next-project`                                 | a number (u32) |
//!
//! A customer's number is the position of the record that created it. Customers that merge keep the number of the one
//! that had more of them merged into it, so that a row moves at most as often as the number of merges can double. The
//! other numbers stay in `customers` and name the one that they merged into.
//!
//! An event is stored twice when two customers had it and merged. The first to arrive has the plain key.
//!
//! `records`, `duplicates` and `erasures` exist so that everything about a customer can be found and taken out of the
//! log. A record is in its customer's timeline, or in `duplicates` if it is an event that was stored already. It is in
//! `records` unless it is an event that left the customer itself unchanged.

use bytes::{Buf, BufMut};
use sha2::{Digest, Sha256};

use super::Error;
use crate::log::Position;
use crate::log::record::{Command, Event, Prepared, Record};
use crate::model::customer_id::CustomerId;
use crate::model::time::Timestamp;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Tokens of projects.
    Projects,
    /// IDs of customers.
    Ids,
    /// Customers.
    Customers,
    /// Properties of customers.
    Properties,
    /// Events of customers.
    Timeline,
    /// Records that a customer has a part in, besides its events.
    Records,
    /// Events that were dropped because they were stored already.
    Duplicates,
    /// Positions of events that are in no timeline.
    Suppressed,
    /// Records that erasures have yet to take out of the log.
    Erasures,
    /// The numbers that merged into a customer.
    Members,
    /// Work left for records that are too large for one batch.
    Chores,
    /// Projects that are folded apart from the others.
    Lanes,
    /// Links from IDs to anonymous customers.
    Anonymous,
    /// The view's own state.
    Meta,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 14] = [
        Self::Projects,
        Self::Ids,
        Self::Customers,
        Self::Properties,
        Self::Timeline,
        Self::Records,
        Self::Duplicates,
        Self::Suppressed,
        Self::Erasures,
        Self::Members,
        Self::Chores,
        Self::Lanes,
        Self::Anonymous,
        Self::Meta,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::Ids => "ids",
            Self::Customers => "customers",
            Self::Properties => "properties",
            Self::Timeline => "timeline",
            Self::Records => "records",
            Self::Duplicates => "duplicates",
            Self::Suppressed => "suppressed",
            Self::Erasures => "erasures",
            Self::Members => "members",
            Self::Chores => "chores",
            Self::Lanes => "lanes",
            Self::Anonymous => "anonymous",
            Self::Meta => "meta",
        }
    }
}

/// The position up to which the log is applied.
pub const APPLIED: &[u8] = b"applied";
/// The format of the view.
pub const FORMAT: &[u8] = b"format";

/// The number of the next project.
pub const NEXT_PROJECT: &[u8] = b"next-project";

/// What the keys of the IDs of a project's customers begin with.
pub fn project(project: u32) -> Vec<u8> {
    project.to_be_bytes().to_vec()
}

/// The digest of a project's ID: keys of one length, which sort by their first bytes.
pub fn id_digest(project: u32, id: &CustomerId) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(project.to_be_bytes());
    // Types have at most 64 characters.
    let length = u16::try_from(id.kind.len()).unwrap_or(u16::MAX);
    hash.update(length.to_be_bytes());
    hash.update(id.kind.as_bytes());
    hash.update(id.value.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}

/// The key of a customer's ID.
pub fn id(project: u32, id: &CustomerId) -> Vec<u8> {
    let mut key = Vec::with_capacity(20);
    key.put_u32(project);
    key.put_slice(&id_digest(project, id));
    key
}

/// The number of no customer: events without a customer are its records.
pub const NOBODY: u64 = 0;

/// The key of a customer, and what the keys of its properties and events begin with.
pub fn customer(customer: u64) -> Vec<u8> {
    customer.to_be_bytes().to_vec()
}

/// The key of a customer's property.
pub fn property(customer: u64, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + name.len());
    key.put_u64(customer);
    key.put_slice(name.as_bytes());
    key
}

/// The key of a customer's event.
pub fn event(customer: u64, time: Timestamp, hash: ContentHash) -> Vec<u8> {
    let mut key = Vec::with_capacity(EVENT_BYTES);
    key.put_u64(customer);
    key.put_i64(time.micros());
    key.put_slice(&hash);
    key
}

/// The key of a customer's record.
pub fn record(customer: u64, position: Position) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    key.put_u64(customer);
    key.put_u64(position.get());
    key
}

/// Bytes of the plain key of an event.
pub const EVENT_BYTES: usize = 24;

/// The key of an event that was dropped for the one with this key, or that is stored twice.
pub fn duplicate(event: &[u8], position: Position) -> Vec<u8> {
    [event, &position.get().to_be_bytes()].concat()
}

/// The key of a number that merged into a customer.
pub fn member(customer: u64, number: u64) -> Vec<u8> {
    [customer.to_be_bytes(), number.to_be_bytes()].concat()
}

/// A customer's key with another customer's number.
pub fn renumbered(key: &[u8], customer: u64) -> Vec<u8> {
    [&customer.to_be_bytes(), key.get(8..).unwrap_or_default()].concat()
}

/// The key of an event that is in no timeline.
pub fn suppressed(position: Position) -> Vec<u8> {
    position.get().to_be_bytes().to_vec()
}

/// The key of a record that the erasure at a position has yet to take out, and what the keys of all of them begin with.
pub fn erasure(erasure: Position, position: Position) -> Vec<u8> {
    record(erasure.get(), position)
}

/// The position at the end of a key.
pub fn read_position(key: &[u8]) -> Result<Position, Error> {
    let position = key.last_chunk().copied().map(u64::from_be_bytes);
    let position = position.ok_or(Error::Damaged("a key with a position"))?;
    Ok(Position::from_number(position))
}

/// The number at the beginning of a key or a value.
pub fn read_number(bytes: &[u8]) -> Result<u64, Error> {
    let number = bytes.first_chunk().copied().map(u64::from_be_bytes);
    number.ok_or(Error::Damaged("a number"))
}

/// Time and content hash of an event's key.
pub fn read_event(key: &[u8]) -> Result<(Timestamp, ContentHash), Error> {
    const DAMAGED: Error = Error::Damaged("a key of the timeline");
    let mut key = key.get(8..EVENT_BYTES).ok_or(DAMAGED)?;
    let micros = key.try_get_i64().map_err(|_| DAMAGED)?;
    let time = Timestamp::from_micros(micros).map_err(|_| DAMAGED)?;
    Ok((time, key.try_into().map_err(|_| DAMAGED)?))
}

/// The hash of an event's content. It distinguishes only events of one customer and one microsecond.
pub type ContentHash = [u8; 8];

/// The hash of an event's content, so that the same event has the same key.
///
/// For an event that may be stored twice, it includes the position.
pub fn content_hash(event: &Event, position: Position) -> ContentHash {
    let counted = event.event_type.keeps_duplicates().then_some(position);
    digest(event, counted)
}

/// What the fold needs of a record, if that is a plain event of a customer.
pub fn prepare(record: Record) -> Option<Prepared> {
    let Command::Event(event) = record.command else {
        return None;
    };
    let is_plain = !event.event_type.keeps_duplicates() && !record.conflicted;
    let is_of_somebody = !record.ids.as_slice().is_empty();
    (is_plain && is_of_somebody).then(|| Prepared {
        content: digest(&event, None),
        project: record.project,
        ids: record.ids,
        event_type: event.event_type,
        time: event.time,
    })
}

/// The hash of an event that the view makes, and of the record that caused it. The same may happen twice at the same
/// time, as the time of receipt is that of a clock that may be set back.
pub fn made_hash(event: &Event, position: Position) -> ContentHash {
    digest(event, Some(position))
}

fn digest(event: &Event, position: Option<Position>) -> ContentHash {
    let mut hash = Sha256::new();
    let event_type = event.event_type.as_str();
    hash.update((event_type.len() as u64).to_be_bytes());
    hash.update(event_type);
    hash.update(event.properties.bytes());
    if let Some(position) = position {
        hash.update(position.get().to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}
