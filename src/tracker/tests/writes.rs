//! Turning commands into records.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{AddEvent, COMMAND_BYTES_MAX, Error, TrackClick, UpdateCustomer, check_batch};
use super::bench::{Bench, START, ids, json, micros, object};
use crate::log::{self, StoreError};
use crate::model::properties::{Object, Properties};

const C: &[(&str, &str)] = &[("cookie", "c")];

#[tokio::test]
async fn two_events_that_say_no_time_are_two_though_the_clock_stands_still() {
    let bench = Bench::new();
    let event = || bench.event(C, "visit", r#"{"x":1}"#).unwrap();
    bench.commits(vec![event(), event()]).await;
    bench.commits(vec![event()]).await;
    let customer = bench.customer(C).await.unwrap();
    assert_eq!(customer.events.len(), 3);
    let start = START.cast_signed() * 1_000_000;
    for event in customer.events {
        assert!((start..start + 100).contains(&event.time.micros()));
    }
}

#[tokio::test]
async fn a_receipt_is_the_clocks_time_once_the_clock_has_moved() {
    let bench = Bench::new();
    bench
        .commits(vec![bench.event(C, "visit", "{}").unwrap()])
        .await;
    bench.clock.advance(Duration::from_secs(5));
    bench
        .commits(vec![bench.event(C, "visit", "{}").unwrap()])
        .await;
    let customer = bench.customer(C).await.unwrap();
    let expected = micros((START.cast_signed() + 5) * 1_000_000);
    assert_eq!(customer.events[1].time, expected);
}

#[tokio::test]
async fn receipts_are_never_equal_whoever_asks() {
    let bench = Bench::new();
    let receipts = || -> Vec<_> { (0..1000).map(|_| bench.tracker.receipt()).collect() };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(receipts)).collect();
        let all = threads.into_iter().flat_map(|thread| {
            let receipts = thread.join().unwrap();
            assert!(receipts.is_sorted());
            receipts
        });
        all.collect::<BTreeSet<_>>()
    });
    assert_eq!(all.len(), 4000);
}

