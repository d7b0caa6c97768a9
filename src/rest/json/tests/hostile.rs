//! Bodies that nobody means well with.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::value::RawValue;

use super::super::batch::{Read, at_once, fast_path, one_by_one, validating_path};
use super::super::fast_path;
use super::super::{attributes, batch, customer, events};
use super::now;
use super::{Fields, of_body};

/// Bodies that are read, as a start.
const BODIES: [&str; 4] = [
    r#"{"event_type":"pay","timestamp":1.7000000005E9,"age":0.5,"customer_ids":{"registered":"a","cookie":12},"properties":{"price":1.0E2,"d":{"x":[1,null,"\u0041"]}},"url":"https:\/\/x"}"#,
    r#"{"commands":[{"name":"customers","command_id":"17","data":{"customer_ids":{"cookie":"c"},"update_timestamp":"2018-8-5 12:20:25"}},{"name":"system\/time","command_id":null},{"name":"customers/events","data":{"event_type":"t"}}]}"#,
    r#"{"customer_ids":{"registered":"a"},"attributes":[{"type":"property","property":"p"},{"type":"id","id":"cookie"},{"type":"x"}]}"#,
    r#"{"customer_ids":{"registered":"a"},"event_types":["a","b"],"order":"desc","limit":5,"skip":0}"#,
];

const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "null",
    "true",
    "-",
    "1",
    "e",
    ".",
    "9999999999999999999999",
    "\0",
    "é",
    "\"customer_ids\":",
    "\"properties\":{",
    "\"commands\":[",
    "{\"name\":",
    "\"timestamp\":",
];

/// Tries every reading of a body. Whatever is read was JSON, and is the same in one pass as field by field.
fn read(body: &[u8]) -> Result<(), TestCaseError> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    agree(body)?;
    if let Ok(fields) = of_body::<Fields<'_>>(body) {
        prop_assert!(is_json, "{} was read", text);
        let _ = fields.update("token");
        let _ = fields.event("token", now());
        let _ = fields.click("token", now());
        let _ = customer(body, "token");
        let _ = attributes(body, "token");
        let _ = events(body, "token");
    }
    if let Ok(batch) = batch(body, "token", now()) {
        prop_assert!(is_json, "{} was read", text);
        prop_assert!((1..=50).contains(&batch.plan.len()));
        prop_assert!(batch.request.commands.len() <= batch.plan.len());
    }
    Ok(())
}

fn debug(error: impl Debug) -> String {
    format!("{error:?}")
}

fn agree(body: &[u8]) -> Result<(), TestCaseError> {
    let thorough =
        || of_body::<Fields<'_>>(body).expect("what is read in one pass is read field by field");
    if let Some(fast) = fast_path::fields(body) {
        let fast = fast.update("token").map_err(debug);
        prop_assert_eq!(fast, thorough().update("token").map_err(debug));
    }
    if let Some(fast) = fast_path::fields(body) {
        let fast = fast.event("token", now()).map_err(debug);
        prop_assert_eq!(fast, thorough().event("token", now()).map_err(debug));
    }
    if let Some(fast) = fast_path::fields(body) {
        let fast = fast.click("token", now()).map_err(debug);
        prop_assert_eq!(fast, thorough().click("token", now()).map_err(debug));
    }
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        commands: Vec<&'a RawValue>,
    }
    let commands = serde_json::from_slice::<Body<'_>>(body).map(|body| body.commands);
    for command in commands.unwrap_or_default() {
        let text = command.get();
        if let Some(fast) = fast_path(text, "token", now()) {
            let thorough = validating_path(text, "token", now());
            prop_assert_eq!(
                fast.0.map(RawValue::get),
                thorough.0.map(RawValue::get),
                "{}",
                text
            );
            prop_assert_eq!(fast.1.map_err(debug), thorough.1.map_err(debug), "{}", text);
        }
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    if let Some(commands) = at_once(text) {
        let commands = commands.into_iter();
        let all = commands.map(|command| shown(command.read("token", now())));
        let each = one_by_one(text.trim(), "token", now()).map_err(debug);
        let each = each.map(|commands| commands.into_iter().map(|(_, read)| shown(read)));
        let each = each.map(Iterator::collect::<Vec<_>>);
        prop_assert_eq!(Ok(all.collect()), each, "{}", text);
    }
    Ok(())
}

/// A command that was read, so that two can be compared.
fn shown((id, command): Read<'_>) -> (Option<String>, String) {
    let id = id.map(|raw| raw.get().to_owned());
    (id, debug(command.map_err(debug)))
}

