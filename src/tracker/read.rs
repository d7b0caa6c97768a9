//! Queries about customers. Each sees everything that was acknowledged before it was sent.

use std::collections::BTreeMap;

use super::page_token::PageToken;
use super::permits::{Held, blocking};
use super::response_writer::{Page, ResponseWriter, Writing};
use super::{Access, Error, Tracker};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::project::Permission;
use crate::model::properties::{self, Value};
use crate::model::quote::quoted;
use crate::view::read::{Found, Snapshot};
use crate::view::values::HeldId;
use crate::view::{Events, Order, ROWS_MAX};

/// Most events in one page.
pub const EVENTS_MAX: u32 = 10_000;
/// Most event types in one query.
pub const TYPES_MAX: usize = 255;
/// Most attributes in one query.
pub const ATTRIBUTES_MAX: usize = 255;

/// Most bytes that an attribute takes in an answer beside its value.
const ATTRIBUTE_BYTES: usize = 16;
/// Bytes that a failed attribute takes beside its text.
const FAILED_BYTES: usize = 256;

const CUSTOMER_TOO_LARGE: &str = "the customer takes more than one answer holds: set 'paged' to read it in pages, or list its events and ask for its attributes alone";
/// What to do where [`Error::TooLarge`] is about attributes.
pub const ATTRIBUTES_TOO_LARGE: &str =
    "the attributes take more than one answer holds: ask for fewer of them at once";
const EVENT_TOO_LARGE: &str = "one event takes more than an answer holds";

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

/// Which customer to read with everything.
#[derive(Debug)]
pub struct GetCustomer<'a> {
    /// Type to value.
    pub customer_ids: &'a BTreeMap<String, String>,
    /// Whether the answer may be a page. Otherwise it is everything or an error.
    pub paged: bool,
    /// Where the last page ended; empty for the first one.
    pub page_token: &'a str,
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
    /// How many events to skip first.
    pub skip: u64,
    /// Where the last page ended, in place of `skip`; empty for the first one.
    pub page_token: &'a str,
}

impl Tracker {
    /// Reads a customer with all properties and events: IDs, then properties by name, then events, oldest first. Each
    /// page has the IDs.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], [`Error::TooLarge`], and what breaks a rule.
    pub async fn customer<A: ResponseWriter>(
        &self,
        access: &Access,
        request: GetCustomer<'_>,
        answer: A,
    ) -> Result<(Page<A>, Held), Error> {
        access.allow(Permission::GetCustomers)?;
        access.allow(Permission::GetEvents)?;
        let start = match request.page_token {
            "" => PageToken::Property(String::new()),
            text => PageToken::decode(access.kept_as(), text)?,
        };
        let paged = request.paged || !request.page_token.is_empty();
        let kinds = kinds(access);
        let token = access.kept_as().to_owned();
        self.read(access, request.customer_ids, move |snapshot, found| {
            let mut writing = Writing { answer, count: 0 };
            let has_ids = writing.answer.ids(id_values(&kinds, &found.ids()));
            let rest = match has_ids {
                true => writing.customer(snapshot, found, start)?,
                false => return Err(Error::TooLarge(CUSTOMER_TOO_LARGE)),
            };
            match rest {
                Some(_) if !paged || writing.count == 0 => Err(Error::TooLarge(CUSTOMER_TOO_LARGE)),
                rest => Ok(writing.end(rest.map(|rest| rest.encode(&token)), false)),
            }
        })
        .await
    }

