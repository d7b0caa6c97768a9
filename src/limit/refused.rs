//! The addresses refused most: a sketch of fixed size, so that a flood of addresses costs no more memory than one.
//!
//! Each address falls on one of [`STRIPES`] stripes, so that threads that refuse seldom wait for each other. Each
//! stripe has two sketches: of the current window of [`WINDOW`] and of the one before. A summary covers both, so the
//! last one to two windows.
//!
//! A sketch is Space-Saving (Metwally, Agrawal, El Abbadi, 2005): [`COUNTERS`] counters, each with an address. An
//! address without a counter takes over the smallest one, with its count, which from then on is its possible error.
//!
//! # How exact it is
//!
//! As long as no more than [`COUNTERS`] addresses of a stripe are refused in a window, everything is exact. Beyond
//! that, with `n` refusals in the window's stripe:
//!
//! - no count is too small, and none is too large by more than `n` / [`COUNTERS`]; each count comes with its own bound;
//! - every address that was refused more often than that has a counter.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::address::AddressKey;

/// Addresses that one sketch counts: 64.
pub const COUNTERS: usize = 64;
/// Parts that share the addresses: 8, of about 8 KiB each.
pub const STRIPES: usize = 8;
/// How long a sketch counts: 5 minutes.
pub const WINDOW: Duration = Duration::from_mins(5);

/// Counts refusals by address.
#[derive(Debug)]
pub struct Refused {
    stripes: [Mutex<Stripe>; STRIPES],
    /// Keyed at random: no caller can choose addresses that crowd out one of its choice.
    hasher: RandomState,
}

/// A summary of the last one to two windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The time since which it counts.
    pub since: Duration,
    /// Refusals of all addresses, exactly.
    pub refused: u64,
    /// An address that is not in the list was refused at most so often.
    pub unlisted_max: u64,
    /// The addresses refused most, the most first.
    pub addresses: Vec<Offender>,
}

/// An address that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender {
    /// The address.
    pub address: AddressKey,
    /// How often at most.
    pub refused: u64,
    /// How often at least.
    pub refused_min: u64,
    /// The first known refusal.
    pub first: Duration,
    /// The last refusal.
    pub last: Duration,
}

#[derive(Debug, Default)]
struct Stripe {
    /// The number of the present window.
    window: u64,
    present: Sketch,
    before: Sketch,
}

#[derive(Debug, Default)]
struct Sketch {
    /// The first refusal takes the memory for all of them.
    counters: Vec<Offender>,
    refused: u64,
}

impl Refused {
    /// No refusals yet.
    pub fn new(hasher: RandomState) -> Self {
        Self {
            stripes: Default::default(),
            hasher,
        }
    }

    /// Counts a refusal. `now` is the time since one origin, the same in all calls.
    pub fn count(&self, address: AddressKey, now: Duration) {
        let hash = self.hasher.hash_one(address);
        let stripe = usize::try_from(hash % STRIPES as u64).unwrap_or_default();
        if let Some(stripe) = self.stripes.get(stripe) {
            let mut stripe = lock(stripe);
            stripe.turn(now);
            stripe.present.count(address, now);
        }
    }

    /// The `most` addresses refused most.
    pub fn summary(&self, most: usize, now: Duration) -> Summary {
        let mut refused = 0;
        let mut unlisted_max = 0;
        let mut addresses = Vec::new();
        for stripe in &self.stripes {
            let mut stripe = lock(stripe);
            stripe.turn(now);
            refused += stripe.present.refused + stripe.before.refused;
            unlisted_max =
                unlisted_max.max(stripe.present.absent_max() + stripe.before.absent_max());
            addresses.extend(stripe.merged());
        }
        let order = |one: &Offender| (std::cmp::Reverse(one.refused), one.address);
        addresses.sort_unstable_by_key(order);
        let unlisted = addresses.get(most).map_or(0, |first| first.refused);
        addresses.truncate(most);
        Summary {
            since: start(number(now).saturating_sub(1)),
            refused,
            unlisted_max: unlisted_max.max(unlisted),
            addresses,
        }
    }
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    // A panic elsewhere may lose one count.
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(now: Duration) -> u64 {
    now.as_secs() / WINDOW.as_secs()
}

fn start(window: u64) -> Duration {
    Duration::from_secs(window.saturating_mul(WINDOW.as_secs()))
}

impl Stripe {
    /// Begins a new window, if it is time. A late thread counts in the current one.
    fn turn(&mut self, now: Duration) {
        let window = number(now);
        if window <= self.window {
            return;
        }
        let before = std::mem::take(&mut self.present);
        self.before = match window - self.window {
            1 => before,
            _ => Sketch::default(),
        };
        self.window = window;
    }

    /// Both windows taken together. An address without a counter in one of them may have been refused there, uncounted.
    fn merged(&self) -> Vec<Offender> {
        let (present_max, before_max) = (self.present.absent_max(), self.before.absent_max());
        let mut merged: HashMap<AddressKey, Offender> = HashMap::new();
        for one in &self.present.counters {
            let refused = one.refused + before_max;
            merged.insert(one.address, Offender { refused, ..*one });
        }
        for one in &self.before.counters {
            let refused = one.refused + present_max;
            let both = |present: &mut Offender| {
                // Replaces what it may have had uncounted.
                present.refused = present.refused - before_max + one.refused;
                present.refused_min += one.refused_min;
                present.first = one.first;
            };
            merged
                .entry(one.address)
                .and_modify(both)
                .or_insert(Offender { refused, ..*one });
        }
        merged.into_values().collect()
    }
}

impl Sketch {
    fn count(&mut self, address: AddressKey, now: Duration) {
        self.refused += 1;
        let known = self.counters.iter_mut().find(|one| one.address == address);
        if let Some(known) = known {
            known.refused += 1;
            known.refused_min += 1;
            known.last = known.last.max(now);
            return;
        }
        let new = |unseen: u64| Offender {
            address,
            refused: unseen + 1,
            refused_min: 1,
            first: now,
            last: now,
        };
        if self.counters.len() < COUNTERS {
            self.counters.reserve_exact(COUNTERS - self.counters.len());
            self.counters.push(new(0));
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|one| one.refused) {
            *least = new(least.refused);
        }
    }

    /// The most that an address without a counter was refused.
    fn absent_max(&self) -> u64 {
        if self.counters.len() < COUNTERS {
            return 0;
        }
        let counts = self.counters.iter().map(|one| one.refused);
        counts.min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
