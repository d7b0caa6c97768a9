//! Removes from the log what erasures have listed.

use crate::log::record::{Command, Record, Taken};
use crate::log::{self, Log, Position};
use crate::model::customer_id::CustomerIds;
use crate::model::time::Timestamp;
use crate::view::keys::{self, Table};
use crate::view::values::{Chore, Involvement};
use crate::view::{Error, Store, View};

/// An erasure that was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The record's position.
    pub(crate) position: Position,
    /// When it was received.
    pub(crate) received: Timestamp,
    /// By how much the wall clock had been set by then, as the record says.
    pub(crate) clock_set: i64,
}

/// The oldest erasure whose records are still in the log. Blocks on the disk.
///
/// # Errors
/// [`Error::Store`], [`Error::Log`].
pub(crate) fn oldest_erasure(view: &View) -> Result<Option<Asked>, Error> {
    let page = view.store().page(Table::Erasures, &[], None)?;
    let Some((key, _)) = page.first() else {
        return Ok(None);
    };
    let erasure = Position::from_number(keys::read_number(key)?);
    // The list of an erasure that is still being folded is incomplete.
    if is_unfinished(view, erasure)? {
        return Ok(None);
    }
    let record = read(view.log(), erasure)?;
    Ok(Some(Asked {
        position: erasure,
        received: record.received,
        clock_set: record.clock_set,
    }))
}

fn is_unfinished(view: &View, erasure: Position) -> Result<bool, Error> {
    let mut last = None;
    loop {
        let page = view.store().page(Table::Chores, &[], last.as_deref())?;
        if page.is_empty() {
            return Ok(false);
        }
        for (key, value) in page {
            if Chore::read(&value)?.erasure == Some(erasure.get()) {
                return Ok(true);
            }
            last = Some(key);
        }
    }
}

/// Takes the records of an erasure out of the log, all at once. They stay on the disk until the log and the view
/// are purged. Blocks on the disk.
///
/// # Errors
/// [`Error::Store`], [`Error::Log`].
pub(crate) fn take_out(view: &View, erasure: Position) -> Result<(), Error> {
    // A view that a kill takes back to before the erasure would find records that no longer request it.
    view.store().checkpoint()?;
    let prefix = keys::customer(erasure.get());
    let mut failure = None;
    let listed = Listed::new(view.store(), &prefix);
    let rewrites = listed.map_while(|listed| {
        let rewrite = listed.and_then(|(position, involvement)| {
            let record = read(view.log(), position)?;
            Ok((position, without(&record, &involvement).encode()))
        });
        match rewrite {
            Ok(rewrite) => Some(Ok(rewrite)),
            Err(error) => {
                let reported = log::Error::Rewrite(error.to_string());
                failure = Some(error);
                Some(Err(reported))
            }
        }
    });
    let rewritten = view.log().rewrite(rewrites);
    if let Some(error) = failure {
        return Err(error);
    }
    rewritten?;
    // The events no longer exist, so nothing has to hide them.
    let mut last = None;
    loop {
        let page = view
            .store()
            .page(Table::Erasures, &prefix, last.as_deref())?;
        if page.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(2 * page.len());
        for (key, involvement) in page {
            if Involvement::read(&involvement)?.owner.is_none() {
                let suppressed = keys::suppressed(keys::read_position(&key)?);
                writes.push((Table::Suppressed, suppressed.into(), None));
            }
            last = Some(key.clone());
            writes.push((Table::Erasures, key, None));
        }
        view.store().write_all(writes)?;
    }
}

/// Removes from the disk what was taken out of the view and of the log. Takes as long as copying both; reads and
/// writes go on meanwhile.
///
/// # Errors
/// [`Error::StillRead`]; [`Error::Store`], [`Error::Log`]: also when there is no space for a copy.
pub(crate) fn purge(view: &View) -> Result<(), Error> {
    view.store().let_go()?;
    view.log().purge(view.store().disk_space())?;
    // Others have written meanwhile.
    let aside = view.log().set_aside(view.store().disk_space())?;
    view.store().purge(&aside)?;
    Ok(view.log().end_purge()?)
}

pub(super) fn read(log: &Log, position: Position) -> Result<Record, Error> {
    Ok(log.decode(position, log.read(position)?)?)
}

/// What is left of a record once a customer is removed from it.
fn without(record: &Record, involvement: &Involvement) -> Record {
    if involvement.owner.is_none() {
        let taken = involvement.taken.iter().map(|taken| Taken {
            customer: taken.customer,
            kind: taken.kind.clone(),
            since: taken.since,
        });
        return record.erased(taken.collect());
    }
    // It may have been erased for another customer meanwhile.
    if matches!(record.command, Command::Erased(_)) {
        return record.clone();
    }
    let ids = record.ids.as_slice().iter();
    let ids = ids.filter(|id| !involvement.kinds.iter().any(|kind| **kind == *id.kind));
    Record {
        ids: CustomerIds::from_parsed(ids.cloned().collect()),
        conflicted: true,
        ..record.clone()
    }
}

/// The records that an erasure has listed, in pages.
struct Listed<'a> {
    store: &'a Store,
    prefix: &'a [u8],
    last: Option<fjall::Slice>,
    page: std::vec::IntoIter<(fjall::Slice, fjall::Slice)>,
}

impl<'a> Listed<'a> {
    fn new(store: &'a Store, prefix: &'a [u8]) -> Self {
        Self {
            store,
            prefix,
            last: None,
            page: Vec::new().into_iter(),
        }
    }

    fn step(&mut self) -> Result<Option<(Position, Involvement)>, Error> {
        if self.page.as_slice().is_empty() {
            let page = self
                .store
                .page(Table::Erasures, self.prefix, self.last.as_deref())?;
            self.page = page.into_iter();
        }
        let Some((key, value)) = self.page.next() else {
            return Ok(None);
        };
        let listed = (keys::read_position(&key)?, Involvement::read(&value)?);
        self.last = Some(key);
        Ok(Some(listed))
    }
}

impl Iterator for Listed<'_> {
    type Item = Result<(Position, Involvement), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
