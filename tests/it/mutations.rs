//! What callers send, spoilt at random: however it comes out, nothing panics, nothing hangs, and others are served as
//! before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use footfall::grpc::pb;
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::calls::event;
use crate::harness::dice::{Dice, number_from_environment};
use crate::harness::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS};
use crate::harness::keep_alive::post;
use crate::harness::process::{Process, log};
use crate::harness::{OTHER_TOKEN, PRIVATE, Request, TOKEN};

/// How long the long form sends, unless `MUTATION_SECONDS` says otherwise.
const SECONDS: u64 = 600;
/// Connections of the short form.
const CONNECTIONS: u64 = 3_000;
/// Connections at once.
const SENDERS: u64 = 16;
/// Longest that a connection may last: longer than each timeout of the service.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// What the service may take in memory: its tables before they are written, its caches, and what a debug build adds.
const MEMORY_MIB_MAX: u64 = 1_024;

const SETTINGS_FILE: &str = r#"
[server]
header_timeout = "1s"
body_timeout = "1s"
idle_timeout = "2s"
[rate_limit]
requests = 60000000
auth_failures = 0
[[project]]
token = "11111111-2222-3333-4444-555555555555"
[[project.key]]
id = "key-id"
secrets = ["key-secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase", "refusals:get"]
[[project]]
token = "99999999-2222-3333-4444-555555555555"
[[project.key]]
id = "key-id"
secrets = ["key-secret"]
permissions = ["customers:set", "customers:get"]
"#;

/// Numbers at which something may turn over.
const NUMBERS: [&str; 6] = [
    "0",
    "-1",
    "2147483648",
    "18446744073709551616",
    "1e999",
    "0.0000001",
];

/// A request over HTTP/1.1 for each kind of body.
fn rest() -> Vec<Vec<u8>> {
    let customer = r#"{"customer_ids":{"registered":"a","cookie":["c","d"]},"properties":{"n":1.5,"l":[1,{"x":null}],"t":"é"},"update_timestamp":1700000000.5}"#;
    let event = r#"{"customer_ids":{"cookie":"c"},"event_type":"visit","timestamp":1700000000,"properties":{"path":"/a","price":1e3}}"#;
    let batch = format!(
        r#"{{"commands":[{{"name":"customers","data":{customer}}},{{"name":"customers/events","data":{event},"command_id":"7"}},{{"name":"system/time"}}]}}"#
    );
    let click = r#"{"url":"https://example.com/?utm_source=s&xnpe_cmp=abc.def","age":"10","properties":{"platform":"iOS"}}"#;
    let wanted =
        r#"{"customer_ids":{"registered":"a"},"attributes":[{"type":"property","property":"n"}]}"#;
    let track = |route: &str, body: &str| {
        post(
            &format!("/track/v2/projects/{TOKEN}/{route}"),
            PRIVATE,
            body,
        )
    };
    let data = |route: &str, body: &str| {
        post(
            &format!("/data/v2/projects/{TOKEN}/customers/{route}"),
            PRIVATE,
            body,
        )
    };
    let chunked = track("customers", "4\r\n{\"a\"\r\n4\r\n: 1}\r\n0\r\n\r\n").replace(
        "content-length: ",
        "transfer-encoding: chunked\r\nx-length: ",
    );
    let compressed = track("customers", customer)
        .replace("content-length", "content-encoding: gzip\r\ncontent-length");
    let time = format!(
        "GET /track/v2/projects/{TOKEN}/system/time HTTP/1.1\r\nhost: footfall\r\nauthorization: {PRIVATE}\r\nx-forwarded-for: 203.0.113.7, 10.0.0.1\r\n\r\n"
    );
    [
        track("customers", customer),
        track("customers/events", event),
        track("batch", &batch),
        track("campaigns/clicks", click),
        data("attributes", wanted),
        data(
            "events",
            r#"{"customer_ids":{"registered":"a"},"event_types":["visit"],"limit":5}"#,
        ),
        data("anonymize", r#"{"customer_ids":{"registered":"z"}}"#),
        // Two requests over one connection.
        track("customers", customer) + &track("customers/events", event),
        chunked,
        compressed,
        time,
    ]
    .map(String::into_bytes)
    .into()
}

/// Calls over HTTP/2, each with the connection's preface.
fn grpc() -> Vec<Vec<u8>> {
    let add = event("visit");
    let command = pb::command::Command::AddEvent(add.clone());
    let command = pb::Command {
        command_id: "7".to_owned(),
        command: Some(command),
    };
    let batch = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands: vec![command.clone(), command],
    };
    let time = pb::GetSystemTimeRequest {
        project_token: TOKEN.to_owned(),
    };
    let calls = [
        ("TrackingService/AddEvent", add.encode_to_vec()),
        ("TrackingService/ExecuteBatch", batch.encode_to_vec()),
        ("TrackingService/GetSystemTime", time.encode_to_vec()),
        ("TrackingService/TrackStream", time.encode_to_vec()),
        ("CustomerService/ExportCustomers", time.encode_to_vec()),
        ("CustomerService/WatchEvents", time.encode_to_vec()),
    ];
    let call = |(path, message): (&str, Vec<u8>)| {
        let headers = frames::request(
            "POST",
            &format!("/footfall.tracking.v2.{path}"),
            &[
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("authorization", PRIVATE),
            ],
        );
        let length = u32::try_from(message.len()).unwrap();
        let message = [&[0], &length.to_be_bytes()[..], &message].concat();
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frames::frame(SETTINGS, 0, 0, &[]),
            frames::frame(HEADERS, END_HEADERS, 1, &headers),
            frames::frame(DATA, END_STREAM, 1, &message),
        ]
        .concat()
    };
    calls.map(call).into()
}

