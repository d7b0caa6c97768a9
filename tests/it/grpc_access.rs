//! Who is let in over gRPC, and how a refusal looks on the wire.

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tonic::{Code, Status};
use tower::Service as _;

use crate::harness::calls::{event, update};
use crate::harness::{OTHER_TOKEN, PRIVATE, PUBLIC, Server, TOKEN, authorized};
use crate::rest_access::UNREADABLE;

async fn asks(server: &Server, token: &str, authorization: &str) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    let question = pb::GetSystemTimeRequest {
        project_token: token.to_owned(),
    };
    client
        .get_system_time(authorized(question, authorization))
        .await
        .map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_as_in_rest() {
    let server = Server::start().await;
    for authorization in [
        PUBLIC,
        "token public-key",
        PRIVATE,
        "basic a2V5LWlkOm5leHQtc2VjcmV0",
        "Basic a2V5LWlkOmtleS1zZWNyZXQ",
    ] {
        asks(&server, TOKEN, authorization).await.unwrap();
    }
    for (token, authorization, code, text) in [
        ("x", PUBLIC, Code::InvalidArgument, "Could not authenticate"),
        ("", PUBLIC, Code::InvalidArgument, "Could not authenticate"),
        (TOKEN, "", Code::Unauthenticated, UNREADABLE),
        (TOKEN, "Bearer x", Code::Unauthenticated, UNREADABLE),
        (
            TOKEN,
            "Token wrong",
            Code::Unauthenticated,
            "Access key not found",
        ),
        (
            OTHER_TOKEN,
            PUBLIC,
            Code::Unauthenticated,
            "Access key not found",
        ),
        (
            TOKEN,
            "Basic bm9ib2R5OmtleS1zZWNyZXQ=",
            Code::Unauthenticated,
            "Access key not found",
        ),
        (
            TOKEN,
            "Basic a2V5LWlkOndyb25n",
            Code::PermissionDenied,
            "invalid secret",
        ),
    ] {
        let status = asks(&server, token, authorization).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (code, text),
            "{authorization}"
        );
    }
    let mut client = TrackingServiceClient::new(server.channel().await);
    let status = client.update_customer(update("{}")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "Access key not provided")
    );
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_the_permission_is_denied() {
    let server = Server::start().await;
    let mut client = TrackingServiceClient::new(server.channel().await);
    let update = client
        .update_customer(authorized(update("{}"), "Token events-only"))
        .await;
    let event = client
        .add_event(authorized(event("visit"), "Token customers-only"))
        .await;
    for status in [update.unwrap_err(), event.unwrap_err()] {
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "No permission")
        );
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_http_200_with_its_status_in_the_headers() {
    let server = Server::start().await;
    let mut channel = server.channel().await;
    for (path, code) in [
        ("/footfall.tracking.v2.TrackingService/AddEvent", "16"),
        ("/footfall.tracking.v2.TrackingService/Nothing", "12"),
        ("/footfall.tracking.v2.NoService/AddEvent", "12"),
        ("/track/v2/projects/x/customers", "12"),
    ] {
        // An empty message: no key.
        let body = http_body_util::Full::from(&b"\0\0\0\0\0"[..]);
        let request = http::Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(body))
            .unwrap();
        std::future::poll_fn(|context| channel.poll_ready(context))
            .await
            .unwrap();
        let response = channel.call(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["grpc-status"], code, "{path}");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert!(response.headers().contains_key("x-request-id"));
    }
    drop(channel);
    server.stop().await;
}
