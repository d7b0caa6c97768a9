//! From a request to a route's answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use prost::Message as _;
use tonic::{Code, Request as Call, Status};

use super::customer::{ANSWER_BYTES_MAX, CustomerText, EventsText};
use super::error::Error;
use super::json::{self, Fields};
use super::offload::Offload;
use super::routes::{self, Entry, Route};
use super::{answer, body, query, stream};
use crate::grpc::convert::timestamp;
use crate::grpc::health::{Health, Readiness};
use crate::grpc::held::counted;
use crate::grpc::pb::customer_service_server::CustomerService as _;
use crate::grpc::pb::tracking_service_server::TrackingService as _;
use crate::grpc::{Customers, Tracking, pb};
use crate::middleware::{Body, CallContext, Guard, NestedRejections, Probe, RequestClass};
use crate::model::credentials::Credentials;
use crate::tracker::{self, ATTRIBUTES_TOO_LARGE, Access};

/// Most bodies that are decompressed at once.
const DECODERS_MAX: usize = 8;

/// Most customers of a bulk that are anonymised at once; a key has no more reads in flight by default.
const ANONYMIZED_AT_ONCE_MAX: usize = 8;
/// The answer of `GET /`, which balancers probe.
const ROOT: &str = concat!(
    r#"{"name": "footfall", "version": ""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// What bounds a REST request.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest body of a single route, in bytes. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Largest body of a batch, in bytes. Default 16 MiB.
    pub batch_bytes_max: usize,
    /// Longest that a body takes to arrive. Default 30 s.
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
    /// Bodies that are decompressed wait for each other, and not for answers.
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

    /// Answers a request. What fails leaves as a status, for the render layer.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answered = self.answer(request).await;
        answered.unwrap_or_else(Error::into_response)
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match CallContext::of(request.extensions())?.classified().class {
            RequestClass::Rest | RequestClass::Sdk => {}
            RequestClass::Preflight => {
                return Ok(json_response(Bytes::from_static(b"{\"success\": true}")));
            }
            RequestClass::Probe(Probe::Liveness) => return Ok(self.health(|_| true)),
            RequestClass::Probe(Probe::Readiness) => return Ok(self.health(Readiness::is_ready)),
            RequestClass::Probe(Probe::Startup) => return Ok(self.health(|state| state.started)),
            RequestClass::Probe(Probe::Root) => {
                return Ok(json_response(Bytes::from_static(ROOT.as_bytes())));
            }
            RequestClass::Grpc(_) | RequestClass::OtherGrpc => return Err(Error::other_grpc()),
        }
        let (head, body) = request.into_parts();
        let (entry, token) = routes::find(head.uri.path()).ok_or_else(Error::unknown_path)?;
        if !entry.methods.contains(&head.method) {
            return Err(Error::wrong_method(entry.methods.allow()));
        }
        match entry.route {
            // Who asks for these is a probe, and was answered as one.
            Route::Healthz | Route::Readyz | Route::Startupz | Route::Root => {
                Err(Error::unknown_path())
            }
            Route::Sdk(answer) => {
                self.admit(&head, token)?;
                Ok(json_response(Bytes::from_static(answer.as_bytes())))
            }
            Route::SystemTime => {
                let access = self.authenticate(&head, token)?;
                let request = pb::GetSystemTimeRequest {
                    project_token: token.to_owned(),
                };
                let answer = self
                    .tracking
                    .get_system_time(call(request, &access))
                    .await?;
                Ok(json_response(answer::time(answer.into_inner().time)))
            }
            Route::Watch => {
                let access = self.authenticate(&head, token)?;
                let request = query::watch(&head, token)?;
                let watched = self.customers.watch_events(call(request, &access)).await?;
                Ok(stream::events(watched.into_inner(), &self.offload))
            }
            Route::Customers
            | Route::CustomersEvents
            | Route::CampaignsClicks
            | Route::Batch
            | Route::Attributes
            | Route::ExportOne
            | Route::Events
            | Route::Anonymize
            | Route::AnonymizeBulk
            | Route::Export => {
                // Nobody's body is read before they are let in.
                let access = self.authenticate(&head, token)?;
                let limit = match entry.route == Route::Batch {
                    true => (self.limits.batch_bytes_max, Guard::BatchBytes),
                    false => (self.limits.body_bytes_max, Guard::BodyBytes),
                };
                let timeout = self.limits.body_timeout;
                let context = CallContext::of(&head.extensions)?;
                let meter = context.meter()?;
                access.hold(meter);
                body::check_type(&head.headers, entry.route.takes_text())?;
                let body =
                    body::read(&head.headers, body, limit, timeout, meter, &self.decoders).await?;
                if entry.route == Route::Export {
                    let format = Fields::of_body(&body)?.format()?;
                    let export = self.customers.export(&access).await?;
                    return Ok(stream::table(export, format).await?);
                }
                if entry.route == Route::Batch {
                    return self.batch(token, &access, &body).await;
                }
                if entry.route == Route::AnonymizeBulk {
                    let customers = json::anonymize_bulk(&body, token)?;
                    self.anonymize(&access, customers).await?;
                    return Ok(json_response(answer::anonymized(context.id())));
                }
                self.call(entry, token, &access, &body)
                    .await
                    .map(json_response)
            }
        }
    }

    fn authenticate(&self, head: &http::request::Parts, token: &str) -> Result<Access, Error> {
        let extensions = &head.extensions;
        Ok(self.tracking.authenticate(token, shown(head), extensions)?)
    }

    /// Checks that a caller has a key, which is charged nothing.
    fn admit(&self, head: &http::request::Parts, token: &str) -> Result<(), Error> {
        let query = head.uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let project = pairs.find(|(name, _)| name == "project_id");
        let token = match &project {
            Some((_, id)) if token.is_empty() => id,
            Some(_) | None => token,
        };
        Ok(self.tracking.admit(token, shown(head), &head.extensions)?)
    }

    /// Anonymises customers, some at a time. Who is not known has nothing to lose.
    async fn anonymize(
        &self,
        access: &Access,
        customers: Vec<pb::AnonymizeCustomerRequest>,
    ) -> Result<(), Status> {
        let each = customers
            .into_iter()
            .map(|customer| self.customers.anonymize_customer(call(customer, access)));
        let mut failed = None;
        let mut answers = futures_util::stream::iter(each).buffer_unordered(ANONYMIZED_AT_ONCE_MAX);
        while let Some(answer) = answers.next().await {
            match answer {
                Err(status) if status.code() != Code::NotFound => failed = failed.or(Some(status)),
                Ok(_) | Err(_) => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn call(
        &self,
        entry: &Entry,
        token: &str,
        access: &Access,
        body: &[u8],
    ) -> Result<Bytes, Error> {
        let now = self.tracking.now();
        match entry.route {
            Route::Customers => {
                let request = json::update(body, token)?;
                self.tracking.update_customer(call(request, access)).await?;
                Ok(Bytes::from_static(answer::WRITTEN))
            }
            Route::CustomersEvents => {
                let request = json::event(body, token, now)?;
                self.tracking.add_event(call(request, access)).await?;
                Ok(Bytes::from_static(answer::WRITTEN))
            }
            Route::CampaignsClicks => {
                let request = json::click(body, token, now)?;
                self.tracking
                    .track_campaign_click(call(request, access))
                    .await?;
                Ok(Bytes::from_static(answer::WRITTEN))
            }
            Route::Attributes => {
                let (request, plan) = json::attributes(&Fields::of_body(body)?, token)?;
                let answer = self.customers.get_attributes(call(request, access)).await?;
                let held = answer.extensions().get().cloned();
                let answer = answer.into_inner();
                let bytes = answer.encoded_len();
                let write = move || answer::attributes(plan, answer);
                let body = self.offload.run(bytes, write).await;
                match body.len() <= ANSWER_BYTES_MAX {
                    true => Ok(held.map_or(body.clone(), |held| counted(body, held))),
                    false => {
                        Err(Status::from(tracker::Error::TooLarge(ATTRIBUTES_TOO_LARGE)).into())
                    }
                }
            }
            Route::ExportOne => {
                let request = json::customer(&Fields::of_body(body)?, token)?;
                let answer = CustomerText::new(ANSWER_BYTES_MAX);
                let (page, held) = self.customers.customer(access, &request, answer).await?;
                let body = page.answer.finish(page.next.as_deref());
                Ok(counted(body, held))
            }
            Route::Events => {
                let request = json::events(&Fields::of_body(body)?, token)?;
                let has_limit = request.limit.is_some();
                let answer = EventsText::new(ANSWER_BYTES_MAX);
                let (page, held) = self.customers.events(access, request, answer).await?;
                // Who has what was asked for need not learn whether there is more.
                let next = page.next.filter(|_| !page.limited || !has_limit);
                Ok(counted(page.answer.finish(next.as_deref()), held))
            }
            Route::Anonymize => {
                let request = json::anonymize(&Fields::of_body(body)?, token)?;
                self.customers
                    .anonymize_customer(call(request, access))
                    .await?;
                Ok(Bytes::from_static(answer::ANONYMIZED))
            }
            // What has no body, or another answer, has been answered before.
            Route::SystemTime
            | Route::Batch
            | Route::Export
            | Route::AnonymizeBulk
            | Route::Watch
            | Route::Sdk(_)
            | Route::Root
            | Route::Healthz
            | Route::Readyz
            | Route::Startupz => Err(Error::unknown_path()),
        }
    }

    async fn batch(
        &self,
        token: &str,
        access: &Access,
        body: &[u8],
    ) -> Result<Response<Body>, Error> {
        let now = self.tracking.now();
        let mut batch = json::batch(body, token, now)?;
        let mut nested = NestedRejections::default();
        batch.failures().for_each(|status| nested.note(status));
        let request = std::mem::take(&mut batch.request);
        // A batch of which no command could be read has nothing to execute, and is no empty batch.
        let response = match request.commands.is_empty() {
            true => pb::ExecuteBatchResponse {
                start_time: Some(timestamp(now)),
                end_time: Some(timestamp(self.tracking.now())),
                ..pb::ExecuteBatchResponse::default()
            },
            false => {
                let answer = self.tracking.execute_batch(call(request, access)).await?;
                nested.add(answer.extensions().get());
                answer.into_inner()
            }
        };
        let mut response = json_response(answer::batch(batch, response));
        nested.go_with(response.extensions_mut());
        Ok(response)
    }

    fn health(&self, serves: fn(&Readiness) -> bool) -> Response<Body> {
        let state = self.health.get();
        if serves(&state) {
            return json_response(Bytes::from_static(b"{\"status\": \"SERVING\"}"));
        }
        let mut out = Vec::from(b"{\"status\": \"NOT_SERVING\", \"reason\": ");
        let reason = state.obstacle.as_deref().unwrap_or("starting");
        answer::text(&mut out, reason);
        out.push(b'}');
        let mut response = json_response(out.into());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }
}

/// What a caller shows.
fn shown(head: &http::request::Parts) -> Credentials {
    match head.headers.get(AUTHORIZATION) {
        Some(value) => Credentials::from_authorization(value.as_bytes()),
        None => access_token(head.uri.query().unwrap_or_default()),
    }
}

/// The public key in a query, for callers that cannot set a header.
fn access_token(query: &str) -> Credentials {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    match pairs.find(|(name, _)| name == "access_token") {
        Some((_, key)) => Credentials::Public(key.into_owned()),
        None => Credentials::Missing,
    }
}

/// A call of a service in process, by a caller that was let in.
fn call<T>(message: T, access: &Access) -> Call<T> {
    let mut call = Call::new(message);
    call.extensions_mut().insert(access.clone());
    call
}

pub(super) fn json_response(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
