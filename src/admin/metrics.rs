//! Counts of the limiter, the log and the view, read when the metrics are.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::clock::Clock;
use crate::log::{Log, State};
use crate::middleware::{ConcurrencyLimit, Limiters};
use crate::retention;
use crate::tracker::Tracker;
use crate::view::View;

#[derive(Debug)]
struct Counted {
    limiters: Arc<Limiters>,
    clock: Arc<dyn Clock>,
    tracker: Arc<Tracker>,
    log: Log,
    view: View,
    concurrency: ConcurrencyLimit,
}

pub(crate) fn register(
    registry: &mut Registry,
    limiters: Arc<Limiters>,
    clock: Arc<dyn Clock>,
    tracker: Arc<Tracker>,
    log: Log,
    view: View,
    concurrency: ConcurrencyLimit,
) {
    registry.register_collector(Box::new(Counted {
        limiters,
        clock,
        tracker,
        log,
        view,
        concurrency,
    }));
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let limits = self.limiters.calls.counts();
        let accounts = self.tracker.account_counts();
        let view = self.view.counts();
        let last = self.log.last().get();
        let applied = self.view.progress().borrow().applied.get();
        let ready = u64::from(self.log.state() == State::Ready);
        let counters = [
            ("admitted", "Calls within their quota", limits.admitted),
            ("refused", "Calls beyond their quota", limits.refused),
            (
                "shadowed",
                "Calls that shadow mode let pass",
                limits.shadowed,
            ),
            (
                "wider",
                "Calls beyond the quota of their IPv6 /56 or /48, refused or shadowed",
                limits.wider,
            ),
            (
                "overflowed",
                "Calls charged to an overflow bucket, for the table was full",
                limits.overflowed,
            ),
            (
                "quotas_admitted",
                "Calls within the quotas of their project and key, where there are such",
                accounts.admitted,
            ),
            (
                "quotas_refused",
                "Calls beyond the quota of their project or key",
                accounts.refused,
            ),
            (
                "quotas_shadowed",
                "Calls beyond the quota of their project or key that shadow mode let pass",
                accounts.shadowed,
            ),
        ]
        .map(|(name, help, value)| (format!("footfall_rate_limit_{name}"), help, value));
        let failures = self.limiters.failures.counts();
        let auth = [
            (
                "failures",
                "Wrong secrets, and unknown keys and projects",
                failures.failed,
            ),
            (
                "refused",
                "Tries refused for the failures before them",
                failures.refused,
            ),
        ]
        .map(|(name, help, value)| (format!("footfall_auth_{name}"), help, value));
        let folded = [
            ("records", "Records applied since the start", view.records),
            (
                "duplicates",
                "Events dropped because they were there already",
                view.duplicates,
            ),
            ("merges", "Customers merged into another", view.merges),
            (
                "evictions",
                "Soft IDs dropped because a customer had too many",
                view.evictions,
            ),
            (
                "properties_dropped",
                "Properties dropped because a customer had too many",
                view.properties_dropped,
            ),
            (
                "anonymized",
                "Customers that lost all IDs and properties",
                view.anonymized,
            ),
            (
                "erased",
                "Customers that went, with everything",
                view.erased,
            ),
        ]
        .map(|(name, help, value)| (format!("footfall_view_{name}"), help, value));
        let slots = self.limiters.calls.slots();
        let in_debt = self.limiters.calls.in_debt(self.clock.elapsed());
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let gauges = [
            (
                "footfall_body_memory_bytes",
                "Memory that bodies and messages take of body_memory_max",
                number(self.concurrency.memory_taken()),
            ),
            (
                "footfall_requests_under_way",
                "Calls whose answers have not begun",
                number(self.concurrency.calls_taken()),
            ),
            (
                "footfall_streaming_calls",
                "Streaming calls under way",
                number(self.concurrency.streaming_taken()),
            ),
            (
                "footfall_streams_stalled",
                "Streams that send and whose callers do not take what they are answered",
                number(self.concurrency.stalls().count()),
            ),
            (
                "footfall_rate_limit_slots",
                "Addresses and networks that the table has room for",
                u64::try_from(slots).unwrap_or(u64::MAX),
            ),
            (
                "footfall_rate_limit_slots_in_debt",
                "Those that have spent something, estimated from a sample of a large table",
                u64::try_from(in_debt).unwrap_or(u64::MAX),
            ),
            ("footfall_log_position", "Last durable position", last),
            (
                "footfall_view_position",
                "Last position that can be read",
                applied,
            ),
            (
                "footfall_view_lag_records",
                "Durable records that cannot be read yet",
                last.saturating_sub(applied),
            ),
            ("footfall_log_ready", "Whether the log takes appends", ready),
            (
                "footfall_data_remains",
                "Whether something erased or too old may still lie on the disk",
                u64::from(retention::is_purge_pending(&self.log, &self.view)),
            ),
        ];
        let panics = (
            "footfall_panics".to_owned(),
            "Panics, in whatever thread, which are defects of the service",
            self.log.panics().counted(),
        );
        let unlisted = (
            "footfall_unlisted_ids".to_owned(),
            "IDs of types that their project does not list, passed over since the settings were read",
            self.tracker.unlisted_ids(),
        );
        let counters = counters.into_iter().chain(auth).chain(folded);
        for (name, help, value) in counters.chain([panics, unlisted]) {
            let counter = ConstCounter::new(value);
            let encoder = encoder.encode_descriptor(&name, help, None, counter.metric_type())?;
            counter.encode(encoder)?;
        }
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        self.encode_lags(&mut encoder)?;
        self.encode_remarks(&mut encoder)
    }
}

impl Counted {
    fn encode_remarks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) = (
            "footfall_remarks",
            "What was accepted and not as it was meant, by reason and project, since the start",
        );
        let mut all = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (reason, project, count) in self.tracker.remarks() {
            let labels = [("reason", reason.tag()), ("project", &*project)];
            ConstCounter::new(count).encode(all.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// The projects of the settings only: a label never has what callers make up.
    fn encode_lags(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) = (
            "footfall_view_lag_seconds",
            "Age of a project's oldest acknowledged record that cannot be read yet",
        );
        let now = self.clock.elapsed();
        let mut lags = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (token, project) in self.view.projects() {
            let lag = ConstGauge::new(project.lag(now).as_secs_f64());
            lag.encode(lags.encode_family(&[("project", token)])?)?;
        }
        Ok(())
    }
}
