//! Batches.

use serde_json::value::RawValue;

use super::super::{Planned, batch};
use super::{at, ids, message, now};
use crate::grpc::pb;
use crate::grpc::pb::command::Command;
use crate::tracker::COMMAND_BYTES_MAX;

/// What each command comes to: its `command_id` as it was sent, and the message of its failure.
fn plan(body: &str) -> Vec<(Option<String>, Option<String>)> {
    let batch = batch(body.as_bytes(), "token", now()).unwrap();
    let plan = batch.plan.iter().map(|(id, planned)| {
        let id = id.map(|raw: &RawValue| raw.get().to_owned());
        match planned {
            Planned::Executed => (id, None),
            Planned::Failed(status) => (id, Some(status.message().to_owned())),
        }
    });
    plan.collect()
}

fn requests(body: &str) -> Vec<Command> {
    let batch = batch(body.as_bytes(), "token", now()).unwrap();
    let pb::ExecuteBatchRequest {
        project_token,
        commands,
    } = batch.request;
    assert_eq!(project_token, "token");
    let commands = commands.into_iter().map(|command| command.command.unwrap());
    commands.collect()
}

fn refused(body: &str) -> String {
    message(batch(body.as_bytes(), "token", now()))
}

#[test]
fn what_a_shop_plugin_sends_is_read() {
    let body = r#"{"sdk":"magento-plugin","commands":[{"name":"customers","command_id":"17","data":{"customer_ids":{"email_id":"a@b.c","customer_id":12},"properties":{"x":1},"update_timestamp":1752661000}}]}"#;
    let [Command::UpdateCustomer(update)] = &requests(body)[..] else {
        panic!("one update")
    };
    assert_eq!(
        update.customer_ids,
        ids(&[("email_id", "a@b.c"), ("customer_id", "12")])
    );
    assert_eq!(at(update.update_timestamp), Some((1_752_661_000, 0)));
    assert_eq!(plan(body), [(Some(r#""17""#.into()), None)]);
}

#[test]
fn each_name_leads_to_its_command_however_it_is_spelled() {
    // PHP escapes slashes unless a flag says otherwise.
    let rows = [
        (r#""customers""#, "UpdateCustomer"),
        (r#""customers/events""#, "AddEvent"),
        (r#""customers\/events""#, "AddEvent"),
        (r#""campaigns/clicks""#, "TrackCampaignClick"),
        (r#""campaigns\/clicks""#, "TrackCampaignClick"),
        (r#""system/time""#, "GetSystemTime"),
        (r#""system\/time""#, "GetSystemTime"),
        (r#""\u0063ustomers""#, "UpdateCustomer"),
    ];
    for (name, expected) in rows {
        let body = format!(r#"{{"commands":[{{"name":{name}}}]}}"#);
        assert_eq!(plan(&body), [(None, None)], "{name}");
        let [command] = &requests(&body)[..] else {
            panic!("one command")
        };
        assert!(format!("{command:?}").starts_with(expected), "{name}");
    }
}

#[test]
fn a_name_that_leads_nowhere_fails_its_command() {
    for name in [
        r#""customer""#,
        r#""Customers""#,
        r#""customers/""#,
        r#""""#,
    ] {
        let body = format!(r#"{{"commands":[{{"name":{name}}}]}}"#);
        assert_eq!(
            plan(&body),
            [(None, Some(format!("Unknown command {name}")))]
        );
    }
    for body in [
        r#"{"commands":[{}]}"#,
        r#"{"commands":[{"name":null}]}"#,
        r#"{"commands":[{"name":7}]}"#,
    ] {
        assert!(plan(body)[0].1.is_some(), "{body}");
    }
}

#[test]
fn a_bad_command_leaves_the_others_in_their_places() {
    let body = r#"{"commands":[
        {"name":"system/time","command_id":1},
        {"name":"customers","data":{"customer_ids":5},"command_id":2},
        {"name":"customers","data":[],"command_id":3},
        {"name":"customers/events","data":{"timestamp":"?"},"command_id":4},
        {"name":"customers/events","data":{"event_type":"a"},"command_id":5}
    ]}"#;
    let plan = plan(body);
    let failed: Vec<_> = plan.iter().map(|(_, failed)| failed.is_some()).collect();
    assert_eq!(failed, [false, true, true, true, false]);
    let ids: Vec<_> = plan.iter().map(|(id, _)| id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
    assert_eq!(
        plan[2].1.as_deref().unwrap(),
        "Field 'data' must be an object, not []."
    );
    assert_eq!(requests(body).len(), 2);
}

#[test]
fn a_command_id_is_echoed_as_it_came() {
    for id in [
        "null",
        "0",
        "1.50",
        r#""\u0041""#,
        r#"{ "a" : [1 , 2] }"#,
        "[]",
        "false",
    ] {
        let body = format!(r#"{{"commands":[{{"command_id": {id} ,"name":"system/time"}}]}}"#);
        assert_eq!(plan(&body), [(Some(id.to_owned()), None)]);
    }
}

#[test]
fn data_may_be_missing() {
    for data in ["", r#","data":null"#, r#","data":{}"#] {
        let body = format!(r#"{{"commands":[{{"name":"customers"{data}}}]}}"#);
        assert_eq!(plan(&body), [(None, None)], "the service asks for the IDs");
    }
}

#[test]
fn a_batch_without_commands_is_refused_as_a_whole() {
    for body in [
        "{}",
        r#"{"commands":null}"#,
        r#"{"commands":[]}"#,
        r#"{"commands":{}}"#,
        r#"{"commands":"x"}"#,
        r#"{"commands":5}"#,
    ] {
        assert_eq!(refused(body), "No commands", "{body}");
    }
}

#[test]
fn what_is_not_json_is_refused_as_a_whole() {
    for body in [
        "",
        "[]",
        r#"{"commands":[{"name":"system/time"}"#,
        r#"{"commands":[{"name":"system/time"}]} x"#,
        r#"{"commands":[{"name":"system/time"},]}"#,
        r#"{"commands":[5]}"#,
        r#"{"commands":[null]}"#,
        r#"{"commands":[{"name":"system/time"},"x"]}"#,
        r#"{"commands":[[]]}"#,
    ] {
        assert_eq!(refused(body), "Invalid JSON", "{body}");
    }
}

#[test]
fn at_most_50_commands_are_taken_and_all_are_counted() {
    let body = |count: usize| {
        let commands = vec![r#"{"name":"system/time"}"#; count].join(",");
        format!(r#"{{"commands":[{commands}]}}"#)
    };
    assert_eq!(plan(&body(50)).len(), 50);
    assert_eq!(refused(&body(51)), "Too many commands: 51, at most 50");
    assert_eq!(refused(&body(73)), "Too many commands: 73, at most 50");
    let brackets = format!(r#"{{"commands":[{}{{}}]}}"#, "{},".repeat(99_999));
    assert_eq!(refused(&brackets), "Too many commands: 100000, at most 50");
}

#[test]
fn a_command_that_is_too_large_fails_alone() {
    let text = "x".repeat(COMMAND_BYTES_MAX);
    let body = format!(
        r#"{{"commands":[{{"name":"customers","data":{{"x":"{text}"}}}},{{"name":"customers"}}]}}"#
    );
    let plan = plan(&body);
    let message = "command is too large: 819208 bytes, at most 819200".to_owned();
    assert_eq!(plan, [(None, Some(message)), (None, None)]);
}
