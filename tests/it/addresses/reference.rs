//! The rule for the client's address, step by step, on owned bytes, without a thought for speed. Nothing of the service
//! is used here, not even the standard library's parsers of addresses.

/// Most elements that are walked.
const HOPS_MAX: usize = 32;
/// Longest element that can be an address, in bytes.
const ELEMENT_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) believed: Believed,
    /// Whether `Forwarded` is read instead of `X-Forwarded-For`.
    pub(super) forwarded: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Believed {
    Nobody,
    Networks { networks: Vec<String>, unix: bool },
    Hops(u8),
}

/// An address: 4 bytes or 16.
type Ip = Vec<u8>;

/// The key that a call is charged to.
pub(super) fn key(setting: &Setting, peer: &str, lines: &[Vec<u8>]) -> String {
    let peer_ip = (peer != "unix").then(|| parse_ip(peer.as_bytes()).unwrap());
    let peer_is_believed = match (&setting.believed, &peer_ip) {
        (Believed::Nobody, _) => false,
        (Believed::Hops(_), _) => true,
        (Believed::Networks { unix, .. }, None) => *unix,
        (Believed::Networks { networks, .. }, Some(ip)) => is_in_one(ip, networks),
    };
    let mut client = peer_ip;
    if peer_is_believed {
        let elements = match setting.forwarded {
            true => forwarded_elements(lines).unwrap_or_default(),
            false => plain_elements(lines),
        };
        let most = match setting.believed {
            Believed::Hops(hops) => usize::from(hops),
            Believed::Nobody | Believed::Networks { .. } => HOPS_MAX,
        };
        for element in elements.iter().rev().take(most) {
            // Anyone who reported what is of no use is charged: the client so far.
            let Some(ip) = element else { break };
            client = Some(ip.clone());
            if let Believed::Networks { networks, .. } = &setting.believed
                && !is_in_one(ip, networks)
            {
                break;
            }
        }
    }
    client.map_or("unix".to_owned(), |ip| shown(&canonical(&ip)))
}

/// The list of all lines, split at its commas, empty elements left out.
fn plain_elements(lines: &[Vec<u8>]) -> Vec<Option<Ip>> {
    let list = lines.join(&b',');
    let elements = list.split(|byte| *byte == b',').map(trimmed);
    let elements = elements.filter(|element| !element.is_empty());
    elements.map(|element| usable(&element, false)).collect()
}

fn trimmed(bytes: &[u8]) -> Vec<u8> {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let mut bytes = bytes.to_vec();
    while bytes.last().is_some_and(is_blank) {
        bytes.pop();
    }
    while bytes.first().is_some_and(is_blank) {
        bytes.remove(0);
    }
    bytes
}

/// The elements of RFC 7239; none if any line breaks its grammar.
fn forwarded_elements(lines: &[Vec<u8>]) -> Option<Vec<Option<Ip>>> {
    let mut found = Vec::new();
    for line in lines {
        for element in split_outside_quotes(line, b',') {
            let element = trimmed(&element);
            if element.is_empty() {
                continue;
            }
            let mut values = Vec::new();
            for pair in split_outside_quotes(&element, b';') {
                let pair = trimmed(&pair);
                if pair.is_empty() {
                    continue;
                }
                let (name, value) = name_and_value(&pair)?;
                if name.eq_ignore_ascii_case(b"for") {
                    values.push(value);
                }
            }
            found.push(match values.as_slice() {
                [value] => usable(value, true),
                // None, or one too many.
                _ => None,
            });
        }
    }
    Some(found)
}

fn split_outside_quotes(bytes: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == separator && !is_quoted(&bytes[..at]) {
            parts.push(Vec::new());
        } else {
            parts.last_mut().unwrap().push(*byte);
        }
    }
    parts
}

/// Whether a quoted string is open behind these bytes.
fn is_quoted(bytes: &[u8]) -> bool {
    let mut open = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => open = !open,
            b'\\' if open => at += 1,
            _ => {}
        }
        at += 1;
    }
    open
}

fn name_and_value(pair: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let sign = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (pair[..sign].to_vec(), &pair[sign + 1..]);
    let is_token = |byte: &u8| {
        byte.is_ascii_digit() || byte.is_ascii_alphabetic() || b"!#$%&'*+-.^_`|~".contains(byte)
    };
    if name.is_empty() || !name.iter().all(is_token) {
        return None;
    }
    if value.first() != Some(&b'"') {
        let is_bare = |byte: &u8| (0x21..=0x7e).contains(byte) && !b"\",;=\\".contains(byte);
        return value.iter().all(is_bare).then(|| (name, value.to_vec()));
    }
    let mut text = Vec::new();
    let mut at = 1;
    loop {
        let byte = *value.get(at)?;
        at += 1;
        let is_control = |byte: u8| (byte < 0x20 && byte != b'\t') || byte == 0x7f;
        if is_control(byte) {
            return None;
        }
        match byte {
            b'"' => break,
            b'\\' => {
                let escaped = *value.get(at)?;
                if is_control(escaped) {
                    return None;
                }
                text.push(escaped);
                at += 1;
            }
            byte => text.push(byte),
        }
    }
    // The quotes must close where the value ends.
    (at == value.len()).then_some((name, text))
}

/// The address in an element, without its port; none if it is none, or one that no single host has.
fn usable(element: &[u8], forwarded: bool) -> Option<Ip> {
    if element.len() > ELEMENT_BYTES_MAX {
        return None;
    }
    let ip = address_and_port(element, forwarded)?;
    let canonical = canonical(&ip);
    let is_multicast = match canonical.len() {
        4 => (224..=239).contains(&canonical[0]),
        _ => canonical[0] == 0xff,
    };
    let is_unspecified = canonical.iter().all(|byte| *byte == 0);
    let is_broadcast = canonical == [255; 4];
    (!is_multicast && !is_unspecified && !is_broadcast).then_some(ip)
}

