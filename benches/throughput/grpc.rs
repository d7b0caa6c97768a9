//! gRPC callers that wait for each answer. The client reads `grpc-status`.

use std::net::SocketAddr;
use std::time::Instant;

use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::load::{Answer, Answers, Calls, Load};
use super::message;

/// Connections that callers share, as the processes of a fleet would.
const CHANNELS: usize = 8;

pub(super) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.tcp_nodelay(true).connect().await.unwrap()
}

/// Events, one a call.
pub(super) async fn events(address: SocketAddr, load: Load) -> Answers {
    let mut channels = Vec::new();
    for _ in 0..CHANNELS.min(load.callers) {
        channels.push(connect(address).await);
    }
    load.run(|index, until| caller(channels[index % channels.len()].clone(), load.calls, until))
        .await
}

async fn caller(channel: Channel, calls: Calls, until: Instant) -> Answers {
    let mut tracking = TrackingServiceClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel);
    let mut answers = Answers::default();
    while Instant::now() < until {
        let number = message::next(1);
        let request = message::written(message::event(number));
        answers.count(answer(&tracking.add_event(request).await), calls);
        if calls.reads_behind(number) {
            let request = message::asked(message::question(number));
            let page = customers.list_events(request).await.unwrap().into_inner();
            assert!(!page.events.is_empty());
            answers.count(Answer::Accepted, calls);
        }
    }
    answers
}

fn answer<T>(result: &Result<Response<T>, Status>) -> Answer {
    match result {
        Ok(_) => Answer::Accepted,
        Err(status) if status.code() == Code::ResourceExhausted => Answer::Refused,
        Err(status) => panic!("{status}"),
    }
}
