//! docs/configuration.md has every setting, with its default.

use std::collections::BTreeMap;

use super::super::env::Environment;
use super::super::reading::Sources;
use super::*;

/// A setting of the page: its section, its key and its default.
type Row = (String, String, String);

/// One of each table that stands in the file only, so that all their keys are asked for.
const TABLES: &str = r#"
[[rate_limit.override]]
cidr = "10.0.0.0/8"
requests = 1
[[project]]
token = "t"
[[project.key]]
public = "p"
permissions = []
"#;

/// The rows of the page, by section; those of tables without a default in the middle are no settings.
fn page() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let (mut section, mut rows, mut is_settings) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.trim_matches(['[', ']']).to_owned();
        }
        if line.starts_with("| setting |") {
            is_settings = true;
        } else if !line.starts_with('|') {
            is_settings = false;
        } else if is_settings && !line.starts_with("|--") {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let mut cell = || cells.next().unwrap().trim_matches('`').to_owned();
            rows.push((section.clone(), cell(), cell()));
        }
    }
    assert!(rows.len() > 75, "{rows:?}");
    rows
}

/// What the code asks for and what holds by default, in the sections' own words.
fn code() -> BTreeMap<(String, String), Option<String>> {
    let environment = Environment::new();
    let sources = Sources {
        text: TABLES,
        environment: &environment,
        flags: &[],
    };
    let (_, reported) = sources.read(Vec::new(), Config::read).unwrap();
    let keys = reported.into_iter().map(|setting| {
        let name = setting.name.replace("[1]", "");
        let (section, key) = name.rsplit_once('.').unwrap();
        let default = setting.value.filter(|_| setting.source == "default");
        ((section.to_owned(), key.to_owned()), default)
    });
    // The second listener has the keys of the first.
    keys.filter(|((section, _), _)| section != "server.admin_tls")
        .collect()
}

#[test]
fn the_page_has_every_setting_and_no_other() {
    let page = page().into_iter().map(|(section, key, _)| (section, key));
    let mut page: Vec<_> = page.collect();
    page.sort();
    assert_eq!(page, code().into_keys().collect::<Vec<_>>());
}

#[test]
fn the_page_has_the_defaults_of_the_code() {
    let code = code();
    // As much as another setting, a list below the table, or nothing.
    let in_prose = [
        "burst",
        "period",
        "unusable_ids",
        "secrets",
        "secrets_sha256",
    ];
    for (section, key, default) in page() {
        if !(default.is_empty() && in_prose.contains(&key.as_str())) {
            let reported = code[&(section.clone(), key.clone())].as_deref();
            let reported = reported.unwrap_or_default().trim_matches('"');
            assert_eq!(default, reported, "{section}.{key}");
        }
    }
}
