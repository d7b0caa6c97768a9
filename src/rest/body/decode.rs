//! A body is decompressed.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::super::error::{Error, Result};
use super::{Coding, Limits, no_memory};
use crate::limit::Spent;
use crate::model::reason::Reason;

/// Bytes that are decompressed at once.
const BUFFER_BYTES: usize = 8 * 1024;
/// The buffer of brotli's decoder, in bytes.
const BROTLI_BUFFER_BYTES: usize = 4096;
/// The largest window of a zstd frame, as a power of two. RFC 9659 and browsers allow the same.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The decompressed bytes.
pub(super) fn decode(coding: Coding, bytes: &[u8], limits: Limits<'_>) -> Result<Bytes> {
    match coding {
        Coding::Identity => take(bytes, limits),
        Coding::Gzip => take(Members(GzDecoder::new(bytes)), limits),
        // Some clients send the bare format under this name.
        Coding::Deflate => match has_zlib_header(bytes) {
            true => take(ZlibDecoder::new(bytes), limits),
            false => take(DeflateDecoder::new(bytes), limits),
        },
        Coding::Brotli => {
            let decoder = brotli::Decompressor::new(bytes, BROTLI_BUFFER_BYTES);
            take(decoder, limits)
        }
        Coding::Zstd => match zstd_decoder(bytes) {
            Ok(decoder) => take(decoder, limits),
            // The decoder is made before the body is read. It fails only without memory.
            Err(_) => Err(no_memory(Spent::All)),
        },
    }
}

/// Whether a body of the coding `deflate` is in the format that RFC 9110 names (RFC 1950, 2.2), and not bare.
///
/// A bare body begins with other bytes, because encoders write zeros between the first block's type and its length.
fn has_zlib_header(bytes: &[u8]) -> bool {
    let Some([method, flags]) = bytes.first_chunk() else {
        return false;
    };
    method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
}

/// The members of a gzip file, one after the other. Some programs pad the last one with zeros.
struct Members<'a>(GzDecoder<&'a [u8]>);

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(buffer)?;
            let rest = *self.0.get_ref();
            if read > 0 || rest.iter().all(|byte| *byte == 0) {
                return Ok(read);
            }
            self.0 = GzDecoder::new(rest);
        }
    }
}

fn zstd_decoder(bytes: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// All bytes of a reader.
fn take(mut reader: impl Read, limits: Limits<'_>) -> Result<Bytes> {
    let (mut out, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                return Err(no_memory(Spent::All));
            }
            Err(_) => {
                let text = "The body is not compressed as Content-Encoding says";
                return Err(Error::invalid(Reason::CodingInvalid, None, text.to_owned()));
            }
        };
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok(out.into());
        }
        limits.append(&mut out, piece, None)?;
    }
}
