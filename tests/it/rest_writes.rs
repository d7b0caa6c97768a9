//! The single routes that write, and what they refuse.

use std::time::Duration;

use serde_json::json;

use crate::harness::{PUBLIC, Server, TOKEN, WRITTEN};

#[tokio::test(flavor = "multi_thread")]
async fn every_write_answers_that_it_succeeded_and_has_no_errors() {
    let server = Server::start().await;
    for (route, body) in [
        (
            "customers",
            r#"{"customer_ids":{"registered":"a"},"properties":{"x":1}}"#,
        ),
        (
            "customers/events",
            r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#,
        ),
        (
            "campaigns/clicks",
            r#"{"customer_ids":{"registered":"a"},"url":"https://x.y"}"#,
        ),
    ] {
        let answer = server.track(route, body).send().await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, WRITTEN),
            "{route}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_unix_seconds_with_a_fraction() {
    let server = Server::start().await;
    server.clock.advance(Duration::from_micros(894_375));
    let path = format!("/track/v2/projects/{TOKEN}/system/time");
    for request in [server.get(&path), server.post(&path)] {
        let answer = request.header("Authorization", PUBLIC).send().await;
        let body = r#"{"success": true, "errors": [], "time": 1700000000.894375}"#;
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_track_carries_the_key_that_each_client_reads() {
    let server = Server::start().await;
    let answer = server
        .track("customers", r#"{"customer_ids":{}}"#)
        .send()
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"success": false, "error": "At least one id should be specified.", "message": "At least one id should be specified.", "errors": ["At least one id should be specified."], "code": "INVALID_ARGUMENT", "details": [{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"At least one id should be specified.","field":"customer_ids"}]},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"footfall","reason":"IDS_MISSING"}]}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_object_is_invalid_json() {
    let server = Server::start().await;
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"customer_ids\":{\"registered\":\"a\"}} trailing",
        b"{'customer_ids':{}}",
        b"{\"properties\":{\"a\":NaN}}",
        b"{\"properties\":{\"a\":-Infinity}}",
    ];
    for body in bodies {
        for route in ["customers", "customers/events", "campaigns/clicks"] {
            let refused = server.track(route, "").body(body).refused().await;
            assert_eq!(refused, (400, "Invalid JSON".to_owned()), "{body:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_properties_count_as_none_and_a_list_is_refused() {
    let server = Server::start().await;
    for (route, rest) in [
        ("customers", ""),
        ("customers/events", r#","event_type":"t""#),
        ("campaigns/clicks", r#","url":"u""#),
    ] {
        for properties in ["", r#","properties":null"#, r#","properties":{}"#] {
            let body = format!(r#"{{"customer_ids":{{"registered":"a"}}{rest}{properties}}}"#);
            server.accepts(route, &body).await;
        }
        for (properties, text) in [("[]", "[]"), ("\"x\"", "\"x\""), ("5", "5")] {
            let body = format!(
                r#"{{"customer_ids":{{"registered":"a"}}{rest},"properties":{properties}}}"#
            );
            let text = format!("properties must be an object, not {text}");
            assert_eq!(server.track(route, &body).refused().await, (400, text));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_needs_a_type_of_1_to_255_characters() {
    let server = Server::start().await;
    let required = "Field 'event_type' is required.";
    let long = format!("\"{}\"", "é".repeat(256));
    for (event_type, text) in [
        ("null", required),
        ("\"\"", required),
        (
            "\"  \"",
            "Field 'event_type' must have 1 to 255 characters, not 0.",
        ),
        (
            &long,
            "Field 'event_type' must have 1 to 255 characters, not 256.",
        ),
        ("5", "Field 'event_type' must be a string, not 5."),
    ] {
        let body = format!(r#"{{"customer_ids":{{"registered":"a"}},"event_type":{event_type}}}"#);
        let refused = server.track("customers/events", &body).refused().await;
        assert_eq!(refused, (400, text.to_owned()), "{event_type}");
    }
    let missing = r#"{"customer_ids":{"registered":"a"}}"#;
    let refused = server.track("customers/events", missing).refused().await;
    assert_eq!(refused, (400, required.to_owned()));
    let longest = " é".to_owned() + &"é".repeat(254) + "\\n";
    let body = format!(r#"{{"customer_ids":{{"registered":"a"}},"event_type":"{longest}"}}"#);
    server.accepts("customers/events", &body).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_creates_a_customer_that_is_not_known() {
    let server = Server::start().await;
    server
        .adds(&json!({"customer_ids": {"cookie": "c"}, "event_type": "visit"}))
        .await;
    let customer = server.customer(json!({"cookie": "c"})).await;
    assert_eq!(customer["ids"], json!({"cookie": ["c"]}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_an_event_with_its_address_among_the_properties() {
    let server = Server::start().await;
    let click = r#"{"customer_ids":{"cookie":"c"},"url":"https://x.y/?a=1","timestamp":5,"properties":{"platform":"ios","url":"other"}}"#;
    server.accepts("campaigns/clicks", click).await;
    let customer = server.customer(json!({"cookie": "c"})).await;
    let stored = json!([{"type": "campaign_click", "timestamp": 5, "properties": {"platform": "ios", "url": "https://x.y/?a=1"}}]);
    assert_eq!(customer["events"], stored);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_needs_an_address_but_no_customer() {
    let server = Server::start().await;
    for body in [
        r#"{"url":"u"}"#,
        r#"{"url":"u","customer_ids":{}}"#,
        r#"{"url":"u","customer_ids":null,"age":1.5}"#,
    ] {
        server.accepts("campaigns/clicks", body).await;
    }
    let required = "Field 'url' is required.";
    for (body, text) in [
        (r#"{"customer_ids":{"cookie":"c"}}"#, required),
        (r#"{"url":null}"#, required),
        (r#"{"url":""}"#, required),
        (r#"{"url":7}"#, "Field 'url' must be a string, not 7."),
    ] {
        let refused = server.track("campaigns/clicks", body).refused().await;
        assert_eq!(refused, (400, text.to_owned()), "{body}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_known_are_passed_over() {
    let server = Server::start().await;
    let update = r#"{"sdk":"x","sdk_version":[1,{"a":{}}],"age":"odd","event_type":null,"url":5,"customer_ids":{"registered":"a"},"properties":{"x":1}}"#;
    server.accepts("customers", update).await;
    let event = r#"{"magento_version":null,"update_timestamp":"never","commands":3,"customer_ids":{"registered":"a"},"event_type":"t"}"#;
    server.accepts("customers/events", event).await;
    server.stop().await;
}
