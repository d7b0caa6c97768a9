//! All customers of a project at once.

use std::collections::BTreeMap;

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::tracker::COLUMNS_MAX;
use serde_json::{Value, json};
use tonic::{Code, Status, Streaming};

use crate::harness::calls::json as json_of;
use crate::harness::{Answer, OTHER_TOKEN, PRIVATE, PUBLIC, Server, Setup, TOKEN, authorized};

const FORMAT: &str = r#"{"format":"native_json"}"#;

async fn begins(
    server: &Server,
    key: &str,
) -> Result<Streaming<pb::ExportCustomersResponse>, Status> {
    let mut client = CustomerServiceClient::new(server.channel().await);
    let question = pb::ExportCustomersRequest {
        project_token: TOKEN.to_owned(),
    };
    let exported = client.export_customers(authorized(question, key)).await?;
    Ok(exported.into_inner())
}

/// Each customer as text: `kind=value,value kind=value {properties}`, sorted.
async fn all(mut exported: Streaming<pb::ExportCustomersResponse>) -> Vec<String> {
    let mut customers = Vec::new();
    while let Some(customer) = exported.message().await.unwrap() {
        let ids = customer.ids.iter();
        let ids = ids.map(|id| format!("{}={} ", id.r#type, id.values.join(",")));
        let ids = ids.collect::<String>();
        customers.push(ids + &json_of(customer.properties));
    }
    customers.sort_unstable();
    customers
}

/// What the chunks of an answer say together; no chunk has a line break in it.
fn whole(answer: &Answer) -> String {
    let lines = answer.body.split("\r\n");
    lines.skip(1).step_by(2).collect()
}

/// A project with a merged customer, one whose only ID has moved, and one without properties.
async fn known(server: &Server) {
    for (ids, properties) in [
        (json!({"cookie": "c1"}), json!({"first": "Lukas", "age": 5})),
        (
            json!({"registered": "a"}),
            json!({"deep": {"x": [1, null]}}),
        ),
        (
            json!({"registered": "a", "cookie": "c1"}),
            json!({"first": "Luke"}),
        ),
        (
            json!({"cookie": "c2", "registered": "a"}),
            json!({"gone": null}),
        ),
        (json!({"cookie": "c3"}), json!({"lost": true})),
        (json!({"email_id": "B@x.example"}), json!({})),
    ] {
        server
            .updates(&json!({"customer_ids": ids, "properties": properties}))
            .await;
    }
    let path = format!("/track/v2/projects/{OTHER_TOKEN}/customers");
    let other = server
        .post(&path)
        .header("Authorization", "Token other-public-key");
    let other = other.body(r#"{"customer_ids":{"registered":"z"},"properties":{"other":1}}"#);
    assert_eq!(other.send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_customer_of_the_project_is_told_once() {
    let server = Server::start().await;
    known(&server).await;
    assert_eq!(
        all(begins(&server, PRIVATE).await.unwrap()).await,
        [
            r#"cookie=c3 {"lost":true}"#,
            "email_id=b@x.example {}",
            r#"registered=a cookie=c1,c2 {"age":5,"deep":{"x":[1,null]},"first":"Luke","gone":null}"#,
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_ids_first_and_then_every_property() {
    let server = Server::start().await;
    known(&server).await;
    let answer = server.data("export", FORMAT).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = whole(&answer);
    let (fields, data) = body.split_once(r#", "data": "#).unwrap();
    assert_eq!(
        fields,
        r#"{"success": true, "fields": [{"type": "id", "id": "registered"}, {"type": "id", "id": "email_id"}, {"type": "id", "id": "cookie"}, {"type": "property", "property": "age"}, {"type": "property", "property": "deep"}, {"type": "property", "property": "first"}, {"type": "property", "property": "gone"}, {"type": "property", "property": "lost"}]"#
    );
    let mut rows: Vec<Value> = serde_json::from_str(data.strip_suffix('}').unwrap()).unwrap();
    rows.sort_by_key(Value::to_string);
    assert_eq!(
        rows,
        [
            json!(["a", null, ["c1", "c2"], 5, {"x": [1, null]}, "Luke", null, null]),
            json!([null, "b@x.example", [], null, null, null, null, null]),
            json!([null, null, ["c3"], null, null, null, null, true]),
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_table_has_names_in_table_json_and_is_text_in_csv() {
    let server = Server::start().await;
    known(&server).await;
    server
        .updates(&json!({"customer_ids": {"cookie": "c4"}, "properties": {"first": "a \"b\",\n"}}))
        .await;
    let answer = server
        .data("export", r#"{"format":"table_json"}"#)
        .send()
        .await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let table: Value = serde_json::from_str(&whole(&answer)).unwrap();
    let header = json!([
        "registered",
        "email_id",
        "cookie",
        "age",
        "deep",
        "first",
        "gone",
        "lost"
    ]);
    assert_eq!(table["header"], header);
    let native = server.data("export", FORMAT).send().await;
    let native: Value = serde_json::from_str(&whole(&native)).unwrap();
    for same in ["success", "fields", "data"] {
        assert_eq!(table[same], native[same]);
    }
    let answer = server.data("export", r#"{"format":"csv"}"#).send().await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/csv; charset=utf-8"));
    for line in [
        "registered,email_id,cookie,age,deep,first,gone,lost\r\n",
        "a,,\"[\"\"c1\"\", \"\"c2\"\"]\",5,\"{\"\"x\"\":[1,null]}\",Luke,,\r\n",
        ",b@x.example,[],,,,,\r\n",
        ",,\"[\"\"c4\"\"]\",,,\"a \"\"b\"\",\n\",,\r\n",
    ] {
        assert!(answer.body.contains(line), "{line}: {}", answer.body);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_without_customers_has_an_empty_table() {
    let server = Server::start().await;
    let answer = server.data("export", FORMAT).send().await;
    let body = whole(&answer);
    assert!(body.ends_with(r#""id": "cookie"}], "data": []}"#), "{body}");
    assert_eq!(all(begins(&server, PRIVATE).await.unwrap()).await, [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_customers_with_many_ids_are_each_told_once() {
    const COUNT: u32 = 300;
    let server = Server::start().await;
    for ten in 0..COUNT / 10 {
        let command = |number: u32| {
            let command = move |cookie: u32| {
                json!({"name": "customers", "data": {
                "customer_ids": {"registered": number.to_string(), "cookie": format!("{cookie}-{number}")},
                "properties": {"n": number, "long": "x".repeat(10_000)}}})
            };
            (0..3).map(command)
        };
        let commands: Vec<_> = (ten * 10..ten * 10 + 10).flat_map(command).collect();
        let batch = json!({ "commands": commands }).to_string();
        assert_eq!(server.track("batch", &batch).send().await.status, 200);
    }
    let mut exported = begins(&server, PRIVATE).await.unwrap();
    let mut seen = BTreeMap::new();
    while let Some(customer) = exported.message().await.unwrap() {
        assert_eq!(customer.ids[1].values.len(), 3);
        *seen.entry(customer.ids[0].values[0].clone()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), COUNT as usize);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let answer = server.data("export", FORMAT).send().await;
    let body = whole(&answer);
    let table: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(table["data"].as_array().unwrap().len(), COUNT as usize);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_tells_of_one_moment() {
    let server = Server::start().await;
    known(&server).await;
    let exported = begins(&server, PRIVATE).await.unwrap();
    server
        .updates(&json!({"customer_ids": {"registered": "late"}, "properties": {"late": 1}}))
        .await;
    server
        .updates(&json!({"customer_ids": {"cookie": "c3"}, "properties": {"late": 1}}))
        .await;
    let customers = all(exported).await;
    assert_eq!(customers.len(), 3);
    assert!(
        customers.iter().all(|text| !text.contains("late")),
        "{customers:?}"
    );
    assert_eq!(all(begins(&server, PRIVATE).await.unwrap()).await.len(), 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exporting_needs_private_access_with_the_permission() {
    let server = Server::start().await;
    for key in [PUBLIC, "Basic cmVhZC1ub3RoaW5nOnM="] {
        let status = begins(&server, key).await.err().unwrap();
        assert_eq!(status.code(), Code::PermissionDenied);
        let path = format!("/data/v2/projects/{TOKEN}/customers/export");
        let request = server.post(&path).header("Authorization", key).body(FORMAT);
        assert_eq!(request.refused().await, (403, "No permission".to_owned()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_there_is_not_is_refused_by_name() {
    let server = Server::start().await;
    for body in [
        r#"{"format":"xml"}"#,
        r#"{"format":5}"#,
        r#"{"format":null}"#,
        "{}",
    ] {
        let refusal = server.data("export", body).send().await.refusal();
        assert_eq!(
            (refusal.status, refusal.field.as_str()),
            (400, "format"),
            "{body}"
        );
    }
    let unknown_beside = r#"{"format":"native_json","filter":null,"timezone":"UTC"}"#;
    assert_eq!(
        server.data("export", unknown_beside).send().await.status,
        200
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_may_write_can_keep_a_table_from_being_made() {
    let server = Server::start().await;
    server
        .updates(&json!({"customer_ids": {"registered": "b"}, "properties": {"first": "Bea"}}))
        .await;
    // More names than there may be columns, all before the honest one in the order of names.
    for part in 0..4 {
        let properties: BTreeMap<_, _> = (0..255).map(|n| (format!("!{part}-{n}"), n)).collect();
        server
            .updates(&json!({"customer_ids": {"registered": "a"}, "properties": properties}))
            .await;
    }
    let answer = server.data("export", FORMAT).send().await;
    assert_eq!(answer.status, 200, "{:.300}", answer.body);
    let table: Value = serde_json::from_str(&whole(&answer)).unwrap();
    let fields = table["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 3 + COLUMNS_MAX + 1);
    let others = fields.last().unwrap();
    assert_eq!(
        others,
        &json!({"type": "properties", "properties": "others"})
    );
    let first = fields.iter().position(|field| field["property"] == "first");
    let first = first.expect("who was there first keeps its column");
    let rows = table["data"].as_array().unwrap();
    let of = |name: &str| rows.iter().find(|row| row[0] == name).unwrap();
    assert_eq!(of("b")[first], "Bea");
    assert_eq!(of("b")[fields.len() - 1], Value::Null);
    // What has no column is told all the same.
    let others = of("a")[fields.len() - 1].as_object().unwrap();
    assert_eq!(others.len(), 4 * 255 - (COLUMNS_MAX - 1));
    for (name, value) in others {
        assert!(name.ends_with(&format!("-{value}")), "{name}: {value}");
    }
    assert_eq!(all(begins(&server, PRIVATE).await.unwrap()).await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_counts_as_a_watch() {
    let setup = Setup::default().with("[server]\nwatchers_max = 1");
    let server = setup.start().await;
    let watcher = server.watches(crate::harness::watching::now()).await;
    let status = begins(&server, PRIVATE).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(server.data("export", FORMAT).refused().await.0, 503);
    drop(watcher);
    server.stop().await;
}
