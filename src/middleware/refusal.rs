//! The limiters' decisions, as callers get them: one value for every protocol.
//!
//! A call is charged to up to three quotas: its address's before anything of it is read, its project's and its key's
//! once it is authenticated. Its answer reports all that were charged, in that order: `RateLimit` and
//! `RateLimit-Policy` are lists with one item for each. A refusal names those that refuse, and the longest of their
//! waits.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaViolation, StatusExt as _};

use super::reasons::DOMAIN;
use super::{Body, Guard};
use crate::limit::{Charge, Quota, Refusal, Spent, Subject, Verdict};
use crate::model::address::{AddressKey, Width};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Bytes that are enough for most items of a header.
const ITEM_BYTES: usize = 48;
/// The reason, as clients know it.
const RATE_LIMIT_EXCEEDED: &str = "RATE_LIMIT_EXCEEDED";
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How long a caller should wait for capacity that others hold, before it calls again.
const DELAY: Duration = Duration::from_secs(1);

/// The status of a call for which there is no capacity now.
pub fn unavailable(text: String) -> Status {
    let details = ErrorDetails::with_retry_info(Some(DELAY));
    pushed_back(
        Status::with_error_details(Code::Unavailable, text, details),
        DELAY,
    )
}

/// A status with `grpc-retry-pushback-ms`: how long gRPC clients wait before they retry by themselves.
pub fn pushed_back(mut status: Status, delay: Duration) -> Status {
    let pushback = delay.as_nanos().div_ceil(1_000_000).to_string();
    if let Ok(pushback) = pushback.parse() {
        status.metadata_mut().insert(PUSHBACK, pushback);
    }
    status
}

/// The status of a body or message for which there is no memory.
pub fn memory(spent: Spent) -> Status {
    let text = match spent {
        Spent::All => "bodies take all the memory that they may, in all",
        Spent::Address => "bodies of this address take all the memory that they may",
        Spent::Key => "bodies of this key take all the memory that they may",
        // A retry would not help.
        Spent::Never(bytes_max) => {
            let text = format!("Body is too large, at most {bytes_max} bytes");
            return Status::out_of_range(text);
        }
    };
    unavailable(text.to_owned())
}

/// The guard behind [`memory`].
pub fn memory_guard(spent: Spent) -> Guard {
    match spent {
        Spent::All | Spent::Never(_) => Guard::BodyMemory,
        Spent::Address => Guard::BodyMemoryPerAddress,
        Spent::Key => Guard::BodyMemoryPerKey,
    }
}

/// The answer to a call that one of `charges` refuses; none if all of them admit it.
pub(super) fn response(charges: &[Charge]) -> Option<Response<Body>> {
    let mut response = status(charges)?.into_http();
    quota_headers(charges, response.headers_mut());
    Some(response)
}

fn refused(charge: &Charge) -> Option<(&Subject, &Refusal)> {
    match &charge.verdict {
        Verdict::Refused(refusal) => Some((&charge.subject, refusal)),
        Verdict::Admitted(_) => None,
    }
}

/// The status of what one of `charges` refuses; none if all of them admit it. Its text is about the quota with the
/// longest wait.
pub fn status(charges: &[Charge]) -> Option<Status> {
    let refusals: Vec<_> = charges.iter().filter_map(refused).collect();
    let wait = |(_, refusal): &&(&Subject, &Refusal)| refusal.retry_after;
    let (
        subject,
        Refusal {
            quota, retry_after, ..
        },
    ) = refusals.iter().max_by_key(wait)?;
    let violations = refusals.iter().map(|(subject, refusal)| {
        let description = format!("{} and {}", rule(subject, refusal.quota), kind(subject));
        QuotaViolation::new(subject.to_string(), description)
    });
    let metadata = [
        ("quota_limit".to_owned(), quota.requests().to_string()),
        ("quota_policy".to_owned(), subject.policy().to_owned()),
    ];
    let mut details = ErrorDetails::new();
    details
        .set_retry_info(Some(*retry_after))
        .set_quota_failure(violations.collect::<Vec<_>>())
        .set_error_info(RATE_LIMIT_EXCEEDED, DOMAIN, metadata);
    let message = format!(
        "Rate limit exceeded: {} {}",
        rule(subject, *quota),
        of(subject)
    );
    let status = Status::with_error_details(Code::ResourceExhausted, message, details);
    Some(pushed_back(status, *retry_after))
}

fn rule(subject: &Subject, quota: Quota) -> String {
    let (count, period) = (quota.requests(), quota.period().as_secs_f64());
    let counted = match subject {
        Subject::Failures(_) => "failed authentications",
        Subject::Address(_) | Subject::Project { .. } | Subject::Key { .. } => "requests",
    };
    format!("{count} {counted} per {period} s")
}

fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Address(key) | Subject::Failures(key) => match key {
            AddressKey::V6Wide(_, Width::Prefix56) => "IPv6 /56",
            AddressKey::V6Wide(_, Width::Prefix48) => "IPv6 /48",
            AddressKey::V4(_) | AddressKey::V6(_) | AddressKey::Unix => "client address",
        },
        Subject::Project { .. } => "project",
        Subject::Key { .. } => "key",
    }
}

fn of(subject: &Subject) -> String {
    match subject {
        Subject::Address(key) | Subject::Failures(key) => format!("from {key}"),
        Subject::Project { .. } | Subject::Key { .. } => format!("for {subject}"),
    }
}

/// Adds the state of the quotas to an answer.
pub(super) fn quota_headers(charges: &[Charge], headers: &mut HeaderMap) {
    if charges.is_empty() {
        return;
    }
    let items = || Items(String::with_capacity(ITEM_BYTES * charges.len()));
    let (mut policies, mut limits) = (items(), items());
    for Charge { subject, verdict } in charges {
        let (quota, remaining, reset) = match verdict {
            Verdict::Admitted(remaining) => (remaining.quota, remaining.remaining, remaining.reset),
            Verdict::Refused(refusal) => (refusal.quota, 0, refusal.reset),
        };
        let window = seconds(quota.period());
        policies.item(
            subject,
            [(";q=", quota.requests().get().into()), (";w=", window)],
        );
        limits.item(
            subject,
            [(";r=", remaining.into()), (";t=", seconds(reset))],
        );
    }
    for (name, Items(text)) in [(POLICY, policies), (LIMIT, limits)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            let value = match name == LIMIT {
                true => once(value),
                false => value,
            };
            headers.insert(name, value);
        }
    }
}

/// A value that no other answer has. Over HTTP/2 it is kept out of the compression table: comparing each ID with those
/// of the last answers would take longer than all else about them.
pub(super) fn once(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// A header's list of named items with their numbers, written without `fmt`: it is on every answer.
struct Items(String);

impl Items {
    fn item(&mut self, subject: &Subject, numbers: [(&str, u64); 2]) {
        let Self(text) = self;
        text.push_str(if text.is_empty() { "\"" } else { ", \"" });
        text.push_str(subject.policy());
        text.push('"');
        for (name, number) in numbers {
            text.push_str(name);
            text.push_str(itoa::Buffer::new().format(number));
        }
    }
}

/// Rounded up, so that the wait is long enough.
fn seconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0))
}
