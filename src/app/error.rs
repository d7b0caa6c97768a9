use std::io;
use std::path::PathBuf;

use crate::admin::backup::BackupError;
use crate::config::Mistakes;
use crate::server::ListenError;
use crate::{log, view};

/// Why the service does not start, as a text for an operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The log does not open.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The checked store is damaged in so many places.
    #[error("damaged in {}", match .0 { 1 => "1 place".to_owned(), n => format!("{n} places") })]
    Damaged(u64),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The view does not open.
    #[error(transparent)]
    View(#[from] view::Error),
    /// The settings have mistakes.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The file of the first run's project cannot be read or written.
    #[error("{}: {error}", path.display())]
    FirstRun {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file of the first run's project has mistakes.
    #[error("{}: {mistakes}", path.display())]
    FirstRunMistakes {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        mistakes: Mistakes,
    },
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// Reflection cannot be built.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The system refuses something.
    #[error("the system refuses: {0}")]
    System(io::Error),
    /// The settings give what is stored another meaning.
    #[error("project \"{project}\" has records that were written with other ID types: {differences}. Say the same again, types may be added ({} has what was said)", path.display())]
    IdTypes {
        /// The project's token.
        project: String,
        /// What differs.
        differences: String,
        /// The file that keeps the earlier types.
        path: PathBuf,
    },
    /// The file of the ID types cannot be read or written.
    #[error("{}: {error}", path.display())]
    IdTypesFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// The settings change while they are read.
    #[error("the settings files are being written; ask again")]
    Unsettled,
    /// Too few open files are allowed to serve any caller.
    #[error(
        "a limit of {limit} open files (RLIMIT_NOFILE, ulimit -n) is too low: at least {needed} are needed"
    )]
    Descriptors {
        /// How many there may be.
        limit: u64,
        /// How many there must be.
        needed: u64,
    },
    /// Too few threads are allowed.
    #[error(
        "a limit of {threads} threads (pids.max of the control group, RLIMIT_NPROC) is too low: at least {needed} are needed"
    )]
    Threads {
        /// How many there may be.
        threads: u64,
        /// How many there must be.
        needed: u64,
    },
    /// The emulator's seed cannot be read, or is wrong.
    #[error("the seed {}: {why}", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        why: String,
    },
    /// The emulator's command cannot be run.
    #[error("cannot run '{command}': {error}")]
    Command {
        /// Its program.
        command: String,
        /// What the system said.
        error: io::Error,
    },
    /// A part of the service panicked.
    #[error("a part of the service panicked; the log above says where")]
    Panicked,
}
