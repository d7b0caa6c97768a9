//! A running service, in the words of the scenarios.

pub mod calls;
pub mod customer;
pub mod dice;
pub mod event_source;
pub mod eventually;
pub mod first_run;
pub mod frames;
pub mod half;
pub mod http;
pub mod keep_alive;
pub mod lane;
pub mod process;
pub mod programs;
pub mod refusal;
pub mod tls;
pub mod trap;
pub mod watching;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use footfall::app::{App, Reload, Reloaded, StartError, settings};
use footfall::clock::{Clock, ManualClock};
use footfall::config::{Config, Flags};
use footfall::log::Store;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use trap::{Trap, TrappedClock};

pub use customer::WRITTEN;
pub use eventually::{eventually, eventually_blocking};
pub use http::{Answer, Request};

/// The project that every scenario knows.
pub const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
/// Another project, with the same names of keys and other secrets.
pub const OTHER_TOKEN: &str = "99999999-2222-3333-4444-555555555555";
/// `Authorization` of the public key.
pub const PUBLIC: &str = "Token public-key";
/// `Authorization` of the private key, which may do everything: `key-id:key-secret`.
pub const PRIVATE: &str = "Basic a2V5LWlkOmtleS1zZWNyZXQ=";
/// The time at which a manual clock starts: 2023-11-14T22:13:20Z.
pub const START: u64 = 1_700_000_000;

const PROJECTS: &str = r#"
[[project]]
token = "11111111-2222-3333-4444-555555555555"
hard_ids = ["registered", "email_id"]
soft_ids = ["cookie"]
lowercase_ids = ["email_id"]
[[project.key]]
public = "public-key"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "key-id"
secrets = ["key-secret", "next-secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase", "refusals:get"]
[[project.key]]
public = "customers-only"
permissions = ["customers:set"]
[[project.key]]
public = "events-only"
permissions = ["events:set"]
[[project.key]]
id = "read-nothing"
secrets = ["s"]
permissions = []

[[project]]
token = "99999999-2222-3333-4444-555555555555"
[[project.key]]
public = "other-public-key"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "key-id"
secrets = ["other-secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get"]
"#;

/// What a scenario's service is like.
#[derive(Default)]
pub struct Setup {
    toml: String,
    projects: Option<String>,
    store: Option<Arc<dyn Store>>,
    trap: Option<Trap>,
}

