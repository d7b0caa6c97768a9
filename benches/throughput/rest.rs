//! REST callers, each with a connection that stays open.

use std::net::SocketAddr;
use std::time::Instant;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::load::{Answer, Answers, Calls, Load};
use super::message::{self, BATCH, post};
use super::server::{AUTHORIZATION, READER};

pub(super) const EVENTS: &str = "/track/v2/projects/bench/customers/events";
pub(super) const READ: &str = "/data/v2/projects/bench/customers/events";
const BATCHES: &str = "/track/v2/projects/bench/batch";
/// More than any head with its body.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a body has to be.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// `success`.
    Success,
    /// `success`, and at least one event.
    Page,
    /// `success`, and so has each of the results.
    Batch,
    /// An empty message: what Envoy makes of an answer of gRPC.
    Empty,
}

#[derive(Deserialize)]
struct Said {
    success: bool,
    #[serde(default)]
    results: Vec<Success>,
    #[serde(default)]
    data: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Success {
    success: bool,
}

/// Events, one a request.
pub(super) async fn events(address: SocketAddr, load: Load) -> Answers {
    single(address, load, Body::Success).await
}

/// The same through Envoy.
pub(super) async fn transcoded(address: SocketAddr, load: Load) -> Answers {
    single(address, load, Body::Empty).await
}

async fn single(address: SocketAddr, load: Load, body: Body) -> Answers {
    load.run(|_, until| caller(address, load.calls, body, until))
        .await
}

async fn caller(address: SocketAddr, calls: Calls, body: Body, until: Instant) -> Answers {
    let mut connection = Connection::open(address).await;
    let mut answers = Answers::default();
    while Instant::now() < until {
        let number = message::next(1);
        let request = post(EVENTS, AUTHORIZATION, &message::event_json(number));
        answers.count(connection.call(&request, body).await, calls);
        if calls.reads_behind(number) {
            let request = post(READ, READER, &message::question_json(number));
            answers.count(connection.call(&request, Body::Page).await, calls);
        }
    }
    answers
}

/// Requests a second, of batches.
pub(super) async fn batches(address: SocketAddr, load: Load) -> Answers {
    load.run(|_, until| batch_caller(address, load.calls, until))
        .await
}

async fn batch_caller(address: SocketAddr, calls: Calls, until: Instant) -> Answers {
    let mut connection = Connection::open(address).await;
    let mut answers = Answers::default();
    while Instant::now() < until {
        let body = message::batch_json(message::next(BATCH));
        let request = post(BATCHES, AUTHORIZATION, &body);
        answers.count(connection.call(&request, Body::Batch).await, calls);
    }
    answers
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: vec![0; ANSWER_BYTES_MAX],
        }
    }

    async fn call(&mut self, request: &str, body: Body) -> Answer {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert_ne!(count, 0, "the server hung up");
            filled += count;
            if let Some(answer) = answer(&self.buffer[..filled], body) {
                return answer;
            }
        }
    }
}

/// The answer, once all of it is there. What is neither what it should be nor a refusal by the rate limit panics.
pub(super) fn answer(bytes: &[u8], body: Body) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect(text).parse().unwrap();
    if rest.len() < length {
        return None;
    }
    assert_eq!(rest.len(), length, "{text}");
    if head.starts_with("HTTP/1.1 429 ") {
        let said: Said = serde_json::from_str(rest).expect(text);
        assert!(!said.success, "{text}");
        return Some(Answer::Refused);
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
    if matches!(body, Body::Empty) {
        assert_eq!(rest, "{}");
        return Some(Answer::Accepted);
    }
    let said: Said = serde_json::from_str(rest).expect(text);
    assert!(said.success, "{text}");
    match body {
        Body::Success | Body::Empty => {}
        Body::Page => assert!(!said.data.is_empty(), "{text}"),
        Body::Batch => {
            assert_eq!(said.results.len() as u64, BATCH, "{text}");
            assert!(said.results.iter().all(|result| result.success), "{text}");
        }
    }
    Some(Answer::Accepted)
}
