//! The most memory that callers can make the service take: the binary, from outside, while they hold all that they may.

use std::io::ErrorKind;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::harness::Request;
use crate::harness::first_run::Project;
use crate::harness::half::{Half, message};
use crate::harness::process::Process;
use crate::rest_compression::compressed;

const ADD_EVENT: &str = "/footfall.tracking.v2.TrackingService/AddEvent";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
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
    /// Streams that nobody needs a key for, of each address.
    streams: usize,
}

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
    let patient = [("FOOTFALL_SERVER_BODY_TIMEOUT", "1h")];
    let service = Process::start_with(dir.path(), &patient);
    let project = Project::read(dir.path());
    // A key alone may have the half of what all may.
    let keys = [format!("Token {}", project.public), project.private()];
    let token = &project.token;
    burst(&service, token, &keys, &scale).await;

    let large = Bytes::from(message(16 * MIB - 64, 16 * MIB - 128));
    let unread = Bytes::from(message(1_000, 1_000).repeat(200));
    let mut halves = Vec::new();
    for host in 1..=scale.addresses {
        let from = format!("203.0.113.{host}");
        let anonymous = [("x-forwarded-for", from.as_str())];
        let key = &keys[usize::from(host) % keys.len()];
        let keyed = [anonymous[0], ("authorization", key.as_str())];
        let mut half = Half::open(service.address).await;
        for _ in 0..scale.streams {
            half.calls(REFLECTION, &anonymous, unread.clone()).await;
            half.calls(HEALTH_WATCH, &anonymous, message(2, 2)).await;
        }
        halves.push(half);
        for _ in 0..scale.messages {
            let mut half = Half::open(service.address).await;
            // Without a key they are refused at once; with one they are held as far as there is memory.
            half.calls(ADD_EVENT, &anonymous, large.clone()).await;
            half.calls(ADD_EVENT, &keyed, large.clone()).await;
            halves.push(half);
        }
    }
    while counted(&service, "footfall_body_memory_bytes").await < 240 * MIB as u64 {
        tokio::task::yield_now().await;
    }
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
    drop(halves);
    for gauge in ["footfall_body_memory_bytes", "footfall_streaming_calls"] {
        while counted(&service, gauge).await > 0 {
            tokio::task::yield_now().await;
        }
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
    })
    .await;
    assert!(peak <= PROMISED_MIB, "{peak} MiB");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn many_callers_who_hold_as_much_as_they_can_do_not_take_more_memory_than_is_promised() {
    let peak = peak(Scale {
        addresses: 40,
        messages: 12,
        bombs: 100,
        streams: 120,
    })
    .await;
    assert!(peak <= PROMISED_MIB, "{peak} MiB");
}
