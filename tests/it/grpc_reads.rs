//! The rpcs that read.

use footfall::grpc::pb;
use footfall::grpc::pb::attribute::Attribute;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::calls::{ids, json as json_of, time, value_json, violations};
use crate::harness::{PRIVATE, Server, TOKEN, authorized};

async fn client(server: &Server) -> CustomerServiceClient<Channel> {
    CustomerServiceClient::new(server.channel().await)
}

/// A customer with two IDs, properties and three events, sent over REST.
async fn known(server: &Server) {
    server.accepts("customers", r#"{"customer_ids":{"registered":"a","cookie":"c"},"properties":{"n":9007199254740993,"f":1.0,"gone":null}}"#).await;
    for (event_type, time) in [("visit", 30), ("buy", 20), ("visit", 10)] {
        server.adds(&json!({"customer_ids": {"registered": "a"}, "event_type": event_type, "timestamp": time, "properties": {"at": time}})).await;
    }
}

fn list(event_types: &[&str]) -> pb::ListEventsRequest {
    pb::ListEventsRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        event_types: event_types.iter().map(|name| (*name).to_owned()).collect(),
        order: pb::Order::Unspecified.into(),
        limit: None,
        skip: 0,
        page_token: String::new(),
    }
}

async fn lists(server: &Server, question: pb::ListEventsRequest) -> Result<Vec<i64>, Status> {
    let answer = client(server)
        .await
        .list_events(authorized(question, PRIVATE))
        .await?;
    let events = answer.into_inner().events.into_iter();
    Ok(events
        .map(|event| event.timestamp.unwrap().seconds)
        .collect())
}

async fn gets(
    server: &Server,
    key: &str,
    customer: &[(&str, &str)],
) -> Result<pb::GetCustomerResponse, Status> {
    let question = pb::GetCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(customer),
        ..Default::default()
    };
    let answer = client(server)
        .await
        .get_customer(authorized(question, key))
        .await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_read_with_ids_properties_and_events() {
    let server = Server::start().await;
    known(&server).await;
    let customer = gets(&server, PRIVATE, &[("cookie", "c")]).await.unwrap();
    let id = |kind: &str, value: &str, soft| pb::CustomerId {
        r#type: kind.to_owned(),
        values: vec![value.to_owned()],
        soft,
    };
    assert_eq!(
        customer.ids,
        [id("registered", "a", false), id("cookie", "c", true)]
    );
    assert_eq!(
        json_of(customer.properties),
        r#"{"f":1.0,"gone":null,"n":9007199254740993}"#
    );
    let times: Vec<_> = customer
        .events
        .iter()
        .map(|event| event.timestamp)
        .collect();
    assert_eq!(times, [time(10, 0), time(20, 0), time(30, 0)]);
    assert_eq!(customer.events[1].r#type, "buy");
    assert_eq!(
        json_of(customer.events[1].properties.clone()),
        r#"{"at":20}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_keep_their_order_and_their_types() {
    let server = Server::start().await;
    known(&server).await;
    let property = |name: &str| Attribute::Property(name.to_owned());
    let id = |kind: &str| Attribute::Id(kind.to_owned());
    let asked = [
        property("n"),
        property("f"),
        property("nothing"),
        id("registered"),
        id("cookie"),
        id("email_id"),
        id("phone"),
    ];
    let question = pb::GetAttributesRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        attributes: asked
            .map(|attribute| pb::Attribute {
                attribute: Some(attribute),
            })
            .to_vec(),
    };
    let answer = client(&server)
        .await
        .get_attributes(authorized(question, PRIVATE))
        .await;
    let mut results = answer.unwrap().into_inner().results;
    let error = results.pop().unwrap().error.unwrap();
    assert_eq!(error.code, Code::InvalidArgument as i32);
    assert_eq!(
        error.message,
        "unknown customer ID type 'phone', known: registered, email_id, cookie"
    );
    let values: Vec<_> = results
        .iter()
        .map(|result| value_json(result.value.as_ref().unwrap()))
        .collect();
    assert_eq!(
        values,
        [
            "9007199254740993",
            "1.0",
            "null",
            r#""a""#,
            r#"["c"]"#,
            "null"
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_that_names_nothing_is_refused() {
    let server = Server::start().await;
    known(&server).await;
    let question = pb::GetAttributesRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        attributes: vec![pb::Attribute { attribute: None }],
    };
    let status = client(&server)
        .await
        .get_attributes(authorized(question, PRIVATE))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(violations(&status)[0].0, "attributes");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_by_type_order_and_page() {
    let server = Server::start().await;
    known(&server).await;
    let desc = pb::Order::Desc.into();
    let asc = pb::Order::Asc.into();
    for (question, times) in [
        (list(&["visit"]), vec![10, 30]),
        (list(&["visit", "buy"]), vec![10, 20, 30]),
        (
            pb::ListEventsRequest {
                order: asc,
                ..list(&["buy", "visit"])
            },
            vec![10, 20, 30],
        ),
        (
            pb::ListEventsRequest {
                order: desc,
                ..list(&["buy", "visit"])
            },
            vec![30, 20, 10],
        ),
        (
            pb::ListEventsRequest {
                limit: Some(1),
                skip: 1,
                ..list(&["buy", "visit"])
            },
            vec![20],
        ),
        (
            pb::ListEventsRequest {
                skip: 9,
                ..list(&["visit"])
            },
            vec![],
        ),
    ] {
        assert_eq!(lists(&server, question).await.unwrap(), times);
    }
    for (question, field) in [
        (list(&[]), "event_types"),
        (
            pb::ListEventsRequest {
                limit: Some(0),
                ..list(&["visit"])
            },
            "limit",
        ),
        (
            pb::ListEventsRequest {
                limit: Some(10_001),
                ..list(&["visit"])
            },
            "limit",
        ),
        (
            pb::ListEventsRequest {
                order: 7,
                ..list(&["visit"])
            },
            "order",
        ),
    ] {
        let status = lists(&server, question).await.unwrap_err();
        assert_eq!(
            (status.code(), violations(&status)[0].0.as_str()),
            (Code::InvalidArgument, field)
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_customer_is_not_found() {
    let server = Server::start().await;
    known(&server).await;
    let status = gets(&server, PRIVATE, &[("registered", "nobody")])
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "Customer does not exist")
    );
    let nobody = pb::ListEventsRequest {
        customer_ids: ids(&[("cookie", "nobody")]),
        ..list(&["visit"])
    };
    assert_eq!(
        lists(&server, nobody).await.unwrap_err().code(),
        Code::NotFound
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_needs_a_usable_id() {
    let server = Server::start().await;
    for customer in [&[][..], &[("cookie", "")], &[("registered", "undefined")]] {
        let status = gets(&server, PRIVATE, customer).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let text = "Must specify at least one customer ID";
        assert_eq!(
            violations(&status),
            [("customer_ids".to_owned(), text.to_owned())]
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_needs_private_access_with_the_permission() {
    let server = Server::start().await;
    known(&server).await;
    // read-nothing:s
    for key in ["Token public-key", "Basic cmVhZC1ub3RoaW5nOnM="] {
        let status = gets(&server, key, &[("registered", "a")])
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "No permission")
        );
    }
    server.stop().await;
}
