//! Removes from the disk what an engine's tables do not show any more.
//!
//! What was removed or written over lies on in tables, blobs and journals until the engine comes by. Tables and blobs
//! go with a compaction of everything; a journal goes once it is full and its entries lie in tables, so that it is
//! filled.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::log::SetAside;

/// How far a journal must go for the engine to begin the next one.
const JOURNAL_BYTES: usize = 64_000_000;
/// Upper bound of what filling it takes of the disk for a while: the journal, and the entries in tables.
pub(crate) const FILLED_BYTES: u64 = 3 * JOURNAL_BYTES as u64;
/// One entry of what fills a journal.
const FILLER_BYTES: usize = 512 * 1024;
/// What of the filler is kept in memory before it is written as a table.
const FILLER_MEMORY_BYTES: u64 = 8 * 1024 * 1024;
/// So many entries are one journal.
const FILLERS: u8 = 123;
const _: () = assert!(FILLERS as usize * FILLER_BYTES > JOURNAL_BYTES);
const FILLER: &str = "filler";

/// Wipes these tables, which must be all of the database. Takes as long as copying it; others may read and write
/// meanwhile. What an open snapshot still sees stays. `batch` makes one that is synced; `aside` is the room that it all
/// takes.
pub(crate) fn wipe(
    database: &Database,
    tables: &[Keyspace],
    batch: &dyn Fn() -> OwnedWriteBatch,
    aside: &SetAside,
) -> Result<(), fjall::Error> {
    aside.check()?;
    flush(tables)?;
    fill_journal(database, batch, aside)?;
    // What was written meanwhile lies in the full journal too.
    flush(tables)?;
    for table in tables {
        aside.check()?;
        // The first one finds out which blobs nothing leads to, the second one takes them away.
        table.major_compact()?;
        table.major_compact()?;
    }
    empty_filler(database, batch)
}

fn flush(tables: &[Keyspace]) -> Result<(), fjall::Error> {
    for table in tables {
        table.rotate_memtable_and_wait()?;
    }
    Ok(())
}

fn fill_journal(
    database: &Database,
    batch: &dyn Fn() -> OwnedWriteBatch,
    aside: &SetAside,
) -> Result<(), fjall::Error> {
    let filler = filler(database)?;
    for number in 0..=FILLERS {
        aside.check()?;
        // Each is synced, so that a commit that comes meanwhile need not wait for all of them, and for the same reason
        // as every batch of the log.
        let mut batch = batch();
        batch.insert(&filler, [number], noise(number));
        batch.commit()?;
    }
    filler.rotate_memtable_and_wait()
}

/// The table itself stays: the engine numbers its batches on from those of the tables that it has, and a journal with
/// entries of one that went would have later ones with smaller numbers behind them.
fn empty_filler(
    database: &Database,
    batch: &dyn Fn() -> OwnedWriteBatch,
) -> Result<(), fjall::Error> {
    let filler = filler(database)?;
    let mut batch = batch();
    for number in 0..=FILLERS {
        batch.insert(&filler, [number], "");
    }
    batch.commit()?;
    // Files that were replaced go at the next change of a table, which this is too.
    filler.rotate_memtable_and_wait()?;
    filler.major_compact()
}

/// What fills a journal. It has to be there before the first journal with its entries is.
pub(crate) fn filler(database: &Database) -> Result<Keyspace, fjall::Error> {
    database.keyspace(FILLER, || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .max_memtable_size(FILLER_MEMORY_BYTES)
    })
}

/// Bytes that do not compress.
fn noise(number: u8) -> Vec<u8> {
    let words = 0..FILLER_BYTES / 8;
    let word = |index: usize| xxh3_64_with_seed(&index.to_ne_bytes(), number.into());
    words.flat_map(|index| word(index).to_ne_bytes()).collect()
}
