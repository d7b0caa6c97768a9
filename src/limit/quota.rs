//! How often a caller may call.

use std::num::NonZeroU32;
use std::time::Duration;

/// So many requests a period, and so many of them at once.
///
/// A quota is a token bucket: it holds [`burst`](Self::burst) requests and earns
/// [`requests`](Self::requests) back every [`period`](Self::period), evenly. With a burst of at
/// least `requests`, a caller that sends at most `requests` in every period is never refused.
///
/// # Rounding
///
/// The interval between two requests, `period / requests`, need not be a whole number of
/// nanoseconds (7 a minute). Rounded, its error would add up with every request. So each quota counts
/// in *ticks* of its own, of which an interval has a whole number: as many as it has whole
/// nanoseconds. Intervals are added exactly; only the reading of the clock is rounded, down to a
/// tick, and that error does not add up. A tick is exactly 1 ns where the interval is a whole
/// number of nanoseconds (as by default, 10 ms) and less than 1.001 ns otherwise. From this follows, and
/// the tests prove it:
///
/// - a request that exact arithmetic admits is never refused;
/// - no window of length `w` admits more than `burst + (w + 1 tick) * requests / period`: a request
///   may pass less than one tick early, and the long-run rate is exactly the quota's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    requests: NonZeroU32,
    burst: NonZeroU32,
    period_nanos: u64,
    /// Ticks that one request costs.
    interval: u64,
}

/// Why a quota is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The period is shorter than [`Quota::PERIOD_MIN`] or longer than [`Quota::PERIOD_MAX`].
    #[error("the period must be between 1 ms and 1 day, not {0:?}")]
    Period(Duration),
    /// More than one request in [`Quota::INTERVAL_MIN`].
    #[error("more than 1,000,000 requests a second")]
    TooFast,
    /// A spent burst would take longer than [`Quota::REFILL_MAX`] to be earned back.
    #[error("a spent burst would take more than 7 days to be earned back")]
    TooSlow,
}

const REQUESTS_DEFAULT: NonZeroU32 = NonZeroU32::new(6_000).unwrap();

impl Quota {
    /// Shortest period.
    pub const PERIOD_MIN: Duration = Duration::from_millis(1);
    /// Longest period.
    pub const PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
    /// Shortest time between two requests in the long run.
    pub const INTERVAL_MIN: Duration = Duration::from_micros(1);
    /// Longest time in which a spent burst is earned back: the longest that a caller is remembered.
    pub const REFILL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// `requests` every `period`, at most `burst` at once. Unless another burst is requested, use `requests`.
    ///
    /// # Errors
    /// [`Error::Period`], [`Error::TooFast`], [`Error::TooSlow`]: out of the bounds above.
    pub fn new(requests: NonZeroU32, period: Duration, burst: NonZeroU32) -> Result<Self, Error> {
        if !(Self::PERIOD_MIN..=Self::PERIOD_MAX).contains(&period) {
            return Err(Error::Period(period));
        }
        if period < Self::INTERVAL_MIN * requests.get() {
            return Err(Error::TooFast);
        }
        if period.as_nanos() * u128::from(burst.get())
            > Self::REFILL_MAX.as_nanos() * u128::from(requests.get())
        {
            return Err(Error::TooSlow);
        }
        Ok(Self::with(requests, whole(period.as_nanos()), burst))
    }

    /// Requests earned back in a period.
    #[must_use]
    pub fn requests(&self) -> NonZeroU32 {
        self.requests
    }

