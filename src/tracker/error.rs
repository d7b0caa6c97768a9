use super::export::NAMES_MAX;
use super::read::{ATTRIBUTES_MAX, EVENTS_MAX, READ_BYTES_MAX, TYPES_MAX};
use super::write::{COMMAND_BYTES_MAX, COMMANDS_MAX};
use crate::model::{customer_id, event, project, properties, time};
use crate::{log, view};

/// Why a command or a question is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The caller is not let in, or may not do this.
    #[error(transparent)]
    Access(#[from] project::Error),
    /// The customer's IDs break a rule.
    #[error(transparent)]
    CustomerIds(#[from] customer_id::Error),
    /// A question names no customer.
    #[error("Must specify at least one customer ID")]
    NoCustomerId,
    /// The event's type breaks a rule.
    #[error(transparent)]
    EventType(#[from] event::Error),
    /// The properties break a rule.
    #[error(transparent)]
    Properties(#[from] properties::Error),
    /// A time is out of range or unreadable.
    #[error("{field}: {error}")]
    Time {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        error: time::Error,
    },
    /// A click without an address.
    #[error("Field 'url' is required.")]
    NoUrl,
    /// A command is too large.
    #[error("command is too large: {0} bytes, at most {COMMAND_BYTES_MAX}")]
    CommandTooLarge(usize),
    /// A batch without commands.
    #[error("No commands")]
    NoCommands,
    /// A batch with too many commands.
    #[error("Too many commands: {0}, at most {COMMANDS_MAX}")]
    TooManyCommands(usize),
    /// A question for events that names no type.
    #[error("Field 'event_types' must name 1 to {TYPES_MAX} event types, not {0}.")]
    EventTypes(usize),
    /// A page of events that is too long, or of nothing.
    #[error("Field 'limit' must be 1 to {EVENTS_MAX}, not {0}.")]
    Limit(u64),
    /// A question for too many attributes.
    #[error("Field 'attributes' must have at most {ATTRIBUTES_MAX} entries, not {0}.")]
    TooManyAttributes(usize),
    /// No customer has one of the IDs.
    #[error("Customer does not exist")]
    UnknownCustomer,
    /// A customer with more events than one answer holds.
    #[error("the customer's events take more than {READ_BYTES_MAX} bytes; read them in pages")]
    TooManyEvents,
    /// A cursor that no watch of the project gave.
    #[error("Field 'cursor' must be a cursor that a watch of this project gave.")]
    Cursor,
    /// A cursor of what the log does not have.
    #[error("Field 'cursor' is ahead of the log, which has lost its end or is another one.")]
    CursorAhead,
    /// The project or the key has sent too much.
    #[error("Rate limit exceeded")]
    OverQuota {
        /// The wait after which one request passes, if no other comes before it.
        retry_after: std::time::Duration,
    },
    /// The key has too many watches and exports under way.
    #[error("the key has {0} watches and exports under way, which is the most")]
    TooManyStreams(usize),
    /// The customers have too many names of properties for a table.
    #[error(
        "the customers have more than {NAMES_MAX} names of properties; ExportCustomers has no such limit"
    )]
    TooManyNames,
    /// The log does not take or give records.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The view does not answer.
    #[error(transparent)]
    View(#[from] view::Error),
}

impl Error {
    /// The field that is wrong, by its name in the contract.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::CustomerIds(_) | Self::NoCustomerId => Some("customer_ids"),
            Self::EventType(_) => Some("event_type"),
            Self::Properties(_) => Some("properties"),
            Self::Time { field, .. } => Some(field),
            Self::NoUrl => Some("url"),
            Self::NoCommands | Self::TooManyCommands(_) => Some("commands"),
            Self::EventTypes(_) => Some("event_types"),
            Self::Limit(_) => Some("limit"),
            Self::TooManyAttributes(_) => Some("attributes"),
            Self::Cursor | Self::CursorAhead => Some("cursor"),
            Self::Access(_)
            | Self::OverQuota { .. }
            | Self::CommandTooLarge(_)
            | Self::UnknownCustomer
            | Self::TooManyEvents
            | Self::TooManyStreams(_)
            | Self::TooManyNames
            | Self::Log(_)
            | Self::View(_) => None,
        }
    }
}
