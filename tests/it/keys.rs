//! Keys: how long they live, what they may, and how often somebody may get them wrong.

mod failures;
mod secrets;

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tonic::{Code, Status};

use crate::harness::calls::{event, ids};
use crate::harness::process::{Process, command, log, run};
use crate::harness::{Request, Server, Setup, TOKEN, authorized};

/// `Authorization` of a private key.
fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// A service with one project, whose keys these lines are.
async fn with_keys(keys: &str) -> Server {
    with_project(keys).start().await
}

fn with_project(keys: &str) -> Setup {
    Setup::default().projects(&format!("[[project]]\ntoken = \"{TOKEN}\"\n{keys}"))
}

/// What REST and gRPC say to who asks for the time: status and code, and their text, which is the same.
async fn asks(server: &Server, authorization: &str) -> (u16, Code, String) {
    let path = format!("/track/v2/projects/{TOKEN}/system/time");
    let rest = server.get(&path).header("Authorization", authorization);
    let rest = rest.send().await;
    let mut client = TrackingServiceClient::new(server.channel().await);
    let question = pb::GetSystemTimeRequest {
        project_token: TOKEN.to_owned(),
    };
    let grpc = client.get_system_time(authorized(question, authorization));
    match grpc.await {
        Ok(_) => (rest.status, Code::Ok, String::new()),
        Err(status) => {
            assert_eq!(rest.error(), status.message());
            (rest.status, status.code(), rest.error())
        }
    }
}

fn let_in() -> (u16, Code, String) {
    (200, Code::Ok, String::new())
}

