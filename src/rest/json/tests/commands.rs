//! Single commands.

use super::{NOW, at, event, fields, ids, message, now, shown, update};
use crate::tracker::COMMAND_BYTES_MAX;

#[test]
fn what_an_android_client_sends_is_read() {
    let body = r#"{"event_type":"payment","timestamp":1.7000000005E9,"customer_ids":{"registered":"a","cookie":"uuid"},"properties":{"price":1.0E2}}"#;
    let event = event(body).unwrap();
    assert_eq!(event.project_token, "token");
    assert_eq!(event.event_type, "payment");
    assert_eq!(
        event.customer_ids,
        ids(&[("registered", "a"), ("cookie", "uuid")])
    );
    assert_eq!(at(event.timestamp), Some((1_700_000_000, 500_000)));
    assert_eq!(shown(event.properties).unwrap(), r#"{"price":100.0}"#);
}

#[test]
fn null_counts_as_absent() {
    let body = r#"{"customer_ids":{"cookie":"c-1"},"timestamp":null,"properties":null,"event_type":null,"age":null}"#;
    for body in [body, r#"{"customer_ids":{"cookie":"c-1"}}"#] {
        let event = event(body).unwrap();
        assert_eq!(event.event_type, "");
        assert_eq!(at(event.timestamp), None);
        assert_eq!(shown(event.properties), None);
    }
    assert_eq!(
        update(r#"{"customer_ids":null}"#).unwrap().customer_ids,
        ids(&[])
    );
}

#[test]
fn keys_that_nobody_knows_are_passed_over() {
    let body = r#" {"sdk":"x","sdk":1,"properties":{},"customer_ids":{},"deep":{"a":[{"a":1,"a":2}]},"limit":"?"} "#;
    assert_eq!(shown(update(body).unwrap().properties).unwrap(), "{}");
}

#[test]
fn keys_and_texts_may_have_escapes() {
    let body = r#"{"customer\u005fids":{"coo\u006bie":"\u0063"},"event_typ\u0065":"a\/b\n"}"#;
    let event = event(body).unwrap();
    assert_eq!(event.customer_ids, ids(&[("cookie", "c")]));
    assert_eq!(event.event_type, "a/b\n");
}

#[test]
fn a_customer_id_is_a_text_or_an_integer() {
    let read = |value: &str| update(&format!(r#"{{"customer_ids":{{"cookie":{value}}}}}"#));
    let rows = [
        (r#""c""#, "c"),
        ("12", "12"),
        ("-12", "-12"),
        ("98765432109876543210", "98765432109876543210"),
        ("12.0", "12"),
        ("1e3", "1000"),
        ("-5.0", "-5"),
        ("9007199254740992.0", "9007199254740992"),
        ("null", ""),
        (r#""""#, ""),
    ];
    for (value, expected) in rows {
        assert_eq!(
            read(value).unwrap().customer_ids,
            ids(&[("cookie", expected)])
        );
    }
    for value in [
        "1.5",
        "1e-1",
        "9007199254740993.0",
        "true",
        "[]",
        r#"{"a":1}"#,
    ] {
        let expected =
            format!("customer ID 'cookie' must be a string or a whole number, not {value}");
        assert_eq!(message(read(value)), expected);
    }
}

#[test]
fn customer_ids_are_an_object_without_duplicates() {
    for value in ["[]", r#""c""#, "5", "false"] {
        let expected = format!("Field 'customer_ids' must be an object, not {value}.");
        assert_eq!(
            message(update(&format!(r#"{{"customer_ids":{value}}}"#))),
            expected
        );
    }
    let twice = r#"{"customer_ids":{"cookie":"a","c\u006fokie":"b"}}"#;
    assert_eq!(message(update(twice)), "duplicate key 'cookie'");
}

#[test]
fn a_field_that_stands_twice_is_named() {
    for field in ["customer_ids", "event_type", "properties", "timestamp"] {
        let message = message(event(&format!(r#"{{"{field}":null,"{field}":null}}"#)));
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn properties_are_an_object() {
    for value in ["[]", r#""x""#, "7"] {
        let expected = format!("properties must be an object, not {value}");
        assert_eq!(
            message(update(&format!(r#"{{"properties":{value}}}"#))),
            expected
        );
        assert_eq!(
            message(event(&format!(r#"{{"properties":{value}}}"#))),
            expected
        );
    }
}

#[test]
fn an_event_type_is_a_text() {
    let refused = message(event(r#"{"event_type":5}"#));
    assert_eq!(refused, "Field 'event_type' must be a string, not 5.");
}

#[test]
fn an_update_has_its_time_in_either_field_and_its_own_wins() {
    let rows = [
        (
            r#"{"update_timestamp":1.5,"timestamp":2}"#,
            Some((1, 500_000)),
        ),
        (r#"{"update_timestamp":null,"timestamp":2}"#, Some((2, 0))),
        (
            r#"{"timestamp":"2018-8-5 12:20:25"}"#,
            Some((1_533_471_625, 0)),
        ),
        (r#"{"timestamp":"\u0031"}"#, Some((1, 0))),
        (r#"{"age":5}"#, None),
    ];
    for (body, expected) in rows {
        assert_eq!(
            at(update(body).unwrap().update_timestamp),
            expected,
            "{body}"
        );
    }
}

#[test]
fn an_age_counts_from_the_receipt_unless_there_is_a_timestamp() {
    let rows = [
        (r#"{"age":0.25}"#, Some((NOW - 1, 750_000))),
        (r#"{"age":0}"#, Some((NOW, 0))),
        (r#"{"age":-1}"#, Some((NOW, 0))),
        (r#"{"age":5,"timestamp":7}"#, Some((7, 0))),
        (r#"{"age":5,"timestamp":null}"#, Some((NOW - 5, 0))),
    ];
    for (body, expected) in rows {
        assert_eq!(at(event(body).unwrap().timestamp), expected, "{body}");
        let click = fields(body).unwrap().click("token", now()).unwrap();
        assert_eq!(at(click.timestamp), expected, "{body}");
    }
    assert_eq!(
        message(event(r#"{"age":"5"}"#)),
        r#"Field 'age' must be a number, not "5"."#
    );
    assert!(message(event(r#"{"age":1e30}"#)).starts_with("age: "));
}

#[test]
fn a_time_that_cannot_be_is_quoted_with_its_field() {
    let rows = [
        (
            r#"{"timestamp":1700000000000}"#,
            "timestamp: time \"1700000000000\" looks like milliseconds; send seconds",
        ),
        (
            r#"{"timestamp":true}"#,
            "Field 'timestamp' must be a number or text, not true.",
        ),
        (
            r#"{"timestamp":[1]}"#,
            "Field 'timestamp' must be a number or text, not [1].",
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(message(event(body)), expected);
    }
    let refused = message(update(r#"{"update_timestamp":"yesterday"}"#));
    assert!(refused.starts_with("update_timestamp: ") && refused.contains("yesterday"));
}

#[test]
fn a_click_has_an_address() {
    let body = r#"{"url":"https:\/\/x","properties":{"a":1}}"#;
    let click = fields(body).unwrap().click("token", now()).unwrap();
    assert_eq!(click.url, "https://x");
    assert_eq!(shown(click.properties).unwrap(), r#"{"a":1}"#);
    let refused = fields(r#"{"url":{}}"#).unwrap().click("token", now());
    assert_eq!(message(refused), "Field 'url' must be a string, not {}.");
}

#[test]
fn a_body_that_is_no_json_object_is_not_read() {
    for body in [
        "",
        " ",
        "[]",
        "null",
        "5",
        "{",
        r#"{"a":1} x"#,
        r#"{"a":1}{}"#,
        r#"{"a":NaN}"#,
        "{a:1}",
        "\u{feff}{}",
    ] {
        assert_eq!(message(fields(body)), "Invalid JSON", "{body:?}");
    }
    assert_eq!(
        message(super::of_body::<super::Fields<'_>>(b"{\"a\":\"\xff\"}")),
        "Invalid JSON: the body is not UTF-8 at byte 6"
    );
}

#[test]
fn a_command_takes_at_most_800_kib() {
    let body = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "y".repeat(bytes - 8));
    assert!(fields(&body(COMMAND_BYTES_MAX)).is_ok());
    assert_eq!(
        message(fields(&body(COMMAND_BYTES_MAX + 1))),
        "command is too large: 819201 bytes, at most 819200"
    );
}

#[test]
fn no_error_repeats_a_long_text() {
    let long = "x".repeat(100_000);
    for body in [
        format!(r#"{{"timestamp":"{long}"}}"#),
        format!(r#"{{"event_type":["{long}"]}}"#),
        format!(r#"{{"customer_ids":{{"{long}":true}}}}"#),
        format!(r#"{{"customer_ids":"{long}"}}"#),
        format!(r#"{{"properties":"{long}"}}"#),
        format!(r#"{{"properties":{{"{long}":1}}}}"#),
        format!(r#"{{"properties":{{"a":{{"{long}":1,"{long}":2}}}}}}"#),
        format!(r#"{{"age":[{}1]}}"#, "1,".repeat(1000)),
    ] {
        let message = message(event(&body));
        assert!(message.len() < 400, "{message}");
    }
}
