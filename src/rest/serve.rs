//! Each request leads to the route that answers it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::Full;
use prost::Message as _;
use tonic::{Code, Request as Call, Status};

use super::customer::{CustomerResponse, RESPONSE_BYTES_MAX};
use super::error::{Error, Result};
use super::json;
use super::offload::Offload;
use super::routes::{self, Kind, Read, Stream, Write};
use super::{body, query, response, stream};
use crate::grpc::convert::timestamp;
use crate::grpc::health::Health;
use crate::grpc::held::counted;
use crate::grpc::pb::customer_service_server::CustomerService as _;
use crate::grpc::pb::tracking_service_server::TrackingService as _;
use crate::grpc::{Customers, Tracking, pb};
use crate::middleware::{Body, CallContext, Guard, NestedRejections, Probe, RequestClass};
use crate::model::credentials::Credentials;
use crate::tracker::{self, ATTRIBUTES_TOO_LARGE, Access};

/// Most bodies that are decompressed at once.
const DECODERS_MAX: usize = 8;
/// Most customers of a bulk that are anonymised at once. A key has no more reads in flight by default.
const ANONYMIZED_AT_ONCE_MAX: usize = 8;
/// The body of `GET /`, which balancers probe.
const ROOT: &str = concat!(
    r#"{"name": "footfall", "version": ""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// The limits of a REST request.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest body of a single route, in bytes. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Largest body of a batch, in bytes. Default 16 MiB.
    pub batch_bytes_max: usize,
    /// Longest time for a body to arrive. Default 30 s.
    pub body_timeout: Duration,
}

/// The REST shim.
#[derive(Clone, Debug)]
pub struct Rest {
    tracking: Tracking,
    customers: Customers,
    health: Health,
    limits: Limits,
    offload: Offload,
    /// Decompresses bodies. They do not wait for responses that are written.
    decoders: Offload,
}

impl Rest {
    /// The shim in front of these services.
    pub fn new(
        tracking: Tracking,
        customers: Customers,
        health: Health,
        limits: Limits,
        offload: Offload,
    ) -> Self {
        Self {
            tracking,
            customers,
            health,
            limits,
            offload,
            decoders: Offload::new(DECODERS_MAX),
        }
    }

    /// Answers a request. A failure leaves as a status, which the render layer turns into JSON.
    pub async fn serve<B: HttpBody<Data = Bytes>>(&self, request: Request<B>) -> Response<Body> {
        let response = self.respond(request).await;
        response.unwrap_or_else(Error::into_response)
    }

    async fn respond<B: HttpBody<Data = Bytes>>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Body>> {
        match CallContext::of(request.extensions())?.classified().class {
            RequestClass::Rest | RequestClass::Sdk => {}
            RequestClass::Preflight => return Ok(constant(response::SUCCESS)),
            RequestClass::Probe(probe) => return Ok(self.probe(probe)),
            RequestClass::Grpc(_) | RequestClass::OtherGrpc => return Err(Error::other_grpc()),
        }
        let (head, body) = request.into_parts();
        let (entry, token) = routes::find(head.uri.path()).ok_or_else(Error::unknown_path)?;
        if !entry.methods.contains(&head.method) {
            return Err(Error::wrong_method(entry.methods.allow()));
        }
        let kind = entry.route.kind();
        if let Kind::Sdk(response) = kind {
            self.admit(&head, token)?;
            return Ok(constant(response));
        }
        let request = self.receive(kind, &head, token, body).await?;
        let response = match kind {
            Kind::Read(read) => self.read(read, &request).await.map(json_response),
            Kind::Write(write) => self.write(write, &request).await.map(json_response),
            Kind::Batch => self.batch(&request).await,
            Kind::Stream(stream) => self.stream(stream, &request).await,
            // Both have been answered above.
            Kind::Probe(_) | Kind::Sdk(_) => Err(Error::unknown_path()),
        };
        response.map_err(|error| error.about(&request.body))
    }

