//! Where the service listens.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::StartError;
use super::tls::Tls;
use crate::config::server;

/// The addresses, bound: anyone who starts the service twice hears of it before anything is written.
#[derive(Debug)]
pub struct Listeners {
    pub(super) calls: TcpListener,
    pub(super) admin: TcpListener,
    /// For commands on this machine, where operators are answered over TLS.
    pub(super) commands: Option<TcpListener>,
}

impl Listeners {
    /// Binds the addresses.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn bind(options: &server::Options) -> Result<Self, StartError> {
        Ok(Self {
            calls: listen(options.listen).await?,
            admin: listen(options.admin_listen).await?,
            commands: match options.admin_tls {
                None => None,
                Some(_) => Some(listen((Ipv4Addr::LOCALHOST, 0).into()).await?),
            },
        })
    }
}

/// Where others can read what is said.
pub(super) fn warn_of_plain_text(setting: &str, address: SocketAddr, tls: Option<&Tls>) {
    if tls.is_none() && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            %address,
            %setting,
            "plain text on an interface of others: keys can be read on the way, unless a proxy in front speaks TLS"
        );
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| StartError::Listen { address, error })
}
