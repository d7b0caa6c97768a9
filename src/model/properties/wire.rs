//! Protobuf bytes to the canonical form.

use std::ops::Range;

use super::encode::{self, Entries};
use super::error::{Error, ValueError, check_name, check_size};
use super::fields::{Field, entry, field, utf8};
use super::{COUNT_MAX, DEPTH_MAX, VALUE_BYTES_MAX, render};
use crate::model::quote::quoted;

/// A byte of protobuf is at most this many bytes of JSON: a control character becomes `\u0001`.
pub(super) const JSON_GROWTH_MAX: usize = 6;

/// A received property's value, in canonical form.
enum Canonical<'a> {
    AsItCame(&'a [u8]),
    /// Where it was written to.
    Written(Range<usize>),
}

/// The canonical form of a received `Object`.
///
/// Nearly all values are received in canonical form, and are copied once, to their place in the order of names.
pub(super) fn properties(mut object: &[u8]) -> Result<Vec<u8>, Error> {
    let (size, mut count) = (object.len(), 0_usize);
    let mut entries = Vec::new();
    let mut written = Vec::new();
    while !object.is_empty() {
        let Field::Bytes(1, bytes) = field(&mut object).map_err(|error| error.of(""))? else {
            continue;
        };
        count += 1;
        if count > COUNT_MAX {
            continue;
        }
        let (name, from) = entry(bytes).map_err(|error| error.of(""))?;
        check_name(name)?;
        let canonical = match is_canonical_scalar(from) {
            true => Canonical::AsItCame(from),
            false => {
                let start = written.len();
                value(from, &mut written, 0).map_err(|error| error.of(name))?;
                Canonical::Written(start..written.len())
            }
        };
        check_json_size(name, canonical.bytes(&written))?;
        entries.push((name, canonical));
    }
    if count > COUNT_MAX {
        return Err(Error::TooMany(count));
    }
    if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
        entries.sort_by_key(|(name, _)| *name);
        let mut pairs = entries.iter().zip(entries.iter().skip(1));
        if let Some(((name, _), _)) = pairs.find(|((a, _), (b, _))| a == b) {
            return Err(Error::Duplicate(quoted(name)));
        }
    }
    let mut out = Vec::with_capacity(size);
    for (name, canonical) in entries {
        encode::entry(&mut out, name, canonical.bytes(&written));
    }
    Ok(out)
}

impl<'a> Canonical<'a> {
    fn bytes(&self, written: &'a [u8]) -> &'a [u8] {
        match self {
            Self::AsItCame(bytes) => bytes,
            Self::Written(range) => written.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// Whether a value is one that [`value`] would write as received: not a list or object, only a short text, a finite
/// number, an integer in as few bytes as it needs, a flag or null.
fn is_canonical_scalar(value: &[u8]) -> bool {
    match value {
        [encode::TEXT, length @ 0..0x80, text @ ..] => {
            usize::from(*length) == text.len() && str::from_utf8(text).is_ok()
        }
        [encode::NUMBER, number @ ..] => {
            let number = number.try_into().map(f64::from_le_bytes);
            number.is_ok_and(f64::is_finite)
        }
        // The longest, of ten bytes, hold negative numbers and ignored bits.
        [encode::INTEGER, groups @ .., last] => {
            groups.len() < 9
                && groups.iter().all(|group| *group >= 0x80)
                && (*last < 0x80)
                && (*last != 0 || groups.is_empty())
        }
        [encode::BOOL, 0 | 1] | [encode::NULL, 0] => true,
        _ => false,
    }
}

/// Checks the size of a property's value in canonical form.
pub(super) fn check_json_size(name: &str, value: &[u8]) -> Result<(), Error> {
    if value.len() <= VALUE_BYTES_MAX / JSON_GROWTH_MAX {
        return Ok(());
    }
    let mut json = Vec::with_capacity(value.len());
    render::value(value, &mut json);
    check_size(name, json.len())
}

fn value(mut message: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), ValueError> {
    let mut kinds = 0_usize;
    while !message.is_empty() {
        kinds += 1;
        match field(&mut message)? {
            Field::Varint(1, _) => encode::null(out),
            Field::Fixed64(2, bytes) => match f64::from_le_bytes(bytes) {
                number if number.is_finite() => encode::number(out, number),
                _ => return Err(ValueError::NotFinite),
            },
            Field::Bytes(3, bytes) => encode::text(out, utf8(bytes)?),
            Field::Varint(4, flag) => encode::boolean(out, flag != 0),
            Field::Bytes(5, bytes) => object(bytes, out, depth)?,
            Field::Bytes(6, bytes) => list(bytes, out, depth)?,
            Field::Varint(7, integer) => encode::integer(out, integer.cast_signed()),
            Field::Bytes(..) | Field::Varint(..) | Field::Fixed64(..) | Field::Other => kinds -= 1,
        }
    }
    if kinds != 1 {
        return Err(ValueError::Kind);
    }
    Ok(())
}

fn object(mut message: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), ValueError> {
    if depth >= DEPTH_MAX {
        return Err(ValueError::TooDeep);
    }
    let object = encode::object(out);
    let mut entries = Entries::open(out);
    while !message.is_empty() {
        let Field::Bytes(1, bytes) = field(&mut message)? else {
            continue;
        };
        let (key, from) = entry(bytes)?;
        let entry = Entries::entry(out, key);
        value(from, out, depth + 1)?;
        entries.end(out, entry);
    }
    entries.close(out)?;
    object.close(out);
    Ok(())
}

fn list(mut message: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), ValueError> {
    if depth >= DEPTH_MAX {
        return Err(ValueError::TooDeep);
    }
    let list = encode::list(out);
    while !message.is_empty() {
        let Field::Bytes(1, bytes) = field(&mut message)? else {
            continue;
        };
        let item = encode::item(out);
        value(bytes, out, depth + 1)?;
        item.close(out);
    }
    list.close(out);
    Ok(())
}
