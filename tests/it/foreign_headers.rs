//! Headers that name metadata: over REST no caller sets what the edge sets, nor speaks for another hop.

use std::time::Duration;

use footfall::rest::routes::{ENTRIES, Methods, Route};

use crate::harness::{Answer, PRIVATE, Request, Server, TOKEN};

/// What gateways elsewhere turn into metadata, what gRPC itself reads, and headers of other proxies.
const FOREIGN: [(&str, &str); 20] = [
    ("Grpc-Metadata-X-Forwarded-For", "198.51.100.9"),
    ("Grpc-Metadata-Forwarded", "for=198.51.100.9"),
    ("Grpc-Metadata-Authorization", PRIVATE),
    ("Grpc-Metadata-X-Request-Id", "foreign"),
    ("grpcgateway-authorization", PRIVATE),
    ("grpcgateway-x-forwarded-for", "198.51.100.9"),
    ("grpcgateway-user-agent", "foreign"),
    ("Grpc-Timeout", "1n"),
    ("Grpc-Encoding", "gzip"),
    ("Grpc-Accept-Encoding", "gzip"),
    ("Grpc-Status", "16"),
    ("Grpc-Message", "foreign"),
    ("Grpc-Status-Details-Bin", "AAAA"),
    ("Grpc-Retry-Pushback-Ms", "1"),
    ("Grpc-Previous-Rpc-Attempts", "3"),
    ("Forwarded", "for=198.51.100.9"),
    ("X-Real-IP", "198.51.100.9"),
    ("CF-Connecting-IP", "198.51.100.9"),
    ("RateLimit", "\"perip\";r=1000000;t=1"),
    ("Retry-After", "0"),
];

const BODY: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"t","url":"u","event_types":["t"],"attributes":[],"commands":[{"name":"system/time"}],"format":"native_json"}"#;

/// Every route, let in and not, without what differs between any two calls.
async fn answers(server: &Server, headers: &[(&str, &str)]) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for entry in ENTRIES {
        let path = entry.path.replace("{project_token}", TOKEN);
        let method = match entry.methods {
            Methods::Get => "GET",
            Methods::Post | Methods::GetOrPost => "POST",
        };
        // A watch that is let in does not end.
        let lasts = matches!(entry.route, Route::Watch | Route::WatchRefusals);
        let keys = [Some(PRIVATE).filter(|_| !lasts), None];
        for key in keys
            .into_iter()
            .filter(|key| key.is_some() || !path.ends_with('z'))
        {
            let mut request = Request::new(server.address, method, &path).body(BODY);
            if let Some(key) = key {
                request = request.header("Authorization", key);
            }
            for (name, value) in headers {
                request = request.header(name, value);
            }
            // A watch that is let in by mistake goes on forever.
            let answer = tokio::time::timeout(Duration::from_secs(20), request.send()).await;
            let mut answer = answer.unwrap_or_else(|_| panic!("{path} as {key:?}"));
            answer
                .headers
                .retain(|(name, _)| name != "x-request-id" && name != "date");
            answers.push((format!("{path} as {key:?}"), answer));
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_name_metadata_change_no_answer_of_any_route() {
    // Two services at the same time of day: whom a call is charged to shows in what is left.
    let (plain, foreign) = (Server::start().await, Server::start().await);
    let expected = answers(&plain, &[]).await;
    let let_in = expected.iter().filter(|(_, answer)| answer.status == 200);
    assert!(let_in.count() >= 10, "{expected:?}");
    assert_eq!(answers(&foreign, &FOREIGN).await, expected);
    plain.stop().await;
    foreign.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_header_that_counts_does_change_an_answer() {
    let (plain, forwarded) = (Server::start().await, Server::start().await);
    let expected = answers(&plain, &[]).await;
    let found = answers(&forwarded, &[("X-Forwarded-For", "198.51.100.9")]).await;
    // The same, for nobody else has called from there: but a call from loopback finds a full quota.
    assert_eq!(found, expected);
    let left = |answer: Answer| answer.header("ratelimit").map(str::to_owned);
    let fresh = left(forwarded.get("/nowhere").send().await);
    assert_eq!(fresh.as_deref(), Some(r#""perip";r=5999;t=1"#));
    assert_ne!(left(plain.get("/nowhere").send().await), fresh);
    plain.stop().await;
    forwarded.stop().await;
}
