//! The last hour in steps of a second, from the service's own metrics, so that charts need no Prometheus.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::model::time::Timestamp;

/// Most steps that are kept: an hour.
pub(super) const STEPS_MAX: usize = 3_600;
/// The time of a step.
const STEP: Duration = Duration::from_secs(1);
/// Buckets of calls' times, and some room.
const BUCKETS_MAX: usize = 32;

/// What a series is made of.
#[derive(Clone, Copy)]
enum Of {
    /// How fast the sum of a counter's samples rises, of those that the labels' text has one of these in.
    Rate(&'static str, &'static [&'static str]),
    /// The sum of a gauge's samples.
    Gauge(&'static str),
    /// The largest of them.
    Largest(&'static str),
    /// A quantile of the calls' times in the step, in ms.
    Quantile(f64),
    /// Free bytes of the disk.
    Disk,
}

/// Names, units and sources of the series.
const SERIES: [(&str, &str, Of); 20] = [
    (
        "accepted",
        "per second",
        Of::Rate("footfall_requests_total", &["code=\"0\"", "code=\"200\""]),
    ),
    (
        "refused",
        "per second",
        Of::Rate("footfall_refused_total", &[]),
    ),
    (
        "limited",
        "per second",
        Of::Rate("footfall_refused_total", &["\"rate_limit_exceeded\""]),
    ),
    (
        "errors",
        "per second",
        Of::Rate(
            "footfall_requests_total",
            &["code=\"5", "code=\"13\"", "code=\"14\"", "code=\"15\""],
        ),
    ),
    (
        "events",
        "per second",
        Of::Rate("footfall_log_position", &[]),
    ),
    ("p50_ms", "ms", Of::Quantile(0.5)),
    ("p99_ms", "ms", Of::Quantile(0.99)),
    (
        "in_flight",
        "calls",
        Of::Gauge("footfall_requests_under_way"),
    ),
    ("streams", "streams", Of::Gauge("footfall_streaming_calls")),
    ("stalled", "streams", Of::Gauge("footfall_streams_stalled")),
    (
        "body_memory_bytes",
        "bytes",
        Of::Gauge("footfall_body_memory_bytes"),
    ),
    (
        "log_position",
        "records",
        Of::Gauge("footfall_log_position"),
    ),
    ("disk_free_bytes", "bytes", Of::Disk),
    (
        "view_lag_records",
        "records",
        Of::Gauge("footfall_view_lag_records"),
    ),
    (
        "view_lag_seconds",
        "s",
        Of::Largest("footfall_view_lag_seconds"),
    ),
    (
        "duplicates",
        "per second",
        Of::Rate("footfall_view_duplicates_total", &[]),
    ),
    (
        "remarks",
        "per second",
        Of::Rate("footfall_remarks_total", &[]),
    ),
    (
        "limiter_slots",
        "addresses",
        Of::Gauge("footfall_rate_limit_slots_in_debt"),
    ),
    (
        "auth_failures",
        "per second",
        Of::Rate("footfall_auth_failures_total", &[]),
    ),
    ("panics", "in all", Of::Gauge("footfall_panics_total")),
];

/// A step's values; NaN: not known.
type Step = [f32; SERIES.len()];

/// The last hour. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    steps: VecDeque<Step>,
    end: Option<Timestamp>,
}

/// Takes a step each second.
#[derive(Debug)]
pub(crate) struct Sampler {
    registry: Arc<Registry>,
    history: History,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    before: Option<Sums>,
}

/// What the counters were, and how many calls each bucket had.
#[derive(Clone, Debug, Default)]
struct Sums {
    values: [f64; SERIES.len()],
    buckets: Vec<(f64, f64)>,
}

impl History {
    /// The last `seconds`, as JSON.
    pub(super) fn json(&self, seconds: usize) -> Value {
        let kept = self.kept();
        let skipped = kept.steps.len().saturating_sub(seconds);
        let series = SERIES.iter().enumerate().map(|(at, (name, unit, _))| {
            let values = kept.steps.iter().skip(skipped);
            let values = values.map(|step| step.get(at).copied().filter(|value| value.is_finite()));
            json!({ "name": name, "unit": unit, "values": values.collect::<Vec<_>>() })
        });
        let series: Vec<_> = series.collect();
        json!({
            "end": kept.end.map(super::time),
            "step_seconds": STEP.as_secs(),
            "series": series,
        })
    }

    /// The mean of a series over its last steps; none where nothing is known.
    pub(super) fn mean(&self, name: &str, steps: usize) -> Option<f64> {
        let values = self.last(name, steps);
        let count = u32::try_from(values.len()).ok()?;
        (count > 0).then(|| values.iter().sum::<f64>() / f64::from(count))
    }

    /// The known ones of the last values of a series, oldest first.
    pub(super) fn last(&self, name: &str, steps: usize) -> Vec<f64> {
        let place = SERIES.iter().position(|(known, _, _)| *known == name);
        let kept = self.kept();
        let skipped = kept.steps.len().saturating_sub(steps);
        let values = kept.steps.iter().skip(skipped);
        let values = values.filter_map(|step| step.get(place?).copied().map(f64::from));
        values.filter(|value| value.is_finite()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    pub(crate) fn new(
        registry: Arc<Registry>,
        history: History,
        clock: Arc<dyn Clock>,
        dir: PathBuf,
    ) -> Self {
        Self {
            registry,
            history,
            clock,
            dir,
            before: None,
        }
    }

    /// Takes steps for as long as it is polled.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.step();
        }
    }

    fn step(&mut self) {
        let mut text = String::new();
        // The metrics' page reports a failure.
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            return;
        }
        let now = sums(&text);
        let before = self.before.replace(now.clone());
        let mut step = [f32::NAN; SERIES.len()];
        for (at, (_, _, of)) in SERIES.iter().enumerate() {
            let value = now.values.get(at).copied();
            let value = match of {
                Of::Gauge(_) | Of::Largest(_) => value,
                Of::Rate(..) => {
                    let before = before.as_ref().and_then(|before| before.values.get(at));
                    value
                        .zip(before)
                        .map(|(now, before)| (now - before).max(0.0))
                }
                Of::Quantile(part) => before
                    .as_ref()
                    .and_then(|before| quantile(&before.buckets, &now.buckets, *part)),
                Of::Disk => free(&self.dir),
            };
            if let Some((place, value)) = step.get_mut(at).zip(value) {
                *place = narrow(value);
            }
        }
        let mut kept = self.history.kept();
        let micros = self.clock.now().micros();
        // Steps end with whole seconds.
        kept.end = Timestamp::from_micros(micros - micros.rem_euclid(1_000_000)).ok();
        if kept.steps.len() == STEPS_MAX {
            kept.steps.pop_front();
        }
        kept.steps.push_back(step);
    }
}

/// A value for a chart.
#[expect(
    clippy::cast_possible_truncation,
    reason = "seven digits are enough for a chart"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Free bytes of the disk.
pub(super) fn free(dir: &std::path::Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    let kib = u32::try_from(disk.f_bavail.saturating_mul(disk.f_frsize) >> 20).ok()?;
    Some(f64::from(kib) * f64::from(1 << 20))
}

/// Sums up the samples of an OpenMetrics text.
fn sums(text: &str) -> Sums {
    let mut sums = Sums::default();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        let Some((sample, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Ok(value) = value.parse::<f64>() else {
            continue;
        };
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        if name == "footfall_request_duration_seconds_bucket" {
            bucket(&mut sums.buckets, labels, value);
            continue;
        }
        for (place, (_, _, of)) in sums.values.iter_mut().zip(SERIES) {
            match of {
                Of::Rate(known, parts) => {
                    let is_wanted =
                        parts.is_empty() || parts.iter().any(|part| labels.contains(part));
                    if name == known && is_wanted {
                        *place += value;
                    }
                }
                Of::Gauge(known) if name == known => *place += value,
                Of::Largest(known) if name == known => *place = place.max(value),
                Of::Gauge(_) | Of::Largest(_) | Of::Quantile(_) | Of::Disk => {}
            }
        }
    }
    sums
}

/// Adds up the protocols' buckets.
fn bucket(buckets: &mut Vec<(f64, f64)>, labels: &str, count: f64) {
    let bound = labels
        .split_once("le=\"")
        .and_then(|(_, rest)| rest.split('"').next());
    let bound = match bound {
        Some("+Inf") => f64::INFINITY,
        Some(bound) => bound.parse().unwrap_or(f64::INFINITY),
        None => return,
    };
    let known = buckets
        .iter_mut()
        .find(|(known, _)| known.total_cmp(&bound).is_eq());
    if let Some((_, sum)) = known {
        *sum += count;
    } else if buckets.len() < BUCKETS_MAX {
        buckets.push((bound, count));
    }
}

/// A quantile of the calls between two readings, in ms: the upper bound of its bucket.
fn quantile(before: &[(f64, f64)], now: &[(f64, f64)], part: f64) -> Option<f64> {
    // Counts are of all calls up to the bound.
    let of = |count: f64, bound: f64| {
        let known = before
            .iter()
            .find(|(known, _)| known.total_cmp(&bound).is_eq());
        count - known.map_or(0.0, |(_, count)| *count)
    };
    let mut counts: Vec<_> = now
        .iter()
        .map(|(bound, count)| (*bound, of(*count, *bound)))
        .collect();
    counts.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (_, all) = *counts.last()?;
    if all < 1.0 {
        return None;
    }
    let found = counts.iter().find(|(_, count)| *count >= all * part);
    let (bound, _) = found.filter(|(bound, _)| bound.is_finite())?;
    Some(bound * 1_000.0)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn an_hour_of_steps_is_kept_and_no_more() {
        let mut registry = Registry::default();
        let refused: Counter = Counter::default();
        registry.register("footfall_refused", "x", refused.clone());
        let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
        let history = History::default();
        let dir = PathBuf::from("/");
        let mut sampler = Sampler::new(Arc::new(registry), history.clone(), clock, dir);
        sampler.step();
        assert!(
            history.last("refused", 9).is_empty(),
            "nothing to compare with"
        );
        for _ in 0..STEPS_MAX {
            refused.inc_by(3);
            sampler.step();
        }
        assert_eq!(history.last("refused", usize::MAX), vec![3.0; STEPS_MAX]);
        assert_eq!(history.mean("refused", 10), Some(3.0));
        assert!(
            history
                .mean("disk_free_bytes", 1)
                .is_some_and(|free| free > 0.0)
        );
        let json = history.json(2);
        assert_eq!(json["series"].as_array().unwrap().len(), SERIES.len());
        assert_eq!(json["series"][1]["values"], json!([3.0, 3.0]));
        assert_eq!(json["series"][5]["values"], json!([null, null]));
        assert!(size_of::<Step>() * STEPS_MAX <= 350 * 1024);
    }

    #[test]
    fn quantiles_are_of_the_calls_in_between() {
        let infinity = f64::INFINITY;
        let before = [(0.001, 10.0), (0.01, 10.0), (infinity, 10.0)];
        let now = [(0.001, 19.0), (0.01, 20.0), (infinity, 20.0)];
        assert_eq!(quantile(&before, &now, 0.5), Some(1.0));
        assert_eq!(quantile(&before, &now, 0.99), Some(10.0));
        assert_eq!(quantile(&now, &now, 0.5), None);
        let slow = [(0.001, 10.0), (0.01, 10.0), (infinity, 11.0)];
        assert_eq!(quantile(&before, &slow, 0.5), None);
    }
}
