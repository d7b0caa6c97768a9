//! What bodies hold: bombs, depth, batches.

use footfall::grpc::pb;
use footfall::grpc::pb::command::Command;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::properties::Object;
use prost::Message as _;
use prost_types::value::Kind;
use serde_json::json;
use tonic::Code;

use crate::harness::calls::update;
use crate::harness::{PUBLIC, Server, TOKEN, authorized};
use crate::rest_compression::{CODINGS, compressed};

/// What a bomb bursts to: more than a batch may have.
const BURST_BYTES: usize = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_413_and_counted_whatever_its_coding() {
    let server = Server::start().await;
    let mut body = br#"{"commands":[]}"#.to_vec();
    body.resize(BURST_BYTES, b' ');
    for (count, coding) in CODINGS.into_iter().enumerate() {
        let bomb = compressed(coding, &body);
        // It is found out by what it bursts to, and not by what is sent.
        assert!(bomb.len() < 1024 * 1024, "{coding}: {}", bomb.len());
        for (route, guard) in [
            ("customers", "body_bytes_max"),
            ("batch", "batch_bytes_max"),
        ] {
            let sent = server.track(route, "").body(&bomb);
            let answer = sent.header("Content-Encoding", coding).send().await;
            assert_eq!(answer.status, 413, "{coding}");
            assert_eq!(server.rejected(guard).await, count as u64 + 1, "{coding}");
        }
    }
    let plain = server.track("customers", &" ".repeat(1024 * 1024 + 1));
    assert_eq!(plain.send().await.status, 413);
    assert_eq!(
        server.rejected("body_bytes_max").await,
        CODINGS.len() as u64 + 1
    );
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nests_too_deep_is_refused_and_counted_over_both_protocols() {
    let server = Server::start().await;
    let lists = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
    let body = format!(r#"{{"customer_ids":{{"registered":"a"}},"properties":{{"x":{lists}}}}}"#);
    assert_eq!(server.track("customers", &body).send().await.status, 400);
    assert_eq!(server.rejected("depth").await, 1);

    let mut client = TrackingServiceClient::new(server.channel().await);
    let refused = client
        .update_customer(authorized(deep_update(), PUBLIC))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(server.rejected("depth").await, 2);
    server.serves().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_nest_too_deep_are_counted_inside_of_batches_and_streams() {
    let server = Server::start().await;
    let commands = || {
        let commands = [update("{}"), deep_update(), deep_update()].map(Command::UpdateCustomer);
        commands.map(|command| pb::Command {
            command_id: String::new(),
            command: Some(command),
        })
    };
    let is_deep = |result: &pb::CommandResult| result.error.is_some();

    let batch = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands: commands().into(),
    };
    let mut client = TrackingServiceClient::new(server.channel().await);
    let answer = client.execute_batch(authorized(batch, PUBLIC)).await;
    let results = answer.unwrap().into_inner().results;
    assert_eq!(
        results.iter().map(is_deep).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!(server.rejected("depth").await, 2);

    let mut lane = server.opens(PUBLIC, "203.0.113.7").await.unwrap();
    for (command, deep) in commands().into_iter().zip([false, true, true]) {
        lane.send(TOKEN, command).await;
        assert_eq!(is_deep(&lane.result().await.1), deep);
    }
    lane.closed().await.unwrap();
    assert_eq!(server.rejected("depth").await, 4);

    // What is too deep fails in the shim, and never comes to the service.
    let lists = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let command = |value: &str| {
        let data =
            format!(r#"{{"customer_ids":{{"registered":"a"}},"properties":{{"x":{value}}}}}"#);
        format!(r#"{{"name":"customers","data":{data}}}"#)
    };
    let body = format!(r#"{{"commands":[{},{}]}}"#, command("1"), command(&lists));
    let answer = server.track("batch", &body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(server.rejected("depth").await, 5);
    server.stop().await;
}

/// An update with a value of 33 levels.
fn deep_update() -> pb::UpdateCustomerRequest {
    let mut kind = Kind::NumberValue(1.0);
    for _ in 0..33 {
        let values = vec![prost_types::Value { kind: Some(kind) }];
        kind = Kind::ListValue(prost_types::ListValue { values });
    }
    let fields = [("x".to_owned(), prost_types::Value { kind: Some(kind) })].into();
    let deep = prost_types::Struct { fields }.encode_to_vec();
    pb::UpdateCustomerRequest {
        properties: Some(Object::decode(deep.as_slice()).unwrap()),
        ..update("{}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_too_many_commands_is_refused_and_counted_over_both_protocols() {
    let server = Server::start().await;
    let body = json!({ "commands": vec![json!({"name": "system/time"}); 51] }).to_string();
    let text = "Too many commands: 51, at most 50";
    let refused = server.track("batch", &body).refused().await;
    assert_eq!(refused, (400, text.to_owned()));
    assert_eq!(server.rejected("commands").await, 1);
    let batch = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands: vec![pb::Command::default(); 51],
    };
    let mut client = TrackingServiceClient::new(server.channel().await);
    let refused = client.execute_batch(authorized(batch, PUBLIC)).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, text)
    );
    assert_eq!(server.rejected("commands").await, 2);
    server.serves().await;
    server.stop().await;
}
