//! `[rate_limit]`: how much a caller may send.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ipnet::IpNet;

use super::quota::QuotaConfig;
use super::reader::Fields;
use super::sources;
use super::table::restart;
use super::units::{DURATION, NETWORK, count, in_words};
use super::value::{Kind, SWITCH};

/// How much a caller may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Requests of one address in every [`Options::period`]. Default 6000.
    pub requests: NonZeroU32,
    /// The time for which [`Options::requests`] are counted. Default 1 min.
    pub period: Duration,
    /// Requests that an address may send at once. Default: as many as [`Options::requests`].
    pub burst: NonZeroU32,
    /// How many addresses' quotas all /64s of an IPv6 /56 have together. None: no limit. Default 16.
    pub ipv6_56_times: Option<NonZeroU32>,
    /// The same for a /48. Default 64.
    pub ipv6_48_times: Option<NonZeroU32>,
    /// Networks whose addresses are not limited. Default: none.
    pub exempt: Vec<IpNet>,
    /// Failures to be let in that an address may have in a minute, and with each key whose secret it gets wrong; at
    /// most 1000000. None: no limit. Default 60.
    pub auth_failures: Option<NonZeroU32>,
    /// Whether refusals are counted but not carried out; but for those of [`Options::auth_failures`]. Default: no.
    pub shadow: bool,
    /// Addresses of which the limiter can keep account at once, at most 2^28; its memory follows.
    /// Default 1048576.
    pub slots: NonZeroUsize,
    /// Networks with a limit of their own, at most one for each network. Default: none.
    pub overrides: Vec<Override>,
}

/// Another limit for the addresses of one network: `[[rate_limit.override]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The network.
    pub cidr: IpNet,
    /// As [`Options::requests`].
    pub requests: NonZeroU32,
    /// As [`Options::period`]. Default: the same as there.
    pub period: Duration,
    /// As [`Options::burst`]. Default: as many as [`Override::requests`].
    pub burst: NonZeroU32,
}

const SLOTS: Kind<NonZeroUsize> = Kind::new("a whole number from 1 to 268435456", |value| {
    let slots = usize::try_from(value.integer()?)
        .ok()
        .filter(|slots| *slots <= 1 << 28)?;
    NonZeroUsize::new(slots)
});

/// Beyond as many /64s as a /48 has, a limit for all of them is none.
const TIMES_MAX: u32 = 65_536;

const TIMES: Kind<Option<NonZeroU32>> = Kind::new("a whole number from 0 to 65536", |value| {
    let times = u32::try_from(value.integer()?).ok()?;
    (times <= TIMES_MAX).then(|| NonZeroU32::new(times))
});

const FAILURES_MAX: u32 = 1_000_000;

const FAILURES: Kind<Option<NonZeroU32>> = Kind::new("a whole number from 0 to 1000000", |value| {
    let failures = u32::try_from(value.integer()?).ok()?;
    (failures <= FAILURES_MAX).then(|| NonZeroU32::new(failures))
});

impl Default for Options {
    fn default() -> Self {
        sources::default(Self::read)
    }
}

impl Options {
    /// As with sections that are told as a table.
    pub(crate) fn reloaded(&self, new: &Self, left: &mut Vec<String>) -> Self {
        Self {
            slots: restart("rate_limit.slots", &self.slots, &new.slots, left),
            ..new.clone()
        }
    }

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let mistakes = fields.mistakes();
        let requests: NonZeroU32 = fields.read("requests", count(), "6000");
        let period = fields.read("period", DURATION, "1m");
        let burst = fields.read("burst", count(), &requests.to_string());
        let quota = QuotaConfig {
            requests,
            period,
            burst,
        };
        quota.check(fields, mistakes);
        let mut networks = BTreeSet::new();
        Self {
            requests,
            period,
            burst,
            ipv6_56_times: fields.read("ipv6_56_times", TIMES, "16"),
            ipv6_48_times: fields.read("ipv6_48_times", TIMES, "64"),
            exempt: fields.list("exempt", NETWORK, ""),
            auth_failures: fields.read("auth_failures", FAILURES, "60"),
            shadow: fields.read("shadow", SWITCH, "false"),
            slots: fields.read("slots", SLOTS, "1048576"),
            overrides: fields
                .tables("override", |fields| {
                    Override::read(fields, period, &mut networks)
                })
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

impl Override {
    fn read(
        fields: &mut Fields<'_, '_>,
        period: Duration,
        networks: &mut BTreeSet<IpNet>,
    ) -> Option<Self> {
        let cidr = fields.required("cidr", NETWORK);
        let mistakes = fields.mistakes();
        let requests = fields.required("requests", count());
        let period = fields.read("period", DURATION, &in_words(period));
        let burst = fields.optional("burst", count());
        if let Some(requests) = requests {
            let quota = QuotaConfig {
                requests,
                period,
                burst: burst.unwrap_or(requests),
            };
            quota.check(fields, mistakes);
        }
        if let Some(cidr) = cidr.filter(|cidr| !networks.insert(*cidr)) {
            fields.mistake(
                "cidr",
                format!("{cidr} has an override already, expected one a network"),
            );
        }
        let requests = requests?;
        Some(Self {
            cidr: cidr?,
            requests,
            period,
            burst: burst.unwrap_or(requests),
        })
    }
}
