//! Servers as processes of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What callers of the benchmark's project show.
pub(super) const TOKEN: &str = "bench";
pub(super) const AUTHORIZATION: &str = "Token bench";
/// What callers that read show: `reader:reader`.
pub(super) const READER: &str = "Basic cmVhZGVyOnJlYWRlcg==";

const PROJECT: &str = r#"
[[project]]
token = "bench"
[[project.key]]
public = "bench"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "reader"
secrets = ["reader"]
permissions = ["customers:get", "events:get"]
"#;

/// A running server; it does not outlive this value.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
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
        }
    }

    /// Footfall in a folder, with room for as many requests as can be sent.
    pub(super) fn footfall(dir: &Path) -> (Self, SocketAddr) {
        Self::footfall_with(dir, "requests = 60000000")
    }

    /// Footfall in a folder, with these settings of the rate limit.
    pub(super) fn footfall_with(dir: &Path, rate_limit: &str) -> (Self, SocketAddr) {
        let settings = format!("[rate_limit]\n{rate_limit}\n{PROJECT}");
        std::fs::write(dir.join("footfall.toml"), settings).unwrap();
        let mut child = command(dir)
            .args(["serve", "--config", "footfall.toml"])
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A start after a kill has more to say first.
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = stderr.lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("address="));
        let line = line.expect("a server that starts");
        let mut addresses = line
            .split(['=', ' '])
            .filter_map(|word| word.trim().parse().ok());
        let (Some(address), Some(admin)) = (addresses.next(), addresses.next()) else {
            panic!("no addresses in {line:?}");
        };
        (Self { child, address }, admin)
    }

    /// Halts the process, so that what it still does on its own time disturbs nobody else's measurement.
    pub(super) fn halt(&self) {
        self.signal("-STOP");
    }

    /// Lets a halted process go on.
    pub(super) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary in a folder.
pub(super) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command
        .current_dir(dir)
        .env("FOOTFALL_SERVER_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// An empty folder below the target folder: where `/tmp` is memory, a sync costs nothing.
pub(super) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What a GET answers, head and body; empty if nobody listens.
pub(super) fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
    }
    answer
}
