//! The body of a request: read to its limit, decompressed to the same limit.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tonic::Status;

use super::error::Error;
use crate::middleware::Guard;
use crate::model::quote::quoted;

const JSON: &str = "application/json";
/// Buffer of brotli's decoder, in bytes.
const BROTLI_BUFFER_BYTES: usize = 4096;
/// The largest window that a zstd frame may ask for, as a power of two: what browsers and RFC 9659 allow.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Reads a JSON body of at most `bytes_max`, which `guard` bounds, before and after decompression.
pub(super) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    (bytes_max, guard): (usize, Guard),
    timeout: Duration,
) -> Result<Bytes, Error>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    check_type(headers)?;
    let coding = coding(headers)?;
    // A length that is announced need not be read to be refused.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Error::too_large(bytes_max, guard));
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Error::too_large(bytes_max, guard));
        }
        Ok(Err(_)) => return Err(Status::cancelled("The body ended early").into()),
        Err(_) => {
            let message = format!("The body did not arrive within {} s", timeout.as_secs_f64());
            return Err(Guard::BodyTimeout
                .behind(Status::deadline_exceeded(message))
                .into());
        }
    };
    if coding == Coding::Identity {
        return Ok(bytes);
    }
    // A bomb may take a while to be found out, and must not keep others from being served.
    let decoded =
        tokio::task::spawn_blocking(move || decode(coding, &bytes, (bytes_max, guard))).await;
    decoded.unwrap_or_else(|_| Err(Status::internal("decompression failed").into()))
}

fn check_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    if value == JSON {
        return Ok(());
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence.eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "Content-Type must be application/json, not '{}'",
        quoted(essence)
    )))
}

fn coding(headers: &HeaderMap) -> Result<Coding, Error> {
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
        (None, _) | (Some(_), Some(_)) => Err(Error::unsupported(format!(
            "Content-Encoding must be one of gzip, deflate, br, zstd, not '{}'",
            quoted(&String::from_utf8_lossy(value))
        ))),
    }
}

fn decode(
    coding: Coding,
    bytes: &[u8],
    (bytes_max, guard): (usize, Guard),
) -> Result<Bytes, Error> {
    let decoded = match coding {
        Coding::Identity => take(bytes, bytes_max),
        Coding::Gzip => take(MultiGzDecoder::new(bytes), bytes_max),
        Coding::Deflate => take(ZlibDecoder::new(bytes), bytes_max),
        Coding::Brotli => take(
            brotli::Decompressor::new(bytes, BROTLI_BUFFER_BYTES),
            bytes_max,
        ),
        Coding::Zstd => zstd_decoder(bytes).and_then(|decoder| take(decoder, bytes_max)),
    };
    match decoded {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Error::too_large(bytes_max, guard)),
        Err(_) => Err(Error::invalid(
            None,
            "The body is not compressed as Content-Encoding says".to_owned(),
        )),
    }
}

fn zstd_decoder(bytes: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// All that `reader` gives; `None` if that is more than `bytes_max`.
fn take(reader: impl Read, bytes_max: usize) -> io::Result<Option<Bytes>> {
    let mut out = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut out)?;
    Ok((out.len() <= bytes_max).then(|| out.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn compressed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Identity => bytes.to_vec(),
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Brotli => {
                let mut out = Vec::new();
                brotli::CompressorWriter::new(&mut out, 4096, 5, 22)
                    .write_all(bytes)
                    .unwrap();
                out
            }
            Coding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    fn within(bytes_max: usize) -> (usize, Guard) {
        (bytes_max, Guard::BodyBytes)
    }

    const CODINGS: [Coding; 5] = [
        Coding::Identity,
        Coding::Gzip,
        Coding::Deflate,
        Coding::Brotli,
        Coding::Zstd,
    ];

    #[test]
    fn every_coding_is_read_up_to_the_limit() {
        let text = b"0123456789".repeat(100);
        for coding in CODINGS {
            let bytes = compressed(coding, &text);
            assert_eq!(
                decode(coding, &bytes, within(1000)).unwrap(),
                text,
                "{coding:?}"
            );
            assert!(decode(coding, &bytes, within(999)).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn what_is_not_compressed_as_it_says_is_refused() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            assert!(
                decode(coding, b"{\"a\": 1}", within(1000)).is_err(),
                "{coding:?}"
            );
        }
    }
}
