//! What the limiter says, as callers read it: one value for every protocol.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::limit::{Quota, Refusal, Standing};
use crate::model::address::ClientAddress;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status of a refused call.
pub(super) fn status(address: ClientAddress, refusal: &Refusal) -> Status {
    let Refusal {
        quota, retry_after, ..
    } = refusal;
    let subject = format!("address:{}", address.key());
    let rule = format!(
        "{} requests per {} s",
        quota.requests(),
        quota.period().as_secs_f64()
    );
    let mut details = ErrorDetails::new();
    details
        .set_retry_info(Some(*retry_after))
        .add_quota_failure_violation(subject, format!("{rule} and client address"))
        .set_error_info(
            "RATE_LIMIT_EXCEEDED",
            "footfall",
            [("quota_limit".to_owned(), quota.requests().to_string())],
        );
    let message = format!("Rate limit exceeded: {rule} from {}", address.key());
    let mut status = Status::with_error_details(Code::ResourceExhausted, message, details);
    let pushback = retry_after.as_nanos().div_ceil(1_000_000).to_string();
    if let Ok(pushback) = pushback.parse() {
        status.metadata_mut().insert(PUSHBACK, pushback);
    }
    status
}

/// Says how the caller stands, on an answer that was limited.
pub(super) fn standing_headers(standing: &Standing, headers: &mut HeaderMap) {
    limit_headers(standing.quota, standing.remaining, standing.reset, headers);
}

/// Says how the caller stands, on a refusal.
pub(super) fn refusal_headers(refusal: &Refusal, headers: &mut HeaderMap) {
    limit_headers(refusal.quota, 0, refusal.reset, headers);
}

fn limit_headers(quota: Quota, remaining: u32, reset: Duration, headers: &mut HeaderMap) {
    let seconds = |duration: Duration| duration.as_nanos().div_ceil(1_000_000_000);
    let policy = format!(
        "\"perip\";q={};w={}",
        quota.requests(),
        seconds(quota.period())
    );
    let limit = format!("\"perip\";r={remaining};t={}", seconds(reset));
    for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
