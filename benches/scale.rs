//! What ten million events of a million customers cost.
//!
//! `cargo bench --bench scale -- 10000000` loads that many events of about 300 bytes each in batches, and prints
//! the rate, how far the view lags, memory and disk, the time to readiness after a SIGKILL, and the time to rebuild the
//! view. Without a number it loads 200,000; `600s` loads for so many seconds. `target/bench/scale.json` has what was
//! seen meanwhile.
//!
//! A second number paces the load: so many commands a second, of which each fourth updates its customer.
//!
//! Beside the load one more caller writes an event and reads it back, ten times a second: the longest of both show.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and measures real time"
)]

#[path = "common/report.rs"]
mod report;
#[path = "common/server.rs"]
#[allow(dead_code, reason = "each benchmark uses its part")]
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use footfall::grpc::pb;
use footfall::grpc::pb::command::Command;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::properties::Properties;
use serde_json::json;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::Channel;

use server::{AUTHORIZATION, READER, Server, TOKEN};

const CUSTOMERS: u64 = 1_000_000;
const BATCH: u64 = 50;
const CALLERS: usize = 32;
const CHANNELS: usize = 4;
/// Time between two lines of the table.
const SAMPLE: Duration = Duration::from_secs(10);
/// Time between two writes of the caller that reads them back.
const PROBE: Duration = Duration::from_millis(100);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seconds = words
        .iter()
        .find_map(|word| word.strip_suffix('s')?.parse().ok());
    let mut numbers = words.iter().filter_map(|word| word.parse().ok());
    let end = match seconds {
        Some(seconds) => End::After(Duration::from_secs(seconds)),
        None => End::At(numbers.next().unwrap_or(200_000)),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(end, numbers.next()));
}

/// When the load ends.
#[derive(Clone, Copy)]
enum End {
    At(u64),
    After(Duration),
}

