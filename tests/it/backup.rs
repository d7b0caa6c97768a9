//! Copies of a store, of a service that runs, stopped, or was killed, and starts from them.

mod admin;
mod refusals;
mod unfinished;

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::eventually;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, run};

const WRITERS: usize = 8;
const SETTINGS: [(&str, &str); 2] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_LOG_LEVEL", "trace"),
];

fn backup(dir: &Path, to: &Path) -> (Option<i32>, String) {
    run(command(dir).arg("backup").arg(to))
}

/// The log of a stopped store, as lines.
fn dump(dir: &Path) -> String {
    let (code, said) = run(command(dir).args(["log", "dump"]));
    assert_eq!(code, Some(0), "{said}");
    said
}

/// Where the copy of a store lies, so that a service in the same folder finds it.
fn data_in(dir: &Path) -> PathBuf {
    dir.join("footfall-data")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What a backup says about itself.
fn line(records: usize, copy: &Path, said: &str) {
    let begin = format!("copied {records} records of ");
    let end = format!(" bytes, up to position {records}, to {}\n", copy.display());
    let told = said.lines().last().unwrap_or_default().to_owned() + "\n";
    assert!(told.starts_with(&begin) && told.ends_with(&end), "{said}");
}

/// Callers who store one event after the other, each for a customer of its own.
struct Load {
    stop: AtomicBool,
    acknowledged: [AtomicUsize; WRITERS],
}

impl Load {
    fn counts(&self) -> [usize; WRITERS] {
        self.acknowledged
            .each_ref()
            .map(|n| n.load(Ordering::SeqCst))
    }

    async fn write(self: Arc<Self>, index: usize, project: Project, address: SocketAddr) {
        let event = format!(
            r#"{{"customer_ids":{{"registered":"{index}"}},"event_type":"visit","properties":{{"text":"{}"}}}}"#,
            "x".repeat(2_000)
        );
        while !self.stop.load(Ordering::SeqCst) {
            let stored = project.track(address, "customers/events", &event);
            assert_eq!(stored.send().await.status, 200);
            self.acknowledged[index].fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_everything_that_was_acknowledged_before_it_began() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let process = Process::start_with(dir.path(), &SETTINGS);
    let project = Project::read(dir.path());
    let load = Arc::new(Load {
        stop: AtomicBool::new(false),
        acknowledged: Default::default(),
    });
    let mut writing = tokio::task::JoinSet::new();
    for index in 0..WRITERS {
        let load = load.clone();
        writing.spawn(load.write(index, project.clone(), process.address));
    }
    eventually("each writer has 20 answers", async || {
        let counts = load.counts();
        counts.iter().all(|count| *count >= 20).then_some(())
    })
    .await;

    let before = load.counts();
    let (from, to) = (dir.path().to_owned(), data_in(other.path()));
    let copying = tokio::task::spawn_blocking(move || backup(&from, &to));
    let (code, said) = copying.await.unwrap();
    let after = load.counts();
    load.stop.store(true, Ordering::SeqCst);
    writing.join_all().await;
    assert!(process.terminate().success());
    assert_eq!(code, Some(0), "{said}");
    for (before, after) in before.iter().zip(after) {
        assert!(*before < after, "{before} {after}: writers do not wait");
    }

    let (all, copied) = (dump(dir.path()), dump(other.path()));
    assert!(all.starts_with(&copied), "other records than the store's");
    line(copied.lines().count(), &data_in(other.path()), &said);
    let process = Process::start_with(other.path(), &SETTINGS);
    for (index, before) in before.into_iter().enumerate() {
        let customer = index.to_string();
        let visits = project.visits(&process, &customer).await;
        let in_copy = copied.matches(&format!(r#""value":"{customer}""#)).count();
        assert_eq!(visits, in_copy);
        assert!(visits >= before, "{visits} of {before}");
    }
    // It goes on by itself.
    project.visit(&process, "new").await;
    assert_eq!(project.visits(&process, "new").await, 1);
    assert!(process.terminate().success());
    let (code, said) = run(command(other.path()).args(["log", "verify"]));
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_stopped_store_is_copied_by_the_command_itself() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    for customer in ["a", "b", "a"] {
        project.visit(&process, customer).await;
    }
    assert!(process.terminate().success());
    // A relative path, and an empty folder that is there.
    fs::create_dir_all(dir.path().join("copies/footfall-data")).unwrap();
    let private = Permissions::from_mode(0o700);
    fs::set_permissions(dir.path().join("copies/footfall-data"), private).unwrap();
    let to = Path::new("copies/footfall-data");
    let (code, said) = backup(dir.path(), to);
    assert_eq!(code, Some(0), "{said}");
    line(3, &dir.path().join(to), &said);

    let other = dir.path().join("copies");
    assert_eq!(dump(&other), dump(dir.path()));
    let process = Process::start(&other);
    assert_eq!(Project::read(&other).secret, project.secret);
    assert_eq!(project.visits(&process, "a").await, 2);
    assert!(process.terminate().success());
}

#[tokio::test]
async fn the_socket_that_a_killed_service_left_leads_nobody_astray() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    project.visit(&process, "a").await;
    let socket = data_in(dir.path()).join("admin.sock");
    process.kill();
    assert!(socket.exists());
    let other = tempfile::tempdir().unwrap();
    let (code, said) = backup(dir.path(), &data_in(other.path()));
    assert_eq!(code, Some(0), "{said}");
    line(1, &data_in(other.path()), &said);
    assert!(!data_in(other.path()).join("admin.sock").exists());

    let process = Process::start(dir.path());
    let third = tempfile::tempdir().unwrap();
    let (code, said) = backup(dir.path(), &data_in(third.path()));
    assert_eq!(code, Some(0), "{said}");
    assert!(process.terminate().success());
    assert!(!socket.exists());
}

#[tokio::test]
async fn an_empty_store_is_copied_with_its_project() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let process = Process::start(dir.path());
    let (code, said) = backup(dir.path(), &data_in(other.path()));
    assert_eq!(code, Some(0), "{said}");
    line(0, &data_in(other.path()), &said);
    assert!(process.terminate().success());
    let project = Project::read(dir.path());
    let process = Process::start(other.path());
    project.visit(&process, "a").await;
    assert!(process.terminate().success());
}

#[tokio::test]
async fn a_copy_and_the_socket_are_their_owner_s_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    assert_eq!(mode(&data.join("admin.sock")), 0o600);
    // Even if the first run's file was opened up since.
    fs::set_permissions(data.join("project.toml"), Permissions::from_mode(0o644)).unwrap();
    let is_private = |copy: &Path| {
        let (code, said) = backup(dir.path(), copy);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(mode(&copy.join("log")), 0o700);
        assert_eq!(mode(&copy.join("durable-position")), 0o600);
        assert_eq!(mode(&copy.join("project.toml")), 0o600);
        let mut made: Vec<_> = fs::read_dir(copy).unwrap().collect();
        assert_eq!(made.drain(..).flatten().count(), 4, "nothing else is made");
    };
    is_private(&dir.path().join("running"));
    assert!(process.terminate().success());
    is_private(&dir.path().join("stopped"));
    assert_eq!(mode(&dir.path().join("running")), 0o700);
    assert_eq!(mode(&dir.path().join("stopped")), 0o700);
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    is_private(&open);
    assert_eq!(mode(&open), 0o755, "it is not ours");
}

#[tokio::test]
async fn a_store_whose_projects_are_in_the_settings_has_no_project_in_its_copy() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    assert!(process.terminate().success());
    fs::remove_file(data_in(dir.path()).join("project.toml")).unwrap();
    let copy = dir.path().join("copy");
    let arguments = ["--config", "footfall.toml", "--data-dir", "data"];
    fs::rename(data_in(dir.path()), dir.path().join("data")).unwrap();
    fs::write(dir.path().join("footfall.toml"), "").unwrap();
    let (code, said) = run(command(dir.path()).arg("backup").arg(&copy).args(arguments));
    assert_eq!(code, Some(0), "{said}");
    assert!(!copy.join("project.toml").exists());
}

#[tokio::test]
async fn no_key_is_told_to_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start_with(dir.path(), &SETTINGS);
    let project = Project::read(dir.path());
    project.visit(&process, "a").await;
    let mut command = command(dir.path());
    let command = command.envs(SETTINGS).arg("backup");
    let (code, told) = run(command.arg(dir.path().join("copy")));
    assert_eq!(code, Some(0), "{told}");
    let (code, refused) = run(command.arg("--log"));
    assert_eq!(code, Some(2), "{refused}");
    assert!(process.terminate().success());
    let logged = log(dir.path());
    assert!(logged.contains("a backup is made"), "{logged}");
    for text in [told, refused, logged] {
        for secret in [&project.secret, &project.public] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
}
