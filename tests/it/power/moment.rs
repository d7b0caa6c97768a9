//! When the power is cut.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::harness::dice::Dice;

/// A change is waited for so long; the power is cut then without one.
const CHANGE_WAIT: Duration = Duration::from_secs(8);

/// A moment that is drawn.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// At any time.
    After(Duration),
    /// So long after the engine has made, renamed or removed a file, so many of them: it begins a journal, writes a
    /// table, takes on the list of tables, or removes what is no longer needed.
    Change { count: u64, then: Duration },
}

impl Moment {
    pub fn within(millis: u64, dice: &mut Dice) -> Self {
        Self::After(dice.between(0..millis))
    }

    pub fn of_change(dice: &mut Dice) -> Self {
        Self::Change {
            count: 1 + dice.below(8),
            then: Duration::from_micros(dice.below(8) * dice.below(3_000)),
        }
    }

    /// Waits for it in a data folder; says whether the engine was changing its files then. The moment is drawn,
    /// nothing is slept for.
    pub async fn comes(self, data: &Path) -> bool {
        match self {
            Self::After(then) => {
                sleep_until(Instant::now() + then).await;
                false
            }
            Self::Change { count, then } => {
                let mut changes = changes(data);
                let latest = Instant::now() + CHANGE_WAIT;
                for _ in 0..count {
                    if timeout_at(latest, changes.recv()).await.is_err() {
                        return false;
                    }
                }
                sleep_until(Instant::now() + then).await;
                true
            }
        }
    }
}

/// Tells of changes of the files below a folder; ends when nobody listens or the folder is unmounted.
fn changes(dir: &Path) -> mpsc::Receiver<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let what = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_TO;
        // A folder may have gone away since it was seen.
        let _ = inotify::add_watch(&watch, &folder, what);
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        folders.extend(paths.filter(|path| path.is_dir()));
    }
    let (sender, receiver) = mpsc::channel(1);
    let mut watch = File::from(watch);
    std::thread::spawn(move || {
        let mut events = [0; 4096];
        while watch.read(&mut events).is_ok() && sender.blocking_send(()).is_ok() {}
    });
    receiver
}
