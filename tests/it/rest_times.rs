//! Times in all the forms that callers send.

use std::time::Duration;

use serde_json::json;

use crate::harness::Server;

const MILLISECONDS: &str = "looks like milliseconds; send seconds";

/// Sends an event with these fields, and tells the time that it got, to the letter.
async fn stored(server: &Server, number: usize, fields: &str) -> String {
    let event =
        format!(r#"{{"customer_ids":{{"registered":"r{number}"}},"event_type":"t",{fields}}}"#);
    server.accepts("customers/events", &event).await;
    let question =
        format!(r#"{{"customer_ids":{{"registered":"r{number}"}},"event_types":["t"]}}"#);
    let body = server.data("events", &question).send().await.body;
    let (_, time) = body.split_once(r#""timestamp": "#).unwrap();
    time.split(',').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_time_is_kept_to_the_microsecond() {
    let server = Server::start().await;
    let cases = [
        ("1700000000", "1700000000"),
        ("0", "0"),
        ("1700000000.123456789", "1700000000.123456"),
        ("1.7000000005E9", "1700000000.5"),
        ("17e8", "1700000000"),
        ("253402300799.999999", "253402300799.999999"),
        (r#""1700000000.25""#, "1700000000.25"),
        (r#""2018-8-5 12:20:25""#, "1533471625"),
        (r#""2018-08-05T12:20:25.555Z""#, "1533471625.555"),
        (r#""2018-08-05t12:20:25.1234567z""#, "1533471625.123456"),
        (r#""2018-08-05T12:20:25+02:00""#, "1533464425"),
        (r#""2018-08-05 12:20:25.5-01:30""#, "1533477025.5"),
        (r#""Tue, 14 Nov 2023 22:13:20 GMT""#, "1700000000"),
        (r#""Tue, 14 Nov 2023 22:13:20 +0100""#, "1699996400"),
        (r#""2023-11-14 22:13:20 UTC""#, "1700000000"),
        (r#""2023-11-14 22:13:20 GMT""#, "1700000000"),
        (r#""2023-11-14 22:13:20 Z""#, "1700000000"),
        (r#""20231114T221320Z""#, "1700000000"),
        (
            r#""2023-11-14 22:13:20.5 +0000 UTC m=+0.000012""#,
            "1700000000.5",
        ),
        (
            r#""2023-11-14T23:13:20+01:00[Europe/Prague]""#,
            "1700000000",
        ),
        (r#""Tue Nov 14 22:13:20 UTC 2023""#, "1700000000"),
    ];
    for (number, (sent, kept)) in cases.into_iter().enumerate() {
        let fields = format!(r#""timestamp":{sent}"#);
        assert_eq!(stored(&server, number, &fields).await, kept, "{sent}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_time_happened_when_it_was_received() {
    let server = Server::start().await;
    server.clock.advance(Duration::from_millis(1_250));
    for (number, fields) in [
        r#""x":1"#,
        r#""timestamp":null"#,
        r#""timestamp":null,"age":null"#,
    ]
    .into_iter()
    .enumerate()
    {
        server.clock.advance(Duration::from_secs(1));
        let expected = format!("{}.25", 1_700_000_002 + number);
        assert_eq!(stored(&server, number, fields).await, expected);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_age_counts_back_from_the_receipt_unless_there_is_a_timestamp() {
    let server = Server::start().await;
    for (number, (fields, kept)) in [
        (r#""age":0.25"#, "1699999999.75"),
        (r#""age":0.11999988555908203"#, "1699999999.880001"),
        (r#""age":3600"#, "1699996400"),
        (r#""age":0"#, "1700000000"),
        // The clock was set back meanwhile.
        (r#""age":-1"#, "1700000000"),
        (r#""age":-86400.5"#, "1700000000"),
        (r#""age":10,"timestamp":null"#, "1699999990"),
        (r#""age":10,"timestamp":5"#, "5"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(stored(&server, number, fields).await, kept, "{fields}");
    }
    for (age, text) in [
        ("1e30", r#"age: unreadable age "1e30", expected seconds"#),
        ("\"1\"", r#"Field 'age' must be a number, not "1"."#),
    ] {
        let event =
            format!(r#"{{"customer_ids":{{"registered":"a"}},"event_type":"t","age":{age}}}"#);
        let refused = server.track("customers/events", &event).refused().await;
        assert_eq!(refused, (400, text.to_owned()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_none_is_refused_in_its_own_words() {
    let server = Server::start().await;
    for (sent, says) in [
        ("1700000000000", [r#""1700000000000""#, MILLISECONDS]),
        (r#""1700000000000""#, [r#""1700000000000""#, MILLISECONDS]),
        ("1.7e12", [r#""1.7e12""#, MILLISECONDS]),
        (
            "1700000000000000",
            [r#""1700000000000000""#, "microseconds"],
        ),
        ("-1", [r#""-1""#, "outside the years 1970 to 9999"]),
        (
            r#""1969-12-31T23:59:59Z""#,
            [
                r#""1969-12-31T23:59:59Z""#,
                "outside the years 1970 to 9999",
            ],
        ),
        (r#""10000-01-01""#, [r#""10000-01-01""#, "unreadable"]),
        (
            r#""2018-13-01 00:00:00""#,
            [r#""2018-13-01 00:00:00""#, "unreadable"],
        ),
        (r#""yesterday""#, [r#""yesterday""#, "unreadable"]),
        (r#""""#, [r#""""#, "unreadable"]),
        ("true", ["true", "a number or text"]),
        ("[1]", ["[1]", "a number or text"]),
    ] {
        for (route, field) in [
            ("customers", "update_timestamp"),
            ("customers", "timestamp"),
            ("customers/events", "timestamp"),
            ("campaigns/clicks", "timestamp"),
        ] {
            let body = format!(
                r#"{{"customer_ids":{{"registered":"a"}},"event_type":"t","url":"u","{field}":{sent}}}"#
            );
            let answer = server.track(route, &body).send().await;
            let text = answer.refusal().text;
            assert_eq!(answer.status, 400, "{route} {sent}");
            assert!(
                says.iter().all(|says| text.contains(says)),
                "{sent}: {text}"
            );
            assert_eq!(
                answer.json()["details"][0]["fieldViolations"][0]["field"],
                field
            );
        }
    }
    assert!(!server.knows(json!({"registered": "a"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_takes_timestamp_for_update_timestamp_which_wins() {
    let server = Server::start().await;
    let update = |value: &str, times: &str| {
        format!(r#"{{"customer_ids":{{"registered":"a"}},"properties":{{"x":"{value}"}},{times}}}"#)
    };
    for (value, times, stands) in [
        ("first", r#""timestamp":100"#, "first"),
        ("older", r#""timestamp":99"#, "first"),
        ("newer by alias", r#""timestamp":200"#, "newer by alias"),
        (
            "older by its own field",
            r#""update_timestamp":150,"timestamp":300"#,
            "newer by alias",
        ),
        (
            "newer by its own field",
            r#""update_timestamp":250,"timestamp":1"#,
            "newer by its own field",
        ),
        (
            "newest",
            r#""update_timestamp":null,"timestamp":"1970-01-01T00:05:00Z""#,
            "newest",
        ),
    ] {
        server.accepts("customers", &update(value, times)).await;
        let properties = server.properties(json!({"registered": "a"})).await;
        assert_eq!(properties, json!({"x": stands}), "{value}");
    }
    server.stop().await;
}
