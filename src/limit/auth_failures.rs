//! How often callers may fail to authenticate.
//!
//! Failures are charged, never calls: to the address, together with the key whose secret was wrong. So the next try of
//! a secret is refused, unread, if that key was guessed at too often from that address. Other keys at the address, and
//! the key elsewhere, are not affected. A failure that names no known key is charged to the address alone, and only
//! further such failures are refused for it. docs/decisions/keys-and-tls.md has the reasons.

use std::hash::Hasher as _;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use siphasher::sip::SipHasher13;

use super::table::{Mode, Table};
use super::{Quota, Refusal, Verdict};
use crate::model::address::{AddressKey, ClientAddress, Width};

/// How many addresses' failures an IPv6 /56 and a /48 may have: the defaults of
/// [`PrefixMultipliers`](super::PrefixMultipliers).
const WIDER: [(Width, NonZeroU32); 2] = [
    (Width::Prefix56, NonZeroU32::new(16).unwrap()),
    (Width::Prefix48, NonZeroU32::new(64).unwrap()),
];

/// Holds each address to so many failures, in fixed memory.
#[derive(Debug)]
pub struct AuthFailureLimiter {
    table: Table,
    hash_key: [u64; 2],
    /// None: no limit.
    quota: ArcSwapOption<Quota>,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// What a caller failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed<'a> {
    /// The secret of a key.
    Secret {
        /// The project's token.
        token: &'a str,
        /// The key's ID.
        id: &'a str,
    },
    /// No such project or key.
    Unknown,
}

/// Failures since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCounts {
    /// Failures that were charged.
    pub failed: u64,
    /// Tries that were refused because of earlier failures.
    pub refused: u64,
}

impl AuthFailureLimiter {
    /// A limiter without failures. `hash_key` must be random for each process, see [`Table::new`].
    #[must_use]
    pub fn new(quota: Option<Quota>, slots: NonZeroUsize, hash_key: [u64; 2]) -> Self {
        Self {
            table: Table::new(slots, hash_key),
            hash_key,
            quota: ArcSwapOption::from_pointee(quota),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Sets the quota; none: no limit. Debts stay.
    pub fn change(&self, quota: Option<Quota>) {
        self.quota.store(quota.map(Arc::new));
    }

    /// The refusal of a try, if any: of the buckets beyond their quota, the one with the longest wait. Charges nothing.
    pub fn refusal(
        &self,
        address: ClientAddress,
        failed: Failed<'_>,
        now: Duration,
    ) -> Option<(AddressKey, Refusal)> {
        let refusal = self.ask(address, failed, now, Mode::Peek);
        if refusal.is_some() {
            self.refused.fetch_add(1, Relaxed);
        }
        refusal
    }

    /// Charges a failure. It has happened, so it is charged even if nothing is left.
    pub fn charge(&self, address: ClientAddress, failed: Failed<'_>, now: Duration) {
        self.failed.fetch_add(1, Relaxed);
        self.ask(address, failed, now, Mode::Force);
    }

    /// The failures so far.
    #[must_use]
    pub fn counts(&self) -> FailureCounts {
        FailureCounts {
            failed: self.failed.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    fn ask(
        &self,
        address: ClientAddress,
        failed: Failed<'_>,
        now: Duration,
        mode: Mode,
    ) -> Option<(AddressKey, Refusal)> {
        let quota = self.quota.load_full()?;
        let (own, about) = (address.key(), self.about(failed));
        let wider = WIDER.iter().filter_map(|(width, times)| {
            let key = own.widened(*width)?;
            Some((key, quota.shared_by(*times)))
        });
        let refusals = [(own, *quota)].into_iter().chain(wider);
        let refusals = refusals.filter_map(|(key, quota)| {
            let slot = self.table.slot_about(key, about, &quota);
            match self.table.ask(&slot, now, mode).verdict {
                Verdict::Admitted(_) => None,
                Verdict::Refused(refusal) => Some((key, refusal)),
            }
        });
        refusals.max_by_key(|(_, refusal)| refusal.retry_after)
    }

    fn about(&self, failed: Failed<'_>) -> u64 {
        let Failed::Secret { token, id } = failed else {
            return 0;
        };
        let [first, second] = self.hash_key;
        let mut hasher = SipHasher13::new_with_keys(first, second);
        for text in [token, id] {
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Failed<'_> = Failed::Secret {
        token: "t",
        id: "k",
    };
    const OTHER: Failed<'_> = Failed::Secret {
        token: "t",
        id: "other",
    };

    fn failures(times: u32) -> AuthFailureLimiter {
        let times = NonZeroU32::new(times).unwrap();
        let quota = Quota::new(times, Duration::from_secs(60), times).unwrap();
        AuthFailureLimiter::new(Some(quota), NonZeroUsize::new(4_096).unwrap(), [1, 2])
    }

    fn address(text: &str) -> ClientAddress {
        ClientAddress::Ip(text.parse().unwrap())
    }

    /// Failures until the first refusal.
    fn fails(failures: &AuthFailureLimiter, from: &str, at: Failed<'_>, now: Duration) -> usize {
        let mut count = 0;
        while count < 10_000 && failures.refusal(address(from), at, now).is_none() {
            failures.charge(address(from), at, now);
            count += 1;
        }
        count
    }

    #[test]
    fn each_key_is_guessed_at_for_itself_from_each_address() {
        let failures = failures(3);
        let now = Duration::from_secs(100);
        for at in [SECRET, OTHER, Failed::Unknown] {
            for from in ["192.0.2.1", "192.0.2.2"] {
                assert_eq!(fails(&failures, from, at, now), 3, "{at:?} {from}");
                assert_eq!(fails(&failures, from, at, now), 0, "{at:?} {from}");
            }
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(fails(&failures, "192.0.2.1", SECRET, later), 1);
        let counts = failures.counts();
        assert_eq!((counts.failed, counts.refused), (19, 13));
    }

    #[test]
    fn a_token_and_an_id_are_told_apart() {
        let failures = failures(1);
        let now = Duration::from_secs(100);
        for (token, id) in [("ab", "c"), ("a", "bc"), ("abc", "")] {
            let at = Failed::Secret { token, id };
            assert_eq!(fails(&failures, "192.0.2.1", at, now), 1, "{at:?}");
        }
    }

    #[test]
    fn a_48_has_not_as_many_failures_as_it_has_64s() {
        let failures = failures(1);
        let now = Duration::from_secs(100);
        let mut sum = 0;
        for subnet in 0..0x1000 {
            sum += fails(&failures, &format!("2001:db8:1:{subnet:x}::1"), SECRET, now);
        }
        assert_eq!(sum, 64);
        let refused = failures.refusal(address("2001:db8:1:ffff::1"), SECRET, now);
        let (by, _) = refused.unwrap();
        assert_eq!(
            by,
            address("2001:db8:1::")
                .key()
                .widened(Width::Prefix48)
                .unwrap()
        );
        assert_eq!(fails(&failures, "2001:db8:2::1", SECRET, now), 1);
    }

    #[test]
    fn without_a_quota_nothing_is_refused_and_a_new_one_holds_at_once() {
        let failures = failures(2);
        let now = Duration::from_secs(100);
        failures.change(None);
        assert_eq!(fails(&failures, "192.0.2.1", SECRET, now), 10_000);
        let one = NonZeroU32::MIN;
        failures.change(Some(Quota::new(one, Duration::from_secs(60), one).unwrap()));
        assert_eq!(fails(&failures, "192.0.2.1", SECRET, now), 1);
    }
}
