//! The settings: one typed value, made once at the start from a file, the environment and flags.
//!
//! Each key of the TOML file, `[server] listen`, is also an environment variable, `FOOTFALL_SERVER_LISTEN`
//! (a list's elements are separated by commas); tables in double brackets live in the file only.
//! A flag beats the environment, the environment beats the file, the file beats the default.
//!
//! Everything is checked, also what is then overridden, and all [`Mistakes`] are reported at once:
//! each with its key or variable, its line, the value, and what was expected. Secrets are never shown.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use self::reader::Fields;
use self::reading::{Flag, Sources};
use self::value::Value;
use crate::model::address::Trust;

pub mod client_address;
pub mod data;
pub mod env;
mod grant;
pub mod key;
pub mod log;
mod mistake;
pub mod project;
mod quota;
pub mod rate_limit;
mod reader;
mod reading;
pub mod server;
mod sources;
mod spelling;
pub(crate) mod table;
pub mod tls;
mod units;
mod value;
pub mod view;

#[cfg(test)]
mod tests;

pub use self::key::KeyConfig;
pub use self::mistake::{Mistake, Mistakes};
pub use self::project::ProjectConfig;
pub use self::reading::Setting;

/// A settings file beyond this size is refused unread, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The listeners, and what guards them.
    pub server: server::Options,
    /// The data folder, and the queue in front of the disk.
    pub data: data::Options,
    /// The memory of what is read, and how far it may lag.
    pub view: view::Options,
    /// Whose word counts about a caller's address.
    pub client_address: client_address::Options,
    /// How much a caller may send.
    pub rate_limit: rate_limit::Options,
    /// What is logged and how.
    pub log: log::Options,
    /// The projects of `[[project]]`. Default: none.
    pub projects: Vec<ProjectConfig>,
}

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`: the settings file. Default: none is read.
    pub config: Option<PathBuf>,
    /// `--listen`: as `server.listen`.
    pub listen: Option<String>,
    /// `--data-dir`: as `data.dir`.
    pub data_dir: Option<PathBuf>,
}

impl Config {
    /// Reads the settings; `environment` is what [`env::read`] gives.
    ///
    /// # Errors
    /// All mistakes in all of the sources.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        Self::load_reported(flags, environment).map(|(config, _)| config)
    }

    /// As [`Config::load`], and each setting in force with its source.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_reported(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Setting>), Mistakes> {
        let mut mistakes = Vec::new();
        let text = match flags.config.as_deref().map(file_text) {
            None => String::new(),
            Some(Ok(text)) => text,
            Some(Err(mistake)) => {
                mistakes.push(mistake);
                String::new()
            }
        };
        let environment = environment
            .into_iter()
            .filter(|(name, _)| env::is_ours(name))
            .collect();
        let flags = flags.values();
        let sources = Sources {
            text: &text,
            environment: &environment,
            flags: &flags,
        };
        sources.read(mistakes, Self::read)
    }

    fn read(root: &mut Fields<'_, '_>) -> Self {
        let config = Self {
            server: root.section("server", server::Options::read),
            data: root.section("data", data::Options::read),
            view: root.section("view", view::Options::read),
            client_address: root.section("client_address", client_address::Options::read),
            rate_limit: root.section("rate_limit", rate_limit::Options::read),
            log: root.section("log", log::Options::read),
            projects: read_projects(root),
        };
        // Heads of the PROXY protocol are believed by address alone: hops count what is written into a request.
        let are_named = match &config.client_address.trust {
            Trust::Proxies { cidrs, .. } => !cidrs.is_empty(),
            Trust::Hops(_) | Trust::None => false,
        };
        if config.server.proxy_protocol && !are_named {
            let problem = "true needs client_address.trusted_proxies, the addresses of the proxies that send it";
            root.note("server.proxy_protocol".to_owned(), problem);
        }
        config
    }
}

impl Flags {
    fn values(&self) -> Vec<Flag<'_>> {
        let listen = self.listen.as_deref().map(|listen| Flag {
            name: "--listen",
            section: "server",
            key: "listen",
            value: Value::Word(listen),
        });
        let data_dir = self.data_dir.as_deref().map(|dir| Flag {
            name: "--data-dir",
            section: "data",
            key: "dir",
            value: Value::Path(dir),
        });
        listen.into_iter().chain(data_dir).collect()
    }
}

/// Refuses a settings file with nothing in it, where that cannot be meant: who writes a file empties it first.
///
/// # Errors
/// The one mistake. That the file cannot be read is [`Config::load`]'s to say.
pub fn is_not_empty(file: Option<&Path>) -> Result<(), Mistakes> {
    let Some(path) = file else {
        return Ok(());
    };
    let mistakes = match file_text(path) {
        Ok(text) if text.trim().is_empty() => {
            let problem = format!("{} is empty", Value::Path(path));
            vec![Mistake::new("--config", problem)]
        }
        Ok(_) | Err(_) => Vec::new(),
    };
    Mistakes::none(mistakes)
}

/// Reads a file of its own that holds `[[project]]` tables and nothing else.
///
/// # Errors
/// All mistakes in the text.
pub fn projects_from_toml(text: &str) -> Result<Vec<ProjectConfig>, Mistakes> {
    let environment = env::Environment::new();
    Sources {
        text,
        environment: &environment,
        flags: &[],
    }
    .read(Vec::new(), read_projects)
    .map(|(projects, _)| projects)
}

fn read_projects(root: &mut Fields<'_, '_>) -> Vec<ProjectConfig> {
    let mut tokens = BTreeSet::new();
    root.tables("project", |fields| ProjectConfig::read(fields, &mut tokens))
}

fn file_text(path: &Path) -> Result<String, Mistake> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let problem = match read {
        Ok(bytes) if bytes as u64 <= FILE_BYTES_MAX => return Ok(text),
        Ok(_) => format!("is larger than {FILE_BYTES_MAX} bytes"),
        Err(error) => format!("cannot be read: {error}"),
    };
    Err(Mistake::new(
        "--config",
        format!("{} {problem}", Value::Path(path)),
    ))
}
