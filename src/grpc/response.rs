//! A customer's data as messages, none of them larger than a client accepts.

use prost::Message as _;
use prost::encoding::{encoded_len_varint, message};

use super::convert::{event, id};
use super::pb;
use crate::model::properties::{Object, Properties};
use crate::tracker::{ExportedCustomer, IdValues, PAGE_TOKEN_BYTES_MAX, ResponseWriter};
use crate::view::StoredEvent;

/// Bytes that gRPC puts before each message.
const FRAME_BYTES: usize = 5;
/// Bytes of a field of at most 2 MiB beside its content: its number and length.
const FIELD_BYTES: usize = 5;

/// Most bytes of a message without its token, where a client accepts `answer_bytes_max`.
pub(super) const fn room(answer_bytes_max: usize) -> usize {
    answer_bytes_max.saturating_sub(FRAME_BYTES + FIELD_BYTES + PAGE_TOKEN_BYTES_MAX)
}

/// Properties that are being collected.
#[derive(Debug, Default)]
struct Written(Vec<u8>);

impl Written {
    /// Adds one, unless the field would be larger than `room`.
    fn add(&mut self, name: &str, value: &[u8], room: usize) -> bool {
        let before = self.0.len();
        Properties::write_entry(&mut self.0, name, value);
        let fits = self.field_bytes() <= room;
        if !fits {
            self.0.truncate(before);
        }
        fits
    }

    fn field_bytes(&self) -> usize {
        1 + encoded_len_varint(self.0.len() as u64) + self.0.len()
    }

    fn take(&mut self) -> Object {
        Properties::from_canonical(std::mem::take(&mut self.0).into()).into()
    }
}

/// A customer.
#[derive(Debug)]
pub(super) struct CustomerResponse {
    message: pb::GetCustomerResponse,
    properties: Written,
    /// Bytes that IDs, events and properties may still take.
    room: usize,
}

impl CustomerResponse {
    pub(super) fn new(room: usize) -> Self {
        Self {
            message: pb::GetCustomerResponse::default(),
            properties: Written::default(),
            room,
        }
    }

    pub(super) fn finish(mut self, next: Option<String>) -> pb::GetCustomerResponse {
        self.message.properties = Some(self.properties.take());
        self.message.next_page_token = next.unwrap_or_default();
        self.message
    }
}

impl ResponseWriter for CustomerResponse {
    fn ids(&mut self, ids: Vec<IdValues>) -> bool {
        self.message.ids = ids.into_iter().map(id).collect();
        let left = self.room.checked_sub(self.message.encoded_len());
        left.map(|left| self.room = left).is_some()
    }

    fn property(&mut self, name: &str, value: &[u8]) -> bool {
        self.properties.add(name, value, self.room)
    }

    fn event(&mut self, stored: StoredEvent) -> bool {
        let event = event(stored);
        let left = self.room - self.properties.field_bytes().min(self.room);
        let bytes = message::encoded_len(3, &event);
        if bytes > left {
            return false;
        }
        self.room -= bytes;
        self.message.events.push(event);
        true
    }

    fn bytes(&self) -> usize {
        self.message.encoded_len() + self.properties.field_bytes()
    }
}

/// A page of events.
#[derive(Debug)]
pub(super) struct EventsResponse {
    message: pb::ListEventsResponse,
    room: usize,
}

impl EventsResponse {
    pub(super) fn new(room: usize) -> Self {
        Self {
            message: pb::ListEventsResponse::default(),
            room,
        }
    }

    pub(super) fn finish(mut self, next: Option<String>) -> pb::ListEventsResponse {
        self.message.next_page_token = next.unwrap_or_default();
        self.message
    }
}

impl ResponseWriter for EventsResponse {
    fn ids(&mut self, _: Vec<IdValues>) -> bool {
        true
    }

    fn property(&mut self, _: &str, _: &[u8]) -> bool {
        true
    }

    fn event(&mut self, stored: StoredEvent) -> bool {
        let event = event(stored);
        let left = self.room.checked_sub(message::encoded_len(1, &event));
        let Some(left) = left else {
            return false;
        };
        self.room = left;
        self.message.events.push(event);
        true
    }

    fn bytes(&self) -> usize {
        self.message.encoded_len()
    }
}

