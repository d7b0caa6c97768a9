//! What a position holds: one accepted command.
//!
//! Bytes: a format version (1), the low 32 bits of the XXH3 of the rest, and the rest, which is the message
//! `footfall.log.v1.Record`.

mod encode;

use bytes::{Buf, BufMut, Bytes};
use prost::Message as _;
use xxhash_rust::xxh3::xxh3_64;

use super::{Error, Position, pb};
use crate::model::customer_id::{CustomerId, CustomerIds};
use crate::model::event::EventType;
use crate::model::properties::Properties;
use crate::model::time::Timestamp;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// One accepted command.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The project's token.
    pub project: String,
    /// When it was received.
    pub received: Timestamp,
    /// The customer it is about; an event may have none.
    pub ids: CustomerIds,
    /// What was asked.
    pub command: Command,
    /// The IDs were in conflict through one that was erased since, so that nothing merges.
    pub conflicted: bool,
    /// The record is older than what is kept: its content was removed, except for the customer it is about.
    pub expired: bool,
    /// By how much the wall clock had been set since its process started, in µs; 0 if it went with the time that
    /// passed.
    pub clock_set: i64,
    /// The numbers of the customers that the record is to forget; empty in older records, and in those that forget no
    /// customer.
    pub customers: Vec<u64>,
}

/// What a record asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// New properties of the customer.
    Update {
        /// The properties.
        properties: Properties,
        /// When they had these values.
        time: Timestamp,
    },
    /// Something that happened to the customer.
    Event(Event),
    /// Removes all IDs and properties from the customer that the record names.
    Anonymize,
    /// Removes the customers that the record names, with everything that was ever recorded of them.
    Erase,
    /// The record was removed. What remains is what it took from customers that still exist.
    Erased(Vec<Taken>),
}

/// An ID that a customer lost, identified without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The customer's number.
    pub customer: u64,
    /// The ID's type.
    pub kind: String,
    /// The position of the record that had given it to the customer.
    pub since: u64,
}

/// An event's own part.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its type.
    pub event_type: EventType,
    /// Its properties.
    pub properties: Properties,
    /// When it happened.
    pub time: Timestamp,
}

/// A plain event as its writer knows it, beside the bytes of its record: a fold that comes soon need not read those.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The project's token.
    pub project: String,
    /// The customer it is about.
    pub ids: CustomerIds,
    /// Its type.
    pub event_type: EventType,
    /// When it happened.
    pub time: Timestamp,
    /// The digest of its content.
    pub content: [u8; 8],
}

impl Prepared {
    /// How much memory it takes, in bytes, as an estimate.
    pub fn bytes(&self) -> usize {
        let ids = self.ids.as_slice().iter();
        let ids: usize = ids.map(|id| size_of::<CustomerId>() + id.value.len()).sum();
        size_of::<Self>() + self.project.len() + self.event_type.as_str().len() + ids
    }
}

impl Record {
    /// What stands in place of this record once it is removed.
    pub fn erased(&self, taken: Vec<Taken>) -> Self {
        Self {
            project: self.project.clone(),
            received: self.received,
            ids: CustomerIds::from_parsed(Vec::new()),
            command: Command::Erased(taken),
            conflicted: false,
            expired: false,
            clock_set: self.clock_set,
            customers: Vec::new(),
        }
    }

