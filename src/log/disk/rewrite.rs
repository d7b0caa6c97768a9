//! Puts other records in the place of old ones, all of them or none.
//!
//! Half a rewriting would fold into another view than the whole, and what is rewritten may be more than one commit
//! should hold. So the new records are staged beside the log, one synced entry says that they are complete, and
//! from then on they are moved over, if need be by the next start.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

use super::mark::Mark;
use super::room::{Room, SetAside};
use crate::log::store::Rewrites;
use crate::log::{Error, Position};

/// Most records in one batch of writes.
const BATCH_RECORDS_MAX: usize = 1_024;
/// Most bytes in one batch of writes, unless a single record is larger.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the staging area in memory before they become a table. A journal stays as long as one of its entries is in
/// memory only.
const TABLE_BYTES: u64 = 4 * 1024 * 1024;

/// What the keys of staged records begin with, and no other key. No key here may have the 8 bytes of a position.
const STAGED: u8 = b's';
/// Says that everything is staged.
const COMPLETE: &[u8] = b"complete!";
/// Says that what was rewritten may still lie on the disk.
const REMAINS: &[u8] = b"remains";

/// The staging area.
pub(super) struct Rewriting {
    database: Database,
    mark: Mark,
    records: Keyspace,
    staging: Keyspace,
}

