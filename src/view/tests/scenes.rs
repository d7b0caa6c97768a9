//! Single scenes of linking, merging and reading.

use serde_json::json;

use super::super::{Error, View};
use super::bench::Bench;
use super::request::{Request, anonymize, event, update};
use crate::log::memory::MemoryStore;
use crate::log::{Log, Options};

const A: (&str, &str) = ("registered", "a");
const C: (&str, &str) = ("cookie", "c");
const D: (&str, &str) = ("device", "d");

#[test]
fn an_event_sent_again_changes_nothing() {
    let bench = Bench::new();
    let first = event(&[C], "buy", r#"{"x":1,"y":{"k":1,"l":2}}"#, 5);
    let again = event(&[C], "buy", r#"{"y":{"l":2,"k":1},"x":1}"#, 5);
    bench.takes(&[first.clone(), first]);
    bench.takes(&[again]);
    assert_eq!(bench.asks("cookie", "c").events.len(), 1);
    assert_eq!(bench.counts().duplicates, 2);
}

#[test]
fn an_event_that_differs_in_one_thing_is_another() {
    let bench = Bench::new();
    bench.takes(&[
        event(&[C], "buy", r#"{"x":1}"#, 5),
        event(&[C], "buy", r#"{"x":1.0}"#, 5),
        event(&[C], "buy", r#"{"x":"1"}"#, 5),
        event(&[C], "buy", r#"{"x":[1]}"#, 5),
        event(&[C], "buy", r#"{"x":1,"y":null}"#, 5),
        event(&[C], "buy", r#"{"x":1}"#, 6),
        event(&[C], "sell", r#"{"x":1}"#, 5),
        event(&[("cookie", "other")], "buy", r#"{"x":1}"#, 5),
    ]);
    assert_eq!(bench.asks("cookie", "c").events.len(), 7);
    assert_eq!(bench.counts().duplicates, 0);
}

#[test]
fn a_consent_is_kept_each_time() {
    let bench = Bench::new();
    let consent = event(&[C], "consent", r#"{"x":1}"#, 5);
    bench.takes(&[consent.clone(), consent.clone()]);
    bench.takes(&[consent]);
    assert_eq!(bench.asks("cookie", "c").events.len(), 3);
}

#[test]
fn an_event_sent_again_after_a_merge_is_still_known() {
    let bench = Bench::new();
    let buy = event(&[D], "buy", "{}", 5);
    bench.takes(&[
        event(&[C], "visit", "{}", 1),
        buy.clone(),
        event(&[C, D], "visit", "{}", 2),
        buy,
    ]);
    let answer = bench.asks("cookie", "c");
    assert_eq!(answer.event_types(), ["visit", "visit", "buy", "merge"]);
    assert_eq!(bench.counts().duplicates, 1);
}

#[test]
fn a_merge_is_recorded_with_the_ids_that_came() {
    let bench = Bench::new();
    bench.takes(&[
        update(&[C], r#"{"p":1}"#, 1),
        update(&[A, D], r#"{"q":2}"#, 1),
        update(&[A, C], "{}", 1),
    ]);
    let answer = bench.asks("registered", "a");
    let (_, event_type, properties) = &answer.events[0];
    assert_eq!(event_type, "merge");
    assert_eq!(properties, &json!({"registered": "a", "device": ["d"]}));
    assert_eq!(answer.properties, json!({"p": 1, "q": 2}));
    assert_eq!(bench.asks("cookie", "c"), answer);
    assert_eq!(bench.asks("device", "d"), answer);
}

/// The clock that says when a record was received may be set back.
#[test]
fn a_customer_that_merges_twice_in_the_same_way_at_one_time_has_merged_twice() {
    const B: (&str, &str) = ("registered", "b");
    let bench = Bench::new();
    let requests = [
        update(&[A], "{}", 1),
        update(&[C], "{}", 1),
        update(&[A, C], "{}", 1),
        // They clash, so that the cookie moves, and is free after that.
        update(&[B, C], "{}", 1),
        anonymize(&[B]),
        update(&[C], "{}", 1),
        update(&[A, C], "{}", 1),
    ];
    bench.append_records(requests.iter().map(|request| request.record(1)));
    bench.settle();
    assert_eq!(bench.counts().merges, 2);
    let answer = bench.asks("registered", "a");
    assert_eq!(answer.event_types(), ["merge", "merge"]);
}

#[test]
fn of_two_values_the_one_updated_later_survives_a_merge() {
    for (older, newer) in [(C, D), (D, C)] {
        let bench = Bench::new();
        bench.takes(&[
            update(&[C], "{}", 1),
            update(&[newer], r#"{"p":"newer"}"#, 9),
            update(&[older], r#"{"p":"older"}"#, 8),
            update(&[C, D], "{}", 1),
        ]);
        assert_eq!(bench.asks("cookie", "c").properties, json!({"p": "newer"}));
    }
}

#[test]
fn an_older_update_does_not_undo_a_newer_one() {
    let bench = Bench::new();
    bench.takes(&[
        update(&[C], r#"{"p":1,"q":1}"#, 5),
        update(&[C], r#"{"p":2,"r":2}"#, 4),
        update(&[C], r#"{"q":null}"#, 5),
    ]);
    let expected = json!({"p": 1, "q": null, "r": 2});
    assert_eq!(bench.asks("cookie", "c").properties, expected);
}

#[test]
fn merges_in_either_order_read_the_same() {
    let pieces = [("cookie", "x"), ("device", "y"), ("registered", "z")];
    let first: Vec<Request> = (1..)
        .zip(pieces)
        .flat_map(|(n, id)| {
            let json = format!(r#"{{"common":{n},"{}":{n}}}"#, id.0);
            [
                update(&[id], &json, 10 - n),
                event(&[id], "visit", &json, n),
            ]
        })
        .collect();
    let [x, y, z] = pieces;
    let orders = [
        vec![update(&[x, y], "{}", 1), update(&[z, x], "{}", 1)],
        vec![update(&[z, y], "{}", 1), update(&[y, x], "{}", 1)],
        vec![update(&[z, x], "{}", 1), update(&[z, y], "{}", 1)],
        vec![update(&[z, x, y], "{}", 1), update(&[z, x, y], "{}", 1)],
    ];
    let answers = orders.map(|order| {
        let bench = Bench::new();
        bench.takes(&first);
        bench.takes(&order);
        let mut answer = bench.asks("registered", "z");
        assert_eq!(bench.counts().merges, 2);
        // The events of the merges themselves do depend on their order.
        answer
            .events
            .retain(|(_, event_type, _)| event_type != "merge");
        answer
    });
    assert_eq!(answers[0].events.len(), 3);
    for answer in &answers[1..] {
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn projects_do_not_see_each_other() {
    let bench = Bench::new();
    let here = update(&[A, C], r#"{"p":1}"#, 1);
    let there = Request {
        project: "q",
        ..update(&[C], r#"{"p":2}"#, 1)
    };
    bench.takes(&[here, there]);
    assert_eq!(bench.asks("cookie", "c").properties, json!({"p": 1}));
    let there = bench.ask("q", "cookie", "c").unwrap();
    assert_eq!(there.properties, json!({"p": 2}));
    assert_eq!(bench.ask("q", "registered", "a"), None);
    assert_eq!(bench.ask("unheard of", "cookie", "c"), None);
}

#[test]
fn a_view_that_is_removed_is_folded_anew() {
    let mut bench = Bench::new();
    bench.takes(&[
        update(&[A, C], r#"{"p":1}"#, 1),
        event(&[C], "visit", "{}", 2),
    ]);
    let before = bench.asks("registered", "a");
    bench.close();
    View::remove(&bench.dir().join("view")).unwrap();
    assert!(!bench.dir().join("view").exists());
    bench.open();
    bench.settle();
    assert_eq!(bench.asks("registered", "a"), before);
    assert_eq!(bench.counts().records, 2);
}

#[test]
fn a_view_that_is_opened_again_applies_nothing_twice() {
    let mut bench = Bench::new();
    bench.takes(&[event(&[C], "consent", "{}", 2)]);
    bench.close();
    bench.open();
    bench.settle();
    assert_eq!(bench.counts().records, 0);
    assert_eq!(bench.asks("cookie", "c").events.len(), 1);
}

#[test]
fn a_log_that_lost_what_the_view_has_seen_is_refused() {
    let mut bench = Bench::new();
    bench.takes(&[event(&[C], "visit", "{}", 2)]);
    bench.close();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let clock = crate::clock::ManualClock::starting_at(std::time::Duration::ZERO);
    let store = std::sync::Arc::new(MemoryStore::default());
    let empty = Log::start(store, &Options::default(), std::sync::Arc::new(clock)).unwrap();
    let view = View::start(&bench.dir().join("view"), empty, runtime.handle().clone());
    assert!(matches!(view, Err(Error::Ahead { .. })));
}

/// Changes the files of a closed view, opens it again, and says how many records it folded to be as before.
fn rebuilt(change: impl FnOnce(&std::path::Path)) -> u64 {
    let mut bench = Bench::new();
    let text = "long ".repeat(2_000);
    let properties = serde_json::json!({"text": text}).to_string();
    bench.takes(&[event(&[C], "visit", "{}", 1), update(&[C], &properties, 2)]);
    bench.takes(&[
        event(&[D], "visit", "{}", 3),
        event(&[C, D, A], "visit", "{}", 4),
    ]);
    let before = bench.asks("cookie", "c");
    bench.close();
    change(&bench.dir().join("view"));
    bench.open();
    bench.settle();
    assert_eq!(bench.asks("cookie", "c"), before);
    bench.counts().records
}

/// Changes every table of a closed view.
fn change_tables(view: &std::path::Path, change: impl Fn(&mut Vec<u8>)) {
    for table in std::fs::read_dir(view.join("keyspaces/1/tables")).unwrap() {
        let path = table.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_view_with_a_damaged_table_is_rebuilt() {
    assert_eq!(rebuilt(|_| {}), 0, "a whole one is not");
    let folded = rebuilt(|view| change_tables(view, |bytes| bytes.truncate(bytes.len() / 2)));
    assert_eq!(folded, 4);
}

#[test]
fn a_view_starts_whatever_row_is_damaged() {
    const PARTS: usize = 20;
    let events = |n: i64| {
        let (registered, cookie) = (format!("r-{n}"), format!("c-{}", n * n));
        let ids = [
            ("registered", registered.as_str()),
            ("cookie", cookie.as_str()),
        ];
        let properties = format!(r#"{{"n": {n}}}"#);
        [
            update(&ids, &properties, n),
            event(&ids, "visit", &properties, n),
        ]
    };
    for part in 0..PARTS {
        let mut bench = Bench::new();
        let requests: Vec<_> = (1..200).flat_map(events).collect();
        bench.takes(&requests);
        bench.close();
        change_tables(&bench.dir().join("view"), |bytes| {
            let at = bytes.len() * part / PARTS;
            bytes[at] ^= 4;
        });
        bench.open();
    }
}
