//! Turns every error of the floors below into a status: the only place that chooses codes.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::log::Position;
use crate::middleware::{Cause, Guard, explained, refusal, with_field, with_reason};
use crate::model::properties;
use crate::model::reason::Reason;
use crate::tracker::{AccessError, Error};
use crate::{log, view};

/// How long a caller should wait when the service is overloaded.
const OVERLOAD_DELAY: Duration = Duration::from_secs(1);
/// How long a caller should wait when the service cannot write.
const FAILURE_DELAY: Duration = Duration::from_secs(5);

/// A status as it is inside of a message.
pub(super) fn rpc_status(status: &Status) -> tonic_types::Status {
    use prost::Message as _;
    let status = explained(status.clone());
    // The details of a status are this very message.
    tonic_types::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (reason, field) = (error.reason(), error.field());
        let message = error.to_string();
        let status = match error {
            Error::Access(AccessError::UnknownProject) => Self::invalid_argument(message),
            Error::Access(
                AccessError::NoKey | AccessError::UnreadableKey | AccessError::UnknownKey,
            ) => Self::unauthenticated(message),
            Error::Access(AccessError::WrongSecret | AccessError::NoPermission(_)) => {
                Self::permission_denied(message)
            }
            Error::Properties(properties::Error::TooDeep(_)) => {
                return Guard::Depth.behind(invalid(reason, field, message));
            }
            Error::TooManyCommands(_) => {
                return Guard::Commands.behind(invalid(reason, field, message));
            }
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
            | Error::PageToken(_) => return invalid(reason, field, message),
            Error::TooManyProjects(_) => Self::invalid_argument(message),
            Error::UnknownCustomer => Self::not_found(message),
            Error::SeveralCustomers(_) => Self::failed_precondition(message),
            Error::TooLarge(_) => Self::out_of_range(message),
            // The layer in front replaces it: it knows all quotas that apply to the call.
            Error::OverQuota { retry_after } => {
                let details = ErrorDetails::with_retry_info(Some(retry_after));
                let status = Self::with_error_details(Code::ResourceExhausted, message, details);
                refusal::pushed_back(status, retry_after)
            }
            // Transient: other streams end. Not from the rate limit either.
            Error::TooManyStreams(_) => {
                return Guard::Watchers.behind(unavailable(message, FAILURE_DELAY));
            }
            Error::TooManyReads(_) => {
                return Guard::Reads.behind(unavailable(message, OVERLOAD_DELAY));
            }
            Error::AnswersNotTaken(_) => {
                return Guard::Answers.behind(unavailable(message, OVERLOAD_DELAY));
            }
            Error::Log(error) => return of_log(&error, reason),
            Error::View(error) => return of_view(&error, reason),
        };
        with_field(reason, field, status)
    }
}

/// The status of a request that breaks a rule, and the field that does.
pub fn invalid(reason: Reason, field: Option<&str>, message: String) -> Status {
    let status = match field {
        None => Status::invalid_argument(message),
        Some(field) => {
            let details = ErrorDetails::with_bad_request_violation(field, message.clone());
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
    };
    with_field(reason, field, status)
}

fn of_log(error: &log::Error, reason: Reason) -> Status {
    let message = error.fragment();
    let status = match error {
        log::Error::Overloaded => return with_reason(reason, unavailable(message, OVERLOAD_DELAY)),
        // The log reports these itself, once, and not for each call.
        log::Error::Full | log::Error::Failed(_) | log::Error::Stalled(_) | log::Error::Closed => {
            return with_reason(reason, unavailable(message, FAILURE_DELAY));
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
        reason,
    };
    cause.behind(status)
}

fn of_view(error: &view::Error, reason: Reason) -> Status {
    let message = error.fragment();
    let status = match error {
        view::Error::Behind(_) | view::Error::Backlog(_) | view::Error::StillRead => {
            return with_reason(reason, unavailable(message, OVERLOAD_DELAY));
        }
        view::Error::Stopped(_) | view::Error::Ahead { .. } => {
            return with_reason(reason, unavailable(message, FAILURE_DELAY));
        }
        view::Error::Cancelled => return with_reason(reason, Status::cancelled(message)),
        view::Error::Damaged(_) => Status::data_loss(message),
        view::Error::Store(_) | view::Error::Full | view::Error::Panicked => {
            Status::internal(message)
        }
        view::Error::Log(error) => return of_log(error, reason),
    };
    let cause = Cause {
        chain: error.to_string(),
        position: None,
        reason,
    };
    cause.behind(status)
}

/// The status of a valid request that the service cannot take now.
pub fn unavailable(message: String, delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    let status = Status::with_error_details(Code::Unavailable, message, details);
    refusal::pushed_back(status, delay)
}
