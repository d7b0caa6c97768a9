//! TLS as operators meet it: the binary, its log, and its commands.

use std::fs;

use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, refuses, run};
use crate::harness::tls::Papers;
use crate::harness::{Request, eventually, eventually_blocking};

#[test]
fn check_config_reads_the_files_and_names_every_mistake() {
    let papers = Papers::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("empty.pem"), "").unwrap();
    let check = |text: &str| {
        fs::write(dir.join("footfall.toml"), text).unwrap();
        run(command(dir).args(["check-config", "--config", "footfall.toml"]))
    };
    let good = papers.mutual("required");
    assert_eq!(check(&good).0, Some(0));
    let bad = good.replace("ca.pem", "nowhere.pem")
        + "[server.admin_tls]\ncert = \"empty.pem\"\nkey = \".\"\n";
    let (code, said) = check(&bad);
    assert_eq!(code, Some(1));
    for line in [
        &format!(
            "server.tls.client_ca: {:?} cannot be read: No such file",
            papers.path("nowhere.pem")
        ),
        "server.admin_tls.cert: \"empty.pem\" has no certificate in PEM form",
        "server.admin_tls.key: \".\" cannot be read",
        "3 mistakes in the settings",
    ] {
        assert!(said.contains(line), "{line}\nis not in\n{said}");
    }
    fs::write(dir.join("footfall.toml"), bad).unwrap();
    let said = refuses(dir, &["serve", "--config", "footfall.toml"]);
    assert!(said.contains("3 mistakes"), "{said}");
    assert!(!dir.join("footfall-data").exists(), "something was made");
}

#[test]
fn a_broken_file_at_sighup_is_told_by_the_log() {
    let papers = Papers::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("footfall.toml"), papers.section("server.tls", "")).unwrap();
    let process = Process::start_configured(dir, "footfall.toml");
    assert!(process.greeting.contains(&process.address.to_string()));
    let hang_up = |line: &str| {
        process.signal("HUP");
        eventually_blocking(&format!("the log says {line:?}"), || {
            log(dir).contains(line).then_some(())
        });
    };
    fs::remove_file(papers.path("key.pem")).unwrap();
    hang_up(&format!(
        "nothing reloaded, the settings have a mistake: server.tls.key: {:?} cannot be read",
        papers.path("key.pem")
    ));
    papers.issue(&["dns:localhost"]);
    hang_up("settings reloaded changed=server.tls");
    assert!(process.terminate().success(), "{}", log(dir));
}

#[test]
fn the_commands_of_the_first_start_say_https_where_tls_is_spoken() {
    let papers = Papers::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("footfall.toml"), papers.section("server.tls", "")).unwrap();
    let mut process = Process::start_configured(dir, "footfall.toml");
    let greeting = process
        .read_until("-d '{\"customer_ids\":{\"registered\":\"jane@example.com\"},\"event_types\"")
        .to_owned();
    let url = format!("curl -sS https://{}/", process.address);
    assert_eq!(greeting.matches(&url).count(), 2, "{greeting}");
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_answered_over_tls_and_a_backup_is_made_as_ever() {
    let papers = Papers::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let client_ca = format!(
        "client_ca = {:?}\nclient_auth = \"required\"",
        papers.path("ca.pem")
    );
    let settings = papers.section("server.admin_tls", &client_ca);
    fs::write(dir.join("footfall.toml"), settings).unwrap();
    let process = Process::start_configured(dir, "footfall.toml");
    let project = Project::read(dir);
    project.visit(&process, "a").await;
    let admin = process.admin();
    let metrics = || Request::new(admin, "GET", "/metrics");
    let refused = papers.caller().send(admin, metrics()).await;
    assert!(refused.is_err(), "{refused:?}");
    let operator = papers.authority.vouches(&["dns:operator"]);
    let operator = papers.caller().showing(operator);
    let line = "footfall_tls_handshakes_failed_total{listener=\"Admin\",reason=\"Certificate\"} 1";
    eventually("the refused operator is counted", async || {
        let told = operator.send(admin, metrics()).await.unwrap();
        told.body.contains(line).then_some(())
    })
    .await;

    let (code, said) = run(command(dir).args(["backup", "copy", "--config", "footfall.toml"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(dir.join("copy/log").exists());
    assert!(process.terminate().success(), "{}", log(dir));
}

#[test]
fn plain_text_beyond_the_machine_is_warned_of_once() {
    let papers = Papers::new();
    let warned = |listen: &str, settings: &str| {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::write(dir.join("footfall.toml"), settings).unwrap();
        let process = Process::start_listening(dir, listen, "footfall.toml");
        assert!(process.terminate().success(), "{}", log(dir));
        log(dir)
            .matches("plain text on an interface of others")
            .count()
    };
    assert_eq!(warned("127.0.0.1:0", ""), 0);
    assert_eq!(warned("0.0.0.0:0", ""), 1);
    assert_eq!(warned("0.0.0.0:0", &papers.section("server.tls", "")), 0);
}