impl Rewriting {
    /// Opens it, and ends what a stop has cut short.
    pub(super) fn open(database: &Database, records: &Keyspace, mark: Mark) -> Result<Self, Error> {
        let options = || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(TABLE_BYTES)
        };
        let rewriting = Self {
            database: database.clone(),
            mark,
            records: records.clone(),
            staging: database.keyspace("rewrites", options).map_err(failed)?,
        };
        super::wipe::filler(database).map_err(failed)?;
        rewriting.settle()?;
        Ok(rewriting)
    }

    /// A batch that is synced, and known as this store's. Every batch must be, for a start takes a whole one behind a
    /// torn one for damage. One that begins with a record has the mark there.
    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.mark.batch(&self.database, &self.staging)
    }

    pub(super) fn run(&self, rewrites: &mut Rewrites<'_>, room: &Room) -> Result<(), Error> {
        // Each record comes twice, into the staging area and to where it belongs; and what is in memory becomes tables.
        let ask = |staged: usize| {
            let staged = 2 * staged as u64;
            room.for_upkeep(staged.saturating_add(self.database.write_buffer_size()))
        };
        ask(0)?;
        // A rewriting before this one may have failed in the middle.
        self.settle()?;
        let mut staged_bytes = 0;
        let mut any = false;
        loop {
            let mut batch = self.batch();
            let (mut count, mut bytes) = (0, 0);
            while count < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
                let Some(rewrite) = rewrites.next() else {
                    break;
                };
                let (position, record) = rewrite?;
                (count, bytes) = (count + 1, bytes + record.len());
                batch.insert(&self.staging, staged(position), &*record);
            }
            if count == 0 {
                break;
            }
            any = true;
            staged_bytes += bytes;
            // Once they are complete they have to be moved, and nothing may come in between.
            ask(staged_bytes)?;
            batch.commit().map_err(failed)?;
        }
        if !any {
            return Ok(());
        }
        let mut batch = self.batch();
        batch.insert(&self.staging, COMPLETE, "");
        batch.insert(&self.staging, REMAINS, "");
        batch.commit().map_err(failed)?;
        self.settle()
    }

    /// Moves what is completely staged to where it belongs, and drops what is not.
    fn settle(&self) -> Result<(), Error> {
        let is_complete = self.staging.contains_key(COMPLETE).map_err(failed)?;
        loop {
            let mut batch = self.batch();
            let (mut any, mut bytes) = (false, 0);
            for guard in self.staging.prefix([STAGED]).take(BATCH_RECORDS_MAX) {
                let (key, record) = guard.into_inner().map_err(failed)?;
                any = true;
                bytes += record.len();
                if is_complete {
                    let position = key.get(1..).unwrap_or_default();
                    batch.insert(&self.records, position, record);
                }
                batch.remove(&self.staging, key);
                if bytes >= BATCH_BYTES_MAX {
                    break;
                }
            }
            if !any {
                break;
            }
            batch.commit().map_err(failed)?;
        }
        if is_complete {
            let mut batch = self.batch();
            batch.remove(&self.staging, COMPLETE);
            batch.commit().map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn has_remains(&self) -> Result<bool, Error> {
        self.staging.contains_key(REMAINS).map_err(failed)
    }

    /// Removes from the disk what was rewritten.
    pub(super) fn wipe(&self, aside: &SetAside) -> Result<(), Error> {
        let tables = [self.records.clone(), self.staging.clone()];
        super::wipe::wipe(&self.database, &tables, &|| self.batch(), aside).map_err(failed)
    }

    /// What the whole store takes of the disk, and what wiping it adds for a while.
    pub(super) fn disk_space(&self) -> Result<u64, Error> {
        let used = self.database.disk_space().map_err(failed)?;
        Ok(used.saturating_add(super::wipe::FILLED_BYTES))
    }

    /// Notes that nothing of what was rewritten lies on the disk any more.
    pub(super) fn forget_remains(&self) -> Result<(), Error> {
        let mut batch = self.batch();
        batch.remove(&self.staging, REMAINS);
        batch.commit().map_err(failed)
    }
}

fn staged(position: Position) -> Vec<u8> {
    let mut key = vec![STAGED];
    key.extend(position.get().to_be_bytes());
    key
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: fjall::Error) -> Error {
    Error::Rewrite(error.to_string())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::log::disk::mark;

    fn open(dir: &TempDir) -> (Database, Keyspace) {
        let database = Database::builder(dir.path()).open().unwrap();
        let records = database.keyspace("records", KeyspaceCreateOptions::default);
        (database, records.unwrap())
    }

    fn room(dir: &TempDir) -> Room {
        Room::new(dir.path().to_owned(), 0)
    }

    /// What the log says at positions 1, 2, and so on.
    fn read(records: &Keyspace) -> Vec<String> {
        let entries = records.iter().map(|guard| guard.value().unwrap());
        let texts = entries.map(|value| String::from_utf8(value.to_vec()).unwrap());
        texts.collect()
    }

    fn write(records: &Keyspace, texts: &[&str]) {
        for (number, text) in (1_u64..).zip(texts) {
            records.insert(number.to_be_bytes(), *text).unwrap();
        }
    }

    fn to(number: u64, text: &'static str) -> Result<(Position, bytes::Bytes), Error> {
        Ok((Position::from_number(number), text.into()))
    }

    #[test]
    fn a_rewriting_changes_what_it_names_and_is_there_after_a_restart() {
        let dir = TempDir::new().unwrap();
        let (database, records) = open(&dir);
        write(&records, &["a", "b", "c"]);
        let rewriting = Rewriting::open(&database, &records, Mark::default()).unwrap();
        assert!(!rewriting.has_remains().unwrap());
        let rewrites = [to(1, "x"), to(3, "z")];
        rewriting
            .run(&mut rewrites.into_iter(), &room(&dir))
            .unwrap();
        assert_eq!(read(&records), ["x", "b", "z"]);
        assert!(rewriting.has_remains().unwrap());
        drop((database, records, rewriting));
        let (database, records) = open(&dir);
        let rewriting = Rewriting::open(&database, &records, Mark::default()).unwrap();
        assert_eq!(read(&records), ["x", "b", "z"]);
        assert!(rewriting.has_remains().unwrap());
        rewriting.wipe(&SetAside::default()).unwrap();
        rewriting.forget_remains().unwrap();
        assert_eq!(read(&records), ["x", "b", "z"]);
        assert!(!rewriting.has_remains().unwrap());
    }

    #[test]
    fn a_rewriting_that_ends_early_changes_nothing() {
        let dir = TempDir::new().unwrap();
        let (database, records) = open(&dir);
        let rewriting = Rewriting::open(&database, &records, Mark::default()).unwrap();
        write(&records, &["a", "b"]);
        let error = Error::Rewrite("no".to_owned());
        let first = (0..2_000).map(|_| to(1, "x"));
        let mut rewrites = first.chain([Err(error)]);
        rewriting.run(&mut rewrites, &room(&dir)).unwrap_err();
        assert_eq!(read(&records), ["a", "b"]);
        // Nor does what it had staged come out with the next one.
        let mut rewrites = [to(2, "y")].into_iter();
        rewriting.run(&mut rewrites, &room(&dir)).unwrap();
        assert_eq!(read(&records), ["a", "y"]);
    }

    #[test]
    fn a_start_ends_a_rewriting_that_was_cut_short_once_it_was_complete_and_drops_it_before() {
        for (is_complete, expected) in [(true, ["x", "y"]), (false, ["a", "b"])] {
            let dir = TempDir::new().unwrap();
            let (database, records) = open(&dir);
            let rewriting = Rewriting::open(&database, &records, Mark::default()).unwrap();
            write(&records, &["a", "b"]);
            for (number, text) in [(1, "x"), (2, "y")] {
                let key = staged(Position::from_number(number));
                rewriting.staging.insert(key, text).unwrap();
            }
            if is_complete {
                rewriting.staging.insert(COMPLETE, "").unwrap();
            }
            drop(rewriting);
            let rewriting = Rewriting::open(&database, &records, Mark::default()).unwrap();
            assert_eq!(read(&records), expected);
            let left = rewriting.staging.iter().map(|guard| guard.key().unwrap());
            // With no batch there is no mark.
            assert!(left.into_iter().all(|key| *key == *mark::KEY));
        }
    }
}
