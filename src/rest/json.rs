//! JSON becomes request messages.
//!
//! A command that breaks no rule is read in one pass (`fast_path`). Otherwise the body is read for its shape first, and
//! then each field by itself (`fields`), so that an error names what is wrong. Unknown keys are ignored at any level.

mod batch;
mod fast_path;
mod fields;
mod read_request;
#[cfg(test)]
mod tests;

use super::error::Result;
use crate::grpc::pb;
use crate::model::time::Timestamp;
pub(crate) use batch::request as batch_request;
pub(super) use batch::{Batch, Planned, batch};
use fields::{Fields, of_body};
pub(super) use read_request::{
    AttributePlan, Format, anonymize, anonymize_bulk, attributes, customer, events, export,
};

/// An update of a customer.
pub(super) fn update(body: &[u8], token: &str) -> Result<pb::UpdateCustomerRequest> {
    match fast_path::fields(body) {
        Some(fields) => fields.update(token),
        None => of_body::<Fields<'_>>(body)?.update(token),
    }
}

/// An event that was received `now`.
pub(super) fn event(body: &[u8], token: &str, now: Timestamp) -> Result<pb::AddEventRequest> {
    match fast_path::fields(body) {
        Some(fields) => fields.event(token, now),
        None => of_body::<Fields<'_>>(body)?.event(token, now),
    }
}

/// A click that was received `now`.
pub(super) fn click(
    body: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<pb::TrackCampaignClickRequest> {
    match fast_path::fields(body) {
        Some(fields) => fields.click(token, now),
        None => of_body::<Fields<'_>>(body)?.click(token, now),
    }
}
