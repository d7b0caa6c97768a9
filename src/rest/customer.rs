//! One customer and its events as JSON of bounded size.
//!
//! The tracker writes them here while it reads, so that only the JSON is in memory.

use bytes::Bytes;

use super::response::{event, ids, json_value, put, write};
use crate::tracker::{IdValues, PAGE_TOKEN_BYTES_MAX, ResponseWriter, StoredEvent};

/// Largest body of a response that is no stream, in bytes.
pub(super) const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of a response after its last event.
const END_BYTES: usize = 64 + PAGE_TOKEN_BYTES_MAX;

/// The events of a customer, and the customer itself if it was requested.
#[derive(Debug)]
pub(super) struct CustomerResponse {
    out: Vec<u8>,
    bytes_max: usize,
    /// The JSON in front of the first event.
    open: &'static [u8],
    properties: usize,
    events: usize,
}

impl CustomerResponse {
    /// A customer with everything, in at most `bytes_max` bytes.
    pub(super) fn customer(bytes_max: usize) -> Self {
        let start = br#"{"success": true, "ids": "#;
        Self::new(bytes_max, start, br#"}, "events": ["#)
    }

    /// A page of events, in at most `bytes_max` bytes.
    pub(super) fn events(bytes_max: usize) -> Self {
        Self::new(bytes_max, br#"{"success": true"#, br#", "data": ["#)
    }

    fn new(bytes_max: usize, start: &[u8], open: &'static [u8]) -> Self {
        Self {
            out: start.to_vec(),
            bytes_max: bytes_max.saturating_sub(END_BYTES),
            open,
            properties: 0,
            events: 0,
        }
    }

    /// Writes a part as a whole, or not at all if the response would be too long.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.out.len();
        write(&mut self.out);
        let fits = self.out.len() <= self.bytes_max;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    /// The whole response. `next` is the token of the next page.
    pub(super) fn finish(mut self, next: Option<&str>) -> Bytes {
        if self.events == 0 {
            self.out.extend(self.open);
        }
        self.out.push(b']');
        if let Some(next) = next {
            // A token has no characters that JSON escapes.
            let next = format_args!(r#", "next_page_token": "{next}""#);
            put(&mut self.out, next);
        }
        self.out.push(b'}');
        self.out.into()
    }
}

impl ResponseWriter for CustomerResponse {
    fn ids(&mut self, found: Vec<IdValues>) -> bool {
        self.add(|out| {
            ids(
                out,
                found.iter().map(|id| (&*id.kind, id.soft, &*id.values)),
            );
            out.extend(br#", "properties": {"#);
        })
    }

    fn property(&mut self, name: &str, value: &[u8]) -> bool {
        let is_first = self.properties == 0;
        let fits = self.add(|out| {
            if !is_first {
                out.push(b',');
            }
            write(out, name);
            out.push(b':');
            json_value(out, value);
        });
        self.properties += usize::from(fits);
        fits
    }

    fn event(&mut self, found: StoredEvent) -> bool {
        let before = match self.events {
            0 => self.open,
            _ => b", ",
        };
        let fits = self.add(|out| {
            out.extend(before);
            event(out, &found);
        });
        self.events += usize::from(fits);
        fits
    }

    fn bytes(&self) -> usize {
        self.out.capacity()
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
    fn events_fill_an_response_and_never_more_and_stay_json() {
        for filler in 0..60 {
            let mut response = CustomerResponse::events(MAX);
            let count = (0..).find(|n| !response.event(event(*n, filler)));
            let body = response.finish(Some(&token()));
            assert!(body.len() <= MAX, "{filler}: {}", body.len());
            assert!(body.len() > MAX - 150 - filler * 6, "{filler}");
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let written = json["data"].as_array().unwrap().len();
            assert_eq!(i64::try_from(written).ok(), count);
            assert_eq!(json["next_page_token"], token());
        }
    }

    #[test]
    fn a_customer_fills_an_response_and_never_more_and_stays_json() {
        for filler in 0..60 {
            let mut response = CustomerResponse::customer(MAX);
            assert!(response.ids(ids()));
            let value = event(1, filler).properties;
            let (_, value) = value.entries().last().unwrap();
            let mut names = 0..;
            let count =
                names.find(|n| n % 40 == 39 || !response.property(&format!("{n:04}"), value));
            let events = (0..).find(|n| !response.event(event(*n, filler)));
            let body = response.finish(Some(&token()));
            assert!(body.len() <= MAX, "{filler}: {}", body.len());
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let properties = json["properties"].as_object().unwrap().len();
            assert_eq!(Some(properties), count);
            let written = json["events"].as_array().unwrap().len();
            assert_eq!(i64::try_from(written).ok(), events);
        }
    }
}