impl Setup {
    /// Adds settings, as they stand in a file.
    pub fn with(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// Keeps the log in a store of the scenario's.
    pub fn over(mut self, store: Arc<impl Store + 'static>) -> Self {
        self.store = Some(store);
        self
    }

    /// Makes anyone who asks for the time next panic, each time the trap is set.
    pub fn trapped(mut self, trap: &Trap) -> Self {
        self.trap = Some(trap.clone());
        self
    }

    /// Starts the service in an empty folder.
    pub async fn start(self) -> Server {
        let dir = tempfile::tempdir().unwrap();
        self.start_in(dir).await
    }

    /// Starts the service in a folder that an earlier one left.
    pub async fn start_in(self, dir: TempDir) -> Server {
        let config = self.config(&dir);
        let clock = Arc::new(ManualClock::starting_at(Duration::from_secs(START)));
        let projects = settings::members(&config);
        let told: Arc<dyn Clock> = match self.trap {
            None => clock.clone(),
            Some(trap) => Arc::new(TrappedClock(clock.clone(), trap)),
        };
        let app = match self.store {
            None => App::bind(&config, projects, told).await,
            Some(store) => App::bind_over(&config, projects, told, store).await,
        };
        let app = app.unwrap();
        let reload = app.reload();
        let address = app.address().unwrap();
        let admin = app.admin_address().unwrap();
        let (shutdown, signals) = mpsc::channel(2);
        let task = tokio::spawn(async move { app.run(signals).await.unwrap() });
        let server = Server {
            address,
            admin,
            clock,
            reload,
            dir,
            is_plain: config.server.tls.is_none() && !config.server.proxy_protocol,
            shutdown,
            task,
        };
        server.is_ready().await;
        server
    }

    /// Takes other projects than the harness's.
    pub fn projects(mut self, toml: &str) -> Self {
        self.projects = Some(toml.to_owned());
        self
    }

    fn config(&self, dir: &TempDir) -> Config {
        let file = dir.path().join("footfall.toml");
        let projects = self.projects.as_deref().unwrap_or(PROJECTS);
        std::fs::write(&file, format!("{}\n{projects}", self.toml)).unwrap();
        let flags = Flags {
            config: Some(file),
            listen: Some("127.0.0.1:0".into()),
            data_dir: Some(dir.path().join("data")),
        };
        let env = [("FOOTFALL_SERVER_ADMIN_LISTEN", "127.0.0.1:0")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(&flags, env).unwrap()
    }
}

/// A service in this process, whose clock is moved by hand.
pub struct Server {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub clock: Arc<ManualClock>,
    reload: Reload,
    dir: TempDir,
    /// Whether the main listener takes plain HTTP.
    is_plain: bool,
    shutdown: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A POST to a route below `/track`, with the public key.
    pub fn track(&self, route: &str, body: &str) -> Request {
        let path = format!("/track/v2/projects/{TOKEN}/{route}");
        self.post(&path).header("Authorization", PUBLIC).body(body)
    }

    /// A POST to a route below `/data/.../customers`, with the private key.
    pub fn data(&self, route: &str, body: &str) -> Request {
        let path = format!("/data/v2/projects/{TOKEN}/customers/{route}");
        self.post(&path).header("Authorization", PRIVATE).body(body)
    }

    pub fn post(&self, path: &str) -> Request {
        Request::new(self.address, "POST", path)
    }

    pub fn get(&self, path: &str) -> Request {
        Request::new(self.address, "GET", path)
    }

    /// A channel for generated gRPC clients.
    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address));
        endpoint.unwrap().connect().await.unwrap()
    }

    /// Puts other settings into force, as SIGHUP does.
    pub fn reloads(&self, setup: &Setup) -> Reloaded {
        self.try_reload(setup).unwrap()
    }

    /// As [`Server::reloads`], with settings that may be no good.
    pub fn try_reload(&self, setup: &Setup) -> Result<Reloaded, StartError> {
        self.reload.apply(&setup.config(&self.dir))
    }

    /// What a counter says in `/metrics`; 0 if it is not there.
    pub async fn counted(&self, line: &str) -> u64 {
        let metrics = Request::new(self.admin, "GET", "/metrics").send().await;
        let mut lines = metrics.body.lines();
        let value = lines.find_map(|known| known.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a gauge is no more than this.
    pub async fn falls_to(&self, gauge: &str, most: u64) {
        eventually(&format!("{gauge} falls to {most}"), async || {
            (self.counted(gauge).await <= most).then_some(())
        })
        .await;
    }

    /// Waits until a gauge is no less than this.
    pub async fn rises_to(&self, gauge: &str, least: u64) {
        eventually(&format!("{gauge} rises to {least}"), async || {
            (self.counted(gauge).await >= least).then_some(())
        })
        .await;
    }

    /// Waits until readiness is on: the service says so itself.
    async fn is_ready(&self) {
        let listener = match self.is_plain {
            true => self.address,
            false => self.admin,
        };
        let ask = || Request::new(listener, "GET", "/readyz").send();
        eventually("the service is ready", async || {
            (ask().await.status == 200).then_some(())
        })
        .await;
    }

    /// Drains as on SIGTERM, and leaves the data folder.
    pub async fn stop(self) -> TempDir {
        self.signal();
        self.ended().await
    }

    /// What SIGTERM does.
    pub fn signal(&self) {
        self.shutdown.try_send(()).unwrap();
    }

    /// Waits until the service has ended after a signal, and leaves the data folder.
    pub async fn ended(self) -> TempDir {
        self.task.await.unwrap();
        self.dir
    }
}

/// A message with metadata that lets it in.
pub fn authorized<T>(message: T, authorization: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = authorization.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}
