//! Times as callers write them, kept to the microsecond.
//!
//! A number is read by decimal arithmetic on its text and never passes through a float, so that the
//! same time written in any of its forms is the same microsecond: duplicates are recognised by it.
//! Digits beyond the sixth are cut, not rounded.

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::fmt::rfc2822;

#[cfg(test)]
mod tests;

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_MAX: i64 = 253_402_300_799_999_999;
/// Every time up to [`MICROS_MAX`] has at most so many digits, and every number of so many digits
/// is an `i64`.
const DIGITS_MAX: i64 = 18;
/// Longest text that is offered to the RFC 2822 parser, in bytes; without comments the form needs 31.
const RFC2822_BYTES_MAX: usize = 128;
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

/// Why a time was refused. The text quotes the caller's value, cut to a sane length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has none of the forms of a time, or names a day or hour that does not exist.
    #[error("unreadable time {0}")]
    Unreadable(Quoted),
    /// It lies before 1970 or after 9999.
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
    /// It is not a number of seconds from 0 upwards, or more than 8030 years of them.
    #[error("unreadable age {0}, expected seconds from 0 upwards")]
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
        match micros.and_then(|micros| Self::within(micros + i64::from(nanos) / 1_000)) {
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
    ///   midnight; a leap second is the second before it;
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
        let micros = iso_micros(trimmed.as_bytes()).or_else(|| rfc2822_micros(trimmed));
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
    /// A JSON number of seconds, given as its text.
    ///
    /// # Errors
    /// [`Error::Age`]: not a number, below 0, or more than 8030 years.
    pub fn parse_number(literal: &str) -> Result<Self, Error> {
        let micros = Decimal::read(literal.as_bytes()).and_then(|number| number.scaled(6));
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

/// A number as JSON writes it: nothing is computed yet, whatever its length and exponent.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let mut scan = Scan(text);
        let negative = scan.eat(b"-").is_some();
        let whole = scan.digits()?;
        let fraction = if scan.eat(b".").is_some() {
            scan.digits()?
        } else {
            &[]
        };
        let exponent = if scan.eat(b"eE").is_some() {
            scan.exponent()?
        } else {
            0
        };
        scan.0.is_empty().then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// The number times ten to the power of `places`, cut to an integer; none if negative or of
    /// more than 18 digits.
    fn scaled(&self, places: i64) -> Option<i64> {
        let length = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX);
        let digits = || self.whole.iter().chain(self.fraction);
        let zeros = digits().take_while(|digit| **digit == b'0').count();
        if zeros == self.whole.len() + self.fraction.len() {
            return Some(0);
        }
        let kept = (length(self.whole.len()) - length(zeros))
            .saturating_add(self.exponent)
            .saturating_add(places);
        if self.negative || kept > DIGITS_MAX {
            return None;
        }
        let kept = usize::try_from(kept).unwrap_or(0);
        let kept = digits()
            .skip(zeros)
            .chain(std::iter::repeat(&b'0'))
            .take(kept);
        Some(kept.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }
}

/// What of a text is still to be read.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    /// The next byte, if it is one of `any`.
    fn eat(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self
            .0
            .split_first()
            .filter(|(first, _)| any.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// All digits that follow, at least one.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let count = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self
            .0
            .split_at_checked(count)
            .filter(|(digits, _)| !digits.is_empty())?;
        self.0 = rest;
        Some(digits)
    }

    /// A number of at least `least` and at most `most` digits, `most` being at most 4.
    fn number(&mut self, least: usize, most: usize) -> Option<i16> {
        let digits = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self
            .0
            .split_at_checked(digits)
            .filter(|(digits, _)| digits.len() >= least)?;
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |value, digit| value * 10 + i16::from(digit - b'0')),
        )
    }

    fn exponent(&mut self) -> Option<i64> {
        let negative = self.eat(b"+-") == Some(b'-');
        let digits = self.digits()?;
        let size = digits.iter().fold(0_i64, |value, digit| {
            value
                .saturating_mul(10)
                .saturating_add((digit - b'0').into())
        });
        Some(if negative { -size } else { size })
    }

    /// The time of day in microseconds, seconds and their fraction being optional.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(1, 2).filter(|hour| *hour < 24)?;
        self.eat(b":")?;
        let minute = self.number(2, 2).filter(|minute| *minute < 60)?;
        let minutes = i64::from(hour) * 60 + i64::from(minute);
        if self.eat(b":").is_none() {
            return Some(minutes * 60 * MICROS_A_SECOND);
        }
        let second = self.number(2, 2).filter(|second| *second <= 60)?.min(59);
        let fraction = if self.eat(b".").is_some() {
            self.digits()?
        } else {
            &[]
        };
        let fraction = Decimal {
            negative: false,
            whole: &[],
            fraction,
            exponent: 0,
        }
        .scaled(6)?;
        Some((minutes * 60 + i64::from(second)) * MICROS_A_SECOND + fraction)
    }

    /// What is to be subtracted for the zone, in microseconds: `Z`, `+02:00`, `+0200`, `+02`, or
    /// nothing for UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.eat(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.eat(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2, 2).filter(|hours| *hours < 24)?;
        let minutes = if self.eat(b":").is_some() || !self.0.is_empty() {
            self.number(2, 2)?
        } else {
            0
        };
        let offset =
            i64::from(hours) * 60 + i64::from(Some(minutes).filter(|minutes| *minutes < 60)?);
        Some(sign * offset * 60 * MICROS_A_SECOND)
    }
}

fn iso_micros(text: &[u8]) -> Option<i64> {
    let mut scan = Scan(text);
    let year = scan.number(4, 4)?;
    scan.eat(b"-")?;
    let month = scan.number(1, 2)?;
    scan.eat(b"-")?;
    let day = scan.number(1, 2)?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let midnight = date.duration_since(Date::constant(1970, 1, 1)).as_secs() * MICROS_A_SECOND;
    if scan.0.is_empty() {
        return Some(midnight);
    }
    scan.eat(b"Tt ")?;
    let time = scan.time_of_day()?;
    let _ = scan.eat(b" ");
    let zone = scan.zone()?;
    scan.0.is_empty().then_some(midnight + time - zone)
}

fn rfc2822_micros(text: &str) -> Option<i64> {
    static PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new();
    let text = Some(text).filter(|text| text.len() <= RFC2822_BYTES_MAX)?;
    PARSER
        .parse_timestamp(text)
        .ok()
        .map(jiff::Timestamp::as_microsecond)
}
