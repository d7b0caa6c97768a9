//! Questions about customers. Each sees everything that was acknowledged before it was asked.

use std::collections::BTreeMap;

use super::{Access, Error, Tracker};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::project::Permission;
use crate::model::properties::{Properties, Value};
use crate::view::keys::HeldId;
use crate::view::read::{Found, Snapshot};
use crate::view::{self, Events, Order, StoredEvent};

/// Most events in one answer.
pub const EVENTS_MAX: u32 = 10_000;
/// Most bytes of events in one answer.
pub const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most event types in one question.
pub const TYPES_MAX: usize = 255;
/// Most attributes in one question.
pub const ATTRIBUTES_MAX: usize = 255;

/// A customer as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerState {
    /// The IDs that it has, in the order of the project's types.
    pub ids: Vec<IdValues>,
    /// The properties.
    pub properties: Properties,
    /// All events, oldest first.
    pub events: Vec<StoredEvent>,
}

/// The values of one type of ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdValues {
    /// The type.
    pub kind: String,
    /// One value of a hard type, many of a soft one, oldest first.
    pub values: Vec<String>,
    /// Whether the type is a soft one.
    pub soft: bool,
}

/// Something to read of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A property's name.
    Property(String),
    /// An ID's type.
    Id(String),
}

/// Which events to list.
#[derive(Debug)]
pub struct ListEvents<'a> {
    /// Type to value.
    pub customer_ids: &'a BTreeMap<String, String>,
    /// The types to read.
    pub event_types: Vec<String>,
    /// By time.
    pub order: Order,
    /// The most events to answer; absent: [`EVENTS_MAX`].
    pub limit: Option<u64>,
    /// How many events to pass over first.
    pub skip: u64,
}

impl Tracker {
    /// Reads a customer with all events.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], [`Error::TooManyEvents`], and what breaks a rule.
    pub async fn customer(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
    ) -> Result<CustomerState, Error> {
        access.allow(Permission::GetCustomers)?;
        access.allow(Permission::GetEvents)?;
        let kinds: Vec<String> = kinds(access);
        self.read(access, customer_ids, move |snapshot, found| {
            let everything = Events {
                types: None,
                order: Order::Ascending,
                skip: 0,
                limit: usize::MAX,
                bytes_max: READ_BYTES_MAX,
            };
            let page = snapshot.events(found, &everything)?;
            if page.cut {
                return Err(Error::TooManyEvents);
            }
            Ok(CustomerState {
                ids: id_values(&kinds, &found.ids()),
                properties: snapshot.properties(found)?,
                events: page.events,
            })
        })
        .await
    }

    /// Reads chosen attributes of a customer, in their order. An ID's type that the project does not list is an
    /// error of that attribute alone.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], and what breaks a rule.
    pub async fn attributes(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
        attributes: Vec<Attribute>,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        access.allow(Permission::GetCustomers)?;
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(Error::TooManyAttributes(attributes.len()));
        }
        let project = access.project.clone();
        self.read(access, customer_ids, move |snapshot, found| {
            let ids = found.ids();
            let value = |attribute: &Attribute| match attribute {
                Attribute::Property(name) => Ok(Ok(snapshot.property(found, name)?)),
                Attribute::Id(kind) => Ok(match project.ids.check_type(kind) {
                    Ok(()) => Ok(id_value(kind, &ids)),
                    Err(error) => Err(error.into()),
                }),
            };
            attributes.iter().map(value).collect()
        })
        .await
    }

    /// Reads a page of a customer's events.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], and what breaks a rule.
    pub async fn events(
        &self,
        access: &Access,
        question: ListEvents<'_>,
    ) -> Result<Vec<StoredEvent>, Error> {
        access.allow(Permission::GetEvents)?;
        let named = question.event_types.len();
        if named == 0 || named > TYPES_MAX {
            return Err(Error::EventTypes(named));
        }
        let limit = match question.limit {
            None => EVENTS_MAX,
            Some(limit) => match u32::try_from(limit) {
                Ok(limit @ 1..=EVENTS_MAX) => limit,
                Ok(_) | Err(_) => return Err(Error::Limit(limit)),
            },
        };
        let types = event_types(&question.event_types)?;
        let (order, skip) = (question.order, question.skip);
        self.read(access, question.customer_ids, move |snapshot, found| {
            let wanted = Events {
                types: Some(&types),
                order,
                skip: usize::try_from(skip).unwrap_or(usize::MAX),
                limit: limit as usize,
                bytes_max: READ_BYTES_MAX,
            };
            Ok(snapshot.events(found, &wanted)?.events)
        })
        .await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
        question: impl FnOnce(&Snapshot, &Found) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ids = private_ids(access, customer_ids)?;
        let token = access.project.token.clone();
        self.caught_up().await?;
        let view = self.view.clone();
        let answer = move || {
            let snapshot = view.snapshot();
            let found = snapshot.find(&token, &ids)?;
            question(&snapshot, &found.ok_or(Error::UnknownCustomer)?)
        };
        blocking(answer).await
    }

    /// Waits until everything can be read that was acknowledged up to now.
    pub(super) async fn caught_up(&self) -> Result<(), Error> {
        let (last, timeout) = (self.log.last(), self.options.read_timeout);
        Ok(self.view.caught_up(last, timeout).await?)
    }
}

/// Reads where it may block on the disk.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let answer = tokio::task::spawn_blocking(read).await;
    answer.unwrap_or_else(|_| Err(Error::View(view::Error::Stopped("a read panicked".into()))))
}

/// The event types of a question.
pub(super) fn event_types(texts: &[String]) -> Result<Vec<EventType>, Error> {
    let types = texts.iter().map(|text| EventType::parse(text));
    Ok(types.collect::<Result<_, _>>()?)
}

/// The IDs of a question.
pub(super) fn private_ids(
    access: &Access,
    ids: &BTreeMap<String, String>,
) -> Result<CustomerIds, Error> {
    let ids = ids
        .iter()
        .map(|(kind, value)| (kind.as_str(), value.as_str()));
    let ids = access.project.ids.parse(ids)?;
    ids.some().map_err(|_| Error::NoCustomerId)
}

pub(super) fn kinds(access: &Access) -> Vec<String> {
    let types = access.project.ids.types();
    types.map(|(kind, _)| kind.to_owned()).collect()
}

pub(super) fn id_values(kinds: &[String], held: &[HeldId]) -> Vec<IdValues> {
    let of_kind = |kind: &String| {
        let mut ids = held.iter().filter(|id| id.kind == *kind).peekable();
        let soft = ids.peek()?.soft;
        Some(IdValues {
            kind: kind.clone(),
            values: ids.map(|id| id.value.clone()).collect(),
            soft,
        })
    };
    kinds.iter().filter_map(of_kind).collect()
}

fn id_value(kind: &str, held: &[HeldId]) -> Value {
    let mut ids = held.iter().filter(|id| id.kind == kind).peekable();
    match ids.peek() {
        None => Value::null(),
        Some(id) if !id.soft => Value::text(&id.value),
        Some(_) => Value::texts(ids.map(|id| id.value.as_str())),
    }
}
