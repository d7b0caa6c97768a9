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
use crate::config::tls::Options;
use crate::config::{Config, ProjectConfig, client_address, data, log, server, view};
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
        settings::check(config)?;
        let materials = tls::load(&config.server, &self.clock)?;
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next(&in_force, config);
        // For TLS, only whether it is on.
        let mut now = in_force.clone();
        for (now, next) in listeners(&mut now, &next) {
            now.clone_from(next);
        }
        let left = left(&now, config);
        let members = settings::members(&next)?;
        let limits = settings::limiter_options(&next.rate_limit)?;
        let failures = settings::failure_quota(&next.rate_limit)?;
        self.take_id_types(&in_force, &next)?;
        let gone = gone::gone(&in_force.projects, &next.projects);
        let tls = self.tls.replace(materials);
        self.limiters.calls.change(&limits);
        self.limiters.failures.change(failures);
        // A service that has ended has no callers.
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
                Ok(reloaded) => reloaded.tell(),
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
    fn tell(&self) {
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

/// The settings to be in force: from the new ones all that can change, the rest from the current ones.
fn next(now: &Config, new: &Config) -> Config {
    let mut next = now.clone();
    let slots = now.rate_limit.slots;
    next.rate_limit = new.rate_limit.clone();
    next.rate_limit.slots = slots;
    for (now, new) in listeners(&mut next, new) {
        if now.is_some() && new.is_some() {
            now.clone_from(new);
        }
    }
    // Without a project there are no callers: more likely a mistake than meant.
    if !new.projects.is_empty() {
        next.projects = new.projects.clone();
    }
    for project in &mut next.projects {
        if let Some(now) = same(&now.projects, project) {
            project.hard_ids.clone_from(&now.hard_ids);
            project.soft_ids.clone_from(&now.soft_ids);
            project.lowercase_ids.clone_from(&now.lowercase_ids);
        }
    }
    next
}

/// The TLS of each listener, in the one and in the other settings.
fn listeners<'a>(
    of: &'a mut Config,
    and: &'a Config,
) -> [(&'a mut Option<Options>, &'a Option<Options>); 2] {
    let (of, and) = (&mut of.server, &and.server);
    [(&mut of.tls, &and.tls), (&mut of.admin_tls, &and.admin_tls)]
}

fn same<'a>(projects: &'a [ProjectConfig], project: &ProjectConfig) -> Option<&'a ProjectConfig> {
    projects.iter().find(|known| known.token == project.token)
}

/// Names the fields in which two values of a struct differ. Takes every field, so that none is forgotten.
macro_rules! differing {
    ($now:expr, $new:expr, $type:path, $section:literal, [$($field:ident),* $(,)?]) => {{
        let $type { $($field),* } = $now;
        let fields = [$((concat!($section, ".", stringify!($field)), *$field != $new.$field)),*];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned())
    }};
}

/// The settings that differ and cannot change, by name.
fn left(now: &Config, new: &Config) -> Vec<String> {
    let server = differing!(
        &now.server,
        new.server,
        server::Options,
        "server",
        [
            listen,
            admin_listen,
            tls,
            admin_tls,
            proxy_protocol,
            connections_max,
            admin_connections_max,
            connections_per_address_max,
            streams_max,
            header_bytes_max,
            resets_max,
            error_resets_max,
            requests_max,
            requests_per_address_max,
            header_timeout,
            keep_alive_timeout,
            body_timeout,
            idle_timeout,
            request_timeout,
            watchers_max,
            reads_max,
            reads_per_project_max,
            reads_per_key_max,
            answers_bytes_max,
            answers_per_key_bytes_max,
            answer_bytes_max,
            snapshot_timeout,
            watch_heartbeat,
            streaming_calls_max,
            streaming_calls_per_address_max,
            streaming_calls_per_key_max,
            stalled_streams_max,
            body_memory_max,
            body_memory_per_address_max,
            body_memory_per_key_max,
            body_bytes_max,
            batch_bytes_max,
            drain_wait,
            drain_timeout,
            cors_origins,
        ]
    );
    let data = differing!(
        &now.data,
        new.data,
        data::Options,
        "data",
        [
            dir,
            queue_records_max,
            queue_bytes_max,
            free_bytes_min,
            open_files_max,
            cache_bytes,
            erase_within,
            retention,
        ]
    );
    let view = differing!(
        &now.view,
        new.view,
        view::Options,
        "view",
        [cache_bytes, checkpoint_bytes, lag_max]
    );
    let client_address::Options { trust, header } = &now.client_address;
    let log = differing!(&now.log, new.log, log::Options, "log", [level, format]);
    let others = [
        (
            "client_address.trusted_proxies or trusted_hops",
            *trust != new.client_address.trust,
        ),
        (
            "client_address.header",
            *header != new.client_address.header,
        ),
        (
            "rate_limit.slots",
            now.rate_limit.slots != new.rate_limit.slots,
        ),
        (
            "project (there is none any more)",
            new.projects.is_empty() && !now.projects.is_empty(),
        ),
    ];
    let others = others.into_iter().filter(|(_, differs)| *differs);
    let others = others.map(|(name, _)| name.to_owned());
    server
        .chain(data)
        .chain(view)
        .chain(log)
        .chain(others)
        .chain(ids_left(now, new))
        .collect()
}

/// The ID types define the customers: records stored under the old ones would mean something else under the new ones.
fn ids_left(now: &Config, new: &Config) -> Vec<String> {
    let mut left = Vec::new();
    for (index, project) in new.projects.iter().enumerate() {
        let Some(now) = same(&now.projects, project) else {
            continue;
        };
        let lists = [
            ("hard_ids", &now.hard_ids, &project.hard_ids),
            ("soft_ids", &now.soft_ids, &project.soft_ids),
            ("lowercase_ids", &now.lowercase_ids, &project.lowercase_ids),
        ];
        let differing = lists.iter().filter(|(_, now, new)| now != new);
        left.extend(differing.map(|(name, ..)| format!("project[{}].{name}", index + 1)));
    }
    left
}
