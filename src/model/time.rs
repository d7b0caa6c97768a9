//! Times as callers write them, kept to the microsecond.
//!
//! A number is read by decimal arithmetic on its text and never passes through a float, so that the
//! same time written in any of its forms is the same microsecond: duplicates are recognised by it.
//! Digits beyond the sixth are cut, not rounded.

use std::fmt;
use std::time::Duration;

#[cfg(test)]
mod tests;
mod text;

use super::number::Decimal;

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_MAX: i64 = 253_402_300_799_999_999;
/// How much of a caller's value an error repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// Microseconds since 1970-01-01T00:00:00Z, within the years 1970 to 9999.
///
/// Displayed as Unix seconds with up to six decimals, without trailing zeros: `1533663283.894375`,
/// `1700000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// How long ago something happened: from 0 to 8030 years, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age(i64);

/// Why a time was refused. The text quotes the caller's value, cut to a short length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has none of the forms of a time, or names a day or hour that does not exist.
    #[error("unreadable time {0}")]
    Unreadable(Quoted),
    /// It is before 1970 or after 9999.
    #[error("time {0} is outside the years 1970 to 9999")]
    OutOfRange(Quoted),
    /// It is beyond 9999 in seconds, but a plausible time in another unit.
    #[error("time {value} looks like {unit}; send seconds")]
    WrongUnit {
        /// What the caller sent.
        value: Quoted,
        /// The plural of the unit that fits.
        unit: &'static str,
    },
    /// The nanoseconds of a time are not part of one second.
    #[error("nanos {0} is outside 0 to 999999999")]
    Nanos(i32),
    /// It is not a number of seconds, or more than 8030 years of them.
    #[error("unreadable age {0}, expected seconds")]
    Age(Quoted),
}

/// The beginning of a caller's value, fit to be shown on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(Box<str>);

impl Timestamp {
    /// The first microsecond of 1970.
    pub const MIN: Self = Self(0);
    /// The last microsecond of 9999.
    pub const MAX: Self = Self(MICROS_MAX);

    /// The time so many microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: it is before 1970 or after 9999.
    pub fn from_micros(micros: i64) -> Result<Self, Error> {
        Self::within(micros).ok_or_else(|| Error::OutOfRange(Quoted::new(&format!("{micros} us"))))
    }

