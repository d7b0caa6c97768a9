//! A key as a holder of resources, by a name that stays the same when its secrets or other settings change.

use crate::model::address::AddressKey;
use crate::model::project::{Key, KeyAccess, PublicKey};

/// A holder of resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A key, whatever the addresses that it comes from.
    Key(KeyHolder),
    /// An address that has shown no key.
    Address(AddressKey),
    /// Proxies, which call for many.
    Proxy,
}

/// A key of a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyHolder {
    token: String,
    key: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Public(PublicKey),
    Private(String),
}

impl KeyHolder {
    /// The key of the project with this token.
    pub fn new(token: &str, key: &Key) -> Self {
        Self {
            token: token.to_owned(),
            key: match &key.access {
                KeyAccess::Public(text) => Name::Public(text.clone()),
                KeyAccess::Private { id, .. } => Name::Private(id.clone()),
            },
        }
    }
}
