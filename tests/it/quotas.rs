//! Quotas of projects and of keys, beside the one by address: who is refused, in which words, and who notices nothing.

use std::time::Duration;

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::calls::event;
use crate::harness::{Answer, OTHER_TOKEN, PRIVATE, PUBLIC, Request, Server, Setup, TOKEN};

const VISIT: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
const EVENTS: &str = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;

/// The harness's projects, with a quota for the first one and for its keys.
fn projects(project: &str, public: &str, private: &str) -> String {
    let quota = |of: &str| match of {
        "" => String::new(),
        of => format!("rate_limit = {{ {of} }}"),
    };
    let (project, public, private) = (quota(project), quota(public), quota(private));
    format!(
        r#"
[[project]]
token = "{TOKEN}"
{project}
[[project.key]]
public = "public-key"
permissions = ["customers:set", "events:set"]
{public}
[[project.key]]
id = "key-id"
secrets = ["key-secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get"]
{private}
[[project.key]]
public = "events-only"
permissions = ["events:set"]

[[project]]
token = "{OTHER_TOKEN}"
[[project.key]]
public = "other-public-key"
permissions = ["customers:set", "events:set"]
"#
    )
}

async fn with(project: &str, public: &str, private: &str) -> Server {
    let projects = projects(project, public, private);
    Setup::default().projects(&projects).start().await
}

fn as_key(server: &Server, authorization: &str) -> Request {
    let path = format!("/track/v2/projects/{TOKEN}/customers/events");
    let post = server.post(&path).header("Authorization", authorization);
    post.body(VISIT)
}

async fn add_event(server: &Server, from: &str) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    let mut request: tonic::Request<pb::AddEventRequest> =
        crate::harness::authorized(event("visit"), PUBLIC);
    let from = from.parse().unwrap();
    request.metadata_mut().insert("x-forwarded-for", from);
    client.add_event(request).await.map(drop)
}

/// The detail of a type.
fn detail(answer: &Answer, kind: &str) -> Value {
    let json = answer.json();
    let details = json["details"].as_array().unwrap();
    let found = details.iter().find(|detail| {
        let name = detail["@type"].as_str().unwrap();
        name.ends_with(kind)
    });
    found.unwrap_or_else(|| panic!("{json}")).clone()
}

