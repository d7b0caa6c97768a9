//! What a request of the second listener says: a query, or one JSON object. Whatever is wrong is named, with its value.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::quote::quoted;

/// Longest text of a field, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Fields by their names. What is taken is gone; what is left is unknown.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

/// What is wrong, in words.
pub(super) type Wrong = String;

impl Fields {
    /// Those of a query: all are texts.
    pub(super) fn of_query(query: &str) -> Result<Self, Wrong> {
        let mut fields = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let quoted = quoted(&name);
            let before = fields.insert(name.into_owned(), Value::String(value.into_owned()));
            if before.is_some() {
                return Err(format!("'{quoted}' is there twice"));
            }
        }
        Ok(Self(fields))
    }

    /// Those of a JSON object.
    pub(super) fn of_json(body: &[u8]) -> Result<Self, Wrong> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(other) => Err(format!(
                "the body must be a JSON object, not {}",
                shown(&other)
            )),
            Err(error) => Err(format!("the body is no JSON: {error}")),
        }
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Wrong> {
        let is_text = |value: &Value| Some(value.as_str()?.to_owned());
        let is_short = |text: &String| text.len() <= TEXT_BYTES_MAX;
        let expected = format!("a text of at most {TEXT_BYTES_MAX} bytes");
        self.take(name, &expected, |value| is_text(value).filter(is_short))
    }

    /// A text that has to be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, Wrong> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("'{name}' is needed"))
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        name: &str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, Wrong> {
        let expected = format!("a whole number from {least} to {most}");
        self.take(name, &expected, |value| {
            let number = match value.as_str() {
                Some(text) => text.parse().ok(),
                None => value.as_u64(),
            };
            number.filter(|number| (least..=most).contains(number))
        })
    }

    /// A time in seconds.
    pub(super) fn seconds(
        &mut self,
        name: &str,
        most: Duration,
    ) -> Result<Option<Duration>, Wrong> {
        let expected = format!("a number of seconds from 0 to {}", most.as_secs());
        self.take(name, &expected, |value| {
            let seconds = Duration::try_from_secs_f64(value.as_f64()?).ok();
            seconds.filter(|seconds| *seconds <= most)
        })
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Wrong> {
        let names: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        self.take(name, &names.join(" or "), |value| {
            let text = value.as_str()?;
            words
                .iter()
                .find_map(|(word, is)| (*word == text).then_some(*is))
        })
    }

    /// Whether it is there and true.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Wrong> {
        let found = self.take(name, "true or false", Value::as_bool)?;
        Ok(found.unwrap_or_default())
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Wrong> {
        self.take(name, "an object", |value| value.as_object().cloned())
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(read) => Ok(Some(read)),
                None => Err(format!(
                    "'{name}' must be {expected}, not {}",
                    shown(&value)
                )),
            },
        }
    }

    /// Checks that nothing is left. `known`: what could have been there.
    pub(super) fn end(self, known: &str) -> Result<(), Wrong> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("known: {known}, not '{}'", quoted(name))),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", quoted(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            quoted(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        let mut fields = Fields::of_json(
            br#"{"project": 7, "count": -1, "within": 61, "cut": "never", "properties": [], "x": 1}"#,
        )
        .unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(
            fields.text("project").unwrap_err(),
            "'project' must be a text of at most 1024 bytes, not 7"
        );
        assert_eq!(fields.needed("project").unwrap_err(), "'project' is needed");
        assert_eq!(
            fields.number("count", 0, 9).unwrap_err(),
            "'count' must be a whole number from 0 to 9, not -1"
        );
        assert_eq!(
            fields.seconds("within", minute).unwrap_err(),
            "'within' must be a number of seconds from 0 to 60, not 61"
        );
        let words = [("before", 1), ("after", 2)];
        assert_eq!(
            fields.word("cut", &words).unwrap_err(),
            "'cut' must be 'before' or 'after', not 'never'"
        );
        assert_eq!(
            fields.object("properties").unwrap_err(),
            "'properties' must be an object, not []"
        );
        assert_eq!(fields.end("a, b").unwrap_err(), "known: a, b, not 'x'");
        assert_eq!(
            Fields::of_json(b"[1]").unwrap_err(),
            "the body must be a JSON object, not [1]"
        );
        assert_eq!(
            Fields::of_query("a=1&a=2").unwrap_err(),
            "'a' is there twice"
        );
        let mut long =
            Fields::of_query(&format!("project={}", "x".repeat(TEXT_BYTES_MAX + 1))).unwrap();
        assert!(long.text("project").is_err());
    }
}
