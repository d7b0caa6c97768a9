//! The stack of layers, and the router below it.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Version};
use prost::{DecodeError, Message as _};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic_reflection::pb::{v1, v1alpha};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::clock::Clock;
use crate::grpc::health::Health;
use crate::grpc::held;
use crate::grpc::pb::customer_service_server::CustomerServiceServer;
use crate::grpc::pb::health::health_server::HealthServer;
use crate::grpc::pb::tracking_service_server::TrackingServiceServer;
use crate::grpc::{Customers, DESCRIPTORS, MESSAGE_BYTES_MAX, Tracking};
use crate::limit::Meter;
use crate::middleware::observe::{Ids, Metrics};
use crate::middleware::{
    Body, CallContext, CatchPanic, Checked, Classified, ConcurrencyLimit, Deadline, Decoded,
    DrainedBody, Ending, Explain, HeaderList, InFlight, InTime, Intercept, Interceptor, Limiters,
    MessageBody, MessageCoding, Observe, Pace, RateLimit, Refusals, Rejections, RequestClass,
    ResolveClient, Rpc, Service as Serves, class, message_body, message_coding,
};
use crate::model::address::Resolver;
use crate::model::panics::Panics;
use crate::rest::{Cors, Limits, Offload, Render, Rest, routes};
use crate::tracker::Tracker;

/// Largest message of a stream of commands, in bytes: a command has 800 KiB at most as JSON, and small numbers take
/// three times as much as protobuf.
const STREAM_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest message to health and reflection, which nobody needs a key for, in bytes.
const OPEN_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Most messages that are decompressed at once.
const DECODERS_MAX: usize = 8;
/// Most threads that write or compress large answers of REST at once, and as many that compress those of gRPC, beside
/// those that read.
const OFFLOAD_THREADS_MAX: usize = 16;

/// What the stack is made of.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) health: Health,
    pub(crate) limiters: Arc<Limiters>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) concurrency: ConcurrencyLimit,
    pub(crate) header_bytes_max: NonZeroU32,
    pub(crate) rejections: Rejections,
    pub(crate) refusals: Refusals,
    pub(crate) metrics: Metrics,
    pub(crate) panics: Panics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cors: Cors,
    pub(crate) limits: Limits,
    pub(crate) answer_bytes_max: usize,
    pub(crate) ids: Arc<Ids>,
    /// None: nobody answers in place of the services.
    pub(crate) interceptor: Option<Arc<dyn Interceptor>>,
}

/// The whole of it, from the outermost layer in.
pub(crate) type Layers = Observe<
    Render<Explain<CatchPanic<ResolveClient<RateLimit<InFlight<HeaderList<Intercept<Router>>>>>>>>,
>;

impl Stack {
    pub(crate) fn build(self) -> Result<Layers, tonic_reflection::server::Error> {
        let tracking = Tracking::new(self.tracker.clone(), self.limits.body_timeout);
        let refusals = self.refusals.recent().clone();
        let customers = Customers::new(self.tracker, refusals, self.answer_bytes_max);
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
            decoders: Arc::new(Semaphore::new(DECODERS_MAX)),
            encoders: Arc::new(Semaphore::new(OFFLOAD_THREADS_MAX)),
            rejections: self.rejections,
            rest: Arc::new(Rest::new(
                tracking,
                customers,
                self.health,
                self.limits,
                offload.clone(),
            )),
        };
        let intercepted = Intercept::layer(self.interceptor).layer(router);
        let headed = HeaderList::layer(self.header_bytes_max).layer(intercepted);
        let in_flight = InFlight::layer(self.concurrency).layer(headed);
        let limited = RateLimit::layer(self.limiters, self.clock.clone()).layer(in_flight);
        let peering = ResolveClient::layer(self.resolver).layer(limited);
        let contained = CatchPanic::layer(self.panics).layer(peering);
        let explained = Explain::layer(self.refusals).layer(contained);
        let rendered = Render::layer(self.cors, offload).layer(explained);
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

/// The messages of a call.
type Messages = Decoded<MessageBody<DrainedBody>>;
type Boxed = BoxCloneSyncService<Request<Checked<Messages>>, Response<Body>, Infallible>;

impl Reflection {
    fn new() -> Result<Self, tonic_reflection::server::Error> {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                // By itself, each version would list itself alone.
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
pub(crate) struct Router {
    tracking: TrackingServiceServer<Tracking>,
    /// The same, for streams of commands: a stream keeps the room of its largest message for as long as it lasts.
    streams: TrackingServiceServer<Tracking>,
    /// Looks at what callers show.
    shown: Tracking,
    customers: CustomerServiceServer<Customers>,
    health: HealthServer<Health>,
    reflection: Reflection,
    body_timeout: Duration,
    /// Messages that are decompressed wait for each other.
    decoders: Arc<Semaphore>,
    /// And so do large ones that are compressed.
    encoders: Arc<Semaphore>,
    rejections: Rejections,
    rest: Arc<Rest>,
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<DrainedBody>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<DrainedBody>) -> ResponseFuture {
        let context = match CallContext::of(request.extensions()) {
            Ok(context) => context,
            Err(missing) => return refused(missing.into()),
        };
        let classified = context.classified();
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
        let meter = match context.meter() {
            Ok(meter) => meter.clone(),
            Err(missing) => return refused(missing.into()),
        };
        let mut request = request;
        let deadline = match Deadline::of(request.headers()) {
            Ok(deadline) => deadline,
            Err(status) => return refused(status),
        };
        let coding = match MessageCoding::take(request.headers_mut()) {
            Ok(coding) => coding,
            Err(status) => return refused(status),
        };
        let accepted = MessageCoding::accepted(request.headers());
        let codings = Codings {
            of_request: coding,
            of_answer: accepted.map(|coding| (coding, self.encoders.clone())),
        };
        let answer = self.serve(rpc, classified, codings, meter, request);
        match deadline {
            Some(deadline) => Box::pin(InTime::new(answer, deadline)),
            None => answer,
        }
    }
}

impl Router {
    /// Leads a call to its service.
    fn serve(
        &mut self,
        rpc: &Rpc,
        classified: Classified,
        codings: Codings,
        meter: Meter,
        request: Request<DrainedBody>,
    ) -> ResponseFuture {
        let coding = codings.of_request;
        match rpc.service {
            Serves::Tracking | Serves::Customers => {}
            // For these nobody needs a key.
            Serves::Health => {
                let request =
                    self.bounded(request, Pace::One, OPEN_MESSAGE_BYTES_MAX, coding, meter);
                return codings.of(self.health.call(request));
            }
            Serves::Reflection => {
                return codings.of(self.reflect(request, coding, meter, &self.reflection.v1));
            }
            Serves::ReflectionAlpha => {
                return codings.of(self.reflect(request, coding, meter, &self.reflection.v1alpha));
            }
        }
        let mut request = request;
        match self
            .shown
            .recognize(request.headers(), request.extensions())
        {
            Ok(known) => {
                known.hold(&meter);
                request.extensions_mut().insert(known);
            }
            Err(status) => return refused(status),
        }
        match (rpc.service, classified.sends_many()) {
            (Serves::Customers, _) => {
                let request = self.bounded(request, Pace::One, MESSAGE_BYTES_MAX, coding, meter);
                let answer = self.customers.call(request);
                Box::pin(async move {
                    // What counts is what is sent.
                    let response = codings.encode(answer.await?);
                    Ok(held::with_body(response))
                })
            }
            (_, true) => {
                let request =
                    self.bounded(request, Pace::Many, STREAM_MESSAGE_BYTES_MAX, coding, meter);
                codings.of(self.streams.call(request))
            }
            (_, false) => {
                let request = self.bounded(request, Pace::One, MESSAGE_BYTES_MAX, coding, meter);
                codings.of(self.tracking.call(request))
            }
        }
    }

