//! The file that lets commands find the running service: where its second listener is, and a key that lets them in.
//!
//! It proves that a caller may read the data folder as the service does. Other users of the machine can connect to
//! the listener, and so can pages in a browser; neither can read the file.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use subtle::ConstantTimeEq as _;

use super::StartError;
use super::first_run::random_text;

const FILE: &str = "admin";
const SCHEME: &str = "Bearer ";

/// What lets a command in. New with every start.
#[derive(Clone)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn new() -> Result<Self, StartError> {
        random_text().map(Self)
    }

    /// `Authorization` with the key.
    pub(super) fn to_header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let mut value = HeaderValue::try_from(format!("{SCHEME}{}", self.0))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether an `Authorization` shows the key. The time that it takes tells nothing of the key.
    pub(super) fn is_shown_by(&self, authorization: Option<&HeaderValue>) -> bool {
        let shown = authorization.and_then(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked(SCHEME.len())?;
            scheme
                .eq_ignore_ascii_case(SCHEME.as_bytes())
                .then_some(key)
        });
        shown.is_some_and(|key| self.0.as_bytes().ct_eq(key).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What the file says.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) address: SocketAddr,
    pub(super) key: Key,
}

/// The file, as long as the service runs. Anyone who makes it holds the folder's lock.
#[derive(Debug)]
pub(super) struct Door(PathBuf);

impl Door {
    pub(super) fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Writes the file, as a whole, in place of one that a killed service left.
    pub(super) fn open(data: &Path, listener: SocketAddr, key: &Key) -> io::Result<Self> {
        let path = Self::path(data);
        remove(&path)?;
        let unfinished = path.with_extension("new");
        remove(&unfinished)?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        // No sync: after a power cut there is no service that it could lead to.
        let written = write!(file, "{}\n{}\n", reachable(listener), key.0);
        written.and_then(|()| fs::rename(&unfinished, &path))?;
        Ok(Self(path))
    }

    /// What the file says, if it is there.
    pub(super) fn read(data: &Path) -> io::Result<Option<Address>> {
        let text = match fs::read_to_string(Self::path(data)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let (address, key) = text.trim_end().split_once('\n').unwrap_or_default();
        let address = address.parse().map_err(io::Error::other)?;
        let key = Key(key.to_owned());
        Ok(Some(Address { address, key }))
    }
}

/// While the lock is held, so that a later service's file stays.
impl Drop for Door {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a file is left behind");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// An address that a caller on this machine can use.
pub(super) fn reachable(listener: SocketAddr) -> SocketAddr {
    let mut address = listener;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn shows(key: &Key, authorization: &str) -> bool {
        let value = HeaderValue::from_str(authorization).unwrap();
        key.is_shown_by(Some(&value))
    }

    #[test]
    fn the_key_alone_lets_in() {
        let key = Key("abcd".into());
        assert!(shows(&key, "Bearer abcd") && shows(&key, "bearer abcd"));
        for wrong in [
            "Bearer abce",
            "Bearer abc",
            "Bearer abcde",
            "Bearer ",
            "Bearer",
            "abcd",
            "Basic abcd",
            "",
        ] {
            assert!(!shows(&key, wrong), "{wrong:?}");
        }
        assert!(!key.is_shown_by(None));
        let header = key.to_header().unwrap();
        assert!(key.is_shown_by(Some(&header)));
        assert!(header.is_sensitive());
        assert_eq!(format!("{key:?}"), "Key(..)");
    }

    #[test]
    fn what_is_written_is_read_until_the_service_ends() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Door::read(dir.path()).unwrap().is_none());
        fs::write(Door::path(dir.path()), "left by a killed service").unwrap();
        assert!(Door::read(dir.path()).is_err());
        let key = Key::new().unwrap();
        let door = Door::open(dir.path(), "0.0.0.0:90".parse().unwrap(), &key).unwrap();
        let read = Door::read(dir.path()).unwrap().unwrap();
        assert_eq!(read.address, "127.0.0.1:90".parse().unwrap());
        assert!(key.is_shown_by(Some(&read.key.to_header().unwrap())));
        let mode = fs::metadata(Door::path(dir.path())).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        drop(door);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_start_has_another_key() {
        let [one, other] = [Key::new().unwrap(), Key::new().unwrap()];
        assert!(one.0.len() > 20);
        assert_ne!(one.0, other.0);
    }
}
