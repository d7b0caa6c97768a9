//! Requests whose IDs contradict each other.

use serde_json::{Value, json};

use crate::harness::Server;

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
async fn a_hard_id_that_nobody_has_takes_a_clashing_soft_id_to_a_new_customer() {
    let server = Server::start().await;
    visit(&server, json!({"registered": "a", "cookie": "c"}), "before").await;
    visit(&server, json!({"registered": "b", "cookie": "c"}), "after").await;
    assert_eq!(
        server.customer(json!({"registered": "a"})).await["ids"],
        json!({"registered": "a"})
    );
    assert_eq!(
        server.timeline(json!({"registered": "a"})).await,
        ["before"]
    );
    assert_eq!(
        server.customer(json!({"cookie": "c"})).await["ids"],
        json!({"registered": "b", "cookie": ["c"]})
    );
    assert_eq!(server.timeline(json!({"cookie": "c"})).await, ["after"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clashing_soft_id_moves_to_the_customer_whom_the_hard_id_names() {
    let server = Server::start().await;
    visit(&server, json!({"registered": "a", "cookie": "c"}), "of a").await;
    visit(&server, json!({"registered": "b"}), "of b").await;
    visit(&server, json!({"registered": "b", "cookie": "c"}), "after").await;
    visit(&server, json!({"cookie": "c"}), "by cookie").await;
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["of a"]);
    assert_eq!(
        server.timeline(json!({"registered": "b"})).await,
        ["of b", "after", "by cookie"]
    );
    assert_eq!(
        server.customer(json!({"registered": "a"})).await["ids"],
        json!({"registered": "a"})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_id_moves_back_and_forth_between_two_people_on_one_device() {
    let server = Server::start().await;
    for round in 0..3 {
        for person in ["a", "b"] {
            let event_type = format!("{person}{round}");
            visit(
                &server,
                json!({"registered": person, "cookie": "shared"}),
                &event_type,
            )
            .await;
        }
    }
    assert_eq!(
        server.timeline(json!({"registered": "a"})).await,
        ["a0", "a1", "a2"]
    );
    assert_eq!(
        server.timeline(json!({"registered": "b"})).await,
        ["b0", "b1", "b2"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hard_ids_that_cannot_merge_the_type_listed_first_decides() {
    let server = Server::start().await;
    update(
        &server,
        json!({"registered": "a", "email_id": "e"}),
        json!({}),
    )
    .await;
    update(
        &server,
        json!({"registered": "b", "email_id": "f", "cookie": "c"}),
        json!({}),
    )
    .await;
    visit(
        &server,
        json!({"registered": "a", "email_id": "f", "cookie": "c"}),
        "visit",
    )
    .await;
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    let a = json!({"registered": "a", "email_id": "e", "cookie": ["c"]});
    assert_eq!(server.customer(json!({"registered": "a"})).await["ids"], a);
    let b = json!({"registered": "b", "email_id": "f"});
    assert_eq!(server.customer(json!({"email_id": "f"})).await["ids"], b);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_id_that_another_customer_holds_stays_there_when_it_clashes() {
    let server = Server::start().await;
    update(
        &server,
        json!({"registered": "a", "email_id": "e"}),
        json!({}),
    )
    .await;
    visit(
        &server,
        json!({"registered": "b", "email_id": "e"}),
        "visit",
    )
    .await;
    let a = json!({"registered": "a", "email_id": "e"});
    assert_eq!(server.customer(json!({"email_id": "e"})).await["ids"], a);
    assert_eq!(server.timeline(json!({"registered": "b"})).await, ["visit"]);
    server.stop().await;
}
