//! What tells a batch of this store's from bytes that callers chose.
//!
//! The journal holds what callers send as they sent it. So somebody may send what looks like a whole batch, and a power
//! cut in the middle of its commit would leave that behind a hole. Every batch that is synced holds a secret of the
//! data folder in its first item: without it, nothing counts as a batch there.
//!
//! Of a commit that is the value of its first record, where the secret costs next to nothing; of all other batches an
//! item of its own.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use byteview::ByteView;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Slice};

use super::open::sync_folder;

/// The key of the item. No key of 8 bytes, which is a position, and none of the staging area's.
pub(super) const KEY: &[u8] = b"mark";
const SECRET_BYTES: usize = 16;
/// The first byte of a record's value that begins with the secret: no record begins so.
const MARKED: u8 = 0xff;
/// From the beginning of an item's key to the end of the secret: of an item of its own, and of a record, whose key is a
/// position.
pub(super) const ENDS: [usize; 2] = [KEY.len() + SECRET_BYTES, 8 + 1 + SECRET_BYTES];

/// A data folder's secret. Whoever can read the folder knows it; callers do not.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark([u8; SECRET_BYTES]);

impl Mark {
    /// Reads the file, or makes it, for its owner alone. One that is no secret is made again: it has told
    /// batches apart until now and does so from now on.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(mark) = Self::peek(path)? {
            return Ok(mark);
        }
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let unfinished = path.with_extension("new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&beside_complement(secret))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_folder(path.parent().unwrap_or(Path::new("")))?;
        Ok(Self(secret))
    }

    /// What the file says; none if it is not there, or no secret.
    pub(super) fn peek(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let secret = bytes.first_chunk::<SECRET_BYTES>();
        let secret = secret.filter(|secret| bytes == beside_complement(**secret));
        Ok(secret.map(|secret| Self(*secret)))
    }

    /// A batch that begins with the mark, in `keyspace`, and is synced.
    pub(super) fn batch(self, database: &Database, keyspace: &Keyspace) -> OwnedWriteBatch {
        let mut batch = bare_batch(database);
        batch.insert(keyspace, KEY, self.0.as_slice());
        batch
    }

    /// The value of a record that is the first item of a batch.
    pub(super) fn before(self, record: &[u8]) -> Slice {
        let mut begin = [MARKED; 1 + SECRET_BYTES];
        if let Some((_, secret)) = begin.split_first_mut() {
            secret.copy_from_slice(&self.0);
        }
        // The engine's own kind of value: a vector would be copied once more.
        ByteView::fused(&begin, record).into()
    }

    /// The places right behind each mark.
    pub(super) fn ends(self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let windows = bytes.windows(SECRET_BYTES).enumerate();
        let found = windows.filter(move |(_, window)| *window == self.0);
        found.map(|(at, _)| at + SECRET_BYTES)
    }
}

/// A batch that is synced and has no mark yet.
pub(super) fn bare_batch(database: &Database) -> OwnedWriteBatch {
    let batch = database.batch();
    batch.durability(Some(PersistMode::SyncData))
}

/// The record in a value, with a mark or without.
pub(super) fn behind(value: &[u8]) -> &[u8] {
    match value.first() {
        Some(&MARKED) => value.get(1 + SECRET_BYTES..).unwrap_or_default(),
        Some(_) | None => value,
    }
}

/// A torn or foreign file is not taken for a secret.
fn beside_complement(secret: [u8; SECRET_BYTES]) -> Vec<u8> {
    let complement = secret.map(|byte| !byte);
    [secret, complement].concat()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folders_mark_stays_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        assert!(Mark::peek(&path).unwrap().is_none());
        let mark = Mark::open(&path).unwrap();
        assert!(Mark::open(&path).unwrap() == mark);
        assert!(Mark::peek(&path).unwrap() == Some(mark));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = Mark::open(&dir.path().join("other")).unwrap();
        assert!(other != mark);
    }

    #[test]
    fn a_record_comes_out_of_its_value_with_a_mark_or_without() {
        let mark = Mark([7; SECRET_BYTES]);
        for record in [&b""[..], b"\x01", b"\x01 a record"] {
            let value = mark.before(record);
            assert_eq!(behind(&value), record);
            assert_eq!(behind(record), record);
            assert_eq!(mark.ends(&value).next(), Some(1 + SECRET_BYTES));
        }
        // What is cut off in the mark is no record.
        assert_eq!(behind(&mark.before(b"")[..9]), b"");
    }

    #[test]
    fn a_file_that_is_no_mark_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        for text in [&b""[..], b"short", &[7; 32], &[7; 40]] {
            fs::write(&path, text).unwrap();
            assert!(Mark::peek(&path).unwrap().is_none(), "{text:?}");
            let mark = Mark::open(&path).unwrap();
            assert!(Mark::peek(&path).unwrap() == Some(mark), "{text:?}");
        }
    }
}
