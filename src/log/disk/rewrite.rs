//! Replaces old records with others, all of them or none.
//!
//! Half a rewrite would fold into another view than the whole, and its records may be in any segments. So the new ones
//! are first written to one file beside the log. The last of its frames says that they are complete: one sync makes it
//! so. Readers look there first. Then [`merge`](super::merge) brings them into their segments, one pass for all
//! rewrites until then.
//!
//! The file consists of frames, as a segment does. Its positions number the rewritten records. A record in it begins
//! with the position at which it belongs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};

use super::append::is_full;
use super::descriptors::{Descriptors, Slot};
use super::durable_mark::DurableMark;
use super::folder;
use super::format::{Frame, HEADER_BYTES, Header, Kind};
use super::recovery::{End, Extent, header};
use super::room::Room;
use super::segment::{Fault, Segment};
use super::zeros;
use crate::log::store::Rewrites;
use crate::log::{Error, Position};

/// Most records in one frame.
const FRAME_RECORDS_MAX: usize = 1_024;
/// Most bytes of records in one frame, unless a single record is larger.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// The marks of a frame if more of the same rewrite follow.
const UNFINISHED: &[u8] = b"+";

/// The rewritten records that are not in their segments yet: which of the file's records replaces which position.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    places: BTreeMap<u64, u64>,
    file: Option<Arc<Segment>>,
}

impl Rewritten {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The records that replace the positions from one to another one.
    pub(super) fn between(&self, from: u64, to: u64) -> Vec<Stands> {
        let Some(file) = self.file.as_ref().filter(|_| from <= to) else {
            return Vec::new();
        };
        let stands = |(position, number): (&u64, &u64)| Stands {
            position: *position,
            number: *number,
            file: file.clone(),
        };
        self.places.range(from..=to).map(stands).collect()
    }

    /// Adds what a rewrite has written.
    pub(super) fn add(&mut self, more: Self) {
        self.places.extend(more.places);
        self.file = more.file;
    }

    /// Whether any of the positions from one to another one is replaced.
    pub(super) fn has(&self, from: u64, to: u64) -> bool {
        self.first(from, to).is_some()
    }

    /// Forgets the records that are in their segment, from one position to another one.
    pub(super) fn remove(&mut self, from: u64, to: u64) {
        while let Some(position) = self.first(from, to) {
            self.places.remove(&position);
        }
    }

    fn first(&self, from: u64, to: u64) -> Option<u64> {
        let first = self.places.range(from..).next();
        first
            .map(|(position, _)| *position)
            .filter(|position| *position <= to)
    }
}

/// A rewritten record that replaces the one at a position.
#[derive(Clone, Debug)]
pub(super) struct Stands {
    pub(super) position: u64,
    number: u64,
    file: Arc<Segment>,
}

impl Stands {
    /// The record.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Read`].
    pub(super) fn read(&self) -> Result<Bytes, Error> {
        let position = self.position;
        let mut found = Vec::new();
        let read = self.file.read(self.number, self.number, &mut found);
        read.map_err(|fault| Error::from(fault.at(position)))?;
        let record = found.pop().and_then(|mut record| {
            let belongs = record.try_get_u64().ok()? == position;
            belongs.then_some(record)
        });
        record.ok_or_else(|| Error::missing(Position::from_number(position)))
    }
}

/// The file of rewritten records, and its writer.
#[derive(Debug)]
pub(super) struct Rewriting {
    log: PathBuf,
    descriptors: Arc<Descriptors>,
    /// The file, if there is one.
    segment: Option<Arc<Segment>>,
    /// What a stop has left behind the last complete one: from where to where.
    torn: Option<(u64, u64)>,
    writer: Option<Writer>,
    /// A write failed, and what the disk has kept is unknown.
    is_broken: bool,
}

#[derive(Debug)]
struct Writer {
    segment: Arc<Segment>,
    file: File,
    /// How many rewritten records there are.
    note: DurableMark,
}

impl Rewriting {
    /// Looks at what is there.
    ///
    /// # Errors
    /// A text.
    pub(super) fn open(
        log: &Path,
        descriptors: &Arc<Descriptors>,
    ) -> Result<(Self, Rewritten), String> {
        let mut rewriting = Self {
            log: log.to_owned(),
            descriptors: descriptors.clone(),
            segment: None,
            torn: None,
            writer: None,
            is_broken: false,
        };
        let noted = DurableMark::peek(&log.join(folder::PURGE_PENDING)).get();
        let path = log.join(folder::REWRITES);
        let reported = |why: String| format!("{} {why}", path.display());
        let (mut next, mut rewritten) = (1, Rewritten::default());
        if path
            .try_exists()
            .map_err(|error| reported(error.to_string()))?
        {
            (next, rewritten) = rewriting.load(&path)?;
        }
        match next > noted {
            true => Ok((rewriting, rewritten)),
            false => Err(reported(format!(
                "ends at number {}, but there were {noted} rewritten records: its end is lost",
                next - 1
            ))),
        }
    }

