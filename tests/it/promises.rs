//! What an answer promises: that it is true when it comes, also when the call is sent twice, twice at once, or with
//! another command between.

use std::time::Duration;

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::calls::{self, event, ids, time, update};
use crate::harness::watching::beginning;
use crate::harness::{PRIVATE, Server, Setup, TOKEN, authorized};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgets {
    Anonymizes,
    Erases,
}

use Forgets::{Anonymizes, Erases};

async fn forgets(server: &Server, how: Forgets, customer: &[(&str, &str)]) -> Result<(), Status> {
    let mut client = CustomerServiceClient::new(server.channel().await);
    let (project_token, customer_ids) = (TOKEN.to_owned(), ids(customer));
    match how {
        Anonymizes => {
            let request = pb::AnonymizeCustomerRequest {
                project_token,
                customer_ids,
            };
            let answer = client
                .anonymize_customer(authorized(request, PRIVATE))
                .await;
            answer.map(drop)
        }
        Erases => {
            let request = pb::EraseCustomerRequest {
                project_token,
                customer_ids,
            };
            let answer = client.erase_customer(authorized(request, PRIVATE)).await;
            answer.map(drop)
        }
    }
}

fn code(answer: Result<(), Status>) -> Code {
    answer.map_or_else(|status| status.code(), |()| Code::Ok)
}

