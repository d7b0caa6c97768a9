//! JSON becomes request messages.
//!
//! A command is read in one pass if it breaks no rule (`fast_path`). Otherwise the body is read for its shape first, and
//! then each field by itself (`fields`), so that an error names what is wrong. Unknown keys are ignored at any level.

mod batch;
mod fast_path;
mod fields;
mod read_request;
#[cfg(test)]
mod tests;

use super::error::Error;
use crate::grpc::pb;
use crate::model::time::Timestamp;
pub(super) use batch::{Batch, Planned, batch};
use fast_path::Fast;
use fields::{Fields, of_body};
pub(super) use read_request::{
    AttributePlan, Format, anonymize, anonymize_bulk, attributes, customer, events, export,
};

/// An update of a customer.
pub(super) fn update(body: &[u8], token: &str) -> Result<pb::UpdateCustomerRequest, Error> {
    command(body, |fast| fast.update(token), |all| all.update(token))
}

/// An event that was received `now`.
pub(super) fn event(
    body: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<pb::AddEventRequest, Error> {
    command(
        body,
        |fast| fast.event(token, now),
        |all| all.event(token, now),
    )
}

/// A click that was received `now`.
pub(super) fn click(
    body: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<pb::TrackCampaignClickRequest, Error> {
    command(
        body,
        |fast| fast.click(token, now),
        |all| all.click(token, now),
    )
}

/// Reads a command in one pass, or else field by field.
fn command<'a, T>(
    body: &'a [u8],
    fast: impl FnOnce(Fast<'a>) -> Result<T, Error>,
    validating: impl FnOnce(Fields<'a>) -> Result<T, Error>,
) -> Result<T, Error> {
    match fast_path::fields(body) {
        Some(fields) => fast(fields),
        None => validating(of_body(body)?),
    }
}
