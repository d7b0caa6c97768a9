//! Whose credentials are some key's, before it is known which project is meant: over gRPC the token stands in the
//! message, and nobody collects a message of a caller who shows nothing that is good anywhere.

use std::collections::HashMap;
use std::sync::Arc;

use super::projects::ProjectRegistry;
use super::{Access, AccessError, Error, Tracker};
use crate::limit::{Failed, Meter, QuotaOutcome};
use crate::model::address::ClientAddress;
use crate::model::credentials::Credentials;
use crate::model::project::{Key, KeyAccess, Project, PublicKey};
use crate::model::time::Timestamp;

/// Most projects with private keys of one ID among which a caller is looked for before its message says which one it
/// means.
const NAMESAKES_MAX: usize = 16;

/// A key, and the project that it is of.
type ProjectKey = (Arc<Project>, Arc<Key>);

/// All keys, by what callers show of them.
#[derive(Debug, Default)]
pub(super) struct Keys {
    public: HashMap<PublicKey, Vec<ProjectKey>>,
    private: HashMap<String, Vec<ProjectKey>>,
    /// Those that have certificates.
    certified: Vec<ProjectKey>,
}

/// A caller whose credentials are those of a key, as an extension of its request.
#[derive(Clone, Debug)]
pub struct CandidateKeys(Vec<ProjectKey>);

impl Keys {
    pub(super) fn add(&mut self, project: &Arc<Project>) {
        for key in &project.keys {
            let place = || (project.clone(), key.clone());
            match &key.access {
                KeyAccess::Public(text) => {
                    self.public.entry(text.clone()).or_default().push(place());
                }
                KeyAccess::Private { id, .. } => {
                    self.private.entry(id.clone()).or_default().push(place());
                }
            }
            if key.client_cert.is_some() {
                self.certified.push(place());
            }
        }
    }

    /// The keys that may be meant: those of a public key's text, of a private key's ID, all that have certificates.
    fn named(&self, credentials: &Credentials) -> Vec<ProjectKey> {
        let places = match credentials {
            Credentials::Missing | Credentials::Unreadable => None,
            Credentials::Certificate(_) => Some(&self.certified),
            Credentials::Public(text) => self.public.get(text.as_str()),
            Credentials::Private { id, .. } => self.private.get(id),
        };
        places.cloned().unwrap_or_default()
    }
}

impl CandidateKeys {
    /// What the caller holds from now on is its key's too.
    pub fn hold(&self, meter: &Meter) {
        if let Some((project, key)) = self.0.first() {
            meter.of_key(project.clone(), key.clone());
        }
    }
}

/// Whether a key that may be meant is the one: of private keys, whether the secret is right.
fn is_shown(place: &ProjectKey, credentials: &Credentials, now: Timestamp) -> bool {
    let (_, key) = place;
    match credentials {
        Credentials::Missing | Credentials::Unreadable => false,
        // It was found by what is shown.
        Credentials::Public(_) => !key.has_expired(now),
        Credentials::Certificate(_) | Credentials::Private { .. } => {
            key.is_shown_by(credentials) && !key.has_expired(now)
        }
    }
}

impl Tracker {
    /// Finds the keys that credentials are those of, whatever the project. Who failed too often is refused, as by
    /// [`Tracker::authenticate`].
    ///
    /// # Errors
    /// [`Error::Access`]: there is no such key, or its secret is another. [`Error::OverQuota`].
    pub fn recognize(
        &self,
        credentials: &Credentials,
        address: ClientAddress,
        quota_outcome: &QuotaOutcome,
    ) -> Result<CandidateKeys, Error> {
        let (now, today) = (self.clock.elapsed(), self.clock.now());
        let mut places = self.projects.borrow().keys.named(credentials);
        places.retain(|(_, key)| !key.has_expired(today));
        match credentials {
            Credentials::Missing | Credentials::Unreadable | Credentials::Certificate(_) => {
                places.retain(|place| is_shown(place, credentials, today));
                match (places.is_empty(), credentials) {
                    (false, _) => Ok(CandidateKeys(places)),
                    (true, Credentials::Unreadable) => Err(AccessError::UnreadableKey.into()),
                    (true, _) => Err(AccessError::NoKey.into()),
                }
            }
            Credentials::Private { .. } if places.len() > NAMESAKES_MAX => {
                Ok(CandidateKeys(Vec::new()))
            }
            Credentials::Private { id, .. } if !places.is_empty() => {
                self.compare(places, credentials, id, (address, quota_outcome))
            }
            Credentials::Public(_) if !places.is_empty() => Ok(CandidateKeys(places)),
            Credentials::Private { .. } | Credentials::Public(_) => {
                self.refuse(Failed::Unknown, (address, quota_outcome))?;
                self.failures.charge(address, Failed::Unknown, now);
                Err(AccessError::UnknownKey.into())
            }
        }
    }

    /// Compares a secret with those of the keys of its name. It is a guess at each for which it is wrong, and is not
    /// compared with that of one at which there were too many.
    fn compare(
        &self,
        places: Vec<ProjectKey>,
        credentials: &Credentials,
        id: &str,
        (address, quota_outcome): (ClientAddress, &QuotaOutcome),
    ) -> Result<CandidateKeys, Error> {
        let (now, today) = (self.clock.elapsed(), self.clock.now());
        let guess = |place: &ProjectKey| -> Result<(), Error> {
            let token = &place.0.token;
            self.refuse(Failed::Secret { token, id }, (address, quota_outcome))
        };
        let (mut shown, mut refused) = (Vec::new(), Ok(()));
        for place in &places {
            match guess(place) {
                Err(error) => refused = Err(error),
                Ok(()) if is_shown(place, credentials, today) => shown.push(place.clone()),
                Ok(()) => {}
            }
        }
        if !shown.is_empty() {
            return Ok(CandidateKeys(shown));
        }
        refused?;
        for (project, _) in &places {
            let token = &project.token;
            self.failures
                .charge(address, Failed::Secret { token, id }, now);
        }
        Err(AccessError::WrongSecret.into())
    }

    /// Lets a known caller into the project that it means; none, if what it shows has to be looked at again.
    pub fn enter(&self, known: &CandidateKeys, token: &str) -> Option<Access> {
        // Of several keys of one name the secret is compared where the project is known, which counts the failures.
        let [(project, key)] = known.0.as_slice() else {
            return None;
        };
        if project.token != token || key.has_expired(self.clock.now()) {
            return None;
        }
        self.projects.borrow().enter(project, key)
    }
}

impl ProjectRegistry {
    /// Whether the project is as it was when the key was found.
    fn enter(&self, project: &Arc<Project>, key: &Arc<Key>) -> Option<Access> {
        let entry = self.entry(&project.token)?;
        let is_same = Arc::ptr_eq(&entry.project, project);
        is_same.then(|| Access {
            project: project.clone(),
            account: entry.account.clone(),
            progress: entry.progress.clone(),
            key: key.clone(),
        })
    }
}
