//! Commands as the tracker takes them, checked and ready to be committed.

use tonic::Status;

use super::convert::time;
use super::{pb, status};
use crate::middleware::with_reason;
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

/// An update, checked.
pub(super) fn update_customer(
    tracker: &Tracker,
    access: &Access,
    update: pb::UpdateCustomerRequest,
) -> Result<Accepted, Error> {
    let time = time("update_timestamp", update.update_timestamp)?;
    let update = UpdateCustomer {
        customer_ids: &update.customer_ids,
        properties: update.properties.unwrap_or_default(),
        time,
    };
    tracker.update(access, update)
}

/// An event, checked.
pub(super) fn add_event(
    tracker: &Tracker,
    access: &Access,
    event: pb::AddEventRequest,
) -> Result<Accepted, Error> {
    let time = time("timestamp", event.timestamp)?;
    let event = AddEvent {
        customer_ids: &event.customer_ids,
        event_type: &event.event_type,
        properties: event.properties.unwrap_or_default(),
        time,
    };
    tracker.event(access, event)
}

/// A click, checked.
pub(super) fn track_click(
    tracker: &Tracker,
    access: &Access,
    click: pb::TrackCampaignClickRequest,
) -> Result<Accepted, Error> {
    let time = time("timestamp", click.timestamp)?;
    let click = TrackClick {
        customer_ids: &click.customer_ids,
        url: &click.url,
        properties: click.properties.unwrap_or_default(),
        time,
    };
    tracker.click(access, click)
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
        Command::UpdateCustomer(update) => update_customer(tracker, access, update),
        Command::AddEvent(event) => add_event(tracker, access, event),
        Command::TrackCampaignClick(click) => track_click(tracker, access, click),
        Command::GetSystemTime(_) => return Ok(Prepared::Time),
    };
    accepted.map(Prepared::Write).map_err(in_batch)
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
        | Permission::EraseCustomers => "not authorized to update specified customer properties",
    };
    with_reason(Reason::PermissionMissing, Status::permission_denied(text))
}
