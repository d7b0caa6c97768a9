use std::fs;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::log::{Format, Level};
use super::*;
use crate::limit::{self, PrefixMultipliers, Quota};
use crate::model::address::Header;
use crate::model::project::{KeyAccess, Permission, PublicKey, SecretHash};

mod certificates;
mod documented;
mod grants;
mod projects;
mod quotas;

const EXAMPLE: &str = r#"
[server]
listen = "127.0.0.1:8080"            # gRPC and REST
admin_listen = "127.0.0.1:9090"      # metrics, health
[data]
dir = "footfall-data"
[client_address]
trusted_proxies = ["127.0.0.0/8", "::1/128"]
header = "x-forwarded-for"           # or "forwarded"
# trusted_hops = 1                   # instead of trusted_proxies
[rate_limit]
requests = 6000
period = "1m"
burst = 6000                         # default: requests
exempt = []                          # CIDRs
shadow = false
[[rate_limit.override]]
cidr = "10.0.0.0/8"
requests = 600000
[[project]]
token = "11111111-2222-3333-4444-555555555555"
hard_ids = ["registered"]
soft_ids = ["cookie"]
lowercase_ids = []
[[project.key]]                      # public: Authorization: Token ...
public = "public-key"
permissions = ["customers:set", "events:set"]
[[project.key]]                      # private: Authorization: Basic base64(id:secret); up to two secrets
id = "key-id"
secrets = ["key-secret"]             # or secrets_sha256 = ["hex..."]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase", "refusals:get"]
"#;

/// Settings from a file's text, variables and flags.
fn load(text: &str, variables: &[(&str, &str)], flags: Flags) -> Result<Config, Mistakes> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("footfall.toml");
    fs::write(&path, text).unwrap();
    let flags = Flags {
        config: Some(path),
        ..flags
    };
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config::load(&flags, variables.iter().map(own))
}

fn file(text: &str) -> Result<Config, Mistakes> {
    load(text, &[], Flags::default())
}

fn variables(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    load("", variables, Flags::default())
}

/// The mistakes, one a line, without the line that counts them.
fn lines<T: std::fmt::Debug>(result: Result<T, Mistakes>) -> Vec<String> {
    result
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn has<T: std::fmt::Debug>(result: Result<T, Mistakes>, line: &str) {
    let lines = lines(result);
    assert!(
        lines.iter().any(|found| found.starts_with(line)),
        "{line}\nis not in\n{lines:#?}"
    );
}

#[test]
fn without_any_source_the_defaults_hold() {
    let config = Config::load(&Flags::default(), []).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.batch_bytes_max.get(), 16_777_216);
    assert_eq!(config.rate_limit.addresses.quota.burst().get(), 6_000);
    assert_eq!(config.data.queue_bytes_max.get(), 67_108_864);
    assert_eq!(config.projects, []);
}

#[test]
fn the_example_is_the_defaults_with_an_override_and_a_project() {
    let config = file(EXAMPLE).unwrap();
    let project = config.projects.first().unwrap();
    assert_eq!(project.token, "11111111-2222-3333-4444-555555555555");
    assert_eq!(
        project.keys[0].key.access,
        KeyAccess::Public(PublicKey::new("public-key"))
    );
    assert_eq!(
        project.keys[0].key.permissions,
        [Permission::SetCustomers, Permission::SetEvents]
    );
    let secrets = vec![SecretHash::of("key-secret")];
    assert_eq!(
        project.keys[1].key.access,
        KeyAccess::Private {
            id: "key-id".to_owned(),
            secrets
        }
    );
    assert_eq!(project.keys[1].key.permissions, Permission::ALL);
    let requests = NonZeroU32::new(600_000).unwrap();
    let quota = Quota::new(requests, Duration::from_mins(1), requests).unwrap();
    let network = "10.0.0.0/8".parse().unwrap();
    assert_eq!(config.rate_limit.addresses.overrides, [(network, quota)]);
    let mut rate_limit = config.rate_limit;
    rate_limit.addresses.overrides.clear();
    assert_eq!(
        Config {
            projects: Vec::new(),
            rate_limit,
            ..config
        },
        Config::default()
    );
}