/// Draws a place in `bytes`, which may be behind the last one.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    dice.below(bytes.len() as u64 + 1) as usize
}

/// A part of `bytes`, which is short more often than long.
fn part(dice: &mut Dice, bytes: &[u8]) -> std::ops::Range<usize> {
    let start = place(dice, bytes);
    let length = 1 << dice.below(9);
    start..(start + length).min(bytes.len())
}

/// One of `known`, spoilt in one to eight ways.
fn mutated(dice: &mut Dice, known: &[Vec<u8>]) -> Vec<u8> {
    let any = |dice: &mut Dice| known[dice.below(known.len() as u64) as usize].clone();
    let mut bytes = any(dice);
    for _ in 0..=dice.below(8) {
        match dice.below(8) {
            0 | 1 => {
                if let Some(byte) = part(dice, &bytes).next().and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            2 => {
                if let Some(byte) = part(dice, &bytes).next().and_then(|at| bytes.get_mut(at)) {
                    *byte = [0, 0x7f, 0x80, 0xff, b'"', b'{', b'\r', b'\n'][dice.below(8) as usize];
                }
            }
            3 => drop(bytes.drain(part(dice, &bytes))),
            4 => {
                let copy = bytes[part(dice, &bytes)].repeat(1 << dice.below(6));
                let at = place(dice, &bytes);
                bytes.splice(at..at, copy);
            }
            5 => {
                let other = any(dice);
                let other = other[part(dice, &other)].to_vec();
                let replaced = part(dice, &bytes);
                bytes.splice(replaced, other);
            }
            6 => {
                let digits = bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_digit());
                let digits: Vec<_> = digits.map(|(at, _)| at).collect();
                if !digits.is_empty() {
                    let at = digits[dice.below(digits.len() as u64) as usize];
                    let number = NUMBERS[dice.below(NUMBERS.len() as u64) as usize];
                    bytes.splice(at..=at, number.bytes());
                }
            }
            _ => bytes.truncate(place(dice, &bytes)),
        }
    }
    bytes
}

