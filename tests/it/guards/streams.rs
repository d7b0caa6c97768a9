//! Streaming calls: how many an address and a key have, whatever the rpc; how long a message takes; and what it costs.

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use http_body_util::BodyExt as _;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::calls::event;
use crate::harness::half::{Half, command, framed, message, told};
use crate::harness::watching::now;
use crate::harness::{OTHER_TOKEN, PRIVATE, PUBLIC, Server, Setup, TOKEN};

const CLIENT: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const TRACK_STREAM: &str = "/footfall.tracking.v2.TrackingService/TrackStream";

/// What lasts for as long as it is kept.
type Kept = Box<dyn std::any::Any + Send>;

fn from<T>(message: T, key: &str, address: &str) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("x-forwarded-for", address.parse().unwrap());
    if !key.is_empty() {
        metadata.insert("authorization", key.parse().unwrap());
    }
    request
}

/// One streaming call of each kind.
#[derive(Clone, Copy, Debug)]
enum Kind {
    HealthWatch,
    Reflection,
    TrackStream,
    WatchEvents,
    ExportCustomers,
    ServerSent,
}

const KINDS: [Kind; 6] = [
    Kind::HealthWatch,
    Kind::Reflection,
    Kind::TrackStream,
    Kind::WatchEvents,
    Kind::ExportCustomers,
    Kind::ServerSent,
];

async fn opens(server: &Server, kind: Kind, address: &str) -> Result<Kept, Status> {
    let channel = server.channel().await;
    Ok(match kind {
        Kind::HealthWatch => {
            let mut client = HealthClient::new(channel);
            let question = from(HealthCheckRequest::default(), "", address);
            Box::new(client.watch(question).await?)
        }
        Kind::Reflection => {
            let mut client = ServerReflectionClient::new(channel);
            let silent = from(tokio_stream::pending(), "", address);
            Box::new(client.server_reflection_info(silent).await?)
        }
        Kind::TrackStream => {
            let mut client = TrackingServiceClient::new(channel);
            let silent = from(tokio_stream::pending(), PUBLIC, address);
            Box::new(client.track_stream(silent).await?)
        }
        Kind::WatchEvents => {
            let mut client = CustomerServiceClient::new(channel);
            Box::new(client.watch_events(from(now(), PRIVATE, address)).await?)
        }
        Kind::ExportCustomers => {
            let mut client = CustomerServiceClient::new(channel);
            let question = pb::ExportCustomersRequest {
                project_token: TOKEN.to_owned(),
            };
            let question = from(question, PRIVATE, address);
            Box::new(client.export_customers(question).await?)
        }
        Kind::ServerSent => {
            let path = format!("/data/v2/projects/{TOKEN}/events/watch");
            let watch = server
                .get(&path)
                .from(address)
                .header("Authorization", PRIVATE);
            let answer = watch.send().await;
            assert_eq!(answer.status, 503, "it would last");
            let code = match answer.json()["code"].as_str() {
                Some("UNAVAILABLE") => Code::Unavailable,
                other => panic!("{other:?}"),
            };
            return Err(Status::new(code, answer.error()));
        }
    })
}

