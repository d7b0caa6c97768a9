//! Until when the events of customers go, as far as the fold has seen that since it began.
//!
//! Most events are later than all others of their customer, so that none of those can be the same one: the engine need
//! not be asked.

use quick_cache::UnitWeighter;
use quick_cache::unsync;

use super::cache;
use super::hash::Seeded;
use crate::model::time::Timestamp;

/// Most customers of which this is kept, at some 80 bytes each. In tests so few that customers go.
const CUSTOMERS_MAX: u64 = if cfg!(test) { 4 } else { 400_000 };

/// The latest event of each customer that was created not long ago, or had another event; none without any.
#[derive(Debug)]
pub(super) struct Latest(unsync::Cache<u64, Option<Timestamp>, UnitWeighter, Seeded>);

impl Default for Latest {
    fn default() -> Self {
        Self(cache::kept(CUSTOMERS_MAX, 1, UnitWeighter))
    }
}

impl Latest {
    /// A customer begins, without events.
    pub(super) fn begin(&mut self, customer: u64) {
        self.0.insert(customer, None);
    }

    /// A customer has an event more.
    pub(super) fn add(&mut self, customer: u64, time: Timestamp) {
        // Of whom nothing is known, earlier events may be later than this one.
        if let Some(mut latest) = self.0.get_mut(&customer) {
            *latest = (*latest).max(Some(time));
        }
    }

    /// A customer has the events of another one too.
    pub(super) fn merge(&mut self, customer: u64, merged: u64) {
        let known = self.0.remove(&merged).map(|(_, latest)| latest);
        match (known, self.0.get(&customer).copied()) {
            (Some(merged), Some(latest)) => self.0.insert(customer, latest.max(merged)),
            (None, _) | (_, None) => drop(self.0.remove(&customer)),
        }
    }

    /// Whether a customer may have an event at this time.
    pub(super) fn may_have(&mut self, customer: u64, time: Timestamp) -> bool {
        let latest = self.0.get(&customer);
        latest.is_none_or(|latest| Some(time) <= *latest)
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
    fn customers_that_merge_have_the_later_of_their_latest_events_if_both_are_known() {
        let mut latest = Latest::default();
        latest.begin(1);
        latest.begin(2);
        latest.add(2, at(5));
        latest.merge(1, 2);
        assert!(latest.may_have(1, at(5)) && !latest.may_have(1, at(6)));
        latest.merge(1, 3);
        assert!(latest.may_have(1, at(6)));
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
}
