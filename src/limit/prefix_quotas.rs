//! The buckets that one caller is charged to: its own, and those of the wider networks it is in.

use super::table::{Charge, Mode, SlotRef, Table};
use super::{Quota, Refusal, Verdict};
use crate::model::address::{AddressKey, Width};
use std::num::NonZeroU32;
use std::time::Duration;

/// How many callers' quotas the wider networks of an IPv6 address have. None: no limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixMultipliers {
    /// All /64s of a /56 together. Default 16.
    pub prefix_56: Option<NonZeroU32>,
    /// All /64s of a /48 together. Default 64.
    pub prefix_48: Option<NonZeroU32>,
}

/// One quota, with those of the wider networks whose callers have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefixQuotas {
    quota: Quota,
    wider: [Option<(Width, Quota)>; 2],
}

/// The buckets of one caller: its own, and those of the wider networks, the narrowest first.
struct BucketChain<'a> {
    own: SlotRef<'a>,
    wider: [Option<SlotRef<'a>>; 2],
}

/// The outcome of a request, and the bucket that decided it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// For a refusal, the bucket with the longest wait; otherwise the one with the least left.
    pub(super) by: AddressKey,
    pub(super) verdict: Verdict,
    /// Whether one of the charged buckets, or the one that refused, was an overflow bucket.
    pub(super) overflowed: bool,
}

impl Default for PrefixMultipliers {
    fn default() -> Self {
        Self {
            prefix_56: NonZeroU32::new(16),
            prefix_48: NonZeroU32::new(64),
        }
    }
}

impl PrefixQuotas {
    pub(super) fn new(quota: Quota, multipliers: PrefixMultipliers) -> Self {
        let wider_quota = |width, times: Option<NonZeroU32>| Some((width, quota.shared_by(times?)));
        Self {
            quota,
            wider: [
                wider_quota(Width::Prefix56, multipliers.prefix_56),
                wider_quota(Width::Prefix48, multipliers.prefix_48),
            ],
        }
    }

    /// Charges one request of `key` to all of its buckets, or to none.
    ///
    /// The essay of [`limit`](super) says why it looks first, and the effect with several threads.
    #[inline]
    pub(super) fn charge(&self, table: &Table, key: AddressKey, now: Duration) -> Outcome {
        match key {
            AddressKey::V6(_) => self.chain(table, key).charge(table, now),
            AddressKey::V4(_) | AddressKey::V6Wide(..) | AddressKey::Unix => {
                let slot = table.slot(key, &self.quota);
                Outcome::of(&slot, table.ask(&slot, now, Mode::Acquire))
            }
        }
    }

    #[inline]
    fn chain<'a>(&'a self, table: &Table, key: AddressKey) -> BucketChain<'a> {
        let [of_56, of_48] = &self.wider;
        let slot = |wider_quota: &'a Option<(Width, Quota)>| {
            let (width, quota) = wider_quota.as_ref()?;
            Some(table.slot(key.widened(*width)?, quota))
        };
        BucketChain {
            own: table.slot(key, &self.quota),
            wider: [slot(of_56), slot(of_48)],
        }
    }
}

impl BucketChain<'_> {
    fn charge(&self, table: &Table, now: Duration) -> Outcome {
        match self.refusal(table, now) {
            Some(refused) => refused,
            None => self.charge_looked(table, now),
        }
    }

    /// The refusal by a wider network, if any. Charges nothing.
    #[inline]
    fn refusal(&self, table: &Table, now: Duration) -> Option<Outcome> {
        let look =
            |slot: &SlotRef<'_>| Outcome::of(slot, table.ask(slot, now, Mode::Peek)).if_refused();
        let refused = self
            .wider
            .iter()
            .flatten()
            .filter_map(look)
            .reduce(Outcome::longer)?;
        Some(look(&self.own).map_or(refused, |own| own.longer(refused)))
    }

    /// Charges one request that no wider network refused a moment ago.
    #[inline]
    fn charge_looked(&self, table: &Table, now: Duration) -> Outcome {
        let charge = |slot: &SlotRef<'_>, mode| Outcome::of(slot, table.ask(slot, now, mode));
        let own = charge(&self.own, Mode::Acquire);
        if own.refusal().is_some() {
            return own;
        }
        self.wider
            .iter()
            .flatten()
            .fold(own, |all, wide| all.tighter(charge(wide, Mode::Force)))
    }
}

impl Outcome {
    #[inline]
    fn of(slot: &SlotRef<'_>, charge: Charge) -> Self {
        Self {
            by: slot.key,
            verdict: charge.verdict,
            overflowed: charge.overflowed,
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        match self.verdict {
            Verdict::Refused(refusal) => Some(refusal),
            Verdict::Admitted(_) => None,
        }
    }

    fn if_refused(self) -> Option<Self> {
        self.refusal().is_some().then_some(self)
    }

    /// Of two refusals, the one with the longer wait: after the other's, nothing would pass.
    fn longer(self, other: Self) -> Self {
        let wait = |of: &Self| of.refusal().map(|refusal| refusal.retry_after);
        if wait(&other) > wait(&self) {
            other
        } else {
            self
        }
    }

    /// Of two charged buckets, the one with less left.
    fn tighter(self, other: Self) -> Self {
        let left = |of: &Self| match of.verdict {
            Verdict::Admitted(remaining) => remaining.remaining,
            Verdict::Refused(_) => 0,
        };
        let tighter = if left(&other) < left(&self) {
            other
        } else {
            self
        };
        Self {
            overflowed: self.overflowed || other.overflowed,
            ..tighter
        }
    }
}

#[cfg(test)]
mod tests;
