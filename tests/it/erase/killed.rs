//! Killed while customers leave.

use std::collections::BTreeSet;
use std::path::Path;

use footfall::grpc::pb::EraseCustomerRequest;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use serde_json::json;
use tonic::transport::Channel;

use super::files_with;
use crate::harness::calls::ids;
use crate::harness::dice::Dice;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, run};
use crate::harness::{Request, authorized};

const SETTINGS: [(&str, &str); 2] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_DATA_ERASE_WITHIN", "0s"),
];
/// How often it is killed.
const KILLS: usize = 5;
/// Customers that are erased before each kill, of twice as many.
const ERASED: usize = 4;

/// A text of a customer's own that does not compress.
fn mark(customer: usize) -> String {
    format!("vR7xQ2mZk9LpT4sWc8Yb{customer:04}N1fHj6GdUe3A")
}

/// What is only one customer's, of each of a few kinds of records.
async fn store(process: &Process, project: &Project, customer: usize) {
    let mark = mark(customer);
    let cookie = format!("cookie-{customer}");
    let bodies = [
        (
            "customers/events",
            json!({"customer_ids": {"cookie": cookie}, "event_type": "visit",
            "timestamp": 1, "properties": {"note": mark}}),
        ),
        // It links the IDs.
        (
            "customers",
            json!({"customer_ids": {"registered": mark, "cookie": cookie},
            "properties": {"name": mark}}),
        ),
        (
            "customers/events",
            json!({"customer_ids": {"registered": mark}, "event_type": "buy",
            "timestamp": 2, "properties": {"note": mark.repeat(40)}}),
        ),
    ];
    for (route, body) in bodies {
        let request = project.track(process.address, route, &body.to_string());
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

async fn erase(process: &Process, project: &Project, customer: usize) {
    let channel = Channel::from_shared(format!("http://{}", process.address)).unwrap();
    let mut client = CustomerServiceClient::new(channel.connect().await.unwrap());
    let request = EraseCustomerRequest {
        project_token: project.token.clone(),
        customer_ids: ids(&[("cookie", &format!("cookie-{customer}"))]),
    };
    let request = authorized(request, &project.private());
    client.erase_customer(request).await.unwrap();
}

/// The types of a customer's events; none of one who is not there.
async fn events(process: &Process, project: &Project, customer: usize) -> Option<Vec<String>> {
    let question = json!({"customer_ids": {"cookie": format!("cookie-{customer}")}}).to_string();
    let answer = project.data(process.address, "export-one", &question);
    let answer = answer.send().await;
    if answer.status == 404 {
        return None;
    }
    let answer = answer.json();
    assert_eq!(answer["properties"], json!({"name": mark(customer)}));
    let events = answer["events"].as_array().unwrap().iter();
    let types = events.map(|event| event["type"].as_str().unwrap().to_owned());
    Some(types.collect())
}

/// Waits until the service says that everything that has to leave has left.
async fn has_left(dir: &Path) {
    let log = log(dir);
    let admin = log.split("admin=").nth(1).unwrap();
    let admin = admin.split_whitespace().next().unwrap().parse().unwrap();
    let metrics = || Request::new(admin, "GET", "/metrics").send();
    while !metrics().await.body.contains("footfall_data_remains 0\n") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erasures_come_to_their_end_however_often_the_service_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new();
    let mut process = Process::start_with(dir.path(), &SETTINGS);
    let project = Project::read(dir.path());
    let (mut kept, mut erased) = (BTreeSet::new(), BTreeSet::new());
    let mut customers = 0..;
    for _ in 0..KILLS {
        for customer in customers.by_ref().take(2 * ERASED) {
            store(&process, &project, customer).await;
            match customer % 2 {
                0 => kept.insert(customer),
                _ => erased.insert(customer),
            };
        }
        for customer in erased.iter().rev().take(ERASED) {
            erase(&process, &project, *customer).await;
        }
        // From the rewriting of the log to the middle of making the engine write its files anew.
        tokio::time::sleep(dice.between(0..2_500)).await;
        process.kill();
        process = Process::start_with(dir.path(), &SETTINGS);
        for customer in &erased {
            assert_eq!(events(&process, &project, *customer).await, None);
        }
        for customer in &kept {
            let events = events(&process, &project, *customer).await;
            assert_eq!(events.unwrap(), ["visit", "buy"], "{customer}");
        }
    }
    has_left(dir.path()).await;
    for customer in &erased {
        assert_eq!(files_with(dir.path(), &mark(*customer)), [""; 0]);
    }
    for customer in &kept {
        assert!(!files_with(dir.path(), &mark(*customer)).is_empty());
    }
    assert!(process.terminate().success());
    let (code, said) = run(command(dir.path()).args(["log", "verify"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("are as the log says"), "{said}");
}
