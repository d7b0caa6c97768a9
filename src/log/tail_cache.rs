//! The records that were committed last, in memory.
//!
//! A follower of the log reads records just after they were committed, and need not ask the store for them. The fold
//! also takes what their writers knew of them, once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Position;
use super::record::Prepared;

/// Most records that are kept.
const RECORDS_MAX: usize = 8_192;
/// Most bytes that they have together.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A record's bytes, and what its writer knew of it.
pub type Written = (Bytes, Option<Box<Prepared>>);

/// The end of the log.
#[derive(Debug, Default)]
pub(super) struct TailCache(Mutex<End>);

#[derive(Debug, Default)]
struct End {
    /// The position before the first of them.
    before: Position,
    records: VecDeque<Written>,
    bytes: usize,
}

impl TailCache {
    /// Adds records that were committed, the first at `first`. They can be read from then on, so they may be announced
    /// only afterwards.
    pub(super) fn add(&self, first: Position, records: impl Iterator<Item = Written>) {
        let mut end = self.end();
        if first != end.last().plus(1) {
            *end = End {
                before: Position::from_number(first.get().saturating_sub(1)),
                ..End::default()
            };
        }
        for record in records {
            end.bytes += bytes(&record);
            end.records.push_back(record);
        }
        while end.records.len() > RECORDS_MAX || end.bytes > BYTES_MAX {
            end.drop_first();
        }
    }

    /// Up to `limit` records behind `after`, in order; none if the first of them is no longer cached.
    pub(super) fn read_after(
        &self,
        after: Position,
        limit: usize,
    ) -> Option<Vec<(Position, Bytes)>> {
        let mut end = self.end();
        let records = end.after(after, limit)?;
        let records = records.map(|(position, (bytes, _))| (position, bytes.clone()));
        Some(records.collect())
    }

    /// As [`Self::read_after`], with what their writers knew of them, given once, to the first caller.
    pub(super) fn take_after(
        &self,
        after: Position,
        limit: usize,
    ) -> Option<Vec<(Position, Written)>> {
        let mut end = self.end();
        let mut taken = 0;
        let records = end.after(after, limit)?;
        let records = records.map(|(position, (bytes, prepared))| {
            let prepared = prepared.take();
            taken += prepared.as_deref().map_or(0, Prepared::bytes);
            (position, (bytes.clone(), prepared))
        });
        let records = records.collect();
        end.bytes -= taken;
        Some(records)
    }

    /// Drops all of them.
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

    /// Up to `limit` records behind `after`; none if the first of them is no longer cached.
    fn after(
        &mut self,
        after: Position,
        limit: usize,
    ) -> Option<impl Iterator<Item = (Position, &mut Written)>> {
        if after < self.before || after >= self.last() {
            return None;
        }
        let skipped = usize::try_from(after.get() - self.before.get()).ok()?;
        let positions = (1..).map(move |count| after.plus(count));
        Some(positions.zip(self.records.iter_mut().skip(skipped).take(limit)))
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.records.pop_front() {
            self.bytes -= bytes(&first);
            self.before = self.before.plus(1);
        }
    }
}

/// What a record counts as, in bytes.
pub(super) fn bytes((bytes, prepared): &Written) -> usize {
    bytes.len() + prepared.as_deref().map_or(0, Prepared::bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::customer_id::CustomerIds;
    use crate::model::event::EventType;
    use crate::model::time::Timestamp;

    fn at(number: u64) -> Position {
        Position::from_number(number)
    }

    fn plain<const N: usize>(records: [Bytes; N]) -> impl Iterator<Item = Written> {
        records.into_iter().map(|record| (record, None))
    }

    fn record(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_was_committed_is_read_behind_any_position_of_it() {
        let recent = TailCache::default();
        recent.add(at(5), plain([record("a"), record("b")]));
        recent.add(at(7), plain([record("c")]));
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
        let recent = TailCache::default();
        assert_eq!(recent.read_after(at(0), 9), None);
        recent.add(at(5), plain([record("a")]));
        assert_eq!(recent.read_after(at(3), 9), None, "4 comes before");
        assert_eq!(recent.read_after(at(5), 9), None, "nothing comes behind");
        recent.clear();
        assert_eq!(recent.read_after(at(4), 9), None);
    }

    #[test]
    fn records_behind_a_gap_begin_anew() {
        let recent = TailCache::default();
        recent.add(at(5), plain([record("a")]));
        recent.add(at(9), plain([record("b")]));
        assert_eq!(recent.read_after(at(4), 9), None);
        assert_eq!(recent.read_after(at(8), 9).unwrap(), [(at(9), record("b"))]);
    }

    #[test]
    fn neither_many_records_nor_large_ones_are_too_many() {
        let recent = TailCache::default();
        let many = std::iter::repeat_n((record("a"), None), RECORDS_MAX + 2);
        recent.add(at(1), many);
        assert_eq!(recent.read_after(at(1), 9), None, "2 has gone");
        assert_eq!(
            recent.read_after(at(2), usize::MAX).unwrap().len(),
            RECORDS_MAX
        );
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        let next = u64::try_from(RECORDS_MAX).unwrap() + 3;
        recent.add(at(next), plain([large.clone(), large.clone(), large]));
        assert_eq!(recent.read_after(at(next), 9).unwrap().len(), 2);
        recent.add(at(next + 3), plain([Bytes::from(vec![0; BYTES_MAX + 1])]));
        assert_eq!(recent.read_after(at(next + 2), 9), None);
    }

    #[test]
    fn what_a_writer_knew_is_given_once_and_counts_until_then() {
        let recent = TailCache::default();
        let prepared = Prepared {
            project: "p".into(),
            ids: CustomerIds::default(),
            event_type: EventType::parse("visit").unwrap(),
            time: Timestamp::from_micros(1).unwrap(),
            content: [7; 8],
        };
        let known = Some(Box::new(prepared.clone()));
        recent.add(at(1), [(record("a"), known.clone())].into_iter());
        recent.add(at(2), plain([record("b")]));
        assert_eq!(recent.end().bytes, 2 + prepared.bytes());
        assert_eq!(recent.read_after(at(0), 9).unwrap().len(), 2);
        let first = (at(1), (record("a"), known));
        let second = (at(2), (record("b"), None));
        assert_eq!(recent.take_after(at(0), 9).unwrap(), [first, second]);
        assert_eq!(recent.end().bytes, 2);
        let again = (at(1), (record("a"), None));
        assert_eq!(recent.take_after(at(0), 1).unwrap(), [again]);
    }
}
