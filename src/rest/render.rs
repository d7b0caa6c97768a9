//! Whatever leaves as a status becomes HTTP and JSON here, and nowhere else.
//!
//! This is the outermost layer of REST: a refusal of the limiter and an error of a service look the same. It
//! also answers what browsers ask of every response, strips the body for HEAD, and compresses what is large if
//! the caller wants that.

mod compress;
mod details;
mod status;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_LENGTH, ORIGIN, VARY,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use tower::{Layer, Service, layer::layer_fn};

use super::offload::Offload;
use crate::middleware::{Body, Classified, Finish, Finished};
pub use status::error_body;

/// What a preflight is told.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization, Content-Type, x-request-id",
    ),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (ACCESS_CONTROL_MAX_AGE, "86400"),
];
/// How a public key is shown (RFC 9110, 11.6.1).
const TOKEN_CHALLENGE: &str = r#"Token realm="footfall""#;
/// How a private key is shown.
const BASIC_CHALLENGE: &str = r#"Basic realm="footfall", charset="UTF-8""#;
/// Browsers say with it what made a page send; other callers do not know it.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const EXPOSED: &str = "Retry-After, RateLimit, RateLimit-Policy, x-request-id";

/// Which pages of other origins may call.
#[derive(Clone, Debug)]
pub enum Cors {
    /// All.
    Any,
    /// Those of these origins.
    Origins(Arc<[HeaderValue]>),
}

impl Cors {
    /// `*` stands for all.
    pub fn new(origins: &[String]) -> Self {
        if origins.iter().any(|origin| origin == "*") {
            return Self::Any;
        }
        let origins = origins.iter().map(HeaderValue::try_from);
        Self::Origins(origins.filter_map(Result::ok).collect())
    }

    fn allow(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        match self {
            Self::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::Origins(origins) => {
                headers.append(VARY, HeaderValue::from_static("origin"));
                if !origins.contains(origin) {
                    return;
                }
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
        }
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
}

/// Renders REST answers; gRPC calls pass.
#[derive(Clone, Debug)]
pub struct Render<S> {
    inner: S,
    cors: Cors,
    offload: Offload,
}

impl<S> Render<S> {
    /// The layer that lets the pages of `cors` call.
    pub fn layer(cors: Cors, offload: Offload) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            cors: cors.clone(),
            offload: offload.clone(),
        })
    }
}

/// What of a request matters for its answer.
#[derive(Debug)]
pub struct Rendered {
    method: Method,
    /// Whether the path is below `/data`, whose errors look different.
    data: bool,
    /// What compresses the answer, if the caller takes that.
    gzip: Option<Offload>,
    origin: Option<HeaderValue>,
    /// Whether a browser sends.
    from_browser: bool,
    cors: Cors,
}

impl Finish<Body> for Rendered {
    fn finish(self, response: Response<Body>) -> Response<Body> {
        let mut response = status::render(response, self.data);
        let headers = response.headers_mut();
        if let Some(origin) = &self.origin {
            self.cors.allow(origin, headers);
        }
        if self.method == Method::OPTIONS {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            for (name, value) in PREFLIGHT {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            challenge(&mut response, self.from_browser);
        }
        if let Some(offload) = &self.gzip {
            response = compress::gzip(response, offload);
        }
        if self.method == Method::HEAD {
            response = without_body(response);
        }
        response
    }
}

/// Says how a key is shown. A browser is not asked for a private one: it would ask its user, and keep what it is given.
fn challenge(response: &mut Response<Body>, from_browser: bool) {
    let basic = (!from_browser).then_some(BASIC_CHALLENGE);
    for way in std::iter::once(TOKEN_CHALLENGE).chain(basic) {
        let way = HeaderValue::from_static(way);
        response.headers_mut().append(WWW_AUTHENTICATE, way);
    }
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
        if Classified::of(request.extensions()).is_grpc() {
            return Either::Left(self.inner.call(request));
        }
        let path = request.uri().path().trim_start_matches('/');
        let rendered = Rendered {
            method: request.method().clone(),
            data: path.starts_with("data/"),
            gzip: compress::accepts_gzip(request.headers()).then(|| self.offload.clone()),
            from_browser: [ORIGIN, SEC_FETCH_MODE]
                .iter()
                .any(|name| request.headers().contains_key(name)),
            origin: request.headers().get(ORIGIN).cloned(),
            cors: self.cors.clone(),
        };
        Either::Right(Finished::new(self.inner.call(request), rendered))
    }
}
