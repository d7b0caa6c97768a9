//! Excerpts of what callers sent, for operators who look for the reason of a refusal.

/// Most bytes of an excerpt.
pub const BYTES_MAX: usize = 256;

/// Between names and values.
const PUNCTUATION: [char; 6] = ['{', '}', '[', ']', ':', ','];

/// Around what an error's text quotes.
const QUOTES: [char; 2] = ['\'', '"'];

/// What is kept of a refused command, beside the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excerpts {
    /// Its beginning, as it was sent.
    #[default]
    Value,
    /// Its beginning, without values: the names of its fields and properties.
    Names,
    /// Nothing.
    None,
}

impl Excerpts {
    /// What may be kept of JSON text, whether it is well-formed or not.
    pub fn of(self, json: &str) -> Option<String> {
        match self {
            Self::Value => Some(json.to_owned()),
            Self::Names => Some(names(json)),
            Self::None => None,
        }
    }

    /// What may be kept of an error's text: it quotes values, between the first quotation mark and the last.
    pub fn of_error(self, text: &str) -> String {
        let quotes = text.split_once(QUOTES).zip(text.rsplit_once(QUOTES));
        match (self, quotes) {
            (Self::Names | Self::None, Some(((before, _), (_, behind)))) => {
                format!("{before}'…'{behind}")
            }
            (Self::Value, _) | (_, None) => text.to_owned(),
        }
    }
}

/// The beginning of a text that fits into an excerpt.
pub fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(BYTES_MAX))
        .unwrap_or_default()
}

/// JSON text with an ellipsis for each value. Anything that is neither a name nor punctuation is taken for one.
fn names(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let is_punctuation = PUNCTUATION.contains(&first) || first.is_ascii_whitespace();
        let length = match first {
            '"' => string(rest),
            _ if is_punctuation => 1,
            _ => rest.find(PUNCTUATION).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        let is_name = first == '"' && behind.trim_start().starts_with(':');
        match is_name || is_punctuation {
            true => out.push_str(token),
            false => out.push('…'),
        }
        rest = behind;
    }
    out
}

/// The length of a string with its quotation marks. It may be cut off.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        for (json, expected) in [
            (
                r#"{"customer_ids": {"registered": "jane@example.com"}, "properties": {"age": 42, "x\"y": [true, null, "z"]}}"#,
                r#"{"customer_ids": {"registered": …}, "properties": {"age": …, "x\"y": […, …, …]}}"#,
            ),
            (r#"{"a": "jane"#, r#"{"a": …"#),
            (r#"{"a": "ja\"ne" , "b":1"#, r#"{"a": … , "b":…"#),
            ("jane@example.com", "…"),
            (r#""jane""#, "…"),
            ("-", "…"),
            ("'jane': 'x'", "…: …"),
            ("", ""),
        ] {
            assert_eq!(
                Excerpts::Names.of(json).as_deref(),
                Some(expected),
                "{json}"
            );
        }
    }

    #[test]
    fn an_error_s_text_loses_what_it_quotes() {
        let text = "'registered' must be a string, not 'it's jane'.";
        assert_eq!(Excerpts::Names.of_error(text), "'…'.");
        assert_eq!(Excerpts::None.of_error("it's odd"), "it'…'s odd");
        assert_eq!(Excerpts::None.of_error("x: \"5\" is odd"), "x: '…' is odd");
        assert_eq!(Excerpts::None.of_error("none"), "none");
        assert_eq!(Excerpts::Value.of_error(text), text);
    }

    #[test]
    fn a_beginning_ends_between_characters() {
        let text = "é".repeat(200);
        assert_eq!(beginning(&text).len(), BYTES_MAX);
        let text = format!("x{text}");
        assert_eq!(beginning(&text).len(), BYTES_MAX - 1);
    }
}
