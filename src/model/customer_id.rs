//! Customer IDs: which types a project knows, and which values name a customer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::quote::quoted;
use super::text::trimmed;

/// Longest value of an ID, in characters.
pub const VALUE_CHARS_MAX: usize = 256;

/// Texts that programs send where they have no ID, unless a project says otherwise. Compared without case.
pub const UNUSABLE: [&str; 8] = [
    "null",
    "(null)",
    "undefined",
    "none",
    "nil",
    "nan",
    "[object Object]",
    "00000000-0000-0000-0000-000000000000",
];

/// The ID types of a project.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Hard types first, each group in the order of the project.
    types: Vec<Type>,
    unusable: Unusable,
    unlisted: Unlisted,
    /// IDs of unlisted types that were passed over.
    skipped: Arc<AtomicU64>,
}

/// Values that name no customer.
#[derive(Clone, Debug)]
struct Unusable {
    /// In lower case.
    values: Vec<String>,
    /// A bit for each length in bytes that occurs; the last one is for all longer ones.
    lengths: u64,
}

/// What becomes of an ID whose type the project does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// The request is refused.
    Refused,
    /// It is passed over if another ID is usable, and counted.
    Skipped,
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
        Self {
            types,
            unusable: Unusable::new(&UNUSABLE),
            unlisted: Unlisted::Refused,
            skipped: Arc::default(),
        }
    }

    /// With other values that name no customer, in upper or lower case.
    #[must_use]
    pub fn with_unusable(self, values: &[String]) -> Self {
        Self {
            unusable: Unusable::new(values),
            ..self
        }
    }

    /// With this treatment of unlisted types.
    #[must_use]
    pub fn with_unlisted(self, unlisted: Unlisted) -> Self {
        Self { unlisted, ..self }
    }

    /// How many IDs of unlisted types were skipped.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// The types' names, hard ones first, each with whether it is soft.
    pub fn types(&self) -> impl Iterator<Item = (&str, bool)> {
        self.types.iter().map(|t| (&*t.name, t.soft))
    }

    /// Parses the IDs that a caller sent, pairs of type and value, and leaves out those that name no customer.
    ///
    /// # Errors
    /// [`Error::UnknownType`] and [`Error::TooLong`]. That no usable ID is left is not an error here:
    /// [`CustomerIds::some`] decides.
    pub fn parse<'a>(
        &self,
        ids: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<CustomerIds, Error> {
        let mut found = Vec::new();
        let (mut skipped, mut first_skipped) = (0, None);
        for (name, value) in ids {
            let index = self.types.iter().position(|t| &*t.name == name);
            let Some((index, kind)) = index.and_then(|i| Some((i, self.types.get(i)?))) else {
                match self.unlisted {
                    Unlisted::Refused => return Err(self.unknown(name)),
                    Unlisted::Skipped => {
                        first_skipped = first_skipped.or(Some(name));
                        skipped += 1;
                        continue;
                    }
                }
            };
            if let Some(value) = self.usable(kind, value)? {
                found.push((index, kind, value));
            }
        }
        if let Some(name) = first_skipped {
            if found.is_empty() {
                return Err(self.unknown(name));
            }
            self.skipped.fetch_add(skipped, Ordering::Relaxed);
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

    /// The value as it is compared; none if it names no customer.
    fn usable(&self, kind: &Type, value: &str) -> Result<Option<String>, Error> {
        let value = trimmed(value);
        // Before it is checked: the stored value must be usable, not only the sent one.
        let value = match kind.lowercase {
            true => value.to_lowercase(),
            false => value.to_owned(),
        };
        if !value.chars().any(char::is_alphanumeric) || self.unusable.has(&value) {
            return Ok(None);
        }
        // Bytes bound characters, so only a long value is counted.
        if value.len() > VALUE_CHARS_MAX && value.chars().count() > VALUE_CHARS_MAX {
            return Err(Error::TooLong {
                kind: kind.name.to_string(),
                chars: value.chars().count(),
            });
        }
        Ok(Some(value))
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.types().map(|(name, _)| name).collect();
        Error::UnknownType {
            name: quoted(name),
            known: known.join(", "),
        }
    }
}

impl Unusable {
    fn new(values: &[impl AsRef<str>]) -> Self {
        let values = values.iter().map(|value| value.as_ref().to_lowercase());
        let values: Vec<String> = values.collect();
        let lengths = values.iter().map(|value| Self::length(value));
        Self {
            lengths: lengths.fold(0, |all, one| all | one),
            values,
        }
    }

    /// The bit of a value's length.
    fn length(value: &str) -> u64 {
        1 << value.len().min(63)
    }

    /// Whether it is one of them, in upper or lower case.
    fn has(&self, value: &str) -> bool {
        let mut values = self.values.iter();
        match value.is_ascii() {
            true if self.lengths & Self::length(value) == 0 => false,
            true => values.any(|unusable| unusable.eq_ignore_ascii_case(value)),
            // Lower-casing may change the length of other characters.
            false => values.any(|unusable| *unusable == value.to_lowercase()),
        }
    }
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
    /// Takes IDs from an earlier [`Schema::parse`].
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
        /// The types that the project lists.
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
        for value in UNUSABLE {
            for value in [
                value.to_lowercase(),
                value.to_uppercase(),
                format!(" {value} "),
            ] {
                for kind in ["registered", "email", "cookie"] {
                    assert_eq!(parsed(&[(kind, &value)]), [], "{value:?}");
                }
            }
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
    fn a_project_may_have_other_values_that_name_nobody() {
        let schema = schema().with_unusable(&["Gast".into(), "ÜBER".into()]);
        for value in ["gast", "GAST", "über", "Über"] {
            let ids = schema.parse([("cookie", value)]).unwrap();
            assert_eq!(ids.as_slice(), [], "{value}");
        }
        for value in ["null", "gasto", "uber"] {
            let ids = schema.parse([("cookie", value)]).unwrap();
            assert_eq!(ids.as_slice().len(), 1, "{value}");
        }
    }

    #[test]
    fn an_unlisted_type_may_be_passed_over_beside_a_usable_id_and_is_counted() {
        let schema = schema().with_unlisted(Unlisted::Skipped);
        let ids = schema.parse([("phone", "1"), ("cookie", "c"), ("x", "")]);
        assert_eq!(ids.unwrap().as_slice().len(), 1);
        assert_eq!(schema.skipped(), 2);
        for ids in [&[("phone", "1")][..], &[("phone", "1"), ("cookie", "null")]] {
            let error = schema.parse(ids.iter().copied()).unwrap_err();
            assert!(error.to_string().contains("'phone'"), "{error}");
        }
        assert_eq!(schema.skipped(), 2);
        assert!(schema.check_type("phone").is_err());
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
