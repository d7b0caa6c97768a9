//! Callers that close their sending side once they have asked, and wait for the answer.

use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use footfall::grpc::pb;

use crate::harness::calls::event;
use crate::harness::frames::{self, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Raw, frame};
use crate::harness::half::{Half, command};
use crate::harness::tls::Papers;
use crate::harness::{Answer, PRIVATE, Server, Setup, TOKEN};

const EVENT: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
const ADD_EVENT: &str = "/footfall.tracking.v2.TrackingService/AddEvent";
const TRACK_STREAM: &str = "/footfall.tracking.v2.TrackingService/TrackStream";

fn request(version: &str, method: &str, path: &str, body: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/{version}\r\nhost: x\r\nauthorization: {PRIVATE}\r\ncontent-length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

/// Sends bytes, closes the sending side, and reads to the end.
async fn asks(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    read
}

fn routes() -> [(&'static str, String, &'static str); 7] {
    let track = |route: &str| format!("/track/v2/projects/{TOKEN}/{route}");
    let data = |route: &str| format!("/data/v2/projects/{TOKEN}/customers/{route}");
    let batch = r#"{"commands":[{"name":"customers","data":{"customer_ids":{"registered":"a"}}}]}"#;
    [
        ("POST", track("customers/events"), EVENT),
        ("POST", track("customers"), EVENT),
        ("POST", track("batch"), batch),
        ("GET", track("system/time"), ""),
        ("POST", data("export-one"), EVENT),
        ("GET", "/healthz".to_owned(), ""),
        ("POST", data("export"), r#"{"format":"native_json"}"#),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_http_1_is_answered_kept_or_not_in_plain_text_and_over_tls() {
    let papers = Papers::new();
    let secured = Setup::default().with(&papers.section("server.tls", ""));
    for server in [Server::start().await, secured.start().await] {
        let is_plain = papers.caller().connect(server.address).await.is_err();
        for (method, path, body) in routes() {
            for (version, more) in [
                ("1.1", "connection: close\r\n"),
                ("1.1", ""),
                ("1.0", ""),
                ("1.0", "connection: keep-alive\r\n"),
            ] {
                let bytes = request(version, method, &path, body, more);
                for _ in 0..3 {
                    let read = match is_plain {
                        true => {
                            let stream = TcpStream::connect(server.address).await.unwrap();
                            asks(stream, bytes.as_bytes()).await
                        }
                        false => {
                            let stream = papers.caller().connect(server.address).await.unwrap();
                            asks(stream, bytes.as_bytes()).await
                        }
                    };
                    let answer = Answer::parse(&read);
                    assert_eq!(answer.status, 200, "{path} {version} {more}");
                    // Only what stays open says for how long.
                    let is_kept = (version == "1.1") == more.is_empty();
                    assert_eq!(
                        answer.header("keep-alive"),
                        is_kept.then_some("timeout=75"),
                        "{path} {version} {more}"
                    );
                }
            }
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_that_came_before_are_both_answered() {
    let server = Server::start().await;
    let path = format!("/track/v2/projects/{TOKEN}/customers/events");
    let bytes = request("1.1", "POST", &path, EVENT, "").repeat(2);
    let stream = TcpStream::connect(server.address).await.unwrap();
    let read = asks(stream, bytes.as_bytes()).await;
    let read = String::from_utf8(read).unwrap();
    assert_eq!(read.matches("HTTP/1.1 200 OK").count(), 2, "{read}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_comes_as_a_whole() {
    let server = Server::start().await;
    let text = "x".repeat(16_000);
    for part in 0..4 {
        let command = |n: usize| {
            format!(
                r#"{{"name":"customers/events","data":{{"customer_ids":{{"registered":"a"}},"event_type":"visit","timestamp":{},"properties":{{"t":"{text}"}}}}}}"#,
                part * 50 + n
            )
        };
        let commands: Vec<_> = (0..50).map(command).collect();
        let body = format!(r#"{{"commands":[{}]}}"#, commands.join(","));
        assert_eq!(server.track("batch", &body).send().await.status, 200);
    }
    let path = format!("/data/v2/projects/{TOKEN}/customers/export-one");
    let bytes = request("1.1", "POST", &path, EVENT, "");
    let stream = TcpStream::connect(server.address).await.unwrap();
    let answer = Answer::parse(&asks(stream, bytes.as_bytes()).await);
    assert!(answer.body.len() > 3_000_000, "{}", answer.body.len());
    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_is_a_body_that_ended_early() {
    let server = Server::start().await;
    let path = format!("/track/v2/projects/{TOKEN}/customers/events");
    let bytes = request("1.1", "POST", &path, EVENT, "");
    let stream = TcpStream::connect(server.address).await.unwrap();
    let read = asks(stream, &bytes.as_bytes()[..bytes.len() - 1]).await;
    assert!(!read.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.counted("footfall_log_position").await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_caller_at_once() {
    let server = Setup::default()
        .with("[server]\nwatch_heartbeat = \"1h\"")
        .start()
        .await;
    let path = format!("/data/v2/projects/{TOKEN}/events/watch");
    let stream = TcpStream::connect(server.address).await.unwrap();
    let bytes = request("1.1", "GET", &path, "", "");
    // Nothing of it is heard any more, and no heartbeat finds that out.
    asks(stream, bytes.as_bytes()).await;
    server.falls_to("footfall_streaming_calls", 0).await;
    server.stop().await;
}

/// The frames of a call.
fn call(stream: u32, path: &str, kind: &str, body: &[u8], end: u8) -> Vec<u8> {
    let head = frames::request(
        "POST",
        path,
        &[("content-type", kind), ("authorization", PRIVATE)],
    );
    [
        frame(HEADERS, END_HEADERS, stream, &head),
        frame(DATA, end, stream, body),
    ]
    .concat()
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat()
}

/// Sends frames, closes the sending side, and reads all that comes.
async fn told(server: &Server, bytes: &[u8]) -> Vec<Frame> {
    let mut raw = Raw::open(server.address, &[]).await;
    raw.send(bytes).await;
    let (mut reader, mut writer) = raw.split();
    writer.shutdown().await.unwrap();
    let mut read = Vec::new();
    while let Some(frame) = Frame::read(&mut reader).await {
        read.push(frame);
    }
    read
}

fn ended(frames: &[Frame]) -> Vec<u32> {
    let ends = frames
        .iter()
        .filter(|frame| matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0);
    let mut ended: Vec<_> = ends.map(|frame| frame.stream).collect();
    ended.sort_unstable();
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_answers_every_call_before_its_connection_ends() {
    let server = Server::start().await;
    let rest = format!("/track/v2/projects/{TOKEN}/customers/events");
    let message = framed(&event("visit"));
    for count in [1, 2, 50] {
        for _ in 0..5 {
            let mut bytes = Vec::new();
            for n in 0..count {
                let stream = 2 * n + 1;
                bytes.extend(match n % 2 {
                    0 => call(stream, ADD_EVENT, "application/grpc", &message, END_STREAM),
                    _ => call(
                        stream,
                        &rest,
                        "application/json",
                        EVENT.as_bytes(),
                        END_STREAM,
                    ),
                });
            }
            let read = told(&server, &bytes).await;
            let expected: Vec<u32> = (0..count).map(|n| 2 * n + 1).collect();
            assert_eq!(ended(&read), expected, "{count}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_commands_is_acknowledged_before_its_connection_ends() {
    let server = Server::start().await;
    let command = pb::TrackStreamRequest {
        project_token: TOKEN.to_owned(),
        command: Some(pb::Command {
            command_id: "1".to_owned(),
            command: Some(pb::command::Command::AddEvent(event("visit"))),
        }),
    };
    // With the end of its messages and without.
    for end in [END_STREAM, 0] {
        let bytes = call(1, TRACK_STREAM, "application/grpc", &framed(&command), end);
        let read = told(&server, &bytes).await;
        let data: Vec<u8> = read
            .iter()
            .filter(|frame| frame.kind == DATA && frame.stream == 1)
            .flat_map(|frame| frame.payload.clone())
            .collect();
        let told = pb::TrackStreamResponse::decode(&data[5..]).unwrap();
        assert_eq!(told.acknowledgements.len(), 1, "{end}");
        assert_eq!(ended(&read), [1], "{end}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_message_cannot_come_any_more_does_not_keep_its_connection() {
    let server = Server::start().await;
    let message = framed(&event("visit"));
    let rest = format!("/track/v2/projects/{TOKEN}/customers/events");
    let half = &message[..message.len() - 1];
    for bytes in [
        call(1, ADD_EVENT, "application/grpc", half, 0),
        call(1, &rest, "application/json", EVENT.as_bytes(), 0),
    ] {
        let read = told(&server, &bytes).await;
        assert_eq!(ended(&read), [1]);
    }
    // A watch alone does not keep it either.
    let watch = "/footfall.tracking.v2.CustomerService/WatchEvents";
    let question = framed(&pb::WatchEventsRequest {
        project_token: TOKEN.to_owned(),
        ..pb::WatchEventsRequest::default()
    });
    told(
        &server,
        &call(1, watch, "application/grpc", &question, END_STREAM),
    )
    .await;
    server.falls_to("footfall_streaming_calls", 0).await;
    assert_eq!(server.counted("footfall_log_position").await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_room_do_not_keep_a_caller_that_can_make_none_any_more() {
    let server = Setup::default()
        .with("[server]\nheader_timeout = \"1s\"")
        .start()
        .await;
    let mut half = Half::narrow(server.address, 8).await;
    let commands = command(TOKEN).repeat(200);
    let headers = [("authorization", PRIVATE)];
    let answer = half.begins(TRACK_STREAM, &headers, commands.into()).await;
    let answer = answer.await.unwrap();
    server.rises_to("footfall_streams_stalled", 1).await;
    // Nothing resets the stream.
    drop((half, answer));
    server.falls_to("footfall_streaming_calls", 0).await;
    server.stop().await;
}
