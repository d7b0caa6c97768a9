//! Whatever a service writes, no secret is in it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use sha2::{Digest as _, Sha256};
use tonic::transport::Channel;

use super::basic;
use crate::harness::process::{Process, command, log, run};
use crate::harness::tls::Papers;
use crate::harness::{Request, TOKEN, authorized, eventually};

/// In the settings, and guesses that are not: all are a caller's own matter.
const SECRETS: [&str; 6] = [
    "hush-private-1",
    "hush-private-2",
    "hush-hashed-3",
    "hush-guess-4",
    "hush-public-5",
    "hush-guess-6",
];

fn hex(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything as which a secret may turn up.
fn shapes(secret: &str) -> Vec<String> {
    let pair = STANDARD.encode(format!("shop:{secret}"));
    // Of a text in base64, whatever stands before and behind it.
    vec![secret.to_owned(), hex(secret), pair]
}

fn assert_silent(place: &str, text: &str) {
    for shape in SECRETS.iter().flat_map(|secret| shapes(secret)) {
        assert!(!text.contains(&shape), "{shape} is in {place}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_a_metric_or_an_answer() {
    let papers = Papers::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let [private, next, hashed, _, public, _] = SECRETS;
    let hashed = hex(hashed);
    let key = std::fs::read_to_string(papers.path("key.pem")).unwrap();
    let settings = format!(
        r#"
[log]
level = "trace"
[rate_limit]
auth_failures = 3
{}
[[project]]
token = "{TOKEN}"
[[project.key]]
id = "shop"
secrets = ["{private}", "{next}"]
permissions = ["events:set", "events:get"]
[[project.key]]
id = "hashed"
secrets_sha256 = ["{hashed}"]
permissions = []
[[project.key]]
public = "{public}"
permissions = ["events:set"]
"#,
        papers.section("server.admin_tls", "")
    );
    fs::write(dir.join("footfall.toml"), &settings).unwrap();
    let mut process = Process::start_with_projects(dir, "footfall.toml");
    let mut said = String::new();
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    for secret in SECRETS {
        for authorization in [
            basic("shop", secret),
            basic("hashed", secret),
            basic("nobody", secret),
            format!("Token {secret}"),
            format!("Bearer {secret}"),
            format!("Basic {secret}"),
            secret.to_owned(),
        ] {
            for path in ["customers/events", "batch", "nowhere", "system/time"] {
                let path = format!("/track/v2/projects/{TOKEN}/{path}");
                let post = Request::new(process.address, "POST", &path);
                let post = post.header("Authorization", &authorization).body(event);
                said.push_str(&format!("{:?}\n", post.send().await));
            }
            let endpoint = Channel::from_shared(format!("http://{}", process.address));
            let channel = endpoint.unwrap().connect().await.unwrap();
            let mut client = TrackingServiceClient::new(channel);
            let question = pb::GetSystemTimeRequest {
                project_token: TOKEN.to_owned(),
            };
            let answer = client.get_system_time(authorized(question, &authorization));
            said.push_str(&format!("{:?}\n", answer.await));
        }
        let path = format!("/track/v2/projects/{TOKEN}/system/time?access_token={secret}");
        let get = Request::new(process.address, "GET", &path).send().await;
        said.push_str(&format!("{get:?}\n"));
    }
    for status in ["status: 200", "status: 401", "status: 403", "status: 429"] {
        assert!(
            said.contains(status),
            "otherwise it proves little: {status}"
        );
    }
    let admin = process.admin();
    for path in ["/metrics", "/limits", "/nowhere", "/backup"] {
        let get = Request::new(admin, "GET", path);
        let answer = papers.caller().send(admin, get).await.unwrap();
        said.push_str(&format!("{answer:?}\n"));
    }
    // Settings with mistakes in every line that has a secret.
    let broken = settings
        .replace("secrets = [", "secrets = [\"\\u0007hush-guess-4\", 1, ")
        .replace("secrets_sha256 = [\"", "secrets_sha256 = [\"0")
        .replace("id = \"hashed\"", "id = \"hashed:hush-guess-6\"");
    fs::write(dir.join("footfall.toml"), broken).unwrap();
    process.signal("HUP");
    eventually("the mistakes are told", async || {
        log(dir).contains("nothing reloaded").then_some(())
    })
    .await;
    let (code, checked) = run(command(dir).args(["check-config", "--config", "footfall.toml"]));
    assert_eq!(code, Some(1), "{checked}");
    process.signal("TERM");
    let printed = process.rest().to_owned();
    assert!(log(dir).contains("stopped"), "{}", log(dir));
    for (place, text) in [
        ("the answers", said),
        ("standard output", printed),
        ("the log", log(dir)),
        ("what check-config says", checked),
    ] {
        assert_silent(place, &text);
        let mut lines = key.lines().filter(|line| line.len() > 20);
        assert!(!lines.any(|line| text.contains(line)), "{place}");
    }
}
