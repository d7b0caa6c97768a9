//! What is read of the settings, as far as it is read.

use std::collections::BTreeSet;
use std::fmt;

use super::env::{self, Environment};
use super::mistake::{Mistake, shown, unknown};
use super::value::Value;

/// Where settings come from; a later field beats an earlier one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'s> {
    /// A TOML file's text.
    pub(super) text: &'s str,
    pub(super) environment: &'s Environment,
    pub(super) flags: &'s [Flag<'s>],
}

/// A flag and the key for which it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag<'s> {
    pub(super) name: &'static str,
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) value: Value<'s>,
}

/// What the readers of all tables share.
#[derive(Debug)]
pub(super) struct Reading<'s> {
    pub(super) sources: Sources<'s>,
    /// The variables that stand for a key.
    pub(super) variables: BTreeSet<String>,
    pub(super) mistakes: Vec<Mistake>,
    /// Every key that was asked for.
    pub(super) reported: Vec<Setting>,
    /// Where the text's lines end, so that a place is found quickly in a long file.
    pub(super) line_ends: Vec<usize>,
}

/// What is in force of one setting. Shown as a line, with secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its section and key: `server.listen`.
    pub name: String,
    /// As a file has it. None: nothing, as by default.
    pub value: Option<String>,
    /// Where it was said: `default`, `file`, `environment FOOTFALL_SERVER_LISTEN` or `flag --listen`.
    pub source: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_deref().unwrap_or("none");
        write!(f, "{} = {value} # {}", self.name, self.source)
    }
}

impl Reading<'_> {
    /// The line of a place in the text, from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    /// Runs when everything was asked for, and with that all variables are known.
    pub(super) fn check_variables(&mut self) {
        let environment = self.sources.environment;
        for (name, value) in environment {
            let known = self.variables.contains(name);
            let problem = if known && value.contains(char::REPLACEMENT_CHARACTER) {
                "not UTF-8".to_owned()
            } else if known || env::is_service_link(name, environment) {
                continue;
            } else {
                unknown("variable", name, self.variables.iter().map(String::as_str))
            };
            self.mistakes.push(Mistake::new(shown(name), problem));
        }
    }
}
