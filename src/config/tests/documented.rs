//! docs/configuration.md has every setting, with its default.

use std::collections::BTreeMap;

use super::super::env::Environment;
use super::super::sources::Sources;
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

/// What the code asks for, in the sections' own words.
fn asked() -> Vec<(String, String)> {
    let environment = Environment::new();
    let sources = Sources {
        text: TABLES,
        environment: &environment,
        flags: &[],
    };
    let mut asked = Vec::new();
    let read = sources.read(Vec::new(), |root| {
        let config = Config::read(root);
        asked = root.asked().into_iter().collect();
        config
    });
    read.unwrap();
    let named = asked
        .into_iter()
        .map(|(path, key)| (path.replace("[1]", ""), key.to_owned()));
    // The second listener has the keys of the first.
    named
        .filter(|(path, _)| !path.is_empty() && path != "server.admin_tls")
        .collect()
}

#[test]
fn the_page_has_every_setting_and_no_other() {
    let mut page: Vec<_> = page()
        .into_iter()
        .map(|(section, key, _)| (section, key))
        .collect();
    let sections = ["tls", "admin_tls", "override", "key"];
    let mut code: Vec<_> = asked()
        .into_iter()
        .filter(|(_, key)| !sections.contains(&key.as_str()) || key == "key")
        // `[[project.key]]` is a table; `key` of TLS is a setting.
        .filter(|(path, key)| !(path == "project" && key == "key"))
        .collect();
    page.sort();
    code.sort();
    code.dedup();
    assert_eq!(page, code);
}

/// As it stands in a file.
fn toml(default: &str) -> String {
    let is_bare = default.starts_with('[')
        || default.parse::<u64>().is_ok()
        || default.parse::<bool>().is_ok();
    match is_bare {
        true => default.to_owned(),
        false => format!("\"{default}\""),
    }
}

#[test]
fn the_defaults_of_the_page_are_those_of_the_code() {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for (section, key, default) in page() {
        let is_file_only = section.starts_with("project") || section == "rate_limit.override";
        if !default.is_empty() && !is_file_only && section != "server.tls" {
            let line = format!("{key} = {}\n", toml(&default));
            sections.entry(section).or_default().push_str(&line);
        }
    }
    let text: String = sections
        .iter()
        .map(|(section, lines)| format!("[{section}]\n{lines}"))
        .collect();
    assert!(text.lines().count() > 55, "{text}");
    assert_eq!(file(&text).unwrap(), Config::default(), "{text}");
}

#[test]
fn the_page_names_every_setting_that_has_a_default() {
    // What has none is optional, or is as much as another setting.
    let without = ["burst", "retention", "trusted_hops"];
    for (section, key, default) in page() {
        let is_file_only = section.starts_with("project") || section == "rate_limit.override";
        if !is_file_only && section != "server.tls" {
            assert_eq!(
                default.is_empty(),
                without.contains(&key.as_str()),
                "{section}.{key}"
            );
        }
    }
}

#[test]
fn the_defaults_of_a_project_are_those_of_the_page() {
    let mut text = String::from("[[project]]\n");
    for (section, key, default) in page() {
        if section == "project" && !default.is_empty() {
            text.push_str(&format!("{key} = {}\n", toml(&default)));
        }
    }
    assert!(text.contains("unlisted_ids"), "{text}");
    let bare = file("[[project]]\ntoken = \"t\"\n").unwrap();
    assert_eq!(file(&format!("{text}token = \"t\"\n")).unwrap(), bare);
}
