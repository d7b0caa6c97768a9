//! How the documents are written: short, in the field's words, with links that lead somewhere.

use std::path::Path;

use super::pages::{Page, all, names, page, repository};

const COLUMNS_MAX: usize = 120;

/// Words that a stranger reads twice.
const AVOIDED: [&str; 10] = [
    "anew", "whoever", "whomever", "mend", "mends", "mended", "is told", "are told", "in vain",
    "thereof",
];

#[test]
fn readme_and_architecture_are_short_enough_to_finish() {
    for (path, bytes_max) in [("README.md", 8_192), ("ARCHITECTURE.md", 10_240)] {
        let bytes = page(path).text.len();
        assert!(
            bytes <= bytes_max,
            "{path} has {bytes} bytes, at most {bytes_max}"
        );
    }
}

#[test]
fn no_line_of_prose_is_too_long_to_read() {
    let mut long = Vec::new();
    for page in all() {
        for (number, line) in page.prose() {
            let is_table = line.starts_with('|') || line.starts_with("[pp]: ");
            if !is_table && line.chars().count() > COLUMNS_MAX {
                long.push(format!("{}:{number}", page.path));
            }
        }
    }
    assert_eq!(long, [""; 0]);
}

#[test]
fn words_that_a_stranger_reads_twice_are_avoided() {
    let mut found = Vec::new();
    for page in all() {
        for (number, line) in page.prose() {
            let line = line.to_lowercase();
            let words: Vec<_> = line
                .split(|letter: char| !letter.is_alphanumeric())
                .collect();
            let words = format!(" {} ", words.join(" "));
            for avoided in AVOIDED.into_iter().chain(["under way"]) {
                // A metric has the name that it has.
                let is_name = line.contains("requests_under_way");
                if words.contains(&format!(" {avoided} ")) && !is_name {
                    found.push(format!("{}:{number}: {avoided}", page.path));
                }
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut broken = Vec::new();
    for page in all() {
        for link in page.links() {
            if let Some(why) = why_broken(&page, &link) {
                broken.push(format!("{}: {link}: {why}", page.path));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

fn why_broken(from: &Page, link: &str) -> Option<&'static str> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let dir = Path::new(&from.path).parent().unwrap();
    let target = match path {
        "" => repository().join(&from.path),
        path => repository().join(dir).join(path),
    };
    let Ok(target) = target.canonicalize() else {
        return Some("no such file");
    };
    if anchor.is_empty() {
        return None;
    }
    let inside = target.strip_prefix(repository().canonicalize().unwrap());
    let target = page(inside.unwrap().to_str().unwrap());
    let is_there = target.anchors().iter().any(|known| known == anchor);
    (!is_there).then_some("no such heading")
}

/// `src/log.rs`, `tests/it/guards`, and modules by their path in the sources: `view/follow`.
#[test]
fn every_file_and_module_that_a_page_names_is_there() {
    let mut missing = Vec::new();
    for page in all() {
        for (number, line) in page.prose() {
            for name in names(line) {
                let is_path = |part: &str| {
                    !part.is_empty()
                        && part.bytes().all(|byte| {
                            byte.is_ascii_lowercase()
                                || b"_.-".contains(&byte)
                                || byte.is_ascii_digit()
                        })
                };
                // In the data folder.
                if name == "log/lock" {
                    continue;
                }
                let parts: Vec<_> = name.trim_end_matches('/').split('/').collect();
                if parts.len() < 2 || !parts.iter().all(|part| is_path(part)) {
                    continue;
                }
                let known = [
                    "src", "tests", "benches", "docs", "proto", "fuzz", "examples", ".ci",
                ];
                let sources = repository().join("src").join(parts[0]);
                let path = match known.contains(&parts[0]) {
                    true => repository().join(name),
                    false if sources.is_dir() => repository().join("src").join(name),
                    false => continue,
                };
                let module = path.with_extension("rs");
                if !path.exists() && !module.exists() {
                    missing.push(format!("{}:{number}: {name}", page.path));
                }
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_page_stands_in_the_index() {
    let (docs, decisions) = (page("docs/README.md"), page("docs/decisions/README.md"));
    for page in all() {
        let Some(name) = page.path.strip_prefix("docs/") else {
            continue;
        };
        let (index, name) = match name.strip_prefix("decisions/") {
            Some(name) if name != "README.md" => (&decisions, name),
            _ => (&docs, name),
        };
        let is_listed = name == "README.md" || index.text.contains(&format!("({name})"));
        assert!(is_listed, "{} is not in {}", page.path, index.path);
    }
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut sources = String::new();
    for dir in ["src", "tests"] {
        let mut folders = vec![repository().join(dir)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    sources.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    let is_sentence = |name: &str| {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        name.bytes().all(is_word) && name.matches('_').count() >= 5
    };
    let mut named = 0;
    for page in all() {
        for name in names(&page.text)
            .into_iter()
            .filter(|name| is_sentence(name))
        {
            // Settings and metrics have long names, too.
            if name.starts_with("footfall_") || name.ends_with("_max") {
                continue;
            }
            assert!(
                sources.contains(&format!("fn {name}(")),
                "{}: {name}",
                page.path
            );
            named += 1;
        }
    }
    assert!(named >= 7, "{named}");
}
