use super::*;
use std::num::NonZeroU32;

const NOW: Duration = Duration::from_secs(1_000);

fn a_minute(requests: u32) -> Quota {
    let requests = NonZeroU32::new(requests).unwrap();
    Quota::new(requests, Duration::from_secs(60), requests).unwrap()
}

fn quotas(project: Option<u32>, keys: &[Option<u32>]) -> Quotas {
    Quotas {
        project: project.map(a_minute),
        keys: keys.iter().map(|key| key.map(a_minute)).collect(),
        shadow: false,
    }
}

fn charge(account: &Account, place: usize) -> Charged {
    account.charge(place, NOW, &AccountCounters::default())
}

/// Requests that pass before the first refusal.
fn passing(account: &Account, place: usize) -> usize {
    let passes = |_: &usize| charge(account, place).refusals().next().is_none();
    (0..100).take_while(passes).count()
}

fn remaining(verdict: Option<Verdict>) -> u32 {
    match verdict {
        Some(Verdict::Admitted(remaining)) => remaining.remaining,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_quotas_nothing_is_limited_or_counted() {
    let counters = AccountCounters::default();
    for account in [
        Account::default(),
        Account::new(&quotas(None, &[None, Some(1)])),
    ] {
        assert_eq!(account.charge(0, NOW, &counters), Charged::default());
    }
    assert_eq!(counters.counts(), AccountCounts::default());
}

#[test]
fn a_keys_quota_is_its_own_and_the_projects_is_for_all_keys() {
    let account = Account::new(&quotas(Some(7), &[Some(3), Some(2), None]));
    assert_eq!(passing(&account, 0), 3);
    assert_eq!(passing(&account, 1), 2);
    assert_eq!(passing(&account, 2), 2, "what is left of the project's");
    assert_eq!(passing(&account, 0), 0);
}

#[test]
fn what_one_quota_refuses_costs_the_other_nothing() {
    let account = Account::new(&quotas(Some(5), &[Some(1), None]));
    assert_eq!(passing(&account, 0), 1);
    for _ in 0..10 {
        let charged = charge(&account, 0);
        assert_eq!(charged.refusals().count(), 1);
        assert_eq!(remaining(charged.project), 4, "as it stands, uncharged");
    }
    assert_eq!(passing(&account, 1), 4);
    let both = charge(&account, 0);
    assert_eq!(both.refusals().count(), 2);
}

#[test]
fn a_refusal_says_when_the_next_one_passes() {
    let account = Account::new(&quotas(None, &[Some(60)]));
    assert_eq!(passing(&account, 0), 60);
    let refusal = charge(&account, 0).refusals().next().unwrap();
    assert_eq!(refusal.retry_after, Duration::from_secs(1));
    assert_eq!(refusal.reset, Duration::from_secs(60));
    let counters = AccountCounters::default();
    let later = account.charge(0, NOW + refusal.retry_after, &counters);
    assert_eq!(later.refusals().count(), 0);
}

#[test]
fn in_shadow_mode_everything_passes_and_is_counted() {
    let account = Account::new(&Quotas {
        shadow: true,
        ..quotas(Some(3), &[Some(1)])
    });
    let counters = AccountCounters::default();
    let charged: Vec<_> = (0..4).map(|_| account.charge(0, NOW, &counters)).collect();
    assert!(
        charged
            .iter()
            .all(|charged| charged.refusals().count() == 0)
    );
    assert_eq!(charged[1].key, None);
    assert_eq!(remaining(charged[2].project), 0, "the other is charged");
    assert_eq!(
        counters.counts(),
        AccountCounts {
            admitted: 1,
            refused: 0,
            shadowed: 3
        }
    );
}

#[test]
fn an_account_that_replaces_another_owes_what_that_one_owed() {
    let before = Account::new(&quotas(Some(10), &[Some(2), Some(4)]));
    assert_eq!(passing(&before, 0), 2);
    assert_eq!(passing(&before, 1), 4);
    // The keys have changed places, and there is a new one in front.
    let mut after = Account::new(&quotas(Some(10), &[Some(1), Some(4), Some(2)]));
    let places = [None, Some(1), Some(0)];
    after.succeed(&before, |place| places[place]);
    assert_eq!(passing(&after, 1), 0);
    assert_eq!(passing(&after, 2), 0);
    assert_eq!(passing(&after, 0), 1, "nobody's debt");
    // A request that began before the change is charged to the same bucket.
    assert_eq!(passing(&before, 2), 3);
    let left = charge(&after, 7);
    assert_eq!(left.refusals().count(), 1);
}

#[test]
fn threads_that_charge_at_once_never_get_more_than_the_quota() {
    let account = Account::new(&quotas(Some(1_000), &[Some(700), Some(700)]));
    let counters = AccountCounters::default();
    let passed: usize = std::thread::scope(|scope| {
        let (account, counters) = (&account, &counters);
        let charging = |thread: usize| {
            let passes = move |_: &usize| {
                let charged = account.charge(thread % 2, NOW, counters);
                charged.refusals().next().is_none()
            };
            scope.spawn(move || (0..600).filter(passes).count())
        };
        let threads: Vec<_> = (0..4).map(charging).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(passed, 1_000);
    let counts = counters.counts();
    assert_eq!((counts.admitted, counts.refused), (1_000, 1_400));
}

#[test]
fn what_is_left_is_what_would_pass() {
    let account = Account::new(&quotas(Some(7), &[None, Some(2)]));
    let left = |seconds| {
        let left = account.left(Duration::from_secs(seconds)).into_iter();
        left.map(|(place, _, left)| (place, left))
            .collect::<Vec<_>>()
    };
    assert_eq!(left(1), [(None, 7), (Some(1), 2)]);
    let counters = AccountCounters::default();
    for _ in 0..3 {
        account.charge(1, Duration::from_secs(1), &counters);
    }
    // Looking at it charges nothing.
    assert_eq!(left(1), [(None, 5), (Some(1), 0)]);
    assert_eq!(left(1), [(None, 5), (Some(1), 0)]);
}
