//! The values of the view's tables.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut};
use prost::Message;

use super::Error;
use crate::log::Position;
use crate::model::customer_id::CustomerId;

/// The owner of an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdEntry {
    /// The customer.
    pub customer: u64,
    /// The position of the last record that named the ID, if it is a soft one and its customer has several of its type;
    /// else of some record that did.
    pub last_used: u64,
}

impl IdEntry {
    /// The value to store.
    pub fn encode(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(16);
        value.put_u64(self.customer);
        value.put_u64(self.last_used);
        value
    }

    /// Reads a stored value.
    pub fn decode(mut value: &[u8]) -> Result<Self, Error> {
        let mut number = || value.try_get_u64();
        match (number(), number()) {
            (Ok(customer), Ok(last_used)) => Ok(Self {
                customer,
                last_used,
            }),
            _ => Err(Error::Damaged("an entry of ids")),
        }
    }
}

/// A customer.
#[derive(Clone, PartialEq, Message)]
pub struct Customer {
    /// The project's number.
    #[prost(fixed32, tag = "1")]
    pub project: u32,
    /// The IDs.
    #[prost(message, repeated, tag = "2")]
    pub ids: Vec<HeldId>,
    /// Numbers that merged into this one and whose rows are still being moved. Those rows are this customer's already.
    #[prost(fixed64, repeated, tag = "3")]
    pub moving: Vec<u64>,
    /// Whether it ever lost a soft ID because it had too many.
    #[prost(bool, tag = "4")]
    pub evicted: bool,
    /// The position of the record that created the first of the customers that this one consists of.
    #[prost(fixed64, tag = "5")]
    pub created: u64,
    /// How many customers merged into this one.
    #[prost(uint64, tag = "6")]
    pub merged: u64,
    /// How many properties it has.
    #[prost(uint32, tag = "7")]
    pub properties: u32,
    /// The customer that this one merged into. Then only the project is valid beside it.
    #[prost(fixed64, optional, tag = "8")]
    pub merged_into: Option<u64>,
    /// Its links in the table of anonymous customers, once it is one.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub links: Vec<Vec<u8>>,
}

/// Work left for a record that does not fit into one batch of writes: pages of rows of one number. The project's next
/// record waits for it.
#[derive(Clone, PartialEq, Message)]
pub struct Chore {
    /// The project's token.
    #[prost(string, tag = "1")]
    pub project: String,
    /// The rows move to this customer.
    #[prost(fixed64, optional, tag = "2")]
    pub to: Option<u64>,
    /// The rows are erased, for the erasure at this position.
    #[prost(fixed64, optional, tag = "3")]
    pub erasure: Option<u64>,
    /// The step that it has reached.
    #[prost(uint32, tag = "4")]
    pub step: u32,
    /// The key that it has reached within the step; empty at its beginning.
    #[prost(bytes = "vec", tag = "5")]
    pub after: Vec<u8>,
}

impl Chore {
    /// Reads a stored value.
    pub fn read(value: &[u8]) -> Result<Self, Error> {
        Self::decode(value).map_err(|_| Error::Damaged("an entry of chores"))
    }
}

/// An ID that a customer has.
#[derive(Clone, PartialEq, Message)]
pub struct HeldId {
    /// The type.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Whether the type is a soft one.
    #[prost(bool, tag = "3")]
    pub soft: bool,
    /// The position of the record that gave it to the customer.
    #[prost(fixed64, tag = "4")]
    pub since: u64,
}

impl HeldId {
    /// The ID itself.
    pub fn id(&self) -> CustomerId {
        CustomerId {
            kind: self.kind.as_str().into(),
            value: self.value.clone(),
            soft: self.soft,
        }
    }

    /// Whether this is that ID.
    pub fn is(&self, id: &CustomerId) -> bool {
        self.kind == *id.kind && self.value == id.value
    }
}

impl Customer {
    /// Reads a stored value.
    pub fn read(value: &[u8]) -> Result<Self, Error> {
        Self::decode(value).map_err(|_| Error::Damaged("an entry of customers"))
    }

    /// Whether the last use of its soft IDs matters: it has several of one type, one of which may be dropped.
    pub fn tracks_use(&self) -> bool {
        let mut soft = self.ids.iter().filter(|id| id.soft);
        let mut kinds = BTreeSet::new();
        soft.any(|id| !kinds.insert(&*id.kind))
    }

