//! The tables, held against the code and against what a running service shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use footfall::middleware::rpc::RPCS;
use footfall::model::reason::Reason;
use footfall::rest::routes::{ENTRIES, Entry};
use footfall::view::keys::Table;
use serde_json::Value;

use super::pages::{Page, names, page, repository};
use crate::harness::{Request, Server};

/// What stands on one side only.
fn differences(page: BTreeSet<String>, code: BTreeSet<String>) -> Vec<String> {
    let not_in = |what: &str, name: &String| format!("not in {what}: {name}");
    let no_page = code.difference(&page).map(|name| not_in("the page", name));
    let no_code = page.difference(&code).map(|name| not_in("the code", name));
    no_page.chain(no_code).collect()
}

/// The names in the first cells of tables.
fn first_names(rows: &[Vec<String>]) -> BTreeSet<String> {
    let cells = rows.iter().flat_map(|row| names(&row[0]));
    cells.map(str::to_owned).collect()
}

/// What a service shows of itself.
async fn metrics() -> String {
    let server = Server::start().await;
    let shown = Request::new(server.admin, "GET", "/metrics")
        .send()
        .await
        .body;
    server.stop().await;
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_has_every_metric_and_its_type() {
    let page = page("docs/metrics.md");
    let rows = page.rows();
    let types: BTreeMap<_, _> = rows
        .iter()
        .filter(|row| row.len() == 4)
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()))
        .collect();
    let shown = metrics().await;
    let shown = shown.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let total = if kind == "counter" { "_total" } else { "" };
        Some((format!("{name}{total}"), kind.to_owned()))
    });
    let mut shown: BTreeMap<_, _> = shown.collect();
    // Of handshakes nothing is shown before one fails.
    let failed = "footfall_tls_handshakes_failed_total".to_owned();
    assert_eq!(types.get(&failed).map(String::as_str), Some("counter"));
    shown.insert(failed, "counter".to_owned());
    assert!(shown.len() > 30, "{shown:?}");
    assert_eq!(types, shown);
}

/// The setting of a row of limits: its section, where it names one, and its key.
fn setting(cell: &str) -> Option<(String, String)> {
    let is_key = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    match names(cell)[..] {
        [key] if is_key(key) && !cell.contains("half of") => {
            Some(("[server]".to_owned(), key.to_owned()))
        }
        [section, key] => Some((section.to_owned(), key.to_owned())),
        _ => None,
    }
}

/// The settings of the page of settings with their defaults, by section and key.
fn settings() -> BTreeMap<(String, String), String> {
    let page = page("docs/configuration.md");
    let mut found = BTreeMap::new();
    for section in ["[server]", "[data]", "[client_address]", "[rate_limit]"] {
        for row in page.rows_below(&format!("## {section}")) {
            let key = row[0].trim_matches('`').to_owned();
            found.insert((section.to_owned(), key), row[1].clone());
        }
    }
    assert!(found.len() > 50, "{found:?}");
    found
}

