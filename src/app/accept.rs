//! Connections: accepted, and drained.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tower::Service;

use super::connection::Connection;
use super::tls::Tls;
use crate::config::server;
use crate::middleware::Body;

/// Largest list of headers, in bytes.
const HEADERS_BYTES_MAX: u32 = 32 * 1024;
/// How long to wait after a failed accept: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// Without `tls`, in plain text.
    pub(super) fn start<S>(
        listener: TcpListener,
        service: S,
        guards: &Guards,
        tls: Option<Tls>,
    ) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let connections = Connections {
            connection: Connection {
                service,
                builder: guards.builder(),
                header_timeout: guards.header_timeout,
                tls,
            },
            slots: guards.connections.clone(),
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
    connection: Connection<S>,
    slots: Arc<Semaphore>,
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
        let connection = self.connection.clone();
        let draining = self.draining.subscribe();
        tokio::spawn(async move {
            connection.serve(stream, address, draining).await;
            drop(slot);
        });
    }

    /// Lets every connection finish what is under way.
    async fn drain(self) {
        self.draining.send_replace(true);
        self.draining.closed().await;
    }
}
