//! One who sends batches so large that the log begins segments, and the engine writes tables, all the time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value as Json, json};

use super::forged;
use crate::harness::START;
use crate::harness::dice::Dice;
use crate::harness::first_run::Project;
use crate::harness::keep_alive::Connection;

/// Commands in a batch; every other one is an update.
const COMMANDS: u64 = 50;
/// Batches about one customer.
const BATCHES_PER_CUSTOMER: u64 = 8;

/// One caller with customers of its own, one after the other.
pub struct Flood {
    index: usize,
    /// Bound of the text that a command carries.
    text_bytes_max: u64,
    /// So many batches were acknowledged.
    acknowledged: Arc<AtomicU64>,
    /// So many were found on a disk.
    kept: u64,
}

impl Flood {
    pub fn new(index: usize, text_bytes_max: u64) -> Self {
        Self {
            index,
            text_bytes_max,
            acknowledged: Arc::default(),
            kept: 0,
        }
    }

    /// How many batches have to be there.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire).max(self.kept)
    }

    /// Another handle of the same caller.
    pub fn share(&self) -> Self {
        let acknowledged = self.acknowledged.clone();
        Self {
            acknowledged,
            ..*self
        }
    }

    /// Sends batches until the service is gone.
    pub async fn write(self, address: SocketAddr, project: Project) {
        let path = format!("/track/v2/projects/{}/batch", project.token);
        let key = project.private();
        let Ok(mut connection) = Connection::open(address).await else {
            return;
        };
        loop {
            let body = self.batch(self.acknowledged.load(Ordering::Acquire));
            let Ok(answer) = connection.post(&path, &key, &body).await else {
                return;
            };
            match answer.status {
                200 => assert!(!answer.body.contains("false"), "{}", answer.body),
                // It is to be sent again later.
                503 => continue,
                _ => panic!("{answer:?}"),
            }
            self.acknowledged.fetch_add(1, Ordering::Release);
        }
    }

    /// Checks that what is there are the first batches, `from` of them at least, and at most those that were sent;
    /// and that a customer who has all of them has them whole. Goes on from there.
    pub async fn holds(&mut self, from: u64, address: SocketAddr, project: &Project) {
        let sent = self.acknowledged() + 1;
        let first = from / BATCHES_PER_CUSTOMER;
        let mut kept = first * BATCHES_PER_CUSTOMER;
        for customer in first..=sent / BATCHES_PER_CUSTOMER {
            let stored = self.stored(customer, address, project).await;
            let is_after = |count: &u64| self.after(customer, *count) == stored;
            let count = (0..=BATCHES_PER_CUSTOMER).find(is_after);
            let name = self.name(customer);
            let count = count.unwrap_or_else(|| panic!("{name} has no whole batches: {stored:?}"));
            let before = customer * BATCHES_PER_CUSTOMER;
            assert!(
                count == 0 || kept == before,
                "{name} has {count}, of {kept}"
            );
            kept += count;
        }
        assert!(
            (from..=sent).contains(&kept),
            "{kept} batches, not {from} to {sent}"
        );
        self.kept = kept;
        // Who was cut off does not know that its last batch is there, and sends it again.
        let known = kept.saturating_sub(1).max(from);
        self.acknowledged.store(known, Ordering::Release);
    }

    /// Checks that everything is there from the beginning on.
    pub async fn holds_all(&self, address: SocketAddr, project: &Project) {
        for customer in 0..self.kept.div_ceil(BATCHES_PER_CUSTOMER) {
            let count = self.kept - customer * BATCHES_PER_CUSTOMER;
            let expected = self.after(customer, count.min(BATCHES_PER_CUSTOMER));
            let stored = self.stored(customer, address, project).await;
            assert!(stored == expected, "{}: {stored:?}", self.name(customer));
        }
    }

    /// The customers that it has written about, as an export tells them.
    pub fn customers(&self) -> impl Iterator<Item = String> {
        let customers = 0..self.kept.div_ceil(BATCHES_PER_CUSTOMER);
        customers.map(|customer| format!("cookie={}", self.name(customer)))
    }

    fn name(&self, customer: u64) -> String {
        format!("flood-{}-{customer}", self.index)
    }

    /// The commands of a batch, by their numbers among those about the same customer.
    fn batch(&self, batch: u64) -> String {
        let customer = batch / BATCHES_PER_CUSTOMER;
        let ids = json!({"cookie": self.name(customer)});
        let first = batch % BATCHES_PER_CUSTOMER * COMMANDS;
        let command = |n| {
            let text = self.text(customer, n);
            match n % 2 {
                0 => json!({"name": "customers", "data": {"customer_ids": ids,
                    "properties": {property(n): text}, "update_timestamp": START + n}}),
                _ => json!({"name": "customers/events", "data": {"customer_ids": ids,
                    "event_type": "flood", "properties": {"text": text}, "timestamp": START + n}}),
            }
        };
        let commands: Vec<Json> = (first..first + COMMANDS).map(command).collect();
        json!({"commands": commands}).to_string()
    }

    /// What a customer is after so many batches: its properties, and its events with their times.
    fn after(&self, customer: u64, batches: u64) -> (Map<String, Json>, Vec<(f64, Json)>) {
        let (mut properties, mut events) = (Map::new(), Vec::new());
        for n in 0..batches * COMMANDS {
            let text = self.text(customer, n);
            match n % 2 {
                0 => drop(properties.insert(property(n), text.into())),
                _ => events.push(((START + n) as f64, json!({ "text": text }))),
            }
        }
        (properties, events)
    }

    async fn stored(
        &self,
        customer: u64,
        address: SocketAddr,
        project: &Project,
    ) -> (Map<String, Json>, Vec<(f64, Json)>) {
        let question = json!({"customer_ids": {"cookie": self.name(customer)}}).to_string();
        let answer = project.data(address, "export-one", &question).send().await;
        if answer.status == 404 {
            return Default::default();
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let events = answer["events"].as_array().unwrap().iter();
        let event = |event: &Json| {
            let time = event["timestamp"].as_f64().unwrap();
            (time, event["properties"].clone())
        };
        let properties = answer["properties"].as_object().unwrap().clone();
        (properties, events.map(event).collect())
    }

    /// The same for the same command, and nothing that gets smaller.
    fn text(&self, customer: u64, n: u64) -> String {
        let mut dice = Dice::of(n << 32 | customer << 8 | self.index as u64);
        let words = dice.below(self.text_bytes_max / 16 + 1);
        let words = (0..words).map(|_| format!("{:016x}", dice.draw()));
        words.chain([forged::frame(n)]).collect()
    }
}

/// Which property an update sets. Every batch sets all of them.
fn property(n: u64) -> String {
    format!("text-{}", n % COMMANDS)
}
