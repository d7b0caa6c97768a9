//! Numbers with and without a unit: counts, sizes, durations; addresses, networks and paths.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::value::{Kind, Value};

const COUNT_MAX: u32 = 1_000_000_000;
const BYTES_MAX: u64 = 1 << 40;
/// Keeps sums of times far from overflow.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

const AGE_MAX: Duration = Duration::from_hours(36_500 * 24);

/// The units of a duration in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const EXPECTED_DURATION: &str =
    "a duration such as \"500ms\", \"10s\", \"1m\", \"1h\" or \"1d\", from \"1ms\" to \"365d\"";
const EXPECTED_WAIT: &str =
    "a duration such as \"500ms\", \"10s\", \"1m\", \"1h\" or \"1d\", from \"0s\" to \"365d\"";
const EXPECTED_AGE: &str =
    "a duration such as \"12h\", \"90d\" or \"730d\", from \"1ms\" to \"36500d\"";
const EXPECTED_SIZE: &str =
    "a number of bytes or a size such as \"64KiB\", \"1MiB\" or \"1GiB\", from 1 to \"1024GiB\"";
const EXPECTED_SIZE_OR_ZERO: &str =
    "a number of bytes or a size such as \"64KiB\", \"1MiB\" or \"1GiB\", from 0 to \"1024GiB\"";
const EXPECTED_NETWORK: &str = "a network such as 10.0.0.0/8 or 2001:db8::/32, with no bits set beyond its length, or an address";

/// A duration above zero.
pub(super) const DURATION: Kind<Duration> = Kind::new(EXPECTED_DURATION, |value| {
    value
        .text()
        .and_then(duration)
        .filter(|duration| !duration.is_zero())
});

/// A duration that may be zero.
pub(super) const WAIT: Kind<Duration> =
    Kind::new(EXPECTED_WAIT, |value| value.text().and_then(duration));

/// A duration above zero, which may be many years.
pub(super) const AGE: Kind<Duration> = Kind::new(EXPECTED_AGE, |value| {
    value
        .text()
        .and_then(|text| up_to(AGE_MAX, text))
        .filter(|age| !age.is_zero())
});

/// A size above zero.
pub(super) const SIZE: Kind<NonZeroUsize> = Kind::new(EXPECTED_SIZE, |value| {
    bytes(value).and_then(|bytes| NonZeroUsize::new(usize::try_from(bytes).ok()?))
});

/// The size of a head, which hyper's buffer has to hold and many callers may send at once.
pub(super) const HEAD_SIZE: Kind<NonZeroU32> = Kind::new(
    "a number of bytes or a size such as \"32KiB\", from \"8KiB\" to \"1MiB\"",
    |value| {
        let bytes = bytes(value).filter(|bytes| (1 << 13..=1 << 20).contains(bytes))?;
        NonZeroU32::new(u32::try_from(bytes).ok()?)
    },
);

/// The size of an answer: what clients take unless they are set otherwise, or more. The largest event fits.
pub(super) const ANSWER_SIZE: Kind<NonZeroUsize> = Kind::new(
    "a number of bytes or a size such as \"4MiB\", from \"4MiB\" to \"64MiB\"",
    |value| {
        let bytes = bytes(value).filter(|bytes| (1 << 22..=1 << 26).contains(bytes))?;
        NonZeroUsize::new(usize::try_from(bytes).ok()?)
    },
);

/// A size that may be zero.
pub(super) const SIZE_OR_ZERO: Kind<u64> = Kind::new(EXPECTED_SIZE_OR_ZERO, bytes);

/// An address with a port.
pub(super) const SOCKET: Kind<SocketAddr> = Kind::new(
    "an address with a port, such as 127.0.0.1:8080 or [::1]:8080",
    |value| value.text()?.parse().ok(),
);

/// A network, or an address, which is the network of itself alone.
pub(super) const NETWORK: Kind<IpNet> = Kind::new(EXPECTED_NETWORK, |value| {
    let text = value.text()?;
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    (network == network.trunc()).then(|| unmapped(network))
});

/// A path, which need not lead anywhere yet.
pub(super) const PATH: Kind<PathBuf> = Kind::new("a path", |value| {
    let path = value.path().filter(|path| !path.as_os_str().is_empty())?;
    (!path.as_os_str().as_encoded_bytes().contains(&0)).then(|| path.to_owned())
});

