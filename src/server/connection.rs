//! One connection, from its first byte to its last.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::ORIGIN;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower::Service;

use super::detect::{Protocol, detect};
use super::http1_io::{HeadTimeouts, Http1Io};
use super::http2_io::Http2Io;
use super::lingering_close::LingeringClose;
use super::open_calls::{Answering, OpenCalls};
use super::tls::{self, Reason, Tls};
use super::write_timeout::WriteTimeout;
use crate::clock::late::Late;
use crate::middleware::observe::Ids;
use crate::middleware::{Body, Connected, Cut, DrainedBody, Guard, Rejections};
use crate::model::address::Peer;
use crate::model::certificate::CertificateNames;

/// How long a connection that has sent nothing yet may go on to do so once draining has begun: what it sends may
/// be on its way.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// What a connection is served with.
#[derive(Clone, Debug)]
pub(super) struct Connection<S> {
    pub(super) service: S,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
    pub(super) timeouts: HeadTimeouts,
    /// For a caller that takes nothing.
    pub(super) idle_timeout: Duration,
    /// How long a kept connection waits for its next request, in words.
    pub(super) keep_alive: HeaderValue,
    pub(super) rejections: Rejections,
    pub(super) ids: Arc<Ids>,
    /// Bodies of which the rest is read.
    pub(super) drained: Arc<Semaphore>,
    /// Whether calls may cut it off.
    pub(super) cuts: bool,
    /// None: plain text.
    pub(super) tls: Option<Tls>,
}

/// Whose connection it is.
#[derive(Clone, Debug)]
struct Caller {
    peer: Peer,
    names: Option<CertificateNames>,
    /// None: its calls do not cut it off.
    cut: Option<Cut>,
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
        let caller = Caller {
            peer,
            names: None,
            cut: self.cuts.then(Cut::default),
        };
        let deadline = Instant::now() + self.timeouts.head;
        match self.tls.take() {
            None => self.begin(stream, caller, deadline, draining).await,
            // In a box, so that a connection without does not need the room.
            Some(tls) => Box::pin(self.shake_hands(&tls, stream, caller, deadline, draining)).await,
        }
    }

    async fn shake_hands(
        self,
        tls: &Tls,
        stream: TcpStream,
        mut caller: Caller,
        deadline: Instant,
        mut draining: watch::Receiver<bool>,
    ) {
        match in_time(deadline, &mut draining, tls.begin(stream)).await {
            FirstBytes::Done(Some(stream)) => {
                caller.names = tls::names(stream.get_ref().1);
                self.begin(stream, caller, deadline, draining).await;
            }
            FirstBytes::Done(None) | FirstBytes::Drained => {}
            FirstBytes::Late => {
                self.rejections.count(Guard::HeaderTimeout);
                tls.fail(Reason::Timeout);
            }
        }
    }

    /// Serves what comes over a stream, whose caller has to show until `deadline` which protocol it speaks.
    async fn begin<T>(
        self,
        mut stream: T,
        caller: Caller,
        deadline: Instant,
        mut draining: watch::Receiver<bool>,
    ) where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let detected = detect(&mut stream);
        let (protocol, first) = match in_time(deadline, &mut draining, detected).await {
            FirstBytes::Done(Ok(detected)) => detected,
            FirstBytes::Done(Err(_)) | FirstBytes::Drained => return,
            FirstBytes::Late => return self.rejections.count(Guard::HeaderTimeout),
        };
        let open_calls = OpenCalls::default();
        let cut = caller.cut.clone();
        let rejections = self.rejections;
        let stream = WriteTimeout::new(stream, first, self.idle_timeout, rejections.clone());
        let service = WithPeer {
            service: RefCell::new(self.service),
            caller,
            open_calls: open_calls.clone(),
            keep_alive: self.keep_alive,
            drained: self.drained,
        };
        let served = async {
            match protocol {
                Protocol::Http1 => {
                    let (timeouts, rejections) = (self.timeouts, rejections.clone());
                    let stream =
                        Http1Io::new(stream, deadline, timeouts, rejections, self.ids, open_calls);
                    let stream = TokioIo::new(LingeringClose::new(stream));
                    let connection = self.http1.serve_connection(stream, service);
                    let shut = http1::Connection::graceful_shutdown;
                    until_drained(connection, shut, &mut draining).await
                }
                Protocol::Http2 => {
                    let stream = Http2Io::new(stream, self.timeouts.head, open_calls);
                    let stream = TokioIo::new(LingeringClose::new(stream));
                    let connection = self.http2.serve_connection(stream, service);
                    let shut = http2::Connection::graceful_shutdown;
                    until_drained(connection, shut, &mut draining).await
                }
            }
        };
        let ended = match cut {
            None => served.await,
            Some(cut) => tokio::select! {
                ended = served => ended,
                // The socket is closed with the connection.
                () = cut.is_cut() => return,
            },
        };
        // A connection that breaks is its caller's matter.
        if let Err(error) = ended {
            tracing::debug!(%error, "connection");
            if let Some(guard) = behind(&error) {
                rejections.count(guard);
            }
        }
    }
}

/// Drives a connection to its end, or lets it finish what is in flight once draining has begun.
async fn until_drained<C: Future>(
    connection: C,
    shut: impl FnOnce(Pin<&mut C>),
    draining: &mut watch::Receiver<bool>,
) -> C::Output {
    let mut connection = pin!(connection);
    tokio::select! {
        // First, so that what was sent is read before the connection is asked to end.
        biased;
        ended = connection.as_mut() => ended,
        () = begun(draining) => {
            shut(connection.as_mut());
            connection.await
        }
    }
}

/// The guard that ended a connection, if it is known.
fn behind(error: &hyper::Error) -> Option<Guard> {
    if error.is_parse_too_large() {
        return Some(Guard::HeaderBytes);
    }
    let source = error.source();
    if error.is_timeout() {
        // Only HTTP/2 asks callers whether they are still there, and says so.
        return source.map(|_| Guard::IdleTimeout);
    }
    let error: &h2::Error = source?.downcast_ref()?;
    match error.reason()? {
        h2::Reason::ENHANCE_YOUR_CALM if error.is_library() => Some(Guard::Http2Flood),
        // A header without an end, behind others that were too many already: h2 says so of nothing else.
        h2::Reason::COMPRESSION_ERROR if error.is_library() => Some(Guard::HeaderBytes),
        _ => None,
    }
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
    drained: Arc<Semaphore>,
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
        let request =
            DrainedBody::request(request, &self.drained, || self.open_calls.caller_ended());
        let request = self.caller.sign(request);
        Answering::new(begun, self.service.borrow_mut().call(request))
    }
}

impl Caller {
    /// Says whose request it is.
    fn sign(&self, mut request: Request<DrainedBody>) -> Request<DrainedBody> {
        // A browser shows its user's certificate to any page that asks it to call. Only a script of ours should count
        // with it, and pages always send their origin.
        let names = self.names.as_ref();
        let certificate = names.filter(|_| !request.headers().contains_key(ORIGIN));
        let connected = Connected {
            peer: self.peer,
            certificate: certificate.cloned(),
        };
        request.extensions_mut().insert(connected);
        if let Some(cut) = &self.cut {
            request.extensions_mut().insert(cut.clone());
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
/// A connection that hyper ends before its first byte was read is closed at once, whatever is in the
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
