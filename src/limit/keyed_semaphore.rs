//! How many lasting things each address or key has at once: connections, calls in flight, streams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what each holder has, and gives it no more than a maximum.
///
/// Only holders that have something have an entry, so whatever bounds the total bounds the map too.
#[derive(Debug)]
pub struct KeyedSemaphore<K: Eq + Hash> {
    each_max: NonZeroUsize,
    taken: Mutex<HashMap<K, NonZeroUsize>>,
}

/// One permit of a holder, until it is dropped.
#[derive(Debug)]
pub struct KeyedPermit<K: Eq + Hash> {
    of: Arc<KeyedSemaphore<K>>,
    key: K,
}

impl<K: Clone + Eq + Hash> KeyedSemaphore<K> {
    /// Gives each holder up to `each_max` at once.
    pub fn new(each_max: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self {
            each_max,
            taken: Mutex::default(),
        })
    }

    /// One more permit for a holder; none if it has all that it may have.
    pub fn take(self: &Arc<Self>, key: K) -> Option<KeyedPermit<K>> {
        self.with(|taken| match taken.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(NonZeroUsize::MIN);
                true
            }
            Entry::Occupied(mut occupied) => {
                let has_room = *occupied.get() < self.each_max;
                if has_room {
                    *occupied.get_mut() = occupied.get().saturating_add(1);
                }
                has_room
            }
        })
        .then(|| KeyedPermit {
            of: self.clone(),
            key,
        })
    }
}

impl<K: Eq + Hash> KeyedSemaphore<K> {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<K, NonZeroUsize>) -> T) -> T {
        // Nothing in here panics in between.
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        self.of.with(|taken| {
            let Some(has) = taken.get_mut(&self.key) else {
                return;
            };
            match NonZeroUsize::new(has.get() - 1) {
                Some(left) => *has = left,
                None => drop(taken.remove(&self.key)),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::AddressKey;

    fn of(host: u8) -> AddressKey {
        AddressKey::V4([203, 0, 113, host].into())
    }

    #[test]
    fn an_address_has_so_much_at_once_and_others_have_theirs() {
        let semaphore = KeyedSemaphore::new(NonZeroUsize::new(2).unwrap());
        let (first, second) = (semaphore.take(of(1)), semaphore.take(of(1)));
        assert!(first.is_some() && second.is_some());
        assert!(semaphore.take(of(1)).is_none());
        let other = semaphore.take(of(2));
        assert!(other.is_some());
        drop(first);
        assert!(semaphore.take(of(1)).is_some());
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_has_nothing() {
        let semaphore = KeyedSemaphore::new(NonZeroUsize::MIN);
        for host in 0..=255 {
            let permit = semaphore.take(of(host));
            assert!(permit.is_some() && semaphore.take(of(host)).is_none());
        }
        assert_eq!(semaphore.with(|taken| taken.len()), 0);
    }
}
