//! Customers that lose their IDs and properties.

use super::bench::Bench;
use super::request::{anonymize, event, update};

const A: (&str, &str) = ("registered", "a");
const B: (&str, &str) = ("registered", "b");
const C: (&str, &str) = ("cookie", "c");
const D: (&str, &str) = ("device", "d");

#[test]
fn every_id_of_an_anonymous_customer_names_nobody() {
    let bench = Bench::new();
    bench.takes(&[update(&[A, C, D], r#"{"x":1}"#, 1), anonymize(&[C])]);
    for (kind, value) in [A, C, D] {
        assert_eq!(bench.ask("p", kind, value), None);
    }
    assert_eq!(bench.counts().anonymized, 1);
}

#[test]
fn who_comes_with_an_id_of_an_anonymous_customer_is_new() {
    let bench = Bench::new();
    let visit = event(&[A], "visit", "{}", 1);
    bench.takes(&[update(&[A, C], r#"{"x":1}"#, 9), visit.clone()]);
    // In the batch of the anonymisation too: what comes behind it sees it.
    bench.takes(&[anonymize(&[A]), update(&[A], r#"{"y":2}"#, 1), visit]);
    let new = bench.asks("registered", "a");
    assert_eq!(new.properties, serde_json::json!({"y": 2}));
    assert_eq!(new.event_types(), ["visit"]);
    assert_eq!(new.ids, [(4, "registered".into(), "a".into())]);
    assert_eq!(bench.ask("p", "cookie", "c"), None);
}

#[test]
fn what_merged_into_a_customer_goes_with_it() {
    let bench = Bench::new();
    bench.takes(&[
        update(&[C], r#"{"x":1}"#, 1),
        update(&[D], r#"{"y":1}"#, 1),
        update(&[C, D], "{}", 2),
        anonymize(&[D]),
        update(&[C], "{}", 3),
        update(&[D], "{}", 3),
    ]);
    for (kind, value) in [C, D] {
        let new = bench.asks(kind, value);
        assert_eq!(new.properties, serde_json::json!({}));
        assert!(new.events.is_empty());
        assert_eq!(new.ids.len(), 1);
    }
}

#[test]
fn of_several_customers_the_first_known_id_decides_and_nothing_merges() {
    let bench = Bench::new();
    bench.takes(&[
        update(&[A], "{}", 1),
        update(&[C], r#"{"x":1}"#, 1),
        anonymize(&[B, C]),
        anonymize(&[A, D]),
    ]);
    assert_eq!(bench.ask("p", "cookie", "c"), None);
    assert_eq!(bench.ask("p", "registered", "a"), None);
    assert_eq!(bench.ask("p", "registered", "b"), None);
    assert_eq!(bench.ask("p", "device", "d"), None);
    assert_eq!(bench.counts().merges, 0);
}

#[test]
fn nobody_is_anonymised_twice_and_another_project_s_customer_not_at_all() {
    let bench = Bench::new();
    let mut other = update(&[A], "{}", 1);
    other.project = "q";
    bench.takes(&[update(&[A], "{}", 1), other]);
    bench.takes(&[anonymize(&[A]), anonymize(&[A])]);
    assert_eq!(bench.counts().anonymized, 1);
    assert!(bench.ask("q", "registered", "a").is_some());
}
