//! The PROXY protocol, versions 1 and 2: a head in front of a connection, in which a balancer that passes bytes through
//! names its client.
//!
//! What is said is read byte for byte and no further, so that TLS or HTTP begins right behind it.

use std::io;
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What tells the versions apart. No head of either is shorter.
const BEGIN_BYTES: usize = v2::PROTOCOL_PREFIX.len();
/// What every head of version 2 has: these, what it is about, and how long the rest is.
const FIXED_BYTES: usize = BEGIN_BYTES + 4;
/// Longest head of version 1, by the protocol.
const TEXT_BYTES_MAX: usize = 107;
/// Longest head of version 2 that is read: addresses, and what balancers add about TLS and networks.
const BINARY_BYTES_MAX: usize = 4096;

/// Reads the head of a connection. None: it names no address, so that the balancer speaks for itself, as its probes do.
///
/// # Errors
/// The stream ends or breaks, or it begins with something else.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut head = vec![0; BEGIN_BYTES];
    stream.read_exact(&mut head).await?;
    if head == v2::PROTOCOL_PREFIX {
        read_binary(stream, head).await
    } else if head.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        read_text(stream, head).await
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

async fn read_text(
    stream: &mut (impl AsyncRead + Unpin),
    mut head: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    while !head.ends_with(b"\n") {
        if head.len() == TEXT_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    let head = v1::Header::try_from(&*head).map_err(invalid)?;
    Ok(match head.addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Unknown => None,
    })
}

async fn read_binary(
    stream: &mut (impl AsyncRead + Unpin),
    mut head: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    let mut fixed = [0; FIXED_BYTES - BEGIN_BYTES];
    stream.read_exact(&mut fixed).await?;
    let [_, _, length @ ..] = fixed;
    let whole = FIXED_BYTES + usize::from(u16::from_be_bytes(length));
    if whole > BINARY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    head.extend_from_slice(&fixed);
    head.resize(whole, 0);
    let rest = head.get_mut(FIXED_BYTES..).unwrap_or_default();
    stream.read_exact(rest).await?;
    let head = v2::Header::try_from(&*head).map_err(invalid)?;
    Ok(match (head.command, head.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => {
            Some(addresses.source_address.into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => {
            Some(addresses.source_address.into())
        }
        (v2::Command::Local, _)
        | (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    })
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    /// What is read of a connection that begins so, and what is left of it.
    fn read_all(mut bytes: &[u8]) -> (Result<Option<String>, io::ErrorKind>, &[u8]) {
        let read = read(&mut bytes).now_or_never().unwrap();
        let named = read.map(|address| address.map(|address| address.to_string()));
        (named.map_err(|error| error.kind()), bytes)
    }

    /// A head of version 2: a command, a family with a transport, and what follows.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [
            v2::PROTOCOL_PREFIX,
            &[0x20 | command, family],
            &length,
            rest,
        ]
        .concat()
    }

    const IPV4: &[u8] = &[203, 0, 113, 9, 10, 0, 0, 1, 0x80, 0, 1, 187];

    #[test]
    fn both_versions_name_a_client_and_leave_what_follows() {
        let mut ipv6 = [0; 36];
        ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        ipv6[15] = 9;
        let with_more = [IPV4, &[4, 0, 2, 0, 0]].concat();
        for (head, named) in [
            (
                &b"PROXY TCP4 203.0.113.9 10.0.0.1 32768 443\r\n"[..],
                Some("203.0.113.9"),
            ),
            (
                b"PROXY TCP6 2001:db8::9 ::1 32768 443\r\n",
                Some("2001:db8::9"),
            ),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
            (&binary(1, 0x11, IPV4), Some("203.0.113.9")),
            (&binary(1, 0x21, &ipv6), Some("2001:db8::9")),
            (&binary(1, 0x11, &with_more), Some("203.0.113.9")),
            (&binary(0, 0x00, &[]), None),
            (&binary(0, 0x11, IPV4), None),
            (&binary(1, 0x00, &[]), None),
            (&binary(1, 0x31, &[0; 216]), None),
        ] {
            let bytes = [head, b"\x16\x03\x01 or GET"].concat();
            let expected = (Ok(named.map(str::to_owned)), &b"\x16\x03\x01 or GET"[..]);
            assert_eq!(read_all(&bytes), expected, "{head:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(TEXT_BYTES_MAX));
        for head in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"proxy tcp4 203.0.113.9 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 203.0.113.999 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::9 ::1 1 2\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 1\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\n\n",
            too_long.as_bytes(),
            // Version 3, a command that is none, too few bytes for the family, more bytes than are read.
            &[v2::PROTOCOL_PREFIX, &[0x31, 0x11, 0, 12], IPV4].concat(),
            &binary(2, 0x11, IPV4),
            &binary(1, 0x11, &IPV4[..11]),
            &binary(1, 0x11, &[0; BINARY_BYTES_MAX]),
        ] {
            assert_eq!(
                read_all(head).0,
                Err(io::ErrorKind::InvalidData),
                "{head:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_head_that_is_cut_off_is_refused(cut in 0..28_usize) {
            let whole = binary(1, 0x11, IPV4);
            prop_assert_eq!(read_all(&whole[..cut]).0, Err(io::ErrorKind::UnexpectedEof));
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            begin in prop::sample::select(vec![&b"PROXY "[..], b"PROXY TCP4 1.1.1.1 ", v2::PROTOCOL_PREFIX, b""]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [begin, &rest].concat();
            let (read, left) = read_all(&bytes);
            prop_assert!(bytes.len() - left.len() <= BINARY_BYTES_MAX);
            prop_assert!(read.is_err() || bytes.starts_with(b"PROXY ") || bytes.starts_with(v2::PROTOCOL_PREFIX));
        }
    }
}
