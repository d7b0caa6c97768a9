use super::*;
use crate::limit::bucket;
use proptest::prelude::*;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;

const HASH_KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const NOW: Duration = Duration::from_secs(100);

/// Slots enough that no set is ever full.
fn table() -> Table {
    Table::new(NonZeroUsize::new(1 << 14).unwrap(), HASH_KEY)
}

fn times(prefix_56: u32, prefix_48: u32) -> PrefixMultipliers {
    PrefixMultipliers {
        prefix_56: NonZeroU32::new(prefix_56),
        prefix_48: NonZeroU32::new(prefix_48),
    }
}

fn quota(requests: u32, period: Duration, burst: u32) -> Quota {
    let [requests, burst] = [requests, burst].map(|count| NonZeroU32::new(count).unwrap());
    Quota::new(requests, period, burst).unwrap()
}

/// The /64 of these numbers below 2001:db8::/32.
fn key(of_48: u64, of_56: u64, of_64: u64) -> AddressKey {
    AddressKey::V6(0x2001_0db8_0000_0000 | of_48 << 16 | of_56 << 8 | of_64)
}

/// A /64 in one of two /48s, of one of three /56s, and whether it has the other quota.
fn callers() -> impl Strategy<Value = (AddressKey, usize)> {
    (0..2_u64, 0..3_u64, 0..4_u64)
        .prop_map(|(of_48, of_56, of_64)| (key(of_48, of_56, of_64), usize::from(of_64 == 3)))
}

/// What a caller's buckets would do with memory for all of them, all locked at once.
#[derive(Default)]
struct Unlimited(HashMap<(AddressKey, usize), u64>);

impl Unlimited {
    /// The answer, and the refusals of all that refuse.
    fn charge(
        &mut self,
        key: AddressKey,
        now: u64,
        kind: usize,
        quotas: &PrefixQuotas,
    ) -> Vec<(AddressKey, Refusal)> {
        let buckets: Vec<_> = std::iter::once((key, quotas.quota))
            .chain(
                quotas
                    .wider
                    .iter()
                    .flatten()
                    .filter_map(|(width, quota)| Some((key.widened(*width)?, *quota))),
            )
            .collect();
        let mut next = Vec::new();
        let mut refused = Vec::new();
        for (key, quota) in buckets {
            let tat = self.0.get(&(key, kind)).copied().unwrap_or_default();
            match bucket::decide(tat, now, quota) {
                (tat, Verdict::Admitted(_)) => next.push(((key, kind), tat)),
                (_, Verdict::Refused(refusal)) => refused.push((key, refusal)),
            }
        }
        if refused.is_empty() {
            self.0.extend(next);
        }
        refused
    }
}

proptest! {
    #[test]
    fn a_ladder_does_what_unlimited_memory_would_and_names_the_bucket_that_lasts_longest(
        requests in prop::collection::vec((callers(), 0..400_000_u64), 1..600),
    ) {
        let (table, mut unlimited) = (table(), Unlimited::default());
        // 7 in 1 ms has no whole interval, and half of it has others.
        let all_quotas = [quota(1, Duration::from_millis(1), 3), quota(7, Duration::from_millis(9), 2)]
            .map(|quota| PrefixQuotas::new(quota, times(2, 3)));
        let mut now = NOW;
        for ((key, kind), pause) in requests {
            now += Duration::from_nanos(pause);
            let quotas = &all_quotas[kind];
            let outcome = quotas.charge(&table, key, now);
            prop_assert!(!outcome.overflowed);
            let refused = unlimited.charge(key, bucket::nanos(now), kind, quotas);
            match outcome.verdict {
                Verdict::Admitted(_) => prop_assert!(refused.is_empty()),
                Verdict::Refused(refusal) => {
                    let longest = refused.iter().map(|(_, refusal)| refusal.retry_after).max();
                    prop_assert_eq!(Some(refusal.retry_after), longest);
                    prop_assert!(refused.contains(&(outcome.by, refusal)));
                }
            }
        }
    }

    #[test]
    fn a_refused_caller_passes_after_the_wait_and_not_before(
        requests in prop::collection::vec((callers(), 0..200_000_u64), 1..200),
    ) {
        let table = table();
        let quotas = PrefixQuotas::new(quota(1, Duration::from_millis(1), 3), times(2, 3));
        let mut now = NOW;
        for ((key, _), pause) in requests {
            now += Duration::from_nanos(pause);
            if let Some(refusal) = quotas.charge(&table, key, now).refusal() {
                now += refusal.retry_after - Duration::from_nanos(1);
                prop_assert!(quotas.charge(&table, key, now).refusal().is_some());
                now += Duration::from_nanos(1);
                prop_assert!(quotas.charge(&table, key, now).refusal().is_none());
            }
        }
    }

    #[test]
    fn a_caller_within_its_quota_is_never_refused_while_its_neighbours_behave(
        requests in prop::collection::vec((0..2_u64, 0..3_u64, 0..400_000_u64), 1..600),
    ) {
        let table = table();
        // As many callers as the wider networks have quotas for.
        let quotas = PrefixQuotas::new(quota(1, Duration::from_millis(1), 3), times(3, 6));
        let mut alone = HashMap::<_, u64>::new();
        let mut now = NOW;
        for (of_56, of_64, pause) in requests {
            now += Duration::from_nanos(pause);
            let key = key(0, of_56, of_64);
            let tat = alone.entry(key).or_default();
            let (next, verdict) = bucket::decide(*tat, bucket::nanos(now), quotas.quota);
            *tat = next;
            if matches!(verdict, Verdict::Admitted(_)) {
                let outcome = quotas.charge(&table, key, now);
                prop_assert!(outcome.refusal().is_none(), "{outcome:?}");
            }
        }
    }
}