fn address_and_port(element: &[u8], forwarded: bool) -> Option<Ip> {
    let (ip, port) = if element.first() == Some(&b'[') {
        let close = element.iter().position(|byte| *byte == b']')?;
        (parse_v6(&element[1..close])?, &element[close + 1..])
    } else if element.iter().filter(|byte| **byte == b':').count() >= 2 {
        (parse_v6(element)?, &element[element.len()..])
    } else {
        let end = element.iter().position(|byte| *byte == b':');
        let end = end.unwrap_or(element.len());
        (parse_v4(&element[..end])?, &element[end..])
    };
    match port {
        [] => Some(ip),
        [b':', b'_', name @ ..] if forwarded => {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            (!name.is_empty() && name.iter().all(is_name)).then_some(ip)
        }
        [b':', digits @ ..] => {
            let is_number =
                (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
            (is_number && number(digits, 10) <= 65_535).then_some(ip)
        }
        _ => None,
    }
}

fn number(digits: &[u8], radix: u32) -> u32 {
    let digit = |byte: &u8| char::from(*byte).to_digit(radix).unwrap();
    digits.iter().fold(0, |sum, byte| sum * radix + digit(byte))
}

fn parse_ip(text: &[u8]) -> Option<Ip> {
    parse_v4(text).or_else(|| parse_v6(text))
}

/// Four numbers up to 255, without leading zeros.
fn parse_v4(text: &[u8]) -> Option<Ip> {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    if parts.len() != 4 {
        return None;
    }
    let mut ip = Vec::new();
    for part in parts {
        let is_number = (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
        let has_leading_zero = part.len() > 1 && part[0] == b'0';
        if !is_number || has_leading_zero || number(part, 10) > 255 {
            return None;
        }
        ip.push(number(part, 10) as u8);
    }
    Some(ip)
}

/// Eight groups, of which a gap stands for one at least; the last two may be an IPv4 address.
fn parse_v6(text: &[u8]) -> Option<Ip> {
    let gaps: Vec<usize> = (0..text.len().saturating_sub(1))
        .filter(|at| &text[*at..*at + 2] == b"::")
        .collect();
    let mut ip = match gaps.as_slice() {
        [] => groups(text, true)?,
        [gap] => {
            let (left, right) = (&text[..*gap], &text[gap + 2..]);
            let mut left = if left.is_empty() {
                Vec::new()
            } else {
                groups(left, false)?
            };
            let right = if right.is_empty() {
                Vec::new()
            } else {
                groups(right, true)?
            };
            if left.len() + right.len() > 14 {
                return None;
            }
            left.resize(16 - right.len(), 0);
            left.extend(right);
            left
        }
        // Two gaps, or three colons.
        _ => return None,
    };
    (ip.len() == 16).then(|| std::mem::take(&mut ip))
}

fn groups(text: &[u8], may_end_in_v4: bool) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
    let mut bytes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let is_group = (1..=4).contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit);
        if is_group {
            let group = number(part, 16);
            bytes.extend([(group >> 8) as u8, (group & 0xff) as u8]);
        } else if may_end_in_v4 && index + 1 == parts.len() {
            bytes.extend(parse_v4(part)?);
        } else {
            return None;
        }
    }
    Some(bytes)
}

/// `::ffff:a.b.c.d` is the IPv4 address in it.
fn unmapped(ip: &[u8]) -> Ip {
    match ip.strip_prefix(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) {
        Some(v4) if v4.len() == 4 => v4.to_vec(),
        _ => ip.to_vec(),
    }
}

/// So is `64:ff9b::a.b.c.d`, unless that would be this machine.
fn canonical(ip: &[u8]) -> Ip {
    let ip = unmapped(ip);
    match ip.strip_prefix(&[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]) {
        Some(v4) if v4.len() == 4 && v4[0] != 127 => v4.to_vec(),
        _ => ip,
    }
}

/// Whether a network holds the address in its canonical form, or as it was written.
fn is_in_one(ip: &[u8], networks: &[String]) -> bool {
    networks.iter().any(|network| {
        let (base, length) = network.split_once('/').unwrap();
        let mut length: usize = length.parse().unwrap();
        let written = parse_ip(base.as_bytes()).unwrap();
        let mut base = written.clone();
        if length >= 96 {
            base = unmapped(&written);
            length -= if base.len() < written.len() { 96 } else { 0 };
        }
        let holds = |ip: Ip| ip.len() == base.len() && bits(&ip)[..length] == bits(&base)[..length];
        holds(canonical(ip)) || holds(unmapped(ip))
    })
}

fn bits(ip: &[u8]) -> Vec<u8> {
    let of = |byte: &u8| (0..8).rev().map(|bit| byte >> bit & 1).collect::<Vec<_>>();
    ip.iter().flat_map(of).collect()
}

/// An IPv4 address, or the /64 of an IPv6 one.
fn shown(ip: &[u8]) -> String {
    if ip.len() == 4 {
        return format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3]);
    }
    let groups: Vec<u16> = ip
        .chunks(2)
        .map(|pair| u16::from(pair[0]) << 8 | u16::from(pair[1]))
        .collect();
    // How a network is spelled is no part of the rule.
    let network = [groups[0], groups[1], groups[2], groups[3], 0, 0, 0, 0];
    format!("{}/64", std::net::Ipv6Addr::from(network))
}