fn not_found() -> (u16, Code, String) {
    (401, Code::Unauthenticated, "Access key not found".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_expires_is_a_key_no_more_and_says_nothing_else() {
    // The clock begins at 2023-11-14T22:13:20Z. One time with quotes, one as TOML has it.
    let server = with_keys(
        r#"
[[project.key]]
public = "page"
permissions = ["events:set"]
expires = "2023-11-14T23:14:20+01:00"
[[project.key]]
id = "shop"
secrets = ["hush"]
permissions = ["events:get"]
expires = 2023-11-14T22:14:20Z
[[project.key]]
id = "old"
secrets = ["hush"]
permissions = []
expires = "2020-01-01T00:00:00Z"
"#,
    )
    .await;
    let shop = basic("shop", "hush");
    assert_eq!(asks(&server, &basic("old", "hush")).await, not_found());
    assert_eq!(asks(&server, "Token page").await, let_in());
    assert_eq!(asks(&server, &shop).await, let_in());
    server.clock.advance(Duration::from_micros(59_999_999));
    assert_eq!(asks(&server, &shop).await, let_in());
    server.clock.advance(Duration::from_micros(1));
    assert_eq!(asks(&server, "Token page").await, not_found());
    assert_eq!(asks(&server, &shop).await, not_found());
    assert_eq!(asks(&server, &basic("shop", "wrong")).await, not_found());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_key_expires() {
    let keys = "[[project.key]]\nid = \"key-id\"\nsecrets = [\"key-secret\"]\npermissions = [\"events:get\"]\nexpires = \"2023-11-14T23:00:00Z\"\n";
    let beats = with_project(keys).with("[server]\nwatch_heartbeat = \"50ms\"");
    let server = beats.start().await;
    let mut watch = server.listens("", "").await;
    assert!(watch.piece().await.is_some());
    assert!(watch.piece().await.is_some());
    server.clock.advance(Duration::from_hours(1));
    let end = async { while watch.piece().await.is_some() {} };
    let ended = tokio::time::timeout(Duration::from_secs(20), end).await;
    ended.expect("the watch goes on without its key");
    server.stop().await;
}

const TYPES: &str = r#"
[[project.key]]
public = "some"
permissions = ["events:set:purchase", "events:set:campaign_click", "events:set:a:b"]
[[project.key]]
public = "all"
permissions = ["events:set"]
[[project.key]]
public = "one"
permissions = ["customers:set", "events:set:visit"]
"#;

async fn adds(server: &Server, key: &str, event_type: &str) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    let authorization = format!("Token {key}");
    let added = client.add_event(authorized(event(event_type), &authorization));
    let added = added.await.map(|_| ());
    let body = format!(r#"{{"customer_ids":{{"registered":"a"}},"event_type":"{event_type}"}}"#);
    let path = format!("/track/v2/projects/{TOKEN}/customers/events");
    let rest = server.post(&path).header("Authorization", &authorization);
    let rest = rest.body(body).send().await;
    let expected = added.as_ref().map_or(403, |()| 200);
    assert_eq!(rest.status, expected, "{key} {event_type}: {}", rest.body);
    added
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_add_the_events_whose_types_it_names() {
    let server = with_keys(TYPES).await;
    for (key, event_type, may) in [
        ("some", "purchase", true),
        ("some", " purchase ", true),
        ("some", "a:b", true),
        ("some", "campaign_click", true),
        ("some", "Purchase", false),
        ("some", "purchases", false),
        ("some", "visit", false),
        ("some", "a", false),
        ("one", "visit", true),
        ("one", "purchase", false),
        ("all", "purchase", true),
        ("all", "anything", true),
    ] {
        let added = adds(&server, key, event_type).await;
        assert_eq!(added.is_ok(), may, "{key} {event_type}");
        if let Err(status) = added {
            let said = (status.code(), status.message());
            assert_eq!(said, (Code::PermissionDenied, "No permission"));
        }
    }
    let path = format!("/track/v2/projects/{TOKEN}/campaigns/clicks");
    for (key, status) in [("some", 200), ("one", 403), ("all", 200)] {
        let click = server
            .post(&path)
            .body(r#"{"customer_ids":{},"url":"https://a.b"}"#);
        let click = click.header("Authorization", &format!("Token {key}"));
        let answer = click.send().await;
        assert_eq!(answer.status, status, "{key}: {}", answer.body);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_an_event_of_another_type_fails_alone() {
    let server = with_keys(TYPES).await;
    let command = |event_type: &str| {
        format!(
            r#"{{"name":"customers/events","data":{{"customer_ids":{{"registered":"a"}},"event_type":"{event_type}"}}}}"#
        )
    };
    let body = format!(
        r#"{{"commands":[{},{}]}}"#,
        command("purchase"),
        command("visit")
    );
    let path = format!("/track/v2/projects/{TOKEN}/batch");
    let answer = server
        .post(&path)
        .header("Authorization", "Token some")
        .body(body);
    let json = answer.send().await.json();
    assert_eq!(json["results"][0]["success"], true, "{json}");
    assert_eq!(json["results"][1]["success"], false, "{json}");
    let errors = json["results"][1]["errors"].to_string();
    let text = "Not authorized to add event of specified type";
    assert!(errors.contains(text), "{json}");
    let mut client = TrackingServiceClient::new(server.channel().await);
    let command = |event_type: &str| pb::Command {
        command_id: String::new(),
        command: Some(pb::command::Command::AddEvent(pb::AddEventRequest {
            customer_ids: ids(&[("registered", "a")]),
            ..event(event_type)
        })),
    };
    let batch = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands: vec![command("purchase"), command("visit")],
    };
    let answer = client.execute_batch(authorized(batch, "Token some")).await;
    let results = answer.unwrap().into_inner().results;
    assert_eq!(results[0].error, None);
    assert_eq!(results[1].error.as_ref().unwrap().message, text);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_works_once_its_lines_are_in_the_settings_and_its_secret_never_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let output = command(dir).args(["keys", "new"]).output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let id = lines.lines().find_map(|line| line.strip_prefix("id = "));
    let id = id.unwrap().trim_matches('"');
    let secret = said.lines().find_map(|line| line.rsplit_once(": "));
    let secret = secret.unwrap().1;
    assert!(secret.len() >= 43 && !lines.contains(secret), "{lines}");
    assert!(said.contains(id), "{said}");
    let settings = format!("[[project]]\ntoken = \"{TOKEN}\"\n{lines}");
    fs::write(dir.join("footfall.toml"), settings).unwrap();
    let process = Process::start_with_projects(dir, "footfall.toml");
    let ask = |secret: &str| {
        let path = format!("/track/v2/projects/{TOKEN}/system/time");
        let get = Request::new(process.address, "GET", &path);
        get.header("Authorization", &basic(id, secret)).send()
    };
    assert_eq!(ask(secret).await.status, 200);
    assert_eq!(ask("another").await.status, 403);
    assert!(!log(dir).contains(secret));
    assert!(process.terminate().success(), "{}", log(dir));
    let (code, again) = run(command(dir).args(["keys", "new"]));
    assert_eq!(code, Some(0));
    assert!(!again.contains(secret) && !again.contains(id));
}
