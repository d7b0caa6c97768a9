//! Floor 5: connects the floors, starts, reloads and stops.

pub(crate) mod emulated;
mod error;
pub mod first_run;
mod id_types;
pub mod machine;
mod readiness;
mod reload;
pub mod settings;

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::admin::backup::Backups;
use crate::admin::{
    self, AdminEndpoint, Commands, Console, History, Operators, Sampler, Socket, Sources,
};
use crate::clock::Clock;
use crate::config::{Config, Setting, client_address};
use crate::grpc::health::{Health, Readiness};
use crate::limit::Refused;
use crate::log::disk::DiskStore;
use crate::log::{self, Log, Store};
use crate::middleware::{ConcurrencyLimit, Limiters, Refusals, Rejections, observe};
use crate::model::address::Resolver;
use crate::model::panics::Panics;
use crate::retention::RetentionWorker;
use crate::server::tls::{self, Tls};
use crate::server::{Acceptor, ConnectionLimits, Listeners, Stack, warn_of_plain_text};
use crate::tracker::{self, RegisteredProject, Tracker};
use crate::view::{self, Counts, View};
use emulated::{Emulation, Handles};
pub use error::StartError;
use id_types::IdTypes;
use readiness::ReadinessUpdater;
pub use reload::{Reload, Reloaded};

/// Longest that a stopping service waits for a disk that does not answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The service, bound to its addresses and ready to run.
#[derive(Debug)]
pub struct App {
    listeners: Listeners,
    stack: Stack,
    admin: Operators,
    /// None: the console is off.
    sampler: Option<Sampler>,
    /// None: it could not be created.
    socket: Option<Socket>,
    backups: Backups,
    limits: ConnectionLimits,
    tls: tls::Both<Tls>,
    health: Health,
    log: Log,
    view: View,
    /// None: nothing is on the disk.
    retention: Option<RetentionWorker>,
    reload: Reload,
    read_timeout: Duration,
    drain_wait: Duration,
    drain_timeout: Duration,
}

