//! One of the many who write.

use std::net::SocketAddr;

use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::grpc::pb::{AddEventRequest, UpdateCustomerRequest};
use footfall::model::properties::Object;
use prost::Message as _;
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::first_run::Project;
use crate::harness::keep_alive::{Connection, Cut};
use crate::harness::{START, authorized};

/// The first so many writers call over gRPC; the others have a connection each.
pub const GRPC_WRITERS: usize = 40;
/// Every so many commands one is an update, the others are events.
const UPDATE_EVERY: u64 = 5;

/// One caller with a customer of its own, who sends one command after the other.
#[derive(Debug)]
pub struct Writer {
    pub index: usize,
    /// All commands below are acknowledged.
    pub acknowledged: u64,
    /// How the command behind them failed, if it was sent and failed.
    pub silence: Option<Silence>,
}

/// Why a command has no answer.
#[derive(Debug)]
pub enum Silence {
    NotConnected,
    Cut(Cut),
    Status(Box<Status>),
}

/// Where to write.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub project: Project,
    pub channel: Channel,
}

impl Writer {
    fn customer(&self) -> String {
        format!("writer-{}", self.index)
    }

    /// Sends until `until`, or until a command gets no answer. Begins with the one that got none.
    pub async fn write(mut self, target: Target, until: Instant) -> Self {
        self.silence = None;
        let mut connection = match self.index < GRPC_WRITERS {
            true => None,
            false => match Connection::open(target.address).await {
                Ok(connection) => Some(connection),
                Err(_) => {
                    self.silence = Some(Silence::NotConnected);
                    return self;
                }
            },
        };
        while Instant::now() < until {
            let sent = match &mut connection {
                Some(connection) => self.send(connection, &target.project).await,
                None => self.call(&target).await,
            };
            match sent {
                Ok(()) => self.acknowledged += 1,
                Err(silence) => {
                    self.silence = Some(silence);
                    break;
                }
            }
        }
        self
    }

    async fn send(&self, connection: &mut Connection, project: &Project) -> Result<(), Silence> {
        let n = self.acknowledged;
        let ids = json!({"registered": self.customer()});
        let (route, body) = match is_update(n) {
            true => (
                "customers",
                json!({"customer_ids": ids, "properties": {update(n): n}, "update_timestamp": START + n}),
            ),
            false => (
                "customers/events",
                json!({"customer_ids": ids, "event_type": "step", "timestamp": START + n, "properties": {"n": n}}),
            ),
        };
        let path = format!("/track/v2/projects/{}/{route}", project.token);
        let (authorization, body) = (project.private(), body.to_string());
        let answer = connection.post(&path, &authorization, &body).await;
        let answer = answer.map_err(Silence::Cut)?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Ok(())
    }

    async fn call(&self, target: &Target) -> Result<(), Silence> {
        let n = self.acknowledged;
        let mut client = TrackingServiceClient::new(target.channel.clone());
        let project_token = target.project.token.clone();
        let customer_ids = [("registered".to_owned(), self.customer())].into();
        let time = Some(prost_types::Timestamp {
            seconds: i64::try_from(START + n).unwrap(),
            nanos: 0,
        });
        let called = match is_update(n) {
            true => {
                let update = UpdateCustomerRequest {
                    project_token,
                    customer_ids,
                    properties: Some(number(update(n), n)),
                    update_timestamp: time,
                };
                let call = authorized(update, &target.project.private());
                client.update_customer(call).await.map(drop)
            }
            false => {
                let event = AddEventRequest {
                    project_token,
                    customer_ids,
                    event_type: "step".to_owned(),
                    properties: Some(number("n".to_owned(), n)),
                    timestamp: time,
                };
                let call = authorized(event, &target.project.private());
                client.add_event(call).await.map(drop)
            }
        };
        called.map_err(|status| Silence::Status(Box::new(status)))
    }

    /// The numbers of the commands that can be read, each as often as it is there.
    pub async fn stored(&self, target: &Target) -> Vec<u64> {
        let ids = json!({"registered": self.customer()});
        let question = json!({"customer_ids": ids, "event_types": ["step"]}).to_string();
        let events = target.project.data(target.address, "events", &question);
        let events = events.send().await;
        if events.status == 404 {
            return Vec::new();
        }
        let question = json!({"customer_ids": ids}).to_string();
        let customer = target.project.data(target.address, "export-one", &question);
        let customer = customer.send().await.json();
        assert_eq!(
            customer["events"],
            events.json()["data"],
            "two ways to read"
        );
        let events = customer["events"].as_array().unwrap().iter();
        let events = events.map(|event| {
            let n = whole(&event["properties"]["n"]);
            assert_eq!(event["timestamp"].as_f64(), Some((START + n) as f64));
            n
        });
        let properties = customer["properties"].as_object().unwrap().iter();
        let updates = properties.map(|(name, value)| {
            let n = whole(value);
            assert_eq!(*name, update(n));
            n
        });
        let mut stored: Vec<u64> = events.chain(updates).collect();
        stored.sort_unstable();
        stored
    }
}

fn is_update(n: u64) -> bool {
    n % UPDATE_EVERY == UPDATE_EVERY - 1
}

fn update(n: u64) -> String {
    format!("update-{n}")
}

/// A whole number, though gRPC sent it as a floating one.
fn whole(value: &Json) -> u64 {
    let text = value.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().unwrap()
}

fn number(name: String, n: u64) -> Object {
    // A `google.protobuf.Struct` of the same bytes; its numbers are floating.
    let kind = Some(prost_types::value::Kind::NumberValue(n as f64));
    let fields = [(name, prost_types::Value { kind })].into();
    let bytes = prost_types::Struct { fields }.encode_to_vec();
    Object::decode(bytes.as_slice()).unwrap()
}
