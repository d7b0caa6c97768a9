//! What browsers are told.

use crate::harness::{Answer, Request, Server, Setup, TOKEN};

const EXPOSED: &str = "Retry-After, RateLimit, RateLimit-Policy, x-request-id";

fn preflight(server: &Server, route: &str, origin: &str) -> Request {
    let path = format!("/track/v2/projects/{TOKEN}/{route}");
    Request::new(server.address, "OPTIONS", &path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header(
            "Access-Control-Request-Headers",
            "authorization,content-type",
        )
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_lets_any_origin_in_and_needs_no_key() {
    let server = Server::start().await;
    for route in ["customers", "customers/events", "batch", "system/time"] {
        let answer = preflight(&server, route, "https://shop.example")
            .send()
            .await;
        assert_eq!(answer.status, 200);
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            (
                "access-control-allow-headers",
                "Authorization, Content-Type, x-request-id",
            ),
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
            ("access-control-max-age", "86400"),
            ("access-control-expose-headers", EXPOSED),
            ("content-type", "application/json"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{route} {name}");
        }
        assert_eq!(answer.json()["success"], true);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_may_be_read_by_a_page_errors_included() {
    let server = Server::start().await;
    let good = r#"{"customer_ids":{"registered":"a"}}"#;
    for (sent, status) in [
        (server.track("customers", good), 200),
        (server.track("customers", "{"), 400),
        (server.track("nothing", "{}"), 404),
        (
            server.post(&format!("/track/v2/projects/{TOKEN}/customers")),
            401,
        ),
        (
            server.get(&format!("/track/v2/projects/{TOKEN}/customers")),
            405,
        ),
        (
            server
                .track("customers", good)
                .header("Content-Type", "text/html"),
            415,
        ),
        (
            server
                .track("customers", "")
                .body(vec![b' '; (1 << 20) + 1]),
            413,
        ),
    ] {
        let answer = sent.header("Origin", "https://shop.example").send().await;
        assert_eq!(answer.status, status);
        assert_eq!(allowed(&answer), Some("*"), "{status}");
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some(EXPOSED)
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_beyond_the_quota_may_be_read_by_a_page() {
    let setup = Setup::default().with("[rate_limit]\nrequests = 1\nperiod = \"1m\"");
    let server = setup.start().await;
    let sent = || {
        let time = format!("/track/v2/projects/{TOKEN}/system/time");
        server
            .get(&time)
            .from("203.0.113.7")
            .header("Origin", "https://shop.example")
    };
    sent().send().await;
    let answer = sent().send().await;
    assert_eq!(answer.refusal().status, 429);
    assert_eq!(allowed(&answer), Some("*"));
    assert_eq!(answer.header("retry-after"), Some("60"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_can_be_chosen() {
    let setup = Setup::default().with("[server]\ncors_origins = [\"https://shop.example\"]");
    let server = setup.start().await;
    for (origin, told) in [
        ("https://shop.example", Some("https://shop.example")),
        ("https://evil.example", None),
    ] {
        for sent in [
            preflight(&server, "batch", origin),
            server.track("customers", "{").header("Origin", origin),
        ] {
            let answer = sent.send().await;
            assert_eq!(allowed(&answer), told);
            assert_eq!(answer.header("vary"), Some("origin"));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_browser_hears_nothing_of_origins() {
    let server = Server::start().await;
    let answer = server.track("customers", "{").send().await;
    assert_eq!(allowed(&answer), None);
    server.stop().await;
}
