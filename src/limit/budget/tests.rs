use super::*;
use crate::model::customer_id::Schema;
use crate::model::project::{KeyAccess, PublicKey};
use std::collections::BTreeSet;

const KIB: usize = 1024;

fn budget(all: usize, address: usize, key: usize) -> Budget {
    let [all_max, address_max, key_max] =
        [all, address, key].map(|kib| NonZeroUsize::new(kib * KIB).unwrap());
    Budget::new(BudgetOptions {
        all_max,
        address_max,
        key_max,
    })
}

fn of(host: u8) -> Option<AddressKey> {
    Some(AddressKey::V4([203, 0, 113, host].into()))
}

fn key(token: &str, text: &str) -> (Arc<Project>, Arc<Key>) {
    let key = Key {
        access: KeyAccess::Public(PublicKey::new(text)),
        client_cert: None,
        expires: None,
        permissions: Vec::new(),
        event_types: BTreeSet::new(),
    };
    let project = Project {
        token: token.to_owned(),
        kept_as: token.to_owned(),
        ids: Schema::new(&[], &[], &[]),
        keys: Vec::new(),
    };
    (Arc::new(project), Arc::new(key))
}

#[test]
fn small_calls_are_not_counted_however_full_the_budget_is() {
    let budget = budget(16, 16, 16);
    let large = budget.meter(of(1));
    large.take(16 * KIB).unwrap();
    let small = budget.meter(of(1));
    small.take(FREE_BYTES).unwrap();
    assert_eq!(small.take(1), Err(Spent::All));
    assert_eq!(budget.taken(), 16 * KIB);
}

#[test]
fn a_call_keeps_as_much_as_its_answer_has_of_what_it_held_and_no_more() {
    let budget = budget(64, 64, 64);
    let meter = budget.meter(of(1));
    assert!(!meter.keep(usize::MAX));
    meter.take(32 * KIB).unwrap();
    assert!(meter.keep(usize::MAX));
    assert_eq!(budget.taken(), 32 * KIB);
    assert!(meter.keep(8 * KIB));
    assert_eq!(budget.taken(), 16 * KIB);
    assert!(!meter.keep(FREE_BYTES));
    assert_eq!(budget.taken(), 0);
}

#[test]
fn an_address_and_a_key_have_their_shares_and_others_have_theirs() {
    let budget = budget(160, 32, 64);
    let meters: Vec<_> = (1..=3).map(|host| budget.meter(of(host))).collect();
    let (project, key) = key("t", "k");
    for meter in &meters {
        meter.of_key(project.clone(), key.clone());
    }
    meters[0].take(32 * KIB).unwrap();
    let same = budget.meter(of(1));
    assert_eq!(same.take(5 * KIB), Err(Spent::Address));
    meters[1].take(32 * KIB).unwrap();
    assert_eq!(meters[2].take(5 * KIB), Err(Spent::Key));
    // Another key at that address, and the same text in another project.
    let other = budget.meter(of(3));
    other.take(32 * KIB).unwrap();
    let proxy = budget.meter(None);
    proxy.take(64 * KIB).unwrap();
    assert_eq!(budget.meter(of(9)).take(5 * KIB), Err(Spent::All));
    drop(meters);
    drop(other);
    assert_eq!(budget.taken(), 64 * KIB);
    drop(proxy);
    let taken = budget.lock();
    assert_eq!(taken.all, 0);
    assert!(taken.by_address.is_empty() && taken.by_key.is_empty());
}

#[test]
fn what_can_never_be_had_is_told_apart() {
    let budget = budget(160, 32, 64);
    let meter = budget.meter(of(1));
    assert_eq!(meter.take(33 * KIB), Err(Spent::Never(32 * KIB)));
    meter.take(32 * KIB).unwrap();
    assert_eq!(budget.taken(), 32 * KIB);
}

#[test]
fn bytes_are_given_back_step_by_step_and_with_the_last_clone() {
    let budget = budget(160, 160, 160);
    let meter = budget.meter(of(1));
    meter.take(100 * KIB).unwrap();
    assert_eq!(budget.taken(), 112 * KIB);
    meter.give(90 * KIB);
    assert_eq!(budget.taken(), 16 * KIB);
    meter.hold(50 * KIB).unwrap();
    assert_eq!(budget.taken(), 64 * KIB);
    let clone = meter.clone();
    drop(meter);
    assert_eq!(budget.taken(), 64 * KIB);
    clone.hold(FREE_BYTES).unwrap();
    assert_eq!(budget.taken(), 0);
    clone.hold(50 * KIB).unwrap();
    drop(clone);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn whatever_is_taken_and_given_by_threads_comes_back_to_rest() {
    let budget = budget(256, 64, 128);
    let (project, key) = key("t", "k");
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (budget, project, key) = (&budget, &project, &key);
            scope.spawn(move || {
                for round in 0..2_000_usize {
                    let meter = budget.meter(of(u8::try_from(thread % 3).unwrap()));
                    if round % 2 == 0 {
                        meter.of_key(project.clone(), key.clone());
                    }
                    for step in 0..4 {
                        let _ = meter.take((round * 7 + step * 13) % 64 * KIB);
                        meter.give((round * 5 + step) % 32 * KIB);
                        assert!(budget.taken() <= 256 * KIB);
                    }
                }
            });
        }
    });
    let taken = budget.lock();
    assert_eq!(taken.all, 0);
    assert!(taken.by_address.is_empty() && taken.by_key.is_empty());
}
