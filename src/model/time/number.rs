//! Numbers by decimal arithmetic on their text.

/// Every time up to [`super::MICROS_MAX`] has at most so many digits, and every number of so many digits
/// is an `i64`.
const DIGITS_MAX: i64 = 18;

/// A number as JSON writes it: nothing is computed yet, whatever its length and exponent.
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
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

    /// Zero point these digits.
    pub(super) fn of_fraction(fraction: &'a [u8]) -> Self {
        Self {
            negative: false,
            whole: &[],
            fraction,
            exponent: 0,
        }
    }

    /// The number times ten to the power of `places`, cut to an integer; none if negative or of
    /// more than 18 digits.
    pub(super) fn scaled(&self, places: i64) -> Option<i64> {
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
pub(super) struct Scan<'a>(pub(super) &'a [u8]);

impl<'a> Scan<'a> {
    /// The next byte, if it is one of `any`.
    pub(super) fn eat(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self
            .0
            .split_first()
            .filter(|(first, _)| any.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// All digits that follow, at least one.
    pub(super) fn digits(&mut self) -> Option<&'a [u8]> {
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
    pub(super) fn number(&mut self, least: usize, most: usize) -> Option<i16> {
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
