//! Requests to read customers.

use super::super::{AttributePlan, attributes, customer, events};
use super::{ids, message};
use crate::grpc::pb;
use crate::grpc::pb::attribute::Attribute;

fn page(body: &str) -> Result<pb::ListEventsRequest, super::Error> {
    events(body.as_bytes(), "token")
}

fn requested(body: &str) -> Result<(pb::GetAttributesRequest, Vec<AttributePlan>), super::Error> {
    attributes(body.as_bytes(), "token")
}

#[test]
fn a_customer_is_asked_for_by_its_ids() {
    let request = customer(br#"{"customer_ids":{"registered":7}}"#, "token");
    let request = request.unwrap();
    assert_eq!(request.project_token, "token");
    assert_eq!(request.customer_ids, ids(&[("registered", "7")]));
}

#[test]
fn a_page_of_events_has_types_an_order_and_bounds() {
    let body = r#"{"customer_ids":{"cookie":"c"},"event_types":["a","b\u0063"],"order":"desc","limit":10,"skip":3}"#;
    let request = page(body).unwrap();
    assert_eq!(request.customer_ids, ids(&[("cookie", "c")]));
    assert_eq!(request.event_types, ["a", "bc"]);
    assert_eq!(request.order(), pb::Order::Desc);
    assert_eq!((request.limit, request.skip), (Some(10), 3));
}

#[test]
fn a_page_of_events_starts_with_the_oldest_unless_asked_otherwise() {
    for (order, expected) in [
        ("null", pb::Order::Asc),
        (r#""asc""#, pb::Order::Asc),
        (r#""\u0064esc""#, pb::Order::Desc),
    ] {
        let request = page(&format!(r#"{{"order":{order}}}"#)).unwrap();
        assert_eq!(request.order(), expected);
        assert_eq!((request.limit, request.skip), (None, 0));
    }
    for order in [r#""ASC""#, r#""""#, r#""down""#] {
        let expected = format!("Field 'order' must be asc or desc, not {order}.");
        assert_eq!(message(page(&format!(r#"{{"order":{order}}}"#))), expected);
    }
    assert!(page(r#"{"order":1}"#).is_err());
}

#[test]
fn bounds_are_whole_numbers() {
    for field in ["limit", "skip"] {
        for value in ["-1", "1.0", "1e2", r#""1""#, "4294967296", "true"] {
            let expected =
                format!("Field '{field}' must be an integer from 0 to 4294967295, not {value}.");
            assert_eq!(
                message(page(&format!(r#"{{"{field}":{value}}}"#))),
                expected
            );
        }
    }
}

#[test]
fn event_types_are_a_list_of_texts() {
    for types in [r#""a""#, "5", "{}"] {
        let expected = format!("Field 'event_types' must be a list of strings, not {types}.");
        assert_eq!(
            message(page(&format!(r#"{{"event_types":{types}}}"#))),
            expected
        );
    }
    let refused = message(page(r#"{"event_types":["a",5]}"#));
    assert_eq!(
        refused,
        "Field 'event_types' must be a list of strings, not 5."
    );
    let many = format!(r#"{{"event_types":[{}"a"]}}"#, r#""a","#.repeat(255));
    assert_eq!(
        message(page(&many)),
        "Field 'event_types' must name 1 to 255 event types, not 256."
    );
}

#[test]
fn attributes_that_are_of_no_type_fail_alone_and_keep_their_places() {
    let body = r#"{"customer_ids":{"cookie":"c"},"attributes":[
        {"type":"property","property":"p"},
        {"type":"segment","id":"x"},
        {"type":"id","id":"registered"},
        {"type":"property"},
        {"type":"id"},
        {}
    ]}"#;
    let (request, plan) = requested(body).unwrap();
    let read: Vec<_> = request
        .attributes
        .into_iter()
        .map(|a| a.attribute.unwrap())
        .collect();
    let expected = [
        Attribute::Property("p".into()),
        Attribute::Id("registered".into()),
    ];
    assert_eq!(read, expected);
    let plan: Vec<_> = plan
        .iter()
        .map(|plan| match plan {
            AttributePlan::Read => "read",
            AttributePlan::Failed(message) => message,
        })
        .collect();
    let expected = [
        "read",
        "Unknown attribute type 'segment'",
        "read",
        "Field 'property' is required.",
        "Field 'id' is required.",
        "Field 'type' is required.",
    ];
    assert_eq!(plan, expected);
}

#[test]
fn attributes_are_a_list_of_objects() {
    for list in ["5", r#""x""#, "{}"] {
        let expected = format!("Field 'attributes' must be a list of objects, not {list}.");
        assert_eq!(
            message(requested(&format!(r#"{{"attributes":{list}}}"#))),
            expected
        );
    }
    let refused = message(requested(r#"{"attributes":[null]}"#));
    assert_eq!(
        refused,
        "Field 'attributes' must be a list of objects, not null."
    );
    let many = format!(r#"{{"attributes":[{}{{}}]}}"#, "{},".repeat(255));
    assert_eq!(
        message(requested(&many)),
        "Field 'attributes' must have at most 255 entries, not 256."
    );
    assert!(requested("{}").unwrap().1.is_empty());
}

#[test]
fn a_field_of_another_request_may_not_be_there_twice_either() {
    let read = customer(
        br#"{"customer_ids":{"cookie":"c"},"limit":1,"limit":2}"#,
        "token",
    );
    let write = br#"{"customer_ids":{"cookie":"c"},"event_type":"e","limit":1,"limit":2}"#;
    let write = super::super::event(write, "token", super::now()).map(drop);
    for refused in [read.map(drop), write] {
        assert!(message(refused).contains("limit"));
    }
}
