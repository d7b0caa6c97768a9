//! A stream of commands over gRPC: each is acknowledged, in order, once it is durable.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use footfall::grpc::pb;
use footfall::log::StoreError;
use footfall::log::memory::MemoryStore;
use futures_util::future::{Either, select};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::calls::{event, time, update};
use crate::harness::{OTHER_TOKEN, PUBLIC, Server, Setup, TOKEN, eventually};

const ADDRESS: &str = "203.0.113.7";

/// An event with a time of its own, which its command is named after.
fn adds(n: i64) -> pb::Command {
    let event = pb::AddEventRequest {
        project_token: String::new(),
        timestamp: time(n, 0),
        ..event("visit")
    };
    command(&n.to_string(), pb::command::Command::AddEvent(event))
}

fn command(id: &str, command: pb::command::Command) -> pb::Command {
    pb::Command {
        command_id: id.to_owned(),
        command: Some(command),
    }
}

fn code(result: &pb::CommandResult) -> Code {
    result
        .error
        .as_ref()
        .map_or(Code::Ok, |error| Code::from(error.code))
}

async fn visits(server: &Server) -> usize {
    let question = json!({"customer_ids": {"registered": "a"}, "event_types": ["visit"]});
    let answer = server.data("events", &question.to_string()).send().await;
    match answer.status {
        404 => 0,
        _ => answer.json()["data"].as_array().unwrap().len(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_acknowledged_in_order_and_are_there() {
    let server = Server::start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    let commands = lane.commands.clone();
    // Sent by another task: neither side may wait for the other's end.
    let sender = tokio::spawn(async move {
        for n in 1..=1_000 {
            let message = pb::TrackStreamRequest {
                project_token: if n == 1 {
                    TOKEN.to_owned()
                } else {
                    String::new()
                },
                command: Some(adds(n)),
            };
            commands.send(message).await.unwrap();
        }
    });
    for n in 1..=1_000 {
        let (number, result) = lane.result().await;
        assert_eq!(
            (number, result.command_id.as_str()),
            (n, n.to_string().as_str())
        );
        assert_eq!(code(&result), Code::Ok);
    }
    sender.await.unwrap();
    assert_eq!(visits(&server).await, 1_000);
    lane.closed().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_command_survives_the_service() {
    let server = Server::start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    lane.send(TOKEN, adds(1)).await;
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    drop(lane);
    let dir = server.stop().await;
    let server = Setup::default().start_in(dir).await;
    assert_eq!(visits(&server).await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_breaks_a_rule_is_told_by_name_and_the_others_are_kept() {
    use pb::command::Command;
    let server = Server::start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    let nameless = pb::AddEventRequest {
        event_type: " ".to_owned(),
        ..event("visit")
    };
    lane.send(TOKEN, adds(1)).await;
    lane.send("", command("nameless", Command::AddEvent(nameless)))
        .await;
    lane.send(
        "",
        command("update", Command::UpdateCustomer(update(r#"{"n":1}"#))),
    )
    .await;
    lane.send(
        "",
        command(
            "time",
            Command::GetSystemTime(pb::GetSystemTimeRequest::default()),
        ),
    )
    .await;
    lane.send("", pb::Command::default()).await;
    lane.send(OTHER_TOKEN, adds(2)).await;
    lane.send(TOKEN, adds(3)).await;
    let expected = [
        (1, "1", Code::Ok),
        (2, "nameless", Code::InvalidArgument),
        (3, "update", Code::Ok),
        (4, "time", Code::Ok),
        (5, "", Code::InvalidArgument),
        (6, "2", Code::InvalidArgument),
        (7, "3", Code::Ok),
    ];
    for (number, id, expected) in expected {
        let (told, result) = lane.result().await;
        assert_eq!(
            (told, result.command_id.as_str(), code(&result)),
            (number, id, expected)
        );
        assert_eq!(result.time.is_some(), id == "time");
        let field = result.error.map(|error| {
            let status = tonic::Status::with_details(
                Code::InvalidArgument,
                error.message.clone(),
                prost::Message::encode_to_vec(&error).into(),
            );
            status.get_details_bad_request().unwrap().field_violations[0]
                .field
                .clone()
        });
        assert_eq!(
            field.as_deref(),
            match number {
                2 => Some("event_type"),
                5 => Some("command"),
                6 => Some("project_token"),
                _ => None,
            }
        );
    }
    assert_eq!(visits(&server).await, 2);
    lane.closed().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_costs_a_request_and_a_refused_one_does_not_end_the_stream() {
    let limited = Setup::default().with("[rate_limit]\nrequests = 4\nperiod = \"1m\"");
    let server = limited.start().await;
    // Opening it is the first of the four.
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    for n in 1..=5 {
        lane.send(TOKEN, adds(n)).await;
    }
    for expected in [Code::Ok, Code::Ok, Code::Ok] {
        assert_eq!(code(&lane.result().await.1), expected);
    }
    for _ in 0..2 {
        let refused = lane.result().await.1.error.unwrap();
        assert_eq!(Code::from(refused.code), Code::ResourceExhausted);
        assert_eq!(
            refused.message,
            "Rate limit exceeded: 4 requests per 60 s from 203.0.113.7"
        );
        let status = tonic::Status::with_details(
            Code::ResourceExhausted,
            "",
            prost::Message::encode_to_vec(&refused).into(),
        );
        let details = status.get_error_details();
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_secs(15))
        );
        assert_eq!(
            details.quota_failure().unwrap().violations[0].subject,
            "address:203.0.113.7"
        );
    }
    // Others notice nothing, and unary calls share the quota.
    let mut other = server.opens(PUBLIC, "203.0.113.8").await.unwrap();
    other.send(TOKEN, adds(20)).await;
    assert_eq!(code(&other.result().await.1), Code::Ok);
    let unary = server.track("customers", "{}").from(ADDRESS).send().await;
    assert_eq!(unary.status, 429);
    server.clock.advance(Duration::from_secs(15));
    lane.send("", adds(6)).await;
    let (number, result) = lane.result().await;
    assert_eq!((number, code(&result)), (6, Code::Ok));
    // What was refused was not kept.
    let limits = server.data(
        "events",
        r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#,
    );
    let events = limits.from("203.0.113.9").send().await.json();
    assert_eq!(events["data"].as_array().unwrap().len(), 5);
    lane.closed().await.unwrap();
    drop(other);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quotas_of_project_and_key_count_messages_too() {
    let projects = format!(
        "[[project]]\ntoken = \"{TOKEN}\"\n[[project.key]]\npublic = \"public-key\"\npermissions = [\"events:set\"]\nrate_limit = {{ requests = 2 }}"
    );
    let server = Setup::default().projects(&projects).start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    for n in 1..=3 {
        lane.send(TOKEN, adds(n)).await;
    }
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    let refused = lane.result().await.1.error.unwrap();
    assert_eq!(Code::from(refused.code), Code::ResourceExhausted);
    assert!(
        refused
            .message
            .ends_with(&format!("for project:{TOKEN}/key[1]")),
        "{}",
        refused.message
    );
    lane.closed().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_is_told_so_with_the_first_message_at_the_latest_and_nothing_is_kept() {
    let server = Server::start().await;
    let cases = [
        ("Token nobody", TOKEN, Code::Unauthenticated),
        (PUBLIC, "nowhere", Code::InvalidArgument),
        (PUBLIC, "", Code::InvalidArgument),
        (PUBLIC, OTHER_TOKEN, Code::Unauthenticated),
    ];
    for (key, token, expected) in cases {
        let ended = match server.opens(key, ADDRESS).await {
            // What is nobody's key needs no message to be refused.
            Err(ended) => ended,
            Ok(mut lane) => {
                lane.send(token, adds(1)).await;
                lane.told().await.unwrap_err()
            }
        };
        assert_eq!(ended.code(), expected, "{key} {token}: {ended:?}");
    }
    assert_eq!(visits(&server).await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_say_whose_it_is_ends_and_one_that_has_said_so_may_be_silent() {
    let hurried = Setup::default().with("[server]\nbody_timeout = \"200ms\"");
    let server = hurried.start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    lane.send(TOKEN, adds(1)).await;
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    let mut silent = server.opens(PUBLIC, ADDRESS).await.unwrap();
    let ended = silent.told().await.unwrap_err();
    assert_eq!(ended.code(), Code::InvalidArgument, "{ended:?}");
    // As silent, and for longer.
    lane.send("", adds(2)).await;
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    lane.closed().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_away_ends_the_stream_behind_what_it_had_taken() {
    let server = Server::start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    lane.send(TOKEN, adds(1)).await;
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    let without = format!(
        "[[project]]\ntoken = \"{TOKEN}\"\n[[project.key]]\nid = \"key-id\"\nsecrets = [\"key-secret\"]\npermissions = [\"events:get\"]"
    );
    server.reloads(&Setup::default().projects(&without));
    lane.send("", adds(2)).await;
    assert_eq!(lane.told().await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(visits(&server).await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_acknowledges_what_was_taken_and_ends_the_stream() {
    let server = Server::start().await;
    let mut idle = server.opens(PUBLIC, ADDRESS).await.unwrap();
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    lane.send(TOKEN, adds(1)).await;
    assert_eq!(code(&lane.result().await.1), Code::Ok);
    server.signal();
    for lane in [&mut idle, &mut lane] {
        let ended = lane.told().await.unwrap_err();
        assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
        assert!(ended.get_details_retry_info().is_some());
    }
    server.ended().await;
}

async fn others_are_served(server: &Server) {
    for _ in 0..100 {
        assert_eq!(server.get("/healthz").send().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_stops_the_reading_and_loses_nothing() {
    let store = Arc::new(MemoryStore::default());
    let server = Setup::default().over(store.clone()).start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    store.stall(true);
    let big = "x".repeat(10_000);
    let mut sent = 0;
    // The service takes a few groups and then no more, so that the sender is held up.
    loop {
        let mut command = adds(sent + 1);
        if let Some(pb::command::Command::AddEvent(event)) = &mut command.command {
            event.properties = crate::harness::calls::properties(&json!({"big": big}).to_string());
        }
        let message = pb::TrackStreamRequest {
            project_token: TOKEN.to_owned(),
            command: Some(command),
        };
        let taken = lane.commands.send(message);
        // A sender that waits while others are served a hundred times is held up.
        match select(pin!(taken), pin!(others_are_served(&server))).await {
            Either::Left((taken, _)) => taken.unwrap(),
            Either::Right(_) => break,
        }
        sent += 1;
    }
    assert!((1..5_000).contains(&sent), "{sent} of 10 kB");
    store.stall(false);
    for n in 1..=sent {
        let (number, result) = lane.result().await;
        assert_eq!((number, code(&result)), (n as u64, Code::Ok));
    }
    assert_eq!(visits(&server).await, sent as usize);
    lane.closed().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_the_disk_refuses_say_so_each_and_the_stream_goes_on() {
    let store = Arc::new(MemoryStore::default());
    let server = Setup::default().over(store.clone()).start().await;
    let mut lane = server.opens(PUBLIC, ADDRESS).await.unwrap();
    store.fail(Some(StoreError::Full));
    lane.send(TOKEN, adds(1)).await;
    let refused = lane.result().await.1;
    assert_eq!(code(&refused), Code::Unavailable, "{refused:?}");
    store.fail(None);
    // The log heals by itself once there is space.
    let mut n = 2;
    eventually("a command is stored", async || {
        lane.send("", adds(n)).await;
        n += 1;
        (code(&lane.result().await.1) == Code::Ok).then_some(())
    })
    .await;
    assert_eq!(visits(&server).await, 1);
    lane.closed().await.unwrap();
    server.stop().await;
}
