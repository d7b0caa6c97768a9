//! Which values name a customer.

use serde_json::{Value, json};

use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;

use crate::harness::calls::event;
use crate::harness::{PUBLIC, Server, Setup, TOKEN, authorized};

const NO_ID: &str = "At least one id should be specified.";

fn update(ids: &str) -> String {
    format!(r#"{{"customer_ids":{ids},"properties":{{}}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_usable_id_is_refused() {
    let server = Server::start().await;
    for ids in [
        "{}",
        "null",
        r#"{"registered":null}"#,
        r#"{"registered":""}"#,
        r#"{"registered":"  "}"#,
        r#"{"registered":"null"}"#,
        r#"{"registered":"undefined","cookie":" null "}"#,
        r#"{"registered":"--","cookie":"?!"}"#,
    ] {
        let refused = server.track("customers", &update(ids)).refused().await;
        assert_eq!(refused, (400, NO_ID.to_owned()), "{ids}");
    }
    let refused = server
        .track("customers", r#"{"properties":{}}"#)
        .refused()
        .await;
    assert_eq!(refused, (400, NO_ID.to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_id_is_skipped_beside_a_usable_one() {
    let server = Server::start().await;
    for unusable in ["null", "\"\"", "\"undefined\"", "\"***\""] {
        let ids = format!(r#"{{"registered":{unusable},"cookie":"c"}}"#);
        server.accepts("customers", &update(&ids)).await;
    }
    let customer = server.customer(json!({"cookie": "c"})).await;
    assert_eq!(customer["ids"], json!({"cookie": ["c"]}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_json_type_is_refused() {
    let server = Server::start().await;
    for value in ["true", "[\"a\"]", "{}", "1.5", "1e-3"] {
        let ids = format!(r#"{{"registered":{value},"cookie":"c"}}"#);
        let text =
            format!("customer ID 'registered' must be a string or a whole number, not {value}");
        let refused = server.track("customers", &update(&ids)).refused().await;
        assert_eq!(refused, (400, text), "{value}");
    }
    for ids in ["[]", "\"a\"", "5"] {
        let text = format!("Field 'customer_ids' must be an object, not {ids}.");
        let refused = server.track("customers", &update(ids)).refused().await;
        assert_eq!(refused, (400, text), "{ids}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integer_is_the_same_id_as_its_decimal_text() {
    let server = Server::start().await;
    for (integer, text) in [
        ("12", "12"),
        ("-7", "-7"),
        ("9007199254740993", "9007199254740993"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
    ] {
        let ids = format!(r#"{{"registered":{integer}}}"#);
        server.accepts("customers", &update(&ids)).await;
        let customer = server.customer(json!({"registered": text})).await;
        assert_eq!(customer["ids"]["registered"], Value::from(text));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_trimmed_and_lower_cased_if_its_type_says_so() {
    let server = Server::start().await;
    let ids = r#"{"registered":"  Jane ","email_id":" Jane@Example.COM\n"}"#;
    server.accepts("customers", &update(ids)).await;
    let customer = server
        .customer(json!({"email_id": "JANE@example.com"}))
        .await;
    assert_eq!(
        customer["ids"],
        json!({"registered": "Jane", "email_id": "jane@example.com"})
    );
    assert!(!server.knows(json!({"registered": "jane"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_type_is_named_beside_the_listed_ones() {
    let server = Server::start().await;
    let text = "unknown customer ID type 'phone', known: registered, email_id, cookie";
    for ids in [r#"{"phone":"1"}"#, r#"{"registered":"a","phone":""}"#] {
        let refused = server.track("customers", &update(ids)).refused().await;
        assert_eq!(refused, (400, text.to_owned()), "{ids}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_has_at_most_256_characters() {
    let server = Server::start().await;
    let ids = |chars| json!({"registered": "é".repeat(chars)}).to_string();
    server.accepts("customers", &update(&ids(256))).await;
    let refused = server
        .track("customers", &update(&ids(257)))
        .refused()
        .await;
    let text = "customer ID 'registered' is too long: 257 characters, at most 256";
    assert_eq!(refused, (400, text.to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_whose_programs_write_the_same_nothing_stay_apart() {
    let server = Server::start().await;
    for nothing in [
        "NULL",
        "(null)",
        "UNDEFINED",
        "None",
        "nil",
        "NaN",
        "[object Object]",
        "00000000-0000-0000-0000-000000000000",
    ] {
        for cookie in ["c-1", "c-2"] {
            let ids = format!(r#"{{"registered":"{nothing}","cookie":"{cookie}"}}"#);
            server.accepts("customers", &update(&ids)).await;
        }
    }
    for cookie in ["c-1", "c-2"] {
        let customer = server.customer(json!({"cookie": cookie})).await;
        assert_eq!(customer["ids"], json!({"cookie": [cookie]}));
    }
    server.stop().await;
}

/// A project like the harness's, with other settings for IDs.
fn project(settings: &str) -> Setup {
    Setup::default().projects(&format!(
        r#"
        [[project]]
        token = "{TOKEN}"
        {settings}
        [[project.key]]
        public = "public-key"
        permissions = ["customers:set", "events:set"]
        [[project.key]]
        id = "key-id"
        secrets = ["key-secret"]
        permissions = ["customers:set", "events:set", "customers:get", "events:get"]
        "#
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_says_itself_which_values_name_nobody() {
    let server = project(r#"unusable_ids = ["guest"]"#).start().await;
    let refused = server
        .track("customers", &update(r#"{"registered":"GUEST"}"#))
        .refused()
        .await;
    assert_eq!(refused, (400, NO_ID.to_owned()));
    server
        .accepts("customers", &update(r#"{"registered":"none"}"#))
        .await;
    // It is in force as soon as the settings are read again.
    server.reloads(&project(r#"unusable_ids = ["none"]"#));
    let refused = server
        .track("customers", &update(r#"{"registered":"none"}"#))
        .refused()
        .await;
    assert_eq!(refused, (400, NO_ID.to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unlisted_types_may_be_passed_over_in_both_protocols_and_are_counted() {
    let server = project(r#"unlisted_ids = "skip""#).start().await;
    let ids = r#"{"registered":"a","phone":"1"}"#;
    server.accepts("customers", &update(ids)).await;
    let command = format!(
        r#"{{"commands":[{{"name":"customers","data":{}}}]}}"#,
        update(ids)
    );
    let batch = server.track("batch", &command).send().await.json();
    assert_eq!(batch["results"][0]["success"], true, "{batch}");
    let question = format!(r#"{{"customer_ids":{ids},"event_types":["visit"]}}"#);
    assert_eq!(server.data("events", &question).send().await.status, 200);
    let mut client = TrackingServiceClient::new(server.channel().await);
    let mut message = event("visit");
    message.customer_ids = [("registered", "a"), ("phone", "1")]
        .map(|(kind, id)| (kind.to_owned(), id.to_owned()))
        .into();
    client.add_event(authorized(message, PUBLIC)).await.unwrap();
    let customer = server.customer(json!({"registered": "a"})).await;
    assert_eq!(customer["ids"], json!({"registered": "a"}));
    assert_eq!(server.counted("footfall_unlisted_ids_total").await, 4);
    // Alone it names nobody that the project knows.
    let refused = server
        .track("customers", &update(r#"{"phone":"1"}"#))
        .refused()
        .await;
    let text = "unknown customer ID type 'phone', known: registered, cookie";
    assert_eq!(refused, (400, text.to_owned()));
    drop(client);
    server.stop().await;
}
