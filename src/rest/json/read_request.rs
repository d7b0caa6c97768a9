//! Requests to read or anonymise customers.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::error::{Error, Result};
use super::fields::{
    Fields, beginning, ids, object_text, of_body, read, refused, text, wrong_type,
};
use crate::grpc::pb;
use crate::model::quote::quoted;
use crate::model::reason::Reason;
use crate::tracker::{self, ATTRIBUTES_MAX, TYPES_MAX};

/// Most customers that are anonymised by one request.
pub(super) const BULK_MAX: usize = 1_000;

/// The source of an attribute's result.
#[derive(Debug)]
pub(in super::super) enum AttributePlan {
    /// The next result of the service.
    Read,
    /// This error, because the attribute's type is unknown.
    Failed(String),
}

/// The forms of a table of all customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Format {
    /// Fields with their types, and rows.
    NativeJson,
    /// The same with the names of the columns.
    TableJson,
    /// Lines of text. The first has the names of the columns.
    Csv,
}

/// A request for one customer. `R` is the JSON text of a field, here and below.
#[derive(Deserialize)]
struct CustomerBody<R> {
    customer_ids: Option<R>,
    paged: Option<R>,
    page_token: Option<R>,
}

/// A request for attributes.
#[derive(Deserialize)]
struct AttributesBody<R> {
    customer_ids: Option<R>,
    attributes: Option<R>,
}

/// One of the attributes.
#[derive(Deserialize)]
struct Attribute<R> {
    r#type: Option<R>,
    property: Option<R>,
    id: Option<R>,
}

/// A request for a page of events.
#[derive(Deserialize)]
struct EventsBody<R> {
    customer_ids: Option<R>,
    event_types: Option<R>,
    order: Option<R>,
    limit: Option<R>,
    skip: Option<R>,
    page_token: Option<R>,
}

/// A request to anonymise one customer.
#[derive(Deserialize)]
struct AnonymizeBody<R> {
    customer_ids: Option<R>,
}

/// A request to anonymise many customers.
#[derive(Deserialize)]
struct AnonymizeBulkBody<R> {
    customers: Option<R>,
}

/// A request to export all customers.
#[derive(Deserialize)]
struct ExportBody<R> {
    format: Option<R>,
}

/// The request for one customer.
pub(in super::super) fn customer(body: &[u8], token: &str) -> Result<pb::GetCustomerRequest> {
    let body: CustomerBody<&RawValue> = fields(body)?;
    let paged = match (body.paged, body.paged.map(RawValue::get)) {
        (None, _) | (_, Some("false")) => false,
        (_, Some("true")) => true,
        (Some(other), _) => return Err(wrong_type("paged", "true or false", other)),
    };
    Ok(pb::GetCustomerRequest {
        project_token: token.to_owned(),
        customer_ids: ids(body.customer_ids)?,
        paged,
        page_token: text("page_token", body.page_token)?.into_owned(),
    })
}

/// The customer to anonymise.
pub(in super::super) fn anonymize(
    body: &[u8],
    token: &str,
) -> Result<pb::AnonymizeCustomerRequest> {
    let body: AnonymizeBody<&RawValue> = fields(body)?;
    Ok(pb::AnonymizeCustomerRequest {
        project_token: token.to_owned(),
        customer_ids: ids(body.customer_ids)?,
    })
}

/// The customers to anonymise, 1 to [`BULK_MAX`] of them.
pub(in super::super) fn anonymize_bulk(
    body: &[u8],
    token: &str,
) -> Result<Vec<pb::AnonymizeCustomerRequest>> {
    let text = std::str::from_utf8(body).map_err(Error::not_utf8)?;
    let body: AnonymizeBulkBody<&RawValue> = read(object_text(text)?)?;
    let listed = list("customers", "a list of objects", body.customers)?;
    if !(1..=BULK_MAX).contains(&listed.len()) {
        let found = listed.len();
        let message =
            format!("Field 'customers' must have 1 to {BULK_MAX} customers, not {found}.");
        return Err(Error::invalid(
            Reason::QueryInvalid,
            Some("customers"),
            message,
        ));
    }
    let customer = |raw: &RawValue| {
        let text = beginning('{', "customers", "a list of objects", raw)?;
        let request = anonymize(text.as_bytes(), token)?;
        match request.customer_ids.is_empty() {
            true => Err(refused(tracker::Error::NoCustomerId)),
            false => Ok(request),
        }
    };
    listed.into_iter().map(customer).collect()
}

