//! The commands over gRPC.

use std::collections::BTreeMap;

use footfall::grpc::pb;
use footfall::grpc::pb::command::Command as Kind;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::properties::Object;
use prost::Message as _;
use serde_json::Value as Json;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::commands::{Asks, asks, kinds, number, properties, request, time};
use super::writer::{Silence, Target};
use crate::harness::authorized;
use crate::harness::calls::json;

/// Sends the request whose first command is `first`.
pub async fn send(target: &Target, customer: &str, first: u64) -> Result<(), Silence> {
    let mut client = TrackingServiceClient::new(target.channel.clone());
    let key = target.project.private();
    let commands = request(first);
    if commands.end - first == 1 {
        let called = match command(target, customer, first) {
            Kind::UpdateCustomer(update) => {
                let called = client.update_customer(authorized(update, &key)).await;
                called.map(drop)
            }
            Kind::AddEvent(event) => client.add_event(authorized(event, &key)).await.map(drop),
            other => panic!("{other:?}"),
        };
        return called.map_err(silence);
    }
    let commands = commands.map(|n| pb::Command {
        command_id: n.to_string(),
        command: Some(command(target, customer, n)),
    });
    let batch = pb::ExecuteBatchRequest {
        project_token: target.project.token.clone(),
        commands: commands.collect(),
    };
    let answer = client.execute_batch(authorized(batch, &key)).await;
    let results = answer.map_err(silence)?.into_inner().results;
    for (n, result) in request(first).zip(&results) {
        assert_eq!(result.command_id, n.to_string());
        assert_eq!(result.error, None);
    }
    assert_eq!(results.len() as u64, request(first).end - first);
    Ok(())
}

/// The numbers of the newest events, newest first.
pub async fn newest(target: &Target, customer: &str, limit: u32) -> Result<Vec<u64>, Silence> {
    let mut client = CustomerServiceClient::new(target.channel.clone());
    let question = pb::ListEventsRequest {
        project_token: target.project.token.clone(),
        customer_ids: [("registered".to_owned(), customer.to_owned())].into(),
        event_types: vec!["step".to_owned()],
        order: pb::Order::Desc.into(),
        limit: Some(limit),
        ..pb::ListEventsRequest::default()
    };
    let question = authorized(question, &target.project.private());
    let answer = client.list_events(question).await.map_err(silence)?;
    let events = answer.into_inner().events.into_iter();
    let numbers = events.map(|event| {
        let properties: Json = serde_json::from_str(&json(event.properties)).unwrap();
        number(&serde_json::json!({ "properties": properties }))
    });
    Ok(numbers.collect())
}

/// All customers that the service knows, each as `kind=value kind=value`, sorted.
pub async fn everybody(target: &Target) -> Vec<String> {
    let mut client = CustomerServiceClient::new(target.channel.clone());
    let project_token = target.project.token.clone();
    let question = pb::ExportCustomersRequest { project_token };
    let question = authorized(question, &target.project.private());
    let mut exported = client
        .export_customers(question)
        .await
        .unwrap()
        .into_inner();
    let mut customers = Vec::new();
    while let Some(customer) = exported.message().await.unwrap() {
        let ids = customer.ids.iter();
        let ids = ids.map(|id| format!("{}={}", id.r#type, id.values.join(",")));
        customers.push(ids.collect::<Vec<_>>().join(" "));
    }
    customers.sort_unstable();
    customers
}

/// The service's own refusals say when to come back.
fn silence(status: Status) -> Silence {
    match status.get_details_retry_info() {
        Some(_) => Silence::Later,
        None => Silence::Status(Box::new(status)),
    }
}

fn command(target: &Target, customer: &str, n: u64) -> Kind {
    let project_token = target.project.token.clone();
    let kinds = kinds(n).iter();
    let customer_ids: BTreeMap<_, _> = kinds
        .map(|kind| ((*kind).to_owned(), customer.to_owned()))
        .collect();
    let time = Some(prost_types::Timestamp {
        seconds: i64::try_from(time(n)).unwrap(),
        nanos: 0,
    });
    match asks(n) {
        Asks::Update => Kind::UpdateCustomer(pb::UpdateCustomerRequest {
            project_token,
            customer_ids,
            properties: Some(numbers(n)),
            update_timestamp: time,
        }),
        Asks::Event => Kind::AddEvent(pb::AddEventRequest {
            project_token,
            customer_ids,
            event_type: "step".to_owned(),
            properties: Some(numbers(n)),
            timestamp: time,
        }),
    }
}

/// The properties of a command as a `google.protobuf.Struct` of the same bytes says them; its numbers are floating.
fn numbers(n: u64) -> Object {
    let value = |n| prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(n as f64)),
    };
    let fields = properties(n).into_iter();
    let fields = fields.map(|(name, n)| (name, value(n))).collect();
    let bytes = prost_types::Struct { fields }.encode_to_vec();
    Object::decode(bytes.as_slice()).unwrap()
}
