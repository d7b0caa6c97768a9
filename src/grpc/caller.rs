//! Who calls.

use tonic::Request;

use crate::model::credentials::Credentials;
use crate::tracker::{Access, Error, Tracker};

/// Lets the caller of a request into a project. The REST shim has done so before it read the body, and says
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
    let credentials = match request.metadata().get("authorization") {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => Credentials::Missing,
    };
    tracker.authenticate(token, &credentials)
}
