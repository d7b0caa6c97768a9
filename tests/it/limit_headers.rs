//! `RateLimit` and `RateLimit-Policy` on every limited answer, whatever the answer is.

use footfall::grpc::DESCRIPTORS;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::rest::routes::{ENTRIES, Entry, Methods, Route};
use http::HeaderMap;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use tonic::{Code, Status};

use crate::harness::calls::event;
use crate::harness::{Answer, PRIVATE, PUBLIC, Request, Server, Setup, TOKEN, authorized};

/// More than any scenario here sends.
const REQUESTS: u32 = 1_000;
const BODY: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"t","url":"u","event_types":["t"],"attributes":[],"commands":[{"name":"system/time"}],"format":"native_json"}"#;

/// Whether it takes from the quota of probes.
fn is_probe(entry: &Entry) -> bool {
    matches!(
        entry.route,
        Route::Healthz | Route::Readyz | Route::Startupz | Route::Root | Route::Sdk(_)
    )
}

fn methods(entry: &Entry) -> &'static [&'static str] {
    match entry.methods {
        Methods::Get => &["GET"],
        Methods::Post => &["POST"],
        Methods::GetOrPost => &["GET", "POST"],
    }
}

/// What is left of the address's quota, if both headers are as they must be.
fn left(policy: Option<&str>, limit: Option<&str>, context: &str) -> u32 {
    let expected = format!(r#""perip";q={REQUESTS};w=3600"#);
    assert_eq!(policy, Some(expected.as_str()), "{context}");
    let limit = limit.unwrap_or_else(|| panic!("{context}"));
    let rest = limit.strip_prefix(r#""perip";r="#);
    let (left, reset) = rest.and_then(|rest| rest.split_once(";t=")).unwrap();
    reset.parse::<u32>().unwrap();
    left.parse().unwrap()
}

fn left_of(answer: &Answer, context: &str) -> u32 {
    let (policy, limit) = (
        answer.header("ratelimit-policy"),
        answer.header("ratelimit"),
    );
    left(policy, limit, context)
}

fn limited() -> Setup {
    let settings = format!(
        "[rate_limit]\nrequests = {REQUESTS}\nperiod = \"1h\"\n[server]\nbody_bytes_max = 400\nbatch_bytes_max = 400"
    );
    Setup::default().with(&settings)
}

fn request(server: &Server, method: &str, path: &str, authorization: &str) -> Request {
    let request = Request::new(server.address, method, path);
    request.header("Authorization", authorization)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_them_on_success_and_on_every_error() {
    let server = limited().start().await;
    let update = r#"{"customer_ids":{"registered":"a"},"properties":{}}"#;
    let path = format!("/track/v2/projects/{TOKEN}/customers");
    let written = request(&server, "POST", &path, PUBLIC)
        .body(update)
        .send()
        .await;
    let mut before = left_of(&written, &path);
    let mut statuses = std::collections::BTreeSet::new();
    for entry in ENTRIES.iter().filter(|entry| !is_probe(entry)) {
        let path = entry.path.replace("{project_token}", TOKEN);
        let elsewhere = entry.path.replace("{project_token}", "elsewhere");
        for method in methods(entry) {
            let new = |path: &str, key: &str| request(&server, method, path, key);
            let mut asked = vec![
                new(&elsewhere, PRIVATE).body(BODY),
                new(&path, "Token wrong").body(BODY),
                new(&path, "Basic a2V5LWlkOndyb25n").body(BODY),
                // read-nothing:s
                new(&path, "Basic cmVhZC1ub3RoaW5nOnM=").body(BODY),
                new(&format!("{path}/more"), PRIVATE),
                request(&server, "DELETE", &path, PRIVATE),
            ];
            if !matches!(entry.route, Route::Watch | Route::WatchRefusals) {
                asked.push(new(&path, PRIVATE).body(BODY));
            }
            if entry.methods == Methods::Post {
                asked.push(new(&path, PRIVATE).body("{"));
                asked.push(new(&path, PRIVATE).body("[".repeat(401)));
                let text = new(&path, PRIVATE).header("Content-Type", "text/plain");
                asked.push(text.body(BODY));
                asked.push(new(&path, PRIVATE).body(r#"{"customer_ids":{"registered":"nobody"}}"#));
            }
            for request in asked {
                let context = format!("{request:?}");
                let answer = request.send().await;
                let left = left_of(&answer, &context);
                assert_eq!(left, before - 1, "each costs one: {context}");
                before = left;
                statuses.insert(answer.status);
            }
        }
    }
    let all: Vec<_> = statuses.into_iter().collect();
    assert_eq!(all, [200, 400, 401, 403, 404, 405, 413, 415]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_them_on_every_route() {
    let server = limited().start().await;
    for _ in 0..REQUESTS {
        server.get("/nowhere").send().await;
    }
    for entry in ENTRIES.iter().filter(|entry| !is_probe(entry)) {
        let path = entry.path.replace("{project_token}", TOKEN);
        for method in methods(entry) {
            let refused = request(&server, method, &path, PRIVATE)
                .body(BODY)
                .send()
                .await;
            assert_eq!(refused.status, 429, "{path}");
            assert_eq!(left_of(&refused, &path), 0);
            assert_eq!(refused.header("retry-after"), Some("4"), "{path}");
        }
    }
    let unknown = server.get("/nowhere").send().await;
    assert_eq!((unknown.status, left_of(&unknown, "/nowhere")), (429, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_them_at_its_beginning() {
    let server = limited().start().await;
    let mut watch = server.listens("", "").await;
    assert_eq!(left_of(&watch.head, "watch"), REQUESTS - 1);
    assert!(watch.piece().await.is_some());
    server.stop().await;
}

fn left_in(headers: &HeaderMap, context: &str) -> u32 {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    left(header("ratelimit-policy"), header("ratelimit"), context)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_has_them_too() {
    let server = limited().start().await;
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut before = REQUESTS;
    let is_ours = |service: &ServiceDescriptor| !service.full_name().starts_with("grpc.health.");
    for service in pool.services().filter(is_ours) {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let mut client = tonic::client::Grpc::new(server.channel().await);
            client.ready().await.unwrap();
            // An empty message, without a key.
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let request = tonic::Request::new(());
            let answer = client.unary(request, path.parse().unwrap(), codec).await;
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{path}");
            let left = left_in(&refused.metadata().clone().into_headers(), &path);
            assert_eq!(left, before - 1, "{path}");
            before = left;
        }
    }
    let mut client = TrackingServiceClient::new(server.channel().await);
    let added = client
        .add_event(authorized(event("t"), PUBLIC))
        .await
        .unwrap();
    assert_eq!(
        left_in(&added.metadata().clone().into_headers(), "AddEvent"),
        before - 1
    );
    for _ in 1..before {
        server.get("/nowhere").send().await;
    }
    let refused: Status = client
        .add_event(authorized(event("t"), PUBLIC))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(
        left_in(&refused.metadata().clone().into_headers(), "AddEvent"),
        0
    );
    server.stop().await;
}
