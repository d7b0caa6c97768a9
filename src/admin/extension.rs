//! Further paths of the second listener, for the emulator. They are asked before the endpoint.

use std::fmt::Debug;
use std::pin::Pin;

use http::{Request, StatusCode};

use crate::middleware::DrainedBody;

/// The answer of an extension: a status, and JSON.
pub(crate) type Answer = Pin<Box<dyn Future<Output = (StatusCode, String)> + Send>>;

/// Answers some paths of the second listener.
pub(crate) trait Extension: Debug + Send + Sync {
    /// Whether a path is one of these.
    fn has(&self, path: &str) -> bool;

    /// Answers a request to one of these paths.
    fn answer(&self, request: Request<DrainedBody>) -> Answer;
}
