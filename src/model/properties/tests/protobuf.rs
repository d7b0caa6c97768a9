//! Received messages to the canonical form.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use serde_json::Value;

use super::super::{Error, Object, Properties, Value as ValueMessage};
use super::oracle::{
    Dice, Tree, canonical, checked, delimited, dice, fixed64_field, spelled, tree, trees, varint,
    varint_field,
};

/// One of the messages of an object: its fields in any order, between unknown fields.
fn message(tree: &Tree, dice: &mut Dice) -> Vec<u8> {
    let entries = tree.iter().map(|(key, value)| {
        let fields = [
            padded(1, key.as_bytes(), dice),
            padded(2, &value_message(value, dice), dice),
        ];
        let entry = among_unknown(fields.to_vec(), 3, dice);
        padded(1, &entry, dice)
    });
    let entries: Vec<_> = entries.collect();
    among_unknown(entries, 2, dice)
}

fn value_message(value: &Value, dice: &mut Dice) -> Vec<u8> {
    let kind = match value {
        Value::Null => varint_field(1, dice.roll(3) as u64),
        Value::Bool(flag) => varint_field(4, if *flag { 1 + dice.roll(300) as u64 } else { 0 }),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => varint_field(7, integer.cast_unsigned()),
            None => fixed64_field(2, number.as_f64().unwrap().to_le_bytes()),
        },
        Value::String(text) => padded(3, text.as_bytes(), dice),
        Value::Array(items) => {
            // Items keep their order, so only unknown fields are mixed in.
            let mut list = Vec::new();
            for item in items {
                let item = value_message(item, dice);
                list.extend(padded(1, &item, dice));
                if dice.roll(4) == 0 {
                    list.extend(unknown(2, dice));
                }
            }
            padded(6, &list, dice)
        }
        Value::Object(map) => {
            let object = message(&tree(map), dice);
            padded(5, &object, dice)
        }
    };
    among_unknown(vec![kind], 8, dice)
}

fn among_unknown(mut fields: Vec<Vec<u8>>, first_tag: u64, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..dice.roll(3) {
        fields.push(unknown(first_tag, dice));
    }
    dice.shuffle(&mut fields);
    fields.concat()
}

fn unknown(first_tag: u64, dice: &mut Dice) -> Vec<u8> {
    let tag = first_tag + dice.roll(100) as u64;
    match dice.roll(5) {
        0 => varint_field(tag, 7),
        1 => fixed64_field(tag, *b"whatever"),
        2 => delimited(tag, b"\xff\x00"),
        3 => [varint(tag << 3 | 5), b"four".to_vec()].concat(),
        _ => {
            let inner = delimited(1, b"inside of a group");
            [varint(tag << 3 | 3), inner, varint(tag << 3 | 4)].concat()
        }
    }
}

/// A field whose length is written with more bytes than it needs, sometimes.
fn padded(tag: u64, bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut length = varint(bytes.len() as u64);
    if dice.roll(4) == 0 {
        *length.last_mut().unwrap() |= 0x80;
        length.push(0);
    }
    [varint(tag << 3 | 2), length, bytes.to_vec()].concat()
}

proptest! {
    #[test]
    fn a_message_in_any_order_has_the_bytes_of_the_json(tree in trees(), mut dice in dice()) {
        let read = checked(&message(&tree, &mut dice)).unwrap();
        let text = spelled(&tree, &mut dice);
        prop_assert_eq!(&read, &Properties::from_json(&text).unwrap());
        prop_assert_eq!(&**read.bytes(), canonical(&tree));
    }

    #[test]
    fn canonical_bytes_that_leave_and_come_back_are_the_same(tree in trees(), mut dice in dice()) {
        let properties = Properties::from_json(&spelled(&tree, &mut dice)).unwrap();
        let object = Object::from(properties.clone());
        let bytes = object.encode_to_vec();
        prop_assert_eq!(&bytes, properties.bytes());
        prop_assert_eq!(object.check().unwrap(), properties.clone());
        prop_assert_eq!(checked(&bytes).unwrap(), properties.clone());
        let inside = object_in_a_message(&bytes);
        prop_assert_eq!(inside.check().unwrap(), properties);
    }

    #[test]
    fn a_value_that_leaves_is_the_one_of_the_entry(tree in trees(), mut dice in dice()) {
        let properties = Properties::from_json(&spelled(&tree, &mut dice)).unwrap();
        for (name, bytes) in properties.entries() {
            let value = ValueMessage::from_canonical(bytes.to_vec().into());
            let mut json = Vec::new();
            value.write_json(&mut json);
            prop_assert_eq!(&serde_json::from_slice::<Value>(&json).unwrap(), &tree[name]);
            let decoded = ValueMessage::decode(&*value.encode_to_vec()).unwrap();
            prop_assert_eq!(decoded, value);
        }
    }

    #[test]
    fn a_struct_of_the_well_known_types_is_read(tree in trees(), mut dice in dice()) {
        let only_fractions: Tree = tree.iter().map(|(k, v)| (k.clone(), fractions(v))).collect();
        let bytes = well_known(&only_fractions).encode_to_vec();
        let text = spelled(&only_fractions, &mut dice);
        prop_assert_eq!(checked(&bytes).unwrap(), Properties::from_json(&text).unwrap());
    }

    #[test]
    fn a_message_that_was_tampered_with_is_refused_or_sound(
        tree in trees(),
        mut dice in dice(),
        changes in vec((any::<Index>(), any::<u8>(), 0..3_usize), 1..6),
    ) {
        let mut bytes = message(&tree, &mut dice);
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ => bytes.truncate(at),
            }
        }
        check_is_sound(&bytes)?;
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(prop_oneof![any::<u8>(), 0_u8..0x40], 0..60)) {
        check_is_sound(&bytes)?;
        // Nor do bytes that are wrongly taken for canonical.
        let trusted = Properties::from_canonical(bytes.clone().into());
        let mut json = Vec::new();
        trusted.write_json(&mut json);
        prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        let _ = trusted.entries().count();
        let value = ValueMessage::from_canonical(bytes.into());
        let shown = format!("{value:?}");
        prop_assert!(serde_json::from_str::<Value>(&shown).is_ok());
    }
}

