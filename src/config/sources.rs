//! Where settings come from, and the reading of all of it at once.

use std::collections::BTreeSet;

use toml::de::{DeTable, Error};

use super::env::Environment;
use super::mistake::{Mistake, Mistakes};
use super::reader::Fields;
use super::reading::{Reading, Setting, Sources};

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
            reported: Vec::new(),
            line_ends,
        };
        let broken = errors.iter().map(|error| syntax_mistake(self.text, error));
        reading.mistakes.extend(broken);
        // What was recovered from a broken text is guesswork: its mistakes would be ours.
        let table = errors.is_empty().then_some(table.get_ref());
        let value = Fields::root(&mut reading, table).read_with(read);
        reading.check_variables();
        Mistakes::none(reading.mistakes)?;
        Ok((value, reading.reported))
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
