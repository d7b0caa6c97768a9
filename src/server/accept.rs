//! Connections: accepted, and drained.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::Service;

use super::connection::{Connection, FirstBytes, in_time};
use super::http1_io::HeadTimeouts;
use super::proxy_protocol;
use super::timer::LateTimer;
use super::tls::Tls;
use crate::config::server;
use crate::limit::{KeyedPermit, KeyedSemaphore};
use crate::middleware::observe::Ids;
use crate::middleware::{Body, DrainedBody, Guard, Rejections};
use crate::model::address::{AddressKey, ClientAddress, Peer, Resolver};

/// How long to wait after a failed accept: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest that an HTTP/2 caller who is asked whether it is still there may take to say so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What an HTTP/2 stream may send before it is read: a stream that waits for its caller to take what it was answered is
/// not read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// What HTTP/2 is given of an answer beyond what its caller has taken, but for the last piece.
const STREAM_SEND_BYTES: usize = 8 * 1024;

/// By how much h2 bounds a list of headers more widely than `header_bytes_max`: up to there the answer is ours, beyond
/// it h2's.
const HEADER_LIST_TIMES: u32 = 2;

/// Most bodies of which the rest is waited for at once, in all; of others the stream is reset.
const DRAINED_BODIES_MAX: usize = 1_024;

/// What bounds connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    connections: Arc<Semaphore>,
    operators_max: usize,
    /// None: an address may have as many as there are.
    by_address: Option<Arc<KeyedSemaphore<AddressKey>>>,
    /// Knows the proxies, which connect for many.
    resolver: Arc<Resolver>,
    /// Whether each connection begins with a head of the PROXY protocol.
    proxy_protocol: bool,
    rejections: Rejections,
    streams_max: u32,
    header_bytes_max: u32,
    /// What h2 bounds a list of headers by.
    header_list_bytes_max: u32,
    resets_max: usize,
    error_resets_max: usize,
    header_timeout: Duration,
    keep_alive_timeout: Duration,
    idle_timeout: Duration,
    ids: Arc<Ids>,
    /// Bodies of which the rest is read, though their calls are answered.
    drained: Arc<Semaphore>,
    /// Whether calls may cut their connections off.
    cuts: bool,
}

impl ConnectionLimits {
    pub(crate) fn new(
        options: &server::Options,
        resolver: Arc<Resolver>,
        rejections: Rejections,
        ids: Arc<Ids>,
    ) -> Self {
        let permits = |most: NonZeroUsize| most.get().min(Semaphore::MAX_PERMITS);
        let header_bytes_max = options.header_bytes_max.get();
        Self {
            connections: Arc::new(Semaphore::new(permits(options.connections_max))),
            operators_max: permits(options.admin_connections_max),
            by_address: Some(KeyedSemaphore::new(options.connections_per_address_max)),
            resolver,
            proxy_protocol: options.proxy_protocol,
            rejections,
            streams_max: options.streams_max.get(),
            header_bytes_max,
            header_list_bytes_max: header_bytes_max.saturating_mul(HEADER_LIST_TIMES),
            resets_max: options.resets_max.get(),
            error_resets_max: options.error_resets_max.get(),
            header_timeout: options.header_timeout,
            keep_alive_timeout: options.keep_alive_timeout,
            idle_timeout: options.idle_timeout,
            ids,
            drained: Arc::new(Semaphore::new(DRAINED_BODIES_MAX)),
            cuts: false,
        }
    }

    /// The same where calls may cut their connections off.
    pub(crate) fn with_cuts(self, cuts: bool) -> Self {
        Self { cuts, ..self }
    }

