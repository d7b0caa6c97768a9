//! The projects as they are at the moment: who is let in, and what they are charged to.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Access, AccessError, Error, Tracker};
use crate::limit::{Account, Charge, Quotas, Subject, Ticket};
use crate::model::credentials::Credentials;
use crate::model::project::{Key, KeyAccess, Project};

/// A project, and what its callers may send.
#[derive(Clone, Debug)]
pub struct Member {
    /// The project.
    pub project: Project,
    /// The quotas of the project and of its keys.
    pub quotas: Quotas,
}

/// A project without quotas.
impl From<Project> for Member {
    fn from(project: Project) -> Self {
        Self {
            project,
            quotas: Quotas::default(),
        }
    }
}

/// All projects, by token.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    project: Arc<Project>,
    account: Arc<Account>,
}

impl Members {
    /// The projects that come after `before`. What is owed there is owed here.
    pub(super) fn succeeding(before: &Self, members: Vec<Member>) -> Self {
        let entry = |Member { project, quotas }: Member| {
            let mut account = Account::new(&quotas);
            if let Some(before) = before.0.get(&project.token) {
                let place_before = |place: usize| {
                    let key = project.keys.get(place)?;
                    before
                        .project
                        .keys
                        .iter()
                        .position(|known| known.is_same_as(key))
                };
                account.succeed(&before.account, place_before);
            }
            let entry = Entry {
                project: Arc::new(project),
                account: Arc::new(account),
            };
            (entry.project.token.clone(), entry)
        };
        Self(members.into_iter().map(entry).collect())
    }

    fn authenticate(&self, token: &str, credentials: &Credentials) -> Result<Access, Error> {
        let entry = self.0.get(token).ok_or(AccessError::UnknownProject)?;
        let key = entry.project.authenticate(credentials)?;
        Ok(Access {
            project: entry.project.clone(),
            account: entry.account.clone(),
            key,
        })
    }

    /// What a caller who was let in before may do now.
    fn renew(&self, access: &Access) -> Option<Access> {
        let entry = self.0.get(access.token())?;
        let mut keys = entry.project.keys.iter();
        let key = keys.find(|known| Arc::ptr_eq(known, &access.key) || **known == access.key)?;
        Some(Access {
            project: entry.project.clone(),
            account: entry.account.clone(),
            key: key.clone(),
        })
    }

    /// Whether a key is still there as it was.
    pub(super) fn has(&self, token: &str, key: &Arc<Key>) -> bool {
        let is_it = |known: &Arc<Key>| Arc::ptr_eq(known, key) || known == key;
        let entry = self.0.get(token);
        entry.is_some_and(|entry| entry.project.keys.iter().any(is_it))
    }
}

impl Tracker {
    /// Lets a caller into a project.
    ///
    /// # Errors
    /// [`Error::Access`].
    pub fn authenticate(&self, token: &str, credentials: &Credentials) -> Result<Access, Error> {
        self.members.borrow().authenticate(token, credentials)
    }

    /// Lets a caller who was let in before into the project as it is now.
    ///
    /// # Errors
    /// [`Error::Access`]: the key is gone, or another.
    pub fn renew(&self, access: &Access) -> Result<Access, Error> {
        let renewed = self.members.borrow().renew(access);
        Ok(renewed.ok_or(AccessError::UnknownKey)?)
    }

    /// Charges a call to the quotas of its project and of its key, and notes on its ticket what came of it.
    ///
    /// # Errors
    /// [`Error::OverQuota`]: nothing was charged.
    pub fn charge(&self, access: &Access, ticket: &Ticket) -> Result<(), Error> {
        let is_key = |key: &Arc<Key>| Arc::ptr_eq(key, &access.key);
        let place = access.project.keys.iter().position(is_key);
        let place = place.unwrap_or(usize::MAX);
        let now = self.clock.elapsed();
        let charged = access.account.charge(place, now, &self.account_counters);
        let token = || access.token().to_owned();
        let project = charged.project.map(|verdict| Charge {
            subject: Subject::Project { token: token() },
            verdict,
        });
        let key = charged.key.map(|verdict| Charge {
            subject: Subject::Key {
                token: token(),
                place,
                id: match &access.key.access {
                    KeyAccess::Public(_) => None,
                    KeyAccess::Private { id, .. } => Some(id.clone()),
                },
            },
            verdict,
        });
        ticket.note(project.into_iter().chain(key).collect());
        let waits = charged.refusals().map(|refusal| refusal.retry_after);
        match waits.max() {
            None => Ok(()),
            Some(retry_after) => Err(Error::OverQuota { retry_after }),
        }
    }

    /// From now on, these are the projects. Who was let in before finishes what is under way, but for watches, which
    /// end if their key is gone or another.
    pub fn replace(&self, members: Vec<Member>) {
        let replace = |before: &mut Arc<Members>| {
            *before = Arc::new(Members::succeeding(before, members));
        };
        self.members.send_modify(replace);
    }
}