async fn run(end: End, pace: Option<u64>) {
    let dir = server::folder();
    let (server, admin) = Server::footfall(dir.path());
    let began = Instant::now();
    let loading = tokio::spawn(load(server.address, end, pace));
    let longest = Arc::new(Longest::default());
    let probing = tokio::spawn(probe(server.address, longest.clone()));
    println!(
        "{:>8}  {:>10}  {:>10}  {:>8}  {:>8}  {:>8}  {:>8}",
        "seconds", "behind", "age", "write", "read", "MiB", "disk"
    );
    let mut samples = Vec::new();
    while !loading.is_finished() {
        tokio::time::sleep(SAMPLE).await;
        let sample = json!({
            "seconds": began.elapsed().as_secs(),
            "behind": metric(admin, "footfall_view_lag_records"),
            "age": metric(admin, r#"footfall_view_lag_seconds{project="bench"}"#),
            "write": longest.write.swap(0, Ordering::Relaxed) as f64 / 1e6,
            "read": longest.read.swap(0, Ordering::Relaxed) as f64 / 1e6,
            "memory_mib": memory_mib(&server, "VmRSS"),
            "disk_mib": disk_mib(&dir, "log") + disk_mib(&dir, "view"),
        });
        let number = |name: &str| sample[name].as_f64().unwrap();
        println!(
            "{:>8}  {:>10}  {:>8.2} s  {:>6.2} s  {:>6.2} s  {:>8}  {:>8}",
            number("seconds"),
            number("behind"),
            number("age"),
            number("write"),
            number("read"),
            number("memory_mib"),
            number("disk_mib")
        );
        samples.push(sample);
    }
    let (events, took) = loading.await.unwrap();
    probing.abort();
    let rate = events as f64 / took.as_secs_f64();
    let lag = metric(admin, "footfall_view_lag_records");
    let began = Instant::now();
    while metric(admin, "footfall_view_lag_records") > 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    report::write(
        "scale",
        json!({"events": events, "a_second": rate, "samples": samples}),
    );
    println!("commands                        {events}");
    println!("acknowledged a second           {rate:.0}");
    println!(
        "lag of the view, load's end     {lag} records, gone after {:.2?}",
        began.elapsed()
    );
    println!(
        "memory, peak and at the end     {} and {} MiB",
        memory_mib(&server, "VmHWM"),
        memory_mib(&server, "VmRSS")
    );
    println!(
        "disk, log and view              {} and {} MiB",
        disk_mib(&dir, "log"),
        disk_mib(&dir, "view")
    );

    // A server is killed when its value goes.
    drop(server);
    let began = Instant::now();
    let (server, _) = Server::footfall(dir.path());
    while !server::get(server.address, "/readyz").starts_with("HTTP/1.1 200") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("ready after SIGKILL             {:.2?}", began.elapsed());
    drop(server);
    let began = Instant::now();
    let rebuilt = server::command(dir.path())
        .args(["view", "rebuild"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&rebuilt.stdout);
    assert!(rebuilt.status.success(), "{said}");
    println!(
        "view rebuilt                    {:.2?}: {}",
        began.elapsed(),
        said.trim()
    );
}

/// A number of the metrics.
fn metric(admin: SocketAddr, name: &str) -> f64 {
    let metrics = server::get(admin, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

/// A line of the process's status, in MiB.
fn memory_mib(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

/// The longest write and the longest read of late, in microseconds.
#[derive(Default)]
struct Longest {
    write: AtomicU64,
    read: AtomicU64,
}

/// Writes events, each of another customer, and reads each of them back.
async fn probe(address: SocketAddr, longest: Arc<Longest>) {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
    let mut writer = TrackingServiceClient::new(channel.clone());
    let mut reader = CustomerServiceClient::new(channel);
    for number in 0.. {
        let customer_ids = BTreeMap::from([("registered".to_owned(), format!("probe-{number}"))]);
        let began = Instant::now();
        let event = pb::AddEventRequest {
            customer_ids: customer_ids.clone(),
            ..event(number)
        };
        writer
            .add_event(authorized(event, AUTHORIZATION))
            .await
            .unwrap();
        let written = Instant::now();
        let its_events = pb::ListEventsRequest {
            project_token: TOKEN.into(),
            customer_ids,
            event_types: vec!["page_visit".to_owned()],
            ..Default::default()
        };
        let page = reader.list_events(authorized(its_events, READER)).await;
        assert_eq!(page.unwrap().into_inner().events.len(), 1);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
        longest
            .write
            .fetch_max(micros(written - began), Ordering::Relaxed);
        longest
            .read
            .fetch_max(micros(written.elapsed()), Ordering::Relaxed);
        tokio::time::sleep(PROBE).await;
    }
}

fn authorized<M>(message: M, authorization: &str) -> Request<M> {
    let mut request = Request::new(message);
    let authorization = authorization.parse().unwrap();
    request
        .metadata_mut()
        .insert("authorization", authorization);
    request
}

/// Loads events until the end, `pace` a second if it says so; tells how many there were and how long that took.
async fn load(address: SocketAddr, end: End, pace: Option<u64>) -> (u64, Duration) {
    let began = Instant::now();
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        channels.push(endpoint.tcp_nodelay(true).connect().await.unwrap());
    }
    let next = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let mut client = TrackingServiceClient::new(channels[caller % CHANNELS].clone());
            let (next, done) = (next.clone(), done.clone());
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    let is_over = match end {
                        End::At(events) => first >= events,
                        End::After(time) => began.elapsed() >= time,
                    };
                    if is_over {
                        return;
                    }
                    if let Some(pace) = pace {
                        let due = began + Duration::from_secs_f64(first as f64 / pace as f64);
                        tokio::time::sleep_until(due.into()).await;
                    }
                    let answer = client
                        .execute_batch(batch(first, pace.is_some()))
                        .await
                        .unwrap();
                    let results = answer.into_inner().results;
                    assert!(results.iter().all(|result| result.error.is_none()));
                    done.fetch_add(BATCH, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    (done.load(Ordering::Relaxed), began.elapsed())
}

fn batch(first: u64, mixed: bool) -> Request<pb::ExecuteBatchRequest> {
    let commands = (first..first + BATCH).map(|number| pb::Command {
        command_id: String::new(),
        command: Some(match mixed && number % 4 == 0 {
            true => Command::UpdateCustomer(update(number)),
            false => Command::AddEvent(event(number)),
        }),
    });
    let request = pb::ExecuteBatchRequest {
        project_token: TOKEN.into(),
        commands: commands.collect(),
    };
    authorized(request, AUTHORIZATION)
}

/// The IDs of a command's customer. Customers come in an order that no cache likes.
fn customer_ids(number: u64) -> BTreeMap<String, String> {
    let customer = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let customer = customer % CUSTOMERS;
    [
        ("registered".into(), format!("user-{customer}")),
        ("cookie".into(), format!("cookie-{customer}")),
    ]
    .into()
}

fn update(number: u64) -> pb::UpdateCustomerRequest {
    let json = format!(
        r#"{{"last_page":"/products/{}","visits":{number},"plan":"A plan with a name"}}"#,
        number % 500
    );
    pb::UpdateCustomerRequest {
        project_token: TOKEN.into(),
        customer_ids: customer_ids(number),
        properties: Some(Properties::from_json(&json).unwrap().into()),
        update_timestamp: None,
    }
}

/// An event of about 300 bytes.
fn event(number: u64) -> pb::AddEventRequest {
    let json = format!(
        r#"{{"path":"/products/{}","referrer":"https://example.com/some/where/else","title":"A product page with a title","price":49.9,"currency":"EUR","number":{number},"new":true,"agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#,
        number % 500
    );
    pb::AddEventRequest {
        project_token: TOKEN.into(),
        customer_ids: customer_ids(number),
        event_type: "page_visit".into(),
        properties: Some(Properties::from_json(&json).unwrap().into()),
        timestamp: None,
    }
}

/// What lies in a folder of the data folder, in MiB.
fn disk_mib(dir: &TempDir, name: &str) -> u64 {
    fn bytes(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| match entry.file_type().unwrap().is_dir() {
                true => bytes(&entry.path()),
                false => entry.metadata().unwrap().len(),
            })
            .sum()
    }
    bytes(&dir.path().join("footfall-data").join(name)) / 1024 / 1024
}
