//! HTTP/1.1 as bytes on a socket: what the service answers, to the letter.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// A request to be written.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        Self {
            address,
            head,
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Asks for another name than `localhost`.
    pub fn host(mut self, name: &str) -> Self {
        self.head = self
            .head
            .replace("host: localhost", &format!("host: {name}"));
        self
    }

    /// Says which address a proxy in front got the request from.
    pub fn from(self, address: &str) -> Self {
        self.header("X-Forwarded-For", address)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub async fn send(self) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.send_over(stream).await.unwrap()
    }

    /// Sends over the unix socket of the service that runs on a data folder.
    pub async fn send_by_socket(self, data: &Path) -> Answer {
        let stream = UnixStream::connect(data.join("admin.sock")).await.unwrap();
        self.send_over(stream).await.unwrap()
    }

    /// Sends over a stream, and reads until it ends.
    pub async fn send_over(
        self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<Answer> {
        let mut bytes = self.head.into_bytes();
        if !self.body.is_empty() {
            bytes.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body);
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Err(error) if answer.is_empty() => Err(error),
            Ok(_) | Err(_) => Ok(Answer::parse(&answer)),
        }
    }
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            status: status.parse().unwrap(),
            headers,
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The text of an error, whose other keys must say the same.
    pub fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json["success"], false, "{json}");
        assert_eq!(json["error"], json["message"], "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}
