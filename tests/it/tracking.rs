//! Storing, and reading back.

use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_read_back_as_it_was_sent() {
    let server = Server::start().await;
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit","timestamp":1700000000.5,"properties":{"price":1.0E2,"n":9007199254740993,"deep":{"b":[1,"x",null]}}}"#;
    let stored = server.track("customers/events", event).send().await;
    assert_eq!(
        (stored.status, stored.body.as_str()),
        (200, r#"{"success": true, "errors": []}"#)
    );
    let question = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;
    let read = server.data("events", question).send().await;
    assert_eq!(
        read.body,
        r#"{"success": true, "data": [{"type": "visit", "timestamp": 1700000000.5, "properties": {"deep":{"b":[1,"x",null]},"n":9007199254740993,"price":100.0}}]}"#
    );
    server.stop().await;
}
