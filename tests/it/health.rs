//! Health over gRPC, and its twins over REST.

use footfall::grpc::pb::health;
use futures_util::FutureExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::Server;

const NAMES: [&str; 6] = [
    "",
    "liveness",
    "readiness",
    "startup",
    "footfall.tracking.v2.TrackingService",
    "footfall.tracking.v2.CustomerService",
];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_of_a_ready_service_is_serving() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    for name in NAMES {
        let answer = client.check(of(name)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_every_name_with_its_status() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut client = health::health_client::HealthClient::new(channel.clone());
    let listed = client.list(health::HealthListRequest {}).await.unwrap();
    let statuses = listed.into_inner().statuses;
    let mut names = NAMES;
    names.sort_unstable();
    assert!(statuses.keys().eq(names), "{statuses:?}");
    let mut client = HealthClient::new(channel);
    for (name, status) in statuses {
        let checked = client.check(of(&name)).await.unwrap().into_inner();
        assert_eq!(checked, status, "{name}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_known_is_not_found() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    for name in [
        "footfall",
        "Liveness",
        "footfall.tracking.v2.TrackingService/AddEvent",
    ] {
        let status = client.check(of(name)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{name}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_with_the_state_and_stays_open_even_for_a_name_that_is_not_known() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    for (name, expected) in [
        ("", ServingStatus::Serving),
        ("liveness", ServingStatus::Serving),
        ("nothing", ServingStatus::ServiceUnknown),
    ] {
        let mut watch = client.watch(of(name)).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status(), expected, "{name}");
        // An end would have come before the answer to a later call on the connection.
        client.check(of("")).await.unwrap();
        assert!(watch.message().now_or_never().is_none(), "{name}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_has_a_twin_of_each_probe() {
    let server = Server::start().await;
    for path in ["/healthz", "/readyz", "/startupz", "//readyz", "/readyz/"] {
        let answer = server.get(path).send().await;
        let body = r#"{"status": "SERVING"}"#;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    server.stop().await;
}
