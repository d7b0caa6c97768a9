//! `[[project.key]]`: a key of a project, and what it allows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::grant::Granted;
use super::quota;
use super::reader::Fields;
use super::value::Kind;
use crate::limit::Quota;
use crate::model::certificate::CertificateName;
use crate::model::project::{Key, KeyAccess, PublicKey, SecretHash};
use crate::model::time::Timestamp;

/// A key of a project: `[[project.key]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// What it is, and what it allows.
    pub key: Arc<Key>,
    /// What all its callers together may send. Default: no limit but those of the project and of their addresses.
    pub rate_limit: Option<Quota>,
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

const SECRET: Kind<SecretHash> =
    Kind::secret("1 to 256 characters without control characters", |value| {
        let text = value
            .text()
            .filter(|text| (1..=256).contains(&text.chars().count()))?;
        (!text.contains(char::is_control)).then(|| SecretHash::of(text))
    });

const SECRET_SHA256: Kind<SecretHash> = Kind::secret("64 hexadecimal digits", |value| {
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
        .map(SecretHash::from_sha256)
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
            (Some(key), None) => {
                let access = KeyAccess::Public(PublicKey::new(&key));
                ("public", key, access)
            }
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
        let key = Arc::new(Key {
            access,
            client_cert,
            expires,
            permissions,
            event_types,
        });
        check(&key, fields);
        Some(Self { key, rate_limit })
    }
}

fn check(key: &Key, fields: &mut Fields<'_, '_>) {
    match &key.access {
        KeyAccess::Public(_) => {
            for permission in key
                .permissions
                .iter()
                .filter(|permission| !permission.is_public())
            {
                let problem = "cannot be had by a public key, expected a key with id and secrets";
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
            let needed = usize::from(key.client_cert.is_none());
            if !(needed..=2).contains(&count) {
                let problem = "in secrets and secrets_sha256 together, expected 1 or 2";
                fields.mistake("secrets", format!("{count} {problem}"));
            }
        }
    }
}

fn visible(text: &str, except: &[u8]) -> Option<String> {
    let is_visible = |byte: u8| byte.is_ascii_graphic() && !except.contains(&byte);
    ((1..=256).contains(&text.len()) && text.bytes().all(is_visible)).then(|| text.to_owned())
}
