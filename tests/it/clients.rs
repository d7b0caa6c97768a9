//! Clients that others wrote, as they come from their registry, against the binary.
//!
//! They live in a virtual environment of Python's, which is made once and used again. Where another language is not
//! there, its scenarios are skipped, and say so.

mod browser;
mod console;
mod go;
mod languages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::first_run::Project;
use crate::harness::process::{Process, log};
use crate::harness::{Setup, TOKEN};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// The interpreter of an environment that has what `requirements.txt` lists.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| environment("clients", "requirements.txt"))
}

/// The interpreter of a named environment that has what a list beside the scripts says.
fn environment(name: &str, requirements: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let requirements = Path::new(REPOSITORY)
        .join("tests/clients")
        .join(requirements);
    let wanted = fs::read_to_string(&requirements).unwrap();
    let installed = dir.join("installed.txt");
    // Other processes of the same tests need it too.
    let lock = fs::File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let python = dir.join("bin/python");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let mut venv = Command::new("python3");
    succeed(venv.args(["-m", "venv", "--clear"]).arg(&dir));
    let mut pip = Command::new(&python);
    succeed(
        pip.args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(&requirements),
    );
    fs::write(installed, wanted).unwrap();
    python
}

/// Runs a command that a machine for tests must have; gives what it printed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not run: {error}; these tests need Python 3 with venv and pip")
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, error) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?} failed: {printed}{error}"
    );
    printed
}

/// Runs a script of the repository against a service; gives what it printed.
fn script(path: &str, service: &str, project: &Project) -> String {
    let mut command = Command::new(python());
    command
        .arg(Path::new(REPOSITORY).join(path))
        .args([service, &project.token, &project.id, &project.secret])
        // A proxy of this machine's is not meant for the service.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    succeed(&mut command)
}

#[test]
fn the_sdk_gets_what_it_expects() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let url = format!("http://{}", process.address);
    let printed = script("tests/clients/sdk.py", &url, &Project::read(dir.path()));
    println!("{printed}");
    assert!(
        printed.ends_with("the SDK gets what it expects\n"),
        "{printed}"
    );
    assert!(process.terminate().success(), "{}", log(dir.path()));
}

#[test]
fn the_example_of_the_sdk_runs() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let url = format!("http://{}", process.address);
    let printed = script("examples/sdk.py", &url, &Project::read(dir.path()));
    assert_eq!(
        printed,
        "batch: [True, True]\n\
         properties: {'first_name': 'Jane', 'plan': 'pro'}\n\
         event: page_visit {'path': '/pricing'}\n\
         event: purchase {'price': 49.9}\n"
    );
    process.terminate();
}

#[test]
fn the_example_of_reflection_runs_without_generated_code() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let address = process.address.to_string();
    let project = Project::read(dir.path());
    let printed = script("examples/reflection.py", &address, &project);
    assert_eq!(printed, "event: page_visit ['items', 'path']\n");
    process.terminate();
}

#[test]
fn a_python_client_reads_the_same_refusal_over_both_protocols() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("FOOTFALL_RATE_LIMIT_REQUESTS", "2"),
        ("FOOTFALL_RATE_LIMIT_PERIOD", "1h"),
        ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ];
    let process = Process::start_with(dir.path(), &settings);
    let address = process.address.to_string();
    let project = Project::read(dir.path());
    let printed = script("tests/clients/refusal.py", &address, &project);
    assert_eq!(printed, "both protocols refuse in the same words\n");
    process.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_alone_puts_the_details_of_errors_into_words() {
    let limits = "[rate_limit]\nexempt = [\"127.0.0.0/8\"]\nrequests = 1\nperiod = \"7s\"";
    let server = Setup::default().with(limits).start().await;
    let project = Project {
        token: TOKEN.to_owned(),
        public: String::new(),
        id: "key-id".to_owned(),
        secret: "key-secret".to_owned(),
    };
    let address = server.address.to_string();
    let printed = script("tests/clients/details.py", &address, &project);
    assert_eq!(
        printed,
        r#"INVALID_ARGUMENT: Field 'event_type' is required.
  google.rpc.BadRequest {"fieldViolations": [{"description": "Field 'event_type' is required.", "field": "event_type"}]}
  google.rpc.ErrorInfo {"domain": "footfall", "reason": "EVENT_TYPE_INVALID"}
RESOURCE_EXHAUSTED: Rate limit exceeded: 1 requests per 7 s from 203.0.113.7
  google.rpc.RetryInfo {"retryDelay": "7s"}
  google.rpc.QuotaFailure {"violations": [{"description": "1 requests per 7 s and client address", "subject": "address:203.0.113.7"}]}
  google.rpc.ErrorInfo {"domain": "footfall", "metadata": {"quota_limit": "1", "quota_policy": "perip"}, "reason": "RATE_LIMIT_EXCEEDED"}
"#
    );
    server.stop().await;
}

