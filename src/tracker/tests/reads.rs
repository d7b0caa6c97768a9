//! Queries.

use std::sync::Arc;

use super::super::page_token::PageToken;
use super::super::{ATTRIBUTES_MAX, Attribute, Error, GetCustomer, ListEvents, TYPES_MAX};
use super::bench::{Bench, CustomerState, ids, json, list_events, read_customer};
use crate::model::properties::Value;
use crate::view::Order;

const C: &[(&str, &str)] = &[("cookie", "c")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_reads_what_was_acknowledged_a_moment_ago() {
    const ROUNDS: usize = 200;
    let bench = Arc::new(Bench::new());
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let bench = bench.clone();
            tokio::spawn(async move {
                let cookie = format!("c-{caller}");
                let customer = [("cookie", cookie.as_str())];
                for round in 1..=ROUNDS {
                    let update = bench.update(&customer, &format!(r#"{{"round":{round}}}"#));
                    let event = bench.event(&customer, "visit", "{}");
                    bench.commits(vec![update.unwrap(), event.unwrap()]).await;
                    let state = bench.customer(&customer).await.unwrap();
                    assert_eq!(json(&state.properties), format!(r#"{{"round":{round}}}"#));
                    assert_eq!(state.events.len(), round);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

fn request<'a>(customer_ids: &'a std::collections::BTreeMap<String, String>) -> ListEvents<'a> {
    ListEvents {
        customer_ids,
        event_types: vec!["visit".into()],
        order: Order::Ascending,
        limit: None,
        skip: 0,
        page_token: "",
    }
}

#[tokio::test]
async fn a_customer_that_nobody_knows_does_not_exist() {
    let bench = Bench::new();
    let unknown = bench.customer(C).await;
    assert!(matches!(unknown, Err(Error::UnknownCustomer)));
    // Nor does the one of another project.
    let access = bench.enter("q", &super::bench::private("all", "s"));
    let access = access.unwrap();
    bench.commits(vec![bench.update(C, "{}").unwrap()]).await;
    let unknown = read_customer(&bench.tracker, &access, &ids(C)).await;
    assert!(matches!(unknown, Err(Error::UnknownCustomer)));
}

#[tokio::test]
async fn a_question_names_a_customer() {
    let bench = Bench::new();
    for customer in [&[][..], &[("cookie", "")], &[("registered", "undefined")]] {
        let refused = bench.customer(customer).await.unwrap_err();
        assert_eq!(refused.to_string(), "Must specify at least one customer ID");
        assert_eq!(refused.field(), Some("customer_ids"));
    }
    let refused = bench.customer(&[("phone", "1")]).await;
    assert!(matches!(refused, Err(Error::CustomerIds(_))));
}

#[tokio::test]
async fn ids_name_the_customer_who_has_all_that_anybody_has_or_nobody() {
    let bench = Bench::new();
    let a = [("registered", "a"), ("cookie", "b")];
    let a = bench.update(&a, r#"{"is":"a"}"#).unwrap();
    let c = bench.update(C, r#"{"is":"c"}"#).unwrap();
    bench.commits(vec![a, c]).await;
    let named = async |registered: &str, cookie: &str| {
        let ids = [("registered", registered), ("cookie", cookie)];
        let state = bench.customer(&ids).await.ok()?;
        Some(json(&state.properties))
    };
    let a = Some(r#"{"is":"a"}"#.to_owned());
    assert_eq!(named("a", "b").await, a);
    assert_eq!(named("a", "nobody's").await, a);
    assert_eq!(named("", "b").await, a);
    // Of two customers, or of one that does not exist.
    assert_eq!(named("a", "c").await, None);
    assert_eq!(named("b", "c").await, None);
    assert_eq!(named("b", "b").await, None);
}

#[tokio::test]
async fn ids_come_by_type_in_the_projects_order_and_oldest_first() {
    let bench = Bench::new();
    let customer = |cookie| [("cookie", cookie), ("registered", "a")];
    let commands = ["z", "m", "a"].map(|cookie| bench.update(&customer(cookie), "{}").unwrap());
    bench.commits(commands.into()).await;
    let state = bench.customer(&[("cookie", "m")]).await.unwrap();
    let shown: Vec<_> = state
        .ids
        .iter()
        .map(|ids| (ids.kind.as_str(), ids.values.join(" "), ids.soft))
        .collect();
    let expected = [
        ("registered", "a".to_owned(), false),
        ("cookie", "z m a".to_owned(), true),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn attributes_come_in_the_order_in_which_they_are_asked_for() {
    let bench = Bench::new();
    let update = bench
        .update(C, r#"{"p":[1,{"k":2.5}],"cleared":null}"#)
        .unwrap();
    bench.commits(vec![update]).await;
    let property = |name: &str| Attribute::Property(name.to_owned());
    let id = |kind: &str| Attribute::Id(kind.to_owned());
    let asked = vec![
        property("none"),
        property("p"),
        id("cookie"),
        id("phone"),
        id("registered"),
        property("cleared"),
    ];
    let (access, customer) = (bench.access(), ids(C));
    let results = bench.tracker.attributes(&access, &customer, asked).await;
    let shown: Vec<_> = results.unwrap().0.into_iter().map(shown).collect();
    let expected = [
        "null",
        r#"[1,{"k":2.5}]"#,
        r#"["c"]"#,
        "unknown customer ID type 'phone', known: registered, cookie",
        "null",
        "null",
    ];
    assert_eq!(shown, expected);
}

fn shown(result: Result<Value, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn at_most_255_attributes_are_read_at_once() {
    let bench = Bench::new();
    bench.commits(vec![bench.update(C, "{}").unwrap()]).await;
    let (access, customer) = (bench.access(), ids(C));
    let asked = |count| vec![Attribute::Property("p".into()); count];
    let read = bench
        .tracker
        .attributes(&access, &customer, asked(ATTRIBUTES_MAX));
    assert_eq!(read.await.unwrap().0.len(), 255);
    let read = bench
        .tracker
        .attributes(&access, &customer, asked(ATTRIBUTES_MAX + 1));
    assert!(matches!(read.await, Err(Error::TooManyAttributes(256))));
}

#[tokio::test]
async fn a_question_for_events_names_types_and_a_limit_in_bounds() {
    let bench = Bench::new();
    bench
        .commits(vec![bench.event(C, "visit", "{}").unwrap()])
        .await;
    let (access, customer) = (bench.access(), ids(C));
    let ask = async |types: usize, limit: Option<u64>| {
        let request = ListEvents {
            event_types: vec![" visit ".into(); types],
            limit,
            ..request(&customer)
        };
        list_events(&bench.tracker, &access, request).await
    };
    for (types, limit) in [
        (1, None),
        (1, Some(1)),
        (1, Some(10_000)),
        (TYPES_MAX, None),
    ] {
        assert_eq!(ask(types, limit).await.unwrap().len(), 1);
    }
    for types in [0, TYPES_MAX + 1] {
        let refused = ask(types, None).await;
        assert!(matches!(refused, Err(Error::EventTypes(n)) if n == types));
    }
    for limit in [0, 10_001, u64::MAX] {
        let refused = ask(1, Some(limit)).await;
        assert!(matches!(refused, Err(Error::Limit(n)) if n == limit));
    }
}

#[tokio::test]
async fn pages_of_events_go_by_time_in_either_direction() {
    let bench = Bench::new();
    let commands = (0..5).map(|n| bench.event(C, "visit", &format!(r#"{{"n":{n}}}"#)).unwrap());
    bench.commits(commands.collect()).await;
    bench
        .commits(vec![bench.event(C, "buy", "{}").unwrap()])
        .await;
    let (access, customer) = (bench.access(), ids(C));
    let ask = async |order, skip, limit| {
        let request = ListEvents {
            order,
            skip,
            limit: Some(limit),
            ..request(&customer)
        };
        let events = list_events(&bench.tracker, &access, request).await.unwrap();
        let shown = events.iter().map(|event| json(&event.properties));
        shown.collect::<Vec<_>>().join("")
    };
    assert_eq!(ask(Order::Ascending, 1, 2).await, r#"{"n":1}{"n":2}"#);
    assert_eq!(ask(Order::Descending, 1, 2).await, r#"{"n":3}{"n":2}"#);
    assert_eq!(ask(Order::Descending, 4, 9).await, r#"{"n":0}"#);
    assert_eq!(ask(Order::Ascending, 5, 9).await, "");
    assert_eq!(ask(Order::Ascending, u64::MAX, 9).await, "");
}

#[tokio::test]
async fn a_customer_is_read_in_pages_of_properties_and_then_of_events() {
    let bench = Bench::new();
    let update = bench.update(C, r#"{"a":1,"b":2,"c":3}"#).unwrap();
    let events = (0..4).map(|n| bench.event(C, "visit", &format!(r#"{{"n":{n}}}"#)).unwrap());
    bench
        .commits([update].into_iter().chain(events).collect())
        .await;
    let (access, customer) = (bench.access(), ids(C));
    let page = async |paged, page_token: &str, left| {
        let request = GetCustomer {
            customer_ids: &customer,
            paged,
            page_token,
        };
        let answer = CustomerState::of_parts(left);
        let page = bench.tracker.customer(&access, request, answer).await;
        page.map(|(page, _)| page)
    };
    let mut token = String::new();
    let mut reported = String::new();
    for _ in 0..4 {
        let page = page(true, &token, 2).await.unwrap();
        assert_eq!(page.answer.ids.len(), 1, "each page says whose it is");
        reported += &json(&page.answer.properties);
        let events = page.answer.events.iter();
        reported.extend(events.map(|event| json(&event.properties)));
        reported.push(' ');
        let Some(next) = page.next else {
            break;
        };
        token = next;
    }
    assert_eq!(
        reported,
        r#"{"a":1,"b":2} {"c":3}{"n":0} {}{"n":1}{"n":2} {}{"n":3} "#
    );
    // A caller that does not ask for pages gets all or an error.
    let refused = page(false, "", 2).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge(_)));
    // An empty page would be requested again and again.
    let refused = page(true, "", 0).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge(_)));
    // A token of properties is not valid for a list of events.
    let token = PageToken::Property("c".into()).encode("p");
    let request = ListEvents {
        page_token: &token,
        ..request(&customer)
    };
    let refused = list_events(&bench.tracker, &access, request).await;
    assert!(matches!(refused, Err(Error::PageToken(_))));
}

#[tokio::test]
async fn a_page_of_events_goes_on_where_the_one_before_was_full_or_had_enough() {
    let bench = Bench::new();
    let commands = (0..7).map(|n| bench.event(C, "visit", &format!(r#"{{"n":{n}}}"#)).unwrap());
    bench.commits(commands.collect()).await;
    let (access, customer) = (bench.access(), ids(C));
    for (limit, room, is_limited) in [(None, 2, false), (Some(2), 9, true)] {
        let (mut token, mut reported) = (String::new(), String::new());
        loop {
            let request = ListEvents {
                order: Order::Descending,
                limit,
                skip: 1,
                page_token: &token,
                ..request(&customer)
            };
            let answer = CustomerState::of_parts(room);
            let page = bench.tracker.events(&access, request, answer).await;
            let (page, _) = page.unwrap();
            let events = page.answer.events.iter();
            reported.extend(events.map(|event| json(&event.properties)));
            let Some(next) = page.next else {
                break;
            };
            assert_eq!(page.limited, is_limited);
            token = next;
        }
        assert_eq!(reported, r#"{"n":5}{"n":4}{"n":3}{"n":2}{"n":1}{"n":0}"#);
    }
}
