//! Payloads as clients in the field send them.

use serde_json::json;

use crate::harness::{Server, Setup, WRITTEN};

#[tokio::test(flavor = "multi_thread")]
async fn android_sends_times_and_prices_with_an_exponent() {
    let server = Server::start().await;
    let body = r#"{"event_type":"payment","timestamp":1.7000000005E9,"customer_ids":{"registered":"a","cookie":"uuid"},"properties":{"price":1.0E2}}"#;
    server.accepts("customers/events", body).await;
    let answer = server
        .data(
            "events",
            r#"{"customer_ids":{"cookie":"uuid"},"event_types":["payment"]}"#,
        )
        .send()
        .await;
    let read = r#"{"success": true, "data": [{"type": "payment", "timestamp": 1700000000.5, "properties": {"price":100.0}}]}"#;
    assert_eq!(answer.body, read);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_send_an_age_instead_of_a_time() {
    let server = Server::start().await;
    let body = r#"{"age":0.11999988555908203,"customer_ids":{"cookie":"u"},"properties":{},"event_type":"first_login"}"#;
    server.accepts("customers/events", body).await;
    let customer = server.customer(json!({"cookie": "u"})).await;
    assert_eq!(customer["events"][0]["timestamp"], 1_699_999_999.880_001);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_send_null_for_what_they_do_not_have() {
    let server = Server::start().await;
    let body = r#"{"customer_ids":{"cookie":"c-1"},"timestamp":null,"properties":null,"event_type":"page_visit"}"#;
    server.accepts("customers/events", body).await;
    let customer = server.customer(json!({"cookie": "c-1"})).await;
    assert_eq!(
        customer["events"],
        json!([{"type": "page_visit", "timestamp": 1_700_000_000, "properties": {}}])
    );
    server.stop().await;
}

const SHOP: &str = r#"
[[project]]
token = "33333333-2222-3333-4444-555555555555"
hard_ids = ["customer_id", "email_id"]
soft_ids = ["cookie"]
[[project.key]]
id = "shop"
secrets = ["s"]
permissions = ["customers:set", "events:set", "customers:get", "events:get"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn magento_sends_integer_ids_and_finds_results_by_command_id() {
    let server = Setup::default().with(SHOP).start().await;
    // shop:s
    let key = "Basic c2hvcDpz";
    let project = "v2/projects/33333333-2222-3333-4444-555555555555";
    let body = r#"{"sdk":"magento-plugin","commands":[{"name":"customers","command_id":"17","data":{"customer_ids":{"email_id":"a@b.c","customer_id":12},"properties":{"x":1},"update_timestamp":1752661000}}]}"#;
    let batch = server.post(&format!("/track/{project}/batch"));
    let answer = batch.header("Authorization", key).body(body).send().await;
    let results = json!([{"success": true, "errors": [], "command_id": "17"}]);
    assert_eq!(answer.json()["results"], results);
    let question = server.post(&format!("/data/{project}/customers/export-one"));
    let question = question.body(r#"{"customer_ids":{"customer_id":12}}"#);
    let read = question.header("Authorization", key).send().await;
    assert_eq!(
        read.body,
        r#"{"success": true, "ids": {"customer_id": "12", "email_id": "a@b.c"}, "properties": {"x":1}, "events": []}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rudderstack_sends_empty_ids_beside_a_cookie_and_asks_the_time() {
    let server = Server::start().await;
    let body = r#"{"commands":[{"name":"customers/events","data":{"customer_ids":{"registered":"","cookie":"anon1"},"timestamp":1709566376,"properties":{"a":{"b":[1,"x",null]}},"event_type":"test"}},{"name":"system/time"}]}"#;
    let answer = server.track("batch", body).send().await;
    let results = r#""results": [{"success": true, "errors": []}, {"success": true, "errors": [], "time": 1700000000}]}"#;
    assert!(answer.body.ends_with(results), "{}", answer.body);
    let read = server
        .data("export-one", r#"{"customer_ids":{"cookie":"anon1"}}"#)
        .send()
        .await;
    assert_eq!(
        read.body,
        r#"{"success": true, "ids": {"cookie": ["anon1"]}, "properties": {}, "events": [{"type": "test", "timestamp": 1709566376, "properties": {"a":{"b":[1,"x",null]}}}]}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_that_ends_in_a_slash_does_no_harm() {
    let server = Server::start().await;
    let path = format!("//track/v2/projects/{}/customers", crate::harness::TOKEN);
    let request = server
        .post(&path)
        .header("Authorization", crate::harness::PUBLIC);
    let answer = request
        .body(r#"{"customer_ids":{"registered":"a"},"properties":{}}"#)
        .send()
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, WRITTEN));
    server.stop().await;
}
