//! Servers as processes of their own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// What callers of the benchmark's project show.
pub(super) const TOKEN: &str = "bench";
pub(super) const AUTHORIZATION: &str = "Token bench";

/// A running server; it does not outlive this value.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    _dir: Option<tempfile::TempDir>,
}

const SETTINGS: &str = r#"
[rate_limit]
requests = 60000000
[[project]]
token = "bench"
[[project.key]]
public = "bench"
permissions = ["customers:set", "events:set"]
"#;

impl Server {
    /// Footfall, in an empty folder below the target folder: where `/tmp` is memory, a sync costs nothing.
    pub(super) fn footfall() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(dir.path().join("footfall.toml"), SETTINGS).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_footfall"))
            .current_dir(&dir)
            .args([
                "serve",
                "--config",
                "footfall.toml",
                "--listen",
                "127.0.0.1:0",
            ])
            .env("FOOTFALL_SERVER_ADMIN_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let address = line.split(['=', ' ']).find_map(|word| word.parse().ok());
        Self {
            child,
            address: address.unwrap_or_else(|| panic!("no address in {line:?}")),
            _dir: Some(dir),
        }
    }

    /// This benchmark as one of its baselines.
    pub(super) fn baseline(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        Self {
            child,
            address: line.trim().parse().unwrap(),
            _dir: None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
