//! The address that a call is charged to: that of the client behind the proxies.
//!
//! A forwarded header is a list that every hop appends to, and its left end is whatever the client sent. So it is read
//! from the right, starting at the socket peer, and only for as long as the hop that wrote an element is trusted:
//!
//! ```text
//! x-forwarded-for: 6.6.6.6, 198.51.100.7, 10.0.0.9      socket peer 10.0.0.2      trusted 10.0.0.0/8
//!                  never    the client,   trusted:      trusted: its element
//!                  read     walk stops    go on left    is believed
//! ```
//!
//! * An untrusted address ends the walk and is the client. If all are trusted, the farthest one is.
//! * An element that is not an address ends the walk too; the call is charged to the hop that reported it. Skipping it
//!   would lead into client text.
//! * One header is configured and no other is ever consulted, nor is an address trusted for being private.
//! * At most [`HOPS_MAX`] elements are read.
//!
//! `node` parses addresses, `forwarded` the `Forwarded` field, and `trust` decides which hops to trust.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod forwarded;
mod node;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod trust;

pub use trust::{Hops, HopsOutOfRange, Trust};

/// Most elements of a forwarded header that are read, and most hops that can be configured.
pub const HOPS_MAX: u8 = 32;

/// Where a call came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// An internet address; one made by [`ClientAddress::of`] is canonical.
    Ip(IpAddr),
    /// The unix socket; its callers have no addresses of their own.
    Unix,
}

/// The key that is limited: all addresses one subscriber can easily use are one key.
///
/// Displayed as `198.51.100.7`, `2001:db8:1:2::/64`, `2001:db8::/48` or `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressKey {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// One IPv6 /64, by its upper 64 bits: the smallest network that a subscriber gets.
    V6(u64),
    /// A wider IPv6 network, by its upper 64 bits; those behind its length are zero.
    V6Wide(u64, Width),
    /// All callers of the unix socket together.
    Unix,
}

/// How wide an IPv6 network is that may be one subscriber's, with more than one /64 in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// A /56: 256 /64s, what a household may get.
    Prefix56,
    /// A /48: 65,536 /64s, what an organisation gets.
    Prefix48,
}

/// The other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP peer.
    Ip(IpAddr),
    /// A process on this machine, over the unix socket.
    Unix,
}

/// The one header that proxies write the client's address to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// `x-forwarded-for`: a list of addresses.
    XForwardedFor,
    /// `forwarded`: a list of parameter sets (RFC 7239), of which only `for` is used.
    Forwarded,
}

/// Finds the client's address by the rule of this module.
#[derive(Clone, Debug)]
pub struct Resolver {
    trust: Trust,
    header: Header,
}

impl ClientAddress {
    /// The canonical address of `ip`: each host has one, however it was written.
    ///
    /// IPv4-mapped IPv6 (`::ffff:198.51.100.7`) and NAT64 (`64:ff9b::198.51.100.7`) become IPv4. A NAT64 form of a
    /// loopback address stays IPv6: no translator makes one (RFC 6052, 3.1), and unlike 127.0.0.1 it can arrive from
    /// the network, where it must not be taken for this machine.
    pub fn of(ip: IpAddr) -> Self {
        Self::Ip(canonical(ip))
    }

    /// The key this address is limited by.
    #[inline]
    pub fn key(&self) -> AddressKey {
        match *self {
            Self::Ip(ip) => match canonical(ip) {
                IpAddr::V4(v4) => AddressKey::V4(v4),
                IpAddr::V6(v6) => {
                    let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                    AddressKey::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
                }
            },
            Self::Unix => AddressKey::Unix,
        }
    }
}

impl AddressKey {
    /// The wider network that this /64 is in. None: it is not a /64.
    #[inline]
    pub fn widened(self, width: Width) -> Option<Self> {
        let Self::V6(network) = self else { return None };
        let below = u64::BITS - u32::from(width.prefix_len());
        Some(Self::V6Wide(network >> below << below, width))
    }
}

impl Width {
    /// The length of the network's prefix, in bits.
    pub const fn prefix_len(self) -> u8 {
        match self {
            Self::Prefix56 => 56,
            Self::Prefix48 => 48,
        }
    }
}

impl From<Peer> for ClientAddress {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Ip(ip) => Self::of(ip),
            Peer::Unix => Self::Unix,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(network) => write!(f, "{}/64", ipv6(*network)),
            Self::V6Wide(network, width) => write!(f, "{}/{}", ipv6(*network), width.prefix_len()),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Header {
    /// The header's name, in lower case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

impl Resolver {
    /// A resolver that trusts `header` as far as `trust` says.
    pub fn new(trust: Trust, header: Header) -> Self {
        Self {
            trust: trust.canonical(),
            header,
        }
    }

    /// The name of the header whose lines [`Resolver::resolve`] wants, in lower case.
    pub const fn header_name(&self) -> &'static str {
        self.header.name()
    }

    /// Whether `peer` is trusted to name its client.
    pub fn believes(&self, peer: Peer) -> bool {
        self.trust.believes_peer(peer)
    }

    /// Whether a client is a proxy that is known by its address: one that called for itself, or for a client that it
    /// did not name.
    pub fn is_proxy(&self, client: ClientAddress) -> bool {
        match (&self.trust, client) {
            (Trust::Proxies { .. }, ClientAddress::Ip(ip)) => self.trust.believes_hop(ip),
            (Trust::Proxies { unix, .. }, ClientAddress::Unix) => *unix,
            (Trust::None | Trust::Hops(_), _) => false,
        }
    }

    /// The client of a call that came from `peer` with these `lines`.
    ///
    /// `lines` are the values of all field lines named [`Resolver::header_name`], in order of arrival; they count as
    /// one list. Any bytes are fine. Allocates nothing; does not touch `lines` unless `peer` is trusted.
    pub fn resolve<'a>(
        &self,
        peer: Peer,
        lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> ClientAddress {
        if !self.trust.believes_peer(peer) {
            return peer.into();
        }
        match self.header {
            Header::XForwardedFor => self.walk(peer, node::addresses(lines)),
            Header::Forwarded => match forwarded::nearest(lines) {
                Some(nearest) => self.walk(peer, nearest.addresses()),
                None => peer.into(),
            },
        }
    }

    /// Walks `hops` (nearest first, ended by the list's end or by its first unusable element) to the client.
    fn walk(&self, peer: Peer, hops: impl Iterator<Item = IpAddr>) -> ClientAddress {
        let mut client = ClientAddress::from(peer);
        for hop in hops.take(self.trust.elements_max()) {
            client = ClientAddress::of(hop);
            if !self.trust.believes_hop(hop) {
                break;
            }
        }
        client
    }
}

fn ipv6(upper: u64) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(upper) << 64)
}

#[inline]
fn canonical(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => translated(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
    }
}

/// The IPv4 address in the well-known NAT64 prefix. (A network's own prefix cannot be distinguished from any other
/// address.)
#[inline]
fn translated(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    match v6.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d)).filter(|v4| !v4.is_loopback())
        }
        _ => None,
    }
}
