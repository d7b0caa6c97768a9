use super::set::LOST;
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::thread;

const HASH_KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

fn table(slots: usize) -> Table {
    Table::new(NonZeroUsize::new(slots).unwrap(), HASH_KEY)
}

/// A table of one set, which all keys share.
fn one_set() -> Table {
    table(WAYS)
}

fn key(number: u32) -> AddressKey {
    AddressKey::V4(Ipv4Addr::from_bits(number))
}

fn quota(requests: u32, period: Duration, burst: u32) -> Quota {
    let [requests, burst] = [requests, burst].map(|count| NonZeroU32::new(count).unwrap());
    Quota::new(requests, period, burst).unwrap()
}

fn admitted(charge: Charge) -> bool {
    matches!(charge.verdict, Verdict::Admitted(_))
}

/// What a table with memory for every key would do.
#[derive(Default)]
struct Unlimited(HashMap<AddressKey, u64>);

impl Unlimited {
    fn check(&mut self, key: AddressKey, now: Duration, quota: Quota) -> Verdict {
        let tat = self.0.entry(key).or_default();
        let (next, verdict) = bucket::decide(*tat, bucket::nanos(now), quota);
        *tat = next;
        verdict
    }

    fn in_debt(&self, now: Duration) -> usize {
        self.0
            .values()
            .filter(|&&tat| tat > bucket::nanos(now))
            .count()
    }
}

/// Quotas of three kinds, one for each key; 7 in 1 ms has no whole interval.
fn quota_of(number: u32) -> Quota {
    match number % 3 {
        0 => quota(1, Duration::from_millis(1), 3),
        1 => quota(7, Duration::from_millis(1), 2),
        _ => quota(2, Duration::from_millis(10), 1),
    }
}

proptest! {
    #[test]
    fn a_table_does_what_unlimited_memory_would_until_a_set_is_full_of_debt(
        requests in prop::collection::vec((0..14_u32, 0..1_200_000_u64), 1..600),
    ) {
        let (table, mut unlimited) = (one_set(), Unlimited::default());
        let mut now = Duration::from_secs(1);
        for (number, pause) in requests {
            now += Duration::from_nanos(pause);
            let (key, quota) = (key(number), quota_of(number));
            let in_debt = unlimited.in_debt(now);
            let charge = table.check(key, now, quota);
            if charge.overflowed {
                prop_assert!(in_debt >= WAYS);
            } else {
                prop_assert_eq!(charge.verdict, unlimited.check(key, now, quota));
            }
        }
    }

    #[test]
    fn late_threads_are_never_admitted_beyond_the_quota(
        requests in prop::collection::vec(
            (0..14_u32, 0..300_000_u64, prop_oneof![Just(0), 0..5_000_000_u64]),
            1..600,
        ),
    ) {
        let (table, mut unlimited) = (one_set(), Unlimited::default());
        let quota = quota(1, Duration::from_millis(1), 1);
        let mut clock = Duration::from_secs(1);
        for (number, pause, late) in requests {
            clock += Duration::from_nanos(pause);
            let now = clock - Duration::from_nanos(late);
            let charge = table.check(key(number), now, quota);
            if !charge.overflowed && admitted(charge) {
                let verdict = unlimited.check(key(number), now, quota);
                prop_assert!(matches!(verdict, Verdict::Admitted(_)));
            }
        }
    }
}

