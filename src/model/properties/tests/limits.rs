//! Each limit, from both sides, in both forms.

use serde_json::{Value, json};

use super::super::{COUNT_MAX, DEPTH_MAX, Error, NAME_CHARS_MAX, Properties, VALUE_BYTES_MAX};
use super::oracle::{Tree, canonical, checked, delimited};

/// The result for both forms of the same properties, which must be the same.
fn both(tree: &Value) -> Result<Properties, Error> {
    let entries: Tree = serde_json::from_value(tree.clone()).unwrap();
    let from_message = checked(&canonical(&entries));
    assert_eq!(Properties::from_json(&tree.to_string()), from_message);
    from_message
}

#[test]
fn at_most_255_properties_fit_into_a_command() {
    let tree = |count: usize| -> Value {
        let entries = (0..count).map(|n| (format!("p{n}"), n.into()));
        Value::Object(entries.collect())
    };
    assert_eq!(both(&tree(COUNT_MAX)).unwrap().entries().count(), COUNT_MAX);
    assert_eq!(both(&tree(COUNT_MAX + 1)), Err(Error::TooMany(256)));
    assert_eq!(
        both(&tree(1000)).unwrap_err().to_string(),
        "too many properties: 1000, at most 255"
    );
}

#[test]
fn what_is_inside_of_a_value_is_not_counted() {
    let entries = (0..1000).map(|n| (n.to_string(), Value::Null)).collect();
    assert!(both(&json!({"a": Value::Object(entries), "b": vec![0; 1000]})).is_ok());
}

#[test]
fn values_nest_at_most_32_levels_deep() {
    let nested = |levels: usize, wrap: fn(Value) -> Value| {
        let value = (0..levels).fold(json!("leaf"), |value, _| wrap(value));
        json!({ "deep": value })
    };
    for wrap in [|value| json!([value]), |value| json!({ "k": value })] {
        assert!(both(&nested(DEPTH_MAX, wrap)).is_ok());
        let refused = both(&nested(DEPTH_MAX + 1, wrap));
        assert_eq!(refused, Err(Error::TooDeep("deep".into())));
    }
}

#[test]
fn no_depth_of_nesting_exhausts_the_stack() {
    for text in [
        format!(r#"{{"a":{}}}"#, "[".repeat(8_000)),
        format!(r#"{{"a":{}{}}}"#, "[".repeat(8_000), "]".repeat(8_000)),
        format!(r#"{{"a":{}"#, r#"{"a":"#.repeat(1_000_000)),
    ] {
        assert!(Properties::from_json(&text).is_err());
    }
    let list = |value: Vec<u8>, _| delimited(6, &delimited(1, &value));
    let value = (0..2_000).fold(delimited(3, b"leaf"), list);
    let entry = [delimited(1, b"a"), delimited(2, &value)].concat();
    let refused = Err(Error::TooDeep("a".into()));
    assert_eq!(checked(&delimited(1, &entry)), refused);
}

#[test]
fn a_value_takes_at_most_16_kib_as_json() {
    // Two bytes are the quotes; a control character takes six, a character of two bytes takes two.
    for (unit, unit_bytes) in [("a", 1), ("é", 2), ("\u{1}", 6), ("\"", 2)] {
        let fits = (VALUE_BYTES_MAX - 2) / unit_bytes;
        assert!(
            both(&json!({"text": unit.repeat(fits)})).is_ok(),
            "{unit:?}"
        );
        let refused = both(&json!({"text": unit.repeat(fits + 1)}));
        let bytes = (fits + 1) * unit_bytes + 2;
        let name = "text".to_owned();
        assert_eq!(refused, Err(Error::ValueTooLarge { name, bytes }));
    }
    let list = |items: usize| json!({"list": vec![false; items]});
    assert!(both(&list(2730)).is_ok());
    assert_eq!(
        both(&list(2731)).unwrap_err().to_string(),
        "property 'list' is too large: 16387 bytes as JSON, at most 16384"
    );
}

#[test]
fn each_value_has_16_kib_of_its_own() {
    let text = "x".repeat(VALUE_BYTES_MAX - 2);
    assert!(both(&json!({"a": text, "b": text, "c": text})).is_ok());
}

#[test]
fn a_name_has_1_to_255_characters() {
    for unit in ["n", "é", "😀"] {
        let name = unit.repeat(NAME_CHARS_MAX);
        assert!(both(&json!({ name: 1 })).is_ok());
        let name = unit.repeat(NAME_CHARS_MAX + 1);
        let cut = format!("{}…", unit.repeat(64));
        assert_eq!(both(&json!({ name: 1 })), Err(Error::NameTooLong(cut)));
    }
    assert_eq!(both(&json!({"": 1})), Err(Error::NameEmpty));
    let inner = "n".repeat(1000);
    assert!(both(&json!({"a": {"": 1, inner: 2}})).is_ok());
}

#[test]
fn a_text_that_joins_keeps_the_limits() {
    let entries = (0..COUNT_MAX).map(|n| (format!("p{n}"), Value::Null));
    let full = both(&Value::Object(entries.collect())).unwrap();
    assert!(full.with_text("p7", "instead").is_ok());
    assert_eq!(full.with_text("url", "x"), Err(Error::TooMany(256)));
    let none = Properties::default();
    assert!(
        none.with_text("url", &"x".repeat(VALUE_BYTES_MAX - 2))
            .is_ok()
    );
    let refused = none.with_text("url", &"x".repeat(VALUE_BYTES_MAX - 1));
    let (name, bytes) = ("url".to_owned(), VALUE_BYTES_MAX + 1);
    assert_eq!(refused, Err(Error::ValueTooLarge { name, bytes }));
}
