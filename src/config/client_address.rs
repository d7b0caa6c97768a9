//! `[client_address]`: whose word counts about a caller's address.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::reader::Fields;
use super::units::NETWORK;
use super::value::Kind;

/// Whose word counts about a caller's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which senders of the header are believed. Default: those on this machine.
    pub trust: TrustConfig,
    /// The header that names the addresses a request came through. Default `X-Forwarded-For`.
    pub header: HeaderConfig,
}

/// Which senders of forwarded addresses are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustConfig {
    /// `trusted_proxies`: those in one of these networks.
    Proxies(Vec<IpNet>),
    /// `trusted_hops`: the last so many, wherever they are; from 1 to 32.
    Hops(u8),
}

/// The header that is read; no other ever is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderConfig {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

const HOPS: Kind<u8> = Kind::new("a whole number from 1 to 32", |value| {
    u8::try_from(value.integer()?)
        .ok()
        .filter(|hops| (1..=32).contains(hops))
});

const HEADER: Kind<HeaderConfig> = Kind::new("\"x-forwarded-for\" or \"forwarded\"", |value| {
    value.one_of(&[
        ("x-forwarded-for", HeaderConfig::XForwardedFor),
        ("forwarded", HeaderConfig::Forwarded),
    ])
});

impl Default for Options {
    fn default() -> Self {
        const IPV4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        const IPV6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
        Self {
            trust: TrustConfig::Proxies(vec![IPV4.into(), IPV6.into()]),
            header: HeaderConfig::XForwardedFor,
        }
    }
}

impl Options {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        let proxies = fields
            .list("trusted_proxies", NETWORK)
            .map(TrustConfig::Proxies);
        let hops = fields.optional("trusted_hops", HOPS).map(TrustConfig::Hops);
        if fields.is_given("trusted_proxies") && fields.is_given("trusted_hops") {
            fields.mistake(
                "trusted_hops",
                "given beside trusted_proxies, expected only one of the two",
            );
        }
        Self {
            trust: proxies.or(hops).unwrap_or(default.trust),
            header: fields.read("header", HEADER, default.header),
        }
    }
}
