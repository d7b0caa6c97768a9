//! The records of a stopped store as lines of JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{StartError, disk_options};
use crate::config::Config;
use crate::log::disk::DiskStore;
use crate::log::record::{Command, Record};
use crate::log::{Position, Store as _};
use crate::model::properties::Properties;
use crate::model::time::Timestamp;

/// How many records are read at once.
const CHUNK_RECORDS: usize = 64;

/// Which records to show.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first position.
    pub from: u64,
    /// The most records.
    pub limit: u64,
}

/// What a line says; fields are named as in `footfall.log.v1.Record`.
#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    project: &'a str,
    received: Box<RawValue>,
    ids: Vec<Id<'a>>,
    /// The command's name.
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Id<'a> {
    r#type: &'a str,
    value: &'a str,
    soft: bool,
}

/// Writes records, one a line. An output that is closed ends it. Makes nothing where no store is.
///
/// # Errors
/// [`StartError::Log`]: there is no store, it cannot be opened, or a record is damaged; those before it are
/// written. [`StartError::Output`].
pub fn dump(config: &Config, range: Range, out: &mut impl Write) -> Result<(), StartError> {
    let store = DiskStore::open_to_read(disk_options(config))?;
    let mut at = Position::from_number(range.from.saturating_sub(1));
    let mut left = range.limit;
    while left > 0 {
        let limit = usize::try_from(left).map_or(CHUNK_RECORDS, |left| left.min(CHUNK_RECORDS));
        let records = store.read_after(at, limit)?;
        if records.is_empty() {
            break;
        }
        for (position, bytes) in records {
            let record = Record::decode(position, bytes)?;
            match write(out, position, &record) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(StartError::Output)?,
            }
            at = position;
            left -= 1;
        }
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StartError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write(out: &mut impl Write, position: Position, record: &Record) -> io::Result<()> {
    let ids = record.ids.as_slice().iter().map(|id| Id {
        r#type: &id.kind,
        value: &id.value,
        soft: id.soft,
    });
    let (command, event_type, at, properties) = match &record.command {
        Command::Update { properties, time } => ("update", None, Some(*time), Some(properties)),
        Command::Event(event) => (
            "event",
            Some(event.event_type.as_str()),
            Some(event.time),
            Some(&event.properties),
        ),
        Command::Anonymize => ("anonymize", None, None, None),
        Command::Erase => ("erase", None, None, None),
        Command::Erased(_) => ("erased", None, None, None),
    };
    let line = Line {
        position: position.get(),
        project: &record.project,
        received: time(record.received)?,
        ids: ids.collect(),
        command,
        r#type: event_type,
        time: at.map(time).transpose()?,
        properties: properties.map(object).transpose()?,
    };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Unix seconds, exact to the microsecond.
fn time(time: Timestamp) -> io::Result<Box<RawValue>> {
    Ok(RawValue::from_string(time.to_string())?)
}

fn object(properties: &Properties) -> io::Result<Box<RawValue>> {
    let mut json = Vec::new();
    properties.write_json(&mut json);
    let json = String::from_utf8(json).map_err(io::Error::other)?;
    Ok(RawValue::from_string(json)?)
}
