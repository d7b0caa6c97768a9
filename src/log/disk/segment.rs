//! One file of frames, and how records are found in it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::descriptors::{Descriptors, Slot};
use super::format::{FIXED_BYTES, HEADER_BYTES, Head, Header, records};
use super::recovery::{Extent, Window, note};
use crate::log::{Error, Position};

/// What is read at once, at least and at most.
const CHUNK_BYTES: usize = 16 << 10;
const CHUNK_BYTES_MAX: usize = 128 << 10;
/// The assumed bytes of a record, to know how much to read.
const RECORD_BYTES: u64 = 512;

/// A file of frames.
#[derive(Debug)]
pub(super) struct Segment {
    slot: Arc<Slot>,
    descriptors: Arc<Descriptors>,
    header: Header,
    /// Positions of frames and their places.
    index: RwLock<Vec<(u64, u64)>>,
    /// Where the next frame would stand.
    bytes: AtomicU64,
    /// The position behind the last record.
    next: AtomicU64,
}

/// Why records cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// The first that cannot be read.
    position: u64,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Damaged(String),
    System(String),
}

impl Fault {
    /// The same, of the record at another position.
    pub(super) fn at(self, position: u64) -> Self {
        Self { position, ..self }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let position = Position::from_number(fault.position);
        match fault.why {
            Why::Damaged(why) => Self::Damaged { position, why },
            Why::System(why) => Self::Read(format!("position {}: {why}", fault.position)),
        }
    }
}

impl Segment {
    pub(super) fn new(
        slot: Arc<Slot>,
        descriptors: Arc<Descriptors>,
        header: Header,
        extent: Extent,
    ) -> Self {
        Self {
            slot,
            descriptors,
            header,
            index: RwLock::new(extent.index),
            bytes: AtomicU64::new(extent.bytes),
            next: AtomicU64::new(extent.next),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.slot.path()
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The position of the first record.
    pub(super) fn first(&self) -> u64 {
        self.header.first
    }

    /// The position behind the last record.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Where the next frame would stand.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Keeps the file open, as its name will lead to another one.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn keep_open(&self) -> io::Result<()> {
        self.slot.keep()
    }

    /// Positions of frames and their places.
    pub(super) fn index(&self) -> Vec<(u64, u64)> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.clone()
    }

    /// Notes that a frame was written at the end.
    pub(super) fn add(&self, next: u64, bytes: u64) {
        let (first, at) = (self.next(), self.bytes());
        let index = self.index.write();
        note(
            &mut index.unwrap_or_else(PoisonError::into_inner),
            first,
            at,
        );
        self.bytes
            .store(at.saturating_add(bytes), Ordering::Release);
        self.next.store(next, Ordering::Release);
    }

