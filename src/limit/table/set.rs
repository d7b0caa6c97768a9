//! The slots that a key may have its bucket in, and what is done to one of them.

use super::super::Quota;
use super::super::bucket::{self, Verdict};
use std::ptr;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// Slots of a set: the places where a key may have its bucket.
pub const WAYS: usize = 8;
/// The owner word of a slot without an owner.
pub(super) const NOBODY: u64 = 0;
/// In place of a TAT: one thread is claiming the slot for its key, and no other thread writes the owner.
pub(super) const CLAIMED: u64 = u64::MAX;
/// In place of a TAT: claimed, but the claim has lost against another of the same key.
pub(super) const LOST: u64 = u64::MAX - 1;

/// The places of the keys whose hashes begin alike: two cache lines.
#[repr(align(128))]
pub(super) struct Set(pub(super) [Slot; WAYS]);

pub(super) struct Slot {
    pub(super) tat: AtomicU64,
    pub(super) owner: AtomicU64,
}

/// One request to a bucket.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    /// The key's hash.
    pub(super) owner: u64,
    pub(super) now: u64,
    pub(super) quota: &'a Quota,
    pub(super) mode: Mode,
}

/// What is done to a bucket.
#[derive(Clone, Copy, Debug)]
pub(in crate::limit) enum Mode {
    /// Charge it, if it admits the request.
    Acquire,
    /// Only say what it would say.
    Peek,
    /// Charge it for a request that was admitted already, even if it has nothing left.
    Force,
}

/// What an owner finds in its set.
pub(super) enum Place<'a> {
    /// Its own slot, and the TAT read there.
    Own(&'a Slot, u64),
    /// A slot whose debt ended at this time.
    Free(&'a Slot, u64),
    /// Nothing free, but a claim is in flight.
    Soon,
    /// Live debt of others in every slot.
    Full,
}

impl Set {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Slot {
            tat: AtomicU64::new(0),
            owner: AtomicU64::new(NOBODY),
        }))
    }

    /// The slot that seems to be the owner's, to be confirmed. It is found without a branch that depends on memory: a
    /// mispredicted one would discard all speculative work.
    #[inline]
    pub(super) fn hint(&self, owner: u64) -> Option<&Slot> {
        let mut found = WAYS;
        for (index, slot) in self.0.iter().enumerate() {
            if slot.owner.load(Relaxed) == owner {
                found = index;
            }
        }
        self.0.get(found)
    }

    /// Where the owner is, or might be. Of the free slots, the one whose debt ended first, so that the latest forgotten
    /// end seldom changes.
    pub(super) fn place(&self, owner: u64, now: u64) -> Place<'_> {
        let mut oldest: Option<(&Slot, u64)> = None;
        let mut otherwise = Place::Full;
        for slot in &self.0 {
            // The TAT first, as in `confirm`.
            let tat = slot.tat.load(SeqCst);
            if tat >= LOST {
                otherwise = Place::Soon;
            } else if slot.owner.load(SeqCst) == owner {
                return Place::Own(slot, tat);
            } else if tat <= now && oldest.is_none_or(|(_, ended)| tat < ended) {
                oldest = Some((slot, tat));
            }
        }
        oldest.map_or(otherwise, |(slot, ended)| Place::Free(slot, ended))
    }

    pub(super) fn in_debt(&self, now: u64) -> usize {
        let tats = self.0.iter().map(|slot| slot.tat.load(Relaxed));
        tats.filter(|tat| *tat > now).count()
    }

    pub(super) fn others<'a>(&'a self, slot: &'a Slot) -> impl Iterator<Item = &'a Slot> {
        self.0.iter().filter(move |other| !ptr::eq(*other, slot))
    }
}

impl Request<'_> {
    /// The bucket's new word, which differs from `tat` if something was charged, and the answer.
    #[inline]
    pub(super) fn decide(self, tat: u64, quota: &Quota) -> (u64, Verdict) {
        match self.mode {
            Mode::Acquire => bucket::decide(tat, self.now, *quota),
            Mode::Peek => (tat, bucket::decide(tat, self.now, *quota).1),
            Mode::Force => {
                let (next, remaining) = bucket::charge_anyway(tat, self.now, *quota);
                (next, Verdict::Admitted(remaining))
            }
        }
    }
}

impl Slot {
    /// This slot as the owner's place. None: it is not, or no longer, or a claim is in flight.
    #[inline]
    pub(super) fn confirm(&self, owner: u64) -> Option<Place<'_>> {
        // The TAT first: it vouches for the owner if it is still the same when it is charged.
        let tat = self.tat.load(SeqCst);
        let confirmed = tat < LOST && self.owner.load(SeqCst) == owner;
        confirmed.then_some(Place::Own(self, tat))
    }

    /// Charges the bucket whose TAT was read as `tat`. None: it has changed.
    pub(super) fn charge(&self, tat: u64, request: Request<'_>) -> Option<Verdict> {
        let (next, verdict) = request.decide(tat, request.quota);
        let unchanged = match next == tat {
            // Nothing to write: refused callers do not contend for the cache line.
            true => self.tat.load(SeqCst) == tat,
            false => self.tat.compare_exchange(tat, next, SeqCst, SeqCst).is_ok(),
        };
        unchanged.then_some(verdict)
    }

    /// Whether this slot gives way to the calling claim of `owner`: it is not the owner's, or only by a claim, which
    /// has now lost.
    pub(super) fn yields_to(&self, owner: u64) -> bool {
        loop {
            let tat = self.tat.load(SeqCst);
            if tat == LOST || self.owner.load(SeqCst) != owner {
                return true;
            }
            if tat != CLAIMED {
                return false;
            }
            if self
                .tat
                .compare_exchange(CLAIMED, LOST, SeqCst, SeqCst)
                .is_ok()
            {
                return true;
            }
        }
    }
}
