//! Writes commits to the end of the log.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::descriptors::{Descriptors, Slot};
use super::folder;
use super::format::{Frame, HEADER_BYTES, Header, Kind, SEAL_ENTRY_BYTES, TRAILER_BYTES, trailer};
use super::recovery::{End, Extent, GRAIN_BYTES};
use super::segment::Segment;
use super::zeros::{self, Spare};
use crate::log::StoreError;

/// The first segments are smaller: each is so many times as large as the one before.
const GROWTH: u64 = 4;
/// The first one is so many times smaller.
const FIRST_PART: u64 = 64;
/// The next segment is made once this part of the present one is used.
const SPARE_PART: u64 = 4;
/// What is kept in memory for the next frame.
const FRAME_BYTES_KEPT: usize = 1 << 20;

/// The end of the log. Only one thread writes.
#[derive(Debug)]
pub(super) struct Appender {
    log: PathBuf,
    descriptors: Arc<Descriptors>,
    segment_bytes_max: u64,
    /// How many segments there are.
    count: u32,
    /// The segment that takes frames; none if the last one is sealed.
    current: Option<Current>,
    spare: Spare,
    frame: Vec<u8>,
    /// A write failed, and what the disk has kept is unknown.
    is_broken: bool,
}

/// A segment that takes frames.
#[derive(Debug)]
struct Current {
    segment: Arc<Segment>,
    file: File,
    /// The file's length.
    length: u64,
}

