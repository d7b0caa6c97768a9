//! Projects: their keys and permissions.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::certificate::CertificateName;
use super::credentials::Credentials;
use super::customer_id::Schema;
use super::event::EventType;
use super::time::Timestamp;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Set customers' properties and IDs.
    SetCustomers,
    /// Add events.
    SetEvents,
    /// Read customers' properties and IDs.
    GetCustomers,
    /// Read events.
    GetEvents,
    /// Anonymise customers.
    AnonymizeCustomers,
    /// Erase customers.
    EraseCustomers,
    /// See what is refused.
    GetRefusals,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] = [
        Self::SetCustomers,
        Self::SetEvents,
        Self::GetCustomers,
        Self::GetEvents,
        Self::AnonymizeCustomers,
        Self::EraseCustomers,
        Self::GetRefusals,
    ];

    /// The permission's name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetCustomers => "customers:set",
            Self::SetEvents => "events:set",
            Self::GetCustomers => "customers:get",
            Self::GetEvents => "events:get",
            Self::AnonymizeCustomers => "customers:anonymize",
            Self::EraseCustomers => "customers:erase",
            Self::GetRefusals => "refusals:get",
        }
    }

    /// Whether public keys may hold it: they are known to everyone, so they only write.
    pub fn is_public(self) -> bool {
        matches!(self, Self::SetCustomers | Self::SetEvents)
    }
}

/// The digest of a secret: all of it that is kept in memory.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The digest of a secret's text.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// A digest from the settings.
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// A public key's text. Browsers and phones carry it, so it is no secret; logs do not show it anyway.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(String);

impl PublicKey {
    /// The key of this text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn matches(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

/// For look-ups by the text that a caller sends.
impl Borrow<str> for PublicKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

/// An access key of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// How callers prove that they have it.
    pub access: KeyAccess,
    /// The name of the certificate that also is this key; only for a private key.
    pub client_cert: Option<CertificateName>,
    /// When it expires. None: never.
    pub expires: Option<Timestamp>,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// The types of which it may add events, where [`Permission::SetEvents`] does not let it add all.
    pub event_types: BTreeSet<EventType>,
}

/// The two kinds of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    /// Known to everyone: browsers and phones carry it.
    Public(PublicKey),
    /// With a secret, of which two may live while it is being rotated.
    Private {
        /// The key's ID.
        id: String,
        /// The live secrets; none if only a certificate is the key.
        secrets: Vec<SecretHash>,
    },
}

/// A project: its ID types and its keys.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's name in every request's path.
    pub token: String,
    /// The name under which its records are kept: its token, except in the emulator.
    pub kept_as: String,
    /// The ID types.
    pub ids: Schema,
    /// The access keys.
    pub keys: Vec<Arc<Key>>,
}

impl Project {
    /// A key's name, which is no secret: the ID of a private key, and the place of a public one, from 1.
    pub fn key_name(&self, key: &Key) -> String {
        match &key.access {
            KeyAccess::Private { id, .. } => id.clone(),
            KeyAccess::Public(_) => {
                let place = self.keys.iter().position(|known| **known == *key);
                format!("key[{}]", place.unwrap_or_default() + 1)
            }
        }
    }

