//! Matches credentials to keys before the project is known. Over gRPC the message names the project, and no message is
//! collected for a caller whose credentials are not valid anywhere.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Access, AccessError, Error, Tracker, open};
use crate::limit::{Failed, Meter, QuotaOutcome};
use crate::model::address::ClientAddress;
use crate::model::credentials::Credentials;
use crate::model::project::{Key, KeyAccess, Project, PublicKey};
use crate::model::time::Timestamp;

/// Most projects with private keys of one ID that are searched for a caller before its message names the project.
const NAMESAKES_MAX: usize = 16;

/// A key, and its project.
type ProjectKey = (Arc<Project>, Arc<Key>);

/// All keys, by what callers show of them.
#[derive(Debug, Default)]
pub(super) struct Keys {
    public: HashMap<PublicKey, Vec<ProjectKey>>,
    private: HashMap<String, Vec<ProjectKey>>,
    /// The keys that have certificates.
    certified: Vec<ProjectKey>,
}

/// The keys that a caller's credentials match, as an extension of its request.
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

    /// The keys that may match: those of a public key's text, of a private key's ID, all that have certificates.
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
    /// Counts what the caller holds from now on for its key too.
    pub fn hold(&self, meter: &Meter) {
        if let Some((project, key)) = self.0.first() {
            meter.of_key(project.clone(), key.clone());
        }
    }
}

/// Whether a key that may match does: for private keys, whether the secret is right.
fn is_shown(place: &ProjectKey, credentials: &Credentials, now: Timestamp) -> bool {
    let (_, key) = place;
    match credentials {
        Credentials::Missing | Credentials::Unreadable => false,
        // It was found by its text.
        Credentials::Public(_) => !key.has_expired(now),
        Credentials::Certificate(_) | Credentials::Private { .. } => {
            key.is_shown_by(credentials) && !key.has_expired(now)
        }
    }
}

impl Tracker {
    /// Finds the keys that credentials match, in any project. A caller that failed too often is refused, as by
    /// [`Tracker::authenticate`].
    ///
    /// # Errors
    /// [`Error::Access`]: there is no such key, or the secret is wrong. [`Error::OverQuota`].
    pub fn recognize(
        &self,
        credentials: &Credentials,
        address: ClientAddress,
        quota_outcome: &QuotaOutcome,
    ) -> Result<CandidateKeys, Error> {
        if self.is_open() && open::is_shown(credentials) {
            // Which project it is shows once the message names it.
            return Ok(CandidateKeys(Vec::new()));
        }
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

    /// Compares a secret with those of the keys of its name. A wrong secret counts as a guess at each of them. Keys
    /// with too many guesses are skipped.
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

    /// Admits a known caller to the project that it names; none if its credentials have to be checked again.
    pub fn enter(&self, known: &CandidateKeys, token: &str) -> Option<Access> {
        // With several keys of one name, the secret is compared once the project is known, which counts the failures.
        let [(project, key)] = known.0.as_slice() else {
            return None;
        };
        if project.token != token || key.has_expired(self.clock.now()) {
            return None;
        }
        self.projects.borrow().enter(project, key)
    }
}
