//! Where the service listens.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::tls::Tls;
use crate::config::server;

/// The addresses, bound: anyone who starts the service twice hears of it before anything is written.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) calls: TcpListener,
    pub(crate) admin: TcpListener,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", hint(error))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

fn hint(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        return "the port is in use; stop what uses it, or choose another port".to_owned();
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return "not permitted; ports below 1024 need a privilege".to_owned();
    }
    error.to_string()
}

impl Listeners {
    /// Binds the addresses.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(options: &server::Options) -> Result<Self, ListenError> {
        Ok(Self {
            calls: listen(options.listen).await?,
            admin: listen(options.admin_listen).await?,
        })
    }
}

/// Where others can read what is said.
pub(crate) fn warn_of_plain_text(setting: &str, address: SocketAddr, tls: Option<&Tls>) {
    if tls.is_none() && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            %address,
            %setting,
            "plain text on an interface of others: keys can be read on the way, unless a proxy in front speaks TLS"
        );
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| ListenError { address, error })
}
