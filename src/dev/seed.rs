//! The seed: what projects have at the start, and again after a reset. A file with a JSON object a line: the token of a
//! project, and a command as in a batch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tonic::Request;

use crate::app::StartError;
use crate::grpc::pb::tracking_service_server::TrackingService as _;
use crate::grpc::{Tracking, pb};
use crate::model::quote::quoted;
use crate::rest::json;
use crate::tracker::{Access, COMMANDS_MAX, Tracker};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The commands of each project, by its token.
#[derive(Clone, Debug, Default)]
pub(super) struct Seed(BTreeMap<String, Vec<Line>>);

/// A line with its number.
#[derive(Clone, Debug)]
struct Line {
    number: usize,
    /// The body of a batch that has its command alone.
    batch: String,
}

/// A command of a project.
#[derive(Deserialize)]
struct Read<'a> {
    project: String,
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Seed {
    /// Reads a file.
    ///
    /// # Errors
    /// [`StartError::Seed`].
    pub(super) fn load(path: &Path) -> Result<Self, StartError> {
        let wrong = |why: String| StartError::Seed {
            path: path.to_owned(),
            why,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        if read.map_err(|error| wrong(error.to_string()))? as u64 > FILE_BYTES_MAX {
            return Err(wrong(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        Self::read(&text).map_err(wrong)
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut seed = Self::default();
        let lines = text
            .lines()
            .zip(1..)
            .filter(|(line, _)| !line.trim().is_empty());
        for (line, number) in lines {
            let read: Read<'_> = serde_json::from_str(line).map_err(|error| {
                let line = quoted(line);
                format!(
                    "line {number}: {error} in '{line}', expected the keys project, name and data"
                )
            })?;
            let (name, data) = (read.name.get(), read.data.get());
            let batch = format!("{{\"commands\": [{{\"name\": {name}, \"data\": {data}}}]}}");
            seed.0
                .entry(read.project)
                .or_default()
                .push(Line { number, batch });
        }
        Ok(seed)
    }

    /// The projects that it is about.
    pub(super) fn projects(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Writes the commands of a project.
    ///
    /// # Errors
    /// Which line is refused, and why.
    pub(super) async fn sow(&self, tracker: &Arc<Tracker>, access: &Access) -> Result<(), String> {
        let tracking = Tracking::new(tracker.clone(), Duration::ZERO);
        let lines = self
            .0
            .get(access.token())
            .map(Vec::as_slice)
            .unwrap_or_default();
        for lines in lines.chunks(COMMANDS_MAX) {
            let mut commands = Vec::with_capacity(lines.len());
            for Line { number, batch } in lines {
                let read = json::batch_request(batch.as_bytes(), access.token(), tracker.now());
                let read = read.map_err(|status| format!("line {number}: {}", status.message()))?;
                commands.extend(read.commands);
            }
            let mut request = Request::new(pb::ExecuteBatchRequest {
                project_token: access.token().to_owned(),
                commands,
            });
            request.extensions_mut().insert(access.clone());
            let answer = tracking.execute_batch(request).await;
            let answer = answer.map_err(|status| status.message().to_owned())?;
            for (line, result) in lines.iter().zip(answer.into_inner().results) {
                if let Some(error) = result.error {
                    return Err(format!("line {}: {}", line.number, error.message));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_which_line_is_wrong() {
        let good = r#"{"project": "a", "name": "customers", "data": {"x": 1}}"#;
        let seed = Seed::read(&format!("{good}\n\n{good}\n")).unwrap();
        assert_eq!(seed.projects().collect::<Vec<_>>(), ["a"]);
        let wrong = Seed::read(&format!("{good}\n\n{{\"project\": \"a\"}}")).unwrap_err();
        assert_eq!(
            wrong,
            "line 3: missing field `name` at line 1 column 16 in '{\"project\": \"a\"}', expected the keys project, name and data"
        );
    }

    #[test]
    fn a_seed_that_is_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        File::create(&path)
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        let error = Seed::load(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("it is larger than 67108864 bytes"),
            "{error}"
        );
    }
}
