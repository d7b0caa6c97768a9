//! Checks the engine's journals before the engine opens them, as it cannot distinguish a torn tail from damage.
//!
//! A power cut in the middle of a commit leaves any of the commit's pages and not the others. Depending on where the
//! holes are, fjall drops such a tail or refuses to open the journal at all.
//!
//! A journal is a sequence of batches: `1`, count (u32), sequence number (u64); as many items, each `2`, type (u8),
//! compression (u8), keyspace (u64), length of key (u16), of value (u32), of value on disk (u32), key, value; then `3`,
//! XXH3 of the items (u64), and a trailer. Zeros fill the file. All numbers are little-endian.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Buf as _;
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: &[u8] = b"FJL\x03";
/// One whole batch.
struct Batch {
    bytes: usize,
    seqno: u64,
}

/// How far a journal is whole.
struct Extent {
    bytes: usize,
    /// Whether only zeros follow.
    is_all: bool,
    /// Whether a whole batch follows that is out of order: no power cut leaves that.
    is_disordered: bool,
}

impl Extent {
    fn of(journal: &[u8]) -> Self {
        let (mut bytes, mut seqno, mut is_disordered) = (0, 0, false);
        while let Some(batch) = journal.get(bytes..).and_then(read) {
            // No checksum covers the sequence number, and the engine skips what seems old.
            if bytes > 0 && batch.seqno <= seqno {
                is_disordered = true;
                break;
            }
            bytes += batch.bytes;
            seqno = batch.seqno;
        }
        let rest = journal.get(bytes..).unwrap_or_default();
        let is_all = rest.iter().all(|byte| *byte == 0);
        Self {
            bytes,
            is_all,
            is_disordered,
        }
    }
}

/// Cuts off what a power cut left of the last batches, for a store that may lose its end. Gives the damaged journal, if
/// one is. Everything from the first incomplete batch on is cut. The engine syncs a journal before it begins the next
/// one, so only the last may be torn. The store must not be open.
pub(crate) fn truncate_torn(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut torn = None;
    for file in journals(dir)? {
        if let Some((file, _)) = torn {
            return Ok(Some(file));
        }
        let whole = Extent::of(&fs::read(&file)?);
        if whole.is_disordered {
            return Ok(Some(file));
        }
        if !whole.is_all {
            torn = Some((file, whole.bytes));
        }
    }
    if let Some((file, at)) = torn {
        // After a kill or a power cut this is as it should be.
        tracing::info!(file = %file.display(), at, "what was cut short at a journal's end is dropped");
        let file = File::options().write(true).open(file)?;
        file.set_len(at as u64)?;
        file.sync_all()?;
    }
    Ok(None)
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

/// The whole batch that begins here.
fn read(bytes: &[u8]) -> Option<Batch> {
    let mut left = bytes;
    if left.try_get_u8().ok()? != START {
        return None;
    }
    let count = left.try_get_u32_le().ok()?;
    let seqno = left.try_get_u64_le().ok()?;
    let items = left;
    for _ in 0..count {
        item(&mut left)?;
    }
    let items = items.get(..items.len() - left.len())?;
    let is_whole = left.try_get_u8().ok()? == END
        && left.try_get_u64_le().ok()? == xxh3_64(items)
        && left.split_off(..TRAILER.len())? == TRAILER;
    is_whole.then(|| Batch {
        bytes: bytes.len() - left.len(),
        seqno,
    })
}

/// Skips an item.
fn item(left: &mut &[u8]) -> Option<()> {
    if left.try_get_u8().ok()? != ITEM {
        return None;
    }
    let _type_and_compression = left.try_get_u16_le().ok()?;
    let _keyspace = left.try_get_u64_le().ok()?;
    let key_bytes = left.try_get_u16_le().ok()?;
    let _value_bytes = left.try_get_u32_le().ok()?;
    let disk_bytes = left.try_get_u32_le().ok()?;
    left.split_off(..usize::from(key_bytes))?;
    left.split_off(..usize::try_from(disk_bytes).ok()?)?;
    Some(())
}
