//! Settings into the types of the floors below.

use std::num::NonZeroUsize;

use super::StartError;
use crate::config::{Config, ProjectConfig, rate_limit, server};
use crate::limit::{self, AuthFailureLimiter, BudgetOptions, Limiter, Quotas};
use crate::middleware::ConcurrencyOptions;
use crate::model::customer_id::Schema;
use crate::model::project::Project;
use crate::rest::Limits;
use crate::tracker::{ReadLimits, RegisteredProject};

/// Slots for the addresses that probe.
const PROBE_SLOTS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// Slots for the addresses, each with a key, that fail to be let in: 1 MiB.
const FAILURE_SLOTS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

pub(super) fn limiter(options: limit::Options) -> Result<Limiter, StartError> {
    Ok(Limiter::new(options, [random()?, random()?]))
}

/// How addresses that probe are limited: 6,000 times a minute, as by default.
pub(super) fn probes() -> limit::Options {
    limit::Options {
        slots: PROBE_SLOTS,
        ..limit::Options::default()
    }
}

pub(super) fn failures(options: &rate_limit::Options) -> Result<AuthFailureLimiter, StartError> {
    let hash_key = [random()?, random()?];
    Ok(AuthFailureLimiter::new(
        options.auth_failures,
        FAILURE_SLOTS,
        hash_key,
    ))
}

pub(super) fn concurrency(options: &server::Options) -> ConcurrencyOptions {
    ConcurrencyOptions {
        calls_max: options.requests_max,
        calls_per_address_max: options.requests_per_address_max,
        streaming_max: options.streaming_calls_max,
        streaming_per_address_max: options.streaming_calls_per_address_max,
        streaming_per_key_max: options.streaming_calls_per_key_max,
        stalled_max: options.stalled_streams_max,
        budget: BudgetOptions {
            all_max: options.body_memory_max,
            address_max: options.body_memory_per_address_max,
            key_max: options.body_memory_per_key_max,
        },
    }
}

pub(super) fn rest_limits(options: &server::Options) -> Limits {
    Limits {
        body_bytes_max: options.body_bytes_max.get(),
        batch_bytes_max: options.batch_bytes_max.get(),
        body_timeout: options.body_timeout,
    }
}

pub(super) fn read_limits(options: &server::Options) -> ReadLimits {
    ReadLimits {
        max: options.reads_max.get(),
        per_project_max: options.reads_per_project_max.get(),
        per_key_max: options.reads_per_key_max.get(),
        answers_bytes_max: options.answers_bytes_max.get(),
        answers_per_key_bytes_max: options.answers_per_key_bytes_max.get(),
    }
}

/// The projects of the settings, with what their callers may send.
pub fn members(config: &Config) -> Vec<RegisteredProject> {
    let shadow = config.rate_limit.addresses.shadow;
    let projects = config.projects.iter();
    projects.map(|project| member(project, shadow)).collect()
}

/// A project with what its callers may send; in `shadow` mode nothing is refused.
pub fn member(config: &ProjectConfig, shadow: bool) -> RegisteredProject {
    RegisteredProject {
        project: project(config),
        quotas: Quotas {
            project: config.rate_limit,
            keys: config.keys.iter().map(|key| key.rate_limit).collect(),
            shadow,
        },
    }
}

fn project(config: &ProjectConfig) -> Project {
    Project {
        token: config.token.clone(),
        kept_as: config.token.clone(),
        ids: Schema::new(&config.hard_ids, &config.soft_ids, &config.lowercase_ids)
            .with_unusable(&config.unusable_ids)
            .with_unlisted(config.unlisted_ids),
        keys: config.keys.iter().map(|key| key.key.clone()).collect(),
    }
}

/// A random number.
pub(super) fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(StartError::Random)
}
