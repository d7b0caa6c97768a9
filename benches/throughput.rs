//! Throughput of Footfall beside what is its measure, in the same minutes on the same cores.
//!
//! `cargo bench --bench throughput` starts each server as a process of its own, loads it and its baseline in turns, and
//! prints the median of the rounds with their spread, and the ratio beside its goal. `target/bench/throughput.json` has
//! all of it; `benches/compare.py` compares two such files. Words behind `--`:
//!
//! - `quick`: one short round of everything, to see that it runs
//! - a number: so many callers for everything, instead of 64 and a sweep
//! - other words: only the rows whose names contain one of them
//! - `latency`, seconds, `reads`: how long single writes take at a tenth of what can be had ([`latency`])
//!
//! A baseline reads the same message and answers; it checks, stores and limits nothing. That of `TrackStream` is a file
//! that is appended to and synced ([`disk`]). Where the environment variable `ENVOY` is the path of an Envoy, REST is
//! measured beside it as well ([`envoy`]). The load client reads every answer: an error ends the run.
//!
//! Footfall is new for each row, and halted while its baseline is measured: what it has taken it goes on folding into
//! what is read, and that work is to cost it and nobody else.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and measures real time"
)]

#[path = "throughput/baseline.rs"]
mod baseline;
#[path = "throughput/descriptors.rs"]
mod descriptors;
#[path = "throughput/disk.rs"]
mod disk;
#[path = "throughput/envoy.rs"]
mod envoy;
#[path = "common/report.rs"]
mod file;
#[path = "throughput/grpc.rs"]
mod grpc;
#[path = "throughput/latency.rs"]
mod latency;
#[path = "throughput/load.rs"]
mod load;
#[path = "throughput/message.rs"]
mod message;
#[path = "throughput/report.rs"]
mod report;
#[path = "throughput/rest.rs"]
mod rest;
#[path = "throughput/row.rs"]
mod row;
#[allow(dead_code, reason = "each benchmark uses its part")]
#[path = "common/server.rs"]
mod server;
#[path = "throughput/stream.rs"]
mod stream;
#[path = "throughput/table.rs"]
mod table;

fn main() {
    // Cargo says `--bench` as well.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match words.first().map(String::as_str) {
        Some("serve-axum") => runtime.block_on(baseline::axum()),
        Some("serve-tonic") => runtime.block_on(baseline::tonic()),
        Some("latency") => latency::run(&runtime, &words[1..]),
        _ => runtime.block_on(table::run(&words)),
    }
}
