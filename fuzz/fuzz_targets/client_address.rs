//! The client's address, against the reference of the tests: settings, peer and header lines of any bytes.
#![no_main]

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/it/addresses/reference.rs"]
mod reference;
#[path = "../../tests/it/addresses/service.rs"]
mod service;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use reference::{Believed, Setting};
use service::resolved;

const NETWORKS: [&str; 8] = [
    "10.0.0.0/8",
    "192.0.2.10/32",
    "fd00::/8",
    "2001:db8:5::/48",
    "::ffff:172.16.0.0/108",
    "64:ff9b::/96",
    "0.0.0.0/0",
    "::/0",
];
const PEERS: [&str; 5] = [
    "10.0.0.2",
    "fd00::2",
    "::ffff:10.0.0.2",
    "203.0.113.66",
    "unix",
];

#[derive(Arbitrary, Debug)]
struct Scene {
    trust: Said,
    forwarded: bool,
    peer: u8,
    lines: Vec<Vec<u8>>,
}

#[derive(Arbitrary, Debug)]
enum Said {
    Nobody,
    Networks { chosen: u8, unix: bool },
    Hops(u8),
}

fuzz_target!(|scene: Scene| {
    let believed = match scene.trust {
        Said::Nobody => Believed::Nobody,
        Said::Networks { chosen, unix } => {
            let is_chosen = |(place, _): &(usize, &&str)| chosen >> place & 1 == 1;
            let networks = NETWORKS.iter().enumerate().filter(is_chosen);
            let networks = networks.map(|(_, network)| (*network).to_owned()).collect();
            Believed::Networks { networks, unix }
        }
        Said::Hops(hops) => Believed::Hops(hops % 32 + 1),
    };
    let setting = Setting {
        believed,
        forwarded: scene.forwarded,
    };
    let peer = PEERS[usize::from(scene.peer) % PEERS.len()];
    let expected = reference::key(&setting, peer, &scene.lines);
    assert_eq!(resolved(&setting, peer, &scene.lines), expected);
});
