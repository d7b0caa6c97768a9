//! Brings rewritten records into their segments, so that the old ones leave the disk.
//!
//! One pass serves all rewrites until then. A segment is written beside the old one, synced, and renamed. The rewritten
//! records stay until all of them are in their segments: a stop at any moment loses nothing, and the next pass does the
//! same again. A reader goes on with the file that it has open.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::append::write_seal;
use super::descriptors::Slot;
use super::format::{Frame, HEADER_BYTES, Header, Kind};
use super::recovery::{End, Extent, note};
use super::rewrite::{Rewriting, failed};
use super::segment::Segment;
use super::{DiskStore, LOG_DIR, folder, zeros};
use crate::log::{Error, StoreError};

/// How often, and how long apart, it is checked whether all reads of an old segment have ended: reads are short.
const READERS_TRIES: usize = 500;
const READERS_PAUSE: Duration = Duration::from_millis(10);

impl DiskStore {
    /// Brings all rewritten records into their segments.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Rewrite`], [`Error::Damaged`].
    pub(super) fn merge(&self, rewriting: &mut Rewriting) -> Result<(), Error> {
        if self.shared().rewritten.len() == 0 {
            return Ok(());
        }
        self.seal_if_rewritten()?;
        let all = self.shared().segments.clone();
        let firsts: Vec<_> = all.iter().map(|segment| segment.first()).collect();
        // Each old one is to go as soon as it has no readers.
        drop(all);
        for first in firsts {
            if let Some(segment) = self.rewritten_segment(first) {
                self.replace(&segment)?;
            }
        }
        rewriting.clear().map_err(|error| failed(&error))
    }

    /// The segment that begins with a position, if records in it are rewritten.
    fn rewritten_segment(&self, first: u64) -> Option<Arc<Segment>> {
        let shared = self.shared();
        let mut segments = shared.segments.iter();
        let segment = segments.find(|segment| segment.first() == first)?;
        let last = segment.next().saturating_sub(1);
        let is_rewritten = shared.rewritten.has(first, last);
        is_rewritten.then(|| segment.clone())
    }

    /// Begins another segment if the last one has rewritten records.
    fn seal_if_rewritten(&self) -> Result<(), Error> {
        let Some(appender) = &self.appender else {
            return Err(Error::Rewrite("the log is only looked at".to_owned()));
        };
        let mut appender = appender.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.shared().segments.last().cloned();
        let is_rewritten =
            last.is_some_and(|last| self.shared().rewritten.has(last.first(), u64::MAX));
        if !is_rewritten {
            return Ok(());
        }
        self.room.for_upkeep(appender.room(0))?;
        let begun = appender.begin(self.next()).map_err(|error| match error {
            StoreError::Full => Error::Full,
            StoreError::Failed(why) => Error::Rewrite(why),
        })?;
        if let Some(begun) = begun {
            self.add(begun);
        }
        Ok(())
    }

    /// Replaces a segment with another file.
    fn replace(&self, old: &Arc<Segment>) -> Result<(), Error> {
        let aside = self.room.set_aside(old.bytes())?;
        let log = self.options.dir.join(LOG_DIR);
        let unfinished = log.join(folder::REPLACEMENT);
        let rebuilt = self.rebuild(old, &unfinished);
        let new = rebuilt.inspect_err(|_| {
            // The unfinished file only takes space.
            let _ = folder::remove(&unfinished);
        })?;
        let replaced = || {
            old.keep_open()?;
            let file = File::options().write(true).open(old.path())?;
            fs::rename(&unfinished, old.path())?;
            folder::sync(&log)?;
            Ok(file)
        };
        let file = replaced().map_err(|error: io::Error| failed(&error))?;
        self.swap(old, new);
        drop(aside);
        self.overwrite(old, &file).map_err(|error| failed(&error))
    }

    /// Writes a segment with its rewritten records to another file.
    fn rebuild(&self, old: &Segment, path: &std::path::Path) -> Result<Segment, Error> {
        let made = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let file = made.map_err(|error| failed(&error))?;
        let header = Header::new(Kind::Segment, old.first()).map_err(|error| failed(&error))?;
        let written = file.write_all_at(&header.encode(), 0);
        written.map_err(|error| failed(&error))?;
        let mut extent = Extent {
            next: old.first(),
            bytes: HEADER_BYTES as u64,
            index: Vec::new(),
            end: End::Sealed,
        };
        let mut frame = Vec::new();
        old.frames(|head, mut records| {
            let last = head.next().saturating_sub(1);
            let rewritten = self.shared().rewritten.between(head.first, last);
            for stands in rewritten {
                let index = usize::try_from(stands.position - head.first);
                if let Some(record) = index.ok().and_then(|index| records.get_mut(index)) {
                    *record = stands.read()?;
                }
            }
            frame.clear();
            let framed = Frame {
                first: head.first,
                records: &records,
                marks: &head.marks,
                compress: true,
            };
            let framed = framed.write(&header, &mut frame);
            framed.map_err(|_| Error::Rewrite("a frame is too large".to_owned()))?;
            let written = file.write_all_at(&frame, extent.bytes);
            written.map_err(|error| failed(&error))?;
            note(&mut extent.index, head.first, extent.bytes);
            extent.next = head.next();
            extent.bytes = extent.bytes.saturating_add(frame.len() as u64);
            Ok::<_, Error>(())
        })?;
        if extent.next != old.next() {
            return Err(Error::Rewrite(format!(
                "{} has lost its end",
                old.path().display()
            )));
        }
        let seal = (extent.next, extent.index.as_slice());
        write_seal(&file, &header, extent.bytes, seal).map_err(|error| failed(&error))?;
        let slot = Slot::new(old.path().to_owned());
        Ok(Segment::new(slot, self.descriptors.clone(), header, extent))
    }

    /// Gives the new one to all reads that begin from now on.
    fn swap(&self, old: &Arc<Segment>, new: Segment) {
        let new = Arc::new(new);
        let mut shared = self.shared_mut();
        let segments = shared
            .segments
            .iter()
            .map(|segment| match Arc::ptr_eq(segment, old) {
                true => new.clone(),
                false => segment.clone(),
            });
        shared.segments = Arc::new(segments.collect());
        shared
            .rewritten
            .remove(new.first(), new.next().saturating_sub(1));
    }

    /// Writes zeros over a segment that has no name any more, once it has no readers.
    fn overwrite(&self, old: &Arc<Segment>, file: &File) -> io::Result<()> {
        for _ in 0..READERS_TRIES {
            if Arc::strong_count(old) <= 1 {
                return zeros::clear(file, 0, file.metadata()?.len());
            }
            std::thread::sleep(READERS_PAUSE);
        }
        tracing::warn!(file = %old.path().display(), "an old segment is still read, and removed without being overwritten");
        Ok(())
    }
}
