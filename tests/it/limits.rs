//! The rate limit from outside: who is refused, with what words, and that nothing of it is kept.

use std::time::Duration;

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::harness::{PUBLIC, Server, Setup, TOKEN, authorized};

const QUOTA: usize = 6_000;
/// How many requests are in flight at once.
const AT_ONCE: usize = 50;
const CLIENT: &str = "203.0.113.7";
const OTHER_CLIENT: &str = "203.0.113.8";

fn visit(number: usize) -> String {
    format!(
        r#"{{"customer_ids":{{"registered":"a"}},"event_type":"visit","properties":{{"number":{number}}}}}"#
    )
}

/// Which visits are stored.
async fn stored(server: &Server) -> Vec<u64> {
    let question = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;
    let read = server
        .data("events", question)
        .from(OTHER_CLIENT)
        .send()
        .await;
    let json = read.json();
    let events = json["data"].as_array().unwrap();
    let mut numbers: Vec<_> = events
        .iter()
        .map(|event| event["properties"]["number"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

fn numbers_without(refused: usize) -> Vec<u64> {
    let numbers = (0..=QUOTA).filter(|number| *number != refused);
    numbers.map(|number| number as u64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_6001_requests_at_once_one_is_refused_over_rest() {
    let server = Server::start().await;
    let mut refusals = Vec::new();
    let numbers: Vec<usize> = (0..=QUOTA).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let requests = numbers.iter().map(|number| {
            let request = server
                .track("customers/events", &visit(*number))
                .from(CLIENT);
            (*number, tokio::spawn(request.send()))
        });
        for (number, request) in requests.collect::<Vec<_>>() {
            let answer = request.await.unwrap();
            match answer.status {
                200 => {}
                _ => refusals.push((number, answer)),
            }
        }
    }
    let [(number, refusal)] = refusals.as_slice() else {
        panic!("{refusals:?}");
    };
    assert_eq!(refusal.status, 429);
    assert_eq!(refusal.header("retry-after"), Some("1"));
    assert_eq!(
        refusal.header("ratelimit-policy"),
        Some(r#""perip";q=6000;w=60"#)
    );
    assert_eq!(refusal.header("ratelimit"), Some(r#""perip";r=0;t=60"#));
    let json = refusal.json();
    assert_eq!(json["code"], "RESOURCE_EXHAUSTED");
    assert_eq!(json["errors"][0], json["error"]);
    let details = json["details"].as_array().unwrap();
    let delay = details
        .iter()
        .find_map(|detail| detail["retryDelay"].as_str());
    assert_eq!(delay, Some("0.010s"), "{json}");

    let other = server
        .track("customers/events", &visit(QUOTA + 1))
        .from(OTHER_CLIENT);
    assert_eq!(
        other.send().await.status,
        200,
        "other addresses notice nothing"
    );
    let mut kept = numbers_without(*number);
    kept.push(QUOTA as u64 + 1);
    assert_eq!(stored(&server).await, kept, "what is refused is not stored");

    server.clock.advance(Duration::from_secs(1));
    let again = server
        .track("customers/events", &visit(*number))
        .from(CLIENT);
    assert_eq!(
        again.send().await.status,
        200,
        "after the wait that was named"
    );
    server.stop().await;
}

async fn add_visit(
    client: &mut TrackingServiceClient<Channel>,
    number: usize,
    from: &str,
) -> Result<(), Status> {
    let json = format!(r#"{{"number":{number}}}"#);
    let properties = footfall::model::properties::Properties::from_json(&json).unwrap();
    let event = pb::AddEventRequest {
        project_token: TOKEN.into(),
        customer_ids: [("registered".into(), "a".into())].into(),
        event_type: "visit".into(),
        properties: Some(properties.into()),
        timestamp: None,
    };
    client.add_event(forwarded(event, from)).await.map(drop)
}

fn forwarded<T>(message: T, from: &str) -> Request<T> {
    let mut request = authorized(message, PUBLIC);
    request
        .metadata_mut()
        .insert("x-forwarded-for", from.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn of_6001_calls_at_once_one_is_refused_over_grpc() {
    let server = Server::start().await;
    let mut client = TrackingServiceClient::new(server.channel().await);
    let mut refusals = Vec::new();
    let numbers: Vec<usize> = (0..=QUOTA).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let calls = numbers.iter().map(|number| {
            let (mut client, number) = (client.clone(), *number);
            let call = async move { add_visit(&mut client, number, CLIENT).await };
            (number, tokio::spawn(call))
        });
        for (number, call) in calls.collect::<Vec<_>>() {
            if let Err(status) = call.await.unwrap() {
                refusals.push((number, status));
            }
        }
    }
    let [(number, refusal)] = refusals.as_slice() else {
        panic!("{refusals:?}");
    };
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    let delay = refusal
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert_eq!(delay, Duration::from_millis(10));
    assert_eq!(
        refusal.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "10"
    );
    let quota = refusal.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations[0].subject, "address:203.0.113.7");
    let info = refusal.get_details_error_info().unwrap();
    assert_eq!(info.reason, "RATE_LIMIT_EXCEEDED");

    let other = add_visit(&mut client, QUOTA + 1, OTHER_CLIENT).await;
    other.expect("other addresses notice nothing");
    let mut kept = numbers_without(*number);
    kept.push(QUOTA as u64 + 1);
    assert_eq!(stored(&server).await, kept, "what is refused is not stored");

    server.clock.advance(delay);
    let again = add_visit(&mut client, *number, CLIENT).await;
    again.expect("after the wait that was named");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_spend_the_same_quota() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 2")
        .start()
        .await;
    let mut client = TrackingServiceClient::new(server.channel().await);
    let post = || server.track("customers/events", &visit(1)).from(CLIENT);
    add_visit(&mut client, 0, CLIENT).await.unwrap();
    assert_eq!(post().send().await.status, 200);
    assert_eq!(post().send().await.status, 429);
    let refused = add_visit(&mut client, 2, CLIENT).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_request() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 1")
        .start()
        .await;
    let commands = vec![r#"{"name":"system/time"}"#; 50].join(",");
    let batch = format!(r#"{{"commands":[{commands}]}}"#);
    let post = || server.track("batch", &batch).from(CLIENT);
    assert_eq!(post().send().await.status, 200);
    assert_eq!(post().send().await.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_refused_request_is_not_waited_for() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 1")
        .start()
        .await;
    let post = || server.track("customers/events", "").from(CLIENT);
    assert_eq!(post().send().await.status, 400);
    // The body that is announced never comes.
    let refused = post().header("Content-Length", "1000").send().await;
    assert_eq!(refused.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limited_answer_says_how_the_caller_stands() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 3")
        .start()
        .await;
    let mut left = Vec::new();
    for path in [
        "/nowhere",
        "/track/v2/projects/x/system/time",
        "/nowhere",
        "/nowhere",
    ] {
        let answer = server.get(path).from(CLIENT).send().await;
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some(r#""perip";q=3;w=60"#)
        );
        left.push(answer.header("ratelimit").unwrap().to_owned());
    }
    assert_eq!(
        left,
        [
            r#""perip";r=2;t=20"#,
            r#""perip";r=1;t=40"#,
            r#""perip";r=0;t=60"#,
            r#""perip";r=0;t=60"#
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_not_refused_because_of_traffic() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 1")
        .start()
        .await;
    for _ in 0..3 {
        server.get("/nowhere").from(CLIENT).send().await;
    }
    for path in ["/healthz", "/readyz", "/startupz"] {
        let probe = server.get(path).from(CLIENT).send().await;
        assert_eq!(probe.status, 200, "{path}");
        assert_eq!(probe.header("ratelimit"), None, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let settings =
        "[client_address]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[rate_limit]\nrequests = 1";
    let server = Setup::default().with(settings).start().await;
    let post = |from| server.track("customers/events", &visit(1)).from(from);
    assert_eq!(post(CLIENT).send().await.status, 200);
    assert_eq!(post(OTHER_CLIENT).send().await.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_a_wider_network_names_it_and_its_quota() {
    let settings = "[rate_limit]\nrequests = 10\nipv6_56_times = 2\nipv6_48_times = 3";
    let server = Setup::default().with(settings).start().await;
    let mut client = TrackingServiceClient::new(server.channel().await);
    let mut asks = async |of_64: usize| {
        let from = format!("2001:db8::{of_64:x}:0:0:0:1");
        add_visit(&mut client, of_64, &from).await
    };
    for of_64 in 0..20 {
        asks(of_64).await.unwrap();
    }
    let refusal = asks(20).await.unwrap_err();
    let text = "Rate limit exceeded: 20 requests per 60 s from 2001:db8::/56";
    assert_eq!(refusal.message(), text);
    let violation = &refusal.get_details_quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "address:2001:db8::/56");
    assert_eq!(violation.description, "20 requests per 60 s and IPv6 /56");
    let wait = refusal.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(wait, Some(Duration::from_secs(3)));
    let metadata = refusal.metadata();
    assert_eq!(
        metadata.get("ratelimit-policy").unwrap(),
        r#""per56";q=20;w=60"#
    );
    assert_eq!(metadata.get("ratelimit").unwrap(), r#""per56";r=0;t=60"#);
    // The next /56 has a quota of its own, but the /48 has only ten left.
    for of_64 in 0x100..0x10a {
        asks(of_64).await.unwrap();
    }
    let refusal = asks(0x10a).await.unwrap_err();
    let violation = &refusal.get_details_quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "address:2001:db8::/48");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_exemptions_and_shadow_mode_hold() {
    let settings = r#"
[rate_limit]
requests = 1
exempt = ["198.51.100.0/24"]
[[rate_limit.override]]
cidr = "203.0.113.0/24"
requests = 2
"#;
    let server = Setup::default().with(settings).start().await;
    let mut passed = Vec::new();
    for from in ["192.0.2.1", "203.0.113.1", "198.51.100.1"] {
        let mut count = 0;
        for _ in 0..4 {
            let answer = server.get("/nowhere").from(from).send().await;
            count += usize::from(answer.status == 404);
        }
        passed.push(count);
    }
    assert_eq!(passed, [1, 2, 4]);
    server.stop().await;

    let shadow = "[rate_limit]\nrequests = 1\nshadow = true";
    let server = Setup::default().with(shadow).start().await;
    for _ in 0..4 {
        assert_eq!(server.get("/nowhere").send().await.status, 404);
    }
    server.stop().await;
}
