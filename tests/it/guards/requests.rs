//! Calls in flight, in all and by address; and what does not count as one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::log::memory::MemoryStore;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{UPDATE, half_sent, time};
use crate::harness::watching::now;
use crate::harness::{PRIVATE, PUBLIC, Server, Setup, TOKEN, authorized, eventually};

/// Asks for the time over REST; the status.
async fn asks(server: &Server, from: &str) -> u16 {
    let request = server.get(&time()).header("authorization", PUBLIC);
    request.from(from).send().await.status
}

async fn calls(server: &Server) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    let question = pb::GetSystemTimeRequest {
        project_token: TOKEN.to_owned(),
    };
    let told = client.get_system_time(authorized(question, PUBLIC)).await;
    told.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_calls_others_are_unavailable_for_a_moment_and_probes_are_not() {
    let server = Setup::default()
        .with("[server]\nrequests_max = 2")
        .start()
        .await;
    let mut slow = half_sent(&server, "203.0.113.7").await;
    let mut other = half_sent(&server, "203.0.113.8").await;

    let refused = server.track("customers", UPDATE).send().await;
    let refusal = refused.refusal();
    assert_eq!(
        (refusal.status, refusal.code.as_str(), refusal.text.as_str()),
        (
            503,
            "UNAVAILABLE",
            "2 calls are under way, which is the most"
        )
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let status = calls(&server).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(1)));
    assert_eq!(server.rejected("requests_max").await, 2);
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(server.get(probe).send().await.status, 200);
    }

    for connection in [&mut slow, &mut other] {
        connection.write(UPDATE.as_bytes()).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
    server.serves().await;
    calls(&server).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_calls_under_way_and_others_have_theirs() {
    let settings = "[server]\nrequests_per_address_max = 1";
    let server = Setup::default().with(settings).start().await;
    let slow = half_sent(&server, "203.0.113.7").await;
    let request = server.track("customers", UPDATE).from("203.0.113.7");
    let text = "1 calls from 203.0.113.7 are under way, which is the most";
    assert_eq!(request.refused().await, (503, text.to_owned()));
    assert_eq!(server.rejected("requests_per_address_max").await, 1);
    assert_eq!(asks(&server, "203.0.113.8").await, 200);
    // Anyone who leaves in the middle leaves its place, too.
    drop(slow);
    eventually("the place is given back", async || {
        (asks(&server, "203.0.113.7").await == 200).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_the_disk_are_under_way() {
    let store = Arc::new(MemoryStore::default());
    let settings = "[server]\nrequests_max = 1";
    let server = Setup::default()
        .with(settings)
        .over(store.clone())
        .start()
        .await;
    let mut waits = half_sent(&server, "203.0.113.7").await;
    store.stall(true);
    waits.write(UPDATE.as_bytes()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(asks(&server, "203.0.113.8").await, 503);
    }
    store.stall(false);
    assert_eq!(waits.answer().await.unwrap().status, 200);
    assert_eq!(asks(&server, "203.0.113.8").await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_do_not_take_the_place_of_calls() {
    let settings = "[server]\nrequests_max = 1\nrequests_per_address_max = 1\nwatchers_max = 1";
    let server = Setup::default().with(settings).start().await;
    let watcher = server.watches(now()).await;
    let lane = server.opens(PUBLIC, "203.0.113.7").await.unwrap();
    assert_eq!(asks(&server, "203.0.113.7").await, 200);
    server.serves().await;
    assert_eq!(server.rejected("requests_max").await, 0);
    // What bounds watches is how many a key has.
    let status = server.watches_as(PRIVATE, now()).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(server.rejected("watchers_max").await, 1);
    lane.closed().await.unwrap();
    drop(watcher);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_say_whose_it_is_is_counted() {
    let hasty = "[server]\nbody_timeout = \"200ms\"";
    let server = Setup::default().with(hasty).start().await;
    let mut silent = server.opens(PUBLIC, "203.0.113.7").await.unwrap();
    let ended = silent.told().await.unwrap_err();
    assert_eq!(ended.code(), Code::InvalidArgument);
    assert_eq!(server.rejected("body_timeout").await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_no_more_answers_than_calls_that_nobody_takes() {
    let settings = "[server]\nrequests_per_address_max = 3\nrequests_max = 4";
    let server = Setup::default().with(settings).start().await;
    // Nothing of a body, and one byte of it: the rest lies with HTTP/2 then.
    for window in [0, 1] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut ask = async |authorization: &str| {
            let request = http::Request::get(format!("http://footfall{}", time()))
                .header("authorization", authorization)
                .header("x-forwarded-for", "203.0.113.7")
                .body(Empty::<Bytes>::new())
                .unwrap();
            sender.ready().await.unwrap();
            sender.send_request(request).await.unwrap()
        };
        // What is refused has an answer too.
        let untaken = [ask(PUBLIC).await, ask("Token nobody").await, ask("").await];
        let statuses = untaken.each_ref().map(|answer| answer.status().as_u16());
        assert_eq!(statuses, [200, 401, 401], "{window}");
        assert_eq!(ask(PUBLIC).await.status(), 503, "{window}");
        // The places of all calls are free.
        for _ in 0..8 {
            assert_eq!(asks(&server, "203.0.113.8").await, 200);
        }
        drop(untaken);
        connection.abort();
        eventually("the places are given back", async || {
            (asks(&server, "203.0.113.7").await == 200).then_some(())
        })
        .await;
    }
    server.stop().await;
}
