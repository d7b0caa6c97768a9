//! The unix socket in the data folder by which commands find the running service.
//!
//! File permissions control access: users without access to the service's files cannot connect. Other users of the
//! machine can connect to a port, and so can pages in a browser; neither can open the socket.

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tower::Service;

use crate::middleware::Body;

const FILE: &str = "admin.sock";
/// Most commands that are answered at once.
const CONNECTIONS_MAX: usize = 16;
/// Longest that a command may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where the socket of a data folder is.
pub(super) fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Connects to the service that runs on a data folder.
pub(super) async fn connect(data: &Path) -> io::Result<UnixStream> {
    let (_folder, path) = short_path(data)?;
    UnixStream::connect(path).await
}

/// The socket's path through a descriptor of its folder: a socket's path has at most 107 bytes, and a folder's may have
/// more. Good as long as the descriptor is open.
fn short_path(data: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(data, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{FILE}", folder.as_raw_fd());
    Ok((folder, path.into()))
}

/// What answers commands.
pub(crate) trait Commands:
    Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Commands for S where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// The socket, as long as the service runs. The caller that makes it holds the folder's lock.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    file: File,
}

/// Removed while the lock is held, so that a later service's socket stays.
#[derive(Debug)]
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a socket is left behind");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl Socket {
    /// Makes the socket, in place of one that a killed service left.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        let file = path(data);
        remove(&file)?;
        let (_folder, short) = short_path(data)?;
        let listener = UnixListener::bind(&short)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let file = File(file);
        Ok(Self { listener, file })
    }

    /// Answers commands by `service` until it is drained.
    pub(crate) fn serve<S: Commands>(self, service: S) -> Serving {
        let (stop, stopped) = oneshot::channel();
        let Self { listener, file } = self;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            tokio::select! {
                () = accept(&listener, service, &mut connections) => {}
                _ = stopped => {}
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        });
        Serving {
            stop,
            task,
            _file: file,
        }
    }
}

/// A socket whose commands are answered.
#[derive(Debug)]
pub(crate) struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _file: File,
}

impl Serving {
    /// Stops accepting, and waits until all requests are answered.
    pub(crate) async fn drain(self) {
        // The task has ended already if there is no receiver.
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("the admin socket panicked");
        }
    }

    /// Ends at once.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

async fn accept<S: Commands>(listener: &UnixListener, service: S, connections: &mut JoinSet<()>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // It is never closed.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    serve(stream, service).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve<S: Commands>(stream: UnixStream, service: S) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .half_close(true)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A broken connection concerns only its caller.
    if let Err(error) = connection.await {
        tracing::debug!(%error, "admin socket");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owner_s_alone_and_leaves_with_the_service() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), "left by a killed service").unwrap();
        let socket = Socket::bind(dir.path()).unwrap();
        let metadata = fs::metadata(path(dir.path())).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        connect(dir.path()).await.unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(connect(dir.path()).await.is_err());
    }

    #[tokio::test]
    async fn a_folder_may_have_a_path_that_is_longer_than_a_socket_s() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(200));
        fs::create_dir(&long).unwrap();
        let _socket = Socket::bind(&long).unwrap();
        connect(&long).await.unwrap();
    }
}
