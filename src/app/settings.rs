//! Settings into the types of the floors below.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::StartError;
use crate::config::{
    Config, HeaderConfig, KeyAccess as ConfigAccess, ProjectConfig, QuotaConfig, SecretConfig,
    TrustConfig, UnlistedIds,
};
use crate::config::{client_address, rate_limit, server};
use crate::limit::{self, AuthFailureLimiter, BudgetOptions, Limiter, Quota, Quotas};
use crate::middleware::ConcurrencyOptions;
use crate::model::address::{Header, Hops, Resolver, Trust};
use crate::model::customer_id::{Schema, Unlisted};
use crate::model::project::{Key, KeyAccess, Project, PublicKey, SecretHash};
use crate::rest::Limits;
use crate::tracker::{ReadLimits, RegisteredProject};

/// How many probes an address may send in a minute.
const PROBES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6_000).unwrap();
/// Slots for the addresses that probe.
const PROBE_SLOTS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// Slots for the addresses, each with a key, that fail to be let in: 1 MiB.
const FAILURE_SLOTS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// What failures are counted in.
const FAILURE_PERIOD: Duration = Duration::from_secs(60);

/// Checks what only shows when the settings meet the floors. What lies in files, [`tls::check`](crate::server::tls::check)
/// does.
///
/// # Errors
/// The first mistake.
pub fn check(config: &Config) -> Result<(), StartError> {
    limiter_options(&config.rate_limit)?;
    failure_quota(&config.rate_limit)?;
    resolver(&config.client_address)?;
    proxies_are_named(config)?;
    members(config)?;
    Ok(())
}

/// Heads of the PROXY protocol are believed by address alone: hops count what is written into a request.
///
/// # Errors
/// [`StartError::ProxyProtocol`]: no proxy is named.
pub(super) fn proxies_are_named(config: &Config) -> Result<(), StartError> {
    let are_named = match &config.client_address.trust {
        TrustConfig::Proxies(proxies) => !proxies.is_empty(),
        TrustConfig::Hops(_) => false,
    };
    match are_named || !config.server.proxy_protocol {
        true => Ok(()),
        false => Err(StartError::ProxyProtocol),
    }
}

pub(super) fn limiter(options: &rate_limit::Options) -> Result<Limiter, StartError> {
    let options = limiter_options(options)?;
    Ok(Limiter::new(options, [random()?, random()?]))
}

pub(super) fn limiter_options(options: &rate_limit::Options) -> Result<limit::Options, StartError> {
    let quota = |of: &rate_limit::Override| Quota::new(of.requests, of.period, of.burst);
    let overrides = options
        .overrides
        .iter()
        .map(|of| Ok((of.cidr, quota(of)?)))
        .collect::<Result<_, StartError>>()?;
    Ok(limit::Options {
        quota: Quota::new(options.requests, options.period, options.burst)?,
        overrides,
        multipliers: limit::PrefixMultipliers {
            prefix_56: options.ipv6_56_times,
            prefix_48: options.ipv6_48_times,
        },
        exempt: options.exempt.clone(),
        shadow: options.shadow,
        slots: options.slots,
    })
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

pub(super) fn probe_limiter() -> Result<Limiter, StartError> {
    let minute = Duration::from_secs(60);
    let options = limit::Options {
        quota: Quota::new(PROBES_PER_MINUTE, minute, PROBES_PER_MINUTE)?,
        slots: PROBE_SLOTS,
        ..limit::Options::default()
    };
    Ok(Limiter::new(options, [random()?, random()?]))
}

pub(super) fn failures(options: &rate_limit::Options) -> Result<AuthFailureLimiter, StartError> {
    let quota = failure_quota(options)?;
    Ok(AuthFailureLimiter::new(
        quota,
        FAILURE_SLOTS,
        [random()?, random()?],
    ))
}

pub(super) fn failure_quota(options: &rate_limit::Options) -> Result<Option<Quota>, StartError> {
    let quota = |times| Quota::new(times, FAILURE_PERIOD, times);
    Ok(options.auth_failures.map(quota).transpose()?)
}

pub(super) fn resolver(options: &client_address::Options) -> Result<Resolver, StartError> {
    let trust = match &options.trust {
        TrustConfig::Proxies(cidrs) => Trust::Proxies {
            cidrs: cidrs.clone(),
            unix: false,
        },
        TrustConfig::Hops(hops) => Trust::Hops(Hops::try_from(*hops)?),
    };
    let header = match options.header {
        HeaderConfig::XForwardedFor => Header::XForwardedFor,
        HeaderConfig::Forwarded => Header::Forwarded,
    };
    Ok(Resolver::new(trust, header))
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
///
/// # Errors
/// [`StartError::Quota`].
pub fn members(config: &Config) -> Result<Vec<RegisteredProject>, StartError> {
    let shadow = config.rate_limit.shadow;
    let member = |project| member(project, shadow);
    config.projects.iter().map(member).collect()
}

/// A project with what its callers may send; in `shadow` mode nothing is refused.
///
/// # Errors
/// [`StartError::Quota`].
pub fn member(config: &ProjectConfig, shadow: bool) -> Result<RegisteredProject, StartError> {
    let quota = |quota: Option<QuotaConfig>| -> Result<Option<Quota>, StartError> {
        let quota = quota.map(|of| Quota::new(of.requests, of.period, of.burst));
        Ok(quota.transpose()?)
    };
    let keys = config.keys.iter().map(|key| quota(key.rate_limit));
    Ok(RegisteredProject {
        project: project(config),
        quotas: Quotas {
            project: quota(config.rate_limit)?,
            keys: keys.collect::<Result<_, _>>()?,
            shadow,
        },
    })
}

fn project(config: &ProjectConfig) -> Project {
    let key = |key: &crate::config::KeyConfig| {
        std::sync::Arc::new(Key {
            access: access(&key.access),
            client_cert: key.client_cert.clone(),
            expires: key.expires,
            permissions: key.permissions.clone(),
            event_types: key.event_types.clone(),
        })
    };
    Project {
        token: config.token.clone(),
        ids: Schema::new(&config.hard_ids, &config.soft_ids, &config.lowercase_ids)
            .with_unusable(&config.unusable_ids)
            .with_unlisted(match config.unlisted_ids {
                UnlistedIds::Refuse => Unlisted::Refused,
                UnlistedIds::Skip => Unlisted::Skipped(std::sync::Arc::default()),
            }),
        keys: config.keys.iter().map(key).collect(),
    }
}

fn access(access: &ConfigAccess) -> KeyAccess {
    let secret = |secret: &SecretConfig| match secret {
        SecretConfig::Plain(text) => SecretHash::of(text),
        SecretConfig::Sha256(digest) => SecretHash::from_sha256(*digest),
    };
    match access {
        ConfigAccess::Public { key } => KeyAccess::Public(PublicKey::new(key)),
        ConfigAccess::Private { id, secrets } => KeyAccess::Private {
            id: id.clone(),
            secrets: secrets.iter().map(secret).collect(),
        },
    }
}

/// A random number.
pub(super) fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(StartError::Random)
}