fn subjects(answer: &Answer) -> Vec<String> {
    let failure = detail(answer, "QuotaFailure");
    let violations = failure["violations"].as_array().unwrap();
    let subject = |violation: &Value| violation["subject"].as_str().unwrap().to_owned();
    violations.iter().map(subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projects_callers_spend_one_quota_from_all_addresses_over_both_protocols() {
    let server = with("requests = 3, period = \"30s\"", "", "").await;
    assert_eq!(
        as_key(&server, PUBLIC)
            .from("203.0.113.1")
            .send()
            .await
            .status,
        200
    );
    assert_eq!(
        as_key(&server, PRIVATE)
            .from("203.0.113.2")
            .send()
            .await
            .status,
        200
    );
    add_event(&server, "203.0.113.3").await.unwrap();

    let refused = as_key(&server, PUBLIC).from("203.0.113.4").send().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("10"));
    let text = format!("Rate limit exceeded: 3 requests per 30 s for project:{TOKEN}");
    assert_eq!(refused.refusal().text, text);
    assert_eq!(subjects(&refused), [format!("project:{TOKEN}")]);
    assert_eq!(detail(&refused, "RetryInfo")["retryDelay"], "10s");
    let info = detail(&refused, "ErrorInfo");
    assert_eq!(info["reason"], "RATE_LIMIT_EXCEEDED");
    assert_eq!(info["metadata"]["quota_limit"], "3");
    assert_eq!(info["metadata"]["quota_policy"], "perproject");

    let over_grpc = add_event(&server, "203.0.113.5").await.unwrap_err();
    assert_eq!(over_grpc.code(), Code::ResourceExhausted);
    assert_eq!(over_grpc.message(), text);
    assert_eq!(
        over_grpc.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "10000"
    );
    let delay = over_grpc.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(10)));
    let failure = over_grpc.get_details_quota_failure().unwrap();
    assert_eq!(failure.violations[0].subject, format!("project:{TOKEN}"));

    server.clock.advance(Duration::from_secs(10));
    let read = server.data("events", EVENTS).send().await;
    let events = read.json()["data"].as_array().unwrap().len();
    assert_eq!(events, 3, "what is refused is not stored");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_project_and_another_key_notice_nothing() {
    let server = with("", "requests = 1", "requests = 2").await;
    assert_eq!(as_key(&server, PUBLIC).send().await.status, 200);
    for _ in 0..3 {
        assert_eq!(as_key(&server, PUBLIC).send().await.status, 429);
    }
    for _ in 0..2 {
        assert_eq!(as_key(&server, PRIVATE).send().await.status, 200);
    }
    assert_eq!(as_key(&server, PRIVATE).send().await.status, 429);
    for _ in 0..5 {
        let without_quota = as_key(&server, "Token events-only").send().await;
        assert_eq!(without_quota.status, 200);
        let path = format!("/track/v2/projects/{OTHER_TOKEN}/customers/events");
        let other = server
            .post(&path)
            .header("Authorization", "Token other-public-key");
        assert_eq!(other.body(VISIT).send().await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_a_key_by_its_id_or_place_and_shows_no_secret() {
    let server = with("", "requests = 1", "requests = 1").await;
    for (authorization, subject) in [
        (PUBLIC, format!("project:{TOKEN}/key[1]")),
        (PRIVATE, format!("project:{TOKEN}/key:key-id")),
    ] {
        as_key(&server, authorization).send().await;
        let refused = as_key(&server, authorization).send().await;
        assert_eq!(subjects(&refused), [subject.as_str()]);
        let text = format!("Rate limit exceeded: 1 requests per 60 s for {subject}");
        assert_eq!(refused.refusal().text, text);
        let shown = format!("{refused:?}");
        for secret in ["public-key", "key-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_tells_of_every_quota_that_applies_in_the_order_in_which_they_are_asked() {
    let server = with(
        "requests = 10",
        "requests = 2, period = \"1h\", burst = 2",
        "",
    )
    .await;
    let policy = r#""perip";q=6000;w=60, "perproject";q=10;w=60, "perkey";q=2;w=3600"#;
    let headers = |answer: &Answer| {
        let header = |name| answer.header(name).unwrap().to_owned();
        (header("ratelimit-policy"), header("ratelimit"))
    };
    let expected = |limit: &str| (policy.to_owned(), limit.to_owned());
    let answer = as_key(&server, PUBLIC).send().await;
    let limit = r#""perip";r=5999;t=1, "perproject";r=9;t=6, "perkey";r=1;t=1800"#;
    assert_eq!((answer.status, headers(&answer)), (200, expected(limit)));
    // An error of the request's costs as much.
    let answer = as_key(&server, PUBLIC).body("{").send().await;
    let limit = r#""perip";r=5998;t=1, "perproject";r=8;t=12, "perkey";r=0;t=3600"#;
    assert_eq!((answer.status, headers(&answer)), (400, expected(limit)));
    // The key refuses, so that the project is not charged; the address was, before anybody knew the key.
    let answer = as_key(&server, PUBLIC).send().await;
    let limit = r#""perip";r=5997;t=1, "perproject";r=8;t=12, "perkey";r=0;t=3600"#;
    assert_eq!((answer.status, headers(&answer)), (429, expected(limit)));
    // Who is not let in has an address and nothing else.
    let answer = as_key(&server, "Token wrong").send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("ratelimit"), Some(r#""perip";r=5996;t=1"#));
    // A key without a quota of its own.
    let answer = as_key(&server, PRIVATE).send().await;
    let limit = r#""perip";r=5995;t=1, "perproject";r=7;t=18"#;
    assert_eq!(answer.header("ratelimit"), Some(limit));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_refuse_both_are_named_and_the_longer_wait_counts() {
    let server = with("requests = 1", "requests = 1, period = \"1h\"", "").await;
    as_key(&server, PUBLIC).send().await;
    let refused = as_key(&server, PUBLIC).send().await;
    let (project, key) = (
        format!("project:{TOKEN}"),
        format!("project:{TOKEN}/key[1]"),
    );
    assert_eq!(subjects(&refused), [project, key]);
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert_eq!(
        detail(&refused, "ErrorInfo")["metadata"]["quota_policy"],
        "perkey"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_request_of_its_project_and_key() {
    let server = with("requests = 1", "requests = 1", "").await;
    let commands = vec![r#"{"name":"system/time"}"#; 50].join(",");
    let batch = format!(r#"{{"commands":[{commands}]}}"#);
    assert_eq!(server.track("batch", &batch).send().await.status, 200);
    assert_eq!(server.track("batch", &batch).send().await.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_costs_a_project_nothing() {
    let server = with("requests = 1", "requests = 1", "").await;
    for authorization in ["Token wrong", "Basic a2V5LWlkOndyb25n", "garbage"] {
        for _ in 0..3 {
            let refused = as_key(&server, authorization).send().await;
            assert!(matches!(refused.status, 401 | 403), "{authorization}");
        }
    }
    assert_eq!(as_key(&server, PUBLIC).send().await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_request_beyond_its_projects_quota_is_not_waited_for() {
    let server = with("requests = 1", "", "").await;
    as_key(&server, PUBLIC).send().await;
    // The body that is announced never comes.
    let refused = server
        .track("customers/events", "")
        .header("Content-Length", "1000");
    assert_eq!(refused.send().await.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exempt_address_is_held_to_its_projects_quota_and_shadow_mode_holds_nobody() {
    let projects = projects("requests = 1", "", "");
    let exempt = "[rate_limit]\nrequests = 1\nexempt = [\"127.0.0.0/8\"]";
    let server = Setup::default()
        .with(exempt)
        .projects(&projects)
        .start()
        .await;
    let answer = as_key(&server, PUBLIC).send().await;
    assert_eq!(answer.header("ratelimit"), Some(r#""perproject";r=0;t=60"#));
    assert_eq!(as_key(&server, PUBLIC).send().await.status, 429);
    let metrics = Request::new(server.admin, "GET", "/metrics").send().await;
    for line in [
        "quotas_admitted_total 1",
        "quotas_refused_total 1",
        "quotas_shadowed_total 0",
    ] {
        let line = format!("footfall_rate_limit_{line}");
        assert!(metrics.body.contains(&line), "{line}: {}", metrics.body);
    }
    server.stop().await;

    let shadow = "[rate_limit]\nshadow = true";
    let server = Setup::default()
        .with(shadow)
        .projects(&projects)
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(as_key(&server, PUBLIC).send().await.status, 200);
    }
    let metrics = Request::new(server.admin, "GET", "/metrics").send().await;
    assert!(
        metrics
            .body
            .contains("footfall_rate_limit_quotas_shadowed_total 3")
    );
    server.stop().await;
}
