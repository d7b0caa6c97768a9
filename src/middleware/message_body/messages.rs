//! Tracks the messages of a gRPC body, by the bytes that pass.

/// Bytes of the head of each message: whether it is compressed, and its length.
pub(in super::super) const HEAD_BYTES: usize = 5;

/// The first message of `bytes`, if it is complete: whether it is compressed, and its length with its head.
pub(in super::super) fn first(bytes: &[u8]) -> Option<(bool, usize)> {
    let [flag, length @ ..] = bytes.first_chunk::<HEAD_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let whole = length.saturating_add(HEAD_BYTES);
    (bytes.len() >= whole).then_some((*flag == 1, whole))
}

/// The state of the messages of a body.
#[derive(Debug, Default)]
pub(super) struct Messages {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Bytes of the message behind its head that are missing.
    left: usize,
    /// Bytes of the message that were received, including its head; 0 between messages.
    pub(super) partial: usize,
    /// The largest message so far.
    pub(super) largest: usize,
    /// The largest that was announced.
    pub(super) announced: usize,
    /// Whether one of them is compressed.
    pub(super) is_compressed: bool,
    /// A flag before a message that is neither of the two valid ones.
    pub(super) odd_flag: Option<u8>,
    /// Messages that have begun.
    pub(super) begun: u64,
}

impl Messages {
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let is_head = self.left == 0;
            if is_head && self.head_bytes == 0 {
                self.begun += 1;
            }
            let wanted = match is_head {
                true => HEAD_BYTES - self.head_bytes,
                false => self.left,
            };
            let (read, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            self.partial += read.len();
            if !is_head {
                self.left -= read.len();
            } else {
                let head = self.head.iter_mut().skip(self.head_bytes);
                head.zip(read).for_each(|(head, byte)| *head = *byte);
                self.head_bytes += read.len();
                if self.head_bytes < HEAD_BYTES {
                    break;
                }
                let [flag, length @ ..] = self.head;
                self.is_compressed |= flag == 1;
                if flag > 1 {
                    self.odd_flag = self.odd_flag.or(Some(flag));
                }
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.announced = self.announced.max(self.left);
                self.head_bytes = 0;
            }
            if self.left == 0 && self.head_bytes == 0 {
                self.largest = self.largest.max(self.partial);
                self.partial = 0;
            }
        }
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.partial > 0
    }
}
