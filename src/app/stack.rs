//! The stack of layers, and the router below it.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::Status;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb::{v1, v1alpha};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _};

use super::StartError;
use crate::clock::Clock;
use crate::grpc::health::Health;
use crate::grpc::pb::customer_service_server::CustomerServiceServer;
use crate::grpc::pb::tracking_service_server::TrackingServiceServer;
use crate::grpc::{Customers, DESCRIPTORS, MESSAGE_BYTES_MAX, Tracking};
use crate::middleware::observe::Metrics;
use crate::middleware::{
    Body, Contain, HeaderList, InFlight, Limiters, Observe, Panics, Peering, RateLimit, Received,
    Rejections, Room, TimedBody, is_grpc, sends_many,
};
use crate::model::address::Resolver;
use crate::rest::{Cors, Limits, Render, Rest, routes};
use crate::tracker::Tracker;

/// What the stack is made of.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) tracker: Arc<Tracker>,
    pub(super) health: Health,
    pub(super) limiters: Arc<Limiters>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) room: Room,
    pub(super) header_bytes_max: NonZeroU32,
    pub(super) rejections: Rejections,
    pub(super) metrics: Metrics,
    pub(super) panics: Panics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cors: Cors,
    pub(super) limits: Limits,
    pub(super) id_prefix: u64,
}

/// The whole of it, from the outermost layer in.
pub(super) type Layers = Observe<Render<Contain<Peering<RateLimit<InFlight<HeaderList<Router>>>>>>>;

impl Stack {
    pub(super) fn build(self) -> Result<Layers, StartError> {
        let tracking = Tracking::new(self.tracker.clone(), self.limits.body_timeout);
        let customers = Customers::new(self.tracker);
        let router = Router {
            tracking: TrackingServiceServer::new(tracking.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            customers: CustomerServiceServer::new(customers.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            health: HealthServer::new(self.health.clone()),
            reflection: Reflection::new()?,
            body_timeout: self.limits.body_timeout,
            rejections: self.rejections,
            rest: Arc::new(Rest::new(tracking, customers, self.health, self.limits)),
        };
        let headed = HeaderList::layer(self.header_bytes_max).layer(router);
        let in_flight = InFlight::layer(self.room).layer(headed);
        let limited = RateLimit::layer(self.limiters, self.clock.clone()).layer(in_flight);
        let peering = Peering::layer(self.resolver).layer(limited);
        let contained = Contain::layer(self.panics).layer(peering);
        let rendered = Render::layer(self.cors).layer(contained);
        let observe = Observe::layer(self.metrics, route_name, self.id_prefix, self.clock);
        Ok(observe.layer(rendered))
    }
}

/// The rpcs by name, for the metrics; callers must not be able to make up names.
const RPCS: [&str; 15] = [
    "/footfall.tracking.v2.TrackingService/UpdateCustomer",
    "/footfall.tracking.v2.TrackingService/AddEvent",
    "/footfall.tracking.v2.TrackingService/TrackCampaignClick",
    "/footfall.tracking.v2.TrackingService/ExecuteBatch",
    "/footfall.tracking.v2.TrackingService/TrackStream",
    "/footfall.tracking.v2.TrackingService/GetSystemTime",
    "/footfall.tracking.v2.CustomerService/GetCustomer",
    "/footfall.tracking.v2.CustomerService/GetAttributes",
    "/footfall.tracking.v2.CustomerService/ListEvents",
    "/footfall.tracking.v2.CustomerService/AnonymizeCustomer",
    "/footfall.tracking.v2.CustomerService/EraseCustomer",
    "/footfall.tracking.v2.CustomerService/WatchEvents",
    "/footfall.tracking.v2.CustomerService/ExportCustomers",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

fn route_name(path: &str) -> &'static str {
    match RPCS.iter().find(|rpc| **rpc == path) {
        Some(rpc) => rpc,
        None => routes::name(path),
    }
}

/// Reflection's two versions, which clients choose between by name.
#[derive(Clone, Debug)]
struct Reflection {
    v1: Boxed,
    v1alpha: Boxed,
}

type Boxed = BoxCloneSyncService<Request<TimedBody<Received>>, Response<Body>, Infallible>;

impl Reflection {
    fn new() -> Result<Self, StartError> {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // By itself, each version would tell of itself alone.
                .include_reflection_service(false)
                .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
        };
        Ok(Self {
            v1: BoxCloneSyncService::new(builder().build_v1()?),
            v1alpha: BoxCloneSyncService::new(builder().build_v1alpha()?),
        })
    }
}

/// Leads a request to its service.
#[derive(Clone, Debug)]
pub(super) struct Router {
    tracking: TrackingServiceServer<Tracking>,
    customers: CustomerServiceServer<Customers>,
    health: HealthServer<Health>,
    reflection: Reflection,
    body_timeout: Duration,
    rejections: Rejections,
    rest: Arc<Rest>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Received>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Answer {
        if !is_grpc(request.headers()) {
            let rest = self.rest.clone();
            return Box::pin(async move { Ok(rest.serve(request).await) });
        }
        let lasts = sends_many(request.uri().path());
        let request = request.map(|body| match lasts {
            true => TimedBody::endless(body),
            false => TimedBody::new(body, self.body_timeout, self.rejections.clone()),
        });
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match service.map_or("", |(service, _)| service) {
            "footfall.tracking.v2.TrackingService" => self.tracking.call(request),
            "footfall.tracking.v2.CustomerService" => self.customers.call(request),
            "grpc.health.v1.Health" => self.health.call(request),
            "grpc.reflection.v1.ServerReflection" => {
                Box::pin(self.reflection.v1.clone().oneshot(request))
            }
            "grpc.reflection.v1alpha.ServerReflection" => {
                Box::pin(self.reflection.v1alpha.clone().oneshot(request))
            }
            _ => Box::pin(std::future::ready(Ok(Status::unimplemented(
                "unknown service",
            )
            .into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn every_rpc_is_counted_under_its_own_name() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let mut rpcs = 0;
        for service in pool.services() {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                assert_eq!(route_name(&path), path);
                rpcs += 1;
            }
        }
        assert!(rpcs >= 12, "otherwise it proves nothing: {rpcs}");
    }
}
