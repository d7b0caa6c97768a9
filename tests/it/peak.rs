//! The most memory that callers can make the service take: the binary, from outside, while they hold all that they may.

use bytes::Bytes;

use crate::harness::Request;
use crate::harness::first_run::Project;
use crate::harness::half::{Half, message};
use crate::harness::process::Process;
use crate::rest_compression::compressed;

const SERVICE: &str = "/footfall.tracking.v2.TrackingService/";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
const MIB: usize = 1024 * 1024;
/// What SECURITY.md promises, in MiB.
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

/// Holds what may be held, with a public key and without; gives the peak.
async fn peak(scale: Scale) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let service = Process::start(dir.path());
    let project = Project::read(dir.path());
    // A key alone may have the half of what all may.
    let public = format!("Token {}", project.public);
    let keys = [public.clone(), project.private()];
    let token = project.token;
    let large = Bytes::from(message(16 * MIB - 64, 16 * MIB - 128));
    let unread = Bytes::from(message(1_000, 1_000).repeat(200));
    let bomb = {
        let mut body = br#"{"commands":[]}"#.to_vec();
        body.resize(16 * MIB - 1024, b' ');
        compressed("gzip", &body)
    };
    let mut halves = Vec::new();
    let mut bombs = Vec::new();
    for host in 1..=scale.addresses {
        let from = format!("203.0.113.{host}");
        let anonymous = [("x-forwarded-for", from.as_str())];
        let key = &keys[usize::from(host) % keys.len()];
        let keyed = [anonymous[0], ("authorization", key.as_str())];
        for number in 0..scale.messages {
            let mut half = Half::open(service.address).await;
            // Without a key they are refused at once; with one they are held as far as there is memory.
            half.calls(&format!("{SERVICE}AddEvent"), &anonymous, large.clone())
                .await;
            half.calls(&format!("{SERVICE}AddEvent"), &keyed, large.clone())
                .await;
            if number == 0 {
                for _ in 0..scale.streams {
                    half.calls(REFLECTION, &anonymous, unread.clone()).await;
                    half.calls(HEALTH_WATCH, &anonymous, message(2, 2)).await;
                }
            }
            halves.push(half);
        }
        for _ in 0..scale.bombs {
            let path = format!("/track/v2/projects/{token}/batch");
            let request = Request::new(service.address, "POST", &path)
                .header("Authorization", key)
                .header("Content-Encoding", "gzip")
                .from(&from);
            bombs.push(tokio::spawn(request.body(bomb.clone()).send()));
        }
    }
    for bomb in bombs {
        let status = bomb.await.unwrap().status;
        // "No commands" where there was memory for it, and never a mistake of the caller's where there was none.
        assert!(matches!(status, 400 | 503), "{status}");
    }
    while counted(&service, "footfall_body_memory_bytes").await < 200 * MIB as u64 {
        tokio::task::yield_now().await;
    }
    let honest = Request::new(
        service.address,
        "POST",
        &format!("/track/v2/projects/{token}/customers"),
    );
    let honest = honest.header("Authorization", &public).from("198.51.100.1");
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
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hold_as_much_as_they_can_do_not_take_more_memory_than_is_promised() {
    let peak = peak(Scale {
        addresses: 6,
        messages: 5,
        bombs: 6,
        streams: 20,
    })
    .await;
    println!("{peak} MiB");
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
    println!("{peak} MiB");
    assert!(peak <= PROMISED_MIB, "{peak} MiB");
}
