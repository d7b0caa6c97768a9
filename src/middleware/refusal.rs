//! What the limiter says, as callers read it: one value for every protocol.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::limit::{Quota, Refusal, Standing};
use crate::model::address::{AddressKey, Width};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status of a call that the quota of `key` refused.
pub(super) fn status(key: AddressKey, refusal: &Refusal) -> Status {
    let Refusal {
        quota, retry_after, ..
    } = refusal;
    let subject = format!("address:{key}");
    let rule = format!(
        "{} requests per {} s",
        quota.requests(),
        quota.period().as_secs_f64()
    );
    let mut details = ErrorDetails::new();
    details
        .set_retry_info(Some(*retry_after))
        .add_quota_failure_violation(subject, format!("{rule} and {}", whose(key)))
        .set_error_info(
            "RATE_LIMIT_EXCEEDED",
            "footfall",
            [("quota_limit".to_owned(), quota.requests().to_string())],
        );
    let message = format!("Rate limit exceeded: {rule} from {key}");
    let mut status = Status::with_error_details(Code::ResourceExhausted, message, details);
    let pushback = retry_after.as_nanos().div_ceil(1_000_000).to_string();
    if let Ok(pushback) = pushback.parse() {
        status.metadata_mut().insert(PUSHBACK, pushback);
    }
    status
}

/// Says how the caller stands, on an answer that was limited.
pub(super) fn standing_headers(key: AddressKey, standing: &Standing, headers: &mut HeaderMap) {
    limit_headers(
        key,
        standing.quota,
        standing.remaining,
        standing.reset,
        headers,
    );
}

/// Says how the caller stands, on a refusal.
pub(super) fn refusal_headers(key: AddressKey, refusal: &Refusal, headers: &mut HeaderMap) {
    limit_headers(key, refusal.quota, 0, refusal.reset, headers);
}

/// What each bucket of this kind is for.
fn whose(key: AddressKey) -> &'static str {
    match key {
        AddressKey::V6Wide(_, Width::Prefix56) => "IPv6 /56",
        AddressKey::V6Wide(_, Width::Prefix48) => "IPv6 /48",
        AddressKey::V4(_) | AddressKey::V6(_) | AddressKey::Unix => "client address",
    }
}

/// The name of the policy in headers.
fn policy_name(key: AddressKey) -> &'static str {
    match key {
        AddressKey::V6Wide(_, Width::Prefix56) => "per56",
        AddressKey::V6Wide(_, Width::Prefix48) => "per48",
        AddressKey::V4(_) | AddressKey::V6(_) | AddressKey::Unix => "perip",
    }
}

fn limit_headers(
    key: AddressKey,
    quota: Quota,
    remaining: u32,
    reset: Duration,
    headers: &mut HeaderMap,
) {
    let name = policy_name(key);
    let seconds = |duration: Duration| duration.as_nanos().div_ceil(1_000_000_000);
    let policy = format!(
        "\"{name}\";q={};w={}",
        quota.requests(),
        seconds(quota.period())
    );
    let limit = format!("\"{name}\";r={remaining};t={}", seconds(reset));
    for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