    /// Bounds the messages of a call.
    fn bounded(
        &self,
        request: Request<DrainedBody>,
        pace: Pace,
        bytes_max: usize,
        coding: Option<MessageCoding>,
        meter: Meter,
    ) -> Request<Messages> {
        let limits = message_body::Limits {
            bytes_max,
            timeout: self.body_timeout,
            meter,
            rejections: self.rejections.clone(),
            is_coded: coding.is_some(),
            kept: Arc::default(),
        };
        request.map(|body| {
            let is_single = matches!(pace, Pace::One);
            let body = MessageBody::new(body, pace, limits.clone());
            let verdict = body.verdict();
            Decoded::new(body, coding, is_single, &limits, verdict, &self.decoders)
        })
    }

    /// Asks reflection, which keeps to itself why it stops to read.
    fn reflect(
        &self,
        request: Request<DrainedBody>,
        coding: Option<MessageCoding>,
        meter: Meter,
        service: &Boxed,
    ) -> ResponseFuture {
        let context = CallContext::of(request.extensions());
        let charge = context.map(|context| context.stream().message_charge.clone());
        let message_charge = match charge {
            Ok(charge) => charge,
            Err(missing) => return refused(missing.into()),
        };
        let request = self.bounded(
            request,
            Pace::ManyInTime(message_charge),
            OPEN_MESSAGE_BYTES_MAX,
            coding,
            meter,
        );
        let verdict = request.body().verdict();
        let request = request.map(|body| Checked::new(body, decodes, verdict.clone()));
        let answered = service.clone().oneshot(request);
        Box::pin(async move {
            let answer = answered.await?;
            Ok(answer.map(|body| Body::new(Ending::new(body, verdict))))
        })
    }
}

/// How the messages of a call are compressed.
#[derive(Debug)]
struct Codings {
    of_request: Option<MessageCoding>,
    of_answer: Option<(MessageCoding, Arc<Semaphore>)>,
}

impl Codings {
    /// The answer, compressed for who takes that.
    fn of(self, answer: ResponseFuture) -> ResponseFuture {
        match self.of_answer {
            None => answer,
            Some(_) => Box::pin(async move { answer.await.map(|response| self.encode(response)) }),
        }
    }

    fn encode(&self, response: Response<Body>) -> Response<Body> {
        match &self.of_answer {
            None => response,
            Some((coding, encoders)) => message_coding::compressed(response, *coding, encoders),
        }
    }
}

/// Whether reflection can decode a message, which is the same in both versions.
fn decodes(message: &[u8]) -> Result<(), DecodeError> {
    v1::ServerReflectionRequest::decode(message).map(drop)
}

fn refused(status: Status) -> ResponseFuture {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use crate::middleware::rpc::{Answers, RPCS, Sends};

    use super::*;

    #[test]
    fn every_rpc_of_the_contract_and_no_other_is_led_to_its_service() {
        let mut pool = DescriptorPool::new();
        for file in [
            DESCRIPTORS,
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
            let lasts = rpc.answers != Answers::Once;
            assert_eq!(
                (sends_many, lasts),
                (method.is_client_streaming(), method.is_server_streaming()),
                "{path}"
            );
        }
    }
}
