//! The memory of bodies and messages: what an address, a key and all together may hold, and that it comes back.

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::http2::{call, client};
use super::{UPDATE, path};
use crate::harness::calls::update;
use crate::harness::half::{Half, framed, message};
use crate::harness::keep_alive::{Connection, post};
use crate::harness::{Answer, PRIVATE, PUBLIC, Server, Setup, TOKEN, authorized};
use crate::rest_compression::{CODINGS, compressed};

const ADD_EVENT: &str = "/footfall.tracking.v2.TrackingService/AddEvent";
const KIB: usize = 1024;

async fn held(server: &Server) -> u64 {
    server.counted("footfall_body_memory_bytes").await
}

async fn holds(server: &Server, at_least: usize) {
    let gauge = "footfall_body_memory_bytes";
    server.rises_to(gauge, at_least as u64).await;
}

/// Waits until everything is given back.
async fn is_at_rest(server: &Server) {
    for gauge in [
        "footfall_body_memory_bytes",
        "footfall_requests_under_way",
        "footfall_streaming_calls",
    ] {
        server.falls_to(gauge, 0).await;
    }
}

/// A REST body of which so much has come, and not all.
async fn half_sent(server: &Server, from: &str, key: &str, bytes: usize) -> Connection {
    let before = held(server).await as usize;
    let mut connection = Connection::open(server.address).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: footfall\r\nauthorization: {key}\r\nx-forwarded-for: {from}\r\ncontent-length: {}\r\n\r\n",
        path(),
        bytes + 1
    );
    connection.write(head.as_bytes()).await.unwrap();
    connection.write(&vec![b' '; bytes]).await.unwrap();
    holds(server, before + bytes).await;
    connection
}

/// Sends a body of so many bytes.
async fn sends(server: &Server, from: &str, key: &str, bytes: usize) -> Answer {
    let mut body = UPDATE.as_bytes().to_vec();
    body.resize(bytes, b' ');
    let request = server.post(&path()).header("Authorization", key).from(from);
    request.body(body).send().await
}