impl App {
    /// Binds the addresses, opens the data folder, and gets everything ready.
    ///
    /// # Errors
    /// Why the service does not start, as a text for an operator.
    pub async fn bind(
        config: &Config,
        projects: Vec<RegisteredProject>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config.server).await?;
        Self::open(listeners, config, projects, clock).await
    }

    /// Opens the data folder and gets everything ready.
    ///
    /// # Errors
    /// Why the service does not start, as a text for an operator.
    pub async fn open(
        listeners: Listeners,
        config: &Config,
        projects: Vec<RegisteredProject>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let options = (&config.data).into();
        let store = tokio::task::spawn_blocking(move || DiskStore::open(options)).await;
        let store = store.map_err(|_| StartError::Panicked)??;
        Self::assemble(listeners, config, projects, clock, Arc::new(store), None)
    }

    /// As [`App::bind`], over a store of the caller's.
    ///
    /// # Errors
    /// As [`App::bind`].
    pub async fn bind_over(
        config: &Config,
        projects: Vec<RegisteredProject>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config.server).await?;
        Self::assemble(listeners, config, projects, clock, store, None)
    }

    /// The emulator: over a store of the caller's, without anything on the disk.
    pub(crate) fn emulated(
        listeners: Listeners,
        config: &Config,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        emulation: Emulation,
    ) -> Result<Self, StartError> {
        Self::assemble(listeners, config, Vec::new(), clock, store, Some(emulation))
    }

    fn assemble(
        listeners: Listeners,
        config: &Config,
        projects: Vec<RegisteredProject>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        emulation: Option<Emulation>,
    ) -> Result<Self, StartError> {
        let panics = Panics::default();
        let log_options = log::Options {
            panics: panics.clone(),
            queue_records_max: config.data.queue_records_max.get(),
            queue_bytes_max: config.data.queue_bytes_max.get(),
            append_timeout: config.server.request_timeout,
        };
        let log = Log::start(store, &log_options, clock.clone())?;
        let view_options = view_options(config);
        let view = match &emulation {
            Some(_) => View::in_memory(log.clone(), Handle::current(), &view_options)?,
            None => {
                let dir = config.data.dir.join("view");
                View::start_with(&dir, log.clone(), Handle::current(), &view_options)?
            }
        };
        if emulation.is_none()
            && let Err(error) = take_id_types(config, &log, &view)
        {
            view.close();
            log.close();
            return Err(error);
        }
        let failures = Arc::new(settings::failures(&config.rate_limit)?);
        let tracker = Arc::new(Tracker::new(
            projects,
            failures.clone(),
            log.clone(),
            view.clone(),
            clock.clone(),
            tracker::Options {
                read_timeout: config.server.request_timeout,
                reads: settings::read_limits(&config.server),
                answer_bytes_max: config.server.answer_bytes_max.get(),
                snapshot_timeout: config.server.snapshot_timeout,
                watchers_max: config.server.watchers_max.get(),
                watch_heartbeat: config.server.watch_heartbeat,
                open: emulation
                    .as_ref()
                    .map(|emulation| emulation.projects.clone()),
            },
        ));
        let retention = emulation
            .is_none()
            .then(|| RetentionWorker::new(log.clone(), view.clone(), clock.clone(), &config.data));
        let limiters = Arc::new(Limiters {
            calls: settings::limiter(config.rate_limit.addresses.clone())?,
            probes: settings::limiter(settings::probes())?,
            failures,
            refused: Refused::new(RandomState::new()),
        });
        let socket = emulation.is_none().then(|| Socket::bind(&config.data.dir));
        let socket = socket
            .transpose()
            // A full disk must not prevent reads.
            .inspect_err(|error| tracing::warn!(%error, "no command can ask for a backup"))
            .unwrap_or_default();
        let backups = Backups::new(log.clone(), &config.data);
        let mut registry = Registry::default();
        let requests = observe::Metrics::new(&mut registry);
        let rejections = Rejections::new(&mut registry);
        let refusals = Refusals::new(&mut registry, clock.clone(), config.server.refusals_excerpt);
        let client_address::Options { trust, header } = config.client_address.clone();
        let resolver = Arc::new(Resolver::new(trust, header));
        let concurrency = ConcurrencyLimit::new(
            settings::concurrency(&config.server),
            resolver.clone(),
            rejections.clone(),
        );
        let ids = Arc::new(observe::Ids::new(settings::random()?));
        let limits = ConnectionLimits::new(
            &config.server,
            resolver.clone(),
            rejections.clone(),
            ids.clone(),
        )
        .with_cuts(emulation.is_some());
        let materials = tls::load(&config.server, &clock)?;
        let tls = tls::Both::new(materials, &tls::Failures::new(&mut registry));
        admin::register(
            &mut registry,
            limiters.clone(),
            clock.clone(),
            tracker.clone(),
            log.clone(),
            view.clone(),
            concurrency.clone(),
        );
        let reload = Reload::new(limiters.clone(), &tracker, tls.clone(), &clock, config);
        let health = Health::default();
        let admin = AdminEndpoint {
            registry: Arc::new(registry),
            health: health.clone(),
            limiters: limiters.clone(),
            refusals: refusals.recent().clone(),
            clock: clock.clone(),
            hosts: config.server.admin_hosts.as_slice().into(),
        };
        let history = History::default();
        let dir = config.data.dir.clone();
        let sampler = config.server.console.then(|| {
            Sampler::new(
                admin.registry.clone(),
                history.clone(),
                clock.clone(),
                dir.clone(),
            )
        });
        let scheme = config.server.tls.as_ref().map_or("http", |_| "https");
        let calls = listeners.calls.local_addr().map_err(StartError::System)?;
        let sources = Sources {
            log: log.clone(),
            view: view.clone(),
            refusals: refusals.clone(),
            dir,
            url: format!("{scheme}://{}", first_run::reachable(calls)),
            started: clock.now(),
        };
        let console = Console::new(
            admin.clone(),
            tracker.clone(),
            history,
            sources,
            config.server.console,
        );
        let interceptor = emulation
            .as_ref()
            .map(|emulation| emulation.interceptor.clone());
        let extension = emulation.map(|emulation| {
            (emulation.extension)(Handles {
                tracker: tracker.clone(),
                log: log.clone(),
                view: view.clone(),
                refusals: refusals.clone(),
            })
        });
        let admin = Operators {
            endpoint: admin,
            console: Arc::new(console),
            extension,
        };
        let stack = Stack {
            tracker,
            health: health.clone(),
            limiters,
            resolver,
            concurrency,
            header_bytes_max: config.server.header_bytes_max,
            rejections,
            refusals,
            metrics: requests,
            panics,
            clock,
            cors: crate::rest::Cors::new(&config.server.cors_origins),
            limits: settings::rest_limits(&config.server),
            answer_bytes_max: config.server.answer_bytes_max.get(),
            ids,
            interceptor,
        };
        Ok(Self {
            listeners,
            stack,
            admin,
            sampler,
            socket,
            backups,
            limits,
            tls,
            health,
            retention,
            reload,
            log,
            view,
            read_timeout: config.server.request_timeout,
            drain_wait: config.server.drain_wait,
            drain_timeout: config.server.drain_timeout,
        })
    }

    /// Where gRPC and REST are served.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listeners.calls.local_addr()
    }

    /// Where metrics and health are served.
    ///
    /// # Errors
    /// What the system says.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.listeners.admin.local_addr()
    }

    /// Says what the console shows of the settings, and how to call the projects.
    pub fn describe(&self, settings: Vec<Setting>, commands: BTreeMap<String, String>) {
        self.admin.console.describe(settings, commands);
    }

    /// A handle that gives new settings to the running service.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until the first message of `shutdown`, then drains; the second message cuts the draining short.
    ///
    /// # Errors
    /// [`StartError`] when the stack cannot be built.
    pub async fn run(self, mut shutdown: mpsc::Receiver<()>) -> Result<(), StartError> {
        if let (Ok(address), Ok(admin)) = (self.address(), self.admin_address()) {
            tracing::info!(%address, %admin, "serving");
            warn_of_plain_text("server.tls", address, self.tls.calls.as_ref());
            warn_of_plain_text("server.admin_tls", admin, self.tls.admin.as_ref());
        }
        let tracker = self.stack.tracker.clone();
        let clock = self.stack.clock.clone();
        let service = self.stack.build()?;
        let (limits, tls) = (self.limits, self.tls);
        let calls = Acceptor::start(self.listeners.calls, service, &limits, tls.calls);
        let commands = self.socket.map(|socket| {
            socket.serve(Commands {
                endpoint: self.admin.endpoint.clone(),
                backups: self.backups.clone(),
            })
        });
        let limits = limits.of_operators();
        let operators = Acceptor::start(self.listeners.admin, self.admin, &limits, tls.admin);
        let sampler = self.sampler.map(|sampler| tokio::spawn(sampler.run()));
        let retention = self.retention.map(RetentionWorker::start).transpose();
        let retention = retention.map_err(StartError::System)?;
        let (health, log, view) = (self.health.clone(), self.log.clone(), self.view.clone());
        let readiness = ReadinessUpdater::start(health, log, view, clock, self.read_timeout);

        shutdown.recv().await;
        tracing::info!("draining");
        readiness.stop().await;
        self.health.set(Readiness {
            started: true,
            obstacle: Some("draining".to_owned()),
        });
        let calls = async {
            // Balancers need a moment to learn that no more calls are accepted here.
            tokio::time::sleep(self.drain_wait).await;
            self.health.end();
            tracker.end_streams();
            let drained = tokio::time::timeout(self.drain_timeout, calls.drain()).await;
            if drained.is_err() {
                tracing::warn!(after = ?self.drain_timeout, "calls were cut off");
            }
        };
        let backup = async {
            let stopped = self.backups.stop();
            let stopped = tokio::time::timeout(self.drain_timeout, stopped).await;
            stopped.unwrap_or_else(|_| {
                tracing::warn!(after = ?self.drain_timeout, "a backup was cut off");
                false
            })
        };
        let drained = tokio::select! {
            ((), was_backed_up) = async { tokio::join!(calls, backup) } => was_backed_up,
            _ = shutdown.recv() => {
                tracing::warn!("draining was cut short");
                false
            }
        };
        match drained {
            // The caller of the backup gets its result.
            true => {
                let drained = async {
                    if let Some(commands) = commands {
                        commands.drain().await;
                    }
                    operators.drain().await;
                };
                drop(tokio::time::timeout(CLOSE_TIMEOUT, drained).await);
            }
            false => {
                operators.abort();
                if let Some(commands) = commands {
                    commands.abort();
                }
            }
        }
        if let Some(sampler) = sampler {
            sampler.abort();
        }
        let (log, view) = (self.log, self.view);
        // The log and the view first, as a purge may take as long as copying the disk's data.
        if let Some(retention) = &retention {
            retention.end();
        }
        let closed = tokio::task::spawn_blocking(move || {
            log.close();
            view.close();
        });
        match tokio::time::timeout(CLOSE_TIMEOUT, closed).await {
            Ok(closed) => closed.map_err(|_| StartError::Panicked)?,
            // None of it was acknowledged.
            Err(_) => tracing::warn!("the disk does not answer; what it was given is left to it"),
        }
        let ended =
            tokio::task::spawn_blocking(move || retention.map(|retention| retention.stop()));
        if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::warn!(
                "cut short while what has to leave the disk was removed; the next start goes on with that"
            );
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Drops the view of a stopped service and rebuilds it from the log.
///
/// # Errors
/// [`StartError::Log`], [`StartError::View`].
pub async fn rebuild_view(config: &Config, clock: Arc<dyn Clock>) -> Result<Counts, StartError> {
    let store = DiskStore::open((&config.data).into())?;
    let log = Log::start(Arc::new(store), &log::Options::default(), clock)?;
    let dir = config.data.dir.join("view");
    View::remove(&dir)?;
    let view = View::start_with(&dir, log.clone(), Handle::current(), &view_options(config))?;
    // As long as it takes: the log may be long, and the operator can interrupt.
    view.caught_up(log.last(), Duration::MAX).await?;
    let counts = view.counts();
    view.close();
    log.close();
    Ok(counts)
}

/// Refuses settings that give stored IDs another meaning, and saves new ID types.
fn take_id_types(config: &Config, log: &Log, view: &View) -> Result<(), StartError> {
    let dir = &config.data.dir;
    let known = IdTypes::load(dir)?;
    let mut types = known.clone();
    let knows_all = view.progress().borrow().applied >= log.last();
    let snapshot = view.snapshot();
    // The projects of records that are not folded yet are unknown.
    let is_used = |token: &str| !knows_all || snapshot.has_project(token).unwrap_or(true);
    types.take(dir, &config.projects, is_used)?;
    if types != known
        && let Err(error) = types.save(dir)
    {
        // A full disk must not prevent reads.
        tracing::error!(%error, "the projects' ID types cannot be kept; another start could have others");
    }
    Ok(())
}

fn view_options(config: &Config) -> view::Options {
    view::Options {
        open_files_max: config.data.open_files_max.get(),
        cache_bytes: config.data.cache_bytes.get() as u64,
        known_bytes: config.view.cache_bytes.get(),
        checkpoint_bytes: config.view.checkpoint_bytes.get(),
        lag_max: config.view.lag_max.get(),
    }
}