    /// Reads all rewritten records; gives the number of the next one, too.
    fn load(&mut self, path: &Path) -> Result<(u64, Rewritten), String> {
        let unreadable = |error: io::Error| format!("{} cannot be read: {error}", path.display());
        let file = File::open(path).map_err(unreadable)?;
        let header = header(path, &file, Kind::Rewrites)?;
        let mut extent = Extent::scan(&file, &header).map_err(unreadable)?;
        let damage = format!("{} is damaged at byte {}", path.display(), extent.bytes);
        let torn = match extent.end {
            End::Damaged | End::Sealed => return Err(damage),
            End::Torn(to) => to,
            End::Free => extent.bytes,
        };
        let slot = Slot::new(path.to_owned());
        slot.keep().map_err(unreadable)?;
        let segment = |extent| Segment::new(slot.clone(), self.descriptors.clone(), header, extent);
        let all = segment(extent.clone());
        let mut places = Vec::new();
        let mut whole = (header.first, HEADER_BYTES as u64, 0);
        let mut at = HEADER_BYTES as u64;
        let read = all.frames(|head, records| {
            for (number, mut record) in (head.first..).zip(records) {
                let position = record.try_get_u64();
                places.push((position.unwrap_or_default(), number));
            }
            at = at.saturating_add(head.length.into());
            if head.marks != UNFINISHED {
                whole = (head.next(), at, places.len());
            }
            Ok::<_, Fault>(())
        });
        read.map_err(|fault| Error::from(fault).to_string())?;
        (extent.next, extent.bytes) = (whole.0, whole.1);
        extent.index.retain(|entry| entry.1 < whole.1);
        places.truncate(whole.2);
        self.torn = (whole.1 < torn).then_some((whole.1, torn));
        let segment = Arc::new(segment(extent));
        self.segment = Some(segment.clone());
        let rewritten = Rewritten {
            places: places.into_iter().collect(),
            file: Some(segment),
        };
        Ok((whole.0, rewritten))
    }

