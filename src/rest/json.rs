//! JSON into request messages.
//!
//! A command is read in one pass if that can tell that no rule is broken (`quick`). Otherwise a body is read once for
//! its shape, and fields that need more are looked at where they lie in the text (`fields`). Keys that are not known
//! are passed over, at any level.

mod batch;
mod fast_path;
mod fields;
mod question;
#[cfg(test)]
mod tests;

use super::error::Error;
use crate::grpc::pb;
use crate::model::time::Timestamp;
pub(super) use batch::{Batch, Planned, batch};
pub(super) use fields::{Fields, Format};
pub(super) use question::{AttributePlan, anonymize, anonymize_bulk, attributes, customer, events};

/// An update of a customer.
pub(super) fn update(body: &[u8], token: &str) -> Result<pb::UpdateCustomerRequest, Error> {
    match fast_path::fields(body) {
        Some(fields) => fields.update(token),
        None => Fields::of_body(body)?.update(token),
    }
}

/// An event that was received `now`.
pub(super) fn event(
    body: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<pb::AddEventRequest, Error> {
    match fast_path::fields(body) {
        Some(fields) => fields.event(token, now),
        None => Fields::of_body(body)?.event(token, now),
    }
}

/// A click that was received `now`.
pub(super) fn click(
    body: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<pb::TrackCampaignClickRequest, Error> {
    match fast_path::fields(body) {
        Some(fields) => fields.click(token, now),
        None => Fields::of_body(body)?.click(token, now),
    }
}
