//! Blocks: the parts of a frame that are read at once.

use bytes::{Buf as _, Bytes};
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::{Header, RECORD_BYTES_MAX};

/// Bytes of an entry in a frame's table of blocks.
pub(super) const ENTRY_BYTES: usize = 20;
/// Most bytes of a block before it is compressed, unless a single record is larger.
pub(super) const BLOCK_BYTES: usize = 16 << 10;
/// The bytes of a block with the largest record.
const RAW_BYTES_MAX: usize = RECORD_BYTES_MAX + LENGTH_BYTES;
/// Bytes of the length before each record.
pub(super) const LENGTH_BYTES: usize = 4;

/// Records that are read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log::disk) struct Block {
    /// Bytes in the file.
    pub(in crate::log::disk) stored: u32,
    /// Bytes once decompressed; as many as in the file if they are not compressed.
    raw: u32,
    /// How many records these are.
    pub(in crate::log::disk) count: u32,
    /// The checksum of the bytes in the file.
    sum: u64,
}

impl Block {
    /// Writes `raw`, which has `count` records, the first at `position`.
    pub(super) fn write(
        header: &Header,
        position: u64,
        (raw, count): (&[u8], u32),
        compress: bool,
        out: &mut Vec<u8>,
    ) -> Option<Self> {
        let begin = out.len();
        let packed = match compress {
            true => {
                out.resize(begin + get_maximum_output_size(raw.len()), 0);
                let room = out.get_mut(begin..)?;
                compress_into(raw, room)
                    .ok()
                    .filter(|packed| *packed < raw.len())
            }
            false => None,
        };
        match packed {
            Some(packed) => out.truncate(begin + packed),
            None => {
                out.truncate(begin);
                out.extend(raw);
            }
        }
        let stored = out.get(begin..)?;
        Some(Self {
            stored: stored.len().try_into().ok()?,
            raw: raw.len().try_into().ok()?,
            count,
            sum: header.sum(position, stored),
        })
    }

    /// The entry in the table.
    pub(super) fn entry(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        let numbers = [self.stored, self.raw, self.count].map(u32::to_be_bytes);
        let sum = self.sum.to_be_bytes();
        let bytes = numbers.as_flattened().iter().chain(&sum);
        for (to, from) in entry.iter_mut().zip(bytes) {
            *to = *from;
        }
        entry
    }

    /// Reads an entry; none if no written entry looks like this.
    pub(super) fn read(entry: &mut &[u8]) -> Option<Self> {
        let block = Self {
            stored: entry.try_get_u32().ok()?,
            raw: entry.try_get_u32().ok()?,
            count: entry.try_get_u32().ok()?,
            sum: entry.try_get_u64().ok()?,
        };
        let is_sound = block.stored <= block.raw
            && block.raw as usize <= RAW_BYTES_MAX
            && block.count >= 1
            && block.count as usize <= block.raw as usize / LENGTH_BYTES;
        is_sound.then_some(block)
    }

    /// Whether these bytes of the file are what was written. The first record is at `position`.
    pub(in crate::log::disk) fn is_whole(
        &self,
        header: &Header,
        position: u64,
        stored: &[u8],
    ) -> bool {
        stored.len() == self.stored as usize && header.sum(position, stored) == self.sum
    }

    /// The bytes before they were compressed, if they are what was written.
    pub(in crate::log::disk) fn open(
        &self,
        header: &Header,
        position: u64,
        stored: &[u8],
    ) -> Option<Bytes> {
        if !self.is_whole(header, position, stored) {
            return None;
        }
        if self.stored == self.raw {
            return Some(Bytes::copy_from_slice(stored));
        }
        let mut raw = vec![0; self.raw as usize];
        let bytes = decompress_into(stored, &mut raw).ok()?;
        (bytes == raw.len()).then(|| raw.into())
    }
}

/// The records of an opened block; as many as are complete.
pub(in crate::log::disk) fn records(mut raw: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = raw.try_get_u32().ok()? as usize;
        (length <= raw.len()).then(|| raw.split_to(length))
    })
}
