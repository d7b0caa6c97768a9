//! The most memory that callers can make the service take: the binary, from outside, while they hold all that they may.

use std::io::ErrorKind;

use bytes::Bytes;
use footfall::grpc::pb;
use tokio::net::TcpStream;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::first_run::Project;
use crate::harness::half::{Half, framed, message};
use crate::harness::process::Process;
use crate::harness::{Request, eventually};
use crate::rest_compression::compressed;

const ADD_EVENT: &str = "/footfall.tracking.v2.TrackingService/AddEvent";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const TRACK_STREAM: &str = "/footfall.tracking.v2.TrackingService/TrackStream";
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
const MIB: usize = 1024 * 1024;
/// What docs/limits.md promises, in MiB.
const PROMISED_MIB: u64 = 1_024;

/// How much is tried.
struct Scale {
    addresses: u8,
    /// Unfinished messages of nearly 16 MiB, of each address.
    messages: usize,
    /// Bodies of some KB that burst to 16 MiB, of each address.
    bombs: usize,
    /// Streams that nobody needs a key for, of each of two kinds, of each address.
    streams: usize,
    /// Connections whose streams of commands take nothing of what they are answered, of each address.
    stalls: usize,
}

/// Streams of a connection that fill the window that all of them have together.
const STALLED_OF_CONNECTION: usize = 4;
/// What is answered to each command, and as much is sent.
const COMMAND_ID_BYTES: usize = 1_000;
/// As many as are taken before an answer is waited for, and as many more as HTTP/2 takes before they are read.
const COMMANDS: usize = 600;
/// More than are answered before an answer is waited for.
const QUESTIONS: usize = 8;
/// The default of `stalled_streams_max`.
const STALLED_MAX: u64 = 256;

async fn counted(service: &Process, line: &str) -> u64 {
    let metrics = Request::new(service.admin(), "GET", "/metrics")
        .send()
        .await;
    let mut lines = metrics.body.lines();
    let value = lines.find_map(|known| known.strip_prefix(line)?.strip_prefix(' '));
    value.unwrap_or("0").parse().unwrap()
}

