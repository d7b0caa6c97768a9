//! Typed access to the keys of a table, collecting every mistake on the way.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::env;
use super::mistake::{Mistake, shown, unknown};
use super::sources::Reading;
use super::value::{Kind, Value};

/// The keys of one table, wherever they were written.
///
/// Whatever is wrong with a key becomes a mistake, and its default is returned, so that reading goes on.
/// A key is known once it was asked for; when the reading of a table ends, all others are mistakes.
#[derive(Debug)]
pub(super) struct Fields<'r, 's> {
    reading: &'r mut Reading<'s>,
    /// `rate_limit.override[1]`; empty at the root.
    path: String,
    table: Option<&'s DeTable<'s>>,
    /// Where the table stands in the file.
    line: Option<usize>,
    /// Whether its keys may also be variables and flags.
    outside: bool,
    known: Vec<&'static str>,
}

impl<'r, 's> Fields<'r, 's> {
    /// The whole file.
    pub(super) fn root(reading: &'r mut Reading<'s>, table: Option<&'s DeTable<'s>>) -> Self {
        Self {
            reading,
            path: String::new(),
            table,
            line: None,
            outside: false,
            known: Vec::new(),
        }
    }

    /// Reads the table to its end.
    pub(super) fn read_with<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let value = read(&mut self);
        self.report_unknown_keys();
        #[cfg(test)]
        for key in &self.known {
            self.reading.asked.insert((self.path.clone(), key));
        }
        value
    }

    /// Every key that was asked for so far of tables that were read to their end, by the path of the table.
    #[cfg(test)]
    pub(super) fn asked(&self) -> std::collections::BTreeSet<(String, &'static str)> {
        self.reading.asked.clone()
    }
}

