//! Who is let in over REST, and what they may do.

use crate::harness::{OTHER_TOKEN, PRIVATE, PUBLIC, Request, Server, TOKEN, WRITTEN};

const UPDATE: &str = r#"{"customer_ids":{"registered":"a"}}"#;
const EVENT: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"t"}"#;
const CLICK: &str = r#"{"url":"u"}"#;
const QUESTION: &str = r#"{"customer_ids":{"registered":"a"},"event_types":["t"],"attributes":[]}"#;

/// The text for an `Authorization` header that is there and cannot be read.
pub const UNREADABLE: &str = "Access key not provided: the Authorization header cannot be read, \
    expected 'Token public_key' or 'Basic base64(key_id:secret)'";
const TOKEN_CHALLENGE: &str = r#"Token realm="footfall""#;
const BASIC_CHALLENGE: &str = r#"Basic realm="footfall", charset="UTF-8""#;

/// `Basic read-nothing:s`
const READ_NOTHING: &str = "Basic cmVhZC1ub3RoaW5nOnM=";

/// A POST below /track with other credentials than the harness's.
fn shows(server: &Server, route: &str, authorization: &str, body: &str) -> Request {
    let path = format!("/track/v2/projects/{TOKEN}/{route}");
    server
        .post(&path)
        .header("Authorization", authorization)
        .body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_show_a_key_lets_in() {
    let server = Server::start().await;
    for authorization in [
        PUBLIC,
        "token public-key",
        "TOKEN  public-key",
        PRIVATE,
        "basic a2V5LWlkOmtleS1zZWNyZXQ=",
        "BASIC a2V5LWlkOmtleS1zZWNyZXQ=",
        "Basic a2V5LWlkOmtleS1zZWNyZXQ",
        // key-id:next-secret
        "Basic a2V5LWlkOm5leHQtc2VjcmV0",
    ] {
        let answer = shows(&server, "customers", authorization, UPDATE)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, WRITTEN),
            "{authorization}"
        );
    }
    for query in ["?access_token=public-key", "?x=1&access_token=public%2Dkey"] {
        let path = format!("/track/v2/projects/{TOKEN}/customers{query}");
        let answer = server.post(&path).body(UPDATE).send().await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, WRITTEN),
            "{query}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_wins_over_the_query() {
    let server = Server::start().await;
    let path = format!("/track/v2/projects/{TOKEN}/customers?access_token=public-key");
    for (authorization, text) in [
        ("Token wrong", "Access key not found"),
        ("Bearer x", UNREADABLE),
    ] {
        let request = server.post(&path).header("Authorization", authorization);
        assert_eq!(request.body(UPDATE).refused().await, (401, text.to_owned()));
    }
    let path = format!("/track/v2/projects/{TOKEN}/customers?access_token=wrong");
    let request = server.post(&path).header("Authorization", PUBLIC);
    assert_eq!(request.body(UPDATE).send().await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_malformed_project_is_400() {
    let server = Server::start().await;
    for token in [
        "11111111-2222-3333-4444-000000000000",
        "x",
        "%20",
        "11111111-2222-3333-4444-55555555555",
    ] {
        for (kind, route) in [
            ("track", "customers"),
            ("track", "batch"),
            ("data", "customers/events"),
        ] {
            let path = format!("/{kind}/v2/projects/{token}/{route}");
            let request = server
                .post(&path)
                .header("Authorization", PRIVATE)
                .body(UPDATE);
            let refusal = request.send().await.refusal();
            assert_eq!(
                (refusal.status, refusal.code.as_str(), refusal.text.as_str()),
                (400, "INVALID_ARGUMENT", "Could not authenticate"),
                "{path}"
            );
        }
        let time = format!("/track/v2/projects/{token}/system/time");
        let refused = server
            .get(&time)
            .header("Authorization", PUBLIC)
            .refused()
            .await;
        assert_eq!(refused, (400, "Could not authenticate".to_owned()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_401_says_how_a_key_is_shown_and_asks_no_browser_for_a_private_one() {
    let server = Server::start().await;
    let track = format!("/track/v2/projects/{TOKEN}/customers");
    let data = format!("/data/v2/projects/{TOKEN}/customers/events");
    let watch = format!("/data/v2/projects/{TOKEN}/events/watch");
    let challenges = |answer: &crate::harness::Answer| {
        let headers = answer.headers.iter();
        let asked = headers.filter(|(name, _)| name == "www-authenticate");
        asked.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    for authorization in [None, Some("Bearer x"), Some("Token nobody")] {
        for page in [None, Some("Origin"), Some("Sec-Fetch-Mode")] {
            for mut request in [
                server.post(&track).body(UPDATE),
                server.post(&data).body("{}"),
                server.get(&watch),
            ] {
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                if let Some(page) = page {
                    request = request.header(page, "cors");
                }
                let answer = request.send().await;
                let expected = match page {
                    None => &[TOKEN_CHALLENGE, BASIC_CHALLENGE][..],
                    Some(_) => &[TOKEN_CHALLENGE],
                };
                assert_eq!(answer.status, 401);
                assert_eq!(challenges(&answer), expected, "{authorization:?} {page:?}");
            }
        }
    }
    // What is not 401 asks for nothing.
    let wrong = shows(&server, "customers", "Basic a2V5LWlkOndyb25n", UPDATE);
    for answer in [
        wrong.send().await,
        server.track("customers", UPDATE).send().await,
    ] {
        assert_eq!(challenges(&answer), [""; 0], "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_shows_no_readable_key_is_401_everywhere() {
    let server = Server::start().await;
    let routes = [
        "track/v2/projects/{}/customers",
        "track/v2/projects/{}/customers/events",
        "track/v2/projects/{}/campaigns/clicks",
        "track/v2/projects/{}/batch",
        "track/v2/projects/{}/system/time",
        "data/v2/projects/{}/customers/attributes",
        "data/v2/projects/{}/customers/export-one",
        "data/v2/projects/{}/customers/events",
        "data/v2/projects/{}/customers/export",
    ];
    for route in routes {
        let path = format!("/{}", route.replace("{}", TOKEN));
        let refusal = server.post(&path).body("{}").send().await.refusal();
        let said = (refusal.status, refusal.code.as_str(), refusal.text.as_str());
        assert_eq!(
            said,
            (401, "UNAUTHENTICATED", "Access key not provided"),
            "{path}"
        );
    }
    for authorization in [
        "",
        "Token",
        "Token ",
        "Bearer public-key",
        "public-key",
        "Basic !!",
        "Basic a2V5LWlk",
        "Digest x",
    ] {
        let refused = shows(&server, "customers", authorization, UPDATE)
            .refused()
            .await;
        assert_eq!(refused, (401, UNREADABLE.to_owned()), "{authorization:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_project_does_not_have_is_401() {
    let server = Server::start().await;
    for authorization in [
        "Token wrong",
        "Token PUBLIC-KEY",
        // The ID of a private key is no public key.
        "Token key-id",
        // Another project's.
        "Token other-public-key",
        // nobody:key-secret
        "Basic bm9ib2R5OmtleS1zZWNyZXQ=",
        // public-key: is no private key.
        "Basic cHVibGljLWtleTo=",
    ] {
        for route in ["customers", "customers/events", "batch", "system/time"] {
            let refusal = shows(&server, route, authorization, UPDATE)
                .send()
                .await
                .refusal();
            let said = (refusal.status, refusal.code.as_str(), refusal.text.as_str());
            assert_eq!(
                said,
                (401, "UNAUTHENTICATED", "Access key not found"),
                "{authorization}"
            );
        }
    }
    let path = format!("/track/v2/projects/{OTHER_TOKEN}/customers");
    let other = server
        .post(&path)
        .header("Authorization", PUBLIC)
        .body(UPDATE);
    assert_eq!(
        other.refused().await,
        (401, "Access key not found".to_owned())
    );
    let path = format!("/track/v2/projects/{TOKEN}/system/time?access_token=wrong");
    assert_eq!(
        server.get(&path).refused().await,
        (401, "Access key not found".to_owned())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_403() {
    let server = Server::start().await;
    for authorization in [
        // key-id:wrong
        "Basic a2V5LWlkOndyb25n",
        // key-id:
        "Basic a2V5LWlkOg==",
        // key-id:other-secret, which is the other project's.
        "Basic a2V5LWlkOm90aGVyLXNlY3JldA==",
    ] {
        let refusal = shows(&server, "customers", authorization, UPDATE)
            .send()
            .await
            .refusal();
        let said = (refusal.status, refusal.code.as_str(), refusal.text.as_str());
        assert_eq!(
            said,
            (403, "PERMISSION_DENIED", "invalid secret"),
            "{authorization}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_the_permission_is_403_on_a_single_route() {
    let server = Server::start().await;
    for (key, route, body) in [
        ("Token events-only", "customers", UPDATE),
        ("Token customers-only", "customers/events", EVENT),
        ("Token customers-only", "campaigns/clicks", CLICK),
        (READ_NOTHING, "customers", UPDATE),
        (READ_NOTHING, "customers/events", EVENT),
    ] {
        let refusal = shows(&server, route, key, body).send().await.refusal();
        let said = (refusal.status, refusal.code.as_str(), refusal.text.as_str());
        assert_eq!(
            said,
            (403, "PERMISSION_DENIED", "No permission"),
            "{key} {route}"
        );
    }
    for (key, route, body) in [
        ("Token events-only", "customers/events", EVENT),
        ("Token events-only", "campaigns/clicks", CLICK),
        ("Token customers-only", "customers", UPDATE),
    ] {
        assert_eq!(shows(&server, route, key, body).send().await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_inside_a_batch_fails_that_command_alone() {
    let server = Server::start().await;
    let batch = format!(
        r#"{{"commands":[{{"name":"customers","data":{UPDATE}}},{{"name":"customers/events","data":{EVENT}}},{{"name":"campaigns/clicks","data":{CLICK}}},{{"name":"system/time"}}]}}"#
    );
    let success = r#"{"success": true, "errors": []}"#;
    let time = r#"{"success": true, "errors": [], "time": 1700000000}"#;
    let no_event =
        r#"{"success": false, "errors": ["Not authorized to add event of specified type"]}"#;
    let no_update = r#"{"success": false, "errors": ["not authorized to update specified customer properties"]}"#;
    for (key, results) in [
        ("Token customers-only", [success, no_event, no_event, time]),
        ("Token events-only", [no_update, success, success, time]),
        (READ_NOTHING, [no_update, no_event, no_event, time]),
    ] {
        let answer = shows(&server, "batch", key, &batch).send().await;
        assert_eq!(answer.status, 200);
        let expected = format!(r#""results": [{}]}}"#, results.join(", "));
        assert!(answer.body.ends_with(&expected), "{key}: {}", answer.body);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_needs_a_key_but_no_permission() {
    let server = Server::start().await;
    let path = format!("/track/v2/projects/{TOKEN}/system/time");
    for key in [READ_NOTHING, "Token customers-only", PRIVATE] {
        let answer = server.get(&path).header("Authorization", key).send().await;
        assert_eq!(answer.status, 200, "{key}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_needs_private_access_with_the_permission() {
    let server = Server::start().await;
    server.accepts("customers", UPDATE).await;
    for route in ["attributes", "export-one", "events"] {
        let path = format!("/data/v2/projects/{TOKEN}/customers/{route}");
        for key in [PUBLIC, READ_NOTHING] {
            let request = server.post(&path).header("Authorization", key);
            let refusal = request.body(QUESTION).send().await.refusal();
            let said = (
                refusal.status,
                refusal.text.as_str(),
                refusal.field.as_str(),
            );
            assert_eq!(said, (403, "No permission", "_global"), "{key} {route}");
        }
        assert_eq!(server.data(route, QUESTION).send().await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_does_not_see_another_ones_customers() {
    let server = Server::start().await;
    server.accepts("customers", UPDATE).await;
    let path = format!("/data/v2/projects/{OTHER_TOKEN}/customers/export-one");
    // key-id:other-secret
    let request = server
        .post(&path)
        .header("Authorization", "Basic a2V5LWlkOm90aGVyLXNlY3JldA==");
    assert_eq!(
        request.body(UPDATE).refused().await,
        (404, "Customer does not exist".to_owned())
    );
    server.stop().await;
}