    /// Reads chosen attributes of a customer, in their order. An ID's type that the project does not list is an
    /// error of that attribute alone.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], [`Error::TooLarge`], and what breaks a rule.
    pub async fn attributes(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
        attributes: Vec<Attribute>,
    ) -> Result<(Vec<Result<Value, Error>>, Held), Error> {
        access.allow(Permission::GetCustomers)?;
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(Error::TooManyAttributes(attributes.len()));
        }
        let project = access.project.clone();
        let bytes_max = self.options.answer_bytes_max;
        self.read(access, customer_ids, move |snapshot, found| {
            let ids = found.ids();
            let value = |attribute: &Attribute| -> Result<Result<Value, Error>, Error> {
                Ok(match attribute {
                    Attribute::Property(name) => match properties::check_name(name) {
                        Ok(()) => Ok(snapshot.property(found, name)?),
                        Err(error) => Err(error.into()),
                    },
                    Attribute::Id(kind) => match project.ids.check_type(kind) {
                        Ok(()) => Ok(id_value(kind, &ids)),
                        Err(error) => Err(error.into()),
                    },
                })
            };
            let mut bytes = 0;
            let mut results = Vec::with_capacity(attributes.len());
            for attribute in &attributes {
                let result = value(attribute)?;
                bytes += match &result {
                    Ok(value) => ATTRIBUTE_BYTES + value.bytes().len(),
                    // Once as the message, once in the details.
                    Err(error) => FAILED_BYTES + 2 * error.to_string().len(),
                };
                if bytes > bytes_max {
                    return Err(Error::TooLarge(ATTRIBUTES_TOO_LARGE));
                }
                results.push(result);
            }
            Ok((results, bytes))
        })
        .await
    }

    /// Reads a page of a customer's events.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], and what breaks a rule.
    pub async fn events<A: ResponseWriter>(
        &self,
        access: &Access,
        request: ListEvents<'_>,
        answer: A,
    ) -> Result<(Page<A>, Held), Error> {
        access.allow(Permission::GetEvents)?;
        let named = request.event_types.len();
        if named == 0 || named > TYPES_MAX {
            return Err(Error::EventTypes(named));
        }
        let limit = match request.limit {
            None => EVENTS_MAX,
            Some(limit) => match u32::try_from(limit) {
                Ok(limit @ 1..=EVENTS_MAX) => limit,
                Ok(_) | Err(_) => return Err(Error::Limit(limit)),
            },
        };
        let (after, skip) = match request.page_token {
            "" => (None, request.skip),
            text => match PageToken::decode(access.kept_as(), text)? {
                PageToken::Events { after, skip } => (after, skip),
                PageToken::Property(_) => return Err(Error::PageToken(quoted(text))),
            },
        };
        let types = event_types(&request.event_types)?;
        let order = request.order;
        let token = access.kept_as().to_owned();
        self.read(access, request.customer_ids, move |snapshot, found| {
            let wanted = Events {
                types: Some(&types),
                order,
                after,
                skip,
                limit: limit as usize,
                rows_max: ROWS_MAX,
            };
            let mut writing = Writing { answer, count: 0 };
            let rest = snapshot.each_event(found, &wanted, |event| writing.event(event))?;
            let is_stuck = rest.is_some_and(|rest| (rest.after, rest.skip) == (after, skip));
            if is_stuck && writing.count == 0 {
                return Err(Error::TooLarge(EVENT_TOO_LARGE));
            }
            let limited = rest.is_some_and(|rest| rest.limited);
            let next = rest.map(|rest| PageToken::from(rest).encode(&token));
            Ok(writing.end(next, limited))
        })
        .await
    }

    /// Answers a query, which also says how many bytes its answer takes: they are held until the answer is taken.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
        request: impl FnOnce(&Snapshot, &Found) -> Result<(T, usize), Error> + Send + 'static,
    ) -> Result<(T, Held), Error> {
        let ids = private_ids(access, customer_ids)?;
        self.ask(access, ids, |snapshot, token, ids| {
            let found = snapshot.find(token, ids)?;
            request(snapshot, &found.ok_or(Error::UnknownCustomer)?)
        })
        .await
    }

    /// Answers a query about IDs, which may name any customers or none. As [`Tracker::read`].
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        access: &Access,
        ids: CustomerIds,
        request: impl FnOnce(&Snapshot, &str, &CustomerIds) -> Result<(T, usize), Error>
        + Send
        + 'static,
    ) -> Result<(T, Held), Error> {
        let token = access.kept_as().to_owned();
        self.caught_up(access).await?;
        let view = self.view.clone();
        let permit = self.permits.take(access).await?;
        let answer = move |cancel| request(&view.snapshot().until(cancel), &token, &ids);
        let ((answer, bytes), permit) = blocking(permit, answer).await?;
        let held = self.permits.hold(access, bytes).await?;
        // No earlier, or answers that wait for space would pile up.
        drop(permit);
        Ok((answer, held))
    }

    /// Waits until everything of the project acknowledged so far can be read.
    pub(super) async fn caught_up(&self, access: &Access) -> Result<(), Error> {
        let timeout = self.options.read_timeout;
        Ok(self.view.shows(&access.progress, timeout).await?)
    }
}

/// The event types of a query.
pub(super) fn event_types(texts: &[String]) -> Result<Vec<EventType>, Error> {
    let types = texts.iter().map(|text| EventType::parse(text));
    Ok(types.collect::<Result<_, _>>()?)
}

/// The IDs of a query.
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
