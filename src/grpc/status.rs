//! Turns every error of the floors below into a status: the only place that chooses codes.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::log::Position;
use crate::middleware::{Cause, Guard, refusal};
use crate::model::properties;
use crate::tracker::{AccessError, Error};
use crate::{log, view};

/// How long a caller should wait when the service is overloaded.
const OVERLOAD_DELAY: Duration = Duration::from_secs(1);
/// How long a caller should wait when the service cannot write.
const FAILURE_DELAY: Duration = Duration::from_secs(5);

/// A status as it is inside of a message.
pub(super) fn rpc_status(status: &Status) -> tonic_types::Status {
    use prost::Message as _;
    // The details of a status are this very message; without any it has only code and text.
    match tonic_types::Status::decode(status.details()) {
        Ok(message) if message.code != Code::Ok as i32 => message,
        Ok(_) | Err(_) => tonic_types::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match &error {
            Error::Access(AccessError::UnknownProject) => Self::invalid_argument(message),
            Error::Access(
                AccessError::NoKey | AccessError::UnreadableKey | AccessError::UnknownKey,
            ) => Self::unauthenticated(message),
            Error::Access(AccessError::WrongSecret | AccessError::NoPermission(_)) => {
                Self::permission_denied(message)
            }
            Error::Properties(properties::Error::TooDeep(_)) => {
                Guard::Depth.behind(invalid(error.field(), message))
            }
            Error::TooManyCommands(_) => Guard::Commands.behind(invalid(error.field(), message)),
            Error::CustomerIds(_)
            | Error::NoCustomerId
            | Error::EventType(_)
            | Error::Properties(_)
            | Error::Time { .. }
            | Error::NoUrl
            | Error::CommandTooLarge(_)
            | Error::NoCommands
            | Error::EventTypes(_)
            | Error::Limit(_)
            | Error::TooManyAttributes(_)
            | Error::Cursor
            | Error::CursorAhead
            | Error::PageToken(_) => invalid(error.field(), message),
            Error::UnknownCustomer => Self::not_found(message),
            Error::SeveralCustomers(_) => Self::failed_precondition(message),
            Error::TooLarge(_) => Self::out_of_range(message),
            // The layer in front replaces it: it knows all quotas that apply to the call.
            Error::OverQuota { retry_after } => {
                let details = ErrorDetails::with_retry_info(Some(*retry_after));
                let status = Self::with_error_details(Code::ResourceExhausted, message, details);
                refusal::pushed_back(status, *retry_after)
            }
            // Transient: other streams end. Not from the rate limit either.
            Error::TooManyStreams(_) => Guard::Watchers.behind(unavailable(message, FAILURE_DELAY)),
            Error::TooManyReads(_) => Guard::Reads.behind(unavailable(message, OVERLOAD_DELAY)),
            Error::AnswersNotTaken(_) => {
                Guard::Answers.behind(unavailable(message, OVERLOAD_DELAY))
            }
            Error::Log(error) => of_log(error),
            Error::View(error) => of_view(error),
        }
    }
}

/// The status of a request that breaks a rule, and the field that does.
pub fn invalid(field: Option<&str>, message: String) -> Status {
    match field {
        None => Status::invalid_argument(message),
        Some(field) => {
            let details = ErrorDetails::with_bad_request_violation(field, message.clone());
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
    }
}

fn of_log(error: &log::Error) -> Status {
    let message = error.fragment();
    let status = match error {
        log::Error::Overloaded => return unavailable(message, OVERLOAD_DELAY),
        // The log reports these itself, once, and not for each call.
        log::Error::Full | log::Error::Failed(_) | log::Error::Stalled(_) | log::Error::Closed => {
            return unavailable(message, FAILURE_DELAY);
        }
        log::Error::NoStore(_) | log::Error::Locked(_) | log::Error::Open { .. } => {
            unavailable(message, FAILURE_DELAY)
        }
        log::Error::Damaged { .. } | log::Error::EndLost { .. } => Status::data_loss(message),
        log::Error::Read(_) | log::Error::Rewrite(_) | log::Error::Panicked => {
            Status::internal(message)
        }
    };
    let cause = Cause {
        chain: error.to_string(),
        position: error.position().map(Position::get),
    };
    cause.behind(status)
}

fn of_view(error: &view::Error) -> Status {
    let message = error.fragment();
    let status = match error {
        view::Error::Behind(_) | view::Error::Backlog(_) | view::Error::StillRead => {
            return unavailable(message, OVERLOAD_DELAY);
        }
        view::Error::Stopped(_) | view::Error::Ahead { .. } => {
            return unavailable(message, FAILURE_DELAY);
        }
        view::Error::Cancelled => return Status::cancelled(message),
        view::Error::Damaged(_) => Status::data_loss(message),
        view::Error::Store(_) | view::Error::Full | view::Error::Panicked => {
            Status::internal(message)
        }
        view::Error::Log(error) => return of_log(error),
    };
    let cause = Cause {
        chain: error.to_string(),
        position: None,
    };
    cause.behind(status)
}

/// The status of a valid request that the service cannot take now.
pub fn unavailable(message: String, delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    let status = Status::with_error_details(Code::Unavailable, message, details);
    refusal::pushed_back(status, delay)
}
