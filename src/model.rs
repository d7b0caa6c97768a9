//! Ground floor: the nouns of tracking, parsed once and valid forever.
//!
//! A value of one of these types keeps every rule of its type, so nothing above checks again.

pub mod address;
pub mod certificate;
pub mod credentials;
pub mod customer_id;
pub mod event;
pub mod excerpt;
pub mod field;
pub(crate) mod number;
pub mod panics;
pub mod project;
pub mod properties;
pub mod quote;
pub mod reason;
mod text;
pub mod time;
