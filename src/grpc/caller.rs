//! Authenticates callers.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Extensions, Request};

use crate::limit::QuotaOutcome;
use crate::model::address::ClientAddress;
use crate::model::certificate::CertificateNames;
use crate::model::credentials::Credentials;
use crate::tracker::{Access, CandidateKeys, Error, Tracker};

/// Authenticates the caller of a request for a project, and charges it. The REST shim has done so before it read the
/// body, and passes the access on.
pub(super) fn access<T>(
    tracker: &Tracker,
    request: &Request<T>,
    token: &str,
) -> Result<Access, Error> {
    if let Some(access) = request.extensions().get::<Access>()
        && access.token() == token
    {
        return Ok(access.clone());
    }
    let show = || caller(request);
    enter(tracker, token, show, request.extensions())
}

/// The credentials of the caller of a request.
pub(super) fn caller<T>(request: &Request<T>) -> Credentials {
    match request.metadata().get("authorization") {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => Credentials::Missing,
    }
}

/// Authenticates a caller for a project by its credentials, and charges the call, once. `extensions`: those of the
/// request.
pub(super) fn enter(
    tracker: &Tracker,
    token: &str,
    show: impl FnOnce() -> Credentials,
    extensions: &Extensions,
) -> Result<Access, Error> {
    // A call that came through no layer is charged too; its outcome is not read.
    let quota_outcome = extensions
        .get::<QuotaOutcome>()
        .cloned()
        .unwrap_or_default();
    let access = authenticate(tracker, token, show, extensions, &quota_outcome)?;
    tracker.charge(&access, &quota_outcome)?;
    Ok(access)
}

/// Checks that a caller has a key of a project, or of any where `token` is empty.
pub(super) fn admit(
    tracker: &Tracker,
    token: &str,
    credentials: Credentials,
    extensions: &Extensions,
) -> Result<(), Error> {
    let quota_outcome = extensions
        .get::<QuotaOutcome>()
        .cloned()
        .unwrap_or_default();
    match token.is_empty() {
        true => shown(tracker, &credentials, extensions, &quota_outcome).map(drop),
        false => authenticate(tracker, token, || credentials, extensions, &quota_outcome).map(drop),
    }
}

/// Authenticates a caller for a project, by its credentials or by its certificate.
pub(super) fn authenticate(
    tracker: &Tracker,
    token: &str,
    show: impl FnOnce() -> Credentials,
    extensions: &Extensions,
    quota_outcome: &QuotaOutcome,
) -> Result<Access, Error> {
    // Credentials in the headers of a gRPC call have been checked already.
    let known = extensions.get::<CandidateKeys>();
    if let Some(access) = known.and_then(|known| tracker.enter(known, token)) {
        return Ok(access);
    }
    let credentials = &show();
    let by_certificate = by_certificate(credentials, extensions);
    let credentials = by_certificate.as_ref().unwrap_or(credentials);
    tracker.authenticate(token, credentials, address(extensions), quota_outcome)
}

/// Checks the credentials in the headers of a gRPC call, before its message is read.
pub(super) fn recognize(
    tracker: &Tracker,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<CandidateKeys, Error> {
    let credentials = match headers.get(AUTHORIZATION) {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => Credentials::Missing,
    };
    let quota_outcome = extensions
        .get::<QuotaOutcome>()
        .cloned()
        .unwrap_or_default();
    shown(tracker, &credentials, extensions, &quota_outcome)
}

/// The keys that a caller's credentials match.
fn shown(
    tracker: &Tracker,
    credentials: &Credentials,
    extensions: &Extensions,
    quota_outcome: &QuotaOutcome,
) -> Result<CandidateKeys, Error> {
    let by_certificate = by_certificate(credentials, extensions);
    let credentials = by_certificate.as_ref().unwrap_or(credentials);
    tracker.recognize(credentials, address(extensions), quota_outcome)
}

/// The certificate's names as credentials, for a caller without others.
fn by_certificate(credentials: &Credentials, extensions: &Extensions) -> Option<Credentials> {
    let names = extensions.get::<CertificateNames>();
    match (credentials, names) {
        (Credentials::Missing, Some(names)) => Some(Credentials::Certificate(names.clone())),
        // A caller that sends a key is judged by that, even if it is wrong.
        _ => None,
    }
}

fn address(extensions: &Extensions) -> ClientAddress {
    let address = extensions.get::<ClientAddress>().copied();
    address.unwrap_or(ClientAddress::Unix)
}
