//! Customers that go with everything, and records that are too old: from what is read at once, from the disk in time.

mod killed;
pub mod leaver;

use std::path::Path;
use std::time::Duration;

use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::{EraseCustomerRequest, ExportCustomersRequest};
use footfall::model::customer_id::CustomerId;
use footfall::view::keys;
use serde_json::json;
use tonic::{Code, Status};

use crate::harness::calls::ids;
use crate::harness::{PRIVATE, PUBLIC, Request, Server, Setup, TOKEN, authorized, eventually};

/// Texts that do not compress, so that the disk has them as they are.
const NAME: &str = "x7Qp2ZrV9sLkT4mWc8YbN1fHj6GdUe3A";
const NOTE: &str = "q5JvX0wRzK8nBt2LhP7mCy4SgF9aDe6U";
const OTHER: &str = "k3TzM8rWq1VxY6pLb9NcJ4sHf7GdEu2Z";

async fn erases(server: &Server, key: &str, customer: &[(&str, &str)]) -> Result<(), Status> {
    let request = EraseCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(customer),
    };
    let mut client = CustomerServiceClient::new(server.channel().await);
    let answer = client.erase_customer(authorized(request, key)).await;
    answer.map(drop)
}

/// A customer with IDs, a property, a small event and one that is kept apart from its key; and somebody else.
async fn known(server: &Server) {
    server
        .updates(&json!({"customer_ids": {"registered": NAME, "cookie": "c"}, "properties": {"first_name": NOTE}}))
        .await;
    for filler in [String::new(), NOTE.repeat(64)] {
        server
            .adds(
                &json!({"customer_ids": {"cookie": "c"}, "event_type": "visit", "timestamp": 10,
                "properties": {"note": NOTE, "filler": filler}}),
            )
            .await;
    }
    server
        .adds(
            &json!({"customer_ids": {"registered": OTHER}, "event_type": "visit", "timestamp": 10,
            "properties": {"filler": OTHER.repeat(64)}}),
        )
        .await;
}

