//! The stack of layers, and the router below it.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Version};
use tonic::Status;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb::{v1, v1alpha};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _};

use super::StartError;
use crate::clock::Clock;
use crate::grpc::health::Health;
use crate::grpc::held;
use crate::grpc::pb::customer_service_server::CustomerServiceServer;
use crate::grpc::pb::tracking_service_server::TrackingServiceServer;
use crate::grpc::{Customers, DESCRIPTORS, MESSAGE_BYTES_MAX, Tracking};
use crate::limit::Meter;
use crate::middleware::observe::{Ids, Metrics};
use crate::middleware::{
    Body, Classified, Contain, Ending, HeaderList, InFlight, Limiters, MessageBody, Observe, Pace,
    Peering, RateLimit, Received, Rejections, RequestClass, Room, Service as Serves, Toll, class,
    message_body,
};
use crate::model::address::Resolver;
use crate::model::panics::Panics;
use crate::rest::{Cors, Limits, Offload, Render, Rest, routes};
use crate::tracker::Tracker;

/// Largest message of a stream of commands, in bytes: a command has 800 KiB at most as JSON, and small numbers take three times as
/// much as protobuf.
const STREAM_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest message to health and reflection, which nobody needs a key for, in bytes.
const OPEN_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Most threads that write or compress large answers of REST at once, beside those that read.
const OFFLOAD_THREADS_MAX: usize = 16;

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
    pub(super) answer_bytes_max: usize,
    pub(super) ids: Arc<Ids>,
}

/// The whole of it, from the outermost layer in.
pub(super) type Layers = Observe<Render<Contain<Peering<RateLimit<InFlight<HeaderList<Router>>>>>>>;

impl Stack {
    pub(super) fn build(self) -> Result<Layers, StartError> {
        let tracking = Tracking::new(self.tracker.clone(), self.limits.body_timeout);
        let customers = Customers::new(self.tracker, self.answer_bytes_max);
        let offload = Offload::new(OFFLOAD_THREADS_MAX);
        let router = Router {
            tracking: TrackingServiceServer::new(tracking.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            streams: TrackingServiceServer::new(tracking.clone())
                .max_decoding_message_size(STREAM_MESSAGE_BYTES_MAX),
            shown: tracking.clone(),
            customers: CustomerServiceServer::new(customers.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(self.answer_bytes_max),
            health: HealthServer::new(self.health.clone())
                .max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX),
            reflection: Reflection::new()?,
            body_timeout: self.limits.body_timeout,
            rejections: self.rejections,
            rest: Arc::new(Rest::new(
                tracking,
                customers,
                self.health,
                self.limits,
                offload.clone(),
            )),
        };
        let headed = HeaderList::layer(self.header_bytes_max).layer(router);
        let in_flight = InFlight::layer(self.room).layer(headed);
        let limited = RateLimit::layer(self.limiters, self.clock.clone()).layer(in_flight);
        let peering = Peering::layer(self.resolver).layer(limited);
        let contained = Contain::layer(self.panics).layer(peering);
        let rendered = Render::layer(self.cors, offload).layer(contained);
        let observe = Observe::layer(self.metrics, classify, self.ids, self.clock);
        Ok(observe.layer(rendered))
    }
}

/// What a request is.
fn classify(method: &Method, version: Version, path: &str, headers: &HeaderMap) -> Classified {
    class::grpc(method, version, path, headers).unwrap_or_else(|| routes::classify(method, path))
}

/// Reflection's two versions, which clients choose between by name.
#[derive(Clone, Debug)]
struct Reflection {
    v1: Boxed,
    v1alpha: Boxed,
}

type Boxed = BoxCloneSyncService<Request<MessageBody<Received>>, Response<Body>, Infallible>;

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
            v1: BoxCloneSyncService::new(
                builder()
                    .build_v1()?
                    .max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX),
            ),
            v1alpha: BoxCloneSyncService::new(
                builder()
                    .build_v1alpha()?
                    .max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX),
            ),
        })
    }
}

