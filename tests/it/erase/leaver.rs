//! Customers who may leave, of a service in a process of its own.

use std::path::Path;

use footfall::grpc::pb::EraseCustomerRequest;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use serde_json::json;
use tonic::transport::Channel;

use crate::harness::calls::ids;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, admin};
use crate::harness::{Request, authorized, eventually};

/// A text of a customer's own that does not compress.
pub fn mark(customer: usize) -> String {
    format!("vR7xQ2mZk9LpT4sWc8Yb{customer:04}N1fHj6GdUe3A")
}

/// What is only one customer's, of each of a few kinds of records.
pub async fn store(process: &Process, project: &Project, customer: usize) {
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

/// Asks for a customer to be erased.
pub async fn erase(process: &Process, project: &Project, customer: usize) {
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
pub async fn events(process: &Process, project: &Project, customer: usize) -> Option<Vec<String>> {
    let question = json!({"customer_ids": {"cookie": format!("cookie-{customer}")}}).to_string();
    let answer = project.data(process.address, "export-one", &question);
    let answer = answer.send().await;
    if answer.status == 404 {
        return None;
    }
    assert_eq!(answer.status, 200, "{:.300}", answer.body);
    let answer = answer.json();
    assert_eq!(answer["properties"], json!({"name": mark(customer)}));
    let events = answer["events"].as_array().unwrap().iter();
    let types = events.map(|event| event["type"].as_str().unwrap().to_owned());
    Some(types.collect())
}

/// Whether the service says that everything that has to leave has left.
pub async fn has_no_remains(dir: &Path) -> bool {
    let metrics = Request::new(admin(dir), "GET", "/metrics").send().await;
    metrics.body.contains("footfall_data_remains 0\n")
}

/// Waits until it says so.
pub async fn has_left(dir: &Path) {
    eventually("all that has to leave leaves the disk", async || {
        has_no_remains(dir).await.then_some(())
    })
    .await;
}
