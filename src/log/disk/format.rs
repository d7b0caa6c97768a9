//! The bytes of the log's files, and nothing that reads or writes a file.
//!
//! A file begins with a [`Header`], which has a page of its own: later writes do not touch it. Frames follow without a
//! gap. A [`frame`](Head) holds records of consecutive positions, in blocks that can be read one by one. Everything in
//! it is covered by checksums whose seed is a secret of the file and the frame's position, and it begins with another
//! secret. So nothing that callers write looks like a frame, and neither does a frame of another file, or of another
//! place. All numbers are big-endian.

mod block;
mod frame;
#[cfg(test)]
mod tests;

use bytes::Buf as _;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(super) use block::records;
pub(super) use frame::{FIXED_BYTES, Frame, Head, Peek, SEAL_ENTRY_BYTES};

/// The header's page.
pub(super) const HEADER_BYTES: usize = 4096;
/// Most bytes of a record. A command is smaller by far.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
/// Most bytes of a frame. A commit is smaller by far.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 30;
/// The version of all of this.
const FORMAT: u32 = 1;
const SUMMED_BYTES: usize = 36;
/// What stands at the end of a sealed file: the place of its seal, and the complement.
pub(super) const TRAILER_BYTES: usize = 16;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A part of the log.
    Segment,
    /// Records that stand in the place of others.
    Rewrites,
}

impl Kind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Segment => *b"FFSEGMNT",
            Self::Rewrites => *b"FFREWRTS",
        }
    }
}

/// What a file begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// What each frame begins with.
    tag: [u8; 8],
    /// What checksums begin with.
    seed: u64,
    /// The position of the first record.
    pub(super) first: u64,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// It differs from what was written.
    Damaged,
    /// It is of a later version.
    Format(u32),
}

impl Header {
    /// The header of a new file, with its own secrets.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn new(kind: Kind, first: u64) -> std::io::Result<Self> {
        let (mut tag, mut seed) = ([0; 8], [0; 8]);
        getrandom::fill(&mut tag).map_err(std::io::Error::other)?;
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        Ok(Self::of(kind, tag, u64::from_be_bytes(seed), first))
    }

    pub(super) fn of(kind: Kind, tag: [u8; 8], seed: u64, first: u64) -> Self {
        Self {
            kind,
            tag,
            seed,
            first,
        }
    }

    /// The page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(HEADER_BYTES);
        page.extend(self.kind.magic());
        page.extend(FORMAT.to_be_bytes());
        page.extend(self.tag);
        page.extend(self.seed.to_be_bytes());
        page.extend(self.first.to_be_bytes());
        let sum = xxh3_64(&page);
        page.extend(sum.to_be_bytes());
        page.resize(HEADER_BYTES, 0);
        page
    }

    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// [`NoHeader`].
    pub(super) fn read(page: &[u8], kind: Kind) -> Result<Self, NoHeader> {
        Self::try_read(page, kind).unwrap_or(Err(NoHeader::Damaged))
    }

    fn try_read(page: &[u8], kind: Kind) -> Option<Result<Self, NoHeader>> {
        let summed = page.get(..SUMMED_BYTES)?;
        let mut left = page;
        let magic = left.split_off(..8)?;
        let format = left.try_get_u32().ok()?;
        let tag = *left.split_off(..8)?.first_chunk()?;
        let seed = left.try_get_u64().ok()?;
        let first = left.try_get_u64().ok()?;
        let sum = left.try_get_u64().ok()?;
        if magic != kind.magic() || sum != xxh3_64(summed) {
            return None;
        }
        Some(match format {
            FORMAT => Ok(Self::of(kind, tag, seed, first)),
            other => Err(NoHeader::Format(other)),
        })
    }

    /// What a frame begins with.
    pub(super) fn tag(&self) -> &[u8; 8] {
        &self.tag
    }

    /// The checksum of bytes that begin at a position.
    fn sum(&self, position: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed ^ position)
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest is secret.
        f.debug_struct("Header")
            .field("kind", &self.kind)
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

/// What stands at the end of a sealed file.
pub(super) fn trailer(seal: u64) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    let (number, complement) = bytes.split_at_mut(8);
    number.copy_from_slice(&seal.to_be_bytes());
    complement.copy_from_slice(&(!seal).to_be_bytes());
    bytes
}

/// The place of the seal, if these bytes are a trailer.
pub(super) fn seal_place(bytes: &[u8]) -> Option<u64> {
    let seal = u64::from_be_bytes(*bytes.first_chunk()?);
    (bytes == trailer(seal)).then_some(seal)
}
