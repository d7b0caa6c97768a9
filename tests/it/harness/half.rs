//! Calls of which the service waits for the rest.

use std::convert::Infallible;
use std::net::{Shutdown, SocketAddr};

use bytes::Bytes;
use footfall::grpc::pb;
use futures_util::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::calls::event;

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

/// A whole message.
pub fn framed(whole: &impl prost::Message) -> Vec<u8> {
    let bytes = whole.encode_to_vec();
    [message(bytes.len(), 0), bytes].concat()
}

/// A message of a stream of commands, whose acknowledgement is not small.
pub fn command(token: &str) -> Vec<u8> {
    framed(&pb::TrackStreamRequest {
        project_token: token.to_owned(),
        command: Some(pb::Command {
            command_id: "x".repeat(64),
            command: Some(pb::command::Command::AddEvent(event("visit"))),
        }),
    })
}

impl Half {
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, None).await
    }

    /// One that takes so few bytes of an answer before it looks at them.
    pub async fn narrow(address: SocketAddr, bytes: u32) -> Self {
        Self::open_with(address, Some(bytes)).await
    }

    async fn open_with(address: SocketAddr, window_bytes: Option<u32>) -> Self {
        let socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window_bytes);
        let handshake = builder.handshake(TokioIo::new(stream));
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
        let answer = self.begins(rpc, headers, bytes.into()).await;
        tokio::spawn(async move {
            match answer.await {
                Ok(answer) => told(answer).await,
                Err(_) => Told::default(),
            }
        })
    }

    /// The same; gives the answer, of which nothing is looked at.
    pub async fn begins(
        &mut self,
        rpc: &str,
        headers: &[(&str, &str)],
        sent: Bytes,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<> {
        let mut request = Request::post(format!("http://footfall{rpc}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = stream::iter([Ok(Frame::data(sent))]).chain(stream::pending());
        let body = StreamBody::new(sent).boxed_unsync();
        self.sender.ready().await.unwrap();
        self.sender.send_request(request.body(body).unwrap())
    }
}

/// What tells how a call was answered.
pub async fn told(answer: Response<Incoming>) -> Told {
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
}

/// Whatever it had in flight is cut off.
impl Drop for Half {
    fn drop(&mut self) {
        // Its other end may have closed it.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