#[test]
fn whoever_has_a_48_has_not_65536_quotas() {
    let (table, quotas) = (
        table(),
        PrefixQuotas::new(
            quota(1, Duration::from_secs(1), 5),
            PrefixMultipliers::default(),
        ),
    );
    let admitted = |keys: &mut dyn Iterator<Item = AddressKey>| {
        keys.filter(|key| quotas.charge(&table, *key, NOW).refusal().is_none())
            .count()
    };
    assert_eq!(
        admitted(&mut (0..256).map(|of_64| key(7, 0, of_64))),
        16 * 5
    );
    let all = (0..65_536_u64).map(|number| key(7, number >> 8, number & 0xff));
    assert_eq!(admitted(&mut all.into_iter()), (64 - 16) * 5);
    assert_eq!(admitted(&mut std::iter::once(key(8, 0, 0))), 1);
}

#[test]
fn the_bucket_with_the_least_left_tells_how_the_caller_stands() {
    let (table, quotas) = (
        table(),
        PrefixQuotas::new(quota(1, Duration::from_secs(1), 5), times(2, 0)),
    );
    let left = |of_64| {
        let outcome = quotas.charge(&table, key(0, 0, of_64), NOW);
        match outcome.verdict {
            Verdict::Admitted(remaining) => (outcome.by.to_string(), remaining.remaining),
            Verdict::Refused(refusal) => panic!("{refusal:?}"),
        }
    };
    assert_eq!(left(0), ("2001:db8::/64".to_owned(), 4));
    (1..5).for_each(|of_64| drop(left(of_64)));
    // Ten in all, of which five are gone.
    assert_eq!(left(5), ("2001:db8:0:5::/64".to_owned(), 4));
    assert_eq!(left(6), ("2001:db8::/56".to_owned(), 3));
}

#[test]
fn without_times_a_caller_has_one_bucket() {
    let (table, quotas) = (
        table(),
        PrefixQuotas::new(quota(1, Duration::from_secs(1), 1), times(0, 0)),
    );
    assert!((0..256).all(|of_64| {
        quotas
            .charge(&table, key(0, 0, of_64), NOW)
            .refusal()
            .is_none()
    }));
}

#[test]
fn callers_that_looked_before_either_was_charged_both_pass_and_the_excess_is_paid_back() {
    let (table, quota) = (table(), quota(1, Duration::from_secs(1), 1));
    let quotas = PrefixQuotas::new(quota, times(1, 0));
    let both = [1, 2].map(|of_64| quotas.chain(&table, key(0, 0, of_64)));
    assert!(
        both.iter()
            .all(|chain| chain.refusal(&table, NOW).is_none())
    );
    for chain in both {
        assert!(chain.charge_looked(&table, NOW).refusal().is_none());
    }
    // Two are owed where one fits.
    let refused = quotas.charge(&table, key(0, 0, 3), NOW);
    assert_eq!(
        refused.refusal().unwrap().retry_after,
        Duration::from_secs(2)
    );
}

/// The most by which threads may overdraw a wider bucket is one request for each other thread.
#[test]
fn threads_overdraw_a_wider_bucket_by_less_than_their_number_and_its_debt_is_paid_back() {
    const THREADS: u32 = 4;
    const WIDE: u32 = 2 * 50;
    let interval = Duration::from_secs(1) / 2;
    for round in 0..300 {
        let table = table();
        let quotas = PrefixQuotas::new(quota(1, Duration::from_secs(1), 50), times(2, 0));
        let start = Barrier::new(THREADS as usize);
        let sends = |thread: u32| {
            start.wait();
            (0..60)
                .map(|_| {
                    let key = key(round, 0, thread.into());
                    quotas.charge(&table, key, NOW).refusal().is_none()
                })
                .map(u32::from)
                .sum()
        };
        let counts: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let sends = &sends;
                    scope.spawn(move || sends(thread))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(counts.iter().all(|count| *count <= 50), "{counts:?}");
        let admitted: u32 = counts.iter().sum();
        assert!((WIDE..WIDE + THREADS).contains(&admitted), "{counts:?}");
        let excess = admitted - WIDE;
        let refusal = quotas.charge(&table, key(round, 0, 9), NOW).refusal();
        assert_eq!(refusal.unwrap().retry_after, interval * (excess + 1));
    }
}
