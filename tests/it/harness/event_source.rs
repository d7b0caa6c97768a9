//! Server-sent events over HTTP/1.1, read from the bytes on the socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, PRIVATE, Server, TOKEN};

/// A stream of events in flight.
pub struct EventSource {
    stream: TcpStream,
    /// What was read and is not decoded yet.
    raw: Vec<u8>,
    /// What is decoded and not told yet.
    text: String,
    ended: bool,
    /// Status and headers.
    pub head: Answer,
}

impl Server {
    /// Watches over REST, with the private key. `query` has its question mark; `headers` end their lines.
    pub async fn listens(&self, query: &str, headers: &str) -> EventSource {
        EventSource::open(self.address, TOKEN, PRIVATE, query, headers).await
    }

    /// Watches refusals over REST, with the private key. `query` has its question mark.
    pub async fn listens_to_refusals(&self, query: &str) -> EventSource {
        let path = format!("/data/v2/projects/{TOKEN}/refusals/watch{query}");
        EventSource::get(self.address, &path, PRIVATE, "").await
    }
}

impl EventSource {
    /// As [`Server::listens`], of any project, wherever it is.
    pub async fn open(
        address: SocketAddr,
        token: &str,
        authorization: &str,
        query: &str,
        headers: &str,
    ) -> Self {
        let path = format!("/data/v2/projects/{token}/events/watch{query}");
        Self::get(address, &path, authorization, headers).await
    }

    /// Any stream of server-sent events.
    pub async fn get(address: SocketAddr, path: &str, authorization: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert_ne!(stream.read_buf(&mut raw).await.unwrap(), 0);
        };
        let rest = raw.split_off(end);
        Self {
            stream,
            raw: rest,
            text: String::new(),
            ended: false,
            head: Answer::parse(&raw),
        }
    }

    /// The next event as it came, without the blank line; none at a clean end.
    pub async fn piece(&mut self) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.text.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(piece);
            }
            if self.ended {
                return None;
            }
            if !self.decode() {
                let count = self.stream.read_buf(&mut self.raw).await.unwrap();
                assert_ne!(count, 0, "broken off");
            }
        }
    }

    /// The next event's data and ID.
    pub async fn event(&mut self) -> (serde_json::Value, String) {
        loop {
            let piece = self.piece().await.unwrap();
            if let Some(piece) = piece.strip_prefix("data: ") {
                let (data, id) = piece.split_once("\nid: ").unwrap();
                return (serde_json::from_str(data).unwrap(), id.to_owned());
            }
        }
    }

    /// Decodes a chunk, if one is there.
    fn decode(&mut self) -> bool {
        let Some(line) = self.raw.windows(2).position(|end| end == b"\r\n") else {
            return false;
        };
        let length = std::str::from_utf8(&self.raw[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let end = line + 2 + length + 2;
        if self.raw.len() < end {
            return false;
        }
        let chunk = std::str::from_utf8(&self.raw[line + 2..end - 2]).unwrap();
        self.text.push_str(chunk);
        self.raw.drain(..end);
        self.ended = length == 0;
        true
    }
}