#[test]
fn every_key_is_also_a_variable() {
    let config = variables(&[
        ("FOOTFALL_SERVER_LISTEN", "[::]:80"),
        ("FOOTFALL_SERVER_STREAMS_MAX", "7"),
        ("FOOTFALL_SERVER_DRAIN_WAIT", "5s"),
        (
            "FOOTFALL_SERVER_CORS_ORIGINS",
            "https://a.example, https://b.example,",
        ),
        ("FOOTFALL_DATA_FREE_BYTES_MIN", "0"),
        ("FOOTFALL_CLIENT_ADDRESS_TRUSTED_HOPS", "2"),
        ("FOOTFALL_CLIENT_ADDRESS_HEADER", "Forwarded"),
        ("FOOTFALL_RATE_LIMIT_EXEMPT", ""),
        ("FOOTFALL_RATE_LIMIT_SHADOW", "true"),
        ("FOOTFALL_RATE_LIMIT_REQUESTS", "9"),
        ("FOOTFALL_LOG_FORMAT", "json"),
        ("FOOTFALL_LOG_LEVEL", "WARN"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "[::]:80");
    assert_eq!(config.server.streams_max.get(), 7);
    assert_eq!(config.server.drain_wait, Duration::from_secs(5));
    assert_eq!(
        config.server.cors_origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(config.data.free_bytes_min, 0);
    assert_eq!(
        config.client_address.trust,
        Trust::Hops(2.try_into().unwrap())
    );
    assert_eq!(config.client_address.header, Header::Forwarded);
    assert_eq!(config.rate_limit.addresses.exempt, []);
    assert!(config.rate_limit.addresses.shadow);
    assert_eq!(config.rate_limit.addresses.quota.burst().get(), 9);
    assert_eq!(
        config.log,
        log::Options {
            level: Level::Warn,
            format: Format::Json
        }
    );
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let text = "[server]\nlisten = '127.0.0.1:1'\nadmin_listen = '127.0.0.1:2'\n[data]\ndir = 'a'";
    let set = [
        ("FOOTFALL_SERVER_LISTEN", "127.0.0.1:3"),
        ("FOOTFALL_DATA_DIR", "b"),
    ];
    let config = load(text, &set, Flags::default()).unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.server.admin_listen.port(), 2);
    assert_eq!(config.data.dir, PathBuf::from("b"));
    let listen = Some("127.0.0.1:4".to_owned());
    let flags = Flags {
        config: None,
        listen,
        data_dir: Some("c".into()),
    };
    let config = load(text, &set, flags).unwrap();
    assert_eq!(config.server.listen.port(), 4);
    assert_eq!(config.data.dir, PathBuf::from("c"));
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = r#"
[server]
listen = "here"
lisen = 1
header_timeout = 10
body_bytes_max = 0
[rate_limit]
requests = "many"
exempt = ["10.0.0.0/8", "10.1.2.3/8", 7]
[[rate_limit.override]]
cidr = "10.0.0.0/8"
[logs]
[log]
level = "loud"
"#;
    let set = [
        ("FOOTFALL_SERVER_LISTEN", "there"),
        ("FOOTFALL_LOG_LEVLE", "x"),
    ];
    let flags = Flags {
        listen: Some("nowhere".to_owned()),
        data_dir: Some("".into()),
        config: None,
    };
    let mistakes = load(text, &set, flags).unwrap_err().to_string();
    let duration = r#"a duration such as "500ms", "10s", "1m", "1h" or "1d", from "1ms" to "365d""#;
    let socket = "an address with a port, such as 127.0.0.1:8080 or [::1]:8080";
    let network = "a network such as 10.0.0.0/8 or 2001:db8::/32, with no bits set beyond its length, or an address";
    let count = "a whole number from 1 to 1000000000";
    let expected = [
        "14 mistakes in the settings".to_owned(),
        format!(r#"  server.listen (line 3): "here" is not {socket}"#),
        format!(r#"  FOOTFALL_SERVER_LISTEN: "there" is not {socket}"#),
        format!(r#"  --listen: "nowhere" is not {socket}"#),
        format!("  server.header_timeout (line 5): 10 is not {duration}"),
        r#"  server.body_bytes_max (line 6): 0 is not a number of bytes or a size such as "64KiB", "1MiB" or "1GiB", from 1 to "1024GiB""#.to_owned(),
        r#"  server.lisen (line 4): unknown key, did you mean "listen"?"#.to_owned(),
        r#"  --data-dir: "" is not a path"#.to_owned(),
        format!(r#"  rate_limit.requests (line 8): "many" is not {count}"#),
        format!(r#"  rate_limit.exempt (line 9): "10.1.2.3/8" is not {network}"#),
        format!("  rate_limit.exempt (line 9): 7 is not {network}"),
        format!("  rate_limit.override[1].requests (line 10): missing, expected {count}"),
        r#"  log.level (line 14): "loud" is not "error", "warn", "info", "debug" or "trace""#.to_owned(),
        r#"  logs (line 12): unknown section, did you mean "log"?"#.to_owned(),
        r#"  FOOTFALL_LOG_LEVLE: unknown variable, did you mean "FOOTFALL_LOG_LEVEL"?"#.to_owned(),
    ];
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_wider_network_has_so_many_quotas_or_no_limit() {
    let default = rate_limit::Options::default();
    assert_eq!(default.addresses, limit::Options::default());
    let given = file("[rate_limit]\nipv6_56_times = 0\nipv6_48_times = 65536\n").unwrap();
    let multipliers = PrefixMultipliers {
        prefix_56: None,
        prefix_48: NonZeroU32::new(65_536),
    };
    assert_eq!(given.rate_limit.addresses.multipliers, multipliers);
    has(
        file("[rate_limit]\nipv6_48_times = 65537\n"),
        "rate_limit.ipv6_48_times (line 2): 65537 is not a whole number from 0 to 65536",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let flags = Flags {
        config: Some("/nowhere/footfall.toml".into()),
        ..Flags::default()
    };
    has(
        Config::load(&flags, [("FOOTFALL_LOG_LEVEL".to_owned(), "x".to_owned())]),
        r#"--config: "/nowhere/footfall.toml" cannot be read: No such file"#,
    );
    let mistakes = Config::load(&flags, []).unwrap_err();
    assert_eq!(
        mistakes.to_string().lines().next(),
        Some("1 mistake in the settings")
    );
}

#[test]
fn broken_toml_is_reported_with_line_and_column() {
    has(file("[server]\nlisten = \n"), "line 2, column 10: ");
    has(
        file("[server]\n[server]\n"),
        "line 2, column 2: duplicate key",
    );
    let lines = lines(load(
        "a = [",
        &[("FOOTFALL_LOG_LEVEL", "x")],
        Flags::default(),
    ));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("FOOTFALL_LOG_LEVEL: ")),
        "{lines:?}"
    );
}

#[test]
fn a_section_of_the_wrong_type_is_a_mistake() {
    assert_eq!(
        lines(file("server = 1")),
        ["server (line 1): not a section, expected [server]"]
    );
    let tables = "project (line 1): not a list of tables, expected [[project]]";
    for text in [
        "project = 'x'",
        "project = ['x']",
        "[project]",
        "project = [{token = 'a'}, 1]",
    ] {
        assert_eq!(lines(file(text)), [tables], "{text}");
    }
    let text = "[[project]]\ntoken = 'a'\nkey = 'id:hush'";
    let tables = "project[1].key (line 3): not a list of tables, expected [[project.key]]";
    assert_eq!(lines(file(text)), [tables]);
}

#[test]
fn hops_and_proxies_exclude_each_other() {
    let both = "given beside trusted_proxies";
    let text = "[client_address]\ntrusted_proxies = ['192.0.2.1']\n";
    let hops = format!("{text}trusted_hops = 1");
    has(
        file(&hops),
        &format!("client_address.trusted_hops (line 3): {both}"),
    );
    let set = [("FOOTFALL_CLIENT_ADDRESS_TRUSTED_HOPS", "1")];
    has(
        load(text, &set, Flags::default()),
        &format!("FOOTFALL_CLIENT_ADDRESS_TRUSTED_HOPS: {both}"),
    );
    let cidrs = vec!["192.0.2.1/32".parse().unwrap()];
    let proxies = Trust::Proxies { cidrs, unix: false };
    assert_eq!(file(text).unwrap().client_address.trust, proxies);
    for hops in ["0", "33", "'1'", "1.5"] {
        let text = format!("[client_address]\ntrusted_hops = {hops}");
        let shown = hops.replace('\'', "\"");
        has(
            file(&text),
            &format!("client_address.trusted_hops (line 2): {shown} is not a whole"),
        );
    }
}

#[test]
fn two_listeners_or_two_overrides_of_one_address_are_a_mistake() {
    has(
        variables(&[("FOOTFALL_SERVER_ADMIN_LISTEN", "127.0.0.1:8080")]),
        r#"FOOTFALL_SERVER_ADMIN_LISTEN: "127.0.0.1:8080" is server.listen too"#,
    );
    let set = [
        ("FOOTFALL_SERVER_LISTEN", "[::1]:0"),
        ("FOOTFALL_SERVER_ADMIN_LISTEN", "[::1]:0"),
    ];
    assert!(variables(&set).is_ok());
    let one = "[[rate_limit.override]]\ncidr = '10.0.0.0/8'\nrequests = 1\n";
    has(
        file(&one.repeat(2)),
        "rate_limit.override[2].cidr (line 5): 10.0.0.0/8 has an override",
    );
}

#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_no_mistake() {
    let set = [
        ("FOOTFALL_SERVICE_HOST", "10.0.0.1"),
        ("FOOTFALL_SERVICE_PORT", "80"),
        ("FOOTFALL_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("FOOTFALL_SERVER_SERVICE_HOST", "10.0.0.2"),
        ("FOOTFALL_SERVER_PORT", "tcp://10.0.0.2:80"),
    ];
    assert!(variables(&set).is_ok());
    has(
        variables(&[("FOOTFALL_PORT", "80")]),
        "FOOTFALL_PORT: unknown variable",
    );
}

#[test]
fn a_variable_that_is_not_utf_8_is_a_mistake() {
    has(
        variables(&[("FOOTFALL_DATA_DIR", "a\u{fffd}b")]),
        "FOOTFALL_DATA_DIR: not UTF-8",
    );
}

#[test]
fn a_mistake_is_one_line_whatever_it_shows() {
    let text = format!(
        "\"a\\nb\" = 1\n[log]\nlevel = \"x\\ny{}\"",
        "z".repeat(10_000)
    );
    let mistakes = file(&text).unwrap_err().to_string();
    assert_eq!(mistakes.lines().count(), 3, "{mistakes}");
    assert!(mistakes.lines().all(|line| line.len() < 200), "{mistakes}");
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in ".{0,200}", toml in "[\\[\\]a-c.=\"'{},0-9\n#\\\\-]{0,80}") {
        for text in [&text, &toml] {
            let _ = projects_from_toml(text);
        }
    }

    #[test]
    fn no_value_breaks_the_reader(
        line in 0_usize..EXAMPLE.lines().count(),
        value in prop_oneof![
            "\\PC{0,12}", "[0-9a-fx.e+-]{1,24}", "'[0-9a-zA-Z:/.,* -]{0,24}'", "\\[('[a-z:/0-9.]{0,5}',?){0,3}\\]",
            "\\{ [a-z]{1,3} = 1 \\}", "\"\"\"[a-z\n]{0,9}\"\"\"", "1979-05-27T07:32:00Z",
        ],
    ) {
        let text: Vec<_> = EXAMPLE.lines().enumerate().map(|(number, written)| match written.split_once('=') {
            Some((key, _)) if number == line => format!("{key}= {value}"),
            _ => written.to_owned(),
        }).collect();
        if let Err(mistakes) = file(&text.join("\n")) {
            let count = mistakes.iter().count();
            prop_assert_eq!(mistakes.to_string().lines().count(), count + 1);
        }
    }

    #[test]
    fn no_variable_breaks_the_reader(name in "[A-Z_]{0,20}", value in any::<String>()) {
        for name in [format!("FOOTFALL_{name}").as_str(), "FOOTFALL_RATE_LIMIT_EXEMPT", "FOOTFALL_SERVER_BODY_TIMEOUT"] {
            let _ = Config::load(&Flags::default(), [(name.to_owned(), value.clone())]);
        }
    }
}
