//! Removes from the disk what an engine's tables do not show any more.
//!
//! What was removed or written over lies on in tables, blobs and journals until the engine comes by. Tables and blobs
//! go with a compaction of everything; a journal goes once it is full and its entries lie in tables, so that it is
//! filled.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How far a journal must go for the engine to begin the next one.
const JOURNAL_BYTES: usize = 64_000_000;
/// Upper bound of what filling it takes of the disk for a while: the journal, and the entries in tables.
pub(crate) const FILLED_BYTES: u64 = 3 * JOURNAL_BYTES as u64;
/// One entry of what fills a journal.
const FILLER_BYTES: usize = 512 * 1024;
/// What of the filler is kept in memory before it is written as a table.
const FILLER_MEMORY_BYTES: u64 = 8 * 1024 * 1024;
const FILLER: &str = "filler";

/// Wipes these tables, which must be all of the database. Takes as long as copying it; others may read and write meanwhile.
/// What an open snapshot still sees stays.
pub(crate) fn wipe(database: &Database, tables: &[Keyspace]) -> Result<(), fjall::Error> {
    flush(tables)?;
    fill_journal(database)?;
    // What was written meanwhile lies in the full journal too.
    flush(tables)?;
    for table in tables {
        // The first one finds out which blobs nothing leads to, the second one takes them away.
        table.major_compact()?;
        table.major_compact()?;
    }
    // Files that were replaced go at the next change of a table.
    fill_a_little(database)
}

fn flush(tables: &[Keyspace]) -> Result<(), fjall::Error> {
    for table in tables {
        table.rotate_memtable_and_wait()?;
    }
    Ok(())
}

fn fill_journal(database: &Database) -> Result<(), fjall::Error> {
    let filler = filler(database)?;
    for number in 0..=JOURNAL_BYTES / FILLER_BYTES {
        // Each is synced, so that a commit that comes meanwhile need not wait for all of it, and for the same reason
        // as every batch of the log.
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(
            &filler,
            [u8::try_from(number).unwrap_or_default()],
            noise(number),
        );
        batch.commit()?;
    }
    filler.rotate_memtable_and_wait()
}

fn fill_a_little(database: &Database) -> Result<(), fjall::Error> {
    let filler = filler(database)?;
    filler.insert([0], [0])?;
    filler.rotate_memtable_and_wait()?;
    database.delete_keyspace(filler)
}

fn filler(database: &Database) -> Result<Keyspace, fjall::Error> {
    database.keyspace(FILLER, || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .max_memtable_size(FILLER_MEMORY_BYTES)
    })
}

/// Bytes that do not compress.
fn noise(number: usize) -> Vec<u8> {
    let words = 0..FILLER_BYTES / 8;
    let word = |index: usize| xxh3_64_with_seed(&index.to_ne_bytes(), number as u64);
    words.flat_map(|index| word(index).to_ne_bytes()).collect()
}
