//! Connections: accepted, served, and drained.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt as _};

use super::linger::Linger;
use crate::config::server;
use crate::middleware::Body;
use crate::model::address::Peer;

/// Largest list of headers, in bytes.
const HEADERS_BYTES_MAX: u32 = 32 * 1024;
/// How long to wait after a failed accept: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that has sent nothing yet may go on to do so once draining has begun: what it sends may
/// be on its way.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// What bounds connections.
#[derive(Clone, Debug)]
pub(super) struct Guards {
    connections: Arc<Semaphore>,
    streams_max: u32,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Guards {
    pub(super) fn new(options: &server::Options) -> Self {
        let connections_max = options.connections_max.get().min(Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(connections_max)),
            streams_max: options.streams_max.get(),
            header_timeout: options.header_timeout,
            idle_timeout: options.idle_timeout,
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.streams_max)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .keep_alive_interval(self.idle_timeout);
        builder
    }
}

/// Accepts connections until it is drained.
#[derive(Debug)]
pub(super) struct Acceptor {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Acceptor {
    pub(super) fn start<S>(listener: TcpListener, service: S, guards: &Guards) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let connections = Connections {
            service,
            builder: guards.builder(),
            slots: guards.connections.clone(),
            header_timeout: guards.header_timeout,
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

    /// Stops accepting, lets what is under way finish, and ends.
    pub(super) async fn drain(self) {
        // The task has ended already, if nobody listens.
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("an acceptor panicked");
        }
    }

    /// Ends at once.
    pub(super) fn abort(self) {
        self.task.abort();
    }
}

struct Connections<S> {
    service: S,
    builder: Builder<TokioExecutor>,
    slots: Arc<Semaphore>,
    header_timeout: Duration,
    /// Each connection has a receiver as long as it lives.
    draining: watch::Sender<bool>,
}

impl<S> Connections<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    async fn accept(&self, listener: &TcpListener) {
        loop {
            // Beyond the most connections, callers wait in the kernel's queue.
            let slot = self.slots.clone().acquire_owned().await.ok();
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
            let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                return;
            };
            let stream = stream.set_nonblocking(true).map(|()| stream);
            if let Ok(stream) = stream.and_then(TcpStream::from_std) {
                self.serve(stream, address, Some(slot));
            }
        }
    }

    fn serve(&self, stream: TcpStream, address: SocketAddr, slot: Option<OwnedSemaphorePermit>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        let peer = Peer::Ip(address.ip());
        let service = self
            .service
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                request
            });
        let service = TowerToHyperService::new(service);
        let builder = self.builder.clone();
        let header_timeout = self.header_timeout;
        let mut draining = self.draining.subscribe();
        tokio::spawn(async move {
            if !speaks(&stream, header_timeout, &mut draining).await {
                return;
            }
            let stream = TokioIo::new(Linger::new(stream));
            let connection = builder.serve_connection(stream, service);
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
            }
            drop(slot);
        });
    }

    /// Lets every connection finish what is under way.
    async fn drain(self) {
        self.draining.send_replace(true);
        self.draining.closed().await;
    }
}

/// Waits for a connection's first bytes; false if none come in time.
///
/// A connection that is told to end before its first byte was read is closed at once, whatever lies in the
/// socket; and one that never sends a byte would be kept for ever.
async fn speaks(
    stream: &TcpStream,
    header_timeout: Duration,
    draining: &mut watch::Receiver<bool>,
) -> bool {
    let silent = async {
        begun(draining).await;
        tokio::time::sleep(SILENCE_MAX).await;
    };
    tokio::select! {
        biased;
        ready = stream.readable() => ready.is_ok(),
        () = silent => false,
        () = tokio::time::sleep(header_timeout) => false,
    }
}

/// Waits until draining has begun.
async fn begun(draining: &mut watch::Receiver<bool>) {
    // Without a sender nobody accepts any more: draining is over.
    let _ = draining.wait_for(|draining| *draining).await;
}
