use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{HOPS_MAX, Peer, canonical};

/// Who is trusted to say where a call came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// No proxy: the client is the socket peer and no header is read.
    None,
    /// Proxies known by address.
    Proxies {
        /// Networks of the proxies.
        ///
        /// An address matches in its canonical form, so `10.0.0.0/8` covers `::ffff:10.0.0.9` and
        /// `64:ff9b::10.0.0.9`; a network inside `::ffff:0:0/96` is the IPv4 network it maps; `::/0` covers no IPv4.
        /// A network inside `64:ff9b::/96` covers the addresses written so, and not the plain IPv4 ones.
        cidrs: Vec<IpNet>,
        /// Whether the peer of the unix socket is a proxy.
        unix: bool,
    },
    /// This many hops, whatever their addresses: the socket peer, of either kind, is the first.
    ///
    /// The client is the element of that number, counted from the right. Safe only where no client can reach the
    /// service past its proxies.
    Hops(Hops),
}

/// A number of hops, 1 to [`HOPS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hops(u8);

/// The number of hops was 0 or more than [`HOPS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a number of hops from 1 to {HOPS_MAX}")]
pub struct HopsOutOfRange(u8);

impl Trust {
    /// The same trust with every network in the form that canonical addresses are compared to.
    pub(super) fn canonical(self) -> Self {
        match self {
            Self::Proxies { cidrs, unix } => Self::Proxies {
                cidrs: cidrs.into_iter().map(unmapped).collect(),
                unix,
            },
            Self::None => Self::None,
            Self::Hops(hops) => Self::Hops(hops),
        }
    }

    pub(super) fn believes_peer(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::None, _) => false,
            (Self::Hops(_), _) => true,
            (Self::Proxies { unix, .. }, Peer::Unix) => *unix,
            (Self::Proxies { cidrs, .. }, Peer::Ip(ip)) => covers(cidrs, ip),
        }
    }

    /// Whether what `hop` reported, the element left of its own, is believed.
    pub(super) fn believes_hop(&self, hop: IpAddr) -> bool {
        match self {
            Self::None => false,
            // `elements_max` says how many.
            Self::Hops(_) => true,
            Self::Proxies { cidrs, .. } => covers(cidrs, hop),
        }
    }

    /// Most elements the walk may read.
    pub(super) fn elements_max(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Hops(Hops(hops)) => usize::from(*hops),
            Self::Proxies { .. } => usize::from(HOPS_MAX),
        }
    }
}

impl TryFrom<u8> for Hops {
    type Error = HopsOutOfRange;

    fn try_from(hops: u8) -> Result<Self, HopsOutOfRange> {
        match hops {
            1..=HOPS_MAX => Ok(Self(hops)),
            _ => Err(HopsOutOfRange(hops)),
        }
    }
}

fn covers(cidrs: &[IpNet], ip: IpAddr) -> bool {
    let canonical = canonical(ip);
    // Also as written: unmapping a NAT64 network like 64:ff9b::/96 instead would silently make it 0.0.0.0/0.
    let written = ip.to_canonical();
    cidrs
        .iter()
        .any(|cidr| cidr.contains(&canonical) || cidr.contains(&written))
}

fn unmapped(cidr: IpNet) -> IpNet {
    match cidr {
        IpNet::V4(v4) => IpNet::V4(v4),
        IpNet::V6(v6) => mapped_network(v6).map_or(IpNet::V6(v6), IpNet::V4),
    }
}

fn mapped_network(v6: Ipv6Net) -> Option<Ipv4Net> {
    let prefix = v6.prefix_len().checked_sub(96)?;
    Ipv4Net::new(v6.addr().to_ipv4_mapped()?, prefix).ok()
}
