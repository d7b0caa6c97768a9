//! A store that was stopped, what it should answer, and what it answers once it is damaged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use footfall::cli::verify::verify;
use footfall::clock::SystemClock;
use footfall::log::disk::DiskStore;
use footfall::log::record::Record;
use footfall::log::{self, Log, Position, Store as _};
use footfall::view::View;
use footfall::view::verify::compare;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::folder::{config, copy, flush, open, scratch, shorten};
use super::harm::Harm;
use crate::harness::dice::Dice;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, run};

static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

const CUSTOMERS: u64 = 12;
/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    Killed,
}

/// A folder with a data folder in it, and the records that its log has.
pub struct Stopped {
    pub end: End,
    dir: TempDir,
    records: Vec<Bytes>,
    /// What is damaged: the file, and how many bytes of it count.
    files: Vec<(PathBuf, u64)>,
    /// What the customers' reads answer.
    answers: Vec<String>,
    project: Project,
}

impl Stopped {
    /// Makes a store with a log of several starts, and tables and journals of the view.
    pub async fn new(end: End) -> Arc<Self> {
        let dir = scratch();
        let process = Process::start(dir.path());
        let project = Project::read(dir.path());
        for n in 0..6 {
            write(&process, &project, n).await;
        }
        // Anyone who reads has the view follow at once; what it has not folded yet would be in no table.
        assert_eq!(read(&process, &project, 0).await.0, 200);
        assert!(process.terminate().success());
        let data = dir.path().join("footfall-data");
        flush(&data.join("view"));
        let process = Process::start(dir.path());
        for n in 6..9 {
            write(&process, &project, n).await;
        }
        let mut answers = Vec::new();
        for customer in 0..CUSTOMERS {
            let (status, body) = read(&process, &project, customer).await;
            assert_eq!(status, 200, "{body}");
            answers.push(body);
        }
        match end {
            End::Stopped => assert!(process.terminate().success()),
            End::Killed => process.kill(),
        }
        let mut files = Vec::new();
        shorten(&data, &data, &mut files);
        files.sort();
        let mut stopped = Self {
            end,
            dir,
            records: Vec::new(),
            files,
            answers,
            project,
        };
        let copy = stopped.copy();
        let store = open(&copy.path().join("footfall-data")).unwrap();
        let read = store.read_after(Position::START, usize::MAX).unwrap();
        stopped.records = read.into_iter().map(|(_, record)| record).collect();
        assert_eq!(stopped.records.len(), 9 * 50);
        Arc::new(stopped)
    }

    /// The files of the log, the view and the note, and how many bytes of each are not just room.
    pub fn files(&self) -> &[(PathBuf, u64)] {
        &self.files
    }

    /// Damages copies and looks at them in this process. Tells what is wrong.
    pub async fn answers_rightly(self: &Arc<Self>, harm: &Harm) -> Result<(), String> {
        // A verification has a folder of its process.
        let _turn = TURN.lock().await;
        let (looked, copy) = (self.copy(), self.copy());
        let data = |dir: &TempDir| dir.path().join("footfall-data");
        harm.to(&data(&looked)).unwrap();
        harm.to(&data(&copy)).unwrap();
        let looked = data(&looked);
        let verified = caught(move || {
            let mut said = Vec::new();
            let verified = verify(&config(&looked), &mut said);
            (verified.is_ok(), String::from_utf8(said).unwrap())
        });
        let (is_good, said) = verified.await?;
        let (stopped, harm, data) = (self.clone(), harm.clone(), data(&copy));
        let runtime = Handle::current();
        let told = caught(move || stopped.looks(&data, &harm, &runtime)).await??;
        if told && is_good {
            return Err(format!("it is not seen by log verify: {said}"));
        }
        Ok(())
    }

    /// Opens the store and reads everything: each record is right or its damage is told. Says whether any is.
    fn looks(&self, data: &Path, harm: &Harm, runtime: &Handle) -> Result<bool, String> {
        let store = match open(data) {
            Ok(store) => Arc::new(store),
            Err(error) => return self.is_refused(harm, &error.to_string()),
        };
        let mut told = false;
        let last = store.last().get();
        if last != self.records.len() as u64 {
            return Err(format!("the log ends at {last}"));
        }
        for (position, record) in (1..).zip(&self.records) {
            let at = Position::from_number(position);
            let read = store.read(at).and_then(|read| {
                // A blob's own checksum does not cover its length, but the record's does.
                Record::decode(at, read.clone()).map(|_| read)
            });
            match read {
                Ok(read) if read == *record => {}
                Ok(_) => return Err(format!("the record at {position} is another one")),
                Err(error) => {
                    told = true;
                    names(&error.to_string(), &format!("position {position}:"))?;
                }
            }
        }
        if told && !harm.file.starts_with("log") {
            return Err("records cannot be read, but the log is whole".to_owned());
        }
        Ok(told | looks_at_view(data, &store, told, runtime)?)
    }

