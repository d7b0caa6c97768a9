//! Bodies on their way, and what connections carry.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tower::Service as _;

use crate::harness::{Answer, PUBLIC, Server, TOKEN, WRITTEN};

const UPDATE: &str = r#"{"customer_ids":{"registered":"a"}}"#;

fn track(route: &str) -> String {
    format!("/track/v2/projects/{TOKEN}/{route}")
}

/// Writes bytes to a new connection and reads until the service closes it.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    String::from_utf8(read).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_come_in_chunks() {
    let server = Server::start().await;
    let (first, second) = UPDATE.split_at(10);
    let sent = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        track("customers"),
        first.len(),
        second.len(),
    );
    let answer = Answer::parse(exchange(&server, sent.as_bytes()).await.as_bytes());
    assert_eq!((answer.status, answer.body.as_str()), (200, WRITTEN));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_beyond_the_limit_is_413() {
    let setup = crate::harness::Setup::default().with("[server]\nbody_bytes_max = 100");
    let server = setup.start().await;
    let sent = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {PUBLIC}\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n",
        track("customers"),
        " ".repeat(101),
    );
    let answer = Answer::parse(exchange(&server, sent.as_bytes()).await.as_bytes());
    assert_eq!(
        (answer.status, answer.refusal().text.as_str()),
        (413, "Body is too large, at most 100 bytes")
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_one_request_after_the_other() {
    let server = Server::start().await;
    let one = |connection: &str, body: &str| {
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nAuthorization: {PUBLIC}\r\nContent-Length: {}\r\n\r\n{body}",
            track("customers"),
            body.len(),
        )
    };
    let sent = [
        one("keep-alive", UPDATE),
        one("keep-alive", "{"),
        one("close", UPDATE),
    ]
    .concat();
    let read = exchange(&server, sent.as_bytes()).await;
    let statuses: Vec<_> = read
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &read[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "400", "200"], "{read}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_the_body_was_read_leaves_the_connection_in_order() {
    let server = Server::start().await;
    let one = |connection: &str, key: &str| {
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nAuthorization: {key}\r\nContent-Length: {}\r\n\r\n{UPDATE}",
            track("customers"),
            UPDATE.len(),
        )
    };
    let sent = [one("keep-alive", "Token wrong"), one("close", PUBLIC)].concat();
    let read = exchange(&server, sent.as_bytes()).await;
    let statuses: Vec<_> = read
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &read[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["401", "200"], "{read}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beyond_the_limit_is_refused_before_the_body_comes() {
    let server = Server::start().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: {PUBLIC}\r\nContent-Length: 1048577\r\n\r\n",
        track("customers"),
    );
    let read = exchange(&server, head.as_bytes()).await;
    assert_eq!(Answer::parse(read.as_bytes()).status, 413);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_waits_is_told_to_go_on() {
    let server = Server::start().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {PUBLIC}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        track("customers"),
        UPDATE.len(),
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(go_on, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(UPDATE.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(Answer::parse(&read).body, WRITTEN);
    server.stop().await;
}

/// Sends a REST request over HTTP/2 without TLS, and tells status, type and body.
async fn over_h2(
    mut channel: Channel,
    method: &str,
    path: &str,
    body: &'static str,
) -> (u16, String, String) {
    use http_body_util::BodyExt as _;
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", PUBLIC)
        .header("content-type", "application/json")
        .body(tonic::body::Body::new(http_body_util::Full::from(body)))
        .unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context))
        .await
        .unwrap();
    let (head, body) = channel.call(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let content_type = head.headers["content-type"].to_str().unwrap().to_owned();
    (
        head.status.as_u16(),
        content_type,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_is_served_over_http_2_too() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let json = "application/json".to_owned();
    let written = over_h2(channel.clone(), "POST", &track("customers"), UPDATE).await;
    assert_eq!(written, (200, json.clone(), WRITTEN.to_owned()));
    let (status, content_type, body) =
        over_h2(channel.clone(), "POST", &track("customers"), "{").await;
    assert_eq!((status, content_type), (400, json.clone()));
    assert!(
        body.starts_with(r#"{"success": false, "error": "Invalid JSON""#),
        "{body}"
    );
    let (status, content_type, _) = over_h2(channel, "PUT", &track("customers"), UPDATE).await;
    assert_eq!((status, content_type), (405, json));
    server.stop().await;
}