#[test]
fn a_full_set_charges_newcomers_to_overflow_and_keeps_every_debt() {
    let table = one_set();
    let quota = quota(1, Duration::from_secs(1), 2);
    let now = Duration::from_secs(100);
    for number in 0..8 {
        assert!(!table.check(key(number), now, quota).overflowed);
        assert!(admitted(table.check(key(number), now, quota)));
    }
    // Sixteen callers' bursts, no matter which caller of the prefix comes.
    for newcomer in 100..132 {
        let charge = table.check(key(newcomer), now, quota);
        assert!(charge.overflowed && admitted(charge));
    }
    let Verdict::Refused(refusal) = table.check(key(200), now, quota).verdict else {
        panic!("admitted");
    };
    assert_eq!(refusal.quota, quota);
    assert_eq!(refusal.retry_after, Duration::from_secs(1) / 16);
    // None of the eight was forgotten.
    assert!((0..8).all(|number| !admitted(table.check(key(number), now, quota))));
    // A slot is free as soon as its debt has run out, and not before.
    let paid = now + Duration::from_secs(2);
    assert!(
        table
            .check(key(100), paid - Duration::from_nanos(1), quota)
            .overflowed
    );
    assert!(!table.check(key(100), paid, quota).overflowed);
}

#[test]
fn a_flood_from_one_prefix_leaves_the_newcomers_of_another_alone() {
    let table = Table {
        overflow: (0..4096).map(|_| AtomicU64::new(0)).collect(),
        ..one_set()
    };
    let quota = quota(1, Duration::from_secs(1), 1);
    let now = Duration::from_secs(100);
    let address = |text: &str| AddressKey::V4(text.parse().unwrap());
    for number in 0..8 {
        table.check(key(number), now, quota);
    }
    for host in 0..1_000 {
        table.check(key(0x0a01_0000 + host), now, quota);
    }
    assert!(!admitted(table.check(address("10.1.200.200"), now, quota)));
    assert!(admitted(table.check(address("10.2.0.1"), now, quota)));
    let flood = |host: u64| AddressKey::V6((0x2001_0db8 << 32) + host);
    assert!((0..16).all(|host| admitted(table.check(flood(host), now, quota))));
    assert!(!admitted(table.check(flood(16), now, quota)));
    assert!(admitted(table.check(
        AddressKey::V6(0x2001_0db9 << 32),
        now,
        quota
    )));
}

#[test]
fn in_overflow_a_caller_is_told_no_more_than_its_own_quota() {
    let table = one_set();
    let quota = quota(1, Duration::from_secs(1), 3);
    for number in 0..8 {
        table.check(key(number), Duration::ZERO, quota);
    }
    let Verdict::Admitted(remaining) = table.check(key(8), Duration::ZERO, quota).verdict else {
        panic!("refused");
    };
    assert_eq!((remaining.quota, remaining.remaining), (quota, 2));
}

/// Leaves the first slot as a thread does that is stopped in the middle of a claim for `key`.
fn stop_a_claim(table: &Table, key: AddressKey) -> &Slot {
    let slot = &table.sets[0].0[0];
    slot.owner.store(table.hash(word(key)), SeqCst);
    slot.tat.store(CLAIMED, SeqCst);
    slot
}

#[test]
fn a_slot_that_went_to_another_key_after_the_hint_is_not_charged() {
    let table = one_set();
    table.check(key(1), Duration::ZERO, Quota::default());
    let owner = table.hash(word(key(1)));
    let slot = table.sets[0].hint(owner).unwrap();
    assert!(slot.confirm(owner).is_some());
    let tat = slot.tat.swap(CLAIMED, SeqCst);
    assert!(slot.confirm(owner).is_none());
    slot.owner.store(table.hash(word(key(2))), SeqCst);
    slot.tat.store(tat + 1, SeqCst);
    assert!(slot.confirm(owner).is_none());
    assert!(slot.confirm(table.hash(word(key(2)))).is_some());
}

#[test]
fn a_stopped_claim_of_the_same_key_is_overruled() {
    let table = one_set();
    let stopped = stop_a_claim(&table, key(1));
    let charge = table.check(key(1), Duration::ZERO, Quota::default());
    assert!(admitted(charge) && !charge.overflowed);
    assert_eq!(stopped.tat.load(SeqCst), LOST);
}

