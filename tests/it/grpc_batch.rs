//! Batches over gRPC.

use footfall::grpc::pb;
use footfall::grpc::pb::command::Command as Kind;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::RpcStatusExt as _;

use crate::harness::calls::{event, ids, time, update, violations};
use crate::harness::{PUBLIC, Server, TOKEN, authorized};

async fn executes(
    server: &Server,
    key: &str,
    commands: Vec<pb::Command>,
) -> Result<pb::ExecuteBatchResponse, Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    let batch = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands,
    };
    let answer = client.execute_batch(authorized(batch, key)).await;
    answer.map(tonic::Response::into_inner)
}

fn command(id: &str, command: Kind) -> pb::Command {
    pb::Command {
        command_id: id.to_owned(),
        command: Some(command),
    }
}

fn nobody() -> pb::UpdateCustomerRequest {
    pb::UpdateCustomerRequest {
        customer_ids: ids(&[]),
        ..update("{}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_has_its_own_result_in_its_place() {
    let server = Server::start().await;
    let token = TOKEN.to_owned();
    let answer = executes(
        &server,
        PUBLIC,
        vec![
            command("one", Kind::UpdateCustomer(update(r#"{"x":1}"#))),
            command("two", Kind::UpdateCustomer(nobody())),
            command(
                "",
                Kind::GetSystemTime(pb::GetSystemTimeRequest {
                    project_token: token,
                }),
            ),
            pb::Command {
                command_id: "four".to_owned(),
                command: None,
            },
            command("five", Kind::AddEvent(event("visit"))),
        ],
    )
    .await
    .unwrap();
    let names: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.command_id.as_str())
        .collect();
    assert_eq!(names, ["one", "two", "", "four", "five"]);
    let failed: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.error.is_some())
        .collect();
    assert_eq!(failed, [false, true, false, true, false]);
    assert_eq!(answer.results[2].time, time(1_700_000_000, 0));
    assert_eq!(answer.start_time, time(1_700_000_000, 0));
    assert_eq!(answer.end_time, time(1_700_000_000, 0));
    assert_eq!(
        server.properties(json!({"registered": "a"})).await,
        json!({"x": 1})
    );
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_command_says_which_field_is_wrong() {
    let server = Server::start().await;
    let commands = vec![command("", Kind::UpdateCustomer(nobody()))];
    let answer = executes(&server, PUBLIC, commands).await.unwrap();
    let error = answer.results[0].error.clone().unwrap();
    let text = "At least one id should be specified.";
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::InvalidArgument as i32, text)
    );
    let details = error.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "customer_ids");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_fails_its_commands_alone() {
    let server = Server::start().await;
    let commands = || {
        vec![
            command("", Kind::UpdateCustomer(update("{}"))),
            command("", Kind::AddEvent(event("visit"))),
        ]
    };
    for (key, failing, text) in [
        (
            "Token events-only",
            0,
            "not authorized to update specified customer properties",
        ),
        (
            "Token customers-only",
            1,
            "Not authorized to add event of specified type",
        ),
    ] {
        let answer = executes(&server, key, commands()).await.unwrap();
        let error = answer.results[failing].error.clone().unwrap();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::PermissionDenied as i32, text)
        );
        assert_eq!(answer.results[1 - failing].error, None);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_1_to_50_commands() {
    let server = Server::start().await;
    let commands = |count: usize| vec![command("", Kind::UpdateCustomer(update("{}"))); count];
    for (count, text) in [
        (0, "No commands"),
        (51, "Too many commands: 51, at most 50"),
    ] {
        let status = executes(&server, PUBLIC, commands(count))
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, text)
        );
        assert_eq!(violations(&status)[0].0, "commands");
    }
    assert!(!server.knows(json!({"registered": "a"})).await);
    assert_eq!(
        executes(&server, PUBLIC, commands(50))
            .await
            .unwrap()
            .results
            .len(),
        50
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_the_batch_counts_for_its_commands() {
    let server = Server::start().await;
    let elsewhere = pb::UpdateCustomerRequest {
        project_token: "another".to_owned(),
        ..update(r#"{"x":1}"#)
    };
    let commands = vec![command("", Kind::UpdateCustomer(elsewhere))];
    let answer = executes(&server, PUBLIC, commands).await.unwrap();
    assert_eq!(answer.results[0].error, None);
    assert_eq!(
        server.properties(json!({"registered": "a"})).await,
        json!({"x": 1})
    );
    server.stop().await;
}
