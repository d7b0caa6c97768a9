//! The service that reads: a page of events is the one question that is measured.

use std::hint::black_box;

use footfall::grpc::Messages;
use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_server::CustomerService;
use tonic::{Request, Response, Status};

use super::Bare;

fn not_measured<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not measured here"))
}

#[tonic::async_trait]
impl CustomerService for Bare {
    async fn get_customer(
        &self,
        _: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerResponse>, Status> {
        not_measured()
    }

    async fn get_attributes(
        &self,
        _: Request<pb::GetAttributesRequest>,
    ) -> Result<Response<pb::GetAttributesResponse>, Status> {
        not_measured()
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        black_box(request.into_inner());
        Ok(Response::new(pb::ListEventsResponse {
            events: vec![pb::Event::default()],
            ..pb::ListEventsResponse::default()
        }))
    }

    async fn anonymize_customer(
        &self,
        _: Request<pb::AnonymizeCustomerRequest>,
    ) -> Result<Response<pb::AnonymizeCustomerResponse>, Status> {
        not_measured()
    }

    async fn erase_customer(
        &self,
        _: Request<pb::EraseCustomerRequest>,
    ) -> Result<Response<pb::EraseCustomerResponse>, Status> {
        not_measured()
    }

    type WatchRefusalsStream = Messages<pb::WatchRefusalsResponse>;

    async fn watch_refusals(
        &self,
        _: Request<pb::WatchRefusalsRequest>,
    ) -> Result<Response<Self::WatchRefusalsStream>, Status> {
        not_measured()
    }

    type WatchEventsStream = Messages<pb::WatchEventsResponse>;

    async fn watch_events(
        &self,
        _: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        not_measured()
    }

    type ExportCustomersStream = Messages<pb::ExportCustomersResponse>;

    async fn export_customers(
        &self,
        _: Request<pb::ExportCustomersRequest>,
    ) -> Result<Response<Self::ExportCustomersStream>, Status> {
        not_measured()
    }
}
