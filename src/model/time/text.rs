//! Times as text: ISO 8601, RFC 3339 and RFC 2822.

use jiff::civil::Date;
use jiff::fmt::rfc2822;

use super::MICROS_A_SECOND;
use super::number::{Decimal, Scan};

/// Longest text that is offered to the RFC 2822 parser, in bytes; without comments the form needs 31.
const RFC2822_BYTES_MAX: usize = 128;

/// Microseconds since 1970-01-01T00:00:00Z of a text in one of the forms; perhaps before 1970.
pub(super) fn micros(text: &str) -> Option<i64> {
    iso_micros(text.as_bytes()).or_else(|| rfc2822_micros(text))
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

impl Scan<'_> {
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
        let fraction = Decimal::of_fraction(fraction).scaled(6)?;
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
