//! Questions about customers.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::error::Error;
use super::fields::{Fields, object_text, read, refused, text, wrong_type};
use crate::grpc::pb;
use crate::model::quote::quoted;
use crate::tracker::{self, ATTRIBUTES_MAX, TYPES_MAX};

/// Most customers that are anonymised by one request.
pub(super) const BULK_MAX: usize = 1_000;

/// Where an attribute's result comes from.
#[derive(Debug)]
pub(in super::super) enum AttributePlan {
    /// From the service: the next of its results.
    Read,
    /// From here: it is of no type that there is.
    Failed(String),
}

/// The question for one customer.
pub(in super::super) fn customer(
    fields: &Fields<'_>,
    token: &str,
) -> Result<pb::GetCustomerRequest, Error> {
    let paged = match fields.paged {
        None => false,
        Some(raw) => match raw.get() {
            "true" => true,
            "false" => false,
            _ => return Err(wrong_type("paged", "true or false", raw)),
        },
    };
    Ok(pb::GetCustomerRequest {
        project_token: token.to_owned(),
        customer_ids: fields.customer_ids()?,
        paged,
        page_token: text("page_token", fields.page_token)?.into_owned(),
    })
}

/// The customer to anonymise.
pub(in super::super) fn anonymize(
    fields: &Fields<'_>,
    token: &str,
) -> Result<pb::AnonymizeCustomerRequest, Error> {
    Ok(pb::AnonymizeCustomerRequest {
        project_token: token.to_owned(),
        customer_ids: fields.customer_ids()?,
    })
}

#[derive(Deserialize)]
struct Bulk<'a> {
    #[serde(borrow)]
    customers: Option<&'a RawValue>,
}

/// The customers to anonymise, 1 to [`BULK_MAX`] of them.
pub(in super::super) fn anonymize_bulk(
    body: &[u8],
    token: &str,
) -> Result<Vec<pb::AnonymizeCustomerRequest>, Error> {
    let text = std::str::from_utf8(body).map_err(Error::not_utf8)?;
    let bulk: Bulk<'_> = read(object_text(text)?)?;
    let listed = list("customers", "a list of objects", bulk.customers)?;
    if !(1..=BULK_MAX).contains(&listed.len()) {
        let found = listed.len();
        let message =
            format!("Field 'customers' must have 1 to {BULK_MAX} customers, not {found}.");
        return Err(Error::invalid(Some("customers"), message));
    }
    let customer = |raw: &RawValue| {
        if !raw.get().starts_with('{') {
            return Err(wrong_type("customers", "a list of objects", raw));
        }
        let request = anonymize(&Fields::of_text(raw.get())?, token)?;
        match request.customer_ids.is_empty() {
            true => Err(refused(tracker::Error::NoCustomerId)),
            false => Ok(request),
        }
    };
    listed.into_iter().map(customer).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attribute<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    property: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The question for attributes, and where each result comes from.
pub(in super::super) fn attributes(
    fields: &Fields<'_>,
    token: &str,
) -> Result<(pb::GetAttributesRequest, Vec<AttributePlan>), Error> {
    let listed = list("attributes", "a list of objects", fields.attributes)?;
    if listed.len() > ATTRIBUTES_MAX {
        return Err(refused(tracker::Error::TooManyAttributes(listed.len())));
    }
    let mut attributes = Vec::with_capacity(listed.len());
    let mut plan = Vec::with_capacity(listed.len());
    for raw in listed {
        match attribute(raw)? {
            Ok(attribute) => {
                attributes.push(pb::Attribute {
                    attribute: Some(attribute),
                });
                plan.push(AttributePlan::Read);
            }
            Err(message) => plan.push(AttributePlan::Failed(message)),
        }
    }
    let request = pb::GetAttributesRequest {
        project_token: token.to_owned(),
        customer_ids: fields.customer_ids()?,
        attributes,
    };
    Ok((request, plan))
}

/// One attribute, or why it cannot be read.
fn attribute(raw: &RawValue) -> Result<Result<pb::attribute::Attribute, String>, Error> {
    use pb::attribute::Attribute as Message;
    if object_text(raw.get()).is_err() {
        return Err(wrong_type("attributes", "a list of objects", raw));
    }
    let attribute: Attribute<'_> = read(raw.get())?;
    let named = |field: &str, raw: Option<&RawValue>| match raw {
        None => Ok(Err(format!("Field '{field}' is required."))),
        Some(raw) if raw.get().starts_with('"') => read::<String>(raw.get()).map(Ok),
        Some(raw) => {
            let status = wrong_type(field, "a string", raw).into_status();
            Ok(Err(status.message().to_owned()))
        }
    };
    Ok(match named("type", attribute.r#type)?.as_deref() {
        Ok("property") => named("property", attribute.property)?.map(Message::Property),
        Ok("id") => named("id", attribute.id)?.map(Message::Id),
        Ok(other) => Err(format!("Unknown attribute type '{}'", quoted(other))),
        Err(message) => Err(message.to_owned()),
    })
}

/// The question for a page of events.
pub(in super::super) fn events(
    fields: &Fields<'_>,
    token: &str,
) -> Result<pb::ListEventsRequest, Error> {
    let listed = list("event_types", "a list of strings", fields.event_types)?;
    if listed.len() > TYPES_MAX {
        return Err(refused(tracker::Error::EventTypes(listed.len())));
    }
    let mut event_types = Vec::with_capacity(listed.len());
    for raw in listed {
        if !raw.get().starts_with('"') {
            return Err(wrong_type("event_types", "a list of strings", raw));
        }
        event_types.push(read::<String>(raw.get())?);
    }
    let order = match (fields.order, &*text("order", fields.order)?) {
        (None, _) | (_, "asc") => pb::Order::Asc,
        (_, "desc") => pb::Order::Desc,
        (Some(other), _) => return Err(wrong_type("order", "asc or desc", other)),
    };
    Ok(pb::ListEventsRequest {
        project_token: token.to_owned(),
        customer_ids: fields.customer_ids()?,
        event_types,
        order: order.into(),
        limit: number("limit", fields.limit)?,
        skip: number("skip", fields.skip)?.unwrap_or_default(),
        page_token: text("page_token", fields.page_token)?.into_owned(),
    })
}

/// A list's elements, still as text; none if it is absent.
fn list<'a>(
    field: &str,
    expected: &str,
    raw: Option<&'a RawValue>,
) -> Result<Vec<&'a RawValue>, Error> {
    match raw {
        None => Ok(Vec::new()),
        Some(raw) if raw.get().starts_with('[') => read(raw.get()),
        Some(raw) => Err(wrong_type(field, expected, raw)),
    }
}

fn number(field: &str, raw: Option<&RawValue>) -> Result<Option<u32>, Error> {
    let parse = |raw: &RawValue| {
        let number = raw.get().parse().ok();
        number.ok_or_else(|| wrong_type(field, "an integer from 0 to 4294967295", raw))
    };
    raw.map(parse).transpose()
}
