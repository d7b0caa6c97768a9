//! Times as text: ISO 8601, RFC 3339, RFC 2822, and the forms of Go, Java and JavaScript.

use jiff::civil::Date;
use jiff::fmt::rfc2822;

use super::MICROS_A_SECOND;
use crate::model::number::{Decimal, Scan};

/// Longest text that is offered to the RFC 2822 parser, in bytes; without comments the form needs 31.
const RFC2822_BYTES_MAX: usize = 128;
/// Longest name of a zone in brackets, in bytes.
const ZONE_BYTES_MAX: usize = 64;
/// Longest abbreviation of a zone, in bytes.
const ABBREVIATION_BYTES_MAX: usize = 6;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Microseconds since 1970-01-01T00:00:00Z of a text in one of the forms; perhaps before 1970.
pub(super) fn micros(text: &str) -> Option<i64> {
    iso_micros(text.as_bytes())
        .or_else(|| rfc2822_micros(text))
        .or_else(|| words_micros(text))
}

fn iso_micros(text: &[u8]) -> Option<i64> {
    let mut scan = Scan(text);
    let year = scan.number(4, 4)?;
    if scan.eat(b"-").is_none() {
        return basic_micros(year, scan);
    }
    let month = scan.number(1, 2)?;
    scan.eat(b"-")?;
    let day = scan.number(1, 2)?;
    let midnight = midnight(year, month, day)?;
    if scan.0.is_empty() {
        return Some(midnight);
    }
    scan.eat(b"Tt ")?;
    let time = scan.time_of_day()?;
    let _ = scan.eat(b" ");
    let zone = scan.zone()?;
    Some(midnight + time - zone)
}

/// The basic form of ISO 8601, behind its year. A day alone would be a number.
fn basic_micros(year: i16, mut scan: Scan<'_>) -> Option<i64> {
    let (month, day) = (scan.number(2, 2)?, scan.number(2, 2)?);
    scan.eat(b"Tt")?;
    let hour = scan.number(2, 2)?;
    let minute = scan.number(2, 2)?;
    let has_seconds = scan.0.first().is_some_and(u8::is_ascii_digit);
    let time = match has_seconds {
        true => scan.seconds(hour, minute)?,
        false => minutes(hour, minute)?,
    };
    let zone = scan.zone()?;
    Some(midnight(year, month, day)? + time - zone)
}

