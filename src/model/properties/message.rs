//! `Object` and `Value` of the proto contract, kept as the received bytes.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, decode_varint, encode_key, encode_varint, skip_field,
};

use super::{Error, Properties, encode, render, wire};

/// The message `Object`, whose fields are checked only when it becomes [`Properties`].
#[derive(Clone, PartialEq)]
pub struct Object(Content);

#[derive(Clone, PartialEq)]
enum Content {
    /// From [`Properties`], already checked.
    Canonical(Bytes),
    /// From outside, field by field.
    Raw(Vec<u8>),
}

impl Object {
    pub(super) fn canonical(bytes: Bytes) -> Self {
        Self(Content::Canonical(bytes))
    }

    /// Checks every rule of one command's properties.
    ///
    /// # Errors
    /// The first rule that they break, naming the property.
    pub fn check(self) -> Result<Properties, Error> {
        match self.0 {
            Content::Canonical(bytes) => Ok(Properties(bytes)),
            Content::Raw(bytes) => wire::properties(&bytes).map(|bytes| Properties(bytes.into())),
        }
    }

    /// Whether the properties were read from JSON, whose own size was measured on arrival.
    pub fn is_from_json(&self) -> bool {
        matches!(self.0, Content::Canonical(_))
    }

    /// Takes the bytes without a check: for what this service itself wrote.
    pub fn trusted(self) -> Properties {
        Properties(match self.0 {
            Content::Canonical(bytes) => bytes,
            Content::Raw(bytes) => bytes.into(),
        })
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Content::Canonical(bytes) => bytes,
            Content::Raw(bytes) => bytes,
        }
    }
}

impl Default for Object {
    fn default() -> Self {
        Self(Content::Raw(Vec::new()))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} bytes)", self.bytes().len())
    }
}

impl prost::Message for Object {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(self.bytes());
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut bytes = match std::mem::take(self).0 {
            Content::Canonical(bytes) => bytes.into(),
            Content::Raw(bytes) => bytes,
        };
        merge_raw(&mut bytes, tag, wire_type, buf, ctx)?;
        self.0 = Content::Raw(bytes);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.bytes().len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The message `Value`, as in answers.
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
            let list = encode::list(out);
            for text in texts {
                let item = encode::item(out);
                encode::text(out, text);
                item.close(out);
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
        let mut bytes = Vec::from(std::mem::take(&mut self.0));
        merge_raw(&mut bytes, tag, wire_type, buf, ctx)?;
        self.0 = bytes.into();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Space reserved for the fields of an object at its first one.
const ROOM_BYTES_MAX: usize = 512;

/// Appends a field as received. Kinds of fields that no message here has are dropped.
fn merge_raw(
    out: &mut Vec<u8>,
    tag: u32,
    wire_type: WireType,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<(), DecodeError> {
    match wire_type {
        WireType::LengthDelimited => {
            let length = decode_varint(buf)?;
            let available = buf.remaining();
            let Some(length) = usize::try_from(length).ok().filter(|n| *n <= available) else {
                return underflow(tag);
            };
            if out.is_empty() {
                // The bytes of this object or of what follows it.
                out.reserve(available.min(ROOM_BYTES_MAX));
            }
            encode_key(tag, wire_type, out);
            encode_varint(length as u64, out);
            out.put(buf.take(length));
        }
        WireType::Varint => {
            encode_key(tag, wire_type, out);
            encode_varint(decode_varint(buf)?, out);
        }
        WireType::SixtyFourBit if buf.remaining() >= 8 => {
            encode_key(tag, wire_type, out);
            out.put_u64(buf.get_u64());
        }
        WireType::SixtyFourBit => return underflow(tag),
        WireType::StartGroup | WireType::EndGroup | WireType::ThirtyTwoBit => {
            skip_field(wire_type, tag, buf, ctx)?;
        }
    }
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
