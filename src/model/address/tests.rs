use std::net::IpAddr;

use serde_json::Value;

use super::{AddressKey, ClientAddress, HOPS_MAX, Header, Hops, Peer, Resolver, Trust};

const VECTORS: &str = include_str!("../../../tests/it/data/client_address.json");

/// Lines of the header, the key of the client they name, and why.
type Case<'a> = (&'a [&'a str], &'a str, &'a str);

pub(super) fn proxies(cidrs: &[&str]) -> Trust {
    Trust::Proxies {
        cidrs: cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect(),
        unix: false,
    }
}

pub(super) fn hops(hops: u8) -> Trust {
    Trust::Hops(Hops::try_from(hops).unwrap())
}

pub(super) fn peer(text: &str) -> Peer {
    if text == "unix" {
        Peer::Unix
    } else {
        Peer::Ip(text.parse().unwrap())
    }
}

pub(super) fn behind_ten() -> Trust {
    proxies(&["10.0.0.0/8", "192.0.2.10/32", "fd00::/8"])
}

fn key_of(text: &str) -> String {
    ClientAddress::of(text.parse().unwrap()).key().to_string()
}

fn assert_all(trust: Trust, header: Header, from: &str, cases: &[Case<'_>]) {
    let resolver = Resolver::new(trust, header);
    for (lines, key, why) in cases {
        let client = resolver.resolve(peer(from), lines.iter().map(|line| line.as_bytes()));
        assert_eq!(client.key().to_string(), *key, "{lines:?}: {why}");
    }
}

fn vector_resolver(cfg: &Value) -> Resolver {
    let trust = match cfg["mode"].as_str().unwrap() {
        "none" => Trust::None,
        "hops" => hops(cfg["hops"].as_u64().unwrap().try_into().unwrap()),
        "cidr" => Trust::Proxies {
            cidrs: cfg["trusted"]
                .as_array()
                .unwrap()
                .iter()
                .map(|net| net.as_str().unwrap().parse().unwrap())
                .collect(),
            unix: cfg["trust_unix"].as_bool().unwrap_or(false),
        },
        mode => panic!("unknown mode {mode}"),
    };
    let headers = [Header::XForwardedFor, Header::Forwarded];
    let header = headers
        .into_iter()
        .find(|header| cfg["header"] == header.name())
        .unwrap();
    Resolver::new(trust, header)
}

#[test]
fn every_vector_names_its_client() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(!vectors.is_empty());
    for vector in &vectors {
        let resolver = vector_resolver(&vector["cfg"]);
        let lines: Vec<&str> = vector["headers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| {
                line[0]
                    .as_str()
                    .unwrap()
                    .eq_ignore_ascii_case(resolver.header_name())
            })
            .map(|line| line[1].as_str().unwrap())
            .collect();
        let from = peer(vector["peer"].as_str().unwrap());
        let client = resolver.resolve(from, lines.iter().map(|line| line.as_bytes()));
        assert_eq!(
            client.key().to_string(),
            vector["key"],
            "case {}: {}",
            vector["id"],
            vector["why"]
        );
    }
}