#[tokio::test]
async fn commands_of_a_batch_take_effect_in_their_order() {
    let bench = Bench::new();
    let batch = (0..50).map(|n| bench.update(C, &format!(r#"{{"p":{n}}}"#)).unwrap());
    let batch = batch.collect();
    bench.commits(batch).await;
    let customer = bench.customer(C).await.unwrap();
    assert_eq!(json(&customer.properties), r#"{"p":49}"#);
    assert_eq!(bench.store.commits(), 1);
}

#[tokio::test]
async fn nothing_to_commit_needs_no_log() {
    let bench = Bench::new();
    bench.store.fail(Some(StoreError::Failed("no disk".into())));
    bench.commits(Vec::new()).await;
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_acknowledged() {
    let bench = Bench::new();
    let event = || bench.event(C, "visit", "{}").unwrap();
    bench.store.fail(Some(StoreError::Full));
    let refused = bench.tracker.commit(vec![event()]).await;
    assert!(matches!(refused, Err(Error::Log(log::Error::Full))));
    bench.store.fail(None);
    bench.commits(vec![event()]).await;
    assert_eq!(bench.customer(C).await.unwrap().events.len(), 1);
    bench.store.fail(Some(StoreError::Failed("no disk".into())));
    let refused = bench.tracker.commit(vec![event()]).await;
    assert!(matches!(refused, Err(Error::Log(log::Error::Failed(_)))));
    // Reads go on.
    assert_eq!(bench.customer(C).await.unwrap().events.len(), 1);
}

fn click<'a>(
    bench: &Bench,
    customer: &[(&str, &str)],
    url: &'a str,
    json: &'a str,
) -> Result<super::super::Accepted, Error> {
    let click = TrackClick {
        customer_ids: &ids(customer),
        url,
        properties: object(json),
        time: None,
    };
    bench.tracker.click(&bench.access(), click)
}

#[tokio::test]
async fn a_clicks_address_joins_its_properties() {
    let bench = Bench::new();
    let accepted = click(&bench, C, "https://x/?y", r#"{"a":1,"url":"other","z":2}"#);
    bench.commits(vec![accepted.unwrap()]).await;
    let customer = bench.customer(C).await.unwrap();
    let [event] = &customer.events[..] else {
        panic!("{customer:?}")
    };
    assert_eq!(event.event_type, "campaign_click");
    assert_eq!(
        json(&event.properties),
        r#"{"a":1,"url":"https://x/?y","z":2}"#
    );
}

#[tokio::test]
async fn a_click_of_nobody_is_kept_in_the_log_alone() {
    let bench = Bench::new();
    bench
        .commits(vec![click(&bench, &[], "https://x", "{}").unwrap()])
        .await;
    bench
        .commits(vec![
            click(&bench, &[("cookie", "")], "https://x", "{}").unwrap(),
        ])
        .await;
    assert_eq!(bench.log.last().get(), 2);
    assert!(matches!(
        bench.customer(C).await,
        Err(Error::UnknownCustomer)
    ));
}

#[tokio::test]
async fn a_click_needs_an_address() {
    let bench = Bench::new();
    for url in ["", " ", "\t\n"] {
        assert!(
            matches!(click(&bench, C, url, "{}"), Err(Error::NoUrl)),
            "{url:?}"
        );
    }
}

#[tokio::test]
async fn each_broken_rule_is_told_with_its_field() {
    let bench = Bench::new();
    let rows = [
        (
            bench.update(&[], "{}"),
            "At least one id should be specified.",
            Some("customer_ids"),
        ),
        (
            bench.update(&[("cookie", "null")], "{}"),
            "At least one id should be specified.",
            Some("customer_ids"),
        ),
        (
            bench.update(&[("phone", "1")], "{}"),
            "unknown customer ID type 'phone', known: registered, cookie",
            Some("customer_ids"),
        ),
        (
            bench.event(C, "", "{}"),
            "Field 'event_type' is required.",
            Some("event_type"),
        ),
        (
            bench.event(C, " ", "{}"),
            "Field 'event_type' must have 1 to 255 characters, not 0.",
            Some("event_type"),
        ),
        (
            click(&bench, C, "", "{}"),
            "Field 'url' is required.",
            Some("url"),
        ),
        (
            click(&bench, C, &"x".repeat(20_000), "{}"),
            "property 'url' is too large: 20002 bytes as JSON, at most 16384",
            Some("properties"),
        ),
    ];
    for (refused, message, field) in rows {
        let error = refused.unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.field()),
            (message, field)
        );
    }
}

#[tokio::test]
async fn a_command_takes_at_most_800_kib() {
    let bench = Bench::new();
    let event = |properties: usize| {
        let value = "x".repeat(16_000);
        let entries = (0..properties).map(|n| format!(r#""p{n}":"{value}""#));
        let json = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
        let properties = Properties::from_json(&json).unwrap();
        // As a message brings them: what came as JSON was measured before it was read.
        let properties: Object = prost::Message::decode(properties.bytes().clone()).unwrap();
        let event = AddEvent {
            customer_ids: &ids(C),
            event_type: "visit",
            properties,
            time: None,
        };
        bench.tracker.event(&bench.access(), event)
    };
    assert_eq!(COMMAND_BYTES_MAX, 819_200);
    assert!(event(51).is_ok());
    let refused = event(52).unwrap_err();
    assert!(matches!(refused, Error::CommandTooLarge(bytes) if bytes > COMMAND_BYTES_MAX));
}

#[tokio::test]
async fn a_message_that_breaks_a_rule_is_told_apart_from_the_disk() {
    let bench = Bench::new();
    let object: Object = prost::Message::decode(b"\x0a\x02\x0a\x00".as_slice()).unwrap();
    let update = UpdateCustomer {
        customer_ids: &ids(C),
        properties: object,
        time: None,
    };
    let refused = bench.tracker.update(&bench.access(), update).unwrap_err();
    assert_eq!(refused.field(), Some("properties"));
}

#[test]
fn a_batch_has_1_to_50_commands() {
    assert!(matches!(check_batch(0), Err(Error::NoCommands)));
    assert!(check_batch(1).is_ok());
    assert!(check_batch(50).is_ok());
    let refused = check_batch(73).unwrap_err().to_string();
    assert_eq!(refused, "Too many commands: 73, at most 50");
}
