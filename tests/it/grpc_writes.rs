//! The rpcs that write.

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use prost_types::value::Kind;
use serde_json::json;
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::calls::{event, ids, properties, struct_of, time, update};
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
