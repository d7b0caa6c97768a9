//! What a writer sends about one customer: command after command, each with a time of its own, so that sending one
//! again changes nothing.

use std::iter::successors;
use std::ops::{Range, RangeInclusive};

use serde_json::{Value as Json, json};

use crate::harness::START;

/// How many commands a customer gets before its writer goes on with the next one.
pub const PER_CUSTOMER: u64 = 400;
/// Every so many commands one is an update, the others are events.
const UPDATE_EVERY: u64 = 5;
/// Every so many requests one is a batch, if no batch passes over it.
const BATCH_EVERY: u64 = 7;
/// How many different lengths of batches there are, from two on.
const BATCH_LENGTHS: u64 = 11;

/// What a command asks for.
pub enum Asks {
    Event,
    Update,
}

/// The commands that one request carries, the first of which is `first`. Who sends them again sends the same.
pub fn request(first: u64) -> Range<u64> {
    let count = match first % BATCH_EVERY {
        1 => 2 + first % BATCH_LENGTHS,
        _ => 1,
    };
    first..(first + count).min(PER_CUSTOMER)
}

/// The counts of commands, over all customers of a writer, at which a request ends.
pub fn ends(within: RangeInclusive<u64>) -> impl Iterator<Item = u64> {
    let (start, last) = within.into_inner();
    let first = start / PER_CUSTOMER * PER_CUSTOMER;
    let next = |end: &u64| Some(end - end % PER_CUSTOMER + request(end % PER_CUSTOMER).end);
    let ends = successors(Some(first), next);
    ends.skip_while(move |end| *end < start)
        .take_while(move |end| *end <= last)
}

pub fn asks(n: u64) -> Asks {
    match n % UPDATE_EVERY == UPDATE_EVERY - 1 {
        true => Asks::Update,
        false => Asks::Event,
    }
}

/// The IDs that a command names: first each of the two makes a customer, then the third command merges them.
pub fn kinds(n: u64) -> &'static [&'static str] {
    match n % 3 {
        0 => &["cookie"],
        1 => &["registered"],
        _ => &["registered", "cookie"],
    }
}

/// When a command says that it happened, in seconds. Updates do not come in the order of their times.
pub fn time(n: u64) -> u64 {
    match asks(n) {
        Asks::Event => START + n,
        Asks::Update => START + (n ^ 16),
    }
}

/// The properties of a command. Each update sets one that no other sets, and one that all set.
pub fn properties(n: u64) -> Vec<(String, u64)> {
    match asks(n) {
        Asks::Event => vec![("n".to_owned(), n)],
        Asks::Update => vec![(update(n), n), ("latest".to_owned(), n)],
    }
}

fn update(n: u64) -> String {
    format!("update-{n}")
}

/// What the customer is once the first `count` commands are kept.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// The numbers of the events, by time.
    pub events: Vec<u64>,
    /// Names and values, sorted.
    pub properties: Vec<(String, u64)>,
    /// How many customers it was before.
    pub merges: usize,
}

impl State {
    pub fn after(count: u64) -> Self {
        let is_event = |n: &u64| matches!(asks(*n), Asks::Event);
        let (events, updates): (Vec<u64>, Vec<u64>) = (0..count).partition(is_event);
        let mut properties: Vec<_> = updates.iter().map(|n| (update(*n), *n)).collect();
        let latest = updates.into_iter().max_by_key(|n| time(*n));
        properties.extend(latest.map(|n| ("latest".to_owned(), n)));
        properties.sort();
        let merges = usize::from(count > 2);
        Self {
            events,
            properties,
            merges,
        }
    }

    /// Reads what `export-one` answers.
    pub fn read(customer: &Json) -> Self {
        let mut state = Self::default();
        for event in customer["events"].as_array().unwrap() {
            match event["type"].as_str().unwrap() {
                "merge" => state.merges += 1,
                _ => {
                    let n = number(event);
                    let properties = event["properties"].as_object().unwrap();
                    assert_eq!((properties.len(), &event["type"]), (1, &json!("step")));
                    assert_eq!(event["timestamp"].as_f64(), Some(time(n) as f64));
                    state.events.push(n);
                }
            }
        }
        let properties = customer["properties"].as_object().unwrap().iter();
        let properties = properties.map(|(name, value)| (name.clone(), whole(value)));
        state.properties.extend(properties);
        state.properties.sort();
        state
    }

    /// What two customers hold together.
    pub fn and(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        self.events.sort_unstable();
        self.properties.extend(other.properties);
        self.properties.sort();
        self.merges += other.merges;
        self
    }
}

/// The number of an event.
pub fn number(event: &Json) -> u64 {
    whole(&event["properties"]["n"])
}

/// A whole number, though gRPC sent it as a floating one.
fn whole(value: &Json) -> u64 {
    let text = value.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().unwrap()
}
