//! Buckets for any number of callers in memory that never grows.
//!
//! The rules, and why they hold, are in the essay of [`limit`](super).

mod set;

use super::Quota;
use super::bucket::{self, Refusal, Remaining, Verdict};
use crate::model::address::AddressKey;
use siphasher::sip::SipHasher13;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

pub(super) use set::Mode;
pub use set::WAYS;
use set::{CLAIMED, NOBODY, Place, Request, Set, Slot};

/// Slots for which there is one overflow bucket.
pub const SLOTS_PER_OVERFLOW: usize = 256;
/// Callers' quotas that an overflow bucket holds.
pub const OVERFLOW_SHARE: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// Looks at a set that is full except for a claim in flight, before it counts as full.
const PATIENCE: u32 = 64;

/// Most sets that are read to estimate how many slots are in debt.
const SETS_SAMPLED: usize = 8_192;

/// The outcome of a request, and the kind of bucket that it was charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The answer.
    pub verdict: Verdict,
    /// The caller's set was full of debt, so its prefix' overflow bucket was charged. The verdict then says what the
    /// caller may still take from that one, in terms of its own quota.
    pub overflowed: bool,
}

/// A bucket for each key in debt, in a fixed number of slots.
pub struct Table {
    sets: Box<[Set]>,
    overflow: Box<[AtomicU64]>,
    /// No forgotten debt ended later than this.
    forgotten: AtomicU64,
    hasher: SipHasher13,
}

/// Where a key has its bucket under a quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotRef<'a> {
    pub(super) key: AddressKey,
    quota: &'a Quota,
    /// The key's hash.
    owner: u64,
}

impl Table {
    /// A table of `slots` slots, rounded up to whole sets of [`WAYS`], at 16 bytes each.
    ///
    /// `hash_key` decides which keys share a set. Draw it at random for each process, or callers can choose addresses
    /// that crowd out another.
    #[must_use]
    pub fn new(slots: NonZeroUsize, hash_key: [u64; 2]) -> Self {
        let [first, second] = hash_key;
        Self {
            sets: (0..slots.get().div_ceil(WAYS))
                .map(|_| Set::new())
                .collect(),
            overflow: (0..slots.get().div_ceil(SLOTS_PER_OVERFLOW))
                .map(|_| AtomicU64::new(0))
                .collect(),
            forgotten: AtomicU64::new(0),
            hasher: SipHasher13::new_with_keys(first, second),
        }
    }

