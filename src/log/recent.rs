//! The records that were committed last, in memory.
//!
//! Who follows the log wants them a moment after they were committed: the store need not be asked for them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Position;

/// Most records that are kept.
const RECORDS_MAX: usize = 8_192;
/// Most bytes that they have together.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The end of the log.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<End>);

#[derive(Debug, Default)]
struct End {
    /// The position before the first of them.
    before: Position,
    records: VecDeque<Bytes>,
    bytes: usize,
}

impl Recent {
    /// Adds records that were committed, the first at `first`. From then on they can be read, so that nobody may have
    /// been told of them before.
    pub(super) fn add(&self, first: Position, records: Vec<Bytes>) {
        let mut end = self.end();
        if first != end.last().plus(1) {
            *end = End {
                before: Position::from_number(first.get().saturating_sub(1)),
                ..End::default()
            };
        }
        end.bytes += records.iter().map(Bytes::len).sum::<usize>();
        end.records.extend(records);
        while end.records.len() > RECORDS_MAX || end.bytes > BYTES_MAX {
            end.drop_first();
        }
    }

    /// Up to `limit` records behind `after`, in order; none if the first of them is not there any more.
    pub(super) fn read_after(
        &self,
        after: Position,
        limit: usize,
    ) -> Option<Vec<(Position, Bytes)>> {
        let end = self.end();
        if after < end.before || after >= end.last() {
            return None;
        }
        let skipped = usize::try_from(after.get() - end.before.get()).ok()?;
        let positions = (1..).map(|count| after.plus(count));
        let records = end.records.iter().skip(skipped).take(limit);
        Some(positions.zip(records.cloned()).collect())
    }

    /// Keeps none of them any longer.
    pub(super) fn clear(&self) {
        *self.end() = End::default();
    }

    fn end(&self) -> MutexGuard<'_, End> {
        // It is consistent between statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    fn last(&self) -> Position {
        self.before.plus(self.records.len())
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.records.pop_front() {
            self.bytes -= first.len();
            self.before = self.before.plus(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Position {
        Position::from_number(number)
    }

    fn record(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_was_committed_is_read_behind_any_position_of_it() {
        let recent = Recent::default();
        recent.add(at(5), vec![record("a"), record("b")]);
        recent.add(at(7), vec![record("c")]);
        let all = [
            (at(5), record("a")),
            (at(6), record("b")),
            (at(7), record("c")),
        ];
        assert_eq!(recent.read_after(at(4), 9).unwrap(), all);
        assert_eq!(recent.read_after(at(4), 2).unwrap(), all[..2]);
        assert_eq!(recent.read_after(at(6), 9).unwrap(), all[2..]);
    }

    #[test]
    fn what_is_not_there_is_for_the_store_to_say() {
        let recent = Recent::default();
        assert_eq!(recent.read_after(at(0), 9), None);
        recent.add(at(5), vec![record("a")]);
        assert_eq!(recent.read_after(at(3), 9), None, "4 comes before");
        assert_eq!(recent.read_after(at(5), 9), None, "nothing comes behind");
        recent.clear();
        assert_eq!(recent.read_after(at(4), 9), None);
    }

    #[test]
    fn records_behind_a_gap_begin_anew() {
        let recent = Recent::default();
        recent.add(at(5), vec![record("a")]);
        recent.add(at(9), vec![record("b")]);
        assert_eq!(recent.read_after(at(4), 9), None);
        assert_eq!(recent.read_after(at(8), 9).unwrap(), [(at(9), record("b"))]);
    }

    #[test]
    fn neither_many_records_nor_large_ones_are_too_many() {
        let recent = Recent::default();
        recent.add(at(1), vec![record("a"); RECORDS_MAX + 2]);
        assert_eq!(recent.read_after(at(1), 9), None, "2 has gone");
        assert_eq!(
            recent.read_after(at(2), usize::MAX).unwrap().len(),
            RECORDS_MAX
        );
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        let next = u64::try_from(RECORDS_MAX).unwrap() + 3;
        recent.add(at(next), vec![large; 3]);
        assert_eq!(recent.read_after(at(next), 9).unwrap().len(), 2);
        recent.add(at(next + 3), vec![Bytes::from(vec![0; BYTES_MAX + 1])]);
        assert_eq!(recent.read_after(at(next + 2), 9), None);
    }
}