fn limits(all: usize, address: usize, key: usize) -> Setup {
    Setup::default().with(&format!(
        "[server]\nbody_timeout = \"1h\"\nbody_memory_max = \"{all}KiB\"\nbody_memory_per_address_max = \"{address}KiB\"\nbody_memory_per_key_max = \"{key}KiB\""
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_the_memory_are_unavailable_for_a_moment_and_small_ones_are_taken() {
    let server = limits(2048, 1024, 1536).start().await;
    let slow = half_sent(&server, "203.0.113.7", PUBLIC, 600 * KIB).await;
    let refused = sends(&server, "203.0.113.7", PUBLIC, 500 * KIB).await;
    let text = "bodies of this address take all the memory that they may";
    assert_eq!((refused.status, refused.error().as_str()), (503, text));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.rejected("body_memory_per_address_max").await, 1);
    // Another address, until the key has all that it may have.
    let other = half_sent(&server, "203.0.113.8", PUBLIC, 600 * KIB).await;
    let refused = sends(&server, "203.0.113.9", PUBLIC, 500 * KIB).await;
    let text = "bodies of this key take all the memory that they may";
    assert_eq!((refused.status, refused.error().as_str()), (503, text));
    assert_eq!(server.rejected("body_memory_per_key_max").await, 1);
    // Another key, until there is no more.
    let third = half_sent(&server, "203.0.113.9", PRIVATE, 400 * KIB).await;
    let refused = sends(&server, "203.0.113.10", PRIVATE, 500 * KIB).await;
    let text = "bodies take all the memory that they may, in all";
    assert_eq!((refused.status, refused.error().as_str()), (503, text));
    assert_eq!(server.rejected("body_memory_max").await, 1);
    // What is small is taken all the same.
    server.serves().await;

    // Anyone who goes away leaves what it held.
    drop((slow, other, third));
    is_at_rest(&server).await;
    assert_eq!(
        sends(&server, "203.0.113.7", PUBLIC, 400 * KIB)
            .await
            .status,
        200
    );
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_never_be_held_is_too_large_and_is_not_to_be_sent_again() {
    let server = limits(2048, 256, 1024).start().await;
    let refused = sends(&server, "203.0.113.7", PUBLIC, 300 * KIB).await;
    let text = "Body is too large, at most 262144 bytes";
    assert_eq!((refused.status, refused.error().as_str()), (413, text));
    let mut half = Half::open(server.address).await;
    let headers = [
        ("authorization", PUBLIC),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    let told = half
        .calls(ADD_EVENT, &headers, message(KIB * KIB, 300 * KIB))
        .await;
    let (code, told) = told.await.unwrap();
    assert_eq!((code.as_str(), told.as_str()), ("11", text));
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bursts_beyond_the_memory_that_is_left_is_503_whatever_its_coding() {
    let server = limits(1536, 1536, 1536).start().await;
    let slow = half_sent(&server, "203.0.113.7", PUBLIC, 1000 * KIB).await;
    let mut body = UPDATE.as_bytes().to_vec();
    body.resize(1000 * KIB, b' ');
    for (count, coding) in CODINGS.into_iter().enumerate() {
        let request = server
            .track("customers", "")
            .body(compressed(coding, &body));
        let answer = request.header("Content-Encoding", coding).send().await;
        assert_eq!(answer.status, 503, "{coding}: {}", answer.body);
        assert_eq!(answer.header("retry-after"), Some("1"), "{coding}");
        assert_eq!(server.rejected("body_memory_max").await, count as u64 + 1);
    }
    drop(slow);
    is_at_rest(&server).await;
    for coding in CODINGS {
        let request = server
            .track("customers", "")
            .body(compressed(coding, &body));
        let answer = request.header("Content-Encoding", coding).send().await;
        assert_eq!(answer.status, 200, "{coding}: {}", answer.body);
    }
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_do_not_end_hold_what_has_come_of_them_and_others_are_unavailable() {
    let server = limits(2048, 1024, 2048).start().await;
    let mut half = Half::open(server.address).await;
    let headers = [
        ("authorization", PUBLIC),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    // Each claims 16 MiB.
    let claimed = 16 * KIB * KIB;
    for sent in 1..=4 {
        half.calls(ADD_EVENT, &headers, message(claimed, 200 * KIB))
            .await;
        holds(&server, sent * 200 * KIB).await;
    }
    let told = half
        .calls(ADD_EVENT, &headers, message(claimed, 300 * KIB))
        .await;
    let (code, text) = told.await.unwrap();
    let expected = "bodies of this address take all the memory that they may";
    assert_eq!((code.as_str(), text.as_str()), ("14", expected));
    assert_eq!(server.rejected("body_memory_per_address_max").await, 1);
    // Streams of commands hold no more.
    let stream = ADD_EVENT.replace("AddEvent", "TrackStream");
    let told = half
        .calls(&stream, &headers, message(2 * KIB * KIB, 300 * KIB))
        .await;
    assert_eq!(told.await.unwrap().0, "14");
    assert_eq!(server.rejected("body_memory_per_address_max").await, 2);

    let mut client = TrackingServiceClient::new(server.channel().await);
    client
        .update_customer(authorized(update("{}"), PUBLIC))
        .await
        .unwrap();
    drop(half);
    is_at_rest(&server).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_want_of_memory_says_when_to_call_again() {
    let server = limits(512, 512, 512).start().await;
    let slow = half_sent(&server, "203.0.113.7", PUBLIC, 450 * KIB).await;
    let mut client = TrackingServiceClient::new(server.channel().await);
    let large = pb::AddEventRequest {
        event_type: "x".repeat(200 * KIB),
        project_token: TOKEN.to_owned(),
        ..pb::AddEventRequest::default()
    };
    let status = client
        .add_event(authorized(large, PRIVATE))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1000"
    );
    drop(slow);
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_good_key_is_refused_before_a_message_has_come() {
    let server = Server::start().await;
    let mut half = Half::open(server.address).await;
    for (authorization, code, text) in [
        (None, "16", "Access key not provided"),
        (Some("Bearer x"), "16", crate::rest_access::UNREADABLE),
        (Some("Token nobody"), "16", "Access key not found"),
        (Some("Basic bm9ib2R5OnM="), "16", "Access key not found"),
        // Two projects have a key of this name, and neither has this secret.
        (Some("Basic a2V5LWlkOndyb25n"), "7", "invalid secret"),
        // A name that one project has: read-nothing:wrong.
        (
            Some("Basic cmVhZC1ub3RoaW5nOndyb25n"),
            "7",
            "invalid secret",
        ),
    ] {
        let headers: Vec<_> = authorization
            .map(|key| ("authorization", key))
            .into_iter()
            .collect();
        for rpc in ["AddEvent", "ExecuteBatch", "TrackStream"] {
            let rpc = ADD_EVENT.replace("AddEvent", rpc);
            // Not even the head of a message.
            let told = half.calls(&rpc, &headers, Vec::new()).await.await.unwrap();
            assert_eq!((told.0.as_str(), told.1.as_str()), (code, text), "{rpc}");
        }
    }
    assert_eq!(held(&server).await, 0);
    // A secret that is wrong for two keys is a guess at each.
    assert_eq!(server.counted("footfall_auth_failures_total").await, 15);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_message_in_a_call_of_one_is_a_mistake_and_nothing_is_stored() {
    use prost::Message as _;
    let server = Server::start().await;
    let mut half = Half::open(server.address).await;
    let event = crate::harness::calls::event("visit").encode_to_vec();
    let mut framed = message(event.len(), 0);
    framed.extend(event);
    let told = half
        .calls(ADD_EVENT, &[("authorization", PUBLIC)], framed.repeat(2))
        .await;
    assert_eq!(told.await.unwrap().0, "3");
    assert_eq!(server.counted("footfall_log_position").await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_repeats_of_its_request_is_held_until_it_is_taken() {
    const ID_BYTES: usize = 14 * 1024 * KIB;
    let server = Setup::default().start().await;
    let id = "x".repeat(ID_BYTES);

    let body =
        format!(r#"{{"commands":[{{"name":"system/time","data":{{}},"command_id":"{id}"}}]}}"#);
    let path = format!("/track/v2/projects/{TOKEN}/batch");
    let mut rest = TcpStream::connect(server.address).await.unwrap();
    let request = post(&path, PUBLIC, &body);
    rest.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    rest.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let of_rest = held(&server).await as usize;
    assert!(of_rest >= ID_BYTES, "{of_rest}");

    let command = pb::Command {
        command_id: id,
        command: Some(pb::command::Command::GetSystemTime(
            pb::GetSystemTimeRequest {
                project_token: TOKEN.to_owned(),
            },
        )),
    };
    let batch = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands: vec![command],
    };
    let mut grpc = client(server.address).await;
    let head = call("/footfall.tracking.v2.TrackingService/ExecuteBatch")
        .body(())
        .unwrap();
    let (answer, mut sends) = grpc.send_request(head, false).unwrap();
    sends.send_data(framed(&batch).into(), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    let of_both = held(&server).await as usize;
    assert!(of_both >= of_rest + ID_BYTES, "{of_both}");

    drop((rest, grpc, sends, answer));
    is_at_rest(&server).await;
    server.stop().await;
}