/// Holds what may be held, with keys and without; gives the peak.
async fn peak(scale: Scale) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    // What is held must not run out of its time before all of it is there, however slow the machine.
    let patient = [
        ("FOOTFALL_SERVER_BODY_TIMEOUT", "1h"),
        ("FOOTFALL_RATE_LIMIT_REQUESTS", "1000000"),
    ];
    let service = Process::start_with(dir.path(), &patient);
    let project = Project::read(dir.path());
    // A key alone may have the half of what all may.
    let keys = [format!("Token {}", project.public), project.private()];
    let token = &project.token;
    burst(&service, token, &keys, &scale).await;

    let large = Bytes::from(message(16 * MIB - 64, 16 * MIB - 128));
    let nothing = Bytes::from(message(0, 0));
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = Bytes::from(framed(&question).repeat(QUESTIONS));
    let commands = Bytes::from(
        framed(&pb::TrackStreamRequest {
            project_token: token.clone(),
            command: Some(pb::Command {
                command_id: "x".repeat(COMMAND_ID_BYTES),
                command: None,
            }),
        })
        .repeat(COMMANDS),
    );
    let mut halves = Vec::new();
    let mut answers = Vec::new();
    for host in 1..=scale.addresses {
        let from = format!("203.0.113.{host}");
        let anonymous = [("x-forwarded-for", from.as_str())];
        let key = &keys[usize::from(host) % keys.len()];
        let keyed = [anonymous[0], ("authorization", key.as_str())];
        let mut half = Half::narrow(service.address, 8).await;
        for _ in 0..scale.streams {
            for (rpc, sent) in [(REFLECTION, &questions), (HEALTH_WATCH, &nothing)] {
                let answer = half.begins(rpc, &anonymous, sent.clone()).await;
                answers.push(answer);
            }
        }
        halves.push(half);
        for _ in 0..scale.stalls {
            let mut half = Half::narrow(service.address, 8).await;
            for _ in 0..STALLED_OF_CONNECTION {
                let answer = half.begins(TRACK_STREAM, &keyed, commands.clone()).await;
                answers.push(answer);
            }
            halves.push(half);
        }
        for _ in 0..scale.messages {
            let mut half = Half::open(service.address).await;
            // Without a key they are refused at once; with one they are held as far as there is memory.
            half.calls(ADD_EVENT, &anonymous, large.clone()).await;
            half.calls(ADD_EVENT, &keyed, large.clone()).await;
            halves.push(half);
        }
    }
    eventually("bodies take the memory that they may", async || {
        let held = counted(&service, "footfall_body_memory_bytes").await;
        (held >= 240 * MIB as u64).then_some(())
    })
    .await;
    let ended = "footfall_guard_rejections_total{guard=\"stalled_streams_max\"}";
    let of_address = scale.streams + scale.stalls * STALLED_OF_CONNECTION;
    let stalled = usize::from(scale.addresses) * of_address;
    eventually("no more streams stall than may", async || {
        let ended = counted(&service, ended).await;
        (ended + STALLED_MAX >= stalled as u64).then_some(())
    })
    .await;
    let path = format!("/track/v2/projects/{token}/customers");
    let honest = Request::new(service.address, "POST", &path)
        .header("Authorization", &keys[0])
        .from("198.51.100.1");
    let answer = honest
        .body(r#"{"customer_ids":{"registered":"a"}}"#)
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let peak = service.peak_mib();
    drop((halves, answers));
    for gauge in ["footfall_body_memory_bytes", "footfall_streaming_calls"] {
        eventually(&format!("{gauge} falls to 0"), async || {
            (counted(&service, gauge).await == 0).then_some(())
        })
        .await;
    }
    assert!(service.terminate().success());
    println!("{peak} MiB");
    peak
}

/// Sends small bodies that burst to 16 MiB, all at once.
async fn burst(service: &Process, token: &str, keys: &[String], scale: &Scale) {
    let mut body = br#"{"commands":[]}"#.to_vec();
    body.resize(16 * MIB - 1024, b' ');
    let bomb = compressed("gzip", &body);
    let mut bombs = Vec::new();
    for host in 1..=scale.addresses {
        let key = &keys[usize::from(host) % keys.len()];
        for _ in 0..scale.bombs {
            let path = format!("/track/v2/projects/{token}/batch");
            let request = Request::new(service.address, "POST", &path)
                .header("Authorization", key)
                .header("Content-Encoding", "gzip")
                .from(&format!("203.0.113.{host}"));
            let (request, address) = (request.body(bomb.clone()), service.address);
            bombs.push(tokio::spawn(async move {
                let stream = TcpStream::connect(address).await?;
                request.send_over(stream).await
            }));
        }
    }
    let mut read = 0;
    for bomb in bombs {
        match bomb.await.unwrap() {
            // "No commands" where there was memory for it, and never a mistake of the caller's where there was none.
            Ok(answer) => {
                assert!(matches!(answer.status, 400 | 503), "{}", answer.status);
                read += usize::from(answer.status == 400);
            }
            // No more callers than some are waited for who still send when they are refused.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert!(read > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hold_as_much_as_they_can_do_not_take_more_memory_than_is_promised() {
    let peak = peak(Scale {
        addresses: 6,
        messages: 5,
        bombs: 3,
        streams: 20,
        stalls: 12,
    })
    .await;
    assert!(peak <= PROMISED_MIB, "{peak} MiB");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn many_callers_who_hold_as_much_as_they_can_do_not_take_more_memory_than_is_promised() {
    let peak = peak(Scale {
        addresses: 64,
        messages: 2,
        bombs: 1,
        streams: 120,
        stalls: 2,
    })
    .await;
    assert!(peak <= PROMISED_MIB, "{peak} MiB");
}
