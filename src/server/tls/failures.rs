//! Handshakes that failed, counted by reason: a fixed set, so that nobody makes up labels.

use std::io;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts handshakes that failed. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Failures(Family<Labels, Counter>);

/// Where the handshake was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Listener {
    Calls,
    Admin,
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Reason {
    /// The caller's certificate is missing, or nobody vouches for it, or its time is over.
    Certificate,
    /// The caller did not like something, as the listener's certificate.
    Alert,
    /// The caller left.
    Closed,
    /// It took longer than `server.header_timeout`.
    Timeout,
    /// What the caller sent is no TLS, or none that is spoken here.
    Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: Listener,
    reason: Reason,
}

impl Failures {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let family = Family::default();
        registry.register(
            "footfall_tls_handshakes_failed",
            "TLS handshakes that failed, by listener and reason",
            family.clone(),
        );
        Self(family)
    }

    pub(super) fn count(&self, listener: Listener, reason: Reason) {
        let labels = Labels { listener, reason };
        self.0.get_or_create(&labels).inc();
    }
}

impl Reason {
    pub(super) fn of(error: &io::Error) -> Self {
        let of_tls = error.get_ref().and_then(|error| error.downcast_ref());
        match of_tls {
            None => Self::Closed,
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
                Self::Certificate
            }
            Some(rustls::Error::AlertReceived(_)) => Self::Alert,
            Some(_) => Self::Protocol,
        }
    }
}
