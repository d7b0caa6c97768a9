//! What the disk alone can do: records appended to a file and synced, in groups, by one thread that does nothing else.
//!
//! The records are the bytes that Footfall keeps of the same events, made before. They lie on the file system of its
//! data folder.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use footfall::log::record::{Command, Event, Record};
use footfall::model::customer_id::{CustomerId, CustomerIds};
use footfall::model::event::EventType;
use footfall::model::time::Timestamp;

use super::load::Answers;
use super::{message, server};

/// Records that are synced together: a fourth of the most that a commit of Footfall's log has, and all that one
/// stream's window holds.
pub(super) const GROUP: usize = 1_024;

/// Records a second.
pub(super) async fn events(time: Duration) -> Answers {
    tokio::task::spawn_blocking(move || append(time))
        .await
        .unwrap()
}

fn append(time: Duration) -> Answers {
    let records: Vec<_> = (0..GROUP as u64).map(record).collect();
    let dir = server::folder();
    let mut file = File::create(dir.path().join("appended")).unwrap();
    let mut answers = Answers::default();
    let mut bytes = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        bytes.clear();
        for record in &records {
            bytes.extend_from_slice(record);
        }
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        answers.accepted += GROUP as f64;
    }
    answers.per_second(began.elapsed())
}

/// What Footfall's log keeps of an event.
pub(super) fn record(number: u64) -> Vec<u8> {
    let now = Timestamp::from_micros(1_800_000_000_000_000).unwrap();
    let ids = message::customer_ids(number).into_iter();
    let ids = ids.map(|(kind, value)| CustomerId {
        soft: kind == "cookie",
        kind: kind.into(),
        value,
    });
    let event = Event {
        event_type: EventType::parse("page_visit").unwrap(),
        properties: message::object(number).trusted(),
        time: now,
    };
    let record = Record {
        project: server::TOKEN.into(),
        received: now,
        ids: CustomerIds::from_parsed(ids.collect()),
        command: Command::Event(event),
        conflicted: false,
        expired: false,
        clock_set: 0,
        customers: Vec::new(),
    };
    record.encode().to_vec()
}
