//! How many bytes the bodies and messages of callers may take at once: in all, of an address, of a key.
//!
//! Bytes are taken as they arrive, and given back when they are dropped, however a call ends: a [`Meter`] gives back
//! all that it holds when its last clone is dropped. The first [`FREE_BYTES`] of a call are not counted. They come with
//! its place among the calls in flight, so a small call needs neither the budget nor its lock, and is served however
//! full the budget is.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::holder::{Holder, KeyHolder};
use crate::model::address::AddressKey;
use crate::model::project::{Key, Project};

/// What each call has beside the budget.
pub const FREE_BYTES: usize = 4 * 1024;
/// What bytes are rounded up to.
const STEP_BYTES: usize = 16 * 1024;

/// The limits of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetOptions {
    /// Bytes in all.
    pub all_max: NonZeroUsize,
    /// Bytes of an address (IPv6: of a /64).
    pub address_max: NonZeroUsize,
    /// Bytes of a key.
    pub key_max: NonZeroUsize,
}

/// The budget. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: BudgetOptions,
    taken: Mutex<Taken>,
}

/// Only addresses and keys that hold something have an entry, so the budget bounds the maps too.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<AddressKey, usize>,
    by_key: HashMap<KeyHolder, usize>,
}

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// All of them are taken.
    All,
    /// The address has all that it may have.
    Address,
    /// The key has all that it may have.
    Key,
    /// The call alone would have more than it ever may, in bytes.
    Never(usize),
}

/// What one call holds. Clones hold it together; the last one gives it back.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Held>);

#[derive(Debug)]
struct Held {
    budget: Budget,
    /// None: a proxy, which calls for many.
    address: Option<AddressKey>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The caller's key, once that is known.
    caller: Option<(Arc<Project>, Arc<Key>)>,
    bytes: usize,
    /// The bytes that the budget counts.
    charged: usize,
    /// The key that is charged with it.
    key: Option<KeyHolder>,
}

