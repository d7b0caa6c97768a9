//! `[client_address]`: whose word counts about a caller's address.

use super::reader::Fields;
use super::sources;
use super::table::restart;
use super::units::NETWORK;
use super::value::Kind;
use crate::model::address::{Header, Hops, Trust};

/// Whose word counts about a caller's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which senders of the header are believed, by `trusted_proxies` or `trusted_hops`. Default: those on this
    /// machine.
    pub trust: Trust,
    /// The header that names the addresses a request came through. Default `X-Forwarded-For`.
    pub header: Header,
}

const HOPS: Kind<Hops> = Kind::new("a whole number from 1 to 32", |value| {
    Hops::try_from(u8::try_from(value.integer()?).ok()?).ok()
});

const HEADER: Kind<Header> = Kind::new("\"x-forwarded-for\" or \"forwarded\"", |value| {
    value.one_of(&[Header::XForwardedFor, Header::Forwarded].map(|of| (of.name(), of)))
});

impl Default for Options {
    fn default() -> Self {
        sources::default(Self::read)
    }
}

impl Options {
    /// As the sections that are tables do.
    pub(crate) fn reloaded(&self, new: &Self, left: &mut Vec<String>) -> Self {
        let trust = "client_address.trusted_proxies or trusted_hops";
        Self {
            trust: restart(trust, &self.trust, &new.trust, left),
            header: restart("client_address.header", &self.header, &new.header, left),
        }
    }

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let is_counted = fields.is_given("trusted_hops");
        let default = if is_counted {
            ""
        } else {
            "127.0.0.0/8, ::1/128"
        };
        let cidrs = fields.list("trusted_proxies", NETWORK, default);
        let hops = fields.optional("trusted_hops", HOPS);
        if fields.is_given("trusted_proxies") && is_counted {
            fields.mistake(
                "trusted_hops",
                "given beside trusted_proxies, expected only one of the two",
            );
        }
        let proxies = Trust::Proxies { cidrs, unix: false };
        Self {
            trust: hops.map_or(proxies, Trust::Hops),
            header: fields.read("header", HEADER, "x-forwarded-for"),
        }
    }
}
