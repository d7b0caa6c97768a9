//! `[data]`: the data folder, and the queue in front of the disk.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Fields;
use super::units::{AGE, PATH, SIZE, SIZE_OR_ZERO, WAIT, count, nonzero};
use crate::log::disk;

/// The project of a service that was started without settings, in the data folder.
pub const FIRST_RUN_FILE: &str = "project.toml";
/// The ID types of each project, in the data folder.
pub const ID_TYPES_FILE: &str = "id-types.json";
/// What the data folder has beside the log that no start makes again.
pub const SETTINGS_FILES: [&str; 2] = [FIRST_RUN_FILE, ID_TYPES_FILE];

/// The data folder, and the queue in front of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where everything is kept. Default `footfall-data` in the working directory.
    pub dir: PathBuf,
    /// Records that may wait for the disk; beyond it appends are refused. Default 65536.
    pub queue_records_max: NonZeroUsize,
    /// What may wait for the disk, in bytes; beyond it appends are refused. Default 64 MiB.
    pub queue_bytes_max: NonZeroUsize,
    /// Free disk space below which appends are refused, in bytes. Default 64 MiB; 0: never.
    pub free_bytes_min: u64,
    /// Tables that the log and the view each keep open. Default 900.
    pub open_files_max: NonZeroUsize,
    /// What the engines' caches for reading take together, in bytes. Default 128 MiB.
    pub cache_bytes: NonZeroUsize,
    /// Within what time what is erased leaves the disk. Default 24 h; 0: at once.
    pub erase_within: Duration,
    /// How old records get before they leave. Default: they stay.
    pub retention: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("footfall-data"),
            queue_records_max: nonzero(65_536),
            queue_bytes_max: nonzero(64 << 20),
            free_bytes_min: 64 << 20,
            open_files_max: nonzero(900),
            cache_bytes: nonzero(128 << 20),
            erase_within: Duration::from_hours(24),
            retention: None,
        }
    }
}

impl Options {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            dir: fields.read("dir", PATH, default.dir),
            queue_records_max: fields.read("queue_records_max", count(), default.queue_records_max),
            queue_bytes_max: fields.read("queue_bytes_max", SIZE, default.queue_bytes_max),
            free_bytes_min: fields.read("free_bytes_min", SIZE_OR_ZERO, default.free_bytes_min),
            open_files_max: fields.read("open_files_max", count(), default.open_files_max),
            cache_bytes: fields.read("cache_bytes", SIZE, default.cache_bytes),
            erase_within: fields.read("erase_within", WAIT, default.erase_within),
            retention: fields.optional("retention", AGE),
        }
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
