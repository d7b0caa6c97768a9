//! A look at the engine's journals before the engine opens them, for it cannot tell a torn tail from damage.
//!
//! A power cut in the middle of a commit leaves any of the commit's pages and not the others. Depending on where the
//! holes are, fjall drops such a tail or refuses to open the journal at all. Damage further inside it drops together
//! with everything behind it, without a word. The difference: a commit begins after the sync of the one before, so
//! nothing whole lies behind a torn one. What callers send lies there as well, and may look like a batch: only what has
//! the store's [`mark`] is one.
//!
//! A journal is a row of batches: `1`, count (u32), sequence number (u64); as many items, each `2`, type (u8),
//! compression (u8), keyspace (u64), length of key (u16), of value (u32), of value on disk (u32), key, value; then
//! `3`, XXH3 of the items (u64), and a trailer. Zeros fill the file. All numbers are little-endian.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Buf as _;
use xxhash_rust::xxh3::xxh3_64;

use super::files;
use super::mark::{self, Mark};
use crate::log::Position;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: &[u8] = b"FJL\x03";
/// The beginning of a batch: `1`, count, sequence number.
const START_BYTES: usize = 13;
/// The beginning of an item, up to its key.
const ITEM_BYTES: usize = 21;

/// Why the journals must not be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// One of them is damaged.
    Damaged {
        file: PathBuf,
        /// Where, in bytes.
        at: usize,
    },
    /// They end before what was acknowledged.
    EndLost {
        /// Where they end.
        end: Position,
    },
}

/// One whole batch.
struct Batch {
    bytes: usize,
    seqno: u64,
    last: Option<Position>,
}

/// How far a journal is whole.
struct Extent {
    bytes: usize,
    last: Option<Position>,
    /// Whether nothing but zeros is behind.
    is_all: bool,
    /// Whether a whole batch follows that is out of order: no power cut leaves that.
    is_disordered: bool,
}

impl Extent {
    fn of(journal: &[u8]) -> Self {
        let (mut bytes, mut seqno, mut last, mut is_disordered) = (0, 0, None, false);
        while let Some(batch) = journal.get(bytes..).and_then(read) {
            // No checksum covers the sequence number, and the engine skips what seems old.
            if bytes > 0 && batch.seqno <= seqno {
                is_disordered = true;
                break;
            }
            bytes += batch.bytes;
            seqno = batch.seqno;
            // A rewriting brings positions that were there already.
            last = last.max(batch.last);
        }
        let rest = journal.get(bytes..).unwrap_or_default();
        let is_all = rest.iter().all(|byte| *byte == 0);
        Self {
            bytes,
            last,
            is_all,
            is_disordered,
        }
    }
}

/// How far the journals of a store are whole.
struct Look {
    /// The last position in them.
    end: Option<Position>,
    /// The last one, and where it is torn, if it is.
    torn: Option<(PathBuf, usize)>,
}

impl Look {
    /// Looks at them all. The engine syncs one before it begins the next, so that only the last may be torn. By `mark`
    /// a batch behind a torn one is known; without, none is looked for.
    fn at(dir: &Path, mark: Option<Mark>) -> io::Result<Result<Self, Fault>> {
        let mut look = Self {
            end: None,
            torn: None,
        };
        for file in journals(dir)? {
            if let Some((file, at)) = look.torn {
                return Ok(Err(Fault::Damaged { file, at }));
            }
            let bytes = fs::read(&file)?;
            let whole = Extent::of(&bytes);
            look.end = look.end.max(whole.last);
            if whole.is_all {
                continue;
            }
            let at = whole.bytes;
            let rest = bytes.get(at..).unwrap_or_default();
            if whole.is_disordered || mark.is_some_and(|mark| has_batch(rest, mark)) {
                return Ok(Err(Fault::Damaged { file, at }));
            }
            look.torn = Some((file, at));
        }
        Ok(Ok(look))
    }

    fn cut(self) -> io::Result<()> {
        let Some((file, at)) = self.torn else {
            return Ok(());
        };
        // After a kill or a power cut this is as it should be.
        tracing::info!(file = %file.display(), at, "what was cut short at a journal's end is dropped");
        let file = File::options().write(true).open(file)?;
        file.set_len(at as u64)?;
        file.sync_all()
    }
}