async fn visits(server: &Server, customer: Value, event_type: &str) {
    server
        .adds(&json!({"customer_ids": customer, "event_type": event_type}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_begins_after_an_erasure_shows_nothing_of_it() {
    let server = Setup::default()
        .with("[data]\nerase_within = \"24h\"")
        .start()
        .await;
    let customer = |n: usize| json!({"registered": format!("a-{n}")});
    for n in 0..40 {
        visits(&server, customer(n), "erased").await;
        let name = format!("a-{n}");
        forgets(&server, Erases, &[("registered", &name)])
            .await
            .unwrap();
        assert_eq!(server.counted("footfall_data_remains").await, 1);
        let mut watch = server.watches(beginning()).await;
        visits(&server, json!({"cookie": "marker"}), "marker").await;
        for _ in 0..=n {
            assert_eq!(watch.event().await.0.r#type, "marker");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_begins_after_an_anonymisation_tells_no_id() {
    let server = Server::start().await;
    for n in 0..40 {
        let name = format!("a-{n}");
        let mut watch = server.watches(crate::harness::watching::now()).await;
        visits(&server, json!({"registered": name}), "visit").await;
        watch.event().await;
        forgets(&server, Anonymizes, &[("registered", &name)])
            .await
            .unwrap();
        let mut watch = server.watches(beginning()).await;
        for _ in 0..=n {
            assert_eq!(watch.event().await.1, []);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_several_customers_forget_nobody() {
    let server = Server::start().await;
    visits(&server, json!({"registered": "a"}), "visit").await;
    visits(&server, json!({"cookie": "c"}), "visit").await;
    for how in [Anonymizes, Erases] {
        let status = forgets(&server, how, &[("registered", "a"), ("cookie", "c")]).await;
        let status = status.unwrap_err();
        let text =
            "the customer IDs name several customers, by the types registered, cookie; name one";
        assert_eq!(
            (status.code(), status.message()),
            (Code::FailedPrecondition, text)
        );
    }
    let body = r#"{"customer_ids":{"registered":"a","cookie":"c"}}"#;
    let answer = server.data("anonymize", body).send().await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (400, Some("FAILED_PRECONDITION"))
    );
    assert!(server.knows(json!({"registered": "a"})).await);
    assert!(server.knows(json!({"cookie": "c"})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_by_several_ids_names_one_customer_who_has_them_or_nobody() {
    let server = Server::start().await;
    visits(&server, json!({"registered": "a", "cookie": "c"}), "visit").await;
    visits(&server, json!({"cookie": "d"}), "visit").await;
    for known in [
        json!({"registered": "a"}),
        json!({"registered": "a", "cookie": "c"}),
        // A cookie that nobody has yet.
        json!({"registered": "a", "cookie": "new"}),
    ] {
        assert!(server.knows(known).await);
    }
    for unknown in [
        json!({"registered": "nobody", "cookie": "c"}),
        json!({"registered": "a", "email_id": "nobody"}),
        json!({"registered": "a", "cookie": "d"}),
        json!({"registered": "nobody", "cookie": "d"}),
    ] {
        let question = json!({"customer_ids": unknown, "attributes": [], "event_types": ["visit"]});
        for route in ["export-one", "attributes", "events"] {
            let answer = server.data(route, &question.to_string()).send().await;
            assert_eq!(answer.status, 404, "{route} {unknown}: {}", answer.body);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_twice_in_a_row_finds_nobody_the_second_time() {
    let server = Server::start().await;
    for how in [Anonymizes, Erases] {
        visits(&server, json!({"registered": "a", "cookie": "c"}), "visit").await;
        visits(&server, json!({"registered": "b"}), "visit").await;
        let asks = [("registered", "a"), ("cookie", "c")];
        assert_eq!(code(forgets(&server, how, &asks).await), Code::Ok);
        assert_eq!(code(forgets(&server, how, &asks).await), Code::NotFound);
        assert!(server.knows(json!({"registered": "b"})).await);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_twice_at_once_takes_one_customer_and_nobody_who_comes_meanwhile() {
    let server = Server::start().await;
    for how in [Anonymizes, Erases] {
        for n in 0..20 {
            let name = format!("{how:?}-{n}");
            let customer = json!({"registered": name});
            visits(&server, customer.clone(), "before").await;
            let asks = [("registered", name.as_str())];
            let (first, second) =
                tokio::join!(forgets(&server, how, &asks), forgets(&server, how, &asks));
            let answers = [code(first), code(second)];
            assert!(answers.contains(&Code::Ok), "{answers:?}");
            assert!(
                answers
                    .iter()
                    .all(|code| matches!(code, Code::Ok | Code::NotFound))
            );
            assert!(!server.knows(customer.clone()).await);
            visits(&server, customer.clone(), "after").await;
            assert_eq!(server.timeline(customer).await, ["after"]);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_not_take_whoever_has_got_the_cookie_since() {
    let server = Server::start().await;
    for how in [Anonymizes, Erases] {
        visits(&server, json!({"registered": "a", "cookie": "c"}), "visit").await;
        let asks = [("registered", "a"), ("cookie", "c")];
        forgets(&server, how, &asks).await.unwrap();
        visits(&server, json!({"cookie": "c"}), "somebody else").await;
        // The anonymous one of the round before goes with the erasure.
        assert_eq!(
            code(forgets(&server, how, &asks).await),
            Code::NotFound,
            "{how:?}"
        );
        assert_eq!(
            server.timeline(json!({"cookie": "c"})).await,
            ["somebody else"]
        );
        forgets(&server, how, &[("cookie", "c")]).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_customer_can_be_erased_by_the_ids_that_it_had() {
    let server = Server::start().await;
    visits(&server, json!({"registered": "a", "cookie": "c"}), "secret").await;
    visits(&server, json!({"registered": "b"}), "visit").await;
    let asks = [("registered", "a")];
    forgets(&server, Anonymizes, &asks).await.unwrap();
    assert_eq!(
        code(forgets(&server, Erases, &[("cookie", "c")]).await),
        Code::NotFound
    );
    assert_eq!(
        code(forgets(&server, Anonymizes, &asks).await),
        Code::NotFound
    );
    // Neither a restart nor a new fold forgets the way.
    let dir = server.stop().await;
    std::fs::remove_dir_all(dir.path().join("data/view")).unwrap();
    let server = Setup::default().start_in(dir).await;
    let mut watch = server.watches(beginning()).await;
    assert_eq!(watch.tells(2).await, ["secret", "visit"]);
    forgets(&server, Erases, &asks).await.unwrap();
    let mut watch = server.watches(beginning()).await;
    assert_eq!(watch.tells(1).await, ["visit"]);
    assert_eq!(code(forgets(&server, Erases, &asks).await), Code::NotFound);
    server.clock.advance(Duration::from_hours(24));
    server.falls_to("footfall_data_remains", 0).await;
    assert_eq!(
        crate::erase::files_with(&server.data_dir(), "secret"),
        [""; 0]
    );
    server.stop().await;
}

/// Sends a write, each time as it was before: with its own times.
async fn writes(server: &Server, way: usize) {
    let time = 1_700_000_000 + way;
    let customer = json!({"registered": format!("w-{way}")});
    let event = json!({"customer_ids": customer, "event_type": "visit", "timestamp": time});
    let update =
        json!({"customer_ids": customer, "properties": {"x": way}, "update_timestamp": time});
    let click = json!({"customer_ids": customer, "url": "https://x", "timestamp": time});
    let batch = json!({"commands": [{"name": "customers", "data": update},
        {"name": "customers/events", "data": event}, {"name": "campaigns/clicks", "data": click}]});
    match way {
        0 => server.adds(&event).await,
        1 => server.updates(&update).await,
        2 => server.accepts("campaigns/clicks", &click.to_string()).await,
        3 => {
            let answer = server.track("batch", &batch.to_string()).send().await;
            assert!(!answer.body.contains("false"), "{}", answer.body);
        }
        4 => {
            let mut lane = server
                .opens(crate::harness::PUBLIC, "203.0.113.7")
                .await
                .unwrap();
            let event = pb::AddEventRequest {
                customer_ids: ids(&[("registered", &format!("w-{way}"))]),
                timestamp: crate::harness::calls::time(time as i64, 0),
                ..crate::harness::calls::event("visit")
            };
            let command = pb::Command {
                command_id: String::new(),
                command: Some(pb::command::Command::AddEvent(event)),
            };
            lane.send(TOKEN, command).await;
            assert_eq!(lane.result().await.1.error, None);
            lane.closed().await.unwrap();
        }
        _ => unary(server, way).await.unwrap(),
    }
}

/// As [`writes`], by an rpc that takes one message.
async fn unary(server: &Server, way: usize) -> Result<(), Status> {
    let mut client = TrackingServiceClient::new(server.channel().await);
    let (name, timestamp) = (format!("w-{way}"), time(1_700_000_000 + way as i64, 0));
    let customer_ids = ids(&[("registered", &name)]);
    let update = pb::UpdateCustomerRequest {
        customer_ids: customer_ids.clone(),
        update_timestamp: timestamp,
        ..update(r#"{"x":1}"#)
    };
    let event = pb::AddEventRequest {
        customer_ids: customer_ids.clone(),
        timestamp,
        ..event("visit")
    };
    let click = pb::TrackCampaignClickRequest {
        project_token: TOKEN.to_owned(),
        customer_ids,
        url: "https://x".to_owned(),
        properties: None,
        timestamp,
    };
    match way {
        5 => drop(client.update_customer(authorized(update, PRIVATE)).await?),
        6 => drop(client.add_event(authorized(event, PRIVATE)).await?),
        7 => drop(
            client
                .track_campaign_click(authorized(click, PRIVATE))
                .await?,
        ),
        _ => {
            let commands = [
                pb::command::Command::UpdateCustomer(update),
                pb::command::Command::AddEvent(event),
                pb::command::Command::TrackCampaignClick(click),
            ];
            let commands = commands.map(|command| pb::Command {
                command_id: String::new(),
                command: Some(command),
            });
            let batch = pb::ExecuteBatchRequest {
                project_token: TOKEN.to_owned(),
                commands: commands.into(),
            };
            let answer = client.execute_batch(authorized(batch, PRIVATE)).await?;
            let mut results = answer.get_ref().results.iter();
            assert!(results.all(|result| result.error.is_none()), "{answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_carries_its_times_is_one_however_often_it_is_sent() {
    let server = Server::start().await;
    for way in 0..9 {
        let customer = json!({"registered": format!("w-{way}")});
        writes(&server, way).await;
        let once = server.customer(customer.clone()).await;
        writes(&server, way).await;
        tokio::join!(writes(&server, way), writes(&server, way));
        visits(&server, json!({"registered": "between"}), "visit").await;
        writes(&server, way).await;
        assert_eq!(server.customer(customer).await, once, "way {way}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_answer_the_same_twice_in_a_row_twice_at_once_and_what_was_written_between() {
    let server = Server::start().await;
    writes(&server, 3).await;
    let question = json!({"customer_ids": {"registered": "w-3"}, "event_types": ["visit"], "format": "native_json",
        "attributes": [{"type": "property", "property": "x"}, {"type": "property", "property": "y"}]});
    let question = question.to_string();
    for route in ["export-one", "attributes", "events", "export"] {
        let ask = async || server.data(route, &question).send().await.body;
        let once = ask().await;
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!([&ask().await, &first, &second], [&once; 3], "{route}");
        server
            .updates(&json!({"customer_ids": {"registered": "w-3"}, "properties": {"y": route}}))
            .await;
        visits(&server, json!({"registered": "w-3"}), "visit").await;
        assert_ne!(ask().await, once, "{route}");
    }
    server.stop().await;
}

/// What a question over gRPC is answered, as text.
async fn asks(server: &Server, way: usize) -> String {
    let mut client = CustomerServiceClient::new(server.channel().await);
    let (project_token, customer_ids) = (TOKEN.to_owned(), ids(&[("registered", "w-3")]));
    match way {
        0 => {
            let question = pb::GetCustomerRequest {
                project_token,
                customer_ids,
                ..pb::GetCustomerRequest::default()
            };
            let answer = client.get_customer(authorized(question, PRIVATE)).await;
            format!("{:?}", answer.unwrap().into_inner())
        }
        1 => {
            let property = pb::attribute::Attribute::Property("y".to_owned());
            let question = pb::GetAttributesRequest {
                project_token,
                customer_ids,
                attributes: vec![pb::Attribute {
                    attribute: Some(property),
                }],
            };
            let answer = client.get_attributes(authorized(question, PRIVATE)).await;
            format!("{:?}", answer.unwrap().into_inner())
        }
        2 => {
            let question = pb::ListEventsRequest {
                project_token,
                customer_ids,
                event_types: vec!["visit".to_owned()],
                ..pb::ListEventsRequest::default()
            };
            let answer = client.list_events(authorized(question, PRIVATE)).await;
            format!("{:?}", answer.unwrap().into_inner())
        }
        3 => {
            let question = pb::ExportCustomersRequest { project_token };
            let answer = client.export_customers(authorized(question, PRIVATE)).await;
            let mut rows = answer.unwrap().into_inner();
            let mut text = String::new();
            while let Some(row) = rows.message().await.unwrap() {
                text += &format!("{:?} {}", row.ids, calls::json(row.properties));
            }
            text
        }
        _ => {
            let mut watch = server.watches(beginning()).await;
            format!("{} {}", watch.told().await, watch.told().await)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_over_grpc_answer_the_same_twice_in_a_row_twice_at_once_and_what_was_written_between()
 {
    let server = Server::start().await;
    writes(&server, 3).await;
    for way in 0..5 {
        let once = asks(&server, way).await;
        let (first, second) = tokio::join!(asks(&server, way), asks(&server, way));
        assert_eq!(
            [&asks(&server, way).await, &first, &second],
            [&once; 3],
            "{way}"
        );
        server
            .updates(&json!({"customer_ids": {"registered": "w-3"}, "properties": {"y": way}}))
            .await;
        visits(&server, json!({"registered": "w-3"}), "visit").await;
        let again = asks(&server, way).await;
        // What a watch from the beginning has told first stays first.
        assert_eq!(again == once, way == 4, "{way}: {again}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_told_twice_in_a_row_and_twice_at_once_and_never_goes_back() {
    let server = Server::start().await;
    let told = async || {
        let mut client = TrackingServiceClient::new(server.channel().await);
        let question = pb::GetSystemTimeRequest {
            project_token: TOKEN.to_owned(),
        };
        let answer = client.get_system_time(authorized(question, PRIVATE)).await;
        let time = answer.unwrap().into_inner().time.unwrap();
        (time.seconds, time.nanos)
    };
    let first = told().await;
    let (second, third) = tokio::join!(told(), told());
    visits(&server, json!({"registered": "a"}), "visit").await;
    server.clock.advance(Duration::from_secs(1));
    let last = told().await;
    assert_eq!(
        (second, third, last.0),
        (first, first, first.0 + 1),
        "the clock stands"
    );
    server.stop().await;
}
