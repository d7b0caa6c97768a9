//! Commands as the tracker takes them, checked and ready to be committed.

use std::collections::BTreeMap;

use tonic::Status;

use super::convert::time;
use super::{pb, status};
use crate::middleware::{with_excerpt, with_reason};
use crate::model::excerpt::{BYTES_MAX, beginning};
use crate::model::project::Permission;
use crate::model::reason::Reason;
use crate::tracker::{
    Accepted, Access, AccessError, AddEvent, Error, TrackClick, Tracker, UpdateCustomer,
};

/// A valid command of a batch.
pub(super) enum Prepared {
    Write(Accepted),
    Time,
}

/// The status of a command that is refused.
type Refused = fn(Error) -> Status;

/// An update, checked.
pub(super) fn update_customer(
    tracker: &Tracker,
    access: &Access,
    update: pb::UpdateCustomerRequest,
    refused: Refused,
) -> Result<Accepted, Status> {
    let accepted = time("update_timestamp", update.update_timestamp).and_then(|time| {
        let update = UpdateCustomer {
            customer_ids: &update.customer_ids,
            properties: update.properties.unwrap_or_default(),
            time,
        };
        tracker.update(access, update)
    });
    let excerpt = || excerpt(&update.customer_ids, None);
    accepted.map_err(|error| with_excerpt(refused(error), excerpt))
}

/// An event, checked.
pub(super) fn add_event(
    tracker: &Tracker,
    access: &Access,
    event: pb::AddEventRequest,
    refused: Refused,
) -> Result<Accepted, Status> {
    let accepted = time("timestamp", event.timestamp).and_then(|time| {
        let event = AddEvent {
            customer_ids: &event.customer_ids,
            event_type: &event.event_type,
            properties: event.properties.unwrap_or_default(),
            time,
        };
        tracker.event(access, event)
    });
    let kind = ("event_type", event.event_type.as_str());
    let excerpt = || excerpt(&event.customer_ids, Some(kind));
    accepted.map_err(|error| with_excerpt(refused(error), excerpt))
}

/// A click, checked.
pub(super) fn track_click(
    tracker: &Tracker,
    access: &Access,
    click: pb::TrackCampaignClickRequest,
    refused: Refused,
) -> Result<Accepted, Status> {
    let accepted = time("timestamp", click.timestamp).and_then(|time| {
        let click = TrackClick {
            customer_ids: &click.customer_ids,
            url: &click.url,
            properties: click.properties.unwrap_or_default(),
            time,
        };
        tracker.click(access, click)
    });
    let url = ("url", click.url.as_str());
    let excerpt = || excerpt(&click.customer_ids, Some(url));
    accepted.map_err(|error| with_excerpt(refused(error), excerpt))
}

/// The beginning of a command as JSON: whose it is, and another field of it.
fn excerpt(customer_ids: &BTreeMap<String, String>, other: Option<(&str, &str)>) -> String {
    let mut out = Vec::with_capacity(BYTES_MAX);
    out.extend(b"{\"customer_ids\": {");
    for (number, (kind, value)) in customer_ids.iter().enumerate() {
        if number > 0 {
            out.extend(b", ");
        }
        string(&mut out, kind);
        out.extend(b": ");
        string(&mut out, value);
        if out.len() > BYTES_MAX {
            break;
        }
    }
    out.push(b'}');
    if let Some((name, value)) = other {
        out.extend(b", ");
        string(&mut out, name);
        out.extend(b": ");
        string(&mut out, value);
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

/// Writes the beginning of a text as JSON.
fn string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, beginning(text));
}

/// A command of a batch or of a stream, checked.
pub(super) fn prepare(
    tracker: &Tracker,
    access: &Access,
    command: pb::Command,
) -> Result<Prepared, Status> {
    use pb::command::Command;
    let Some(command) = command.command else {
        return Err(status::invalid(
            Reason::CommandUnknown,
            Some("command"),
            "the command is missing".to_owned(),
        ));
    };
    let accepted = match command {
        Command::UpdateCustomer(update) => update_customer(tracker, access, update, in_batch),
        Command::AddEvent(event) => add_event(tracker, access, event, in_batch),
        Command::TrackCampaignClick(click) => track_click(tracker, access, click, in_batch),
        Command::GetSystemTime(_) => return Ok(Prepared::Time),
    };
    accepted.map(Prepared::Write)
}

/// In a batch, a missing permission has its own text.
fn in_batch(error: Error) -> Status {
    let Error::Access(AccessError::NoPermission(permission)) = error else {
        return error.into();
    };
    let text = match permission {
        Permission::SetEvents => "Not authorized to add event of specified type",
        Permission::SetCustomers
        | Permission::GetCustomers
        | Permission::GetEvents
        | Permission::AnonymizeCustomers
        | Permission::EraseCustomers
        | Permission::GetRefusals => "not authorized to update specified customer properties",
    };
    with_reason(Reason::PermissionMissing, Status::permission_denied(text))
}
