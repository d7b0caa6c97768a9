//! Health: what orchestrators probe, over gRPC and, by the same values, over REST.
//!
//! - `liveness`: the process answers
//! - `startup`: the start is over
//! - `readiness`, `""` and each service: calls succeed

use std::pin::Pin;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::pb::health::health_server::Health as Service;
use super::pb::health::{HealthListRequest, HealthListResponse};

/// Every name that has a status.
const NAMES: [(&str, Asked); 6] = [
    ("", Asked::Readiness),
    ("liveness", Asked::Liveness),
    ("startup", Asked::Startup),
    ("readiness", Asked::Readiness),
    ("footfall.tracking.v2.TrackingService", Asked::Readiness),
    ("footfall.tracking.v2.CustomerService", Asked::Readiness),
];

/// The state of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the start is over.
    pub started: bool,
    /// Why calls do not succeed; empty when they do.
    pub obstacle: Option<String>,
}

impl Readiness {
    /// Whether calls succeed.
    pub fn is_ready(&self) -> bool {
        self.started && self.obstacle.is_none()
    }
}

/// Keeps the state of the service, and answers probes.
#[derive(Clone, Debug)]
pub struct Health {
    state: watch::Sender<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    readiness: Readiness,
    /// Whether there will be no more changes.
    ended: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
        }
    }
}

impl Health {
    /// Sets the state of the service. Watchers are notified if it is new.
    pub fn set(&self, readiness: Readiness) {
        self.state.send_if_modified(|state| {
            let changed = state.readiness != readiness;
            if changed {
                state.readiness = readiness;
            }
            changed
        });
    }

    /// Ends the watches once they have got the last status: a draining service would wait for them forever.
    pub fn end(&self) {
        self.state.send_modify(|state| state.ended = true);
    }

    /// The state of the service.
    pub fn get(&self) -> Readiness {
        self.state.borrow().readiness.clone()
    }
}

/// A watch of a service.
struct Watcher {
    states: watch::Receiver<State>,
    service: Asked,
    reported: Option<ServingStatus>,
}

impl Watcher {
    /// Waits for a status that was not sent yet; `None` if there will be no other.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let ended = {
                let state = self.states.borrow_and_update();
                let status = self.service.status(&state.readiness);
                if self.reported.replace(status) != Some(status) {
                    return Some(status);
                }
                state.ended
            };
            if ended || self.states.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// What a probe asks about. A watch keeps this instead of the requested name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Liveness,
    Startup,
    Readiness,
    Unknown,
}

impl Asked {
    fn named(service: &str) -> Self {
        let named = NAMES.iter().find(|(name, _)| *name == service);
        named.map_or(Self::Unknown, |(_, asked)| *asked)
    }

    fn status(self, state: &Readiness) -> ServingStatus {
        let serves = match self {
            Self::Liveness => true,
            Self::Startup => state.started,
            Self::Readiness => state.is_ready(),
            Self::Unknown => return ServingStatus::ServiceUnknown,
        };
        match serves {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Service for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let asked = Asked::named(&request.get_ref().service);
        match asked {
            Asked::Unknown => Err(Status::not_found("unknown service")),
            Asked::Liveness | Asked::Startup | Asked::Readiness => {
                let status = asked.status(&self.state.borrow().readiness);
                Ok(Response::new(answer(status)))
            }
        }
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let readiness = self.get();
        let statuses = NAMES.map(|(name, asked)| {
            let status = answer(asked.status(&readiness));
            (name.to_owned(), status)
        });
        let statuses = statuses.into();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// An unknown service is watched too, as the protocol says.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watcher = Watcher {
            states: self.state.subscribe(),
            service: Asked::named(&request.get_ref().service),
            reported: None,
        };
        let changes = stream::unfold(watcher, async |mut watcher| {
            let status = watcher.next().await?;
            Some((Ok(answer(status)), watcher))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
