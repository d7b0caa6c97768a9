//! The command line of Footfall.

use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use footfall::admin::backup;
use footfall::app::first_run::FirstRun;
use footfall::app::machine::{Fitted, Limits};
use footfall::app::{App, StartError, rebuild_view, settings};
use footfall::cli::keys::NewKey;
use footfall::cli::{dump, verify};
use footfall::clock::{Clock, SystemClock};
use footfall::config::{self, Config, Flags};
use footfall::dev;
use footfall::server::{Listeners, tls};
use footfall::telemetry;
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Customer and event tracking over gRPC and REST.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves gRPC and REST (the default)
    Serve(Settings),
    /// Checks the settings and lists every mistake
    CheckConfig(Settings),
    /// Prints the settings in force, and where each was said
    Config(Settings),
    /// Works on the view, which is what is read
    #[command(subcommand)]
    View(View),
    /// Looks at the log of a stopped service, which is the truth
    #[command(subcommand)]
    Log(Log),
    /// Runs an emulator for tests: any token, any key, and nothing is kept
    Dev(Dev),
    /// Makes keys
    #[command(subcommand)]
    Keys(Keys),
    /// Copies the store of a running or stopped service into another folder
    Backup {
        /// A new or empty folder
        dir: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Debug, Subcommand)]
enum View {
    /// Drops the view of a stopped service and rebuilds it from the log
    Rebuild(Settings),
}

