//! More soft IDs than a customer may have.

use proptest::collection::vec;
use proptest::prelude::*;

use super::bench::Bench;
use super::naive::Naive;
use super::request::{Request, event, update};

fn visits(hard: &'static str, cookie: usize) -> Request {
    let cookie = format!("c-{cookie}");
    let ids = [("registered", hard), ("cookie", cookie.as_str())];
    event(&ids, "visit", "{}", 1)
}

fn values(cookies: impl IntoIterator<Item = usize>) -> Vec<String> {
    cookies.into_iter().map(|n| format!("c-{n}")).collect()
}

#[test]
fn the_65th_soft_id_drops_the_one_unused_for_longest() {
    let bench = Bench::new();
    let mut history: Vec<_> = (0..64).map(|n| visits("a", n)).collect();
    // The first one is used again, alone: now the second is the least recently used one.
    history.push(event(&[("cookie", "c-0")], "visit", "{}", 2));
    bench.takes(&history);
    assert_eq!(bench.asks("registered", "a").values("cookie").len(), 64);
    bench.takes(&[visits("a", 64)]);
    let kept = values([0].into_iter().chain(2..65));
    assert_eq!(bench.asks("registered", "a").values("cookie"), kept);
    assert_eq!(bench.ask("p", "cookie", "c-1"), None);
    assert_eq!(bench.counts().evictions, 1);
}

#[test]
fn a_dropped_id_names_a_new_customer_when_it_comes_alone() {
    let bench = Bench::new();
    let history: Vec<_> = (0..65).map(|n| visits("a", n)).collect();
    bench.takes(&history);
    bench.takes(&[update(&[("cookie", "c-0")], r#"{"new":true}"#, 1)]);
    let answer = bench.asks("cookie", "c-0");
    assert_eq!(answer.values("cookie"), ["c-0"]);
    assert_eq!(answer.values("registered"), [""; 0]);
}

#[test]
fn each_soft_type_has_64_ids_of_its_own() {
    let bench = Bench::new();
    let history: Vec<_> = (0..70)
        .map(|n| {
            let kind = ["cookie", "device"][n % 2];
            let value = format!("v-{n}");
            event(
                &[("registered", "a"), (kind, value.as_str())],
                "visit",
                "{}",
                1,
            )
        })
        .collect();
    bench.takes(&history);
    let answer = bench.asks("registered", "a");
    assert_eq!(answer.values("cookie").len(), 35);
    assert_eq!(answer.values("device").len(), 35);
}

#[test]
fn an_id_that_the_request_names_is_not_dropped_by_its_own_merge() {
    let bench = Bench::new();
    let mut history = vec![event(&[("cookie", "old")], "visit", "{}", 1)];
    history.extend((0..64).map(|n| visits("a", n)));
    // The cookie was the least recently used one, but is in use now.
    history.push(event(
        &[("registered", "a"), ("cookie", "old")],
        "visit",
        "{}",
        2,
    ));
    bench.takes(&history);
    let answer = bench.asks("cookie", "old");
    assert_eq!(answer.values("registered"), ["a"]);
    let kept = [vec!["old".to_owned()], values(1..64)].concat();
    assert_eq!(answer.values("cookie"), kept);
    assert_eq!(bench.counts().evictions, 1);
}

#[test]
fn the_use_of_a_soft_id_counts_once_its_customer_has_several_of_its_type() {
    let bench = Bench::new();
    let mut history = vec![visits("a", 0)];
    let other = |n: usize| {
        let cookie = format!("c-{n}");
        event(&[("cookie", &cookie), ("device", "d")], "visit", "{}", 1)
    };
    history.extend((1..65).map(other));
    // The only cookie of its customer: it need not be remembered that it was used again.
    history.push(event(&[("cookie", "c-0")], "visit", "{}", 2));
    // One of many.
    history.push(event(&[("cookie", "c-1")], "visit", "{}", 2));
    // The customers merge, and have a cookie too many.
    history.push(event(
        &[("registered", "a"), ("device", "d")],
        "visit",
        "{}",
        3,
    ));
    bench.takes(&history);
    let answer = bench.asks("registered", "a");
    assert_eq!(answer.values("cookie"), values(1..65));
    let mut naive = Naive::default();
    history.iter().for_each(|request| naive.apply(request));
    assert_eq!(Some(answer), naive.ask("p", "registered", "a"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn many_soft_ids_leave_the_ones_that_the_naive_model_leaves(
        uses in vec((0..3_usize, 0..100_usize, 0..10_u8), 250),
    ) {
        let history: Vec<_> = uses
            .into_iter()
            .map(|(customer, cookie, kind)| {
                let cookie = format!("c-{cookie}");
                let device = ["d-0", "d-1", "d-2"][customer];
                match kind {
                    0 => event(&[("cookie", &cookie)], "visit", "{}", 1),
                    1 => event(&[("cookie", &cookie), ("device", "d-0")], "visit", "{}", 1),
                    _ => event(&[("cookie", &cookie), ("device", device)], "visit", "{}", 1),
                }
            })
            .collect();
        let mut naive = Naive::default();
        history.iter().for_each(|request| naive.apply(request));
        let bench = Bench::new();
        bench.takes(&history);
        for cookie in values(0..100) {
            prop_assert_eq!(bench.ask("p", "cookie", &cookie), naive.ask("p", "cookie", &cookie));
        }
        prop_assert_eq!(bench.counts(), naive.counts);
    }
}
