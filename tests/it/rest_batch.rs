//! Batches.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Server;

const NO_ID: &str = "At least one id should be specified.";

/// The results of a batch that is not refused as a whole.
async fn results(server: &Server, body: &str) -> Value {
    let answer = server.track("batch", body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut json = answer.json();
    assert_eq!(json["success"], true);
    json["results"].take()
}

fn success() -> Value {
    json!({"success": true, "errors": []})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_command_in_its_place() {
    let server = Server::start().await;
    server.clock.advance(Duration::from_micros(747_524));
    let body = r#"{"commands":[
        {"name":"customers","data":{"customer_ids":{"registered":"a"},"properties":{"x":1}}},
        {"name":"customers","data":{"customer_ids":{}},"command_id":"17"},
        {"name":"system/time"},
        {"name":"customers/events","data":{"customer_ids":{"registered":"a"},"event_type":"t"},"command_id":18},
        {"name":"campaigns/clicks","data":{"url":"u"}}]}"#;
    let answer = server.track("batch", body).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"success": true, "start_time": 1700000000.747524, "end_time": 1700000000.747524, "results": [{"success": true, "errors": []}, {"success": false, "errors": ["At least one id should be specified."], "command_id": "17"}, {"success": true, "errors": [], "time": 1700000000.747524}, {"success": true, "errors": [], "command_id": 18}, {"success": true, "errors": []}]}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_id_is_echoed_as_it_came_whatever_json_it_is() {
    let server = Server::start().await;
    for id in [
        "null",
        "\"17\"",
        "17",
        "1.50",
        "true",
        r#"{"b": [1, 2],"a":1}"#,
        "[ ]",
        r#""\u0041""#,
        "123456789012345678901234567890",
    ] {
        for (data, result) in [
            (
                r#"{"customer_ids":{"cookie":"c"}}"#,
                r#"{"success": true, "errors": []"#,
            ),
            (
                "{}",
                r#"{"success": false, "errors": ["At least one id should be specified."]"#,
            ),
        ] {
            let body = format!(
                r#"{{"commands":[{{"command_id": {id} ,"name":"customers","data":{data}}}]}}"#
            );
            let answer = server.track("batch", &body).send().await;
            let results = format!(r#""results": [{result}, "command_id": {id}}}]}}"#);
            assert!(answer.body.ends_with(&results), "{}", answer.body);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_command_does_not_touch_the_others() {
    let server = Server::start().await;
    let good = |value: u8| json!({"name": "customers", "data": {"customer_ids": {"registered": "a"}, "properties": {"x": value}}});
    let bad = [
        (
            json!({"name": "customers", "data": {"customer_ids": {"registered": ""}}}),
            NO_ID,
        ),
        (
            json!({"name": "customers", "data": {"customer_ids": {"phone": "1"}}}),
            "unknown customer ID type 'phone', known: registered, email_id, cookie",
        ),
        (
            json!({"name": "customers", "data": {"customer_ids": {"cookie": "c"}, "properties": []}}),
            "properties must be an object, not []",
        ),
        (
            json!({"name": "customers", "data": {"customer_ids": {"cookie": "c"}, "update_timestamp": "x"}}),
            "update_timestamp: unreadable time \"x\"",
        ),
        (
            json!({"name": "customers/events", "data": {"customer_ids": {"cookie": "c"}}}),
            "Field 'event_type' is required.",
        ),
        (
            json!({"name": "campaigns/clicks", "data": {}}),
            "Field 'url' is required.",
        ),
        (
            json!({"name": "customers", "data": 5}),
            "Field 'data' must be an object, not 5.",
        ),
        (json!({"name": "customers"}), NO_ID),
        (json!({"name": "customers", "data": null}), NO_ID),
        (
            json!({"name": "customer", "data": {}}),
            "Unknown command \"customer\"",
        ),
        (json!({"name": 5}), "Field 'name' must be a string, not 5."),
        (json!({}), "Unknown command null"),
    ];
    let mut commands = vec![good(1)];
    commands.extend(bad.iter().map(|(command, _)| command.clone()));
    commands.push(good(2));
    let mut expected = vec![success()];
    expected.extend(
        bad.iter()
            .map(|(_, text)| json!({"success": false, "errors": [text]})),
    );
    expected.push(success());
    let results = results(&server, &json!({ "commands": commands }).to_string()).await;
    assert_eq!(results, Value::from(expected));
    assert_eq!(
        server.properties(json!({"registered": "a"})).await,
        json!({"x": 2})
    );
    assert!(!server.knows(json!({"cookie": "c"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_a_key_that_stands_twice_fails_alone_and_keeps_its_id() {
    let server = Server::start().await;
    let good = r#"{"name":"system/time","unknown":{"a":1}}"#;
    for (bad, key) in [
        (
            r#"{"name":"customers","name":"customers","command_id":"17"}"#,
            "name",
        ),
        (
            r#"{"command_id":"17","name":"customers","data":{},"data":{}}"#,
            "data",
        ),
        (
            r#"{"command_id":"17","name":"customers","data":{"customer_ids":{"cookie":"c"},"customer_ids":{}}}"#,
            "customer_ids",
        ),
        (
            r#"{"command_id":"17","name":"customers","data":{"customer_ids":{"cookie":"c"},"properties":{"x":1,"x":2}}}"#,
            "x",
        ),
    ] {
        let results = results(&server, &format!(r#"{{"commands":[{bad},{good}]}}"#)).await;
        let text = results[0]["errors"][0].as_str().unwrap();
        assert!(text.contains("duplicate") && text.contains(key), "{text}");
        assert_eq!(results[0]["command_id"], "17", "{bad}");
        assert_eq!(results[1]["success"], true);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_failures_alone_is_still_answered_command_by_command() {
    let server = Server::start().await;
    let body = r#"{"commands":[{"name":"x"},{"name":"customers","data":{}}]}"#;
    let failed = |text: &str| json!({"success": false, "errors": [text]});
    assert_eq!(
        results(&server, body).await,
        json!([failed("Unknown command \"x\""), failed(NO_ID)])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_take_effect_in_the_order_in_which_they_stand() {
    let server = Server::start().await;
    let update = |value: u8| json!({"name": "customers", "data": {"customer_ids": {"registered": "a"}, "properties": {"x": value}}});
    let commands: Vec<_> = (0..50).map(update).collect();
    results(&server, &json!({ "commands": commands }).to_string()).await;
    assert_eq!(
        server.properties(json!({"registered": "a"})).await,
        json!({"x": 49})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_commands_is_refused() {
    let server = Server::start().await;
    for body in [
        "{}",
        r#"{"commands":null}"#,
        r#"{"commands":[]}"#,
        r#"{"commands":{}}"#,
        r#"{"commands":"x"}"#,
        r#"{"command":[{"name":"system/time"}]}"#,
    ] {
        let refused = server.track("batch", body).refused().await;
        assert_eq!(refused, (400, "No commands".to_owned()), "{body}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_no_object_refuses_the_whole_batch() {
    let server = Server::start().await;
    let good = r#"{"name":"customers","data":{"customer_ids":{"registered":"a"}}}"#;
    for bad in [
        "null",
        "5",
        "\"customers\"",
        "[]",
        "{",
        "NaN",
        "{\"data\":NaN}",
    ] {
        let body = format!(r#"{{"commands":[{good},{bad}]}}"#);
        let refused = server.track("batch", &body).refused().await;
        assert_eq!(refused, (400, "Invalid JSON".to_owned()), "{bad}");
    }
    for body in ["", "[]", "x", &format!("[{good}]")] {
        let refused = server.track("batch", body).refused().await;
        assert_eq!(refused, (400, "Invalid JSON".to_owned()), "{body}");
    }
    assert!(!server.knows(json!({"registered": "a"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_at_most_50_commands() {
    let server = Server::start().await;
    let batch = |count: usize| {
        let command = json!({"name": "customers", "data": {"customer_ids": {"registered": "a"}}});
        json!({ "commands": vec![command; count] }).to_string()
    };
    for count in [51, 73] {
        let refused = server.track("batch", &batch(count)).refused().await;
        assert_eq!(
            refused,
            (400, format!("Too many commands: {count}, at most 50"))
        );
    }
    assert!(!server.knows(json!({"registered": "a"})).await);
    assert_eq!(
        results(&server, &batch(50)).await,
        Value::from(vec![success(); 50])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_request_to_the_rate_limiter() {
    let server = Server::start().await;
    let body = json!({"commands": vec![json!({"name": "system/time"}); 50]}).to_string();
    let left = async || {
        let answer = server
            .track("batch", &body)
            .from("203.0.113.9")
            .send()
            .await;
        answer.header("ratelimit").unwrap().to_owned()
    };
    assert_eq!(left().await, "\"perip\";r=5999;t=1");
    assert_eq!(left().await, "\"perip\";r=5998;t=1");
    server.stop().await;
}
