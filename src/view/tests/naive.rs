//! The contract's rules of customers, IDs, properties and events, written down naively.

use serde_json::{Value, json};

use super::super::Counts;
use super::super::apply::{DESCRIBED_BYTES_MAX, PROPERTIES_MAX};
use super::bench::{Answer, with_sorted_lists};
use super::request::{KINDS, Request, What, received};

const SOFT_IDS_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Naive {
    arrived: u64,
    /// In the order in which they were created. One that merged into another stays, empty.
    customers: Vec<Customer>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
struct Customer {
    project: &'static str,
    ids: Vec<Id>,
    properties: Vec<Property>,
    events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq)]
struct Id {
    kind: &'static str,
    value: String,
    since: u64,
    used: u64,
}

#[derive(Debug)]
struct Property {
    name: String,
    value: Value,
    updated: (i64, u64),
}

#[derive(Clone, Debug)]
struct Event {
    seconds: i64,
    arrived: u64,
    event_type: String,
    properties: Value,
}

fn is_soft(kind: &str) -> bool {
    KINDS.contains(&(kind, true))
}

impl Customer {
    fn has(&self, kind: &str, value: &str) -> bool {
        self.ids
            .iter()
            .any(|id| id.kind == kind && id.value == value)
    }

    /// Whether the last use of soft IDs matters: there are several of one type.
    fn tracks_use(&self) -> bool {
        let mut soft = self.ids.iter().filter(|id| is_soft(id.kind));
        let mut kinds = std::collections::BTreeSet::new();
        soft.any(|id| !kinds.insert(id.kind))
    }

    fn has_another(&self, kind: &str, value: &str) -> bool {
        self.ids
            .iter()
            .any(|id| id.kind == kind && id.value != value)
    }

    fn set(&mut self, new: Property) {
        match self.properties.iter_mut().find(|p| p.name == new.name) {
            None => self.properties.push(new),
            Some(old) if old.updated <= new.updated => *old = new,
            Some(_) => {}
        }
    }

    /// Drops the least recently updated properties.
    fn drop_properties(&mut self) -> u64 {
        let mut dropped = 0;
        while self.properties.len() > PROPERTIES_MAX {
            let of_all = self.properties.iter().enumerate();
            let oldest = of_all.min_by_key(|(_, property)| (property.updated, &property.name));
            let (oldest, _) = oldest.unwrap();
            self.properties.remove(oldest);
            dropped += 1;
        }
        dropped
    }

    fn as_merged(&self) -> Value {
        let mut oldest: Vec<_> = self.ids.iter().collect();
        oldest.sort_by_key(|id| (id.since, id.kind));
        let mut bytes = 0;
        oldest.retain(|id| {
            bytes += id.value.len();
            bytes <= DESCRIBED_BYTES_MAX
        });
        let mut described = json!({});
        for (kind, soft) in KINDS {
            let values: Vec<_> = oldest.iter().filter(|id| id.kind == kind).collect();
            if values.is_empty() {
                continue;
            }
            let values: Vec<_> = values.iter().map(|id| json!(id.value)).collect();
            described[kind] = if soft {
                json!(values)
            } else {
                values[0].clone()
            };
        }
        with_sorted_lists(described)
    }
}

impl Naive {
    pub(crate) fn apply(&mut self, request: &Request) {
        self.arrived += 1;
        self.counts.records += 1;
        if request.ids.is_empty() {
            return;
        }
        match request.what {
            What::Anonymize => {
                if let Some(customer) = self.first_known(request) {
                    customer.ids.clear();
                    customer.properties.clear();
                    self.counts.anonymized += 1;
                }
                return;
            }
            What::Erase => {
                if let Some(customer) = self.first_known(request) {
                    *customer = Customer::default();
                    self.counts.erased += 1;
                }
                return;
            }
            What::Update { .. } | What::Event { .. } => {}
        }
        let customer = self.identify(request);
        self.counts.properties_dropped += self.customers[customer].drop_properties();
        match &request.what {
            What::Update { json, seconds } => {
                let map: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
                for (name, value) in map {
                    let updated = (*seconds, self.arrived);
                    self.customers[customer].set(Property {
                        name,
                        value,
                        updated,
                    });
                }
                self.counts.properties_dropped += self.customers[customer].drop_properties();
            }
            What::Event {
                event_type,
                json,
                seconds,
            } => {
                let event = Event {
                    seconds: *seconds,
                    arrived: self.arrived,
                    event_type: (*event_type).to_owned(),
                    properties: serde_json::from_str(json).unwrap(),
                };
                self.add(customer, event);
            }
            What::Anonymize | What::Erase => {}
        }
    }

    fn first_known(&mut self, request: &Request) -> Option<&mut Customer> {
        let known = request.ids.iter().find_map(|(kind, value)| {
            let mut customers = self.customers.iter();
            customers.position(|c| c.project == request.project && c.has(kind, value))
        });
        self.customers.get_mut(known?)
    }

    /// Removes the events among the first so many arrivals.
    pub(crate) fn expire(&mut self, arrivals: u64) {
        for customer in &mut self.customers {
            customer.events.retain(|event| event.arrived > arrivals);
        }
    }

