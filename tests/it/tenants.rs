//! Two projects on one service: whatever is tried with the keys of one, the other's data is neither read nor changed.

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::rest::routes::{ENTRIES, Route};
use http::Method;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::calls::{event, ids};
use crate::harness::{Answer, Request, Server, Setup, authorized};

const OURS: &str = "ours";
const THEIRS: &str = "theirs";
/// What only our project knows.
const MARK: &str = "mark-of-ours";

/// `id:our-secret` and `id:their-secret`: the same ID, so that only the secret tells them apart.
const OUR_PRIVATE: &str = "Basic aWQ6b3VyLXNlY3JldA==";
const THEIR_PRIVATE: &str = "Basic aWQ6dGhlaXItc2VjcmV0";

/// Credentials that do not belong to our project, and what they get there.
const FOREIGN: [(&str, u16); 5] = [
    ("Token their-public", 401),
    (THEIR_PRIVATE, 403),
    ("Token theirs", 401),
    ("Token ours", 401),
    ("", 401),
];

fn projects() -> String {
    let project = |token: &str, name: &str| {
        format!(
            r#"
[[project]]
token = "{token}"
[[project.key]]
public = "{name}-public"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "id"
secrets = ["{name}-secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase", "refusals:get"]
"#
        )
    };
    project(OURS, "our") + &project(THEIRS, "their")
}

/// A body that the route takes.
fn body(route: Route) -> Value {
    let ids = json!({"registered": "a"});
    match route {
        Route::Customers => json!({"customer_ids": ids, "properties": {"seen": true}}),
        Route::CustomersEvents => {
            json!({"customer_ids": ids, "event_type": "visit", "timestamp": 7})
        }
        Route::CampaignsClicks => json!({"customer_ids": ids, "url": "u", "timestamp": 7}),
        Route::Batch => json!({"commands": [{"name": "customers", "data": {"customer_ids": ids}}]}),
        Route::Attributes => {
            json!({"customer_ids": ids, "attributes": [{"type": "property", "property": "of"}]})
        }
        Route::Events => json!({"customer_ids": ids, "event_types": ["visit"]}),
        Route::ExportOne | Route::Anonymize => json!({"customer_ids": ids}),
        Route::Export => json!({"format": "native_json"}),
        Route::AnonymizeBulk => json!({"customers": [{"customer_ids": ids}]}),
        Route::SystemTime
        | Route::Watch
        | Route::WatchRefusals
        | Route::Sdk(_)
        | Route::Root
        | Route::Healthz
        | Route::Readyz
        | Route::Startupz => json!({}),
    }
}

/// Calls a route of a project over REST.
fn call(server: &Server, route: Route, token: &str, authorization: &str) -> Request {
    let entry = ENTRIES.iter().find(|entry| entry.route == route).unwrap();
    let path = entry.path.replace("{project_token}", token);
    let call = match entry.methods.contains(&Method::POST) {
        true => server.post(&path).body(body(route).to_string()),
        false => server.get(&path),
    };
    match authorization {
        "" => call,
        shown => call.header("Authorization", shown),
    }
}

/// The routes that belong to projects.
fn routes() -> impl Iterator<Item = Route> {
    let of_projects = ENTRIES
        .iter()
        .filter(|entry| entry.path.contains("{project_token}"));
    of_projects.map(|entry| entry.route)
}

/// What every rpc of a project answers; of a stream, its first message.
async fn rpcs(server: &Server, token: &str, authorization: &str) -> Vec<Result<String, Status>> {
    let channel = server.channel().await;
    let mut tracking = TrackingServiceClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel);
    let project_token = token.to_owned();
    let customer_ids = ids(&[("registered", "a")]);
    macro_rules! asks {
        ($client:ident.$rpc:ident($message:expr)) => {
            $client
                .$rpc(authorized($message, authorization))
                .await
                .map(|answer| format!("{:?}", answer.into_inner()))
        };
    }
    macro_rules! asks_for_stream {
        ($client:ident.$rpc:ident($message:expr)) => {
            match $client.$rpc(authorized($message, authorization)).await {
                Err(status) => Err(status),
                Ok(answer) => answer
                    .into_inner()
                    .message()
                    .await
                    .map(|first| format!("{first:?}")),
            }
        };
    }
    let add = pb::AddEventRequest {
        project_token: project_token.clone(),
        ..event("visit")
    };
    let again = add.clone();
    let command = pb::Command {
        command_id: String::new(),
        command: Some(pb::command::Command::AddEvent(add.clone())),
    };
    let streamed = pb::TrackStreamRequest {
        project_token: project_token.clone(),
        command: Some(command.clone()),
    };
    let anonymize = pb::AnonymizeCustomerRequest {
        project_token: project_token.clone(),
        customer_ids: customer_ids.clone(),
    };
    let erase = pb::EraseCustomerRequest {
        project_token: project_token.clone(),
        customer_ids: customer_ids.clone(),
    };
    vec![
        asks!(tracking.update_customer(pb::UpdateCustomerRequest {
            project_token: project_token.clone(),
            customer_ids: customer_ids.clone(),
            ..Default::default()
        })),
        asks!(tracking.add_event(add)),
        asks!(
            tracking.track_campaign_click(pb::TrackCampaignClickRequest {
                project_token: project_token.clone(),
                url: "u".to_owned(),
                ..Default::default()
            })
        ),
        asks!(tracking.execute_batch(pb::ExecuteBatchRequest {
            project_token: project_token.clone(),
            commands: vec![command]
        })),
        asks_for_stream!(tracking.track_stream(tokio_stream::once(streamed))),
        asks!(tracking.get_system_time(pb::GetSystemTimeRequest {
            project_token: project_token.clone()
        })),
        asks!(customers.get_customer(pb::GetCustomerRequest {
            project_token: project_token.clone(),
            customer_ids: customer_ids.clone(),
            ..Default::default()
        })),
        asks!(customers.get_attributes(pb::GetAttributesRequest {
            project_token: project_token.clone(),
            customer_ids: customer_ids.clone(),
            attributes: Vec::new()
        })),
        asks!(customers.list_events(pb::ListEventsRequest {
            project_token: project_token.clone(),
            customer_ids: customer_ids.clone(),
            event_types: vec!["visit".to_owned()],
            ..Default::default()
        })),
        asks_for_stream!(customers.watch_events(pb::WatchEventsRequest {
            project_token: project_token.clone(),
            start: pb::WatchStart::Beginning.into(),
            ..Default::default()
        })),
        asks_for_stream!(customers.watch_refusals(pb::WatchRefusalsRequest {
            project_token: project_token.clone(),
            recent: true,
            ..Default::default()
        })),
        asks_for_stream!(customers.export_customers(pb::ExportCustomersRequest {
            project_token: project_token.clone()
        })),
        asks!(customers.anonymize_customer(anonymize)),
        // Anyone who was anonymised is known no more; somebody has to be there to be erased.
        asks!(tracking.add_event(again)),
        asks!(customers.erase_customer(erase)),
    ]
}

