//! Erased customers, and records that are too old: what is left folds into what is read.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::super::purge;
use super::{expire, take_out};
use crate::view::Error;
use crate::view::tests::{Bench, Naive, Request, check, erase, event, requests, update};

#[derive(Clone, Debug)]
enum Step {
    Requests(Vec<Request>),
    /// The records of erased customers leave the log.
    TakeOut,
    /// All but so many of the last records are too old.
    Expire(u64),
    /// The view is rebuilt.
    Rebuild,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(requests(), 1..12).prop_map(Step::Requests),
        2 => Just(Step::TakeOut),
        2 => (0..20_u64).prop_map(Step::Expire),
        1 => Just(Step::Rebuild),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_left_of_a_log_folds_into_what_is_read(steps in vec(steps(), 1..12)) {
        let mut naive = Naive::default();
        let mut bench = Bench::new();
        let mut arrived = 0;
        for step in steps {
            match step {
                Step::Requests(requests) => {
                    requests.iter().for_each(|request| naive.apply(request));
                    arrived += requests.len() as u64;
                    bench.takes(&requests);
                }
                Step::TakeOut => take_out(&bench),
                Step::Expire(left) => {
                    expire(&bench, arrived.saturating_sub(left));
                    naive.expire(arrived.saturating_sub(left));
                }
                Step::Rebuild => {
                    bench = bench.fresh();
                    bench.settle();
                }
            }
            check(&bench, &naive)?;
            prop_assert_eq!(bench.differences(), Vec::<String>::new());
        }
    }
}

const A: (&str, &str) = ("registered", "secret-a");
const B: (&str, &str) = ("registered", "b");
const C: (&str, &str) = ("cookie", "secret-c");
const E: (&str, &str) = ("email", "secret-e");

