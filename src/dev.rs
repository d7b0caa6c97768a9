//! Floor 5: the emulator, for the tests of programs that call the service. Nothing is kept, every token is a project,
//! and every key is let in.
//!
//! It is the service itself, over a log ([`store`]) and a view in memory. [`control`] answers on the second listener
//! what was [`received`], and puts the [`seed`] back. [`faults`] stand in front of the services of both protocols.

mod command;
mod control;
mod faults;
mod fields;
mod received;
mod seed;
mod store;

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app::emulated::{Emulation, Handles};
use crate::app::first_run::reachable;
use crate::app::{App, StartError};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::log::Level;
use crate::limit::Quota;
use crate::model::customer_id::Schema;
use crate::model::quote::quoted;
use crate::server::Listeners;
use crate::telemetry;
use crate::tracker::OpenProjects;
use control::Control;
use faults::Faults;
use seed::Seed;
use store::{BYTES_MAX, Memory};

/// Most projects.
const PROJECTS_MAX: usize = 1_024;
/// Addresses are not limited, so that they need no room.
const SLOTS: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();
/// The port of the second listener, unless a free one is asked for.
const ADMIN_PORT: u16 = 9090;
/// Most connections to it: more than expectations may wait.
const ADMIN_CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// The addresses that are not limited.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// Longest that calls in flight may take once it is to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen for gRPC and REST. Port 0: a free one, and another one for the second listener.
    pub listen: SocketAddr,
    /// Where the second listener is.
    pub admin_listen: Option<SocketAddr>,
    /// A file that gets the line that is printed once it is ready.
    pub ready_file: Option<PathBuf>,
    /// What projects have at the start.
    pub seed: Option<PathBuf>,
    /// Requests of a project a minute. None: any number.
    pub requests: Option<NonZeroU32>,
    /// The hard and the soft ID types of every project.
    pub id_types: [Vec<String>; 2],
    /// The command to run, and its arguments. None: it runs until a signal stops it.
    pub command: Vec<String>,
}

/// Reads an address, such as `127.0.0.1:8080`. Without a host, as `:0`, it is of this machine alone.
///
/// # Errors
/// What was expected.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
    let local = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let address = local.or_else(|| text.parse().ok());
    address.ok_or_else(|| "expected an address and a port, such as 127.0.0.1:8080 or :0".to_owned())
}

/// Runs the emulator until `stops` has a message, or until its command ends; gives the exit code.
///
/// # Errors
/// Why it does not start, or why its command does not run.
pub async fn run(options: Options, stops: mpsc::Receiver<()>) -> Result<ExitCode, StartError> {
    let config = config(&options)?;
    if let Err(error) = telemetry::init(&config.log) {
        eprintln!("footfall: {error}");
    }
    let seed = options.seed.as_deref().map(Seed::load).transpose()?;
    let listeners = Listeners::bind(&config.server).await?;
    let app = open(listeners, &config, &options, seed.unwrap_or_default()).await?;
    let url = app.address().map_err(StartError::System)?;
    let admin = app.admin_address().map_err(StartError::System)?;
    let [url, admin] = [url, admin].map(|address| format!("http://{}", reachable(address)));
    eprintln!("footfall: this is the emulator: nothing is kept, and every key is let in");
    let pid = std::process::id();
    let ready = format!("{{\"url\": \"{url}\", \"admin\": \"{admin}\", \"pid\": {pid}}}\n");
    // From here on the listeners' callers are answered, or wait a moment in the kernel's queue.
    let (stop, stopped) = mpsc::channel(2);
    let has_command = !options.command.is_empty();
    let stops = if has_command { stopped } else { stops };
    let served = tokio::spawn(app.run(stops));
    let mut stdout = std::io::stdout();
    let printed = stdout.write_all(ready.as_bytes());
    printed
        .and_then(|()| stdout.flush())
        .map_err(StartError::Output)?;
    if let Some(path) = &options.ready_file {
        write_whole(path, &ready).map_err(StartError::Output)?;
    }
    let mut code = Ok(0);
    if has_command {
        code = command::run(&options.command, &url, &admin).await;
        let _ = stop.send(()).await;
    }
    served.await.map_err(|_| StartError::Panicked)??;
    Ok(ExitCode::from(u8::try_from(code?).unwrap_or(u8::MAX)))
}

/// The settings: no file and no variable counts.
fn config(options: &Options) -> Result<Config, StartError> {
    let mut config = Config::default();
    config.log.level = Level::Warn;
    config.server.listen = options.listen;
    let admin_port = if options.listen.port() == 0 {
        0
    } else {
        ADMIN_PORT
    };
    let admin = SocketAddr::new(options.listen.ip(), admin_port);
    config.server.admin_listen = options.admin_listen.unwrap_or(admin);
    config.server.drain_timeout = DRAIN_TIMEOUT;
    config.server.admin_connections_max = ADMIN_CONNECTIONS_MAX;
    config.rate_limit.addresses.slots = SLOTS;
    // One test's calls must not cost another one's.
    config.rate_limit.addresses.exempt = EVERYWHERE
        .iter()
        .filter_map(|net| net.parse().ok())
        .collect();
    Ok(config)
}

/// Puts the service together, with its seed.
async fn open(
    listeners: Listeners,
    config: &Config,
    options: &Options,
    seed: Seed,
) -> Result<App, StartError> {
    let [hard, soft] = &options.id_types;
    let minute = Duration::from_mins(1);
    let quota = options
        .requests
        .map(|requests| Quota::new(requests, minute, requests));
    let faults = Faults::default();
    let (seed, handles) = (Arc::new(seed), Arc::new(OnceLock::<Handles>::new()));
    let emulation = Emulation {
        projects: OpenProjects {
            projects_max: PROJECTS_MAX,
            ids: Schema::new(hard, soft, &[]),
            // Beyond what a quota can be, there is none.
            quota: quota.and_then(Result::ok),
        },
        interceptor: Arc::new(faults.clone()),
        extension: {
            let (seed, handles) = (seed.clone(), handles.clone());
            Box::new(move |given| {
                let control = Control::new(given.clone(), faults, seed);
                let _ = handles.set(given);
                Arc::new(control)
            })
        },
    };
    let (clock, store) = (
        Arc::new(SystemClock::new()),
        Arc::new(Memory::new(BYTES_MAX)),
    );
    let app = App::emulated(listeners, config, clock, store, emulation)?;
    let (Some(path), Some(handles)) = (&options.seed, handles.get()) else {
        return Ok(app);
    };
    let wrong = |why: String| StartError::Seed {
        path: path.clone(),
        why,
    };
    for project in seed.projects() {
        let access = handles.tracker.open_project(project);
        let access =
            access.map_err(|error| wrong(format!("'project' '{}': {error}", quoted(project))))?;
        seed.sow(&handles.tracker, &access).await.map_err(wrong)?;
    }
    Ok(app)
}

/// Writes a file that others wait for: it is there with all that is in it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        let text = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(text(":0").as_deref(), Ok("127.0.0.1:0"));
        assert_eq!(text("0.0.0.0:80").as_deref(), Ok("0.0.0.0:80"));
        assert_eq!(text("[::1]:80").as_deref(), Ok("[::1]:80"));
        assert!(text("80").is_err() && text(":").is_err() && text("localhost").is_err());
    }
}
