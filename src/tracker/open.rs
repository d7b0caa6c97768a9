//! Any token is a project, and any key is let in: for the emulator, and for nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Access, AccessError, Error, Tracker};
use crate::limit::{Account, Quota, Quotas};
use crate::model::credentials::Credentials;
use crate::model::customer_id::Schema;
use crate::model::project::{Key, KeyAccess, Permission, Project, PublicKey};

/// Longest token that becomes a project, in bytes.
const TOKEN_BYTES_MAX: usize = 128;

/// What projects are like that callers make by naming them.
#[derive(Clone, Debug)]
pub struct OpenProjects {
    /// Most of them.
    pub projects_max: usize,
    /// Their ID types.
    pub ids: Schema,
    /// What the callers of each may send.
    pub quota: Option<Quota>,
}

/// The projects to come.
#[derive(Debug)]
pub(super) struct Open {
    options: OpenProjects,
    /// What every public key is, and what every private one is.
    public: Arc<Key>,
    private: Arc<Key>,
    /// How often a project was reset.
    begun: AtomicU64,
}

impl From<&OpenProjects> for Open {
    fn from(options: &OpenProjects) -> Self {
        let key = |access| {
            Arc::new(Key {
                access,
                client_cert: None,
                expires: None,
                permissions: Permission::ALL.to_vec(),
                event_types: BTreeSet::new(),
            })
        };
        Self {
            options: options.clone(),
            public: key(KeyAccess::Public(PublicKey::new("any"))),
            private: key(KeyAccess::Private {
                id: "any".to_owned(),
                secrets: Vec::new(),
            }),
            begun: AtomicU64::new(0),
        }
    }
}

impl Open {
    /// The key that any credentials are.
    pub(super) fn key(&self, credentials: &Credentials) -> Result<Arc<Key>, AccessError> {
        match credentials {
            Credentials::Public(_) => Ok(self.public.clone()),
            Credentials::Private { .. } => Ok(self.private.clone()),
            Credentials::Unreadable => Err(AccessError::UnreadableKey),
            Credentials::Missing | Credentials::Certificate(_) => Err(AccessError::NoKey),
        }
    }

    fn project(&self, token: &str, kept_as: String) -> Project {
        Project {
            token: token.to_owned(),
            kept_as,
            ids: self.options.ids.clone(),
            keys: vec![self.public.clone(), self.private.clone()],
        }
    }
}

/// Whether these are credentials of a key.
pub(super) fn is_shown(credentials: &Credentials) -> bool {
    matches!(
        credentials,
        Credentials::Public(_) | Credentials::Private { .. }
    )
}

/// Controls are left for the names of projects that were reset.
fn is_token(token: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len()) && !token.chars().any(char::is_control)
}

impl Tracker {
    /// Whether any token is a project.
    pub(super) fn is_open(&self) -> bool {
        self.options.open.is_some()
    }

    /// Makes the project that a caller names, where any token is one.
    pub(super) fn make_project(&self, token: &str, credentials: &Credentials) -> Result<(), Error> {
        match self.is_open() && is_shown(credentials) {
            true => self.open_project(token).map(drop),
            false => Ok(()),
        }
    }

    /// The project of a token with its private key, where any token is one. It is made if it is not there.
    ///
    /// # Errors
    /// [`AccessError::UnknownProject`], [`Error::TooManyProjects`].
    pub fn open_project(&self, token: &str) -> Result<Access, Error> {
        if let Some(access) = self.opened(token) {
            return Ok(access);
        }
        let most = self
            .options
            .open
            .as_ref()
            .map_or(0, |open| open.projects_max);
        // Before anything is made of it.
        if self.projects.borrow().len() >= most {
            return Err(Error::TooManyProjects(most));
        }
        let access = self.begin(token, token.to_owned())?;
        let mut is_full = None;
        self.projects.send_if_modified(|before| {
            if before.entry(token).is_some() {
                return false;
            }
            if before.len() >= most {
                is_full = Some(most);
                return false;
            }
            *before = Arc::new(before.with(&access));
            true
        });
        match is_full {
            Some(most) => Err(Error::TooManyProjects(most)),
            // Another caller may have been faster.
            None => self.opened(token).ok_or(AccessError::UnknownProject.into()),
        }
    }

    /// The project of a token with its private key, if it is there and any token is one.
    pub fn opened(&self, token: &str) -> Option<Access> {
        let projects = self.projects.borrow();
        let open = projects.open.as_ref()?;
        let entry = projects.entry(token)?;
        Some(Access {
            project: entry.project.clone(),
            account: entry.account.clone(),
            key: open.private.clone(),
            progress: entry.progress.clone(),
            seen: entry.seen.clone(),
        })
    }

    /// Every project with its private key, in no order, where any token is one.
    pub fn all_opened(&self) -> Vec<Access> {
        let projects = self.projects.borrow().clone();
        let tokens = projects.tokens();
        tokens.filter_map(|token| self.opened(token)).collect()
    }

    /// The project of a token without anything in it, to be put into force.
    ///
    /// # Errors
    /// Those of [`Self::open_project`].
    pub fn emptied(&self, token: &str) -> Result<Access, Error> {
        self.open_project(token)?;
        let projects = self.projects.borrow().clone();
        let open = projects.open.as_ref().ok_or(AccessError::UnknownProject)?;
        let begun = open.begun.fetch_add(1, Ordering::Relaxed);
        // No caller can name it so.
        self.begin(token, format!("{token}\n{begun}"))
    }

    /// Puts a project from [`Self::emptied`] in the place of the earlier one. Calls in flight finish there.
    pub fn put_in_force(&self, access: &Access) {
        let projects = &self.projects;
        projects.send_modify(|before| *before = Arc::new(before.with(access)));
    }

    /// Lets the quotas of a project be earned back as if so much time had passed.
    pub fn advance_quotas(access: &Access, by: Duration) {
        access.account.advance(by);
    }

    fn begin(&self, token: &str, kept_as: String) -> Result<Access, Error> {
        let projects = self.projects.borrow().clone();
        let open = projects.open.as_ref().filter(|_| is_token(token));
        let open = open.ok_or(AccessError::UnknownProject)?;
        let quotas = Quotas {
            project: open.options.quota,
            ..Quotas::default()
        };
        Ok(Access {
            progress: self.view.project(&kept_as),
            project: Arc::new(open.project(token, kept_as)),
            account: Arc::new(Account::new(&quotas)),
            key: open.private.clone(),
            seen: Arc::default(),
        })
    }
}