/// A count above zero.
pub(super) const fn count<T: TryFrom<NonZeroU32>>() -> Kind<T> {
    Kind::new("a whole number from 1 to 1000000000", |value| {
        let count = u32::try_from(value.integer()?)
            .ok()
            .filter(|count| *count <= COUNT_MAX)?;
        NonZeroU32::new(count)?.try_into().ok()
    })
}

/// A duration as a file has it, in the longest unit of which it is a whole number.
pub(super) fn in_words(duration: Duration) -> String {
    let millis = duration.as_millis();
    let whole = UNITS
        .iter()
        .find(|(_, unit)| millis.is_multiple_of(u128::from(*unit)));
    let (unit, length) = whole.copied().unwrap_or(("ms", 1));
    format!("{}{unit}", millis / u128::from(length))
}

fn duration(text: &str) -> Option<Duration> {
    up_to(DURATION_MAX, text)
}

fn up_to(longest: Duration, text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let duration = Duration::from_millis(number.checked_mul(*millis)?);
    (duration <= longest).then_some(duration)
}

fn bytes(value: &Value<'_>) -> Option<u64> {
    let bytes = match value.integer() {
        Some(bytes) => u64::try_from(bytes).ok()?,
        None => {
            let (number, unit) = number_and_unit(value.text()?)?;
            let bytes = match unit {
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => return None,
            };
            number.checked_mul(bytes)?
        }
    };
    (bytes <= BYTES_MAX).then_some(bytes)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// IPv4 written as IPv6 is IPv4: callers' addresses are compared in that form.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let length = mapped.prefix_len().checked_sub(96);
    let ipv4 = length.zip(mapped.addr().to_ipv4_mapped());
    let ipv4 = ipv4.and_then(|(length, address)| Ipv4Net::new(address, length).ok());
    ipv4.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(kind: &Kind<T>, text: &str) -> Option<T> {
        (kind.read)(&Value::Word(text))
    }

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(
                read(&DURATION, text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "10",
            "1.5s",
            "-1s",
            "10 s",
            "10S",
            "1w",
            "366d",
            "0s",
            "99999999999999999999s",
        ] {
            assert_eq!(read(&DURATION, text), None, "{text}");
        }
        assert_eq!(read(&WAIT, "0s"), Some(Duration::ZERO));
    }

    #[test]
    fn a_size_is_bytes_or_has_a_binary_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("1024GiB", 1 << 40),
        ] {
            assert_eq!(read(&SIZE_OR_ZERO, text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "-1",
            "1MB",
            "KiB",
            "1025GiB",
            "18446744073709551615GiB",
            "é",
        ] {
            assert_eq!(read(&SIZE_OR_ZERO, text), None, "{text}");
        }
        assert_eq!(read(&SIZE, "0"), None);
        assert_eq!(read(&HEAD_SIZE, "8KiB"), NonZeroU32::new(8_192));
        for text in ["8191", "1048577", "2MiB"] {
            assert_eq!(read(&HEAD_SIZE, text), None, "{text}");
        }
    }

    #[test]
    fn a_bare_address_is_a_network_of_its_own() {
        let network = |text| read(&NETWORK, text).map(|network| network.to_string());
        assert_eq!(network("192.0.2.1").as_deref(), Some("192.0.2.1/32"));
        assert_eq!(network("2001:db8::1").as_deref(), Some("2001:db8::1/128"));
        assert_eq!(
            network("::ffff:10.0.0.0/104").as_deref(),
            Some("10.0.0.0/8")
        );
        assert_eq!(network("::/0").as_deref(), Some("::/0"));
        for text in [
            "",
            "10.1.2.3/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "example.com",
            "127.0.0.1:80",
        ] {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn a_count_is_never_zero() {
        assert_eq!(read(&count(), "1000000000"), NonZeroU32::new(COUNT_MAX));
        for text in [
            "0",
            "-1",
            "1000000001",
            "99999999999999999999",
            "1.0",
            "1MiB",
        ] {
            assert_eq!(read::<NonZeroU32>(&count(), text), None, "{text}");
        }
    }
}
