//! Faults, as callers of both protocols meet them.

use std::collections::BTreeMap;

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use serde_json::json;
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Emulator, event};
use crate::harness::authorized;

async fn channel(emulator: &Emulator) -> TrackingServiceClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", emulator.url)).unwrap();
    TrackingServiceClient::new(endpoint.connect().await.unwrap())
}

async fn add(
    client: &mut TrackingServiceClient<Channel>,
    project: &str,
    n: i64,
) -> Result<(), Status> {
    let event = pb::AddEventRequest {
        project_token: project.to_owned(),
        customer_ids: BTreeMap::from([("registered".to_owned(), "jane".to_owned())]),
        event_type: "visit".to_owned(),
        properties: None,
        timestamp: crate::harness::calls::time(1_700_000_000 + n, 0),
    };
    client
        .add_event(authorized(event, "Token any"))
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_comes_as_often_as_asked_and_nothing_is_stored() {
    let emulator = Emulator::start();
    let fault = json!({"project": "a", "route": "customers/events", "status": 429, "retry_after": 2, "times": 2});
    let listed = emulator.asks("/faults", &fault).await;
    assert_eq!(listed["faults"][0]["times"], 2);
    let batch = json!({"commands": [{"name": "customers/events", "data": event("visit", 9)}]});
    let answer = emulator.tracking("a", "batch", &batch).send().await;
    assert_eq!(answer.status, 200, "it is another route");
    for _ in 0..2 {
        let answer = emulator.tracks("a", "visit", 1).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some("2"))
        );
        assert_eq!(
            answer.error(),
            "the emulator answers 429 to this call, as asked"
        );
    }
    assert_eq!(emulator.received("a").await, ["visit"]);
    assert_eq!(emulator.tracks("a", "visit", 1).await.status, 200);
    assert_eq!(emulator.received("a").await, ["visit", "visit"]);
    emulator
        .asks("/faults", &json!({"project": "a", "status": 418}))
        .await;
    assert_eq!(emulator.tracks("a", "visit", 2).await.status, 418);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_meets_the_faults_of_its_project() {
    let emulator = Emulator::start();
    let mut client = channel(&emulator).await;
    let fault = json!({"project": "a", "route": "AddEvent", "status": 503, "retry_after": 2});
    emulator.asks("/faults", &fault).await;
    add(&mut client, "b", 1).await.unwrap();
    let refused = add(&mut client, "a", 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(
        refused.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "2000"
    );
    let wait = refused.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(wait.unwrap().as_secs(), 2);
    add(&mut client, "a", 1).await.unwrap();
    assert_eq!(emulator.received("a").await, ["visit"]);

    emulator
        .asks("/faults", &json!({"project": "a", "cut": "before"}))
        .await;
    let cut = add(&mut client, "a", 2).await.unwrap_err();
    assert_ne!(cut.code(), Code::Ok);
    assert_eq!(emulator.received("a").await, ["visit"]);
    let mut client = channel(&emulator).await;
    emulator
        .asks("/faults", &json!({"project": "a", "cut": "after"}))
        .await;
    add(&mut client, "a", 2).await.unwrap_err();
    let mut client = channel(&emulator).await;
    add(&mut client, "a", 2).await.unwrap();
    let counts = emulator.sees("/counts?project=a").await;
    assert_eq!(counts["projects"]["a"]["events"], 2);
    assert_eq!(counts["projects"]["a"]["duplicates"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_cut_before_or_after_its_call_is_stored() {
    let emulator = Emulator::start();
    for (cut, stored) in [("before", 0), ("after", 1)] {
        emulator
            .asks("/faults", &json!({"project": cut, "cut": cut}))
            .await;
        let stream = TcpStream::connect(emulator.url).await.unwrap();
        let mut stream = stream;
        let request = emulator.tracking(cut, "customers/events", &event("visit", 1));
        let answered = std::panic::AssertUnwindSafe(request.send_over(&mut stream));
        let answered = futures_util::FutureExt::catch_unwind(answered).await;
        assert!(!matches!(answered, Ok(Ok(_))), "there is an answer");
        let counts = emulator.sees(&format!("/counts?project={cut}")).await;
        let events = counts["projects"][cut]["events"].as_u64().unwrap_or(0);
        assert_eq!(events, stored, "{cut}");
        assert_eq!(emulator.tracks(cut, "visit", 1).await.status, 200);
        assert_eq!(emulator.received(cut).await, ["visit"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_comes_before_the_call_and_faults_come_in_their_order() {
    let emulator = Emulator::start();
    emulator
        .asks("/faults", &json!({"project": "a", "delay": 0.2}))
        .await;
    emulator
        .asks(
            "/faults",
            &json!({"project": "a", "delay": 0.01, "status": 500}),
        )
        .await;
    let begun = tokio::time::Instant::now();
    assert_eq!(emulator.tracks("a", "visit", 1).await.status, 200);
    assert!(begun.elapsed().as_millis() >= 200);
    assert_eq!(emulator.tracks("a", "visit", 2).await.status, 500);
    emulator
        .asks(
            "/faults",
            &json!({"project": "a", "status": 500, "times": 9}),
        )
        .await;
    let left = emulator
        .asks("/faults", &json!({"project": "a", "clear": true}))
        .await;
    assert_eq!(left, json!({"faults": []}));
    assert_eq!(emulator.tracks("a", "visit", 3).await.status, 200);
}
