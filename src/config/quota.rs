//! A quota, wherever one stands in the settings.

use std::num::NonZeroU32;

use super::reader::Fields;
use super::units::{DURATION, count};
use crate::limit::{Quota, quota};

/// `rate_limit` of a project or key, if it has one.
pub(super) fn optional(fields: &mut Fields<'_, '_>) -> Option<Quota> {
    let expected = "{ requests = 6000, .. }";
    let read = |fields: &mut Fields<'_, '_>| read(fields, None, "1m");
    fields.table("rate_limit", expected, read).flatten()
}

/// The quota of a table, with the defaults of its `requests` and `period`. None if a mistake was noted.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    requests: Option<&str>,
    period: &str,
) -> Option<Quota> {
    let mistakes = fields.mistakes();
    let requests = match requests {
        Some(default) => Some(fields.read("requests", count(), default)),
        None => fields.required("requests", count()),
    };
    let period = fields.read("period", DURATION, period);
    let burst = requests.unwrap_or(NonZeroU32::MIN).to_string();
    let burst = fields.read("burst", count(), &burst);
    let requests = requests.filter(|_| fields.mistakes() == mistakes)?;
    let error = match Quota::new(requests, period, burst) {
        Ok(quota) => return Some(quota),
        Err(error) => error,
    };
    let (key, value) = match error {
        quota::Error::Period(_) => ("period", format!("{period:?}")),
        quota::Error::TooFast => ("requests", format!("{requests} every {period:?}")),
        quota::Error::TooSlow => ("burst", format!("{burst} at {requests} every {period:?}")),
    };
    fields.mistake(key, format!("{value} is no quota: {error}"));
    None
}
