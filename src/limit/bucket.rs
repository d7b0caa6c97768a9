//! The arithmetic of one bucket: GCRA on one word, without storage and without a clock.
//!
//! The word is the *theoretical arrival time* (TAT): the moment at which all that was admitted is
//! paid for. A TAT in the past means a full bucket, so a key that was never seen is a key whose
//! TAT is 0, and a key may be forgotten once its TAT has passed. All times are nanoseconds since
//! one fixed origin.

use super::Quota;
use std::time::Duration;

/// The latest time that is distinguished, 2^63 ns: 292 years. Larger words are free for marks.
pub const TIME_MAX: u64 = 1 << 63;

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request may pass, and was charged.
    Admitted(Remaining),
    /// The request may not pass, and was not charged.
    Refused(Refusal),
}

/// What an admitted caller has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The quota that the caller is held to.
    pub quota: Quota,
    /// Requests that would pass now, one after the other.
    pub remaining: u32,
    /// Time until the bucket is full again if no more requests come.
    pub reset: Duration,
}

/// What a refused caller needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The quota that the caller is held to.
    pub quota: Quota,
    /// The exact wait, never zero, after which one request passes if no other comes before it.
    pub retry_after: Duration,
    /// Time until the bucket is full again if no more requests come.
    pub reset: Duration,
}

/// Charges one request at `now` to the bucket `tat`; returns the bucket's new word.
///
/// The new word is greater than `tat` when the request is admitted, and equal when it is refused.
#[must_use]
#[inline]
pub fn decide(tat: u64, now: u64, quota: Quota) -> (u64, Verdict) {
    let (present, debt) = owed(tat, now, quota);
    if let Some(excess) = debt
        .checked_sub(quota.capacity())
        .filter(|excess| *excess > 0)
    {
        let opens = present + excess;
        let retry_after = until(quota.nanos_at(opens), now);
        return (
            tat,
            Verdict::Refused(Refusal {
                quota,
                retry_after,
                reset: until(tat, now),
            }),
        );
    }
    let (tat, remaining) = charge_anyway(tat, now, quota);
    (tat, Verdict::Admitted(remaining))
}

/// Charges one request at `now` that has been admitted already, even if the bucket is empty. The new word is greater
/// than `tat`; what the bucket cannot pay for is debt like any other.
#[must_use]
#[inline]
pub fn charge_anyway(tat: u64, now: u64, quota: Quota) -> (u64, Remaining) {
    let (present, debt) = owed(tat, now, quota);
    let left = quota.capacity().saturating_sub(debt);
    let tat = quota.nanos_at(present + debt);
    let remaining = Remaining {
        quota,
        remaining: u32::try_from(left / quota.interval()).unwrap_or(u32::MAX),
        reset: until(tat, now),
    };
    (tat, remaining)
}

/// The ticks at `now`, and those owed from then on with one more request.
#[inline]
fn owed(tat: u64, now: u64, quota: Quota) -> (u64, u64) {
    let present = quota.tick_at(now);
    let owed = quota.tick_at(tat).saturating_sub(present);
    (present, owed + quota.interval())
}

/// `time` as [`decide`] takes it; all beyond [`TIME_MAX`] is [`TIME_MAX`].
#[must_use]
#[inline]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos())
        .unwrap_or(TIME_MAX)
        .min(TIME_MAX)
}

#[inline]
fn until(time: u64, now: u64) -> Duration {
    Duration::from_nanos(time.saturating_sub(now))
}

#[cfg(test)]
mod tests;
