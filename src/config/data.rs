//! `[data]`: the data folder, and the queue in front of the disk.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::table::settings;
use super::units::{AGE, PATH, SIZE, SIZE_OR_ZERO, WAIT, count};
use crate::log::disk;

/// The project of a service that was started without settings, in the data folder.
pub const FIRST_RUN_FILE: &str = "project.toml";
/// The ID types of each project, in the data folder.
pub const ID_TYPES_FILE: &str = "id-types.json";
/// What the data folder has beside the log that no start makes again.
pub const SETTINGS_FILES: [&str; 2] = [FIRST_RUN_FILE, ID_TYPES_FILE];

settings! {
    /// The data folder, and the queue in front of the disk.
    "data" {
        /// Where everything is kept, seen from the working directory.
        dir: PathBuf = read(PATH, "footfall-data"), restart;
        /// Records that may wait for the disk; beyond it appends are refused.
        queue_records_max: NonZeroUsize = read(count(), "65536"), restart;
        /// What may wait for the disk, in bytes; beyond it appends are refused.
        queue_bytes_max: NonZeroUsize = read(SIZE, "64MiB"), restart;
        /// Free disk space below which appends are refused, in bytes; 0: never.
        free_bytes_min: u64 = read(SIZE_OR_ZERO, "64MiB"), restart;
        /// Tables that the log and the view each keep open.
        open_files_max: NonZeroUsize = read(count(), "900"), restart;
        /// What the engines' caches for reading take together, in bytes.
        cache_bytes: NonZeroUsize = read(SIZE, "128MiB"), restart;
        /// Within what time what is erased leaves the disk; 0: at once.
        erase_within: Duration = read(WAIT, "24h"), restart;
        /// How old records get before they leave. Default: they stay.
        retention: Option<Duration> = optional(AGE), restart;
    }
}

impl From<&Options> for disk::Options {
    fn from(options: &Options) -> Self {
        Self {
            dir: options.dir.clone(),
            free_bytes_min: options.free_bytes_min,
            open_files_max: options.open_files_max.get(),
            ..Self::default()
        }
    }
}