    /// Cuts off what is not complete.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn truncate_torn(&self) -> io::Result<()> {
        let Some((from, to)) = self.torn else {
            return Ok(());
        };
        let path = self.log.join(folder::REWRITES);
        let file = File::options().write(true).open(path)?;
        zeros::clear(&file, from, to)
    }

    /// Writes rewritten records; gives what readers use from now on.
    ///
    /// # Errors
    /// As [`Store::rewrite`](crate::log::Store::rewrite).
    pub(super) fn run(
        &mut self,
        rewrites: &mut Rewrites<'_>,
        last: Position,
        room: &Room,
    ) -> Result<Option<Rewritten>, Error> {
        if self.is_broken {
            return Err(Error::Rewrite("a write has failed before".to_owned()));
        }
        room.for_upkeep(0)?;
        let mut rewrites = rewrites.map(|rewrite| checked(rewrite?, last)).peekable();
        if rewrites.peek().is_none() {
            return Ok(None);
        }
        let Writer { segment, .. } = self.writer()?;
        let (mut next, begin) = (segment.next(), segment.bytes());
        let (mut at, mut frames, mut places) = (begin, Vec::new(), Vec::new());
        while rewrites.peek().is_some() {
            match self.batch(&mut rewrites, (next, at), &mut places, room) {
                Ok((records, bytes)) => {
                    (next, at) = (next + records, at + bytes);
                    frames.push((next, bytes));
                }
                Err(error) => {
                    self.take_back(begin);
                    return Err(error);
                }
            }
        }
        let writer = self.writer()?;
        if let Err(error) = writer.file.sync_data() {
            self.is_broken = true;
            return Err(failed(&error));
        }
        for (next, bytes) in frames {
            writer.segment.add(next, bytes);
        }
        if let Err(error) = writer.note.write(Position::from_number(next - 1)) {
            tracing::warn!(%error, "the number of rewritten records cannot be noted");
        }
        Ok(Some(Rewritten {
            places: places.into_iter().collect(),
            file: Some(writer.segment.clone()),
        }))
    }

    /// Writes the next frame; gives the counts of its records and of its bytes.
    fn batch(
        &mut self,
        rewrites: &mut std::iter::Peekable<impl Iterator<Item = Result<(u64, Bytes), Error>>>,
        (next, at): (u64, u64),
        places: &mut Vec<(u64, u64)>,
        room: &Room,
    ) -> Result<(u64, u64), Error> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < FRAME_RECORDS_MAX && bytes < FRAME_BYTES_MAX {
            let Some(rewrite) = rewrites.next() else {
                break;
            };
            let (position, record) = rewrite?;
            places.push((position, next + records.len() as u64));
            let record = [&position.to_be_bytes()[..], &record].concat();
            bytes += record.len();
            records.push(Bytes::from(record));
        }
        // They are written twice: here, and to their segment.
        room.for_upkeep(2 * bytes as u64)?;
        let writer = self.writer()?;
        let frame = Frame {
            first: next,
            records: &records,
            marks: match rewrites.peek() {
                Some(_) => UNFINISHED,
                None => &[],
            },
            compress: false,
        };
        let mut framed = Vec::with_capacity(bytes);
        let written = frame.write(writer.segment.header(), &mut framed);
        written.map_err(|_| Error::Rewrite("a record is too large".to_owned()))?;
        let written = writer.file.write_all_at(&framed, at);
        written.map_err(|error| failed(&error))?;
        Ok((records.len() as u64, framed.len() as u64))
    }

    /// Removes what was written of an incomplete rewrite.
    fn take_back(&mut self, begin: u64) {
        let Some(writer) = &self.writer else {
            return;
        };
        let cut = writer.file.set_len(begin);
        if let Err(error) = cut.and_then(|()| writer.file.sync_all()) {
            tracing::error!(%error, "what was written of a rewriting cannot be removed");
            self.is_broken = true;
        }
    }

    fn writer(&mut self) -> Result<&Writer, Error> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin().map_err(|error| failed(&error))?,
        };
        self.segment = Some(writer.segment.clone());
        Ok(self.writer.insert(writer))
    }

    /// Opens the file, or makes one, after the note that something is rewritten.
    fn begin(&self) -> io::Result<Writer> {
        let note = DurableMark::open(&self.log.join(folder::PURGE_PENDING))?;
        let (note, _) = note.ok_or(io::ErrorKind::ResourceBusy)?;
        let path = self.log.join(folder::REWRITES);
        if let Some(segment) = &self.segment {
            folder::sync(&self.log)?;
            let file = File::options().write(true).open(&path)?;
            return Ok(Writer {
                segment: segment.clone(),
                file,
                note,
            });
        }
        let unfinished = self.log.join(folder::REWRITES_UNFINISHED);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        let header = Header::new(Kind::Rewrites, 1)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        folder::sync(&self.log)?;
        let extent = Extent {
            next: 1,
            bytes: HEADER_BYTES as u64,
            index: Vec::new(),
            end: End::Free,
        };
        let slot = Slot::new(path);
        slot.keep()?;
        let segment = Segment::new(slot, self.descriptors.clone(), header, extent);
        Ok(Writer {
            segment: Arc::new(segment),
            file,
            note,
        })
    }

    /// Forgets all rewritten records, which are in their segments. The note that something may still be on the disk
    /// stays.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let note = match self.writer.take() {
            Some(writer) => writer.note,
            None => {
                let note = DurableMark::open(&self.log.join(folder::PURGE_PENDING))?;
                note.ok_or(io::ErrorKind::ResourceBusy)?.0
            }
        };
        // First, as a file that ends before the note is refused.
        note.write(Position::START)?;
        note.sync()?;
        folder::sync(&self.log)?;
        folder::remove(&self.log.join(folder::REWRITES))?;
        folder::sync(&self.log)?;
        self.segment = None;
        Ok(())
    }

    /// Notes that nothing of what was rewritten is stored anywhere any more. There are no rewritten records.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.writer = None;
        folder::remove(&self.log.join(folder::PURGE_PENDING))?;
        folder::sync(&self.log)
    }
}

fn checked((position, record): (Position, Bytes), last: Position) -> Result<(u64, Bytes), Error> {
    match position == Position::START || position > last {
        true => Err(Error::missing(position)),
        false => Ok((position.get(), record)),
    }
}

pub(super) fn failed(error: &io::Error) -> Error {
    match is_full(error) {
        true => Error::Full,
        false => Error::Rewrite(error.to_string()),
    }
}
