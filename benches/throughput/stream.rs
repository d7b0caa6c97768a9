//! Streams of commands whose senders run ahead of the acknowledgements by a bounded window.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use footfall::grpc::pb;
use footfall::grpc::pb::command::Command;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tokio::sync::Semaphore;

use super::grpc::connect;
use super::load::{Answer, Answers, Load};
use super::message;

/// Streams, each with a connection of its own.
pub(super) const STREAMS: usize = 4;
/// Commands of a stream that wait for their acknowledgements, at most.
pub(super) const WINDOW: usize = 1_024;

/// Events, each acknowledged.
pub(super) async fn events(address: SocketAddr, load: Load) -> Answers {
    load.run(|_, until| one(address, until, load)).await
}

async fn one(address: SocketAddr, until: Instant, load: Load) -> Answers {
    let window = Arc::new(Semaphore::new(WINDOW));
    let commands = futures_util::stream::unfold(window.clone(), move |window| async move {
        window.acquire().await.unwrap().forget();
        (Instant::now() < until).then(|| (command(message::next(1)), window))
    });
    let mut client = TrackingServiceClient::new(connect(address).await);
    let answer = client.track_stream(message::written(commands)).await;
    let mut acknowledged = answer.unwrap().into_inner();
    let mut answers = Answers::default();
    let mut last = 0;
    while let Some(message) = acknowledged.message().await.unwrap() {
        for acknowledgement in &message.acknowledgements {
            last += 1;
            assert_eq!(acknowledgement.number, last);
            let result = acknowledgement.result.as_ref().unwrap();
            assert!(result.error.is_none(), "{result:?}");
            answers.count(Answer::Accepted, load.calls);
        }
        window.add_permits(message.acknowledgements.len());
    }
    answers
}

fn command(number: u64) -> pb::TrackStreamRequest {
    let event = pb::AddEventRequest {
        project_token: String::new(),
        ..message::event(number)
    };
    pb::TrackStreamRequest {
        project_token: super::server::TOKEN.into(),
        command: Some(pb::Command {
            command_id: String::new(),
            command: Some(Command::AddEvent(event)),
        }),
    }
}
