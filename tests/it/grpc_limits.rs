//! What the rpcs that write refuse.

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::properties::Object;
use prost::Message as _;
use prost_types::value::Kind;
use tonic::{Code, Status};

use crate::harness::calls::{event, ids, struct_of, time, update, violations};
use crate::harness::{PUBLIC, Server, authorized};

async fn updates(server: &Server, update: pb::UpdateCustomerRequest) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    client
        .update_customer(authorized(update, PUBLIC))
        .await
        .map(|_| ())
}

async fn adds(server: &Server, event: pb::AddEventRequest) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    client
        .add_event(authorized(event, PUBLIC))
        .await
        .map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_a_rule_names_the_field() {
    let server = Server::start().await;
    let no_ids = pb::UpdateCustomerRequest {
        customer_ids: ids(&[("registered", " null ")]),
        ..update("{}")
    };
    let unlisted = pb::UpdateCustomerRequest {
        customer_ids: ids(&[("phone", "1")]),
        ..update("{}")
    };
    let nan = pb::UpdateCustomerRequest {
        properties: Some(struct_of(Some(Kind::NumberValue(f64::NAN)))),
        ..update("{}")
    };
    let no_kind = pb::UpdateCustomerRequest {
        properties: Some(struct_of(None)),
        ..update("{}")
    };
    let milliseconds = pb::UpdateCustomerRequest {
        update_timestamp: time(1_700_000_000_000, 0),
        ..update("{}")
    };
    let nanos = pb::UpdateCustomerRequest {
        update_timestamp: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: -1,
        }),
        ..update("{}")
    };
    let before = pb::UpdateCustomerRequest {
        update_timestamp: time(-1, 0),
        ..update("{}")
    };
    for (update, field, text) in [
        (
            no_ids,
            "customer_ids",
            "At least one id should be specified.",
        ),
        (
            unlisted,
            "customer_ids",
            "unknown customer ID type 'phone', known: registered, email_id, cookie",
        ),
        (
            nan,
            "properties",
            "property 'x' holds a number that is not finite",
        ),
        (
            no_kind,
            "properties",
            "property 'x' holds a value without exactly one kind",
        ),
        (
            milliseconds,
            "update_timestamp",
            "update_timestamp: time \"1700000000000\" looks like milliseconds; send seconds",
        ),
        (
            nanos,
            "update_timestamp",
            "update_timestamp: nanos -1 is outside 0 to 999999999",
        ),
        (
            before,
            "update_timestamp",
            "update_timestamp: time \"-1\" is outside the years 1970 to 9999",
        ),
    ] {
        let status = updates(&server, update).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, text)
        );
        assert_eq!(violations(&status), [(field.to_owned(), text.to_owned())]);
    }
    let status = adds(&server, event("")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let required = "Field 'event_type' is required.";
    assert_eq!(
        violations(&status),
        [("event_type".to_owned(), required.to_owned())]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_properties_hold_for_messages_too() {
    let server = Server::start().await;
    let text = |bytes: usize| struct_of(Some(Kind::StringValue("x".repeat(bytes - 2))));
    let lists = |levels: usize| {
        let mut kind = Kind::NumberValue(1.0);
        for _ in 0..levels {
            let values = vec![prost_types::Value { kind: Some(kind) }];
            kind = Kind::ListValue(prost_types::ListValue { values });
        }
        struct_of(Some(kind))
    };
    let many = |count: usize| {
        let value = prost_types::Value {
            kind: Some(Kind::BoolValue(true)),
        };
        let fields = (0..count)
            .map(|n| (format!("p{n}"), value.clone()))
            .collect();
        Object::decode(prost_types::Struct { fields }.encode_to_vec().as_slice()).unwrap()
    };
    let with = |properties: Object| pb::UpdateCustomerRequest {
        properties: Some(properties),
        ..update("{}")
    };
    for within in [text(16_384), lists(32), many(255)] {
        updates(&server, with(within)).await.unwrap();
    }
    for (beyond, text) in [
        (
            text(16_385),
            "property 'x' is too large: 16385 bytes as JSON, at most 16384",
        ),
        (lists(33), "property 'x' nests deeper than 32 levels"),
        (many(256), "too many properties: 256, at most 255"),
    ] {
        let status = updates(&server, with(beyond)).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, text)
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_at_most_800_kib_as_json() {
    let server = Server::start().await;
    // As JSON `"p0":"x…"`, a comma, and so on, in braces.
    let of = |bytes: usize| {
        let value = |length| prost_types::Value {
            kind: Some(Kind::StringValue("x".repeat(length))),
        };
        let mut fields: std::collections::BTreeMap<_, _> =
            (10..60).map(|n| (format!("p{n}"), value(16_300))).collect();
        let rest = bytes - 2 - 50 * (16_300 + 9) - 8;
        fields.insert("last".to_owned(), value(rest - 1));
        Object::decode(prost_types::Struct { fields }.encode_to_vec().as_slice()).unwrap()
    };
    let with = |bytes: usize| pb::UpdateCustomerRequest {
        properties: Some(of(bytes)),
        ..update("{}")
    };
    updates(&server, with(800 * 1024)).await.unwrap();
    let status = updates(&server, with(800 * 1024 + 1)).await.unwrap_err();
    let text = "command is too large: 819201 bytes, at most 819200";
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, text)
    );
    server.stop().await;
}
