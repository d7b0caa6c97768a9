//! The service as its users start it: the binary, in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::first_run::Project;
use super::{eventually, eventually_blocking};

/// A running `footfall serve`.
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    dir: PathBuf,
    pub address: SocketAddr,
    /// What it printed before it served.
    pub greeting: String,
}

impl Process {
    /// Starts the binary in an empty or used folder, on a port of its own, and waits until it is ready.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// As [`Process::start`], with settings from the environment.
    pub fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::greeted(dir, &mut serve(dir, settings))
    }

    /// As [`Process::start`], with settings from a file in the folder, which names no project.
    pub fn start_configured(dir: &Path, file: &str) -> Self {
        Self::start_listening(dir, "127.0.0.1:0", file)
    }

    /// As [`Process::start_with`], where the system allows so many open files.
    pub fn start_limited(dir: &Path, files: u32, settings: &[(&str, &str)]) -> Self {
        let mut command = limited(dir, files);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self::greeted(dir, command.envs(settings.iter().copied()))
    }

    /// As [`Process::start_configured`], where it is told to listen.
    pub fn start_listening(dir: &Path, listen: &str, file: &str) -> Self {
        let mut command = command(dir);
        command.args(["serve", "--listen", listen, "--config", file]);
        Self::greeted(dir, &mut command)
    }

    /// As [`Process::start_with`], or what it said when it ended.
    pub fn try_start(dir: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::try_greeted(dir, &mut serve(dir, settings))
    }

    /// As [`Process::start_with`], where an earlier one listened.
    pub fn start_again(dir: &Path, address: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let mut command = command(dir);
        command.args(["serve", "--listen", &address.to_string()]);
        Self::greeted(dir, command.envs(settings.iter().copied()))
    }

    /// As [`Process::start_configured`], with a file that names projects: there is no greeting then.
    pub fn start_with_projects(dir: &Path, file: &str) -> Self {
        let mut command = command(dir);
        command.args(["serve", "--listen", "127.0.0.1:0", "--config", file]);
        let mut child = spawn(dir, &mut command);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        eventually_blocking("the service listens", || {
            let ended = child.try_wait().unwrap();
            let listens = log(dir).contains("serving address=");
            assert!(listens || ended.is_none(), "{}", log(dir));
            listens.then_some(())
        });
        Self {
            child,
            stdout,
            dir: dir.to_owned(),
            address: told(dir, "address="),
            greeting: String::new(),
        }
    }

    /// Where its second listener is.
    pub fn admin(&self) -> SocketAddr {
        admin(&self.dir)
    }

    fn greeted(dir: &Path, command: &mut Command) -> Self {
        Self::try_greeted(dir, command).unwrap_or_else(|said| panic!("no address: {said}"))
    }

    fn try_greeted(dir: &Path, command: &mut Command) -> Result<Self, String> {
        let mut child = spawn(dir, command);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        stdout.read_line(&mut greeting).unwrap();
        let address = greeting
            .split_whitespace()
            .find_map(|word| word.trim_end_matches('.').parse().ok());
        let Some(address) = address else {
            let ended = child.wait().unwrap();
            return Err(format!("{greeting}{}{ended}", log(dir)));
        };
        Ok(Self {
            child,
            stdout,
            dir: dir.to_owned(),
            address,
            greeting,
        })
    }

    /// Starts the binary and kills it after `moment`, however far it has come.
    pub async fn start_and_kill(dir: &Path, settings: &[(&str, &str)], moment: Duration) {
        let mut child = spawn(dir, &mut serve(dir, settings));
        tokio::time::sleep(moment).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Reads on in what it prints, up to a line that begins with `last`.
    pub fn read_until(&mut self, last: &str) -> &str {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.stdout.read_line(&mut line).unwrap(),
                0,
                "{}",
                self.greeting
            );
            self.greeting.push_str(&line);
            if line.trim_start().starts_with(last) {
                return &self.greeting;
            }
        }
    }

    /// Everything that it prints until it ends.
    pub fn rest(&mut self) -> &str {
        self.stdout.read_to_string(&mut self.greeting).unwrap();
        &self.greeting
    }

    /// Waits until readiness is off.
    pub async fn is_not_ready(&self) {
        let ask = || super::Request::new(self.address, "GET", "/readyz");
        eventually("readiness is off", async || {
            (ask().send().await.status != 200).then_some(())
        })
        .await;
    }

    /// What it takes of the memory, in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.status_mib("VmRSS:")
    }

    /// The most that it has taken of the memory, in MiB.
    pub fn peak_mib(&self) -> u64 {
        self.status_mib("VmHWM:")
    }

    fn status_mib(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() / 1024
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and what came of it.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

/// Whatever happens to a scenario, its service does not outlive it.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert_no_secret(&self.dir);
        }
    }
}

/// Whatever a scenario is about, its service's log has nothing of the first run's keys.
fn assert_no_secret(dir: &Path) {
    if !dir.join("footfall-data/project.toml").exists() {
        return;
    }
    let (project, log) = (Project::read(dir), log(dir));
    for secret in [&project.public, &project.secret, &project.private()] {
        assert!(!log.contains(secret), "a secret is in the log:\n{log}");
    }
}

/// What follows a word in a log's line about where the service listens.
fn told(dir: &Path, word: &str) -> SocketAddr {
    let log = log(dir);
    let mut words = log.split_whitespace();
    let found = words.find_map(|known| known.strip_prefix(word)?.parse().ok());
    found.unwrap_or_else(|| panic!("{log}"))
}

fn serve(dir: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = command(dir);
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .envs(settings.iter().copied());
    command
}

fn spawn(dir: &Path, command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::from(
            std::fs::File::create(dir.join("stderr")).unwrap(),
        ))
        .spawn()
        .unwrap()
}

/// The second address of the last service in a folder, once it serves.
pub fn admin(dir: &Path) -> SocketAddr {
    eventually_blocking("the service listens", || {
        log(dir).contains("serving address=").then_some(())
    });
    told(dir, "admin=")
}

/// What the last service in a folder wrote about itself.
pub fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("stderr")).unwrap_or_default()
}

/// The binary, in a folder, without settings from outside.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command
        .current_dir(dir)
        .env_clear()
        .env("FOOTFALL_SERVER_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// As [`command`], where the system allows so many open files.
pub fn limited(dir: &Path, files: u32) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {files} && exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_footfall"))
        .current_dir(dir)
        .env_clear()
        .env("FOOTFALL_SERVER_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// Runs the binary to its end; gives its code and everything that it printed.
pub fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let output = output.unwrap();
    let mut text = String::new();
    output.stdout.as_slice().read_to_string(&mut text).unwrap();
    output.stderr.as_slice().read_to_string(&mut text).unwrap();
    (output.status.code(), text)
}

/// What the binary says when it cannot start.
pub fn refuses(dir: &Path, arguments: &[&str]) -> String {
    let mut process = command(dir)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    stdout.read_line(&mut greeting).unwrap();
    if !greeting.is_empty() {
        process.kill().unwrap();
    }
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (greeting.as_str(), output.status.code()),
        ("", Some(1)),
        "{said}"
    );
    said
}
