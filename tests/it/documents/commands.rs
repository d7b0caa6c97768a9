//! What the pages show is run: commands against a service that was started as they say, JSON, settings and Python.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use footfall::config::{Config, Flags};
use serde_json::Value;

use super::pages::{Block, Page, all, repository};
use crate::clients;
use crate::harness::first_run::Project;
use crate::harness::process::Process;

/// Ends the output of a block. No command prints it.
const END: &str = "\u{1e}";

/// Stands for anything within a line, or for any lines.
const ANYTHING: &str = "...";

/// A command with what it should print, if the page says so.
struct Step {
    command: String,
    printed: Option<Vec<String>>,
    line: usize,
}

fn is_run(block: &Block) -> bool {
    match &block.comment {
        // The tests cannot run themselves.
        Some(comment) if comment == "the test command" => false,
        Some(comment) => !comment.starts_with("not run: "),
        None => true,
    }
}

/// The steps of a page, in their order.
fn steps(page: &Page) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in page.blocks().iter().filter(|block| is_run(block)) {
        match block.language.as_str() {
            "sh" => steps.push(Step {
                command: block.text.clone(),
                printed: None,
                line: block.line,
            }),
            "console" => steps.extend(session(block)),
            _ => {}
        }
    }
    steps
}

/// Commands begin with `$ `, and go on in the next line behind a backslash or within quotes.
fn session(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_open = false;
    for (number, line) in block.text.lines().enumerate() {
        let command = line.strip_prefix("$ ");
        match (command, steps.last_mut()) {
            (Some(command), _) => steps.push(Step {
                command: command.to_owned(),
                printed: Some(Vec::new()),
                line: block.line + 1 + number,
            }),
            (None, Some(step)) if is_open => {
                step.command.push('\n');
                step.command.push_str(line);
            }
            (None, Some(step)) => step.printed.get_or_insert_default().push(line.to_owned()),
            (None, None) => panic!("line {}: output without a command", block.line),
        }
        is_open = steps.last().is_some_and(|step| {
            let quotes = step.command.matches('\'').count();
            let goes_on = step.command.ends_with('\\') || quotes % 2 == 1;
            goes_on && step.printed.as_ref().is_some_and(Vec::is_empty)
        });
    }
    steps
}

fn matches(expected: &[String], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((first, rest)), _) if first == ANYTHING => {
            (0..=printed.len()).any(|passed| matches(rest, &printed[passed..]))
        }
        (Some(_), None) => false,
        (Some((first, expected)), Some((line, printed))) => {
            line_matches(first, line) && matches(expected, printed)
        }
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split(ANYTHING);
    let Some(rest) = line.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let mut rest = Some(rest);
    let mut last = "";
    for part in parts {
        rest = rest.and_then(|rest| Some(&rest[rest.find(part)? + part.len()..]));
        last = part;
    }
    let ends = line.ends_with(last) || last.is_empty();
    ends && (rest == Some("") || expected.contains(ANYTHING) && rest.is_some())
}

/// Where a page says that the service is, made to where it is.
fn placed(text: &str, address: SocketAddr, admin: SocketAddr) -> String {
    text.replace("127.0.0.1:8080", &address.to_string())
        .replace("127.0.0.1:9090", &admin.to_string())
}

