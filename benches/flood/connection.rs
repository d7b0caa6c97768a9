//! An HTTP/1.1 connection that sends many requests before it reads their answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::scope;

pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// How many answers there were, by what they say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    pub(super) ok: usize,
    /// 429.
    pub(super) refused: usize,
    /// 401 and 404: answers to strangers.
    pub(super) stranger: usize,
    pub(super) other: usize,
}

impl Answers {
    pub(super) fn plus(self, more: Self) -> Self {
        Self {
            ok: self.ok + more.ok,
            refused: self.refused + more.refused,
            stranger: self.stranger + more.stranger,
            other: self.other + more.other,
        }
    }

    pub(super) fn all(self) -> usize {
        self.ok + self.refused + self.stranger + self.other
    }
}

impl Connection {
    pub(super) fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends these requests and reads all of their answers.
    pub(super) fn send(&mut self, requests: &[String]) -> Answers {
        let mut writer = self.stream.try_clone().unwrap();
        let text = requests.concat();
        // At once, for a server may stop reading while nobody reads its answers.
        scope(|scope| {
            if requests.len() > 1_000 {
                scope.spawn(move || writer.write_all(text.as_bytes()).unwrap());
            } else {
                writer.write_all(text.as_bytes()).unwrap();
            }
            self.read(requests.len())
        })
    }

    fn read(&mut self, count: usize) -> Answers {
        let mut answers = Answers::default();
        let mut chunk = [0; 65_536];
        while answers.all() < count {
            let used = self.take(&mut answers);
            self.buffer.drain(..used);
            if answers.all() < count {
                let read = self.stream.read(&mut chunk).unwrap();
                assert_ne!(read, 0, "closed after {answers:?}");
                self.buffer.extend_from_slice(&chunk[..read]);
            }
        }
        answers
    }

    /// Counts the whole answers that are there, and says how many bytes they take.
    fn take(&self, answers: &mut Answers) -> usize {
        let mut used = 0;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let rest = &self.buffer[used..];
            let httparse::Status::Complete(head) = response.parse(rest).unwrap() else {
                return used;
            };
            let length = response.headers.iter().find_map(|header| {
                let is_it = header.name.eq_ignore_ascii_case("content-length");
                is_it.then(|| {
                    std::str::from_utf8(header.value)
                        .unwrap()
                        .parse::<usize>()
                        .unwrap()
                })
            });
            let end = head + length.unwrap_or(0);
            if rest.len() < end {
                return used;
            }
            match response.code.unwrap() {
                200 => answers.ok += 1,
                429 => answers.refused += 1,
                401 | 404 => answers.stranger += 1,
                _ => answers.other += 1,
            }
            used += end;
        }
    }
}
