//! The current projects: authenticates callers and charges their quotas.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::known::Keys;
use super::open::Open;
use super::{Access, AccessError, Error, Tracker};
use crate::limit::{Account, Charge, Failed, QuotaOutcome, Quotas, Subject, Verdict};
use crate::model::address::ClientAddress;
use crate::model::credentials::Credentials;
use crate::model::project::{Key, KeyAccess, Project};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::view::{ProjectProgress, View};

/// A project, and what its callers may send.
#[derive(Clone, Debug)]
pub struct RegisteredProject {
    /// The project.
    pub project: Project,
    /// The quotas of the project and of its keys.
    pub quotas: Quotas,
}

/// A project without quotas.
impl From<Project> for RegisteredProject {
    fn from(project: Project) -> Self {
        Self {
            project,
            quotas: Quotas::default(),
        }
    }
}

/// All projects, by token.
#[derive(Debug, Default)]
pub(super) struct ProjectRegistry {
    pub(super) by_token: HashMap<String, Entry>,
    pub(super) keys: Keys,
    /// None: only the projects of the settings are there.
    pub(super) open: Option<Arc<Open>>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) project: Arc<Project>,
    pub(super) account: Arc<Account>,
    pub(super) progress: Arc<ProjectProgress>,
    pub(super) seen: Arc<Seen>,
}

/// What was seen of a project's commands since the start.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many had a time ahead of their receipt.
    pub(super) ahead: AtomicU64,
    /// When the newest event was received, in µs; 0: there was none.
    pub(super) last_event: AtomicI64,
}

impl ProjectRegistry {
    /// Admits the caller if the project and key are as they were when the key was found.
    pub(super) fn enter(&self, project: &Arc<Project>, key: &Arc<Key>) -> Option<Access> {
        let entry = self.entry(&project.token)?;
        let is_same = Arc::ptr_eq(&entry.project, project);
        is_same.then(|| Access {
            project: project.clone(),
            account: entry.account.clone(),
            progress: entry.progress.clone(),
            seen: entry.seen.clone(),
            key: key.clone(),
        })
    }
    /// The projects that replace `before`, with its debts.
    pub(super) fn succeeding(before: &Self, projects: Vec<RegisteredProject>, view: &View) -> Self {
        let mut keys = Keys::default();
        let entry = |RegisteredProject { project, quotas }: RegisteredProject| {
            let mut account = Account::new(&quotas);
            let mut seen = Arc::default();
            if let Some(before) = before.by_token.get(&project.token) {
                let place_before = |place: usize| {
                    let key = project.keys.get(place)?;
                    before
                        .project
                        .keys
                        .iter()
                        .position(|known| known.is_same_as(key))
                };
                account.succeed(&before.account, place_before);
                seen = before.seen.clone();
            }
            let entry = Entry {
                progress: view.project(&project.kept_as),
                project: Arc::new(project),
                account: Arc::new(account),
                seen,
            };
            keys.add(&entry.project);
            (entry.project.token.clone(), entry)
        };
        let by_token = projects.into_iter().map(entry).collect();
        Self {
            by_token,
            keys,
            open: before.open.clone(),
        }
    }

    /// The same with one project more, or with another in its place.
    pub(super) fn with(&self, access: &Access) -> Self {
        let mut by_token = self.by_token.clone();
        let entry = Entry {
            project: access.project.clone(),
            account: access.account.clone(),
            progress: access.progress.clone(),
            seen: access.seen.clone(),
        };
        by_token.insert(access.token().to_owned(), entry);
        Self {
            by_token,
            keys: Keys::default(),
            open: self.open.clone(),
        }
    }

