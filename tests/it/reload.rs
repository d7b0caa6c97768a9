//! New settings for a running service: what they change at once, what they leave, and that no debt is forgotten.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::first_run::Project;
use crate::harness::process::{Process, log};
use crate::harness::{PRIVATE, Request, Server, Setup, TOKEN, eventually_blocking};

const CLIENT: &str = "203.0.113.7";

fn limited(requests: u32) -> Setup {
    Setup::default().with(&format!("[rate_limit]\nrequests = {requests}"))
}

/// Requests of an address that pass before the first refusal.
async fn passing(server: &Server, from: &str) -> usize {
    let mut passed = 0;
    while passed < 50 && server.get("/nowhere").from(from).send().await.status == 404 {
        passed += 1;
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_changes_without_a_restart_and_nobodys_debt_is_forgotten() {
    let server = limited(4).start().await;
    assert_eq!(passing(&server, CLIENT).await, 4);
    let reloaded = server.reloads(&limited(8));
    assert_eq!(
        (reloaded.changed, reloaded.left),
        (vec!["rate_limit"], vec![])
    );
    assert_eq!(passing(&server, CLIENT).await, 0);
    assert_eq!(passing(&server, "203.0.113.8").await, 8);
    server.clock.advance(Duration::from_secs(30));
    assert_eq!(
        passing(&server, CLIENT).await,
        4,
        "half of the minute, half of the eight"
    );

    let ruled = r#"
[rate_limit]
requests = 1
exempt = ["198.51.100.0/24"]
[[rate_limit.override]]
cidr = "192.0.2.0/24"
requests = 3
"#;
    server.reloads(&Setup::default().with(ruled));
    assert_eq!(passing(&server, "192.0.2.1").await, 3);
    assert_eq!(passing(&server, "198.51.100.1").await, 50);
    assert_eq!(passing(&server, "203.0.113.9").await, 1);
    server.reloads(&Setup::default().with("[rate_limit]\nrequests = 1\nshadow = true"));
    assert_eq!(passing(&server, "203.0.113.9").await, 50);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_as_long_as_it_differs() {
    let server = Setup::default().start().await;
    let other = r#"
[server]
streams_max = 7
drain_timeout = "1s"
cors_origins = []
[data]
queue_records_max = 9
retention = "90d"
[client_address]
trusted_proxies = []
header = "forwarded"
[rate_limit]
slots = 64
[log]
format = "json"
"#;
    for _ in 0..2 {
        let reloaded = server.reloads(&Setup::default().with(other));
        assert_eq!(reloaded.changed, [""; 0]);
        assert_eq!(
            reloaded.left,
            [
                "server.streams_max",
                "server.drain_timeout",
                "server.cors_origins",
                "data.queue_records_max",
                "data.retention",
                "log.format",
                "client_address.trusted_proxies or trusted_hops",
                "client_address.header",
                "rate_limit.slots"
            ]
        );
    }
    let reloaded = server.reloads(&Setup::default());
    assert_eq!(reloaded.left, [""; 0]);
    server.stop().await;
}

fn project(token: &str, rest: &str) -> String {
    format!("[[project]]\ntoken = \"{token}\"\n{rest}\n")
}

fn public(key: &str, rest: &str) -> String {
    format!("[[project.key]]\npublic = \"{key}\"\npermissions = [\"events:set\"]\n{rest}\n")
}

fn private(secret: &str) -> String {
    format!(
        "[[project.key]]\nid = \"key-id\"\nsecrets = [\"{secret}\"]\npermissions = [\"events:get\"]\n"
    )
}

fn of(parts: &[&str]) -> Setup {
    Setup::default().projects(&parts.concat())
}

async fn time(server: &Server, token: &str, authorization: &str) -> u16 {
    let path = format!("/track/v2/projects/{token}/system/time");
    let get = server.get(&path).header("Authorization", authorization);
    get.send().await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_projects_come_and_go() {
    let mine = project(TOKEN, "");
    let server = of(&[&mine, &public("old", "")]).start().await;
    assert_eq!(time(&server, TOKEN, "Token old").await, 200);
    assert_eq!(time(&server, TOKEN, "Token new").await, 401);
    let second = project("second", "");
    let reloaded = server.reloads(&of(&[&mine, &public("new", ""), &second, &public("p", "")]));
    assert_eq!(reloaded.changed, ["project"]);
    let lost = format!("the public key[1] of project \"{TOKEN}\"");
    assert_eq!(reloaded.gone, [lost]);
    assert_eq!(time(&server, TOKEN, "Token old").await, 401);
    assert_eq!(time(&server, TOKEN, "Token new").await, 200);
    assert_eq!(time(&server, "second", "Token p").await, 200);
    let reloaded = server.reloads(&of(&[&mine, &public("new", "")]));
    assert_eq!(reloaded.gone, ["project \"second\""]);
    assert_eq!(time(&server, "second", "Token p").await, 400);
    // A file without any is more likely a mistake.
    let reloaded = server.reloads(&of(&[]));
    assert_eq!(reloaded.left, ["project (there is none any more)"]);
    assert_eq!(time(&server, TOKEN, "Token new").await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_and_a_watch_ends_with_its_key_alone() {
    let mine = project(TOKEN, "");
    let server = of(&[&mine, &private("key-secret")]).start().await;
    let mut watch = server.listens("", "").await;
    assert!(watch.piece().await.is_some());
    // Another key is no matter of this one's.
    server.reloads(&of(&[
        &mine,
        &private("key-secret"),
        &public("public-key", ""),
    ]));
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    server.accepts("customers/events", event).await;
    assert_eq!(watch.event().await.0["type"], "visit");
    server.reloads(&of(&[
        &mine,
        &private("next-secret"),
        &public("public-key", ""),
    ]));
    let end = async { while watch.piece().await.is_some() {} };
    let ended = tokio::time::timeout(Duration::from_secs(20), end).await;
    ended.expect("the watch goes on without its key");
    assert_eq!(time(&server, TOKEN, PRIVATE).await, 403);
    // key-id:next-secret
    assert_eq!(
        time(&server, TOKEN, "Basic a2V5LWlkOm5leHQtc2VjcmV0").await,
        200
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_of_projects_and_keys_change_and_what_is_owed_stays() {
    let quota = |requests: u32| format!("rate_limit = {{ requests = {requests} }}");
    let mine = project(TOKEN, &quota(3));
    let server = of(&[&mine, &public("a", &quota(1)), &public("b", "")])
        .start()
        .await;
    assert_eq!(time(&server, TOKEN, "Token a").await, 200);
    assert_eq!(time(&server, TOKEN, "Token b").await, 200);
    // The keys change places; the project may send twice as much, of which two thirds are owed.
    let mine = project(TOKEN, &quota(6));
    server.reloads(&of(&[&mine, &public("b", ""), &public("a", &quota(1))]));
    assert_eq!(time(&server, TOKEN, "Token a").await, 429);
    let mut passed = 0;
    while passed < 50 && time(&server, TOKEN, "Token b").await == 200 {
        passed += 1;
    }
    assert_eq!(passed, 2);
    server.reloads(&of(&[
        &project(TOKEN, ""),
        &public("b", ""),
        &public("a", ""),
    ]));
    assert_eq!(
        time(&server, TOKEN, "Token a").await,
        200,
        "no quota, no refusal"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_types_of_a_project_stay_until_a_restart() {
    let server = of(&[&project(TOKEN, ""), &public("public-key", "")])
        .start()
        .await;
    let other = project(TOKEN, "soft_ids = [\"device\"]");
    let reloaded = server.reloads(&of(&[&other, &public("public-key", "")]));
    assert_eq!(reloaded.left, ["project[1].soft_ids"]);
    let event = |id: &str| format!(r#"{{"customer_ids":{{"{id}":"a"}},"event_type":"visit"}}"#);
    server.accepts("customers/events", &event("cookie")).await;
    let refused = server
        .track("customers/events", &event("device"))
        .send()
        .await;
    assert_eq!(refused.status, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_comes_back_has_the_id_types_that_it_had() {
    let mine = [project(TOKEN, ""), public("public-key", "")].concat();
    let server = of(&[&mine]).start().await;
    let second = |ids: &str| [project("second", ids), public("p", "")].concat();
    server.reloads(&of(&[&mine, &second("soft_ids = [\"device\"]")]));
    server.reloads(&of(&[&mine]));
    let other = of(&[&mine, &second("hard_ids = [\"device\"]\nsoft_ids = []")]);
    let refused = server.try_reload(&other).unwrap_err().to_string();
    assert!(
        refused.contains("\"second\"") && refused.contains("\"device\" was soft and is hard"),
        "{refused}"
    );
    assert_eq!(time(&server, "second", "Token p").await, 400);
    server.reloads(&of(&[
        &mine,
        &second("soft_ids = [\"device\", \"cookie\"]"),
    ]));
    assert_eq!(time(&server, "second", "Token p").await, 200);
    server.stop().await;
}

/// Requests that pass before the first refusal.
async fn passing_in(process: &Process, project: &Project, from: &str) -> usize {
    let path = format!("/track/v2/projects/{}/system/time", project.token);
    let ask = || {
        let get = Request::new(process.address, "GET", &path).from(from);
        get.header("Authorization", &project.private()).send()
    };
    let mut passed = 0;
    while passed < 20 && ask().await.status == 200 {
        passed += 1;
    }
    passed
}

/// Writes the settings, tells the service, and waits until its log has so many lines with `text`.
fn hang_up(process: &Process, dir: &Path, settings: &str, text: &str, times: usize) {
    fs::write(dir.join("footfall.toml"), settings).unwrap();
    process.signal("HUP");
    eventually_blocking(&format!("the log says {text:?} {times} times"), || {
        (log(dir).matches(text).count() >= times).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_reloads_on_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let settings =
        |requests: u32| format!("[rate_limit]\nrequests = {requests}\nperiod = \"1h\"\n");
    fs::write(dir.join("footfall.toml"), settings(2)).unwrap();
    let process = Process::start_configured(dir, "footfall.toml");
    let project = Project::read(dir);
    assert_eq!(passing_in(&process, &project, CLIENT).await, 2);

    hang_up(
        &process,
        dir,
        &settings(4),
        "settings reloaded changed=rate_limit",
        1,
    );
    assert_eq!(passing_in(&process, &project, CLIENT).await, 0);
    assert_eq!(passing_in(&process, &project, "203.0.113.8").await, 4);

    // A broken file changes nothing, and every mistake in it is told.
    let broken =
        "[rate_limit]\nrequests = 9\nperiod = \"2d\"\n[server]\nlisten = \"here\"\nlisen = 1\n";
    hang_up(&process, dir, broken, "the settings have a mistake", 3);
    for mistake in [
        "server.listen (line 5): \"here\" is not an address",
        "server.lisen (line 6): unknown key",
        "rate_limit.period (line 3): 172800s is no quota",
    ] {
        assert!(log(dir).contains(mistake), "{}", log(dir));
    }
    assert_eq!(passing_in(&process, &project, "203.0.113.9").await, 4);

    let restart = format!("{}slots = 8\n[data]\ndir = \"elsewhere\"\n", settings(5));
    hang_up(
        &process,
        dir,
        &restart,
        "settings reloaded changed=rate_limit",
        2,
    );
    for setting in ["data.dir", "rate_limit.slots"] {
        let line = format!("differs, and needs a restart to change setting={setting}");
        assert!(log(dir).contains(&line), "{}", log(dir));
    }
    assert_eq!(passing_in(&process, &project, "203.0.113.10").await, 5);

    // Who writes a file empties it first.
    hang_up(&process, dir, "\n", "is empty", 1);
    assert_eq!(passing_in(&process, &project, "203.0.113.13").await, 5);

    // The project of the first run lies in a file of its own.
    let file = dir.join("footfall-data/project.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&project.secret, "another-secret")).unwrap();
    hang_up(
        &process,
        dir,
        &restart,
        "settings reloaded changed=project",
        1,
    );
    assert_eq!(passing_in(&process, &project, "203.0.113.11").await, 0);
    let project = Project::read(dir);
    assert_eq!(passing_in(&process, &project, "203.0.113.12").await, 5);
    assert!(!dir.join("elsewhere").exists());
    assert!(process.terminate().success(), "{}", log(dir));
}
