//! `GET /status` and `GET /reasons`: how the service is, and what it refuses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::refusals::listed;
use super::{Console, Viewer, history, time};
use crate::log::{Log, State};
use crate::middleware::Refusals;
use crate::model::reason::{Reason, Severity};
use crate::model::time::Timestamp;
use crate::view::View;

/// Steps over which rates are shown.
const RECENT: usize = 10;
/// Steps over which the disk's filling is looked at.
const FILLING: usize = 600;
/// Fewest steps that say something about it.
const FILLING_MIN: f64 = 60.0;

/// Where the state is read.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) log: Log,
    pub(crate) view: View,
    pub(crate) refusals: Refusals,
    /// The data folder.
    pub(crate) dir: PathBuf,
    /// Where calls are served.
    pub(crate) url: String,
    pub(crate) started: Timestamp,
}

impl Console {
    /// Tokens and commands with keys are for those who may see them.
    pub(super) async fn state(&self, viewer: Option<&Viewer>) -> Value {
        let sources = &self.status;
        let (health, clock) = (self.endpoint.health.get(), &self.endpoint.clock);
        let progress = sources.view.progress().borrow().clone();
        let (last, applied) = (sources.log.last().get(), progress.applied.get());
        let lag = sources.view.least_lag(clock.elapsed()).as_secs_f64();
        let state = match (&health.obstacle, health.started) {
            (None, true) => "serving",
            (None, false) => "starting",
            (Some(why), _) if why == "draining" => "draining",
            (Some(_), _) => "impaired",
        };
        let mean = |name| self.history.mean(name, RECENT);
        let newest = |name: &str| self.history.last(name, RECENT).last().copied();
        let dir = sources.dir.join("log");
        let bytes = tokio::task::spawn_blocking(move || folder_bytes(&dir)).await;
        let now = clock.elapsed();
        let projects = sources.view.projects();
        let lags: BTreeMap<_, _> = projects
            .iter()
            .map(|(token, progress)| (token.as_str(), progress.lag(now)))
            .collect();
        let is_shown = |token: &String| match viewer {
            None => false,
            Some(Viewer::Local) => true,
            Some(Viewer::Of(own)) => own == token,
        };
        let commands = self.commands.get();
        let commands = commands.filter(|_| matches!(viewer, Some(Viewer::Local)));
        let shown = self.tracker.tokens().into_iter().filter(is_shown);
        let projects = shown.map(|token| {
            json!({
                "last_event": self.tracker.last_event(&token).and_then(time),
                "lag_seconds": lags.get(token.as_str()).map(std::time::Duration::as_secs_f64),
                "commands": commands.and_then(|commands| commands.get(&token)),
                "token": token,
            })
        });
        let log = match sources.log.state() {
            State::Ready => (true, "takes writes".to_owned()),
            State::Stalled(time) => (false, format!("a write has not returned for {time:?}")),
            State::Full => (false, "the disk is full".to_owned()),
            State::Failed(why) => (false, format!("takes no more writes: {why}")),
            State::Damaged(position) => (false, format!("damaged at position {}", position.get())),
        };
        json!({
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "started": time(sources.started),
            "now": time(clock.now()),
            "state": state,
            "why": health.obstacle,
            "calls": { "url": sources.url },
            "rates": {
                "accepted": mean("accepted"),
                "refused": mean("refused"),
                "p50_ms": newest("p50_ms"),
                "p99_ms": newest("p99_ms"),
            },
            "log": {
                "position": last,
                "bytes": bytes.ok().flatten(),
                "disk_free_bytes": history::free(&sources.dir),
                "full_in_seconds": self.full_in(),
            },
            "view": {
                "position": applied,
                "lag_records": last.saturating_sub(applied),
                "lag_seconds": lag,
            },
            "projects": projects.collect::<Vec<_>>(),
            "parts": [
                part("log", log.0, log.1),
                part("view", progress.failure.is_none(), match progress.failure {
                    Some(why) => why.to_string(),
                    None => format!("{} records behind", last.saturating_sub(applied)),
                }),
            ],
            "certificates": [],
        })
    }

    /// When the disk is full, if it goes on as in the last minutes.
    fn full_in(&self) -> Option<f64> {
        let free = self.history.last("disk_free_bytes", FILLING);
        let (first, last) = (*free.first()?, *free.last()?);
        let steps = f64::from(u32::try_from(free.len().checked_sub(1)?).ok()?);
        let taken = first - last;
        (taken > 0.0 && steps >= FILLING_MIN).then(|| (last * steps / taken).round())
    }

    /// Each reason with how often it was met, and the last that it refused. `own`: the only project to show.
    pub(super) fn reasons(&self, own: Option<&str>) -> Value {
        let mut counts: BTreeMap<(Reason, String), u64> = BTreeMap::new();
        let mut count = |reason: Reason, project: &str, count: u64| {
            if own.is_none_or(|own| own == project) && count > 0 {
                *counts.entry((reason, project.to_owned())).or_default() += count;
            }
        };
        let mut tokens: Vec<_> = self.tracker.tokens().into_iter().collect();
        tokens.push(crate::middleware::OTHER_PROJECT.to_owned());
        for reason in Reason::ALL {
            for token in &tokens {
                count(*reason, token, self.status.refusals.counted(*reason, token));
            }
        }
        for (reason, project, counted) in self.tracker.remarks() {
            count(reason, &project, counted);
        }
        let reasons = Reason::ALL.iter().map(|reason| {
            let counts = counts.iter().filter(|((of, _), _)| of == reason);
            let counts: BTreeMap<_, _> = counts
                .map(|((_, project), count)| (project, count))
                .collect();
            let last = self.endpoint.refusals.newest(1, |refusal| {
                let project = refusal
                    .call
                    .project
                    .as_ref()
                    .map(|project| project.token.as_str());
                refusal.reason == *reason && (own.is_none() || own == project)
            });
            json!({
                "tag": reason.tag(),
                "severity": severity(reason.severity()),
                "meaning": reason.meaning(),
                "advice": reason.advice(),
                "counts": counts,
                "last": last.first().map(listed),
            })
        });
        json!({ "reasons": reasons.collect::<Vec<_>>() })
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Refused => "refused",
        Severity::Dropped => "dropped",
        Severity::Remark => "remark",
    }
}

fn part(name: &str, is_ok: bool, text: String) -> Value {
    json!({ "name": name, "ok": is_ok, "text": text })
}

/// How much the files of a folder take, those of its folders not counted.
fn folder_bytes(dir: &std::path::Path) -> Option<u64> {
    let files = std::fs::read_dir(dir).ok()?;
    let sizes = files.filter_map(|file| file.ok()?.metadata().ok());
    Some(
        sizes
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len())
            .sum(),
    )
}