/// The files below a folder that have a text.
pub fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        // The engine may remove a file while it is looked for.
        } else if let Ok(bytes) = std::fs::read(&path)
            && has(&bytes, text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == text[0]) {
        rest = &rest[at..];
        if rest.starts_with(text) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Waits until the service says that nothing that has to leave is on the disk.
async fn has_left(server: &Server) {
    let metrics = || Request::new(server.admin, "GET", "/metrics").send();
    eventually("all that has to leave leaves the disk", async || {
        let metrics = metrics().await;
        let has_left = metrics.body.contains("footfall_data_remains 0\n");
        has_left.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_customer_is_read_no_more_and_leaves_every_file() {
    let server = Setup::default()
        .with("[data]\nerase_within = \"0s\"")
        .start()
        .await;
    known(&server).await;
    let data = server.data_dir();
    assert!(
        !files_with(&data, NAME).is_empty(),
        "otherwise it proves nothing"
    );
    assert!(
        !files_with(&data, NOTE).is_empty(),
        "otherwise it proves nothing"
    );
    erases(&server, PRIVATE, &[("cookie", "c")]).await.unwrap();
    assert!(!server.knows(json!({"registered": NAME})).await);
    assert!(!server.knows(json!({"cookie": "c"})).await);
    has_left(&server).await;
    assert_eq!(files_with(&data, NAME), [""; 0]);
    assert_eq!(files_with(&data, NOTE), [""; 0]);
    // Everybody else, and anyone who comes now, is as before; also from a view that is rebuilt.
    server
        .adds(&json!({"customer_ids": {"registered": NAME}, "event_type": "back"}))
        .await;
    let dir = server.stop().await;
    std::fs::remove_dir_all(dir.path().join("data/view")).unwrap();
    let server = Setup::default().start_in(dir).await;
    assert_eq!(
        server.timeline(json!({"registered": OTHER})).await,
        ["visit"]
    );
    let customer = server.customer(json!({"registered": NAME})).await;
    assert_eq!(customer["ids"], json!({"registered": NAME}));
    assert_eq!(customer["properties"], json!({}));
    assert_eq!(server.timeline(json!({"registered": NAME})).await, ["back"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_nobody_takes_keeps_nothing_erased_on_the_disk() {
    const COUNT: usize = 400;
    let server = Setup::default()
        .with("[server]\nsnapshot_timeout = \"20ms\"\n[data]\nerase_within = \"0s\"")
        .start()
        .await;
    // Filler that no window of HTTP/2 holds.
    let filler = "x".repeat(10_000);
    // Before the one who is erased in the order in which customers are exported.
    let place = |value: &str| {
        let id = CustomerId {
            kind: "registered".into(),
            value: value.to_owned(),
            soft: false,
        };
        keys::id_digest(0, &id)
    };
    let names = (0..).map(|n| format!("a-{n}"));
    let mut names = names.filter(|name| place(name) < place(NAME));
    for _ in 0..COUNT / 10 {
        let command = |name: String| {
            json!({"name": "customers", "data": {"customer_ids": {"registered": name},
                "properties": {"filler": filler}}})
        };
        let commands: Vec<_> = names.by_ref().take(10).map(command).collect();
        let batch = json!({ "commands": commands }).to_string();
        assert_eq!(server.track("batch", &batch).send().await.status, 200);
    }
    known(&server).await;
    let mut client = CustomerServiceClient::new(server.channel().await);
    let question = ExportCustomersRequest {
        project_token: TOKEN.to_owned(),
    };
    let exported = client.export_customers(authorized(question, PRIVATE)).await;
    let mut exported = exported.unwrap().into_inner();
    let mut told = vec![exported.message().await.unwrap().unwrap()];
    erases(&server, PRIVATE, &[("registered", NAME)])
        .await
        .unwrap();
    // A read waits for the erasure, of which nothing counts as remaining before.
    assert!(!server.knows(json!({"cookie": "c"})).await);
    // The export keeps nothing of it.
    has_left(&server).await;
    assert_eq!(files_with(&server.data_dir(), NOTE), [""; 0]);
    // It goes on from its place, and tells nobody twice.
    while let Some(customer) = exported.message().await.unwrap() {
        told.push(customer);
    }
    let mut names: Vec<_> = told
        .iter()
        .map(|customer| &customer.ids[0].values[0])
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((told.len(), names.len()), (COUNT + 1, COUNT + 1));
    assert!(names.iter().all(|name| *name != NAME));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_waits_for_its_time_is_done_when_it_comes() {
    let server = Setup::default()
        .with("[data]\nerase_within = \"24h\"")
        .start()
        .await;
    known(&server).await;
    erases(&server, PRIVATE, &[("registered", NAME)])
        .await
        .unwrap();
    assert!(!server.knows(json!({"cookie": "c"})).await);
    let dir = server.stop().await;
    // Not even a restart forgets it, nor a view that is rebuilt.
    std::fs::remove_dir_all(dir.path().join("data/view")).unwrap();
    let server = Setup::default().start_in(dir).await;
    assert!(!server.knows(json!({"cookie": "c"})).await);
    let data = server.data_dir();
    assert!(!files_with(&data, NAME).is_empty());
    server.clock.advance(Duration::from_hours(24));
    has_left(&server).await;
    assert_eq!(files_with(&data, NAME), [""; 0]);
    assert_eq!(files_with(&data, NOTE), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_leaves_the_timeline_and_every_file() {
    let server = Setup::default()
        .with("[data]\nretention = \"90d\"\nerase_within = \"1h\"")
        .start()
        .await;
    known(&server).await;
    let data = server.data_dir();
    server.clock.advance(Duration::from_hours(24 * 60));
    server
        .adds(&json!({"customer_ids": {"cookie": "c"}, "event_type": "back"}))
        .await;
    server.clock.advance(Duration::from_hours(24 * 31));
    // The first name is shown by the profile, so that it stays.
    eventually("what is too old leaves the timeline", async || {
        let timeline = server.timeline(json!({"cookie": "c"})).await;
        (timeline == ["back"]).then_some(())
    })
    .await;
    has_left(&server).await;
    assert_eq!(server.timeline(json!({"registered": OTHER})).await, [""; 0]);
    let filler = NOTE.repeat(2);
    assert_eq!(files_with(&data, &filler), [""; 0]);
    assert_eq!(files_with(&data, &OTHER.repeat(2)), [""; 0]);
    let properties = server.properties(json!({"registered": NAME})).await;
    assert_eq!(properties, json!({"first_name": NOTE}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_needs_private_access_with_the_permission() {
    let server = Server::start().await;
    known(&server).await;
    for key in [PUBLIC, "Basic cmVhZC1ub3RoaW5nOnM="] {
        let status = erases(&server, key, &[("registered", NAME)]).await;
        let status = status.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "No permission")
        );
    }
    let unknown = erases(&server, PRIVATE, &[("registered", "nobody")]).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let nobody = erases(&server, PRIVATE, &[]).await;
    assert_eq!(nobody.unwrap_err().code(), Code::InvalidArgument);
    assert!(server.knows(json!({"registered": NAME})).await);
    server.stop().await;
}
