//! What the fold remembers of customers, so that it need not read the store for each record.
//!
//! Most events are later than all others of their customer, so none of those can be the same one. Most customers have
//! one soft ID of a type, so its last use does not matter. A new customer has no properties.

use super::slots::Slots;
use super::values::Customer;
use crate::model::time::Timestamp;

/// Flags of an entry.
const LATEST_IS_KNOWN: u64 = 1;
const IS_MOVING: u64 = 2;
const TRACKS_USE: u64 = 4;
const HAS_NO_PROPERTIES: u64 = 8;

/// What is remembered of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Whether rows of customers that merged into it are still being moved.
    pub(super) is_moving: bool,
    /// Whether the last use of its soft IDs matters.
    pub(super) tracks_use: bool,
    /// Whether no property of it needs to be looked up, as it has none.
    pub(super) has_no_properties: bool,
}

/// Whether a customer may have an event of some time already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayHave {
    /// All its events are earlier.
    No,
    /// It may.
    Yes,
    /// It may, and the store has all its events written so far: the latest of them should be remembered.
    Ask,
}

/// By number: the latest event in microseconds, flags, and the batch of writes that may have events of it that the
/// store lacks.
#[derive(Debug)]
pub(super) struct Summaries {
    slots: Slots<1>,
    batch: u64,
}

