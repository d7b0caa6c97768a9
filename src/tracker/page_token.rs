//! Where a page of an answer ended, as callers keep it: an opaque text that only the same project accepts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf as _, BufMut as _};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Error;
use crate::model::properties::NAME_CHARS_MAX;
use crate::model::quote::quoted;
use crate::model::time::Timestamp;
use crate::view::EventPlace;

/// Longest token, in bytes: that of the longest name of a property.
pub const PAGE_TOKEN_BYTES_MAX: usize = (NAME_CHARS_MAX * 4 + 5).div_ceil(3) * 4;

const PROPERTIES: u8 = b'p';
const FIRST_EVENT: u8 = b'f';
const EVENT: u8 = b'e';

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageToken {
    /// At the property of this name, or the next one if it is gone; events follow the properties.
    Property(String),
    /// At the events behind a place, some of which are still to be skipped.
    Events {
        after: Option<EventPlace>,
        skip: u64,
    },
}

impl PageToken {
    /// The text, for callers of a project.
    pub(super) fn encode(&self, project: &str) -> String {
        let mut content = Vec::new();
        match self {
            Self::Property(name) => {
                content.put_u8(PROPERTIES);
                content.put_slice(name.as_bytes());
            }
            Self::Events { after: None, skip } => {
                content.put_u8(FIRST_EVENT);
                content.put_u64(*skip);
            }
            Self::Events {
                after: Some(EventPlace { time, arrival }),
                skip,
            } => {
                content.put_u8(EVENT);
                content.put_u64(*skip);
                content.put_i64(time.micros());
                content.put_u128(*arrival);
            }
        }
        let mut bytes = checksum(project, &content).to_vec();
        bytes.extend(content);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text of [`PageToken::encode`] stands for.
    ///
    /// # Errors
    /// [`Error::PageToken`] for any other text.
    pub(super) fn decode(project: &str, text: &str) -> Result<Self, Error> {
        let token = || {
            let text = Some(text).filter(|text| text.len() <= PAGE_TOKEN_BYTES_MAX)?;
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (sum, content) = bytes.split_first_chunk()?;
            (*sum == checksum(project, content))
                .then(|| Self::read(content))
                .flatten()
        };
        token().ok_or_else(|| Error::PageToken(quoted(text)))
    }

    fn read(mut content: &[u8]) -> Option<Self> {
        let kind = content.try_get_u8().ok()?;
        let token = match kind {
            PROPERTIES => return String::from_utf8(content.to_vec()).ok().map(Self::Property),
            FIRST_EVENT => Self::Events {
                after: None,
                skip: content.try_get_u64().ok()?,
            },
            EVENT => {
                let skip = content.try_get_u64().ok()?;
                let time = Timestamp::from_micros(content.try_get_i64().ok()?).ok()?;
                let arrival = content.try_get_u128().ok()?;
                Self::Events {
                    after: Some(EventPlace { time, arrival }),
                    skip,
                }
            }
            _ => return None,
        };
        content.is_empty().then_some(token)
    }
}

/// Detects a text that is garbled or of another project. It is no secret: a forged token shows its key's own project
/// and nothing else.
fn checksum(project: &str, content: &[u8]) -> [u8; 4] {
    let sum = xxh3_64_with_seed(project.as_bytes(), xxh3_64(content));
    let [_, _, _, _, sum @ ..] = sum.to_be_bytes();
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> [PageToken; 5] {
        let place = |micros, arrival| EventPlace {
            time: Timestamp::from_micros(micros).unwrap(),
            arrival,
        };
        [
            PageToken::Property(String::new()),
            PageToken::Property("😀".repeat(NAME_CHARS_MAX)),
            PageToken::Events {
                after: None,
                skip: u64::MAX,
            },
            PageToken::Events {
                after: Some(place(0, 0)),
                skip: 0,
            },
            PageToken::Events {
                after: Some(place(1_700_000_000_000_000, u128::MAX)),
                skip: 7,
            },
        ]
    }

    #[test]
    fn a_token_leads_back_to_its_place() {
        for token in tokens() {
            let text = token.encode("p");
            assert!(text.len() <= PAGE_TOKEN_BYTES_MAX, "{}", text.len());
            assert_eq!(PageToken::decode("p", &text).unwrap(), token);
        }
    }

    #[test]
    fn what_no_answer_of_the_project_gave_is_refused_by_its_value() {
        for token in tokens() {
            let text = token.encode("p");
            assert!(PageToken::decode("q", &text).is_err());
            let mut garbled = text.into_bytes();
            garbled[0] = if garbled[0] == b'B' { b'C' } else { b'B' };
            let garbled = String::from_utf8(garbled).unwrap();
            assert!(PageToken::decode("p", &garbled).is_err(), "{garbled}");
        }
        let long = "A".repeat(100_000);
        for text in ["7", "AAAAAAAAAAA", "=", "é", "\0", &long] {
            let refused = PageToken::decode("p", text).unwrap_err();
            assert_eq!(refused.field(), Some("page_token"));
            assert!(refused.to_string().contains(&quoted(text)), "{refused}");
        }
    }
}
