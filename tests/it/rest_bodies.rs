//! Bodies as clients, browsers and proxies send them: what is read, and what is refused in words.

use std::io::Write as _;

use serde_json::json;

use crate::harness::{PRIVATE, Request, Server, TOKEN, WRITTEN};

const EVENT: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
const UPDATE: &str = r#"{"customer_ids":{"registered":"a"}}"#;
const CLICK: &str = r#"{"customer_ids":{"registered":"a"},"url":"u"}"#;
const BATCH: &str =
    r#"{"commands":[{"name":"customers","data":{"customer_ids":{"registered":"a"}}}]}"#;
const QUESTION: &str = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"],"attributes":[],"format":"native_json"}"#;
const WRITES: [(&str, &str); 4] = [
    ("customers", UPDATE),
    ("customers/events", EVENT),
    ("campaigns/clicks", CLICK),
    ("batch", BATCH),
];
const READS: [&str; 4] = ["attributes", "export-one", "events", "export"];

/// Every route with a body that it takes.
fn every_route(server: &Server) -> Vec<(Request, &'static str)> {
    let writes = WRITES.map(|(route, body)| (server.track(route, ""), body));
    let reads = READS.map(|route| (server.data(route, ""), QUESTION));
    writes.into_iter().chain(reads).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_is_passed_over_on_every_route() {
    let server = Server::start().await;
    for (request, body) in every_route(&server) {
        let answer = request.body(format!("\u{feff}{body}")).send().await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_json_where_beacons_write_and_nowhere_else() {
    let server = Server::start().await;
    for content_type in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "Text/Plain, application/json",
    ] {
        for (route, body) in WRITES {
            let sent = server
                .track(route, body)
                .header("Content-Type", content_type);
            assert_eq!(sent.send().await.status, 200, "{route} {content_type}");
        }
        for route in READS {
            let sent = server
                .data(route, QUESTION)
                .header("Content-Type", content_type);
            let (status, text) = sent.refused().await;
            assert_eq!(status, 415, "{route}");
            assert!(text.contains("must be application/json"), "{text}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_charset_is_refused_by_its_name() {
    let server = Server::start().await;
    for charset in ["utf-16", "ISO-8859-1", "\"windows-1252\""] {
        for kind in ["application/json", "application/json, application/json"] {
            for (request, body) in every_route(&server) {
                let sent = request.header("Content-Type", &format!("{kind}; charset={charset}"));
                let name = charset.trim_matches('"');
                let text = format!("Content-Type's charset must be utf-8, not '{name}'");
                assert_eq!(sent.body(body).refused().await, (415, text));
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_utf_8_is_told_where() {
    let server = Server::start().await;
    for (request, body) in every_route(&server) {
        let body = body.replace(r#""a""#, "\"Jos\u{e9}\"");
        let at = body.find('\u{e9}').unwrap();
        let latin: Vec<u8> = body.chars().map(|c| c as u8).collect();
        let refused = request.body(latin).refused().await;
        let text = format!("Invalid JSON: the body is not UTF-8 at byte {at}");
        assert_eq!(refused, (400, text));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_character_costs_no_event() {
    let server = Server::start().await;
    let data = r#"{"customer_ids":{"registered":"x\ud83d"},"event_type":"t\ud83d","timestamp":5,"properties":{"k\ude00":["\ud83d",{"n":"cut \ud83d"}],"whole":"\ud83d\ude00"}}"#;
    let batch = format!(
        r#"{{"commands":[{{"name":"customers/events","command_id":"\ud83d","data":{data}}}]}}"#
    );
    for (route, body) in [("customers/events", data), ("batch", &batch)] {
        assert_eq!(
            server.track(route, body).send().await.status,
            200,
            "{route}"
        );
    }
    let question = r#"{"customer_ids":{"registered":"x\udc00"},"event_types":["t\ud800"]}"#;
    let events = server.data("events", question).send().await.json();
    let event = json!({
        "type": "t\u{fffd}",
        "timestamp": 5,
        "properties": {"k\u{fffd}": ["\u{fffd}", {"n": "cut \u{fffd}"}], "whole": "😀"},
    });
    // The same event by another way is the same event.
    assert_eq!(events["data"], json!([event]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sloppy_compression_is_read_on_every_route() {
    let server = Server::start().await;
    let deflate = |body: &[u8]| {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let gzip_and_zeros = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        [encoder.finish().unwrap(), vec![0; 8]].concat()
    };
    for (request, body) in every_route(&server) {
        let body = format!("\u{feff}{body}");
        for (coding, bytes) in [
            ("deflate", deflate(body.as_bytes())),
            ("gzip", gzip_and_zeros(body.as_bytes())),
        ] {
            let sent = request
                .clone()
                .header("Content-Encoding", coding)
                .body(bytes);
            assert_eq!(sent.send().await.status, 200, "{coding} {body}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_number_is_an_id_whatever_its_form() {
    let server = Server::start().await;
    for (number, id) in [
        ("12", "12"),
        ("12.0", "12"),
        ("1.2e1", "12"),
        ("-3.0", "-3"),
    ] {
        let ids = format!(
            r#"{{"customer_ids":{{"registered":{number}}},"event_type":"t","attributes":[]}}"#
        );
        let event = server.track("customers/events", &ids).send().await;
        assert_eq!((event.status, event.body.as_str()), (200, WRITTEN));
        let command = format!(r#"{{"commands":[{{"name":"customers/events","data":{ids}}}]}}"#);
        let batch = server.track("batch", &command).send().await.json();
        assert_eq!(batch["results"][0]["success"], true, "{batch}");
        let customer = server.data("export-one", &ids).send().await.json();
        assert_eq!(customer["ids"], json!({"registered": id}));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreserved_characters_in_paths_may_be_escaped() {
    let server = Server::start().await;
    let escaped = |text: &str| -> String {
        let escape = |byte: u8| match byte {
            b'-' | b'_' | b'.' | b'~' | b'a'..=b'e' | b'1' => format!("%{byte:02X}"),
            b's' => format!("%{byte:02x}"),
            _ => char::from(byte).to_string(),
        };
        text.bytes().map(escape).collect()
    };
    for (path, body) in [
        (
            format!("/track/v2/projects/{TOKEN}/customers/events"),
            EVENT,
        ),
        (
            format!("/data/v2/projects/{TOKEN}/customers/export-one"),
            QUESTION,
        ),
    ] {
        let sent = server
            .post(&escaped(&path))
            .header("Authorization", PRIVATE);
        let answer = sent.body(body).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let probe = server.get("/re%61dyz").send().await;
    assert_eq!(probe.status, 200);
    // A slash stands for itself, and what is no escape is none.
    for path in [
        format!("/track/v2/projects/{TOKEN}/customers%2Fevents"),
        format!("/track/v2/projects/{TOKEN}/customers%2fevents"),
        format!("/track/v2/projects/{TOKEN}/customer%7"),
    ] {
        let sent = server
            .post(&path)
            .header("Authorization", PRIVATE)
            .body(EVENT);
        assert_eq!(sent.send().await.status, 404, "{path}");
    }
    server.stop().await;
}
