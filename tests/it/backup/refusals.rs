//! What keeps a backup from being made, in words, and without a trace.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use footfall::log::disk::{DiskStore, Options};

use super::{backup, data_in};
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, run};

fn refuses(command: &mut Command, expected: &str) {
    let (code, said) = run(command);
    assert_eq!(code, Some(1), "{said}");
    let told = said.lines().last().unwrap_or_default();
    assert_eq!(told, format!("footfall: {expected}"), "{said}");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_that_does_not_fit_is_refused_alike_by_the_command_and_by_the_service() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("full/folder")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink("footfall-data", dir.path().join("link")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let cases = [
        ("full", format!("{} is not empty", at("full"))),
        (
            "footfall-data",
            format!(
                "{} is inside of the data folder footfall-data",
                at("footfall-data")
            ),
        ),
        (
            "link/copy",
            format!(
                "{} is inside of the data folder footfall-data",
                at("link/copy")
            ),
        ),
        (
            "file",
            format!("{}: Not a directory (os error 20)", at("file")),
        ),
        (
            "dangling",
            format!("{}: File exists (os error 17)", at("dangling")),
        ),
        (
            "missing/copy",
            format!("{}: No such file or directory (os error 2)", at("missing")),
        ),
    ];
    let before = names(dir.path());
    for (name, expected) in &cases {
        refuses(command(dir.path()).args(["backup", name]), expected);
    }
    assert!(process.terminate().success());
    for (name, expected) in &cases {
        refuses(command(dir.path()).args(["backup", name]), expected);
    }
    assert_eq!(names(dir.path()), before);
    assert_eq!(names(&dir.path().join("full")), ["folder"]);
    let data = [
        "durable-position",
        "id-types.json",
        "log",
        "project.toml",
        "view",
    ];
    assert_eq!(names(&data_in(dir.path())), data);
}

#[tokio::test]
async fn a_disk_without_space_is_told_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    const MOST: u64 = 1 << 40;
    let disk = rustix::fs::statvfs(dir.path()).unwrap();
    if disk.f_bavail * disk.f_frsize >= MOST {
        println!("skipped: there is more space here than can be asked for");
        return;
    }
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    assert!(process.terminate().success());
    // The copy leaves twice as much.
    let settings = [("FOOTFALL_DATA_FREE_BYTES_MIN", "512GiB")];
    let copy = dir.path().join("copy");
    let full = format!("{}: the disk has not enough space", copy.display());
    let attempt = || {
        let mut command = command(dir.path());
        command.envs(settings).arg("backup").arg(&copy);
        command
    };
    refuses(&mut attempt(), &full);
    assert!(!copy.exists());
    fs::create_dir(&copy).unwrap();
    let process = Process::start_with(dir.path(), &settings);
    refuses(&mut attempt(), &full);
    assert!(names(&copy).is_empty());
    assert!(process.terminate().success());
    assert_eq!(backup(dir.path(), &copy).0, Some(0));
}

#[test]
fn where_no_store_is_none_is_made_for_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let expected = "there is no store in footfall-data";
    refuses(command(dir.path()).args(["backup", "copy"]), expected);
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn a_store_that_a_start_refuses_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    assert!(process.terminate().success());
    let position = 5_u64;
    let note = [position.to_be_bytes(), (!position).to_be_bytes()].concat();
    fs::write(data_in(dir.path()).join("durable-position"), note).unwrap();
    let expected =
        "the log in footfall-data ends at position 1, but 5 was acknowledged: its end is lost";
    refuses(command(dir.path()).args(["backup", "copy"]), expected);
    assert!(!dir.path().join("copy").exists());
}

#[test]
fn a_process_that_takes_no_backups_is_told_from_a_service() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let process = Process::start(dir.path());
    let socket = data.join("admin.sock");
    assert!(process.terminate().success());
    // Another command, for example.
    let _store = DiskStore::open(Options {
        dir: data.clone(),
        free_bytes_min: 0,
        ..Options::default()
    });
    let in_use = "the data folder footfall-data is in use by another process";
    let expected = format!(
        "{in_use}, and footfall-data/admin.sock is not there, by which a service is asked for a backup"
    );
    let attempt = || {
        let mut command = command(dir.path());
        command.args(["backup", "copy"]);
        command
    };
    refuses(&mut attempt(), &expected);

    // As a killed service leaves it.
    drop(UnixListener::bind(&socket).unwrap());
    let at = "footfall-data/admin.sock";
    let nobody = format!("{in_use}, which does not answer at {at}: ");
    let refused = format!("{nobody}Connection refused (os error 111)");
    refuses(&mut attempt(), &refused);

    // Somebody else made the socket.
    fs::remove_file(&socket).unwrap();
    let stranger = UnixListener::bind(&socket).unwrap();
    let answering = std::thread::spawn(move || {
        let answers = [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "",
        ];
        for answer in answers {
            let (mut stream, _) = stranger.accept().unwrap();
            let mut request = [0; 4_096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    refuses(&mut attempt(), &format!("{nobody}404 Not Found"));
    refuses(&mut attempt(), &format!("{nobody}200 OK"));
    let copy = dir.path().join("copy");
    let gone = format!(
        "the service at {at} was gone before the backup was finished: {} is no backup",
        copy.display()
    );
    refuses(&mut attempt(), &gone);
    answering.join().unwrap();
    assert!(!copy.exists());
}
