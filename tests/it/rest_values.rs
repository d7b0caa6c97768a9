//! Property values: what is kept exactly, and what is refused rather than bent.

use crate::harness::Server;

fn update(properties: &str) -> String {
    format!(r#"{{"customer_ids":{{"registered":"a"}},"properties":{properties}}}"#)
}

/// Why a value of the property `x` is refused.
async fn refused(server: &Server, value: &str) -> (u16, String) {
    let body = update(&format!(r#"{{"x":{value}}}"#));
    server.track("customers", &body).refused().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_keeps_its_json_type() {
    let server = Server::start().await;
    for (sent, read) in [
        ("null", "null"),
        ("true", "true"),
        ("1", "1"),
        ("1.0", "1.0"),
        ("1.0E2", "100.0"),
        ("0.1", "0.1"),
        ("-0.0", "-0.0"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9007199254740993", "9007199254740993"),
        (r#""1""#, r#""1""#),
        (r#""\u0041\ud83d\ude00\n""#, "\"A😀\\n\""),
        ("[]", "[]"),
        ("{}", "{}"),
        (
            r#"[1,[2,{"b":null,"a":[1.5,"x"]}]]"#,
            r#"[1,[2,{"a":[1.5,"x"],"b":null}]]"#,
        ),
    ] {
        server
            .accepts("customers", &update(&format!(r#"{{"x":{sent}}}"#)))
            .await;
        let question = r#"{"customer_ids":{"registered":"a"},"attributes":[{"type":"property","property":"x"}]}"#;
        let answer = server.data("attributes", question).send().await;
        let body =
            format!(r#"{{"success": true, "results": [{{"success": true, "value": {read}}}]}}"#);
        assert_eq!(answer.body, body, "{sent}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integer_beyond_64_bits_is_refused_and_not_rounded() {
    let server = Server::start().await;
    for integer in [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890",
    ] {
        let text =
            format!("property 'x' holds the integer {integer}, which does not fit into 64 bits");
        for value in [
            integer.to_owned(),
            format!("[{integer}]"),
            format!(r#"{{"a":["\"1",{integer}]}}"#),
        ] {
            assert_eq!(
                refused(&server, &value).await,
                (400, text.clone()),
                "{value}"
            );
        }
    }
    server
        .accepts(
            "customers",
            &update(r#"{"x":9.3e18,"y":"9223372036854775808"}"#),
        )
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_json_does_not_have_is_refused() {
    let server = Server::start().await;
    for value in [
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "'a'",
        "\"\u{1}\"",
        "[1,]",
        "{\"a\":1,}",
    ] {
        let refused = refused(&server, value).await;
        assert_eq!(refused, (400, "Invalid JSON".to_owned()), "{value}");
    }
    for value in ["1e400", "-1e400"] {
        let (status, text) = refused(&server, value).await;
        assert_eq!(status, 400, "{value}: {text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stands_twice_in_one_object_is_named() {
    let server = Server::start().await;
    for (body, key) in [
        (update(r#"{"dup":1,"dup":1}"#), "dup"),
        (update(r#"{"x":{"a":[{"dup":1,"b":2,"dup":null}]}}"#), "dup"),
        (update(r#"{"dup":1,"\u0064up":2}"#), "dup"),
        (
            r#"{"customer_ids":{"cookie":"a","cookie":"b"}}"#.to_owned(),
            "cookie",
        ),
        (
            r#"{"customer_ids":{"cookie":"a"},"properties":{},"properties":{}}"#.to_owned(),
            "properties",
        ),
        (
            r#"{"customer_ids":{"cookie":"a"},"customer_ids":{"cookie":"a"}}"#.to_owned(),
            "customer_ids",
        ),
    ] {
        let (status, text) = server.track("customers", &body).refused().await;
        assert_eq!(status, 400, "{body}");
        assert!(text.contains("duplicate") && text.contains(key), "{text}");
    }
    server
        .accepts("customers", &update(r#"{"x":{"a":1},"y":{"a":1}}"#))
        .await;
    server.stop().await;
}