#[derive(Debug, Subcommand)]
enum Log {
    /// Checks every record, and the view against the log; exits with 1 on damage
    Verify(Settings),
    /// Prints records as lines of JSON
    Dump {
        /// The first position
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
        /// The most records
        #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Prints the lines of a new key for the settings file, and its secret to standard error
    New,
}

#[derive(Clone, Debug, Default, Args)]
struct Settings {
    /// The settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen for gRPC and REST
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where the data is
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Dev {
    /// Where to listen for gRPC and REST; ":0" takes free ports for both listeners
    #[arg(long, value_name = "[ADDRESS]:PORT", default_value = ":8080", value_parser = dev::address)]
    listen: SocketAddr,
    /// Where the second listener is [default: port 9090, or a free one]
    #[arg(long, value_name = "[ADDRESS]:PORT", value_parser = dev::address)]
    admin_listen: Option<SocketAddr>,
    /// A file that gets the line that is printed once it is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// What projects have at the start: a command a line, as JSON
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Requests of a project a minute; without it, any number
    #[arg(long, value_name = "N")]
    requests: Option<NonZeroU32>,
    /// A hard ID type of every project
    #[arg(long, value_name = "NAME", default_values = ["registered"])]
    hard_id: Vec<String>,
    /// A soft ID type of every project
    #[arg(long, value_name = "NAME", default_values = ["cookie"])]
    soft_id: Vec<String>,
    /// A command to run beside it, which finds it in FOOTFALL_URL and FOOTFALL_ADMIN
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What a command begins with.
struct Started {
    /// Lowered to what there are descriptors, threads and memory for.
    config: Config,
    /// The settings as they were given, with their sources.
    reported: Vec<config::Setting>,
    fitted: Fitted,
    limits: Limits,
}

impl Settings {
    fn load(&self) -> Result<Config, StartError> {
        Ok(self.load_reported()?.0)
    }

    fn load_reported(&self) -> Result<(Config, Vec<config::Setting>), StartError> {
        let flags = Flags {
            config: self.config.clone(),
            listen: self.listen.clone(),
            data_dir: self.data_dir.clone(),
        };
        Ok(Config::load_reported(&flags, config::env::read())?)
    }

    /// Loads the settings, begins to write the log, and fits the settings into what the machine has.
    fn start(&self) -> Result<Started, StartError> {
        // Also for what the engine makes: what customers do is nobody else's to read.
        umask(Mode::RWXG | Mode::RWXO);
        let (mut config, reported) = self.load_reported()?;
        start_log(&config);
        let limits = Limits::raise();
        let fitted = limits.fit(&mut config)?;
        for warning in &fitted.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Started {
            config,
            reported,
            fitted,
            limits,
        })
    }
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Some(Command::Dev(options)) => return emulate(options),
        None => serve(Settings::default()),
        Some(Command::Serve(settings)) => serve(settings),
        Some(Command::CheckConfig(settings)) => check_config(settings),
        Some(Command::Config(settings)) => show_config(settings),
        Some(Command::View(View::Rebuild(settings))) => rebuild(settings),
        Some(Command::Log(Log::Verify(settings))) => verify(settings),
        Some(Command::Log(Log::Dump {
            from,
            limit,
            settings,
        })) => dump(settings, dump::Range { from, limit }),
        Some(Command::Keys(Keys::New)) => new_key(),
        Some(Command::Backup { dir, settings }) => backup(settings, &dir),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn failure(error: &StartError) -> ExitCode {
    eprintln!("footfall: {error}");
    ExitCode::FAILURE
}

fn emulate(options: Dev) -> ExitCode {
    let options = dev::Options {
        listen: options.listen,
        admin_listen: options.admin_listen,
        ready_file: options.ready_file,
        seed: options.seed,
        requests: options.requests,
        id_types: [options.hard_id, options.soft_id],
        command: options.command,
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(StartError::System)?;
        let ended = runtime.block_on(async { dev::run(options, shutdown()?).await });
        runtime.shutdown_background();
        ended
    };
    run().unwrap_or_else(|error| failure(&error))
}

fn check_config(settings: Settings) -> Result<(), StartError> {
    let mut config = settings.load()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    tls::check(&config, &clock)?;
    for warning in Limits::raise().fit(&mut config)?.warnings {
        eprintln!("footfall: {warning}");
    }
    println!("the settings are good");
    Ok(())
}

fn show_config(settings: Settings) -> Result<(), StartError> {
    let (_, reported) = settings.load_reported()?;
    let lines: String = reported
        .iter()
        .map(|setting| format!("{setting}\n"))
        .collect();
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(lines.as_bytes());
    written.map_err(StartError::Output)
}

/// The lines and the secret go apart, so that anyone who appends the output to the settings has no secret in them.
fn new_key() -> Result<(), StartError> {
    let key = NewKey::new()?;
    let lines = key.settings();
    std::io::stdout()
        .write_all(lines.as_bytes())
        .map_err(StartError::Output)?;
    eprintln!(
        "The secret of key {}, which is kept nowhere: {}\nCallers show both: curl -u '{}:...'",
        key.id, key.secret, key.id
    );
    Ok(())
}

fn rebuild(settings: Settings) -> Result<(), StartError> {
    let Started { config, fitted, .. } = settings.start()?;
    let rebuilt =
        runtime(&fitted)?.block_on(rebuild_view(&config, Arc::new(SystemClock::new())))?;
    println!(
        "folded {} records; {} repeated events dropped, {} customers merged",
        rebuilt.records, rebuilt.duplicates, rebuilt.merges
    );
    Ok(())
}

fn verify(settings: Settings) -> Result<(), StartError> {
    let Started { config, .. } = settings.start()?;
    verify::verify(&config, &mut std::io::stdout().lock())
}

fn dump(settings: Settings, range: dump::Range) -> Result<(), StartError> {
    let Started { config, .. } = settings.start()?;
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    dump::dump(&config, range, &mut stdout)
}

fn backup(settings: Settings, dir: &Path) -> Result<(), StartError> {
    let Started { config, fitted, .. } = settings.start()?;
    let report = runtime(&fitted)?.block_on(async {
        let shutdown = shutdown()?;
        Ok::<_, StartError>(backup::run(&config, dir, shutdown).await?)
    })?;
    println!("{report}");
    Ok(())
}

fn serve(settings: Settings) -> Result<(), StartError> {
    let started = settings.start()?;
    let runtime = runtime(&started.fitted)?;
    let ended = runtime.block_on(run(settings, started));
    // Whatever still waits for the disk must not keep the process.
    runtime.shutdown_background();
    ended
}

async fn run(settings: Settings, started: Started) -> Result<(), StartError> {
    let Started {
        mut config,
        reported,
        limits,
        ..
    } = started;
    // Before the start, so that no signal during it is lost.
    let shutdown = shutdown()?;
    let hangups = signals(&[SignalKind::hangup()], 1)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Before a first run writes anything.
    tls::check(&config, &clock)?;
    let listeners = Listeners::bind(&config.server).await?;
    let first_run = first_run(&mut config)?;
    let members = settings::members(&config);
    let app = App::open(listeners, &config, members, clock).await?;
    let mut commands = BTreeMap::new();
    if let Some(first_run) = &first_run {
        let scheme = config.server.tls.as_ref().map_or("http", |_| "https");
        greet(first_run, scheme, &app);
        let text = app
            .address()
            .ok()
            .and_then(|address| first_run.commands(scheme, address));
        commands.extend(text.map(|text| (first_run.project.token.clone(), text)));
    }
    app.describe(reported, commands);
    let (is_first_run, data_dir) = (first_run.is_some(), config.data.dir);
    let load_again = move || {
        config::is_not_empty(settings.config.as_deref())?;
        let mut config = settings.load()?;
        if is_first_run && config.projects.is_empty() {
            config.projects = vec![FirstRun::load(&data_dir)?.project];
        }
        // As at the start, or what the machine has no room for would differ each time.
        limits.fit(&mut config)?;
        Ok(config)
    };
    tokio::spawn(app.reload().at_each(hangups, load_again));
    app.run(shutdown).await
}

/// Without projects in the settings, the one of the first run is theirs.
fn first_run(config: &mut Config) -> Result<Option<FirstRun>, StartError> {
    if !config.projects.is_empty() {
        return Ok(None);
    }
    let first_run = FirstRun::load(&config.data.dir)?;
    config.projects = vec![first_run.project.clone()];
    Ok(Some(first_run))
}

/// Shows how to call the first run's project. Keys are shown when they are new, or to a person.
fn greet(first_run: &FirstRun, scheme: &str, app: &App) {
    let path = first_run.path.display();
    let Ok(address) = app.address() else { return };
    let shown = first_run.is_new || std::io::stdout().is_terminal();
    let text = match first_run.commands(scheme, address) {
        Some(commands) if shown => format!(
            "Footfall listens on {address}. Its project and keys are in {path}.\n\n\
             Store an event, and read it back:\n\n{commands}"
        ),
        Some(_) | None => {
            format!("Footfall listens on {address}. Its project and keys are in {path}.\n")
        }
    };
    let mut stdout = std::io::stdout();
    // Anyone who closed the output does not want to read it.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// The signals that ask to stop: the first to drain, the second to stop at once.
fn shutdown() -> Result<mpsc::Receiver<()>, StartError> {
    signals(&[SignalKind::terminate(), SignalKind::interrupt()], 2)
}

/// A message for each signal of these kinds. Of those that are not read yet, more than `most` say nothing new.
fn signals(kinds: &[SignalKind], most: usize) -> Result<mpsc::Receiver<()>, StartError> {
    let (sender, receiver) = mpsc::channel(most);
    for kind in kinds {
        let mut signals = signal(*kind).map_err(StartError::System)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _ = sender.try_send(());
            }
        });
    }
    Ok(receiver)
}

fn runtime(fitted: &Fitted) -> Result<tokio::runtime::Runtime, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(fitted.blocking_threads_max)
        .enable_all()
        .build();
    runtime.map_err(StartError::System)
}

fn start_log(config: &Config) {
    if let Err(error) = telemetry::init(&config.log) {
        eprintln!("footfall: {error}");
    }
}
