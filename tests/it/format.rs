//! The log is read by the program in docs/format.md as the service reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use footfall::log::disk::{DiskStore, Options};
use footfall::log::{Position, Store as _};

use crate::harness::dice::Dice;

/// The program on the page.
fn program() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```python\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// What it prints.
fn read(log: &Path) -> Vec<String> {
    let mut python = Command::new("python3");
    let output = python.args(["-c", &program()]).arg(log).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

fn expected(store: &DiskStore) -> Vec<String> {
    let records = store.scan(Position::START).map(Result::unwrap);
    let line = |(position, record): (Position, Bytes)| {
        let hex: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {hex}", position.get())
    };
    records.map(line).collect()
}

#[test]
fn the_program_on_the_page_of_the_format_reads_what_was_written() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(Options {
        dir: dir.path().to_owned(),
        free_bytes_min: 0,
        segment_bytes: 128 << 10,
        ..Options::default()
    });
    let store = store.unwrap();
    let mut dice = Dice::of(7);
    for round in 0..120 {
        let mut record = |n: u64| {
            let count = dice.below(1 + n * round);
            let words = (0..count).map(|_| match dice.below(3) {
                0 => "the same again and again, ".to_owned(),
                _ => format!("{:x}", dice.draw()),
            });
            Bytes::from(words.collect::<String>())
        };
        let records: Vec<_> = (0..1 + round % 9).map(&mut record).collect();
        store.commit(store.last().plus(1), &records).unwrap();
    }
    let log = dir.path().join("log");
    let segments = fs::read_dir(&log).unwrap().count();
    assert!(segments > 5, "{segments}");
    assert_eq!(read(&log), expected(&store));
    let rewrites =
        [3, 90, 400].map(|n| Ok((Position::from_number(n), Bytes::from_static(b"gone"))));
    store.rewrite(&mut rewrites.into_iter()).unwrap();
    assert_eq!(read(&log), expected(&store));
    store.purge(0).unwrap();
    let lines = read(&log);
    assert_eq!(lines, expected(&store));
    assert_eq!(lines[89], "90 676f6e65");
}