    /// The bytes to append.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + encode::room(self));
        bytes.put_u8(VERSION);
        bytes.put_u32(0);
        encode::record(self, &mut bytes);
        let sum = bytes.get(HEADER_BYTES..).map_or(0, checksum);
        if let Some(header) = bytes.get_mut(1..HEADER_BYTES) {
            header.copy_from_slice(&sum.to_be_bytes());
        }
        bytes.into()
    }

    /// Reads the bytes at a position.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn decode(position: Position, bytes: Bytes) -> Result<Self, Error> {
        Self::read(bytes).map_err(|why| Error::Damaged { position, why })
    }

    /// The project's token in the bytes at a position, without reading the rest.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn project(position: Position, bytes: &Bytes) -> Result<String, Error> {
        let message = message(bytes.clone()).map_err(|why| Error::Damaged { position, why })?;
        let project = OfProject::decode(message);
        let project = project.map_err(|error| Error::Damaged {
            position,
            why: error.to_string(),
        })?;
        Ok(project.project)
    }

    fn read(bytes: Bytes) -> Result<Self, String> {
        let message = pb::Record::decode(message(bytes)?).map_err(|error| error.to_string())?;
        Self::from_message(message)
    }

    fn from_message(message: pb::Record) -> Result<Self, String> {
        let time = |micros| Timestamp::from_micros(micros).map_err(|error| error.to_string());
        let ids = message.ids.into_iter().map(|id| CustomerId {
            kind: id.r#type.into(),
            value: id.value,
            soft: id.soft,
        });
        let command = match message.command {
            Some(pb::record::Command::Update(update)) => Command::Update {
                properties: Properties::from_canonical(update.properties),
                time: time(update.time)?,
            },
            Some(pb::record::Command::Event(event)) => Command::Event(Event {
                event_type: EventType::parse(&event.r#type).map_err(|error| error.to_string())?,
                properties: Properties::from_canonical(event.properties),
                time: time(event.time)?,
            }),
            Some(pb::record::Command::Anonymize(pb::Anonymize {})) => Command::Anonymize,
            Some(pb::record::Command::Erase(pb::Erase {})) => Command::Erase,
            Some(pb::record::Command::Erased(erased)) => {
                Command::Erased(erased.taken.into_iter().map(Taken::from).collect())
            }
            None => return Err("a record of an unknown command".to_owned()),
        };
        Ok(Self {
            project: message.project,
            received: time(message.received)?,
            ids: CustomerIds::from_parsed(ids.collect()),
            command,
            conflicted: message.conflicted,
            expired: message.expired,
            clock_set: message.clock_set,
            customers: message.customers,
        })
    }
}

impl From<pb::Taken> for Taken {
    fn from(taken: pb::Taken) -> Self {
        Self {
            customer: taken.customer,
            kind: taken.r#type,
            since: taken.since,
        }
    }
}

/// The part of a record's message that names its project.
#[derive(Clone, PartialEq, prost::Message)]
struct OfProject {
    #[prost(string, tag = "1")]
    project: String,
}

