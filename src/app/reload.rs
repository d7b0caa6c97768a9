//! New settings for a running service: the rate limit, projects, and keys. No debt is forgotten.
//!
//! All other settings are fixed at the start. They stay as they are, and the log names those that differ.

mod gone;
mod settle;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;

use super::id_types::IdTypes;
use super::{StartError, settings};
use crate::clock::Clock;
use crate::config::table::restart;
use crate::config::{Config, ProjectConfig};
use crate::middleware::Limiters;
use crate::server::tls::{self, Both, Tls};
use crate::tracker::Tracker;

/// Applies new settings. Clones share one service.
#[derive(Clone, Debug)]
pub struct Reload {
    limiters: Arc<Limiters>,
    /// Weak, as a strong reference would hold the store open.
    tracker: Weak<Tracker>,
    tls: Both<Tls>,
    clock: Arc<dyn Clock>,
    in_force: Arc<Mutex<Config>>,
}

/// The result of new settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The sections that were applied, by name.
    pub changed: Vec<&'static str>,
    /// The settings that differ but need a restart, by name.
    pub left: Vec<String>,
    /// Projects and keys that were removed, by name.
    pub gone: Vec<String>,
}

impl Reload {
    pub(super) fn new(
        limiters: Arc<Limiters>,
        tracker: &Arc<Tracker>,
        tls: Both<Tls>,
        clock: &Arc<dyn Clock>,
        config: &Config,
    ) -> Self {
        Self {
            limiters,
            tracker: Arc::downgrade(tracker),
            tls,
            clock: clock.clone(),
            in_force: Arc::new(Mutex::new(config.clone())),
        }
    }

    /// Applies what can change without a restart: `[rate_limit]` except `slots`, and projects and keys except the ID
    /// types of an existing project. Also reads the files of TLS listeners again, for connections that begin from now
    /// on.
    ///
    /// # Errors
    /// What is wrong with the settings. Nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<Reloaded, StartError> {
        let materials = tls::load(&config.server, &self.clock)?;
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, left) = next(&in_force, config);
        let members = settings::members(&next);
        self.take_id_types(&in_force, &next)?;
        let gone = gone::gone(&in_force.projects, &next.projects);
        let tls = self.tls.replace(materials);
        self.limiters.calls.change(&next.rate_limit.addresses);
        self.limiters.failures.change(next.rate_limit.auth_failures);
        // A service that has ended lets nobody in.
        if let Some(tracker) = self.tracker.upgrade() {
            tracker.replace(members);
        }
        let sections = [
            ("rate_limit", next.rate_limit != in_force.rate_limit),
            ("project", next.projects != in_force.projects),
        ];
        let changed = sections.into_iter().filter(|(_, differs)| *differs);
        let changed = changed.map(|(section, _)| section).chain(tls).collect();
        *in_force = next;
        Ok(Reloaded {
            changed,
            left,
            gone,
        })
    }

    /// A project that comes back must have its earlier ID types. Those of an existing one stay as they are.
    fn take_id_types(&self, in_force: &Config, next: &Config) -> Result<(), StartError> {
        let new = next.projects.iter();
        let new = new.filter(|project| same(&in_force.projects, project).is_none());
        let new: Vec<_> = new.cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let dir = &in_force.data.dir;
        let mut types = IdTypes::load(dir)?;
        types.take(dir, &new, |_| true)?;
        types.save(dir)
    }

    /// Loads the settings again at each message, and logs the result.
    pub async fn at_each(
        self,
        mut asked: mpsc::Receiver<()>,
        load: impl Fn() -> Result<Config, StartError>,
    ) {
        while asked.recv().await.is_some() {
            let loaded = settle::settled(&load).await;
            match loaded.and_then(|config| self.apply(&config)) {
                Ok(reloaded) => reloaded.report(),
                Err(StartError::Config(mistakes)) => {
                    for mistake in mistakes.iter() {
                        tracing::error!("nothing reloaded, the settings have a mistake: {mistake}");
                    }
                }
                Err(error) => tracing::error!("nothing reloaded: {error}"),
            }
        }
    }
}

impl Reloaded {
    fn report(&self) {
        for name in &self.gone {
            tracing::warn!(
                "{name} is not in the settings any more; its callers are let in no more"
            );
        }
        for setting in &self.left {
            tracing::warn!(%setting, "differs, and needs a restart to change");
        }
        let changed = match self.changed.as_slice() {
            [] => "nothing".to_owned(),
            changed => changed.join(", "),
        };
        tracing::info!(%changed, "settings reloaded");
    }
}

/// What will be in force, of the new settings all that can change and of the present ones the rest; and what differs
/// and cannot change, by the names of settings.
fn next(now: &Config, new: &Config) -> (Config, Vec<String>) {
    let mut left = Vec::new();
    let mut next = Config {
        server: now.server.reloaded(&new.server, &mut left),
        data: now.data.reloaded(&new.data, &mut left),
        view: now.view.reloaded(&new.view, &mut left),
        log: now.log.reloaded(&new.log, &mut left),
        client_address: now.client_address.reloaded(&new.client_address, &mut left),
        rate_limit: now.rate_limit.reloaded(&new.rate_limit, &mut left),
        projects: new.projects.clone(),
    };
    // Without a project nobody is let in: more likely a mistake than meant.
    if new.projects.is_empty() {
        let name = "project (there is none any more)";
        next.projects = restart(name, &now.projects, &new.projects, &mut left);
    }
    // The ID types say what is a customer: what was stored under the old ones would not be what the new ones make of
    // it.
    for (index, project) in next.projects.iter_mut().enumerate() {
        let Some(now) = same(&now.projects, project) else {
            continue;
        };
        for (name, now, new) in [
            ("hard_ids", &now.hard_ids, &mut project.hard_ids),
            ("soft_ids", &now.soft_ids, &mut project.soft_ids),
            (
                "lowercase_ids",
                &now.lowercase_ids,
                &mut project.lowercase_ids,
            ),
        ] {
            let name = format!("project[{}].{name}", index + 1);
            *new = restart(name, now, new, &mut left);
        }
    }
    (next, left)
}

fn same<'a>(projects: &'a [ProjectConfig], project: &ProjectConfig) -> Option<&'a ProjectConfig> {
    projects.iter().find(|known| known.token == project.token)
}
