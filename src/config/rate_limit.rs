//! `[rate_limit]`: how much a caller may send.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::reader::Fields;
use super::table::restart;
use super::units::{NETWORK, in_words};
use super::value::{Kind, SWITCH};
use super::{quota, sources};
use crate::limit::{self, PrefixMultipliers, Quota};

/// How much a caller may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How addresses are limited.
    pub addresses: limit::Options,
    /// How often an address may fail to be let in, and with each key whose secret it gets wrong. None: no limit.
    /// Default: 60 times a minute.
    pub auth_failures: Option<Quota>,
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

const FAILURES: Kind<Option<Quota>> = Kind::new("a whole number from 0 to 1000000", |value| {
    let failures = u32::try_from(value.integer()?).ok()?;
    let failures = (failures <= FAILURES_MAX).then(|| NonZeroU32::new(failures))?;
    let quota = failures.map(|times| Quota::new(times, Duration::from_mins(1), times));
    quota.transpose().ok()
});

impl Default for Options {
    fn default() -> Self {
        sources::default(Self::read)
    }
}

impl Options {
    /// As the sections that are tables do.
    pub(crate) fn reloaded(&self, new: &Self, left: &mut Vec<String>) -> Self {
        let (now, mut next) = (&self.addresses.slots, new.clone());
        next.addresses.slots = restart("rate_limit.slots", now, &new.addresses.slots, left);
        next
    }

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        // After a mistake, the reading goes on with any quota.
        let quota = quota::read(fields, Some("6000"), "1m").unwrap_or_default();
        let multipliers = PrefixMultipliers {
            prefix_56: fields.read("ipv6_56_times", TIMES, "16"),
            prefix_48: fields.read("ipv6_48_times", TIMES, "64"),
        };
        let exempt = fields.list("exempt", NETWORK, "");
        let auth_failures = fields.read("auth_failures", FAILURES, "60");
        let shadow = fields.read("shadow", SWITCH, "false");
        let slots = fields.read("slots", SLOTS, "1048576");
        let (period, mut networks) = (in_words(quota.period()), BTreeSet::new());
        let overrides = fields.tables("override", |fields| {
            let cidr = fields.required("cidr", NETWORK);
            let quota = quota::read(fields, None, &period);
            if let Some(cidr) = cidr.filter(|cidr| !networks.insert(*cidr)) {
                let problem = "has an override already, expected one a network";
                fields.mistake("cidr", format!("{cidr} {problem}"));
            }
            cidr.zip(quota)
        });
        Self {
            addresses: limit::Options {
                quota,
                overrides: overrides.into_iter().flatten().collect(),
                multipliers,
                exempt,
                shadow,
                slots,
            },
            auth_failures,
        }
    }
}
