//! Who calls.

use tonic::{Extensions, Request};

use crate::limit::Ticket;
use crate::model::address::ClientAddress;
use crate::model::certificate::CertificateNames;
use crate::model::credentials::Credentials;
use crate::tracker::{Access, Error, Tracker};

/// Lets the caller of a request into a project, and charges it. The REST shim has done so before it read the body, and says
/// whom it let in.
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
    enter(tracker, token, &caller(request), request.extensions())
}

/// What the caller of a request shows.
pub(super) fn caller<T>(request: &Request<T>) -> Credentials {
    match request.metadata().get("authorization") {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => Credentials::Missing,
    }
}

/// Lets a caller into a project, and charges the call, once. `extensions` are those that the request came with.
pub(super) fn enter(
    tracker: &Tracker,
    token: &str,
    credentials: &Credentials,
    extensions: &Extensions,
) -> Result<Access, Error> {
    // A call that came through no layer is charged too; nobody asks how it stands.
    let ticket = extensions.get::<Ticket>().cloned().unwrap_or_default();
    let access = authenticate(tracker, token, credentials, extensions, &ticket)?;
    tracker.charge(&access, &ticket)?;
    Ok(access)
}

/// Lets a caller into a project, by what it shows or by its certificate.
pub(super) fn authenticate(
    tracker: &Tracker,
    token: &str,
    credentials: &Credentials,
    extensions: &Extensions,
    ticket: &Ticket,
) -> Result<Access, Error> {
    let names = extensions.get::<CertificateNames>();
    let by_certificate = match (credentials, names) {
        (Credentials::Missing, Some(names)) => Some(Credentials::Certificate(names.clone())),
        // Whoever shows a key wants to be that one, even if it is a wrong one.
        _ => None,
    };
    let credentials = by_certificate.as_ref().unwrap_or(credentials);
    let address = extensions.get::<ClientAddress>().copied();
    let address = address.unwrap_or(ClientAddress::Unix);
    tracker.authenticate(token, credentials, address, ticket)
}