/// An object with these fields.
fn object(fields: &[(String, String)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!(r#""{name}":{value}"#))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn what_real_clients_send_is_read_in_one_pass() {
    let event = r#"{"event_type":"pay","timestamp":1.7000000005E9,"age":null,"customer_ids":{"registered":"a","cookie":12,"x":null},"properties":{"price":1.0E2,"d":{"x":[1,null,"\u0041"]}},"sdk":"x"}"#;
    assert!(fast_path::fields(event.as_bytes()).is_some());
    for command in [
        format!(r#"{{"name":"customers/events","command_id":null,"data":{event}}}"#),
        format!(r#"{{"data":{event},"name":"customers\/events"}}"#),
    ] {
        assert!(fast_path(&command, "token", now()).is_some(), "{command}");
        let batch =
            format!(r#"{{"sdk":"x","commands":[{command},{{"name":"system/time"}},{command}]}}"#);
        assert_eq!(
            at_once(&batch).map(|commands| commands.len()),
            Some(3),
            "{batch}"
        );
    }
}

#[test]
fn a_batch_with_a_command_that_may_be_too_large_is_read_command_by_command() {
    let command = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!(r#"{{"name":"customers","data":{{"properties":{{"x":"{text}"}}}}}}"#)
    };
    let batch = |bytes: [usize; 3]| {
        let commands = bytes.map(command).join(",");
        format!(r#"{{"commands":[{commands}]}}"#)
    };
    for (bytes, is_read) in [
        ([6_000; 3], true),
        ([16_000, 0, 0], true),
        ([16_400, 0, 0], false),
        ([0, 16_400, 0], false),
        ([0, 0, 16_400], false),
        ([30_000, 30_000, 30_000], false),
    ] {
        assert_eq!(at_once(&batch(bytes)).is_some(), is_read, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn one_pass_reads_what_field_by_field_is_read(
        fields in vec((
            "customer_ids|event_type|properties|timestamp|update_timestamp|age|url|limit|x",
            select(vec![
                "null", "true", "0", "-0", "-1", "1.5", "1e2", r#""x""#, r#""\ud83d""#, r#""2018-08-05T12:20:25Z""#, "[]", "[[],[]]", "{}",
                r#"{"registered":"a","cookie":1}"#, r#"{"registered":null,"x":-5}"#, r#"{"cookie":-0}"#, r#"{"cookie":1.0}"#,
                r#"{"cookie":18446744073709551615}"#, r#"{"cookie":18446744073709551616}"#, r#"{"a":1,"a":2}"#, r#"{"\u0061":1,"a":2}"#,
                r#"{"a":[9223372036854775807,9223372036854775808]}"#, r#"{"a":1e400}"#, r#"{"":0}"#, r#"{"a":{"b":{"c":[]}}}"#, " {} ",
            ]).prop_map(str::to_owned),
        ), 0..6),
        name in select(vec![r#""customers""#, r#""customers/events""#, r#""campaigns\/clicks""#, r#""system/time""#, r#""x""#, "null", "1"]),
        around in select(vec!["", " ", "\n"]),
    ) {
        let data = object(&fields);
        agree(format!("{around}{data}{around}").as_bytes())?;
        agree(format!(r#"{{"commands":[{{"name":{name},"command_id":[1],"data":{data}}},{{"data":{data},"name":{name}}}]}}"#).as_bytes())?;
        agree(format!(r#"{{"commands":[{{"name":{name},"data":[{data},{data}]}},{{"name":{name}}},[{name},{data}]]}}"#).as_bytes())?;
    }

    #[test]
    fn no_bytes_make_it_panic(body in vec(any::<u8>(), 0..100)) {
        read(&body)?;
    }

    #[test]
    fn no_pieces_of_json_make_it_panic(pieces in vec(select(&PIECES[..]), 0..30)) {
        read(pieces.concat().as_bytes())?;
        read(format!("{{{}}}", pieces.concat()).as_bytes())?;
    }

    #[test]
    fn no_body_that_was_tampered_with_makes_it_panic(
        body in select(&BODIES[..]),
        changes in vec((any::<Index>(), 0..4_usize, select(&PIECES[..])), 1..5),
    ) {
        let mut body: Vec<char> = body.chars().collect();
        for (at, cut, new) in changes {
            let at = at.index(body.len() + 1);
            let end = body.len().min(at + cut);
            body.splice(at..end, new.chars());
        }
        read(String::from_iter(body).as_bytes())?;
    }

    #[test]
    fn a_field_of_any_value_is_read_or_refused(
        field in "customer_ids|event_type|properties|timestamp|update_timestamp|age|url|attributes|event_types|order|limit|skip|commands",
        value in select(vec![
            "null", "true", "0", "-0", "-1", "1e999", "1.5", r#""""#, r#"" ""#, r#""x""#, "[]", "[null]", "[[]]", "[{}]",
            "{}", r#"{"":""}"#, r#"{"a":{}}"#, r#"{"a":null,"a":null}"#, "18446744073709551616",
        ]),
    ) {
        read(format!(r#"{{"{field}":{value}}}"#).as_bytes())?;
        read(format!(r#"{{"commands":[{{"name":"customers","data":{{"{field}":{value}}}}}]}}"#).as_bytes())?;
    }
}

#[test]
fn no_depth_of_nesting_exhausts_the_stack() {
    for open in ["[", r#"{"a":"#] {
        let nested = open.repeat(150_000);
        for body in [
            nested.clone(),
            format!(r#"{{"unknown":{nested}"#),
            format!(r#"{{"commands":[{{"data":{nested}"#),
            format!(
                r#"{{"unknown":{}{}}}"#,
                "[".repeat(150_000),
                "]".repeat(150_000)
            ),
            format!(
                r#"{{"properties":{{"a":{}{}}}}}"#,
                "[".repeat(8_000),
                "]".repeat(8_000)
            ),
        ] {
            read(body.as_bytes()).unwrap();
        }
    }
}