    /// The tokens of all projects.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.by_token.keys().map(String::as_str)
    }

    /// How many projects there are.
    pub(super) fn len(&self) -> usize {
        self.by_token.len()
    }

    pub(super) fn entry(&self, token: &str) -> Option<&Entry> {
        self.by_token.get(token)
    }

    /// The tokens of projects by the names under which their records are kept.
    pub(super) fn by_name(&self) -> HashMap<String, String> {
        let named = |entry: &Entry| (entry.project.kept_as.clone(), entry.project.token.clone());
        self.by_token.values().map(named).collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.by_token.values()
    }

    /// A project with this key, wherever it is from.
    pub(super) fn access(&self, token: &str, key: Arc<Key>) -> Option<Access> {
        let entry = self.entry(token)?;
        Some(Access {
            project: entry.project.clone(),
            account: entry.account.clone(),
            key,
            progress: entry.progress.clone(),
            seen: entry.seen.clone(),
        })
    }

    pub(super) fn authenticate(
        &self,
        token: &str,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Access, Error> {
        let entry = self.entry(token).ok_or(AccessError::UnknownProject)?;
        let key = match &self.open {
            None => entry.project.authenticate(credentials, now)?,
            Some(open) => open.key(credentials)?,
        };
        let access = self.access(token, key);
        Ok(access.ok_or(AccessError::UnknownProject)?)
    }

    /// The current access of a caller that was authenticated before, without checking the key's expiry.
    fn renew(&self, access: Access) -> Option<Access> {
        let entry = self.entry(access.token())?;
        if Arc::ptr_eq(&entry.project, &access.project) {
            return Some(access);
        }
        let mut keys = entry.project.keys.iter();
        let key = keys.find(|known| **known == access.key)?;
        Some(Access {
            project: entry.project.clone(),
            account: entry.account.clone(),
            key: key.clone(),
            progress: entry.progress.clone(),
            seen: entry.seen.clone(),
        })
    }

    /// Whether a project and its key are still there unchanged, and the key has not expired.
    pub(super) fn has(&self, project: &Project, key: &Arc<Key>, now: Timestamp) -> bool {
        if key.has_expired(now) {
            return false;
        }
        let is_it = |known: &Arc<Key>| Arc::ptr_eq(known, key) || known == key;
        let entry = self.entry(&project.token);
        let entry = entry.filter(|entry| entry.project.kept_as == project.kept_as);
        entry.is_some_and(|entry| entry.project.keys.iter().any(is_it))
    }
}

impl Tracker {
    /// Authenticates a caller for a project. A caller that failed too often is refused, which is noted on the outcome:
    /// with a key's ID before its secret is compared, otherwise only if this fails too.
    ///
    /// # Errors
    /// [`Error::Access`], [`Error::OverQuota`].
    pub fn authenticate(
        &self,
        token: &str,
        credentials: &Credentials,
        address: ClientAddress,
        quota_outcome: &QuotaOutcome,
    ) -> Result<Access, Error> {
        self.make_project(token, credentials)?;
        let now = self.clock.elapsed();
        let failed = match credentials {
            Credentials::Private { id, .. } => Failed::Secret { token, id },
            Credentials::Missing
            | Credentials::Unreadable
            | Credentials::Certificate(_)
            | Credentials::Public(_) => Failed::Unknown,
        };
        let refuse = |failed| self.refuse(failed, (address, quota_outcome));
        if failed != Failed::Unknown {
            refuse(failed)?;
        }
        let today = self.clock.now();
        let let_in = {
            let projects = self.projects.borrow();
            let let_in = projects.authenticate(token, credentials, today);
            match &let_in {
                Ok(access) => access.note(quota_outcome),
                Err(_) => {
                    if let Some(entry) = projects.entry(token) {
                        quota_outcome.note_caller(&entry.project, None);
                    }
                }
            }
            let_in
        };
        match let_in {
            Err(Error::Access(AccessError::WrongSecret)) => {
                self.failures.charge(address, failed, now);
            }
            Err(Error::Access(AccessError::UnknownProject | AccessError::UnknownKey)) => {
                refuse(Failed::Unknown)?;
                self.failures.charge(address, Failed::Unknown, now);
            }
            // A caller without credentials does not guess.
            Ok(_) | Err(_) => {}
        }
        let_in
    }