/// A date from `toString` in Java, `Tue Nov 14 22:13:20 UTC 2023`, and in JavaScript, `Tue Nov 14 2023 22:13:20
/// GMT+0100 (CET)`.
fn words_micros(text: &str) -> Option<i64> {
    let text = text.split_once(" (").map_or(text, |(text, _)| text);
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (weekday, month, day) = (next()?, next()?, next()?);
    let (third, fourth, fifth) = (next()?, next()?, next()?);
    if next().is_some() {
        return None;
    }
    let (time, zone, year) = match third.contains(':') {
        true => (third, fourth, fifth),
        false => (fourth, fifth, third),
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let month = i16::try_from(month).ok()? + 1;
    let midnight = midnight(whole(year, 4)?, month, whole(day, 2)?)?;
    let weekday = WEEKDAYS.iter().position(|name| *name == weekday)?;
    // 1970-01-01 was a Thursday.
    let days = midnight / MICROS_A_SECOND / 86_400;
    if i64::try_from(weekday).ok()? != (days + 3).rem_euclid(7) {
        return None;
    }
    let (mut time, mut zone) = (Scan(time.as_bytes()), Scan(zone.as_bytes()));
    let of_day = time.time_of_day().filter(|_| time.0.is_empty())?;
    // Other abbreviations have several meanings.
    zone.utc()?;
    Some(midnight + of_day - zone.offset()?)
}

fn whole(text: &str, digits: usize) -> Option<i16> {
    let mut scan = Scan(text.as_bytes());
    scan.number(digits, digits).filter(|_| scan.0.is_empty())
}

fn midnight(year: i16, month: i16, day: i16) -> Option<i64> {
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(date.duration_since(Date::constant(1970, 1, 1)).as_secs() * MICROS_A_SECOND)
}

fn minutes(hour: i16, minute: i16) -> Option<i64> {
    let is_one = (0..24).contains(&hour) && (0..60).contains(&minute);
    is_one.then_some((i64::from(hour) * 60 + i64::from(minute)) * 60 * MICROS_A_SECOND)
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
        let hour = self.number(1, 2)?;
        self.eat(b":")?;
        let minute = self.number(2, 2)?;
        match self.eat(b":") {
            Some(_) => self.seconds(hour, minute),
            None => minutes(hour, minute),
        }
    }

    /// The time of day whose seconds and their fraction follow.
    fn seconds(&mut self, hour: i16, minute: i16) -> Option<i64> {
        let minutes = minutes(hour, minute)?;
        let second = self.number(2, 2).filter(|second| *second <= 60)?.min(59);
        let fraction = if self.eat(b".").is_some() {
            self.digits()?
        } else {
            &[]
        };
        let fraction = Decimal::of_fraction(fraction).scaled(6)?;
        Some(minutes + i64::from(second) * MICROS_A_SECOND + fraction)
    }

    /// What is to be subtracted for the zone, in microseconds, up to the end of the text: `Z`, `UTC`, `GMT`, `+02:00`,
    /// `+0200`, `+02`, or nothing for UTC. Java writes the zone's name behind it, `+02:00[Europe/Prague]`; Go its
    /// abbreviation, and the reading of its monotonic clock, `+0200 CEST m=+0.000012`.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        if self.eat(b"Zz").is_some() {
            return self.zone_name().map(|()| 0);
        }
        if self.utc().is_some() {
            return self.offset();
        }
        let offset = self.offset_of_digits()?;
        match self.eat(b" ") {
            None => self.zone_name()?,
            Some(_) => self.go_zone()?,
        }
        Some(offset)
    }

    /// The name of UTC.
    fn utc(&mut self) -> Option<()> {
        let (name, rest) = self.0.split_at_checked(3)?;
        let is_utc = [&b"UTC"[..], b"GMT"]
            .iter()
            .any(|utc| name.eq_ignore_ascii_case(utc));
        is_utc.then(|| self.0 = rest)
    }

    /// An offset up to the end of the text, or none.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        let offset = self.offset_of_digits()?;
        self.0.is_empty().then_some(offset)
    }

    fn offset_of_digits(&mut self) -> Option<i64> {
        let sign = if self.eat(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2, 2)?;
        let has_minutes = self.0.first().is_some_and(u8::is_ascii_digit);
        let minute = if self.eat(b":").is_some() || has_minutes {
            self.number(2, 2)?
        } else {
            0
        };
        Some(sign * minutes(hours, minute)?)
    }

    /// The name of a zone in brackets up to the end of the text, or none.
    fn zone_name(&mut self) -> Option<()> {
        let Some(name) = self.0.strip_prefix(b"[") else {
            return self.0.is_empty().then_some(());
        };
        let name = name.strip_suffix(b"]")?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_+-:".contains(byte);
        let is_name = (1..=ZONE_BYTES_MAX).contains(&name.len()) && name.iter().all(is_part);
        is_name.then_some(())
    }

    /// What Go writes behind an offset and a blank.
    fn go_zone(&mut self) -> Option<()> {
        let length = self.0.iter().take_while(|byte| **byte != b' ').count();
        let (name, rest) = self.0.split_at_checked(length)?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-".contains(byte);
        if !(1..=ABBREVIATION_BYTES_MAX).contains(&name.len()) || !name.iter().all(is_part) {
            return None;
        }
        if rest.is_empty() {
            return Some(());
        }
        let mut clock = Scan(rest.strip_prefix(b" m=")?);
        clock.eat(b"+-")?;
        Decimal::read(clock.0)
            .filter(|reading| !reading.is_negative())
            .map(|_| ())
    }
}
