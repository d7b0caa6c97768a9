//! `[client_address]`: whose word counts about a caller's address.

use ipnet::IpNet;

use super::reader::Fields;
use super::sources;
use super::table::restart;
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
        sources::default(Self::read)
    }
}

impl Options {
    /// As with sections that are told as a table.
    pub(crate) fn reloaded(&self, new: &Self, left: &mut Vec<String>) -> Self {
        let trust = "client_address.trusted_proxies or trusted_hops";
        Self {
            trust: restart(trust, &self.trust, &new.trust, left),
            header: restart("client_address.header", &self.header, &new.header, left),
        }
    }

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = match fields.is_given("trusted_hops") {
            true => "",
            false => "127.0.0.0/8, ::1/128",
        };
        let proxies = fields.list("trusted_proxies", NETWORK, default);
        let hops = fields.optional("trusted_hops", HOPS);
        if fields.is_given("trusted_proxies") && fields.is_given("trusted_hops") {
            fields.mistake(
                "trusted_hops",
                "given beside trusted_proxies, expected only one of the two",
            );
        }
        Self {
            trust: hops.map_or(TrustConfig::Proxies(proxies), TrustConfig::Hops),
            header: fields.read("header", HEADER, "x-forwarded-for"),
        }
    }
}
