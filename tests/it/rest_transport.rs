//! Paths, methods and headers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Answer, PRIVATE, PUBLIC, Request, Server, TOKEN, WRITTEN};

const UPDATE: &str = r#"{"customer_ids":{"registered":"a"}}"#;

fn track(route: &str) -> String {
    format!("/track/v2/projects/{TOKEN}/{route}")
}

fn request(server: &Server, method: &str, path: &str) -> Request {
    Request::new(server.address, method, path).header("Authorization", PUBLIC)
}

#[tokio::test(flavor = "multi_thread")]
async fn slashes_in_front_and_one_behind_do_not_matter() {
    let server = Server::start().await;
    for path in [
        format!("/{}", track("customers")),
        format!("///{}/", track("customers")),
        track("customers/"),
    ] {
        let answer = request(&server, "POST", &path).body(UPDATE).send().await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, WRITTEN),
            "{path}"
        );
    }
    let path = format!("//data/v2/projects/{TOKEN}/customers/export-one/");
    let question = server
        .post(&path)
        .header("Authorization", PRIVATE)
        .body(r#"{"customer_ids":{"cookie":"x"}}"#);
    let refusal = question.send().await.refusal();
    assert_eq!((refusal.status, refusal.field.as_str()), (404, "_global"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_404() {
    let server = Server::start().await;
    for (method, path) in [
        ("GET", "/track".to_owned()),
        ("POST", track("customer")),
        ("POST", track("customers/events/x")),
        ("DELETE", track("x")),
        ("POST", format!("/track/v3/projects/{TOKEN}/customers")),
        ("POST", format!("/track/v2/projects/{TOKEN}//customers")),
        ("POST", track("customers//")),
    ] {
        let refusal = request(&server, method, &path).send().await.refusal();
        let said = (refusal.status, refusal.code.as_str(), refusal.text.as_str());
        assert_eq!(said, (404, "NOT_FOUND", "Not found"), "{method} {path}");
    }
    let refusal = server.post("/data/v2/nothing").send().await.refusal();
    assert_eq!((refusal.status, refusal.field.as_str()), (404, "_global"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_405_and_told_which_is_right() {
    let server = Server::start().await;
    let data = |route: &str| format!("/data/v2/projects/{TOKEN}/customers/{route}");
    let post = "POST, OPTIONS";
    for (path, methods, allow) in [
        (
            track("customers"),
            &["GET", "HEAD", "PUT", "DELETE", "PATCH"][..],
            post,
        ),
        (track("customers/events"), &["GET", "PUT"], post),
        (track("campaigns/clicks"), &["GET"], post),
        (track("batch"), &["GET"], post),
        (data("attributes"), &["GET", "PUT"], post),
        (data("export-one"), &["GET"], post),
        (data("events"), &["GET"], post),
        (
            track("system/time"),
            &["PUT", "DELETE"],
            "GET, HEAD, POST, OPTIONS",
        ),
        ("/healthz".to_owned(), &["POST"], "GET, HEAD, OPTIONS"),
    ] {
        for method in methods {
            let answer = request(&server, method, &path).send().await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
            if *method != "HEAD" {
                assert_eq!(
                    answer.refusal().text,
                    format!("Method not allowed, use {allow}")
                );
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_as_get_without_the_body() {
    let server = Server::start().await;
    for path in [
        track("system/time"),
        "/healthz".to_owned(),
        "/nothing".to_owned(),
    ] {
        let get = request(&server, "GET", &path).send().await;
        let head = request(&server, "HEAD", &path).send().await;
        assert_eq!(head.status, get.status);
        assert_eq!(head.body, "");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_is_taken_with_or_without_a_charset_or_a_type_at_all() {
    let server = Server::start().await;
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON;charset=UTF-8",
        "application/json ; x=y",
        "application/json, application/json",
        "application/json, application/json;charset=\"UTF-8\"",
        "",
    ] {
        let sent = server
            .track("customers", UPDATE)
            .header("Content-Type", content_type);
        assert_eq!(sent.send().await.status, 200, "{content_type}");
    }
    assert_eq!(server.track("customers", UPDATE).send().await.status, 200);
    for content_type in [
        "text/html",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/xml; charset=utf-8",
    ] {
        let essence = content_type.split(';').next().unwrap();
        for sent in [
            server.track("customers", UPDATE),
            server.track("batch", UPDATE),
            server.data("events", UPDATE),
        ] {
            let refused = sent.header("Content-Type", content_type).refused().await;
            let text = format!("Content-Type must be application/json, not '{essence}'");
            assert_eq!(refused, (415, text));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_may_carry_a_content_type_and_headers_nobody_knows() {
    let server = Server::start().await;
    for content_type in ["application/json", "text/html"] {
        let sent = request(&server, "GET", &track("system/time"))
            .header("Content-Type", content_type)
            .header("X-Whatever", "\u{e9}, 1")
            .header("Accept", "text/html");
        assert_eq!(sent.send().await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_an_id_which_is_the_callers_own_if_sane() {
    let server = Server::start().await;
    let send = async |id: &str| {
        let sent = server.track("customers", UPDATE).header("X-Request-Id", id);
        let answer = sent.send().await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    for id in [
        "abc-123",
        "Root=1-67891233-abcdef012345678912345678",
        &"x".repeat(128),
    ] {
        assert_eq!(send(id).await, id);
    }
    for id in ["", "a b", "<script>", &"x".repeat(129)] {
        let made = send(id).await;
        assert!(made != id && !made.is_empty(), "{id:?}: {made}");
    }
    let answers = [
        server.get("/nothing"),
        server.get("/healthz"),
        server.track("customers", "x"),
    ];
    for sent in answers {
        let answer = sent.header("X-Request-Id", "mine").send().await;
        assert_eq!(answer.header("x-request-id"), Some("mine"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let (one, two) = (
        server.get("/healthz").send().await,
        server.get("/healthz").send().await,
    );
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_http_library_refuses_has_the_shape_of_every_error() {
    let server = Server::start().await;
    let line = format!("GET {} HTTP/1.1\r\nhost: x\r\n", track("system/time"));
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    for (bytes, status) in [
        (format!("{line}Authorization: Basic abc\ndef\r\n\r\n"), 400),
        (format!("{line}no colon\r\n\r\n"), 400),
        (format!("{line}content-length: x\r\n\r\n"), 400),
        (format!("{line}a b: c\r\n\r\n"), 400),
        ("GET / HTTP/1.7\r\n\r\n".to_owned(), 400),
        ("\u{1}\u{2}\r\n\r\n".to_owned(), 400),
        (format!("{line}{many}\r\n"), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), 431),
    ] {
        // Behind an answered request as well as first.
        for before in [String::new(), format!("{line}\r\n")] {
            let mut stream = tokio::net::TcpStream::connect(server.address)
                .await
                .unwrap();
            let sent = format!("{before}{bytes}");
            let _ = stream.write_all(sent.as_bytes()).await;
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            let read = String::from_utf8(read).unwrap();
            let at = read.rfind("HTTP/1.1 ").unwrap();
            assert_eq!(at > 0, !before.is_empty(), "{read}");
            let answer = Answer::parse(read[at..].as_bytes());
            let shown = &bytes[..bytes.len().min(100)];
            assert_eq!(answer.status, status, "{shown}");
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length), "{shown}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert!(answer.header("x-request-id").is_some(), "{shown}");
            assert_eq!(answer.refusal().code, "INVALID_ARGUMENT", "{shown}");
        }
    }
    server.stop().await;
}