    /// A protobuf `Timestamp`; nanoseconds are cut to microseconds.
    ///
    /// # Errors
    /// [`Error::Nanos`], [`Error::OutOfRange`], [`Error::WrongUnit`].
    pub fn from_seconds_nanos(seconds: i64, nanos: i32) -> Result<Self, Error> {
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(Error::Nanos(nanos));
        }
        let micros = seconds.checked_mul(MICROS_A_SECOND);
        let micros = micros.and_then(|micros| micros.checked_add(i64::from(nanos) / 1_000));
        match micros.and_then(Self::within) {
            Some(time) => Ok(time),
            None => Self::parse_number(&seconds.to_string()),
        }
    }

    /// A JSON number of Unix seconds, given as its text: an integer, a fraction, or with an exponent.
    ///
    /// # Errors
    /// [`Error::Unreadable`]: not a number. [`Error::OutOfRange`], [`Error::WrongUnit`]: one that
    /// is no time.
    pub fn parse_number(literal: &str) -> Result<Self, Error> {
        let number = Decimal::read(literal.as_bytes())
            .ok_or_else(|| Error::Unreadable(Quoted::new(literal)))?;
        let reads_as = |places| number.scaled(places).and_then(Self::within);
        if let Some(time) = reads_as(6) {
            return Ok(time);
        }
        let value = Quoted::new(literal);
        let units = [
            ("milliseconds", 3),
            ("microseconds", 0),
            ("nanoseconds", -3),
        ];
        Err(
            match units
                .into_iter()
                .find(|(_, places)| reads_as(*places).is_some())
            {
                Some((unit, _)) => Error::WrongUnit { value, unit },
                None => Error::OutOfRange(value),
            },
        )
    }

    /// A time in any of its text forms; blanks around it do not matter:
    /// - ISO 8601 and RFC 3339: `2018-8-5`, `2018-8-5 12:20`, `2018-08-05T12:20:25.555Z`,
    ///   `2018-08-05 12:20:25+02:00`. Without a zone it is UTC, without a time of day it is
    ///   midnight; a leap second is the second before it. `UTC`, `GMT` and `Z` may stand behind a blank;
    /// - the basic form of ISO 8601: `20180805T122025Z`;
    /// - what Go, Java and JavaScript write: `2018-08-05 12:20:25 +0000 UTC m=+0.1`, `2018-08-05T12:20:25Z[UTC]`,
    ///   `Sun Aug 05 12:20:25 UTC 2018`, `Sun Aug 05 2018 12:20:25 GMT+0200 (CEST)`;
    /// - RFC 2822: `Tue, 14 Nov 2023 22:13:20 GMT`, up to 9999-12-30T22:00:00Z;
    /// - a number as [`Timestamp::parse_number`] reads it.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::OutOfRange`], [`Error::WrongUnit`].
    pub fn parse_text(text: &str) -> Result<Self, Error> {
        let trimmed = text.trim_ascii();
        if Decimal::read(trimmed.as_bytes()).is_some() {
            return Self::parse_number(trimmed);
        }
        let micros = text::micros(trimmed);
        let micros = micros.ok_or_else(|| Error::Unreadable(Quoted::new(text)))?;
        Self::within(micros).ok_or_else(|| Error::OutOfRange(Quoted::new(text)))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z and the nanoseconds beyond them, as a protobuf
    /// `Timestamp` has them.
    #[must_use]
    pub fn seconds_nanos(self) -> (i64, i32) {
        let micros = i32::try_from(self.0 % MICROS_A_SECOND).unwrap_or_default();
        (self.0 / MICROS_A_SECOND, micros * 1_000)
    }

    /// The time that was so long before this one.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: that was before 1970.
    pub fn before(self, age: Age) -> Result<Self, Error> {
        Self::from_micros(self.0 - age.0)
    }

    /// The time so much later; the end of 9999 if it is beyond.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(MICROS_MAX))
    }

    /// The time so much earlier; the start of 1970 if it is beyond.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(0))
    }

    /// How long this is after `earlier`; zero if it is not.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(earlier.0.min(self.0)))
    }

    fn within(micros: i64) -> Option<Self> {
        (0..=MICROS_MAX).contains(&micros).then_some(Self(micros))
    }
}

impl Age {
    /// A JSON number of seconds, given as its text. A negative one, from a clock that was set back meanwhile, counts as
    /// 0.
    ///
    /// # Errors
    /// [`Error::Age`]: not a number, or more than 8030 years.
    pub fn parse_number(literal: &str) -> Result<Self, Error> {
        let number = Decimal::read(literal.as_bytes());
        let micros = number.and_then(|number| match number.is_negative() {
            true => Some(0),
            false => number.scaled(6),
        });
        let micros = micros.filter(|micros| *micros <= MICROS_MAX);
        micros
            .map(Self)
            .ok_or_else(|| Error::Age(Quoted::new(literal)))
    }

    /// The same in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, mut fraction, mut width) =
            (self.0 / MICROS_A_SECOND, self.0 % MICROS_A_SECOND, 6);
        if fraction == 0 {
            return write!(f, "{seconds}");
        }
        while fraction % 10 == 0 {
            (fraction, width) = (fraction / 10, width - 1);
        }
        write!(f, "{seconds}.{fraction:0width$}")
    }
}

impl Quoted {
    fn new(value: &str) -> Self {
        let mut shown: String = value
            .chars()
            .take(QUOTED_CHARS_MAX)
            .flat_map(char::escape_debug)
            .collect();
        if value.chars().nth(QUOTED_CHARS_MAX).is_some() {
            shown.push_str("...");
        }
        Self(shown.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}
