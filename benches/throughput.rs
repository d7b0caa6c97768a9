//! Throughput of Footfall beside what the network stack alone can do, in the same minute on the same cores.
//!
//! `cargo bench --bench throughput` starts each server as a process of its own, loads them in turns, and prints the
//! median of the rounds with its spread, and the ratio. A baseline reads the same message and answers; it
//! checks, stores and limits nothing. The load client reads every answer: a refusal or an error ends the run.
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
#[path = "throughput/load.rs"]
mod load;
#[allow(dead_code, reason = "each benchmark uses its part")]
#[path = "common/server.rs"]
mod server;

use std::time::Duration;

use server::Server;

/// How many callers wait for an answer at any time.
const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::args().nth(1).as_deref() {
        Some("serve-axum") => runtime.block_on(baseline::axum()),
        Some("serve-tonic") => runtime.block_on(baseline::tonic()),
        _ => runtime.block_on(compare()),
    }
}

async fn compare() {
    let dir = server::folder();
    let (footfall, _) = Server::footfall(dir.path());
    let axum = Server::baseline("serve-axum");
    let tonic = Server::baseline("serve-tonic");
    println!("{CALLERS} callers, {ROUNDS} rounds of {ROUND:?} each, in turns; requests a second");
    println!(
        "{:<24}{:>22}{:>22}{:>8}",
        "", "baseline", "footfall", "ratio"
    );
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(load::rest(&axum, CALLERS, ROUND).await);
        full.push(load::rest(&footfall, CALLERS, ROUND).await);
    }
    print("REST customers/events", &mut bare, &mut full);
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(load::grpc(&tonic, CALLERS, ROUND).await);
        full.push(load::grpc(&footfall, CALLERS, ROUND).await);
    }
    print("gRPC AddEvent", &mut bare, &mut full);
}

fn print(name: &str, bare: &mut [f64], full: &mut [f64]) {
    let (bare_median, bare_shown) = shown(bare);
    let (full_median, full_shown) = shown(full);
    let ratio = full_median / bare_median;
    println!("{name:<24}{bare_shown:>22}{full_shown:>22}{ratio:>8.2}");
}

/// The median, and it with the spread from the lowest to the highest.
fn shown(rates: &mut [f64]) -> (f64, String) {
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let spread = format!("{:.0}-{:.0}", rates[0], rates[rates.len() - 1]);
    (median, format!("{median:.0} ({spread})"))
}