/// Cuts off what a power cut left of a commit that nobody was told of, and tells it from damage. Nobody may have
/// the store open.
pub(super) fn mend(
    dir: &Path,
    acknowledged: Position,
    mark: Option<Mark>,
) -> io::Result<Result<(), Fault>> {
    match Look::at(dir, mark)? {
        Ok(Look {
            end: Some(end),
            torn: Some(_),
        }) if end < acknowledged => Ok(Err(Fault::EndLost { end })),
        Ok(look) => look.cut().map(Ok),
        Err(fault) => Ok(Err(fault)),
    }
}

/// As [`mend`], for a store that may lose its end, and whose batches are not synced one by one; gives the damaged
/// journal, if one is. What lies behind the first batch that is not whole goes with it.
pub(crate) fn cut(dir: &Path) -> io::Result<Option<PathBuf>> {
    match Look::at(dir, None)? {
        Ok(look) => look.cut().map(|()| None),
        Err(Fault::Damaged { file, .. }) => Ok(Some(file)),
        Err(Fault::EndLost { .. }) => Ok(None),
    }
}

/// Removes what is left of a store whose making was cut short: nothing was acknowledged by it, and the engine can
/// neither open nor make it. Of a copy that noted where it would end, nothing is removed.
pub(super) fn remove_unfinished(
    dir: &Path,
    acknowledged: Position,
) -> io::Result<Result<(), Fault>> {
    if !dir.try_exists()? {
        return Ok(Ok(()));
    }
    let is_made = fs::metadata(dir.join(files::MARKER)).is_ok_and(|marker| marker.len() > 0);
    let mut holds = files::has_tables(dir)?;
    for journal in journals(dir)? {
        holds |= fs::read(journal)?.iter().any(|byte| *byte != 0);
    }
    if is_made || holds {
        return Ok(Ok(()));
    }
    if acknowledged > Position::START {
        let end = Position::START;
        return Ok(Err(Fault::EndLost { end }));
    }
    fs::remove_dir_all(dir).map(Ok)
}

/// The journals, the oldest first.
fn journals(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Whether a whole batch of this store's begins anywhere. Looked for by the mark in its first item: the bytes between
/// may be what callers chose, and must neither count as a batch nor cost the time to look whether each of them begins
/// one.
fn has_batch(bytes: &[u8], mark: Mark) -> bool {
    let begins = mark.ends(bytes).flat_map(|end| {
        let before = mark::ENDS.map(|key| START_BYTES + ITEM_BYTES + key);
        before
            .into_iter()
            .filter_map(move |before| end.checked_sub(before))
    });
    let mut rests = begins.filter_map(|begin| bytes.get(begin..));
    rests.any(|rest| read(rest).is_some())
}

/// The whole batch that begins here.
fn read(bytes: &[u8]) -> Option<Batch> {
    let mut left = bytes;
    if left.try_get_u8().ok()? != START {
        return None;
    }
    let count = left.try_get_u32_le().ok()?;
    let seqno = left.try_get_u64_le().ok()?;
    let items = left;
    let mut last = None;
    for _ in 0..count {
        last = last.max(position(item(&mut left)?));
    }
    let items = items.get(..items.len() - left.len())?;
    let is_whole = left.try_get_u8().ok()? == END
        && left.try_get_u64_le().ok()? == xxh3_64(items)
        && left.split_off(..TRAILER.len())? == TRAILER;
    is_whole.then(|| Batch {
        bytes: bytes.len() - left.len(),
        seqno,
        last,
    })
}

/// The position that a key is: no other key has its length.
fn position(key: &[u8]) -> Option<Position> {
    let number = key.try_into().map(u64::from_be_bytes);
    number.map(Position::from_number).ok()
}

/// Reads over an item; gives its key.
fn item<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    if left.try_get_u8().ok()? != ITEM {
        return None;
    }
    let _type_and_compression = left.try_get_u16_le().ok()?;
    let _keyspace = left.try_get_u64_le().ok()?;
    let key_bytes = left.try_get_u16_le().ok()?;
    let _value_bytes = left.try_get_u32_le().ok()?;
    let disk_bytes = left.try_get_u32_le().ok()?;
    let key = left.split_off(..usize::from(key_bytes))?;
    left.split_off(..usize::try_from(disk_bytes).ok()?)?;
    Some(key)
}