/// Whatever is accepted is canonical.
fn check_is_sound(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(object) = Object::decode(bytes) else {
        return Ok(());
    };
    let Ok(properties) = object.check() else {
        return Ok(());
    };
    let mut json = Vec::new();
    properties.write_json(&mut json);
    let text = String::from_utf8(json).unwrap();
    prop_assert_eq!(&Properties::from_json(&text).unwrap(), &properties);
    prop_assert_eq!(checked(properties.bytes()).unwrap(), properties);
    Ok(())
}

#[derive(Clone, PartialEq, prost::Message)]
struct Around {
    #[prost(message, optional, tag = "3")]
    object: Option<Object>,
}

fn object_in_a_message(bytes: &[u8]) -> Object {
    let around = Around::decode(&*delimited(3, bytes)).unwrap();
    let again = Around::decode(&*around.encode_to_vec()).unwrap();
    again.object.unwrap()
}

/// The value with every integer as a fraction: the well-known types have no others.
fn fractions(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().unwrap().into(),
        Value::Array(items) => items.iter().map(fractions).collect(),
        Value::Object(map) => {
            let entries = map.iter().map(|(k, v)| (k.clone(), fractions(v)));
            Value::Object(entries.collect())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn well_known(tree: &Tree) -> prost_types::Struct {
    let fields = tree.iter().map(|(k, v)| (k.clone(), well_known_value(v)));
    prost_types::Struct {
        fields: fields.collect::<BTreeMap<_, _>>(),
    }
}

fn well_known_value(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(well_known_value).collect(),
        }),
        Value::Object(map) => Kind::StructValue(well_known(&tree(map))),
    };
    prost_types::Value { kind: Some(kind) }
}

fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
    delimited(1, &[delimited(1, key), delimited(2, value)].concat())
}

#[test]
fn an_object_that_comes_in_two_pieces_is_one() {
    let pieces = [
        delimited(3, &entry(b"b", &varint_field(7, 1))),
        delimited(3, &entry(b"a", &varint_field(7, 2))),
    ];
    let around = Around::decode(&*pieces.concat()).unwrap();
    let properties = around.object.unwrap().check().unwrap();
    assert_eq!(
        properties,
        Properties::from_json(r#"{"a":2,"b":1}"#).unwrap()
    );
}

#[test]
fn a_value_has_exactly_one_kind() {
    let (one, two) = (varint_field(7, 1), varint_field(4, 1));
    for value in [
        vec![],
        [one.clone(), two].concat(),
        [one.clone(), one].concat(),
        varint_field(9, 1),
    ] {
        let refused = Error::Kind("a".into());
        assert_eq!(checked(&entry(b"a", &value)), Err(refused.clone()));
        let nested = delimited(6, &delimited(1, &value));
        assert_eq!(checked(&entry(b"a", &nested)), Err(refused));
    }
    let no_value = delimited(1, &delimited(1, b"a"));
    assert_eq!(checked(&no_value), Err(Error::Kind("a".into())));
}

#[test]
fn numbers_that_json_does_not_have_are_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let value = fixed64_field(2, number.to_le_bytes());
        assert_eq!(
            checked(&entry(b"a", &value)),
            Err(Error::NotFinite("a".into()))
        );
    }
}

#[test]
fn a_key_that_stands_twice_is_named() {
    let one = varint_field(7, 1);
    let twice = [entry(b"key", &one), entry(b"a", &one), entry(b"key", &one)].concat();
    let refused = Error::Duplicate("key".into());
    assert_eq!(checked(&twice), Err(refused.clone()));
    let mut value = delimited(5, &twice);
    for _ in 0..31 {
        assert_eq!(checked(&entry(b"p", &value)), Err(refused.clone()));
        value = delimited(6, &delimited(1, &value));
    }
}

#[test]
fn text_that_is_not_unicode_is_refused() {
    for object in [
        entry(b"\xff", &varint_field(7, 1)),
        entry(b"a", &delimited(3, b"\xff")),
        entry(
            b"a",
            &delimited(5, &entry(b"\xed\xa0\x80", &varint_field(7, 1))),
        ),
    ] {
        let read = checked(&object);
        assert!(matches!(read, Err(Error::Malformed(_))), "{read:?}");
    }
}
