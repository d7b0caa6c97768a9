//! `Object` and `Value` of the proto contract, kept as the bytes that came.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, decode_varint, encode_key, encode_varint, skip_field,
};

use super::{Error, Properties, encode, render, wire};

/// The message `Object`, whose fields are looked at only when it becomes [`Properties`].
#[derive(Clone, Default, PartialEq)]
pub struct Object {
    bytes: Bytes,
    /// Whether the bytes came from [`Properties`], so that they need no second look.
    canonical: bool,
}

impl Object {
    pub(super) fn canonical(bytes: Bytes) -> Self {
        Self {
            bytes,
            canonical: true,
        }
    }

    /// Checks every rule of one command's properties.
    ///
    /// # Errors
    /// The first rule that they break, naming the property.
    pub fn check(self) -> Result<Properties, Error> {
        if self.canonical {
            return Ok(Properties(self.bytes));
        }
        wire::properties(&self.bytes).map(|bytes| Properties(bytes.into()))
    }

    /// Whether the properties were read from JSON, whose own size was measured as it came.
    pub fn is_from_json(&self) -> bool {
        self.canonical
    }

    /// Takes the bytes at their word: for what this service itself wrote.
    pub fn trusted(self) -> Properties {
        Properties(self.bytes)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} bytes)", self.bytes.len())
    }
}

impl prost::Message for Object {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.bytes);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.canonical = false;
        merge_raw(&mut self.bytes, tag, wire_type, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The message `Value`, as it stands in answers.
#[derive(Clone, Default, PartialEq)]
pub struct Value(Bytes);

impl Value {
    /// null.
    pub fn null() -> Self {
        Self::written(encode::null)
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::written(|out| encode::text(out, text))
    }

    /// A list of texts.
    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::written(|out| {
            let list = encode::List::open(out);
            for text in texts {
                let start = out.len();
                encode::text(out, text);
                list.item(out, start);
            }
            list.close(out);
        })
    }

    /// A value's canonical bytes, as [`Properties::entries`] gives them.
    pub fn from_canonical(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut out = Vec::new();
        write(&mut out);
        Self(out.into())
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        render::value(&self.0, out);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Vec::new();
        self.write_json(&mut json);
        f.write_str(&String::from_utf8_lossy(&json))
    }
}

impl prost::Message for Value {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        merge_raw(&mut self.0, tag, wire_type, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Appends a field as it came. Kinds of fields that no message here has are dropped.
fn merge_raw(
    bytes: &mut Bytes,
    tag: u32,
    wire_type: WireType,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<(), DecodeError> {
    let mut out = Vec::from(std::mem::take(bytes));
    match wire_type {
        WireType::LengthDelimited => {
            let length = decode_varint(buf)?;
            let available = buf.remaining();
            let Some(length) = usize::try_from(length).ok().filter(|n| *n <= available) else {
                return underflow(tag);
            };
            encode_key(tag, wire_type, &mut out);
            encode_varint(length as u64, &mut out);
            out.put(buf.take(length));
        }
        WireType::Varint => {
            encode_key(tag, wire_type, &mut out);
            encode_varint(decode_varint(buf)?, &mut out);
        }
        WireType::SixtyFourBit if buf.remaining() >= 8 => {
            encode_key(tag, wire_type, &mut out);
            out.put_u64(buf.get_u64());
        }
        WireType::SixtyFourBit => return underflow(tag),
        WireType::StartGroup | WireType::EndGroup | WireType::ThirtyTwoBit => {
            skip_field(wire_type, tag, buf, ctx)?;
        }
    }
    *bytes = out.into();
    Ok(())
}

/// The error for a message that ends inside a field: prost makes it only where it skips one.
fn underflow(tag: u32) -> Result<(), DecodeError> {
    skip_field(
        WireType::SixtyFourBit,
        tag,
        &mut [].as_slice(),
        DecodeContext::default(),
    )
}
