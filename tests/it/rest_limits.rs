//! Each limit, reached and passed by one.

use serde_json::json;

use crate::harness::Server;

const VALUE_BYTES: usize = 16 * 1024;
const COMMAND_BYTES: usize = 800 * 1024;
const BODY_BYTES: usize = 1024 * 1024;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

fn update(properties: &str) -> String {
    format!(r#"{{"customer_ids":{{"registered":"a"}},"properties":{properties}}}"#)
}

/// The same body with blanks before its end, so that it is just so long.
fn padded(body: &str, bytes: usize) -> String {
    let inner = body.strip_suffix('}').unwrap();
    let blanks = " ".repeat(bytes - body.len());
    format!("{inner}{blanks}}}")
}

/// An event whose properties make it just so long, with values that are within their own limit.
fn event(bytes: usize) -> String {
    let body = |last: &str| {
        let full: String = (0..54)
            .map(|n| format!(r#""p{n}":"{}","#, "x".repeat(15_000)))
            .collect();
        format!(
            r#"{{"customer_ids":{{"registered":"a"}},"event_type":"t","properties":{{{full}"last":"{last}"}}}}"#
        )
    };
    let rest = bytes - body("").len();
    assert!(rest < VALUE_BYTES, "{rest}");
    body(&"y".repeat(rest))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_value_has_at_most_16_kib() {
    let server = Server::start().await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let list = |bytes: usize| format!("[{}]", "1,".repeat((bytes - 3) / 2) + "1");
    server
        .accepts(
            "customers",
            &update(&format!(r#"{{"x":{}}}"#, text(VALUE_BYTES))),
        )
        .await;
    server
        .accepts(
            "customers",
            &update(&format!(r#"{{"x":{}}}"#, list(VALUE_BYTES))),
        )
        .await;
    let beyond = update(&format!(r#"{{"y":1,"x":{}}}"#, text(VALUE_BYTES + 1)));
    let refused = server.track("customers", &beyond).refused().await;
    let message = "property 'x' is too large: 16385 bytes as JSON, at most 16384";
    assert_eq!(refused, (400, message.to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_at_most_255_properties() {
    let server = Server::start().await;
    let properties = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!(r#""p{n}":{n}"#)).collect();
        update(&format!("{{{}}}", all.join(",")))
    };
    server.accepts("customers", &properties(255)).await;
    let refused = server.track("customers", &properties(256)).refused().await;
    assert_eq!(
        refused,
        (400, "too many properties: 256, at most 255".to_owned())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_name_has_1_to_255_characters() {
    let server = Server::start().await;
    let named = |name: &str| update(&json!({ name: 1 }).to_string());
    server.accepts("customers", &named("x")).await;
    server.accepts("customers", &named(&"é".repeat(255))).await;
    let refused = server.track("customers", &named("")).refused().await;
    assert_eq!(refused, (400, "a property's name is empty".to_owned()));
    let long = server.track("customers", &named(&"é".repeat(256)));
    let text = format!(
        "property name '{}…' is longer than 255 characters",
        "é".repeat(64)
    );
    assert_eq!(long.refused().await, (400, text));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_nests_at_most_32_levels_deep() {
    let server = Server::start().await;
    let lists = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    for value in [lists(32), objects(32)] {
        server
            .accepts("customers", &update(&format!(r#"{{"x":{value}}}"#)))
            .await;
    }
    for value in [lists(33), objects(33), lists(5_000)] {
        let body = update(&format!(r#"{{"x":{value}}}"#));
        let text = "property 'x' nests deeper than 32 levels";
        let refused = server.track("customers", &body).refused().await;
        assert_eq!(refused, (400, text.to_owned()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_at_most_800_kib() {
    let server = Server::start().await;
    server
        .accepts("customers/events", &event(COMMAND_BYTES))
        .await;
    let refused = server
        .track("customers/events", &event(COMMAND_BYTES + 1))
        .refused()
        .await;
    let text = "command is too large: 819201 bytes, at most 819200";
    assert_eq!(refused, (400, text.to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_counts_as_it_was_sent_and_not_as_it_is_stored() {
    let server = Server::start().await;
    // Small integers take more room in the log than in JSON.
    let small = format!("[{}-1]", "-1,".repeat(5_000));
    let all: Vec<_> = (0..50).map(|n| format!(r#""p{n}":{small}"#)).collect();
    let body = update(&format!("{{{}}}", all.join(",")));
    assert!(body.len() < COMMAND_BYTES);
    server.accepts("customers", &body).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_batch_that_is_too_large_fails_alone() {
    let server = Server::start().await;
    let command = |data: &str| format!(r#"{{"name":"customers/events","data":{data}}}"#);
    let commands = [event(COMMAND_BYTES), event(COMMAND_BYTES + 1)].map(|data| command(&data));
    let body = format!(r#"{{"commands":[{}]}}"#, commands.join(","));
    let answer = server.track("batch", &body).send().await;
    assert_eq!(
        answer.json()["results"],
        json!([
            {"success": true, "errors": []},
            {"success": false, "errors": ["command is too large: 819201 bytes, at most 819200"]},
        ])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_1_mib_is_413_and_nothing_is_stored() {
    let server = Server::start().await;
    let body = update(r#"{"x":1}"#);
    // Blanks behind the object belong to the body, but not to the command.
    let within = format!("{body}{}", " ".repeat(BODY_BYTES - body.len()));
    server.accepts("customers", &within).await;
    let body = body.replace("\"a\"", "\"b\"");
    let beyond = format!("{body}{}", " ".repeat(BODY_BYTES + 1 - body.len()));
    for route in ["customers", "customers/events", "campaigns/clicks"] {
        let refused = server.track(route, &beyond).refused().await;
        let text = "Body is too large, at most 1048576 bytes";
        assert_eq!(refused, (413, text.to_owned()));
    }
    let refusal = server.data("events", &beyond).send().await.refusal();
    assert_eq!((refusal.status, refusal.field.as_str()), (413, "_global"));
    assert!(!server.knows(json!({"registered": "b"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_beyond_16_mib_is_413_and_nothing_is_stored() {
    let server = Server::start().await;
    let batch = |id: &str, bytes: usize| {
        let body = json!({"commands": [{"name": "customers", "data": {"customer_ids": {"registered": id}}}]});
        padded(&body.to_string(), bytes)
    };
    let answer = server.track("batch", &batch("a", BATCH_BYTES)).send().await;
    assert_eq!(
        answer.json()["results"],
        json!([{"success": true, "errors": []}])
    );
    let refused = server
        .track("batch", &batch("b", BATCH_BYTES + 1))
        .refused()
        .await;
    let text = "Body is too large, at most 16777216 bytes";
    assert_eq!(refused, (413, text.to_owned()));
    assert!(!server.knows(json!({"registered": "b"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_bodies_are_settings() {
    let setup = crate::harness::Setup::default();
    let setup = setup.with("[server]\nbody_bytes_max = 100\nbatch_bytes_max = 200");
    let server = setup.start().await;
    let body = update(r#"{"x":1}"#);
    server.accepts("customers", &padded(&body, 100)).await;
    let refused = server
        .track("customers", &padded(&body, 101))
        .refused()
        .await;
    assert_eq!(
        refused,
        (413, "Body is too large, at most 100 bytes".to_owned())
    );
    let batch = r#"{"commands":[{"name":"system/time"}]}"#;
    assert_eq!(
        server
            .track("batch", &padded(batch, 200))
            .send()
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .track("batch", &padded(batch, 201))
            .send()
            .await
            .status,
        413
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_larger_than_the_queue_goes_alone() {
    let setup = crate::harness::Setup::default();
    let setup = setup.with("[data]\nqueue_records_max = 10\nqueue_bytes_max = 100");
    let server = setup.start().await;
    let command = json!({"name": "customers", "data": {"customer_ids": {"registered": "a"}}});
    let body = json!({ "commands": vec![command; 50] }).to_string();
    let answer = server.track("batch", &body).send().await;
    let success = json!({"success": true, "errors": []});
    assert_eq!(answer.json()["results"], json!(vec![success; 50]));
    server.stop().await;
}
