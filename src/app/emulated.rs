//! What the emulator puts into the service.

use std::sync::Arc;

use crate::admin::Extension;
use crate::log::Log;
use crate::middleware::{Interceptor, Refusals};
use crate::tracker::{OpenProjects, Tracker};
use crate::view::View;

/// What differs from a service that keeps something.
pub(crate) struct Emulation {
    /// What projects are like.
    pub(crate) projects: OpenProjects,
    /// Answers calls in place of their services.
    pub(crate) interceptor: Arc<dyn Interceptor>,
    /// Makes what answers further paths of the second listener.
    pub(crate) extension: Box<dyn FnOnce(Handles) -> Arc<dyn Extension>>,
}

/// What an extension looks at.
#[derive(Clone, Debug)]
pub(crate) struct Handles {
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) log: Log,
    pub(crate) view: View,
    pub(crate) refusals: Refusals,
}
