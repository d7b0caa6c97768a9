//! Watching events over REST.

use serde_json::json;

use crate::harness::{PRIVATE, PUBLIC, Request, Server, Setup, TOKEN};

async fn adds(server: &Server, event_type: &str, time: u32) {
    let event =
        json!({"customer_ids": {"registered": "a"}, "event_type": event_type, "timestamp": time});
    server.adds(&event).await;
}

fn path(query: &str) -> String {
    format!("/data/v2/projects/{TOKEN}/events/watch{query}")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_as_an_event_source_reads_them() {
    let server = Server::start().await;
    let mut source = server.listens("", "").await;
    assert_eq!(source.head.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(source.head.header(name), Some(value));
    }
    let first = source.piece().await.unwrap();
    let cursor = first
        .strip_prefix(": nothing else up to here\nid: ")
        .unwrap();
    assert_eq!(cursor.len(), 16);
    server.adds(&json!({"customer_ids": {"registered": "a", "cookie": "c"}, "event_type": "two\nlines", "timestamp": 1.5, "properties": {"text": "a\n\nb\r"}})).await;
    let piece = source.piece().await.unwrap();
    let (data, id) = piece.split_once("\nid: ").unwrap();
    assert_eq!(
        data,
        r#"data: {"type": "two\nlines", "timestamp": 1.5, "properties": {"text":"a\n\nb\r"}, "customer_ids": {"registered": "a", "cookie": ["c"]}}"#
    );
    assert_ne!(id, cursor);
    drop(source);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_goes_on_where_the_header_or_else_the_query_says() {
    let server = Server::start().await;
    for time in 0..3 {
        adds(&server, &format!("e{time}"), time).await;
    }
    let mut source = server.listens("?start=beginning", "").await;
    let mut ids = Vec::new();
    for time in 0..3 {
        let (data, id) = source.event().await;
        assert_eq!(data["timestamp"], time);
        ids.push(id);
    }
    let query = format!("?cursor={}&start=beginning&nothing=known", ids[0]);
    let header = format!("Last-Event-ID: {}\r\n", ids[1]);
    let mut by_query = server.listens(&query, "").await;
    assert_eq!(by_query.event().await.0["type"], "e1");
    let mut by_header = server.listens(&query, &header).await;
    assert_eq!(by_header.event().await.0["type"], "e2");
    let mut empty_header = server.listens(&query, "Last-Event-ID:\r\n").await;
    assert_eq!(empty_header.event().await.0["type"], "e1");
    drop((source, by_query, by_header, empty_header));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_chooses_types_and_a_customer() {
    let server = Server::start().await;
    for (customer, event_type) in [
        ("a", "x"),
        ("b", "y,z"),
        ("a", "y,z"),
        ("a", "w"),
        ("b", "w"),
    ] {
        server.adds(&json!({"customer_ids": {"registered": customer}, "event_type": event_type, "timestamp": 1})).await;
    }
    let query = "?start=beginning&event_types=w&event_types=y%2Cz";
    let mut source = server.listens(query, "").await;
    for told in ["y,z b", "y,z a", "w a", "w b"] {
        let (data, _) = source.event().await;
        let (event_type, customer) = told.split_once(' ').unwrap();
        assert_eq!(data["type"], event_type);
        assert_eq!(data["customer_ids"], json!({"registered": customer}));
    }
    let query = format!("{query}&customer_ids.registered=b");
    let mut of_b = server.listens(&query, "").await;
    assert_eq!(of_b.event().await.0["type"], "y,z");
    assert_eq!(of_b.event().await.0["type"], "w");
    drop((source, of_b));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_the_stream_is_an_ordinary_one() {
    let server = Server::start().await;
    for (query, field) in [
        ("?start=later", "start"),
        ("?cursor=x", "cursor"),
        ("?customer_ids.phone=1", "customer_ids"),
        ("?customer_ids.cookie=", "customer_ids"),
        (
            "?customer_ids.cookie=a&customer_ids.cookie=b",
            "customer_ids",
        ),
        ("?event_types=", "event_type"),
    ] {
        let request = server.get(&path(query)).header("Authorization", PRIVATE);
        let refusal = request.send().await.refusal();
        let said = (refusal.status, refusal.field.as_str());
        assert_eq!(said, (400, field), "{query}");
    }
    let get = |key: &str| server.get(&path("")).header("Authorization", key);
    assert_eq!(get(PUBLIC).refused().await.0, 403);
    assert_eq!(server.get(&path("")).refused().await.0, 401);
    let query = path("?access_token=public-key");
    assert_eq!(server.get(&query).refused().await.0, 403);
    let post = server.post(&path("")).header("Authorization", PRIVATE);
    assert_eq!(post.refused().await.0, 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_watch_too_many_is_told_when_to_come_again() {
    let setup = Setup::default().with("[server]\nwatchers_max = 1");
    let server = setup.start().await;
    let source = server.listens("", "").await;
    let request = server.get(&path("")).header("Authorization", PRIVATE);
    let answer = request.send().await;
    assert_eq!(answer.refusal().code, "UNAVAILABLE");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    drop(source);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_compression_nor_head_breaks_a_stream() {
    let server = Server::start().await;
    let head = Request::new(server.address, "HEAD", &path(""));
    let head = head.header("Authorization", PRIVATE).send().await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut source = server.listens("", "accept-encoding: gzip\r\n").await;
    assert_eq!(source.head.header("content-encoding"), None);
    adds(&server, "e", 1).await;
    assert_eq!(source.event().await.0["type"], "e");
    drop(source);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_ends_cleanly_when_the_service_stops() {
    let setup = Setup::default().with("[server]\ndrain_timeout = \"1h\"");
    let server = setup.start().await;
    let mut source = server.listens("", "").await;
    source.piece().await.unwrap();
    server.signal();
    assert_eq!(source.piece().await, None);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_broken_by_a_comment() {
    let setup = Setup::default().with("[server]\nwatch_heartbeat = \"10ms\"");
    let server = setup.start().await;
    let mut source = server.listens("?event_types=never", "").await;
    for _ in 0..5 {
        let piece = source.piece().await.unwrap();
        assert!(
            piece.starts_with(": nothing else up to here\nid: "),
            "{piece}"
        );
    }
    drop(source);
    server.stop().await;
}
