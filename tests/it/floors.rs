//! The floors of the source: an import goes down, or along where the table says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What each module of the crate may import, besides itself.
const FLOORS: [(&str, &[&str]); 19] = [
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
    (
        "dev",
        &[
            "app",
            "server",
            "admin",
            "config",
            "telemetry",
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
            "dev",
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

/// The files that a source takes names from: by `use`, and by paths that begin with `crate` or `super`. A file that
/// only hands on the names of its children, as `mod` files do, is not one of them: what counts is where a name is.
fn files_named(of: &Path, src: &Path, source: &str) -> Vec<PathBuf> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let module: Vec<_> = module_of(of, src);
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let is_start =
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !is_start {
                continue;
            }
            let mut path = match root {
                "crate::" => Vec::new(),
                _ => module[..module.len().saturating_sub(1)].to_vec(),
            };
            let mut rest = &code[at + root.len()..];
            while let Some(further) = rest.strip_prefix("super::") {
                path.pop();
                rest = further;
            }
            let word = |text: &str| -> String {
                text.chars()
                    .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
                    .collect()
            };
            loop {
                let name = word(rest);
                let further = rest[name.len()..].strip_prefix("::");
                if name.is_empty() || file_of(src, &path, &name).is_none() {
                    break;
                }
                path.push(name);
                match further {
                    Some(further) => rest = further,
                    None => break,
                }
            }
            if let Some((last, above)) = path.split_last()
                && let Some(file) = file_of(src, above, last)
                && file != of
            {
                found.push(file);
            }
        }
    }
    found
}

fn module_of(file: &Path, src: &Path) -> Vec<String> {
    let inside = file.strip_prefix(src).unwrap().with_extension("");
    inside
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect()
}

fn file_of(src: &Path, above: &[String], name: &str) -> Option<PathBuf> {
    let file = above
        .iter()
        .fold(src.to_owned(), |path, part| path.join(part))
        .join(format!("{name}.rs"));
    file.is_file().then_some(file)
}

#[test]
fn no_two_files_import_each_other_but_a_module_and_its_children() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let named: BTreeMap<PathBuf, Vec<PathBuf>> = files
        .iter()
        .filter(|file| !file.components().any(|part| part.as_os_str() == "tests"))
        .map(|file| {
            (
                file.clone(),
                files_named(file, &src, &std::fs::read_to_string(file).unwrap()),
            )
        })
        .collect();
    assert!(
        named.values().map(Vec::len).sum::<usize>() > 500,
        "the imports were not found"
    );
    let is_parent = |a: &Path, b: &Path| b.starts_with(a.with_extension(""));
    let mut circles = Vec::new();
    for (file, others) in &named {
        for other in others {
            let back = named.get(other).is_some_and(|back| back.contains(file));
            if back && file < other && !is_parent(file, other) && !is_parent(other, file) {
                circles.push(format!("{} and {}", file.display(), other.display()));
            }
        }
    }
    circles.dedup();
    assert!(circles.is_empty(), "{circles:#?}");
}
