//! What callers send in these tests.

use crate::log::record::{Command, Event, Record};
use crate::model::customer_id::{CustomerIds, Schema};
use crate::model::event::EventType;
use crate::model::properties::Properties;
use crate::model::time::Timestamp;

/// The ID types of every project here, in order, each with whether it is a soft one.
pub(crate) const KINDS: [(&str, bool); 4] = [
    ("registered", false),
    ("email", false),
    ("cookie", true),
    ("device", true),
];

/// A command as a caller would send it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) project: &'static str,
    /// Type and value, in the order of [`KINDS`].
    pub(crate) ids: Vec<(&'static str, String)>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Update {
        json: String,
        seconds: i64,
    },
    Event {
        event_type: &'static str,
        json: String,
        seconds: i64,
    },
    Anonymize,
    Erase,
}

pub(crate) fn anonymize(ids: &[(&'static str, &str)]) -> Request {
    request(ids, What::Anonymize)
}

pub(crate) fn erase(ids: &[(&'static str, &str)]) -> Request {
    request(ids, What::Erase)
}

pub(crate) fn update(ids: &[(&'static str, &str)], json: &str, seconds: i64) -> Request {
    let json = json.to_owned();
    request(ids, What::Update { json, seconds })
}

pub(crate) fn event(
    ids: &[(&'static str, &str)],
    event_type: &'static str,
    json: &str,
    seconds: i64,
) -> Request {
    let json = json.to_owned();
    request(
        ids,
        What::Event {
            event_type,
            json,
            seconds,
        },
    )
}

fn request(ids: &[(&'static str, &str)], what: What) -> Request {
    let ids = ids.iter().map(|(kind, value)| (*kind, (*value).to_owned()));
    Request {
        project: "p",
        ids: ids.collect(),
        what,
    }
}

/// When the request that arrives as the `arrival`th was received, in seconds: later than all times in requests.
pub(crate) fn received(arrival: u64) -> i64 {
    1_000_000 + arrival.cast_signed()
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

pub(crate) fn ids(ids: &[(&str, String)]) -> CustomerIds {
    let names = |soft: bool| -> Vec<String> {
        let kinds = KINDS.iter().filter(|(_, is_soft)| *is_soft == soft);
        kinds.map(|(kind, _)| (*kind).to_owned()).collect()
    };
    let schema = Schema::new(&names(false), &names(true), &[]);
    let ids = ids.iter().map(|(kind, value)| (*kind, value.as_str()));
    schema.parse(ids).unwrap()
}

impl Request {
    pub(crate) fn record(&self, arrival: u64) -> Record {
        let command = match &self.what {
            What::Update { json, seconds } => Command::Update {
                properties: Properties::from_json(json).unwrap(),
                time: time(*seconds),
            },
            What::Event {
                event_type,
                json,
                seconds,
            } => Command::Event(Event {
                event_type: EventType::parse(event_type).unwrap(),
                properties: Properties::from_json(json).unwrap(),
                time: time(*seconds),
            }),
            What::Anonymize => Command::Anonymize,
            What::Erase => Command::Erase,
        };
        Record {
            project: self.project.to_owned(),
            received: time(received(arrival)),
            ids: ids(&self.ids),
            command,
            conflicted: false,
            expired: false,
            clock_set: 0,
            customers: Vec::new(),
        }
    }
}
