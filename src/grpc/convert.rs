//! Converts messages to the tracker's types and back.

use prost_types::Timestamp as Message;

use crate::model::time::Timestamp;
use crate::tracker::Error;

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