/// A service where each project has a customer of the same ID, with the project's own mark.
async fn scene() -> Server {
    // One address tries more wrong keys here than it may.
    let setup = Setup::default().with("[rate_limit]\nauth_failures = 0");
    let server = setup.projects(&projects()).start().await;
    for (token, authorization, mark) in [
        (OURS, OUR_PRIVATE, MARK),
        (THEIRS, THEIR_PRIVATE, "another"),
    ] {
        let customer = json!({"customer_ids": {"registered": "a"}, "properties": {"of": mark}});
        let event = json!({"customer_ids": {"registered": "a"}, "event_type": "visit", "timestamp": 1, "properties": {"of": mark}});
        for (route, body) in [("customers", customer), ("customers/events", event)] {
            let path = format!("/track/v2/projects/{token}/{route}");
            let post = server.post(&path).header("Authorization", authorization);
            assert_eq!(post.body(body.to_string()).send().await.status, 200);
        }
    }
    server
}

/// All that our project has of the customer.
async fn ours(server: &Server) -> Value {
    let answer = call(server, Route::ExportOne, OURS, OUR_PRIVATE)
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn tells_nothing(answer: &Answer) {
    assert!(!answer.body.contains(MARK), "{answer:?}");
    assert!(!answer.body.contains("registered"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_of_a_project_opens_to_another_project_s_keys() {
    let server = scene().await;
    let before = ours(&server).await;
    for (authorization, status) in FOREIGN {
        for route in routes() {
            let answer = call(&server, route, OURS, authorization).send().await;
            assert_eq!(
                answer.status, status,
                "{route:?} {authorization}: {}",
                answer.body
            );
            tells_nothing(&answer);
        }
        let code = if status == 403 {
            Code::PermissionDenied
        } else {
            Code::Unauthenticated
        };
        if authorization.is_empty() {
            continue;
        }
        for (rpc, answer) in rpcs(&server, OURS, authorization)
            .await
            .into_iter()
            .enumerate()
        {
            let refused = answer.expect_err(&format!("rpc {rpc}, {authorization}"));
            assert_eq!(
                refused.code(),
                code,
                "rpc {rpc}, {authorization}: {refused:?}"
            );
            assert!(!refused.message().contains(MARK));
        }
    }
    assert_eq!(ours(&server).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_project_s_own_keys_do_there_stays_there() {
    let server = scene().await;
    let before = ours(&server).await;
    // The same calls with the right key pass: what is refused above is refused for the key alone.
    let lasts = |route: &Route| matches!(route, Route::Watch | Route::WatchRefusals);
    for route in routes().filter(|route| !lasts(route)) {
        let answer = call(&server, route, THEIRS, THEIR_PRIVATE).send().await;
        assert_eq!(answer.status, 200, "{route:?}: {}", answer.body);
        assert!(!answer.body.contains(MARK), "{route:?}: {}", answer.body);
    }
    for (rpc, answer) in rpcs(&server, THEIRS, THEIR_PRIVATE)
        .await
        .into_iter()
        .enumerate()
    {
        let answer = answer.unwrap_or_else(|status| panic!("rpc {rpc}: {status:?}"));
        assert!(!answer.contains(MARK), "rpc {rpc}: {answer}");
    }
    assert_eq!(ours(&server).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_nothing_of_another_project_and_takes_none_of_its_cursors() {
    let server = scene().await;
    let mut customers = CustomerServiceClient::new(server.channel().await);
    let watch = |token: &str, cursor: &str| pb::WatchEventsRequest {
        project_token: token.to_owned(),
        start: pb::WatchStart::Beginning.into(),
        cursor: cursor.to_owned(),
        ..Default::default()
    };
    let ours = customers
        .watch_events(authorized(watch(OURS, ""), OUR_PRIVATE))
        .await;
    let mut ours = ours.unwrap().into_inner();
    ours.message().await.unwrap();
    let told = ours.message().await.unwrap().unwrap();
    let theirs = customers
        .watch_events(authorized(watch(THEIRS, ""), THEIR_PRIVATE))
        .await;
    let mut theirs = theirs.unwrap().into_inner();
    theirs.message().await.unwrap();
    let first = theirs.message().await.unwrap().unwrap();
    assert!(!format!("{first:?}").contains(MARK));
    let taken = customers
        .watch_events(authorized(watch(THEIRS, &told.cursor), THEIR_PRIVATE))
        .await;
    let refused = match taken {
        Err(status) => status,
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
    };
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    drop((ours, theirs));
    server.stop().await;
}
