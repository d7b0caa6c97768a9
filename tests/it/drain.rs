//! Stopping: what is in flight is finished, and nothing that was accepted is left without an answer.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use footfall::grpc::pb::AddEventRequest;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::log::memory::MemoryStore;
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::keep_alive::{Connection, post};
use crate::harness::{Answer, PUBLIC, Request, Server, Setup, TOKEN, authorized, eventually};

const EVENT: &str =
    r#"{"customer_ids":{"registered":"a"},"event_type":"visit","timestamp":1700000000}"#;
const QUESTION: &str = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;

fn path() -> String {
    format!("/track/v2/projects/{TOKEN}/customers/events")
}

/// Waits until nobody is accepted any more.
async fn refuses_connections(server: &Server) {
    eventually("nobody is accepted any more", async || {
        let refused = TcpStream::connect(server.address).await.is_err();
        refused.then_some(())
    })
    .await;
}

/// Waits until readiness is off.
async fn is_not_ready(server: &Server) -> Answer {
    eventually("readiness is off", async || {
        let answer = server.get("/readyz").send().await;
        (answer.status != 200).then_some(answer)
    })
    .await
}

fn visit() -> tonic::Request<AddEventRequest> {
    let event = AddEventRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: [("registered".to_owned(), "a".to_owned())].into(),
        event_type: "visit".to_owned(),
        ..AddEventRequest::default()
    };
    authorized(event, PUBLIC)
}

#[tokio::test]
async fn a_request_that_the_service_has_not_looked_at_yet_is_answered() {
    let server = Server::start().await;
    // The service shares this thread: it sees nothing of this before the signal.
    let mut streams: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            stream
                .write_all(post(&path(), PUBLIC, EVENT).as_bytes())
                .unwrap();
            stream
        })
        .collect();
    let dir = server.stop().await;
    for stream in &mut streams {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = Answer::parse(&answer);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let server = Setup::default().start_in(dir).await;
    let read = server.data("events", QUESTION).send().await;
    assert_eq!(read.json()["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_do_not_hold_up_a_stop() {
    let setup = Setup::default().with("[server]\nheader_timeout = \"1h\"\ndrain_timeout = \"1h\"");
    let server = setup.start().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut idle = Connection::open(server.address).await.unwrap();
    idle.post(&path(), PUBLIC, EVENT).await.unwrap();
    let channel = server.channel().await;
    let mut client = TrackingServiceClient::new(channel);
    client.add_event(visit()).await.unwrap();
    server.stop().await;
    drop((silent, idle, client));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_arrives_slowly_is_waited_for() {
    let server = Server::start().await;
    let mut slow = Connection::open(server.address).await.unwrap();
    let request = post(&path(), PUBLIC, EVENT).replace("host:", "expect: 100-continue\r\nhost:");
    let (begin, end) = request.split_at(request.len() - 10);
    slow.write(begin.as_bytes()).await.unwrap();
    // Asked to go on, the caller knows that its request has been begun.
    slow.is_asked_to_continue().await;

    server.signal();
    refuses_connections(&server).await;
    slow.write(end.as_bytes()).await.unwrap();
    let answer = slow.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("connection"), Some("close"));

    let dir = server.ended().await;
    let server = Setup::default().start_in(dir).await;
    let read = server.data("events", QUESTION).send().await;
    assert_eq!(read.json()["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_balancers_are_given_time_readiness_is_off_and_calls_succeed() {
    let setup = Setup::default().with("[server]\ndrain_wait = \"1h\"");
    let server = setup.start().await;
    let channel = server.channel().await;
    let mut health = HealthClient::new(channel.clone());
    let mut check = async |service: &str| {
        let service = service.to_owned();
        let checked = health.check(HealthCheckRequest { service }).await;
        checked.unwrap().into_inner().status()
    };
    let of_services = [
        "",
        "readiness",
        "footfall.tracking.v2.TrackingService",
        "footfall.tracking.v2.CustomerService",
    ];
    for service in of_services {
        assert_eq!(check(service).await, ServingStatus::Serving, "{service}");
    }
    for path in ["/healthz", "/readyz", "/startupz"] {
        assert_eq!(server.get(path).send().await.status, 200, "{path}");
    }

    server.signal();
    let readiness = is_not_ready(&server).await;
    assert_eq!(readiness.status, 503);
    assert_eq!(
        readiness.body,
        r#"{"status": "NOT_SERVING", "reason": "draining"}"#
    );
    for service in of_services {
        assert_eq!(check(service).await, ServingStatus::NotServing, "{service}");
    }
    for service in ["liveness", "startup"] {
        assert_eq!(check(service).await, ServingStatus::Serving, "{service}");
    }
    for path in ["/healthz", "/startupz"] {
        assert_eq!(server.get(path).send().await.status, 200, "{path}");
    }
    let admin = async |path| {
        let answer = Request::new(server.admin, "GET", path).send().await;
        answer.status
    };
    assert_eq!(admin("/readyz").await, 503);
    assert_eq!(admin("/healthz").await, 200);
    assert_eq!(admin("/metrics").await, 200);
    // New connections and old ones: a balancer may send for a while.
    assert_eq!(
        server.track("customers/events", EVENT).send().await.status,
        200
    );
    let mut client = TrackingServiceClient::new(channel);
    client.add_event(visit()).await.unwrap();

    // A second signal cuts the hour short.
    server.signal();
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_health_hears_of_the_stop_and_does_not_hold_it_up() {
    let setup = Setup::default().with("[server]\ndrain_timeout = \"1h\"");
    let server = setup.start().await;
    let mut health = HealthClient::new(server.channel().await);
    let service = "readiness".to_owned();
    let watched = health.watch(HealthCheckRequest { service }).await;
    let mut statuses = watched.unwrap().into_inner();
    let first = statuses.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    server.signal();
    let last = statuses.next().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    let end = statuses
        .next()
        .await
        .map(|ended| ended.map_err(|status| status.code()));
    assert!(
        matches!(end, None | Some(Err(Code::Unavailable))),
        "{end:?}"
    );
    server.ended().await;
}

/// A service of which one request hangs on its disk.
async fn hangs(drain_timeout: &str) -> (Arc<MemoryStore>, Server, Connection) {
    let store = Arc::new(MemoryStore::default());
    let settings =
        format!("[server]\nrequest_timeout = \"1h\"\ndrain_timeout = \"{drain_timeout}\"");
    let setup = Setup::default().with(&settings).over(store.clone());
    let server = setup.start().await;
    store.stall(true);
    let mut hanging = Connection::open(server.address).await.unwrap();
    let request = post(&path(), PUBLIC, EVENT).replace("host:", "expect: 100-continue\r\nhost:");
    hanging.write(request.as_bytes()).await.unwrap();
    hanging.is_asked_to_continue().await;
    server.signal();
    (store, server, hanging)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_disk_hangs_ends_when_its_time_is_over() {
    let (store, server, hanging) = hangs("100ms").await;
    server.ended().await;
    store.stall(false);
    drop(hanging);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_service_whose_disk_hangs() {
    let (store, server, hanging) = hangs("1h").await;
    refuses_connections(&server).await;
    server.signal();
    server.ended().await;
    store.stall(false);
    drop(hanging);
}
