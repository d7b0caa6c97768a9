//! Random histories: the view answers as the naive model does, however it comes to its state.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Events, Order};
use super::bench::{Bench, everything};
use super::naive::Naive;
use super::request::{Request, What};
use crate::model::event::EventType;

const PROJECTS: [&str; 2] = ["p", "q"];
/// How many values of each ID type there are.
const VALUES: [(&str, usize); 4] = [
    ("registered", 3),
    ("email", 3),
    ("cookie", 4),
    ("device", 2),
];

/// Texts of three objects, in several spellings.
const EVENTS: [&str; 6] = [
    r#"{"x":1,"y":[1,{"k":null,"l":"t"}]}"#,
    r#"{ "y":[1, {"l":"\u0074","k":null}], "x":1 }"#,
    r#"{"x":1.0,"y":[1,{"k":null,"l":"t"}]}"#,
    r#"{"y":[1,{"l":"t","k":null}],"x":10e-1}"#,
    "{}",
    "{ }",
];

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let ids = (
        weighted(0.4, 0..VALUES[0].1),
        weighted(0.3, 0..VALUES[1].1),
        weighted(0.7, 0..VALUES[2].1),
        weighted(0.2, 0..VALUES[3].1),
    );
    let ids = ids.prop_map(|(a, b, c, d)| {
        let chosen = VALUES.iter().zip([a, b, c, d]);
        chosen
            .filter_map(|((kind, _), number)| Some((*kind, format!("{kind}-{}", number?))))
            .collect()
    });
    let project = prop_oneof![4 => Just("p"), 1 => Just("q")];
    (project, ids, commands()).prop_map(|(project, ids, what)| Request { project, ids, what })
}

pub(crate) fn commands() -> impl Strategy<Value = What> {
    let value = select(vec!["1", "2", "1.0", "null", r#""x""#, r#"{"k":[]}"#]);
    // More names than a customer may have in tests.
    let names = 'a'..'m';
    let values = vec(weighted(0.25, value), names.clone().count());
    let properties = values.prop_map(move |values| {
        let named = names.clone().zip(values);
        let entries = named.filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    });
    let update = (properties, 0..4_i64).prop_map(|(json, seconds)| What::Update { json, seconds });
    let types = select(vec!["visit", "visit", "buy", "consent"]);
    let event = (types, select(&EVENTS[..]), 0..3_i64).prop_map(|(event_type, json, seconds)| {
        What::Event {
            event_type,
            json: json.to_owned(),
            seconds,
        }
    });
    prop_oneof![5 => update, 5 => event, 1 => Just(What::Anonymize), 1 => Just(What::Erase)]
}

/// Compares everything that can be asked.
pub(crate) fn check(bench: &Bench, naive: &Naive) -> Result<(), TestCaseError> {
    for project in PROJECTS {
        for (kind, count) in VALUES {
            for value in (0..count).map(|number| format!("{kind}-{number}")) {
                let answer = bench.ask(project, kind, &value);
                let expected = naive.ask(project, kind, &value);
                prop_assert_eq!(&answer, &expected, "{} {}", project, value);
                if answer.is_some() {
                    check_pages(bench, project, kind, &value)?;
                }
            }
        }
    }
    Ok(())
}

/// Every way to read events is a part of reading all of them.
fn check_pages(
    bench: &Bench,
    project: &str,
    kind: &'static str,
    value: &str,
) -> Result<(), TestCaseError> {
    let read = |wanted: &Events<'_>| bench.events(project, kind, value, wanted);
    let all = read(&everything());
    let mut reversed = read(&Events {
        order: Order::Descending,
        ..everything()
    });
    reversed.reverse();
    prop_assert_eq!(&reversed, &all);
    for skip in 0..all.len().min(4) {
        let page = read(&Events {
            skip: skip as u64,
            limit: 2,
            ..everything()
        });
        let expected: Vec<_> = all.iter().skip(skip).take(2).cloned().collect();
        prop_assert_eq!(page, expected);
    }
    let types = [EventType::parse("visit").unwrap(), EventType::merge()];
    let mut chosen = all;
    chosen.retain(|event| types.iter().any(|t| t.as_str() == event.event_type));
    let page = read(&Events {
        types: Some(&types),
        ..everything()
    });
    prop_assert_eq!(page, chosen);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_view_answers_as_the_naive_model_does(
        history in vec(requests(), 1..50),
        batches in vec(1..8_usize, 50),
        reopened in 0..10_usize,
        killed in 0..10_usize,
    ) {
        let mut naive = Naive::default();
        history.iter().for_each(|request| naive.apply(request));
        let mut bench = Bench::new();
        let mut rest = &history[..];
        for (number, batch) in batches.into_iter().enumerate() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            if now.is_empty() {
                break;
            }
            bench.append(now);
            // Otherwise the view's batches are left to chance.
            if batch % 2 == 0 {
                bench.settle();
            }
            if number == reopened {
                bench.close();
                bench.open();
            }
            if number == killed {
                bench.kill();
                bench.open();
            }
            rest = later;
        }
        bench.settle();
        check(&bench, &naive)?;
        let fresh = bench.fresh();
        fresh.settle();
        check(&fresh, &naive)?;
        prop_assert_eq!(fresh.counts(), naive.counts);
        let in_memory = bench.in_memory();
        in_memory.settle();
        check(&in_memory, &naive)?;
        prop_assert_eq!(in_memory.counts(), naive.counts);
    }
}
