//! What the log alone takes: commits, bytes, reads in order and by position, and a start after a kill.
//!
//! `cargo bench --bench log` writes records of some 350 bytes, in commits of one, of 64 and of 4,096; nothing is folded.
//! A number is how many seconds each of these lasts.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and measures real time"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use footfall::log::disk::{DiskStore, Options};
use footfall::log::{Position, Store as _};

const SYNCS: usize = 2_000;
const READS: u32 = 20_000;

/// A record as an event of a customer makes it.
fn record(number: u64) -> Bytes {
    let customer = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    format!(
        r#"11111111-2222-3333-4444-555555555555 registered=user-{customer} cookie=cookie-{customer} page_visit {{"path":"/products/{}","referrer":"https://example.com/some/where/else","title":"A product page with a title","price":49.9,"currency":"EUR","number":{number},"new":true,"agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#,
        number % 500
    )
    .into()
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(Options {
        dir: dir.join("data"),
        ..Options::default()
    })
    .unwrap()
}

fn percentile(times: &mut [Duration], part: usize) -> Duration {
    times.sort();
    times[(times.len() - 1) * part / 100]
}

/// One sync of a few bytes over what is there.
fn syncs(dir: &Path) {
    let file = File::create(dir.join("sync")).unwrap();
    file.write_all_at(&vec![0; 4 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut times: Vec<_> = (0..SYNCS)
        .map(|count| {
            file.write_all_at(&[7; 340], count as u64 * 340).unwrap();
            let began = Instant::now();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("one fdatasync           p50 {half:.0?}, p99 {most:.0?}");
}

fn commits(store: &DiskStore, size: u64, lasts: Duration) {
    let (began, mut times) = (Instant::now(), Vec::new());
    let first = store.last();
    while began.elapsed() < lasts {
        let next = store.last().plus(1);
        let records: Vec<_> = (next.get()..next.get() + size).map(record).collect();
        let began = Instant::now();
        store.commit(next, &records).unwrap();
        times.push(began.elapsed());
    }
    let all: Duration = times.iter().sum();
    let records = store.last().get() - first.get();
    let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!(
        "commits of {size:<5}        {:.0} commits/s, {:.0} records/s, p50 {half:.0?}, p99 {most:.0?}",
        times.len() as f64 / all.as_secs_f64(),
        records as f64 / all.as_secs_f64(),
    );
}

fn reads(store: &DiskStore) {
    let began = Instant::now();
    let (mut at, mut bytes) = (Position::START, 0);
    loop {
        let records = store.read_after(at, 64).unwrap();
        let Some((last, _)) = records.last() else {
            break;
        };
        at = *last;
        bytes += records
            .iter()
            .map(|(_, record)| record.len())
            .sum::<usize>();
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "read in order           {:.0} records/s, {:.0} MiB/s",
        at.get() as f64 / took,
        bytes as f64 / took / f64::from(1 << 20)
    );
    for (name, from, to) in [("first 100,000", 0, 100_000), ("all", 0, at.get())] {
        let began = Instant::now();
        for count in 0..u64::from(READS) {
            let position = from + count.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (to - from).max(1);
            store.read(Position::from_number(position + 1)).unwrap();
        }
        println!("one, of {name:<15} {:.1?}", began.elapsed() / READS);
    }
}

fn bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => bytes(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let lasts = Duration::from_secs(numbers.next().unwrap_or(5));
    let dir = tempfile::tempdir_in(".").unwrap();
    syncs(dir.path());
    let store = open(dir.path());
    for size in [1, 64, 4_096] {
        commits(&store, size, lasts);
    }
    let size = bytes(&dir.path().join("data")) as f64;
    println!(
        "on disk                 {:.0} bytes a record of {}",
        size / store.last().get() as f64,
        record(1).len()
    );
    reads(&store);
    // As a kill does: nothing is closed.
    drop(store);
    let began = Instant::now();
    let store = open(dir.path());
    println!(
        "a start with {:>9}  {:.0?}",
        store.last().get(),
        began.elapsed()
    );
}
