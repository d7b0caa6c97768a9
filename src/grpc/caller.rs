//! Authenticates callers.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Extensions, Request, Status};

use crate::limit::QuotaOutcome;
use crate::middleware::CallContext;
use crate::model::credentials::Credentials;
use crate::tracker::{Access, CandidateKeys, Tracker};

/// Authenticates the caller of a request for a project, and charges it. The REST shim has done so before it read the
/// body, and passes the access on.
pub(super) fn access<T>(
    tracker: &Tracker,
    request: &Request<T>,
    token: &str,
) -> Result<Access, Status> {
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
) -> Result<Access, Status> {
    let outcome = CallContext::of(extensions)?.quota_outcome()?;
    let access = authenticate(tracker, token, show, extensions, outcome)?;
    tracker.charge(&access, outcome)?;
    Ok(access)
}

/// Checks that a caller has a key of a project, or of any where `token` is empty.
pub(super) fn admit(
    tracker: &Tracker,
    token: &str,
    credentials: Credentials,
    extensions: &Extensions,
) -> Result<(), Status> {
    match token.is_empty() {
        true => shown(tracker, &credentials, extensions).map(drop),
        false => {
            let outcome = CallContext::of(extensions)?.quota_outcome()?;
            authenticate(tracker, token, || credentials, extensions, outcome).map(drop)
        }
    }
}

/// Authenticates a caller for a project, by its credentials or by its certificate.
pub(super) fn authenticate(
    tracker: &Tracker,
    token: &str,
    show: impl FnOnce() -> Credentials,
    extensions: &Extensions,
    quota_outcome: &QuotaOutcome,
) -> Result<Access, Status> {
    // Credentials in the headers of a gRPC call have been checked already.
    let known = extensions.get::<CandidateKeys>();
    if let Some(access) = known.and_then(|known| tracker.enter(known, token)) {
        access.note(quota_outcome);
        return Ok(access);
    }
    let context = CallContext::of(extensions)?;
    let credentials = &show();
    let by_certificate = by_certificate(credentials, context);
    let credentials = by_certificate.as_ref().unwrap_or(credentials);
    Ok(tracker.authenticate(token, credentials, context.address()?, quota_outcome)?)
}

/// Checks the credentials in the headers of a gRPC call, before its message is read.
pub(super) fn recognize(
    tracker: &Tracker,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<CandidateKeys, Status> {
    let credentials = match headers.get(AUTHORIZATION) {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => Credentials::Missing,
    };
    shown(tracker, &credentials, extensions)
}

/// The keys that a caller's credentials match.
fn shown(
    tracker: &Tracker,
    credentials: &Credentials,
    extensions: &Extensions,
) -> Result<CandidateKeys, Status> {
    let context = CallContext::of(extensions)?;
    let by_certificate = by_certificate(credentials, context);
    let credentials = by_certificate.as_ref().unwrap_or(credentials);
    Ok(tracker.recognize(credentials, context.address()?, context.quota_outcome()?)?)
}

/// The certificate's names as credentials, for a caller without others.
fn by_certificate(credentials: &Credentials, context: &CallContext) -> Option<Credentials> {
    match (credentials, context.certificate()) {
        (Credentials::Missing, Some(names)) => Some(Credentials::Certificate(names.clone())),
        // A caller that sends a key is judged by that, even if it is wrong.
        _ => None,
    }
}
