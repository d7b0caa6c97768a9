//! The rows of one moment that come first, in bounded memory.

use std::collections::BinaryHeap;

use super::super::order::Order;
use super::{EventPlace, Row};
use crate::model::event::EventType;

/// Most rows of one moment that are kept at once.
const SELECTED_MAX: usize = 10_000;
/// Bytes of them beyond which no more are kept.
const SELECTED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The rows of a moment that come first, as far as they are needed.
pub(super) struct Selection<'a> {
    order: Order,
    types: Option<&'a [EventType]>,
    after: Option<u128>,
    count_max: usize,
    bytes: usize,
    kept: BinaryHeap<Ranked>,
    /// The first of those that were dropped: nothing behind it may be kept.
    ceiling: Option<u128>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(
        order: Order,
        types: Option<&'a [EventType]>,
        needed: usize,
        after: Option<EventPlace>,
    ) -> Self {
        Self {
            order,
            types,
            after: after.map(|after| ranked(order, after.arrival)),
            count_max: needed.clamp(1, SELECTED_MAX),
            bytes: 0,
            kept: BinaryHeap::new(),
            ceiling: None,
        }
    }

    pub(super) fn offer(&mut self, row: Row) {
        let (place, entry) = &row;
        let rank = ranked(self.order, place.arrival);
        let is_of_type = self.types.is_none_or(|types| {
            let mut types = types.iter();
            types.any(|wanted| wanted.as_str() == entry.event_type)
        });
        let is_behind = self.after.is_none_or(|after| rank > after);
        let is_before = self.ceiling.is_none_or(|ceiling| rank < ceiling);
        if !is_of_type || !is_behind || !is_before {
            return;
        }
        let row = Ranked { rank, row };
        self.bytes += row.bytes();
        self.kept.push(row);
        let is_beyond = |kept: usize, bytes: usize| {
            kept > self.count_max || (bytes > SELECTED_BYTES_MAX && kept > 1)
        };
        while is_beyond(self.kept.len(), self.bytes)
            && let Some(dropped) = self.kept.pop()
        {
            self.bytes -= dropped.bytes();
            self.ceiling = Some(dropped.rank);
        }
    }

    /// The rows in order, and whether there are more.
    pub(super) fn finish(self) -> (Vec<Row>, bool) {
        let sorted = self.kept.into_sorted_vec().into_iter();
        let rows = sorted.map(|ranked| ranked.row).collect();
        (rows, self.ceiling.is_some())
    }
}

/// A row by its rank within the moment.
struct Ranked {
    rank: u128,
    row: Row,
}

impl Ranked {
    fn bytes(&self) -> usize {
        let (_, entry) = &self.row;
        let made = entry.made.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + entry.event_type.len() + made
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// A rank that grows in the order of a moment's events; its own inverse.
pub(super) fn ranked(order: Order, arrival: u128) -> u128 {
    match order {
        Order::Ascending => arrival,
        Order::Descending => !arrival,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Position;
    use crate::model::time::Timestamp;
    use crate::view::values::Entry;

    fn row(position: u64, event_type: &str) -> Row {
        let place = EventPlace {
            time: Timestamp::MIN,
            arrival: u128::from(position),
        };
        let entry = Entry {
            position: Position::from_number(position),
            event_type: event_type.to_owned(),
            made: None,
        };
        (place, entry)
    }

    fn positions(rows: &[Row]) -> Vec<u64> {
        rows.iter().map(|(_, entry)| entry.position.get()).collect()
    }

    fn selected(
        order: Order,
        needed: usize,
        after: Option<u64>,
        offered: &[u64],
    ) -> (Vec<u64>, bool) {
        let after = after.map(|position| row(position, "").0);
        let mut selection = Selection::new(order, None, needed, after);
        let offered = offered.iter();
        offered.for_each(|position| selection.offer(row(*position, "visit")));
        let (rows, more) = selection.finish();
        (positions(&rows), more)
    }

    #[test]
    fn a_selection_keeps_what_comes_first_in_either_direction() {
        use Order::{Ascending, Descending};
        let of = |order, needed, after| selected(order, needed, after, &[5, 3, 9, 1, 7]);
        assert_eq!(of(Ascending, 2, None), (vec![1, 3], true));
        assert_eq!(of(Ascending, 2, Some(3)), (vec![5, 7], true));
        assert_eq!(of(Ascending, 2, Some(7)), (vec![9], false));
        assert_eq!(of(Descending, 2, None), (vec![9, 7], true));
        assert_eq!(of(Descending, 9, Some(9)), (vec![7, 5, 3, 1], false));
    }

    #[test]
    fn a_selection_holds_neither_too_many_rows_nor_too_many_bytes() {
        let mut selection = Selection::new(Order::Ascending, None, usize::MAX, None);
        let offered = (0..SELECTED_MAX as u64 * 2).rev();
        offered.for_each(|position| selection.offer(row(position, "visit")));
        let (rows, more) = selection.finish();
        assert_eq!((rows.len(), more), (SELECTED_MAX, true));
        assert_eq!(positions(&rows).last(), Some(&(SELECTED_MAX as u64 - 1)));

        let mut selection = Selection::new(Order::Ascending, None, usize::MAX, None);
        let long = "x".repeat(1_000_000);
        for position in [9, 8, 1, 2, 7, 3] {
            selection.offer(row(position, &long));
            assert!(selection.bytes <= SELECTED_BYTES_MAX);
        }
        // A small one behind what was dropped would be out of order.
        selection.offer(row(8, "x"));
        let (rows, more) = selection.finish();
        assert_eq!((positions(&rows), more), (vec![1, 2, 3, 7], true));
    }
}