/// The message of a record whose version and checksum are right.
fn message(mut bytes: Bytes) -> Result<Bytes, String> {
    if bytes.len() < HEADER_BYTES {
        return Err(format!("a record of {} bytes", bytes.len()));
    }
    let version = bytes.get_u8();
    if version != VERSION {
        return Err(format!("a record of the unknown version {version}"));
    }
    if bytes.get_u32() != checksum(&bytes) {
        return Err("the checksum differs".to_owned());
    }
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> u32 {
    let [_, _, _, _, a, b, c, d] = xxh3_64(bytes).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            project: "p".into(),
            received: Timestamp::from_micros(1_700_000_000_000_001).unwrap(),
            ids: CustomerIds::from_parsed(vec![CustomerId {
                kind: "cookie".into(),
                value: "c-1".into(),
                soft: true,
            }]),
            command: Command::Event(Event {
                event_type: EventType::parse("visit").unwrap(),
                properties: Properties::from_json(r#"{"a":{"b":[1,"x",null]}}"#).unwrap(),
                time: Timestamp::from_micros(1_600_000_000_000_000).unwrap(),
            }),
            conflicted: false,
            expired: true,
            clock_set: 86_400_000_000,
            customers: Vec::new(),
        }
    }

    #[test]
    fn the_project_can_be_read_without_the_rest() {
        let at = Position::from_number(7);
        let bytes = record().encode();
        assert_eq!(Record::project(at, &bytes).unwrap(), "p");
        let mut spoilt = bytes.to_vec();
        *spoilt.last_mut().unwrap() ^= 1;
        let error = Record::project(at, &spoilt.into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            Record::decode(at, Bytes::from_static(b"\x01...."))
                .map(|_| String::new())
                .unwrap_err()
                .to_string()
        );
    }

    fn records() -> Vec<Record> {
        let taken = |customer| Taken {
            customer,
            kind: "cookie".repeat(30),
            since: 5,
        };
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(16_000));
        let update = |properties: &str| Command::Update {
            properties: Properties::from_json(properties).unwrap(),
            time: Timestamp::from_micros(0).unwrap(),
        };
        let commands = [
            record().command,
            Command::Anonymize,
            Command::Erase,
            Command::Erased(vec![taken(3), taken(0)]),
            Command::Erased(Vec::new()),
            update("{}"),
            update(&long),
        ];
        let commands = commands.map(|command| Record {
            command,
            ..record()
        });
        let mut records = Vec::from(commands);
        records.push(Record {
            ids: CustomerIds::default(),
            conflicted: true,
            expired: false,
            clock_set: -1,
            customers: vec![1, 300, u64::MAX],
            ..record()
        });
        records
    }

    #[test]
    fn a_record_reads_back_as_it_was() {
        let position = Position::from_number(7);
        for record in records() {
            assert_eq!(Record::decode(position, record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn the_bytes_of_a_record_stay_as_they_are() {
        let bytes = record().encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let known = concat!(
            "0136a68e6f0a0170108180f9c0c1c482031a0f0a06636f6f6b69651203632d3118012a310a057669",
            "736974121f0a1d0a016112182a160a140a0162120f320d0a0238010a031a01780a02080018808090",
            "bd90e6eb025001588080bbdd8305",
        );
        assert_eq!(hex, known);
        let read = Record::decode(Position::from_number(7), bytes).unwrap();
        assert_eq!(read, record());
    }

    /// The message, for the generated code to encode.
    fn message(record: &Record) -> pb::Record {
        let ids = record.ids.as_slice().iter().map(|id| pb::CustomerId {
            r#type: id.kind.to_string(),
            value: id.value.clone(),
            soft: id.soft,
        });
        let command = match &record.command {
            Command::Update { properties, time } => pb::record::Command::Update(pb::Update {
                properties: properties.bytes().clone(),
                time: time.micros(),
            }),
            Command::Event(event) => pb::record::Command::Event(pb::Event {
                r#type: event.event_type.to_string(),
                properties: event.properties.bytes().clone(),
                time: event.time.micros(),
            }),
            Command::Anonymize => pb::record::Command::Anonymize(pb::Anonymize {}),
            Command::Erase => pb::record::Command::Erase(pb::Erase {}),
            Command::Erased(taken) => pb::record::Command::Erased(pb::Erased {
                taken: taken
                    .iter()
                    .map(|taken| pb::Taken {
                        customer: taken.customer,
                        r#type: taken.kind.clone(),
                        since: taken.since,
                    })
                    .collect(),
            }),
        };
        pb::Record {
            project: record.project.clone(),
            received: record.received.micros(),
            ids: ids.collect(),
            command: Some(command),
            conflicted: record.conflicted,
            expired: record.expired,
            clock_set: record.clock_set,
            customers: record.customers.clone(),
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_generated_code() {
        for record in records() {
            let written = record.encode();
            let generated = message(&record).encode_to_vec();
            assert_eq!(
                written.get(HEADER_BYTES..).unwrap(),
                generated,
                "{record:?}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = record().encode();
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.to_vec();
            bad[at / 8] ^= 1 << (at % 8);
            let read = Record::decode(Position::from_number(7), bad.into());
            assert!(
                matches!(read, Err(Error::Damaged { position, .. }) if position.get() == 7),
                "bit {at}"
            );
        }
    }

    #[test]
    fn every_truncation_is_noticed() {
        let bytes = record().encode();
        for length in 0..bytes.len() {
            let read = Record::decode(Position::START, bytes.slice(..length));
            assert!(read.is_err(), "{length} bytes");
        }
    }
}
