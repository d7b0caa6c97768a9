//! Anonymising customers, over both protocols.

use footfall::grpc::pb::AnonymizeCustomerRequest;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use serde_json::json;
use tonic::{Code, Status};

use crate::harness::calls::ids;
use crate::harness::{PRIVATE, PUBLIC, Server, TOKEN, authorized};

/// `Authorization` of the key without permissions: `read-nothing:s`.
const NOTHING: &str = "Basic cmVhZC1ub3RoaW5nOnM=";
const A: &str = r#"{"customer_ids":{"registered":"a"}}"#;

/// A customer with two IDs, a property and an event.
async fn known(server: &Server) {
    server.updates(&json!({"customer_ids": {"registered": "a", "cookie": "c"}, "properties": {"first_name": "Lukas"}})).await;
    server
        .adds(&json!({"customer_ids": {"registered": "a"}, "event_type": "visit", "timestamp": 10}))
        .await;
}

async fn anonymizes(server: &Server, key: &str, customer: &[(&str, &str)]) -> Result<(), Status> {
    let request = AnonymizeCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(customer),
    };
    let mut client = CustomerServiceClient::new(server.channel().await);
    let answer = client.anonymize_customer(authorized(request, key)).await;
    answer.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymised_customer_is_nobody_that_can_be_named() {
    let server = Server::start().await;
    known(&server).await;
    let answer = server.data("anonymize", A).send().await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"success": true}"#)
    );
    assert!(!server.knows(json!({"registered": "a"})).await);
    assert!(!server.knows(json!({"cookie": "c"})).await);
    for route in ["anonymize", "export-one", "attributes"] {
        let answer = server.data(route, A).send().await;
        assert_eq!(answer.status, 404, "{route}: {}", answer.body);
        assert_eq!(answer.error(), "Customer does not exist");
        assert_eq!(
            answer.json()["errors"],
            json!({"_global": ["Customer does not exist"]})
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_with_an_id_of_an_anonymous_customer_is_new() {
    let server = Server::start().await;
    known(&server).await;
    anonymizes(&server, PRIVATE, &[("cookie", "c")])
        .await
        .unwrap();
    server
        .adds(&json!({"customer_ids": {"registered": "a"}, "event_type": "back"}))
        .await;
    let customer = server.customer(json!({"registered": "a"})).await;
    assert_eq!(customer["ids"], json!({"registered": "a"}));
    assert_eq!(customer["properties"], json!({}));
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["back"]);
    assert!(!server.knows(json!({"cookie": "c"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymisation_outlives_the_process_and_the_view() {
    let server = Server::start().await;
    known(&server).await;
    anonymizes(&server, PRIVATE, &[("registered", "a")])
        .await
        .unwrap();
    let dir = server.stop().await;
    std::fs::remove_dir_all(dir.path().join("data/view")).unwrap();
    let server = crate::harness::Setup::default().start_in(dir).await;
    assert!(!server.knows(json!({"registered": "a"})).await);
    assert!(!server.knows(json!({"cookie": "c"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymising_needs_private_access_with_the_permission() {
    let server = Server::start().await;
    known(&server).await;
    for key in [PUBLIC, NOTHING] {
        let status = anonymizes(&server, key, &[("registered", "a")])
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "No permission")
        );
        let path = format!("/data/v2/projects/{TOKEN}/customers/anonymize");
        let answer = server.post(&path).header("Authorization", key).body(A);
        let answer = answer.send().await;
        assert_eq!((answer.status, &*answer.error()), (403, "No permission"));
    }
    assert!(server.knows(json!({"registered": "a"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_exist_is_not_anonymised_and_nothing_is_stored() {
    let server = Server::start().await;
    known(&server).await;
    let status = anonymizes(&server, PRIVATE, &[("registered", "b")]).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
    for body in [
        "{}",
        r#"{"customer_ids":{}}"#,
        r#"{"customer_ids":{"registered":""}}"#,
    ] {
        let answer = server.data("anonymize", body).send().await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.json()["errors"],
            json!({"customer_ids": ["Must specify at least one customer ID"]})
        );
    }
    let metrics = crate::harness::Request::new(server.admin, "GET", "/metrics");
    let metrics = metrics.send().await.body;
    assert!(metrics.contains("footfall_log_position 2\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_customers_are_anonymised_at_once_and_unknown_ones_do_not_matter() {
    let server = Server::start().await;
    let customers: Vec<_> = (0..40)
        .map(|n| json!({"customer_ids": {"registered": format!("r{n}")}, "sdk": 1}))
        .collect();
    for customer in customers.iter().step_by(2) {
        server.updates(customer).await;
    }
    let body = json!({"customers": customers, "x": 1}).to_string();
    let answer = server.data("anonymize_bulk", &body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told = answer.json();
    assert_eq!(told["success"], true);
    assert_eq!(told["bulk_id"].as_str(), answer.header("x-request-id"));
    for n in 0..40 {
        let ids = json!({"registered": format!("r{n}")});
        assert!(!server.knows(ids).await, "{n}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_that_breaks_a_rule_takes_nobody() {
    let server = Server::start().await;
    known(&server).await;
    let one = A;
    let many = vec![one; 1_001].join(",");
    for (body, says) in [
        (
            r#"{"customers":[]}"#.to_owned(),
            "must have 1 to 1000 customers, not 0",
        ),
        ("{}".to_owned(), "must have 1 to 1000 customers, not 0"),
        (
            format!(r#"{{"customers":[{many}]}}"#),
            "must have 1 to 1000 customers, not 1001",
        ),
        (
            format!(r#"{{"customers":[{one},5]}}"#),
            "must be a list of objects, not 5",
        ),
        (
            r#"{"customers":{}}"#.to_owned(),
            "must be a list of objects, not {}",
        ),
        (
            format!(r#"{{"customers":[{one},{{}}]}}"#),
            "Must specify at least one customer ID",
        ),
        ("[]".to_owned(), "Invalid JSON"),
    ] {
        let (status, text) = server.data("anonymize_bulk", &body).refused().await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(says), "{text}");
    }
    let bulk = format!(r#"{{"customers":[{one}]}}"#);
    let path = format!("/data/v2/projects/{TOKEN}/customers/anonymize_bulk");
    for (key, status) in [(PUBLIC, 403), (NOTHING, 403), ("Token nobody", 401)] {
        let sent = server.post(&path).header("Authorization", key);
        assert_eq!(sent.body(&bulk).send().await.status, status, "{key}");
    }
    assert!(server.knows(json!({"registered": "a"})).await);
    server.stop().await;
}
