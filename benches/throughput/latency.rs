//! How long single writes take at a tenth of what can be had, beside single syncs.
//!
//! `cargo bench --bench throughput -- latency [seconds] [reads]`: after the most that [`CALLERS`] callers can have was
//! measured, calls are due at fixed times, a tenth of that rate, and a latency counts from when its call was due: a
//! call that waits behind a slow one is slow. Threads send them, for the runtime's timers are as coarse as a
//! millisecond. In turns of a second, a file gets a record of the same size and is synced, at the same rate if the disk
//! can. A sync counts from its own beginning: the goal compares with one sync, and not with a queue of them. With
//! `reads`, each tenth call reads the events of a customer, counted apart.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::load::{Answer, Calls, Load};
use super::message::post;
use super::rest::{self, Body, EVENTS, READ};
use super::server::{self, AUTHORIZATION, READER, Server};
use super::{disk, message};

const CALLERS: usize = 64;
/// Of the measurement of what can be had.
const SATURATION: Duration = Duration::from_secs(3);
const SLICE: Duration = Duration::from_secs(1);
const SECONDS: u64 = 60;
/// More than wait for answers at once, unless something stalls.
const THREADS: usize = 32;
/// A write that takes longer is a stall.
const STALL: Duration = Duration::from_millis(20);
/// Time after the saturation, in which what was written there is folded.
const FOLDING: Duration = Duration::from_secs(3);
/// The goal: how much longer than a sync's the 99th percentile of a write may be.
const BEYOND_SYNC: Duration = Duration::from_millis(2);

/// Size that the file has from the start, as the journal of Footfall's log has: a sync of one that grows is one of its
/// size too.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What took how long.
#[derive(Default)]
struct Times {
    writes: Vec<Duration>,
    reads: Vec<Duration>,
    syncs: Vec<Duration>,
    /// Writes that took longer than [`STALL`], with when they ended.
    stalled: Vec<(Instant, Duration)>,
}

pub(super) fn run(runtime: &Runtime, words: &[String]) {
    let seconds = words.iter().find_map(|word| word.parse().ok());
    let calls = match words.iter().any(|word| word == "reads") {
        true => Calls::WithReads,
        false => Calls::Events,
    };
    let dir = server::folder();
    let (footfall, _) = Server::footfall(dir.path());
    let load = Load {
        callers: CALLERS,
        time: SATURATION,
        calls: Calls::Events,
    };
    let saturation = runtime.block_on(rest::events(footfall.address, load)).all();
    let rate = saturation / 10.0;
    println!(
        "REST event: {saturation:.0} a second with {CALLERS} callers; {rate:.0} a second from here"
    );
    std::thread::sleep(FOLDING);
    let mut connections: Vec<_> = (0..THREADS)
        .map(|_| TcpStream::connect(footfall.address).unwrap())
        .collect();
    let mut file = File::create(dir.path().join("synced")).unwrap();
    file.set_len(FILE_BYTES).unwrap();
    file.sync_all().unwrap();
    let mut times = Times::default();
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds.unwrap_or(SECONDS));
    while Instant::now() < until {
        calls_paced(&mut connections, rate, calls, &mut times);
        syncs_paced(&mut file, rate, &mut times);
    }
    times.print();
    times.print_stalls(began);
}

/// A second of calls.
fn calls_paced(connections: &mut [TcpStream], rate: f64, calls: Calls, times: &mut Times) {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let all = Mutex::new(times);
    std::thread::scope(|scope| {
        for stream in connections {
            let (next, all) = (&next, &all);
            scope.spawn(move || {
                let mut mine = Times::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = Duration::from_secs_f64(number as f64 / rate);
                    if due >= SLICE {
                        break;
                    }
                    std::thread::sleep((began + due).saturating_duration_since(Instant::now()));
                    let is_read = calls == Calls::WithReads && number % 10 == 9;
                    call(stream, is_read);
                    let took = (began + due).elapsed();
                    match is_read {
                        true => mine.reads.push(took),
                        false => mine.writes.push(took),
                    }
                    if took > STALL && !is_read {
                        mine.stalled.push((began + due + took, took));
                    }
                }
                let mut all = all.lock().unwrap();
                all.writes.append(&mut mine.writes);
                all.reads.append(&mut mine.reads);
                all.stalled.append(&mut mine.stalled);
            });
        }
    });
}

fn call(stream: &mut TcpStream, is_read: bool) {
    // Customers of the saturation, which are there to be read.
    let number = message::next(1);
    let (request, body) = match is_read {
        true => (
            post(READ, READER, &message::question_json(number % 1_000)),
            Body::Page,
        ),
        false => (
            post(EVENTS, AUTHORIZATION, &message::event_json(number)),
            Body::Success,
        ),
    };
    stream.write_all(request.as_bytes()).unwrap();
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).unwrap();
        assert_ne!(count, 0, "the server hung up");
        filled += count;
        if let Some(answer) = rest::answer(&buffer[..filled], body) {
            assert!(answer == Answer::Accepted);
            return;
        }
    }
}

/// A second of syncs, one after the other.
fn syncs_paced(file: &mut File, rate: f64, times: &mut Times) {
    let record = disk::record(0);
    let began = Instant::now();
    let mut due = Duration::ZERO;
    while due < SLICE {
        std::thread::sleep((began + due).saturating_duration_since(Instant::now()));
        let sync = Instant::now();
        file.write_all(&record).unwrap();
        file.sync_data().unwrap();
        times.syncs.push(sync.elapsed());
        due = (due + Duration::from_secs_f64(1.0 / rate)).max(began.elapsed());
    }
}

impl Times {
    fn print(&mut self) {
        println!(
            "{:<18}{:>9}{:>9}{:>9}{:>9}{:>9}{:>14}",
            "ms", "calls", "p50", "p99", "p99.9", "max", "above 20 ms"
        );
        for (name, times) in [
            ("one sync", &mut self.syncs),
            ("one write", &mut self.writes),
            ("one read", &mut self.reads),
        ] {
            if times.is_empty() {
                continue;
            }
            times.sort();
            let stalls = times.iter().filter(|time| **time > STALL).count();
            println!(
                "{name:<18}{:>9}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{stalls:>14}",
                times.len(),
                millis(quantile(times, 500)),
                millis(quantile(times, 990)),
                millis(quantile(times, 999)),
                millis(quantile(times, 1_000)),
            );
        }
        let (write, sync) = (quantile(&self.writes, 990), quantile(&self.syncs, 990));
        println!(
            "p99 of a write beyond that of a sync: {:.2} ms; goal: at most {:.0} ms, and no write above {:.0} ms",
            millis(write) - millis(sync),
            millis(BEYOND_SYNC),
            millis(STALL)
        );
    }

    /// Writes that stalled together, seconds from the beginning.
    fn print_stalls(&mut self, began: Instant) {
        self.stalled.sort();
        for stall in self.stalled.chunk_by(|(a, _), (b, _)| *b - *a < STALL) {
            let longest = stall
                .iter()
                .map(|(_, took)| *took)
                .max()
                .unwrap_or_default();
            println!(
                "after {:.2} s: {} writes, at most {:.0} ms",
                (stall[0].0 - began).as_secs_f64(),
                stall.len(),
                millis(longest)
            );
        }
    }
}

/// Of times in their order.
fn quantile(times: &[Duration], permille: usize) -> Duration {
    times[permille * (times.len() - 1) / 1_000]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