impl Budget {
    /// A budget with nothing taken.
    pub fn new(options: BudgetOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            taken: Mutex::default(),
        }))
    }

    /// The meter of a call that holds nothing yet. `address`: none for a proxy, which calls for many.
    pub fn meter(&self, address: Option<AddressKey>) -> Meter {
        Meter(Arc::new(Held {
            budget: self.clone(),
            address,
            state: Mutex::default(),
        }))
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    fn take(
        &self,
        address: Option<AddressKey>,
        key: Option<&KeyHolder>,
        bytes: usize,
    ) -> Result<(), Spent> {
        let BudgetOptions {
            all_max,
            address_max,
            key_max,
        } = self.0.options;
        let mut taken = self.lock();
        let has_room = |taken: usize, max: NonZeroUsize| max.get().saturating_sub(taken) >= bytes;
        if !has_room(taken.all, all_max) {
            return Err(Spent::All);
        }
        let of_address = address.and_then(|address| taken.by_address.get(&address));
        if address.is_some() && !has_room(of_address.copied().unwrap_or(0), address_max) {
            return Err(Spent::Address);
        }
        let of_key = key.and_then(|key| taken.by_key.get(key));
        if key.is_some() && !has_room(of_key.copied().unwrap_or(0), key_max) {
            return Err(Spent::Key);
        }
        taken.all += bytes;
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += bytes;
        }
        if let Some(key) = key {
            match taken.by_key.get_mut(key) {
                Some(of_key) => *of_key += bytes,
                None => drop(taken.by_key.insert(key.clone(), bytes)),
            }
        }
        Ok(())
    }

    fn give(&self, address: Option<AddressKey>, key: Option<&KeyHolder>, bytes: usize) {
        let mut taken = self.lock();
        taken.all = taken.all.saturating_sub(bytes);
        if let Some(address) = address {
            lessen(&mut taken.by_address, &address, bytes);
        }
        if let Some(key) = key {
            lessen(&mut taken.by_key, key, bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing in here panics in between.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lessen<K: Hash + Eq>(taken: &mut HashMap<K, usize>, holder: &K, bytes: usize) {
    if let Some(of_holder) = taken.get_mut(holder) {
        *of_holder = of_holder.saturating_sub(bytes);
        if *of_holder == 0 {
            taken.remove(holder);
        }
    }
}

impl BudgetOptions {
    /// The most that one call can have: of an address, of a key, or of neither.
    fn call_max(&self, has_address: bool, has_key: bool) -> usize {
        let shares = [(has_address, self.address_max), (has_key, self.key_max)];
        let shares = shares.into_iter().filter(|(has, _)| *has);
        let least = shares
            .map(|(_, max)| max)
            .fold(self.all_max, NonZeroUsize::min);
        least.get()
    }
}

/// What the budget counts of a call that holds so much.
fn counted(bytes: usize) -> usize {
    match bytes {
        0..=FREE_BYTES => 0,
        _ => bytes.checked_next_multiple_of(STEP_BYTES).unwrap_or(bytes),
    }
}

impl Meter {
    /// The meter of a call that came through no layer: nothing beyond [`FREE_BYTES`].
    pub fn none() -> Self {
        let none = NonZeroUsize::MIN;
        let budget = Budget::new(BudgetOptions {
            all_max: none,
            address_max: none,
            key_max: none,
        });
        budget.meter(None)
    }

    /// Sets the call's key. What is taken from then on counts for the key too.
    pub fn of_key(&self, project: Arc<Project>, key: Arc<Key>) {
        self.lock().caller = Some((project, key));
    }

    /// The holder: the key, once that is known.
    pub fn holder(&self) -> Holder {
        match (&self.lock().caller, self.0.address) {
            (Some((project, key)), _) => Holder::Key(KeyHolder::new(&project.token, key)),
            (None, Some(address)) => Holder::Address(address),
            (None, None) => Holder::Proxy,
        }
    }

    /// Takes more bytes.
    ///
    /// # Errors
    /// [`Spent`]: it holds what it held before.
    pub fn take(&self, bytes: usize) -> Result<(), Spent> {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(bytes);
        self.0.hold(&mut state, bytes)
    }

    /// Gives back some of the bytes.
    pub fn give(&self, bytes: usize) {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_sub(bytes);
        // Holding less always succeeds.
        let _ = self.0.hold(&mut state, bytes);
    }

    /// Gives back what exceeds so many bytes. Returns whether the budget counts any of the rest.
    pub fn keep(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        let bytes = state.bytes.min(bytes);
        // Holding less always succeeds.
        let _ = self.0.hold(&mut state, bytes);
        state.charged > 0
    }

    /// Holds so many bytes from now on, whether more or less.
    ///
    /// # Errors
    /// [`Spent`]: it holds what it held before.
    pub fn hold(&self, bytes: usize) -> Result<(), Spent> {
        let mut state = self.lock();
        self.0.hold(&mut state, bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics in between.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn hold(&self, state: &mut State, bytes: usize) -> Result<(), Spent> {
        let wanted = counted(bytes);
        if let Some(less) = state.charged.checked_sub(wanted) {
            if less > 0 {
                self.budget.give(self.address, state.key.as_ref(), less);
            }
        } else {
            if state.charged == 0 {
                let caller = state.caller.as_ref();
                state.key = caller.map(|(project, key)| KeyHolder::new(&project.token, key));
            }
            let options = self.budget.0.options;
            let call_max = options.call_max(self.address.is_some(), state.key.is_some());
            if wanted > call_max {
                return Err(Spent::Never(call_max));
            }
            let more = wanted - state.charged;
            self.budget.take(self.address, state.key.as_ref(), more)?;
        }
        state.charged = wanted;
        state.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.charged > 0 {
            self.budget
                .give(self.address, state.key.as_ref(), state.charged);
        }
    }
}

#[cfg(test)]
mod tests;
