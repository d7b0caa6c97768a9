//! `TrackingService`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::caller::{self, access, enter};
use super::convert::{Messages, timestamp};
use super::prepare::{Prepared, add_event, prepare, track_click, update_customer};
use super::status::rpc_status;
use super::{pb, track_stream};
use crate::middleware::NestedRejections;
use crate::model::credentials::Credentials;
use crate::model::time::Timestamp;
use crate::tracker::{Access, CandidateKeys, Tracker, check_batch};

/// Takes customer updates and events.
#[derive(Clone, Debug)]
pub struct Tracking {
    tracker: Arc<Tracker>,
    first_message_timeout: Duration,
}

impl Tracking {
    /// The service of a tracker. `first_message_timeout`: the longest that a stream of commands may take to name its
    /// project.
    pub fn new(tracker: Arc<Tracker>, first_message_timeout: Duration) -> Self {
        Self {
            tracker,
            first_message_timeout,
        }
    }

    /// Authenticates a caller for a project and charges the call. `extensions`: those of the request.
    ///
    /// # Errors
    /// The status that says why.
    pub fn authenticate(
        &self,
        token: &str,
        credentials: Credentials,
        extensions: &Extensions,
    ) -> Result<Access, Status> {
        enter(&self.tracker, token, || credentials, extensions)
    }

    /// Checks that a caller has a key of a project, or of any where `token` is empty. Only failures are charged.
    ///
    /// # Errors
    /// The status that says why.
    pub fn admit(
        &self,
        token: &str,
        credentials: Credentials,
        extensions: &Extensions,
    ) -> Result<(), Status> {
        caller::admit(&self.tracker, token, credentials, extensions)
    }

    /// Checks whether the credentials in the headers of a gRPC call match some key, before its message is read.
    ///
    /// # Errors
    /// The status that says why.
    pub fn recognize(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<CandidateKeys, Status> {
        caller::recognize(&self.tracker, headers, extensions)
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        self.tracker.now()
    }
}

#[tonic::async_trait]
impl pb::tracking_service_server::TrackingService for Tracking {
    async fn update_customer(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let accepted = update_customer(&self.tracker, &access, request.into_inner(), Status::from)?;
        self.tracker.commit(vec![accepted]).await?;
        Ok(Response::new(pb::UpdateCustomerResponse {}))
    }

    async fn add_event(
        &self,
        request: Request<pb::AddEventRequest>,
    ) -> Result<Response<pb::AddEventResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let accepted = add_event(&self.tracker, &access, request.into_inner(), Status::from)?;
        self.tracker.commit(vec![accepted]).await?;
        Ok(Response::new(pb::AddEventResponse {}))
    }

    async fn track_campaign_click(
        &self,
        request: Request<pb::TrackCampaignClickRequest>,
    ) -> Result<Response<pb::TrackCampaignClickResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let accepted = track_click(&self.tracker, &access, request.into_inner(), Status::from)?;
        self.tracker.commit(vec![accepted]).await?;
        Ok(Response::new(pb::TrackCampaignClickResponse {}))
    }

    async fn execute_batch(
        &self,
        request: Request<pb::ExecuteBatchRequest>,
    ) -> Result<Response<pb::ExecuteBatchResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let start_time = self.tracker.now();
        let commands = request.into_inner().commands;
        check_batch(commands.len())?;
        let mut accepted = Vec::with_capacity(commands.len());
        let mut results = Vec::with_capacity(commands.len());
        let mut nested = NestedRejections::default();
        for mut command in commands {
            let command_id = std::mem::take(&mut command.command_id);
            let (error, time) = match prepare(&self.tracker, &access, command) {
                Ok(Prepared::Write(write)) => {
                    accepted.push(write);
                    (None, None)
                }
                Ok(Prepared::Time) => (None, Some(timestamp(self.tracker.now()))),
                Err(status) => {
                    nested.note(&status);
                    (Some(rpc_status(&status)), None)
                }
            };
            results.push(pb::CommandResult {
                command_id,
                error,
                time,
            });
        }
        self.tracker.commit(accepted).await?;
        let mut response = Response::new(pb::ExecuteBatchResponse {
            results,
            start_time: Some(timestamp(start_time)),
            end_time: Some(timestamp(self.tracker.now())),
        });
        nested.go_with(response.extensions_mut());
        Ok(response)
    }

    type TrackStreamStream = Messages<pb::TrackStreamResponse>;

    async fn track_stream(
        &self,
        request: Request<Streaming<pb::TrackStreamRequest>>,
    ) -> Result<Response<Self::TrackStreamStream>, Status> {
        Ok(Response::new(track_stream::acknowledged(
            self.tracker.clone(),
            self.first_message_timeout,
            request,
        )))
    }

    async fn get_system_time(
        &self,
        request: Request<pb::GetSystemTimeRequest>,
    ) -> Result<Response<pb::GetSystemTimeResponse>, Status> {
        access(&self.tracker, &request, &request.get_ref().project_token)?;
        Ok(Response::new(pb::GetSystemTimeResponse {
            time: Some(timestamp(self.tracker.now())),
        }))
    }
}
