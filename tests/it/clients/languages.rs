//! What clients in other languages send, by the libraries that they use for HTTP.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::first_run::Project;
use crate::harness::process::{Process, log};
use crate::harness::programs::{has, skipped};

use super::{REPOSITORY, succeed};

/// Events that a script sends in all.
const EVENTS: u64 = 200;

/// A script that sends as a client does, and whom it sends about.
struct Client {
    interpreter: &'static str,
    script: &'static str,
    customer: &'static str,
}

const NODE: Client = Client {
    interpreter: "node",
    script: "tests/clients/client.mjs",
    customer: "node@example.com",
};
const PHP: Client = Client {
    interpreter: "php",
    script: "tests/clients/client.php",
    customer: "php@example.com",
};
const RUBY: Client = Client {
    interpreter: "ruby",
    script: "tests/clients/client.rb",
    customer: "ruby@example.com",
};

impl Client {
    /// Whether its language is there.
    fn is_there(&self) -> bool {
        if self.interpreter == "php" && !Path::new("/usr/share/php/GuzzleHttp").exists() {
            skipped("php-guzzlehttp-guzzle is not installed");
            return false;
        }
        has(&[self.interpreter])
    }

    fn command(&self, process: &Process, project: &Project, what: &str) -> Command {
        let mut command = Command::new(self.interpreter);
        command
            .arg(Path::new(REPOSITORY).join(self.script))
            .arg(format!("http://{}", process.address))
            .args([&project.token, &project.id, &project.secret, what])
            // A proxy of this machine's is not meant for the service.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        command
    }

    /// What there is of its customer.
    async fn read(&self, process: &Process, project: &Project) -> Value {
        let question = json!({"customer_ids": {"registered": self.customer}}).to_string();
        let read = project.data(process.address, "export-one", &question);
        read.send().await.json()
    }

    /// Every call, right and wrong.
    async fn calls(&self) {
        if !self.is_there() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start(dir.path());
        let project = Project::read(dir.path());
        let printed = succeed(&mut self.command(&process, &project, "calls"));
        assert_eq!(
            printed,
            "time: now\n\
             event: 200 true\n\
             update: 200 true\n\
             batch: true\n\
             batch: At least one id should be specified.\n\
             batch: true\n\
             no type: 400 Field 'event_type' is required.\n\
             wrong secret: 403 invalid secret\n\
             wrong key: 401 Access key not found\n"
        );
        let read = self.read(&process, &project).await;
        let properties = json!({"name": "Žofie", "tags": [], "plan": "pro"});
        assert_eq!(read["properties"], properties);
        let visit = |timestamp: f64, properties: Value| json!({"type": "visit", "timestamp": timestamp, "properties": properties});
        let events = json!([
            visit(1_700_000_000.25, json!({})),
            visit(1_700_000_001.25, json!({"n": 1})),
        ]);
        assert_eq!(read["events"], events);
        process.terminate();
    }

    /// A full disk, a small quota, and a kill: what the client tries again is kept once.
    async fn outages(&self) {
        if !self.is_there() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let disk = rustix::fs::statvfs(dir.path()).unwrap();
        if disk.f_bavail * disk.f_frsize >= 1 << 40 {
            return skipped("there is more space here than can be asked for");
        }
        let full = [("FOOTFALL_DATA_FREE_BYTES_MIN", "1024GiB")];
        let process = Process::start_with(dir.path(), &full);
        let (address, project) = (process.address, Project::read(dir.path()));
        let mut run = Run::of(self.command(&process, &project, "events"));
        run.says("refused: 503");
        assert!(process.terminate().success(), "{}", log(dir.path()));

        // The client finds nobody for a moment, and then has to wait for its quota.
        let settings = [
            ("FOOTFALL_RATE_LIMIT_REQUESTS", "1"),
            ("FOOTFALL_RATE_LIMIT_PERIOD", "3s"),
        ];
        let process = Process::start_again(dir.path(), address, &settings);
        run.says("refused: 429");
        assert!(process.terminate().success(), "{}", log(dir.path()));

        let process = Process::start_again(dir.path(), address, &[]);
        run.says("sent: 100");
        process.kill();

        let process = Process::start_again(dir.path(), address, &[]);
        run.says("sent: 200");
        run.succeeds();
        let read = self.read(&process, &project).await;
        let events = read["events"].as_array().unwrap();
        let numbers = events.iter().map(|event| &event["properties"]["n"]);
        let numbers: BTreeSet<u64> = numbers.filter_map(Value::as_u64).collect();
        assert_eq!(numbers, (1..=EVENTS).collect());
        assert_eq!(events.len(), numbers.len());
        process.terminate();
    }
}

/// A running script.
struct Run {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Run {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, printed }
    }

    /// Waits for a line; the one about a connection that ends comes at any time.
    fn says(&mut self, expected: &str) {
        let mut lines = self.printed.by_ref().map(Result::unwrap);
        let line = lines.find(|line| line != "refused: 0" || line == expected);
        assert_eq!(line.as_deref(), Some(expected));
    }

    fn succeeds(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_client_gets_what_it_expects() {
    NODE.calls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_php_client_gets_what_it_expects() {
    PHP.calls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ruby_client_gets_what_it_expects() {
    RUBY.calls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_client_tries_again_is_kept_once() {
    NODE.outages().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_php_client_tries_again_is_kept_once() {
    PHP.outages().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ruby_client_tries_again_is_kept_once() {
    RUBY.outages().await;
}
