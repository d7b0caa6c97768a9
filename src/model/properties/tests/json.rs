//! JSON text to the canonical form and back.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::super::json as pass;
use super::super::{Error, Properties};
use super::oracle::{canonical, dice, read_back, spelled, texts, tree, trees};

fn properties(text: &str) -> Properties {
    Properties::from_json(text).unwrap()
}

fn message(text: &str) -> String {
    Properties::from_json(text).unwrap_err().to_string()
}

fn rendered(properties: &Properties) -> String {
    let mut json = Vec::new();
    properties.write_json(&mut json);
    String::from_utf8(json).unwrap()
}

/// Pieces of JSON that change its meaning wherever they are, or break it.
fn odd() -> impl Strategy<Value = &'static str> {
    select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "0",
        "9223372036854775808",
        "1e400",
        "-",
        "null,",
        "{\"a\":1},",
        "\"\":1,",
        "\"a\":1,",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\u{0}",
        " ",
    ])
}

proptest! {
    #[test]
    fn every_spelling_of_an_object_has_the_bytes_of_the_obvious_encoder(tree in trees(), mut dice in dice()) {
        let text = spelled(&tree, &mut dice);
        let read = properties(&text);
        prop_assert_eq!(&**read.bytes(), canonical(&tree), "{}", text);
    }

    #[test]
    fn one_pass_says_what_a_pass_value_by_value_says(tree in trees(), mut dice in dice(), splices in vec((any::<Index>(), odd()), 0..4)) {
        let mut text = spelled(&tree, &mut dice);
        for (at, odd) in splices {
            let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            text.insert_str(*at.get(&places), odd);
        }
        prop_assert_eq!(pass::properties(&text), pass::validating_path(&text), "{}", text);
    }

    #[test]
    fn one_pass_takes_no_more_than_an_object_and_what_may_be_behind_it(before in odd(), behind in odd()) {
        let text = format!("{before}{{}}{behind}");
        prop_assert_eq!(pass::properties(&text), pass::validating_path(&text), "{}", text);
    }

    #[test]
    fn what_is_rendered_is_the_same_value_and_reads_back_as_the_same_bytes(tree in trees(), mut dice in dice()) {
        let read = properties(&spelled(&tree, &mut dice));
        prop_assert_eq!(read_back(&read), json!(tree));
        prop_assert_eq!(properties(&rendered(&read)), read);
    }

    #[test]
    fn the_entries_are_the_names_in_ascending_order(tree in trees(), mut dice in dice()) {
        let read = properties(&spelled(&tree, &mut dice));
        let names: Vec<_> = read.entries().map(|(name, _)| name).collect();
        prop_assert_eq!(&names, &tree.keys().collect::<Vec<_>>());
        prop_assert_eq!(Properties::from_sorted(read.entries()), read);
    }

    #[test]
    fn a_text_takes_its_place_among_the_others(mut tree in trees(), mut dice in dice(), name in texts(1..3), text in texts(0..5)) {
        let read = properties(&spelled(&tree, &mut dice));
        let with = read.with_text(&name, &text).unwrap();
        tree.insert(name, text.into());
        prop_assert_eq!(&**with.bytes(), canonical(&tree));
    }

    #[test]
    fn every_bit_of_a_fraction_is_kept(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let read = properties(&format!(r#"{{"n":{number:e}}}"#));
        let (_, value) = read.entries().next().unwrap();
        prop_assert_eq!(&value[1..], number.to_le_bytes());
        let again = read_back(&read)["n"].as_f64().unwrap();
        prop_assert_eq!(again.to_bits(), bits);
    }

    #[test]
    fn an_integer_is_exact_or_refused(digits in "-?[1-9][0-9]{0,30}", before in "(1\\.5e300, |\"9999999999999999999\", )?") {
        let read = Properties::from_json(&format!(r#"{{"n":[{before}{digits}]}}"#));
        match digits.parse::<i64>() {
            Ok(integer) => {
                let list = read_back(&read.unwrap())["n"].clone();
                prop_assert_eq!(list.as_array().unwrap().last(), Some(&json!(integer)));
            }
            Err(_) => {
                let refused = Error::IntegerTooLarge { name: "n".into(), text: digits };
                prop_assert_eq!(read, Err(refused));
            }
        }
    }

    /// What serde_json reads gets the same value; what it does not read is refused.
    #[test]
    fn a_text_that_was_tampered_with_is_refused_or_means_what_it_says(
        tree in trees(),
        mut dice in dice(),
        changes in vec((any::<Index>(), 0..3_usize, proptest::sample::select(ODD)), 1..4),
    ) {
        let mut text: Vec<char> = spelled(&tree, &mut dice).chars().collect();
        for (at, kind, new) in changes {
            let at = at.index(text.len().max(1));
            match kind {
                0 => text.insert(at, new),
                1 if at < text.len() => text[at] = new,
                _ if at < text.len() => drop(text.remove(at)),
                _ => {}
            }
        }
        let text = String::from_iter(text);
        check_beside_serde(&text)?;
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"\{?["\\{}\[\]:,u0-9eE.+\-a-z\PC]{0,40}\}?"#) {
        check_beside_serde(&text)?;
    }
}

const ODD: &[char] = &[
    '"', '\\', '{', '}', '[', ']', ':', ',', '-', '+', '.', 'e', 'u', '0', '1', '9', 'n', ' ',
    '\u{0}', '\n', 'é', '😀',
];

fn check_beside_serde(text: &str) -> Result<(), TestCaseError> {
    let read = Properties::from_json(text);
    let Ok(read) = read else {
        return Ok(());
    };
    let value = serde_json::from_str::<Value>(text);
    prop_assert!(value.is_ok(), "{text:?} is not JSON, but was read");
    let value = value?;
    let object = value.as_object();
    prop_assert!(object.is_some(), "{text:?} is no object, but was read");
    let map = object.cloned().unwrap_or_default();
    prop_assert_eq!(&**read.bytes(), canonical(&tree(&map)), "{}", text);
    Ok(())
}

#[test]
fn text_that_is_not_json_is_an_error() {
    let texts = [
        "{",
        r#"{"a""#,
        r#"{"a":"#,
        r#"{"a":}"#,
        r#"{"a":1"#,
        r#"{"a":1,}"#,
        r#"{"a":1} x"#,
        r#"{"a":1}{}"#,
        r#"{"a":01}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":+1}"#,
        r#"{"a":NaN}"#,
        r#"{"a":-Infinity}"#,
        r#"{"a":tru}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":[1,]}"#,
        r#"{"a":{"b":1,}}"#,
    ];
    for text in texts {
        let read = Properties::from_json(text);
        assert!(matches!(read, Err(Error::Malformed(_))), "{text}: {read:?}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_no_character() {
    for text in [r#"\ud83d"#, r#"\ude00"#, r#"\ud83d\ud83d"#, r#"\ud83dx"#] {
        for text in [
            format!(r#"{{"a":"{text}"}}"#),
            format!(r#"{{"{text}":1}}"#),
            format!(r#"{{"a":[{{"{text}":1}}]}}"#),
        ] {
            let read = Properties::from_json(&text);
            assert!(matches!(read, Err(Error::Malformed(_))), "{text}: {read:?}");
        }
    }
    assert_eq!(
        read_back(&properties(r#"{"\ud83d\ude00":"\uD83D\uDE00"}"#)),
        json!({"😀": "😀"})
    );
}

#[test]
fn anything_but_an_object_is_named() {
    for text in ["", "null", "[1]", "\"x\"", "17", "true"] {
        assert_eq!(
            Properties::from_json(text),
            Err(Error::NotAnObject(text.to_owned()))
        );
    }
    let long = format!("[{}]", "1,".repeat(10_000));
    assert!(message(&long).len() < 200);
}

#[test]
fn an_integer_and_a_fraction_are_different_types() {
    assert_ne!(properties(r#"{"a":1}"#), properties(r#"{"a":1.0}"#));
    assert_eq!(properties(r#"{"a":100.0}"#), properties(r#"{"a":1.0E2}"#));
}

#[test]
fn a_number_beyond_every_fraction_is_refused() {
    for number in ["1e400", "-1e400", &"9".repeat(400)] {
        assert!(Properties::from_json(&format!(r#"{{"a":{number}}}"#)).is_err());
    }
}

#[test]
fn digits_inside_of_texts_are_no_integers() {
    let text = r#"{"a":["\\\"99999999999999999999",1e19,{"99999999999999999999":"\u0039"}]}"#;
    assert!(Properties::from_json(text).is_ok());
    assert_eq!(
        message(r#"{"a":["\\",1e19,{"b":-99999999999999999999}]}"#),
        "property 'a' holds the integer -99999999999999999999, which does not fit into 64 bits"
    );
}

#[test]
fn a_key_that_stands_twice_is_named_at_any_depth() {
    for depth in 0..32 {
        for twice in [
            r#"{"a":0,"key":1,"z":0,"k\u0065y":2}"#,
            r#"{"key":null,"key":"x"}"#,
        ] {
            let inner = match depth {
                0 => twice.to_owned(),
                _ => {
                    let (open, close) = (r#"{"x":"#.repeat(depth - 1), "}".repeat(depth - 1));
                    format!(r#"{{"p":{open}[{twice}]{close}}}"#)
                }
            };
            assert_eq!(message(&inner), "duplicate key 'key'", "{inner}");
        }
    }
    assert_eq!(message(r#"{"":1,"":2}"#), "a property's name is empty");
    assert_eq!(message(r#"{"a":{"":1,"":2}}"#), "duplicate key ''");
}

#[test]
fn the_same_key_in_different_objects_is_no_duplicate() {
    let text = r#"{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":{}}}"#;
    assert_eq!(rendered(&properties(text)), text);
}
