//! Events that are sent more than once.

use serde_json::{Value, json};

use crate::harness::Server;

async fn sends(server: &Server, event_type: &str, rest: &str) {
    let body =
        format!(r#"{{"customer_ids":{{"registered":"a"}},"event_type":"{event_type}",{rest}}}"#);
    server.accepts("customers/events", &body).await;
}

async fn count(server: &Server) -> usize {
    server.timeline(json!({"registered": "a"})).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_sent_again_is_accepted_and_dropped() {
    let server = Server::start().await;
    for rest in [
        r#""timestamp":1700000000.5,"properties":{"a":1,"b":{"c":[1,null],"d":"x"}}"#,
        r#""timestamp":1.7000000005E9,"properties":{"b":{"d":"x","c":[1,null]},"a":1}"#,
        r#""timestamp":"2023-11-14T22:13:20.5Z","properties":{ "a" : 1, "b" : {"c":[ 1 , null ],"\u0064":"\u0078"} }"#,
        r#""timestamp":1700000000.5000004,"properties":{"a":1,"b":{"c":[1,null],"d":"x"}},"sdk":"y""#,
    ] {
        sends(&server, "visit", rest).await;
        sends(&server, " visit ", rest).await;
    }
    assert_eq!(count(&server).await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_differ_in_anything_are_all_kept() {
    let server = Server::start().await;
    let different = [
        ("visit", r#""timestamp":1,"properties":{"a":1}"#),
        ("Visit", r#""timestamp":1,"properties":{"a":1}"#),
        ("visit", r#""timestamp":1.000001,"properties":{"a":1}"#),
        ("visit", r#""timestamp":1,"properties":{"a":1.0}"#),
        ("visit", r#""timestamp":1,"properties":{"a":"1"}"#),
        ("visit", r#""timestamp":1,"properties":{"a":true}"#),
        ("visit", r#""timestamp":1,"properties":{"a":[1]}"#),
        ("visit", r#""timestamp":1,"properties":{"a":null}"#),
        ("visit", r#""timestamp":1,"properties":{}"#),
        ("visit", r#""timestamp":1,"properties":{"a":1,"b":null}"#),
    ];
    for (event_type, rest) in different {
        sends(&server, event_type, rest).await;
    }
    assert_eq!(count(&server).await, different.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_of_two_customers_is_two_events() {
    let server = Server::start().await;
    for customer in ["a", "b"] {
        server.adds(&json!({"customer_ids": {"registered": customer}, "event_type": "visit", "timestamp": 5})).await;
        assert_eq!(
            server.timeline(json!({"registered": customer})).await,
            ["visit"]
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_say_no_time_are_different_events() {
    let server = Server::start().await;
    for _ in 0..3 {
        sends(&server, "visit", r#""properties":{}"#).await;
    }
    assert_eq!(count(&server).await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_never_dropped() {
    let server = Server::start().await;
    for _ in 0..3 {
        sends(
            &server,
            "consent",
            r#""timestamp":5,"properties":{"action":"accept"}"#,
        )
        .await;
    }
    assert_eq!(
        server.timeline(json!({"registered": "a"})).await,
        ["consent"; 3]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_retried_changes_nothing() {
    let server = Server::start().await;
    let commands: Vec<Value> = (0..50)
        .map(|n| json!({"name": "customers/events", "data": {"customer_ids": {"registered": "a"}, "event_type": "visit", "timestamp": n % 25}}))
        .collect();
    let batch = json!({ "commands": commands }).to_string();
    for _ in 0..3 {
        assert_eq!(server.track("batch", &batch).send().await.status, 200);
    }
    assert_eq!(count(&server).await, 25);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_a_merge_is_recognised() {
    let server = Server::start().await;
    let of = |ids: Value| json!({"customer_ids": ids, "event_type": "visit", "timestamp": 5});
    server.adds(&of(json!({"registered": "a"}))).await;
    server
        .adds(&json!({"customer_ids": {"cookie": "c"}, "event_type": "other", "timestamp": 6}))
        .await;
    server
        .updates(&json!({"customer_ids": {"registered": "a", "cookie": "c"}}))
        .await;
    server.adds(&of(json!({"cookie": "c"}))).await;
    server.adds(&of(json!({"registered": "a"}))).await;
    server
        .adds(&json!({"customer_ids": {"registered": "a"}, "event_type": "other", "timestamp": 6}))
        .await;
    assert_eq!(
        server.timeline(json!({"registered": "a"})).await,
        ["visit", "other", "merge"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_a_restart_is_recognised() {
    let server = Server::start().await;
    sends(&server, "visit", r#""timestamp":5"#).await;
    let dir = server.stop().await;
    let server = crate::harness::Setup::default().start_in(dir).await;
    sends(&server, "visit", r#""timestamp":5"#).await;
    assert_eq!(count(&server).await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_sent_again_is_dropped_too() {
    let server = Server::start().await;
    for body in [
        r#"{"customer_ids":{"registered":"a"},"url":"u","timestamp":5,"properties":{"z":1}}"#,
        r#"{"customer_ids":{"registered":"a"},"properties":{"z":1,"url":"ignored"},"timestamp":5.0,"url":"u"}"#,
    ] {
        server.accepts("campaigns/clicks", body).await;
    }
    assert_eq!(count(&server).await, 1);
    server.stop().await;
}
