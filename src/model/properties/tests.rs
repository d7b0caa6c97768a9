//! Properties, compared with a slow and obvious reading of the same values.

mod json;
mod limits;
mod oracle;
mod protobuf;