    /// The same with connections of their own: callers that have taken all of theirs must not keep operators from
    /// seeing that.
    pub(crate) fn of_operators(self) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(self.operators_max)),
            by_address: None,
            cuts: false,
            proxy_protocol: false,
            // What answers operators does not look at the size of their headers.
            header_list_bytes_max: self.header_bytes_max,
            ..self
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        let header_bytes_max = usize::try_from(self.header_bytes_max).unwrap_or(usize::MAX);
        builder
            // The stream below knows whether a head has begun.
            .header_read_timeout(None)
            // It has its answer all the same.
            .half_close(true)
            // A head has to fit into the buffer.
            .max_buf_size(header_bytes_max);
        builder
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(LateTimer)
            .max_concurrent_streams(self.streams_max)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .max_send_buf_size(STREAM_SEND_BYTES)
            .max_header_list_size(self.header_list_bytes_max)
            .max_pending_accept_reset_streams(self.resets_max)
            .max_local_error_reset_streams(self.error_resets_max)
            .keep_alive_interval(self.idle_timeout)
            .keep_alive_timeout(self.idle_timeout.min(ANSWER_TIMEOUT));
        builder
    }

    fn timeouts(&self) -> HeadTimeouts {
        HeadTimeouts {
            head: self.header_timeout,
            keep_alive: self.keep_alive_timeout,
        }
    }

    fn keep_alive(&self) -> HeaderValue {
        let text = format!("timeout={}", self.keep_alive_timeout.as_secs());
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("timeout=0"))
    }

    /// Waits for the room that a connection takes.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let connections = self.connections.clone();
        if let Ok(slot) = connections.clone().try_acquire_owned() {
            return Some(slot);
        }
        self.rejections.count(Guard::Connections);
        connections.acquire_owned().await.ok()
    }

    /// A place for a connection of `peer`.
    fn place(&self, peer: Peer, slot: Option<OwnedSemaphorePermit>) -> Option<ConnectionPermit> {
        let mut place = ConnectionPermit {
            _slot: slot,
            _share: None,
        };
        if let Some(shares) = &self.by_address
            && !self.resolver.believes(peer)
        {
            let share = shares.take(ClientAddress::from(peer).key());
            if share.is_none() {
                self.rejections.count(Guard::ConnectionsPerAddress);
            }
            place._share = Some(share?);
        }
        Some(place)
    }

    /// Whom the proxy at the other end connects for: by the head that it sends first.
    async fn named_peer(
        &self,
        stream: &mut TcpStream,
        proxy: Peer,
        draining: &mut watch::Receiver<bool>,
    ) -> Option<Peer> {
        if !self.resolver.believes(proxy) {
            self.rejections.count(Guard::ProxyProtocol);
            return None;
        }
        let deadline = Instant::now() + self.header_timeout;
        let head = proxy_protocol::read(stream);
        let guard = match in_time(deadline, draining, head).await {
            FirstBytes::Done(Ok(address)) => return Some(address.map_or(proxy, Peer::Ip)),
            FirstBytes::Done(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Guard::ProxyProtocol
            }
            FirstBytes::Done(Err(_)) | FirstBytes::Drained => return None,
            FirstBytes::Late => Guard::HeaderTimeout,
        };
        self.rejections.count(guard);
        None
    }
}

/// A connection's place, as long as it is open.
#[derive(Debug)]
struct ConnectionPermit {
    _slot: Option<OwnedSemaphorePermit>,
    _share: Option<KeyedPermit<AddressKey>>,
}

/// Accepts connections until it is drained.
#[derive(Debug)]
pub(crate) struct Acceptor {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Acceptor {
    /// Without `tls`, in plain text.
    pub(crate) fn start<S>(
        listener: TcpListener,
        service: S,
        limits: &ConnectionLimits,
        tls: Option<Tls>,
    ) -> Self
    where
        S: Service<Request<DrainedBody>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let connections = Connections {
            connection: Connection {
                service,
                http1: limits.http1(),
                http2: limits.http2(),
                timeouts: limits.timeouts(),
                idle_timeout: limits.idle_timeout,
                keep_alive: limits.keep_alive(),
                rejections: limits.rejections.clone(),
                ids: limits.ids.clone(),
                drained: limits.drained.clone(),
                cuts: limits.cuts,
                tls,
            },
            limits: limits.clone(),
            draining: watch::Sender::new(false),
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = connections.accept(&listener) => {}
                _ = stopped => {}
            }
            connections.accept_queued(listener);
            connections.drain().await;
        });
        Self { stop, task }
    }

    /// Stops accepting, lets what is in flight finish, and ends.
    pub(crate) async fn drain(self) {
        // The task has ended already, if nobody listens.
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("an acceptor panicked");
        }
    }

    /// Ends at once.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

struct Connections<S> {
    connection: Connection<S>,
    limits: ConnectionLimits,
    /// Each connection has a receiver as long as it lives.
    draining: watch::Sender<bool>,
}

impl<S> Connections<S>
where
    S: Service<Request<DrainedBody>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    async fn accept(&self, listener: &TcpListener) {
        loop {
            // Beyond the most connections, callers wait in the kernel's queue.
            let slot = self.limits.slot().await;
            match listener.accept().await {
                Ok((stream, address)) => self.serve(stream, address, slot),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts who is connected already and waits in the kernel's queue: they are owed an answer.
    fn accept_queued(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else {
            return;
        };
        while let Ok((stream, address)) = listener.accept() {
            let Ok(slot) = self.limits.connections.clone().try_acquire_owned() else {
                return;
            };
            let stream = stream.set_nonblocking(true).map(|()| stream);
            if let Ok(stream) = stream.and_then(TcpStream::from_std) {
                self.serve(stream, address, Some(slot));
            }
        }
    }

    fn serve(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
    ) {
        let peer = Peer::Ip(address.ip());
        let connection = self.connection.clone();
        let mut draining = self.draining.subscribe();
        if self.limits.proxy_protocol {
            let limits = self.limits.clone();
            tokio::spawn(async move {
                let named = limits.named_peer(&mut stream, peer, &mut draining).await;
                let place = named.and_then(|peer| Some((peer, limits.place(peer, slot)?)));
                if let Some((peer, place)) = place {
                    connection.serve(stream, peer, draining).await;
                    drop(place);
                }
            });
            return;
        }
        // Which protocol the caller speaks is not known yet, so that no answer can be sent.
        let Some(place) = self.limits.place(peer, slot) else {
            return;
        };
        tokio::spawn(async move {
            connection.serve(stream, peer, draining).await;
            drop(place);
        });
    }

    /// Lets every connection finish what is in flight.
    async fn drain(self) {
        self.draining.send_replace(true);
        self.draining.closed().await;
    }
}
