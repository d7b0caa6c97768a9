//! Frames: what is committed at once.

use bytes::{Buf as _, Bytes};

use super::block::{BLOCK_BYTES, Block, ENTRY_BYTES, LENGTH_BYTES};
use super::{FRAME_BYTES_MAX, Header, RECORD_BYTES_MAX};

/// Tag, checksum, first position, length, and the counts of records, of bytes of marks, and of blocks.
pub(in crate::log::disk) const FIXED_BYTES: usize = 40;
/// Where the part begins that the checksum covers.
const SUMMED_FROM: usize = 16;
/// Records of at most so many bytes together are not compressed.
const PLAIN_BYTES_MAX: usize = 4 << 10;
/// An entry of a seal: a position and a place.
pub(in crate::log::disk) const SEAL_ENTRY_BYTES: usize = 16;

/// The part of a frame before its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::log::disk) struct Head {
    /// The position of the first record.
    pub(in crate::log::disk) first: u64,
    /// How many records it has; a seal has none.
    pub(in crate::log::disk) count: u32,
    /// Bytes of the whole frame.
    pub(in crate::log::disk) length: u32,
    /// What goes with the records.
    pub(in crate::log::disk) marks: Vec<u8>,
    pub(in crate::log::disk) blocks: Vec<Block>,
}

/// What is found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::log::disk) enum Peek {
    /// The head of a frame.
    Head(Head),
    /// So many bytes are needed to decide.
    Needs(usize),
    /// No frame of this file.
    None,
}

/// There is more in a frame than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log::disk) struct TooLarge;

impl Head {
    /// Looks for a frame where `bytes` begin.
    pub(in crate::log::disk) fn peek(header: &Header, bytes: &[u8]) -> Peek {
        Self::try_peek(header, bytes).unwrap_or(Peek::None)
    }

    /// The positions of the first record and of the one behind the last, and the bytes of the whole frame, as read from
    /// a head that may be damaged. `bytes` have [`FIXED_BYTES`] at least.
    pub(in crate::log::disk) fn glance(
        header: &Header,
        mut bytes: &[u8],
    ) -> Option<(u64, u64, u64)> {
        if bytes.split_off(..8)? != header.tag() {
            return None;
        }
        bytes.split_off(..8)?;
        let first = bytes.try_get_u64().ok()?;
        let length = bytes.try_get_u32().ok()?;
        let count = bytes.try_get_u32().ok()?;
        Some((first, first.checked_add(count.into())?, length.into()))
    }

    fn try_peek(header: &Header, bytes: &[u8]) -> Option<Peek> {
        let Some(mut left) = bytes.get(..FIXED_BYTES) else {
            return Some(Peek::Needs(FIXED_BYTES));
        };
        if left.split_off(..8)? != header.tag() {
            return None;
        }
        let sum = left.try_get_u64().ok()?;
        let first = left.try_get_u64().ok()?;
        let length = left.try_get_u32().ok()?;
        let count = left.try_get_u32().ok()?;
        let marks = left.try_get_u32().ok()? as usize;
        let blocks = left.try_get_u32().ok()? as usize;
        let bytes_needed = blocks
            .checked_mul(ENTRY_BYTES)?
            .checked_add(marks)?
            .checked_add(FIXED_BYTES)?;
        if bytes_needed > length as usize || length as usize > FRAME_BYTES_MAX {
            return None;
        }
        let Some(head) = bytes.get(..bytes_needed) else {
            return Some(Peek::Needs(bytes_needed));
        };
        if header.sum(first, head.get(SUMMED_FROM..)?) != sum {
            return None;
        }
        let mut left = head.get(FIXED_BYTES..)?;
        let marks = left.split_off(..marks)?.to_vec();
        let blocks: Option<Vec<_>> = (0..blocks).map(|_| Block::read(&mut left)).collect();
        let blocks = blocks?;
        let stored: usize = blocks.iter().map(|block| block.stored as usize).sum();
        let counted: u64 = blocks.iter().map(|block| u64::from(block.count)).sum();
        let is_sound = bytes_needed.checked_add(stored)? == length as usize
            && counted == u64::from(count)
            && first.checked_add(counted).is_some();
        is_sound.then_some(Peek::Head(Self {
            first,
            count,
            length,
            marks,
            blocks,
        }))
    }

    /// The position behind the last record.
    pub(in crate::log::disk) fn next(&self) -> u64 {
        self.first.saturating_add(self.count.into())
    }

    pub(in crate::log::disk) fn is_seal(&self) -> bool {
        self.count == 0
    }

