//! How old records are, more reliably than by the time of receipt in each: that comes from a wall clock, which may have
//! been wrong.
//!
//! A record is as young as the youngest of three: its own time of receipt; the youngest record before it, as the log is
//! in the order of arrival; and the time since the end of the log, summed back over each two neighbours. Within a
//! process that time is known from [`Record::clock_set`], even where the clock was set in between.

use std::time::Duration;

use super::record::Record;
use super::{Error, Log, Position};
use crate::model::time::Timestamp;

/// A wall clock that differs by more than this from the time that passed was set. Less may be a clock that is corrected
/// bit by bit.
pub const CLOCK_SET_MIN: Duration = Duration::from_secs(60);

/// How many records are read at once.
const PAGE_RECORDS: usize = 64;

/// What a walk over the log, in its order, has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    at: Position,
    /// The time of receipt of the last record, in µs.
    received: i64,
    clock_set: i64,
    /// The time that passed between all of them, as far as it is sure, in µs.
    passed: i64,
    /// The greatest time of receipt, in µs.
    greatest: i64,
}

impl Walk {
    fn step(self, position: Position, record: &Record) -> Self {
        let received = record.received.micros();
        let since = received.saturating_sub(self.received);
        let set = record.clock_set.saturating_sub(self.clock_set);
        let passed = match record.clock_set {
            _ if self.at == Position::START => 0,
            // It was set back to as before, or another process has begun: the shorter time is sure.
            0 => since.min(since.saturating_sub(set)),
            _ => since.saturating_sub(set),
        };
        Self {
            at: position,
            received,
            clock_set: record.clock_set,
            passed: self.passed.saturating_add(passed.max(0)),
            greatest: self.greatest.max(received),
        }
    }
}

/// The state when the process started.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The end of the log.
    pub end: Position,
    /// The wall clock.
    pub now: Timestamp,
    /// The elapsed time.
    pub elapsed: Duration,
}

impl Start {
    /// The elapsed time at which a record was received, by what it says; the start's if that was before.
    pub fn elapsed_at(&self, received: Timestamp, clock_set: i64) -> Duration {
        let micros = received.micros().saturating_sub(clock_set);
        let since = u64::try_from(micros.saturating_sub(self.now.micros())).unwrap_or_default();
        self.elapsed.saturating_add(Duration::from_micros(since))
    }

    /// By how much the wall clock has been set since, in µs; 0 if it is so little that records do not say it either.
    fn clock_set(&self, now: Timestamp, elapsed: Duration) -> i64 {
        let passed = elapsed.saturating_sub(self.elapsed);
        let expected = self.now.saturating_add(passed);
        let set = now.micros().saturating_sub(expected.micros());
        match Duration::from_micros(set.unsigned_abs()) > CLOCK_SET_MIN {
            true => set,
            false => 0,
        }
    }
}

/// The times of receipt of a log, as far as they have been read. Takes the same memory however long the log is.
#[derive(Debug)]
pub struct Receipts {
    newest: Walk,
    /// The walk as far as everything was too old.
    old: Walk,
    start: Start,
}

impl Receipts {
    /// The receipts of a log, in a process with this start.
    pub fn new(start: Start) -> Self {
        Self {
            newest: Walk::default(),
            old: Walk::default(),
            start,
        }
    }

    /// Reads on to the end of the log. `is_over` interrupts it. Blocks on the disk: the first time for as long as
    /// reading the log takes.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Read`].
    pub fn follow(&mut self, log: &Log, is_over: &dyn Fn() -> bool) -> Result<(), Error> {
        let end = log.last();
        while self.newest.at < end && !is_over() {
            let page = log.read_after(self.newest.at, PAGE_RECORDS)?;
            if page.is_empty() {
                let position = self.newest.at.plus(1);
                let why = "the record is missing".to_owned();
                return Err(Error::Damaged { position, why });
            }
            for (position, bytes) in page {
                let record = log.decode(position, bytes)?;
                self.newest = self.newest.step(position, &record);
            }
        }
        Ok(())
    }

    /// The greatest time of receipt; none without any record.
    pub fn greatest(&self) -> Option<Timestamp> {
        let time = Timestamp::from_micros(self.newest.greatest).ok();
        time.filter(|_| self.newest.at > Position::START)
    }

    /// The last of those records at the beginning of the log that are all older than `age`, at a time of the wall clock
    /// and an elapsed time. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Read`].
    pub fn old(
        &mut self,
        log: &Log,
        (now, elapsed): (Timestamp, Duration),
        age: Duration,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Position, Error> {
        let limit = now.saturating_sub(age).micros();
        // The clock may have been set since the newest one came.
        let set = match self.newest.at > self.start.end {
            true => self.start.clock_set(now, elapsed) - self.newest.clock_set,
            false => 0,
        };
        let newest = self.newest.received.saturating_add(set.max(0));
        while self.old.at < self.newest.at && !is_over() {
            for (position, bytes) in log.read_after(self.old.at, PAGE_RECORDS)? {
                let record = log.decode(position, bytes)?;
                let next = self.old.step(position, &record);
                let since = self.newest.passed.saturating_sub(next.passed);
                let received = next.greatest.max(newest.saturating_sub(since));
                if position > self.newest.at || received >= limit {
                    return Ok(self.old.at);
                }
                self.old = next;
            }
        }
        Ok(self.old.at)
    }
}

#[cfg(test)]
mod tests;
