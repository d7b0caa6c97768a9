//! The quotas of one project's callers: of all together, and by key.
//!
//! They apply beside the quota by address, and are also GCRA on one word for each bucket. There are as many buckets as
//! the settings name, so no table is needed. A lock around each is held for an addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::{self, Verdict};
use super::{Quota, Refusal, Remaining};

/// The quotas of a project and of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// All callers of the project together. Default: no limit.
    pub project: Option<Quota>,
    /// The callers of each key, in the order of the project's keys. Default: no limit.
    pub keys: Vec<Option<Quota>>,
    /// Count what would be refused, but admit it. Default false.
    pub shadow: bool,
}

/// The buckets of a project and of its keys.
#[derive(Debug, Default)]
pub struct Account {
    project: Option<Bucket>,
    keys: Vec<Option<Bucket>>,
    shadow: bool,
}

#[derive(Clone, Debug)]
struct Bucket {
    quota: Quota,
    /// Shared with the account that came before this one, so that no charge is lost while one replaces the other.
    tat: Arc<Mutex<u64>>,
}

/// The outcome of one request: an answer for each quota that applies to it. If one of them refuses, none was charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// By the project's quota.
    pub project: Option<Verdict>,
    /// By the key's quota.
    pub key: Option<Verdict>,
}

/// Decisions since the start, of requests to which such a quota applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountCounts {
    /// Within all quotas.
    pub admitted: u64,
    /// Beyond one of them, and refused.
    pub refused: u64,
    /// Beyond one of them, but admitted.
    pub shadowed: u64,
}

/// Counts the decisions of all accounts.
#[derive(Debug, Default)]
pub struct AccountCounters {
    admitted: AtomicU64,
    refused: AtomicU64,
    shadowed: AtomicU64,
}

impl Account {
    /// An account that owes nothing.
    pub fn new(quotas: &Quotas) -> Self {
        Self {
            project: quotas.project.map(Bucket::new),
            keys: quotas.keys.iter().map(|key| key.map(Bucket::new)).collect(),
            shadow: quotas.shadow,
        }
    }

    /// Takes over the debts of `before`. `place_before` gives the place that a key had there.
    pub fn succeed(&mut self, before: &Self, place_before: impl Fn(usize) -> Option<usize>) {
        let owe_as = |bucket: &mut Option<Bucket>, before: Option<&Bucket>| {
            if let (Some(bucket), Some(before)) = (bucket, before) {
                bucket.tat = before.tat.clone();
            }
        };
        owe_as(&mut self.project, before.project.as_ref());
        for (place, bucket) in self.keys.iter_mut().enumerate() {
            let before = place_before(place).and_then(|place| before.keys.get(place)?.as_ref());
            owe_as(bucket, before);
        }
    }

    /// Pays for what is owed as if so much time had passed.
    pub fn advance(&self, by: Duration) {
        let by = bucket::nanos(by);
        for bucket in self.keys.iter().flatten().chain(&self.project) {
            let mut tat = bucket.tat.lock().unwrap_or_else(PoisonError::into_inner);
            *tat = tat.saturating_sub(by);
        }
    }

    /// Whether there is no quota.
    pub fn is_unlimited(&self) -> bool {
        self.project.is_none() && self.keys.iter().all(Option::is_none)
    }

    /// What is left of each quota at `now`: the project's, and those of keys by their places.
    pub fn left(&self, now: Duration) -> Vec<(Option<usize>, Quota, u32)> {
        let now = bucket::nanos(now);
        let left = |place, bucket: &Option<Bucket>| {
            let bucket = bucket.as_ref()?;
            let trial = Trial::of(bucket, now);
            let left = match trial.verdict {
                // It counts one more request, which is not charged.
                Verdict::Admitted(remaining) => remaining.remaining.saturating_add(1),
                Verdict::Refused(_) => 0,
            };
            Some((place, bucket.quota, left))
        };
        let keys = self.keys.iter().enumerate();
        let keys = keys.filter_map(|(place, bucket)| left(Some(place), bucket));
        left(None, &self.project).into_iter().chain(keys).collect()
    }

    /// Charges one request of the key at `place`. `now` is the time since one origin, the same in all calls.
    ///
    /// In shadow mode no answer is a refusal: a quota that is spent gives none.
    pub fn charge(&self, place: usize, now: Duration, counters: &AccountCounters) -> Charged {
        let now = bucket::nanos(now);
        let key = self.keys.get(place).and_then(Option::as_ref);
        // Always the key's lock first, so that no two requests deadlock.
        let key = key.map(|bucket| Trial::of(bucket, now));
        let project = self.project.as_ref().map(|bucket| Trial::of(bucket, now));
        let trials = || key.iter().chain(&project);
        if trials().next().is_none() {
            return Charged::default();
        }
        let refused = trials().any(Trial::is_refused);
        match (refused, self.shadow) {
            (false, _) => &counters.admitted,
            (true, false) => &counters.refused,
            (true, true) => &counters.shadowed,
        }
        .fetch_add(1, Relaxed);
        let (charges, shadow) = (!refused || self.shadow, self.shadow);
        let end = |trial: Option<Trial<'_>>| trial.and_then(|trial| trial.end(charges, shadow));
        Charged {
            key: end(key),
            project: end(project),
        }
    }
}

impl Bucket {
    fn new(quota: Quota) -> Self {
        Self {
            quota,
            tat: Arc::default(),
        }
    }
}

/// A bucket under lock, and what it would answer.
struct Trial<'a> {
    tat: MutexGuard<'a, u64>,
    now: u64,
    next: u64,
    verdict: Verdict,
}

impl<'a> Trial<'a> {
    fn of(bucket: &'a Bucket, now: u64) -> Self {
        // A panic elsewhere leaves a plain number, which is still valid.
        let tat = bucket.tat.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, verdict) = bucket::decide(*tat, now, bucket.quota);
        Self {
            tat,
            now,
            next,
            verdict,
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self.verdict, Verdict::Refused(_))
    }

    /// Charges the bucket, or leaves it unchanged and gives its state.
    fn end(mut self, charges: bool, shadow: bool) -> Option<Verdict> {
        match self.verdict {
            Verdict::Refused(_) if shadow => None,
            Verdict::Refused(refusal) => Some(Verdict::Refused(refusal)),
            Verdict::Admitted(remaining) if charges => {
                *self.tat = self.next;
                Some(Verdict::Admitted(remaining))
            }
            // Another quota refuses: this one keeps what the request would have cost.
            Verdict::Admitted(remaining) => Some(Verdict::Admitted(Remaining {
                remaining: remaining.remaining.saturating_add(1),
                reset: Duration::from_nanos(self.tat.saturating_sub(self.now)),
                ..remaining
            })),
        }
    }
}

impl Charged {
    /// The refusals among the answers.
    pub fn refusals(&self) -> impl Iterator<Item = Refusal> {
        [self.project, self.key]
            .into_iter()
            .filter_map(|verdict| match verdict? {
                Verdict::Refused(refusal) => Some(refusal),
                Verdict::Admitted(_) => None,
            })
    }
}

impl AccountCounters {
    /// The decisions so far.
    pub fn counts(&self) -> AccountCounts {
        AccountCounts {
            admitted: self.admitted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            shadowed: self.shadowed.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
