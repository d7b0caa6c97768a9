//! Killed or stopped while many write: what was acknowledged is there, once, and nothing that was never sent.

use std::error::Error as _;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::grpc::pb::{AddEventRequest, UpdateCustomerRequest};
use footfall::model::properties::Object;
use prost::Message as _;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::first_run::Project;
use crate::harness::keep_alive::{Connection, Cut};
use crate::harness::process::{Process, log};
use crate::harness::{START, authorized};

const WRITERS: usize = 200;
/// Of all writers, so many call over gRPC, five of them over one connection; the others have one each.
const GRPC_WRITERS: usize = 40;
const GRPC_WRITERS_PER_CHANNEL: usize = 5;
/// How long is written in all.
const WRITING: Duration = Duration::from_secs(10);
/// Every so many commands one is an update, the others are events.
const UPDATE_EVERY: u64 = 5;

const SETTINGS: [(&str, &str); 2] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_SERVER_DRAIN_WAIT", "300ms"),
];

/// A moment between two and eight seconds from now, and the number that it was drawn from.
fn moment() -> (Duration, u64) {
    let seed = RandomState::new().hash_one("moment");
    (Duration::from_millis(2_000 + seed % 6_000), seed)
}

/// One caller with a customer of its own, who sends one command after the other.
#[derive(Debug)]
struct Writer {
    index: usize,
    /// All commands below are acknowledged.
    acknowledged: u64,
    /// How the command behind them failed, if it was sent and failed.
    silence: Option<Silence>,
}

/// Why a command has no answer.
#[derive(Debug)]
enum Silence {
    NotConnected,
    Cut(Cut),
    Status(Box<Status>),
}

/// Where to write.
#[derive(Clone, Debug)]
struct Target {
    address: SocketAddr,
    project: Project,
    channel: Channel,
}

impl Writer {
    fn customer(&self) -> String {
        format!("writer-{}", self.index)
    }

    /// Sends until `until`, or until a command gets no answer. Begins with the one that got none.
    async fn write(mut self, target: Target, until: Instant) -> Self {
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
    async fn stored(&self, target: &Target) -> Vec<u64> {
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

/// Whether the client knows that the service has not taken the call: the connection was gone before it was sent,
/// or the service named it as beyond the last one that it would answer. The client gives that other codes.
fn was_not_taken(status: &Status) -> bool {
    let source = status.source().and_then(|transport| transport.source());
    let error = source.and_then(|error| error.downcast_ref::<hyper::Error>());
    error.is_some_and(|error| {
        error.is_canceled() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
    })
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

/// A service on a folder, and those who write to it.
struct Scene<'a> {
    dir: &'a Path,
    process: Process,
    writers: Vec<Writer>,
}

impl<'a> Scene<'a> {
    fn new(dir: &'a Path) -> Self {
        let writer = |index| Writer {
            index,
            acknowledged: 0,
            silence: None,
        };
        Self {
            dir,
            process: Process::start_with(dir, &SETTINGS),
            writers: (0..WRITERS).map(writer).collect(),
        }
    }

    fn target(&self) -> Target {
        let address = self.process.address;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        Target {
            address,
            project: Project::read(self.dir),
            channel: channel.connect_lazy(),
        }
    }

    /// Lets everybody write.
    fn write(&mut self, until: Instant) -> JoinSet<Writer> {
        let mut target = self.target();
        let mut writing = JoinSet::new();
        for writer in std::mem::take(&mut self.writers) {
            if writer.index < GRPC_WRITERS && writer.index % GRPC_WRITERS_PER_CHANNEL == 0 {
                target = self.target();
            }
            writing.spawn(writer.write(target.clone(), until));
        }
        writing
    }

    /// Compares what each writer's customer holds with how many of its commands, from the first on, may be there.
    async fn holds(&self, expected: impl Fn(&Writer) -> RangeInclusive<u64>, seed: u64) {
        let target = self.target();
        for writer in &self.writers {
            let stored = writer.stored(&target).await;
            let count = stored.len() as u64;
            assert!(
                expected(writer).contains(&count) && stored.iter().copied().eq(0..count),
                "seed {seed}: {writer:?} has {stored:?}; {}",
                log(self.dir)
            );
        }
    }

    /// Everybody repeats what got no answer and goes on until `until`: then all is there.
    async fn goes_on(mut self, until: Instant, seed: u64) {
        self.writers = self.write(until).join_all().await;
        for writer in &self.writers {
            assert!(writer.silence.is_none(), "seed {seed}: {writer:?}");
        }
        self.holds(|writer| writer.acknowledged..=writer.acknowledged, seed)
            .await;
        let written: u64 = self.writers.iter().map(|writer| writer.acknowledged).sum();
        println!("seed {seed}: {written} commands");
        assert!(self.process.terminate().success(), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let (moment, seed) = moment();
    let mut scene = Scene::new(dir.path());
    let begin = Instant::now();
    let writing = scene.write(begin + WRITING);

    // The moment is drawn, nothing is waited for.
    tokio::time::sleep_until(begin + moment).await;
    scene.process.kill();
    let writers = writing.join_all().await;

    let process = Process::start_with(dir.path(), &SETTINGS);
    let scene = Scene {
        dir: dir.path(),
        process,
        writers,
    };
    // What got no answer may be there or not.
    let either = |writer: &Writer| writer.acknowledged..=writer.acknowledged + 1;
    scene.holds(either, seed).await;
    scene.goes_on(Instant::now() + WRITING - moment, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_keeps_exactly_what_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (moment, seed) = moment();
    let mut scene = Scene::new(dir.path());
    let begin = Instant::now();
    let writing = scene.write(begin + WRITING);

    // The moment is drawn, nothing is waited for.
    tokio::time::sleep_until(begin + moment).await;
    let stopping = scene.process;
    let stopped = tokio::task::spawn_blocking(move || stopping.terminate());
    let writers = writing.join_all().await;
    let status = stopped.await.unwrap();
    assert_eq!(status.code(), Some(0), "seed {seed}: {}", log(dir.path()));

    // A server may close a kept connection while its caller begins the next request: that request was never
    // read, and no byte answers it. HTTP/2 says which calls it has not taken, so a client knows of each call
    // without an answer that it was not carried out.
    for writer in &writers {
        let never_read = match &writer.silence {
            Some(Silence::NotConnected) => true,
            Some(Silence::Cut(cut)) => cut.answered.is_empty(),
            Some(Silence::Status(status)) => {
                status.code() == Code::Unavailable || was_not_taken(status)
            }
            None => false,
        };
        assert!(never_read, "seed {seed}: {writer:?}");
    }

    let process = Process::start_with(dir.path(), &SETTINGS);
    let scene = Scene {
        dir: dir.path(),
        process,
        writers,
    };
    // Were there more, somebody would not know of it: a request was carried out and its answer lost.
    let answered = |writer: &Writer| writer.acknowledged..=writer.acknowledged;
    scene.holds(answered, seed).await;
    scene.goes_on(Instant::now() + WRITING - moment, seed).await;
}
