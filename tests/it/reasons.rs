//! Why something is refused: the same tag for the caller, over both protocols, and for the operator.

use std::collections::BTreeMap;

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::reason::Reason;
use prost_types::value::Kind;
use serde_json::json;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::calls::{event, ids, struct_of, time, update};
use crate::harness::http::Request;
use crate::harness::{Answer, PRIVATE, PUBLIC, Server, Setup, TOKEN, authorized};

const A: &str = r#""customer_ids":{"registered":"a"}"#;

/// How often each reason was counted: for the tests' project, and for none of the settings.
async fn counted(server: &Server) -> BTreeMap<(Reason, &'static str), u64> {
    let metrics = Request::new(server.admin, "GET", "/metrics").send().await;
    let mut found = BTreeMap::new();
    for reason in Reason::ALL {
        for project in [TOKEN, "other"] {
            let tag = reason.tag();
            let line = format!("footfall_refused_total{{reason=\"{tag}\",project=\"{project}\"}} ");
            let mut lines = metrics.body.lines();
            let count = lines.find_map(|known| known.strip_prefix(&line)?.parse().ok());
            if let Some(count) = count.filter(|count| *count > 0) {
                found.insert((*reason, project), count);
            }
        }
    }
    found
}

/// The tags in the details of an answer in JSON.
fn tags(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let details = json["details"].as_array().unwrap().iter();
    let infos =
        details.filter(|detail| detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo");
    let tags = infos.map(|info| {
        assert_eq!(info["domain"], "footfall");
        info["reason"].as_str().unwrap().to_owned()
    });
    tags.collect()
}

/// The tag in the details of a status.
fn tag(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("{status:?}")).reason
}

/// The tag in the details of a result.
fn tag_within(error: tonic_types::Status) -> String {
    use prost::Message as _;
    let details = prost::bytes::Bytes::from(error.encode_to_vec());
    let code = error.code.into();
    tag(&Status::with_details(code, error.message, details))
}

fn upper(reason: Reason) -> String {
    reason.tag().to_ascii_uppercase()
}

