//! What the middleware asks: may this address call now?

use super::prefix_quotas::{Outcome, PrefixQuotas};
use super::{PrefixMultipliers, Quota, Refusal, Remaining, Table, Verdict};
use crate::model::address::{AddressKey, ClientAddress};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Slots by default: 16 MiB.
pub const SLOTS_DEFAULT: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();

/// Stripes of the counters: of callers counted at once, one in so many shares a cache line with another.
const STRIPES: usize = 8;

/// How addresses are limited.
///
/// Of all the networks in `overrides` and `exempt` that hold an address, the longest decides. The
/// same network twice: exempt wins over an override, and a later override over an earlier one.
/// Write IPv4 networks as IPv4; an IPv4-mapped one matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The quota of an address without an override. Default 6,000 a minute, burst 6,000.
    pub quota: Quota,
    /// Another quota for each address of a network (each of its own, not one for all of them).
    /// Within one IPv6 /64, which has one bucket, use one quota. Default none.
    ///
    /// Whatever the network's prefix length, wider IPv6 networks count by quota: its addresses share
    /// [`Options::multipliers`] times this quota there, and others have their own.
    pub overrides: Vec<(IpNet, Quota)>,
    /// Quotas of the wider networks of an IPv6 address, beside its own. Default 16 for a /56, 64 for a
    /// /48.
    pub multipliers: PrefixMultipliers,
    /// Networks whose addresses are neither limited nor counted, nor charged to wider ones. Default none.
    pub exempt: Vec<IpNet>,
    /// Count what would be refused, but admit it. Default false.
    pub shadow: bool,
    /// Addresses in debt that are distinguished, 16 bytes each, all allocated at the start. Default 1,048,576 (16 MiB).
    pub slots: NonZeroUsize,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The address is not limited.
    Exempt,
    /// Within the quota, and charged. Of all that were charged, this is the one with the least left.
    Admitted(AddressKey, Remaining),
    /// Beyond the quota of this one; nothing was charged to any.
    Refused(AddressKey, Refusal),
    /// Passes, but only because [`Options::shadow`] is on; nothing was charged.
    Shadowed(AddressKey, Refusal),
}

/// Decisions since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Decision::Admitted`].
    pub admitted: u64,
    /// [`Decision::Refused`].
    pub refused: u64,
    /// [`Decision::Shadowed`].
    pub shadowed: u64,
    /// Of those refused and shadowed, those beyond the quota of a wider IPv6 network.
    pub wider: u64,
    /// Of all of these, those that an overflow bucket decided, because the table was full of debt.
    pub overflowed: u64,
}

/// Holds each client address to its quota, in fixed memory.
#[derive(Debug)]
pub struct Limiter {
    table: Table,
    policy: ArcSwap<Policy>,
    counters: [Counters; STRIPES],
}

/// The part that can change while the limiter is in use.
#[derive(Debug)]
struct Policy {
    quotas: PrefixQuotas,
    quota: Quota,
    rules: Rules,
    shadow: bool,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Limit(PrefixQuotas),
    Exempt,
}

/// Networks with a rule of their own.
#[derive(Debug)]
struct Rules {
    by_network: BTreeMap<IpNet, Rule>,
    /// The prefix lengths that occur, longest first.
    lengths: Vec<u8>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Counters {
    admitted: AtomicU64,
    refused: AtomicU64,
    shadowed: AtomicU64,
    wider: AtomicU64,
    overflowed: AtomicU64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quota: Quota::default(),
            overrides: Vec::new(),
            multipliers: PrefixMultipliers::default(),
            exempt: Vec::new(),
            shadow: false,
            slots: SLOTS_DEFAULT,
        }
    }
}

impl Limiter {
    /// A limiter without debts. `hash_key` must be random for each process, see [`Table::new`].
    #[must_use]
    pub fn new(options: Options, hash_key: [u64; 2]) -> Self {
        Self {
            table: Table::new(options.slots, hash_key),
            policy: ArcSwap::from_pointee(Policy::new(&options)),
            counters: Default::default(),
        }
    }

    /// Limits addresses by other `options` from now on, except [`Options::slots`]: the table stays.
    ///
    /// No debt is forgotten. A debt is the time until all that was admitted is paid for, and this time stays: a caller
    /// that has spent a slow quota waits for it to end under a faster one too.
    pub fn change(&self, options: &Options) {
        self.policy.store(Arc::new(Policy::new(options)));
    }

