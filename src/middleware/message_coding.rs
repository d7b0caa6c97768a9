//! Messages of gRPC that are compressed, in both directions.
//!
//! tonic can do that too, but it does not count the memory, works on the threads that serve all callers, and compresses
//! even empty answers. So tonic never sees a compressed message: requests are decompressed before it, within the same
//! bounds as plain ones, and answers are compressed after it.

mod decoded;
mod response;
#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use super::message_body::{HEAD_BYTES, first};
use super::with_reason;
use crate::model::reason::Reason;

pub use decoded::Decoded;
pub use response::compressed;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ACCEPTED: &str = "identity, gzip, zstd";

/// How messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl MessageCoding {
    /// How a call's messages may be compressed, by its headers, from which this is removed.
    ///
    /// # Errors
    /// `UNIMPLEMENTED`, listing the supported ones: an unknown coding.
    pub fn take(headers: &mut HeaderMap) -> Result<Option<Self>, Status> {
        let Some(value) = headers.remove(ENCODING) else {
            return Ok(None);
        };
        match value.as_bytes() {
            b"identity" => Ok(None),
            value => match Self::named(value) {
                Some(coding) => Ok(Some(coding)),
                None => Err(unknown(value)),
            },
        }
    }

    /// The first known coding that a caller accepts for answers.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        names.find_map(|name| Self::named(name.trim_ascii()))
    }

    fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

fn unknown(value: &[u8]) -> Status {
    let value = String::from_utf8_lossy(value);
    let value = crate::model::quote::quoted(&value);
    let text = format!("grpc-encoding must be one of {ACCEPTED}, not '{value}'");
    let mut status = with_reason(Reason::CodingUnsupported, Status::unimplemented(text));
    let accepted = tonic::metadata::MetadataValue::from_static(ACCEPTED);
    status
        .metadata_mut()
        .insert("grpc-accept-encoding", accepted);
    status
}

/// The head of a message of so many bytes.
fn head(is_compressed: bool, bytes: usize) -> [u8; HEAD_BYTES] {
    // No message is larger than a length can say.
    let [a, b, c, d] = u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    [u8::from(is_compressed), a, b, c, d]
}

/// The header of an answer whose messages may be compressed.
fn report(coding: MessageCoding, headers: &mut HeaderMap) {
    headers.insert(ENCODING, HeaderValue::from_static(coding.name()));
}
