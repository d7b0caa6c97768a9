//! The canonical form to JSON text. Bytes that are not canonical render as `null` where they cannot be read.

use super::fields::{self, Field};

pub(super) fn object(canonical: &[u8], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (key, from)) in fields::entries(canonical).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(key, out);
        out.push(b':');
        value(from, out);
    }
    out.push(b'}');
}

pub(super) fn value(mut canonical: &[u8], out: &mut Vec<u8>) {
    match fields::field(&mut canonical) {
        Ok(Field::Fixed64(2, bytes)) => json(&f64::from_le_bytes(bytes), out),
        Ok(Field::Bytes(3, bytes)) => text(&String::from_utf8_lossy(bytes), out),
        Ok(Field::Varint(4, flag)) => json(&(flag != 0), out),
        Ok(Field::Bytes(5, bytes)) => object(bytes, out),
        Ok(Field::Bytes(6, bytes)) => list(bytes, out),
        Ok(Field::Varint(7, integer)) => json(&integer.cast_signed(), out),
        Ok(Field::Bytes(..) | Field::Varint(..) | Field::Fixed64(..) | Field::Other) | Err(_) => {
            out.extend(b"null");
        }
    }
}

fn list(mut items: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    let mut first = true;
    while let (false, Ok(Field::Bytes(_, item))) = (items.is_empty(), fields::field(&mut items)) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        value(item, out);
    }
    out.push(b']');
}

fn text(value: &str, out: &mut Vec<u8>) {
    json(value, out);
}

fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing a scalar into memory has no way to fail.
    let _ = serde_json::to_writer(out, value);
}
