//! Answers of bounded size, which anyone who writes cannot make impossible.

use std::collections::{BTreeMap, BTreeSet};

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::harness::calls::ids;
use crate::harness::{PRIVATE, Server, Setup, TOKEN, authorized, eventually};

/// What a client takes unless it is told otherwise, with what gRPC puts before a message.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024 - 5;
/// What a body over REST may have.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const EVENTS: usize = 200;
const PROPERTIES: usize = 300;

/// A customer with more events than any answer holds, all of one moment, and with more properties than a message.
async fn large_customer(server: &Server) {
    let text = "x".repeat(16_000);
    for part in 0..EVENTS / 50 {
        let command = |number: usize| {
            let filler = (0..6).map(|n| (format!("filler-{n}"), json!(text)));
            let mut properties: BTreeMap<_, _> = filler.collect();
            properties.insert("n".to_owned(), json!(part * 50 + number));
            json!({"name": "customers/events", "data": {"customer_ids": {"registered": "a"},
                "event_type": "visit", "timestamp": 10, "properties": properties}})
        };
        let batch = json!({"commands": (0..50).map(command).collect::<Vec<_>>()});
        writes(server, &batch).await;
    }
    for part in 0..PROPERTIES / 50 {
        let names = (0..50).map(|n| (format!("p-{part}-{n:02}"), json!(text)));
        let properties: BTreeMap<_, _> = names.collect();
        let (first, second): (Vec<_>, Vec<_>) = properties
            .into_iter()
            .partition(|(name, _)| *name < format!("p-{part}-25"));
        let command = |properties: Vec<(String, Value)>| {
            let properties: BTreeMap<_, _> = properties.into_iter().collect();
            json!({"name": "customers", "data": {"customer_ids": {"registered": "a"}, "properties": properties}})
        };
        writes(
            server,
            &json!({"commands": [command(first), command(second)]}),
        )
        .await;
    }
}

async fn writes(server: &Server, batch: &Value) {
    let answer = server.track("batch", &batch.to_string()).send().await;
    assert_eq!(answer.status, 200, "{:.300}", answer.body);
    let results = answer.json();
    let results = results["results"].as_array().unwrap();
    assert!(
        results.iter().all(|result| result["success"] == true),
        "{results:?}"
    );
}

fn numbers(events: impl Iterator<Item = Value>) -> Vec<usize> {
    let numbers = events.map(|event| event["n"].as_u64().unwrap());
    numbers
        .map(|number| usize::try_from(number).unwrap())
        .collect()
}

fn number(event: &pb::Event) -> Value {
    let properties = event.properties.clone().unwrap();
    serde_json::from_str(&crate::harness::calls::json(Some(properties))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_of_any_size_is_read_in_answers_of_bounded_size() {
    let server = Server::start().await;
    large_customer(&server).await;
    in_messages(&server).await;
    over_rest(&server).await;
    server.stop().await;
}

async fn in_messages(server: &Server) {
    let mut client = CustomerServiceClient::new(server.channel().await);
    let question = pb::GetCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        ..Default::default()
    };
    let refused = client
        .get_customer(authorized(question.clone(), PRIVATE))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(
        refused.message().contains("'paged'"),
        "{}",
        refused.message()
    );

    let (mut names, mut events, mut pages) = (BTreeSet::new(), Vec::new(), 0);
    let mut question = pb::GetCustomerRequest {
        paged: true,
        ..question
    };
    loop {
        let page = client
            .get_customer(authorized(question.clone(), PRIVATE))
            .await;
        let page = page.unwrap().into_inner();
        assert!(page.encoded_len() <= MESSAGE_BYTES_MAX);
        assert_eq!(page.ids[0].values, ["a"]);
        let properties = page.properties.unwrap().trusted();
        names.extend(properties.entries().map(|(name, _)| name.to_owned()));
        events.extend(page.events.iter().map(number));
        pages += 1;
        question.page_token = page.next_page_token;
        if question.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), PROPERTIES);
    assert_eq!(numbers(events.into_iter()), (0..EVENTS).collect::<Vec<_>>());
    assert!((6..=10).contains(&pages), "{pages}");

    for order in [pb::Order::Asc, pb::Order::Desc] {
        let mut question = pb::ListEventsRequest {
            project_token: TOKEN.to_owned(),
            customer_ids: ids(&[("registered", "a")]),
            event_types: vec!["visit".to_owned()],
            order: order.into(),
            skip: 7,
            ..Default::default()
        };
        let mut events = Vec::new();
        loop {
            let page = client
                .list_events(authorized(question.clone(), PRIVATE))
                .await;
            let page = page.unwrap().into_inner();
            assert!(page.encoded_len() <= MESSAGE_BYTES_MAX);
            events.extend(page.events.iter().map(number));
            question.page_token = page.next_page_token;
            if question.page_token.is_empty() {
                break;
            }
        }
        let mut expected: Vec<_> = (0..EVENTS).collect();
        if order == pb::Order::Desc {
            expected.reverse();
        }
        assert_eq!(numbers(events.into_iter()), expected[7..], "{order:?}");
    }

    // The export's row is larger than a message, too.
    let question = pb::ExportCustomersRequest {
        project_token: TOKEN.to_owned(),
    };
    let exported = client.export_customers(authorized(question, PRIVATE)).await;
    let mut exported = exported.unwrap().into_inner();
    let (mut names, mut more) = (BTreeSet::new(), Vec::new());
    while let Some(message) = exported.message().await.unwrap() {
        assert!(message.encoded_len() <= MESSAGE_BYTES_MAX);
        let properties = message.properties.unwrap().trusted();
        names.extend(properties.entries().map(|(name, _)| name.to_owned()));
        more.push(message.more);
    }
    assert_eq!((names.len(), more), (PROPERTIES, vec![true, false]));
}

