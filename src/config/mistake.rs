//! Mistakes in the settings, in the words of anyone who has to correct them.

use std::error::Error;
use std::fmt;

use super::spelling::nearest;

/// How much of a value or name a mistake repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// One mistake: where it is, what is there, and what was expected. Shown on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    place: String,
    problem: String,
}

/// Every mistake in the settings, at least one: a line with their number, then a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistake {
    /// A mistake at a place. The problem shows no secret.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }

    /// The key with its line, `server.listen (line 3)`; or the variable, the flag, or a place in the file.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Mistakes {
    /// Succeeds if there are none.
    ///
    /// # Errors
    /// The mistakes, if there are any.
    pub fn none(mistakes: Vec<Mistake>) -> Result<(), Self> {
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(Self(mistakes))
        }
    }

    /// The mistakes in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "{count} {} in the settings",
            if count == 1 { "mistake" } else { "mistakes" }
        )?;
        self.0
            .iter()
            .try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl Error for Mistakes {}

/// The problem of an unknown name, with the known one that may have been meant.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let meant = nearest(name, known);
    let meant = meant.map(|meant| format!(", did you mean {}?", quoted(meant)));
    format!("unknown {what}{}", meant.unwrap_or_default())
}

/// The beginning of a text, on one line, in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// The beginning of a text, on one line.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}
