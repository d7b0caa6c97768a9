//! The routes that read.

use serde_json::json;

use crate::harness::{Server, WRITTEN};

/// A customer with two IDs, two properties and three events.
async fn known(server: &Server) {
    server.updates(&json!({"customer_ids": {"registered": "a", "cookie": "c"}, "properties": {"first_name": "Lukas", "age": 5}})).await;
    for (event_type, time) in [("visit", 30), ("buy", 20), ("visit", 10)] {
        server.adds(&json!({"customer_ids": {"registered": "a"}, "event_type": event_type, "timestamp": time, "properties": {"at": time}})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_answered_in_the_order_of_the_question() {
    let server = Server::start().await;
    known(&server).await;
    let question = r#"{"customer_ids":{"cookie":"c"},"attributes":[
        {"type":"property","property":"first_name"},{"type":"property","property":"nothing"},
        {"type":"id","id":"registered"},{"type":"id","id":"cookie"},{"type":"id","id":"email_id"},
        {"type":"segmentation","id":"x"},{"type":"id","id":"phone"},{"type":"property"},{},
        {"type":"property","property":"age"}]}"#;
    let answer = server.data("attributes", question).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"success": true, "results": [{"success": true, "value": "Lukas"}, {"success": true, "value": null}, {"success": true, "value": "a"}, {"success": true, "value": ["c"]}, {"success": true, "value": null}, {"success": false, "error": "Unknown attribute type 'segmentation'"}, {"success": false, "error": "unknown customer ID type 'phone', known: registered, email_id, cookie"}, {"success": false, "error": "Field 'property' is required."}, {"success": false, "error": "Field 'type' is required."}, {"success": true, "value": 5}]}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_of_a_type_that_is_no_text_fails_alone() {
    let server = Server::start().await;
    known(&server).await;
    let question = r#"{"customer_ids":{"cookie":"c"},"attributes":[{"type":5},{"type":null},{"type":"id","id":"registered","property":7}]}"#;
    let answer = server.data("attributes", question).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = answer.json()["results"].clone();
    assert_eq!(results[0]["success"], false);
    assert_eq!(results[1]["success"], false);
    assert_eq!(results[2], json!({"success": true, "value": "a"}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn export_one_tells_everything_about_a_customer() {
    let server = Server::start().await;
    known(&server).await;
    let answer = server
        .data("export-one", r#"{"customer_ids":{"registered":"a"}}"#)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"success": true, "ids": {"registered": "a", "cookie": ["c"]}, "properties": {"age":5,"first_name":"Lukas"}, "events": [{"type": "visit", "timestamp": 10, "properties": {"at":10}}, {"type": "buy", "timestamp": 20, "properties": {"at":20}}, {"type": "visit", "timestamp": 30, "properties": {"at":30}}]}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_by_type_order_and_page() {
    let server = Server::start().await;
    known(&server).await;
    for (question, times) in [
        (r#""event_types":["visit"]"#, vec![10, 30]),
        (r#""event_types":["visit","buy"]"#, vec![10, 20, 30]),
        (
            r#""event_types":["buy"," visit "],"order":"asc""#,
            vec![10, 20, 30],
        ),
        (
            r#""event_types":["visit","buy"],"order":"desc""#,
            vec![30, 20, 10],
        ),
        (r#""event_types":["visit","buy"],"limit":2"#, vec![10, 20]),
        (
            r#""event_types":["visit","buy"],"limit":1,"skip":1"#,
            vec![20],
        ),
        (
            r#""event_types":["visit","buy"],"order":"desc","skip":2,"limit":10000"#,
            vec![10],
        ),
        (r#""event_types":["visit"],"skip":2"#, vec![]),
        (r#""event_types":["other"]"#, vec![]),
        (
            r#""event_types":["visit"],"order":null,"limit":null,"skip":null"#,
            vec![10, 30],
        ),
    ] {
        let body = format!(r#"{{"customer_ids":{{"registered":"a"}},{question}}}"#);
        let answer = server.data("events", &body).send().await;
        assert_eq!(answer.status, 200, "{question}: {}", answer.body);
        let data = answer.json()["data"].clone();
        let read: Vec<_> = data
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["timestamp"].clone())
            .collect();
        assert_eq!(read, times, "{question}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_events_is_exact() {
    let server = Server::start().await;
    known(&server).await;
    let answer = server
        .data(
            "events",
            r#"{"customer_ids":{"registered":"a"},"event_types":["buy"]}"#,
        )
        .send()
        .await;
    let body =
        r#"{"success": true, "data": [{"type": "buy", "timestamp": 20, "properties": {"at":20}}]}"#;
    assert_eq!((answer.status, answer.body.as_str()), (200, body));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_for_events_that_breaks_a_rule_names_the_field() {
    let server = Server::start().await;
    known(&server).await;
    for (question, field) in [
        (r#""x":1"#, "event_types"),
        (r#""event_types":null"#, "event_types"),
        (r#""event_types":[]"#, "event_types"),
        (r#""event_types":"visit""#, "event_types"),
        (r#""event_types":[1]"#, "event_types"),
        (r#""event_types":["t"],"order":"up""#, "order"),
        (r#""event_types":["t"],"limit":0"#, "limit"),
        (r#""event_types":["t"],"limit":10001"#, "limit"),
        (r#""event_types":["t"],"limit":-1"#, "limit"),
        (r#""event_types":["t"],"limit":"5""#, "limit"),
        (r#""event_types":["t"],"skip":1.5"#, "skip"),
    ] {
        let body = format!(r#"{{"customer_ids":{{"registered":"a"}},{question}}}"#);
        let refusal = server.data("events", &body).send().await.refusal();
        assert_eq!(
            (refusal.status, refusal.field.as_str()),
            (400, field),
            "{question}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_customer_is_404_to_the_letter() {
    let server = Server::start().await;
    for (route, rest) in [
        ("attributes", r#","attributes":[]"#),
        ("export-one", ""),
        ("events", r#","event_types":["t"]"#),
    ] {
        let body = format!(r#"{{"customer_ids":{{"registered":"nobody"}}{rest}}}"#);
        let answer = server.data(route, &body).send().await;
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.body,
            r#"{"success": false, "error": "Customer does not exist", "message": "Customer does not exist", "errors": {"_global": ["Customer does not exist"]}, "code": "NOT_FOUND", "details": [{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"footfall","reason":"CUSTOMER_UNKNOWN"}]}"#
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_a_usable_id_names_the_field() {
    let server = Server::start().await;
    for (route, rest) in [
        ("attributes", r#","attributes":[]"#),
        ("export-one", ""),
        ("events", r#","event_types":["t"]"#),
    ] {
        for ids in [
            r#""customer_ids":{}"#,
            r#""customer_ids":{"cookie":""}"#,
            r#""x":1"#,
        ] {
            let body = format!("{{{ids}{rest}}}");
            let answer = server.data(route, &body).send().await;
            assert_eq!(answer.refusal().status, 400);
            let errors = json!({"customer_ids": ["Must specify at least one customer ID"]});
            assert_eq!(answer.json()["errors"], errors, "{route} {body}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_an_error_of_no_field() {
    let server = Server::start().await;
    for route in ["attributes", "export-one", "events"] {
        let refusal = server.data(route, "[1]").send().await.refusal();
        assert_eq!(
            (
                refusal.status,
                refusal.text.as_str(),
                refusal.field.as_str()
            ),
            (400, "Invalid JSON", "_global")
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_reads_its_own_writes_at_once() {
    let server = Server::start().await;
    for number in 0..20 {
        let event = json!({"customer_ids": {"cookie": "c"}, "event_type": "t", "properties": {"n": number}});
        let answer = server
            .track("customers/events", &event.to_string())
            .send()
            .await;
        assert_eq!(answer.body, WRITTEN);
        assert_eq!(
            server.timeline(json!({"cookie": "c"})).await.len(),
            number + 1
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_a_restart() {
    let server = Server::start().await;
    known(&server).await;
    let before = server.customer(json!({"cookie": "c"})).await;
    let dir = server.stop().await;
    let server = crate::harness::Setup::default().start_in(dir).await;
    assert_eq!(server.customer(json!({"cookie": "c"})).await, before);
    server.stop().await;
}
