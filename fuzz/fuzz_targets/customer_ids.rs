//! What is read as a customer's IDs can be read again and stays what it was.
#![no_main]

use footfall::model::customer_id::Schema;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|ids: Vec<(String, String)>| {
    let named = |name: &str| name.to_owned();
    let schema = Schema::new(
        &[named("registered")],
        &[named("cookie"), named("a")],
        &[named("registered")],
    );
    let given = ids
        .iter()
        .map(|(kind, value)| (kind.as_str(), value.as_str()));
    let Ok(read) = schema.parse(given) else {
        return;
    };
    let known: Vec<_> = read
        .as_slice()
        .iter()
        .map(|id| (id.kind.to_string(), id.value.to_string()))
        .collect();
    let again = known
        .iter()
        .map(|(kind, value)| (kind.as_str(), value.as_str()));
    assert_eq!(schema.parse(again).unwrap().as_slice(), read.as_slice());
});
