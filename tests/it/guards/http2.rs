//! HTTP/2: floods of frames that cost their sender little, and callers that wait for nothing.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::time;
use crate::harness::frames::*;
use crate::harness::{Answer, PUBLIC, Server, Setup};

const INITIAL_WINDOW_SIZE: u16 = 4;
const HEADER_BYTES_MAX: usize = 32 * 1024;
const ADD_EVENT: &str = "/footfall.tracking.v2.TrackingService/AddEvent";

fn get(stream: u32) -> Vec<u8> {
    let headers = request("GET", &time(), &[("authorization", PUBLIC)]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// Requests that are reset as soon as they are made, from the second stream on.
fn resets(count: u32) -> Vec<u8> {
    let streams = (1..=count).map(|n| 2 * n + 1);
    let pairs = streams.flat_map(|stream| [get(stream), reset(stream)]);
    pairs.flatten().collect()
}

/// An honest HTTP/2 client, which sends what it is told to.
pub(super) async fn client(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// An answer of REST's over HTTP/2.
async fn read(answer: http::Response<RecvStream>) -> Answer {
    let (head, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        bytes.extend(piece.unwrap());
    }
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Answer {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: String::from_utf8(bytes).unwrap(),
    }
}

pub(super) fn call(path: &str) -> http::request::Builder {
    http::Request::post(format!("http://footfall{path}"))
        .header("content-type", "application/grpc")
        .header("authorization", PUBLIC)
        .header("te", "trailers")
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    raw.send(&resets(200)).await;
    raw.ends_in_a_calm_down("too_many_resets").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_that_first_says_that_it_goes_is_counted_too() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    let grpc = [
        ("content-type", "application/grpc"),
        ("authorization", PUBLIC),
    ];
    let headers = request("POST", ADD_EVENT, &grpc);
    // A call that waits for its message keeps the connection.
    let open = frame(HEADERS, END_HEADERS, 1, &headers);
    let going = frame(GOAWAY, 0, 0, &[0; 8]);
    raw.send(&[open, going, resets(200)].concat()).await;
    raw.ends_in_a_calm_down("too_many_resets").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_resets_as_the_setting_says_are_borne() {
    let server = Setup::default()
        .with("[server]\nresets_max = 200")
        .start()
        .await;
    let mut raw = Raw::open(server.address, &[]).await;
    raw.send(&resets(200)).await;
    raw.is_alive().await;
    assert_eq!(server.rejected("http2_flood").await, 0);
    drop(raw);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_end_the_connection() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    raw.send(&frame(HEADERS, 0, 1, &request("GET", "/", &[])))
        .await;
    let one = frame(CONTINUATION, 0, 1, &header("x", "y"));
    raw.send(&one.repeat(1_000)).await;
    raw.ends_in_a_calm_down("too_many_continuations").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_bytes_that_stand_for_many_headers_end_the_connection() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    // One header of 3,000 bytes is remembered, and named 10,000 times by one byte each.
    let mut headers = request("GET", "/", &[]);
    headers.extend([0x40, 1, b'x']);
    headers.extend(length(3_000));
    headers.extend([b'y'; 3_000]);
    headers.extend([0x80 | 62; 10_000]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &headers))
        .await;
    raw.ends_in_a_calm_down("header_list_way_too_large").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_end_behind_too_many_ends_the_connection() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    // Too much is remembered and named, and then the header begins that does not end.
    let mut headers = request("GET", "/", &[]);
    headers.extend([0x40, 1, b'x']);
    headers.extend(length(3_000));
    headers.extend([b'y'; 3_000]);
    headers.extend([0x80 | 62; 30]);
    headers.extend([0, 1, b'z']);
    headers.extend(length(1_000_000));
    headers.extend([b'z'; 100]);
    let one = frame(CONTINUATION, 0, 1, &[b'z'; 16_000]);
    raw.send(&[frame(HEADERS, 0, 1, &headers), one.repeat(5)].concat())
        .await;
    let (code, _) = raw.ends().await.unwrap();
    assert_eq!(code, COMPRESSION_ERROR);
    server.rejects("header_bytes_max", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_the_limit_are_431_over_rest_and_the_connection_goes_on() {
    let server = Server::start().await;
    let mut client = client(server.address).await;
    let mut get = |path: &str, filler: usize| {
        let request = http::Request::get(format!("http://footfall{path}"))
            .header("authorization", PUBLIC)
            .header("filler", "x".repeat(filler));
        let (answer, _) = client
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        async { read(answer.await.unwrap()).await }
    };
    for (count, path) in [&time(), "/healthz"].into_iter().enumerate() {
        let others = format!(":methodGET:schemehttp:authorityfootfall:path{path}");
        let others = format!("{others}authorization{PUBLIC}filler").len() + 6 * 32;
        let filler = HEADER_BYTES_MAX - others;
        assert_eq!(get(path, filler).await.status, 200);
        let refusal = get(path, filler + 1).await.refusal();
        let text = "Headers are too large: 32769 bytes, at most 32768";
        let told = (refusal.status, &*refusal.code, &*refusal.text);
        assert_eq!(told, (431, "INVALID_ARGUMENT", text), "{path}");
        assert_eq!(server.rejected("header_bytes_max").await, count as u64 + 1);
        // Far beyond, h2 answers by itself.
        let bare = get(path, 2 * HEADER_BYTES_MAX).await;
        assert_eq!((bare.status, &*bare.body), (431, ""));
        assert_eq!(server.rejected("header_bytes_max").await, count as u64 + 1);
        assert_eq!(get(path, filler).await.status, 200);
    }
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_operators_have_the_same_limit() {
    let server = Server::start().await;
    let mut client = client(server.admin).await;
    for (bytes, status) in [(30_000, 200), (40_000, 431), (30_000, 200)] {
        let request = http::Request::get("http://footfall/healthz");
        let request = request.header("filler", "x".repeat(bytes)).body(());
        let (answer, _) = client.send_request(request.unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{bytes}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_the_limit_are_a_status_over_grpc_and_the_connection_goes_on() {
    let server = Server::start().await;
    let mut client = client(server.address).await;
    let health = "/grpc.health.v1.Health/Check";
    for (path, count) in [(ADD_EVENT, 1), (health, 2)] {
        let filler = "x".repeat(HEADER_BYTES_MAX);
        let request = call(path).header("filler", filler).body(()).unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(
            (answer.status(), status.code()),
            (http::StatusCode::OK, Code::InvalidArgument)
        );
        let begins = status.message().starts_with("Headers are too large: 33");
        let ends = status.message().ends_with(" bytes, at most 32768");
        assert!(begins && ends, "{status}");
        assert_eq!(server.rejected("header_bytes_max").await, count);
        // The message was on its way.
        body.send_data(vec![0; 5].into(), true).unwrap();
        let (answer, mut body) = client
            .send_request(call(health).body(()).unwrap(), false)
            .unwrap();
        body.send_data(vec![0; 5].into(), true).unwrap();
        let mut served = answer.await.unwrap().into_body();
        assert!(served.data().await.unwrap().is_ok());
    }
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_without_a_byte_ends_the_connection() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    let headers = request("POST", ADD_EVENT, &[("content-type", "application/grpc")]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &headers)).await;
    raw.send(&frame(DATA, 0, 1, b"").repeat(50_000)).await;
    raw.ends_in_a_calm_down("too_many_data_frames").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limit_are_refused_and_who_goes_on_is_cut_off() {
    let settings = "[server]\nstreams_max = 2\nerror_resets_max = 5";
    let server = Setup::default().with(settings).start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    let headers = request("POST", ADD_EVENT, &[("content-type", "application/grpc")]);
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &headers);
    // Until its settings are acknowledged, the service holds nobody to them.
    raw.next_of(SETTINGS).await;
    raw.send(&frame(SETTINGS, ACK, 0, b"")).await;
    raw.is_alive().await;
    for stream in [1, 3, 5] {
        raw.send(&open(stream)).await;
    }
    let refused = raw.next_of(RST_STREAM).await;
    assert_eq!(
        (refused.stream, number(&refused.payload)),
        (5, REFUSED_STREAM)
    );
    for n in 3..20 {
        raw.send(&open(2 * n + 1)).await;
    }
    raw.ends_in_a_calm_down("too_many_internal_resets").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_end_for_their_callers_mistakes_end_the_connection() {
    let settings = "[server]\nerror_resets_max = 5";
    let server = Setup::default().with(settings).start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    let mistaken = request("GET", "/", &[("connection", "close")]);
    let open = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &mistaken);
    for n in 0..5 {
        raw.send(&open(2 * n + 1)).await;
        assert_eq!(raw.next_of(RST_STREAM).await.stream, 2 * n + 1);
    }
    raw.send(&open(11)).await;
    raw.ends_in_a_calm_down("too_many_internal_resets").await;
    server.rejects("http2_flood", 1).await;
    server.serves().await;
    server.stop().await;
}

/// A service of which the scenario's address may have nothing more.
async fn spent(more: &str) -> Server {
    let settings = format!("[rate_limit]\nrequests = 1\nperiod = \"1h\"\n{more}");
    let server = Setup::default().with(&settings).start().await;
    let time = server.get(&time()).header("authorization", PUBLIC);
    assert_eq!(time.send().await.status, 200);
    server
}

/// Begins a call and is refused, before it has sent its message.
async fn begins_refused(raw: &mut Raw, stream: u32) {
    let headers = request("POST", ADD_EVENT, &[("content-type", "application/grpc")]);
    raw.send(&frame(HEADERS, END_HEADERS, stream, &headers))
        .await;
    let answer = raw.next_of(HEADERS).await;
    assert_eq!(
        (answer.stream, answer.flags),
        (stream, END_HEADERS | END_STREAM)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_on_while_it_is_refused_keeps_its_connection() {
    let server = spent("[server]\nerror_resets_max = 5").await;
    let mut raw = Raw::open(server.address, &[]).await;
    // More than the streams that are remembered once they are reset.
    for n in 0..200 {
        let stream = 2 * n + 1;
        begins_refused(&mut raw, stream).await;
        raw.send(&frame(DATA, END_STREAM, stream, &[0; 5])).await;
    }
    raw.is_alive().await;
    assert_eq!(server.rejected("http2_flood").await, 0);
    drop(raw);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_refused_call_is_waited_for_within_bounds() {
    let server = spent("").await;
    let mut raw = Raw::open(server.address, &[]).await;
    begins_refused(&mut raw, 1).await;
    assert_eq!(raw.next_of(RST_STREAM).await.stream, 1);

    begins_refused(&mut raw, 3).await;
    raw.send(&frame(DATA, 0, 3, &[0; 16 * 1024]).repeat(5))
        .await;
    assert_eq!(raw.next_of(RST_STREAM).await.stream, 3);
    raw.is_alive().await;
    drop(raw);
    server.stop().await;
}

/// How many of the frames of a flood are answered.
const ANSWERED: usize = 20_000;

/// Sends a flood of one frame, and reads the answers meanwhile.
async fn floods(raw: &mut Raw, kind: u8, payload: &[u8]) {
    let flood = frame(kind, 0, 0, payload).repeat(ANSWERED);
    let (reader, mut writer) = raw.split();
    let mut reader = BufReader::new(reader);
    let reads = async {
        let mut answers = 0;
        while answers < ANSWERED {
            let answer = Frame::read(&mut reader).await.unwrap();
            answers += usize::from((answer.kind, answer.flags) == (kind, ACK));
        }
    };
    let (sent, ()) = tokio::join!(writer.write_all(&flood), reads);
    sent.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_are_answered_one_by_one_and_harm_nobody() {
    let server = Server::start().await;
    for (kind, payload) in [(PING, &b"12345678"[..]), (SETTINGS, b"")] {
        let mut raw = Raw::open(server.address, &[]).await;
        tokio::join!(floods(&mut raw, kind, payload), server.serves());
        drop(raw);
        server.serves().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_whose_answers_nobody_reads_are_not_kept() {
    let hasty = "[server]\nidle_timeout = \"400ms\"";
    let server = Setup::default().with(hasty).start().await;
    let mut raw = Raw::open(server.address, &[]).await;
    let pings = frame(PING, 0, 0, b"12345678").repeat(1_000);
    let (_, mut writer) = raw.split();
    // Once the answers fill the sockets, nothing more is read of the flood, and then the connection ends.
    while writer.write_all(&pings).await.is_ok() {}
    server.rejects("idle_timeout", 1).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_a_caller_gives_no_window_for_take_no_room_from_others() {
    let server = Setup::default()
        .with("[server]\nrequests_max = 1")
        .start()
        .await;
    let mut raw = Raw::open(server.address, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for n in 0..200 {
        raw.send(&get(2 * n + 1)).await;
        assert_eq!(raw.next_of(HEADERS).await.stream, 2 * n + 1);
    }
    server.serves().await;
    assert_eq!(server.rejected("requests_max").await, 0);
    raw.is_alive().await;
    drop(raw);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_say_whether_it_is_there_is_cut_off() {
    let hasty = "[server]\nidle_timeout = \"300ms\"";
    let server = Setup::default().with(hasty).start().await;
    let absent = Raw::open(server.address, &[]).await;
    absent.ends().await;
    server.rejects("idle_timeout", 1).await;
    // So does one that stops in the middle of a frame.
    let mut dumb = Raw::open(server.address, &[]).await;
    dumb.send(&frame(HEADERS, 0, 1, b"x")[..9]).await;
    dumb.ends().await;
    server.rejects("idle_timeout", 2).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_message_that_does_not_come_in_time_is_deadline_exceeded() {
    let hasty = "[server]\nbody_timeout = \"300ms\"";
    let server = Setup::default().with(hasty).start().await;
    let mut client = client(server.address).await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (count, path) in [ADD_EVENT, "/grpc.health.v1.Health/Check"]
        .into_iter()
        .enumerate()
    {
        let (answer, _half_open) = client
            .send_request(call(path).body(()).unwrap(), false)
            .unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4", "{path}");
        server.rejects("body_timeout", count as u64 + 1).await;
    }
    // A stream of questions about the contract lasts as long, too.
    let (answer, _half_open) = client
        .send_request(call(reflection).body(()).unwrap(), false)
        .unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert!(body.data().await.is_none());
    let trailers = poll_fn(|context| body.poll_trailers(context)).await;
    assert!(trailers.unwrap().is_some());
    server.rejects("body_timeout", 3).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_message_beyond_the_limit_is_refused_before_it_comes() {
    let server = Server::start().await;
    let mut client = client(server.address).await;
    let request = call(ADD_EVENT).body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let mut prefix = vec![0];
    prefix.extend((16 * 1024 * 1024 + 1_u32).to_be_bytes());
    body.send_data(prefix.into(), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "11");
    server.rejects("message_bytes", 1).await;
    server.serves().await;
    server.stop().await;
}
