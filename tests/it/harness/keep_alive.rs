//! An HTTP/1.1 connection that carries one request after the other.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Answer;

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// How a request ended without a whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What came of the answer.
    pub answered: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    /// Writes bytes of a request.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a POST and reads its answer.
    pub async fn post(
        &mut self,
        path: &str,
        authorization: &str,
        body: &str,
    ) -> Result<Answer, Cut> {
        let request = post(path, authorization, body);
        // What was cut off while it was written may have an answer all the same.
        let _ = self.write(request.as_bytes()).await;
        self.answer().await
    }

    /// Waits for `100 Continue`.
    pub async fn is_asked_to_continue(&mut self) {
        let asked = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut read = vec![0; asked.len()];
        self.stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, asked);
    }

    /// Reads one answer, whose length its head says.
    pub async fn answer(&mut self) -> Result<Answer, Cut> {
        loop {
            if let Some(length) = whole(&self.read) {
                let rest = self.read.split_off(length);
                return Ok(Answer::parse(&std::mem::replace(&mut self.read, rest)));
            }
            if let Ok(0) | Err(_) = self.stream.read_buf(&mut self.read).await {
                let answered = std::mem::take(&mut self.read);
                return Err(Cut { answered });
            }
        }
    }
}

/// The bytes of a POST that leaves its connection open.
pub fn post(path: &str, authorization: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: footfall\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// How long the first answer in `bytes` is, once all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.unwrap().1.trim().parse().unwrap();
    (bytes.len() >= head + length).then_some(head + length)
}
