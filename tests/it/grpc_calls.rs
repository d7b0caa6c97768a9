//! Calls as gRPC clients make them beside their messages: deadlines, compression, and messages that are none.

use std::io::Write as _;

use bytes::Bytes;
use footfall::grpc::pb;
use footfall::middleware::rpc::RPCS;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::harness::calls::event;
use crate::harness::half::{Half, message};
use crate::harness::{PRIVATE, Server, Setup, TOKEN};

const TRACKING: &str = "/footfall.tracking.v2.TrackingService";
const CUSTOMERS: &str = "/footfall.tracking.v2.CustomerService";

/// What a call was answered.
struct Told {
    status: String,
    text: String,
    headers: HeaderMap,
    body: Bytes,
}

async fn call(server: &Server, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Told {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://footfall{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", PRIVATE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let of = |name: &str| {
        let value = head.headers.get(name).or_else(|| trailers.get(name));
        let value = value.map(|value| value.to_str().unwrap());
        value.unwrap_or_default().replace("%20", " ")
    };
    Told {
        status: of("grpc-status"),
        text: of("grpc-message"),
        headers: head.headers.clone(),
        body: collected.to_bytes(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, bytes].concat()
}

fn encoded(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_ends_at_its_callers_deadline() {
    let server = Setup::default()
        .with("[server]\nbody_timeout = \"1h\"")
        .start()
        .await;
    for rpc in RPCS {
        let mut half = Half::open(server.address).await;
        let headers = [("authorization", PRIVATE), ("grpc-timeout", "50m")];
        // The rest of the message does not come.
        let told = half.calls(rpc.path, &headers, message(10, 1)).await;
        let (code, text) = told.await.unwrap();
        assert_eq!(code, "4", "{} {text}", rpc.path);
        assert_eq!(text, "the call's own deadline has passed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_begun_ends_at_its_callers_deadline_and_gives_its_place_back() {
    let server = Setup::default()
        .with("[server]\nwatchers_max = 1\nwatch_heartbeat = \"1h\"")
        .start()
        .await;
    let question = encoded(&pb::WatchEventsRequest {
        project_token: TOKEN.to_owned(),
        ..pb::WatchEventsRequest::default()
    });
    for _ in 0..5 {
        let path = format!("{CUSTOMERS}/WatchEvents");
        let timeout = [("grpc-timeout", "50m")];
        let told = call(&server, &path, &timeout, framed(0, &question)).await;
        assert_eq!(told.status, "4", "{}", told.text);
    }
    let health = call(
        &server,
        "/grpc.health.v1.Health/Watch",
        &[("grpc-timeout", "50000u")],
        framed(0, b""),
    );
    assert_eq!(health.await.status, "4");
    server.falls_to("footfall_streaming_calls", 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_is_none_is_refused_and_quoted() {
    let server = Server::start().await;
    let path = format!("{TRACKING}/AddEvent");
    let message = framed(0, &encoded(&event("visit")));
    for timeout in ["", "5", "S", "-1S", "123456789S", "5 S"] {
        let told = call(
            &server,
            &path,
            &[("grpc-timeout", timeout)],
            message.clone(),
        )
        .await;
        assert_eq!(told.status, "3", "{timeout:?}");
        assert!(
            told.text.ends_with(&format!("not '{timeout}'")),
            "{}",
            told.text
        );
    }
    for timeout in ["5S", "99999999H", "5000m"] {
        let told = call(
            &server,
            &path,
            &[("grpc-timeout", timeout)],
            message.clone(),
        )
        .await;
        assert_eq!(told.status, "0", "{timeout:?}");
    }
    assert_eq!(server.counted("footfall_log_position").await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_are_read_in_unary_calls_batches_and_streams() {
    let server = Server::start().await;
    let event = encoded(&event("visit"));
    let command = pb::Command {
        command_id: String::new(),
        command: Some(pb::command::Command::AddEvent(
            crate::harness::calls::event("visit"),
        )),
    };
    let batch = encoded(&pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands: vec![command.clone(); 3],
    });
    let streamed = encoded(&pb::TrackStreamRequest {
        project_token: TOKEN.to_owned(),
        command: Some(command),
    });
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    for (coding, encode) in [
        ("gzip", &gzip as &dyn Fn(&[u8]) -> Vec<u8>),
        ("zstd", &zstd),
    ] {
        for (rpc, bytes, stored) in [
            ("AddEvent", framed(1, &encode(&event)), 1),
            ("AddEvent", framed(0, &event), 1),
            ("ExecuteBatch", framed(1, &encode(&batch)), 3),
            ("TrackStream", framed(1, &encode(&streamed)).repeat(2), 2),
        ] {
            let before = server.counted("footfall_log_position").await;
            let path = format!("{TRACKING}/{rpc}");
            let told = call(&server, &path, &[("grpc-encoding", coding)], bytes).await;
            assert_eq!(told.status, "0", "{coding} {rpc}: {}", told.text);
            let after = server.counted("footfall_log_position").await;
            assert_eq!(after - before, stored, "{coding} {rpc}");
        }
    }
    let path = "/grpc.health.v1.Health/Check";
    let told = call(
        &server,
        path,
        &[("grpc-encoding", "gzip")],
        framed(1, &gzip(b"")),
    )
    .await;
    assert_eq!(told.status, "0");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_bursts_is_refused_and_others_are_named() {
    let server = Server::start().await;
    let add = format!("{TRACKING}/AddEvent");
    let health = "/grpc.health.v1.Health/Check";
    let event = encoded(&event("visit"));
    let gzipped = [("grpc-encoding", "gzip")];
    let bomb = framed(1, &gzip(&vec![0; (16 << 20) + 1]));
    let told = call(&server, &add, &gzipped, bomb).await;
    assert_eq!(told.status, "11", "{}", told.text);
    let told = call(&server, health, &gzipped, framed(1, &gzip(&[0; 4_097]))).await;
    assert_eq!(told.status, "11", "{}", told.text);
    assert_eq!(
        server
            .counted("footfall_guard_rejections_total{guard=\"message_bytes\"}")
            .await,
        2
    );
    for (headers, bytes, status) in [
        (&gzipped[..], framed(1, b"no gzip"), "3"),
        (&[], framed(1, &gzip(&event)), "3"),
        (&[], framed(2, &event), "3"),
        (&[("grpc-encoding", "snappy")], framed(1, &event), "12"),
        (&[], framed(0, b"\xff\xff"), "3"),
        (&[], framed(0, &event)[..20].to_vec(), "3"),
        (&[], Vec::new(), "3"),
        (&[], [framed(0, &event), framed(0, &event)].concat(), "3"),
    ] {
        for path in [&add, health] {
            let told = call(&server, path, headers, bytes.clone()).await;
            // What is no message to one service may be one to another.
            let is_fine = path == health && told.status == "5";
            assert!(
                is_fine || told.status == status,
                "{path} {}: {}",
                told.status,
                told.text
            );
        }
    }
    let told = call(
        &server,
        &add,
        &[("grpc-encoding", "snappy")],
        framed(1, &event),
    )
    .await;
    let accepted = told.headers.get("grpc-accept-encoding").unwrap();
    assert_eq!(accepted, "identity, gzip, zstd");
    let stream = format!("{TRACKING}/TrackStream");
    let reflection = ["v1", "v1alpha"]
        .map(|version| format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
    for path in [&stream, &reflection[0], &reflection[1]] {
        for (headers, bytes) in [
            (&[][..], framed(0, b"\xff\xff")),
            (&gzipped, framed(1, &gzip(b"\xff\xff"))),
            (&gzipped, framed(1, b"no gzip")),
        ] {
            let told = call(&server, path, headers, bytes).await;
            assert_eq!(told.status, "3", "{path} {}", told.text);
            assert!(told.text.starts_with("malformed message"), "{}", told.text);
        }
    }
    assert_eq!(server.counted("footfall_log_position").await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_for_who_takes_that_and_only_where_it_is_worth_it() {
    let server = Server::start().await;
    let text = "x".repeat(10_000);
    for n in 0..10 {
        let event = format!(
            r#"{{"customer_ids":{{"registered":"a"}},"event_type":"visit","timestamp":{n},"properties":{{"t":"{text}"}}}}"#
        );
        assert_eq!(
            server.track("customers/events", &event).send().await.status,
            200
        );
    }
    let question = encoded(&pb::ListEventsRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: crate::harness::calls::ids(&[("registered", "a")]),
        event_types: vec!["visit".to_owned()],
        ..pb::ListEventsRequest::default()
    });
    let path = format!("{CUSTOMERS}/ListEvents");
    let plain = call(&server, &path, &[], framed(0, &question)).await;
    assert_eq!((plain.status.as_str(), plain.body[0]), ("0", 0));
    assert_eq!(plain.headers.get("grpc-encoding"), None);
    for coding in ["gzip", "zstd"] {
        let accept = format!("identity, {coding}");
        let headers = [("grpc-accept-encoding", accept.as_str())];
        let told = call(&server, &path, &headers, framed(0, &question)).await;
        assert_eq!(told.headers.get("grpc-encoding").unwrap(), coding);
        assert_eq!((told.status.as_str(), told.body[0]), ("0", 1), "{coding}");
        assert!(told.body.len() < plain.body.len() / 10);
        let decoded = match coding {
            "zstd" => zstd::decode_all(&told.body[5..]).unwrap(),
            _ => {
                let mut out = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(&told.body[5..]);
                std::io::Read::read_to_end(&mut decoder, &mut out).unwrap();
                out
            }
        };
        assert_eq!(decoded, plain.body[5..]);
        let small = encoded(&pb::GetSystemTimeRequest {
            project_token: TOKEN.to_owned(),
        });
        let path = format!("{TRACKING}/GetSystemTime");
        let told = call(&server, &path, &headers, framed(0, &small)).await;
        assert_eq!((told.status.as_str(), told.body[0]), ("0", 0), "{coding}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_of_commands_beats() {
    let server = Setup::default()
        .with("[server]\nwatch_heartbeat = \"50ms\"")
        .start()
        .await;
    let path = format!("{TRACKING}/TrackStream");
    let told = {
        let mut half = Half::open(server.address).await;
        let headers = [("authorization", PRIVATE), ("grpc-timeout", "400m")];
        half.calls(&path, &headers, Vec::new()).await.await.unwrap()
    };
    assert_eq!(told.0, "4");
    // The same from the messages' side.
    let mut client =
        pb::tracking_service_client::TrackingServiceClient::new(server.channel().await);
    let commands = tokio_stream::pending::<pb::TrackStreamRequest>();
    let request = crate::harness::authorized(commands, PRIVATE);
    let mut answers = client.track_stream(request).await.unwrap().into_inner();
    for _ in 0..3 {
        let message = answers.message().await.unwrap().unwrap();
        assert_eq!(message, pb::TrackStreamResponse::default());
    }
    drop((answers, client));
    server.stop().await;
}
