//! What tests ask the emulator, and what it answers.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Emulator, event};
use crate::harness::{Answer, Request};

/// Two customers' updates and an event, of two projects.
fn seeded() -> Emulator {
    let dir = tempfile::tempdir().unwrap();
    let line = |project: &str, name: &str, data: &Value| {
        json!({"project": project, "name": name, "data": data}).to_string()
    };
    let update = json!({"customer_ids": {"registered": "jane"}, "properties": {"plan": "pro"}});
    let lines = [
        line("a", "customers", &update),
        line("a", "customers/events", &event("seeded", 0)),
        line("b", "customers", &update),
    ];
    let seed = dir.path().join("seed");
    fs::write(&seed, lines.join("\n")).unwrap();
    Emulator::start_with(dir, &["--seed", seed.to_str().unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projects_never_see_each_other() {
    let emulator = seeded();
    emulator.tracks("a", "visit", 1).await;
    emulator.tracks("b", "purchase", 2).await;
    emulator.tracks("b", "purchase", 2).await;
    emulator.tracks("b", "", 3).await;
    assert_eq!(emulator.received("a").await, ["update", "seeded", "visit"]);
    assert_eq!(emulator.received("b").await, ["update", "purchase"]);
    assert_eq!(emulator.received("c").await, [""; 0]);
    let counts = emulator.sees("/counts").await;
    assert_eq!(
        counts["projects"],
        json!({
            "a": {"events": 2, "updates": 1, "customers": 1, "duplicates": 0, "refused": {}},
            "b": {"events": 1, "updates": 1, "customers": 1, "duplicates": 1, "refused": {"event_type_invalid": 1}},
        })
    );
    let fault = json!({"project": "a", "status": 503, "times": 1_000});
    emulator.asks("/faults", &fault).await;
    assert_eq!(emulator.tracks("a", "visit", 4).await.status, 503);
    assert_eq!(emulator.tracks("b", "visit", 4).await.status, 200);
    emulator.asks("/reset?project=a&to=empty", &json!({})).await;
    assert_eq!(emulator.received("a").await, [""; 0]);
    assert_eq!(
        emulator.received("b").await,
        ["update", "purchase", "visit"]
    );
    let read = Request::new(emulator.url, "POST", "/data/v2/projects/a/customers/events");
    let read = read.header("authorization", "Basic YTpi").body(
        json!({"customer_ids": {"registered": "jane"}, "event_types": ["visit"]}).to_string(),
    );
    assert_eq!(read.send().await.status, 404, "nobody is there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_brings_the_seed_back_and_the_same_event_again() {
    let emulator = seeded();
    for _ in 0..3 {
        emulator.tracks("a", "visit", 1).await;
        emulator.tracks("a", "", 1).await;
        let three = ["update", "seeded", "visit"];
        assert_eq!(emulator.received("a").await, three);
        let counts = emulator.sees("/counts?project=a").await;
        assert_eq!(counts["projects"]["a"]["events"], 2);
        assert_eq!(
            counts["projects"]["a"]["refused"],
            json!({"event_type_invalid": 1})
        );
        let fault = json!({"project": "a", "status": 503});
        emulator.asks("/faults", &fault).await;
        let reset = emulator.asks("/reset?project=a", &json!({})).await;
        assert_eq!(reset, json!({"project": "a", "to": "seed"}));
        assert_eq!(emulator.received("a").await, ["update", "seeded"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_is_narrowed_and_paged() {
    let emulator = Emulator::start();
    for n in 1..=5 {
        emulator
            .tracks("a", if n % 2 == 0 { "even" } else { "odd" }, n)
            .await;
    }
    let other =
        json!({"customer_ids": {"registered": "joe", "cookie": "c"}, "properties": {"x": 1}});
    emulator.tracking("a", "customers", &other).send().await;
    let numbers = async |query: &str| {
        let received = emulator.sees(&format!("/received?project=a{query}")).await;
        let items = received["received"].as_array().unwrap().iter();
        let numbers: Vec<_> = items
            .map(|item| item["properties"]["n"].as_u64().unwrap_or(0))
            .collect();
        (numbers, received["next"].as_u64())
    };
    assert_eq!(numbers("&type=odd").await, (vec![1, 3, 5], None));
    assert_eq!(numbers("&kind=update").await, (vec![0], None));
    assert_eq!(numbers("&customer=registered:joe").await, (vec![0], None));
    assert_eq!(numbers("&customer=cookie:jane").await, (vec![], None));
    let (first, next) = numbers("&limit=2").await;
    assert_eq!(first, [1, 2]);
    let (second, next) = numbers(&format!("&limit=2&since={}", next.unwrap())).await;
    assert_eq!(second, [3, 4]);
    let (third, next) = numbers(&format!("&limit=2&since={}", next.unwrap())).await;
    assert_eq!((third, next), (vec![5, 0], None));
    let item = &emulator.sees("/received?project=a&limit=1").await["received"][0];
    assert_eq!(item["time"], 1_700_000_001);
    assert_eq!(item["customer_ids"], json!({"registered": "jane"}));
    for (path, error) in [
        ("/received", "'project' is needed"),
        (
            "/received?project=a&limit=1001",
            "'limit' must be a whole number from 1 to 1000, not '1001'",
        ),
        (
            "/received?project=a&customer=x",
            "'customer' must be an ID as 'type:value', not 'x'",
        ),
        (
            "/received?project=a&kind=x",
            "'kind' must be 'event' or 'update', not 'x'",
        ),
        (
            "/received?project=a&x=1",
            "known: project, kind, type, customer, since, limit, not 'x'",
        ),
    ] {
        let answer = emulator.get(path).send().await;
        assert_eq!(
            (answer.status, answer.json()),
            (400, json!({"error": error})),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_waits_for_what_comes_and_shows_what_came_instead() {
    let emulator = Emulator::start();
    emulator.tracks("a", "visit", 1).await;
    let expected = json!({"project": "a", "type": "visit", "properties": {"n": 2.0}, "within": 60});
    let waiting = emulator.post("/expect", &expected).send();
    let (answer, tracked) = tokio::join!(waiting, emulator.tracks("a", "visit", 2));
    assert_eq!(tracked.status, 200);
    let found = answer.json();
    assert_eq!(
        (answer.status, &found["matching"]),
        (200, &json!(1)),
        "{found}"
    );
    assert_eq!(found["matched"][0]["properties"], json!({"n": 2}));

    let there = json!({"project": "a", "type": "visit", "count": 2, "within": 0});
    assert_eq!(emulator.post("/expect", &there).send().await.status, 200);
    let expected = json!({"project": "a", "type": "visit", "count": 3, "within": 0.05});
    let answer = emulator.post("/expect", &expected).send().await;
    assert_eq!(answer.status, 409);
    let found = answer.json();
    assert_eq!(found["error"], "2 of 3 came within 0.05 s");
    assert_eq!(found["matched"].as_array().unwrap().len(), 2);
    let expected = json!({"project": "a", "type": "purchase", "within": 0.05});
    let answer = emulator.post("/expect", &expected).send().await.json();
    assert_eq!(answer["others"].as_array().unwrap().len(), 2, "{answer}");

    let nothing = json!({"project": "a", "type": "purchase", "count": 0, "within": 0.05});
    assert_eq!(emulator.post("/expect", &nothing).send().await.status, 200);
    let nothing = json!({"project": "a", "type": "visit", "count": 0, "within": 60});
    let answer = emulator.post("/expect", &nothing).send().await;
    assert_eq!(answer.status, 409, "it is known at once");
    // Of a project that nobody has called.
    let expected = json!({"project": "late", "within": 60});
    let waiting = emulator.post("/expect", &expected).send();
    let (answer, _) = tokio::join!(waiting, emulator.tracks("late", "visit", 1));
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_expectations_than_may_wait_are_refused() {
    let emulator = Emulator::start();
    let body = json!({"project": "a", "within": 60}).to_string();
    let head = format!(
        "POST /expect HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut waiting = JoinSet::new();
    for _ in 0..=256 {
        let mut stream = TcpStream::connect(emulator.admin).await.unwrap();
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        waiting.spawn(async move {
            let mut answer = vec![0; 4096];
            let read = stream.read(&mut answer).await.unwrap();
            Answer::parse(&answer[..read])
        });
    }
    // Whichever came last.
    let refused = waiting.join_next().await.unwrap().unwrap();
    let error = json!({"error": "256 expectations wait, which is the most"});
    assert_eq!((refused.status, refused.json()), (503, error));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_projects_than_there_may_be_are_refused() {
    let emulator = Emulator::start();
    for number in 0..1_024 {
        let project = format!("p{number}");
        let clock = json!({"project": project, "advance": 0});
        emulator.asks("/clock", &clock).await;
    }
    let answer = emulator.tracks("one-more", "visit", 1).await;
    assert_eq!(
        (answer.status, &*answer.error()),
        (400, "there are 1024 projects, which is the most")
    );
    assert_eq!(emulator.tracks("p7", "visit", 1).await.status, 200);
    let long = "x".repeat(129);
    assert_eq!(emulator.tracks(&long, "visit", 1).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_one_projects_quota_is_moved() {
    let emulator = Emulator::start_with(tempfile::tempdir().unwrap(), &["--requests", "2"]);
    let status = async |project: &str| emulator.tracks(project, "visit", 1).await.status;
    for project in ["a", "b"] {
        assert_eq!(status(project).await, 200);
        assert_eq!(status(project).await, 200);
        assert_eq!(status(project).await, 429);
    }
    let moved = emulator
        .asks("/clock", &json!({"project": "a", "advance": 30}))
        .await;
    assert_eq!(moved, json!({"project": "a", "advanced": 30.0}));
    assert_eq!(status("a").await, 200);
    assert_eq!(status("a").await, 429);
    assert_eq!(status("b").await, 429, "its time has not moved");
    emulator.asks("/reset?project=b", &json!({})).await;
    assert_eq!(status("b").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_change_and_read_nothing() {
    let emulator = Emulator::start();
    let paths = ["/reset?project=a", "/expect", "/faults", "/clock"];
    for path in paths {
        for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
            let request = Request::new(emulator.admin, "POST", path);
            let request = request.header("content-type", content_type).body("{}");
            assert_eq!(request.send().await.status, 415, "{path}");
        }
        let without = Request::new(emulator.admin, "POST", path).body("{}");
        assert_eq!(without.send().await.status, 415, "{path}");
        assert_eq!(emulator.get(path).send().await.status, 405, "{path}");
        let rebound = emulator.post(path, &json!({})).host("evil.example");
        assert_eq!(rebound.send().await.status, 403, "{path}");
        let preflight = Request::new(emulator.admin, "OPTIONS", path);
        let preflight = preflight
            .header("origin", "http://evil.example")
            .send()
            .await;
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            None,
            "{path}"
        );
        assert_eq!(preflight.status, 405, "{path}");
    }
    for path in ["/received?project=a", "/counts"] {
        let rebound = emulator.get(path).host("evil.example");
        assert_eq!(rebound.send().await.status, 403, "{path}");
    }
    let large = "x".repeat(64 * 1024 + 1);
    let answer = emulator.post("/expect", &json!(large)).send().await;
    assert_eq!(
        (answer.status, answer.json()),
        (
            413,
            json!({"error": "the body is too large, at most 65536 bytes"})
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_a_project_ends_with_its_reset() {
    let emulator = Emulator::start();
    emulator.tracks("a", "visit", 1).await;
    let watch = Request::new(emulator.url, "GET", "/data/v2/projects/a/events/watch");
    let watch = watch.header("authorization", "Basic YTpi").send();
    let reset = async {
        crate::harness::eventually("the watch is there", async || {
            let shown = emulator.get("/metrics").send().await.body;
            let is_open = shown
                .lines()
                .any(|line| line.contains("watch") && line.ends_with(" 1"));
            is_open.then_some(())
        })
        .await;
        emulator.asks("/reset?project=a", &json!({})).await;
    };
    let ended = async { tokio::join!(watch, reset).0.status };
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(30), ended)
            .await
            .unwrap(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_resets_than_there_may_be_are_refused() {
    let emulator = Emulator::start();
    let mut stream = TcpStream::connect(emulator.admin).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let ask = |last: &str| {
        format!(
            "POST /reset?project=a HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{last}\r\n"
        )
    };
    let asked = ask("").repeat(16_384) + &ask("connection: close\r\n");
    let mut answers = String::new();
    let (written, read) = tokio::join!(
        writer.write_all(asked.as_bytes()),
        reader.read_to_string(&mut answers)
    );
    written.unwrap();
    read.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 16_384);
    assert_eq!(answers.matches("HTTP/1.1 503").count(), 1);
    assert!(answers.ends_with("16384 times, which is the most: start again\"}"));
}
