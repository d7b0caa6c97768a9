//! A field of a protobuf message whose length is known only once its content is written.

use prost::encoding::encode_varint;

/// Such a field in flight.
///
/// Protobuf puts the length before the content. One byte is kept free for it, and the content is moved only where that
/// is not enough: messages are small and shallow, so this costs less than an extra pass to measure.
#[derive(Debug)]
#[must_use]
pub struct Field {
    content: usize,
}

impl Field {
    /// Begins a field whose key is the byte `key`; its content comes next.
    pub fn open(out: &mut Vec<u8>, key: u8) -> Self {
        out.extend([key, 0]);
        Self { content: out.len() }
    }

    /// Writes the length in front of what was written since the field was opened.
    pub fn close(self, out: &mut Vec<u8>) {
        let length = out.len() - self.content;
        let at = self.content - 1;
        match (u8::try_from(length), out.get_mut(at)) {
            (Ok(short @ 0..=0x7f), Some(free)) => *free = short,
            (Ok(_) | Err(_), _) => {
                let mut long = Vec::with_capacity(5);
                encode_varint(length as u64, &mut long);
                out.splice(at..=at, long);
            }
        }
    }

    /// Takes back the field and what was written since it was opened.
    pub fn cancel(self, out: &mut Vec<u8>) {
        out.truncate(self.content - 2);
    }
}