#[test]
fn a_stopped_claim_keeps_nobody_waiting() {
    let table = one_set();
    stop_a_claim(&table, key(100));
    for number in 0..7 {
        assert!(
            !table
                .check(key(number), Duration::ZERO, Quota::default())
                .overflowed
        );
    }
    let charge = table.check(key(7), Duration::ZERO, Quota::default());
    assert!(admitted(charge) && charge.overflowed);
}

#[test]
fn a_late_thread_still_meets_the_debt_that_others_have_forgotten() {
    let table = one_set();
    let quota = quota(1, Duration::from_millis(1), 1);
    let check = |number, micros| table.check(key(number), Duration::from_micros(micros), quota);
    let stopped = stop_a_claim(&table, key(100));
    check(0, 10_000);
    for number in 1..=7 {
        assert!(!check(number, 20_000).overflowed);
    }
    // The slot of key 0 is gone to key 7. Now the stopped thread gives way, and leaves a free slot.
    stopped.owner.store(NOBODY, SeqCst);
    stopped.tat.store(1, SeqCst);
    let Charge {
        verdict: Verdict::Refused(refusal),
        overflowed: false,
    } = check(0, 10_500)
    else {
        panic!("not refused in a slot of its own");
    };
    assert_eq!(refusal.retry_after, Duration::from_micros(500));
}

/// Keys in debt that found no slot, in a hundred thousand.
fn overflow_at(load: f64) -> f64 {
    const SLOTS: u32 = 1 << 16;
    let table = table(SLOTS as usize);
    let keys = (f64::from(SLOTS) * load).round();
    let overflowed = (0..)
        .take_while(|&number| f64::from(number) < keys)
        .filter(|&number| {
            table
                .check(key(number), Duration::ZERO, Quota::default())
                .overflowed
        })
        .count();
    100_000.0 * overflowed as f64 / keys
}

#[test]
fn an_eighth_full_holds_every_address_and_half_full_all_but_one_in_a_hundred() {
    assert_eq!(overflow_at(0.125), 0.0);
    assert!(overflow_at(0.25) < 50.0);
    assert!(overflow_at(0.5) < 1_000.0);
    assert!(overflow_at(1.0) < 15_000.0);
}

#[test]
fn a_set_is_128_bytes() {
    assert_eq!(size_of::<Set>(), 16 * WAYS);
}

#[test]
fn threads_on_one_new_key_never_admit_more_than_its_burst() {
    const THREADS: usize = 7;
    let quota = quota(1, Duration::from_secs(1), 50);
    for round in 0..1_000 {
        let (table, start) = (one_set(), Barrier::new(THREADS));
        let sends = || {
            start.wait();
            (0..20)
                .filter(|_| admitted(table.check(key(round), Duration::ZERO, quota)))
                .count()
        };
        let admitted: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(sends)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(admitted, 50);
    }
}

/// Keys that come and go in the same set, until `done`: slots are claimed, given up and full all the time.
fn crowd(table: &Table, done: &AtomicU64, mut now: Duration) {
    let quota = quota(1, Duration::from_millis(1), 1);
    for number in (100..120).cycle() {
        if done.load(SeqCst) > 0 {
            return;
        }
        now += Duration::from_micros(130);
        table.check(key(number), now, quota);
    }
}

