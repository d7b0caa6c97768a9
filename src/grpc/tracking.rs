//! `TrackingService`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};

use super::caller::{self, access, enter};
use super::convert::{time, timestamp};
use super::streams::Messages;
use super::{pb, track_stream};
use crate::middleware::NestedRejections;
use crate::model::credentials::Credentials;
use crate::model::project::Permission;
use crate::model::time::Timestamp;
use crate::tracker::{
    Accepted, Access, AccessError, AddEvent, CandidateKeys, Error, TrackClick, Tracker,
    UpdateCustomer, check_batch,
};

/// Takes customer updates and events.
#[derive(Clone, Debug)]
pub struct Tracking {
    pub(super) tracker: Arc<Tracker>,
    pub(super) first_message_timeout: Duration,
}

/// A valid command of a batch.
pub(super) enum Prepared {
    Write(Accepted),
    Time,
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

    fn update(
        &self,
        access: &Access,
        update: pb::UpdateCustomerRequest,
    ) -> Result<Accepted, Error> {
        let time = time("update_timestamp", update.update_timestamp)?;
        let update = UpdateCustomer {
            customer_ids: &update.customer_ids,
            properties: update.properties.unwrap_or_default(),
            time,
        };
        self.tracker.update(access, update)
    }

    fn event(&self, access: &Access, event: pb::AddEventRequest) -> Result<Accepted, Error> {
        let time = time("timestamp", event.timestamp)?;
        let event = AddEvent {
            customer_ids: &event.customer_ids,
            event_type: &event.event_type,
            properties: event.properties.unwrap_or_default(),
            time,
        };
        self.tracker.event(access, event)
    }

    fn click(
        &self,
        access: &Access,
        click: pb::TrackCampaignClickRequest,
    ) -> Result<Accepted, Error> {
        let time = time("timestamp", click.timestamp)?;
        let click = TrackClick {
            customer_ids: &click.customer_ids,
            url: &click.url,
            properties: click.properties.unwrap_or_default(),
            time,
        };
        self.tracker.click(access, click)
    }

    pub(super) fn prepare(
        &self,
        access: &Access,
        command: pb::Command,
    ) -> Result<Prepared, Status> {
        use pb::command::Command;
        let Some(command) = command.command else {
            return Err(super::status::invalid(
                Some("command"),
                "the command is missing".to_owned(),
            ));
        };
        let accepted = match command {
            Command::UpdateCustomer(update) => self.update(access, update),
            Command::AddEvent(event) => self.event(access, event),
            Command::TrackCampaignClick(click) => self.click(access, click),
            Command::GetSystemTime(_) => return Ok(Prepared::Time),
        };
        accepted.map(Prepared::Write).map_err(in_batch)
    }
}

/// In a batch, a missing permission has its own text.
fn in_batch(error: Error) -> Status {
    let Error::Access(AccessError::NoPermission(permission)) = error else {
        return error.into();
    };
    Status::permission_denied(match permission {
        Permission::SetEvents => "Not authorized to add event of specified type",
        Permission::SetCustomers
        | Permission::GetCustomers
        | Permission::GetEvents
        | Permission::AnonymizeCustomers
        | Permission::EraseCustomers => "not authorized to update specified customer properties",
    })
}

#[tonic::async_trait]
impl pb::tracking_service_server::TrackingService for Tracking {
    async fn update_customer(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let accepted = self.update(&access, request.into_inner())?;
        self.tracker.commit(vec![accepted]).await?;
        Ok(Response::new(pb::UpdateCustomerResponse {}))
    }

    async fn add_event(
        &self,
        request: Request<pb::AddEventRequest>,
    ) -> Result<Response<pb::AddEventResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let accepted = self.event(&access, request.into_inner())?;
        self.tracker.commit(vec![accepted]).await?;
        Ok(Response::new(pb::AddEventResponse {}))
    }

    async fn track_campaign_click(
        &self,
        request: Request<pb::TrackCampaignClickRequest>,
    ) -> Result<Response<pb::TrackCampaignClickResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let accepted = self.click(&access, request.into_inner())?;
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
            let (error, time) = match self.prepare(&access, command) {
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
            self.clone(),
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

/// A status as it is inside of a message.
pub(super) fn rpc_status(status: &Status) -> tonic_types::Status {
    use prost::Message as _;
    // The details of a status are this very message; without any it has only code and text.
    match tonic_types::Status::decode(status.details()) {
        Ok(message) if message.code != Code::Ok as i32 => message,
        Ok(_) | Err(_) => tonic_types::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}
