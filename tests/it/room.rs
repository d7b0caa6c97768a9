//! A disk that fills up, and has room again: nobody has to start the service again.
//!
//! The disk is a file system in memory, which only root may mount; elsewhere these scenarios are skipped, and say so.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, run};
use crate::harness::{Request, eventually};

const SETTINGS: [(&str, &str); 3] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_DATA_FREE_BYTES_MIN", "32MiB"),
    ("FOOTFALL_DATA_ERASE_WITHIN", "0s"),
];

/// A small disk.
struct Disk {
    dir: TempDir,
}

impl Disk {
    /// None: this machine does not let us have one.
    fn new(mib: u64) -> Option<Self> {
        Self::with(&format!("size={mib}m"))
    }

    fn with(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]);
        let mounted = mount.arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        let _ = writeln!(
            std::io::stderr(),
            "full disks are skipped: only root may mount"
        );
        None
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn free_mib(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        (disk.f_bavail * disk.f_frsize) >> 20
    }

    /// Lets no file be made any more, as long as the folder is there: there is room all the same.
    fn fill_with_files(&self) -> PathBuf {
        let folder = self.path().join("files");
        fs::create_dir(&folder).unwrap();
        let made = (0..).map(|n: u32| fs::File::create(folder.join(n.to_string())));
        let refused = made.into_iter().find_map(Result::err).unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
        folder
    }

    /// Takes all room but so much; it is there again once the file is removed.
    fn fill(&self, but_mib: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let mib = vec![7; 1 << 20];
        while self.free_mib() > but_mib {
            file.write_all(&mib).unwrap();
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Large events of so many customers, that do not compress.
fn batch(round: usize) -> String {
    let event = |n: usize| {
        let mut dice = crate::harness::dice::Dice::of((round * 50 + n) as u64);
        let text: String = (0..900).map(|_| format!("{:016x}", dice.draw())).collect();
        json!({"name": "customers/events", "data": {"customer_ids": {"registered": format!("c-{n}")},
            "event_type": "visit", "properties": {"text": text, "n": n}}})
    };
    let commands: Vec<_> = (0..50).map(event).collect();
    json!({ "commands": commands }).to_string()
}

/// Writes until the service says that the disk is full; gives how many batches it took.
async fn write_until_full(process: &Process, project: &Project) -> usize {
    for round in 0.. {
        let stored = project
            .track(process.address, "batch", &batch(round))
            .send()
            .await;
        if stored.status == 503 {
            assert_eq!(stored.error(), "the disk is full");
            return round;
        }
        // A batch is answered as one that was taken, with an error for each of its commands.
        if stored.body.contains("the disk is full") {
            return round;
        }
        assert_eq!(stored.status, 200, "{}", stored.body);
    }
    unreachable!()
}

/// Waits until the log of the service has a text.
async fn says(disk: &Disk, text: &str) {
    eventually(&format!("the log says {text:?}"), async || {
        log(disk.path()).contains(text).then_some(())
    })
    .await;
}

async fn is_ready(process: &Process) {
    let ask = || Request::new(process.address, "GET", "/readyz");
    eventually("readiness is on", async || {
        (ask().send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_filled_its_disk_goes_on_once_there_is_room() {
    let Some(disk) = Disk::new(400) else {
        return;
    };
    let process = Process::start_with(disk.path(), &SETTINGS);
    let project = Project::read(disk.path());
    let filler = disk.fill(250);
    for _ in 0..2 {
        write_until_full(&process, &project).await;
        // What was acknowledged can be read.
        assert!(
            project.visits(&process, "c-49").await > 0,
            "{}",
            log(disk.path())
        );
    }
    fs::remove_file(filler).unwrap();
    is_ready(&process).await;
    project.visit(&process, "later").await;
    assert_eq!(project.visits(&process, "later").await, 1);
    assert!(process.terminate().success());
    let (code, said) = run(command(disk.path()).args(["log", "verify"]));
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_others_fill_while_the_view_is_behind_stops_it_for_as_long_as_it_is_full() {
    let Some(disk) = Disk::new(400) else {
        return;
    };
    let process = Process::start_with(disk.path(), &SETTINGS);
    let project = Project::read(disk.path());
    for round in 0..60 {
        let stored = project
            .track(process.address, "batch", &batch(round))
            .send()
            .await;
        assert_eq!(stored.status, 200, "{}", stored.body);
    }
    assert!(process.terminate().success());
    // All of it has to be folded again.
    fs::remove_dir_all(disk.path().join("footfall-data/view")).unwrap();
    let filler = disk.fill(10);
    let settings = [
        SETTINGS[0],
        SETTINGS[1],
        ("FOOTFALL_SERVER_REQUEST_TIMEOUT", "100ms"),
    ];
    let process = Process::start_with(disk.path(), &settings);
    says(&disk, "the view waits for space").await;
    let question = r#"{"customer_ids":{"registered":"c-1"}}"#;
    let read = project
        .data(process.address, "export-one", question)
        .send()
        .await;
    assert_eq!(read.status, 503, "{}", read.body);
    fs::remove_file(filler).unwrap();
    is_ready(&process).await;
    assert_eq!(project.visits(&process, "c-1").await, 60);
    project.visit(&process, "later").await;
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_leave_a_full_disk_leaves_it_once_there_is_room_and_the_service_answers_meanwhile()
 {
    let Some(disk) = Disk::new(700) else {
        return;
    };
    // Nothing leaves for hours.
    let process = Process::start_with(disk.path(), &SETTINGS[..2]);
    let project = Project::read(disk.path());
    crate::erase::leaver::store(&process, &project, 1).await;
    for round in 0..40 {
        let stored = project
            .track(process.address, "batch", &batch(round))
            .send()
            .await;
        assert_eq!(stored.status, 200, "{}", stored.body);
    }
    crate::erase::leaver::erase(&process, &project, 1).await;
    assert!(process.terminate().success());
    let filler = disk.fill(34);
    let process = Process::start_with(disk.path(), &SETTINGS);
    says(&disk, "what has to leave the disk is still there").await;
    assert_eq!(project.visits(&process, "c-1").await, 40);
    fs::remove_file(filler).unwrap();
    assert!(process.terminate().success());
    // The next try comes after a minute, or with a start.
    let process = Process::start_with(disk.path(), &SETTINGS);
    crate::erase::leaver::has_left(disk.path()).await;
    assert_eq!(project.visits(&process, "c-1").await, 40);
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_finds_no_room_takes_none_from_the_service() {
    let Some(disk) = Disk::new(400) else {
        return;
    };
    let process = Process::start_with(disk.path(), &SETTINGS);
    let project = Project::read(disk.path());
    for round in 0..80 {
        let stored = project
            .track(process.address, "batch", &batch(round))
            .send()
            .await;
        assert_eq!(stored.status, 200, "{}", stored.body);
    }
    let filler = disk.fill(110);
    let (code, said) = run(command(disk.path()).args(["backup", "copy"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(!disk.path().join("copy").exists());
    project.visit(&process, "later").await;
    assert_eq!(project.visits(&process, "later").await, 1);
    fs::remove_file(filler).unwrap();
    let (code, said) = run(command(disk.path()).args(["backup", "copy"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_on_which_no_file_can_be_made_is_full_although_it_has_room() {
    let Some(disk) = Disk::with("size=600m,nr_inodes=500") else {
        return;
    };
    let settings = [
        SETTINGS[0],
        SETTINGS[1],
        ("FOOTFALL_VIEW_CHECKPOINT_BYTES", "64KiB"),
    ];
    let process = Process::start_with(disk.path(), &settings);
    let project = Project::read(disk.path());
    project.visit(&process, "before").await;
    let files = disk.fill_with_files();
    let taken = write_until_full(&process, &project).await;
    assert_eq!(project.visits(&process, "c-49").await, taken);
    assert!(disk.free_mib() > 100);
    fs::remove_dir_all(files).unwrap();
    is_ready(&process).await;
    project.visit(&process, "later").await;
    assert_eq!(project.visits(&process, "later").await, 1);
    assert_eq!(project.visits(&process, "c-49").await, taken);
    assert!(process.terminate().success());
    let (code, said) = run(command(disk.path()).args(["log", "verify"]));
    assert_eq!(code, Some(0), "{said}");
}
