use super::*;
use proptest::prelude::*;
use std::num::NonZeroU32;

fn quota(requests: u32, period: u64, burst: u32) -> Result<Quota, super::super::quota::Error> {
    let [requests, burst] = [requests, burst].map(|count| NonZeroU32::new(count).unwrap());
    Quota::new(requests, Duration::from_nanos(period), burst)
}

/// Periods of any length, most of which no interval divides.
fn quotas() -> impl Strategy<Value = Quota> {
    (1..50_u32, 1_000_000..100_000_000_u64, 1..50_u32)
        .prop_filter_map("out of bounds", |(requests, period, burst)| {
            quota(requests, period, burst).ok()
        })
}

/// A bucket with time set by hand.
#[derive(Clone, Copy)]
struct Bucket {
    quota: Quota,
    tat: u64,
}

impl Bucket {
    fn full(quota: Quota) -> Self {
        Self { quota, tat: 0 }
    }

    fn ask(&mut self, now: u64) -> Verdict {
        let (tat, verdict) = decide(self.tat, now, self.quota);
        self.tat = tat;
        verdict
    }

    fn admits(&mut self, now: u64) -> bool {
        matches!(self.ask(now), Verdict::Admitted(_))
    }

    fn refusal(&mut self, now: u64) -> Refusal {
        match self.ask(now) {
            Verdict::Refused(refusal) => refusal,
            Verdict::Admitted(remaining) => panic!("admitted: {remaining:?}"),
        }
    }
}

/// The same in exact rational arithmetic: times in nanoseconds / requests.
struct Exact {
    quota: Quota,
    tat: u128,
}

impl Exact {
    fn admits(&mut self, now: u64) -> bool {
        let period = self.quota.period().as_nanos();
        let now = u128::from(now) * u128::from(self.quota.requests().get());
        let next = self.tat.max(now) + period;
        let admitted = next - now <= period * u128::from(self.quota.burst().get());
        if admitted {
            self.tat = next;
        }
        admitted
    }
}

/// Arrival times with pauses from none to several intervals.
fn arrivals(quota: Quota) -> impl Strategy<Value = Vec<u64>> {
    let interval = quota.interval();
    let pause = prop_oneof![
        Just(0),
        0..interval,
        interval - 1..interval + 2,
        0..5 * interval
    ];
    (0..1_u64 << 50, prop::collection::vec(pause, 1..300)).prop_map(|(start, pauses)| {
        pauses
            .iter()
            .scan(start, |now, pause| {
                *now += pause;
                Some(*now)
            })
            .collect()
    })
}

fn quotas_and_arrivals() -> impl Strategy<Value = (Quota, Vec<u64>)> {
    quotas().prop_flat_map(|quota| (Just(quota), arrivals(quota)))
}