    /// Each block with the position of its first record, and its place in the frame.
    pub(in crate::log::disk) fn places(&self) -> impl Iterator<Item = (Block, u64, usize)> {
        let head = FIXED_BYTES + self.marks.len() + ENTRY_BYTES * self.blocks.len();
        let begin = (self.first, head);
        self.blocks.iter().scan(begin, |(position, at), block| {
            let place = (*block, *position, *at);
            *position = position.saturating_add(block.count.into());
            *at = at.saturating_add(block.stored as usize);
            Some(place)
        })
    }

    /// What a seal says: positions of frames, and their places.
    pub(in crate::log::disk) fn entries(&self) -> Vec<(u64, u64)> {
        let mut left = self.marks.as_slice();
        let entries = std::iter::from_fn(|| {
            let position = left.try_get_u64().ok()?;
            Some((position, left.try_get_u64().ok()?))
        });
        entries.collect()
    }
}

/// A frame to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::log::disk) struct Frame<'a> {
    pub(in crate::log::disk) first: u64,
    pub(in crate::log::disk) records: &'a [Bytes],
    pub(in crate::log::disk) marks: &'a [u8],
    /// Whether blocks may be compressed.
    pub(in crate::log::disk) compress: bool,
}

impl Frame<'_> {
    /// A frame that lists the places of a file's frames, and says that none follows. `next` is the position behind the
    /// last record.
    pub(in crate::log::disk) fn seal(
        header: &Header,
        next: u64,
        entries: &[(u64, u64)],
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        let mut marks = Vec::with_capacity(entries.len() * SEAL_ENTRY_BYTES);
        for (position, place) in entries {
            marks.extend(position.to_be_bytes());
            marks.extend(place.to_be_bytes());
        }
        let seal = Frame {
            first: next,
            records: &[],
            marks: &marks,
            compress: false,
        };
        seal.write(header, out)
    }

    /// Writes it behind what is in `out`.
    ///
    /// # Errors
    /// [`TooLarge`]: `out` is to be discarded.
    pub(in crate::log::disk) fn write(
        &self,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        self.try_write(header, out).ok_or(TooLarge)
    }

    fn try_write(&self, header: &Header, out: &mut Vec<u8>) -> Option<()> {
        let lengths = self
            .records
            .iter()
            .map(|record| record.len() + LENGTH_BYTES);
        let bytes: usize = lengths.sum();
        let compress = self.compress && bytes > PLAIN_BYTES_MAX;
        let groups = self.groups();
        let begin = out.len();
        let head_bytes = FIXED_BYTES + self.marks.len() + ENTRY_BYTES * groups.len();
        out.resize(begin + head_bytes, 0);
        let mut blocks = Vec::with_capacity(groups.len());
        let mut raw = Vec::new();
        let mut position = self.first;
        for group in groups {
            raw.clear();
            for record in group {
                if record.len() > RECORD_BYTES_MAX {
                    return None;
                }
                raw.extend(u32::try_from(record.len()).ok()?.to_be_bytes());
                raw.extend(record);
            }
            let count = u32::try_from(group.len()).ok()?;
            blocks.push(Block::write(
                header,
                position,
                (&raw, count),
                compress,
                out,
            )?);
            position = position.checked_add(count.into())?;
        }
        let length = out.len() - begin;
        if length > FRAME_BYTES_MAX {
            return None;
        }
        let mut summed = Vec::with_capacity(head_bytes);
        summed.extend(self.first.to_be_bytes());
        for number in [length, self.records.len(), self.marks.len(), blocks.len()] {
            summed.extend(u32::try_from(number).ok()?.to_be_bytes());
        }
        summed.extend(self.marks);
        for block in &blocks {
            summed.extend(block.entry());
        }
        let sum = header.sum(self.first, &summed).to_be_bytes();
        let head = header.tag().iter().chain(&sum).chain(&summed);
        for (to, from) in out.get_mut(begin..)?.iter_mut().zip(head) {
            *to = *from;
        }
        Some(())
    }

    /// The records of each block.
    fn groups(&self) -> Vec<&[Bytes]> {
        let mut groups = Vec::new();
        let mut left = self.records;
        while !left.is_empty() {
            let mut bytes = 0;
            let fits = |record: &&Bytes| {
                bytes += record.len() + LENGTH_BYTES;
                bytes <= BLOCK_BYTES
            };
            let count = left.iter().take_while(fits).count().max(1);
            let (group, rest) = left.split_at(count.min(left.len()));
            groups.push(group);
            left = rest;
        }
        groups
    }
}
