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
            ("access-control-allow-origin", "https://shop.example"),
            ("access-control-allow-credentials", "true"),
            (
                "access-control-allow-headers",
                "authorization, content-type",
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
        assert_eq!(allowed(&answer), Some("https://shop.example"), "{status}");
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true")
        );
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
    assert_eq!(allowed(&answer), Some("https://shop.example"));
    assert_eq!(answer.header("retry-after"), Some("60"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_can_be_chosen() {
    let setup = Setup::default().with("[server]\ncors_origins = [\"https://shop.example:443\"]");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_allows_whatever_headers_it_asks_for() {
    let server = Server::start().await;
    let asked = "authorization,content-type,traceparent,tracestate,baggage,sentry-trace,content-encoding,last-event-id";
    for path in [
        format!("/track/v2/projects/{TOKEN}/customers/events"),
        format!("/data/v2/projects/{TOKEN}/events/watch"),
        "/nothing".to_owned(),
    ] {
        let sent = Request::new(server.address, "OPTIONS", &path)
            .header("Origin", "https://shop.example")
            .header("Access-Control-Request-Method", "POST");
        let answer = sent
            .clone()
            .header("Access-Control-Request-Headers", asked)
            .send()
            .await;
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed, Some(&*asked.replace(',', ", ")), "{path}");
        let vary = answer.headers.iter().filter(|(name, _)| name == "vary");
        let vary: Vec<_> = vary.map(|(_, value)| value.as_str()).collect();
        assert!(vary.contains(&"access-control-request-headers"), "{vary:?}");
        // What is no name of a header is not repeated.
        let odd = sent.header("Access-Control-Request-Headers", "a b, x-ok, c:d");
        let answer = odd.send().await;
        assert_eq!(answer.header("access-control-allow-headers"), Some("x-ok"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_write_with_credentials_and_never_read_with_them() {
    let server = Server::start().await;
    let good = r#"{"customer_ids":{"registered":"a"}}"#;
    let origin = "https://shop.example";
    let write = server
        .track("customers", good)
        .header("Cookie", "a=b")
        .header("Origin", origin);
    let answer = write.send().await;
    assert_eq!(allowed(&answer), Some(origin));
    assert_eq!(answer.header("vary"), Some("origin"));
    let credentials = "access-control-allow-credentials";
    assert_eq!(answer.header(credentials), Some("true"));
    for sent in [
        server.data("export-one", good),
        Request::new(
            server.address,
            "OPTIONS",
            &format!("/data/v2/projects/{TOKEN}/customers/events"),
        ),
    ] {
        let answer = sent.header("Origin", origin).send().await;
        assert_eq!(allowed(&answer), Some("*"));
        assert_eq!(answer.header(credentials), None);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_names_the_methods_that_405_names() {
    let server = Server::start().await;
    for entry in footfall::rest::routes::ENTRIES {
        let path = entry
            .path
            .replace("{project_token}", TOKEN)
            .replace("{cookie}", "c");
        let options = Request::new(server.address, "OPTIONS", &path).send().await;
        let wrong = Request::new(server.address, "DELETE", &path).send().await;
        assert_eq!((options.status, wrong.status), (200, 405), "{path}");
        let allow = options.header("allow");
        assert!(allow.is_some());
        assert_eq!(allow, wrong.header("allow"), "{path}");
    }
    server.stop().await;
}