proptest! {
    #[test]
    fn what_exact_arithmetic_admits_is_never_refused((quota, arrivals) in quotas_and_arrivals()) {
        let mut exact = Exact { quota, tat: 0 };
        let mut bucket = Bucket::full(quota);
        for now in arrivals.into_iter().filter(|&now| exact.admits(now)) {
            prop_assert!(bucket.admits(now));
        }
    }

    #[test]
    fn no_window_admits_more_than_the_burst_and_the_rate((quota, arrivals) in quotas_and_arrivals()) {
        let mut bucket = Bucket::full(quota);
        let admitted: Vec<u64> = arrivals.into_iter().filter(|&now| bucket.admits(now)).collect();
        let period = quota.period().as_nanos();
        let ticks = u128::from(quota.interval());
        for (first, &from) in admitted.iter().enumerate() {
            for (last, &to) in admitted.iter().enumerate().skip(first) {
                let count = (last - first + 1) as u128;
                let beyond = count.saturating_sub(u128::from(quota.burst().get()));
                // beyond <= (to - from + less than one tick) * requests / period
                let window = u128::from(to - from) * u128::from(quota.requests().get());
                prop_assert!(beyond == 0 || beyond * period * ticks < window * ticks + period);
            }
        }
    }

    #[test]
    fn where_intervals_are_whole_every_answer_is_the_exact_one(
        (quota, arrivals) in (1..50_u32, 1_000_000..10_000_000_u64, 1..50_u32)
            .prop_map(|(requests, interval, burst)| {
                quota(requests, u64::from(requests) * interval, burst).unwrap()
            })
            .prop_flat_map(|quota| (Just(quota), arrivals(quota))),
    ) {
        let mut exact = Exact { quota, tat: 0 };
        let mut bucket = Bucket::full(quota);
        for now in arrivals {
            prop_assert_eq!(bucket.admits(now), exact.admits(now));
        }
    }

    #[test]
    fn at_most_the_quota_in_every_sliding_period_is_never_refused((quota, arrivals) in quotas_and_arrivals()) {
        let period = nanos(quota.period());
        let most = quota.requests().min(quota.burst()).get() as usize;
        let mut sent: Vec<u64> = Vec::new();
        let mut bucket = Bucket::full(quota);
        for now in arrivals {
            if sent.iter().filter(|&&at| at + period > now).count() < most {
                sent.push(now);
                prop_assert!(bucket.admits(now));
            }
        }
    }

    #[test]
    fn a_refusal_names_the_exact_wait_and_costs_nothing((quota, arrivals) in quotas_and_arrivals()) {
        let mut bucket = Bucket::full(quota);
        for now in arrivals {
            let before = bucket.tat;
            if let Verdict::Refused(refusal) = bucket.ask(now) {
                prop_assert_eq!(bucket.tat, before);
                let passes = now + nanos(refusal.retry_after);
                prop_assert!(passes > now);
                let (mut early, mut due) = (bucket, bucket);
                prop_assert!(!early.admits(passes - 1));
                prop_assert!(due.admits(passes));
            }
        }
    }

    #[test]
    fn after_the_reset_the_bucket_is_full_again((quota, arrivals) in quotas_and_arrivals()) {
        let mut bucket = Bucket::full(quota);
        for now in arrivals {
            let reset = match bucket.ask(now) {
                Verdict::Admitted(remaining) => remaining.reset,
                Verdict::Refused(refusal) => refusal.reset,
            };
            let full = now + nanos(reset);
            let mut later = bucket;
            for _ in 0..quota.burst().get() {
                prop_assert!(later.admits(full));
            }
            prop_assert!(!later.admits(full));
        }
    }

    #[test]
    fn what_remains_is_what_passes((quota, arrivals) in quotas_and_arrivals()) {
        let mut bucket = Bucket::full(quota);
        for now in arrivals {
            if let Verdict::Admitted(remaining) = bucket.ask(now) {
                let mut next = bucket;
                for _ in 0..remaining.remaining {
                    prop_assert!(next.admits(now));
                }
                prop_assert!(!next.admits(now));
            }
        }
    }
}

#[test]
fn of_6001_at_once_the_last_waits_for_one_interval() {
    let mut bucket = Bucket::full(Quota::default());
    let now = nanos(Duration::from_secs(3600)) + 7;
    assert!((0..6_000).all(|_| bucket.admits(now)));
    let refusal = bucket.refusal(now);
    assert_eq!(refusal.retry_after, Duration::from_millis(10));
    assert_eq!(refusal.reset, Duration::from_secs(60));
    assert!(bucket.admits(now + 10_000_000));
    assert!(!bucket.admits(now + 10_000_000));
}

#[test]
fn seven_a_minute_for_ever_is_never_refused_and_eight_are() {
    let quota = quota(7, 60_000_000_000, 1).unwrap();
    let mut bucket = Bucket::full(quota);
    for minute in (0..10_000_000_u64).step_by(1_000) {
        // Each request at the first nanosecond at which it is due.
        let due = |request: u64| (minute * 60_000_000_000) + (request * 60_000_000_000).div_ceil(7);
        assert!((0..7).all(|request| bucket.admits(due(request))));
        assert!(!bucket.admits(due(7) - 2));
    }
}

#[test]
fn the_end_of_time_is_not_the_end_of_the_process() {
    let mut bucket = Bucket::full(Quota::default());
    assert!(bucket.admits(nanos(Duration::MAX)));
}
