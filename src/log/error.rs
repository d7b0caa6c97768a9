use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Position;
use crate::model::panics::DEFECT;

/// What can go wrong with the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// More is queued than the writer may hold; nothing was written.
    #[error("the service is overloaded")]
    Overloaded,
    /// The disk is full; nothing was written.
    #[error("the disk is full")]
    Full,
    /// A commit failed: unknown whether it was written, and all later appends fail too.
    #[error("the log cannot be written: {0}")]
    Failed(Arc<str>),
    /// The disk did not answer in time: unknown whether it will be written.
    #[error("the disk did not answer within {0:?}")]
    Stalled(Duration),
    /// The writer met a defect: unknown whether it was written, and all later appends fail too.
    #[error("the log's writer panicked")]
    Panicked,
    /// The log is closed; nothing was written.
    #[error("the service is shutting down")]
    Closed,
    /// A record is not what was written.
    #[error("the log is damaged at position {}: {why}", position.get())]
    Damaged {
        /// Where.
        position: Position,
        /// What is wrong there.
        why: String,
    },
    /// The log ends before what was acknowledged.
    #[error("the log in {} ends at position {}, but {} was acknowledged: its end is lost",
        dir.display(), end.get(), acknowledged.get())]
    EndLost {
        /// The log's folder.
        dir: PathBuf,
        /// Where it ends.
        end: Position,
        /// How far it once was.
        acknowledged: Position,
    },
    /// There is no log to read.
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
    /// Another process has the data folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The log cannot be opened.
    #[error("the data folder {} cannot be opened: {why}", dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Old records cannot be rewritten or removed.
    #[error("old records cannot be rewritten: {0}")]
    Rewrite(String),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Read(String),
}

impl Error {
    /// A record is not where it must be.
    pub(crate) fn missing(position: Position) -> Self {
        Self::Damaged {
            position,
            why: "the record is missing".to_owned(),
        }
    }

    /// What is wrong, for a caller: without the text of the engine or of the system.
    pub fn fragment(&self) -> String {
        let text = match self {
            Self::Overloaded | Self::Full | Self::Stalled(_) | Self::Closed => {
                return self.to_string();
            }
            Self::Panicked => DEFECT,
            Self::Failed(_) => "the log cannot be written",
            Self::Damaged { .. } => "the log is damaged",
            Self::EndLost { .. } => "the log has lost its end",
            Self::NoStore(_) | Self::Locked(_) | Self::Open { .. } => "the log cannot be opened",
            Self::Rewrite(_) => "old records cannot be rewritten",
            Self::Read(_) => "the log cannot be read",
        };
        text.to_owned()
    }

    /// The place that is damaged.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Damaged { position, .. } => Some(*position),
            Self::Overloaded
            | Self::Full
            | Self::Failed(_)
            | Self::Stalled(_)
            | Self::Panicked
            | Self::Closed
            | Self::EndLost { .. }
            | Self::NoStore(_)
            | Self::Locked(_)
            | Self::Open { .. }
            | Self::Rewrite(_)
            | Self::Read(_) => None,
        }
    }
}
