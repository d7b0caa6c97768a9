//! Events in pages.

use super::super::{Cancel, Error, Events, Order};
use super::bench::{Bench, everything};
use super::request::{event, ids};
use crate::model::event::EventType;

const C: (&str, &str) = ("cookie", "c");

#[test]
fn pages_of_one_moment_go_by_arrival_and_end_where_they_are_full() {
    const COUNT: u64 = 300;
    let bench = Bench::new();
    // The order of the contents is not that of the arrival.
    let events = (0..COUNT).map(|n| event(&[C], "visit", &format!(r#"{{"n":{n}}}"#), 7));
    let others = [event(&[C], "visit", "{}", 6), event(&[C], "visit", "{}", 8)];
    bench.takes(&events.chain(others).collect::<Vec<_>>());
    let snapshot = bench.view().snapshot();
    let found = snapshot
        .find("p", &ids(&[(C.0, C.1.to_owned())]))
        .unwrap()
        .unwrap();
    let mut all: Vec<_> = (0..COUNT).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    all.insert(0, "{}".to_owned());
    all.push("{}".to_owned());
    for order in [Order::Ascending, Order::Descending] {
        let (mut read, mut after, mut skip) = (Vec::new(), None, 5);
        loop {
            let mut room = 7;
            let wanted = Events {
                order,
                after,
                skip,
                ..everything()
            };
            let rest = snapshot.each_event(&found, &wanted, |event| {
                let fits = room > 0;
                if fits {
                    room -= 1;
                    let mut json = Vec::new();
                    event.properties.write_json(&mut json);
                    read.push(String::from_utf8(json).unwrap());
                }
                fits
            });
            let Some(rest) = rest.unwrap() else {
                break;
            };
            assert_eq!((room, rest.skip, rest.limited), (0, 0, false));
            (after, skip) = (rest.after, rest.skip);
        }
        assert_eq!(read, all[5..], "{order:?}");
        all.reverse();
    }
}

#[test]
fn a_read_that_nobody_waits_for_ends_between_rows() {
    let bench = Bench::new();
    let events = (0..3).map(|n| event(&[C], "visit", &format!(r#"{{"n":{n}}}"#), n));
    bench.takes(&events.collect::<Vec<_>>());
    let (cancel, waiting) = Cancel::new();
    let snapshot = bench.view().snapshot().until(cancel);
    let found = snapshot
        .find("p", &ids(&[(C.0, C.1.to_owned())]))
        .unwrap()
        .unwrap();
    let (mut waiting, mut given) = (Some(waiting), 0);
    let read = snapshot.each_event(&found, &everything(), |_| {
        waiting.take();
        given += 1;
        true
    });
    assert!(matches!(read, Err(Error::Cancelled)));
    assert_eq!(given, 1);
}

#[test]
fn a_page_that_passes_many_rows_ends_and_goes_on_behind_their_moment() {
    let bench = Bench::new();
    let passed = |at| (0..40).map(move |n| event(&[C], "visit", &format!(r#"{{"n":{n}}}"#), at));
    let wanted = [event(&[C], "buy", "{}", 1), event(&[C], "buy", "{}", 9)];
    let events: Vec<_> = wanted.into_iter().chain((3..8).flat_map(passed)).collect();
    bench.takes(&events);
    let snapshot = bench.view().snapshot();
    let found = snapshot.find("p", &ids(&[(C.0, C.1.to_owned())]));
    let found = found.unwrap().unwrap();
    let types = [EventType::parse("buy").unwrap()];
    for order in [Order::Ascending, Order::Descending] {
        let (mut given, mut after, mut pages) = (0, None, 0);
        loop {
            let wanted = Events {
                types: Some(&types),
                order,
                after,
                rows_max: 30,
                ..everything()
            };
            let take = |_| {
                given += 1;
                true
            };
            pages += 1;
            let rest = snapshot.each_event(&found, &wanted, take).unwrap();
            let Some(rest) = rest else {
                break;
            };
            assert_ne!(rest.after, after, "each page comes further");
            after = rest.after;
        }
        // One for each moment: none of its rows is passed twice.
        assert_eq!((given, pages), (2, 6), "{order:?}");
    }
}
