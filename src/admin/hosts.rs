//! Keeps pages of other sites from what the second listener shows of customers.
//!
//! A name of any site can be made to lead to this machine, and the site's pages may then read what is here as if it
//! were theirs (DNS rebinding). A browser says in `Host` for which name it asks. An address as such cannot be rebound.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::{HeaderMap, Request, Uri};

use crate::model::quote::quoted;

/// Checks for which name a request asks: an address, `localhost`, or one of `hosts`.
///
/// # Errors
/// What to do about it, in words.
pub(super) fn check<B>(request: &Request<B>, hosts: &[String]) -> Result<(), String> {
    // No browser leaves both out.
    let Some(asked) = asked(request.headers(), request.uri()) else {
        return Ok(());
    };
    let name = name(&asked);
    let is_named = |host: &String| host.eq_ignore_ascii_case(name);
    let is_safe = name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost");
    match is_safe || hosts.iter().any(is_named) {
        true => Ok(()),
        false => Err(format!(
            "Host '{}' is not known here: list it in server.admin_hosts",
            quoted(name)
        )),
    }
}

/// Whether a request asks for this machine by a name that only works there.
pub(super) fn is_local(headers: &HeaderMap, uri: &Uri) -> bool {
    asked(headers, uri).is_none_or(|asked| {
        let name = name(&asked);
        let address = name.parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

fn asked<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
    let header = headers.get(HOST);
    let header = header.map(|host| String::from_utf8_lossy(host.as_bytes()));
    let authority = uri.authority().map(|host| host.as_str().into());
    authority.or(header)
}

/// A host without its port, and an IPv6 address without its brackets.
fn name(host: &str) -> &str {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next());
    let bracketed = bracketed.filter(|text| text.parse::<Ipv6Addr>().is_ok());
    bracketed.unwrap_or_else(|| host.split_once(':').map_or(host, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(host: &str) -> bool {
        let request = Request::builder().header(HOST, host).body(()).unwrap();
        check(&request, &["ops.example".to_owned()]).is_ok()
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_known_and_no_others() {
        for host in [
            "127.0.0.1:9090",
            "10.0.0.7",
            "[::1]:9090",
            "[2001:db8::1]",
            "localhost:9090",
            "LOCALHOST",
            "ops.example:9090",
            "OPS.example",
        ] {
            assert!(is_known(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "ops.example.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[evil.example]",
            "1.2.3.4@evil.example",
        ] {
            assert!(!is_known(host), "{host}");
        }
        let without = Request::new(());
        assert!(check(&without, &[]).is_ok());
        let http2 = Request::builder().uri("http://evil.example/refusals");
        assert!(check(&http2.body(()).unwrap(), &[]).is_err());
    }
}