async fn over_rest(server: &Server) {
    let whole = server.data("export-one", r#"{"customer_ids":{"registered":"a"}}"#);
    let refusal = whole.send().await.refusal();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (400, "OUT_OF_RANGE")
    );
    for (route, rest) in [
        ("export-one", r#""paged":true"#),
        ("events", r#""event_types":["visit"]"#),
        ("events", r#""event_types":["visit"],"limit":10000"#),
    ] {
        let (mut names, mut events, mut token) = (BTreeSet::new(), Vec::new(), String::new());
        loop {
            let body =
                format!(r#"{{"customer_ids":{{"registered":"a"}},{rest},"page_token":"{token}"}}"#);
            let answer = server.data(route, &body).send().await;
            assert_eq!(answer.status, 200, "{:.300}", answer.body);
            assert!(answer.body.len() <= BODY_BYTES_MAX);
            let mut page = answer.json();
            if let Some(properties) = page["properties"].as_object() {
                names.extend(properties.keys().cloned());
            }
            for list in ["events", "data"] {
                let list = page[list].as_array_mut().map(std::mem::take);
                let list = list.into_iter().flatten();
                events.extend(list.map(|mut event| event["properties"].take()));
            }
            match page["next_page_token"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert!(!token.is_empty(), "otherwise it proves nothing");
        assert_eq!(numbers(events.into_iter()), (0..EVENTS).collect::<Vec<_>>());
        assert!(route == "events" || names.len() == PROPERTIES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_counted_until_their_caller_has_gone() {
    let setup = "[server]\nanswers_per_key_bytes_max = \"1MiB\"\nrequest_timeout = \"1s\"";
    let server = Setup::default().with(setup).start().await;
    // More than what the system itself takes for a connection.
    let text = "x".repeat(16_000);
    for part in 0..16 {
        let command = |number: usize| {
            let properties: BTreeMap<_, _> = (0..6).map(|n| (n.to_string(), &text)).collect();
            json!({"name": "customers/events", "data": {"customer_ids": {"registered": "a"},
                "event_type": "visit", "timestamp": part * 10 + number, "properties": properties}})
        };
        writes(
            &server,
            &json!({"commands": (0..10).map(command).collect::<Vec<_>>()}),
        )
        .await;
    }
    let body = r#"{"customer_ids":{"registered":"a"}}"#;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /data/v2/projects/{TOKEN}/customers/export-one HTTP/1.1\r\nHost: x\r\nAuthorization: {PRIVATE}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    silent.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 9];
    silent.read_exact(&mut first).await.unwrap();
    let small = || {
        let body =
            r#"{"customer_ids":{"registered":"a"},"attributes":[{"type":"id","id":"registered"}]}"#;
        server.data("attributes", body).send()
    };
    let refusal = small().await.refusal();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (503, "UNAVAILABLE")
    );
    let refused = r#"footfall_guard_rejections_total{guard="answers_bytes_max"}"#;
    assert_eq!(server.counted(refused).await, 1);
    drop(silent);
    // The service learns of it when it writes on.
    eventually("the answer is given back", async || {
        (small().await.status == 200).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_no_answer_holds_are_read_some_at_a_time() {
    let server = Server::start().await;
    // Canonical numbers take three times as much as their text.
    let list = vec![1.5; 4_000];
    for part in 0..5 {
        let names = (0..25).map(|n| (format!("{part}-{n}"), json!(list)));
        let properties: BTreeMap<_, _> = names.collect();
        server
            .updates(&json!({"customer_ids": {"registered": "a"}, "properties": properties}))
            .await;
    }
    let mut client = CustomerServiceClient::new(server.channel().await);
    let question = |parts: std::ops::Range<usize>| {
        let names = parts.flat_map(|part| (0..25).map(move |n| format!("{part}-{n}")));
        let attributes = names.map(|name| pb::Attribute {
            attribute: Some(pb::attribute::Attribute::Property(name)),
        });
        let question = pb::GetAttributesRequest {
            project_token: TOKEN.to_owned(),
            customer_ids: ids(&[("registered", "a")]),
            attributes: attributes.collect(),
        };
        authorized(question, PRIVATE)
    };
    let refused = client.get_attributes(question(0..5)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(refused.message().contains("fewer"), "{}", refused.message());
    let read = client
        .get_attributes(question(0..3))
        .await
        .unwrap()
        .into_inner();
    assert!(read.encoded_len() <= MESSAGE_BYTES_MAX);
    assert!(read.results.iter().all(|result| result.error.is_none()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_answer_gave_is_refused_by_its_value() {
    let server = Server::start().await;
    server
        .adds(&json!({"customer_ids": {"registered": "a"}, "event_type": "visit"}))
        .await;
    for (route, rest) in [
        ("export-one", ""),
        ("events", r#","event_types":["visit"]"#),
    ] {
        for token in [r#""AAAA""#, "5", r#""é""#] {
            let body =
                format!(r#"{{"customer_ids":{{"registered":"a"}},"page_token":{token}{rest}}}"#);
            let refusal = server.data(route, &body).send().await.refusal();
            let told = (refusal.status, refusal.field.as_str());
            assert_eq!(told, (400, "page_token"), "{route} {token}");
        }
    }
    let body = r#"{"customer_ids":{"registered":"a"},"paged":"yes"}"#;
    let refusal = server.data("export-one", body).send().await.refusal();
    assert_eq!((refusal.status, refusal.field.as_str()), (400, "paged"));
    server.stop().await;
}
