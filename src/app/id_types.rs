//! The ID types that a project's records were written with: later settings must agree.
//!
//! A record has its IDs as they were compared on arrival. If a type becomes a soft one, or is compared in lower case
//! from then on, stored and new records would belong to different customers. So the data folder keeps each project's
//! types, including those that the settings no longer name, and a start with others is refused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StartError;
use crate::config::ProjectConfig;
use crate::config::data::ID_TYPES_FILE;

/// The content of the file, by the projects' tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdTypes(BTreeMap<String, Types>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Types {
    /// In order of precedence.
    hard: Vec<String>,
    soft: Vec<String>,
    lowercase: Vec<String>,
}

impl IdTypes {
    fn path(data: &Path) -> PathBuf {
        data.join(ID_TYPES_FILE)
    }

    /// Reads the file; no types are known if there is none.
    ///
    /// # Errors
    /// [`StartError::IdTypesFile`].
    pub(super) fn load(data: &Path) -> Result<Self, StartError> {
        let path = Self::path(data);
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.and_then(|text| Ok(serde_json::from_slice(&text)?)),
        };
        read.map_err(|error| StartError::IdTypesFile { path, error })
    }

    /// Checks that projects have their earlier types, and adds new ones. A project without records, by `is_used`, may
    /// have any.
    ///
    /// # Errors
    /// [`StartError::IdTypes`].
    pub(super) fn take(
        &mut self,
        data: &Path,
        projects: &[ProjectConfig],
        is_used: impl Fn(&str) -> bool,
    ) -> Result<(), StartError> {
        for project in projects {
            let new = Types::of(project);
            let known = self.0.entry(project.token.clone()).or_default();
            let differences = known.differences(&new);
            if differences.is_empty() {
                known.add(&new);
            } else if is_used(&project.token) {
                return Err(StartError::IdTypes {
                    project: project.token.clone(),
                    differences: differences.join("; "),
                    path: Self::path(data),
                });
            } else {
                *known = new;
            }
        }
        Ok(())
    }

    /// Writes the file atomically, for its owner alone.
    ///
    /// # Errors
    /// [`StartError::IdTypesFile`].
    pub(super) fn save(&self, data: &Path) -> Result<(), StartError> {
        let path = Self::path(data);
        let write = || {
            let unfinished = path.with_extension("new");
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(data)?.sync_all()
        };
        write().map_err(|error| StartError::IdTypesFile { path, error })
    }
}

impl Types {
    fn of(project: &ProjectConfig) -> Self {
        Self {
            hard: project.hard_ids.clone(),
            soft: project.soft_ids.clone(),
            lowercase: project.lowercase_ids.clone(),
        }
    }

    /// Texts on what in `new` would give stored IDs another meaning.
    fn differences(&self, new: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let kinds = [
            (&self.hard, &new.soft, "hard", "soft"),
            (&self.soft, &new.hard, "soft", "hard"),
        ];
        for (were, are, was, is) in kinds {
            let changed = were.iter().filter(|name| are.contains(name));
            differences.extend(changed.map(|name| format!("\"{name}\" was {was} and is {is}")));
        }
        let orders = [
            (&self.hard, &new.hard, "hard_ids"),
            (&self.soft, &new.soft, "soft_ids"),
        ];
        for (were, are, list) in orders {
            let before: Vec<_> = were.iter().filter(|name| are.contains(name)).collect();
            let after: Vec<_> = are.iter().filter(|name| were.contains(name)).collect();
            if before != after {
                differences.push(format!("{list} were in the order {before:?}"));
            }
        }
        for name in self.names().filter(|name| new.names().any(|n| n == *name)) {
            match (self.lowercase.contains(name), new.lowercase.contains(name)) {
                (true, false) => differences.push(format!("\"{name}\" was compared in lower case")),
                (false, true) => {
                    differences.push(format!("\"{name}\" was not compared in lower case"));
                }
                (true, true) | (false, false) => {}
            }
        }
        differences
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.hard.iter().chain(&self.soft)
    }

