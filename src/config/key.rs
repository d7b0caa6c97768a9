//! `[[project.key]]`: a key of a project, and what it allows.

use std::collections::BTreeSet;
use std::fmt;

use super::grant::Granted;
use super::quota;
use super::reader::Fields;
use super::value::Kind;
use crate::limit::Quota;
use crate::model::certificate::CertificateName;
use crate::model::event::EventType;
pub use crate::model::project::Permission;
use crate::model::time::Timestamp;

/// A key of a project: `[[project.key]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// How a caller shows that it has the key.
    pub access: KeyAccess,
    /// The name of a caller's certificate that is this key too. Default: none.
    pub client_cert: Option<CertificateName>,
    /// When it is a key no more. Default: never.
    pub expires: Option<Timestamp>,
    /// What it allows; only setting, if it is public.
    pub permissions: Vec<Permission>,
    /// The types of which it may add events, where it may not add all: `events:set:TYPE` among its permissions.
    pub event_types: BTreeSet<EventType>,
    /// What all its callers together may send. Default: no limit but those of the project and of their addresses.
    pub rate_limit: Option<Quota>,
}

/// How a caller shows that it has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    /// By a text that every page may hold.
    Public {
        /// The text.
        key: String,
    },
    /// By a name and a secret.
    Private {
        /// The name; by default that of [`KeyConfig::client_cert`].
        id: String,
        /// The one or two secrets that count at the moment; none, if only a certificate is the key.
        secrets: Vec<SecretConfig>,
    },
}

/// A secret, or what remains of it. Its `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretConfig {
    /// The secret itself.
    Plain(String),
    /// The SHA-256 of its bytes.
    Sha256([u8; 32]),
}

impl fmt::Debug for SecretConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(..)",
            Self::Sha256(_) => "Sha256(..)",
        })
    }
}

/// Not shown in mistakes: it lets in, and a log has other readers.
const PUBLIC_KEY: Kind<String> = Kind::secret("1 to 256 visible ASCII characters", |value| {
    visible(value.text()?, b"")
});

/// Not shown in mistakes: anyone who writes `id:secret` here would find the secret in a log.
const KEY_ID: Kind<String> = Kind {
    is_masked: false,
    ..Kind::secret(
        "1 to 256 visible ASCII characters other than \":\"",
        |value| visible(value.text()?, b":"),
    )
};

const CLIENT_CERT: Kind<CertificateName> = Kind::new(
    "a URI such as \"spiffe://example.org/shop\" or a DNS name such as \"shop.example.org\"",
    |value| CertificateName::parse(value.text()?),
);

const SECRET: Kind<SecretConfig> =
    Kind::secret("1 to 256 characters without control characters", |value| {
        let text = value
            .text()
            .filter(|text| (1..=256).contains(&text.chars().count()))?;
        (!text.contains(char::is_control)).then(|| SecretConfig::Plain(text.to_owned()))
    });

const SECRET_SHA256: Kind<SecretConfig> = Kind::secret("64 hexadecimal digits", |value| {
    let (pairs, rest) = value.text()?.as_bytes().as_chunks::<2>();
    let digit = |letter: u8| {
        char::from(letter)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let hash: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    rest.is_empty()
        .then(|| hash?.try_into().ok())
        .flatten()
        .map(SecretConfig::Sha256)
});

const EXPIRES: Kind<Timestamp> = Kind::new(
    "a time such as \"2027-01-31T00:00:00Z\", with its zone",
    |value| {
        let time: jiff::Timestamp = value.written()?.parse().ok()?;
        Timestamp::from_micros(time.as_microsecond()).ok()
    },
);

impl KeyConfig {
    /// `names` are the key IDs, public keys and certificates' names before it; none if a mistake was noted.
    pub(super) fn read(
        fields: &mut Fields<'_, '_>,
        names: &mut BTreeSet<(&'static str, String)>,
    ) -> Option<Self> {
        let mistakes = fields.mistakes();
        let public = fields.optional("public", PUBLIC_KEY);
        let id = fields.optional("id", KEY_ID);
        let client_cert = fields.optional("client_cert", CLIENT_CERT);
        let mut secrets = fields.list("secrets", SECRET, "");
        secrets.extend(fields.list("secrets_sha256", SECRET_SHA256, ""));
        let expires = fields.optional("expires", EXPIRES);
        let Granted {
            permissions,
            event_types,
        } = Granted::read(fields);
        let rate_limit = quota::optional(fields);
        if fields.mistakes() > mistakes {
            return None;
        }
        let (kind, name, access) = match (public, id) {
            (Some(key), None) => ("public", key.clone(), KeyAccess::Public { key }),
            (None, Some(id)) => ("id", id.clone(), KeyAccess::Private { id, secrets }),
            (Some(_), Some(_)) => {
                fields.mistake("id", "given beside public, expected only one of the two");
                return None;
            }
            (None, None) => match &client_cert {
                Some(name) => {
                    let id = name.text().to_owned();
                    ("id", id.clone(), KeyAccess::Private { id, secrets })
                }
                None => {
                    fields.mistake("id", "missing, expected one of public, id and client_cert");
                    return None;
                }
            },
        };
        let of_cert = client_cert
            .as_ref()
            .map(|name| ("client_cert", name.text().to_owned()));
        for (kind, name) in [(kind, name)].into_iter().chain(of_cert) {
            if !names.insert((kind, name)) {
                fields.mistake(kind, "another key of the project has it already");
            }
        }
        let key = Self {
            access,
            client_cert,
            expires,
            permissions,
            event_types,
            rate_limit,
        };
        key.check(fields);
        Some(key)
    }

    fn check(&self, fields: &mut Fields<'_, '_>) {
        match &self.access {
            KeyAccess::Public { .. } => {
                for permission in self
                    .permissions
                    .iter()
                    .filter(|permission| !permission.is_public())
                {
                    let problem =
                        "cannot be had by a public key, expected a key with id and secrets";
                    fields.mistake(
                        "permissions",
                        format!("\"{}\" {problem}", permission.name()),
                    );
                }
                for key in ["secrets", "secrets_sha256", "client_cert"] {
                    if fields.is_given(key) {
                        fields.mistake(key, "given beside public, expected none");
                    }
                }
            }
            KeyAccess::Private { secrets, .. } => {
                let count = secrets.len();
                let needed = usize::from(self.client_cert.is_none());
                if !(needed..=2).contains(&count) {
                    let problem = "in secrets and secrets_sha256 together, expected 1 or 2";
                    fields.mistake("secrets", format!("{count} {problem}"));
                }
            }
        }
    }
}

fn visible(text: &str, except: &[u8]) -> Option<String> {
    let is_visible = |byte: u8| byte.is_ascii_graphic() && !except.contains(&byte);
    ((1..=256).contains(&text.len()) && text.bytes().all(is_visible)).then(|| text.to_owned())
}
