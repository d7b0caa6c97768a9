//! HTTP/2 as frames on a socket: what no honest client sends.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;
pub const CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

/// A connection of which each frame is the scenario's.
pub struct Raw {
    stream: TcpStream,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header as HPACK has it: in full, and not to be remembered.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(length(text.len()));
        bytes.extend(text.bytes());
    }
    bytes
}

/// A number in 7 bits, and as many bytes more as it takes.
pub fn length(number: usize) -> Vec<u8> {
    if number < 127 {
        return vec![number as u8];
    }
    let (mut bytes, mut rest) = (vec![127], number - 127);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// The headers of a request.
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "footfall"),
    ];
    let all = own.iter().chain(more);
    all.flat_map(|(name, value)| header(name, value)).collect()
}

impl Frame {
    /// The next frame; none at the connection's end.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, number @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        Some(Self {
            kind,
            flags,
            stream: u32::from_be_bytes(number),
            payload,
        })
    }
}

impl Raw {
    /// Says the preface and `settings`.
    pub async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self { stream };
        let settings = settings.iter().flat_map(|(name, value)| {
            let name = name.to_be_bytes().into_iter();
            name.chain(value.to_be_bytes())
        });
        let settings: Vec<u8> = settings.collect();
        let bytes = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &settings)].concat();
        raw.send(&bytes).await;
        raw
    }

    /// Sends bytes, if the connection is still there.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame; none at the connection's end.
    pub async fn next(&mut self) -> Option<Frame> {
        Frame::read(&mut self.stream).await
    }

    /// The next frame of a kind, which must come.
    pub async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection has ended");
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads to the connection's end; gives code and text of the last GOAWAY, if there was one.
    pub async fn ends(mut self) -> Option<(u32, String)> {
        let mut told = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                let text = String::from_utf8_lossy(&frame.payload[8..]);
                told = Some((number(&frame.payload[4..8]), text.into_owned()));
            }
        }
        told
    }

    /// Reads to the connection's end, before which the caller is told to calm down for a reason.
    pub async fn ends_in_a_calm_down(self, reason: &str) {
        assert_eq!(self.ends().await, Some((CALM, reason.to_owned())));
    }

    /// Whether the service still answers.
    pub async fn is_alive(&mut self) {
        self.send(&frame(PING, 0, 0, b"are you?")).await;
        while self.next_of(PING).await.payload != b"are you?" {}
    }

    /// One half to write and one to read.
    pub fn split(
        &mut self,
    ) -> (
        tokio::net::tcp::ReadHalf<'_>,
        tokio::net::tcp::WriteHalf<'_>,
    ) {
        self.stream.split()
    }
}

/// A number of 32 bits.
pub fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
