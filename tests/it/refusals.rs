//! What is refused, as operators list it and as callers with the permission watch it.

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::reason::Reason;
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::calls::{event, ids};
use crate::harness::http::Request;
use crate::harness::{PRIVATE, PUBLIC, Server, Setup, TOKEN, authorized};
use crate::reasons::{of_project, rest};

const A: &str = r#""customer_ids":{"registered":"a"}"#;

impl Server {
    /// What `GET /refusals` answers.
    pub async fn refusals(&self, query: &str) -> Value {
        let path = format!("/refusals{query}");
        let answer = Request::new(self.admin, "GET", &path).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_find_each_refusal_with_all_that_explains_it() {
    let server = Server::start().await;
    let mut sent = Vec::new();
    for (number, (request, reason)) in rest(&server).into_iter().enumerate() {
        let id = format!("call-{number}");
        let request = request.header("x-request-id", &id);
        let answer = request.from("198.51.100.7").send().await;
        sent.push((id, reason, answer.error()));
    }
    let all = server.refusals("").await;
    let all = all["refusals"].as_array().unwrap();
    for (refusal, (id, reason, text)) in all.iter().rev().zip(&sent) {
        assert_eq!(refusal["request_id"], **id);
        assert_eq!(refusal["reason"], reason.tag(), "{refusal}");
        assert_eq!(refusal["text"], **text);
        assert_eq!(refusal["address"], "198.51.100.7");
        assert_eq!(refusal["time"], "2023-11-14T22:13:20Z");
        match of_project(*reason) {
            TOKEN => assert_eq!(refusal["project"], TOKEN),
            _ => assert!(refusal["project"].is_null(), "{refusal}"),
        }
    }
    assert_eq!(all.len(), sent.len());
    let found = server.refusals("?reason=url_missing").await;
    let found = found["refusals"].as_array().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["field"], "url");
    assert_eq!(
        found[0]["route"],
        "/track/v2/projects/{project_token}/campaigns/clicks"
    );
    assert_eq!(found[0]["key"], "key[1]");
    let found = server.refusals("?reason=customer_unknown&limit=1").await;
    assert_eq!(found["refusals"][0]["key"], "key-id");
    let nobody = server.refusals("?project=nobody").await;
    assert_eq!(nobody["refusals"], json!([]));
    let bad = Request::new(server.admin, "GET", "/refusals?reason=none");
    let bad = bad.send().await;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.json()["error"], "'reason' must be a reason, not 'none'");
    // Neither a key nor a secret is anywhere in it.
    let all = server.refusals("?limit=4096").await.to_string();
    assert!(!all.contains("public-key") && !all.contains("key-secret"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_one_refusal_a_second_and_address_is_listed() {
    let setup = Setup::default().with("[rate_limit]\nrequests = 10\nburst = 10");
    let server = setup.start().await;
    let mut refused = 0;
    for _ in 0..40 {
        let answer = server.track("customers", &format!("{{{A}}}")).send().await;
        refused += u64::from(answer.status == 429);
    }
    let all = server.refusals("?reason=rate_limit_exceeded").await;
    // The clock stands still.
    assert_eq!(all["refusals"].as_array().unwrap().len(), 1);
    assert_eq!(all["not_kept"], refused - 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_sees_no_refusals() {
    let setup = Setup::default().with("[server]\nadmin_hosts = [\"ops.example\"]");
    let server = setup.start().await;
    let asked = async |path: &str, host: &str| {
        let request = Request::new(server.admin, "GET", path).host(host);
        request.send().await
    };
    for path in ["/refusals", "/limits"] {
        for host in ["127.0.0.1:9090", "localhost", "[::1]:9090"] {
            let answer = asked(path, host).await;
            assert_eq!(answer.status, 200, "{path} {host}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
        let refused = asked(path, "evil.example:9090").await;
        assert_eq!(refused.status, 403);
        assert_eq!(
            refused.json()["error"],
            "Host 'evil.example' is not known here: list it in server.admin_hosts"
        );
        // The file system has let the caller in.
        let request = Request::new(server.admin, "GET", path).host("evil.example");
        let by_socket = request.send_by_socket(&server.data_dir()).await;
        assert_eq!(by_socket.status, 200);
    }
    // They say nothing of customers, and whatever looks after the service asks by its name.
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(asked(path, "footfall.prod").await.status, 200, "{path}");
    }
    server.stop().await;
}

/// The newest refusal's excerpt and text, after this body was refused.
async fn excerpt(server: &Server, route: &str, body: &str) -> (Value, String) {
    let answer = server.track(route, body).send().await;
    let newest = server.refusals("?limit=1").await["refusals"][0].take();
    let text = newest["text"].as_str().unwrap().to_owned();
    assert!(answer.status == 400 || route == "batch", "{answer:?}");
    (newest["excerpt"].clone(), text)
}

const INVALID: &str =
    r#"{"customer_ids":{"registered":"jane@example.com"},"event_type":"visit","timestamp":"soon"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_excerpt_shows_the_beginning_of_what_was_refused() {
    let server = Server::start().await;
    let (found, _) = excerpt(&server, "customers/events", INVALID).await;
    assert_eq!(found, INVALID);
    let long = format!("{{\"x\":\"{}", "é".repeat(1_000));
    let (found, _) = excerpt(&server, "customers", &long).await;
    assert!(long.starts_with(found.as_str().unwrap()), "{found}");
    assert!((254..=256).contains(&found.as_str().unwrap().len()));
    // What breaks a rule only in the service is named by its customer.
    let unlisted = r#"{"customer_ids":{"jane":"x"},"event_type":"visit"}"#;
    let (found, _) = excerpt(&server, "customers/events", unlisted).await;
    assert_eq!(
        found,
        r#"{"customer_ids": {"jane": "x"}, "event_type": "visit"}"#
    );
    // Commands of batches: one that is read alone, and one that is read with the rest.
    let command = format!(r#"{{"name":"customers/events","data":{INVALID}}}"#);
    let (found, _) = excerpt(&server, "batch", &format!("{{\"commands\":[{command}]}}")).await;
    assert!(
        command.ends_with(found.as_str().unwrap().trim_end_matches("]}")),
        "{found}"
    );
    // The same over gRPC.
    let mut tracking = TrackingServiceClient::new(server.channel().await);
    let request = pb::AddEventRequest {
        customer_ids: ids(&[("jane", "x")]),
        ..event("visit")
    };
    let refused = tracking.add_event(authorized(request, PUBLIC)).await;
    refused.unwrap_err();
    let newest = server.refusals("?limit=1").await["refusals"][0].take();
    assert_eq!(
        newest["excerpt"],
        r#"{"customer_ids": {"jane": "x"}, "event_type": "visit"}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excerpt_has_no_values_or_is_not_kept_where_the_settings_say_so() {
    for (mode, expected) in [
        (
            "names",
            json!(r#"{"customer_ids":{"registered":…},"event_type":…,"timestamp":…}"#),
        ),
        ("none", Value::Null),
    ] {
        let setup = format!("[server]\nrefusals_excerpt = \"{mode}\"");
        let server = Setup::default().with(&setup).start().await;
        let (found, text) = excerpt(&server, "customers/events", INVALID).await;
        assert_eq!(found, expected);
        assert!(!text.contains("soon"), "{text}");
        let all = server.refusals("").await.to_string();
        assert!(
            !all.contains("jane@example.com") && !all.contains("soon"),
            "{all}"
        );
        server.stop().await;
    }
}

/// Asks to watch refusals.
fn asks(reasons: &[Reason], recent: bool) -> tonic::Request<pb::WatchRefusalsRequest> {
    let reasons = reasons.iter().map(|reason| reason.tag().to_owned());
    let request = pb::WatchRefusalsRequest {
        project_token: TOKEN.to_owned(),
        reasons: reasons.collect(),
        recent,
    };
    authorized(request, PRIVATE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_each_refusal_of_its_project_as_it_happens() {
    let server = Server::start().await;
    let refuses = async |body: &str| {
        let answer = server.track("customers/events", body).send().await;
        assert_eq!(answer.status, 400);
    };
    refuses(INVALID).await;
    let mut customers = CustomerServiceClient::new(server.channel().await);
    let mut now = customers
        .watch_refusals(asks(&[], false))
        .await
        .unwrap()
        .into_inner();
    let mut recent = customers
        .watch_refusals(asks(&[], true))
        .await
        .unwrap()
        .into_inner();
    let chosen = asks(&[Reason::JsonInvalid, Reason::JsonInvalid], true);
    let mut chosen = customers.watch_refusals(chosen).await.unwrap().into_inner();
    let mut source = server
        .listens_to_refusals("?reasons=time_invalid&recent=true")
        .await;
    assert_eq!(
        source.head.header("content-type"),
        Some("text/event-stream")
    );
    for watch in [&mut now, &mut recent, &mut chosen] {
        let begins = watch.message().await.unwrap().unwrap();
        assert_eq!(begins, pb::WatchRefusalsResponse::default());
    }
    // Of another project, and of none.
    let foreign = server
        .post("/track/v2/projects/nobody/customers")
        .body("{")
        .send()
        .await;
    assert_eq!(foreign.status, 400);
    refuses("{").await;
    refuses(INVALID).await;
    let mut tags = Vec::new();
    for (watch, count) in [(&mut now, 2), (&mut recent, 3), (&mut chosen, 1)] {
        for _ in 0..count {
            let told = watch.message().await.unwrap().unwrap();
            assert!(!told.missed);
            tags.push(told.refusal.unwrap().reason);
        }
    }
    let (json, time) = ("json_invalid", "time_invalid");
    assert_eq!(tags, [json, time, time, json, time, json]);
    assert_eq!(source.piece().await.unwrap(), ": nothing else up to here");
    for _ in 0..2 {
        let piece = source.piece().await.unwrap();
        let told: Value = serde_json::from_str(piece.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(told["reason"], time);
        assert_eq!(told["timestamp"], 1_700_000_000);
        assert_eq!(told["field"], "timestamp");
        assert_eq!(told["excerpt"], INVALID);
        assert_eq!(told["key"], "key[1]");
        assert_eq!(
            told["route"],
            "/track/v2/projects/{project_token}/customers/events"
        );
        assert!(told["text"].as_str().unwrap().contains("soon"));
    }
    drop((now, recent, chosen, source));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_read_too_late_says_that_some_are_missing() {
    let server = Server::start().await;
    let mut customers = CustomerServiceClient::new(server.channel().await);
    let mut watch = customers
        .watch_refusals(asks(&[], false))
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap();
    // More than the memory keeps, and more than a stream has on its way.
    let batch = json!({"commands": vec![json!({"name": "n".repeat(300)}); 50]}).to_string();
    for _ in 0..400 {
        assert_eq!(server.track("batch", &batch).send().await.status, 200);
    }
    let (mut told, mut missed) = (0, 0);
    while told < 20_000 && missed == 0 {
        let message = watch.message().await.unwrap().unwrap();
        told += usize::from(message.refusal.is_some());
        missed += usize::from(message.missed);
    }
    assert_eq!(missed, 1, "{told}");
    drop(watch);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_refusals_needs_its_permission_and_known_reasons_and_room() {
    let projects = format!(
        r#"
[[project]]
token = "{TOKEN}"
[[project.key]]
id = "key-id"
secrets = ["key-secret"]
permissions = ["events:get"]
[[project.key]]
id = "other-id"
secrets = ["key-secret"]
permissions = ["refusals:get"]
"#
    );
    let setup = Setup::default().with("[server]\nwatchers_max = 1");
    let server = setup.projects(&projects).start().await;
    let mut customers = CustomerServiceClient::new(server.channel().await);
    let refused = customers
        .watch_refusals(asks(&[], false))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let other = "Basic b3RoZXItaWQ6a2V5LXNlY3JldA==";
    let request = |tag: &str| pb::WatchRefusalsRequest {
        project_token: TOKEN.to_owned(),
        reasons: vec![tag.to_owned()],
        recent: false,
    };
    let refused = customers
        .watch_refusals(authorized(request("IDS_MISSING"), other))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "Field 'reasons' must have reasons, not 'IDS_MISSING'."
    );
    let asked = || authorized(request("ids_missing"), other);
    let mut first = customers
        .watch_refusals(asked())
        .await
        .unwrap()
        .into_inner();
    first.message().await.unwrap();
    let refused = customers.watch_refusals(asked()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let path = format!("/data/v2/projects/{TOKEN}/refusals/watch?recent=perhaps");
    let answer = server
        .get(&path)
        .header("Authorization", other)
        .send()
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error(),
        "Field 'recent' must be true or false, not 'perhaps'."
    );
    drop(first);
    server.stop().await;
}
