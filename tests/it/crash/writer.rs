//! One of the many who write.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

use super::commands::{Asks, PER_CUSTOMER, State, asks, ends, request};
use super::{rest, rpc};
use crate::harness::first_run::Project;
use crate::harness::keep_alive::{Connection, Cut};

/// The first so many writers call over gRPC; the others have a connection each.
pub const GRPC_WRITERS: usize = 40;
/// Every so many requests a writer reads what it wrote last.
const READ_EVERY: u64 = 16;
/// How long the service may ask to come back later.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many of the newest events.
const READ: u32 = 3;

/// One caller with customers of its own, one after the other, who sends one request after the other.
#[derive(Debug)]
pub struct Writer {
    pub index: usize,
    written: Arc<AtomicU64>,
    /// How many commands behind them were sent and have no answer.
    pub open: u64,
    /// How the last request failed, if it did.
    pub silence: Option<Silence>,
    requests: u64,
    /// How often the service asked to come back later.
    pub delays: u64,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Silence {
    NotConnected,
    Cut(Cut),
    Status(Box<Status>),
    /// The service cannot take it now: whether it was kept is not told.
    Later,
}

/// Where to write.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub project: Project,
    pub channel: Channel,
}

impl Writer {
    pub fn new(index: usize) -> Self {
        Self {
            index,
            written: Arc::default(),
            open: 0,
            silence: None,
            requests: 0,
            delays: 0,
        }
    }

    /// How many commands were acknowledged in all.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Shows [`Writer::written`] while it writes.
    pub fn counter(&self) -> Arc<AtomicU64> {
        self.written.clone()
    }

    /// The customer that it writes about; those before have all their commands.
    pub fn customer(&self) -> u64 {
        self.written() / PER_CUSTOMER
    }

    /// All commands about the present customer below this one are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.written() % PER_CUSTOMER
    }

    /// How many of its commands are there: the first ones, all of a request or nothing, at least `from` and at most
    /// those that it sent.
    pub async fn kept(&self, from: u64, target: &Target) -> u64 {
        let sent = from.max(self.written() + self.open);
        let mut stored = Vec::new();
        for customer in from / PER_CUSTOMER..=sent / PER_CUSTOMER {
            stored.push((customer, self.stored(customer, target).await));
        }
        let is_kept = |end: &u64| {
            let of = |customer: u64| end.saturating_sub(customer * PER_CUSTOMER);
            let after = |customer| State::after(of(customer).min(PER_CUSTOMER));
            stored.iter().all(|(n, state)| *state == after(*n))
        };
        let kept = ends(from..=sent).find(is_kept);
        kept.unwrap_or_else(|| panic!("{self:?} should have at least {from} and has {stored:?}"))
    }

    /// Goes on as one who does not know that the last request that was kept is there, unless it is among the first
    /// `answered` commands.
    pub fn go_back(&mut self, kept: u64, answered: u64) {
        let known = ends(answered..=kept.saturating_sub(1)).last();
        let known = known.unwrap_or(kept);
        self.written.store(known, Ordering::Release);
        self.open = kept - known;
    }

    /// The value of both IDs of a customer.
    pub fn name(&self, customer: u64) -> String {
        format!("writer-{}-{customer}", self.index)
    }

    /// All customers that it has written about, as [`rpc::everybody`] tells them.
    pub fn customers(&self) -> Vec<String> {
        let mut customers = Vec::new();
        for customer in 0..=self.customer() {
            let name = self.name(customer);
            let (registered, cookie) = (format!("registered={name}"), format!("cookie={name}"));
            match self.acknowledged() {
                _ if customer < self.customer() => customers.push(format!("{registered} {cookie}")),
                0 => {}
                1 => customers.push(cookie),
                2 => customers.extend([registered, cookie]),
                _ => customers.push(format!("{registered} {cookie}")),
            }
        }
        customers
    }

    /// Sends until `until`, or until a request gets no answer. Begins with the one that got none.
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
        // What was begun is brought to its end, though the service may ask for patience.
        while Instant::now() < until || self.open > 0 {
            assert!(Instant::now() < until + PATIENCE, "{self:?}");
            match self.next(connection.as_mut(), &target).await {
                Ok(()) => {}
                Err(Silence::Later) => self.delays += 1,
                Err(silence) => {
                    self.silence = Some(silence);
                    break;
                }
            }
        }
        self
    }

    /// The next request, and what it tells.
    async fn next(
        &mut self,
        mut connection: Option<&mut Connection>,
        target: &Target,
    ) -> Result<(), Silence> {
        let (name, first) = (self.name(self.customer()), self.acknowledged());
        self.open = request(first).end - first;
        match &mut connection {
            Some(connection) => rest::send(connection, &target.project, &name, first).await?,
            None => rpc::send(target, &name, first).await?,
        }
        let acknowledged = first + self.open;
        self.written.fetch_add(self.open, Ordering::Release);
        self.open = 0;
        self.requests += 1;
        // Before, its IDs lead to two customers.
        if self.requests.is_multiple_of(READ_EVERY) && acknowledged > 2 {
            let newest = match connection {
                Some(connection) => {
                    rest::newest(connection, &target.project, &name, READ as usize).await?
                }
                None => rpc::newest(target, &name, READ).await?,
            };
            let written = (0..acknowledged).rev();
            let expected = written.filter(|n| matches!(asks(*n), Asks::Event));
            let expected: Vec<u64> = expected.take(READ as usize).collect();
            assert_eq!(newest, expected, "{self:?}");
        }
        Ok(())
    }

    /// What can be read of a customer.
    pub async fn stored(&self, customer: u64, target: &Target) -> State {
        let name = self.name(customer);
        let mut found: Vec<Json> = Vec::new();
        for kind in ["registered", "cookie"] {
            let ids = json!({ kind: name });
            let question = json!({ "customer_ids": ids }).to_string();
            let answer = target.project.data(target.address, "export-one", &question);
            let answer = answer.send().await;
            if answer.status == 404 {
                continue;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            let answer = answer.json();
            let question = json!({"customer_ids": ids, "event_types": ["step", "merge"]});
            let events = target
                .project
                .data(target.address, "events", &question.to_string());
            let events = events.send().await;
            assert_eq!(events.status, 200, "{events:?}");
            let events = events.json();
            assert_eq!(answer["events"], events["data"], "two ways to read");
            if !found.contains(&answer) {
                found.push(answer);
            }
        }
        let states = found.iter().map(State::read);
        states.fold(State::default(), State::and)
    }
}