    fn add(&mut self, customer: usize, event: Event) {
        let events = &mut self.customers[customer].events;
        let is_there = events.iter().any(|other| {
            other.event_type == event.event_type
                && other.seconds == event.seconds
                && other.properties == event.properties
        });
        if is_there && event.event_type != "consent" {
            self.counts.duplicates += 1;
        } else {
            events.push(event);
        }
    }

    fn identify(&mut self, request: &Request) -> usize {
        let ids = &request.ids;
        let of_project = |c: &Customer| c.project == request.project;
        let holders: Vec<Option<usize>> = ids
            .iter()
            .map(|(kind, value)| {
                self.customers
                    .iter()
                    .position(|c| of_project(c) && c.has(kind, value))
            })
            .collect();
        let mut led_to: Vec<usize> = holders.iter().copied().flatten().collect();
        led_to.sort_unstable();
        led_to.dedup();
        let clash = self.clash(ids, &led_to);
        let meant = match clash {
            false => led_to.first().copied(),
            true => holders[0],
        };
        let meant = meant.unwrap_or_else(|| {
            self.customers.push(Customer {
                project: request.project,
                ..Customer::default()
            });
            self.customers.len() - 1
        });
        // A record that changes nothing of a customer counts as a use where that matters.
        let is_settled = holders.iter().all(|holder| *holder == Some(meant)) && !clash;
        if is_settled && !self.customers[meant].tracks_use() {
            return meant;
        }
        if !clash {
            for other in led_to.iter().skip(1) {
                self.merge(meant, *other);
            }
        }
        for (index, (kind, value)) in ids.iter().enumerate() {
            let takes = match holders[index] {
                _ if !clash || is_soft(kind) || index == 0 => true,
                Some(holder) => holder == meant,
                None => !self.customers[meant].has_another(kind, value),
            };
            if takes {
                self.give(meant, kind, value);
            }
        }
        for (kind, soft) in KINDS {
            if soft {
                self.evict(meant, kind);
            }
        }
        meant
    }

    fn clash(&self, ids: &[(&'static str, String)], led_to: &[usize]) -> bool {
        let held = led_to.iter().flat_map(|c| &self.customers[*c].ids);
        let mut hard: Vec<(&str, &str)> = held.map(|id| (id.kind, &*id.value)).collect();
        hard.extend(ids.iter().map(|(kind, value)| (*kind, &**value)));
        hard.retain(|(kind, _)| !is_soft(kind));
        hard.iter().any(|(kind, value)| {
            let mut same_kind = hard.iter().filter(|(other, _)| other == kind);
            same_kind.any(|(_, other)| other != value)
        })
    }

    fn merge(&mut self, into: usize, merged: usize) {
        self.counts.merges += 1;
        let merged = std::mem::take(&mut self.customers[merged]);
        let into = &mut self.customers[into];
        into.events.push(Event {
            seconds: received(self.arrived),
            arrived: self.arrived,
            event_type: "merge".to_owned(),
            properties: merged.as_merged(),
        });
        into.ids.extend(merged.ids);
        into.events.extend(merged.events);
        for property in merged.properties {
            into.set(property);
        }
    }

    fn give(&mut self, to: usize, kind: &'static str, value: &str) {
        let arrived = self.arrived;
        let project = self.customers[to].project;
        for (index, customer) in self.customers.iter_mut().enumerate() {
            if index != to && customer.project == project {
                customer
                    .ids
                    .retain(|id| id.kind != kind || id.value != value);
            }
        }
        let ids = &mut self.customers[to].ids;
        match ids
            .iter_mut()
            .find(|id| id.kind == kind && id.value == value)
        {
            Some(id) => id.used = arrived,
            None => ids.push(Id {
                kind,
                value: value.to_owned(),
                since: arrived,
                used: arrived,
            }),
        }
    }

    fn evict(&mut self, customer: usize, kind: &str) {
        let ids = &mut self.customers[customer].ids;
        while ids.iter().filter(|id| id.kind == kind).count() > SOFT_IDS_MAX {
            let of_kind = ids.iter().filter(|id| id.kind == kind);
            let unused_longest = of_kind.min_by_key(|id| id.used).unwrap().clone();
            ids.retain(|id| *id != unused_longest);
            self.counts.evictions += 1;
        }
    }

    pub(crate) fn ask(&self, project: &str, kind: &str, value: &str) -> Option<Answer> {
        let customer = self
            .customers
            .iter()
            .find(|c| c.project == project && c.has(kind, value))?;
        let ids = customer.ids.iter();
        let mut ids: Vec<_> = ids
            .map(|id| (id.since, id.kind.to_owned(), id.value.clone()))
            .collect();
        ids.sort();
        let properties = customer.properties.iter();
        let properties = properties.map(|p| (p.name.clone(), p.value.clone()));
        let mut events = customer.events.clone();
        events.sort_by_key(|e| (e.seconds, e.arrived, e.properties.to_string()));
        let events = events.into_iter();
        Some(Answer {
            ids,
            properties: Value::Object(properties.collect()),
            events: events
                .map(|e| (e.seconds, e.event_type, e.properties))
                .collect(),
        })
    }
}
