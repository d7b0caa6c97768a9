//! What one call was charged to, for the layer that answers it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Verdict;
use crate::model::address::{AddressKey, Width};
use crate::model::project::{Key, Project};

/// The subject of a quota. Displayed without secrets: `address:203.0.113.7`, `project:TOKEN`, `project:TOKEN/key:ID`,
/// and a public key by its place among the project's keys, `project:TOKEN/key[1]`; `failures:203.0.113.7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A client address, or a wider network.
    Address(AddressKey),
    /// Failures to authenticate at a client address, or in a wider network.
    Failures(AddressKey),
    /// All callers of a project.
    Project {
        /// Its token.
        token: String,
    },
    /// The callers of a key.
    Key {
        /// The project's token.
        token: String,
        /// The key's place among the project's keys, from 0.
        place: usize,
        /// The key's ID; none for a public key.
        id: Option<String>,
    },
}

/// One quota's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The subject of the quota.
    pub subject: Subject,
    /// The answer.
    pub verdict: Verdict,
}

/// Goes with a call to where its caller is authenticated, and reports to the layers in front whose call it is, and what
/// it was charged to there.
#[derive(Clone, Debug, Default)]
pub struct QuotaOutcome(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    caller: OnceLock<(Arc<Project>, Option<Arc<Key>>)>,
    charges: OnceLock<Vec<Charge>>,
}

impl QuotaOutcome {
    /// Notes what the call was charged to. The first note stays: a call is charged once.
    pub fn note(&self, charges: Vec<Charge>) {
        // If there is a note already, the call was decided by that one.
        let _ = self.0.charges.set(charges);
    }

    /// What was noted.
    pub fn charges(&self) -> &[Charge] {
        self.0.charges.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Notes whose call it is, and its key if the caller has one. The first note stays.
    pub fn note_caller(&self, project: &Arc<Project>, key: Option<&Arc<Key>>) {
        // If there is a note already, it is of the same token.
        let _ = self.0.caller.set((project.clone(), key.cloned()));
    }

    /// The project of the call, once it is known, and the key.
    pub fn caller(&self) -> Option<&(Arc<Project>, Option<Arc<Key>>)> {
        self.0.caller.get()
    }
}

impl Subject {
    /// The name of the quota in `RateLimit` and `RateLimit-Policy`.
    pub fn policy(&self) -> &'static str {
        match self {
            Self::Address(AddressKey::V6Wide(_, Width::Prefix56)) => "per56",
            Self::Address(AddressKey::V6Wide(_, Width::Prefix48)) => "per48",
            Self::Address(_) => "perip",
            Self::Failures(_) => "authfail",
            Self::Project { .. } => "perproject",
            Self::Key { .. } => "perkey",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(key) => write!(f, "address:{key}"),
            Self::Failures(key) => write!(f, "failures:{key}"),
            Self::Project { token } => write!(f, "project:{token}"),
            Self::Key {
                token,
                id: Some(id),
                ..
            } => write!(f, "project:{token}/key:{id}"),
            Self::Key { token, place, .. } => write!(f, "project:{token}/key[{}]", place + 1),
        }
    }
}
