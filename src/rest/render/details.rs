//! The details of a status in protobuf-JSON form.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::{DecodeError, Message as _};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use tonic_types::pb;

/// The details of a status.
pub(super) struct Details(Vec<Detail>);

#[derive(Serialize)]
#[serde(tag = "@type")]
enum Detail {
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest")]
    #[serde(rename_all = "camelCase")]
    BadRequest { field_violations: Vec<Violation> },
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo {
        domain: String,
        #[serde(skip_serializing_if = "HashMap::is_empty")]
        metadata: HashMap<String, String>,
        reason: String,
    },
    #[serde(rename = "type.googleapis.com/google.rpc.QuotaFailure")]
    QuotaFailure { violations: Vec<Quota> },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    #[serde(rename_all = "camelCase")]
    RetryInfo {
        #[serde(serialize_with = "duration", skip_serializing_if = "Option::is_none")]
        retry_delay: Option<prost_types::Duration>,
    },
    /// Of another type: its bytes, in Base64.
    #[serde(untagged)]
    Unknown {
        #[serde(rename = "@type")]
        url: String,
        value: String,
    },
}

#[derive(Serialize)]
struct Violation {
    description: String,
    field: String,
}

#[derive(Serialize)]
struct Quota {
    description: String,
    subject: String,
}

impl Details {
    /// Reads a `google.rpc.Status`. One that cannot be read has no details.
    pub(super) fn read(status: &[u8]) -> Self {
        let message = pb::Status::decode(status).unwrap_or_default();
        Self(message.details.into_iter().map(Detail::read).collect())
    }

    /// As a JSON array without spaces.
    pub(super) fn json(&self) -> Box<RawValue> {
        // Writing into memory cannot fail.
        to_raw_value(&self.0).unwrap_or_default()
    }

    /// The first field that is wrong.
    pub(super) fn field(&self) -> Option<&str> {
        let mut violations = self.0.iter().filter_map(|detail| match detail {
            Detail::BadRequest { field_violations } => field_violations.first(),
            Detail::ErrorInfo { .. }
            | Detail::QuotaFailure { .. }
            | Detail::RetryInfo { .. }
            | Detail::Unknown { .. } => None,
        });
        Some(&violations.next()?.field)
    }

    /// How long to wait before a retry.
    pub(super) fn retry_delay(&self) -> Option<&prost_types::Duration> {
        self.0.iter().find_map(|detail| match detail {
            Detail::RetryInfo { retry_delay } => retry_delay.as_ref(),
            Detail::BadRequest { .. }
            | Detail::ErrorInfo { .. }
            | Detail::QuotaFailure { .. }
            | Detail::Unknown { .. } => None,
        })
    }
}

impl Detail {
    fn read(any: prost_types::Any) -> Self {
        Self::known(&any).ok().flatten().unwrap_or(Self::Unknown {
            value: STANDARD.encode(any.value),
            url: any.type_url,
        })
    }

    fn known(any: &prost_types::Any) -> Result<Option<Self>, DecodeError> {
        let bytes = any.value.as_slice();
        Ok(Some(match any.type_url.as_str() {
            "type.googleapis.com/google.rpc.BadRequest" => Self::BadRequest {
                field_violations: pb::BadRequest::decode(bytes)?
                    .field_violations
                    .into_iter()
                    .map(|violation| Violation {
                        description: violation.description,
                        field: violation.field,
                    })
                    .collect(),
            },
            "type.googleapis.com/google.rpc.ErrorInfo" => {
                let info = pb::ErrorInfo::decode(bytes)?;
                Self::ErrorInfo {
                    domain: info.domain,
                    metadata: info.metadata,
                    reason: info.reason,
                }
            }
            "type.googleapis.com/google.rpc.QuotaFailure" => Self::QuotaFailure {
                violations: pb::QuotaFailure::decode(bytes)?
                    .violations
                    .into_iter()
                    .map(|violation| Quota {
                        description: violation.description,
                        subject: violation.subject,
                    })
                    .collect(),
            },
            "type.googleapis.com/google.rpc.RetryInfo" => Self::RetryInfo {
                retry_delay: pb::RetryInfo::decode(bytes)?.retry_delay,
            },
            _ => return Ok(None),
        }))
    }
}

/// Seconds with 0, 3, 6 or 9 decimals.
fn duration<S: Serializer>(
    duration: &Option<prost_types::Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let prost_types::Duration { seconds, nanos } = duration.unwrap_or_default();
    match nanos {
        0 => serializer.collect_str(&format_args!("{seconds}s")),
        _ if nanos % 1_000_000 == 0 => {
            serializer.collect_str(&format_args!("{seconds}.{:03}s", nanos / 1_000_000))
        }
        _ if nanos % 1_000 == 0 => {
            serializer.collect_str(&format_args!("{seconds}.{:06}s", nanos / 1_000))
        }
        _ => serializer.collect_str(&format_args!("{seconds}.{nanos:09}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(type_url: &str, value: Vec<u8>) -> String {
        let message = pb::Status {
            details: vec![prost_types::Any {
                type_url: type_url.to_owned(),
                value,
            }],
            ..pb::Status::default()
        };
        let details = Details::read(&message.encode_to_vec());
        details.json().get().to_owned()
    }

    #[test]
    fn a_detail_of_an_unknown_type_keeps_its_bytes() {
        assert_eq!(
            shown("type.googleapis.com/example.Thing", vec![1, 2, 3]),
            r#"[{"@type":"type.googleapis.com/example.Thing","value":"AQID"}]"#
        );
    }

    #[test]
    fn a_detail_that_cannot_be_read_keeps_its_bytes() {
        assert_eq!(
            shown("type.googleapis.com/google.rpc.ErrorInfo", vec![255]),
            r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","value":"/w=="}]"#
        );
    }

    #[test]
    fn a_duration_has_as_many_decimals_as_it_needs() {
        for (seconds, nanos, text) in [
            (3, 0, "3s"),
            (0, 10_000_000, "0.010s"),
            (0, 10_000, "0.000010s"),
            (1, 1, "1.000000001s"),
        ] {
            let info = pb::RetryInfo {
                retry_delay: Some(prost_types::Duration { seconds, nanos }),
            };
            let url = "type.googleapis.com/google.rpc.RetryInfo";
            let expected = format!(r#"[{{"@type":"{url}","retryDelay":"{text}"}}]"#);
            assert_eq!(shown(url, info.encode_to_vec()), expected);
        }
    }
}