/// Leads a request to its service.
#[derive(Clone, Debug)]
pub(super) struct Router {
    tracking: TrackingServiceServer<Tracking>,
    /// The same, for streams of commands: a stream keeps the room of its largest message for as long as it lasts.
    streams: TrackingServiceServer<Tracking>,
    /// Looks at what callers show.
    shown: Tracking,
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
        let classified = Classified::of(request.extensions());
        let rpc = match classified.class {
            RequestClass::Grpc(rpc) => rpc,
            RequestClass::OtherGrpc
            | RequestClass::Preflight
            | RequestClass::Probe(_)
            | RequestClass::Sdk
            | RequestClass::Rest => {
                let rest = self.rest.clone();
                return Box::pin(async move { Ok(rest.serve(request).await) });
            }
        };
        let Some(rpc) = rpc else {
            return refused(Status::unimplemented("unknown rpc"));
        };
        match rpc.service {
            Serves::Tracking | Serves::Customers => {}
            // For these nobody needs a key.
            Serves::Health => {
                return self
                    .health
                    .call(self.bounded(request, Pace::One, OPEN_MESSAGE_BYTES_MAX));
            }
            Serves::Reflection => return self.reflect(request, &self.reflection.v1),
            Serves::ReflectionAlpha => return self.reflect(request, &self.reflection.v1alpha),
        }
        let mut request = request;
        match self
            .shown
            .recognize(request.headers(), request.extensions())
        {
            Ok(known) => {
                if let Some(meter) = request.extensions().get() {
                    known.hold(meter);
                }
                request.extensions_mut().insert(known);
            }
            Err(status) => return refused(status),
        }
        match (rpc.service, classified.sends_many()) {
            (Serves::Customers, _) => {
                let request = self.bounded(request, Pace::One, MESSAGE_BYTES_MAX);
                let answer = self.customers.call(request);
                Box::pin(async move { answer.await.map(held::with_body) })
            }
            (_, true) => {
                self.streams
                    .call(self.bounded(request, Pace::Many, STREAM_MESSAGE_BYTES_MAX))
            }
            (_, false) => self
                .tracking
                .call(self.bounded(request, Pace::One, MESSAGE_BYTES_MAX)),
        }
    }
}

impl Router {
    /// Bounds the messages of a call.
    fn bounded(
        &self,
        request: Request<Received>,
        pace: Pace,
        bytes_max: usize,
    ) -> Request<MessageBody<Received>> {
        let meter = request.extensions().get().cloned();
        let limits = message_body::Limits {
            bytes_max,
            timeout: self.body_timeout,
            meter: meter.unwrap_or_else(Meter::none),
            rejections: self.rejections.clone(),
        };
        request.map(|body| MessageBody::new(body, pace, limits))
    }

    /// Asks reflection, which keeps to itself why it stops to read.
    fn reflect(&self, request: Request<Received>, service: &Boxed) -> Answer {
        let toll: Option<Toll> = request.extensions().get().cloned();
        let request = self.bounded(request, Pace::ManyInTime(toll), OPEN_MESSAGE_BYTES_MAX);
        let verdict = request.body().verdict();
        let answered = service.clone().oneshot(request);
        Box::pin(async move {
            let answer = answered.await?;
            Ok(answer.map(|body| Body::new(Ending::new(body, verdict))))
        })
    }
}

fn refused(status: Status) -> Answer {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use crate::middleware::rpc::{Answers, RPCS, Rpc, Sends};

    use super::*;

    #[test]
    fn every_rpc_of_the_contract_and_no_other_is_led_to_its_service() {
        let mut pool = DescriptorPool::new();
        for file in [
            DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(file).unwrap();
        }
        let methods: Vec<_> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(|method| !method.full_name().starts_with("google."))
            .collect();
        assert_eq!(methods.len(), RPCS.len());
        for method in methods {
            let service = method.parent_service();
            let path = format!("/{}/{}", service.full_name(), method.name());
            let rpc = Rpc::find(&path).unwrap_or_else(|| panic!("{path}"));
            let sends_many = rpc.sends == Sends::Many;
            let lasts = rpc.answers == Answers::Lasts;
            assert_eq!(
                (sends_many, lasts),
                (method.is_client_streaming(), method.is_server_streaming()),
                "{path}"
            );
        }
    }
}
