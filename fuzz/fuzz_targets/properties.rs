//! Properties that are taken are JSON, say what was sent, and stay the same when they are sent again.
#![no_main]

use footfall::model::properties::Properties;
use footfall_fuzz::Growth;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (Growth, &str)| {
    let (growth, text) = input;
    let Ok(text) = String::from_utf8(growth.of(text.as_bytes())) else {
        return;
    };
    let text = text.as_str();
    let Ok(properties) = Properties::from_json(text) else {
        return;
    };
    let mut shown = Vec::new();
    properties.write_json(&mut shown);
    let shown = String::from_utf8(shown).unwrap();
    let again = Properties::from_json(&shown).unwrap();
    assert_eq!(again.bytes(), properties.bytes());
    let names = |text: &str| match serde_json::from_str::<Value>(text).unwrap() {
        Value::Object(object) => object
            .keys()
            .cloned()
            .collect::<std::collections::BTreeSet<_>>(),
        other => panic!("{other}"),
    };
    assert_eq!(names(&shown), names(text));
});