/// Properties of so many values of so many bytes.
fn properties(count: usize, bytes: usize) -> String {
    let value = "x".repeat(bytes);
    let entries = (0..count).map(|n| format!("\"p{n}\":\"{value}\""));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

pub fn rest(server: &Server) -> Vec<(Request, Reason)> {
    let updates = |body: String| server.track("customers", &body);
    let with = |rest: &str| updates(format!("{{{A},{rest}}}"));
    let keyed = |key: &str| {
        let path = format!("/track/v2/projects/{TOKEN}/customers");
        server
            .post(&path)
            .header("Authorization", key)
            .body(format!("{{{A}}}"))
    };
    let commands = vec![json!({"name": "system/time"}); 51];
    let events =
        |rest: &str| server.data("events", &format!("{{{A},\"event_types\":[\"x\"],{rest}}}"));
    vec![
        (updates("{".to_owned()), Reason::JsonInvalid),
        (updates("[]".to_owned()), Reason::JsonInvalid),
        (
            updates(r#"{"customer_ids":{"registered":"a","registered":"b"}}"#.to_owned()),
            Reason::KeyTwice,
        ),
        (with(r#""properties":{"x":1,"x":2}"#), Reason::KeyTwice),
        (updates(format!("{{{A},{A}}}")), Reason::KeyTwice),
        (
            updates(r#"{"customer_ids":{}}"#.to_owned()),
            Reason::IdsMissing,
        ),
        (
            updates(r#"{"customer_ids":{"x":"1"}}"#.to_owned()),
            Reason::IdTypeUnknown,
        ),
        (
            updates(r#"{"customer_ids":{"registered":true}}"#.to_owned()),
            Reason::IdInvalid,
        ),
        (
            server.track("customers/events", &format!("{{{A}}}")),
            Reason::EventTypeInvalid,
        ),
        (with(r#""update_timestamp":"soon""#), Reason::TimeInvalid),
        (
            with(r#""properties":{"x":18446744073709551616}"#),
            Reason::PropertiesInvalid,
        ),
        (
            with(&format!("\"properties\":{}", properties(1, 17 * 1024))),
            Reason::PropertyTooLarge,
        ),
        (
            with(&format!(
                "\"properties\":{{\"x\":{}1{}}}",
                "[".repeat(40),
                "]".repeat(40)
            )),
            Reason::PropertyTooDeep,
        ),
        (
            with(&format!("\"properties\":{}", properties(60, 14 * 1024))),
            Reason::CommandTooLarge,
        ),
        (
            with(&format!("\"properties\":{}", properties(80, 14 * 1024))),
            Reason::BodyTooLarge,
        ),
        (
            server.track("campaigns/clicks", &format!("{{{A}}}")),
            Reason::UrlMissing,
        ),
        (server.track("batch", "{}"), Reason::BatchEmpty),
        (
            server.track("batch", &json!({"commands": commands}).to_string()),
            Reason::BatchTooLong,
        ),
        (server.post("/nowhere"), Reason::PathUnknown),
        (
            server.get(&format!("/track/v2/projects/{TOKEN}/customers")),
            Reason::MethodNotAllowed,
        ),
        (
            updates("{}".to_owned()).header("Content-Type", "text/xml"),
            Reason::MediaTypeUnsupported,
        ),
        (
            updates("{}".to_owned()).header("Content-Encoding", "lzw"),
            Reason::CodingUnsupported,
        ),
        (
            updates("{}".to_owned()).header("Content-Encoding", "gzip"),
            Reason::CodingInvalid,
        ),
        (
            server
                .post(&format!("/track/v2/projects/{TOKEN}/customers"))
                .body("{}"),
            Reason::KeyMissing,
        ),
        (keyed("Bearer x"), Reason::KeyUnreadable),
        (keyed("Token events-only"), Reason::PermissionMissing),
        (keyed("Basic a2V5LWlkOndyb25n"), Reason::SecretWrong),
        (keyed("Token nobody"), Reason::KeyUnknown),
        (
            server
                .post("/track/v2/projects/77777777-2222-3333-4444-555555555555/customers")
                .header("Authorization", PUBLIC)
                .body("{}"),
            Reason::ProjectUnknown,
        ),
        (
            server.data("export-one", r#"{"customer_ids":{"registered":"nobody"}}"#),
            Reason::CustomerUnknown,
        ),
        (events(r#""limit":0"#), Reason::QueryInvalid),
        (events(r#""page_token":"x""#), Reason::CursorInvalid),
        (events(r#""limit":{}"#), Reason::FieldInvalid),
    ]
}

/// Whether a refusal is counted for the project: all but those that are decided before it is known.
pub fn of_project(reason: Reason) -> &'static str {
    match reason {
        Reason::PathUnknown
        | Reason::MethodNotAllowed
        | Reason::ProjectUnknown
        | Reason::RpcUnknown
        | Reason::DeadlineInvalid
        | Reason::RateLimitExceeded => "other",
        _ => TOKEN,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_over_rest_says_its_reason_and_is_counted_once() {
    let server = Server::start().await;
    let mut expected = BTreeMap::new();
    for (request, reason) in rest(&server) {
        let answer = request.send().await;
        assert_eq!(tags(&answer), [upper(reason)], "{answer:?}");
        *expected.entry((reason, of_project(reason))).or_insert(0) += 1;
        assert_eq!(counted(&server).await, expected, "{reason:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_over_grpc_says_its_reason_and_is_counted_once() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut tracking = TrackingServiceClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel);
    let mut expected = BTreeMap::new();
    let mut check = async |status: Status, reason: Reason| {
        assert_eq!(tag(&status), upper(reason), "{status:?}");
        *expected.entry((reason, of_project(reason))).or_insert(0) += 1;
        assert_eq!(counted(&server).await, expected, "{reason:?}");
    };
    let of = |kind: &str, value: &str| pb::UpdateCustomerRequest {
        customer_ids: ids(&[(kind, value)]),
        ..update("{}")
    };
    let long = "x".repeat(300);
    let large = Kind::StringValue("x".repeat(17 * 1024));
    let updates = [
        (
            pb::UpdateCustomerRequest {
                customer_ids: ids(&[]),
                ..update("{}")
            },
            Reason::IdsMissing,
        ),
        (of("x", "1"), Reason::IdTypeUnknown),
        (of("registered", &long), Reason::IdInvalid),
        (
            pb::UpdateCustomerRequest {
                update_timestamp: time(-1, 0),
                ..update("{}")
            },
            Reason::TimeInvalid,
        ),
        (
            pb::UpdateCustomerRequest {
                properties: Some(struct_of(Some(large))),
                ..update("{}")
            },
            Reason::PropertyTooLarge,
        ),
        (update(&properties(60, 14 * 1024)), Reason::CommandTooLarge),
        (
            pb::UpdateCustomerRequest {
                project_token: "nobody".to_owned(),
                ..update("{}")
            },
            Reason::ProjectUnknown,
        ),
    ];
    for (message, reason) in updates {
        let refused = tracking.update_customer(authorized(message, PUBLIC)).await;
        check(refused.unwrap_err(), reason).await;
    }
    let refused = tracking.add_event(authorized(event(""), PUBLIC)).await;
    check(refused.unwrap_err(), Reason::EventTypeInvalid).await;
    let refused = tracking.add_event(event("x")).await;
    assert_eq!(tag(&refused.unwrap_err()), "KEY_MISSING");
    let refused = tracking
        .add_event(authorized(event("x"), "Token nobody"))
        .await;
    assert_eq!(tag(&refused.unwrap_err()), "KEY_UNKNOWN");
    let asked = pb::GetCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "nobody")]),
        ..Default::default()
    };
    for (key, reason) in [
        (PRIVATE, "CUSTOMER_UNKNOWN"),
        (PUBLIC, "PERMISSION_MISSING"),
        ("Basic a2V5LWlkOndyb25n", "SECRET_WRONG"),
        ("Bearer x", "KEY_UNREADABLE"),
    ] {
        let refused = customers.get_customer(authorized(asked.clone(), key)).await;
        assert_eq!(tag(&refused.unwrap_err()), reason);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_many_kinds_over_grpc_say_their_reasons() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut tracking = TrackingServiceClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel.clone());
    for (commands, reason) in [(0, "BATCH_EMPTY"), (51, "BATCH_TOO_LONG")] {
        let batch = pb::ExecuteBatchRequest {
            project_token: TOKEN.to_owned(),
            commands: vec![pb::Command::default(); commands],
        };
        let refused = tracking.execute_batch(authorized(batch, PUBLIC)).await;
        assert_eq!(tag(&refused.unwrap_err()), reason);
    }
    let click = pb::TrackCampaignClickRequest {
        project_token: TOKEN.to_owned(),
        ..Default::default()
    };
    let refused = tracking.track_campaign_click(authorized(click, PUBLIC));
    assert_eq!(tag(&refused.await.unwrap_err()), "URL_MISSING");
    let asked = pb::ListEventsRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        event_types: vec!["x".to_owned()],
        ..Default::default()
    };
    let nothing = pb::ListEventsRequest {
        limit: Some(0),
        ..asked.clone()
    };
    let elsewhere = pb::ListEventsRequest {
        page_token: "x".to_owned(),
        ..asked
    };
    for (asked, reason) in [(nothing, "QUERY_INVALID"), (elsewhere, "CURSOR_INVALID")] {
        let refused = customers.list_events(authorized(asked, PRIVATE)).await;
        assert_eq!(tag(&refused.unwrap_err()), reason);
    }
    for name in ["a", "b"] {
        let update = pb::UpdateCustomerRequest {
            customer_ids: ids(&[("registered", name), ("cookie", name)]),
            ..update("{}")
        };
        let stored = tracking.update_customer(authorized(update, PUBLIC)).await;
        stored.unwrap();
    }
    let both = pb::EraseCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a"), ("cookie", "b")]),
    };
    let refused = customers.erase_customer(authorized(both, PRIVATE)).await;
    assert_eq!(tag(&refused.unwrap_err()), "CUSTOMERS_SEVERAL");
    let mut request = authorized(event("x"), PUBLIC);
    let timeout = "soon".parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", timeout);
    let refused = tracking.add_event(request).await;
    assert_eq!(tag(&refused.unwrap_err()), "DEADLINE_INVALID");
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::AddEventRequest, pb::AddEventResponse>::default();
    let path =
        http::uri::PathAndQuery::from_static("/footfall.tracking.v2.TrackingService/Nothing");
    let refused = client
        .unary(authorized(event("x"), PUBLIC), path, codec)
        .await;
    assert_eq!(tag(&refused.unwrap_err()), "RPC_UNKNOWN");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refused_command_of_a_batch_counts_and_no_other() {
    let server = Server::start().await;
    let batch = json!({"commands": [
        {"name": "customers", "data": {"customer_ids": {"registered": "a"}}},
        {"name": "customers", "data": {"customer_ids": {}}},
        {"name": "nothing", "data": {}},
        {"name": "customers/events", "data": {"customer_ids": {"registered": "a"}, "event_type": "x",
            "timestamp": "?"}},
        {"name": "customers/events", "data": {"customer_ids": {"x": "a"}, "event_type": "x"}},
    ]});
    let answer = server.track("batch", &batch.to_string()).send().await;
    assert_eq!(answer.status, 200);
    let expected = [
        (Reason::CommandUnknown, 1),
        (Reason::IdTypeUnknown, 1),
        (Reason::IdsMissing, 1),
        (Reason::TimeInvalid, 1),
    ];
    let expected = |times: u64| {
        let each = expected.iter();
        each.map(|(reason, count)| ((*reason, TOKEN), count * times))
            .collect::<BTreeMap<_, _>>()
    };
    let mut found = counted(&server).await;
    assert_eq!(found.remove(&(Reason::CommandUnknown, TOKEN)), Some(1));
    let mut rest = expected(1);
    rest.remove(&(Reason::CommandUnknown, TOKEN));
    assert_eq!(found, rest);

    use pb::command::Command;
    let command = |command: Option<Command>| pb::Command {
        command,
        ..Default::default()
    };
    let commands = vec![
        command(Some(Command::UpdateCustomer(update("{}")))),
        command(Some(Command::UpdateCustomer(pb::UpdateCustomerRequest {
            customer_ids: ids(&[]),
            ..update("{}")
        }))),
        command(None),
        command(Some(Command::AddEvent(pb::AddEventRequest {
            timestamp: time(-1, 0),
            ..event("x")
        }))),
        command(Some(Command::AddEvent(pb::AddEventRequest {
            customer_ids: ids(&[("x", "a")]),
            ..event("x")
        }))),
    ];
    let mut tracking = TrackingServiceClient::new(server.channel().await);
    let request = pb::ExecuteBatchRequest {
        project_token: TOKEN.to_owned(),
        commands,
    };
    let answer = tracking
        .execute_batch(authorized(request, PUBLIC))
        .await
        .unwrap();
    let infos = answer
        .into_inner()
        .results
        .into_iter()
        .filter_map(|result| result.error);
    assert_eq!(
        infos.map(tag_within).collect::<Vec<_>>(),
        [
            "IDS_MISSING",
            "COMMAND_UNKNOWN",
            "TIME_INVALID",
            "ID_TYPE_UNKNOWN"
        ]
    );
    assert_eq!(counted(&server).await, expected(2));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refused_command_of_a_stream_says_its_reason_and_counts_for_its_project() {
    use pb::command::Command;
    let server = Server::start().await;
    let mut lane = server.opens(PUBLIC, "198.51.100.7").await.unwrap();
    let commands = [
        (Some(Command::UpdateCustomer(update("{}"))), None),
        (
            Some(Command::UpdateCustomer(pb::UpdateCustomerRequest {
                customer_ids: ids(&[]),
                ..update("{}")
            })),
            Some(Reason::IdsMissing),
        ),
        (None, Some(Reason::CommandUnknown)),
        (
            Some(Command::AddEvent(pb::AddEventRequest {
                timestamp: time(-1, 0),
                ..event("x")
            })),
            Some(Reason::TimeInvalid),
        ),
    ];
    let mut expected = BTreeMap::new();
    for (command, reason) in commands {
        lane.send(
            TOKEN,
            pb::Command {
                command,
                ..Default::default()
            },
        )
        .await;
        let (_, result) = lane.result().await;
        assert_eq!(result.error.map(tag_within), reason.map(upper));
        expected.extend(reason.map(|reason| ((reason, TOKEN), 1)));
    }
    lane.closed().await.unwrap();
    assert_eq!(counted(&server).await, expected);
    // A token that is none of the settings ends the stream.
    let mut lane = server.opens(PUBLIC, "198.51.100.7").await.unwrap();
    let command = Some(Command::UpdateCustomer(update("{}")));
    lane.send(
        "nobody",
        pb::Command {
            command,
            ..Default::default()
        },
    )
    .await;
    let ended = lane.told().await.unwrap_err();
    assert_eq!(tag(&ended), "PROJECT_UNKNOWN");
    expected.insert((Reason::ProjectUnknown, "other"), 1);
    assert_eq!(counted(&server).await, expected);
    let all = server.refusals("").await;
    let routes = all["refusals"].as_array().unwrap().iter();
    let routes = routes.map(|refusal| refusal["route"].as_str().unwrap());
    assert_eq!(
        routes.collect::<Vec<_>>(),
        ["/footfall.tracking.v2.TrackingService/TrackStream"; 4]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_limiter_refuses_is_counted_exactly() {
    let setup = Setup::default().with("[rate_limit]\nrequests = 10\nburst = 10");
    let server = setup.start().await;
    let mut refused = 0;
    for _ in 0..30 {
        let answer = server.track("customers", &format!("{{{A}}}")).send().await;
        if answer.status == 429 {
            assert_eq!(tags(&answer), ["RATE_LIMIT_EXCEEDED"]);
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    let expected = BTreeMap::from([((Reason::RateLimitExceeded, "other"), refused)]);
    assert_eq!(counted(&server).await, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_and_not_as_it_was_meant_is_counted_by_project() {
    let projects = format!(
        r#"
[[project]]
token = "{TOKEN}"
unlisted_ids = "skip"
[[project.key]]
public = "public-key"
permissions = ["customers:set", "events:set"]
"#
    );
    let server = Setup::default().projects(&projects).start().await;
    let accepts = async |route: &str, body: String| {
        let answer = server.track(route, &body).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let event = format!("{{{A},\"event_type\":\"x\",\"timestamp\":1}}");
    for _ in 0..3 {
        accepts("customers/events", event.clone()).await;
    }
    let skipped = r#"{"customer_ids":{"registered":"a","other":"b"}}"#;
    accepts("customers", skipped.to_owned()).await;
    for name in ["a", "b"] {
        let both = format!("{{\"customer_ids\":{{\"registered\":\"{name}\",\"cookie\":\"c\"}}}}");
        accepts("customers", both).await;
    }
    let future = format!("{{{A},\"update_timestamp\":4000000000}}");
    accepts("customers", future).await;
    for cookie in 0..66 {
        let ids =
            format!("{{\"customer_ids\":{{\"registered\":\"many\",\"cookie\":\"m{cookie}\"}}}}");
        accepts("customers", ids).await;
    }
    let names = |from: usize| {
        let entries = (from..from + 250).map(|n| format!("\"p{n}\":1"));
        let entries = entries.collect::<Vec<_>>().join(",");
        format!("{{{A},\"properties\":{{{entries}}}}}")
    };
    for from in (0..1_250).step_by(250) {
        accepts("customers", names(from)).await;
    }
    for (tag, count) in [
        ("duplicate", 2),
        ("id_skipped", 1),
        ("ids_clash", 1),
        ("soft_id_evicted", 2),
        ("property_dropped", 226),
        ("time_in_future", 1),
    ] {
        let line = format!("footfall_remarks_total{{reason=\"{tag}\",project=\"{TOKEN}\"}}");
        server.rises_to(&line, count).await;
        assert_eq!(server.counted(&line).await, count, "{tag}");
    }
    server.stop().await;
}
