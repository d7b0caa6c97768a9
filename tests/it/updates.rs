//! Which update a property shows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Server;

async fn at(server: &Server, time: Value, properties: Value) {
    server.updates(&json!({"customer_ids": {"registered": "a"}, "properties": properties, "update_timestamp": time})).await;
}

async fn shown(server: &Server) -> Value {
    server.properties(json!({"registered": "a"})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_update_changes_only_what_was_not_updated_since() {
    let server = Server::start().await;
    at(&server, json!(200), json!({"x": "new"})).await;
    at(&server, json!(100), json!({"x": "old", "y": "old"})).await;
    assert_eq!(shown(&server).await, json!({"x": "new", "y": "old"}));
    at(&server, json!(150), json!({"x": "between", "y": "between"})).await;
    assert_eq!(shown(&server).await, json!({"x": "new", "y": "between"}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_updates_of_one_time_the_later_arrival_wins() {
    let server = Server::start().await;
    at(&server, json!(100.000_001), json!({"x": 1})).await;
    at(&server, json!("100.0000019"), json!({"x": 2})).await;
    assert_eq!(shown(&server).await, json!({"x": 2}));
    at(&server, json!(100), json!({"x": 3})).await;
    assert_eq!(shown(&server).await, json!({"x": 2}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_a_time_counts_from_its_receipt() {
    let server = Server::start().await;
    server
        .updates(&json!({"customer_ids": {"registered": "a"}, "properties": {"x": "first"}}))
        .await;
    server
        .updates(&json!({"customer_ids": {"registered": "a"}, "properties": {"x": "second"}}))
        .await;
    at(&server, json!(1_699_999_999), json!({"x": "before"})).await;
    assert_eq!(shown(&server).await, json!({"x": "second"}));
    // So does one that is ahead of it.
    at(&server, json!(1_700_000_010), json!({"x": "ahead"})).await;
    assert_eq!(shown(&server).await, json!({"x": "ahead"}));
    server.clock.advance(Duration::from_secs(5));
    server
        .updates(&json!({"customer_ids": {"registered": "a"}, "properties": {"x": "later"}}))
        .await;
    assert_eq!(shown(&server).await, json!({"x": "later"}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_clears_a_property_as_of_the_time_of_its_update() {
    let server = Server::start().await;
    at(&server, json!(100), json!({"x": 1})).await;
    at(&server, json!(200), json!({"x": null})).await;
    assert_eq!(shown(&server).await, json!({"x": null}));
    at(&server, json!(150), json!({"x": 2})).await;
    assert_eq!(shown(&server).await, json!({"x": null}));
    at(&server, json!(300), json!({"x": 3})).await;
    assert_eq!(shown(&server).await, json!({"x": 3}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_may_change_the_type_of_a_property() {
    let server = Server::start().await;
    for (time, value) in [
        (1, json!("1")),
        (2, json!(1)),
        (3, json!([1])),
        (4, json!({"a": 1})),
    ] {
        at(&server, json!(time), json!({"x": value})).await;
        assert_eq!(shown(&server).await, json!({"x": value}));
    }
    server.stop().await;
}