/// Not with loom, which models `SeqCst` as weaker than it is, and would find impossible failures.
#[test]
fn threads_on_one_key_admit_exactly_its_burst_while_others_fight_for_its_set() {
    const BURST: u32 = 40;
    let slow = quota(1, Duration::from_secs(3_600), BURST);
    let now = Duration::from_secs(1_000);
    // Others come before it in time, or after it, so that it is late.
    let times = [10, 1_000].map(Duration::from_secs);
    for (round, others_now) in (0..400).zip(times.into_iter().cycle()) {
        let (table, done, start) = (one_set(), AtomicU64::new(0), Barrier::new(5));
        let sends = || {
            start.wait();
            let charges: Vec<_> = (0..100)
                .map(|_| table.check(key(round), now, slow))
                .collect();
            charges
                .into_iter()
                .filter(|charge| !charge.overflowed)
                .collect::<Vec<_>>()
        };
        let own: Vec<Charge> = thread::scope(|scope| {
            let crowds = [0, 1].map(|_| {
                scope.spawn(|| {
                    start.wait();
                    crowd(&table, &done, others_now);
                })
            });
            let threads = [0, 1, 2].map(|_| scope.spawn(sends));
            let charges = threads.map(|thread| thread.join().unwrap()).concat();
            done.store(1, SeqCst);
            for crowd in crowds {
                crowd.join().unwrap();
            }
            charges
        });
        let admitted = own.iter().filter(|charge| admitted(**charge)).count();
        assert!(admitted <= BURST as usize);
        if others_now < now {
            // All their debt is paid by now: there is always a free slot, and nothing to lose.
            assert_eq!((own.len(), admitted), (300, BURST as usize));
        }
    }
}

#[test]
fn all_overflow_together_adds_a_sixteenth_at_most() {
    const SLOTS: u32 = 2_048;
    const BURST: u32 = 3;
    let table = table(SLOTS as usize);
    let quota = quota(1, Duration::from_secs(1), BURST);
    // Addresses of all prefixes, far more than there are slots, for as long as 20 requests are earned.
    let mut admissions = 0;
    for second in 0..=20 {
        for number in 0..20_000_u32 {
            let key = key(number.wrapping_mul(0x9e37_79b1));
            for _ in 0..=BURST {
                let charge = table.check(key, Duration::from_secs(100 + second), quota);
                admissions += u32::from(admitted(charge));
            }
        }
    }
    let owners = SLOTS * (BURST + 20);
    // All slots and all overflow buckets are spent, and nothing else was there.
    assert_eq!(admissions, owners + owners / 16);
}

#[test]
fn slots_in_debt_are_counted_or_estimated() {
    let quota = quota(1, Duration::from_secs(1), 1);
    let now = Duration::from_secs(100);
    let small = table(1 << 10);
    (0..100).for_each(|number| {
        small.check(key(number), now, quota);
    });
    assert_eq!((small.slots(), small.in_debt(now)), (1 << 10, 100));
    assert_eq!(small.in_debt(now + Duration::from_secs(1)), 0);
    let large = table(1 << 18);
    (0..20_000).for_each(|number| {
        large.check(key(number), now, quota);
    });
    assert!((19_000..21_000).contains(&large.in_debt(now)));
}

#[test]
fn threads_that_fight_for_slots_never_admit_more_than_each_keys_quota() {
    const THREADS: u32 = 4;
    const KEYS: u32 = 12;
    const REQUESTS: u32 = 200_000;
    let quota = quota(1, Duration::from_millis(1), 1);
    let (table, clock) = (one_set(), AtomicU64::new(0));
    let sends = |thread: u32| {
        let mut counts = [0_u64; KEYS as usize];
        for request in 0..REQUESTS {
            // Each request takes its time, and may use it late.
            let now = Duration::from_nanos(clock.fetch_add(20_000, SeqCst));
            let number = (request + thread) / 3 % KEYS;
            let charge = table.check(key(number), now, quota);
            if !charge.overflowed && admitted(charge) {
                counts[number as usize] += 1;
            }
        }
        counts
    };
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let sends = &sends;
                    move || sends(thread)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    let intervals = clock.load(SeqCst) / 1_000_000;
    for number in 0..KEYS as usize {
        let admitted: u64 = counts.iter().map(|counts| counts[number]).sum();
        assert!(
            admitted <= 1 + intervals,
            "key {number}: {admitted} in {intervals} intervals"
        );
        assert!(
            admitted > intervals / 100,
            "key {number} was never served: {admitted}"
        );
    }
}