#[test]
fn an_erased_customer_is_nobody_at_once_and_nowhere_in_the_log_later() {
    let mut bench = Bench::new();
    bench.takes(&[
        update(&[C], r#"{"x":"secret-1"}"#, 1),
        event(&[C], "secret-visit", r#"{"y":"secret-2"}"#, 1),
        event(&[C], "secret-visit", r#"{"y":"secret-2"}"#, 1),
        update(&[A, C], r#"{"x":"secret-3"}"#, 2),
        event(&[B], "visit", "{}", 1),
        erase(&[C]),
    ]);
    for (kind, value) in [A, C] {
        assert_eq!(bench.ask("p", kind, value), None);
    }
    assert_eq!(bench.counts().erased, 1);
    assert!(bench.log_says("secret"));
    take_out(&bench);
    assert!(!bench.log_says("secret"));
    assert_eq!(bench.asks("registered", "b").event_types(), ["visit"]);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn a_record_of_somebody_else_keeps_what_is_not_the_erased_customer_s() {
    let mut bench = Bench::new();
    bench.takes(&[
        update(&[A, E], "{}", 1),
        // The e-mail is a's, so that b does not get it.
        update(&[B, E], r#"{"x":1}"#, 2),
        erase(&[A]),
    ]);
    take_out(&bench);
    assert!(!bench.log_says("secret"));
    let fresh = bench.fresh();
    fresh.settle();
    let b = fresh.asks("registered", "b");
    assert_eq!(b.values("email"), [""; 0]);
    assert_eq!(b.properties, json!({"x": 1}));
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn an_id_that_an_erased_customer_took_does_not_come_back() {
    let mut bench = Bench::new();
    bench.takes(&[
        update(&[B, C], "{}", 1),
        // A clash: the cookie moves to a.
        update(&[A, C], "{}", 2),
        erase(&[A]),
    ]);
    take_out(&bench);
    let fresh = bench.fresh();
    fresh.settle();
    assert_eq!(fresh.ask("p", C.0, C.1), None);
    assert_eq!(fresh.asks("registered", "b").values("cookie"), [""; 0]);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn who_comes_with_an_id_of_an_erased_customer_is_new() {
    let bench = Bench::new();
    let visit = event(&[A], "visit", "{}", 1);
    bench.takes(&[visit.clone(), erase(&[A]), visit]);
    take_out(&bench);
    let new = bench.asks(A.0, A.1);
    assert_eq!(new.ids, [(3, A.0.into(), A.1.into())]);
    assert_eq!(new.event_types(), ["visit"]);
}

#[test]
fn a_customer_with_more_records_than_a_page_goes_as_a_whole() {
    let mut bench = Bench::new();
    let visits = (0..3_000).map(|second| event(&[A], "visit", r#"{"y":"secret"}"#, second));
    bench.takes(&visits.collect::<Vec<_>>());
    bench.takes(&[erase(&[A])]);
    take_out(&bench);
    assert!(!bench.log_says("secret"));
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn what_is_too_old_leaves_the_log_but_for_what_a_profile_shows() {
    let mut bench = Bench::new();
    bench.takes(&[
        update(&[A], r#"{"x":"old-1","y":"shown"}"#, 1),
        event(&[A], "visit", r#"{"z":"old-2"}"#, 1),
        event(&[], "campaign_click", r#"{"z":"old-3"}"#, 1),
        update(&[A], r#"{"x":"new"}"#, 2),
        event(&[A], "visit", r#"{"z":"young"}"#, 1),
        event(&[A], "visit", r#"{"z":"old-2"}"#, 1),
    ]);
    expire(&bench, 4);
    assert!(!bench.log_says("old-"));
    assert!(bench.log_says("shown") && bench.log_says("young"));
    let a = bench.asks(A.0, A.1);
    assert_eq!(a.properties, json!({"x": "new", "y": "shown"}));
    assert_eq!(a.events, [(1, "visit".to_owned(), json!({"z": "young"}))]);
    assert_eq!(bench.differences(), Vec::<String>::new());
    // A retry whose original is gone is an event of its own.
    bench.takes(&[event(&[A], "visit", r#"{"z":"old-2"}"#, 1)]);
    assert_eq!(bench.asks(A.0, A.1).events.len(), 2);
}

#[test]
fn an_event_that_two_customers_had_stays_twice_after_they_merge_and_is_the_same_for_a_retry() {
    let (b, visit) = (("cookie", "b"), |id| event(&[id], "visit", "{}", 5));
    let mut bench = Bench::new();
    bench.takes(&[
        visit(b),
        visit(A),
        update(&[A, b], "{}", 1),
        visit(A),
        visit(b),
    ]);
    assert_eq!(
        bench.asks(A.0, A.1).event_types(),
        ["visit", "visit", "merge"]
    );
    assert_eq!(bench.counts().duplicates, 2);
    assert_eq!(bench.differences(), Vec::<String>::new());
    expire(&bench, 1);
    assert_eq!(bench.asks(A.0, A.1).event_types(), ["visit", "merge"]);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn records_that_changed_nothing_leave_not_even_their_ids() {
    let bench = Bench::new();
    let visit = |second| event(&[A], "visit", "{}", second);
    bench.takes(&[visit(1), visit(2), visit(3), visit(4)]);
    expire(&bench, 3);
    let left = bench.ids_in_log();
    assert_eq!(left, [1, 0, 0, 1], "IDs of each record");
}

#[test]
fn the_view_goes_on_while_a_backup_keeps_what_is_too_old_in_the_log() {
    let bench = Bench::new();
    let visit = |second| event(&[A], "visit", "{}", second);
    bench.takes(&[visit(1), visit(2), visit(3), visit(4)]);
    let (begins, begun) = std::sync::mpsc::channel();
    let view = bench.view();
    let cutoff = view.log().last();
    let still = view.log().pin();
    std::thread::scope(|scope| {
        let sweep = scope.spawn(move || {
            let is_over = || begins.send(()).is_err();
            super::super::expire(view, cutoff, &is_over).unwrap();
        });
        begun.recv().unwrap();
        for second in 5..100 {
            bench.takes(&[visit(second)]);
        }
        assert_eq!(bench.ids_in_log().len(), 99);
        assert!(bench.ids_in_log().iter().all(|ids| *ids == 1));
        drop(still);
        while begun.recv().is_ok() {}
        sweep.join().unwrap();
    });
    assert_eq!(bench.ids_in_log().iter().take(4).sum::<usize>(), 1);
}

#[test]
fn nothing_counts_as_gone_while_somebody_reads_what_was_there() {
    let bench = Bench::new();
    bench.takes(&[update(&[A], "{}", 1), erase(&[A])]);
    take_out(&bench);
    let reader = bench.view().snapshot();
    // A second try does not forget the earlier reader.
    for _ in 0..2 {
        assert!(matches!(purge(bench.view()), Err(Error::StillRead)));
        assert!(bench.view().log().is_purge_pending().unwrap());
    }
    drop(reader);
    purge(bench.view()).unwrap();
    assert!(!bench.view().log().is_purge_pending().unwrap());
}
