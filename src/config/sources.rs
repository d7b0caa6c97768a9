//! Where settings come from, and the reading of all of it at once.

use std::collections::BTreeSet;
use std::fmt;

use toml::de::{DeTable, Error};

use super::env::{self, Environment};
use super::mistake::{Mistake, Mistakes, shown, unknown};
use super::reader::Fields;
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
    pub(super) told: Vec<Setting>,
    /// Where the text's lines end, so that a place is found quickly in a long file.
    line_ends: Vec<usize>,
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

/// What `read` gives where no source says anything.
pub(super) fn default<T>(read: impl FnOnce(&mut Fields<'_, '_>) -> T) -> T {
    let sources = Sources {
        text: "",
        environment: &Environment::new(),
        flags: &[],
    };
    let read = sources.read(Vec::new(), read);
    read.expect("there is no mistake where nothing is said").0
}

impl Sources<'_> {
    /// Reads everything with `read`, and tells what was asked for; succeeds if there was no mistake, `mistakes`
    /// included.
    pub(super) fn read<T>(
        self,
        mistakes: Vec<Mistake>,
        read: impl FnOnce(&mut Fields<'_, '_>) -> T,
    ) -> Result<(T, Vec<Setting>), Mistakes> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let line_ends = self
            .text
            .match_indices('\n')
            .map(|(offset, _)| offset)
            .collect();
        let mut reading = Reading {
            sources: self,
            variables: BTreeSet::new(),
            mistakes,
            told: Vec::new(),
            line_ends,
        };
        let broken = errors.iter().map(|error| syntax_mistake(self.text, error));
        reading.mistakes.extend(broken);
        // What was recovered from a broken text is guesswork: its mistakes would be ours.
        let table = errors.is_empty().then_some(table.get_ref());
        let value = Fields::root(&mut reading, table).read_with(read);
        reading.check_variables();
        Mistakes::none(reading.mistakes)?;
        Ok((value, reading.told))
    }
}

impl Reading<'_> {
    /// The line of a place in the text, from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    /// Runs when everything was asked for, and with that all variables are known.
    fn check_variables(&mut self) {
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

/// A mistake in the form of the text. Of the text itself it shows nothing, for that may be a secret.
fn syntax_mistake(text: &str, error: &Error) -> Mistake {
    let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
    let problem: Vec<_> = error.message().lines().collect();
    Mistake::new(format!("line {line}, column {column}"), problem.join("; "))
}

/// Both count from 1, columns in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before
        .chars()
        .rev()
        .take_while(|letter| *letter != '\n')
        .count();
    (line + 1, column + 1)
}
