//! Typed access to the keys of a table, collecting every mistake on the way.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::env;
use super::mistake::{Mistake, shown, unknown};
use super::reading::{Reading, Setting};
use super::value::{Kind, Value};

/// The source of what no source says.
const DEFAULT: &str = "default";

/// The keys of one table, wherever they were written.
///
/// Whatever is wrong with a key becomes a mistake, and its default is returned, so that reading goes on. A default is a
/// word, as in a variable, so that code and people read the same.
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

/// What one source says about a key.
struct Given<'s> {
    place: String,
    source: String,
    value: Value<'s>,
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
        value
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
        let Some(value) = self.in_file(key) else {
            self.report(key, None);
            return None;
        };
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
    pub(super) fn read<T>(&mut self, key: &'static str, kind: Kind<T>, default: &str) -> T {
        let read = self.last(key, &kind, Some(default));
        read.expect("a default is what its key holds")
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
        self.last(key, &kind, None)
    }

    /// A list, or in a variable and a default its elements separated by commas.
    pub(super) fn list<T>(&mut self, key: &'static str, kind: Kind<T>, default: &str) -> Vec<T> {
        let (mut last, mut reported) = (Vec::new(), None);
        for given in self.given_or(key, Some(default)) {
            let Some(elements) = self.elements(key, &given) else {
                let expected = format!("expected one whose elements are each {}", kind.expected);
                self.note(given.place, format!("not a list, {expected}"));
                continue;
            };
            let words = elements.iter().map(|(_, value)| kind.written(value));
            let words = words.collect::<Vec<_>>().join(", ");
            reported = Some((format!("[{words}]"), given.source));
            let elements = elements.into_iter();
            let elements = elements.filter_map(|(place, value)| self.value(place, &value, &kind));
            last = elements.collect();
        }
        self.report(key, reported);
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
        let place = self.given(key).pop().map(|given| given.place);
        let place = place.unwrap_or_else(|| at_line(self.path_of(key), self.line));
        self.note(place, problem);
    }

    /// Keeps what is in force for `footfall config`: the value as it is written, and its source.
    fn report(&mut self, key: &str, reported: Option<(String, String)>) {
        let (value, source) = reported.unzip();
        self.reading.reported.push(Setting {
            name: self.path_of(key),
            value,
            source: source.unwrap_or_else(|| DEFAULT.to_owned()),
        });
    }

    /// What the last good source says, if any does.
    fn last<T>(&mut self, key: &'static str, kind: &Kind<T>, default: Option<&str>) -> Option<T> {
        let given = self.given_or(key, default);
        let reported = given.last();
        let reported = reported.map(|given| (kind.written(&given.value), given.source.clone()));
        self.report(key, reported);
        let given = given.into_iter();
        let values = given.filter_map(|given| self.value(given.place, &given.value, kind));
        values.last()
    }

    fn elements<'v>(&self, key: &str, list: &Given<'v>) -> Option<Vec<(String, Value<'v>)>>
    where
        's: 'v,
    {
        match list.value {
            Value::List(array) => {
                let element = |value| (self.place(key, value), Value::of(value, self.text()));
                Some(array.iter().map(element).collect())
            }
            Value::Word(words) => {
                let words = words.split(',').map(str::trim_ascii);
                let words = words.filter(|word| !word.is_empty());
                let element = |word| (list.place.clone(), Value::Word(word));
                Some(words.map(element).collect())
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

    /// As [`Fields::given`], behind the default.
    fn given_or<'v>(&mut self, key: &'static str, default: Option<&'v str>) -> Vec<Given<'v>>
    where
        's: 'v,
    {
        let default = default.map(|word| Given {
            place: self.path_of(key),
            source: DEFAULT.to_owned(),
            value: Value::Word(word),
        });
        default.into_iter().chain(self.given(key)).collect()
    }

    /// What the sources say about a key; the last one counts.
    fn given(&mut self, key: &'static str) -> Vec<Given<'s>> {
        self.known.push(key);
        let in_file = self.in_file(key).map(|value| Given {
            place: self.place(key, value),
            source: "file".to_owned(),
            value: Value::of(value, self.text()),
        });
        let mut given: Vec<_> = in_file.into_iter().collect();
        if self.outside {
            let variable = env::variable(&self.path, key);
            if let Some(word) = self.reading.sources.environment.get(&variable) {
                given.push(Given {
                    place: variable.clone(),
                    source: format!("environment {variable}"),
                    value: Value::Word(word),
                });
            }
            self.reading.variables.insert(variable);
            let flags = self.reading.sources.flags.iter();
            let flags = flags.filter(|flag| flag.section == self.path && flag.key == key);
            given.extend(flags.map(|flag| Given {
                place: flag.name.to_owned(),
                source: format!("flag {}", flag.name),
                value: flag.value,
            }));
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

    /// Notes a mistake at any place.
    pub(super) fn note(&mut self, place: String, problem: impl Into<String>) {
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