/// What a Python client and raw HTTP read in a refusal, once both agree. `quotas` stand in the settings, in this order:
/// of an address, a project and a key.
async fn refusal(address: &str, project: &str, key: &str) -> Value {
    let projects = format!(
        r#"
[[project]]
token = "{TOKEN}"
{project}
[[project.key]]
id = "key-id"
secrets = ["key-secret"]
permissions = []
{key}
"#
    );
    let limits = format!("[rate_limit]\nexempt = [\"127.0.0.0/8\"]\n{address}");
    let server = Setup::default().with(&limits).projects(&projects);
    let server = server.start().await;
    let project = Project {
        token: TOKEN.to_owned(),
        public: String::new(),
        id: "key-id".to_owned(),
        secret: "key-secret".to_owned(),
    };
    let address = server.address.to_string();
    let printed = script("tests/clients/limits.py", &address, &project);
    server.stop().await;
    serde_json::from_str(&printed).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_of_a_refusal_agrees_with_all_others_whichever_quota_refuses() {
    let by_address = refusal("requests = 2\nperiod = \"7s\"", "", "").await;
    let expected = json!({
        "message": "Rate limit exceeded: 2 requests per 7 s from 203.0.113.7",
        "wait_ms": 3_500.0, "pushback_ms": 3_500, "retry_after": 4,
        "subjects": ["address:203.0.113.7"],
        "policy": r#""perip";q=2;w=7"#,
        "limit": r#""perip";r=0;t=7"#,
    });
    assert_eq!(by_address, expected);

    // A third of a second is no whole number of nanoseconds, and a wait is never too short.
    let three = "rate_limit = { requests = 3, period = \"1s\" }";
    let by_project = refusal("", three, "").await;
    let project = format!("project:{TOKEN}");
    let expected = json!({
        "message": format!("Rate limit exceeded: 3 requests per 1 s for {project}"),
        "wait_ms": 333.333_334, "pushback_ms": 334, "retry_after": 1,
        "subjects": [project],
        "policy": r#""perip";q=6000;w=60, "perproject";q=3;w=1"#,
        "limit": r#""perip";r=5995;t=1, "perproject";r=0;t=1"#,
    });
    assert_eq!(by_project, expected);

    let hour = "rate_limit = { requests = 3, period = \"1h\" }";
    let by_both = refusal("", three, hour).await;
    let key = format!("project:{TOKEN}/key:key-id");
    let expected = json!({
        "message": format!("Rate limit exceeded: 3 requests per 3600 s for {key}"),
        "wait_ms": 1_200_000.0, "pushback_ms": 1_200_000, "retry_after": 1_200,
        "subjects": [project, key],
        "policy": r#""perip";q=6000;w=60, "perproject";q=3;w=1, "perkey";q=3;w=3600"#,
        "limit": r#""perip";r=5995;t=1, "perproject";r=0;t=1, "perkey";r=0;t=3600"#,
    });
    assert_eq!(by_both, expected);
}
