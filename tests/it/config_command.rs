//! `footfall config`: every setting in force, with its source and without secrets.

use std::fs;

use crate::harness::process::{command, run};

const SETTINGS: &str = r#"
[data]
retention = "90d"
[server]
listen = "127.0.0.1:1"
cors_origins = [
    "https://a.example",   # the shop
    "https://b.example",
]
[rate_limit]
requests = 0x10
[[rate_limit.override]]
cidr = "10.0.0.0/8"
requests = 5
[[project]]
token = "t"
rate_limit = { requests = 7 }
[[project.key]]
public = "hush-public"
permissions = ["events:set"]
[[project.key]]
id = "key-id"
secrets = ["hush-old", "hush-new"]
expires = 2027-01-31T00:00:00Z
permissions = []
"#;

#[test]
fn every_setting_in_force_is_printed_with_its_source_and_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("footfall.toml"), SETTINGS).unwrap();
    let mut command = command(dir.path());
    let command = command
        .env("FOOTFALL_SERVER_STREAMS_MAX", "7")
        .env("FOOTFALL_SERVER_LISTEN", "127.0.0.1:2")
        .env(
            "FOOTFALL_CLIENT_ADDRESS_TRUSTED_PROXIES",
            "10.0.0.1,10.1.0.0/16",
        )
        .env("FOOTFALL_DATA_DIR", "8")
        .args([
            "config",
            "--config",
            "footfall.toml",
            "--listen",
            "127.0.0.1:3",
        ]);
    let (code, printed) = run(command);
    assert_eq!(code, Some(0), "{printed}");
    let lines: Vec<_> = printed.lines().collect();
    let expected = [
        "server.listen = \"127.0.0.1:3\" # flag --listen",
        "server.admin_listen = \"127.0.0.1:0\" # environment FOOTFALL_SERVER_ADMIN_LISTEN",
        "server.tls.cert = none # default",
        "server.tls.client_auth = \"none\" # default",
        "server.connections_max = 10000 # default",
        "server.streams_max = 7 # environment FOOTFALL_SERVER_STREAMS_MAX",
        "server.cors_origins = [\"https://a.example\", \"https://b.example\"] # file",
        "data.dir = \"8\" # environment FOOTFALL_DATA_DIR",
        "data.queue_bytes_max = \"64MiB\" # default",
        "data.retention = \"90d\" # file",
        "view.lag_max = 250000 # default",
        "client_address.trusted_proxies = [\"10.0.0.1\", \"10.1.0.0/16\"] # environment FOOTFALL_CLIENT_ADDRESS_TRUSTED_PROXIES",
        "rate_limit.requests = 16 # file",
        "rate_limit.burst = 16 # default",
        "rate_limit.shadow = false # default",
        "rate_limit.override[1].cidr = \"10.0.0.0/8\" # file",
        "rate_limit.override[1].period = \"1m\" # default",
        "rate_limit.override[1].burst = 5 # default",
        "log.level = \"info\" # default",
        "project[1].token = \"t\" # file",
        "project[1].soft_ids = [\"cookie\"] # default",
        "project[1].rate_limit.requests = 7 # file",
        "project[1].key[1].public = \"***\" # file",
        "project[1].key[1].permissions = [\"events:set\"] # file",
        "project[1].key[1].rate_limit = none # default",
        "project[1].key[2].id = \"key-id\" # file",
        "project[1].key[2].secrets = [\"***\", \"***\"] # file",
        "project[1].key[2].expires = 2027-01-31T00:00:00Z # file",
    ];
    // In this order, with others between them.
    let mut rest = lines.iter();
    for line in expected {
        assert!(rest.any(|printed| *printed == line), "{line}\n{printed}");
    }
    assert!(lines.len() > 90, "{printed}");
    assert!(!printed.contains("hush"), "{printed}");
}