/// Sends bytes over a connection of their own, and takes what comes until it ends. The caller says when it has sent
/// all.
async fn exchange(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let send = async {
        // The service may end the connection before it has read all.
        let _ = to.write_all(bytes).await;
        let _ = to.shutdown().await;
    };
    let mut answer = Vec::new();
    // So may it end with a reset, for what it has not read.
    let take = async { drop(from.read_to_end(&mut answer).await) };
    tokio::join!(send, take);
    assert!(
        !answer.starts_with(b"HTTP/1.1 500"),
        "{}\n{}",
        String::from_utf8_lossy(&answer),
        bytes.escape_ascii()
    );
}

/// A customer that no mutation finds: it is another project's.
async fn kept(address: SocketAddr, route: &str, more: serde_json::Value) -> serde_json::Value {
    let mut body = json!({"customer_ids": {"registered": "kept"}});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let path = route.replace("{}", OTHER_TOKEN);
    let request = Request::new(address, "POST", &path).header("authorization", PRIVATE);
    let answer = request.body(body.to_string()).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Sends mutations as long as `goes_on` says of their count.
async fn fuzz(goes_on: impl Fn(u64) -> bool + Send + Sync + 'static) {
    const WRITE: &str = "/track/v2/projects/{}/customers";
    const READ: &str = "/data/v2/projects/{}/customers/attributes";
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("footfall.toml"), SETTINGS_FILE).unwrap();
    let process = Process::start_with_projects(dir.path(), "footfall.toml");
    let address = process.address;
    kept(address, WRITE, json!({"properties": {"n": 1}})).await;
    let mut dice = Dice::new();
    let known = Arc::new([rest(), grpc()].concat());
    let (goes_on, over) = (Arc::new(goes_on), Arc::new(AtomicBool::new(false)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let mut dice = Dice::of(dice.draw());
        let (known, goes_on, over) = (known.clone(), goes_on.clone(), over.clone());
        senders.spawn(async move {
            let mut count = 0;
            while goes_on(count) && !over.load(Ordering::Relaxed) {
                let bytes = mutated(&mut dice, &known);
                let exchange = tokio::time::timeout(HANGS_AFTER, exchange(address, &bytes));
                let ended = exchange.await;
                assert!(ended.is_ok(), "hangs: {}", bytes.escape_ascii());
                count += 1;
            }
            count
        });
    }
    let mut count = 0;
    while let Some(sent) = senders.join_next().await {
        // Anyone who fails ends the others.
        over.fetch_or(sent.is_err(), Ordering::Relaxed);
        count += sent.unwrap_or_else(|error| panic!("{error}: {}", log(dir.path())));
    }
    let memory = process.memory_mib();
    println!("{count} connections, {memory} MiB");
    assert!(memory < MEMORY_MIB_MAX, "{memory} MiB");

    let metrics = Request::new(process.admin(), "GET", "/metrics")
        .send()
        .await;
    for protocol in ["rest", "grpc"] {
        let answered = format!("footfall_requests_total{{protocol=\"{protocol}\"");
        assert!(
            metrics.body.contains(&answered),
            "{protocol} was not reached"
        );
    }
    let panics = metrics
        .body
        .lines()
        .find(|line| line.starts_with("footfall_panics_total"));
    assert_eq!(
        panics,
        Some("footfall_panics_total 0"),
        "{}",
        log(dir.path())
    );
    let wanted = json!({"attributes": [{"type": "property", "property": "n"}]});
    let read = kept(address, READ, wanted.clone()).await;
    assert_eq!(read["results"][0]["value"], 1, "{read}");
    kept(address, WRITE, json!({"properties": {"n": 2}})).await;
    let read = kept(address, READ, wanted).await;
    assert_eq!(read["results"][0]["value"], 2, "{read}");
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_spoilt_requests_break_nothing() {
    fuzz(|count| count < CONNECTIONS / SENDERS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes: MUTATION_SECONDS says how long it sends"]
async fn minutes_of_spoilt_requests_break_nothing() {
    let seconds = number_from_environment("MUTATION_SECONDS").unwrap_or(SECONDS);
    let began = Instant::now();
    fuzz(move |_| began.elapsed() < Duration::from_secs(seconds)).await;
}