    /// Adds the records from `from` to `to`, as far as this file has them, to those that were found. If one cannot be
    /// read, those in front of it are added.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn read(&self, from: u64, to: u64, found: &mut Vec<Bytes>) -> Result<(), Fault> {
        let expected = to.saturating_sub(from).saturating_mul(RECORD_BYTES);
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let chunk = expected.clamp(CHUNK_BYTES, CHUNK_BYTES_MAX);
        let mut walk = self.walk(from, chunk)?;
        let mut wanted = from;
        while wanted <= to
            && let Some((at, head)) = walk.step(wanted)?
        {
            for (block, first, place) in head.places() {
                let next = first.saturating_add(block.count.into());
                if next <= wanted {
                    continue;
                }
                if first > to {
                    break;
                }
                let place = at.saturating_add(place as u64);
                let stored = walk.window.get(place, block.stored as usize);
                let stored = stored.map_err(|error| self.unreadable(wanted, place, &error))?;
                let opened = stored.and_then(|stored| block.open(&self.header, first, stored));
                let raw = opened.ok_or_else(|| self.damaged(wanted, place))?;
                for (position, record) in (first..next).zip(records(raw)) {
                    if (wanted..=to).contains(&position) {
                        found.push(record);
                        wanted += 1;
                    }
                }
                if wanted < next && wanted <= to {
                    return Err(self.damaged(wanted, place));
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with the head and records of each frame, from the one with a position on.
    ///
    /// # Errors
    /// [`Fault`], what `each` gives.
    pub(super) fn frames<E: From<Fault>>(
        &self,
        mut each: impl FnMut(&Head, Vec<Bytes>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut walk = self.walk(self.first(), CHUNK_BYTES_MAX)?;
        let mut next = self.first();
        while let Some((_, head)) = walk.step(next)? {
            let mut found = Vec::with_capacity(head.count as usize);
            next = head.next();
            self.read(head.first, next.saturating_sub(1), &mut found)?;
            each(&head, found)?;
        }
        Ok(())
    }

    /// Begins at a frame in front of a position.
    fn walk(&self, from: u64, chunk: usize) -> Result<Walk<'_>, Fault> {
        let file = self.slot.file(&self.descriptors);
        let file = file.map_err(|error| self.unreadable(from, 0, &error))?;
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let entry = index.partition_point(|entry| entry.0 <= from);
        let entry = entry.checked_sub(1).and_then(|entry| index.get(entry));
        let begin = (self.header.first, HEADER_BYTES as u64);
        let (next, at) = entry.copied().unwrap_or(begin);
        Ok(Walk {
            segment: self,
            window: Window::new(file, self.bytes(), chunk),
            next,
            at,
            skipped: None,
        })
    }

    fn damaged(&self, position: u64, at: u64) -> Fault {
        let why = Why::Damaged(format!("{} is damaged at byte {at}", self.path().display()));
        Fault { position, why }
    }

    fn unreadable(&self, position: u64, at: u64, error: &io::Error) -> Fault {
        // It ends earlier than it did.
        if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
        ) {
            return self.damaged(position, at);
        }
        let why = Why::System(format!("{}: {error}", self.path().display()));
        Fault { position, why }
    }
}

/// Goes from frame to frame.
struct Walk<'a> {
    segment: &'a Segment,
    window: Window<Arc<File>>,
    next: u64,
    at: u64,
    /// Where frames began that were skipped without verifying their checksums.
    skipped: Option<(u64, u64)>,
}

impl Walk<'_> {
    /// The next frame with a position, or behind it, and its place; none at the end.
    fn step(&mut self, wanted: u64) -> Result<Option<(u64, Head)>, Fault> {
        let segment = self.segment;
        self.skip(wanted)?;
        loop {
            if self.at >= self.window.end {
                return Ok(None);
            }
            let head = self.window.head(&segment.header, self.at);
            let head = head.map_err(|error| segment.unreadable(wanted, self.at, &error))?;
            let head = head.filter(|head| head.first == self.next && !head.is_seal());
            let head = match (head, self.skipped.take()) {
                (Some(head), _) => head,
                // The heads that led here may be damaged.
                (None, Some(begin)) => {
                    (self.next, self.at) = begin;
                    continue;
                }
                (None, None) => return Err(segment.damaged(wanted, self.at)),
            };
            let at = self.at;
            (self.next, self.at) = (head.next(), at.saturating_add(head.length.into()));
            if head.next() > wanted {
                return Ok(Some((at, head)));
            }
        }
    }

    /// Passes over the frames in front of a position. Only their ends are read: the frame that is read says whether
    /// they were right.
    fn skip(&mut self, wanted: u64) -> Result<(), Fault> {
        let (segment, begin) = (self.segment, (self.next, self.at));
        loop {
            let fixed = self.window.up_to(self.at, FIXED_BYTES);
            let fixed = fixed.map_err(|error| segment.unreadable(wanted, self.at, &error))?;
            match Head::glance(&segment.header, fixed) {
                Some((first, next, bytes))
                    if first == self.next && next > first && next <= wanted && bytes > 0 =>
                {
                    (self.next, self.at) = (next, self.at.saturating_add(bytes));
                    self.skipped = Some(begin);
                }
                Some(_) | None => return Ok(()),
            }
        }
    }
}
