//! Properties that hold for all inputs, and agreement with a resolver too simple to be wrong in the same way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::tests::{behind_ten, hops, peer};
use super::{ClientAddress, Header, Peer, Resolver, Trust};

const PEER: &str = "10.0.0.2";

fn resolve(trust: Trust, header: Header, lines: &[Vec<u8>]) -> ClientAddress {
    Resolver::new(trust, header).resolve(peer(PEER), lines.iter().map(Vec::as_slice))
}

/// The rule, literally: split everything, parse everything, then walk.
fn plainly(trust: &Trust, header: Header, lines: &[Vec<u8>]) -> ClientAddress {
    let from = ClientAddress::from(peer(PEER));
    let elements: Option<Vec<Vec<Option<IpAddr>>>> = match header {
        Header::XForwardedFor => Some(vec![
            split(&joined(lines), ',')
                .iter()
                .map(|text| plain_node(text))
                .collect(),
        ]),
        Header::Forwarded => lines
            .iter()
            .map(|line| forwarded_line(&latin1(line)))
            .collect(),
    };
    let Some(elements) = elements else {
        return from;
    };
    let trusted = |ip: &IpAddr| match (trust, ClientAddress::of(*ip)) {
        (Trust::Hops(_), _) => true,
        (Trust::Proxies { cidrs, .. }, ClientAddress::Ip(ip)) => {
            cidrs.iter().any(|cidr: &IpNet| cidr.contains(&ip))
        }
        (Trust::None, _) | (_, ClientAddress::Unix) => false,
    };
    let usable: Vec<IpAddr> = elements
        .concat()
        .into_iter()
        .rev()
        .take(trust.elements_max())
        .map_while(|ip| ip)
        .collect();
    let client = usable.iter().find(|ip| !trusted(ip)).or(usable.last());
    client.map_or(from, |ip| ClientAddress::of(*ip))
}

fn latin1(line: &[u8]) -> String {
    line.iter().map(|byte| char::from(*byte)).collect()
}

fn joined(lines: &[Vec<u8>]) -> String {
    lines
        .iter()
        .map(|line| latin1(line))
        .collect::<Vec<_>>()
        .join(", ")
}

fn split(text: &str, separator: char) -> Vec<String> {
    let parts = text
        .split(separator)
        .map(|part| part.trim_matches([' ', '\t']).to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn plain_node(text: &str) -> Option<IpAddr> {
    let port = text.rsplit(':').next().unwrap();
    let with_port = text
        .parse::<SocketAddr>()
        .ok()
        .filter(|_| port.len() <= 5)
        .map(|socket| socket.ip());
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let bracketed = bracketed
        .and_then(|text| text.parse().ok())
        .filter(IpAddr::is_ipv6);
    let ip = text
        .parse()
        .ok()
        .or(with_port)
        .or(bracketed)
        .filter(|_| !text.contains('%'))?;
    let ClientAddress::Ip(canonical) = ClientAddress::of(ip) else {
        return None;
    };
    let nobody =
        canonical.is_unspecified() || canonical.is_multicast() || canonical == Ipv4Addr::BROADCAST;
    (!nobody).then_some(ip)
}

/// Hides what is quoted behind private characters, so that the rest can simply be split.
fn forwarded_line(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut open = String::new();
    let mut quotes = Vec::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char != '"' {
            open.push(char);
            continue;
        }
        let mut quoted = String::new();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => quoted.push(chars.next()?),
                char => quoted.push(char),
            }
        }
        if quoted
            .chars()
            .any(|char| char != '\t' && char.is_ascii_control())
        {
            return None;
        }
        open.push(char::from_u32(0xE000 + u32::try_from(quotes.len()).unwrap()).unwrap());
        quotes.push(quoted);
    }
    split(&open, ',')
        .iter()
        .map(|element| forwarded_element(element, &quotes))
        .collect()
}

fn forwarded_element(element: &str, quotes: &[String]) -> Option<Option<IpAddr>> {
    let mut found = Vec::new();
    for pair in split(element, ';') {
        let (name, value) = pair.split_once('=')?;
        let token = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
        let bare = |char: char| char.is_ascii_graphic() && !"\\=".contains(char);
        let quote = value
            .chars()
            .next()
            .and_then(|char| u32::from(char).checked_sub(0xE000));
        let value = match quote {
            Some(number) if value.chars().count() == 1 => {
                quotes[usize::try_from(number).unwrap()].clone()
            }
            _ => Some(value.to_owned()).filter(|value| value.chars().all(bare))?,
        };
        if name.is_empty() || !name.chars().all(token) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") {
            found.push(value);
        }
    }
    let [value] = found.as_slice() else {
        return Some(None);
    };
    Some(plain_node(value).or_else(|| {
        let (host, name) = value.rsplit_once(":_")?;
        let named = !name.is_empty()
            && name
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "._-".contains(char));
        // A bracketed or dotted host with some port in place of the obfuscated one is the same host.
        named
            .then(|| plain_node(&format!("{host}:1")))
            .flatten()
            .filter(|ip| ip.is_ipv4() || host.ends_with(']'))
    }))
}

fn trusts() -> impl Strategy<Value = Trust> {
    prop_oneof![Just(behind_ten()), (1_u8..=4).prop_map(hops)]
}