    /// Charges one request of `key` at `now` under `quota`.
    ///
    /// A key is held to its quota exactly, as long as its set has a free slot, in whatever order threads come with
    /// their `now`.
    ///
    /// In a wider network, callers with another quota have another bucket: the debt of a slow quota would shut out the
    /// callers of a fast one.
    #[inline]
    pub fn check(&self, key: AddressKey, now: Duration, quota: Quota) -> Charge {
        self.ask(&self.slot(key, &quota), now, Mode::Acquire)
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// How many slots are in debt at `now`: counted, or estimated from 8,192 sets of a larger table (65,536 slots, so
    /// that 1 % of it is estimated to within a tenth).
    #[must_use]
    pub fn in_debt(&self, now: Duration) -> usize {
        let now = bucket::nanos(now);
        // Keys fall on sets at random, so any sets will do.
        let every = self.sets.len().div_ceil(SETS_SAMPLED);
        let (mut sampled, mut in_debt) = (0, 0);
        for set in self.sets.iter().step_by(every) {
            sampled += 1;
            in_debt += set.in_debt(now);
        }
        in_debt * self.sets.len() / sampled
    }

    /// The bucket of `key` under `quota`. Prefetches its set, so that the waits for several buckets overlap.
    #[inline]
    pub(super) fn slot<'a>(&self, key: AddressKey, quota: &'a Quota) -> SlotRef<'a> {
        let owner = match key {
            AddressKey::V6Wide(..) => self.hash_with(word(key), quota),
            AddressKey::V4(_) | AddressKey::V6(_) | AddressKey::Unix => self.hash(word(key)),
        };
        let owner = owner.max(NOBODY + 1);
        let Set([first, .., last]) = pick(&self.sets, owner);
        let _ = (first.owner.load(Relaxed), last.owner.load(Relaxed));
        SlotRef { key, quota, owner }
    }

    /// As [`Table::slot`], for a bucket that a key has about one thing only, and under one quota only.
    pub(super) fn slot_about<'a>(
        &self,
        key: AddressKey,
        about: u64,
        quota: &'a Quota,
    ) -> SlotRef<'a> {
        let word = self.hash(word(key)) ^ about;
        let owner = self.hash_with(word, quota).max(NOBODY + 1);
        SlotRef { key, quota, owner }
    }

    /// As [`Table::check`]; or only says what that would answer, or charges in any case.
    #[inline]
    pub(super) fn ask(&self, slot: &SlotRef<'_>, now: Duration, mode: Mode) -> Charge {
        let request = Request {
            owner: slot.owner,
            now: bucket::nanos(now),
            quota: slot.quota,
            mode,
        };
        match self.charge(pick(&self.sets, slot.owner), request) {
            Some(verdict) => Charge {
                verdict,
                overflowed: false,
            },
            None => Charge {
                verdict: self.charge_overflow(slot.key, request),
                overflowed: true,
            },
        }
    }

    /// Charges the owner's slot, or one that is free. None: no slot is free.
    #[inline]
    fn charge(&self, set: &Set, request: Request<'_>) -> Option<Verdict> {
        let mut patience = PATIENCE;
        loop {
            let hint = set.hint(request.owner);
            let own = hint.and_then(|slot| slot.confirm(request.owner));
            let charged = match own.unwrap_or_else(|| set.place(request.owner, request.now)) {
                Place::Own(slot, tat) => slot.charge(tat, request),
                Place::Free(..) if matches!(request.mode, Mode::Peek) => {
                    let (_, verdict) = request.decide(self.start(request), request.quota);
                    Some(verdict)
                }
                Place::Free(slot, ended) => self.claim(set, slot, ended, request),
                Place::Soon if patience > 0 => {
                    patience -= 1;
                    std::hint::spin_loop();
                    None
                }
                Place::Soon | Place::Full => return None,
            };
            if charged.is_some() {
                return charged;
            }
        }
    }

    /// Makes a free slot the owner's and charges it. None: another thread came between; look again.
    fn claim(&self, set: &Set, slot: &Slot, ended: u64, request: Request<'_>) -> Option<Verdict> {
        // Before the old debt is removed, so that a thread that misses it finds the mark.
        if self.forgotten.load(SeqCst) < ended {
            self.forgotten.fetch_max(ended, SeqCst);
        }
        slot.tat
            .compare_exchange(ended, CLAIMED, SeqCst, SeqCst)
            .ok()?;
        slot.owner.store(request.owner, SeqCst);
        // A TAT that was once here must not come back under another owner.
        let least = ended + 1;

        if set.others(slot).all(|other| other.yields_to(request.owner)) {
            let (next, verdict) = request.decide(self.start(request), request.quota);
            let settled = next.max(least);
            if slot
                .tat
                .compare_exchange(CLAIMED, settled, SeqCst, SeqCst)
                .is_ok()
            {
                return Some(verdict);
            }
        }
        slot.owner.store(NOBODY, SeqCst);
        slot.tat.store(least, SeqCst);
        None
    }

    /// The TAT of a key that has no slot: the latest that it can have been before it was forgotten.
    fn start(&self, request: Request<'_>) -> u64 {
        request.now.max(self.forgotten.load(SeqCst))
    }

    #[inline]
    fn hash(&self, word: u64) -> u64 {
        self.hasher.hash(&word.to_le_bytes())
    }

    /// The hash of a bucket that is shared by all callers of one quota.
    fn hash_with(&self, word: u64, quota: &Quota) -> u64 {
        let mut bytes = [0; 24];
        let words = [word, quota.interval(), quota.capacity()];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.hasher.hash(&bytes)
    }

    fn charge_overflow(&self, key: AddressKey, request: Request<'_>) -> Verdict {
        let quota = request.quota;
        // By quota too, as a slow one's debt would shut out the callers of a fast one.
        let hash = self.hash_with(prefix_word(key), quota);
        let word = pick(&self.overflow, hash);
        let shared = quota.shared_by(OVERFLOW_SHARE);
        let mut tat = word.load(SeqCst);
        loop {
            let (next, verdict) = request.decide(tat, &shared);
            if next == tat {
                return in_terms_of(*quota, verdict);
            }
            match word.compare_exchange_weak(tat, next, SeqCst, SeqCst) {
                Ok(_) => return in_terms_of(*quota, verdict),
                Err(current) => tat = current,
            }
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("sets", &self.sets.len())
            .finish_non_exhaustive()
    }
}

/// A key as one word: an IPv6 network as it is (a wider one with its length in the bits that it leaves free), the
/// others as multicast, which is never a source address.
#[inline]
fn word(key: AddressKey) -> u64 {
    match key {
        AddressKey::V6(network) => network,
        AddressKey::V6Wide(network, width) => network | u64::from(width.prefix_len()),
        AddressKey::V4(ip) => 0xffff_ffff_0000_0000 | u64::from(ip.to_bits()),
        AddressKey::Unix => 0xffff_fffe_0000_0000,
    }
}

/// The prefix whose newcomers share an overflow bucket: IPv4 /16 or IPv6 /32.
fn prefix_word(key: AddressKey) -> u64 {
    match key {
        AddressKey::V6(network) => network >> 32 << 32,
        AddressKey::V6Wide(network, width) => network >> 32 << 32 | u64::from(width.prefix_len()),
        AddressKey::V4(_) | AddressKey::Unix => word(key) >> 16 << 16,
    }
}

/// The item that `hash` falls on. No slice here is empty: each is made from a count that is not zero.
#[expect(
    clippy::indexing_slicing,
    reason = "hash / 2^64 is less than one, so the product is less than the length"
)]
#[inline]
fn pick<T>(items: &[T], hash: u64) -> &T {
    let index = (u128::from(hash) * items.len() as u128) >> u64::BITS;
    &items[usize::try_from(index).unwrap_or(0)]
}

/// A shared bucket's verdict, for one caller that is held to `quota` elsewhere.
fn in_terms_of(quota: Quota, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Admitted(remaining) => Verdict::Admitted(Remaining {
            quota,
            remaining: remaining.remaining.min(quota.burst().get() - 1),
            ..remaining
        }),
        Verdict::Refused(refusal) => Verdict::Refused(Refusal { quota, ..refusal }),
    }
}

#[cfg(test)]
mod tests;