/// The request for attributes, and the source of each result.
pub(in super::super) fn attributes(
    body: &[u8],
    token: &str,
) -> Result<(pb::GetAttributesRequest, Vec<AttributePlan>)> {
    let body: AttributesBody<&RawValue> = fields(body)?;
    let listed = list("attributes", "a list of objects", body.attributes)?;
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
        customer_ids: ids(body.customer_ids)?,
        attributes,
    };
    Ok((request, plan))
}

/// One attribute, or the error of its result.
fn attribute(raw: &RawValue) -> Result<Result<pb::attribute::Attribute, String>> {
    use pb::attribute::Attribute as Message;
    let text = beginning('{', "attributes", "a list of objects", raw)?;
    let attribute: Attribute<&RawValue> = read(text)?;
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

/// The request for a page of events.
pub(in super::super) fn events(body: &[u8], token: &str) -> Result<pb::ListEventsRequest> {
    let body: EventsBody<&RawValue> = fields(body)?;
    let listed = list("event_types", "a list of strings", body.event_types)?;
    if listed.len() > TYPES_MAX {
        return Err(refused(tracker::Error::EventTypes(listed.len())));
    }
    let event_type = |raw| read(beginning('"', "event_types", "a list of strings", raw)?);
    let event_types = listed.into_iter().map(event_type).collect::<Result<_>>()?;
    let order = match (body.order, &*text("order", body.order)?) {
        (None, _) | (_, "asc") => pb::Order::Asc,
        (_, "desc") => pb::Order::Desc,
        (Some(other), _) => return Err(wrong_type("order", "asc or desc", other)),
    };
    Ok(pb::ListEventsRequest {
        project_token: token.to_owned(),
        customer_ids: ids(body.customer_ids)?,
        event_types,
        order: order.into(),
        limit: number("limit", body.limit)?,
        skip: number("skip", body.skip)?.unwrap_or_default(),
        page_token: text("page_token", body.page_token)?.into_owned(),
    })
}

/// The format of an export.
pub(in super::super) fn export(body: &[u8]) -> Result<Format> {
    let body: ExportBody<&RawValue> = fields(body)?;
    match (body.format, &*text("format", body.format)?) {
        (None, _) => {
            let message = "Field 'format' is required.".to_owned();
            Err(Error::invalid(
                Reason::QueryInvalid,
                Some("format"),
                message,
            ))
        }
        (_, "native_json") => Ok(Format::NativeJson),
        (_, "table_json") => Ok(Format::TableJson),
        (_, "csv") => Ok(Format::Csv),
        (Some(other), _) => Err(wrong_type(
            "format",
            "native_json, table_json or csv",
            other,
        )),
    }
}

/// Reads the fields of a request. No field of any request may be there twice.
fn fields<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    of_body::<Fields<'_>>(body)?;
    of_body(body)
}

/// The elements of a list as JSON text. There are none if the field is absent.
fn list<'a>(field: &str, expected: &str, raw: Option<&'a RawValue>) -> Result<Vec<&'a RawValue>> {
    match raw {
        None => Ok(Vec::new()),
        Some(raw) => read(beginning('[', field, expected, raw)?),
    }
}

fn number(field: &str, raw: Option<&RawValue>) -> Result<Option<u32>> {
    let parse = |raw: &RawValue| {
        let number = raw.get().parse().ok();
        number.ok_or_else(|| wrong_type(field, "an integer from 0 to 4294967295", raw))
    };
    raw.map(parse).transpose()
}
