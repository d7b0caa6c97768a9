//! The commands over REST, on a connection that is kept.

use serde_json::{Value as Json, json};

use super::commands::{Asks, asks, kinds, number, properties, request, time};
use super::writer::Silence;
use crate::harness::Answer;
use crate::harness::first_run::Project;
use crate::harness::keep_alive::Connection;

/// Sends the request whose first command is `first`.
pub async fn send(
    connection: &mut Connection,
    project: &Project,
    customer: &str,
    first: u64,
) -> Result<(), Silence> {
    let commands = request(first);
    if commands.end - first == 1 {
        let body = data(customer, first).to_string();
        let path = format!("/track/v2/projects/{}/{}", project.token, name(first));
        return written(post(connection, project, &path, &body).await?).map(drop);
    }
    let commands: Vec<Json> = commands
        .map(|n| json!({"name": name(n), "data": data(customer, n)}))
        .collect();
    let path = format!("/track/v2/projects/{}/batch", project.token);
    let body = json!({"commands": commands}).to_string();
    let answer = written(post(connection, project, &path, &body).await?)?;
    let result = json!({"success": true, "errors": []});
    assert_eq!(answer["results"], json!(vec![result; commands.len()]));
    Ok(())
}

/// The numbers of the newest events, newest first.
pub async fn newest(
    connection: &mut Connection,
    project: &Project,
    customer: &str,
    limit: usize,
) -> Result<Vec<u64>, Silence> {
    let question = json!({
        "customer_ids": {"registered": customer},
        "event_types": ["step"],
        "order": "desc",
        "limit": limit,
    });
    let path = format!("/data/v2/projects/{}/customers/events", project.token);
    let answer = written(post(connection, project, &path, &question.to_string()).await?)?;
    let events = answer["data"].as_array().unwrap();
    Ok(events.iter().map(number).collect())
}

async fn post(
    connection: &mut Connection,
    project: &Project,
    path: &str,
    body: &str,
) -> Result<Answer, Silence> {
    let answer = connection.post(path, &project.private(), body).await;
    answer.map_err(Silence::Cut)
}

fn written(answer: Answer) -> Result<Json, Silence> {
    match answer.status {
        503 => Err(Silence::Later),
        200 => Ok(answer.json()),
        _ => panic!("{answer:?}"),
    }
}

fn name(n: u64) -> &'static str {
    match asks(n) {
        Asks::Event => "customers/events",
        Asks::Update => "customers",
    }
}

fn data(customer: &str, n: u64) -> Json {
    let ids = kinds(n).iter().map(|kind| (*kind).to_owned());
    let ids: serde_json::Map<_, _> = ids.map(|kind| (kind, json!(customer))).collect();
    let properties = properties(n).into_iter();
    let properties: serde_json::Map<_, _> = properties.map(|(name, n)| (name, json!(n))).collect();
    match asks(n) {
        Asks::Event => {
            json!({"customer_ids": ids, "event_type": "step", "timestamp": time(n), "properties": properties})
        }
        Asks::Update => {
            json!({"customer_ids": ids, "properties": properties, "update_timestamp": time(n)})
        }
    }
}
