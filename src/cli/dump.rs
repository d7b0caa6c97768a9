//! The records of a stopped store as lines of JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::StartError;
use crate::config::Config;
use crate::log::disk::DiskStore;
use crate::log::record::{Command, Record};
use crate::log::{self, Position, Store as _};
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

/// The content of a line; fields are named as in `footfall.log.v1.Record`.
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

/// Writes records, one a line. A closed output ends it. Makes nothing if there is no store.
///
/// # Errors
/// [`StartError::Log`]: there is no store, it cannot be opened, or a record is damaged; those before it are
/// written. [`StartError::Output`].
pub fn dump(config: &Config, range: Range, out: &mut impl Write) -> Result<(), StartError> {
    let store = DiskStore::open_to_read((&config.data).into())?;
    let mut at = Position::from_number(range.from.saturating_sub(1));
    let mut left = range.limit;
    while left > 0 {
        let limit = usize::try_from(left).map_or(CHUNK_RECORDS, |left| left.min(CHUNK_RECORDS));
        let records = store.read_after(at, limit)?;
        if records.is_empty() {
            if at < store.last() {
                return Err(log::Error::missing(at.plus(1)).into());
            }
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
    let line = escaped(&serde_json::to_string(&line)?);
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")
}

/// JSON without characters that control a terminal or the reading order of a line. They occur only in texts, where a
/// JSON escape means the same.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match is_unsafe(character) {
            // All of them have four digits.
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => escaped.push(character),
        }
    }
    escaped
}

/// DEL and the controls beyond ASCII, those of bidirectional text, and what ends a line.
fn is_unsafe(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_moves_a_terminals_cursor_or_turns_its_text_around() {
        let text = "a\u{7f}\u{80}\u{9b}31m\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}\u{202e}\u{2066}\u{2069}č\u{a0}\"\u{1b}";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escaped(&json);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        assert_eq!(
            escaped
                .chars()
                .filter(|c| !c.is_ascii())
                .collect::<String>(),
            "č\u{a0}"
        );
        assert!(!escaped.chars().any(char::is_control), "{escaped}");
    }
}