    /// Checks that a caller has a key. The key is charged nothing.
    fn admit(&self, head: &Parts, token: &str) -> Result<()> {
        let project = query::value(head, "project_id").filter(|_| token.is_empty());
        let token = project.as_deref().unwrap_or(token);
        let key = credentials(head);
        Ok(self.tracking.admit(token, key, &head.extensions)?)
    }

    /// Authenticates a caller, and then reads the body if the route takes one.
    async fn receive<'a>(
        &self,
        kind: Kind,
        head: &'a Parts,
        token: &'a str,
        body: impl HttpBody<Data = Bytes>,
    ) -> Result<Authenticated<'a>> {
        let access = self
            .tracking
            .authenticate(token, credentials(head), &head.extensions)?;
        let mut request = Authenticated {
            head,
            token,
            access,
            body: Bytes::new(),
        };
        if !kind.takes_body() {
            return Ok(request);
        }
        let meter = CallContext::of(&head.extensions)?.meter()?;
        request.access.hold(meter);
        body::check_type(&head.headers, kind.takes_text())?;
        let (bytes_max, guard) = match kind == Kind::Batch {
            true => (self.limits.batch_bytes_max, Guard::BatchBytes),
            false => (self.limits.body_bytes_max, Guard::BodyBytes),
        };
        let limits = body::Limits {
            bytes_max,
            guard,
            meter,
        };
        let timeout = self.limits.body_timeout;
        request.body = body::read(&head.headers, body, limits, timeout, &self.decoders).await?;
        Ok(request)
    }

    async fn read(&self, read: Read, request: &Authenticated<'_>) -> Result<Bytes> {
        let (token, body) = (request.token, &request.body);
        match read {
            Read::Time => {
                let message = pb::GetSystemTimeRequest {
                    project_token: token.to_owned(),
                };
                let time = self.tracking.get_system_time(request.call(message)).await?;
                Ok(response::time(time.into_inner().time))
            }
            Read::Attributes => {
                let (message, plan) = json::attributes(body, token)?;
                let found = self.customers.get_attributes(request.call(message)).await?;
                let held = found.extensions().get().cloned();
                let found = found.into_inner();
                let bytes = found.encoded_len();
                let write = move || response::attributes(plan, found);
                let body = self.offload.run(bytes, write).await;
                if body.len() > RESPONSE_BYTES_MAX {
                    return Err(Status::from(tracker::Error::TooLarge(ATTRIBUTES_TOO_LARGE)).into());
                }
                let Some(held) = held else {
                    return Ok(body);
                };
                Ok(counted(body, held))
            }
            Read::Customer => {
                let message = json::customer(body, token)?;
                let response = CustomerResponse::customer(RESPONSE_BYTES_MAX);
                let customer = self.customers.customer(&request.access, &message, response);
                let (page, held) = customer.await?;
                Ok(counted(page.answer.finish(page.next.as_deref()), held))
            }
            Read::Events => {
                let message = json::events(body, token)?;
                let has_limit = message.limit.is_some();
                let response = CustomerResponse::events(RESPONSE_BYTES_MAX);
                let events = self.customers.events(&request.access, message, response);
                let (page, held) = events.await?;
                // A caller that got as many events as it asked for need not know whether there are more.
                let next = page.next.filter(|_| !page.limited || !has_limit);
                Ok(counted(page.answer.finish(next.as_deref()), held))
            }
        }
    }

    async fn write(&self, write: Write, request: &Authenticated<'_>) -> Result<Bytes> {
        let (token, body) = (request.token, &request.body);
        let now = self.tracking.now();
        let body = match write {
            Write::Customer => {
                let message = json::update(body, token)?;
                self.tracking.update_customer(request.call(message)).await?;
                response::WRITTEN
            }
            Write::Event => {
                let message = json::event(body, token, now)?;
                self.tracking.add_event(request.call(message)).await?;
                response::WRITTEN
            }
            Write::Click => {
                let message = request.call(json::click(body, token, now)?);
                self.tracking.track_campaign_click(message).await?;
                response::WRITTEN
            }
            Write::Anonymize => {
                let message = request.call(json::anonymize(body, token)?);
                self.customers.anonymize_customer(message).await?;
                response::SUCCESS
            }
            Write::AnonymizeBulk => {
                let customers = json::anonymize_bulk(body, token)?;
                self.anonymize_bulk(request, customers).await?;
                let id = CallContext::of(&request.head.extensions)?.id();
                return Ok(response::anonymized(id));
            }
        };
        Ok(Bytes::from_static(body.as_bytes()))
    }

    /// Anonymises customers, a few at a time. An unknown customer is no failure.
    async fn anonymize_bulk(
        &self,
        request: &Authenticated<'_>,
        customers: Vec<pb::AnonymizeCustomerRequest>,
    ) -> Result<()> {
        let calls = customers.into_iter().map(|customer| {
            let call = request.call(customer);
            self.customers.anonymize_customer(call)
        });
        let mut failed = None;
        let mut results =
            futures_util::stream::iter(calls).buffer_unordered(ANONYMIZED_AT_ONCE_MAX);
        while let Some(result) = results.next().await {
            match result {
                Err(status) if status.code() != Code::NotFound => failed = failed.or(Some(status)),
                Ok(_) | Err(_) => {}
            }
        }
        failed.map_or(Ok(()), |status| Err(status.into()))
    }

    async fn batch(&self, request: &Authenticated<'_>) -> Result<Response<Body>> {
        let now = self.tracking.now();
        let mut batch = json::batch(&request.body, request.token, now)?;
        let mut nested = NestedRejections::default();
        batch.failures().for_each(|status| nested.note(status));
        let message = std::mem::take(&mut batch.request);
        // The service refuses an empty batch. A batch without a readable command is not empty.
        let executed = match message.commands.is_empty() {
            true => pb::ExecuteBatchResponse {
                start_time: Some(timestamp(now)),
                end_time: Some(timestamp(self.tracking.now())),
                ..pb::ExecuteBatchResponse::default()
            },
            false => {
                let executed = self.tracking.execute_batch(request.call(message)).await?;
                nested.add(executed.extensions().get());
                executed.into_inner()
            }
        };
        let mut response = json_response(response::batch(batch, executed));
        nested.go_with(response.extensions_mut());
        Ok(response)
    }

    async fn stream(&self, stream: Stream, request: &Authenticated<'_>) -> Result<Response<Body>> {
        match stream {
            Stream::Export => {
                let format = json::export(&request.body)?;
                let export = self.customers.export(&request.access).await?;
                Ok(stream::table(export, format).await?)
            }
            Stream::Watch => {
                let message = query::watch(request.head, request.token)?;
                let watch = self.customers.watch_events(request.call(message)).await?;
                Ok(stream::events(watch.into_inner(), &self.offload))
            }
            Stream::WatchRefusals => {
                let message = query::watch_refusals(request.head, request.token)?;
                let watch = self.customers.watch_refusals(request.call(message)).await?;
                Ok(stream::refusals(watch.into_inner()))
            }
        }
    }

    fn probe(&self, probe: Probe) -> Response<Body> {
        let state = self.health.get();
        let is_ok = match probe {
            Probe::Root => return constant(ROOT),
            Probe::Liveness => true,
            Probe::Readiness => state.is_ready(),
            Probe::Startup => state.started,
        };
        let mut response = json_response(response::health(is_ok, state.obstacle.as_deref()));
        if !is_ok {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

/// A request of a caller that has a key, and the body if the route takes one.
struct Authenticated<'a> {
    head: &'a Parts,
    token: &'a str,
    access: Access,
    body: Bytes,
}

impl Authenticated<'_> {
    /// A call of a service in process.
    fn call<T>(&self, message: T) -> Call<T> {
        let mut call = Call::new(message);
        call.extensions_mut().insert(self.access.clone());
        call
    }
}

/// The credentials of a caller. A caller that cannot set a header puts the public key into the query.
fn credentials(head: &Parts) -> Credentials {
    match head.headers.get(AUTHORIZATION) {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => match query::value(head, "access_token") {
            Some(key) => Credentials::Public(key.into_owned()),
            None => Credentials::Missing,
        },
    }
}

fn constant(body: &'static str) -> Response<Body> {
    json_response(Bytes::from_static(body.as_bytes()))
}

pub(super) fn json_response(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
