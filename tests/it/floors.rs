//! The floors of the source: an import goes down, or along where the table says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What each module of the crate may import, besides itself.
const FLOORS: [(&str, &[&str]); 18] = [
    ("model", &[]),
    ("clock", &["model"]),
    ("log", &["model", "clock"]),
    ("limit", &["model", "clock"]),
    ("engine", &["log"]),
    ("view", &["engine", "log", "model", "clock"]),
    ("config", &["limit", "log", "view", "model"]),
    ("telemetry", &["config", "clock"]),
    ("tracker", &["view", "log", "limit", "model", "clock"]),
    ("retention", &["config", "view", "log", "model", "clock"]),
    ("middleware", &["limit", "model", "clock"]),
    (
        "grpc",
        &["middleware", "tracker", "view", "log", "limit", "model"],
    ),
    ("rest", &["grpc", "middleware", "tracker", "limit", "model"]),
    (
        "server",
        &[
            "config",
            "rest",
            "grpc",
            "middleware",
            "tracker",
            "limit",
            "model",
            "clock",
        ],
    ),
    (
        "admin",
        &[
            "config",
            "retention",
            "grpc",
            "middleware",
            "tracker",
            "view",
            "log",
            "limit",
            "model",
            "clock",
        ],
    ),
    (
        "app",
        &[
            "server",
            "admin",
            "retention",
            "config",
            "rest",
            "grpc",
            "middleware",
            "tracker",
            "view",
            "log",
            "limit",
            "model",
            "clock",
        ],
    ),
    ("cli", &["app", "config", "view", "log", "model"]),
    (
        "main",
        &[
            "cli",
            "app",
            "server",
            "admin",
            "config",
            "telemetry",
            "clock",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            _ if path.is_dir() => sources(&path, found),
            Some(extension) if extension == "rs" => found.push(path),
            _ => {}
        }
    }
}

/// The modules of the crate that a source names, by `crate::x` or `crate::{x, y}`; `footfall::` in main.
fn imports(source: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    for (at, prefix) in code.match_indices(root) {
        let rest = &code[at + prefix.len()..];
        let names = match rest.strip_prefix('{') {
            None => rest,
            Some(list) => list.split('}').next().unwrap(),
        };
        let group = rest.starts_with('{');
        for name in names.split(',').take(if group { usize::MAX } else { 1 }) {
            let name: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            found.push(name);
        }
    }
    found
}

fn violations(of: &str, source: &str, root: &str) -> Vec<String> {
    let allowed: BTreeMap<_, _> = FLOORS.into_iter().collect();
    let allowed = allowed
        .get(of)
        .unwrap_or_else(|| panic!("no floor for {of}"));
    imports(source, root)
        .into_iter()
        .filter(|name| name != of && !name.is_empty() && !allowed.contains(&name.as_str()))
        .collect()
}

#[test]
fn no_import_climbs_or_crosses() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 40, "the sources were not found");
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let floor = first.trim_end_matches(".rs");
        let source = std::fs::read_to_string(&file).unwrap();
        let found = match floor {
            "lib" => continue,
            "main" => violations(floor, &source, "footfall::"),
            _ => violations(floor, &source, "crate::"),
        };
        assert!(found.is_empty(), "{} imports {found:?}", inside.display());
    }
}

#[test]
fn an_import_that_climbs_is_found() {
    let source = "use crate::model::x;\nuse crate::{clock, rest::{Rest, Limits}};\n// crate::app\nlet x = crate::grpc::y();";
    assert_eq!(violations("log", source, "crate::"), ["rest", "grpc"]);
}
