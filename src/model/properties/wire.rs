//! Protobuf bytes to the canonical form, and a reader of the canonical form.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::encode::{self, Entries};
use super::error::{Error, ValueError, check_name, check_size};
use super::{COUNT_MAX, DEPTH_MAX, VALUE_BYTES_MAX, render};

/// A byte of protobuf is at most this many bytes of JSON: a control character becomes `\u0001`.
pub(super) const JSON_GROWTH_MAX: usize = 6;

/// One field of a message.
pub(super) enum Field<'a> {
    Bytes(u32, &'a [u8]),
    Varint(u32, u64),
    Fixed64(u32, [u8; 8]),
    /// Of a kind that no message here has.
    Other,
}

/// Takes the next field off `message`.
pub(super) fn field<'a>(message: &mut &'a [u8]) -> Result<Field<'a>, ValueError> {
    let malformed = |error: prost::DecodeError| ValueError::Malformed(error.to_string());
    let short = || ValueError::Malformed("message ends early".to_owned());
    let (tag, wire_type) = decode_key(message).map_err(malformed)?;
    Ok(match wire_type {
        WireType::Varint => Field::Varint(tag, decode_varint(message).map_err(malformed)?),
        WireType::SixtyFourBit => {
            let (bytes, rest) = message.split_first_chunk().ok_or_else(short)?;
            *message = rest;
            Field::Fixed64(tag, *bytes)
        }
        WireType::LengthDelimited => {
            let length = decode_varint(message).map_err(malformed)?;
            let length = usize::try_from(length).map_err(|_| short())?;
            let (bytes, rest) = message.split_at_checked(length).ok_or_else(short)?;
            *message = rest;
            Field::Bytes(tag, bytes)
        }
        WireType::StartGroup | WireType::EndGroup | WireType::ThirtyTwoBit => {
            skip_field(wire_type, tag, message, DecodeContext::default()).map_err(malformed)?;
            Field::Other
        }
    })
}

/// The entries of an object in canonical form.
pub(super) fn entries(object: &[u8]) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    let mut rest = object;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(Field::Bytes(_, bytes)) = field(&mut rest) else {
            return None;
        };
        entry(bytes).ok()
    })
}

/// Key and value of an entry.
fn entry(mut message: &[u8]) -> Result<(&str, &[u8]), ValueError> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    while !message.is_empty() {
        match field(&mut message)? {
            Field::Bytes(1, bytes) => key = bytes,
            Field::Bytes(2, bytes) => value = bytes,
            Field::Bytes(..) | Field::Varint(..) | Field::Fixed64(..) | Field::Other => {}
        }
    }
    Ok((utf8(key)?, value))
}

fn utf8(bytes: &[u8]) -> Result<&str, ValueError> {
    std::str::from_utf8(bytes).map_err(|error| ValueError::Malformed(error.to_string()))
}

/// The canonical form of an `Object` from outside.
pub(super) fn properties(mut object: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(object.len());
    let mut entries = Entries::open(&out);
    let mut count = 0_usize;
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
        let entry = Entries::entry(&mut out, name);
        let start = out.len();
        value(from, &mut out, 0).map_err(|error| error.of(name))?;
        check_json_size(name, out.get(start..).unwrap_or_default())?;
        entries.end(&mut out, entry);
    }
    if count > COUNT_MAX {
        return Err(Error::TooMany(count));
    }
    entries.close(&mut out).map_err(|error| error.of(""))?;
    Ok(out)
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
