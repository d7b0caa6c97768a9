//! Callers with certificates of their own: who is let in, and whose name is a key.

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tonic::Code;

use super::{Kept, comes_to, time};
use crate::harness::calls::event;
use crate::harness::tls::{Authority, Caller, Identity, Papers};
use crate::harness::{PUBLIC, Request, Server, Setup, TOKEN, authorized};

async fn mutual(client_auth: &str) -> (Papers, Server) {
    let papers = Papers::new();
    let section = papers.mutual(client_auth);
    let server = Setup::default().with(&section).start().await;
    (papers, server)
}

/// The status that a caller with a public key gets; none if it is not let in at all.
async fn status(caller: &Caller, server: &Server) -> Option<u16> {
    let answer = caller.send(server.address, time(server, PUBLIC)).await;
    answer.ok().map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_certificate_is_required_nobody_gets_in_without_a_good_one() {
    let (papers, server) = mutual("required").await;
    let caller = papers.caller();
    assert_eq!(status(&caller, &server).await, None);
    comes_to(&server, "Certificate", 1).await;
    let stranger = Authority::new().vouches(&["dns:shop.example.org"]);
    assert_eq!(
        status(&caller.clone().showing(stranger), &server).await,
        None
    );
    comes_to(&server, "Certificate", 2).await;
    let good = papers.authority.vouches(&["dns:shop.example.org"]);
    assert_eq!(
        status(&caller.clone().showing(good), &server).await,
        Some(200)
    );
    // Over gRPC, the first call tells at the latest.
    if let Ok(channel) = caller.channel(server.address).await {
        let mut client = TrackingServiceClient::new(channel);
        let call = client.add_event(authorized(event("visit"), PUBLIC)).await;
        call.unwrap_err();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_certificate_is_optional_a_bad_one_is_refused() {
    let (papers, server) = mutual("optional").await;
    let caller = papers.caller();
    assert_eq!(status(&caller, &server).await, Some(200));
    let stranger = Authority::new().vouches(&["dns:shop.example.org"]);
    assert_eq!(
        status(&caller.clone().showing(stranger), &server).await,
        None
    );
    comes_to(&server, "Certificate", 1).await;
    let good = papers.authority.vouches(&["dns:shop.example.org"]);
    assert_eq!(status(&caller.showing(good), &server).await, Some(200));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_time_is_over_is_refused() {
    let (papers, server) = mutual("optional").await;
    // The service's clock begins in November 2023.
    let identity = papers
        .authority
        .vouches_until(2024, &["dns:shop.example.org"]);
    let caller = papers.caller().showing(identity);
    assert_eq!(status(&caller, &server).await, Some(200));
    let months = std::time::Duration::from_hours(24 * 100);
    server.clock.advance(months);
    assert_eq!(status(&caller, &server).await, None);
    comes_to(&server, "Certificate", 1).await;
    server.stop().await;
}

/// A project whose keys are certificates, one of them a secret's too.
const KEYS: &str = r#"
[[project]]
token = "11111111-2222-3333-4444-555555555555"
[[project.key]]
client_cert = "spiffe://example.org/shop"
permissions = ["events:set"]
[[project.key]]
id = "reader"
secrets = ["key-secret"]
client_cert = "reader.example.org"
permissions = ["events:get"]
[[project.key]]
public = "public-key"
permissions = []
"#;

async fn named() -> (Papers, Server) {
    let papers = Papers::new();
    let setup = Setup::default().with(&papers.mutual("optional"));
    (papers, setup.projects(KEYS).start().await)
}

/// What a caller with these headers is answered when it adds an event, and when it reads events.
async fn may(caller: &Caller, server: &Server, headers: &[(&str, &str)]) -> (u16, u16) {
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    let question = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;
    let path = format!("/v2/projects/{TOKEN}/customers/events");
    let adds = server.post(&format!("/track{path}")).body(event);
    let reads = server.post(&format!("/data{path}")).body(question);
    let answered = async |mut request: Request| {
        for (name, value) in headers {
            request = request.header(name, value);
        }
        caller.send(server.address, request).await.unwrap().status
    };
    (answered(adds).await, answered(reads).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_s_name_is_a_key_over_rest() {
    let (papers, server) = named().await;
    let showing = |names: &[&str]| papers.caller().showing(papers.authority.vouches(names));
    let shop = showing(&["dns:other.example.org", "uri:spiffe://example.org/shop"]);
    assert_eq!(may(&shop, &server, &[]).await, (200, 403));
    let reader = showing(&["dns:reader.example.org"]);
    assert_eq!(may(&reader, &server, &[]).await, (403, 200));
    // Anyone who shows a key is that key, or nobody.
    let public = [("Authorization", PUBLIC)];
    assert_eq!(may(&shop, &server, &public).await, (403, 403));
    for wrong in ["Token wrong", "Bearer x", "Basic cmVhZGVyOndyb25n"] {
        let (adds, reads) = may(&shop, &server, &[("Authorization", wrong)]).await;
        assert!(adds >= 401 && reads >= 401, "{wrong}: {adds} {reads}");
    }
    let secret = [("Authorization", "Basic cmVhZGVyOmtleS1zZWNyZXQ=")];
    assert_eq!(may(&shop, &server, &secret).await, (403, 200));
    // A browser shows a certificate for any page.
    let page = [("Origin", "https://example.com")];
    assert_eq!(may(&shop, &server, &page).await, (401, 401));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_name_of_a_certificate_is_a_key() {
    let (papers, server) = named().await;
    for name in [
        "cn:reader.example.org",
        "cn:spiffe://example.org/shop",
        "dns:*.example.org",
        "dns:READER.example.org",
        "dns:a.reader.example.org",
        "dns:example.org",
        "uri:spiffe://example.org/shop/a",
        "uri:spiffe://example.org/sho",
        "uri:reader.example.org",
    ] {
        let identity = papers.authority.vouches(&[name]);
        let caller = papers.caller().showing(identity);
        assert_eq!(may(&caller, &server, &[]).await, (401, 401), "{name}");
    }
    assert_eq!(may(&papers.caller(), &server, &[]).await, (401, 401));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_s_name_is_a_key_over_grpc() {
    let (papers, server) = named().await;
    let call = async |identity: Option<Identity>, authorization: Option<&str>| {
        let caller = match identity {
            None => papers.caller(),
            Some(identity) => papers.caller().showing(identity),
        };
        let channel = caller.channel(server.address).await.unwrap();
        let mut client = TrackingServiceClient::new(channel);
        let request = match authorization {
            None => tonic::Request::new(event("visit")),
            Some(authorization) => authorized(event("visit"), authorization),
        };
        let answer = client.add_event(request).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let shop = papers.authority.vouches(&["uri:spiffe://example.org/shop"]);
    let reader = papers.authority.vouches(&["dns:reader.example.org"]);
    assert_eq!(call(Some(shop.clone()), None).await, Code::Ok);
    assert_eq!(call(Some(reader), None).await, Code::PermissionDenied);
    assert_eq!(call(None, None).await, Code::Unauthenticated);
    let channel = papers
        .caller()
        .showing(shop.clone())
        .channel(server.address)
        .await;
    let streamed = tokio_stream::once(pb::TrackStreamRequest {
        project_token: TOKEN.to_owned(),
        command: Some(pb::Command {
            command_id: String::new(),
            command: Some(pb::command::Command::AddEvent(event("visit"))),
        }),
    });
    let mut client = TrackingServiceClient::new(channel.unwrap());
    let answers = client.track_stream(streamed).await.unwrap();
    let told = answers.into_inner().message().await.unwrap().unwrap();
    let result = told.acknowledgements[0].result.clone().unwrap();
    assert_eq!(result.error, None, "on a stream, too");
    let wrong = call(Some(shop), Some("Token wrong")).await;
    assert_eq!(wrong, Code::Unauthenticated);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_a_key_no_more_is_not_let_in_over_an_open_connection() {
    let (papers, server) = named().await;
    let identity = papers.authority.vouches(&["dns:reader.example.org"]);
    let caller = papers.caller().showing(identity);
    let mut open = Kept::open(&caller, &server).await;
    assert_eq!(open.asks_with("").await.status, 200);
    let section = papers.mutual("optional");
    let keys = KEYS.replace("client_cert = \"reader.example.org\"", "");
    server.reloads(&Setup::default().with(&section).projects(&keys));
    assert_eq!(open.asks_with("").await.status, 401);
    drop(open);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_for_callers_changes_without_a_restart() {
    let (papers, server) = mutual("optional").await;
    let other = Authority::new();
    let identity = other.vouches(&["dns:shop.example.org"]);
    let caller = papers.caller().showing(identity);
    assert_eq!(status(&caller, &server).await, None);
    papers.write("ca.pem", &other.pem());
    let setup = |client_auth| Setup::default().with(&papers.mutual(client_auth));
    let reloaded = server.reloads(&setup("optional"));
    assert_eq!(reloaded.changed, ["server.tls"]);
    assert_eq!(status(&caller, &server).await, Some(200));
    assert_eq!(status(&papers.caller(), &server).await, Some(200));
    server.reloads(&setup("required"));
    assert_eq!(status(&papers.caller(), &server).await, None);
    server.stop().await;
}
