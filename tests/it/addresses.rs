//! The client's address: the resolver held against a reference that is slow and does one thing after the other, over
//! random settings and header lines of any bytes, and over the written cases.

mod random;
mod reference;
mod service;

use proptest::prelude::*;
use serde_json::Value;

use random::scenes;
use reference::{Believed, Setting};
use service::resolved;

const VECTORS: &str = include_str!("data/client_address.json");

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn the_resolver_agrees_with_the_reference((setting, peer, lines) in scenes()) {
        let expected = reference::key(&setting, peer, &lines);
        let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
        prop_assert_eq!(resolved(&setting, peer, &lines), expected, "{:?} {} {:?}", setting, peer, shown);
    }
}

/// The setting and the lines of its header, of a written case.
fn case(vector: &Value) -> (Setting, Vec<Vec<u8>>) {
    let cfg = &vector["cfg"];
    let believed = match cfg["mode"].as_str().unwrap() {
        "none" => Believed::Nobody,
        "hops" => Believed::Hops(cfg["hops"].as_u64().unwrap() as u8),
        _ => Believed::Networks {
            networks: serde_json::from_value(cfg["trusted"].clone()).unwrap(),
            unix: cfg["trust_unix"].as_bool().unwrap_or(false),
        },
    };
    let header = cfg["header"].as_str().unwrap();
    let lines: Vec<(String, String)> = serde_json::from_value(vector["headers"].clone()).unwrap();
    let lines = lines
        .into_iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(header));
    let setting = Setting {
        believed,
        forwarded: header == "forwarded",
    };
    (setting, lines.map(|(_, line)| line.into_bytes()).collect())
}

#[test]
fn the_reference_and_the_resolver_name_the_client_of_every_written_case() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() >= 47 + 20, "{}", vectors.len());
    for vector in &vectors {
        let (setting, lines) = case(vector);
        let peer = vector["peer"].as_str().unwrap();
        let context = format!("case {}: {}", vector["id"], vector["why"]);
        assert_eq!(
            reference::key(&setting, peer, &lines),
            vector["key"],
            "reference, {context}"
        );
        assert_eq!(resolved(&setting, peer, &lines), vector["key"], "{context}");
    }
}

#[test]
fn random_lines_reach_every_kind_of_outcome() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut peers_own, mut others, mut networks) = (0, 0, 0);
    for _ in 0..2_000 {
        let (setting, peer, lines) = scenes().new_tree(&mut runner).unwrap().current();
        let key = reference::key(&setting, peer, &lines);
        networks += usize::from(key.ends_with("/64"));
        match key == reference::key(&setting, peer, &[]) {
            true => peers_own += 1,
            false => others += 1,
        }
    }
    // Otherwise agreement would prove little.
    assert!(
        peers_own > 300 && others > 300 && networks > 100,
        "{peers_own} {others} {networks}"
    );
}
