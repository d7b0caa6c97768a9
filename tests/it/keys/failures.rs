//! How often an address may get credentials wrong.

use std::time::Duration;

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::basic;
use crate::harness::{Answer, PRIVATE, PUBLIC, Server, Setup, TOKEN, authorized};

const CLIENT: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";

async fn limited(failures: u32) -> Server {
    let setting = format!("[rate_limit]\nauth_failures = {failures}");
    Setup::default().with(&setting).start().await
}

async fn ask(server: &Server, from: &str, token: &str, authorization: &str) -> Answer {
    let path = format!("/track/v2/projects/{token}/system/time");
    let get = server.get(&path).from(from);
    get.header("Authorization", authorization).send().await
}

async fn status(server: &Server, from: &str, authorization: &str) -> u16 {
    ask(server, from, TOKEN, authorization).await.status
}

/// How often `expected` is answered before something else is, and what that is.
async fn failing(server: &Server, from: &str, authorization: &str, expected: u16) -> (usize, u16) {
    for count in 0..200 {
        let status = status(server, from, authorization).await;
        if status != expected {
            return (count, status);
        }
    }
    (200, expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_a_secret_wrong_too_often_is_refused_with_the_right_one_too() {
    let server = limited(3).await;
    let wrong = basic("key-id", "guess");
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await, (3, 429));
    assert_eq!(
        status(&server, CLIENT, PRIVATE).await,
        429,
        "it was compared"
    );
    assert_eq!(status(&server, CLIENT, &wrong).await, 429);
    // A third of the minute earns a third of the failures.
    server.clock.advance(Duration::from_secs(20));
    assert_eq!(status(&server, CLIENT, PRIVATE).await, 200);
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await, (1, 429));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_suffers_from_a_guesser() {
    let server = limited(3).await;
    let wrong = basic("key-id", "guess");
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await, (3, 429));
    // The same key from elsewhere, other keys from here, and the same name in another project.
    assert_eq!(status(&server, OTHER, PRIVATE).await, 200);
    assert_eq!(status(&server, CLIENT, PUBLIC).await, 200);
    assert_eq!(
        status(&server, CLIENT, &basic("read-nothing", "s")).await,
        200
    );
    let other = basic("key-id", "other-secret");
    let answer = ask(&server, CLIENT, crate::harness::OTHER_TOKEN, &other).await;
    assert_eq!(answer.status, 200);
    let elsewhere = basic("read-nothing", "guess");
    assert_eq!(failing(&server, CLIENT, &elsewhere, 403).await, (3, 429));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_and_projects_are_charged_together_and_good_ones_pass() {
    let server = limited(4).await;
    assert_eq!(status(&server, CLIENT, "Token nobody").await, 401);
    assert_eq!(status(&server, CLIENT, &basic("nobody", "s")).await, 401);
    assert_eq!(ask(&server, CLIENT, "nowhere", PUBLIC).await.status, 400);
    assert_eq!(
        failing(&server, CLIENT, "Token nobody", 401).await,
        (1, 429)
    );
    assert_eq!(ask(&server, CLIENT, "nowhere", PUBLIC).await.status, 429);
    for good in [PUBLIC, PRIVATE] {
        assert_eq!(status(&server, CLIENT, good).await, 200);
    }
    // Nobody's secret was tried, so all tries are left.
    let wrong = basic("key-id", "guess");
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await, (4, 429));
    assert_eq!(status(&server, OTHER, "Token nobody").await, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_good_calls_nor_calls_without_credentials_are_failures() {
    let server = limited(2).await;
    for authorization in [PUBLIC, PRIVATE] {
        assert_eq!(failing(&server, CLIENT, authorization, 200).await.0, 200);
    }
    for unreadable in ["Bearer x", "Basic !!"] {
        assert_eq!(failing(&server, CLIENT, unreadable, 401).await.0, 200);
    }
    assert_eq!(server.counted("footfall_auth_failures_total").await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_says_in_both_protocols_what_was_exceeded() {
    let server = limited(2).await;
    let wrong = basic("key-id", "guess");
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await, (2, 429));
    let text = format!("Rate limit exceeded: 2 failed authentications per 60 s from {CLIENT}");
    let answer = ask(&server, CLIENT, TOKEN, &wrong).await;
    assert_eq!(answer.error(), text);
    assert_eq!(answer.header("retry-after"), Some("30"));
    let policy = answer.header("ratelimit-policy").unwrap();
    assert!(policy.ends_with("\"authfail\";q=2;w=60"), "{policy}");
    let limit = answer.header("ratelimit").unwrap();
    assert!(limit.contains("\"authfail\";r=0;t="), "{limit}");

    let mut client = TrackingServiceClient::new(server.channel().await);
    let question = pb::GetSystemTimeRequest {
        project_token: TOKEN.to_owned(),
    };
    let mut request = authorized(question, &wrong);
    let metadata = request.metadata_mut();
    metadata.insert("x-forwarded-for", CLIENT.parse().unwrap());
    let status = client.get_system_time(request).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, text.as_str())
    );
    let details = status.get_error_details();
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait, Duration::from_secs(30));
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, format!("failures:{CLIENT}"));
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "RATE_LIMIT_EXCEEDED");
    assert_eq!(info.metadata["quota_policy"], "authfail");
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    assert_eq!(server.counted("footfall_auth_failures_total").await, 2);
    assert_eq!(server.counted("footfall_auth_refused_total").await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_failures_changes_without_a_restart_and_0_is_none() {
    let server = limited(1).await;
    let wrong = basic("key-id", "guess");
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await, (1, 429));
    let with =
        |failures: u32| Setup::default().with(&format!("[rate_limit]\nauth_failures = {failures}"));
    assert_eq!(server.reloads(&with(0)).changed, ["rate_limit"]);
    assert_eq!(failing(&server, CLIENT, &wrong, 403).await.0, 200);
    server.reloads(&with(2));
    assert_eq!(failing(&server, OTHER, &wrong, 403).await, (2, 429));
    server.stop().await;
}
