//! HTTP/1.1: slow heads, huge heads, slow bodies, and callers that take nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{UPDATE, half_sent, path, time};
use crate::harness::keep_alive::{Connection, post};
use crate::harness::{Answer, PUBLIC, Server, Setup};

/// How long the hasty services of these scenarios wait.
const HASTY: &str = "[server]\nheader_timeout = \"400ms\"";

/// Sends bytes, and reads until the service closes the connection.
async fn closed(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_in_time_is_cut_off() {
    let server = Setup::default().with(HASTY).start().await;
    for (count, begun) in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        "POST / HTTP/1.1\r\nhost: x\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = closed(&server, begun.as_bytes()).await;
        assert_eq!(String::from_utf8_lossy(&answer), "", "{begun:?}");
        server.rejects("header_timeout", count as u64 + 1).await;
    }
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_drop_by_drop_gains_no_time() {
    let server = Setup::default().with(HASTY).start().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drops = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let _ = writer.write_all(b"GET / HTTP/1.1\r\n").await;
        while writer.write_all(b"x: y\r\n").await.is_ok() {
            pace.tick().await;
        }
    });
    server.serves().await;
    let mut read = Vec::new();
    let _ = reader.read_to_end(&mut read).await;
    server.rejects("header_timeout", 1).await;
    drop(reader);
    drops.await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_asks_nothing_more_is_closed_and_not_counted() {
    let settings = format!("{HASTY}\nkeep_alive_timeout = \"300ms\"");
    let server = Setup::default().with(&settings).start().await;
    let mut connection = Connection::open(server.address).await.unwrap();
    let answer = connection.post(&path(), PUBLIC, UPDATE).await.unwrap();
    assert_eq!(answer.status, 200);
    let cut = connection.answer().await.unwrap_err();
    assert_eq!(cut.answered, b"");
    // The next one to be cut off is counted behind it.
    closed(&server, b"P").await;
    server.rejects("header_timeout", 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_waits_longer_for_a_head_to_begin_than_for_it_to_end() {
    let settings = format!("{HASTY}\nkeep_alive_timeout = \"1h\"");
    let server = Setup::default().with(&settings).start().await;
    let mut kept = Connection::open(server.address).await.unwrap();
    let answer = kept.post(&path(), PUBLIC, UPDATE).await.unwrap();
    assert_eq!(answer.header("keep-alive"), Some("timeout=3600"));
    // Another connection has used up the time of a head meanwhile, twice.
    for count in 1..=2 {
        closed(&server, b"P").await;
        server.rejects("header_timeout", count).await;
    }
    let answer = kept.post(&path(), PUBLIC, UPDATE).await.unwrap();
    assert_eq!(answer.status, 200);
    // Once it has begun, it has the time of a head.
    kept.write(b"POST / HTTP/1.1\r\n").await.unwrap();
    kept.answer().await.unwrap_err();
    server.rejects("header_timeout", 3).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_connection_is_kept_is_announced_where_it_is_kept() {
    let server = Server::start().await;
    let mut kept = Connection::open(server.address).await.unwrap();
    for (body, status) in [(UPDATE, 200), ("{", 400)] {
        let answer = kept.post(&path(), PUBLIC, body).await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("keep-alive"), Some("timeout=75"));
    }
    // The harness asks to close.
    let closes = server.get("/healthz").send().await;
    assert_eq!(closes.header("keep-alive"), None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_beyond_the_limit_is_431() {
    let server = Server::start().await;
    let head = |bytes: usize| {
        let path = time();
        let filler = "x".repeat(bytes);
        format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {PUBLIC}\r\nfiller: {filler}\r\n\r\n"
        )
    };
    let within = closed(&server, head(32_000).as_bytes()).await;
    assert_eq!(Answer::parse(&within).status, 200);
    let beyond = closed(&server, head(33_000).as_bytes()).await;
    assert_eq!(Answer::parse(&beyond).status, 431);
    server.rejects("header_bytes_max", 1).await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let many = closed(&server, many.as_bytes()).await;
    assert_eq!(Answer::parse(&many).status, 431);
    server.rejects("header_bytes_max", 2).await;
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_head_is_a_setting() {
    let small = "[server]\nheader_bytes_max = \"8KiB\"";
    let server = Setup::default().with(small).start().await;
    let long = "x".repeat(9_000);
    let refused = server.get("/healthz").header("filler", &long).send().await;
    assert_eq!(refused.status, 431);
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_end_in_time_is_504() {
    let hasty = "[server]\nbody_timeout = \"300ms\"";
    let server = Setup::default().with(hasty).start().await;
    let mut slow = half_sent(&server, "203.0.113.7").await;
    slow.write(b"{").await.unwrap();
    server.serves().await;
    let refusal = slow.answer().await.unwrap().refusal();
    assert_eq!(
        (refusal.status, refusal.text.as_str()),
        (504, "The body did not arrive within 0.3 s")
    );
    assert_eq!(server.rejected("body_timeout").await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_before_its_body_has_come_costs_no_connection() {
    let server = Server::start().await;
    let mut kept = Connection::open(server.address).await.unwrap();
    for _ in 0..3 {
        let request = post("/unknown", PUBLIC, &" ".repeat(48 * 1024));
        let (begin, end) = request.split_at(request.len() / 2);
        kept.write(begin.as_bytes()).await.unwrap();
        assert_eq!(kept.answer().await.unwrap().status, 404);
        kept.write(end.as_bytes()).await.unwrap();
    }
    let answer = kept.post(&path(), PUBLIC, UPDATE).await.unwrap();
    assert_eq!(answer.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_s_body_is_not_asked_for_and_not_read_without_an_end() {
    let server = Server::start().await;
    let asking = post("/unknown", PUBLIC, "{}").replace("host:", "expect: 100-continue\r\nhost:");
    let head = &asking[..asking.len() - 2];
    let endless = post("/unknown", PUBLIC, &" ".repeat(1024 * 1024));
    for sent in [head, &endless] {
        let read = String::from_utf8(closed(&server, sent.as_bytes()).await).unwrap();
        assert!(read.starts_with("HTTP/1.1 404 "), "{read}");
        assert_eq!(read.matches("HTTP/1.1").count(), 1, "{read}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_takes_nothing_of_its_answers_is_cut_off() {
    let hasty = "[server]\nidle_timeout = \"400ms\"";
    let server = Setup::default().with(hasty).start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = b"GET /nothing HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.7\r\n\r\n";
    let requests = request.repeat(100);
    while stream.write_all(&requests).await.is_ok() {}
    server.rejects("idle_timeout", 1).await;
    server.serves().await;
    server.stop().await;
}