fn headers() -> impl Strategy<Value = Header> {
    select(vec![Header::XForwardedFor, Header::Forwarded])
}

/// Lines of pieces that mean something to one of the two syntaxes, at times with any byte in between.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let pieces: &[&str] = &[
        ",",
        ", ",
        ";",
        "for=",
        "FOR=",
        "by=a",
        "host=\"a,b\"",
        "\"",
        "\\",
        "=",
        " ",
        "\t",
        ":",
        "[",
        "]",
        "%1",
        "_a",
        "10.0.0.9",
        "10.1.2.3:80",
        "198.51.100.7",
        "203.0.113.5",
        "[fd00::1]:443",
        "2001:db8::1",
        "::ffff:10.0.0.9",
        "64:ff9b::a00:9",
        "64:ff9b::7f00:1",
        "0.0.0.0",
        "ff02::1",
        "unknown",
        "\"10.0.0.8\"",
        "\"[fd00::2]:_p\"",
        ":80",
        "for=10.0.0.7,",
        "for=\"10.0.0.6\", ",
        "10.0.0.5, ",
        "10.0.0.4,",
        "for=198.51.100.8;",
    ];
    let piece = prop_oneof![
        30 => select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(vec(piece, 0..12).prop_map(|pieces| pieces.concat()), 0..5)
}

/// Well-formed addresses that encode their own place in the list, about one in four of them untrusted.
fn chain() -> impl Strategy<Value = Vec<Ipv4Addr>> {
    vec(prop::bool::weighted(0.75), 0..40).prop_map(|trusted| {
        let place = |(place, trusted): (usize, bool)| {
            let last = u8::try_from(place).unwrap();
            if trusted {
                Ipv4Addr::new(10, 1, 1, last)
            } else {
                Ipv4Addr::new(198, 51, 100, last)
            }
        };
        trusted.into_iter().enumerate().map(place).collect()
    })
}

fn written(chain: &[Ipv4Addr], header: Header) -> Vec<u8> {
    let element = |ip: &Ipv4Addr| match header {
        Header::XForwardedFor => ip.to_string(),
        Header::Forwarded => format!("for={ip}"),
    };
    chain
        .iter()
        .map(element)
        .collect::<Vec<_>>()
        .join(", ")
        .into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_bytes_make_it_panic(trust in trusts(), header in headers(), lines in vec(vec(any::<u8>(), 0..300), 0..4)) {
        resolve(trust, header, &lines);
    }

    #[test]
    fn it_agrees_with_the_plain_reading(trust in trusts(), header in headers(), lines in lines()) {
        prop_assert_eq!(resolve(trust.clone(), header, &lines), plainly(&trust, header, &lines));
    }

    #[test]
    fn nothing_left_of_an_untrusted_address_is_the_client(header in headers(), chain in chain()) {
        let client = resolve(behind_ten(), header, &[written(&chain, header)]);
        let stop = chain.iter().rposition(|ip| ip.octets()[0] != 10).unwrap_or(0);
        let allowed: Vec<ClientAddress> = chain[stop..].iter().map(|ip| ClientAddress::of((*ip).into())).collect();
        prop_assert!(allowed.contains(&client) || chain.is_empty());
    }

    #[test]
    fn what_a_client_writes_to_the_left_changes_nothing(
        chain in chain(), typed in lines(), any_bytes in vec(any::<u8>(), 0..200), one_line in any::<bool>(),
    ) {
        let proxies = written(&[&[Ipv4Addr::new(198, 51, 100, 200)], chain.as_slice()].concat(), Header::XForwardedFor);
        let alone = resolve(behind_ten(), Header::XForwardedFor, std::slice::from_ref(&proxies));
        let mut lines = [typed, vec![any_bytes.clone()]].concat();
        lines.push(if one_line { [any_bytes, b", ".to_vec(), proxies].concat() } else { proxies });
        prop_assert_eq!(resolve(behind_ten(), Header::XForwardedFor, &lines), alone);
    }

    #[test]
    fn a_sound_forwarded_prefix_changes_nothing_either(left in chain(), chain in chain(), one_line in any::<bool>()) {
        let stop = [&[Ipv4Addr::new(198, 51, 100, 200)], chain.as_slice()].concat();
        let proxies = written(&stop, Header::Forwarded);
        let typed = [b"for=\"6.6.6.6, \\\"for=1.1.1.1\";x=y, ".to_vec(), written(&left, Header::Forwarded)].concat();
        let alone = resolve(behind_ten(), Header::Forwarded, std::slice::from_ref(&proxies));
        let lines = if one_line { vec![[typed, b",".to_vec(), proxies].concat()] } else { vec![typed, proxies] };
        prop_assert_eq!(resolve(behind_ten(), Header::Forwarded, &lines), alone);
    }

    #[test]
    fn an_untrusted_peer_is_its_own_client(header in headers(), lines in lines()) {
        let from = Peer::Ip(IpAddr::from([203, 0, 113, 66]));
        let client = Resolver::new(behind_ten(), header).resolve(from, lines.iter().map(Vec::as_slice));
        prop_assert_eq!(client, ClientAddress::from(from));
    }
}