async fn is_at_rest(server: &Server) {
    server.falls_to("footfall_streaming_calls", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_streaming_calls_whatever_the_rpc() {
    let setting = "[server]\nstreaming_calls_per_address_max = 3";
    let server = Setup::default().with(setting).start().await;
    let mut kept = Vec::new();
    for kind in [Kind::HealthWatch, Kind::Reflection, Kind::TrackStream] {
        kept.push(opens(&server, kind, CLIENT).await.unwrap());
    }
    for (count, kind) in KINDS.into_iter().enumerate() {
        let refused = opens(&server, kind, CLIENT).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unavailable, "{kind:?}: {refused:?}");
        assert_eq!(
            refused.message(),
            "3 streaming calls from 203.0.113.7 are under way, which is the most"
        );
        let rejected = server.rejected("streaming_calls_per_address_max").await;
        assert_eq!(rejected, count as u64 + 1, "{kind:?}");
    }
    // Others have theirs, and what does not last needs none.
    kept.push(opens(&server, Kind::WatchEvents, OTHER).await.unwrap());
    server.serves().await;
    kept.clear();
    is_at_rest(&server).await;
    drop(opens(&server, Kind::WatchEvents, CLIENT).await.unwrap());
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_streaming_calls_in_all() {
    let setting = "[server]\nstreaming_calls_max = 2";
    let server = Setup::default().with(setting).start().await;
    let kept = (
        opens(&server, Kind::HealthWatch, CLIENT).await.unwrap(),
        opens(&server, Kind::TrackStream, OTHER).await.unwrap(),
    );
    let refused = opens(&server, Kind::WatchEvents, "203.0.113.9").await;
    assert_eq!(refused.err().unwrap().code(), Code::Unavailable);
    assert_eq!(server.rejected("streaming_calls_max").await, 1);
    server.serves().await;
    drop(kept);
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_so_many_streams_of_commands_and_other_keys_have_theirs() {
    let setting = "[server]\nstreaming_calls_per_key_max = 1";
    let server = Setup::default().with(setting).start().await;
    let visit = || pb::Command {
        command_id: String::new(),
        command: Some(pb::command::Command::AddEvent(event("visit"))),
    };
    let mut first = server.opens(PUBLIC, CLIENT).await.unwrap();
    first.send(TOKEN, visit()).await;
    assert_eq!(first.result().await.1.error, None);
    let mut second = server.opens(PUBLIC, OTHER).await.unwrap();
    second.send(TOKEN, visit()).await;
    let refused = second.told().await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::Unavailable,
            "1 streams of the key are open, which is the most"
        )
    );
    assert_eq!(server.rejected("streaming_calls_per_key_max").await, 1);
    let mut other = server.opens("Token other-public-key", OTHER).await.unwrap();
    other.send(OTHER_TOKEN, pb::Command::default()).await;
    assert!(other.told().await.unwrap().is_some());
    first.closed().await.unwrap();
    is_at_rest_but_for(&server, 1).await;
    let mut third = server.opens(PUBLIC, OTHER).await.unwrap();
    third.send(TOKEN, visit()).await;
    assert_eq!(third.result().await.1.error, None);
    server.stop().await;
}

async fn is_at_rest_but_for(server: &Server, count: u64) {
    server.falls_to("footfall_streaming_calls", count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_send_and_take_nothing_end_where_one_has_many_and_not_where_another_has_few() {
    let setting = "[server]\nstalled_streams_max = 4\ndrain_timeout = \"1ms\"";
    let server = Setup::default().with(setting).start().await;
    let stalled = || server.counted("footfall_streams_stalled");
    // Of another project, and the first to wait.
    let mut quiet = Half::narrow(server.address, 8).await;
    let headers = [("authorization", "Token other-public-key")];
    let mut quiet_answer = quiet
        .begins(
            TRACK_STREAM,
            &headers,
            command(OTHER_TOKEN).repeat(200).into(),
        )
        .await
        .await
        .unwrap();
    server.rises_to("footfall_streams_stalled", 1).await;
    // With a key from many addresses, and without one.
    let mut loud = Half::narrow(server.address, 8).await;
    let mut answers = Vec::new();
    for host in 1..=30 {
        let from = format!("203.0.113.{host}");
        let headers = [
            ("authorization", PUBLIC),
            ("x-forwarded-for", from.as_str()),
        ];
        let more = command(TOKEN).repeat(200);
        answers.push(
            loud.begins(TRACK_STREAM, &headers, more.into())
                .await
                .await
                .unwrap(),
        );
    }
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = framed(&question).repeat(20);
    for _ in 0..30 {
        let headers = [("x-forwarded-for", CLIENT)];
        answers.push(
            loud.begins(REFLECTION, &headers, questions.clone().into())
                .await
                .await
                .unwrap(),
        );
    }
    server.rejects("stalled_streams_max", 57).await;
    assert_eq!(stalled().await, 4);

    // A caller that reads its answers is served beside them, over a stream too.
    server.serves().await;
    let mut lane = server.opens("Token other-public-key", OTHER).await.unwrap();
    for _ in 0..5 {
        lane.send(OTHER_TOKEN, pb::Command::default()).await;
        lane.result().await;
    }
    lane.closed().await.unwrap();
    // And so is the one that waited, once it takes them.
    assert!(quiet_answer.frame().await.unwrap().unwrap().is_data());
    drop(quiet_answer);
    let text = "4 streams wait for their callers to take what they are answered, which is the most";
    let first = answers.swap_remove(0);
    assert_eq!(told(first).await, ("14".to_owned(), text.to_owned()));
    drop((quiet, loud));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_stream_that_has_begun_has_to_end_in_time() {
    let hasty = "[server]\nbody_timeout = \"200ms\"";
    let server = Setup::default().with(hasty).start().await;
    let mut half = Half::open(server.address).await;
    let first = command(TOKEN);
    for beginning in [&[0][..], &message(100, 99)] {
        let bytes = [&first, beginning].concat();
        let told = half
            .calls(TRACK_STREAM, &[("authorization", PUBLIC)], bytes)
            .await;
        let (code, text) = told.await.unwrap();
        let late = "The body did not arrive within 0.2 s";
        assert_eq!((code.as_str(), text.as_str()), ("4", late));
    }
    // What came before it is kept.
    assert_eq!(server.counted("footfall_log_position").await, 2);
    assert_eq!(server.rejected("body_timeout").await, 2);
    let told = half.calls(REFLECTION, &[], message(100, 99)).await;
    assert_eq!(told.await.unwrap().0, "4");
    assert_eq!(server.rejected("body_timeout").await, 3);
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_to_reflection_is_charged() {
    let quota = "[rate_limit]\nrequests = 5";
    let server = Setup::default().with(quota).start().await;
    let question = || ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(server.channel().await);
    let questions = tokio_stream::iter(std::iter::repeat_with(question).take(20));
    let answers = client
        .server_reflection_info(from(questions, "", CLIENT))
        .await;
    let mut answers = answers.unwrap().into_inner();
    let mut count = 0;
    let ended = loop {
        match answers.message().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("it does not say why it ends"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::ResourceExhausted, "{ended:?}");
    assert!(count <= 5, "{count}");
    let question = server.track("customers", "{}").from(CLIENT).send().await;
    assert_eq!(question.status, 429);
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_key_takes_small_messages_alone_and_keeps_no_name() {
    let server = Server::start().await;
    let long = "x".repeat(5_000);
    let mut health = HealthClient::new(server.channel().await);
    let asked = || HealthCheckRequest {
        service: long.clone(),
    };
    let watched = health.watch(asked()).await.err().unwrap();
    let checked = health.check(asked()).await.unwrap_err();
    let question = ServerReflectionRequest {
        host: long.clone(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(server.channel().await);
    let answers = client
        .server_reflection_info(tokio_stream::once(question))
        .await;
    let reflected = answers.unwrap().into_inner().message().await.unwrap_err();
    for status in [watched, checked, reflected] {
        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    }
    assert_eq!(server.rejected("message_bytes").await, 3);
    is_at_rest(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_stream_has_a_short_name() {
    let server = Server::start().await;
    let mut lane = server.opens(PUBLIC, CLIENT).await.unwrap();
    for (bytes, expected) in [(1_024, None), (1_025, Some(Code::InvalidArgument as i32))] {
        let command = pb::Command {
            command_id: "x".repeat(bytes),
            command: Some(pb::command::Command::AddEvent(event("visit"))),
        };
        lane.send(TOKEN, command).await;
        let (_, result) = lane.result().await;
        assert_eq!(result.error.map(|error| error.code), expected);
        assert_eq!(
            result.command_id.len(),
            if expected.is_none() { bytes } else { 0 }
        );
    }
    lane.closed().await.unwrap();
    assert_eq!(server.counted("footfall_log_position").await, 1);
    server.stop().await;
}
