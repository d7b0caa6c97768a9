//! Converts messages to the tracker's types and back.

use std::pin::Pin;

use futures_util::Stream;
use prost_types::Timestamp as Message;
use tonic::Status;

use super::pb;
use crate::model::time::Timestamp;
use crate::tracker::{Error, IdValues};
use crate::view::StoredEvent;

/// A stream of messages that ends after the first failure.
pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A time of a request, in the field of this name.
pub(crate) fn time(field: &'static str, time: Option<Message>) -> Result<Option<Timestamp>, Error> {
    let read = |time: Message| Timestamp::from_seconds_nanos(time.seconds, time.nanos);
    let time = time.map(read).transpose();
    time.map_err(|error| Error::Time { field, error })
}

/// A time of an answer.
pub(crate) fn timestamp(time: Timestamp) -> Message {
    let (seconds, nanos) = time.seconds_nanos();
    Message { seconds, nanos }
}

/// The IDs of one type.
pub(super) fn id(id: IdValues) -> pb::CustomerId {
    pb::CustomerId {
        r#type: id.kind,
        values: id.values,
        soft: id.soft,
    }
}

/// An event as it is stored.
pub(super) fn event(event: StoredEvent) -> pb::Event {
    pb::Event {
        r#type: event.event_type,
        timestamp: Some(timestamp(event.time)),
        properties: Some(event.properties.into()),
    }
}
