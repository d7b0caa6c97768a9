//! Settings, peers and header lines at random: mostly of pieces that mean something, so that they mean it often.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::reference::{Believed, Setting};

const NETWORKS: [&str; 10] = [
    "10.0.0.0/8",
    "10.9.8.7/16",
    "192.0.2.10/32",
    "fd00::/8",
    "2001:db8:5::/48",
    "127.0.0.0/8",
    "::ffff:172.16.0.0/108",
    "64:ff9b::/96",
    "0.0.0.0/0",
    "::/0",
];

const PEERS: [&str; 10] = [
    "10.0.0.2",
    "10.0.0.2",
    "10.0.0.2",
    "::ffff:10.0.0.2",
    "64:ff9b::10.0.0.2",
    "fd00::2",
    "127.0.0.1",
    "203.0.113.66",
    "2001:db8:9::1",
    "unix",
];

/// Elements of either header, usable and not, trusted and not.
const NODES: [&str; 44] = [
    "10.0.0.9",
    "10.1.2.3:80",
    "10.1.1.1",
    "10.2.2.2",
    "192.0.2.10",
    "172.16.3.4",
    "198.51.100.7",
    "203.0.113.5:65535",
    "198.51.100.8:0",
    "198.51.100.9:65536",
    "198.51.100.9:",
    "198.51.100.9:_web",
    "198.51.100.9:_",
    "[fd00::1]",
    "[fd00::1]:443",
    "[fd00::3]:_p.1-x",
    "fd00::4",
    "2001:db8:5::1",
    "2001:db8:7::1",
    "[2001:DB8:7::A]:1",
    "[::1]",
    "::ffff:10.0.0.9",
    "::FFFF:198.51.100.3",
    "[::ffff:10.0.0.5]:80",
    "64:ff9b::a00:9",
    "64:ff9b::198.51.100.3",
    "64:ff9b::127.0.0.1",
    "0.0.0.0",
    "::",
    "255.255.255.255",
    "224.0.0.1",
    "ff02::1",
    "fe80::1%eth0",
    "unknown",
    "_hidden",
    "010.0.0.1",
    "10.0.0",
    "10.0.0.256",
    "1:2:3:4:5:6:7::",
    "1::2:3:4:5:6:7:8",
    "::1:2:3:4:5:6:1.2.3.4",
    "12345::",
    "[10.0.0.1]",
    "",
];

const SEPARATORS: [&str; 9] = [",", ", ", " ,\t", ",,", ", ,", ";", " ", "; ", "\t;,"];

const PIECES: [&str; 18] = [
    "\"",
    "\\",
    "=",
    ":",
    "[",
    "]",
    "%",
    "for=",
    "FOR =",
    "for= ",
    "by=10.0.0.1",
    "host=\"a,b;c\"",
    "proto=https",
    "x=\"\\\"\"",
    "for=\"10.0.0.3\"",
    "\u{e9}",
    "\u{7f}",
    "for=\"[fd00::9]:_x\";for=a",
];

/// A setting, a peer, and lines that are mostly of the header that the setting reads.
pub(super) fn scenes() -> impl Strategy<Value = (Setting, &'static str, Vec<Vec<u8>>)> {
    let setting = (settings(), prop::bool::weighted(0.9));
    setting.prop_flat_map(|(setting, meant)| {
        let forwarded = setting.forwarded == meant;
        (Just(setting), peers(), lines(forwarded))
    })
}

fn settings() -> impl Strategy<Value = Setting> {
    let networks = subsequence(NETWORKS.to_vec(), 1..4);
    let networks = (networks, any::<bool>()).prop_map(|(networks, unix)| Believed::Networks {
        networks: networks.into_iter().map(str::to_owned).collect(),
        unix,
    });
    let usual = vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()];
    let usual = Just(Believed::Networks {
        networks: usual,
        unix: true,
    });
    let hops = prop_oneof![1_u8..=4, 1_u8..=32].prop_map(Believed::Hops);
    let believed = prop_oneof![1 => Just(Believed::Nobody), 6 => networks, 6 => usual, 5 => hops];
    (believed, any::<bool>()).prop_map(|(believed, forwarded)| Setting {
        believed,
        forwarded,
    })
}

fn peers() -> impl Strategy<Value = &'static str> {
    select(PEERS.to_vec())
}

/// An element as the header has it, quoted or not; now and then as the other one has it.
fn element(forwarded: bool) -> impl Strategy<Value = Vec<u8>> {
    let names = match forwarded {
        true => [
            "for=",
            "for=",
            "for=",
            "For=",
            "by=x;for=",
            "proto=http; FOR=",
            "",
        ],
        false => ["", "", "", "", "", "", "for="],
    };
    let quotes = prop::bool::weighted(0.4);
    let node = select(NODES.to_vec());
    (select(names.to_vec()), quotes, node).prop_map(|(name, quoted, node)| {
        match quoted && !name.is_empty() {
            true => format!("{name}\"{node}\"").into_bytes(),
            false => format!("{name}{node}").into_bytes(),
        }
    })
}

/// A long run of one byte: an element beyond every length, or white space that counts for nothing.
fn run() -> impl Strategy<Value = Vec<u8>> {
    (select(b" \t,1a:\"\\".to_vec()), 100_usize..400).prop_map(|(byte, count)| vec![byte; count])
}

/// An address made as long as an element may be, or a little longer, by its obfuscated port.
fn long() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), 110_usize..125).prop_map(|(quoted, port)| {
        let node = format!("10.0.0.9:_{}", "p".repeat(port));
        match quoted {
            true => format!("for=\"{node}\"").into_bytes(),
            false => format!("for={node}").into_bytes(),
        }
    })
}

/// Elements that are trusted, mostly, and usable, mostly.
fn sound_line(forwarded: bool) -> impl Strategy<Value = Vec<u8>> {
    let node = prop_oneof![
        8 => (1_u8..255).prop_map(|host| format!("10.1.1.{host}")),
        2 => select(NODES.to_vec()).prop_map(str::to_owned),
        1 => (1_u8..255).prop_map(|host| format!("198.51.100.{host}")),
    ];
    let separator = select(vec![",", ", ", " ,, "]);
    vec((node, separator), 0..40).prop_map(move |elements| {
        let written = elements
            .into_iter()
            .map(|(node, separator)| match forwarded {
                true => format!("for=\"{node}\"{separator}"),
                false => format!("{node}{separator}"),
            });
        written.collect::<String>().into_bytes()
    })
}

fn mixed_line(forwarded: bool) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        30 => element(forwarded),
        30 => select(SEPARATORS.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        3 => select(PIECES.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => run(),
        1 => long(),
    ];
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn lines(forwarded: bool) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = vec(any::<u8>(), 0..60);
    let any = prop_oneof![10 => sound_line(forwarded), 20 => mixed_line(forwarded), 1 => bytes];
    prop_oneof![vec(sound_line(forwarded), 1..4), vec(any, 0..5)]
}