/// A customer of an export: one message, or several if the properties need them.
pub(super) fn exported(
    customer: ExportedCustomer,
    room: usize,
) -> Vec<pb::ExportCustomersResponse> {
    let empty = pb::ExportCustomersResponse {
        ids: customer.ids.into_iter().map(id).collect(),
        properties: None,
        more: true,
    };
    let room = room.saturating_sub(empty.encoded_len());
    let mut messages = Vec::with_capacity(1);
    let mut properties = Written::default();
    for (name, value) in customer.properties.entries() {
        if !properties.add(name, value, room) {
            messages.push(pb::ExportCustomersResponse {
                properties: Some(properties.take()),
                ..empty.clone()
            });
            // One property takes less than any message, by the limits of a command.
            properties.add(name, value, usize::MAX);
        }
    }
    messages.push(pb::ExportCustomersResponse {
        properties: Some(properties.take()),
        more: false,
        ..empty
    });
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    const MAX: usize = 8 * 1024;

    fn ids() -> Vec<IdValues> {
        let values = |soft, count| (0..count).map(move |n| format!("{soft}-{n}")).collect();
        let of = |kind: &str, soft, count| IdValues {
            kind: kind.to_owned(),
            values: values(soft, count),
            soft,
        };
        vec![of("registered", false, 1), of("cookie", true, 64)]
    }

    fn stored(number: i64, filler: usize) -> StoredEvent {
        let json = format!(r#"{{"n":{number},"t":"{}"}}"#, "x".repeat(filler));
        StoredEvent {
            event_type: "visit".to_owned(),
            time: Timestamp::from_micros(1_700_000_000_000_000 + number).unwrap(),
            properties: Properties::from_json(&json).unwrap(),
        }
    }

    fn framed(message: &impl prost::Message) -> usize {
        message.encoded_len() + FRAME_BYTES
    }

    #[test]
    fn a_customer_fills_an_answer_and_never_more() {
        for filler in 0..200 {
            let mut answer = CustomerResponse::new(room(MAX));
            assert!(answer.ids(ids()));
            let value = stored(1, filler).properties;
            let (_, value) = value.entries().last().unwrap();
            let mut names = 0..;
            let properties = names.find(|name| !answer.property(&format!("{name:04}"), value));
            assert!(properties > Some(10));
            assert!(!answer.event(stored(1, filler * 8)) || filler < 20);
            let token = "x".repeat(PAGE_TOKEN_BYTES_MAX);
            let message = answer.finish(Some(token));
            assert!(framed(&message) <= MAX, "{filler}: {}", framed(&message));
            assert!(framed(&message) > MAX - 300 - filler, "{filler}");
        }
    }

    #[test]
    fn a_page_of_events_fills_an_answer_and_never_more() {
        for filler in 0..200 {
            let mut answer = EventsResponse::new(room(MAX));
            let mut numbers = 0..;
            assert!(numbers.find(|n| !answer.event(stored(*n, filler))) > Some(10));
            let message = answer.finish(Some("x".repeat(PAGE_TOKEN_BYTES_MAX)));
            assert!(framed(&message) <= MAX, "{filler}: {}", framed(&message));
            assert!(framed(&message) > MAX - 300 - filler, "{filler}");
        }
    }

    #[test]
    fn a_customer_with_more_properties_than_a_message_holds_comes_in_several() {
        let text = "x".repeat(1_000);
        let entries: Vec<_> = (0..50).map(|n| format!(r#""{n:02}":"{text}""#)).collect();
        let whole = Properties::from_json(&format!("{{{}}}", entries.join(","))).unwrap();
        let customer = ExportedCustomer {
            ids: ids(),
            properties: whole.clone(),
        };
        let messages = exported(customer, room(MAX));
        assert!(messages.len() > 5);
        let (last, others) = messages.split_last().unwrap();
        assert!(!last.more && others.iter().all(|message| message.more));
        let mut all = Vec::new();
        for message in &messages {
            assert!(framed(message) <= MAX);
            assert_eq!(message.ids, messages[0].ids);
            all.extend(message.properties.clone().unwrap().encode_to_vec());
        }
        assert_eq!(all, whole.bytes().as_ref());
    }
}
