//! `[[project]]`: its ID types and its keys.

use std::collections::BTreeSet;

use super::key::KeyConfig;
use super::mistake::quoted;
use super::quota;
use super::reader::Fields;
use super::value::Kind;
use crate::limit::Quota;
use crate::model::customer_id::{UNUSABLE, Unlisted};

/// A project: a world of customers of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectConfig {
    /// Names the project in a request's path: 1 to 64 letters, digits, `-` and `_`.
    pub token: String,
    /// ID types of which a customer has one value, the deciding one first. Default `registered`.
    pub hard_ids: Vec<String>,
    /// ID types of which a customer may have many values. Default `cookie`.
    pub soft_ids: Vec<String>,
    /// Those of either whose values are lower-cased. Default: none.
    pub lowercase_ids: Vec<String>,
    /// Values that name nobody, compared without case, 1 to 64 characters each. Default [`UNUSABLE`].
    pub unusable_ids: Vec<String>,
    /// What becomes of IDs of other types. Default: the request is refused.
    pub unlisted_ids: Unlisted,
    /// What all its callers together may send. Default: no limit but those of their addresses.
    pub rate_limit: Option<Quota>,
    /// Its keys, no two alike. Default: none.
    pub keys: Vec<KeyConfig>,
}

const TOKEN: Kind<String> = Kind::new("1 to 64 letters, digits, \"-\" and \"_\"", |value| {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let text = value.text().filter(|text| (1..=64).contains(&text.len()))?;
    text.bytes().all(is_token).then(|| text.to_owned())
});

const ID_TYPE: Kind<String> = Kind::new(
    "the name of an ID type, 1 to 64 characters without blanks around it",
    |value| {
        let text = value
            .text()
            .filter(|text| !text.is_empty() && *text == text.trim())?;
        (text.chars().count() <= 64 && !text.contains(char::is_control)).then(|| text.to_owned())
    },
);

const UNUSABLE_ID: Kind<String> =
    Kind::new("1 to 64 characters without blanks around them", |value| {
        let text = value.text().filter(|text| *text == text.trim())?;
        (1..=64)
            .contains(&text.chars().count())
            .then(|| text.to_owned())
    });

const UNLISTED_IDS: Kind<Unlisted> =
    Kind::new("\"refuse\" or \"skip\"", |value| match value.text()? {
        "refuse" => Some(Unlisted::Refused),
        "skip" => Some(Unlisted::Skipped),
        _ => None,
    });

impl ProjectConfig {
    /// `tokens` are those of the projects before it.
    pub(super) fn read(fields: &mut Fields<'_, '_>, tokens: &mut BTreeSet<String>) -> Self {
        let token = fields.required("token", TOKEN).unwrap_or_default();
        if !token.is_empty() && !tokens.insert(token.clone()) {
            fields.mistake(
                "token",
                format!("{} names another project already", quoted(&token)),
            );
        }
        let hard_ids = fields.list("hard_ids", ID_TYPE, "registered");
        let soft_ids = fields.list("soft_ids", ID_TYPE, "cookie");
        let lowercase_ids = fields.list("lowercase_ids", ID_TYPE, "");
        check_ids(fields, &hard_ids, &soft_ids, &lowercase_ids);
        let unusable_ids = fields.list("unusable_ids", UNUSABLE_ID, &UNUSABLE.join(","));
        let unlisted_ids = fields.read("unlisted_ids", UNLISTED_IDS, "refuse");
        let rate_limit = quota::optional(fields);
        let mut names = BTreeSet::new();
        let keys = fields.tables("key", |fields| KeyConfig::read(fields, &mut names));
        let keys = keys.into_iter().flatten().collect();
        Self {
            token,
            hard_ids,
            soft_ids,
            lowercase_ids,
            unusable_ids,
            unlisted_ids,
            rate_limit,
            keys,
        }
    }
}

fn check_ids(fields: &mut Fields<'_, '_>, hard: &[String], soft: &[String], lowercase: &[String]) {
    let mut types = BTreeSet::new();
    for (key, ids) in [("hard_ids", hard), ("soft_ids", soft)] {
        for id in ids.iter().filter(|id| !types.insert(id.as_str())) {
            fields.mistake(
                key,
                format!(
                    "{} is listed already, expected each ID type once",
                    quoted(id)
                ),
            );
        }
    }
    for id in lowercase.iter().filter(|id| !types.contains(id.as_str())) {
        let problem = "is neither among hard_ids nor among soft_ids";
        fields.mistake("lowercase_ids", format!("{} {problem}", quoted(id)));
    }
    let mut listed = BTreeSet::new();
    for id in lowercase.iter().filter(|id| !listed.insert(id.as_str())) {
        fields.mistake("lowercase_ids", format!("{} is listed already", quoted(id)));
    }
    if types.is_empty() {
        fields.mistake(
            "hard_ids",
            "there is no ID type, expected at least one, hard or soft",
        );
    }
}
