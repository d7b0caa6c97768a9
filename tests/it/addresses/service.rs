//! The service's resolver, asked in the words of the reference.

use footfall::model::address::{Header, Hops, Peer, Resolver, Trust};

use super::reference::{Believed, Setting};

fn resolver(setting: &Setting) -> Resolver {
    let trust = match &setting.believed {
        Believed::Nobody => Trust::None,
        Believed::Networks { networks, unix } => Trust::Proxies {
            cidrs: networks.iter().map(|text| text.parse().unwrap()).collect(),
            unix: *unix,
        },
        Believed::Hops(hops) => Trust::Hops(Hops::try_from(*hops).unwrap()),
    };
    let header = match setting.forwarded {
        true => Header::Forwarded,
        false => Header::XForwardedFor,
    };
    Resolver::new(trust, header)
}

/// Whom a call is charged to.
pub(super) fn resolved(setting: &Setting, peer: &str, lines: &[Vec<u8>]) -> String {
    let peer = match peer {
        "unix" => Peer::Unix,
        ip => Peer::Ip(ip.parse().unwrap()),
    };
    let client = resolver(setting).resolve(peer, lines.iter().map(Vec::as_slice));
    client.key().to_string()
}