    /// The period in which [`requests`](Self::requests) are earned back.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.period_nanos)
    }

    /// Requests that may come at once after a pause.
    #[must_use]
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// `times` callers of this quota taken as one. Counts stop at 2^32 - 1, and the rate at one a nanosecond, which no
    /// caller reaches: an interval is never zero.
    pub(super) fn shared_by(&self, times: NonZeroU32) -> Self {
        let fastest = u32::try_from(self.period_nanos).unwrap_or(u32::MAX);
        let fastest = NonZeroU32::new(fastest).unwrap_or(NonZeroU32::MAX);
        let requests = self.requests.saturating_mul(times);
        Self::with(
            requests.min(fastest),
            self.period_nanos,
            self.burst.saturating_mul(times),
        )
    }

    /// Ticks that one request costs.
    #[inline]
    pub(super) fn interval(&self) -> u64 {
        self.interval
    }

    /// Ticks that a full bucket can pay for.
    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst.get()))
    }

    /// The last tick at or before `nanos`.
    #[inline]
    pub(super) fn tick_at(&self, nanos: u64) -> u64 {
        if self.ticks_are_nanos() {
            return nanos;
        }
        whole(u128::from(nanos) * u128::from(self.ticks_a_period()) / u128::from(self.period_nanos))
    }

    /// The first nanosecond at or after `tick`. [`Self::tick_at`] gives the tick back, as ticks are no shorter than
    /// nanoseconds.
    #[inline]
    pub(super) fn nanos_at(&self, tick: u64) -> u64 {
        if self.ticks_are_nanos() {
            return tick;
        }
        whole(
            (u128::from(tick) * u128::from(self.period_nanos))
                .div_ceil(self.ticks_a_period().into()),
        )
    }

    fn with(requests: NonZeroU32, period_nanos: u64, burst: NonZeroU32) -> Self {
        let interval = period_nanos / u64::from(requests.get());
        Self {
            requests,
            burst,
            period_nanos,
            interval,
        }
    }

    #[inline]
    fn ticks_a_period(&self) -> u64 {
        self.interval * u64::from(self.requests.get())
    }

    #[inline]
    fn ticks_are_nanos(&self) -> bool {
        self.ticks_a_period() == self.period_nanos
    }
}

impl Default for Quota {
    /// 6,000 a minute, all of them at once if needed.
    fn default() -> Self {
        Self::with(REQUESTS_DEFAULT, 60_000_000_000, REQUESTS_DEFAULT)
    }
}

/// Narrows a number that fits: the bounds above keep every time far below 2^64 ns.
#[inline]
fn whole(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quota(requests: u32, period: Duration, burst: u32) -> Result<Quota, Error> {
        Quota::new(
            NonZeroU32::new(requests).unwrap(),
            period,
            NonZeroU32::new(burst).unwrap(),
        )
    }

    #[test]
    fn the_default_is_six_thousand_a_minute_at_once() {
        assert_eq!(
            quota(6_000, Duration::from_secs(60), 6_000),
            Ok(Quota::default())
        );
        assert_eq!(Quota::default().period(), Duration::from_secs(60));
    }

    #[test]
    fn a_period_out_of_bounds_is_refused() {
        let short = Duration::from_micros(999);
        assert_eq!(quota(1, short, 1), Err(Error::Period(short)));
        let long = Quota::PERIOD_MAX + Duration::from_nanos(1);
        assert_eq!(quota(1, long, 1), Err(Error::Period(long)));
    }

    #[test]
    fn more_than_a_million_a_second_is_too_fast() {
        assert!(quota(1_000, Quota::PERIOD_MIN, 1).is_ok());
        assert_eq!(quota(1_001, Quota::PERIOD_MIN, 1), Err(Error::TooFast));
        assert_eq!(quota(u32::MAX, Quota::PERIOD_MIN, 1), Err(Error::TooFast));
    }

    #[test]
    fn a_burst_of_more_than_seven_days_is_too_slow() {
        assert!(quota(1, Quota::PERIOD_MAX, 7).is_ok());
        assert_eq!(quota(1, Quota::PERIOD_MAX, 8), Err(Error::TooSlow));
    }

    #[test]
    fn a_share_of_the_largest_quota_saturates() {
        let widest = quota(u32::MAX, Quota::PERIOD_MAX, u32::MAX).unwrap();
        let shared = widest.shared_by(NonZeroU32::new(16).unwrap());
        assert_eq!(
            (shared.requests(), shared.burst()),
            (NonZeroU32::MAX, NonZeroU32::MAX)
        );
    }

    #[test]
    fn however_many_share_the_fastest_quota_an_interval_is_not_nothing() {
        let fastest = quota(1_000, Quota::PERIOD_MIN, 1_000).unwrap();
        let shared = fastest.shared_by(NonZeroU32::new(65_536).unwrap());
        assert_eq!(shared.interval(), 1);
        assert_eq!(shared.burst().get(), 65_536_000);
    }

    proptest! {
        #[test]
        fn every_tick_is_found_back_from_its_nanosecond(
            requests in 1..100_000_u32, period in 100_000_000..86_400_000_000_000_u64, tick in 0..1_u64 << 62,
        ) {
            let quota = quota(requests, Duration::from_nanos(period), 1).unwrap();
            let nanos = quota.nanos_at(tick);
            prop_assert_eq!(quota.tick_at(nanos), tick);
            prop_assert!(nanos == 0 || quota.tick_at(nanos - 1) < tick);
        }
    }
}
