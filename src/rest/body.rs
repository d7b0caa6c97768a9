//! The body of a request is read up to a limit, and decompressed up to the same limit.

mod content_type;
mod decode;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use tonic::Status;

use super::error::{Error, Result};
use super::offload::Offload;
use crate::limit::{Meter, Spent};
use crate::middleware::{Guard, refusal, with_reason};
use crate::model::quote::quoted;
use crate::model::reason::Reason;
pub(super) use content_type::check as check_type;

/// The smallest buffer in which pieces are joined, in bytes.
const ROOM_BYTES_MIN: usize = 1024;
/// Bytes that must have arrived before the buffer grows to the announced length.
const EXPECTED_BYTES_MIN: usize = 16 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Reads a JSON body. The limits hold before and after decompression.
pub(super) async fn read(
    headers: &HeaderMap,
    body: impl HttpBody<Data = Bytes>,
    limits: Limits<'_>,
    timeout: Duration,
    decoders: &Offload,
) -> Result<Bytes> {
    let coding = coding(headers)?;
    // An announced length is refused before anything is read.
    if body.size_hint().lower() > limits.bytes_max as u64 {
        return Err(limits.too_large());
    }
    let collected = tokio::time::timeout(timeout, collect(body, limits)).await;
    let bytes = collected.unwrap_or_else(|_| {
        let message = format!("The body did not arrive within {} s", timeout.as_secs_f64());
        Err(Guard::BodyTimeout
            .behind(Status::deadline_exceeded(message))
            .into())
    })?;
    if coding == Coding::Identity {
        return Ok(text::repaired(bytes));
    }
    // Other threads decompress, because a bomb takes a while to reach the limit and must not delay other requests. Only
    // a few run at once, because each thread keeps the memory of the buffers that it outgrew.
    let (bytes_max, guard, meter) = (limits.bytes_max, limits.guard, limits.meter.clone());
    let decode = move || {
        let limits = Limits {
            bytes_max,
            guard,
            meter: &meter,
        };
        let decoded = decode::decode(coding, &bytes, limits);
        let received = bytes.len();
        drop(bytes);
        meter.give(received);
        decoded.map(text::repaired)
    };
    decoders.run(usize::MAX, decode).await
}

/// The limits of a body.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    /// Largest body, in bytes.
    pub(super) bytes_max: usize,
    /// The guard that `bytes_max` belongs to.
    pub(super) guard: Guard,
    /// The memory that the body takes is counted here.
    pub(super) meter: &'a Meter,
}

impl Limits<'_> {
    /// Appends a piece to `out`. `expected` is the length of the whole body in bytes, if it is known.
    ///
    /// The unused part of the buffer is not counted, because it takes no memory yet. Bytes count twice while they move
    /// to a larger buffer.
    fn append(&self, out: &mut Vec<u8>, piece: &[u8], expected: Option<usize>) -> Result<()> {
        let (length, room) = (out.len(), out.capacity());
        let wanted = length.saturating_add(piece.len());
        if wanted > self.bytes_max {
            return Err(self.too_large());
        }
        if wanted > room {
            let doubled = room.saturating_mul(2).max(ROOM_BYTES_MIN);
            let larger = match expected {
                Some(expected) if length >= EXPECTED_BYTES_MIN => expected,
                Some(_) | None => doubled,
            };
            let larger = larger.min(self.bytes_max).max(wanted);
            self.take(length)?;
            let reserved = out.try_reserve_exact(larger - length);
            self.meter.give(length);
            reserved.map_err(|_| no_memory(Spent::All))?;
        }
        self.take(piece.len())?;
        out.extend_from_slice(piece);
        Ok(())
    }

    fn take(&self, bytes: usize) -> Result<()> {
        self.meter.take(bytes).map_err(no_memory)
    }

    fn too_large(&self) -> Error {
        Error::too_large(self.bytes_max, self.guard)
    }
}

fn no_memory(spent: Spent) -> Error {
    match spent {
        Spent::Never(bytes_max) => Error::too_large(bytes_max, refusal::memory_guard(spent)),
        Spent::All | Spent::Address | Spent::Key => refusal::memory_guard(spent)
            .behind(refusal::memory(spent))
            .into(),
    }
}

/// The whole body. A body in one piece is not copied. Several pieces are joined, because each would keep its whole
/// receive buffer in memory.
async fn collect(body: impl HttpBody<Data = Bytes>, limits: Limits<'_>) -> Result<Bytes> {
    let expected = body.size_hint().exact();
    let expected = expected.and_then(|bytes| usize::try_from(bytes).ok());
    let mut body = std::pin::pin!(body);
    let (mut first, mut joined) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let status = Status::cancelled("The body ended early");
            with_reason(Reason::BodyIncomplete, status)
        })?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if first.is_empty() && joined.is_empty() {
            if piece.len() > limits.bytes_max {
                return Err(limits.too_large());
            }
            limits.take(piece.len())?;
            first = piece;
            continue;
        }
        if joined.is_empty() {
            limits.append(&mut joined, &first, expected)?;
            limits.meter.give(first.len());
            first = Bytes::new();
        }
        limits.append(&mut joined, &piece, expected)?;
    }
    Ok(match joined.is_empty() {
        true => first,
        false => joined.into(),
    })
}

fn coding(headers: &HeaderMap) -> Result<Coding> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let value = values.next().map(HeaderValue::as_bytes);
    let value = value.unwrap_or_default().trim_ascii();
    let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
    let coding = match () {
        () if value.is_empty() || is("identity") => Some(Coding::Identity),
        () if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
        () if is("deflate") => Some(Coding::Deflate),
        () if is("br") => Some(Coding::Brotli),
        () if is("zstd") => Some(Coding::Zstd),
        () => None,
    };
    match (coding, values.next()) {
        (Some(coding), None) => Ok(coding),
        (None, _) | (Some(_), Some(_)) => Err(Error::unsupported_coding(format!(
            "Content-Encoding must be one of gzip, deflate, br, zstd, not '{}'",
            quoted(&String::from_utf8_lossy(value))
        ))),
    }
}
