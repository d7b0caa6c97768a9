//! Event types.

use std::fmt;

use super::text::trimmed;

/// Longest event type, in characters.
pub const TYPE_CHARS_MAX: usize = 255;

/// The type of an event: 1 to 255 characters, without blanks around them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(String);

impl EventType {
    /// The type of a click on a campaign.
    pub fn campaign_click() -> Self {
        Self("campaign_click".to_owned())
    }

    /// The type of the event that records a merge of customers.
    pub fn merge() -> Self {
        Self("merge".to_owned())
    }

    /// Trims and checks a caller's text.
    ///
    /// # Errors
    /// [`Error::Missing`] for the empty text, [`Error::Length`] for one that is blank or too long.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Missing);
        }
        let trimmed = trimmed(text);
        // Bytes bound characters, so only a long text is counted.
        if trimmed.is_empty() || trimmed.len() > TYPE_CHARS_MAX {
            let chars = trimmed.chars().count();
            if chars == 0 || chars > TYPE_CHARS_MAX {
                return Err(Error::Length(chars));
            }
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// Whether events of this type are kept even when they repeat an earlier one.
    pub fn keeps_duplicates(&self) -> bool {
        self.0 == "consent"
    }

    /// The type's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an event type is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("Field 'event_type' is required.")]
    Missing,
    /// It is blank, or longer than [`TYPE_CHARS_MAX`].
    #[error("Field 'event_type' must have 1 to {TYPE_CHARS_MAX} characters, not {0}.")]
    Length(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_a_type_do_not_count() {
        assert_eq!(EventType::parse("  visit\n").unwrap().as_str(), "visit");
    }

    #[test]
    fn a_type_has_1_to_255_characters() {
        assert_eq!(EventType::parse(""), Err(Error::Missing));
        assert_eq!(EventType::parse("  "), Err(Error::Length(0)));
        assert!(EventType::parse(&"é".repeat(255)).is_ok());
        assert_eq!(EventType::parse(&"é".repeat(256)), Err(Error::Length(256)));
    }
}
