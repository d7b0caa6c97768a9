//! Each status becomes HTTP and JSON here, and nowhere else.
//!
//! This is the outermost layer of REST, so a refusal of the limiter looks like an error of a service. The layer also
//! adds the headers that browsers need, removes the body for HEAD, and compresses large responses.

mod compress;
mod cors;
mod details;
mod status;

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{ALLOW, CONTENT_LENGTH, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use tower::{Layer, Service, layer::layer_fn};

use super::offload::Offload;
use super::routes::{self, Methods};
use crate::middleware::{Body, CallContext, Finish, Finished};
pub use cors::Cors;
use cors::Page;
pub use status::{error_body, http_status};

/// The challenge for a public key (RFC 9110, 11.6.1).
const TOKEN_CHALLENGE: &str = r#"Token realm="footfall""#;
/// The challenge for a private key.
const BASIC_CHALLENGE: &str = r#"Basic realm="footfall", charset="UTF-8""#;
/// Only browsers send this header.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Renders REST responses. gRPC calls pass.
#[derive(Clone, Debug)]
pub struct Render<S> {
    inner: S,
    cors: Cors,
    offload: Offload,
}

impl<S> Render<S> {
    /// The layer that allows the pages of `cors` to call.
    pub fn layer(cors: Cors, offload: Offload) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            cors: cors.clone(),
            offload: offload.clone(),
        })
    }
}

/// The parts of a request that its response depends on.
#[derive(Debug)]
pub struct Rendered {
    method: Method,
    /// Whether the path is below `/data`. Errors look different there.
    data: bool,
    /// The codings that the caller takes.
    accepted: Vec<HeaderValue>,
    offload: Offload,
    page: Option<Page>,
    /// Present if the request is OPTIONS.
    options: Option<Options>,
    /// Whether a browser sends the request.
    from_browser: bool,
    cors: Cors,
}

/// The response to OPTIONS.
#[derive(Debug)]
struct Options {
    allow: &'static str,
    headers: Option<HeaderValue>,
}

impl Finish<Body> for Rendered {
    fn finish(self, response: Response<Body>) -> Response<Body> {
        let mut response = status::render(response, self.data);
        let headers = response.headers_mut();
        if let Some(page) = &self.page {
            self.cors.allow(page, headers);
        }
        if let Some(options) = self.options {
            headers.insert(ALLOW, HeaderValue::from_static(options.allow));
            cors::preflight(options.headers, headers);
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            challenge(&mut response, self.from_browser);
        }
        response = compress::gzip(response, self.accepted, &self.offload);
        if self.method == Method::HEAD {
            response = without_body(response);
        }
        response
    }
}

/// Adds the challenges. A browser gets none for a private key, because it would ask its user and keep the key.
fn challenge(response: &mut Response<Body>, from_browser: bool) {
    let basic = (!from_browser).then_some(BASIC_CHALLENGE);
    for way in std::iter::once(TOKEN_CHALLENGE).chain(basic) {
        let way = HeaderValue::from_static(way);
        response.headers_mut().append(WWW_AUTHENTICATE, way);
    }
}

/// The methods of a path. An unknown path has all methods.
fn allow(path: &str) -> &'static str {
    let entry = routes::find(path).map(|(entry, _)| entry);
    entry
        .map_or(Methods::GetOrPost, |entry| entry.methods)
        .allow()
}

fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Body::empty())
}

impl<S, B> Service<Request<B>> for Render<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Finished<S::Future, Rendered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Without a context, the layers below refuse the call; its refusal is rendered.
        let context = CallContext::of(request.extensions());
        if context.is_ok_and(|context| context.classified().is_grpc()) {
            return Either::Left(self.inner.call(request));
        }
        let path = request.uri().path().trim_start_matches('/');
        let rendered = Rendered {
            method: request.method().clone(),
            data: path.starts_with("data/"),
            accepted: compress::accepted(request.headers()),
            offload: self.offload.clone(),
            from_browser: [ORIGIN, SEC_FETCH_MODE]
                .iter()
                .any(|name| request.headers().contains_key(name)),
            page: Page::of(request.headers(), path.starts_with("track/")),
            options: (request.method() == Method::OPTIONS).then(|| Options {
                allow: allow(path),
                headers: cors::asked_for(request.headers()),
            }),
            cors: self.cors.clone(),
        };
        Either::Right(Finished::new(self.inner.call(request), rendered))
    }
}
