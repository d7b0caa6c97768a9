//! Reflection in both of its versions.

use crate::harness::Server;

const SERVICES: [&str; 5] = [
    "footfall.tracking.v2.CustomerService",
    "footfall.tracking.v2.TrackingService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The two versions have the same messages under different names.
macro_rules! asks {
    ($version:ident, $server:expr, $question:ident($value:expr) -> $answer:ident) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

        let mut client = ServerReflectionClient::new($server.channel().await);
        let question = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::$question($value.to_owned())),
        };
        let answers = client
            .server_reflection_info(tokio_stream::once(question))
            .await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::$answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_list_every_service() {
    let server = Server::start().await;
    let list = asks!(v1, server, ListServices("") -> ListServicesResponse);
    let v1: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    let list = asks!(v1alpha, server, ListServices("") -> ListServicesResponse);
    let v1alpha: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for mut names in [v1, v1alpha] {
        names.sort_unstable();
        assert_eq!(names, SERVICES);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_show_the_file_of_every_service() {
    let server = Server::start().await;
    for service in SERVICES {
        let file = asks!(v1, server, FileContainingSymbol(service) -> FileDescriptorResponse);
        assert!(!file.file_descriptor_proto.is_empty(), "{service}");
        let file = asks!(v1alpha, server, FileContainingSymbol(service) -> FileDescriptorResponse);
        assert!(!file.file_descriptor_proto.is_empty(), "{service}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_show_what_the_details_of_errors_are_made_of() {
    let server = Server::start().await;
    for name in [
        "RetryInfo",
        "QuotaFailure",
        "ErrorInfo",
        "BadRequest",
        "Status",
    ] {
        let name = format!("google.rpc.{name}");
        let name = name.as_str();
        let file = asks!(v1, server, FileContainingSymbol(name) -> FileDescriptorResponse);
        assert!(!file.file_descriptor_proto.is_empty(), "{name}");
        let file = asks!(v1alpha, server, FileContainingSymbol(name) -> FileDescriptorResponse);
        assert!(!file.file_descriptor_proto.is_empty(), "{name}");
    }
    server.stop().await;
}
