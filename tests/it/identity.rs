//! Which customer a request is about, and how its IDs are linked.

use serde_json::{Value, json};

use crate::harness::Server;

/// Updates anyone who the IDs name; the property tells which request it was.
async fn update(server: &Server, ids: Value, properties: Value) {
    server
        .updates(&json!({"customer_ids": ids, "properties": properties}))
        .await;
}

async fn visit(server: &Server, ids: Value, event_type: &str) {
    server
        .adds(&json!({"customer_ids": ids, "event_type": event_type}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_nobody_has_make_a_new_customer_who_gets_them_all() {
    let server = Server::start().await;
    let all = json!({"registered": "a", "email_id": "e", "cookie": "c"});
    update(&server, all, json!({"x": 1})).await;
    for ids in [
        json!({"registered": "a"}),
        json!({"email_id": "e"}),
        json!({"cookie": "c"}),
    ] {
        let customer = server.customer(ids).await;
        assert_eq!(
            customer["ids"],
            json!({"registered": "a", "email_id": "e", "cookie": ["c"]})
        );
        assert_eq!(customer["properties"], json!({"x": 1}));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_customer_gets_the_new_ids() {
    let server = Server::start().await;
    update(&server, json!({"cookie": "c"}), json!({"x": 1})).await;
    update(
        &server,
        json!({"cookie": "c", "registered": "a"}),
        json!({"y": 2}),
    )
    .await;
    visit(&server, json!({"registered": "a", "cookie": "d"}), "visit").await;
    let customer = server.customer(json!({"cookie": "d"})).await;
    assert_eq!(
        customer["ids"],
        json!({"registered": "a", "cookie": ["c", "d"]})
    );
    assert_eq!(customer["properties"], json!({"x": 1, "y": 2}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_that_agree_merge_and_their_events_move() {
    let server = Server::start().await;
    visit(&server, json!({"cookie": "first"}), "one").await;
    visit(&server, json!({"registered": "a"}), "two").await;
    visit(&server, json!({"cookie": "second"}), "three").await;
    visit(
        &server,
        json!({"registered": "a", "cookie": "first"}),
        "four",
    )
    .await;
    let ids = json!({"registered": "a", "cookie": ["first"]});
    assert_eq!(
        server.customer(json!({"cookie": "first"})).await["ids"],
        ids
    );
    let events = server.timeline(json!({"registered": "a"})).await;
    assert_eq!(events, ["one", "two", "merge", "four"]);
    assert_eq!(
        server.timeline(json!({"cookie": "second"})).await,
        ["three"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_recorded_with_the_ids_of_the_customer_that_went() {
    let server = Server::start().await;
    update(&server, json!({"registered": "a"}), json!({})).await;
    update(&server, json!({"cookie": "c", "email_id": "e"}), json!({})).await;
    update(
        &server,
        json!({"registered": "a", "cookie": "c"}),
        json!({}),
    )
    .await;
    let customer = server.customer(json!({"registered": "a"})).await;
    assert_eq!(customer["events"][0]["type"], "merge");
    assert_eq!(
        customer["events"][0]["properties"],
        json!({"cookie": ["c"], "email_id": "e"})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_values_the_one_updated_later_survives_a_merge() {
    let server = Server::start().await;
    let at = async |ids: Value, properties: Value, time: u32| {
        server
            .updates(
                &json!({"customer_ids": ids, "properties": properties, "update_timestamp": time}),
            )
            .await;
    };
    at(
        json!({"registered": "a"}),
        json!({"x": "older", "y": "newer", "only": "a"}),
        100,
    )
    .await;
    at(
        json!({"cookie": "c"}),
        json!({"x": "newer", "other": "c"}),
        200,
    )
    .await;
    at(json!({"cookie": "c"}), json!({"y": "older"}), 50).await;
    update(
        &server,
        json!({"registered": "a", "cookie": "c"}),
        json!({}),
    )
    .await;
    let properties = server.properties(json!({"registered": "a"})).await;
    assert_eq!(
        properties,
        json!({"x": "newer", "y": "newer", "only": "a", "other": "c"})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_goes_on_through_a_chain_of_customers() {
    let server = Server::start().await;
    for cookie in ["1", "2", "3", "4"] {
        visit(&server, json!({"cookie": cookie}), cookie).await;
    }
    update(
        &server,
        json!({"registered": "b", "cookie": "4"}),
        json!({}),
    )
    .await;
    update(
        &server,
        json!({"registered": "b", "cookie": "3"}),
        json!({}),
    )
    .await;
    update(&server, json!({"email_id": "e", "cookie": "1"}), json!({})).await;
    update(&server, json!({"email_id": "e", "cookie": "2"}), json!({})).await;
    update(
        &server,
        json!({"registered": "b", "email_id": "e"}),
        json!({}),
    )
    .await;
    let customer = server.customer(json!({"cookie": "4"})).await;
    assert_eq!(customer["ids"]["registered"], "b");
    assert_eq!(customer["ids"]["email_id"], "e");
    let mut cookies = customer["ids"]["cookie"].as_array().unwrap().clone();
    cookies.sort_by_key(Value::to_string);
    assert_eq!(cookies, ["1", "2", "3", "4"]);
    let events = server.timeline(json!({"cookie": "1"})).await;
    assert_eq!(events, ["1", "2", "3", "4", "merge", "merge", "merge"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_65th_soft_id_drops_the_one_unused_for_longest() {
    let server = Server::start().await;
    let ids = |cookie: usize| json!({"registered": "a", "cookie": format!("c{cookie}")});
    for cookie in 0..64 {
        update(&server, ids(cookie), json!({})).await;
    }
    // The oldest one is used again, so that the second is unused for longest.
    visit(&server, json!({"cookie": "c0"}), "visit").await;
    update(&server, ids(64), json!({})).await;
    let customer = server.customer(json!({"registered": "a"})).await;
    let cookies = customer["ids"]["cookie"].as_array().unwrap();
    assert_eq!(cookies.len(), 64);
    assert!(server.knows(json!({"cookie": "c0"})).await);
    assert!(!server.knows(json!({"cookie": "c1"})).await);
    assert!(server.knows(json!({"cookie": "c2"})).await);
    assert!(server.knows(json!({"cookie": "c64"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_a_batch_see_the_ids_of_those_before_them() {
    let server = Server::start().await;
    let command = |ids: Value, event_type: &str| json!({"name": "customers/events", "data": {"customer_ids": ids, "event_type": event_type}});
    let commands = json!({"commands": [
        command(json!({"cookie": "c"}), "one"),
        command(json!({"registered": "a"}), "two"),
        command(json!({"registered": "a", "cookie": "c"}), "three"),
        command(json!({"registered": "b", "cookie": "c"}), "four"),
        command(json!({"cookie": "c"}), "five"),
    ]});
    assert_eq!(
        server
            .track("batch", &commands.to_string())
            .send()
            .await
            .status,
        200
    );
    assert_eq!(
        server.timeline(json!({"registered": "a"})).await,
        ["one", "two", "merge", "three"]
    );
    assert_eq!(
        server.timeline(json!({"registered": "b"})).await,
        ["four", "five"]
    );
    server.stop().await;
}
