//! The details of a status in protobuf-JSON form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic_types::pb;

/// The details as a JSON array without spaces. A detail of an unknown type keeps its bytes.
pub(super) fn json(status: &Status) -> Box<RawValue> {
    let message = pb::Status::decode(status.details()).unwrap_or_default();
    let details: Vec<Value> = message.details.iter().map(detail).collect();
    // Writing into memory cannot fail.
    to_raw_value(&details).unwrap_or_default()
}

fn detail(any: &prost_types::Any) -> Value {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let bytes = any.value.as_slice();
    let known = match name {
        "google.rpc.RetryInfo" => pb::RetryInfo::decode(bytes).ok().map(retry_info),
        "google.rpc.QuotaFailure" => pb::QuotaFailure::decode(bytes).ok().map(quota_failure),
        "google.rpc.ErrorInfo" => pb::ErrorInfo::decode(bytes).ok().map(error_info),
        "google.rpc.BadRequest" => pb::BadRequest::decode(bytes).ok().map(bad_request),
        _ => None,
    };
    let mut object = Map::new();
    object.insert("@type".to_owned(), any.type_url.as_str().into());
    match known {
        Some(Value::Object(fields)) => object.extend(fields),
        Some(_) | None => {
            object.insert("value".to_owned(), STANDARD.encode(bytes).into());
        }
    }
    object.into()
}

fn retry_info(info: pb::RetryInfo) -> Value {
    match info.retry_delay {
        Some(delay) => json!({ "retryDelay": duration(&delay) }),
        None => json!({}),
    }
}

/// Seconds with 0, 3, 6 or 9 decimals.
fn duration(duration: &prost_types::Duration) -> String {
    let (seconds, nanos) = (duration.seconds, duration.nanos);
    match nanos {
        0 => format!("{seconds}s"),
        _ if nanos % 1_000_000 == 0 => format!("{seconds}.{:03}s", nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => format!("{seconds}.{:06}s", nanos / 1_000),
        _ => format!("{seconds}.{nanos:09}s"),
    }
}

fn quota_failure(failure: pb::QuotaFailure) -> Value {
    let violation = |violation: pb::quota_failure::Violation| json!({ "subject": violation.subject, "description": violation.description });
    let violations = failure.violations.into_iter().map(violation);
    json!({ "violations": violations.collect::<Vec<_>>() })
}

fn error_info(info: pb::ErrorInfo) -> Value {
    let (reason, domain, metadata) = (info.reason, info.domain, info.metadata);
    match metadata.is_empty() {
        true => json!({ "reason": reason, "domain": domain }),
        false => json!({ "reason": reason, "domain": domain, "metadata": metadata }),
    }
}

fn bad_request(request: pb::BadRequest) -> Value {
    let violation = |violation: pb::bad_request::FieldViolation| json!({ "field": violation.field, "description": violation.description });
    let violations = request.field_violations.into_iter().map(violation);
    json!({ "fieldViolations": violations.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_detail_of_an_unknown_type_keeps_its_bytes() {
        let message = pb::Status {
            details: vec![prost_types::Any {
                type_url: "type.googleapis.com/example.Thing".into(),
                value: vec![1, 2, 3],
            }],
            ..pb::Status::default()
        };
        let details = Bytes::from(message.encode_to_vec());
        let status = Status::with_details(Code::Internal, "x", details);
        let json: Value = serde_json::from_str(super::json(&status).get()).unwrap();
        let expected = json!([{"@type": "type.googleapis.com/example.Thing", "value": "AQID"}]);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_duration_has_as_many_decimals_as_it_needs() {
        let shown = |seconds, nanos| duration(&prost_types::Duration { seconds, nanos });
        assert_eq!(shown(3, 0), "3s");
        assert_eq!(shown(0, 10_000_000), "0.010s");
        assert_eq!(shown(0, 10_000), "0.000010s");
        assert_eq!(shown(1, 1), "1.000000001s");
    }
}
