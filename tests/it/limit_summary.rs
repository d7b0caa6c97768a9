//! `GET /limits`: which addresses are refused most, as operators read it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Request, Server, Setup};

async fn limits(server: &Server) -> Value {
    let answer = Request::new(server.admin, "GET", "/limits").send().await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

async fn calls(server: &Server, from: &str, times: usize) {
    for _ in 0..times {
        server.get("/nowhere").from(from).send().await;
    }
}

fn limited(more: &str) -> Setup {
    Setup::default().with(&format!(
        "[rate_limit]\nrequests = 1\nperiod = \"1h\"\n{more}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_addresses_refused_most_are_told_with_counts_and_times() {
    let server = limited("").start().await;
    calls(&server, "203.0.113.7", 3).await;
    calls(&server, "2001:db8:1:2::3", 2).await;
    server.clock.advance(Duration::from_secs(61));
    calls(&server, "203.0.113.7", 1).await;
    calls(&server, "203.0.113.8", 1).await;
    // Probes are nobody's traffic.
    server.get("/healthz").from("203.0.113.9").send().await;
    assert_eq!(
        limits(&server).await,
        json!({
            "since": "2023-11-14T22:13:20Z",
            "until": "2023-11-14T22:14:21Z",
            "refused": 4,
            "unlisted_max": 0,
            "addresses": [
                {
                    "address": "203.0.113.7",
                    "refused": 3,
                    "refused_min": 3,
                    "first": "2023-11-14T22:13:20Z",
                    "last": "2023-11-14T22:14:21Z",
                },
                {
                    "address": "2001:db8:1:2::/64",
                    "refused": 1,
                    "refused_min": 1,
                    "first": "2023-11-14T22:13:20Z",
                    "last": "2023-11-14T22:13:20Z",
                },
            ],
            "shadow": false,
            "quotas": [
                {"name": "addresses", "requests": 1, "window_seconds": 3600.0, "burst": 1},
            ],
            "projects": [],
        })
    );
    server.clock.advance(Duration::from_secs(600));
    let later = limits(&server).await;
    assert_eq!(
        (&later["refused"], &later["addresses"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(later["since"], "2023-11-14T22:18:20Z");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_it_tells_who_would_be_refused_and_metrics_never_name_an_address() {
    let server = limited("shadow = true").start().await;
    calls(&server, "203.0.113.7", 4).await;
    let limits = limits(&server).await;
    assert_eq!(limits["addresses"][0]["address"], "203.0.113.7");
    assert_eq!(limits["addresses"][0]["refused"], 3);
    let metrics = Request::new(server.admin, "GET", "/metrics").send().await;
    assert!(!metrics.body.contains("203.0.113"), "{}", metrics.body);
    server.stop().await;
}