    /// Finds the key that the credentials belong to. One that has expired is not found.
    ///
    /// # Errors
    /// Why the caller is not authenticated.
    pub fn authenticate(
        &self,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Arc<Key>, Error> {
        match credentials {
            Credentials::Missing => Err(Error::NoKey),
            Credentials::Unreadable => Err(Error::UnreadableKey),
            // A caller with nothing else may have a certificate for other reasons.
            Credentials::Certificate(names) => {
                let is_named =
                    |key: &Key| key.client_cert.as_ref().is_some_and(|name| names.has(name));
                self.key(now, is_named).map_err(|_| Error::NoKey)
            }
            Credentials::Public(text) => self.key(now, |key| match &key.access {
                KeyAccess::Public(key) => key.matches(text),
                KeyAccess::Private { .. } => false,
            }),
            Credentials::Private { id, secret } => {
                let key = self.key(now, |key| match &key.access {
                    KeyAccess::Public(_) => false,
                    KeyAccess::Private { id: known, .. } => known == id,
                })?;
                let shown = SecretHash::of(secret);
                match &key.access {
                    KeyAccess::Private { secrets, .. }
                        if secrets.iter().any(|secret| secret.matches(&shown)) =>
                    {
                        Ok(key)
                    }
                    KeyAccess::Private { .. } | KeyAccess::Public(_) => Err(Error::WrongSecret),
                }
            }
        }
    }

    fn key(&self, now: Timestamp, is_meant: impl Fn(&Key) -> bool) -> Result<Arc<Key>, Error> {
        self.keys
            .iter()
            .find(|key| is_meant(key) && !key.has_expired(now))
            .cloned()
            .ok_or(Error::UnknownKey)
    }
}

impl Key {
    /// Whether the other is an earlier or later version of this key: the same public text, or the same ID with any
    /// secrets.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (&self.access, &other.access) {
            (KeyAccess::Public(text), KeyAccess::Public(other)) => text == other,
            (KeyAccess::Private { id, .. }, KeyAccess::Private { id: other, .. }) => id == other,
            (KeyAccess::Public(_), KeyAccess::Private { .. })
            | (KeyAccess::Private { .. }, KeyAccess::Public(_)) => false,
        }
    }

    /// Whether credentials match the key, including its secret. An expired key also matches.
    pub fn is_shown_by(&self, credentials: &Credentials) -> bool {
        match (&self.access, credentials) {
            (_, Credentials::Certificate(names)) => {
                let cert = self.client_cert.as_ref();
                cert.is_some_and(|name| names.has(name))
            }
            (KeyAccess::Public(key), Credentials::Public(text)) => key.matches(text),
            (KeyAccess::Private { id, secrets }, Credentials::Private { id: shown, secret }) => {
                let secret = SecretHash::of(secret);
                id == shown && secrets.iter().any(|known| known.matches(&secret))
            }
            (_, Credentials::Missing | Credentials::Unreadable)
            | (KeyAccess::Public(_), Credentials::Private { .. })
            | (KeyAccess::Private { .. }, Credentials::Public(_)) => false,
        }
    }

    /// Whether the key has expired.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Checks that the key may do this.
    ///
    /// # Errors
    /// [`Error::NoPermission`].
    pub fn allow(&self, permission: Permission) -> Result<(), Error> {
        let private = matches!(self.access, KeyAccess::Private { .. });
        if self.permissions.contains(&permission) && (private || permission.is_public()) {
            return Ok(());
        }
        Err(Error::NoPermission(permission))
    }

    /// Checks that the key may add events of at least one type.
    ///
    /// # Errors
    /// [`Error::NoPermission`].
    pub fn allow_events(&self) -> Result<(), Error> {
        match self.event_types.is_empty() {
            true => self.allow(Permission::SetEvents),
            false => Ok(()),
        }
    }

    /// Checks that the key may add events of this type.
    ///
    /// # Errors
    /// [`Error::NoPermission`].
    pub fn allow_event(&self, event_type: &EventType) -> Result<(), Error> {
        match self.event_types.contains(event_type) {
            true => Ok(()),
            false => self.allow(Permission::SetEvents),
        }
    }
}

/// Why a caller is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such project.
    #[error("Could not authenticate")]
    UnknownProject,
    /// No credentials.
    #[error("Access key not provided")]
    NoKey,
    /// An `Authorization` header that is there and cannot be read. It is not repeated, as it may contain a secret.
    #[error(
        "Access key not provided: the Authorization header cannot be read, \
         expected 'Token public_key' or 'Basic base64(key_id:secret)'"
    )]
    UnreadableKey,
    /// The project has no such key.
    #[error("Access key not found")]
    UnknownKey,
    /// The secret is wrong.
    #[error("invalid secret")]
    WrongSecret,
    /// The key may not do this.
    #[error("No permission")]
    NoPermission(Permission),
}