    /// Charges one request of `address`. `now` is the time since one origin, the same in all calls.
    pub fn check(&self, address: ClientAddress, now: Duration) -> Decision {
        let policy = self.policy.load();
        let quotas = match policy.rules.of(address) {
            Some(Rule::Exempt) => return Decision::Exempt,
            Some(Rule::Limit(quotas)) => quotas,
            None => &policy.quotas,
        };
        let key = address.key();
        let outcome = quotas.charge(&self.table, key, now);
        let by = outcome.by;
        let decision = match outcome.verdict {
            Verdict::Admitted(remaining) => Decision::Admitted(by, remaining),
            Verdict::Refused(refusal) if policy.shadow => Decision::Shadowed(by, refusal),
            Verdict::Refused(refusal) => Decision::Refused(by, refusal),
        };
        self.count(key, outcome, decision);
        decision
    }

    /// The quota of an address without an override, and whether it only counts.
    #[must_use]
    pub fn in_force(&self) -> (Quota, bool) {
        let policy = self.policy.load();
        (policy.quota, policy.shadow)
    }

    /// The decisions so far. Taken while others decide, it may miss their last few.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            self.counters
                .iter()
                .map(|stripe| counter(stripe).load(Relaxed))
                .sum()
        };
        Counts {
            admitted: sum(|stripe| &stripe.admitted),
            refused: sum(|stripe| &stripe.refused),
            shadowed: sum(|stripe| &stripe.shadowed),
            wider: sum(|stripe| &stripe.wider),
            overflowed: sum(|stripe| &stripe.overflowed),
        }
    }

    /// How many addresses, and wider networks, can be in debt at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.table.slots()
    }

    /// How many are in debt at `now`, see [`Table::in_debt`].
    #[must_use]
    pub fn in_debt(&self, now: Duration) -> usize {
        self.table.in_debt(now)
    }

    #[inline]
    fn count(&self, key: AddressKey, outcome: Outcome, decision: Decision) {
        let Some(stripe) = self.counters.get(stripe_of(key)) else {
            return;
        };
        match decision {
            Decision::Exempt => return,
            Decision::Admitted(..) => &stripe.admitted,
            Decision::Refused(..) => &stripe.refused,
            Decision::Shadowed(..) => &stripe.shadowed,
        }
        .fetch_add(1, Relaxed);
        if outcome.by != key && !matches!(decision, Decision::Admitted(..)) {
            stripe.wider.fetch_add(1, Relaxed);
        }
        if outcome.overflowed {
            stripe.overflowed.fetch_add(1, Relaxed);
        }
    }
}

impl Policy {
    fn new(options: &Options) -> Self {
        Self {
            quotas: PrefixQuotas::new(options.quota, options.multipliers),
            quota: options.quota,
            rules: Rules::new(options),
            shadow: options.shadow,
        }
    }
}

impl Rules {
    fn new(options: &Options) -> Self {
        let limit = |quota| Rule::Limit(PrefixQuotas::new(quota, options.multipliers));
        let limits = options
            .overrides
            .iter()
            .map(|&(network, quota)| (network.trunc(), limit(quota)));
        let exempt = options
            .exempt
            .iter()
            .map(|network| (network.trunc(), Rule::Exempt));
        let by_network: BTreeMap<_, _> = limits.chain(exempt).collect();
        let mut lengths: Vec<_> = by_network.keys().map(IpNet::prefix_len).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        lengths.dedup();
        Self {
            by_network,
            lengths,
        }
    }

    fn of(&self, address: ClientAddress) -> Option<&Rule> {
        match address {
            ClientAddress::Ip(ip) => self.lengths.iter().find_map(|&length| self.at(ip, length)),
            ClientAddress::Unix => None,
        }
    }

    fn at(&self, ip: IpAddr, length: u8) -> Option<&Rule> {
        let network = IpNet::new(ip, length).ok()?.trunc();
        self.by_network.get(&network)
    }
}

/// Neighbouring addresses are counted in different stripes.
#[inline]
fn stripe_of(key: AddressKey) -> usize {
    let last = match key {
        AddressKey::Unix => 0,
        AddressKey::V4(ip) => ip.to_bits().to_le_bytes()[0],
        AddressKey::V6(network) | AddressKey::V6Wide(network, _) => network.to_le_bytes()[0],
    };
    usize::from(last) % STRIPES
}

#[cfg(test)]
mod tests;
