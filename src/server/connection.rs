//! One connection, from its first byte to its last.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::ORIGIN;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Service;

use super::io_deadline::{DeadlineIo, IoTimeouts};
use super::lingering_close::LingeringClose;
use super::open_calls::{Answering, OpenCalls};
use super::tls::{self, Reason, Tls};
use crate::clock::late::Late;
use crate::middleware::observe::Ids;
use crate::middleware::{Body, DrainedBody, Guard, Rejections};
use crate::model::address::Peer;
use crate::model::certificate::CertificateNames;

/// How long a connection that has sent nothing yet may go on to do so once draining has begun: what it sends may
/// be on its way.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// What a connection is served with.
#[derive(Clone, Debug)]
pub(super) struct Connection<S> {
    pub(super) service: S,
    pub(super) builder: Builder<TokioExecutor>,
    pub(super) header_timeout: Duration,
    pub(super) waits: IoTimeouts,
    /// How long a kept connection waits for its next request, in words.
    pub(super) keep_alive: HeaderValue,
    pub(super) rejections: Rejections,
    pub(super) ids: Arc<Ids>,
    /// None: plain text.
    pub(super) tls: Option<Tls>,
}

/// Whose connection it is.
#[derive(Clone, Debug)]
struct Caller {
    peer: Peer,
    names: Option<CertificateNames>,
}

impl<S> Connection<S>
where
    S: Service<Request<DrainedBody>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    /// Serves a stream until it ends, or until draining has begun and what is in flight is done.
    pub(super) async fn serve(
        mut self,
        stream: TcpStream,
        peer: Peer,
        draining: watch::Receiver<bool>,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        let caller = Caller { peer, names: None };
        match self.tls.take() {
            None => self.serve_plain(stream, caller, draining).await,
            // In a box, so that a connection without does not need the room.
            Some(tls) => Box::pin(self.serve_tls(&tls, stream, caller, draining)).await,
        }
    }

    async fn serve_plain(
        self,
        stream: TcpStream,
        caller: Caller,
        mut draining: watch::Receiver<bool>,
    ) {
        let deadline = self.deadline();
        let first = stream.readable();
        match in_time(deadline, &mut draining, first).await {
            FirstBytes::Done(Ok(())) => self.carry(stream, caller, deadline, draining).await,
            FirstBytes::Late => self.rejections.count(Guard::HeaderTimeout),
            FirstBytes::Done(Err(_)) | FirstBytes::Drained => {}
        }
    }

    async fn serve_tls(
        self,
        tls: &Tls,
        stream: TcpStream,
        mut caller: Caller,
        mut draining: watch::Receiver<bool>,
    ) {
        let deadline = self.deadline();
        let mut stream = match in_time(deadline, &mut draining, tls.begin(stream)).await {
            FirstBytes::Done(Some(stream)) => stream,
            FirstBytes::Done(None) | FirstBytes::Drained => return,
            FirstBytes::Late => {
                self.rejections.count(Guard::HeaderTimeout);
                return tls.fail(Reason::Timeout);
            }
        };
        caller.names = tls::names(stream.get_ref().1);
        let first = stream.fill_buf();
        match in_time(deadline, &mut draining, first).await {
            FirstBytes::Done(Ok(_)) => self.carry(stream, caller, deadline, draining).await,
            FirstBytes::Late => self.rejections.count(Guard::HeaderTimeout),
            FirstBytes::Done(Err(_)) | FirstBytes::Drained => {}
        }
    }

    /// Serves what comes over a stream that has begun, and has to say until `deadline` which protocol it speaks.
    async fn carry<T>(
        self,
        stream: T,
        caller: Caller,
        deadline: Instant,
        mut draining: watch::Receiver<bool>,
    ) where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let open_calls = OpenCalls::default();
        let service = WithPeer {
            service: RefCell::new(self.service),
            caller,
            open_calls: open_calls.clone(),
            keep_alive: self.keep_alive.clone(),
        };
        let rejections = self.rejections;
        let stream = DeadlineIo::new(
            stream,
            deadline,
            self.waits,
            rejections.clone(),
            self.ids,
            open_calls,
        );
        let stream = TokioIo::new(LingeringClose::new(stream));
        let connection = self.builder.serve_connection(stream, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            // First, so that what was sent is read before the connection is told to end.
            biased;
            ended = connection.as_mut() => ended,
            () = begun(&mut draining) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // A connection that breaks is its caller's matter.
        if let Err(error) = ended {
            tracing::debug!(%error, "connection");
            if let Some(guard) = behind(error.as_ref()) {
                rejections.count(guard);
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.header_timeout
    }
}

/// The guard that ended a connection, if that can be told.
fn behind(error: &(dyn Error + 'static)) -> Option<Guard> {
    let error: &hyper::Error = error.downcast_ref()?;
    if error.is_timeout() {
        // Only HTTP/2 asks callers whether they are still there, and says so.
        return error.source().map(|_| Guard::IdleTimeout);
    }
    // h2's limits show in what it sent before.
    error.is_parse_too_large().then_some(Guard::HeaderBytes)
}

/// A connection's service, which says whose its requests are.
///
/// hyper's own glue clones the whole stack of layers for each request, since a tower service may be busy and has to be
/// waited for. Ours is ready at any time, and a connection's calls begin one after the other, so that one clone for
/// each connection is enough.
struct WithPeer<S> {
    service: RefCell<S>,
    caller: Caller,
    open_calls: OpenCalls,
    keep_alive: HeaderValue,
}

impl<S> hyper::service::Service<Request<Incoming>> for WithPeer<S>
where
    S: Service<Request<DrainedBody>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Answering<S::Future> {
        let begun = self.open_calls.begin(&request, &self.keep_alive);
        let request = DrainedBody::request(request, || self.open_calls.caller_ended());
        let request = self.caller.sign(request);
        Answering::new(begun, self.service.borrow_mut().call(request))
    }
}

impl Caller {
    /// Says whose request it is.
    fn sign(&self, mut request: Request<DrainedBody>) -> Request<DrainedBody> {
        request.extensions_mut().insert(self.peer);
        // A browser shows its user's certificate to whatever page asks it to call; only a script of ours should have
        // its say with it, and pages always tell their origin.
        if let Some(names) = &self.names
            && !request.headers().contains_key(ORIGIN)
        {
            request.extensions_mut().insert(names.clone());
        }
        request
    }
}

/// How a connection began.
pub(super) enum FirstBytes<T> {
    Done(T),
    Late,
    Drained,
}

/// Waits for the first step of a connection: its first bytes, or the handshake.
///
/// A connection that hyper ends before its first byte was read is closed at once, whatever lies in the
/// socket; and one that never sends a byte would be kept forever.
pub(super) async fn in_time<T>(
    deadline: Instant,
    draining: &mut watch::Receiver<bool>,
    step: impl Future<Output = T>,
) -> FirstBytes<T> {
    let silent = async {
        begun(draining).await;
        tokio::time::sleep(SILENCE_MAX).await;
    };
    tokio::select! {
        biased;
        done = step => FirstBytes::Done(done),
        () = silent => FirstBytes::Drained,
        () = Late::until(deadline) => FirstBytes::Late,
    }
}

/// Waits until draining has begun.
async fn begun(draining: &mut watch::Receiver<bool>) {
    // Without a sender nobody accepts any more: draining is over.
    let _ = draining.wait_for(|draining| *draining).await;
}
