//! Projects and large records that must not keep others waiting.

use super::bench::Bench;
use super::request::{Request, erase, event, update};

const A: (&str, &str) = ("registered", "a");

fn of(project: &'static str, request: Request) -> Request {
    Request { project, ..request }
}

fn visits(count: i64) -> Vec<Request> {
    (0..count)
        .map(|second| event(&[A], "visit", "{}", second))
        .collect()
}

#[test]
fn a_project_s_backlog_keeps_no_other_project_waiting() {
    let mut bench = Bench::new();
    {
        let _paused = bench.view().pause();
        bench.append(&visits(20_000));
        bench.append(&[of("q", update(&[A], r#"{"x":1}"#, 1))]);
    }
    bench.shows("q");
    let busy = bench.view().project("p");
    assert!(busy.applied() < busy.expected(), "p is not through yet");
    assert_eq!(bench.ask("q", A.0, A.1).unwrap().properties["x"], 1);
    bench.shows("p");
    assert_eq!(bench.asks(A.0, A.1).events.len(), 20_000);
    bench.settle();
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn erasing_many_events_keeps_no_other_project_waiting() {
    let mut bench = Bench::new();
    bench.takes(&visits(5_000));
    {
        let _paused = bench.view().pause();
        bench.append(&[erase(&[A])]);
        bench.append(&[of("q", update(&[A], "{}", 1))]);
    }
    bench.shows("q");
    let busy = bench.view().project("p");
    assert!(busy.applied() < busy.expected(), "p is not through yet");
    assert_eq!(bench.ask("p", A.0, A.1), None, "the customer goes at once");
    bench.settle();
    assert_eq!(bench.counts().erased, 1);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn work_that_a_stop_interrupts_goes_on_at_the_next_start() {
    let mut bench = Bench::new();
    bench.takes(&visits(2_000));
    bench.append(&[erase(&[A]), event(&[A], "again", "{}", 1)]);
    bench.close();
    bench.open();
    bench.settle();
    assert_eq!(bench.asks(A.0, A.1).event_types(), ["again"]);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn a_customer_whose_events_are_being_moved_has_all_of_them() {
    let b = ("cookie", "b");
    let mut bench = Bench::new();
    // The one with more merges keeps its number, and the 2,000 events move there.
    bench.takes(&visits(2_000));
    bench.takes(&[
        event(&[b], "visit", "{}", 5),
        event(&[("device", "c")], "visit", "{}", 5),
        update(&[b, ("device", "c")], "{}", 1),
    ]);
    bench.append(&[update(&[A, b], "{}", 2)]);
    for _ in 0..20 {
        if let Some(answer) = bench.ask("p", b.0, b.1) {
            let visits = answer
                .events
                .iter()
                .filter(|(_, kind, _)| kind == "visit")
                .count();
            assert!(visits == 2 || visits == 2_002, "{visits} events");
        }
    }
    bench.settle();
    let answer = bench.asks(A.0, A.1);
    let visits = answer.events.iter().filter(|(_, kind, _)| kind == "visit");
    assert_eq!(visits.count(), 2_002);
    assert_eq!(bench.counts().merges, 2);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn a_customer_that_merges_with_thousands_stays_one_number_to_ask() {
    let mut bench = Bench::new();
    let devices: Vec<_> = (0..300).map(|number| format!("d-{number}")).collect();
    for device in &devices {
        bench.append(&[
            event(&[("device", device)], "visit", "{}", 1),
            update(&[A, ("device", device)], "{}", 1),
        ]);
    }
    bench.settle();
    assert_eq!(bench.counts().merges, 299);
    let snapshot = bench.view().snapshot();
    let ids = super::request::ids(&[(A.0, A.1.to_owned())]);
    let found = snapshot.find("p", &ids).unwrap().unwrap();
    assert_eq!(found.numbers().count(), 1);
    drop(snapshot);
    assert_eq!(bench.differences(), Vec::<String>::new());
}
