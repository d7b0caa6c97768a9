//! The rpcs that write.

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::properties::Object;
use prost::Message as _;
use prost_types::value::Kind;
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::calls::{event, ids, properties, time, update, violations};
use crate::harness::{PUBLIC, Server, TOKEN, authorized};

async fn client(server: &Server) -> TrackingServiceClient<Channel> {
    TrackingServiceClient::new(server.channel().await)
}

async fn updates(server: &Server, update: pb::UpdateCustomerRequest) -> Result<(), Status> {
    let request = authorized(update, PUBLIC);
    client(server)
        .await
        .update_customer(request)
        .await
        .map(|_| ())
}

async fn adds(server: &Server, event: pb::AddEventRequest) -> Result<(), Status> {
    let request = authorized(event, PUBLIC);
    client(server).await.add_event(request).await.map(|_| ())
}

/// An object with one property of a kind that `google.protobuf.Value` has.
fn struct_of(kind: Option<Kind>) -> Object {
    let fields = [("x".to_owned(), prost_types::Value { kind })];
    let bytes = prost_types::Struct {
        fields: fields.into_iter().collect(),
    };
    Object::decode(bytes.encode_to_vec().as_slice()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_over_grpc_is_read_over_rest() {
    let server = Server::start().await;
    updates(
        &server,
        pb::UpdateCustomerRequest {
            customer_ids: ids(&[("registered", "a"), ("cookie", "c")]),
            ..update(r#"{"name":"Jane","n":9007199254740993,"deep":[1,{"a":null}]}"#)
        },
    )
    .await
    .unwrap();
    adds(
        &server,
        pb::AddEventRequest {
            properties: properties(r#"{"price":100.0}"#),
            timestamp: time(1_600_000_000, 500_001),
            ..event("visit")
        },
    )
    .await
    .unwrap();
    let click = pb::TrackCampaignClickRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("cookie", "c")]),
        url: "https://x.y".to_owned(),
        properties: None,
        timestamp: time(1_600_000_001, 0),
    };
    client(&server)
        .await
        .track_campaign_click(authorized(click, PUBLIC))
        .await
        .unwrap();
    let answer = server
        .data("export-one", r#"{"customer_ids":{"cookie":"c"}}"#)
        .send()
        .await;
    assert_eq!(
        answer.body,
        r#"{"success": true, "ids": {"registered": "a", "cookie": ["c"]}, "properties": {"deep":[1,{"a":null}],"n":9007199254740993,"name":"Jane"}, "events": [{"type": "visit", "timestamp": 1600000000.500001, "properties": {"price":100.0}}, {"type": "campaign_click", "timestamp": 1600000001, "properties": {"url":"https://x.y"}}]}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_over_both_protocols_is_one_event() {
    let server = Server::start().await;
    let sent = pb::AddEventRequest {
        properties: properties(r#"{"b":1,"a":"x"}"#),
        timestamp: time(1_600_000_000, 500_000),
        ..event("visit")
    };
    adds(&server, sent.clone()).await.unwrap();
    adds(&server, sent).await.unwrap();
    server.accepts("customers/events", r#"{"customer_ids":{"registered":"a"},"event_type":"visit","timestamp":1.6000000005e9,"properties":{"a":"x","b":1}}"#).await;
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_update_does_not_overwrite() {
    let server = Server::start().await;
    for (seconds, value) in [(200, "new"), (100, "old")] {
        updates(
            &server,
            pb::UpdateCustomerRequest {
                update_timestamp: time(seconds, 0),
                ..update(&json!({"x": value}).to_string())
            },
        )
        .await
        .unwrap();
    }
    assert_eq!(
        server.properties(json!({"registered": "a"})).await,
        json!({"x": "new"})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_google_protobuf_struct_are_properties() {
    let server = Server::start().await;
    let nested = prost_types::Struct {
        fields: [(
            "a".to_owned(),
            prost_types::Value {
                kind: Some(Kind::BoolValue(true)),
            },
        )]
        .into_iter()
        .collect(),
    };
    let list = prost_types::ListValue {
        values: vec![prost_types::Value {
            kind: Some(Kind::NullValue(0)),
        }],
    };
    for (kind, read) in [
        (Kind::NullValue(0), json!(null)),
        (Kind::NumberValue(1.0), json!(1.0)),
        (Kind::StringValue("é".to_owned()), json!("é")),
        (Kind::BoolValue(false), json!(false)),
        (Kind::StructValue(nested), json!({"a": true})),
        (Kind::ListValue(list), json!([null])),
    ] {
        updates(
            &server,
            pb::UpdateCustomerRequest {
                properties: Some(struct_of(Some(kind))),
                ..update("{}")
            },
        )
        .await
        .unwrap();
        assert_eq!(
            server.properties(json!({"registered": "a"})).await,
            json!({"x": read})
        );
    }
    server.stop().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_told_to_the_microsecond() {
    let server = Server::start().await;
    server
        .clock
        .advance(std::time::Duration::from_nanos(894_375_999));
    let question = pb::GetSystemTimeRequest {
        project_token: TOKEN.to_owned(),
    };
    let answer = client(&server)
        .await
        .get_system_time(authorized(question, PUBLIC))
        .await;
    assert_eq!(
        answer.unwrap().into_inner().time,
        time(1_700_000_000, 894_375)
    );
    server.stop().await;
}
