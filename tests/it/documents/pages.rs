//! The pages, as far as these tests read Markdown.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of Markdown.
pub struct Page {
    /// Its path in the repository.
    pub path: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    pub language: String,
    pub text: String,
    /// Where it begins, from 1.
    pub line: usize,
    /// The comment in front of it, which may say why it is not run.
    pub comment: Option<String>,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: those at the top, and those below docs.
pub fn all() -> Vec<Page> {
    let mut paths: Vec<_> = [
        "README",
        "ARCHITECTURE",
        "SECURITY",
        "CHANGELOG",
        "CONTRIBUTING",
    ]
    .map(|name| repository().join(name).with_extension("md"))
    .to_vec();
    collect(&repository().join("docs"), &mut paths);
    let pages: Vec<_> = paths.iter().map(|path| read(path)).collect();
    assert!(pages.len() > 25, "the pages were not found");
    pages
}

/// The page of a path in the repository.
pub fn page(path: &str) -> Page {
    read(&repository().join(path))
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> Page {
    let inside = path.strip_prefix(repository()).unwrap();
    Page {
        path: inside.to_str().unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
    }
}

impl Page {
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        let mut before = "";
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let text: Vec<_> = lines
                    .by_ref()
                    .map(|(_, line)| line)
                    .take_while(|line| *line != "```")
                    .collect();
                let comment = before.strip_prefix("<!-- ");
                let comment = comment.and_then(|comment| comment.strip_suffix(" -->"));
                blocks.push(Block {
                    language: language.to_owned(),
                    text: text.join("\n"),
                    line: number + 1,
                    comment: comment.map(str::to_owned),
                });
            }
            before = line;
        }
        blocks
    }

    /// Its lines outside of blocks, with their numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let mut found = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                found.push((number + 1, line));
            }
        }
        found
    }

    /// What can stand behind a `#`.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter();
        let headings =
            headings.filter_map(|(_, line)| Some(line.strip_prefix('#')?.trim_start_matches('#')));
        headings.map(|heading| anchor(heading.trim())).collect()
    }

    /// Where its links lead.
    pub fn links(&self) -> Vec<String> {
        let prose: Vec<_> = self.prose().into_iter().map(|(_, line)| line).collect();
        let prose = prose.join("\n");
        let inline = prose.split("](").skip(1);
        let mut found: Vec<_> = inline
            .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
            .collect();
        for line in prose.lines() {
            if let Some((_, target)) = line
                .strip_prefix('[')
                .and_then(|line| line.split_once("]: "))
            {
                found.push(target.to_owned());
            }
        }
        found
    }

    /// The cells of every table row below a heading, up to the next heading of that level or above.
    pub fn rows_below(&self, heading: &str) -> Vec<Vec<String>> {
        let level = heading.split(' ').next().unwrap().len();
        let is_end =
            |line: &str| line.starts_with('#') && line.split(' ').next().unwrap().len() <= level;
        let prose = self.prose().into_iter().map(|(_, line)| line);
        let mut below = prose.skip_while(|line| *line != heading);
        assert!(below.next().is_some(), "{}: no {heading}", self.path);
        rows(below.take_while(|line| !is_end(line)))
    }

    /// The cells of every table row.
    pub fn rows(&self) -> Vec<Vec<String>> {
        rows(self.prose().into_iter().map(|(_, line)| line))
    }
}

/// Without the heads of tables.
fn rows<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in lines.filter(|line| line.starts_with('|')) {
        if line.starts_with("|--") {
            found.pop();
            continue;
        }
        // A bar within a cell is escaped.
        let line = line.replace("\\|", "\u{0}");
        let cells = line.trim_matches('|').split('|');
        found.push(
            cells
                .map(|cell| cell.trim().replace('\u{0}', "|"))
                .collect(),
        );
    }
    found
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// The words in backticks.
pub fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn anchors_are_made_of_headings_as_github_does() {
    assert_eq!(anchor("Why a record is too old"), "why-a-record-is-too-old");
    assert_eq!(anchor("[[project.key]]"), "projectkey");
    assert_eq!(anchor("From socket, to disk"), "from-socket-to-disk");
}

#[test]
fn a_row_has_its_cells_and_heads_are_no_rows() {
    let page = Page {
        path: "x".to_owned(),
        text: "# A\n| h | i |\n|--|--|\n| a | `x\\|y` |\n# B\n| n | o |\n|--|--|\n| b | |\n"
            .to_owned(),
    };
    assert_eq!(page.rows_below("# A"), [["a", "`x|y`"]]);
    assert_eq!(page.rows(), [["a", "`x|y`"], ["b", ""]]);
}
