//! The recipes of the page, as they stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::python;
use crate::documents::pages::{Block, page};
use crate::harness::process::run;
use crate::harness::programs::has;

/// The version that the recipe was written for.
const JEST: &str = "jest@29.7.0";

/// The blocks of the page below a heading.
fn blocks(heading: &str) -> Vec<Block> {
    let page = page("docs/emulator.md");
    let lines: Vec<_> = page.text.lines().collect();
    let begin = lines.iter().position(|line| *line == heading).unwrap() + 1;
    let rest = &lines[begin..];
    let end = rest.iter().position(|line| line.starts_with("## "));
    let end = begin + end.unwrap_or(rest.len());
    let blocks = page.blocks().into_iter();
    blocks
        .filter(|block| (begin..=end).contains(&block.line))
        .collect()
}

fn block(heading: &str, language: &str) -> Block {
    let mut blocks = blocks(heading).into_iter();
    blocks.find(|block| block.language == language).unwrap()
}

/// Runs a command of the page in a folder, with the programs of others in front of the machine's.
fn shell(dir: &Path, command: &str, programs: &[&Path]) -> (Option<i32>, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_footfall")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let machine: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let programs = programs.iter().map(|path| path.to_path_buf());
    let all = programs.chain([binary.to_owned()]).chain(machine);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .current_dir(dir)
        .env("PATH", std::env::join_paths(all).unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    run(&mut shell)
}

#[test]
fn the_recipes_of_pytest_and_of_github_actions_run() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("test_shop.py"),
        block("## pytest", "python").text,
    )
    .unwrap();
    let actions = block("## GitHub Actions", "yaml").text;
    let mut steps = actions
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- run: "));
    let last = steps.next_back().unwrap().to_owned();
    let commands = [block("## pytest", "sh").text, last];
    for command in &commands {
        assert!(command.starts_with("footfall dev "), "{command}");
        let (code, printed) = shell(dir.path(), command, &[python().parent().unwrap()]);
        assert_eq!(code, Some(0), "{command}: {printed}");
        assert!(printed.contains("1 passed"), "{command}: {printed}");
    }
    // A test that fails makes the command fail.
    let test = dir.path().join("test_shop.py");
    let failing = fs::read_to_string(&test)
        .unwrap()
        .replace("\"purchase\", {", "\"sale\", {");
    fs::write(&test, failing).unwrap();
    let (code, printed) = shell(dir.path(), &commands[0], &[python().parent().unwrap()]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("0 of 1 came within 5 s"), "{printed}");
}

/// A folder with Jest in it, which is installed once.
fn jest() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jest");
    fs::create_dir_all(&dir).unwrap();
    // Other processes of the same tests need it too.
    let lock = fs::File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !dir.join("installed").exists() {
        let mut npm = Command::new("npm");
        npm.current_dir(&dir)
            .args(["install", "--no-audit", "--no-fund", "--no-save", JEST]);
        let (code, printed) = run(&mut npm);
        assert_eq!(code, Some(0), "{printed}");
        fs::write(dir.join("installed"), JEST).unwrap();
    }
    dir
}

#[test]
fn the_recipe_of_jest_runs() {
    if !has(&["node", "npm", "npx"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(jest().join("node_modules"), dir.path().join("node_modules"))
        .unwrap();
    fs::write(dir.path().join("package.json"), "{}").unwrap();
    fs::write(dir.path().join("shop.test.js"), block("## Jest", "js").text).unwrap();
    let (code, printed) = shell(dir.path(), &block("## Jest", "sh").text, &[]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
}
