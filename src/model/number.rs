//! Numbers by decimal arithmetic on their text, without rounding.

/// Every time up to the year 9999 has at most so many digits in microseconds, and every number of so many digits is an
/// `i64`.
const DIGITS_MAX: i64 = 18;

/// The largest integer up to which floats have all of them.
const WHOLE_MAX: i64 = 1 << 53;

/// A number as JSON writes it: nothing is computed yet, whatever its length and exponent.
pub(crate) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
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

    /// The number `0.` followed by these digits.
    pub(crate) fn of_fraction(fraction: &'a [u8]) -> Self {
        Self {
            negative: false,
            whole: &[],
            fraction,
            exponent: 0,
        }
    }

    /// Whether it begins with a minus.
    pub(crate) fn is_negative(&self) -> bool {
        self.negative
    }

    /// The number, if it is whole and a float has it exactly: at most 2^53, of either sign.
    pub(crate) fn whole(&self) -> Option<i64> {
        let length = i64::try_from(self.whole.len()).unwrap_or(i64::MAX);
        let behind_point = length.saturating_add(self.exponent).max(0);
        let behind_point = usize::try_from(behind_point).unwrap_or(usize::MAX);
        let mut fraction = self.whole.iter().chain(self.fraction).skip(behind_point);
        if fraction.any(|digit| *digit != b'0') {
            return None;
        }
        let absolute = Self {
            negative: false,
            ..*self
        };
        let whole = absolute.scaled(0).filter(|whole| *whole <= WHOLE_MAX)?;
        Some(if self.negative { -whole } else { whole })
    }

    /// The number times ten to the power of `places`, cut to an integer; none if negative or of
    /// more than 18 digits.
    pub(crate) fn scaled(&self, places: i64) -> Option<i64> {
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

/// The rest of a text that is being parsed.
pub(crate) struct Scan<'a>(pub(crate) &'a [u8]);

impl<'a> Scan<'a> {
    /// The next byte, if it is one of `any`.
    pub(crate) fn eat(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self
            .0
            .split_first()
            .filter(|(first, _)| any.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// All digits that follow, at least one.
    pub(crate) fn digits(&mut self) -> Option<&'a [u8]> {
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
    pub(crate) fn number(&mut self, least: usize, most: usize) -> Option<i16> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_in_any_form_and_others_are_none() {
        let whole = |text: &str| Decimal::read(text.as_bytes()).unwrap().whole();
        for (text, number) in [
            ("12.0", 12),
            ("12.000", 12),
            ("1e3", 1_000),
            ("1.5e1", 15),
            ("1500e-2", 15),
            ("-7.0", -7),
            ("-0.0", 0),
            ("0e99999", 0),
            ("9007199254740992.0", 1 << 53),
            ("-9007199254740992.0", -(1 << 53)),
        ] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in [
            "1.5",
            "1e-1",
            "12.00000000000000000001",
            "9007199254740993.0",
            "1e16",
            "1e999999999999999999999",
            "5e-999999999999999999999",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
