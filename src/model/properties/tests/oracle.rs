//! The canonical form written again, over trees, and values in all of their spellings.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::super::{Error, Object, Properties};

pub(super) type Tree = BTreeMap<String, Value>;

/// The canonical bytes of an object.
pub(super) fn canonical(tree: &Tree) -> Vec<u8> {
    let entry = |(key, value): (&String, &Value)| {
        let fields = [
            delimited(1, key.as_bytes()),
            delimited(2, &canonical_value(value)),
        ];
        delimited(1, &fields.concat())
    };
    tree.iter().flat_map(entry).collect()
}

fn canonical_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => varint_field(1, 0),
        Value::Bool(flag) => varint_field(4, u64::from(*flag)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => varint_field(7, integer.cast_unsigned()),
            None => fixed64_field(2, number.as_f64().unwrap().to_le_bytes()),
        },
        Value::String(text) => delimited(3, text.as_bytes()),
        Value::Array(items) => {
            let items = items
                .iter()
                .map(|item| delimited(1, &canonical_value(item)));
            delimited(6, &items.collect::<Vec<_>>().concat())
        }
        Value::Object(map) => delimited(5, &canonical(&tree(map))),
    }
}

pub(super) fn tree(map: &serde_json::Map<String, Value>) -> Tree {
    let entries = map.iter().map(|(key, value)| (key.clone(), value.clone()));
    entries.collect()
}

pub(super) fn varint(number: u64) -> Vec<u8> {
    let groups = (0..10).map(|at| number >> (7 * at));
    let needed = groups.clone().take_while(|rest| *rest != 0).count().max(1);
    let bytes = groups.take(needed).enumerate().map(|(at, rest)| {
        let [low, ..] = rest.to_le_bytes();
        match at + 1 < needed {
            true => low | 0x80,
            false => low,
        }
    });
    bytes.collect()
}

pub(super) fn varint_field(tag: u64, number: u64) -> Vec<u8> {
    [varint(tag << 3), varint(number)].concat()
}

pub(super) fn fixed64_field(tag: u64, bytes: [u8; 8]) -> Vec<u8> {
    [varint(tag << 3 | 1), bytes.to_vec()].concat()
}

pub(super) fn delimited(tag: u64, bytes: &[u8]) -> Vec<u8> {
    [
        varint(tag << 3 | 2),
        varint(bytes.len() as u64),
        bytes.to_vec(),
    ]
    .concat()
}

/// The properties as a tree.
pub(super) fn read_back(properties: &Properties) -> Value {
    let mut json = Vec::new();
    properties.write_json(&mut json);
    serde_json::from_slice(&json).unwrap()
}

/// The check of a received message.
pub(super) fn checked(bytes: &[u8]) -> Result<Properties, Error> {
    let object: Object = prost::Message::decode(bytes).unwrap();
    object.check()
}

/// Choices that a test leaves to chance.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let [.., high, low] = (mixed ^ (mixed >> 27)).to_be_bytes();
        usize::from(u16::from_be_bytes([high, low])) % sides
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in 1..items.len() {
            items.swap(at, self.roll(at + 1));
        }
    }
}

pub(super) fn dice() -> impl Strategy<Value = Dice> {
    any::<u64>().prop_map(Dice)
}

pub(super) fn trees() -> impl Strategy<Value = Tree> {
    btree_map(texts(1..6), values(), 0..6)
}

pub(super) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        integers().prop_map(Value::from),
        floats().prop_map(Value::from),
        texts(0..6).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(texts(0..3), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn integers() -> impl Strategy<Value = i64> {
    let edges = vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    prop_oneof![any::<i64>(), -200..200_i64, select(edges)]
}

fn floats() -> impl Strategy<Value = f64> {
    let edges = vec![
        0.0,
        -0.0,
        1.0,
        100.0,
        0.1,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        9_007_199_254_740_993.0,
        9_223_372_036_854_775_808.0,
        -9_223_372_036_854_775_808.0,
        18_446_744_073_709_551_616.0,
        1e23,
    ];
    let any_bits = any::<u64>().prop_map(f64::from_bits);
    prop_oneof![
        any_bits.prop_filter("JSON has it", |f| f.is_finite()),
        select(edges)
    ]
}

pub(super) fn texts(chars: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let odd = vec![
        '"',
        '\\',
        '/',
        '\n',
        '\u{8}',
        '\u{0}',
        '\u{1f}',
        '\u{7f}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '\u{10ffff}',
    ];
    let chars = vec(
        prop_oneof![any::<char>(), select(odd), select(vec!['a', 'b', 'c'])],
        chars,
    );
    chars.prop_map(|chars| chars.into_iter().collect())
}

/// One of the JSON texts of an object.
pub(super) fn spelled(tree: &Tree, dice: &mut Dice) -> String {
    let mut entries: Vec<_> = tree.iter().collect();
    dice.shuffle(&mut entries);
    let mut parts = Vec::new();
    for (key, value) in entries {
        let (key, colon) = (spelled_text(key, dice), blank(dice));
        let value = spelled_value(value, dice);
        parts.push(format!(
            "{}{key}{colon}:{}{value}",
            blank(dice),
            blank(dice)
        ));
    }
    format!("{{{}{}}}", parts.join(","), blank(dice))
}

fn spelled_value(value: &Value, dice: &mut Dice) -> String {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) => spelled_float(float, dice),
            _ => number.to_string(),
        },
        Value::String(text) => spelled_text(text, dice),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| spelled_value(item, dice)).collect();
            format!("[{}{}]", blank(dice), items.join(","))
        }
        Value::Object(map) => spelled(&tree(map), dice),
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

fn spelled_float(float: f64, dice: &mut Dice) -> String {
    match dice.roll(4) {
        0 => format!("{float:?}"),
        1 => format!("{float:e}"),
        2 => format!("{float:E}"),
        _ => {
            let text = format!("{float:e}");
            match text.contains("e-") {
                true => text,
                false => text.replace('e', "E+0"),
            }
        }
    }
}

fn spelled_text(text: &str, dice: &mut Dice) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        let short = match c {
            '"' | '\\' | '/' => Some(c),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            _ => None,
        };
        match (dice.roll(3), short) {
            (0, Some(short)) => out.extend(['\\', short]),
            (1, _) if c >= ' ' && !matches!(c, '"' | '\\') => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&match dice.roll(2) {
                        0 => format!("\\u{unit:04x}"),
                        _ => format!("\\u{unit:04X}"),
                    });
                }
            }
        }
    }
    out.push('"');
    out
}

fn blank(dice: &mut Dice) -> &'static str {
    ["", "", "", " ", "\r\n\t"][dice.roll(5)]
}
