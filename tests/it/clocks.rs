//! What a wall clock that is set by a day, forward or back, does to a service: docs/clocks.md, row by row.

use std::time::Duration;

use footfall::grpc::pb;
use footfall::grpc::pb::command::Command;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use serde_json::{Value, json};

use crate::harness::calls::{ids, properties, time};
use crate::harness::{
    OTHER_TOKEN, PUBLIC, Request, START, Server, Setup, TOKEN, authorized, eventually,
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A day behind the start, in seconds.
const TOMORROW: u64 = START + 24 * 3_600;

async fn visits(server: &Server, customer: &str, number: usize) {
    let event = json!({"customer_ids": {"registered": customer}, "event_type": "visit", "properties": {"n": number}});
    server.adds(&event).await;
}

async fn count(server: &Server, customer: &str) -> usize {
    server.timeline(json!({"registered": customer})).await.len()
}

/// Waits until a customer has no events any more, and the sweep that took them has ended.
async fn has_left(server: &Server, customer: &str) {
    eventually(&format!("{customer} has no events any more"), async || {
        (count(server, customer).await == 0).then_some(())
    })
    .await;
    server.falls_to("footfall_data_remains", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_the_clock_was_a_day_back_stays_as_long_as_everything_else() {
    let server = Setup::default()
        .with("[data]\nretention = \"1h\"\nerase_within = \"0s\"")
        .start()
        .await;
    visits(&server, "old", 0).await;
    server.clock.advance(50 * HOUR / 60);
    server.clock.set_back(DAY);
    for number in 0..80 {
        visits(&server, "young", number).await;
    }
    server.clock.set_forward(DAY);
    server.clock.advance(20 * HOUR / 60);
    has_left(&server, "old").await;
    assert_eq!(count(&server, "young").await, 80);
    server.clock.advance(HOUR);
    has_left(&server, "young").await;
    server.stop().await;
}

async fn shown(server: &Server) -> Value {
    server.properties(json!({"registered": "a"})).await["x"].take()
}

fn update(number: usize) -> pb::UpdateCustomerRequest {
    pb::UpdateCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        properties: properties(&format!(r#"{{"x":{number}}}"#)),
        update_timestamp: time(TOMORROW.cast_signed(), 0),
    }
}

/// Sends an update that says the time of tomorrow, in each way that there is.
async fn says_tomorrow(server: &Server, way: usize) {
    let body = json!({"customer_ids": {"registered": "a"}, "properties": {"x": way}, "update_timestamp": TOMORROW});
    let mut client = TrackingServiceClient::new(server.channel().await);
    let command = pb::Command {
        command_id: String::new(),
        command: Some(Command::UpdateCustomer(update(way))),
    };
    match way {
        0 => server.updates(&body).await,
        1 => {
            let batch = json!({"commands": [{"name": "customers", "data": body}]}).to_string();
            let answer = server.track("batch", &batch).send().await;
            assert!(!answer.body.contains("false"), "{}", answer.body);
        }
        2 => {
            let request = authorized(update(way), PUBLIC);
            client.update_customer(request).await.unwrap();
        }
        3 => {
            let batch = pb::ExecuteBatchRequest {
                project_token: TOKEN.to_owned(),
                commands: vec![command],
            };
            let answer = client.execute_batch(authorized(batch, PUBLIC)).await;
            assert_eq!(answer.unwrap().into_inner().results[0].error, None);
        }
        _ => {
            let mut lane = server.opens(PUBLIC, "203.0.113.7").await.unwrap();
            lane.send(TOKEN, command).await;
            assert_eq!(lane.result().await.1.error, None);
            lane.closed().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_says_a_time_ahead_of_its_receipt_freezes_nothing() {
    let server = Server::start().await;
    for way in 0..5 {
        says_tomorrow(&server, way).await;
        assert_eq!(shown(&server).await, json!(way));
        server.clock.advance(Duration::from_secs(1));
        server
            .updates(&json!({"customer_ids": {"registered": "a"}, "properties": {"x": "now"}}))
            .await;
        assert_eq!(shown(&server).await, json!("now"), "way {way}");
        server.clock.advance(Duration::from_secs(1));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_keeps_the_time_that_it_says_and_takes_its_receipt_s_otherwise() {
    let server = Server::start().await;
    let event =
        json!({"customer_ids": {"registered": "a"}, "event_type": "told", "timestamp": TOMORROW});
    server.adds(&event).await;
    server.clock.set_back(DAY);
    visits(&server, "a", 0).await;
    server.clock.set_forward(2 * DAY);
    visits(&server, "a", 1).await;
    let customer = server.customer(json!({"registered": "a"})).await;
    let times = customer["events"].as_array().unwrap().iter();
    let times: Vec<_> = times.map(|event| event["timestamp"].as_f64()).collect();
    let yesterday = (START - 24 * 3_600) as f64;
    let tomorrow = TOMORROW as f64;
    assert_eq!(times, [Some(yesterday), Some(tomorrow), Some(tomorrow)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_do_not_notice_that_the_clock_is_set() {
    let server = Setup::default()
        .with("[rate_limit]\nrequests = 2")
        .start()
        .await;
    let asks = async || server.track("system/time", "{}").send().await.status;
    assert_eq!((asks().await, asks().await), (200, 200));
    server.clock.set_forward(DAY);
    assert_eq!(asks().await, 429);
    server.clock.set_back(2 * DAY);
    assert_eq!(asks().await, 429);
    server.clock.advance(HOUR / 120);
    assert_eq!(asks().await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_by_the_clock_as_it_is() {
    let server = Setup::default()
        .projects(&format!(
            "[[project]]\ntoken = \"{OTHER_TOKEN}\"\n[[project.key]]\npublic = \"k\"\n\
             expires = 2023-11-15T10:00:00Z\npermissions = [\"events:set\"]"
        ))
        .start()
        .await;
    let path = format!("/track/v2/projects/{OTHER_TOKEN}/system/time");
    let time = || Request::new(server.address, "GET", &path).header("Authorization", "Token k");
    let answer = time().send().await.json();
    assert_eq!(answer["time"].as_f64(), Some(START as f64));
    server.clock.set_forward(DAY);
    assert_eq!(time().send().await.status, 401);
    server.clock.set_back(2 * DAY);
    let answer = time().send().await.json();
    assert_eq!(answer["time"].as_f64(), Some((START - 24 * 3_600) as f64));
    server.stop().await;
}
