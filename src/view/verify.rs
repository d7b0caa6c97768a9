//! Compares the view in a folder with a fresh fold of the log.

use std::cmp::Ordering;
use std::path::Path;

use bytes::Bytes;

use super::apply::Apply;
use super::keys::Table;
use super::projector::READ_RECORDS_MAX;
use super::store::Store;
use super::{Error, Options};
use crate::engine::files;
use crate::log::record::Record;
use crate::log::{self, Position};

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// There is no view: a start makes one.
    Missing,
    /// The view has another format than this version's: a start rebuilds it.
    OtherFormat,
    /// The view was compared.
    View {
        /// The position up to which it has applied the log.
        applied: Position,
        /// The entries that are as they should be, over all tables.
        entries: u64,
    },
}

/// Folds the log into `scratch`, an empty folder, and compares every table with the view in `dir`, as of that one's
/// position. Calls `found` for each difference. Changes nothing in `dir`. Blocks on the disk.
///
/// # Errors
/// [`Error::Log`]: the log cannot be folded. [`Error::Ahead`], [`Error::Store`], [`Error::Damaged`].
pub fn compare(
    dir: &Path,
    scratch: &Path,
    log: &dyn log::Store,
    found: &mut impl FnMut(String),
) -> Result<Compared, Error> {
    // The engine may write its tables again as soon as it has them open.
    if let Some(file) = files::broken(dir).map_err(Error::store)? {
        found(format!("{} is not what was written", file.display()));
    }
    let fresh = Store::open(scratch, &Options::default())?;
    let mut fold = Apply::new(&fresh)?;
    let compared = match Store::open_existing(dir)? {
        None => Compared::Missing,
        Some(view) if !view.has_this_format()? => Compared::OtherFormat,
        Some(view) => {
            let (applied, last) = (view.front()?, log.last());
            if applied > last {
                return Err(Error::Ahead { applied, last });
            }
            finish(&view, log)?;
            fold_up_to(applied, log, &mut fold)?;
            let mut entries = 0;
            for table in Table::ALL {
                entries += tables(table, &view, &fresh, found)?;
            }
            Compared::View { applied, entries }
        }
    };
    // The records that the view has not applied yet must fold too.
    fold_up_to(log.last(), log, &mut fold)?;
    Ok(compared)
}

/// Brings projects in lanes up to the front, as any start would.
fn finish(view: &Store, log: &dyn log::Store) -> Result<(), Error> {
    let mut apply = Apply::new(view)?;
    let lanes: Vec<_> = apply.lanes().keys().cloned().collect();
    for token in lanes {
        apply.finish_chores(&token)?;
        while let Some(at) = apply.lanes().get(&token).copied()
            && at < apply.front()
        {
            for (position, bytes) in read(log, at, apply.front())? {
                if Record::project(position, &bytes)? == token {
                    apply.record(position, &Record::decode(position, bytes)?)?;
                    apply.finish_chores(&token)?;
                } else {
                    apply.advance_lane(&token, position);
                }
            }
            apply.write()?;
        }
        apply.end_lane(&token);
        apply.write()?;
    }
    Ok(())
}

fn fold_up_to(end: Position, log: &dyn log::Store, apply: &mut Apply<'_>) -> Result<(), Error> {
    while apply.front() < end {
        for (position, bytes) in read(log, apply.front(), end)? {
            let record = Record::decode(position, bytes)?;
            apply.record(position, &record)?;
            apply.finish_chores(&record.project)?;
        }
        apply.write()?;
    }
    Ok(())
}

/// The next records from behind `after` up to `end`. There must be some.
fn read(
    log: &dyn log::Store,
    after: Position,
    end: Position,
) -> Result<Vec<(Position, Bytes)>, Error> {
    let left = end.get().saturating_sub(after.get());
    let limit = usize::try_from(left).unwrap_or(usize::MAX);
    let records = log.read_after(after, limit.min(READ_RECORDS_MAX))?;
    if records.is_empty() {
        return Err(Error::Log(log::Error::Damaged {
            position: after.plus(1),
            why: "the record is missing".to_owned(),
        }));
    }
    Ok(records)
}

/// Compares a table's entries in the order of their keys; says how many are the same.
fn tables(
    table: Table,
    view: &Store,
    fresh: &Store,
    found: &mut impl FnMut(String),
) -> Result<u64, Error> {
    let mut differs = |what: &str, key: &[u8]| {
        let (name, key) = (table.name(), key.escape_ascii());
        found(format!("the view's table {name}: the key {key} {what}"));
    };
    let mut same = 0;
    let (mut view, mut fresh) = (view.scan(table, &[]), fresh.scan(table, &[]));
    let mut next = || view.next().transpose();
    let mut next_fresh = || fresh.next().transpose();
    let (mut has, mut should) = (next()?, next_fresh()?);
    loop {
        let order = match (&has, &should) {
            (None, None) => return Ok(same),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((has, _)), Some((should, _))) => has.cmp(should),
        };
        if let (Ordering::Less | Ordering::Equal, Some((key, value))) = (order, &has) {
            match (order, &should) {
                (Ordering::Equal, Some((_, expected))) if value == expected => same += 1,
                (Ordering::Equal, _) => differs("has another value than the log says", key),
                _ => differs("is not of the log", key),
            }
        }
        if let (Ordering::Greater, Some((key, _))) = (order, &should) {
            differs("is missing", key);
        }
        if order != Ordering::Greater {
            has = next()?;
        }
        if order != Ordering::Less {
            should = next_fresh()?;
        }
    }
}
