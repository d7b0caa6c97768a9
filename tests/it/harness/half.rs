//! Calls of which the service waits for the rest.

use std::convert::Infallible;
use std::net::{Shutdown, SocketAddr};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// An HTTP/2 connection whose gRPC calls send what a scenario likes.
pub struct Half {
    sender: SendRequest<Body>,
    /// The same socket, for hyper keeps its connection as long as a call waits.
    socket: std::net::TcpStream,
}

/// How a call was answered: code and text; empty, if it was cut off.
pub type Told = (String, String);

/// The beginning of a message that claims so many bytes, with so many of them.
pub fn message(claimed: usize, sent: usize) -> Vec<u8> {
    let length = u32::try_from(claimed).unwrap().to_be_bytes();
    [&[0][..], &length, &vec![0; sent]].concat()
}

impl Half {
    pub async fn open(address: SocketAddr) -> Self {
        let socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self { sender, socket }
    }

    /// Calls an rpc, sends some bytes and no end; gives what tells how it was answered.
    pub async fn calls(
        &mut self,
        rpc: &str,
        headers: &[(&str, &str)],
        bytes: impl Into<Bytes>,
    ) -> JoinHandle<Told> {
        let mut request = Request::post(format!("http://footfall{rpc}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent: Bytes = bytes.into();
        let sent = stream::iter([Ok(Frame::data(sent))]).chain(stream::pending());
        let body = StreamBody::new(sent).boxed_unsync();
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request.body(body).unwrap());
        tokio::spawn(async move {
            let Ok(answer) = answer.await else {
                return Told::default();
            };
            let (head, body) = answer.into_parts();
            let headers = match head.headers.contains_key("grpc-status") {
                true => head.headers,
                false => {
                    let body = body.collect().await.ok();
                    let trailers = body.and_then(|body| body.trailers().cloned());
                    trailers.unwrap_or_default()
                }
            };
            let text = |name| {
                let value = headers.get(name).map(|value| value.to_str().unwrap());
                value.unwrap_or_default().replace("%20", " ")
            };
            (text("grpc-status"), text("grpc-message"))
        })
    }
}

/// Whatever it had under way is cut off.
impl Drop for Half {
    fn drop(&mut self) {
        // Its other end may have closed it.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
