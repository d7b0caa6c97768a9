//! `GET /limits`: the addresses refused most, for operators.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::limit::Refused;

/// Most addresses that are listed.
const ADDRESSES_MAX: usize = 100;

/// What is known, as JSON. Times are RFC 3339, in UTC.
pub(super) fn json(refused: &Refused, clock: &dyn Clock) -> Map<String, Value> {
    let (now, elapsed) = (clock.now().micros(), clock.elapsed());
    let wall = |time: Duration| -> Value {
        let ago = i64::try_from(elapsed.saturating_sub(time).as_micros()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_microsecond(now.saturating_sub(ago));
        time.map_or(Value::Null, |time| time.to_string().into())
    };
    let summary = refused.summary(ADDRESSES_MAX, elapsed);
    let address = |one: &crate::limit::Offender| {
        json!({
            "address": one.address.to_string(),
            "refused": one.refused,
            "refused_min": one.refused_min,
            "first": wall(one.first),
            "last": wall(one.last),
        })
    };
    let addresses: Vec<_> = summary.addresses.iter().map(address).collect();
    Map::from_iter([
        ("since".to_owned(), wall(summary.since)),
        ("until".to_owned(), wall(elapsed)),
        ("refused".to_owned(), summary.refused.into()),
        ("unlisted_max".to_owned(), summary.unlisted_max.into()),
        ("addresses".to_owned(), addresses.into()),
    ])
}