/// The variables of which the pages speak, and the binary on the path.
#[expect(
    clippy::disallowed_methods,
    reason = "a page's programs are found where the tests' are"
)]
fn environment(project: &Project) -> [(&'static str, String); 7] {
    let binary = Path::new(env!("CARGO_BIN_EXE_footfall")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    [
        ("PATH", format!("{}:{path}", binary.display())),
        ("TOKEN", project.token.clone()),
        ("PUBLIC_KEY", project.public.clone()),
        ("KEY_ID", project.id.clone()),
        ("KEY_SECRET", project.secret.clone()),
        // A proxy of this machine's is not meant for the service.
        ("NO_PROXY", "127.0.0.1".to_owned()),
        ("no_proxy", "127.0.0.1".to_owned()),
    ]
}

/// Puts what stands in for grpcurl into a folder of programs, which not every machine has.
fn stand_in(dir: &Path) -> PathBuf {
    let programs = dir.join("programs");
    fs::create_dir(&programs).unwrap();
    let python = clients::python().display();
    let script = repository().join("tests/clients/grpcurl.py");
    let grpcurl = format!("#!/bin/sh\nexec {python} {} \"$@\"\n", script.display());
    let path = programs.join("grpcurl");
    fs::write(&path, grpcurl).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    programs
}

/// Runs a page's steps in one shell, beside a service of its own, and gives what was wrong.
fn run(page: &Page, steps: &[Step]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let (address, admin) = (process.address, process.admin());
    let project = Project::read(dir.path());
    let mut script = String::from("set -eu\nexec 2>&1\n");
    if steps.iter().any(|step| step.command.contains("grpcurl")) {
        let programs = stand_in(dir.path());
        script.push_str(&format!("PATH={}:$PATH\n", programs.display()));
    }
    for step in steps {
        let command = placed(&step.command, address, admin);
        script.push_str(&format!("{command}\nprintf '\\n{END}\\n'\n"));
    }
    let output = Command::new("/bin/sh")
        .args(["-c", &script])
        .current_dir(dir.path())
        .env_clear()
        .envs(environment(&project))
        .output()
        .unwrap();
    process.terminate();
    let printed = String::from_utf8(output.stdout).unwrap();
    let end = format!("{END}\n");
    let mut printed = printed.split(&end);
    let mut wrong = Vec::new();
    for step in steps {
        let told = printed.next().unwrap_or_default();
        let lines: Vec<_> = told.trim_end_matches('\n').lines().collect();
        let Some(expected) = &step.printed else {
            continue;
        };
        let expected: Vec<_> = expected
            .iter()
            .map(|line| placed(line, address, admin))
            .collect();
        if !matches(&expected, &lines) {
            wrong.push(format!(
                "{}:{}: {}\nprinted\n{told}\nnot\n{}",
                page.path,
                step.line,
                step.command,
                expected.join("\n")
            ));
        }
    }
    if !output.status.success() {
        let last: Vec<_> = printed.collect();
        wrong.push(format!(
            "{}: {}\n{}",
            page.path,
            output.status,
            last.join("")
        ));
    }
    wrong
}

#[test]
fn every_command_of_a_page_runs_and_prints_what_the_page_says() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for page in all() {
        let steps = steps(&page);
        if !steps.is_empty() {
            ran += steps.len();
            wrong.extend(run(&page, &steps));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(ran > 15, "only {ran} commands were found");
}

#[test]
fn the_first_start_prints_what_the_pages_show() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    let (address, admin) = (process.address, process.admin());
    let printed = process.read_until("-u").to_owned();
    process.terminate();
    let printed: Vec<_> = printed.lines().collect();
    let mut shown = 0;
    for page in all() {
        let blocks = page.blocks().into_iter();
        for block in blocks.filter(|block| block.text.starts_with("Footfall listens on ")) {
            let lines = block.text.lines();
            let expected: Vec<_> = lines.map(|line| placed(line, address, admin)).collect();
            let place = format!("{}:{}", page.path, block.line);
            assert!(matches(&expected, &printed), "{place}: {printed:#?}");
            shown += 1;
        }
    }
    assert_eq!(shown, 2);
}

#[test]
fn every_block_is_of_a_kind_that_is_checked_or_says_why_not() {
    for page in all() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.path, block.line);
            let is_checked = ["sh", "console", "json", "toml", "python"];
            let is_known = is_checked.contains(&block.language.as_str());
            let is_text = block.language == "text" || !is_run(&block);
            assert!(is_known || is_text, "{place}: ```{}", block.language);
            if let Some(why) = block
                .comment
                .and_then(|comment| Some(comment.strip_prefix("not run: ")?.trim().to_owned()))
            {
                assert!(why.len() > 10, "{place}: says not why");
            }
        }
    }
}

#[test]
fn every_json_block_is_json() {
    for page in all() {
        let blocks = page.blocks().into_iter();
        for block in blocks.filter(|block| block.language == "json") {
            let values = serde_json::Deserializer::from_str(&block.text).into_iter::<Value>();
            let values: Result<Vec<_>, _> = values.collect();
            let place = format!("{}:{}", page.path, block.line);
            assert!(!values.expect(&place).is_empty(), "{place}");
        }
    }
}

#[test]
fn every_toml_block_is_good_settings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("footfall.toml");
    for page in all() {
        let blocks = page.blocks().into_iter();
        for block in blocks.filter(|block| block.language == "toml") {
            fs::write(&path, &block.text).unwrap();
            let flags = Flags {
                config: Some(path.clone()),
                ..Flags::default()
            };
            if let Err(mistakes) = Config::load(&flags, []) {
                panic!("{}:{}: {mistakes}", page.path, block.line);
            }
        }
    }
}

#[test]
fn every_python_block_runs() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    let script = dir.path().join("block.py");
    let known = "import os\ntoken, key_id, secret = (os.environ[name] for name in ('TOKEN', 'KEY_ID', 'KEY_SECRET'))\n";
    let mut ran = 0;
    for page in all() {
        let blocks = page.blocks().into_iter();
        for block in blocks.filter(|block| block.language == "python" && is_run(block)) {
            let text = placed(&block.text, process.address, process.admin());
            fs::write(&script, format!("{known}{text}\n")).unwrap();
            let mut python = Command::new(clients::python());
            let python = python.arg(&script).envs(environment(&project));
            let output = python.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success(),
                "{}:{}: {said}",
                page.path,
                block.line
            );
            ran += 1;
        }
    }
    process.terminate();
    assert!(ran > 0);
}

#[test]
fn what_a_page_leaves_out_matches_anything_and_nothing_else_does() {
    assert!(line_matches(
        r#"{"a": ..., "b": 1}"#,
        r#"{"a": 7.5, "b": 1}"#
    ));
    assert!(!line_matches(
        r#"{"a": ..., "b": 1}"#,
        r#"{"a": 7.5, "b": 2}"#
    ));
    assert!(line_matches("a", "a"));
    assert!(!line_matches("a", "ab"));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("...\nx\n..."), &["a", "b", "x"]));
    assert!(!matches(&lines("...\nx"), &["a", "x", "b"]));
}
