//! When properties were updated last, as far as the fold knows without reading the store.
//!
//! An update counts only if it is later than the one before. Only the fold writes that table, so what it remembers is
//! what the store has.

use std::hash::Hasher as _;

use super::digest::{Digest, Digester};
use super::slots::Slots;

/// The last updates that are known.
#[derive(Debug)]
pub(super) struct Updates {
    digester: Digester,
    slots: Slots<2>,
}

impl Updates {
    /// With slots of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            digester: Digester::default(),
            slots: Slots::new(bytes),
        }
    }

    fn digest(&self, customer: u64, name: &str) -> Digest {
        self.digester.digest(|hasher| {
            hasher.write(&customer.to_be_bytes());
            hasher.write(name.as_bytes());
        })
    }

    /// Time in microseconds and position of the last update of a customer's property, if they are known.
    pub(super) fn get(&mut self, customer: u64, name: &str) -> Option<(i64, u64)> {
        let [_, _, time, position] = self.slots.get(self.digest(customer, name))?;
        Some((time.cast_signed(), *position))
    }

    pub(super) fn put(&mut self, customer: u64, name: &str, (time, position): (i64, u64)) {
        let [high, low] = self.digest(customer, name);
        self.slots.put([high, low, time.cast_unsigned(), position]);
    }

    pub(super) fn remove(&mut self, customer: u64, name: &str) {
        self.slots.remove(self.digest(customer, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_known_of_one_customer_and_one_property_until_that_is_removed() {
        let mut updates = Updates::new(1 << 10);
        updates.put(1, "a", (-5, 7));
        assert_eq!(updates.get(1, "a"), Some((-5, 7)));
        assert_eq!(updates.get(1, "b"), None);
        assert_eq!(updates.get(2, "a"), None);
        updates.put(1, "a", (3, 8));
        assert_eq!(updates.get(1, "a"), Some((3, 8)));
        updates.remove(1, "a");
        assert_eq!(updates.get(1, "a"), None);
    }
}
