//! What keys may, and until when.

use super::*;
use crate::model::time::Timestamp;

fn key(rest: &str) -> Result<Config, Mistakes> {
    let head = "[[project]]\ntoken = 'a'\n[[project.key]]\nid = 'k'\nsecrets = ['s']";
    file(&format!("{head}\n{rest}"))
}

#[test]
fn events_are_allowed_by_type() {
    let config = key("permissions = ['events:set:a', 'customers:set', 'events:set:b:c']").unwrap();
    let key_of = &config.projects[0].keys[0].key;
    assert_eq!(key_of.permissions, [Permission::SetCustomers]);
    let types: Vec<_> = key_of.event_types.iter().map(ToString::to_string).collect();
    assert_eq!(types, ["a", "b:c"]);
    let place = "project[1].key[1].permissions";
    for (list, mistake) in [
        (
            "'events:set:a', 'events:set:a'",
            "\"events:set:a\" is listed already",
        ),
        (
            "'events:set', 'events:set:a'",
            "\"events:set:a\" is part of \"events:set\"",
        ),
        (
            "'events:get', 'events:get'",
            "\"events:get\" is listed already",
        ),
        ("'events:set:'", "\"events:set:\" is not \"customers:set\""),
        (
            "'events:set: a'",
            "\"events:set: a\" is not \"customers:set\"",
        ),
        (
            "'events:get:a'",
            "\"events:get:a\" is not \"customers:set\"",
        ),
    ] {
        let read = key(&format!("permissions = [{list}]"));
        has(read, &format!("{place} (line 6): {mistake}"));
    }
    let many: String = (0..1_001).map(|n| format!("'events:set:{n}',")).collect();
    let read = key(&format!("permissions = [{many}]"));
    has(
        read,
        &format!("{place} (line 6): 1001 event types, expected at most 1000"),
    );
}

#[test]
fn a_key_expires_at_a_time_with_a_zone() {
    let at = Timestamp::from_micros(1_700_000_000_000_000).unwrap();
    for written in [
        "'2023-11-14T22:13:20Z'",
        "2023-11-14T22:13:20Z",
        "2023-11-14T23:13:20+01:00",
    ] {
        let config = key(&format!("permissions = []\nexpires = {written}")).unwrap();
        assert_eq!(
            config.projects[0].keys[0].key.expires,
            Some(at),
            "{written}"
        );
    }
    for written in [
        "2023-11-14T22:13:20",
        "'2023-11-14'",
        "1700000000",
        "'soon'",
        "''",
    ] {
        let read = key(&format!("permissions = []\nexpires = {written}"));
        let shown = written.replace('\'', "\"");
        let place = "project[1].key[1].expires (line 7)";
        has(read, &format!("{place}: {shown} is not a time such as"));
    }
    assert_eq!(
        key("permissions = []").unwrap().projects[0].keys[0]
            .key
            .expires,
        None
    );
}

#[test]
fn failures_are_a_number_and_0_is_no_limit() {
    let failures = |text: &str| {
        let config = file(&format!("[rate_limit]\nauth_failures = {text}"));
        let failures = config.map(|config| config.rate_limit.auth_failures);
        failures.map(|quota| Some(quota?.requests()))
    };
    assert_eq!(failures("0").unwrap(), None);
    assert_eq!(failures("7").unwrap(), NonZeroU32::new(7));
    let sixty = NonZeroU32::new(60).unwrap();
    assert_eq!(
        Config::default().rate_limit.auth_failures,
        Quota::new(sixty, Duration::from_mins(1), sixty).ok()
    );
    has(
        failures("1000001"),
        "rate_limit.auth_failures (line 2): 1000001 is not a whole number from 0 to 1000000",
    );
}
