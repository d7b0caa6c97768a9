//! The emulator, as tests of other programs start it.

mod clients;
mod control;
mod faults;
mod recipes;
mod runs;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::process::{command, log};
use crate::harness::{Answer, Request};

/// A running `footfall dev`.
pub struct Emulator {
    child: Child,
    stdout: BufReader<ChildStdout>,
    dir: TempDir,
    /// The line that it printed.
    ready: Value,
    url: SocketAddr,
    admin: SocketAddr,
}

/// An event of `jane` at a time of its own, which a retry repeats.
fn event(event_type: &str, n: u64) -> Value {
    json!({
        "customer_ids": {"registered": "jane"},
        "event_type": event_type,
        "timestamp": 1_700_000_000 + n,
        "properties": {"n": n},
    })
}

/// `footfall dev` on free ports, in a folder.
fn dev(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = command(dir);
    command.args(["dev", "--listen", ":0"]).args(arguments);
    command
}

impl Emulator {
    fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), &[])
    }

    fn start_with(dir: TempDir, arguments: &[&str]) -> Self {
        let stderr = std::fs::File::create(dir.path().join("stderr")).unwrap();
        let mut child = dev(dir.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said = || log(dir.path());
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", said()));
        let address = |name: &str| {
            let url = ready[name].as_str().unwrap();
            url.strip_prefix("http://").unwrap().parse().unwrap()
        };
        Self {
            url: address("url"),
            admin: address("admin"),
            child,
            stdout,
            dir,
            ready,
        }
    }

    fn get(&self, path: &str) -> Request {
        Request::new(self.admin, "GET", path)
    }

    fn post(&self, path: &str, body: &Value) -> Request {
        let request = Request::new(self.admin, "POST", path);
        let request = request.header("content-type", "application/json");
        request.body(body.to_string())
    }

    /// What the second listener answers with 200.
    async fn asks(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).send().await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        answer.json()
    }

    async fn sees(&self, path: &str) -> Value {
        let answer = self.get(path).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// The types of what a project has received; `update` of an update.
    async fn received(&self, project: &str) -> Vec<String> {
        let received = self.sees(&format!("/received?project={project}")).await;
        let items = received["received"].as_array().unwrap().iter();
        let name = |item: &Value| item["type"].as_str().unwrap_or("update").to_owned();
        items.map(name).collect()
    }

    fn tracking(&self, project: &str, route: &str, body: &Value) -> Request {
        let path = format!("/track/v2/projects/{project}/{route}");
        Request::new(self.url, "POST", &path)
            .header("authorization", "Token any")
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    async fn tracks(&self, project: &str, event_type: &str, n: u64) -> Answer {
        let request = self.tracking(project, "customers/events", &event(event_type, n));
        request.send().await
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it by SIGTERM; gives how it ended, and what it printed.
    fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        (status, printed)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
