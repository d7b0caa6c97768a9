//! One element: what counts as the address of a hop, and the list of them in `x-forwarded-for`.
//!
//! Usable are `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`. The port must be one
//! and is dropped. Whatever parsers disagree about is refused, not guessed: leading zeros, short and hexadecimal forms,
//! brackets around IPv4, quotes, white space inside. So is a zone (`fe80::1%eth0`): it means something only to the host
//! that wrote it, and without it the address could match a trusted network on another link. Refused as naming no single
//! host: the unspecified, multicast and broadcast addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Header, canonical};

/// Longest element that can be an address, in bytes: the longest IPv6 text, and space for an obfuscated port.
pub(super) const ELEMENT_BYTES_MAX: usize = 128;

/// The elements of one `x-forwarded-for` line from the right, empty ones left out. Ends after an unusable one.
struct Elements<'a> {
    rest: &'a [u8],
}

/// The addresses of an `x-forwarded-for` list, nearest hop first, up to its first unusable element.
pub(super) fn addresses<'a>(
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = IpAddr> {
    lines
        .rev()
        .flat_map(|rest| Elements { rest })
        .map_while(|element| address(element?, Header::XForwardedFor))
}

/// The address in an element of `header`, or nothing if it is unusable.
///
/// In `forwarded` the port may also be an obfuscated one, `_` and a name (RFC 7239, 6.2).
pub(super) fn address(element: &[u8], header: Header) -> Option<IpAddr> {
    let text = str::from_utf8(element).ok()?;
    let (host, port) = split(text)?;
    (port.is_none_or(|port| is_port(port, header)) && names_a_host(host)).then_some(host)
}

fn split(text: &str) -> Option<(IpAddr, Option<&str>)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        let port = if after.is_empty() {
            None
        } else {
            Some(after.strip_prefix(':')?)
        };
        return Some((IpAddr::V6(host.parse::<Ipv6Addr>().ok()?), port));
    }
    match text.split_once(':') {
        Some((_, after)) if after.contains(':') => {
            Some((IpAddr::V6(text.parse::<Ipv6Addr>().ok()?), None))
        }
        Some((host, port)) => Some((IpAddr::V4(host.parse::<Ipv4Addr>().ok()?), Some(port))),
        None => Some((IpAddr::V4(text.parse::<Ipv4Addr>().ok()?), None)),
    }
}

fn is_port(port: &str, header: Header) -> bool {
    match header {
        Header::XForwardedFor => is_numbered(port),
        Header::Forwarded => is_numbered(port) || is_obfuscated(port),
    }
}

fn is_numbered(port: &str) -> bool {
    port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_obfuscated(port: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    port.strip_prefix('_')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(in_name))
}

fn names_a_host(ip: IpAddr) -> bool {
    match canonical(ip) {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast()),
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let list = trim_end(self.rest, is_padding);
        if list.is_empty() {
            return None;
        }
        // Looks no farther than an address can reach, however long the client made the element.
        let width = list
            .iter()
            .rev()
            .take(ELEMENT_BYTES_MAX + 1)
            .take_while(|byte| !is_padding(**byte))
            .count();
        let (before, element) = list.split_at_checked(list.len().saturating_sub(width))?;
        let before = trim_end(before, is_ows);
        let whole = width <= ELEMENT_BYTES_MAX && before.last().is_none_or(|byte| *byte == b',');
        self.rest = if whole { before } else { &[] };
        Some(Some(element).filter(|_| whole))
    }
}

pub(super) fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_padding(byte: u8) -> bool {
    is_ows(byte) || byte == b','
}

fn trim_end(mut bytes: &[u8], unwanted: impl Fn(u8) -> bool) -> &[u8] {
    while let [rest @ .., last] = bytes
        && unwanted(*last)
    {
        bytes = rest;
    }
    bytes
}