impl Summaries {
    /// With slots of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            slots: Slots::new(bytes),
            batch: 0,
        }
    }

    /// Notes that all that was written is published.
    pub(super) fn published(&mut self) {
        self.batch += 1;
    }

    pub(super) fn get(&mut self, number: u64) -> Option<Summary> {
        let [_, _, flags, _] = self.slots.get([number])?;
        Some(Summary {
            is_moving: *flags & IS_MOVING != 0,
            tracks_use: *flags & TRACKS_USE != 0,
            has_no_properties: *flags & HAS_NO_PROPERTIES != 0,
        })
    }

    /// Adds a new customer, without events and properties.
    pub(super) fn begin(&mut self, number: u64) {
        let none = i64::MIN.cast_unsigned();
        let flags = LATEST_IS_KNOWN | HAS_NO_PROPERTIES;
        self.slots.put([number, none, flags, self.batch]);
    }

    /// Remembers a customer as given.
    pub(super) fn put(&mut self, number: u64, customer: &Customer) -> Summary {
        let summary = Summary {
            is_moving: !customer.moving.is_empty(),
            tracks_use: customer.tracks_use(),
            has_no_properties: customer.properties == 0,
        };
        let new = [
            (summary.is_moving, IS_MOVING),
            (summary.tracks_use, TRACKS_USE),
            (summary.has_no_properties, HAS_NO_PROPERTIES),
        ];
        let set = new.into_iter().filter(|(is_set, _)| *is_set);
        let new = set.fold(0, |flags, (_, flag)| flags | flag);
        match self.slots.get([number]) {
            Some([_, _, flags, _]) => *flags = *flags & LATEST_IS_KNOWN | new,
            None => drop(self.slots.put([number, 0, new, self.batch])),
        }
        summary
    }

    /// Notes that a customer may have properties.
    pub(super) fn add_properties(&mut self, number: u64) {
        if let Some([_, _, flags, _]) = self.slots.get([number]) {
            *flags &= !HAS_NO_PROPERTIES;
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.slots.remove([number]);
    }

    /// Notes one more event of a customer.
    pub(super) fn add(&mut self, number: u64, time: Timestamp) {
        let batch = self.batch;
        match self.slots.get([number]) {
            Some([_, latest, flags, _]) if *flags & LATEST_IS_KNOWN != 0 => {
                *latest = latest.cast_signed().max(time.micros()).cast_unsigned();
            }
            // Earlier records' events may be later. The store does not have this event yet.
            Some([_, _, _, written]) => *written = batch,
            None => {}
        }
    }

    /// Remembers the latest of a customer's events in the store.
    pub(super) fn found_latest(&mut self, number: u64, time: Option<Timestamp>) {
        if let Some([_, latest, flags, _]) = self.slots.get([number]) {
            *latest = time.map_or(i64::MIN, Timestamp::micros).cast_unsigned();
            *flags |= LATEST_IS_KNOWN;
        }
    }

    /// Gives a customer the events of another one, which no longer exists.
    pub(super) fn merge(&mut self, number: u64, merged: u64) {
        let of_merged = self.slots.get([merged]).copied();
        self.slots.remove([merged]);
        let batch = self.batch;
        let Some([_, latest, flags, written]) = self.slots.get([number]) else {
            return;
        };
        match of_merged {
            Some([_, other, of_merged, _]) if of_merged & LATEST_IS_KNOWN != 0 => {
                *latest = latest
                    .cast_signed()
                    .max(other.cast_signed())
                    .cast_unsigned();
            }
            Some(_) | None => {
                *flags &= !LATEST_IS_KNOWN;
                *written = batch;
            }
        }
    }

    /// Whether a customer may have an event at this time.
    pub(super) fn may_have(&mut self, number: u64, time: Timestamp) -> MayHave {
        match self.slots.get([number]) {
            Some([_, latest, flags, _]) if *flags & LATEST_IS_KNOWN != 0 => {
                match time.micros() > latest.cast_signed() {
                    true => MayHave::No,
                    false => MayHave::Yes,
                }
            }
            Some([_, _, _, written]) if *written < self.batch => MayHave::Ask,
            Some(_) | None => MayHave::Yes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn summaries() -> Summaries {
        Summaries::new(4_096)
    }

    #[test]
    fn a_new_customer_has_no_event_later_than_its_latest() {
        let mut summaries = summaries();
        summaries.begin(1);
        assert_eq!(summaries.may_have(1, at(0)), MayHave::No);
        summaries.add(1, at(5));
        summaries.add(1, at(3));
        assert_eq!(summaries.may_have(1, at(3)), MayHave::Yes);
        assert_eq!(summaries.may_have(1, at(5)), MayHave::Yes);
        assert_eq!(summaries.may_have(1, at(6)), MayHave::No);
        assert_eq!(summaries.may_have(2, at(6)), MayHave::Yes);
    }

    #[test]
    fn the_store_is_asked_for_the_latest_event_once_it_has_all_of_them() {
        let mut summaries = summaries();
        summaries.put(1, &Customer::default());
        assert_eq!(summaries.may_have(1, at(5)), MayHave::Yes);
        summaries.add(1, at(5));
        assert_eq!(summaries.may_have(1, at(9)), MayHave::Yes, "a later one?");
        summaries.published();
        assert_eq!(summaries.may_have(1, at(9)), MayHave::Ask);
        summaries.found_latest(1, Some(at(7)));
        assert_eq!(summaries.may_have(1, at(7)), MayHave::Yes);
        assert_eq!(summaries.may_have(1, at(9)), MayHave::No);
        summaries.put(1, &Customer::default());
        assert_eq!(summaries.may_have(1, at(9)), MayHave::No);
    }

    #[test]
    fn customers_that_merge_have_the_later_of_their_latest_events_if_both_are_known() {
        let mut summaries = summaries();
        (1..=2).for_each(|number| summaries.begin(number));
        summaries.add(2, at(5));
        summaries.merge(1, 2);
        assert_eq!(summaries.may_have(1, at(5)), MayHave::Yes);
        assert_eq!(summaries.may_have(1, at(6)), MayHave::No);
        summaries.merge(1, 3);
        assert_eq!(summaries.may_have(1, at(6)), MayHave::Yes);
        summaries.published();
        assert_eq!(summaries.may_have(1, at(6)), MayHave::Ask);
    }

    #[test]
    fn a_customer_is_described_as_it_was_put_last() {
        let mut summaries = summaries();
        assert_eq!(summaries.get(1), None);
        summaries.begin(1);
        let moving = Customer {
            moving: vec![2],
            ..Customer::default()
        };
        let put = summaries.put(1, &moving);
        assert_eq!(summaries.get(1), Some(put));
        assert!(put.is_moving && !put.tracks_use);
        summaries.put(1, &Customer::default());
        assert!(!summaries.get(1).unwrap().is_moving);
        summaries.remove(1);
        assert_eq!(summaries.get(1), None);
    }
}
