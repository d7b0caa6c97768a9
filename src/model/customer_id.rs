//! Customer IDs: which types a project knows, and which values name a customer.

use std::sync::Arc;

use super::quote::quoted;

/// Longest value of an ID, in characters.
pub const VALUE_CHARS_MAX: usize = 256;

/// The ID types of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Hard types first, each group in the order of the project.
    types: Vec<Type>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Type {
    name: Arc<str>,
    soft: bool,
    lowercase: bool,
}

impl Schema {
    /// A schema of hard types (one value a customer), soft ones (many values a customer), and those of them
    /// whose values are compared in lower case.
    pub fn new(hard: &[String], soft: &[String], lowercase: &[String]) -> Self {
        let named = |names: &[String], soft| -> Vec<Type> {
            names
                .iter()
                .map(|name| Type {
                    name: name.as_str().into(),
                    soft,
                    lowercase: lowercase.contains(name),
                })
                .collect()
        };
        let mut types = named(hard, false);
        types.extend(named(soft, true));
        Self { types }
    }

    /// The types' names, hard ones first, each with whether it is soft.
    pub fn types(&self) -> impl Iterator<Item = (&str, bool)> {
        self.types.iter().map(|t| (&*t.name, t.soft))
    }

    /// Reads what a caller sent, type and value each, and leaves out what names nobody.
    ///
    /// # Errors
    /// [`Error::UnknownType`] and [`Error::TooLong`]. That no usable ID is left is not an error here:
    /// [`CustomerIds::some`] decides.
    pub fn parse<'a>(
        &self,
        ids: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<CustomerIds, Error> {
        let mut found = Vec::new();
        for (name, value) in ids {
            let index = self.types.iter().position(|t| &*t.name == name);
            let Some((index, kind)) = index.and_then(|i| Some((i, self.types.get(i)?))) else {
                return Err(self.unknown(name));
            };
            if let Some(value) = usable(kind, value)? {
                found.push((index, kind, value));
            }
        }
        // The project's order of types decides where IDs contradict each other.
        found.sort_by_key(|(index, _, _)| *index);
        let ids = found.into_iter().map(|(_, kind, value)| CustomerId {
            kind: kind.name.clone(),
            value,
            soft: kind.soft,
        });
        Ok(CustomerIds(ids.collect()))
    }

    /// Checks that the project lists a type.
    ///
    /// # Errors
    /// [`Error::UnknownType`].
    pub fn check_type(&self, name: &str) -> Result<(), Error> {
        match self.types().any(|(listed, _)| listed == name) {
            true => Ok(()),
            false => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.types().map(|(name, _)| name).collect();
        Error::UnknownType {
            name: quoted(name),
            known: known.join(", "),
        }
    }
}

fn usable(kind: &Type, value: &str) -> Result<Option<String>, Error> {
    let value = value.trim();
    // Before it is looked at: what is kept must be usable, and not only what came.
    let value = match kind.lowercase {
        true => value.to_lowercase(),
        false => value.to_owned(),
    };
    if matches!(&*value, "null" | "undefined") || !value.chars().any(char::is_alphanumeric) {
        return Ok(None);
    }
    // Bytes bound characters, so that only a long value is counted.
    if value.len() > VALUE_CHARS_MAX && value.chars().count() > VALUE_CHARS_MAX {
        return Err(Error::TooLong {
            kind: kind.name.to_string(),
            chars: value.chars().count(),
        });
    }
    Ok(Some(value))
}

/// One ID of a customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId {
    /// The type's name.
    pub kind: Arc<str>,
    /// The value as it is compared.
    pub value: String,
    /// Whether a customer may have many values of this type.
    pub soft: bool,
}

/// The usable IDs of one request: hard ones first, in the order of the project's types, one value a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerIds(Vec<CustomerId>);

impl CustomerIds {
    /// Takes IDs that an earlier [`Schema::parse`] gave out.
    pub fn from_parsed(ids: Vec<CustomerId>) -> Self {
        Self(ids)
    }

    /// The IDs, if there is at least one.
    ///
    /// # Errors
    /// [`Error::None`].
    pub fn some(self) -> Result<Self, Error> {
        if self.0.is_empty() {
            return Err(Error::None);
        }
        Ok(self)
    }

    /// The IDs in order.
    pub fn as_slice(&self) -> &[CustomerId] {
        &self.0
    }
}

/// Why IDs are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing among them names a customer.
    #[error("At least one id should be specified.")]
    None,
    /// The project has no such type.
    #[error("unknown customer ID type '{name}', known: {known}")]
    UnknownType {
        /// The type as it was sent.
        name: String,
        /// What the project lists.
        known: String,
    },
    /// A value is too long.
    #[error("customer ID '{kind}' is too long: {chars} characters, at most {VALUE_CHARS_MAX}")]
    TooLong {
        /// The type.
        kind: String,
        /// The value's length in characters.
        chars: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        Schema::new(
            &names(&["registered", "email"]),
            &names(&["cookie"]),
            &names(&["email"]),
        )
    }

    fn parsed(ids: &[(&str, &str)]) -> Vec<(String, String)> {
        let ids = schema().parse(ids.iter().copied()).unwrap();
        ids.as_slice()
            .iter()
            .map(|id| (id.kind.to_string(), id.value.clone()))
            .collect()
    }

    #[test]
    fn values_are_trimmed_and_lower_cased_where_the_type_says_so() {
        assert_eq!(
            parsed(&[("registered", " A "), ("email", " Jane@Example.COM ")]),
            [
                ("registered".into(), "A".into()),
                ("email".into(), "jane@example.com".into())
            ]
        );
    }

    #[test]
    fn values_that_name_nobody_are_left_out() {
        for value in ["", "  ", "null", " undefined ", "---", "?!"] {
            assert_eq!(parsed(&[("cookie", value)]), [], "{value:?}");
        }
        for value in ["NULL", "Undefined"] {
            assert_eq!(parsed(&[("email", value)]), [], "{value:?}");
        }
        assert_eq!(parsed(&[("cookie", "č")]), [("cookie".into(), "č".into())]);
    }

    #[test]
    fn ids_come_in_the_order_of_the_projects_types() {
        let ids = parsed(&[("cookie", "c"), ("email", "e"), ("registered", "r")]);
        let kinds: Vec<_> = ids.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["registered", "email", "cookie"]);
    }

    #[test]
    fn an_unlisted_type_is_named_beside_the_known_ones() {
        let error = schema().parse([("phone", "1")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown customer ID type 'phone', known: registered, email, cookie"
        );
    }

    #[test]
    fn a_value_has_at_most_256_characters() {
        assert_eq!(parsed(&[("cookie", &"é".repeat(256))]).len(), 1);
        let long = "é".repeat(257);
        assert!(matches!(
            schema().parse([("cookie", long.as_str())]),
            Err(Error::TooLong { chars: 257, .. })
        ));
        // In lower case it takes two characters.
        let long = "İ".repeat(129);
        assert!(matches!(
            schema().parse([("email", long.as_str())]),
            Err(Error::TooLong { chars: 258, .. })
        ));
    }
}
