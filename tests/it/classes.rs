//! What a request is decides what it is charged, and nothing else does: every method, content type, version and path.

use bytes::Bytes;
use http::{Method, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpStream;

use footfall::middleware::rpc::RPCS;
use footfall::rest::routes::ENTRIES;

use crate::harness::calls::event;
use crate::harness::{PRIVATE, Server, Setup, TOKEN};

const CLIENT: &str = "203.0.113.7";
const EVENT: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
const TYPES: [Option<&str>; 11] = [
    None,
    Some("application/json"),
    Some("text/plain"),
    Some("application/grpc"),
    Some("application/grpc+proto"),
    Some("application/grpc+json"),
    Some("application/grpc-web"),
    Some("application/grpc-web-text"),
    Some("APPLICATION/GRPC"),
    Some("application/grpcx"),
    Some("application/json, application/grpc"),
];
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
];

/// An answer, as far as it says who was charged.
#[derive(Debug)]
struct Told {
    status: u16,
    grpc_status: Option<String>,
    body: Bytes,
}

impl Told {
    fn is_over_quota(&self) -> bool {
        self.status == 429 || self.grpc_status.as_deref() == Some("8")
    }
}

/// The message of an rpc's call, or of a route's: one that would be stored, where that can be.
fn body(path: &str) -> Bytes {
    if !path.ends_with("/AddEvent") {
        return Bytes::from_static(match path.starts_with('/') && path.contains("Service/") {
            true => b"\0\0\0\0\0",
            false => EVENT.as_bytes(),
        });
    }
    let message = event("visit").encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

async fn ask(
    server: &Server,
    version: Version,
    method: &str,
    kind: Option<&str>,
    path: &str,
) -> Told {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut request = http::Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .version(version)
        .header("authorization", PRIVATE)
        .header("x-forwarded-for", CLIENT);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    let body = Full::new(body(path));
    let answer = match version {
        Version::HTTP_2 => {
            let request = request.uri(format!("http://footfall{path}"));
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            sender.send_request(request.body(body).unwrap()).await
        }
        _ => {
            let request = request.uri(path).header("host", "footfall");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            sender.send_request(request.body(body).unwrap()).await
        }
    };
    let (head, body) = answer.unwrap().into_parts();
    let status = head.headers.get("grpc-status");
    Told {
        status: head.status.as_u16(),
        grpc_status: status.map(|status| status.to_str().unwrap().to_owned()),
        // What lasts does not come to an end; anyone who is refused has all of it.
        body: match status.is_some() || head.headers.contains_key("content-length") {
            true => body.collect().await.unwrap().to_bytes(),
            false => Bytes::new(),
        },
    }
}

/// Whether mobile SDKs ask for it beside tracking.
fn is_sdk(path: &str) -> bool {
    let ends = ["/consent/categories", "/send-self-check-notification"];
    path.starts_with("/webxp/")
        || path.starts_with("/wxstatic/")
        || ends.iter().any(|end| path.ends_with(end))
}

fn paths() -> Vec<String> {
    let routes = ENTRIES
        .iter()
        .map(|entry| entry.path.replace("{project_token}", TOKEN))
        .map(|path| path.replace("{cookie}", "c"));
    let rpcs = RPCS.iter().map(|rpc| rpc.path.to_owned());
    let others = [
        "//readyz",
        "/readyz/",
        "/healthz/x",
        "/nothing",
        "/grpc.health.v1.Health/",
        "/grpc.health.v1.Health/Nothing",
        "/footfall.tracking.v2.TrackingService/",
        "//footfall.tracking.v2.TrackingService/AddEvent",
    ];
    let others = others.iter().map(|path| (*path).to_owned());
    routes.chain(rpcs).chain(others).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_read_or_answered_that_is_not_charged() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 1")
        .start()
        .await;
    let spent = server.track("customers/events", EVENT).from(CLIENT);
    assert_eq!(spent.send().await.status, 200);
    let stored = server.counted("footfall_log_position").await;
    let (mut refused, mut exempt, mut other) = (0, 0, 0);
    for path in paths() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for method in METHODS {
                for kind in TYPES {
                    let told = ask(&server, version, method, kind, &path).await;
                    let what = format!("{method} {path} {version:?} {kind:?}: {told:?}");
                    if told.is_over_quota() {
                        refused += 1;
                        continue;
                    }
                    let says_grpc = kind.is_some_and(|kind| {
                        kind.to_ascii_lowercase().starts_with("application/grpc")
                    });
                    let probes = path.trim_matches('/');
                    if method == "OPTIONS" && !says_grpc {
                        // Preflights are answered from constants.
                        assert_eq!(told.body, r#"{"success": true}"#, "{what}");
                        exempt += 1;
                    } else if is_sdk(&path) && !says_grpc {
                        // With a key they are answered with nothing, and charged as probes are.
                        assert!(matches!(method, "GET" | "HEAD" | "POST"), "{what}");
                        assert_eq!(told.status, 200, "{what}");
                        exempt += 1;
                    } else if ["", "healthz", "readyz", "startupz"].contains(&probes) && !says_grpc
                    {
                        assert!(matches!(method, "GET" | "HEAD"), "{what}");
                        assert_eq!(told.status, 200, "{what}");
                        exempt += 1;
                    } else {
                        // Health over gRPC, in the one form in which it is gRPC.
                        let health = ["/Check", "/List", "/Watch"]
                            .iter()
                            .any(|rpc| path.ends_with(rpc));
                        assert!(health, "{what}");
                        assert_eq!((method, version), ("POST", Version::HTTP_2), "{what}");
                        assert_eq!(told.status, 200, "{what}");
                        other += 1;
                    }
                    // Probes have a quota too, which time gives back.
                    server.clock.advance(std::time::Duration::from_millis(1));
                }
            }
        }
    }
    assert!(
        refused > 4_000 && exempt > 100 && other >= 4,
        "{refused} {exempt} {other}"
    );
    assert_eq!(server.counted("footfall_log_position").await, stored);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_is_charged_whatever_method_asks_for_it() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 5")
        .start()
        .await;
    let path = "/footfall.tracking.v2.TrackingService/AddEvent";
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for _ in 0..10 {
            let told = ask(&server, version, "OPTIONS", Some("application/grpc"), path).await;
            assert!(told.status == 415 || told.is_over_quota(), "{told:?}");
        }
    }
    assert_eq!(server.counted("footfall_log_position").await, 0);
    let told = ask(
        &server,
        Version::HTTP_2,
        "POST",
        Some("application/grpc"),
        path,
    )
    .await;
    assert!(told.is_over_quota(), "{told:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_that_it_is_grpc_and_is_not_as_served_is_415_and_not_read() {
    let server = Server::start().await;
    let path = "/footfall.tracking.v2.TrackingService/AddEvent";
    for (version, method, kind) in [
        (Version::HTTP_11, "POST", "application/grpc"),
        (Version::HTTP_11, "POST", "application/grpc+proto"),
        (Version::HTTP_2, "POST", "application/grpc-web"),
        (Version::HTTP_2, "POST", "application/grpc+json"),
        (Version::HTTP_2, "PUT", "application/grpc"),
        (Version::HTTP_2, "OPTIONS", "application/grpc"),
    ] {
        let told = ask(&server, version, method, Some(kind), path).await;
        assert_eq!(told.status, 415, "{method} {kind} {told:?}");
        let json: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(json["success"], false, "{json}");
    }
    for kind in ["application/grpc", "application/grpc+proto"] {
        let told = ask(&server, Version::HTTP_2, "POST", Some(kind), path).await;
        assert_eq!((told.status, told.grpc_status), (200, None));
    }
    assert_eq!(server.counted("footfall_log_position").await, 2);
    server.stop().await;
}
