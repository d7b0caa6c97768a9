//! What mobile SDKs and balancers ask beside tracking.

use serde_json::json;

use crate::harness::{OTHER_TOKEN, PRIVATE, PUBLIC, Request, Server, Setup, TOKEN};

/// Method, path and answer of each call.
fn calls(token: &str) -> Vec<(&'static str, String, &'static str)> {
    let bundle = r#"{"success": true, "in_app_content_blocks": [], "results": []}"#;
    let done = r#"{"success": true}"#;
    vec![
        (
            "POST",
            format!("/webxp/s/{token}/inappmessages"),
            r#"{"success": true, "results": [], "data": []}"#,
        ),
        (
            "POST",
            format!("/webxp/s/{token}/inappcontentblocks"),
            r#"{"success": true, "in_app_content_blocks": []}"#,
        ),
        (
            "GET",
            format!("/wxstatic/projects/{token}/bundle-android.json"),
            bundle,
        ),
        (
            "GET",
            format!("/wxstatic/projects/{token}/bundle-ios.json?v=1"),
            bundle,
        ),
        (
            "GET",
            format!("/webxp/projects/{token}/segments?cookie=c"),
            "{}",
        ),
        (
            "POST",
            format!("/webxp/projects/{token}/cookies/c-1/link-ids"),
            "{}",
        ),
        (
            "POST",
            format!("/webxp/projects/{token}/appinbox/fetch"),
            r#"{"success": true, "messages": [], "sync_token": "0"}"#,
        ),
        (
            "POST",
            format!("/webxp/projects/{token}/appinbox/markasread"),
            done,
        ),
        (
            "GET",
            format!("/data/v2/projects/{token}/consent/categories"),
            r#"{"success": true, "results": []}"#,
        ),
        (
            "POST",
            format!("/track/v2/projects/{token}/campaigns/send-self-check-notification"),
            done,
        ),
        (
            "POST",
            format!("/campaigns/send-self-check-notification?project_id={token}"),
            done,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_each_is_answered_with_nothing() {
    let server = Server::start().await;
    let alone = "/campaigns/send-self-check-notification".to_owned();
    let alone = ("POST", alone, r#"{"success": true}"#);
    for (method, path, body) in calls(TOKEN).into_iter().chain([alone]) {
        for key in [PUBLIC, PRIVATE] {
            let sent = Request::new(server.address, method, &path)
                .header("Authorization", key)
                .body(r#"{"customer_ids":{"cookie":"c"}}"#);
            let answer = sent.send().await;
            assert_eq!((answer.status, &*answer.body), (200, body), "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    assert_eq!(server.counted("footfall_log_position").await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_cost_neither_the_address_nor_the_project_anything() {
    let setup = Setup::default().with("[rate_limit]\nrequests = 2\nperiod = \"1m\"");
    let server = setup.start().await;
    let event = || {
        server
            .track(
                "customers/events",
                r#"{"customer_ids":{"cookie":"c"},"event_type":"e"}"#,
            )
            .from("203.0.113.7")
    };
    for _ in 0..5 {
        for (method, path, _) in calls(TOKEN) {
            let sent = Request::new(server.address, method, &path)
                .header("Authorization", PUBLIC)
                .from("203.0.113.7");
            assert_eq!(sent.send().await.status, 200, "{path}");
        }
    }
    assert_eq!(event().send().await.status, 200);
    assert_eq!(event().send().await.status, 200);
    assert_eq!(event().send().await.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_have_a_quota_of_their_own() {
    let server = Server::start().await;
    let path = format!("/webxp/s/{TOKEN}/inappmessages");
    let ask = || {
        server
            .post(&path)
            .header("Authorization", PUBLIC)
            .from("203.0.113.7")
    };
    let probe = || server.get("/healthz").from("203.0.113.7");
    for _ in 0..5_999 {
        assert_eq!(probe().send().await.status, 200);
    }
    assert_eq!(ask().send().await.status, 200);
    assert_eq!(ask().send().await.status, 429);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_is_answered_as_elsewhere_and_is_a_failure() {
    let server = Server::start().await;
    for (method, path, _) in calls(TOKEN) {
        for (key, status) in [
            (None, 401),
            (Some("Token nobody"), 401),
            (Some("Token other-public-key"), 401),
            (Some("Basic a2V5LWlkOndyb25n"), 403),
        ] {
            let mut sent = Request::new(server.address, method, &path);
            if let Some(key) = key {
                sent = sent.header("Authorization", key);
            }
            let answer = sent.send().await;
            assert_eq!(answer.status, status, "{path} {key:?}");
            assert_eq!(answer.json()["success"], false);
        }
        let answer = Request::new(server.address, "PUT", &path).send().await;
        assert_eq!(answer.status, 405, "{path}");
    }
    for (method, path, _) in calls("nowhere") {
        let sent = Request::new(server.address, method, &path).header("Authorization", PUBLIC);
        assert_eq!(sent.send().await.status, 400, "{path}");
    }
    for (method, path, _) in calls(OTHER_TOKEN) {
        let sent = Request::new(server.address, method, &path).header("Authorization", PUBLIC);
        assert_eq!(sent.send().await.status, 401, "{path}");
    }
    assert!(server.counted("footfall_auth_failures_total").await > 30);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_probes_the_root_gets_200() {
    let setup = Setup::default().with("[rate_limit]\nrequests = 1");
    let server = setup.start().await;
    for path in ["/", "//"] {
        for _ in 0..3 {
            let answer = server.get(path).from("203.0.113.7").send().await;
            let version = env!("CARGO_PKG_VERSION");
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.json(),
                json!({"name": "footfall", "version": version})
            );
        }
    }
    let head = Request::new(server.address, "HEAD", "/").send().await;
    assert_eq!((head.status, &*head.body), (200, ""));
    server.stop().await;
}
