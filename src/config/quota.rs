//! A quota, wherever one stands in the settings.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Fields;
use super::units::{DURATION, count};
use crate::limit::{Quota, quota};

/// How much the callers of a project or of a key may send: `rate_limit` in `[[project]]` and `[[project.key]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaConfig {
    /// Requests in every [`QuotaConfig::period`].
    pub requests: NonZeroU32,
    /// The time for which [`QuotaConfig::requests`] are counted. Default 1 min.
    pub period: Duration,
    /// Requests that may come at once. Default: as many as [`QuotaConfig::requests`].
    pub burst: NonZeroU32,
}

impl QuotaConfig {
    /// The quota of a project or key, if it has one.
    pub(super) fn optional(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let expected = "{ requests = 6000, .. }";
        fields.table("rate_limit", expected, Self::read).flatten()
    }

    /// None if a mistake was noted.
    fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let mistakes = fields.mistakes();
        let requests = fields.required("requests", count());
        let period = fields.read("period", DURATION, "1m");
        let burst = fields.optional("burst", count());
        let requests = requests?;
        let quota = Self {
            requests,
            period,
            burst: burst.unwrap_or(requests),
        };
        quota.check(fields, mistakes);
        Some(quota)
    }

    /// Notes what keeps this from being a quota, unless its parts are mistakes already: there were `mistakes` before
    /// they were read.
    pub(super) fn check(&self, fields: &mut Fields<'_, '_>, mistakes: usize) {
        if fields.mistakes() > mistakes {
            return;
        }
        let Self {
            requests,
            period,
            burst,
        } = *self;
        let Err(error) = Quota::new(requests, period, burst) else {
            return;
        };
        let (key, value) = match error {
            quota::Error::Period(_) => ("period", format!("{period:?}")),
            quota::Error::TooFast => ("requests", format!("{requests} every {period:?}")),
            quota::Error::TooSlow => ("burst", format!("{burst} at {requests} every {period:?}")),
        };
        fields.mistake(key, format!("{value} is no quota: {error}"));
    }
}
