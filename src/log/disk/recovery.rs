//! How far a file is whole, and whether the rest is a torn commit or damage.
//!
//! A commit begins after the sync of the one before, and a file is zeros where nothing was written. So a power cut
//! leaves, behind the last whole frame, some pages of one more frame and nothing else. Such a tail is cut. If the tail
//! contains a frame of this file, something in front of that was damaged.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;

use super::format::{HEADER_BYTES, Head, Header, Kind, NoHeader, Peek, TRAILER_BYTES, seal_place};

/// The place of a frame is kept for each so many bytes of a file.
pub(super) const GRAIN_BYTES: u64 = 16 << 10;
/// What is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes that can be read at any place.
pub(super) trait Source {
    fn bytes(&self) -> io::Result<u64>;
    fn read_into(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

impl Source for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_into(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, at)
    }
}

impl Source for Arc<File> {
    fn bytes(&self) -> io::Result<u64> {
        (**self).bytes()
    }

    fn read_into(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_into(at, into)
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn bytes(&self) -> io::Result<u64> {
        (**self).bytes()
    }

    fn read_into(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_into(at, into)
    }
}

impl Source for [u8] {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_into(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let from = self.get(at..).and_then(|from| from.get(..into.len()));
        into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A moving part of a source, in memory.
pub(super) struct Window<S: Source> {
    source: S,
    /// Nothing behind it is read.
    pub(super) end: u64,
    chunk: usize,
    at: u64,
    bytes: Vec<u8>,
}

impl<S: Source> Window<S> {
    /// `chunk`: how much is read at once at least, if there is as much before the `end`.
    pub(super) fn new(source: S, end: u64, chunk: usize) -> Self {
        Self {
            source,
            end,
            chunk,
            at: 0,
            bytes: Vec::new(),
        }
    }

    /// So many bytes at a place; none if they are not there.
    pub(super) fn get(&mut self, at: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if self.end.saturating_sub(at) < length as u64 {
            return Ok(None);
        }
        self.up_to(at, length).map(Some)
    }

    /// So many bytes at a place, or as many as there are.
    pub(super) fn up_to(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = length.min(left);
        let begin = at
            .checked_sub(self.at)
            .and_then(|begin| usize::try_from(begin).ok());
        let has = begin.is_some_and(|begin| begin.saturating_add(length) <= self.bytes.len());
        if !has {
            self.bytes.resize(self.chunk.max(length).min(left), 0);
            self.at = at;
            if let Err(error) = self.source.read_into(at, &mut self.bytes) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let begin = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        let bytes = self
            .bytes
            .get(begin..)
            .and_then(|bytes| bytes.get(..length));
        bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The head of the frame at a place; none if there is none.
    pub(super) fn head(&mut self, header: &Header, at: u64) -> io::Result<Option<Head>> {
        let mut needed = 1;
        loop {
            let bytes = self.up_to(at, needed)?;
            if bytes.len() < needed {
                return Ok(None);
            }
            match Head::peek(header, bytes) {
                Peek::Head(head) => return Ok(Some(head)),
                Peek::Needs(more) => needed = more.max(needed + 1),
                Peek::None => return Ok(None),
            }
        }
    }

    /// Whether all blocks of the frame at a place are what was written.
    fn is_whole(&mut self, header: &Header, at: u64, head: &Head) -> io::Result<bool> {
        for (block, position, place) in head.places() {
            let stored = self.get(at.saturating_add(place as u64), block.stored as usize)?;
            if !stored.is_some_and(|stored| block.is_whole(header, position, stored)) {
                return Ok(false);
            }
        }
        Ok(at.saturating_add(head.length.into()) <= self.end)
    }
}

/// How far a file is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The position behind the last record.
    pub(super) next: u64,
    /// Where the next frame would stand.
    pub(super) bytes: u64,
    /// Positions of frames and their places, one for each [`GRAIN_BYTES`].
    pub(super) index: Vec<(u64, u64)>,
    pub(super) end: End,
}

/// What is behind the last whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A seal: nothing is ever written there.
    Sealed,
    /// Only zeros, or nothing.
    Free,
    /// What a power cut leaves of a frame; it ends before this place.
    Torn(u64),
    /// Something else.
    Damaged,
}

impl Extent {
    /// Reads all frames of a file, their records too.
    pub(super) fn scan<S: Source + ?Sized>(source: &S, header: &Header) -> io::Result<Self> {
        Self::walk(source, header, true)
    }

    /// As [`Extent::scan`], without the records: damage in them is found when they are read.
    pub(super) fn skim<S: Source + ?Sized>(source: &S, header: &Header) -> io::Result<Self> {
        Self::walk(source, header, false)
    }

    /// What a sealed file says of itself; none if it does not.
    pub(super) fn sealed<S: Source + ?Sized>(
        source: &S,
        header: &Header,
    ) -> io::Result<Option<Self>> {
        let Some(end) = source.bytes()?.checked_sub(TRAILER_BYTES as u64) else {
            return Ok(None);
        };
        let mut trailer = [0; TRAILER_BYTES];
        source.read_into(end, &mut trailer)?;
        let Some(seal) = seal_place(&trailer).filter(|seal| *seal >= HEADER_BYTES as u64) else {
            return Ok(None);
        };
        let head = Window::new(source, end, 1).head(header, seal)?;
        let Some(head) = head.filter(|head| head.is_seal() && head.first >= header.first) else {
            return Ok(None);
        };
        let index = head.entries();
        let is_sorted = index.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1);
        let begins = match index.first() {
            Some(first) => *first == (header.first, HEADER_BYTES as u64),
            None => head.first == header.first,
        };
        let ends = index
            .last()
            .is_none_or(|last| last.0 < head.first && last.1 < seal);
        Ok((is_sorted && begins && ends).then_some(Self {
            next: head.first,
            bytes: seal,
            index,
            end: End::Sealed,
        }))
    }

    fn walk<S: Source + ?Sized>(source: &S, header: &Header, whole: bool) -> io::Result<Self> {
        let end = source.bytes()?;
        let mut extent = Self {
            next: header.first,
            bytes: HEADER_BYTES as u64,
            index: Vec::new(),
            end: End::Free,
        };
        let mut window = Window::new(source, end, CHUNK_BYTES);
        while let Some(head) = window.head(header, extent.bytes)? {
            if head.first != extent.next {
                break;
            }
            if head.is_seal() {
                extent.end = End::Sealed;
                return Ok(extent);
            }
            let is_there = match whole {
                true => window.is_whole(header, extent.bytes, &head)?,
                false => extent.bytes.saturating_add(head.length.into()) <= end,
            };
            if !is_there {
                break;
            }
            extent.add(&head);
        }
        extent.end = look_behind(&mut window, header, &extent)?;
        Ok(extent)
    }

    /// Notes a frame at the end.
    pub(super) fn add(&mut self, head: &Head) {
        note(&mut self.index, head.first, self.bytes);
        self.next = head.next();
        self.bytes = self.bytes.saturating_add(head.length.into());
    }
}

/// Notes the place of a frame, unless one shortly before is noted.
pub(super) fn note(index: &mut Vec<(u64, u64)>, position: u64, place: u64) {
    let is_far = |last: &(u64, u64)| place.saturating_sub(last.1) >= GRAIN_BYTES;
    if index.last().is_none_or(is_far) {
        index.push((position, place));
    }
}

/// What is behind the last whole frame.
fn look_behind<S: Source>(
    window: &mut Window<S>,
    header: &Header,
    whole: &Extent,
) -> io::Result<End> {
    let mut torn = None;
    let finder = memmem::Finder::new(header.tag());
    let mut at = whole.bytes;
    while at < window.end {
        let bytes = window.up_to(at, CHUNK_BYTES)?;
        let read = bytes.len();
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            torn = Some(at + last as u64 + 1);
            let found: Vec<_> = finder.find_iter(bytes).collect();
            for place in found {
                let place = at + place as u64;
                let head = Window::new(&window.source, window.end, 1).head(header, place)?;
                // The head of the torn frame itself may be there.
                let is_torn = |head: &Head| place == whole.bytes && head.first == whole.next;
                if head.is_some_and(|head| !is_torn(&head)) {
                    return Ok(End::Damaged);
                }
            }
        }
        // A tag may span two chunks.
        let step = match read < CHUNK_BYTES {
            true => read,
            false => read - (header.tag().len() - 1),
        };
        at += step as u64;
    }
    Ok(torn.map_or(End::Free, End::Torn))
}

/// A file's header.
///
/// # Errors
/// A text that says why it has none.
pub(super) fn header(path: &Path, file: &File, kind: Kind) -> Result<Header, String> {
    let named = |why: String| format!("{} {why}", path.display());
    let mut page = vec![0; HEADER_BYTES];
    match file.read_into(0, &mut page) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => page.clear(),
        read => read.map_err(|error| named(format!("cannot be read: {error}")))?,
    }
    Header::read(&page, kind).map_err(|why| match why {
        NoHeader::Damaged => named("is damaged at byte 0".to_owned()),
        NoHeader::Format(format) => named(format!(
            "is of format {format}, which this version does not know"
        )),
    })
}
