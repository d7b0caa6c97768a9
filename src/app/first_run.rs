//! The project of a service that was started without settings: made once, in a file in the data folder.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::StartError;
use crate::config::data::FIRST_RUN_FILE;
use crate::config::{self, ProjectConfig};
use crate::log::disk::make_folder;

/// Random bytes of a key's ID and of a secret.
const KEY_BYTES: usize = 18;

/// The project, and whether this start made it.
#[derive(Debug)]
pub struct FirstRun {
    /// The project.
    pub project: ProjectConfig,
    /// Where it is kept.
    pub path: PathBuf,
    /// Whether it is new.
    pub is_new: bool,
}

impl FirstRun {
    /// Reads the project of the data folder, or makes one.
    ///
    /// # Errors
    /// [`StartError::FirstRun`], [`StartError::FirstRunMistakes`], [`StartError::Random`].
    pub fn load(data_dir: &Path) -> Result<Self, StartError> {
        let path = data_dir.join(FIRST_RUN_FILE);
        let io = |error| StartError::FirstRun {
            path: path.clone(),
            error,
        };
        let (text, is_new) = match fs::read_to_string(&path) {
            Ok(text) => (text, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = new_project()?;
                make_folder(data_dir).map_err(io)?;
                match write_new(&path, &text) {
                    Ok(()) => (text, true),
                    // Another process was faster; its project is used.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        (fs::read_to_string(&path).map_err(io)?, false)
                    }
                    Err(error) => return Err(io(error)),
                }
            }
            Err(error) => return Err(io(error)),
        };
        let projects = config::projects_from_toml(&text);
        let projects = projects.map_err(|mistakes| StartError::FirstRunMistakes {
            path: path.clone(),
            mistakes,
        })?;
        let project = projects.into_iter().next().ok_or_else(|| {
            io(io::Error::new(
                io::ErrorKind::InvalidData,
                "no [[project]] in it",
            ))
        })?;
        Ok(Self {
            project,
            path,
            is_new,
        })
    }

    /// Two commands to paste: one stores an event, the other reads it back. `scheme` is that of the address, `http` or
    /// `https`.
    pub fn commands(&self, scheme: &str, address: SocketAddr) -> Option<String> {
        // The settings keep no secret, so the file is read once more.
        let file: toml::Table = fs::read_to_string(&self.path).ok()?.parse().ok()?;
        let keys = file.get("project")?.get(0)?.get("key")?.as_array()?;
        let public = keys.iter().find_map(|key| key.get("public")?.as_str())?;
        let (id, secret) = keys.iter().find_map(|key| {
            let secret = key.get("secrets")?.get(0)?;
            Some((key.get("id")?.as_str()?, secret.as_str()?))
        })?;
        let token = &self.project.token;
        let host = reachable(address);
        Some(format!(
            r#"  curl -sS {scheme}://{host}/track/v2/projects/{token}/customers/events \
    -H 'Authorization: Token {public}' -H 'Content-Type: application/json' \
    -d '{{"customer_ids":{{"registered":"jane@example.com"}},"event_type":"page_visit","properties":{{"path":"/pricing"}}}}'

  curl -sS {scheme}://{host}/data/v2/projects/{token}/customers/events \
    -u '{id}:{secret}' -H 'Content-Type: application/json' \
    -d '{{"customer_ids":{{"registered":"jane@example.com"}},"event_types":["page_visit"]}}'
"#
        ))
    }
}

fn new_project() -> Result<String, StartError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    let token = uuid::Builder::from_random_bytes(bytes).into_uuid();
    let (public, id, secret) = (random_text()?, random_text()?, random_text()?);
    Ok(format!(
        r#"# Made at the first start without a [[project]] in the settings.
# To go on with it, move it into a settings file: footfall serve --config FILE

[[project]]
token = "{token}"
hard_ids = ["registered"]
soft_ids = ["cookie"]

[[project.key]]
public = "{public}"
permissions = ["customers:set", "events:set"]

[[project.key]]
id = "{id}"
secrets = ["{secret}"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase", "refusals:get"]
"#
    ))
}

/// An address that a caller on this machine can use.
pub(crate) fn reachable(listener: SocketAddr) -> SocketAddr {
    let mut address = listener;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A text that cannot be guessed.
pub(crate) fn random_text() -> Result<String, StartError> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes a file that was not there, completely or not at all, for the owner alone.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    linked?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
