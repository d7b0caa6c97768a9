use std::sync::Arc;
use std::time::Duration;

use super::projector::PANICKED;
use crate::log::{self, Position};
use crate::model::panics::DEFECT;

/// What can go wrong with the view.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The view has applied what the log no longer has.
    #[error("the view has applied position {}, but the log ends at {}: the log has lost its end",
        applied.get(), last.get())]
    Ahead {
        /// Where the view is.
        applied: Position,
        /// Where the log ends.
        last: Position,
    },
    /// The view is still applying what was acknowledged before the read.
    #[error("what was acknowledged is not readable within {0:?}")]
    Behind(Duration),
    /// The project's backlog is so old that a write could be read only later. Nothing was written.
    #[error("the project's backlog is {} ms old", .0.as_millis())]
    Backlog(Duration),
    /// The view does not follow the log any more.
    #[error("the view has stopped: {0}")]
    Stopped(Arc<str>),
    /// The view's thread, or a read, hit a defect.
    #[error("{DEFECT}")]
    Panicked,
    /// The view's folder cannot be read or written.
    #[error("the view's store failed: {0}")]
    Store(String),
    /// The disk takes nothing more from the view, or no more files.
    #[error("the disk is full")]
    Full,
    /// A reader still uses what has to leave the disk, such as an export that is not read to its end.
    #[error("what has to leave the disk is still being read")]
    StillRead,
    /// No caller waits for the answer any more.
    #[error("nobody waits for the answer any more")]
    Cancelled,
    /// The content of the view cannot be read.
    #[error("the view is damaged: {0}")]
    Damaged(&'static str),
    /// The log cannot be read.
    #[error("the view cannot read the log")]
    Log(#[from] log::Error),
}

impl Error {
    /// Why a view that has stopped does not answer.
    pub fn stopped(reason: Arc<str>) -> Self {
        match &*reason {
            PANICKED => Self::Panicked,
            _ => Self::Stopped(reason),
        }
    }

    /// What is wrong, for a caller: without the text of the engine or of the system.
    pub fn fragment(&self) -> String {
        let text = match self {
            Self::Behind(_)
            | Self::Backlog(_)
            | Self::StillRead
            | Self::Cancelled
            | Self::Panicked => return self.to_string(),
            Self::Ahead { .. } | Self::Stopped(_) => "the view has stopped",
            Self::Store(_) | Self::Full => "the view cannot be read",
            Self::Damaged(_) => "the view is damaged",
            Self::Log(error) => return error.fragment(),
        };
        text.to_owned()
    }

    pub(super) fn store(error: std::io::Error) -> Self {
        match log::is_full(&error) {
            true => Self::Full,
            false => Self::Store(error.to_string()),
        }
    }
}

impl From<fjall::Error> for Error {
    fn from(error: fjall::Error) -> Self {
        if let fjall::Error::Io(of_disk) | fjall::Error::Storage(fjall::LsmError::Io(of_disk)) =
            &error
            && log::is_full(of_disk)
        {
            return Self::Full;
        }
        Self::Store(error.to_string())
    }
}
