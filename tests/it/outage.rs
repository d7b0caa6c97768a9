//! A disk that fails, hangs or is full: what callers of both protocols are told, and what goes on.

mod crowd;

use std::sync::Arc;
use std::time::Duration;

use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::grpc::pb::{AddEventRequest, UpdateCustomerRequest};
use footfall::log::StoreError;
use footfall::log::memory::MemoryStore;
use futures_util::future::select;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Answer, PUBLIC, Server, Setup, TOKEN, authorized, eventually};

/// A service over a store of the scenario's, with one event that was stored while all was well.
struct Scene {
    store: Arc<MemoryStore>,
    server: Server,
    client: TrackingServiceClient<tonic::transport::Channel>,
}

impl Scene {
    async fn start(settings: &str) -> Self {
        let store = Arc::new(MemoryStore::default());
        let server = Setup::default()
            .with(settings)
            .over(store.clone())
            .start()
            .await;
        let client = TrackingServiceClient::new(server.channel().await);
        let scene = Self {
            store,
            server,
            client,
        };
        assert_eq!(scene.send(1).await.status, 200);
        assert_eq!(scene.events().await, [1]);
        scene
    }

    /// Stores an event over REST.
    async fn send(&self, n: u32) -> Answer {
        let event = format!(
            r#"{{"customer_ids":{{"registered":"a"}},"event_type":"visit","timestamp":{n},"properties":{{"n":{n}}}}}"#
        );
        self.server.track("customers/events", &event).send().await
    }

    /// Stores an event over gRPC; it has no properties.
    async fn call(&self) -> Result<(), Status> {
        let event = AddEventRequest {
            project_token: TOKEN.to_owned(),
            customer_ids: [("registered".to_owned(), "grpc".to_owned())].into(),
            event_type: "visit".to_owned(),
            ..AddEventRequest::default()
        };
        let called = self
            .client
            .clone()
            .add_event(authorized(event, PUBLIC))
            .await;
        called.map(drop)
    }

    /// The numbers of the events that can be read.
    async fn events(&self) -> Vec<u64> {
        let question = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;
        let answer = self.server.data("events", question).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let events = answer.json()["data"].as_array().unwrap().clone();
        let numbers = events.iter().map(|event| &event["properties"]["n"]);
        numbers.map(|n| n.as_u64().unwrap()).collect()
    }

    /// Waits until readiness is as it should be; gives the reason.
    async fn readiness(&self, status: u16) -> String {
        let answer = eventually(&format!("readiness is {status}"), async || {
            let answer = self.server.get("/readyz").send().await;
            (answer.status == status).then_some(answer)
        })
        .await;
        let reason = answer.json()["reason"].clone();
        reason.as_str().unwrap_or_default().to_owned()
    }

    /// Lets the service go, whose disk must not hang any more.
    async fn stop(self) {
        drop(self.client);
        self.server.stop().await;
    }
}

/// The service says that it cannot take it now, and when to come back.
fn is_unavailable(answer: &Answer, reason: &str, seconds: u64) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.error(), reason);
    assert_eq!(answer.json()["code"], "UNAVAILABLE");
    assert_eq!(
        answer.header("retry-after"),
        Some(seconds.to_string().as_str())
    );
}

/// As [`is_unavailable`], over gRPC.
fn is_unavailable_grpc(status: &Status, reason: &str, seconds: u64) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.message(), reason);
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(seconds)));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_commit_nothing_more_is_taken_and_reads_go_on() {
    let scene = Scene::start("").await;
    scene
        .store
        .fail(Some(StoreError::Failed("bad sector".into())));
    let reason = "the log cannot be written";
    is_unavailable(&scene.send(2).await, reason, 5);
    // The disk recovers, but nobody knows what it has kept.
    scene.store.fail(None);
    is_unavailable(&scene.send(3).await, reason, 5);
    is_unavailable_grpc(&scene.call().await.unwrap_err(), reason, 5);
    let batch = r#"{"commands":[{"name":"system/time"},{"name":"customers","data":{"customer_ids":{"registered":"a"}}}]}"#;
    is_unavailable(&scene.server.track("batch", batch).send().await, reason, 5);

    assert_eq!(scene.readiness(503).await, reason);
    assert_eq!(scene.server.get("/healthz").send().await.status, 200);
    assert_eq!(scene.server.get("/startupz").send().await.status, 200);
    assert_eq!(scene.events().await, [1]);
    assert_eq!(
        scene.server.track("system/time", "").send().await.status,
        200
    );
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_until_it_has_space_again() {
    let scene = Scene::start("").await;
    scene.store.fail(Some(StoreError::Full));
    is_unavailable(&scene.send(2).await, "the disk is full", 5);
    is_unavailable_grpc(&scene.call().await.unwrap_err(), "the disk is full", 5);
    assert_eq!(scene.readiness(503).await, "the disk is full");
    assert_eq!(scene.events().await, [1]);

    // Nobody writes to a service that is not ready: it finds out for itself.
    scene.store.fail(None);
    scene.readiness(200).await;
    assert_eq!(scene.send(2).await.status, 200);
    scene.call().await.unwrap();
    assert_eq!(scene.events().await, [1, 2]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_loses_nothing_that_it_took() {
    let scene = Scene::start("[data]\nqueue_records_max = 1").await;
    scene.store.stall(true);
    // One of them is taken and waits for the disk.
    let both = select(Box::pin(scene.send(2)), Box::pin(scene.send(3)));
    let (refused, taken) = both.await.factor_first();
    is_unavailable(&refused, "the service is overloaded", 1);
    is_unavailable_grpc(
        &scene.call().await.unwrap_err(),
        "the service is overloaded",
        1,
    );
    assert_eq!(scene.events().await, [1]);
    // Too much at once is nothing that an operator has to mend.
    assert_eq!(scene.server.get("/readyz").send().await.status, 200);

    scene.store.stall(false);
    assert_eq!(taken.await.status, 200);
    assert_eq!(scene.events().await.len(), 2);
    scene.call().await.unwrap();
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_is_given_up_in_time_and_shows() {
    let scene = Scene::start("[server]\nrequest_timeout = \"200ms\"").await;
    scene.store.stall(true);
    let reason = "the disk did not answer within 200ms";
    is_unavailable(&scene.send(2).await, reason, 5);
    is_unavailable_grpc(&scene.call().await.unwrap_err(), reason, 5);
    assert_eq!(scene.events().await, [1]);
    scene.server.clock.advance(Duration::from_secs(7));
    assert_eq!(
        scene.readiness(503).await,
        "the disk has not answered for 7 s"
    );

    scene.store.stall(false);
    scene.readiness(200).await;
    // Whether it was kept was not known, and asking again does no harm.
    assert_eq!(scene.send(2).await.status, 200);
    assert_eq!(scene.events().await, [1, 2]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_a_rule_is_told_so_although_the_disk_is_full() {
    let scene = Scene::start("").await;
    scene.store.fail(Some(StoreError::Full));
    let answer = scene.server.track("customers/events", "{}").send().await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    let update = UpdateCustomerRequest {
        project_token: TOKEN.to_owned(),
        ..UpdateCustomerRequest::default()
    };
    let mut client = scene.client.clone();
    let refused = client.update_customer(authorized(update, PUBLIC)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    scene.stop().await;
}
