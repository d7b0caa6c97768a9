//! What is read of a customer as JSON, of bounded size: written where it is read, so that only the text is in memory.

use bytes::Bytes;

use super::answer;
use crate::tracker::{IdValues, PAGE_TOKEN_BYTES_MAX, ResponseWriter, StoredEvent};

/// Largest body of an answer, in bytes; streams have no end, and go in pieces.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What an answer may take behind its last event.
const END_BYTES: usize = 64 + PAGE_TOKEN_BYTES_MAX;

/// A text that grows up to a size.
#[derive(Debug)]
struct Text {
    out: Vec<u8>,
    bytes_max: usize,
}

impl Text {
    fn new(begin: &[u8], bytes_max: usize) -> Self {
        Self {
            out: begin.to_vec(),
            bytes_max: bytes_max.saturating_sub(END_BYTES),
        }
    }

    /// Writes something whole, or nothing if it would be too long.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.out.len();
        write(&mut self.out);
        let fits = self.out.len() <= self.bytes_max;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    fn end(mut self, next: Option<&str>) -> Bytes {
        if let Some(next) = next {
            // A token has nothing that JSON would escape.
            answer::put(
                &mut self.out,
                format_args!(r#", "next_page_token": "{next}""#),
            );
        }
        self.out.push(b'}');
        self.out.into()
    }
}

/// A customer with everything.
#[derive(Debug)]
pub(super) struct CustomerText {
    text: Text,
    properties: usize,
    events: usize,
}

impl CustomerText {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            text: Text::new(br#"{"success": true, "ids": "#, bytes_max),
            properties: 0,
            events: 0,
        }
    }

    pub(super) fn finish(mut self, next: Option<&str>) -> Bytes {
        let end: &[u8] = match self.events {
            0 => br#"}, "events": []"#,
            _ => b"]",
        };
        self.text.out.extend(end);
        self.text.end(next)
    }
}

impl ResponseWriter for CustomerText {
    fn ids(&mut self, ids: Vec<IdValues>) -> bool {
        self.text.add(|out| {
            answer::ids(out, ids.iter().map(|id| (&*id.kind, id.soft, &*id.values)));
            out.extend(br#", "properties": {"#);
        })
    }

    fn property(&mut self, name: &str, value: &[u8]) -> bool {
        let fits = self.text.add(|out| {
            if self.properties > 0 {
                out.push(b',');
            }
            answer::text(out, name);
            out.push(b':');
            answer::json_value(out, value);
        });
        self.properties += usize::from(fits);
        fits
    }

    fn event(&mut self, event: StoredEvent) -> bool {
        let fits = self.text.add(|out| {
            let before: &[u8] = match self.events {
                0 => br#"}, "events": ["#,
                _ => b", ",
            };
            out.extend(before);
            answer::stored_event(out, &event);
        });
        self.events += usize::from(fits);
        fits
    }

    fn bytes(&self) -> usize {
        self.text.out.capacity()
    }
}

/// A page of events.
#[derive(Debug)]
pub(super) struct EventsText {
    text: Text,
    events: usize,
}

impl EventsText {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            text: Text::new(br#"{"success": true, "data": ["#, bytes_max),
            events: 0,
        }
    }

    pub(super) fn finish(mut self, next: Option<&str>) -> Bytes {
        self.text.out.push(b']');
        self.text.end(next)
    }
}

impl ResponseWriter for EventsText {
    fn ids(&mut self, _: Vec<IdValues>) -> bool {
        true
    }

    fn property(&mut self, _: &str, _: &[u8]) -> bool {
        true
    }

    fn event(&mut self, event: StoredEvent) -> bool {
        let fits = self.text.add(|out| {
            if self.events > 0 {
                out.extend(b", ");
            }
            answer::stored_event(out, &event);
        });
        self.events += usize::from(fits);
        fits
    }

    fn bytes(&self) -> usize {
        self.text.out.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::properties::Properties;
    use crate::model::time::Timestamp;

    const MAX: usize = 8 * 1024;

    fn event(number: i64, filler: usize) -> StoredEvent {
        // Each of these characters takes six bytes of JSON.
        let text = "\\u0001".repeat(filler);
        let json = format!(r#"{{"n":{number},"t":"{text}"}}"#);
        StoredEvent {
            event_type: "visit".to_owned(),
            time: Timestamp::from_micros(1_700_000_000_000_000 + number).unwrap(),
            properties: Properties::from_json(&json).unwrap(),
        }
    }

    fn token() -> String {
        "x".repeat(PAGE_TOKEN_BYTES_MAX)
    }

    fn ids() -> Vec<IdValues> {
        vec![IdValues {
            kind: "cookie".to_owned(),
            values: vec!["c".to_owned()],
            soft: true,
        }]
    }

    #[test]
    fn events_fill_an_answer_and_never_more_and_stay_json() {
        for filler in 0..60 {
            let mut answer = EventsText::new(MAX);
            let count = (0..).find(|n| !answer.event(event(*n, filler)));
            let body = answer.finish(Some(&token()));
            assert!(body.len() <= MAX, "{filler}: {}", body.len());
            assert!(body.len() > MAX - 150 - filler * 6, "{filler}");
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let told = json["data"].as_array().unwrap().len();
            assert_eq!(i64::try_from(told).ok(), count);
            assert_eq!(json["next_page_token"], token());
        }
    }

    #[test]
    fn a_customer_fills_an_answer_and_never_more_and_stays_json() {
        for filler in 0..60 {
            let mut answer = CustomerText::new(MAX);
            assert!(answer.ids(ids()));
            let value = event(1, filler).properties;
            let (_, value) = value.entries().last().unwrap();
            let mut names = 0..;
            let count = names.find(|n| n % 40 == 39 || !answer.property(&format!("{n:04}"), value));
            let events = (0..).find(|n| !answer.event(event(*n, filler)));
            let body = answer.finish(Some(&token()));
            assert!(body.len() <= MAX, "{filler}: {}", body.len());
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let properties = json["properties"].as_object().unwrap().len();
            assert_eq!(Some(properties), count);
            let told = json["events"].as_array().unwrap().len();
            assert_eq!(i64::try_from(told).ok(), events);
        }
    }
}
