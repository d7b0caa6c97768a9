//! Until when the events of customers go, as far as the fold has seen that since it began.
//!
//! Most events are later than all others of their customer, so that none of those can be the same one: the engine need not be asked.

use std::collections::HashMap;

use super::hash::Seeded;
use crate::model::time::Timestamp;

/// Most customers of a generation: as many as a map of 2^19 places takes, 9 MB.
const CUSTOMERS_MAX: usize = (1 << 19) / 8 * 7;

/// The latest event of each customer that was created, or had another event, not long ago. In two generations: whoever is asked for
/// while in the older one moves to the younger, and the older one goes as a whole once the younger is full.
#[derive(Debug, Default)]
pub(super) struct Latest {
    young: Times,
    old: Times,
}

/// By customer; none without any event.
type Times = HashMap<u64, Option<Timestamp>, Seeded>;

impl Latest {
    /// A customer begins, without events.
    pub(super) fn begin(&mut self, customer: u64) {
        self.keep(customer, None);
    }

    /// A customer has an event more.
    pub(super) fn add(&mut self, customer: u64, time: Timestamp) {
        // Of whom nothing is known, earlier events may be later than this one.
        if let Some(latest) = self.get(customer) {
            self.keep(customer, latest.max(Some(time)));
        }
    }

    /// Whether a customer may have an event at this time.
    pub(super) fn may_have(&mut self, customer: u64, time: Timestamp) -> bool {
        self.get(customer).is_none_or(|latest| Some(time) <= latest)
    }

    fn get(&mut self, customer: u64) -> Option<Option<Timestamp>> {
        if let Some(latest) = self.young.get(&customer) {
            return Some(*latest);
        }
        let latest = self.old.remove(&customer)?;
        self.keep(customer, latest);
        Some(latest)
    }

    fn keep(&mut self, customer: u64, latest: Option<Timestamp>) {
        if self.young.len() >= CUSTOMERS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(customer, latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_customer_of_whom_nothing_is_known_may_have_any_event() {
        let mut latest = Latest::default();
        assert!(latest.may_have(1, at(5)));
        latest.add(1, at(5));
        assert!(latest.may_have(1, at(9)), "it may have had a later one");
    }

    #[test]
    fn a_new_customer_has_no_event_later_than_its_latest() {
        let mut latest = Latest::default();
        latest.begin(1);
        assert!(!latest.may_have(1, at(0)));
        latest.add(1, at(5));
        latest.add(1, at(3));
        assert!(latest.may_have(1, at(3)) && latest.may_have(1, at(5)));
        assert!(!latest.may_have(1, at(6)));
        assert!(latest.may_have(2, at(6)));
    }

    #[test]
    fn who_is_asked_for_stays_and_the_others_go() {
        let mut latest = Latest::default();
        latest.begin(0);
        latest.add(0, at(1));
        let many = 3 * u64::try_from(CUSTOMERS_MAX).unwrap();
        for customer in 1..many {
            latest.begin(customer);
            assert!(!latest.may_have(0, at(2)));
        }
        assert!(latest.may_have(1, at(2)), "it is forgotten");
        assert!(latest.young.len() <= CUSTOMERS_MAX && latest.old.len() <= CUSTOMERS_MAX);
    }
}
