//! How much each address has at once of what lasts: connections, calls under way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::address::AddressKey;

/// Counts what each address has, and gives it no more than so much.
///
/// There is an entry for each address that has something and for no other, so that whatever bounds all of it bounds the map too.
#[derive(Debug)]
pub struct Shares {
    each_max: NonZeroUsize,
    taken: Mutex<HashMap<AddressKey, NonZeroUsize>>,
}

/// One of what an address has, until it is dropped.
#[derive(Debug)]
pub struct Share {
    of: Arc<Shares>,
    key: AddressKey,
}

impl Shares {
    /// Gives each address up to `each_max` at once.
    pub fn new(each_max: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self {
            each_max,
            taken: Mutex::default(),
        })
    }

    /// One more for an address; none: it has all that it may have.
    pub fn take(self: &Arc<Self>, key: AddressKey) -> Option<Share> {
        self.with(|taken| match taken.entry(key) {
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
        .then(|| Share {
            of: self.clone(),
            key,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<AddressKey, NonZeroUsize>) -> T) -> T {
        // Nothing in here panics half way.
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.with(|taken| {
            if let Entry::Occupied(mut occupied) = taken.entry(self.key) {
                match NonZeroUsize::new(occupied.get().get() - 1) {
                    Some(left) => *occupied.get_mut() = left,
                    None => drop(occupied.remove()),
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: u8) -> AddressKey {
        AddressKey::V4([203, 0, 113, host].into())
    }

    #[test]
    fn an_address_has_so_much_at_once_and_others_have_theirs() {
        let shares = Shares::new(NonZeroUsize::new(2).unwrap());
        let (first, second) = (shares.take(of(1)), shares.take(of(1)));
        assert!(first.is_some() && second.is_some());
        assert!(shares.take(of(1)).is_none());
        let other = shares.take(of(2));
        assert!(other.is_some());
        drop(first);
        assert!(shares.take(of(1)).is_some());
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_has_nothing() {
        let shares = Shares::new(NonZeroUsize::MIN);
        for host in 0..=255 {
            let share = shares.take(of(host));
            assert!(share.is_some() && shares.take(of(host)).is_none());
        }
        assert_eq!(shares.with(|taken| taken.len()), 0);
    }
}
