//! A reader of the canonical form, and of protobuf messages like it.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::error::ValueError;

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
    let ends_early = || ValueError::Malformed("message ends early".to_owned());
    if let Some(field) = short(message) {
        return Ok(field);
    }
    let (tag, wire_type) = decode_key(message).map_err(malformed)?;
    Ok(match wire_type {
        WireType::Varint => Field::Varint(tag, decode_varint(message).map_err(malformed)?),
        WireType::SixtyFourBit => {
            let (bytes, rest) = message.split_first_chunk().ok_or_else(ends_early)?;
            *message = rest;
            Field::Fixed64(tag, *bytes)
        }
        WireType::LengthDelimited => {
            let length = decode_varint(message).map_err(malformed)?;
            let length = usize::try_from(length).map_err(|_| ends_early())?;
            let (bytes, rest) = message.split_at_checked(length).ok_or_else(ends_early)?;
            *message = rest;
            Field::Bytes(tag, bytes)
        }
        WireType::StartGroup | WireType::EndGroup | WireType::ThirtyTwoBit => {
            skip_field(wire_type, tag, message, DecodeContext::default()).map_err(malformed)?;
            Field::Other
        }
    })
}

/// Takes off a field of the usual form: fewer than 128 bytes, with a one-byte tag.
fn short<'a>(message: &mut &'a [u8]) -> Option<Field<'a>> {
    let [key @ 0x08..0x80, length @ 0..0x80, rest @ ..] = *message else {
        return None;
    };
    if key & 7 != WireType::LengthDelimited as u8 {
        return None;
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
    *message = rest;
    Some(Field::Bytes(u32::from(key >> 3), bytes))
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
pub(super) fn entry(mut message: &[u8]) -> Result<(&str, &[u8]), ValueError> {
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

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ValueError> {
    std::str::from_utf8(bytes).map_err(|error| ValueError::Malformed(error.to_string()))
}
