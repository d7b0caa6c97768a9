//! Ten thousand callers while the disk hangs.

use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::*;
use crate::harness::calls::{event, properties, time};

/// How many call over gRPC, and how many of them share a connection.
const GRPC_CALLERS: u32 = 9_900;
const PER_CHANNEL: usize = 220;
/// How many call over REST, on a connection each.
const REST_CALLERS: u32 = 100;
/// How many of their events find room.
const FIT: usize = 1_000;

/// What a caller was told who was not served.
#[derive(Debug)]
enum Refused {
    Grpc(Status),
    Rest(Answer),
}

type Answered = (u32, Result<(), Refused>);

/// Stores the event of a number over gRPC.
async fn call(channel: Channel, n: u32) -> Answered {
    let event = AddEventRequest {
        properties: properties(&format!(r#"{{"n":{n}}}"#)),
        timestamp: time(n.into(), 0),
        ..event("visit")
    };
    let mut client = TrackingServiceClient::new(channel);
    let called = client.add_event(authorized(event, PUBLIC)).await;
    (n, called.map(drop).map_err(Refused::Grpc))
}

/// The same over REST.
async fn send(scene: Arc<Scene>, n: u32) -> Answered {
    let answer = scene.send(n).await;
    match answer.status {
        200 => (n, Ok(())),
        _ => (n, Err(Refused::Rest(answer))),
    }
}

/// Everybody sends an event of another number, from 2 on.
async fn everybody_sends(scene: &Arc<Scene>) -> JoinSet<Answered> {
    let mut callers = JoinSet::new();
    let calls: Vec<u32> = (2..GRPC_CALLERS + 2).collect();
    for share in calls.chunks(PER_CHANNEL) {
        let channel = scene.server.channel().await;
        for n in share {
            callers.spawn(call(channel.clone(), *n));
        }
    }
    for n in (2 + GRPC_CALLERS..).take(REST_CALLERS as usize) {
        callers.spawn(send(scene.clone(), n));
    }
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_callers_most_are_refused_at_once_and_the_others_served_in_the_end() {
    let settings = format!(
        "[server]\nrequest_timeout = \"1m\"\n[data]\nqueue_records_max = {FIT}\n[rate_limit]\nexempt = [\"127.0.0.0/8\"]"
    );
    let scene = Arc::new(Scene::start(&settings).await);
    scene.store.stall(true);
    let mut callers = everybody_sends(&scene).await;
    // The disk hangs until all of these are told: nobody of them waits for it.
    for _ in 0..callers.len() - FIT {
        let (n, refused) = callers.join_next().await.unwrap().unwrap();
        let reason = "the service is overloaded";
        match refused {
            Err(Refused::Grpc(status)) => is_unavailable_grpc(&status, reason, 1),
            Err(Refused::Rest(answer)) => is_unavailable(&answer, reason, 1),
            Ok(()) => panic!("{n} was acknowledged while the disk hung"),
        }
    }
    assert_eq!(scene.events().await, [1]);

    scene.store.stall(false);
    let mut kept = vec![1];
    for (n, served) in callers.join_all().await {
        served.unwrap();
        kept.push(u64::from(n));
    }
    kept.sort_unstable();
    assert_eq!(scene.events().await, kept);
    Arc::into_inner(scene).unwrap().stop().await;
}