    /// Whether it has an ID.
    pub fn has(&self, id: &CustomerId) -> bool {
        self.ids.iter().any(|held| held.is(id))
    }
}

/// The part that a customer has in a record or an erasure.
#[derive(Clone, PartialEq, Message)]
pub struct Involvement {
    /// Whether the record changed what IDs lead to, so that others could not be folded without it.
    #[prost(bool, tag = "1")]
    pub shaped: bool,
    /// The IDs that it took from other customers.
    #[prost(message, repeated, tag = "2")]
    pub taken: Vec<TakenId>,
    /// The other customers that it named.
    #[prost(fixed64, repeated, tag = "3")]
    pub named: Vec<u64>,
    /// The customer that the record is about, if it only names this one.
    #[prost(fixed64, optional, tag = "4")]
    pub owner: Option<u64>,
    /// The types of the IDs by which it names this one, without those that it took.
    #[prost(string, repeated, tag = "5")]
    pub kinds: Vec<String>,
}

/// An ID that a record took.
#[derive(Clone, PartialEq, Message)]
pub struct TakenId {
    /// The customer that lost it.
    #[prost(fixed64, tag = "1")]
    pub customer: u64,
    /// Its type.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// The position of the record that had given it.
    #[prost(fixed64, tag = "3")]
    pub since: u64,
}

impl Involvement {
    /// Reads a stored value.
    pub fn read(value: &[u8]) -> Result<Self, Error> {
        Self::decode(value).map_err(|_| Error::Damaged("an entry of records"))
    }

    /// The numbers that it names.
    pub fn numbers(&self) -> BTreeSet<u64> {
        let taken = self.taken.iter().map(|taken| taken.customer);
        taken.chain(self.named.iter().copied()).collect()
    }

    /// Removes what it says of some numbers; says whether there was anything.
    pub fn forget(&mut self, numbers: &BTreeSet<u64>) -> bool {
        let before = self.taken.len() + self.named.len();
        self.taken
            .retain(|taken| !numbers.contains(&taken.customer));
        self.named.retain(|named| !numbers.contains(named));
        self.taken.len() + self.named.len() < before
    }
}

/// A property of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// When it had this value, and the position of the record with it: the greater pair wins.
    pub updated: (i64, u64),
    /// The value in canonical form.
    pub value: Vec<u8>,
}

impl Property {
    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(16 + self.value.len());
        value.put_i64(self.updated.0);
        value.put_u64(self.updated.1);
        value.put_slice(&self.value);
        value
    }

    /// Reads a stored value.
    pub fn decode(mut value: &[u8]) -> Result<Self, Error> {
        const DAMAGED: Error = Error::Damaged("an entry of properties");
        let time = value.try_get_i64().map_err(|_| DAMAGED)?;
        let position = value.try_get_u64().map_err(|_| DAMAGED)?;
        Ok(Self {
            updated: (time, position),
            value: value.to_vec(),
        })
    }
}

/// An event in a customer's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record that caused it.
    pub position: Position,
    /// The event's type.
    pub event_type: String,
    /// The properties of an event that the view itself made; others have theirs in the log.
    pub made: Option<Vec<u8>>,
}

impl Entry {
    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(11 + self.event_type.len());
        value.put_u64(self.position.get());
        value.put_u8(u8::from(self.made.is_some()));
        // Types have at most 255 characters.
        value.put_u16(u16::try_from(self.event_type.len()).unwrap_or(u16::MAX));
        value.put_slice(self.event_type.as_bytes());
        value.put_slice(self.made.as_deref().unwrap_or_default());
        value
    }

    /// Reads a stored value.
    pub fn decode(mut value: &[u8]) -> Result<Self, Error> {
        const DAMAGED: Error = Error::Damaged("an entry of the timeline");
        let position = value.try_get_u64().map_err(|_| DAMAGED)?;
        let made = value.try_get_u8().map_err(|_| DAMAGED)? != 0;
        let length = value.try_get_u16().map_err(|_| DAMAGED)?;
        let (event_type, rest) = value.split_at_checked(length.into()).ok_or(DAMAGED)?;
        Ok(Self {
            position: Position::from_number(position),
            event_type: String::from_utf8(event_type.to_vec()).map_err(|_| DAMAGED)?,
            made: made.then(|| rest.to_vec()),
        })
    }
}