#[test]
#[rustfmt::skip]
fn an_x_forwarded_for_list_is_walked_from_the_right() {
    assert_all(behind_ten(), Header::XForwardedFor, "10.0.0.2", &[
        (&[], "10.0.0.2", "no header: the peer is all that is known"),
        (&[" ,\t, ", ",", ""], "10.0.0.2", "nothing but empty elements is no header"),
        (&["198.51.100.7, 10.0.0.9, fd00::1"], "198.51.100.7", "over several trusted hops of both families"),
        (&["198.51.100.7, unknown, 10.0.0.9"], "10.0.0.9", "the hop that reported the unusable element is charged"),
        (&["198.51.100.7, unknown", "10.0.0.9", ",", "10.0.0.8"], "10.0.0.9", "the same across lines"),
        (&["198.51.100.7", "unknown"], "10.0.0.2", "an unusable element hides the lines before its own too"),
        (&["198.51.100.7,,  ,10.0.0.9 ,, "], "198.51.100.7", "empty elements in the middle are no hops"),
        (&["198.51.100.7\u{a0}"], "10.0.0.2", "white space is space and tab only"),
        (&["6.6.6.6 198.51.100.7"], "10.0.0.2", "white space is no separator"),
        (&["6.6.6.6, 198.51.100.7 10.0.0.9"], "10.0.0.2", "nor in an element that ends well"),
        (&["198.51.100.7, ::ffff:0.0.0.0"], "10.0.0.2", "unspecified in disguise"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_address_has_one_reading_or_none() {
    assert_all(behind_ten(), Header::XForwardedFor, "10.0.0.2", &[
        (&["[2001:db8:1:2::7]"], "2001:db8:1:2::/64", "brackets without a port"),
        (&["198.51.100.7:0"], "198.51.100.7", "port 0 is a number too"),
        (&["198.51.100.7:65535"], "198.51.100.7", "the last port"),
        (&["198.51.100.7:65536"], "10.0.0.2", "no such port"),
        (&["198.51.100.7:000080"], "10.0.0.2", "a port has at most five digits"),
        (&["198.51.100.7:"], "10.0.0.2", "a colon promises a port"),
        (&["198.51.100.7:+80"], "10.0.0.2", "a sign is no digit"),
        (&["198.51.100.7:_web"], "10.0.0.2", "obfuscated ports belong to forwarded"),
        (&["[198.51.100.7]:80"], "10.0.0.2", "brackets are for IPv6"),
        (&["[2001:db8::1]80"], "10.0.0.2", "text after the bracket that is no port"),
        (&["[2001:db8::1"], "10.0.0.2", "an open bracket"),
        (&["[]"], "10.0.0.2", "nobody in the brackets"),
        (&["fe80::1%eth0"], "10.0.0.2", "a zone means something only to the host that wrote it"),
        (&["[fe80::1%1]:80"], "10.0.0.2", "the same by number"),
        (&["2001:db8::1::2"], "10.0.0.2", "two gaps"),
        (&["1:2:3:4:5:6:7:8:80"], "10.0.0.2", "an unbracketed IPv6 has no port"),
        (&["0x7f.0.0.1"], "10.0.0.2", "hexadecimal to some parsers"),
        (&["3325256711"], "10.0.0.2", "one number to some parsers"),
        (&["198.51.100.256"], "10.0.0.2", "out of range"),
        (&["198.51.100.7/32"], "10.0.0.2", "a network is not an address"),
        (&["::"], "10.0.0.2", "unspecified names nobody"),
        (&["255.255.255.255"], "10.0.0.2", "broadcast is nobody's source address"),
        (&["224.0.0.1"], "10.0.0.2", "nor is multicast"),
        (&["ff02::1"], "10.0.0.2", "of either family"),
        (&["١٢٧.٠.٠.١"], "10.0.0.2", "digits are ASCII"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_forwarded_field_is_split_as_the_rfc_says() {
    assert_all(behind_ten(), Header::Forwarded, "10.0.0.2", &[
        (&["proto=https;FOR=198.51.100.7"], "198.51.100.7", "parameter names have no case and no order"),
        (&["for=6.6.6.6", "for=198.51.100.7", "for=10.0.0.9"], "198.51.100.7", "lines join"),
        (&[" ,for=198.51.100.7 ; proto=http ,, for=10.0.0.9\t;;"], "198.51.100.7", "white space and empties drop"),
        (&[r#"for="198\.51.100\.7""#], "198.51.100.7", "a backslash stands for the byte after it"),
        (&[r#"for="\", for=1.1.1.1", for=198.51.100.7"#], "198.51.100.7", "an escaped quote does not close"),
        (&[r#"for="6.6.6.6\\", for=198.51.100.7"#], "198.51.100.7", "an escaped backslash does not escape"),
        (&[r#"for=198.51.100.7;host="a;for=6.6.6.6""#], "198.51.100.7", "a semicolon in quotes separates nothing"),
        (&["for=198.51.100.7:8080;host=example.com:443"], "198.51.100.7", "an unquoted colon is unambiguous"),
        (&["for=[2001:db8:1:2::7]:443"], "2001:db8:1:2::/64", "unquoted brackets as well"),
        (&["for=198.51.100.7;host="], "198.51.100.7", "as is an empty value"),
        (&[r#"for="198.51.100.7:_web.1-a""#], "198.51.100.7", "a port may be obfuscated"),
        (&[r#"for="198.51.100.7:_""#], "10.0.0.2", "but not nameless"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_element_without_an_address_charges_the_hop_that_reported_it() {
    assert_all(behind_ten(), Header::Forwarded, "10.0.0.2", &[
        (&["for=6.6.6.6, proto=https"], "10.0.0.2", "no for"),
        (&["for=6.6.6.6, ;, for=10.0.0.9"], "10.0.0.9", "no parameter at all is still an element"),
        (&["for=6.6.6.6;for=198.51.100.7"], "10.0.0.2", "two for: which one is a guess"),
        (&["for=6.6.6.6;FOR=6.6.6.6"], "10.0.0.2", "though they agree"),
        (&["for=6.6.6.6, for=_hidden, for=10.0.0.9"], "10.0.0.9", "obfuscated in the middle"),
        (&["for=6.6.6.6, for=unknown;by=1.1.1.1, for=10.0.0.9"], "10.0.0.9", "the by of an element is no hop"),
        (&["for=6.6.6.6, for="], "10.0.0.2", "an empty for"),
        (&[r#"for=6.6.6.6, for=" 198.51.100.7""#], "10.0.0.2", "white space inside the quotes belongs to the value"),
        (&[r#"for="198.51.100.7\\""#], "10.0.0.2", "an escaped backslash is part of the value"),
        (&[r#"for="[fe80::1%eth0]""#], "10.0.0.2", "a zone"),
        (&["x-for=198.51.100.7"], "10.0.0.2", "another parameter"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_fault_anywhere_in_a_forwarded_field_charges_the_peer() {
    assert_all(behind_ten(), Header::Forwarded, "10.0.0.2", &[
        (&["garbage, for=198.51.100.7, for=10.0.0.9"], "10.0.0.2", "a parameter has a value"),
        (&["for = 198.51.100.7"], "10.0.0.2", "no white space before the sign"),
        (&["for= 198.51.100.7"], "10.0.0.2", "nor after it"),
        (&["=a, for=198.51.100.7"], "10.0.0.2", "no name"),
        (&["for=a=b, for=198.51.100.7"], "10.0.0.2", "a second sign"),
        (&["for=1.1.1.1 proto=http, for=198.51.100.7"], "10.0.0.2", "no separator"),
        (&[r#"for="1.1.1.1"x, for=198.51.100.7"#], "10.0.0.2", "text after the closing quote"),
        (&[r#"for=1.1"1.1, for=198.51.100.7"#], "10.0.0.2", "a quote in the middle"),
        (&[r#"for="1.1.1.1\", for=198.51.100.7"#], "10.0.0.2", "the quote that would close is escaped"),
        (&[r#"host="a"#, "for=198.51.100.7"], "10.0.0.2", "a client's open quote on a line before the proxy's"),
        (&[r#"host="a"#, r#"b", for=198.51.100.7"#], "10.0.0.2", "a quoted string ends on its own line"),
        (&["h\u{f6}st=a, for=198.51.100.7"], "10.0.0.2", "a name is ASCII"),
        (&["host=\"a\u{1}\", for=198.51.100.7"], "10.0.0.2", "no control characters in quotes"),
    ]);
}

#[test]
#[rustfmt::skip]
fn counted_hops_need_no_addresses_of_proxies() {
    assert_all(hops(3), Header::XForwardedFor, "203.0.113.66", &[
        (&["6.6.6.6, 198.51.100.7, 192.0.2.11", "192.0.2.10"], "198.51.100.7", "the third from the right"),
        (&["198.51.100.7, 192.0.2.10"], "198.51.100.7", "a shorter list: the nearest hop to the third"),
        (&["6.6.6.6, unknown, 192.0.2.10"], "192.0.2.10", "an unusable second"),
        (&["6.6.6.6, 192.0.2.11, unknown"], "203.0.113.66", "an unusable first leaves the peer"),
        (&["198.51.100.7,,192.0.2.11, ,192.0.2.10,"], "198.51.100.7", "empty elements are not counted"),
    ]);
    assert_all(hops(1), Header::Forwarded, "unix", &[
        (&["for=6.6.6.6, for=198.51.100.7"], "198.51.100.7", "the peer is hop 1, on a unix socket too"),
        (&["for=6.6.6.6, for=unknown"], "unix", "and is charged like any other"),
    ]);
}

#[test]
fn the_walk_ends_after_the_last_hop_it_may_take() {
    let chain: Vec<String> = (1..=40).rev().map(|hop| format!("10.9.9.{hop}")).collect();
    let plain = chain.join(",");
    let quoted = chain
        .iter()
        .map(|hop| format!("for=\"{hop}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let farthest = format!("10.9.9.{HOPS_MAX}");
    assert_all(
        behind_ten(),
        Header::XForwardedFor,
        "10.0.0.2",
        &[(&[&plain], &farthest, "one line")],
    );
    assert_all(
        behind_ten(),
        Header::Forwarded,
        "10.0.0.2",
        &[(&[&quoted], &farthest, "one line")],
    );
    assert_all(
        hops(HOPS_MAX),
        Header::Forwarded,
        "10.0.0.2",
        &[(&[&quoted], &farthest, "all that are kept")],
    );
}

#[test]
#[rustfmt::skip]
fn an_element_too_long_for_an_address_is_unusable() {
    let endless = "1".repeat(60_000);
    let spaced = format!("198.51.100.7{}, 10.0.0.9", " ".repeat(60_000));
    assert_all(behind_ten(), Header::XForwardedFor, "10.0.0.2", &[
        (&[&endless], "10.0.0.2", "no address"),
        (&[&format!("{endless}, 10.0.0.9")], "10.0.0.9", "reported by the hop before"),
        (&[&spaced], "198.51.100.7", "white space does not count"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_nat64_address_is_the_ipv4_host_it_stands_for() {
    assert_eq!(key_of("64:ff9b::198.51.100.7"), "198.51.100.7");
    assert_eq!(
        key_of("64:ff9b:1::198.51.100.7"),
        "64:ff9b:1::/64",
        "a prefix of someone's own is unknown here"
    );
    assert_all(behind_ten(), Header::XForwardedFor, "64:ff9b::10.0.0.2", &[
        (&["198.51.100.7, 64:ff9b::192.0.2.10"], "198.51.100.7", "a trusted proxy seen through a translator"),
        (&["198.51.100.7, 64:ff9b::0.0.0.0"], "10.0.0.2", "nobody seen through a translator"),
    ]);
}

#[test]
fn a_loopback_address_from_the_network_is_not_this_machine() {
    let loopback = || proxies(&["127.0.0.0/8", "::1/128"]);
    let lines: &[&str] = &["198.51.100.7"];
    assert_all(
        loopback(),
        Header::XForwardedFor,
        "::ffff:127.0.0.1",
        &[(lines, "198.51.100.7", "a dual-stack socket")],
    );
    assert_all(
        loopback(),
        Header::XForwardedFor,
        "64:ff9b::127.0.0.1",
        &[(lines, "64:ff9b::/64", "no translator's")],
    );
}

#[test]
fn a_trusted_network_covers_its_hosts_in_every_form() {
    let lines: &[&str] = &["198.51.100.7"];
    let through = |cidr: &str, from: &str, key: &str, why: &str| {
        assert_all(
            proxies(&[cidr]),
            Header::XForwardedFor,
            from,
            &[(lines, key, why)],
        );
    };
    through(
        "::ffff:10.0.0.0/104",
        "10.0.0.2",
        "198.51.100.7",
        "a mapped network is the IPv4 one",
    );
    through(
        "::ffff:10.0.0.0/104",
        "::ffff:10.0.0.2",
        "198.51.100.7",
        "for mapped addresses too",
    );
    through(
        "::ffff:10.0.0.0/104",
        "11.0.0.2",
        "11.0.0.2",
        "and no wider",
    );
    through(
        "10.0.0.77/8",
        "10.0.0.2",
        "198.51.100.7",
        "host bits do not matter",
    );
    through("::/0", "10.0.0.2", "10.0.0.2", "all of IPv6 is not IPv4");
    through("::/0", "::ffff:10.0.0.2", "10.0.0.2", "in no form");
    through(
        "64:ff9b::/96",
        "64:ff9b::10.0.0.2",
        "198.51.100.7",
        "a translated network as written",
    );
    through("64:ff9b::/96", "10.0.0.2", "10.0.0.2", "is not all of IPv4");
}

#[test]
fn bytes_that_are_no_text_are_unusable() {
    let resolver = Resolver::new(behind_ten(), Header::XForwardedFor);
    let client = resolver.resolve(
        peer("10.0.0.2"),
        [b"6.6.6.6, \xff\xfe\x00".as_slice()].into_iter(),
    );
    assert_eq!(client.key().to_string(), "10.0.0.2");
}

#[test]
fn an_untrusted_peers_lines_are_not_even_looked_at() {
    for trust in [Trust::None, behind_ten()] {
        let unread = [()].iter().map(|()| -> &[u8] { panic!("read a line") });
        let client = Resolver::new(trust, Header::Forwarded).resolve(peer("203.0.113.66"), unread);
        assert_eq!(client, peer("203.0.113.66").into());
    }
}

#[test]
fn a_key_does_not_depend_on_how_the_address_was_made() {
    let mapped: IpAddr = "::ffff:198.51.100.7".parse().unwrap();
    assert_eq!(
        ClientAddress::Ip(mapped).key(),
        ClientAddress::of(mapped).key()
    );
    assert_eq!(ClientAddress::of(mapped).to_string(), "198.51.100.7");
    assert_eq!(ClientAddress::Unix.key(), AddressKey::Unix);
    assert_eq!(key_of("::1"), "::/64");
}

#[test]
fn a_number_of_hops_is_one_to_the_limit() {
    assert!(Hops::try_from(1).is_ok() && Hops::try_from(HOPS_MAX).is_ok());
    assert_eq!(
        Hops::try_from(0).unwrap_err().to_string(),
        "0 is not a number of hops from 1 to 32"
    );
    assert!(Hops::try_from(HOPS_MAX + 1).is_err());
}