impl Appender {
    /// For the segments that are there; `last`: the last one, unless it is sealed.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(
        log: PathBuf,
        descriptors: Arc<Descriptors>,
        segment_bytes_max: u64,
        (count, last): (usize, Option<Arc<Segment>>),
    ) -> io::Result<Self> {
        let spare = Spare::new(log.join(folder::SPARE));
        let current = last.map(|segment| {
            let file = File::options()
                .read(true)
                .write(true)
                .open(segment.path())?;
            let length = file.metadata()?.len();
            Ok(Current {
                segment,
                file,
                length,
            })
        });
        Ok(Self {
            log,
            descriptors,
            segment_bytes_max,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            current: current.transpose().map_err(|error: io::Error| error)?,
            spare,
            frame: Vec::new(),
            is_broken: false,
        })
    }

    /// What a commit of so many bytes may take of the disk, in bytes: a segment is made ahead.
    pub(super) fn room(&self, bytes: u64) -> u64 {
        match self.spare.is_begun() {
            true => bytes,
            false => self.next_bytes().saturating_add(bytes),
        }
    }

    /// Writes records behind all others, and syncs them. Gives the new segment, if one was begun for them; `begun` is
    /// called with it before.
    ///
    /// # Errors
    /// As [`Store::commit`](crate::log::Store::commit).
    pub(super) fn commit(
        &mut self,
        first: u64,
        records: &[Bytes],
        begun: impl FnOnce(Arc<Segment>),
    ) -> Result<(), StoreError> {
        if self.is_broken {
            return Err(StoreError::Failed("a write has failed before".to_owned()));
        }
        let bytes: usize = records.iter().map(|record| record.len() + 64).sum();
        if !self.has_place(bytes as u64) {
            begun(self.roll(first, bytes as u64)?);
        }
        let written = self.write(first, records);
        if self.frame.capacity() > FRAME_BYTES_KEPT {
            self.frame = Vec::new();
        }
        written
    }

    /// Begins another segment, whose first record is at `first`, unless there is one without records.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn begin(&mut self, first: u64) -> Result<Option<Arc<Segment>>, StoreError> {
        let is_new = |current: &Current| current.segment.next() == current.segment.first();
        match self.current.as_ref().is_some_and(is_new) {
            true => Ok(None),
            false => self.roll(first, 0).map(Some),
        }
    }

    fn has_place(&self, bytes: u64) -> bool {
        self.current.as_ref().is_some_and(|current| {
            let taken = current.segment.bytes().saturating_add(bytes);
            taken.saturating_add(seal_bytes(taken)) <= current.length
        })
    }

    fn write(&mut self, first: u64, records: &[Bytes]) -> Result<(), StoreError> {
        let Some(current) = &self.current else {
            return Err(StoreError::Failed("there is no segment".to_owned()));
        };
        let (segment, file) = (&current.segment, &current.file);
        self.frame.clear();
        let frame = Frame {
            first,
            records,
            marks: &[],
            compress: true,
        };
        let framed = frame.write(segment.header(), &mut self.frame);
        framed.map_err(|_| StoreError::Failed("a commit is too large".to_owned()))?;
        let (at, bytes) = (segment.bytes(), self.frame.len() as u64);
        let written = file.write_all_at(&self.frame, at);
        if let Err(error) = written {
            let taken_back = is_full(&error)
                && zeros::clear(file, at, at.saturating_add(bytes).min(current.length)).is_ok();
            self.is_broken = !taken_back;
            return Err(match taken_back {
                true => StoreError::Full,
                false => StoreError::Failed(error.to_string()),
            });
        }
        if let Err(error) = file.sync_data() {
            self.is_broken = true;
            return Err(StoreError::Failed(error.to_string()));
        }
        segment.add(first.saturating_add(records.len() as u64), bytes);
        let is_due = at.saturating_add(bytes) > current.length / SPARE_PART;
        // A small one is made in no time.
        if is_due && self.count > 1 {
            self.spare.begin(self.next_bytes());
        }
        Ok(())
    }

    /// How large the next segment is.
    fn next_bytes(&self) -> u64 {
        let first = (self.segment_bytes_max / FIRST_PART).max(4 * HEADER_BYTES as u64);
        let grown = first.saturating_mul(GROWTH.saturating_pow(self.count));
        grown.min(self.segment_bytes_max).max(first)
    }

    /// Ends the present segment and begins the next one, which fits a frame of so many bytes.
    fn roll(&mut self, first: u64, frame: u64) -> Result<Arc<Segment>, StoreError> {
        let needed = frame.saturating_add(HEADER_BYTES as u64);
        let bytes = self.next_bytes().max(needed + seal_bytes(needed));
        // Made before the present one is sealed: until then, a full disk is no worse failure.
        let file = self
            .spare
            .take(bytes)
            .map_err(|error| store_error(&error))?;
        let next = self.seal().and_then(|()| self.place(first, file));
        let next = next.map_err(|error| match store_error(&error) {
            StoreError::Full => StoreError::Full,
            failed @ StoreError::Failed(_) => {
                self.is_broken = true;
                failed
            }
        })?;
        let segment = next.segment.clone();
        self.count = self.count.saturating_add(1);
        self.current = Some(next);
        Ok(segment)
    }

    /// Makes a file of zeros the next segment.
    fn place(&self, first: u64, file: File) -> io::Result<Current> {
        let header = Header::new(Kind::Segment, first)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        let path = folder::segment(&self.log, first);
        fs::rename(self.spare.path(), &path)?;
        folder::sync(&self.log)?;
        let extent = Extent {
            next: first,
            bytes: HEADER_BYTES as u64,
            index: Vec::new(),
            end: End::Free,
        };
        let slot = Slot::new(path);
        Ok(Current {
            segment: Arc::new(Segment::new(slot, self.descriptors.clone(), header, extent)),
            length: file.metadata()?.len(),
            file,
        })
    }

    fn seal(&mut self) -> io::Result<()> {
        let Some(Current { segment, file, .. }) = &self.current else {
            return Ok(());
        };
        let (next, index) = (segment.next(), segment.index());
        write_seal(file, segment.header(), segment.bytes(), (next, &index))?;
        self.current = None;
        Ok(())
    }
}

/// Writes a seal to a file, which ends there, and syncs it.
pub(super) fn write_seal(
    file: &File,
    header: &Header,
    at: u64,
    (next, index): (u64, &[(u64, u64)]),
) -> io::Result<()> {
    let mut seal = Vec::new();
    let framed = Frame::seal(header, next, index, &mut seal);
    framed.map_err(|_| io::Error::other("a seal is too large"))?;
    seal.extend(trailer(at));
    file.write_all_at(&seal, at)?;
    file.set_len(at.saturating_add(seal.len() as u64))?;
    file.sync_all()
}

/// What the seal of a segment of so many bytes has at most.
fn seal_bytes(bytes: u64) -> u64 {
    let entries = bytes / GRAIN_BYTES + 1;
    entries.saturating_mul(SEAL_ENTRY_BYTES as u64) + 64 + TRAILER_BYTES as u64
}

/// Whether the disk takes nothing more, or no more files.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

pub(super) fn store_error(error: &io::Error) -> StoreError {
    match is_full(error) {
        true => StoreError::Full,
        false => StoreError::Failed(error.to_string()),
    }
}