    /// Adds new types. Removed ones stay, as they may come back.
    fn add(&mut self, new: &Self) {
        for (known, new) in [(&mut self.hard, &new.hard), (&mut self.soft, &new.soft)] {
            let mut behind = 0;
            for name in new {
                match known.iter().position(|known| known == name) {
                    Some(at) => behind = at + 1,
                    None => {
                        known.insert(behind, name.clone());
                        behind += 1;
                    }
                }
            }
        }
        let lowercase = new.lowercase.iter();
        let added = lowercase.filter(|name| !self.lowercase.contains(name));
        let added: Vec<_> = added.cloned().collect();
        self.lowercase.extend(added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(hard: &[&str], soft: &[&str], lowercase: &[&str]) -> ProjectConfig {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ProjectConfig {
            token: "t".to_owned(),
            hard_ids: names(hard),
            soft_ids: names(soft),
            lowercase_ids: names(lowercase),
            ..crate::config::projects_from_toml("[[project]]\ntoken = \"t\"\n").unwrap()[0].clone()
        }
    }

    fn take(types: &mut IdTypes, project: ProjectConfig, is_used: bool) -> Result<(), String> {
        let taken = types.take(Path::new("data"), &[project], |_| is_used);
        taken.map_err(|error| error.to_string())
    }

    #[test]
    fn what_gives_stored_ids_another_meaning_is_refused_by_name() {
        let mut types = IdTypes::default();
        let first = project(&["registered", "email"], &["cookie", "device"], &["email"]);
        take(&mut types, first.clone(), true).unwrap();
        let known = types.clone();
        let others = [
            (
                project(&["registered"], &["email", "cookie", "device"], &["email"]),
                "\"email\" was hard and is soft",
            ),
            (
                project(&["registered", "email", "cookie"], &["device"], &["email"]),
                "\"cookie\" was soft and is hard",
            ),
            (
                project(&["email", "registered"], &["cookie", "device"], &["email"]),
                "hard_ids were in the order [\"registered\", \"email\"]",
            ),
            (
                project(&["registered", "email"], &["device", "cookie"], &["email"]),
                "soft_ids were in the order [\"cookie\", \"device\"]",
            ),
            (
                project(&["registered", "email"], &["cookie", "device"], &[]),
                "\"email\" was compared in lower case",
            ),
            (
                project(
                    &["registered", "email"],
                    &["cookie", "device"],
                    &["email", "cookie"],
                ),
                "\"cookie\" was not compared in lower case",
            ),
        ];
        for (other, expected) in others {
            let said = take(&mut types, other.clone(), true).unwrap_err();
            assert!(
                said.contains(expected) && said.contains("\"t\""),
                "{expected}: {said}"
            );
            assert_eq!(types, known, "{expected}");
            // Nothing is stored that could mean something else.
            take(&mut types.clone(), other, false).unwrap();
        }
        take(&mut types, first, true).unwrap();
        assert_eq!(types, known);
    }

    #[test]
    fn types_come_anywhere_and_those_that_are_gone_are_remembered() {
        let mut types = IdTypes::default();
        take(&mut types, project(&["b"], &["x"], &[]), true).unwrap();
        let more = project(&["a", "b", "c"], &["w", "x"], &["a"]);
        take(&mut types, more, true).unwrap();
        take(&mut types, project(&["c"], &[], &[]), true).unwrap();
        let said = take(&mut types, project(&["c", "b"], &[], &[]), true).unwrap_err();
        assert!(said.contains("[\"b\", \"c\"]"), "{said}");
        let said = take(&mut types, project(&["c"], &["a"], &["a"]), true).unwrap_err();
        assert!(said.contains("\"a\" was hard and is soft"), "{said}");
        take(
            &mut types,
            project(&["a", "b", "c"], &["w", "x"], &["a"]),
            true,
        )
        .unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_a_broken_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(IdTypes::load(dir.path()).unwrap(), IdTypes::default());
        let mut types = IdTypes::default();
        take(&mut types, project(&["a"], &["b"], &["b"]), true).unwrap();
        types.save(dir.path()).unwrap();
        assert_eq!(IdTypes::load(dir.path()).unwrap(), types);
        fs::write(dir.path().join(ID_TYPES_FILE), "{").unwrap();
        let said = IdTypes::load(dir.path()).unwrap_err().to_string();
        assert!(said.contains(ID_TYPES_FILE), "{said}");
    }
}
