//! A panic in the service ends the call that met it, and nothing else.

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use serde_json::json;
use tonic::Code;

use crate::harness::calls::event;
use crate::harness::keep_alive::{Connection, post};
use crate::harness::trap::Trap;
use crate::harness::watching::now;
use crate::harness::{PRIVATE, PUBLIC, Request, Server, Setup, TOKEN, authorized};

const DEFECT: &str = "the service has met a defect in itself; the call may have been carried out";

async fn trapped() -> (Trap, Server) {
    let trap = Trap::default();
    let server = Setup::default().trapped(&trap).start().await;
    (trap, server)
}

/// How many panics the service has counted.
async fn counted(server: &Server) -> u64 {
    let metrics = Request::new(server.admin, "GET", "/metrics")
        .send()
        .await
        .body;
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("footfall_panics_total "));
    count.unwrap().parse().unwrap()
}

fn asks_for_the_time() -> tonic::Request<pb::GetSystemTimeRequest> {
    let question = pb::GetSystemTimeRequest {
        project_token: TOKEN.to_owned(),
    };
    authorized(question, PUBLIC)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_over_grpc_is_internal_to_its_call_and_the_connection_s_others_go_on() {
    let (trap, server) = trapped().await;
    let channel = server.channel().await;
    let mut tracking = TrackingServiceClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel);
    let watched = customers.watch_events(authorized(now(), PRIVATE)).await;
    let mut watched = watched.unwrap().into_inner();
    watched.message().await.unwrap();
    trap.set();
    let failed = tracking
        .get_system_time(asks_for_the_time())
        .await
        .unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Internal, DEFECT));
    assert!(failed.metadata().contains_key("x-request-id"));
    assert_eq!(counted(&server).await, 1);
    tracking.get_system_time(asks_for_the_time()).await.unwrap();
    tracking
        .add_event(authorized(event("visit"), PUBLIC))
        .await
        .unwrap();
    let told = watched.message().await.unwrap().unwrap();
    assert_eq!(told.event.unwrap().r#type, "visit");
    drop(watched);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_over_rest_is_a_500_in_the_shim_s_words_and_the_connection_goes_on() {
    let (trap, server) = trapped().await;
    let mut connection = Connection::open(server.address).await.unwrap();
    let path = format!("/track/v2/projects/{TOKEN}/customers/events");
    let event = json!({"customer_ids": {"registered": "a"}, "event_type": "visit"}).to_string();
    let post = post(&path, PUBLIC, &event);
    trap.set();
    connection.write(post.as_bytes()).await.unwrap();
    let answer = connection.answer().await.unwrap();
    let refusal = answer.refusal();
    assert_eq!(
        (refusal.status, refusal.code.as_str(), refusal.text.as_str()),
        (500, "INTERNAL", DEFECT)
    );
    connection.write(post.as_bytes()).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    assert_eq!(counted(&server).await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_middle_of_a_stream_ends_it_with_internal_and_no_other() {
    let (trap, server) = trapped().await;
    let mut lane = server.opens(PUBLIC, "203.0.113.7").await.unwrap();
    let mut other = server.opens(PUBLIC, "203.0.113.8").await.unwrap();
    let command = pb::Command {
        command_id: "1".to_owned(),
        command: Some(pb::command::Command::AddEvent(event("visit"))),
    };
    lane.send(TOKEN, command.clone()).await;
    assert_eq!(lane.result().await.1.error, None);
    trap.set();
    lane.send(TOKEN, command.clone()).await;
    let ended = lane.told().await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Internal, DEFECT));
    assert!(!trap.is_set());
    other.send(TOKEN, command).await;
    assert_eq!(other.result().await.1.error, None);
    assert_eq!(counted(&server).await, 1);
    other.closed().await.unwrap();
    server.stop().await;
}