    fn is_refused(&self, harm: &Harm, why: &str) -> Result<bool, String> {
        // Everything else has to be known: also with which ID types the records were written.
        if harm.file.starts_with("view") {
            return Err(format!("refused, but the log is whole: {why}"));
        }
        let file = harm.file.display().to_string();
        match why.contains(&file) || why.contains("position") {
            true => Ok(true),
            false => Err(format!("refused without a place: {why}")),
        }
    }

    /// Damages a copy and starts the binary on it: each read is answered rightly or fails, or nothing is served.
    pub async fn serves_rightly(&self, harm: &Harm) -> Result<(), String> {
        let copy = self.copy();
        harm.to(&copy.path().join("footfall-data")).unwrap();
        let (code, said) = run(command(copy.path()).args(["log", "verify"]));
        if code != Some(0) && code != Some(1) {
            return Err(format!("log verify ends with {code:?}: {said}"));
        }
        let copy = self.copy();
        harm.to(&copy.path().join("footfall-data")).unwrap();
        let process = match Process::try_start(copy.path(), &[]) {
            Ok(process) => process,
            Err(said) => return self.is_refused(harm, &said).map(drop),
        };
        for (customer, expected) in (0..).zip(&self.answers) {
            let (status, body) = read(&process, &self.project, customer).await;
            if status < 500 && body != *expected {
                return Err(format!("{status} {body}"));
            }
        }
        process.kill();
        Ok(())
    }

    fn copy(&self) -> TempDir {
        let to = scratch();
        copy(self.dir.path(), to.path());
        to
    }
}

/// Starts the view and lets it come to its end; then all of it is as the log says, or it tells its damage.
fn looks_at_view(
    data: &Path,
    store: &Arc<DiskStore>,
    log_is_damaged: bool,
    runtime: &Handle,
) -> Result<bool, String> {
    let clock = Arc::new(SystemClock::new());
    let log = Log::start(store.clone(), &log::Options::default(), clock);
    let log = log.map_err(|error| error.to_string())?;
    let dir = data.join("view");
    let view = match View::start(&dir, log.clone(), runtime.clone()) {
        Ok(view) => view,
        Err(error) => return Err(format!("refused, but the log can be folded: {error}")),
    };
    let caught_up = runtime.block_on(view.caught_up(log.last(), PATIENCE));
    view.close();
    drop(view);
    log.close();
    if let Err(error) = caught_up {
        let place = match log_is_damaged {
            true => "position",
            false => "view",
        };
        return names(&error.to_string(), place).map(|()| true);
    }
    if log_is_damaged {
        // There is nothing left to compare it with.
        return Ok(true);
    }
    let fresh = scratch();
    let mut wrong = Vec::new();
    let fresh = fresh.path().join("view");
    match compare(&dir, &fresh, &**store, &mut |place| wrong.push(place)) {
        Err(error) => names(&error.to_string(), "view").map(|()| true),
        Ok(_) if wrong.is_empty() => Ok(false),
        // A file that answers rightly, for nobody needs the place.
        Ok(_)
            if wrong
                .iter()
                .all(|place| place.ends_with("is not what was written")) =>
        {
            Ok(true)
        }
        Ok(_) => Err(format!("the view answers wrongly: {wrong:?}")),
    }
}

fn names(said: &str, place: &str) -> Result<(), String> {
    match said.contains(place) {
        true => Ok(()),
        false => Err(format!("{place:?} is not named: {said}")),
    }
}

/// Runs something to its end in a thread of its own, which may panic or hang.
async fn caught<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(run()));
    match tokio::time::timeout(PATIENCE, receiver).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err("it panics".to_owned()),
        Err(_) => Err("it hangs".to_owned()),
    }
}

/// Fifty commands, some of which lie in blobs.
async fn write(process: &Process, project: &Project, n: u64) {
    let mut dice = Dice::of(n);
    let command = |k: u64| {
        let time = 1_700_000_000 + 100 * n + k;
        let text: String = std::iter::repeat_with(|| char::from(b'a' + dice.below(26) as u8))
            .take([0, 60, 900, 3_000][k as usize % 4])
            .collect();
        let mut ids = json!({"registered": format!("c-{}", dice.below(CUSTOMERS))});
        if k.is_multiple_of(7) {
            ids["cookie"] = format!("{n}-{k}").into();
        }
        match k % 3 {
            0 => json!({"name": "customers", "data":
                {"customer_ids": ids, "properties": {"k": k, "text": text}, "update_timestamp": time}}),
            _ => json!({"name": "customers/events", "data":
                {"customer_ids": ids, "event_type": "e", "timestamp": time, "properties": {"text": text}}}),
        }
    };
    let commands: Vec<_> = (0..50).map(command).collect();
    let body = json!({ "commands": commands }).to_string();
    let stored = project.track(process.address, "batch", &body).send().await;
    assert!(!stored.body.contains("false"), "{}", stored.body);
}

async fn read(process: &Process, project: &Project, customer: u64) -> (u16, String) {
    let question = json!({"customer_ids": {"registered": format!("c-{customer}")}}).to_string();
    let read = project.data(process.address, "export-one", &question);
    let answer = read.send().await;
    (answer.status, answer.body)
}