    /// Refuses a caller that has failed too often, which is noted on the outcome.
    pub(super) fn refuse(
        &self,
        failed: Failed<'_>,
        (address, quota_outcome): (ClientAddress, &QuotaOutcome),
    ) -> Result<(), Error> {
        let now = self.clock.elapsed();
        match self.failures.refusal(address, failed, now) {
            None => Ok(()),
            Some((by, refusal)) => {
                quota_outcome.note(vec![Charge {
                    subject: Subject::Failures(by),
                    verdict: Verdict::Refused(refusal),
                }]);
                let retry_after = refusal.retry_after;
                Err(Error::OverQuota { retry_after })
            }
        }
    }

    /// Authenticates an earlier caller again, for the project as it is now.
    ///
    /// # Errors
    /// [`Error::Access`]: the key is gone, has expired, or has changed.
    pub fn renew(&self, access: Access) -> Result<Access, Error> {
        let renewed = self.projects.borrow().renew(access);
        let lasts = |key: &Key| key.expires.is_none() || !key.has_expired(self.clock.now());
        let renewed = renewed.filter(|access| lasts(&access.key));
        Ok(renewed.ok_or(AccessError::UnknownKey)?)
    }

    /// Charges a call to the quotas of its project and of its key, and notes the result on its outcome.
    ///
    /// # Errors
    /// [`Error::OverQuota`]: nothing was charged.
    pub fn charge(&self, access: &Access, quota_outcome: &QuotaOutcome) -> Result<(), Error> {
        if access.account.is_unlimited() {
            return Ok(());
        }
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
        quota_outcome.note(project.into_iter().chain(key).collect());
        let waits = charged.refusals().map(|refusal| refusal.retry_after);
        match waits.max() {
            None => Ok(()),
            Some(retry_after) => Err(Error::OverQuota { retry_after }),
        }
    }

    /// By reason and token of the settings: how often something was accepted and not as it was meant.
    pub fn remarks(&self) -> Vec<(Reason, String, u64)> {
        let projects = self.projects.borrow();
        let folded = self.view.remarks();
        let mut remarks = Vec::new();
        for (token, entry) in &projects.by_token {
            let folded = folded.get(&entry.project.kept_as).copied();
            let folded = folded.unwrap_or_default();
            let counts = [
                (Reason::Duplicate, folded.duplicates),
                (Reason::IdSkipped, entry.project.ids.skipped()),
                (Reason::IdsClash, folded.clashes),
                (Reason::SoftIdEvicted, folded.evictions),
                (Reason::PropertyDropped, folded.properties_dropped),
                (
                    Reason::TimeInFuture,
                    entry.seen.ahead.load(Ordering::Relaxed),
                ),
            ];
            remarks.extend(counts.map(|(reason, count)| (reason, token.clone(), count)));
        }
        remarks
    }

    /// When the newest event of a project was received, since the start.
    pub fn last_event(&self, token: &str) -> Option<Timestamp> {
        let micros = self
            .projects
            .borrow()
            .entry(token)?
            .seen
            .last_event
            .load(Ordering::Relaxed);
        Timestamp::from_micros(micros).ok().filter(|_| micros > 0)
    }

    /// How many IDs of types that their projects do not list were skipped since the projects were set.
    pub fn unlisted_ids(&self) -> u64 {
        let projects = self.projects.borrow();
        let projects = projects.by_token.values();
        projects.map(|entry| entry.project.ids.skipped()).sum()
    }

    /// Replaces the projects. Calls in flight finish, except watches, which end if their key is gone or has changed.
    pub fn replace(&self, projects: Vec<RegisteredProject>) {
        let replace = |before: &mut Arc<ProjectRegistry>| {
            *before = Arc::new(ProjectRegistry::succeeding(before, projects, &self.view));
        };
        self.projects.send_modify(replace);
    }
}
