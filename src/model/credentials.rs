//! The credentials that a caller sends.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::certificate::CertificateNames;

/// Base64 whose padding may be missing, as some clients send it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials of one call.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// None were sent.
    Missing,
    /// None were sent, over a connection whose certificate has these names: private access.
    Certificate(CertificateNames),
    /// An `Authorization` header of an unknown form.
    Unreadable,
    /// `Token <public key>`: public access.
    Public(String),
    /// `Basic base64(key id:secret)`: private access.
    Private {
        /// The key's ID.
        id: String,
        /// One of the key's secrets.
        secret: String,
    },
}

impl Credentials {
    /// Parses the value of an `Authorization` header. The scheme's case does not matter.
    pub fn from_authorization(value: &[u8]) -> Self {
        Self::read(value).unwrap_or(Self::Unreadable)
    }

    fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let (scheme, rest) = text.split_once([' ', '\t'])?;
        let rest = rest.trim();
        if rest.is_empty() {
            return None;
        }
        if scheme.eq_ignore_ascii_case("token") {
            return Some(Self::Public(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        Some(Self::Private {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }
}

/// Never shows a secret, nor other text in its place.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::Certificate(_) => "Certificate(..)",
            Self::Unreadable => "Unreadable",
            Self::Public(_) => "Public(..)",
            Self::Private { .. } => "Private(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_read_in_any_case() {
        let public = Credentials::Public("key".into());
        assert_eq!(Credentials::from_authorization(b"Token key"), public);
        assert_eq!(Credentials::from_authorization(b"tOKEN  key "), public);
        let private = Credentials::Private {
            id: "id".into(),
            secret: "se:cret".into(),
        };
        assert_eq!(
            Credentials::from_authorization(b"basic aWQ6c2U6Y3JldA=="),
            private
        );
    }

    #[test]
    fn padding_may_be_missing() {
        let private = |id: &str, secret: &str| Credentials::Private {
            id: id.into(),
            secret: secret.into(),
        };
        for (value, expected) in [
            ("Basic aWQ6c2U6Y3JldA", private("id", "se:cret")),
            ("Basic aWQ6c2U6Y3JldA=", private("id", "se:cret")),
            ("Basic aWQ6czE", private("id", "s1")),
        ] {
            let read = Credentials::from_authorization(value.as_bytes());
            assert_eq!(read, expected, "{value}");
        }
    }

    #[test]
    fn anything_else_is_unreadable() {
        for value in [
            "",
            "Token",
            "Token ",
            "Bearer key",
            "Basic !!",
            "Basic aWQ=",
            "Basic /w==",
        ] {
            assert_eq!(
                Credentials::from_authorization(value.as_bytes()),
                Credentials::Unreadable,
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let credentials = Credentials::from_authorization(b"Basic aWQ6c2U6Y3JldA==");
        assert_eq!(format!("{credentials:?}"), "Private(..)");
    }
}
