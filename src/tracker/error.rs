use super::read::{ATTRIBUTES_MAX, EVENTS_MAX, TYPES_MAX};
use super::write::{COMMAND_BYTES_MAX, COMMANDS_MAX};
use crate::model::reason::Reason;
use crate::model::{customer_id, event, project, properties, time};
use crate::{log, view};

/// Why a command or a query is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The caller is not authenticated, or may not do this.
    #[error(transparent)]
    Access(#[from] project::Error),
    /// There is no room for another project, where any token is one.
    #[error("there are {0} projects, which is the most")]
    TooManyProjects(usize),
    /// The customer's IDs break a rule.
    #[error(transparent)]
    CustomerIds(#[from] customer_id::Error),
    /// A query names no customer.
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
    /// A query for events that names no type.
    #[error("Field 'event_types' must name 1 to {TYPES_MAX} event types, not {0}.")]
    EventTypes(usize),
    /// A page of too many events, or of none.
    #[error("Field 'limit' must be 1 to {EVENTS_MAX}, not {0}.")]
    Limit(u64),
    /// A query for too many attributes.
    #[error("Field 'attributes' must have at most {ATTRIBUTES_MAX} entries, not {0}.")]
    TooManyAttributes(usize),
    /// No customer has one of the IDs.
    #[error("Customer does not exist")]
    UnknownCustomer,
    /// The IDs of a customer to forget are those of several.
    #[error("the customer IDs name several customers, by the types {}; name one", .0.join(", "))]
    SeveralCustomers(Vec<String>),
    /// More than one answer can hold; says what to do instead.
    #[error("{0}")]
    TooLarge(&'static str),
    /// A token of a page that no answer of the project gave.
    #[error("Field 'page_token' must be a token that an answer of this project gave, not '{0}'.")]
    PageToken(String),
    /// So many reads run that this one's turn did not come.
    #[error(
        "the read did not get its turn within {0:?}: others of the key, the project or the service run"
    )]
    TooManyReads(std::time::Duration),
    /// A cursor that no watch of the project gave.
    #[error("Field 'cursor' must be a cursor that a watch of this project gave.")]
    Cursor,
    /// A cursor behind the end of the log.
    #[error("Field 'cursor' is ahead of the log, which has lost its end or is another one.")]
    CursorAhead,
    /// The project or the key has sent too much.
    #[error("Rate limit exceeded")]
    OverQuota {
        /// The wait after which one request passes, if no other comes before it.
        retry_after: std::time::Duration,
    },
    /// The key has too many watches and exports in flight.
    #[error("the key has {0} watches and exports under way, which is the most")]
    TooManyStreams(usize),
    /// So much of earlier answers is not taken yet that another does not fit.
    #[error("there is no room for the answer within {0:?}: earlier ones have not been taken yet")]
    AnswersNotTaken(std::time::Duration),
    /// The log does not take or give records.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The view does not answer.
    #[error(transparent)]
    View(#[from] view::Error),
}

impl Error {
    /// Why it is refused.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Access(error) => match error {
                project::Error::UnknownProject => Reason::ProjectUnknown,
                project::Error::NoKey => Reason::KeyMissing,
                project::Error::UnreadableKey => Reason::KeyUnreadable,
                project::Error::UnknownKey => Reason::KeyUnknown,
                project::Error::WrongSecret => Reason::SecretWrong,
                project::Error::NoPermission(_) => Reason::PermissionMissing,
            },
            Self::TooManyProjects(_) => Reason::ProjectUnknown,
            Self::CustomerIds(customer_id::Error::None) | Self::NoCustomerId => Reason::IdsMissing,
            Self::CustomerIds(customer_id::Error::UnknownType { .. }) => Reason::IdTypeUnknown,
            Self::CustomerIds(customer_id::Error::TooLong { .. }) => Reason::IdInvalid,
            Self::EventType(_) => Reason::EventTypeInvalid,
            Self::Properties(error) => match error {
                properties::Error::TooDeep(_) => Reason::PropertyTooDeep,
                properties::Error::ValueTooLarge { .. } => Reason::PropertyTooLarge,
                properties::Error::Duplicate(_) => Reason::KeyTwice,
                properties::Error::NotAnObject(_)
                | properties::Error::Malformed(_)
                | properties::Error::TooMany(_)
                | properties::Error::NameEmpty
                | properties::Error::NameTooLong(_)
                | properties::Error::IntegerTooLarge { .. }
                | properties::Error::NotFinite(_)
                | properties::Error::Kind(_) => Reason::PropertiesInvalid,
            },
            Self::Time { .. } => Reason::TimeInvalid,
            Self::NoUrl => Reason::UrlMissing,
            Self::CommandTooLarge(_) => Reason::CommandTooLarge,
            Self::NoCommands => Reason::BatchEmpty,
            Self::TooManyCommands(_) => Reason::BatchTooLong,
            Self::EventTypes(_) | Self::Limit(_) | Self::TooManyAttributes(_) => {
                Reason::QueryInvalid
            }
            Self::UnknownCustomer => Reason::CustomerUnknown,
            Self::SeveralCustomers(_) => Reason::CustomersSeveral,
            Self::TooLarge(_) => Reason::AnswerTooLarge,
            Self::PageToken(_) | Self::Cursor | Self::CursorAhead => Reason::CursorInvalid,
            Self::TooManyReads(_) => Reason::ReadsInFlight,
            Self::OverQuota { .. } => Reason::RateLimitExceeded,
            Self::TooManyStreams(_) => Reason::StreamsOpen,
            Self::AnswersNotTaken(_) => Reason::AnswersNotTaken,
            Self::Log(error) | Self::View(view::Error::Log(error)) => of_log(error),
            Self::View(error) => of_view(error),
        }
    }

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
            Self::PageToken(_) => Some("page_token"),
            Self::Access(_)
            | Self::OverQuota { .. }
            | Self::CommandTooLarge(_)
            | Self::UnknownCustomer
            | Self::SeveralCustomers(_)
            | Self::TooLarge(_)
            | Self::TooManyProjects(_)
            | Self::TooManyReads(_)
            | Self::AnswersNotTaken(_)
            | Self::TooManyStreams(_)
            | Self::Log(_)
            | Self::View(_) => None,
        }
    }
}

fn of_log(error: &log::Error) -> Reason {
    match error {
        log::Error::Overloaded => Reason::Overloaded,
        log::Error::Full => Reason::DiskFull,
        log::Error::Failed(_) | log::Error::Stalled(_) => Reason::LogFailed,
        log::Error::Closed => Reason::Draining,
        log::Error::NoStore(_) | log::Error::Locked(_) | log::Error::Open { .. } => {
            Reason::Unavailable
        }
        log::Error::Damaged { .. } | log::Error::EndLost { .. } => Reason::Damaged,
        log::Error::Read(_) | log::Error::Rewrite(_) | log::Error::Panicked => Reason::Internal,
    }
}

fn of_view(error: &view::Error) -> Reason {
    match error {
        view::Error::Behind(_) | view::Error::Backlog(_) | view::Error::StillRead => {
            Reason::ViewBehind
        }
        view::Error::Stopped(_) | view::Error::Ahead { .. } => Reason::ViewStopped,
        view::Error::Cancelled => Reason::Cancelled,
        view::Error::Damaged(_) => Reason::Damaged,
        view::Error::Full => Reason::DiskFull,
        view::Error::Store(_) | view::Error::Panicked => Reason::Internal,
        view::Error::Log(error) => of_log(error),
    }
}
