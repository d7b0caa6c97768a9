//! `CustomerService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::caller::access;
use super::convert::Messages;
use super::refusals::{self, RefusalsWatch};
use super::response::{self, CustomerResponse, EventsResponse};
use super::status::rpc_status;
use super::streams;
use super::{pb, status};
use crate::middleware::RecentRefusals;
use crate::model::project::Permission;
use crate::model::reason::Reason;
use crate::tracker::{
    Access, Attribute, Export, GetCustomer, Held, ListEvents, Page, ResponseWriter, Tracker,
    WatchEvents,
};
use crate::view::Order;

/// Reads customers and their events, and anonymizes and erases customers.
#[derive(Clone, Debug)]
pub struct Customers {
    tracker: Arc<Tracker>,
    refusals: RecentRefusals,
    /// Most bytes of a message, without its token.
    room: usize,
}

impl Customers {
    /// The service of a tracker, none of whose messages takes more than `answer_bytes_max` with its framing.
    pub fn new(tracker: Arc<Tracker>, refusals: RecentRefusals, answer_bytes_max: usize) -> Self {
        Self {
            tracker,
            refusals,
            room: response::room(answer_bytes_max),
        }
    }

    /// Reads a customer, for code that gives it another form than a message.
    ///
    /// # Errors
    /// The status that says why.
    pub async fn customer<A: ResponseWriter>(
        &self,
        access: &Access,
        request: &pb::GetCustomerRequest,
        answer: A,
    ) -> Result<(Page<A>, Held), Status> {
        let request = GetCustomer {
            customer_ids: &request.customer_ids,
            paged: request.paged,
            page_token: &request.page_token,
        };
        Ok(self.tracker.customer(access, request, answer).await?)
    }

    /// Lists events, for code that gives them another form than a message.
    ///
    /// # Errors
    /// The status that says why.
    pub async fn events<A: ResponseWriter>(
        &self,
        access: &Access,
        request: pb::ListEventsRequest,
        answer: A,
    ) -> Result<(Page<A>, Held), Status> {
        let request = ListEvents {
            customer_ids: &request.customer_ids,
            event_types: request.event_types,
            order: order(request.order)?,
            limit: request.limit.map(u64::from),
            skip: request.skip.into(),
            page_token: &request.page_token,
        };
        Ok(self.tracker.events(access, request, answer).await?)
    }

    /// Begins an export, for code that gives it another form than messages.
    ///
    /// # Errors
    /// The status that says why.
    pub async fn export(&self, access: &Access) -> Result<Export, Status> {
        Ok(self.tracker.export(access).await?)
    }
}

#[tonic::async_trait]
impl pb::customer_service_server::CustomerService for Customers {
    async fn get_customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let answer = CustomerResponse::new(self.room);
        let (page, held) = self.customer(&access, request.get_ref(), answer).await?;
        Ok(with(held, page.answer.finish(page.next)))
    }

    async fn get_attributes(
        &self,
        request: Request<pb::GetAttributesRequest>,
    ) -> Result<Response<pb::GetAttributesResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let request = request.into_inner();
        let attributes = request.attributes.into_iter().map(attribute);
        let (values, held) = self
            .tracker
            .attributes(
                &access,
                &request.customer_ids,
                attributes.collect::<Result<_, _>>()?,
            )
            .await?;
        let results = values.into_iter().map(|value| match value {
            Ok(value) => pb::AttributeResult {
                value: Some(value),
                error: None,
            },
            Err(error) => pb::AttributeResult {
                value: None,
                error: Some(rpc_status(&error.into())),
            },
        });
        let results = results.collect();
        Ok(with(held, pb::GetAttributesResponse { results }))
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let answer = EventsResponse::new(self.room);
        let (page, held) = self.events(&access, request.into_inner(), answer).await?;
        Ok(with(held, page.answer.finish(page.next)))
    }

    async fn anonymize_customer(
        &self,
        request: Request<pb::AnonymizeCustomerRequest>,
    ) -> Result<Response<pb::AnonymizeCustomerResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let request = request.into_inner();
        self.tracker
            .anonymize(&access, &request.customer_ids)
            .await?;
        Ok(Response::new(pb::AnonymizeCustomerResponse {}))
    }

    async fn erase_customer(
        &self,
        request: Request<pb::EraseCustomerRequest>,
    ) -> Result<Response<pb::EraseCustomerResponse>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let request = request.into_inner();
        self.tracker.erase(&access, &request.customer_ids).await?;
        Ok(Response::new(pb::EraseCustomerResponse {}))
    }

    type WatchEventsStream = Messages<pb::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let call = streams::id_of(request.extensions());
        let request = request.into_inner();
        let request = WatchEvents {
            start: streams::start(&request)?,
            event_types: request.event_types.clone(),
            customer_ids: &request.customer_ids,
        };
        let watch = self.tracker.watch(&access, request)?;
        Ok(Response::new(streams::watched(watch, call)))
    }

    type WatchRefusalsStream = Messages<pb::WatchRefusalsResponse>;

    async fn watch_refusals(
        &self,
        request: Request<pb::WatchRefusalsRequest>,
    ) -> Result<Response<Self::WatchRefusalsStream>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let request = request.into_inner();
        let reasons = refusals::reasons(&request.reasons)?;
        let stream = self.tracker.open_stream(&access, Permission::GetRefusals)?;
        let watch = RefusalsWatch::new(stream, self.refusals.clone(), reasons, request.recent);
        Ok(Response::new(refusals::messages(watch)))
    }

    type ExportCustomersStream = Messages<pb::ExportCustomersResponse>;

    async fn export_customers(
        &self,
        request: Request<pb::ExportCustomersRequest>,
    ) -> Result<Response<Self::ExportCustomersStream>, Status> {
        let access = access(&self.tracker, &request, &request.get_ref().project_token)?;
        let export = self.export(&access).await?;
        let call = streams::id_of(request.extensions());
        Ok(Response::new(streams::exported(export, self.room, call)))
    }
}

/// An answer, and the space that it takes until it is taken: the outer layers attach that to the body.
fn with<T>(held: Held, message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(held);
    response
}

fn attribute(attribute: pb::Attribute) -> Result<Attribute, Status> {
    match attribute.attribute {
        Some(pb::attribute::Attribute::Property(name)) => Ok(Attribute::Property(name)),
        Some(pb::attribute::Attribute::Id(kind)) => Ok(Attribute::Id(kind)),
        None => Err(status::invalid(
            Reason::QueryInvalid,
            Some("attributes"),
            "an attribute names neither a property nor an ID".to_owned(),
        )),
    }
}

fn order(order: i32) -> Result<Order, Status> {
    match pb::Order::try_from(order) {
        Ok(pb::Order::Unspecified | pb::Order::Asc) => Ok(Order::Ascending),
        Ok(pb::Order::Desc) => Ok(Order::Descending),
        Err(_) => Err(status::invalid(
            Reason::QueryInvalid,
            Some("order"),
            format!("Field 'order' must be ORDER_ASC or ORDER_DESC, not {order}."),
        )),
    }
}
