//! JSON into request messages.
//!
//! A body is read once for its shape; fields that need more are looked at where they lie in the text. Keys that
//! are not known are passed over, at any level.

mod batch;
mod fields;
mod question;
#[cfg(test)]
mod tests;

pub(super) use batch::{Batch, Planned, batch};
pub(super) use fields::Fields;
pub(super) use question::{AttributePlan, anonymize, attributes, customer, events};
