//! TLS on the listeners: what it is made of, how that is replaced, and how a connection begins.

mod failures;
mod material;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

pub(crate) use self::failures::{Failures, Listener, Reason};
use self::material::Material;
use super::lingering_close::LingeringClose;
use crate::clock::Clock;
use crate::config::{Config, Mistake, Mistakes, server};
use crate::model::certificate::{CertificateName, CertificateNames};

/// Something for each listener that speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct Both<T> {
    pub(crate) calls: Option<T>,
    pub(crate) admin: Option<T>,
}

/// One listener's TLS. Clones share it, and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    in_force: Arc<ArcSwap<Material>>,
    failures: Failures,
    listener: Listener,
}

/// Reads the files that the settings name, and says what is wrong with them.
///
/// # Errors
/// All mistakes in all of the files.
pub fn check(config: &Config, clock: &Arc<dyn Clock>) -> Result<(), Mistakes> {
    load(&config.server, clock).map(drop)
}

/// Reads the files that the settings name.
pub(crate) fn load(
    options: &server::Options,
    clock: &Arc<dyn Clock>,
) -> Result<Both<Material>, Mistakes> {
    let mut mistakes = Vec::<Mistake>::new();
    let mut load = |section, options: &Option<_>| {
        let loaded = Material::load(section, options.as_ref()?, clock);
        loaded.map_err(|found| mistakes.extend(found)).ok()
    };
    let both = Both {
        calls: load("server.tls", &options.tls),
        admin: load("server.admin_tls", &options.admin_tls),
    };
    Mistakes::none(mistakes).map(|()| both)
}

impl Both<Tls> {
    pub(crate) fn new(materials: Both<Material>, failures: &Failures) -> Self {
        let tls = |material: Option<Material>, listener| {
            Some(Tls {
                in_force: Arc::new(ArcSwap::from_pointee(material?)),
                failures: failures.clone(),
                listener,
            })
        };
        Self {
            calls: tls(materials.calls, Listener::Calls),
            admin: tls(materials.admin, Listener::Admin),
        }
    }

    /// New connections are begun with these. Names the settings whose files say something else than before; a
    /// listener that had no TLS gets none.
    pub(crate) fn replace(&self, materials: Both<Material>) -> Vec<&'static str> {
        let pairs = [
            ("server.tls", &self.calls, materials.calls),
            ("server.admin_tls", &self.admin, materials.admin),
        ];
        let replaced = pairs.into_iter().filter_map(|(name, tls, material)| {
            let (tls, material) = (tls.as_ref()?, material?);
            let differs = !tls.in_force.load().is_same_as(&material);
            // What is the same goes on too, and with it the sessions that callers resume.
            differs.then(|| tls.in_force.store(Arc::new(material)))?;
            Some(name)
        });
        replaced.collect()
    }
}

impl Tls {
    /// Shakes hands. None if that fails, which is the caller's matter, and counted.
    pub(crate) async fn begin(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.in_force.load().config());
        match acceptor.accept(stream).into_fallible().await {
            Ok(stream) => Some(stream),
            Err((error, stream)) => {
                self.fail(Reason::of(&error));
                tracing::debug!(%error, "handshake");
                // What the caller sent behind it must not cut off the alert that it is sent.
                let _ = LingeringClose::new(stream).shutdown().await;
                None
            }
        }
    }

    /// Counts a handshake that failed.
    pub(crate) fn fail(&self, reason: Reason) {
        self.failures.count(self.listener, reason);
    }
}

/// The names of the caller's certificate, which the handshake has verified; none if it showed none.
pub(crate) fn names(connection: &ServerConnection) -> Option<CertificateNames> {
    let own = connection.peer_certificates()?.first()?;
    names_of(own)
}

fn names_of(certificate: &CertificateDer<'_>) -> Option<CertificateNames> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let uris = certificate.valid_uri_names();
    let uris = uris.map(|name| CertificateName::Uri(name.to_owned()));
    let dns = certificate.valid_dns_names();
    let dns = dns.map(|name| CertificateName::Dns(name.to_owned()));
    Some(CertificateNames::new(uris.chain(dns)))
}