#[test]
fn the_page_of_reasons_is_the_list_in_the_code() {
    let rows = page("docs/reasons.md").rows();
    let shown: Vec<_> = rows.iter().map(|row| row.join(" | ")).collect();
    let listed = Reason::ALL.iter().map(|reason| {
        let (tag, meaning, advice) = (reason.tag(), reason.meaning(), reason.advice());
        format!("`{tag}` | {meaning} | {advice}")
    });
    assert_eq!(shown, listed.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_limits_names_every_guard() {
    let rows = page("docs/limits.md").rows();
    let cells = rows.iter().filter_map(|row| row.get(4));
    let guards: BTreeSet<_> = cells
        .flat_map(|cell| names(cell))
        .map(str::to_owned)
        .collect();
    let shown = metrics().await;
    let guard = |line: &str| {
        let rest = line.strip_prefix("footfall_guard_rejections_total{guard=\"")?;
        Some(rest.split('"').next()?.to_owned())
    };
    let shown: BTreeSet<_> = shown.lines().filter_map(guard).collect();
    assert!(shown.len() > 20, "{shown:?}");
    // The tables of rpcs and callers have five columns too.
    let others = ["body_timeout", "request_timeout", "connections_max"];
    let guards = guards
        .into_iter()
        .filter(|name| shown.contains(name) || !others.contains(&name.as_str()));
    assert_eq!(differences(guards.collect(), shown), [""; 0]);
}

#[test]
fn the_page_of_limits_says_the_defaults_of_the_page_of_settings() {
    let settings = settings();
    let page = page("docs/limits.md");
    let mut compared = BTreeSet::new();
    for heading in [
        "## Connections",
        "## Calls",
        "## Streams",
        "## Bodies and messages",
        "## Reads and answers",
        "## Disk and machine",
    ] {
        for row in page.rows_below(heading) {
            let Some(name) = setting(&row[1]) else {
                continue;
            };
            assert_eq!(settings.get(&name), Some(&row[2]), "{name:?}");
            compared.insert(name);
        }
    }
    assert!(compared.len() > 30, "{compared:?}");
    // Whatever is the most of something is a limit.
    let most = settings.keys().filter(|(_, key)| key.ends_with("_max"));
    let missing: Vec<_> = most.filter(|name| !compared.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_readme_says_the_defaults_of_the_page_of_settings() {
    let settings = settings();
    let rows = page("README.md").rows_below("## Configure");
    let mut compared = 0;
    for row in &rows {
        for name in names(&row[0]) {
            let Some((section, key)) = name.rsplit_once('.').filter(|_| !name.starts_with('['))
            else {
                continue;
            };
            let known = settings.get(&(format!("[{section}]"), key.to_owned()));
            // Its networks are loopback.
            if key != "trusted_proxies" && section != "server.tls" {
                assert_eq!(known, Some(&row[1]), "{name}");
                compared += 1;
            }
        }
    }
    assert_eq!(rows.len(), 10);
    assert!(compared >= 7, "{compared}");
}

/// Whether the page has a route in full, as `/track/…/batch`, or, of what SDKs ask, by its end, as `…/segments`.
fn has_route(page: &Page, entry: &Entry) -> bool {
    let is_there = |route: String| page.text.contains(&format!("{route}`"));
    let parts = entry.path.split_once("/v2/projects/{project_token}");
    let in_full = match parts {
        Some((api, rest)) => is_there(format!(" {api}/…{rest}")),
        None => is_there(format!("`{}", entry.path)) || is_there(format!("GET {}", entry.path)),
    };
    let mut ends = entry
        .path
        .match_indices('/')
        .map(|(at, _)| &entry.path[at..]);
    in_full || entry.rpc.is_empty() && ends.any(|end| is_there(format!("…{end}")))
}

#[test]
fn the_page_of_the_api_has_every_route_and_every_rpc() {
    let (api, readme) = (page("docs/api.md"), page("README.md"));
    let missing = ENTRIES.iter().filter(|entry| !has_route(&api, entry));
    let missing: Vec<_> = missing.map(|entry| entry.path).collect();
    assert_eq!(missing, [""; 0]);
    let limits = page("docs/limits.md");
    for rpc in &RPCS {
        let (service, name) = rpc.path.trim_start_matches('/').split_once('/').unwrap();
        let short = format!("`{name}`");
        let of_health = format!("`Health/{name}`");
        assert!(
            limits.text.contains(&short) || limits.text.contains(&of_health),
            "{}",
            rpc.path
        );
        if service.starts_with("footfall.") {
            for page in [&api, &readme] {
                assert!(page.text.contains(&short), "{}: {name}", page.path);
            }
        }
    }
}

#[test]
fn the_page_of_dependencies_has_every_crate() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let mut crates = BTreeSet::new();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        crates.extend(manifest[kind].as_table().unwrap().keys().cloned());
    }
    let listed = first_names(&page("docs/dependencies.md").rows());
    assert_eq!(differences(listed, crates), [""; 0]);
}

#[test]
fn the_charts_are_what_the_script_draws_of_the_published_run() {
    let mut python = Command::new("python3");
    let output = python
        .arg(repository().join("benches/charts.py"))
        .arg("--check")
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

/// A number as the page writes it.
fn written(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut written = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

#[test]
fn the_page_of_numbers_says_what_was_published() {
    let run = fs::read_to_string(repository().join("benches/published/throughput.json")).unwrap();
    let run: Value = serde_json::from_str(&run).unwrap();
    let page = page("docs/performance.md");
    let rows = page.rows_below("## Throughput");
    let published = run["rows"].as_array().unwrap();
    assert_eq!(rows.len(), published.len());
    for row in published {
        let median = |side: &str| written(row[side]["median"].as_f64().unwrap());
        let expected = [
            median("baseline"),
            median("footfall"),
            format!("{:.2}", row["ratio"].as_f64().unwrap()),
        ];
        let is_there = rows.iter().any(|cells| cells[2..] == expected);
        assert!(is_there, "{}: {expected:?}", row["name"]);
    }
}

#[test]
fn numbers_are_written_with_commas() {
    assert_eq!(written(49_200.0), "49,200");
    assert_eq!(written(2_800_000.0), "2,800,000");
    assert_eq!(written(850.0), "850");
}

#[test]
fn the_page_of_the_format_has_the_tables_of_the_view_in_their_order() {
    let rows = page("docs/format.md").rows_below("## The view");
    let rows = rows.iter().filter(|row| row.len() == 3);
    let mut tables: Vec<_> = rows.flat_map(|row| names(&row[0])).collect();
    tables.dedup();
    assert_eq!(tables, Table::ALL.map(Table::name));
    // A key begins with the byte of its table.
    assert_eq!(
        Table::ALL.map(|table| table as u8),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    );
}

/// A constant of the sources.
fn constant(path: &str, declared: &str) -> String {
    let source = fs::read_to_string(repository().join(path)).unwrap();
    let (_, rest) = source.split_once(declared).unwrap();
    rest.split(';').next().unwrap().trim().to_owned()
}

#[test]
fn the_page_of_the_format_says_the_versions_of_the_code() {
    let page = page("docs/format.md");
    let view = constant("src/view/store.rs", "const FORMAT: u64 =");
    let row = page
        .rows()
        .into_iter()
        .find(|row| row[1] == "`format`")
        .unwrap();
    assert_eq!(row[2], format!("u64: {view}"));
    let record = constant("src/log/record.rs", "const VERSION: u8 =");
    assert!(
        page.text
            .contains(&format!("| 1 | format version: {record} |"))
    );
}

/// The numbers and names of a message's fields, as a proto file has them.
fn fields(proto: &str, message: &str) -> BTreeMap<String, String> {
    let (_, body) = proto.split_once(&format!("message {message} {{")).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let lines = body.lines().filter(|line| !line.contains("//"));
    let fields = lines.filter_map(|line| {
        let (declared, number) = line.trim().strip_suffix(';')?.split_once(" = ")?;
        let name = declared.split(' ').next_back()?;
        Some((name.to_owned(), number.to_owned()))
    });
    fields.collect()
}

#[test]
fn the_page_of_the_format_has_every_field_of_a_record() {
    let mut found = Vec::new();
    for dir in ["proto", "src"] {
        let mut folders = vec![repository().join(dir)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.file_name().and_then(|name| name.to_str()) {
                    _ if path.is_dir() => folders.push(path),
                    Some("record.proto") => found.push(path),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    let proto = fs::read_to_string(&found[0]).unwrap();
    let page = page("docs/format.md");
    let rows = page.rows_below("## The log");
    let cell = |row: &[String], at: usize| row[at].trim_matches('`').to_owned();
    let record: BTreeMap<_, _> = rows
        .iter()
        .filter(|row| row.len() == 4)
        .map(|row| (cell(row, 0), cell(row, 1)))
        .collect();
    assert_eq!(record, fields(&proto, "Record"));
    let mut message = String::new();
    let mut others: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.len() == 5) {
        if !row[0].is_empty() {
            message = cell(row, 0);
        }
        if !row[1].is_empty() {
            let of_message = others.entry(message.clone()).or_default();
            of_message.insert(cell(row, 1), cell(row, 2));
        }
    }
    assert_eq!(others.len(), 5, "{others:?}");
    for (message, listed) in others {
        assert_eq!(listed, fields(&proto, &message), "{message}");
    }
}
