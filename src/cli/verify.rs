//! Checks a stopped store for damage, and reports its content.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::app::StartError;
use crate::app::first_run::random_text;
use crate::config::Config;
use crate::log::disk::DiskStore;
use crate::log::{self, Store as _};
use crate::view;
use crate::view::verify::Compared;

/// Most places of damage that are reported; the others are counted.
const PLACES_MAX: u64 = 100;

/// Checks every record of the log, and the view against a fresh fold of the log in the system's temporary folder.
/// Writes to `out` what is there and what is damaged. Makes nothing if there is no store.
///
/// # Errors
/// [`StartError::Damaged`], [`StartError::Log`]: there is no store, or it cannot be opened.
/// [`StartError::System`]: no temporary folder. [`StartError::Output`].
pub fn verify(config: &Config, out: &mut impl Write) -> Result<(), StartError> {
    let store = DiskStore::open_to_read((&config.data).into())?;
    let mut places = Places { out, count: 0 };
    let seen = log::verify::verify(&store, &mut |error| places.add(&error.to_string()));
    let log::verify::Seen {
        records,
        bytes,
        first,
        last,
    } = seen;
    let (first, last) = (first.get(), last.get());
    places.say(&format!(
        "log: {records} records of {bytes} bytes, positions {first} to {last}"
    ));
    if store.is_purge_pending()? {
        places.say("an erasure or a retention was cut short, so that the view is not compared; the next start ends it");
        return places.end();
    }
    let scratch = Scratch::new()?;
    let dir = config.data.dir.join("view");
    let compared = view::verify::compare(&dir, &scratch.0.join("view"), &store, &mut |place| {
        places.add(&place);
    });
    match compared {
        Ok(Compared::Missing) => places.say("view: there is none; a start folds one"),
        Ok(Compared::OtherFormat) => {
            places.say("view: of another format, or not written yet; a start rebuilds it");
        }
        Ok(Compared::View { applied, entries }) => places.say(&format!(
            "view: {entries} entries are as the log says up to position {}",
            applied.get()
        )),
        // Damage of the log, which was reported above.
        Err(view::Error::Log(_)) if places.count > 0 => {
            places.say("view: not compared to its end, for the log cannot be folded");
        }
        Err(error) => places.add(&error.to_string()),
    }
    places.end()
}

/// Reports places as they are found.
struct Places<'a, W> {
    out: &'a mut W,
    count: u64,
}

impl<W: Write> Places<'_, W> {
    fn add(&mut self, place: &str) {
        self.count += 1;
        match self.count {
            1..=PLACES_MAX => self.say(&format!("damage: {place}")),
            n if n == PLACES_MAX + 1 => self.say("damage: and more"),
            _ => {}
        }
    }

    fn end(mut self) -> Result<(), StartError> {
        match self.count {
            0 => self.say("no damage"),
            count => return Err(StartError::Damaged(count)),
        }
        self.out.flush().map_err(StartError::Output)
    }

    fn say(&mut self, line: &str) {
        // The exit code says what matters, and a closed output has no reader.
        let _ = writeln!(self.out, "{line}");
    }
}

/// A temporary folder. For the owner alone: it holds what the store holds.
struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, under an unpredictable name.
    fn new() -> Result<Self, StartError> {
        let name = format!("footfall-verify-{}", random_text()?);
        let path = std::env::temp_dir().join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map(|()| Self(path)).map_err(StartError::System)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(Path::new(&self.0)) {
            tracing::warn!(%error, path = %self.0.display(), "a temporary folder is left behind");
        }
    }
}