impl<'s> Fields<'_, 's> {
    /// The table `[name]`, or `[outer.name]`, whose keys may also be variables and flags.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_, 's>) -> T,
    ) -> T {
        self.known.push(name);
        let value = self.in_file(name);
        let table = value.and_then(|value| value.get_ref().as_table());
        if value.is_some() && table.is_none() {
            let path = self.path_of(name);
            self.mistake(name, format!("not a section, expected [{path}]"));
        }
        let line = value.map(|value| self.line_of(value));
        let fields = Fields {
            path: self.path_of(name),
            reading: self.reading,
            table,
            line,
            outside: true,
            known: Vec::new(),
        };
        fields.read_with(read)
    }

    /// The tables `[[key]]`, from the file only.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Fields<'_, 's>) -> T,
    ) -> Vec<T> {
        self.known.push(key);
        let Some(value) = self.in_file(key) else {
            return Vec::new();
        };
        let tables = value.get_ref().as_array().and_then(|elements| {
            let tables = elements
                .iter()
                .map(|element| Some((element, element.get_ref().as_table()?)));
            tables.collect::<Option<Vec<_>>>()
        });
        let Some(tables) = tables else {
            let header = self
                .path_of(key)
                .replace(|letter: char| "[]0123456789".contains(letter), "");
            self.mistake(key, format!("not a list of tables, expected [[{header}]]"));
            return Vec::new();
        };
        let tables = tables
            .into_iter()
            .enumerate()
            .map(|(index, (element, table))| {
                let fields = Fields {
                    path: format!("{}[{}]", self.path_of(key), index + 1),
                    table: Some(table),
                    line: Some(self.line_of(element)),
                    outside: false,
                    known: Vec::new(),
                    reading: self.reading,
                };
                fields.read_with(&mut read)
            });
        tables.collect()
    }

    /// The table `key` within this one, from the file only; none if there is no such table. `expected` is an example.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&mut Fields<'_, 's>) -> T,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.in_file(key)?;
        let Some(table) = value.get_ref().as_table() else {
            let shown = Value::of(value, self.text());
            self.mistake(key, format!("{shown} is not a table, expected {expected}"));
            return None;
        };
        let fields = Fields {
            path: self.path_of(key),
            table: Some(table),
            line: Some(self.line_of(value)),
            outside: false,
            known: Vec::new(),
            reading: self.reading,
        };
        Some(fields.read_with(read))
    }

    /// A key that has a default.
    pub(super) fn read<T>(&mut self, key: &'static str, kind: Kind<T>, default: T) -> T {
        self.optional(key, kind).unwrap_or(default)
    }

    /// A key without which the table has no meaning; none if a mistake was noted.
    pub(super) fn required<T>(&mut self, key: &'static str, kind: Kind<T>) -> Option<T> {
        if !self.is_given(key) {
            self.mistake(key, format!("missing, expected {}", kind.expected));
        }
        self.optional(key, kind)
    }

    /// A key that may be absent.
    pub(super) fn optional<T>(&mut self, key: &'static str, kind: Kind<T>) -> Option<T> {
        let mut last = None;
        for (place, value) in self.given(key) {
            last = self.value(place, &value, &kind).or(last);
        }
        last
    }

    /// A list, or in a variable its elements separated by commas; none if it is absent.
    pub(super) fn list<T>(&mut self, key: &'static str, kind: Kind<T>) -> Option<Vec<T>> {
        let mut last = None;
        for (place, value) in self.given(key) {
            let Some(elements) = self.elements(key, &place, value) else {
                let expected = format!("expected one whose elements are each {}", kind.expected);
                self.note(place, format!("not a list, {expected}"));
                continue;
            };
            let elements = elements.into_iter();
            let elements = elements.filter_map(|(place, value)| self.value(place, &value, &kind));
            last = Some(elements.collect());
        }
        last
    }

    /// Whether the key stands in any source, well-formed or not.
    pub(super) fn is_given(&mut self, key: &'static str) -> bool {
        !self.given(key).is_empty()
    }

    /// Whether the file has this table, even an empty one.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// How many mistakes there are so far, in all tables.
    pub(super) fn mistakes(&self) -> usize {
        self.reading.mistakes.len()
    }

    /// Notes a mistake about a key of this table.
    pub(super) fn mistake(&mut self, key: &'static str, problem: impl Into<String>) {
        let place = self.given(key).pop().map(|(place, _)| place);
        let place = place.unwrap_or_else(|| at_line(self.path_of(key), self.line));
        self.note(place, problem);
    }

    fn elements(
        &self,
        key: &str,
        place: &str,
        list: Value<'s>,
    ) -> Option<Vec<(String, Value<'s>)>> {
        match list {
            Value::List(array) => {
                let element = |value| (self.place(key, value), Value::of(value, self.text()));
                Some(array.iter().map(element).collect())
            }
            Value::Word(words) => {
                let words = words.split(',').map(str::trim_ascii);
                let words = words.filter(|word| !word.is_empty());
                Some(
                    words
                        .map(|word| (place.to_owned(), Value::Word(word)))
                        .collect(),
                )
            }
            Value::Path(_)
            | Value::Text(_)
            | Value::Integer(_)
            | Value::Bool(_)
            | Value::Other(_)
            | Value::Table => None,
        }
    }

    fn value<T>(&mut self, place: String, value: &Value<'_>, kind: &Kind<T>) -> Option<T> {
        let read = (kind.read)(value);
        if read.is_none() {
            let problem = match kind.secret {
                true => format!("not {}", kind.expected),
                false => format!("{value} is not {}", kind.expected),
            };
            self.note(place, problem);
        }
        read
    }

    /// What the sources say about a key, each with its place; the last one counts.
    fn given(&mut self, key: &'static str) -> Vec<(String, Value<'s>)> {
        self.known.push(key);
        let in_file = self.in_file(key);
        let in_file = in_file.map(|value| (self.place(key, value), Value::of(value, self.text())));
        let mut given: Vec<_> = in_file.into_iter().collect();
        if self.outside {
            let variable = env::variable(&self.path, key);
            if let Some(word) = self.reading.sources.environment.get(&variable) {
                given.push((variable.clone(), Value::Word(word)));
            }
            self.reading.variables.insert(variable);
            let flags = self.reading.sources.flags.iter();
            let flags = flags.filter(|flag| flag.section == self.path && flag.key == key);
            given.extend(flags.map(|flag| (flag.name.to_owned(), flag.value)));
        }
        given
    }

    fn report_unknown_keys(&mut self) {
        let what = if self.path.is_empty() {
            "section"
        } else {
            "key"
        };
        for (key, value) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let problem = unknown(what, name, self.known.iter().copied());
                self.note(self.place(&shown(name), value), problem);
            }
        }
    }

    fn note(&mut self, place: String, problem: impl Into<String>) {
        self.reading.mistakes.push(Mistake::new(place, problem));
    }

    fn in_file(&self, key: &str) -> Option<&'s Spanned<DeValue<'s>>> {
        self.table.and_then(|table| table.get(key))
    }

    fn text(&self) -> &'s str {
        self.reading.sources.text
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn place(&self, key: &str, value: &Spanned<DeValue<'_>>) -> String {
        at_line(self.path_of(key), Some(self.line_of(value)))
    }

    fn line_of(&self, value: &Spanned<DeValue<'_>>) -> usize {
        self.reading.line_of(value.span().start)
    }
}

fn at_line(path: String, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{path} (line {line})"),
        None => path,
    }
}
